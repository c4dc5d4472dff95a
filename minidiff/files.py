"""Files that are either whole or not there: written under a temporary name, flushed to the disk, then renamed."""

import errno
import os
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path):
    """A temporary path beside `path`, with the same suffix, to write to; on leaving it takes the place of `path`.

    After an error nothing has changed; after a kill at worst a file named .tmp-* lies about. Raises OSError, naming
    `path`, if it cannot be written, say on a full disk.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the umask leaves; of safetensors' files all but the owner's is taken
        yield temporary
        temporary.chmod(mode)
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if not _is_of_the_disk(error):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise OSError(f"{path} could not be written ({reason}): what was there before is untouched") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _is_of_the_disk(error: Exception) -> bool:
    """Whether writing failed: torch and safetensors raise no OSError then."""
    if isinstance(error, OSError):
        return not isinstance(error, ConnectionError)  # that one tells of another rank's end
    return type(error).__name__ == "SafetensorError" or "inline_container" in str(error)


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


def data_folder() -> Path:
    """Where downloads and caches go: $MINIDIFF_DATA, or datasets/cache in the repository, or ~/.cache/minidiff.

    Warns where the repository may not be written, and takes the last. Raises ValueError if that, or what was set,
    cannot be written either.
    """
    given, repository = os.environ.get("MINIDIFF_DATA"), Path(__file__).parents[1] / "datasets"
    ours = (repository / "README.md").is_file()  # installed, another package may have this name
    folders = [Path(given)] if given else [repository / "cache"] * ours + [Path("~/.cache/minidiff")]
    for folder in folders:
        with suppress(OSError, RuntimeError):  # it cannot be made, or there is no home
            path = folder.expanduser()
            path.mkdir(parents=True, exist_ok=True)
            if os.access(path, os.W_OK | os.X_OK):
                if folder != folders[0]:
                    warnings.warn(
                        f"{folders[0]} cannot be written: {path} is used, or what MINIDIFF_DATA names", stacklevel=2
                    )
                return path
    raise ValueError(f"{folder} cannot be written: set MINIDIFF_DATA to a folder where downloads and caches may go")
