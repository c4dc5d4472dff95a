import os
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from minidiff import data
from minidiff.data import dataset
from minidiff.data.dataset import data_folder
from minidiff.device import cached, pick, replacing
from minidiff.run.folder import locked


def test_replacing_is_all_or_nothing(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(tmp_path) == ["x.txt"]
    with replacing(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old" and temporary.suffix == ".txt"
    assert path.read_text(encoding="utf-8") == "new" and os.listdir(tmp_path) == ["x.txt"]


def test_data_folder_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "a" / "b"))
    assert data_folder() == tmp_path / "a" / "b" and data_folder().is_dir()


WRITERS = {
    "text": lambda path: path.write_text("x" * 100_000, encoding="utf-8"),
    "state": lambda path: torch.save({"x": torch.zeros(100_000)}, path),
    "weights": lambda path: save_file({"x": torch.zeros(100_000)}, path),
}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_files_are_for_whom_the_umask_says(write, umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        for _ in "ab":  # new, and in the place of another
            with replacing(tmp_path / "x.dat") as temporary:
                write(temporary)
            assert (tmp_path / "x.dat").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_a_full_disk_does_not_take(write, no_file_beyond, tmp_path):
    (tmp_path / "x.dat").write_text("old", encoding="utf-8")
    words = r"x.dat could not be written \(.+\): what was there before is untouched"
    with no_file_beyond(50_000), pytest.raises(OSError, match=words), replacing(tmp_path / "x.dat") as temporary:
        write(temporary)
    assert os.listdir(tmp_path) == ["x.dat"] and (tmp_path / "x.dat").read_text(encoding="utf-8") == "old"


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "x").mkdir()
    for path in (tmp_path / "nowhere" / "y", tmp_path / "x"):
        with pytest.raises(OSError, match=f"{path.name} could not be written"), replacing(path) as temporary:
            temporary.write_text("new", encoding="utf-8")
    assert os.listdir(tmp_path) == ["x"]


def test_a_folder_is_locked_until_it_is_left(tmp_path):
    folder = tmp_path / "a" / "run"
    with locked(folder):
        (folder / "x").touch()
        with pytest.raises(ValueError, match="another process trains in .*run"), locked(folder):
            pass
        with locked(tmp_path):
            pass
    with locked(folder):
        pass
    assert os.listdir(folder) == ["x"]
    with pytest.raises(RuntimeError), locked(tmp_path / "b"):
        raise RuntimeError
    assert not (tmp_path / "b").exists()  # nothing came of it


def test_a_dead_process_holds_no_lock(tmp_path):
    hold = f"from pathlib import Path; from minidiff.run.folder import locked\nwith locked(Path({str(tmp_path)!r})): "
    command = [sys.executable, "-c", hold + "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(ValueError, match="another process"), locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked(tmp_path):
            pass


def test_a_folder_is_locked_on_windows(tmp_path, monkeypatch):
    """By msvcrt's locks, here of a stand-in with its signature."""
    fcntl = pytest.importorskip("fcntl")
    lock = types.SimpleNamespace(LK_NBLCK=2, locking=lambda handle, how, n: fcntl.flock(handle, fcntl.LOCK_EX | 4))
    monkeypatch.setitem(sys.modules, "msvcrt", lock)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with locked(tmp_path), pytest.raises(ValueError, match="another process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_file_system_without_locks_does_not_stop_training(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path):
        pass


def test_the_data_folder_is_one_that_can_be_written(tmp_path, monkeypatch):
    """The tests may run as a user who may write everything: a file where a folder should be stops anyone."""
    home, installed = tmp_path / "home", tmp_path / "site" / "minidiff" / "data" / "dataset.py"
    monkeypatch.delenv("MINIDIFF_DATA")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(dataset, "__file__", str(installed))
    (tmp_path / "site" / "datasets").mkdir(parents=True)  # another package of this name
    assert data_folder() == home / ".cache" / "minidiff"
    (tmp_path / "site" / "datasets" / "README.md").write_text("ours", encoding="utf-8")
    assert data_folder() == tmp_path / "site" / "datasets" / "cache"
    (tmp_path / "site" / "datasets" / "cache").rmdir()
    (tmp_path / "site" / "datasets" / "cache").write_text("in the way", encoding="utf-8")
    with pytest.warns(UserWarning, match="cache cannot be written: .*home.* is used, or what MINIDIFF_DATA names"):
        assert data_folder() == home / ".cache" / "minidiff"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="cannot be written: set MINIDIFF_DATA"):
        data_folder()
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "site" / "datasets" / "cache" / "below"))
    with pytest.raises(ValueError, match="below cannot be written: set MINIDIFF_DATA"):
        data_folder()


def test_lack_of_memory_is_not_blamed_on_a_file(tmp_path, monkeypatch):
    """What reads a file and says that it is damaged lets an error of memory pass."""

    def lacking(*_, **__):
        raise MemoryError("not enough memory")

    np.savez(tmp_path / "x.npz", images=np.zeros((20, 8, 8, 1), np.uint8))
    monkeypatch.setattr(np, "load", lacking)
    monkeypatch.setattr(torch, "zeros", lacking)
    for read in (
        lambda: data.load(f"npz:{tmp_path / 'x.npz'}"),
        lambda: cached(tmp_path / "latents.safetensors", lacking, dict, None),
        lambda: pick("cpu"),
    ):
        with pytest.raises(MemoryError):
            read()
