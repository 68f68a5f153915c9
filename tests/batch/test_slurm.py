"""The same command on a cluster: a SLURM of one node, from Debian's packages, unpacked and started by the test."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lowbit import paths
from lowbit.batch import pages, plan
from lowbit.batch.run import run
from lowbit.plots import templates
from lowbit.plots.templates import Page
from lowbit.studies import store, study
from lowbit.studies.spec import RunSpec
from lowbit.training import train

TINY = "smoke(updates=4, evaluate_every=2, hidden=8, batch=8, steps=8, calibration=2, valid_limit=300, test_limit=300)"
PACKAGES = ["libhwloc15", "liblua5.1-0", "libmunge2", "munge", "slurm-wlm-basic-plugins"]
PACKAGES += ["slurm-client", "slurmctld", "slurmd"]
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={state}/munge.sock
PluginDir={libraries}/slurm-wlm
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
StateSaveLocation={state}/control
SlurmdSpoolDir={state}/spool
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=6000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def unpacked(folder):
    """Debian's packages unpacked in a separate folder; nothing is installed."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("apt-get") or not shutil.which("dpkg"):
        pytest.skip("a SLURM of one's own takes root on Debian")
    download = subprocess.run(["apt-get", "download", "-qq", *PACKAGES], cwd=folder, capture_output=True, text=True)
    if download.returncode:
        pytest.skip(f"no packages of SLURM: {download.stderr.strip().splitlines()[-1]}")
    for file in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", file, folder / "root"], check=True)
    return folder / "root" / "usr"


def free_ports(count):
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


@pytest.fixture
def cluster(tmp_path_factory, monkeypatch):
    """One idle node with its commands on the path; they hold their configuration, which Snakemake removes from jobs."""
    state = tmp_path_factory.mktemp("slurm")
    usr = unpacked(state)
    host = socket.gethostname().partition(".")[0]
    libraries = next((usr / "lib").glob("*/slurm-wlm")).parent
    settings = {"host": host, "state": state, "libraries": libraries, "cores": os.cpu_count(), "ports": free_ports(2)}
    state.joinpath("slurm.conf").write_text(CONFIGURATION.format(**settings))
    state.joinpath("munge.key").write_bytes(os.urandom(1024))
    state.joinpath("munge.key").chmod(0o400)
    for name in ("control", "spool", "bin"):
        state.joinpath(name).mkdir()
    search = f"{libraries}:{libraries}/slurm-wlm"
    for name in ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol", "sacct"):
        command = state / "bin" / name
        lines = ["#!/bin/sh", f"export SLURM_CONF={state}/slurm.conf LD_LIBRARY_PATH={search}"]
        command.write_text("\n".join([*lines, f'exec {usr}/bin/{name} "$@"', ""]))
        command.chmod(0o755)
    files = [f"--{name}={state}/munge.{end}" for name, end in MUNGE.items()]
    environment = {**os.environ, "LD_LIBRARY_PATH": search, "SLURM_CONF": f"{state}/slurm.conf"}
    daemons = []
    for words in (
        [usr / "sbin" / "munged", "--foreground", "--force", *files],
        [usr / "sbin" / "slurmctld-wlm", "-D"],
        [usr / "sbin" / "slurmd-wlm", "-D", "-N", host, "-d", usr / "sbin" / "slurmstepd-wlm"],
    ):
        with open(state / f"{words[0].name}.log", "wb") as log:
            daemons.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))
        time.sleep(1)
    monkeypatch.setenv("PATH", f"{state}/bin:{os.environ['PATH']}")
    try:
        if not is_idle():
            pytest.skip(f"SLURM did not start: {state.joinpath('slurmctld-wlm.log').read_text()[-300:]}")
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()


MUNGE = {"socket": "sock", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}


def is_idle():
    for _ in range(20):
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout
        if state.strip() == "idle":
            return True
        time.sleep(1)
    return False


PAIR = [RunSpec(budget=TINY), RunSpec(budget=TINY, quantizer="full")]
SMOKE = [spec for spec in study.build("smoke") if spec.folder == "smoke"]


@pytest.mark.slow
@pytest.mark.parametrize("runs", [PAIR, SMOKE], ids=["pair", "smoke"])
def test_a_cluster_makes_the_same_records(cluster, home, monkeypatch, runs):
    monkeypatch.setitem(study.STUDIES, "runs", lambda: runs)
    both = [Page("train", spec) for spec in runs], [Page("compare", runs[0])]
    monkeypatch.setattr(templates, "pages", lambda runs: both)
    monkeypatch.setenv("PYTHONPATH", str(paths.SOURCE) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    outcome = run(plan.make("runs"), os.cpu_count(), "slurm")
    assert outcome.failed == {}
    assert len(outcome.executed) == len(runs) + 1
    assert all(pages.is_current(page) for page in outcome.executed)
    digests = [store.load(spec).digest for spec in runs]

    words = ["--snakefile", "runs/batch/Snakefile", "--directory", "runs/batch", "--dry-run"]  # as the guide says
    tried = subprocess.run(
        [Path(sys.executable).parent / "snakemake", *words], cwd=home, capture_output=True, text=True
    )
    assert tried.returncode == 0, tried.stderr
    assert "Nothing to be done" in tried.stdout + tried.stderr
    monkeypatch.setenv("LOWBIT_HOME", str(home / "local"))
    assert [train.recall(spec).digest for spec in runs] == digests


REFUSAL = "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified"


def test_a_refused_account_is_reported_for_each_page(home, monkeypatch):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra [cluster] is not installed")
    for name in ("sbatch", "squeue", "sinfo", "sacct", "scontrol", "scancel", "sacctmgr"):
        command = home / "bin" / name
        store.write(command, f"#!/bin/sh\necho '{REFUSAL}' >&2\nexit 1\n" if name == "sbatch" else "#!/bin/sh\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}/bin:{os.environ['PATH']}")
    monkeypatch.setitem(study.STUDIES, "runs", lambda: PAIR)
    monkeypatch.setattr(templates, "pages", lambda runs: ([Page("train", spec) for spec in runs], []))
    outcome = run(plan.make("runs"), 2, "slurm")
    assert len(outcome.failed) == len(PAIR)
    for error in outcome.failed.values():
        assert error.startswith("its worker was lost: ")
        assert REFUSAL in error
        assert "\n" not in error
