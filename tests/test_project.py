"""The house: environments that agree, and nothing of one machine in the tree."""

import importlib.metadata
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
    return [*PROJECT["dependencies"], *(each for extra in extras for each in extra)]


def locked():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_lock_pins_every_requirement_within_its_bounds():
    from packaging.requirements import Requirement

    pins = {name_of(name): version for name, version in locked().items()}
    for each in map(Requirement, required()):
        assert each.specifier.contains(pins[name_of(each.name)], prereleases=True), each


def test_the_lock_holds_exact_versions_of_public_builds():
    for name, version in locked().items():
        assert re.fullmatch(r"[\w.]+", version), f"{name}=={version}"


def test_what_is_installed_is_what_is_locked():
    for name, version in locked().items():
        assert importlib.metadata.version(name).partition("+")[0] == version


def test_conda_users_get_the_same_requirements():
    told = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(each["pip"] for each in told if isinstance(each, dict))
    conda = [each for each in told if isinstance(each, str)]
    listed = {name_of(each): each for each in [*conda, *pip]}
    for each in required():
        name = {"torch": "pytorch"}.get(name_of(each), name_of(each))
        assert listed[name].replace("pytorch", "torch") == each
    assert listed["python"] == "python" + PROJECT["requires-python"]


def test_the_version_stands_once():
    from lowbit import __version__

    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == __version__ == cff["version"]


def test_the_readme_is_short_and_names_both_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 120
    assert "make book" in text
    assert "make test" in text


def tracked():
    done = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


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
        "words = ['train', 'budget=smoke(updates=4, evaluate_every=2, test_limit=200, valid_limit=300)']\n"
        "sys.exit(main(words))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deployed" in done.stdout
