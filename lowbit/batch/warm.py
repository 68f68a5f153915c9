"""Warm Python: one process imports what every page needs and forks for each; a small client stands in its place.

Run as a script by a bare interpreter, so it imports the standard library alone:

- `serve DOOR LIFE MODULE...` imports modules and forks for every client of the socket `DOOR`; in the end it
  removes the folder of the socket that `LOWBIT_WARM` names, which a killed batch leaves behind;
- `run MODULE WORD...` runs a module in such a fork, or, where nobody serves, in a Python of its own;
- `tie LIFE MODULE WORD...` runs a module in this process.

Whoever holds the other end of the pipe `LIFE` takes all with it when it dies; a client takes its fork, and a
client whose own parent dies follows. So nothing that a killed batch started goes on alone.
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
import time
import traceback

ADDRESS = "LOWBIT_WARM"  # the environment variable that names the socket
KERNEL = "warm"  # the Jupyter kernel that is such a fork


def serve(door: socket.socket, life: int, modules: list[str]) -> None:
    """Forks for every client until `life` closes, then kills the forks."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from now on there are forks to end first
    forks: set[int] = set()
    while life not in (ready := select.select([door, life], [], [], 1)[0]):
        forks = {pid for pid in forks if os.waitpid(pid, os.WNOHANG) == (0, 0)}
        if door in ready:
            client, _ = door.accept()
            with client, contextlib.suppress(OSError, ValueError):
                request, streams = _receive(client)
                pid = os.fork()
                if pid == 0:
                    door.close()
                    os.close(life)
                    _become(client, request, streams)
                forks.add(pid)
                for stream in streams:
                    os.close(stream)
    for pid in forks:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    if ADDRESS in os.environ:
        shutil.rmtree(os.path.dirname(os.environ[ADDRESS]), ignore_errors=True)


def run(module: str, words: list[str]) -> int:
    """The exit status of a module that runs in a fork, with the streams, folder and environment of this process."""
    parent, server = os.getppid(), socket.socket(socket.AF_UNIX)
    try:
        server.connect(os.environ[ADDRESS])
        told = {"module": module, "words": words, "environment": dict(os.environ), "folder": os.getcwd()}
        content = json.dumps(told).encode()
        socket.send_fds(server, [len(content).to_bytes(4)], [0, 1, 2])
        server.sendall(content)
    except (KeyError, OSError):
        os.execv(sys.executable, [sys.executable, __file__, "follow", str(parent), module, *words])
    while os.getppid() == parent:
        if select.select([server], [], [], 1)[0]:
            status = server.recv(1)
            return status[0] if status else 1
    return 1


def follow(parent: int, module: str, words: list[str]) -> int:
    """Runs a module in this process, which dies soon after its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    return _start(watch, module, words)


def tie(life: int, module: str, words: list[str]) -> int:
    """Runs a module in this process, which dies when the pipe `life` closes."""

    def watch() -> None:
        os.read(life, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    return _start(watch, module, words)


def _receive(client: socket.socket) -> tuple[dict, list[int]]:
    head, streams, _, _ = socket.recv_fds(client, 4, 3)
    content, size = b"", int.from_bytes(head)
    while len(content) < size:
        part = client.recv(size - len(content))
        if not part:
            raise OSError("the client is gone")
        content += part
    return json.loads(content), streams


def _become(client: socket.socket, request: dict, streams: list[int]) -> None:
    """This fork turns into what the client asked for; never comes back."""
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        talk = client.dup()

        def watch() -> None:
            talk.recv(1)
            os.killpg(0, signal.SIGKILL)

        status = _start(watch, request["module"], request["words"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # the module may have closed them
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            client.send(bytes([status]))
        os._exit(status)


def _start(watch, module: str, words: list[str]) -> int:
    threading.Thread(target=watch, daemon=True).start()
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    return 0


def _main(command: str, *words: str) -> int:
    if not sys.flags.isolated:
        sys.path[0] = os.path.abspath(f"{__file__}/../../..")  # where lowbit is, not what is beside this file
    if command == "serve":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return serve(socket.socket(fileno=int(words[0])), int(words[1]), list(words[2:])) or 0
    if command == "run":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return run(words[0], list(words[1:]))
    return {"follow": follow, "tie": tie}[command](int(words[0]), words[1], list(words[2:]))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
