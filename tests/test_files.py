import os

import pytest

from minidiff import files
from minidiff.files import data_folder, replacing


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.txt"]
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.suffix == ".txt"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["x.txt"]


def test_data_folder_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "a" / "b"))
    assert data_folder() == tmp_path / "a" / "b" and data_folder().is_dir()


def test_the_data_folder_is_one_that_can_be_written(tmp_path, monkeypatch):
    """The tests may run as a user who may write everything: a file where a folder should be stops anyone."""
    home, installed = tmp_path / "home", tmp_path / "site" / "minidiff" / "files.py"
    monkeypatch.delenv("MINIDIFF_DATA")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(files, "__file__", str(installed))
    (tmp_path / "site" / "datasets").mkdir(parents=True)  # another package of this name
    assert data_folder() == home / ".cache" / "minidiff"
    (tmp_path / "site" / "datasets" / "README.md").write_text("ours")
    assert data_folder() == tmp_path / "site" / "datasets" / "cache"
    (tmp_path / "site" / "datasets" / "cache").rmdir()
    (tmp_path / "site" / "datasets" / "cache").write_text("in the way")
    with pytest.warns(UserWarning, match="cache cannot be written: .*home.* is used, or what MINIDIFF_DATA names"):
        assert data_folder() == home / ".cache" / "minidiff"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="cannot be written: set MINIDIFF_DATA"):
        data_folder()
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "site" / "datasets" / "cache" / "below"))
    with pytest.raises(ValueError, match="below cannot be written: set MINIDIFF_DATA"):
        data_folder()
