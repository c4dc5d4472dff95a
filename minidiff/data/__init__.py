"""Data sets by name. All have .shape, .classes, .batch(n, generator) -> (x0, labels) and, if exact, .mixture."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..oracles import GaussianMixture
from . import images, toys
from .images import Images


@dataclass
class Points:
    """A toy: points in the plane, drawn afresh for every batch. `mixture` is its exact law, where there is one."""

    name: str
    mixture: GaussianMixture | None = None
    draw: object = field(repr=False, default=None)  # (n, generator) -> (x, labels)

    shape = (2,)

    def __post_init__(self):
        self.draw = self.draw or self.mixture.sample_labelled
        labels = self.draw(4096, torch.Generator().manual_seed(0))[1]
        self.classes = [str(i) for i in range(int(labels.max()) + 1)]

    def batch(self, n: int, generator=None) -> tuple[Tensor, Tensor]:
        """n fresh points (n, 2) and their labels (n,)."""
        return self.draw(n, generator)


NAMES = (*toys.EXACT, *toys.SAMPLED, "digits", "photos", *images.TORCHVISION)


def load(spec: str, part: str = "train", size: int | None = None) -> Points | Images:
    """The data set `spec`: a name in NAMES, folder:PATH, or npz:PATH; part 'train' or 'test'.

    `size` resizes the pictures of a folder, and is that of the crops of photos. Raises ValueError for an unknown
    name or data that cannot be read.
    """
    kind, _, path = spec.partition(":")
    if size is not None and kind != "folder" and spec != "photos":
        raise ValueError(f"only a folder's pictures are resized: leave out the size for {spec}")
    if kind == "folder":
        return images.from_folder(path, part, size)
    if kind == "npz":
        return images.from_npz(path, part)
    if spec in toys.EXACT:
        return Points(spec, toys.EXACT[spec]())
    if spec in toys.SAMPLED:
        return Points(spec, draw=toys.SAMPLED[spec])
    if spec == "digits":
        return images.digits(part)
    if spec == "photos":
        return images.photos(part, size)
    if spec in images.TORCHVISION:
        return images.from_torchvision(spec, part)
    raise ValueError(f"unknown data {spec!r}: choose from {', '.join(NAMES)}, folder:PATH or npz:PATH")


def batches(data: Points | Images, size: int, generator=None):
    """Batches (x0, labels) of `size` without end."""
    if size < 1:
        raise ValueError(f"a batch needs at least 1 sample, got {size}")
    while True:
        yield data.batch(size, generator)


def std(data: Points | Images) -> float:
    """The standard deviation of the data over all its dimensions: what a Denoiser takes as sigma_data."""
    x, _ = data.batch(1024 if isinstance(data, Images) else 4096, torch.Generator().manual_seed(0))
    if not (found := x.std().item()) > 0:
        raise ValueError(f"{data.name}: all its values are the same, so there is nothing to learn")
    return found
