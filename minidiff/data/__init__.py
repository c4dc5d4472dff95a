"""Data sets by name, each a subclass of dataset.Data. To add one, write a file with a function or
class (spec, part, size) -> Data, and enter it in SOURCES. May use the core modules; measure, stages and run use it.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch

from ..device import to_device
from . import arrays, folder, images, toys
from .dataset import Data
from .images import Images as Images
from .shapes.dataset import Captioned
from .toys import Points


class Source(NamedTuple):
    """How data of one name are loaded, what may follow the name and a colon, and whether a size can be asked for."""

    load: Callable[[str, str, int | None], Data]  # (spec, part, size)
    option: str = ""
    sizable: bool = False


SOURCES = {
    **dict.fromkeys([*toys.EXACT, *toys.SAMPLED], Source(Points)),
    "digits": Source(images.digits),
    "photos": Source(images.photos, sizable=True),
    "shapes": Source(Captioned, "N", sizable=True),
    **dict.fromkeys(images.TORCHVISION, Source(images.from_torchvision)),
    "folder": Source(folder.load, "PATH", sizable=True),
    "npz": Source(arrays.load, "PATH"),
}
NAMES = tuple(f"{name}:PATH" if source.option == "PATH" else name for name, source in SOURCES.items())


def load(spec: str, part: str = "train", size: int | None = None) -> Data:
    """The data set `spec`, one of NAMES; part 'train' or 'test'.

    "shapes:N" has scenes of up to N objects, by default 3; "shapes:N:held_out" has no combination of held_out.csv in
    its train part, and no other in its test part. `size` is the side of the pictures of a folder, of photos and of
    shapes. Raises ValueError, in one line, for an unknown name or data that cannot be read.
    """
    name, colon, option = spec.partition(":")
    source = SOURCES.get(name)
    if source is None or (colon and not source.option):
        raise ValueError(f"unknown data {spec[:200]!r}: choose from {', '.join(NAMES)}")
    if source.option == "PATH" and not option:
        raise ValueError(f"{name} of which path? Give {name}:PATH")
    if part not in ("train", "test"):
        raise ValueError(f"a data set has the parts train and test, not {part!r}")
    if size is not None and not source.sizable:
        raise ValueError(f"only a folder, photos and shapes come in several sizes: leave out the size for {name}")
    try:
        return source.load(spec, part, size)
    except OSError as error:  # a file that may not be read, or is gone since it was listed
        said = f"{error.filename or spec}: {error.strerror or error}"
    except ValueError as error:
        said = str(error)
    raise ValueError(" ".join(said.splitlines()))  # names of files may have line breaks


def size_for(spec: str, shape: tuple[int, ...]) -> int | None:
    """The size to ask for to have pictures of `shape`; None where none can be asked for."""
    source = SOURCES.get(spec.partition(":")[0])
    return shape[-1] if source is not None and source.sizable else None


def batches(data: Data, size: int, generator=None, tokenizer=None, flip: bool = False):
    """Batches (x0, cond) of `size` without end: cond is labels, or the tokens of captions, or None.

    Without a tokenizer captions are left out. Of a list of generators each makes a batch in turn. `flip` mirrors half
    of the pictures.
    """
    if size < 1:
        raise ValueError(f"a batch needs at least 1 sample, got {size}")
    for one in itertools.cycle(generator if isinstance(generator, list) else [generator]):
        x0, cond = data.batch(size, one)
        if flip:
            mirrored = to_device(torch.rand(size, generator=one) < 0.5, x0.device)
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(3), x0)
        if data.captioned:
            cond = None if tokenizer is None else tokenizer(cond, truncate=True)
        yield x0, cond


def std(data: Data) -> float:
    """The standard deviation of the data over all their dimensions: a Denoiser's sigma_data."""
    x, _ = data.batch(4096 if len(data.shape) == 1 else 1024, torch.Generator().manual_seed(0))
    if not (found := x.std().item()) > 0:
        raise ValueError(f"{data.name}: all its values are the same, so there is nothing to learn")
    return found
