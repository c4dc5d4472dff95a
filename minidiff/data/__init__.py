"""Data sets by name. All have .shape, .classes, .captioned and .batch(n, generator) -> (x0, labels, or a list of
captions if it is captioned), and .mixture, if exact.
"""

import itertools
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..device import to_device
from ..oracles import GaussianMixture
from . import images, toys
from .folder import from_folder
from .images import Images
from .shapes.captions import Captioned, held_out


@dataclass
class Points:
    """A toy: points in the plane, drawn afresh for every batch. `mixture` is its exact law, where there is one."""

    name: str
    mixture: GaussianMixture | None = None
    draw: object = field(repr=False, default=None)  # (n, generator) -> (x, labels)

    shape = (2,)
    captioned = False

    def __post_init__(self):
        self.draw = self.draw or self.mixture.sample_labelled
        labels = self.draw(4096, torch.Generator().manual_seed(0))[1]
        self.classes = [str(i) for i in range(int(labels.max()) + 1)]

    def batch(self, n: int, generator=None) -> tuple[Tensor, Tensor]:
        """n fresh points (n, 2) and their labels (n,)."""
        return self.draw(n, generator)

    def fingerprint(self) -> None:
        """They are drawn afresh, and known by their name."""


Data = Points | Images | Captioned
NAMES = (*toys.EXACT, *toys.SAMPLED, "digits", "photos", "shapes", *images.TORCHVISION)


def load(spec: str, part: str = "train", size: int | None = None) -> Data:
    """The data set `spec`: a name in NAMES, folder:PATH, or npz:PATH; part 'train' or 'test'.

    "shapes" has scenes of up to three objects, "shapes:N" up to N, and the train part of "shapes:N:held_out" none
    with a combination of held_out.csv, its test part no other. `size` resizes the pictures of a folder, and
    is that of the crops of photos and of the shapes. Raises ValueError for an unknown name or data that cannot be
    read.
    """
    try:
        return _load(spec, part, size)
    except ValueError as error:
        raise ValueError(" ".join(str(error).splitlines())) from error  # names of files may have line breaks


def _load(spec: str, part: str, size: int | None) -> Data:
    kind, _, path = spec.partition(":")
    if part not in ("train", "test"):
        raise ValueError(f"a data set has the parts train and test, not {part!r}")
    if size is not None and not sizable(spec):
        raise ValueError(f"only a folder's pictures are resized: leave out the size for {spec}")
    if kind == "shapes":
        return _shapes(spec, part, size)
    if kind == "folder":
        return from_folder(path, part, size)
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


def sizable(spec: str) -> bool:
    """Whether the pictures of a data set are made at the size that is asked for."""
    return spec.partition(":")[0] in ("folder", "shapes") or spec == "photos"


def _shapes(spec, part, size) -> Captioned:
    _, most, choice, *rest = [*spec.split(":"), "", ""][: max(3, spec.count(":") + 1)]
    if rest or (most and most not in ("1", "2", "3")) or choice not in ("", "held_out"):
        raise ValueError(
            f"unknown data {spec!r}: shapes, shapes:N with N objects at most, 1 to 3, or shapes:N:held_out"
        )
    allowed = None
    if choice:
        allowed = held_out() if part == "test" else ~held_out()
    return Captioned(spec, size or 16, int(most or 3), allowed)


def batches(data: Data, size: int, generator=None, tokenizer=None, flip: bool = False):
    """Batches (x0, cond) of `size` without end, cond being labels, the tokens of captions if there is a tokenizer to
    make them, or None. Of several generators each makes a batch in turn. `flip` mirrors half the pictures."""
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
    """The standard deviation of the data over all its dimensions: what a Denoiser takes as sigma_data."""
    x, _ = data.batch(4096 if isinstance(data, Points) else 1024, torch.Generator().manual_seed(0))
    if not (found := x.std().item()) > 0:
        raise ValueError(f"{data.name}: all its values are the same, so there is nothing to learn")
    return found
