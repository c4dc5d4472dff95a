"""What every data set offers: the interface that training, measuring and drawing know."""

import os
import warnings
from contextlib import suppress
from pathlib import Path

import torch

from ..oracles import GaussianMixture


class Data:
    """A data set: has `name`, the `shape` of a sample, `classes` (names of the labels, or none), and

    batch(n, generator) -> (x0, cond): x0 (n, *shape) in [-1, 1]; cond labels (n,), n captions, or None.

    Pictures also have, for what needs fixed ones: some(n, seed) -> n of them, mixed; and parts() -> batches of all of
    them in order. Captioned ones have vocabulary() -> their words, and the number of words of the longest caption.
    """

    captioned: bool = False  # whether batch gives captions
    mixture: GaussianMixture | None = None  # the exact density, if known
    objects: tuple[str, ...] = ()  # that can be in a picture, if known: then kinds() and asked() tell which are

    def to(self, device: torch.device) -> "Data":
        """The same on the device, where a GPU waits for no batch; what is drawn for each batch is drawn on the CPU."""
        return self

    def fingerprint(self) -> str | None:
        """A hash of all that is in it: a file computed from it is valid while this is the same. None: its name says
        all."""
        return None


def data_folder() -> Path:
    """Where downloads and caches go: $MINIDIFF_DATA, or datasets/cache in the repository, or ~/.cache/minidiff.

    Warns where the repository may not be written, and takes the last. Raises ValueError if that, or what was set,
    cannot be written either.
    """
    given, repository = os.environ.get("MINIDIFF_DATA"), Path(__file__).parents[2] / "datasets"
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
