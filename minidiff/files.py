"""Files that are either whole or not there: written under a temporary name, flushed to the disk, then renamed."""

import os
from contextlib import contextmanager
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
    """Where downloads and caches go: $MINIDIFF_DATA, or datasets/cache in the repository, or ~/.cache/minidiff."""
    repository = Path(__file__).parents[1] / "datasets"
    default = repository / "cache" if repository.is_dir() else Path.home() / ".cache" / "minidiff"
    folder = Path(os.environ.get("MINIDIFF_DATA", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
