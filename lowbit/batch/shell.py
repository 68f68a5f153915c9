"""Papermill's engine for pages: cells run in this process, as each page has a process of its own already."""

import contextlib
import io
import signal
from collections.abc import Callable, Iterator

import matplotlib.pyplot as plt
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_output
from papermill import engines
from traitlets.config import Config

NAME = "lowbit"


class Overtime(BaseException):
    """A cell took longer than its limit; not for the code of the cell to catch."""


class Stream(io.TextIOBase):
    """A stream whose text goes to the outputs of the cell that runs."""

    encoding = "utf-8"

    def __init__(self, name: str, append: Callable[[dict], None]):
        self.name, self.append = name, append

    def write(self, text: str) -> int:
        """Adds text to the outputs."""
        self.append(new_output("stream", name=self.name, text=text))
        return len(text)


class Publisher(DisplayPublisher):
    """What cells display."""

    def publish(self, data: dict, metadata: dict | None = None, **_) -> None:
        """Adds a display to the outputs."""
        self.shell.append(new_output("display_data", data=data, metadata=metadata or {}))


class Hook(DisplayHook):
    """The value of the last expression of a cell."""

    def write_output_prompt(self) -> None:
        """Nothing: the count is in the output."""

    def write_format_data(self, format_dict: dict, md_dict: dict | None = None) -> None:
        """Adds the value to the outputs."""
        count = self.shell.execution_count
        self.shell.append(new_output("execute_result", data=format_dict, metadata=md_dict or {}, execution_count=count))

    def finish_displayhook(self) -> None:
        """Nothing: there is no line to end."""


class Shell(InteractiveShell):
    """An IPython shell that collects outputs as a notebook has them."""

    def __init__(self, **settings):
        self.outputs: list[dict] = []
        super().__init__(display_pub_class=Publisher, displayhook_class=Hook, **settings)

    def append(self, output: dict) -> None:
        """Adds an output; text goes on with the text before it."""
        last = self.outputs[-1] if self.outputs else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            self.outputs.append(output)

    def enable_gui(self, gui: str | None = None) -> None:
        """Nothing: figures are shown inline."""

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self.append(new_output("error", ename=etype.__name__, evalue=str(evalue), traceback=stb))

    def run(self, source: str) -> tuple[list[dict], BaseException | None]:
        """The outputs of a cell, and the exception that ended it."""
        self.outputs = []
        streams = Stream("stdout", self.append), Stream("stderr", self.append)
        with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
            result = self.run_cell(source, store_history=True)
        return self.outputs, result.error_before_exec or result.error_in_exec


class Engine(engines.Engine):
    """Runs the cells of a notebook until one raises, each at most `execution_timeout` seconds."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: engines.NotebookExecutionManager, kernel_name: str, execution_timeout: int | None = None, **_
    ) -> None:
        """Fills outputs and counts of the notebook that `nb_man` has."""
        settings = Config()
        settings.HistoryManager.enabled = False
        shell = Shell.instance(config=settings)
        shell.run_line_magic("matplotlib", "inline")
        plt.uninstall_repl_displayhook()  # which draws each figure once more, to no effect
        for index, cell in enumerate(nb_man.nb.cells):
            if cell.cell_type != "code":
                continue
            nb_man.cell_start(cell, index)
            cell.execution_count = shell.execution_count
            with _limit(execution_timeout):
                cell.outputs, error = shell.run(cell.source)
            if error is not None:
                nb_man.cell_exception(cell, index, exception=error)
            nb_man.cell_complete(cell, index)
            if error is not None:
                break


@contextlib.contextmanager
def _limit(seconds: int | None) -> Iterator[None]:
    """Raises `Overtime` in the main thread after some seconds."""

    def overtime(*_) -> None:
        raise Overtime(f"a cell took longer than its limit of {seconds} s")

    before = signal.signal(signal.SIGALRM, overtime)
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


engines.papermill_engines.register(NAME, Engine)
