"""The loops of this room: machine code where numba is installed, else as Python runs them."""

import importlib
import importlib.util
from pathlib import Path

PACKAGE, SOURCES = "lowbit.hardware", tuple(sorted(Path(__file__).parent.glob("*.py")))


def interpreted(name: str, *arguments) -> None:
    """Calls `module.function` of this room as Python runs it."""
    module, function = name.split(".")
    getattr(importlib.import_module(f"{PACKAGE}.{module}"), function)(*arguments)


if importlib.util.find_spec("numba"):
    from lowbit.compiled.loops import Loops

    run = Loops(PACKAGE, SOURCES).run
else:
    run = interpreted
