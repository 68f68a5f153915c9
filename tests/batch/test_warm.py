import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from lowbit.batch import warm

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
RUN = [sys.executable, "-I", "-S", warm.__file__, "run"]


@pytest.fixture
def server(tmp_path):
    """A process that serves forks, the environment that leads to it, and what keeps it alive."""
    os.chdir(tmp_path)  # the path of a socket is short
    life, ours = os.pipe()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("door")
        door.listen()
        words = [sys.executable, warm.__file__, "serve", str(door.fileno()), str(life), "json.decoder"]
        process = subprocess.Popen(words, pass_fds=[door.fileno(), life])
    os.close(life)
    yield process, {**os.environ, warm.ADDRESS: "door"}, ours
    process.kill()
    process.wait()


@pytest.fixture(autouse=True)
def folder():
    before = os.getcwd()
    yield
    os.chdir(before)


def forks(process):
    return psutil.Process(process.pid).children()


def until(true):
    for _ in range(100):
        if true():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("served", [True, False])
def test_a_module_runs_the_same_warm_and_cold(server, served):
    _, environment, _ = server
    environment = environment if served else dict(os.environ)
    for text, status, out in ((b'{"a": 1}', 0, b'{"a":1}\n'), (b"{", 1, b"")):
        words = [*RUN, "json.tool", "--compact"]
        done = subprocess.run(words, input=text, env=environment, capture_output=True)
        assert (done.returncode, done.stdout) == (status, out)


def test_a_client_that_is_killed_takes_its_fork(server):
    process, environment, _ = server
    client = subprocess.Popen([*RUN, "http.server", "0"], env=environment, stderr=subprocess.DEVNULL)
    assert until(lambda: forks(process))
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert until(lambda: not [fork for fork in forks(process) if fork.status() != psutil.STATUS_ZOMBIE])


def test_who_holds_the_pipe_takes_all_with_it(server):
    process, environment, ours = server
    client = subprocess.Popen([*RUN, "http.server", "0"], env=environment, stderr=subprocess.DEVNULL)
    assert until(lambda: forks(process))
    fork = forks(process)[0]
    os.close(ours)
    assert process.wait(5) == 0
    assert client.wait(5) != 0
    assert until(lambda: not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE)


def test_what_is_tied_dies_with_the_pipe():
    life, ours = os.pipe()
    tied = subprocess.Popen([sys.executable, warm.__file__, "tie", str(life), "http.server", "0"], pass_fds=[life])
    os.close(life)
    time.sleep(0.3)
    assert tied.poll() is None
    os.close(ours)
    assert tied.wait(5) == -signal.SIGKILL


def test_a_server_ends_at_once_while_it_imports(tmp_path):
    tmp_path.joinpath("slow.py").write_text("print('begun', flush=True)\nimport time\ntime.sleep(60)\n")
    life, ours = os.pipe()
    with socket.socket(socket.AF_UNIX) as door:
        words = [sys.executable, warm.__file__, "serve", str(door.fileno()), str(life), "slow"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        process = subprocess.Popen(words, env=environment, pass_fds=[door.fileno(), life], stdout=subprocess.PIPE)
    os.close(life)
    assert process.stdout.readline() == b"begun\n"
    process.terminate()
    assert process.wait(5) == -signal.SIGTERM
    process.stdout.close()
    os.close(ours)


def test_a_server_that_has_forks_heeds_the_pipe_alone(server):
    process, environment, ours = server
    client = subprocess.Popen([*RUN, "http.server", "0"], env=environment, stderr=subprocess.DEVNULL)
    assert until(lambda: forks(process))
    fork = forks(process)[0]
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    assert fork.is_running()
    os.close(ours)
    assert process.wait(5) == 0
    client.wait(5)


def test_a_fork_can_be_terminated(server):
    process, environment, _ = server
    client = subprocess.Popen([*RUN, "http.server", "0"], env=environment, stderr=subprocess.DEVNULL)
    assert until(lambda: forks(process))
    assert until(lambda: forks(process)[0].terminate() or client.poll() is not None)


def test_the_folder_of_a_killed_batch_goes_with_it(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    life, ours = os.pipe()
    with socket.socket(socket.AF_UNIX) as door:
        words = [sys.executable, warm.__file__, "serve", str(door.fileno()), str(life), "json.decoder"]
        environment = {**os.environ, warm.ADDRESS: str(folder / "door")}
        process = subprocess.Popen(words, env=environment, pass_fds=[door.fileno(), life])
    os.close(life)
    os.close(ours)
    assert process.wait(10) == 0
    assert not folder.exists()
    assert tmp_path.exists()
