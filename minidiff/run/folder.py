"""A run's folder is held by one process at a time."""

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path


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
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise ValueError(f"another process trains in {folder}: wait until it ends, or choose another") from None
            # else a network's file system, which has no locks
        yield
    finally:
        os.close(handle)
        if made:
            with suppress(OSError):
                folder.rmdir()  # if nothing came of it
