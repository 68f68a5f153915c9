import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from lowbit.batch import forkserver

RUN = [sys.executable, "-I", "-S", forkserver.__file__, "run"]
ENDLESS = [*RUN, "http.server", "0"]


@contextlib.contextmanager
def started(module, **settings):
    """A server that imports a module, and the end of the pipe that keeps it alive."""
    life, end = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        listener.listen()
        words = [sys.executable, forkserver.__file__, "serve", str(listener.fileno()), str(life), module]
        process = subprocess.Popen(words, pass_fds=[listener.fileno(), life], **settings)
    os.close(life)
    yield process, end
    process.kill()
    process.wait()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A process that serves forks, the environment of its clients, and the end of its pipe."""
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with started("json.decoder") as (process, end):
        yield process, {**os.environ, forkserver.ADDRESS: "socket"}, end


@pytest.fixture
def client(server):
    """A client whose module does not end, and its fork."""
    client = subprocess.Popen(ENDLESS, env=server[1], stderr=subprocess.DEVNULL)
    forks = psutil.Process(server[0].pid).children
    assert until(forks)
    yield client, forks()[0]
    client.kill()
    client.wait()


def until(condition):
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.05)
    return False


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("served", [True, False])
def test_a_module_runs_the_same_with_and_without_a_server(server, served):
    environment = server[1] if served else dict(os.environ)
    for text, status, out in ((b'{"a": 1}', 0, b'{"a":1}\n'), (b"{", 1, b"")):
        words = [*RUN, "json.tool", "--compact"]
        done = subprocess.run(words, input=text, env=environment, capture_output=True)
        assert (done.returncode, done.stdout) == (status, out)


def test_killing_a_client_kills_its_fork(client):
    client[0].send_signal(signal.SIGKILL)
    assert until(lambda: has_ended(client[1]))


def test_closing_the_pipe_ends_server_client_and_fork(server, client):
    os.close(server[2])
    assert server[0].wait(5) == 0
    assert client[0].wait(5) != 0
    assert until(lambda: has_ended(client[1]))


def test_a_tied_process_is_killed_when_the_pipe_closes():
    life, end = os.pipe()
    words = [sys.executable, forkserver.__file__, "tie", str(life), "http.server", "0"]
    process = subprocess.Popen(words, pass_fds=[life])
    os.close(life)
    time.sleep(0.3)
    assert process.poll() is None
    os.close(end)
    assert process.wait(5) == -signal.SIGKILL


def test_a_server_can_be_terminated_while_it_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("slow.py").write_text("print('begun', flush=True)\nimport time\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with started("slow", env=environment, stdout=subprocess.PIPE) as (process, end):
        assert process.stdout.readline() == b"begun\n"
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM
        process.stdout.close()
        os.close(end)


def test_a_server_with_forks_ends_only_when_the_pipe_closes(server, client):
    server[0].terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        server[0].wait(1.5)
    assert client[1].is_running()
    os.close(server[2])
    assert server[0].wait(5) == 0


def test_a_fork_can_be_terminated(client):
    assert until(lambda: client[1].terminate() or client[0].poll() is not None)


def test_the_folder_of_a_killed_batch_is_removed(tmp_path, monkeypatch):
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    with started("json.decoder", env={**os.environ, forkserver.ADDRESS: str(folder / "socket")}) as (process, end):
        os.close(end)
        assert process.wait(10) == 0
    assert not folder.exists()
    assert tmp_path.exists()
