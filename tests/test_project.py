"""The environments agree, and no file depends on one machine."""

import importlib.metadata
import inspect
import itertools
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from lowbit import paths

ROOT = paths.SOURCE
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement):
    return re.split(r"[<>=!\[; ]", requirement)[0].lower().replace("_", "-")


def required():
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *itertools.chain.from_iterable(extras)]


def locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_lock_pins_every_requirement_within_its_bounds():
    from packaging.requirements import Requirement

    pins = {name_of(name): version for name, version in locked().items()}
    for requirement in map(Requirement, required()):
        assert requirement.specifier.contains(pins[name_of(requirement.name)], prereleases=True), requirement


def test_the_lock_holds_exact_versions_of_public_builds_that_are_installed():
    for name, version in locked().items():
        assert re.fullmatch(r"[\w.]+", version), f"{name}=={version}"
        assert importlib.metadata.version(name).partition("+")[0] == version


def test_conda_users_get_the_same_requirements():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    conda = [entry for entry in entries if isinstance(entry, str)]
    listed = {name_of(entry): entry for entry in [*conda, *pip]}
    for requirement in required():
        name = {"torch": "pytorch"}.get(name_of(requirement), name_of(requirement))
        assert listed[name].replace("pytorch", "torch") == requirement
    assert listed["python"] == "python" + PROJECT["requires-python"]


def test_the_version_is_the_same_everywhere():
    from lowbit import __version__

    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == __version__ == cff["version"]


def test_every_public_name_has_an_example():
    import lowbit

    for name in lowbit.__all__:
        value = getattr(lowbit, name)
        assert inspect.ismodule(value) or ">>> " in inspect.getdoc(value), name


def test_the_readme_is_short_and_names_both_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 120
    assert "make book" in text
    assert "make test" in text


def tracked():
    process = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if process.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in process.stdout.splitlines() if (ROOT / line).is_file()]


def test_no_path_of_a_machine_is_tracked():
    forbidden = re.compile(r"/(?:home|root|work|Users)/\w")
    for path in tracked():
        if path.suffix in (".py", ".md", ".toml", ".yml", ".ipynb", ".json", ".cfg", ""):
            assert not forbidden.search(path.read_text()), path


def test_the_library_runs_without_jupyter_and_plotting():
    """As on a GPU machine that has torch, numpy and little else."""
    code = (
        "import sys\n"
        "for name in ('IPython', 'ipykernel', 'matplotlib', 'papermill', 'nbformat', 'seaborn', 'jupyter_book',\n"
        "    'snakemake', 'numba', 'psutil', 'yaml', 'jaxtyping', 'pandas', 'sklearn', 'scipy', 'tqdm'):\n"
        "    sys.modules[name] = None\n"
        "from lowbit.__main__ import main\n"
        "sys.exit(main(['train', 'budget=smoke(updates=4, evaluate_every=2, test_limit=200, valid_limit=300)']))\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "deployed" in process.stdout
