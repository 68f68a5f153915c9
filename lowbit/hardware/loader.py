"""The loops of this package: machine code where numba is installed, else interpreted."""

import importlib
import importlib.util
from pathlib import Path

PACKAGE, SOURCES = "lowbit.hardware", tuple(sorted(Path(__file__).parent.glob("*.py")))


def interpreted(name: str, *arguments) -> None:
    """Calls `module.function` of this package without compiling it."""
    module, function = name.split(".")
    getattr(importlib.import_module(f"{PACKAGE}.{module}"), function)(*arguments)


if importlib.util.find_spec("numba"):
    from lowbit.compiled.loops import Loops

    run = Loops(PACKAGE, SOURCES).run
else:
    run = interpreted
