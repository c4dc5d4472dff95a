"""A run's folder: what is there, whether the data are still those of the run, and one process at a time."""

import os
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from .. import data
from . import checkpoint
from .config import Config, values


def open_run(out: Path, resume: bool, may_start: bool = True) -> bool:
    """Whether there is a run at `out` to go on with; False if it is free to start one in.

    Raises ValueError if neither: something else is there, a run without `resume`, or, unless `may_start`, nothing.
    A run killed before its first save counts as nothing: resuming it starts it.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} exists and is not a folder: choose another --out")
    if checkpoint.is_run(out):
        if not resume:
            raise ValueError(f"{out} is a run already: add --resume to go on with it, or choose another --out")
        return True
    if out.is_dir() and any(p for p in out.iterdir() if not p.name.startswith((".tmp-", ".lock"))):
        raise ValueError(f"{out} exists, is not empty and is not a run: choose another --out")
    if not may_start:
        raise ValueError(f"there is no run at {out} to go on with: give --data to start one")
    return False


def load_data(config: Config, part: str = "train") -> data.Data:
    """The data of a run. Raises ValueError if it is no longer what the run was trained on."""
    kind, _, path = config.data.partition(":")
    if kind in ("folder", "npz") and not Path(path).expanduser().exists():
        raise ValueError(f"{path}, the run's data, does not exist: if it has moved, say where to by --data {kind}:PATH")
    dataset = data.load(config.data, part, data.size_for(config.data, config.shape))
    then = (config.shape, config.classes)
    now = (tuple(dataset.shape), list(dataset.classes) if config.classes else [])
    if then != now:
        raise ValueError(f"{config.data} is not what the run was trained on: it had (shape, classes) {then}, now {now}")
    if part == "train" and config.fingerprint not in (None, dataset.fingerprint()):
        raise ValueError(
            f"{config.data} is not what the run was trained on, some pictures, labels or captions are others: bring "
            "those back, or begin a new run with --start-from; evaluate measures by others if --data names them"
        )
    return dataset


def check_same(out: Path, run: Config, config: Config) -> None:
    """Raise ValueError if a run was made with another config than one that is to go on with it."""
    was, now = values(run), values(config)
    for name in was:  # load_data has compared the data; the ranks share the parts
        if name not in ("data", "fingerprint", "size", "parts") and was[name] != now.get(name):
            raise ValueError(f"{out} was made with {name} {was[name]}, not {now.get(name)}: choose another folder")


def resumed_config(out: Path, moved_to: str | None, asked: dict) -> tuple[Config, data.Data]:
    """The config of the run at `out` that is to go on, and its data. Raises ValueError for what is asked for and is not
    as it was made; the data may have moved."""
    config = checkpoint.read_config(out)
    if moved_to is not None:
        if config.fingerprint is not None:  # by which load_data knows the data, wherever they are
            config = replace(config, data=moved_to)
        else:
            asked = {"data": moved_to} | asked
    was = values(config)
    for name, value in asked.items():
        if value != was.get(name):
            raise ValueError(f"{out} was made with {name} {was.get(name)}, not {value}: leave it out")
    dataset = load_data(config)
    return replace(config, fingerprint=dataset.fingerprint()), dataset


@contextmanager
def locked(folder: Path):
    """Hold a folder, made if need be, for this process alone, until it leaves or ends. Raises ValueError if another
    holds it."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows locks files, not folders
        import msvcrt

        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
        lock, how = msvcrt.locking, (msvcrt.LK_NBLCK, 1)
    else:
        handle = os.open(folder, os.O_RDONLY)
        lock, how = fcntl.flock, (fcntl.LOCK_EX | fcntl.LOCK_NB,)
    try:
        try:
            lock(handle, *how)
        except (BlockingIOError, PermissionError):
            raise ValueError(f"another process trains in {folder}: wait until it ends, or choose another") from None
        except OSError:
            pass  # a network's file system, which has no locks
        yield
    finally:
        os.close(handle)
        if made:
            with suppress(OSError):
                folder.rmdir()  # if nothing came of it
