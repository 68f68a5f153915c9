"""A server process that imports what every page needs and forks for each client; a client runs a module in its fork.

- `serve SOCKET LIFE MODULE...` imports modules and forks for every client of the listening socket; in the end it
  removes the folder of the socket that `LOWBIT_SERVER` names, which a killed batch leaves behind;
- `run MODULE ARGUMENT...` runs a module in such a fork, or, without a server, in this process. It is run as a script
  by a bare interpreter, so this file imports the standard library alone;
- `tie LIFE MODULE ARGUMENT...` runs a module in this process.

When the other end of the pipe `LIFE` closes, server and forks or the tied process are killed; a client that dies
kills its fork, and a client whose parent dies ends. So no process of a killed batch goes on alone.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable

ADDRESS = "LOWBIT_SERVER"  # the environment variable that names the socket


def serve(listener: socket.socket, life: int, modules: list[str]) -> int:
    """Forks for every client until `life` closes, then kills the forks."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from now on there are forks to end first
    forks: set[int] = set()
    while life not in (ready := select.select([listener, life], [], [], 1)[0]):
        forks = {pid for pid in forks if os.waitpid(pid, os.WNOHANG) == (0, 0)}
        if listener in ready:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                pid = os.fork()
                if pid == 0:
                    listener.close()
                    os.close(life)
                    _become(client)
                forks.add(pid)
    for pid in forks:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    if ADDRESS in os.environ:
        shutil.rmtree(os.path.dirname(os.environ[ADDRESS]), ignore_errors=True)
    return 0


def run(module: str, arguments: list[str]) -> int:
    """The exit status of a module that runs in a fork, with the streams, folder and environment of this process."""
    parent, server = os.getppid(), socket.socket(socket.AF_UNIX)
    request = {"module": module, "arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
    try:
        server.connect(os.environ[ADDRESS])
        socket.send_fds(server, [b"0"], [0, 1, 2])
        server.sendall(f"{json.dumps(request)}\n".encode())
    except (KeyError, OSError):
        os.execv(sys.executable, [sys.executable, "-P", "-m", module, *arguments])
    while os.getppid() == parent:
        if select.select([server], [], [], 1)[0]:
            status = server.recv(1)
            return status[0] if status else 1
    return 1


def tie(life: int, module: str, arguments: list[str]) -> int:
    """Runs a module in this process, which dies when the pipe `life` closes."""
    return _start(lambda: (os.read(life, 1), os.kill(os.getpid(), signal.SIGKILL)), module, arguments)


def _become(client: socket.socket) -> None:
    """Runs the module of the client's request in this fork; does not return."""
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _, streams, _, _ = socket.recv_fds(client, 1, 3)
        request = json.loads(client.makefile().readline())
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        status = _start(lambda: (client.recv(1), os.killpg(0, signal.SIGKILL)), request["module"], request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # the module may have closed them
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            client.send(bytes([status]))
        os._exit(status)


def _start(watch: Callable[[], object], module: str, arguments: list[str]) -> int:
    threading.Thread(target=watch, daemon=True).start()
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    return 0


def _main(command: str, *arguments: str) -> int:
    if command == "run":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return run(arguments[0], list(arguments[1:]))
    if command == "tie":
        return tie(int(arguments[0]), arguments[1], list(arguments[2:]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return serve(socket.socket(fileno=int(arguments[0])), int(arguments[1]), list(arguments[2:]))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
