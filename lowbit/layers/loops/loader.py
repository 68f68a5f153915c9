"""The time loops of training as machine code."""

from pathlib import Path

from lowbit.compiled.loops import Loops

HERE = Path(__file__).parent
LOOPS = Loops("lowbit.layers.loops.native", (HERE / "layout.py", *sorted((HERE / "native").glob("*.py"))))
begin, run = LOOPS.begin, LOOPS.run
