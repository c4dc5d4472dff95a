"""Files that are either whole or not there: written under a temporary name, flushed to the disk, then renamed."""

import os
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path):
    """A temporary path beside `path`, with the same suffix, to write to; on leaving it takes the place of `path`.

    After an error nothing has changed; after a kill at worst a file named .tmp-* lies about.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        yield temporary
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
