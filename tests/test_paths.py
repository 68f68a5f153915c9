"""The folders named by environment variables, and one for sockets."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from lowbit import paths

NAMED = {"LOWBIT_HOME": paths.root, "LOWBIT_DATA": paths.raw, "LOWBIT_MIRROR": paths.mirror}


@pytest.mark.parametrize("variable", NAMED)
def test_a_relative_folder_stays_where_it_was_when_first_named(variable, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "one/../other")
    assert NAMED[variable]() == tmp_path / "other"
    monkeypatch.chdir("/")
    assert NAMED[variable]() == tmp_path / "other"
    assert os.environ[variable] == str(tmp_path / "other")  # which subprocesses get


@pytest.mark.parametrize("variable", NAMED)
def test_an_empty_name_is_none(variable, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    expected = NAMED[variable]()
    monkeypatch.setenv(variable, "")
    assert NAMED[variable]() == expected


@pytest.mark.parametrize("length", [1, 200])
def test_a_private_folder_is_short_closed_to_others_and_removed(length, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * length)))
    Path(tempfile.tempdir).mkdir()
    with paths.private() as folder:
        assert len(os.fsencode(folder)) <= paths.SHORT + len("/lowbit-") + 8
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert not Path(folder).exists()
