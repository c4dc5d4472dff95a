"""Pictures in memory: the digits that scikit-learn ships, crops of its photographs, torchvision's sets, an .npz of
yours.
"""

import hashlib
import os
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..device import data_folder, out_of_memory, to_device
from ..text import vocabulary_of
from ..train import check_pictures

TORCHVISION = {"cifar10": ("CIFAR10", 32), "mnist": ("MNIST", 28), "fashion_mnist": ("FashionMNIST", 28)}


@dataclass
class Images:
    """A data set of pictures (N, C, H, W), C 1 or 3: uint8, or floats in [-1, 1]; labels (N,) or None.

    Raises ValueError, saying what it got, for any other shape, type or range.
    """

    name: str
    pictures: Tensor
    labels: Tensor | None
    classes: list[str]
    captions: list[str] | None = None  # one a picture

    mixture = None  # no exact density: see Points

    def __post_init__(self):
        check_pictures(self.pictures, self.name)
        if self.captions is not None and len(self.captions) != len(self.pictures):
            raise ValueError(f"{self.name}: {len(self.pictures)} pictures, but {len(self.captions)} captions")
        if self.labels is not None:
            if self.labels.shape != (len(self.pictures),):
                raise ValueError(f"{self.name}: {len(self.pictures)} pictures, but labels {tuple(self.labels.shape)}")
            if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
                raise ValueError(f"{self.name}: labels must be 0 to {len(self.classes) - 1}, found others")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pictures.shape[1:])

    @property
    def captioned(self) -> bool:
        return self.captions is not None

    def vocabulary(self) -> tuple[list[str], int]:
        """The words of the captions, and how many the longest has."""
        return vocabulary_of(self.captions)

    def __len__(self) -> int:
        return len(self.pictures)

    def at(self, index: Tensor) -> Tensor:
        """The pictures at `index` as floats in [-1, 1]."""
        x = self.pictures[to_device(index, self.pictures.device)]
        return x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x

    def batch(self, n: int, generator=None) -> tuple[Tensor, Tensor | list[str] | None]:
        """n pictures drawn at random (n, C, H, W) in [-1, 1], and their captions, labels (n,) or None."""
        index = torch.randint(len(self), (n,), generator=generator)
        if self.captioned:
            return self.at(index), [self.captions[i] for i in index.tolist()]
        return self.at(index), None if self.labels is None else self.labels[to_device(index, self.labels.device)]

    def to(self, device: torch.device) -> "Images":
        """The same with its pictures and labels on the device: a GPU then waits for no batch."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, pictures=self.pictures.to(device), labels=labels)

    def keep(self, index: Tensor) -> "Images":
        """The subset at `index`."""
        labels = None if self.labels is None else self.labels[index]
        captions = None if self.captions is None else [self.captions[i] for i in index.tolist()]
        return Images(self.name, self.pictures[index], labels, self.classes, captions)

    def fingerprint(self) -> str:
        """A hash of pictures, labels and captions, to tell whether something computed from them is still theirs."""
        digest = hashlib.sha256(self.pictures.numpy().tobytes())
        digest.update(b"" if self.labels is None else self.labels.numpy().tobytes())
        digest.update(b"" if self.captions is None else repr(self.captions).encode())
        return digest.hexdigest()[:16]


def split(images: Images, part: str, held_out: float) -> Images:
    """The 'train' or 'test' part of a set that has no split of its own, by a fixed permutation; what would be the only
    pictures of a class is not held out."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    cut = max(1, round(held_out * len(images)))
    kept, held = order[cut:], order[:cut]
    if images.labels is not None:  # a class that is only held out would never be seen
        seen = torch.isin(images.labels[held], images.labels[kept])
        kept, held = torch.cat([kept, held[~seen]]), held[seen]
    if not (len(kept) and len(held)):
        alone = ", each being the only one of its class" if len(images) > 1 else ""
        raise ValueError(f"{images.name}: {len(images)} picture(s) are too few to hold one out{alone}")
    return images.keep(held if part == "test" else kept)


def digits(part: str = "train") -> Images:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 grey; 20% are held out as 'test'."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    pictures = torch.from_numpy((raw.images * (255 / 16)).round().astype(np.uint8))[:, None]
    images = Images("digits", pictures, torch.from_numpy(raw.target).long(), [str(i) for i in range(10)])
    return split(images, part, 0.2)


def photographs() -> Tensor:
    """The two photographs that scikit-learn ships, a Chinese temple and a flower, halved: (2, 3, 212, 320), uint8."""
    from sklearn.datasets import load_sample_images

    x = torch.stack([torch.from_numpy(photo.copy()) for photo in load_sample_images().images])
    return torch.nn.functional.avg_pool2d(x.permute(0, 3, 1, 2)[:, :, :424].float(), 2).round().byte()


def photos(part: str = "train", size: int | None = None) -> Images:
    """20,000 colour crops of the two photographs, size x size (by default 32), at random places, half of them mirrored.

    The 2,000 of 'test' are from the middle quarter of each, which 'train' never sees. Raises ValueError for a size
    beyond 64.
    """
    size = size or 32
    if not 4 <= size <= 64:
        raise ValueError(f"photos are cropped to 4 to 64 pixels, not {size}: their held-out quarter is 80 wide")
    generator = torch.Generator().manual_seed(int(part == "test"))
    crops = []
    for x in photographs():
        pieces = [x[:, :, 120:200]] if part == "test" else [x[:, :, :120], x[:, :, 200:]]
        for piece in pieces:
            windows = piece.unfold(1, size, 1).unfold(2, size, 1)  # (3, rows, columns, size, size)
            n = 1000 if part == "test" else 5000
            row, column = (torch.randint(windows.shape[i], (n,), generator=generator) for i in (1, 2))
            found = windows[:, row, column].transpose(0, 1).contiguous()
            found[::2] = found[::2].flip(3)
            crops.append(found)
    pictures = torch.cat(crops)
    return Images("photos", pictures, torch.arange(2).repeat_interleave(len(pictures) // 2), ["temple", "flower"])


def from_torchvision(name: str, part: str = "train") -> Images:
    """CIFAR-10, MNIST or Fashion-MNIST with the split they come with; downloaded once."""
    import torchvision

    cls, size = TORCHVISION[name]
    try:
        raw = getattr(torchvision.datasets, cls)(data_folder(), train=part == "train", download=True)
    except Exception as error:  # no network, or files that are broken in one of many ways
        if out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{name} could not be downloaded or read ({reason}); without a network use digits, a toy, folder:PATH or "
            f"npz:PATH, or put torchvision's files into {data_folder()}"
        ) from None
    pictures = torch.as_tensor(raw.data).reshape(len(raw.data), size, size, -1).permute(0, 3, 1, 2).contiguous()
    return Images(name, pictures, torch.as_tensor(raw.targets).long(), list(raw.classes))


def from_npz(path: str, part: str = "train") -> Images:
    """An .npz with `images`, (N, H, W, C) or (N, H, W), uint8 or floats in [-1, 1], and perhaps `labels` (N,), whole
    numbers or names; the classes are those that occur."""
    if not path:
        raise ValueError("which file? Give npz:PATH, an .npz with an array named images")
    try:
        with open(os.path.expanduser(path), "rb") as raw, np.load(raw, allow_pickle=False) as f:
            there, images, labels = f.files, f["images"] if "images" in f.files else None, None
            if "labels" in there:
                labels = f["labels"]
    except Exception as error:  # numpy raises OSError, ValueError, EOFError or BadZipFile for a file it cannot read
        if out_of_memory(error):
            raise
        why = " ".join(str(error).split())[:200]  # some repeat the file
        raise ValueError(f"{path}: not a readable .npz ({type(error).__name__}: {why})") from None
    if images is None:
        raise ValueError(f"{path}: needs an array named images, has {', '.join(there) or 'none'}")
    if images.ndim == 3 and images.shape[2] not in (1, 3):  # else it may be one picture
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"{path}: images must be (N, H, W, C) with C 1 or 3, got {images.shape}")
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 it is refused as what is beyond 1
            images = images.astype(np.float32)
    elif images.dtype != np.uint8:
        raise ValueError(f"{path}: images must be uint8 or floats in [-1, 1], got {images.dtype}")
    numbers, classes = (None, []) if labels is None else _numbered(path, labels)
    pictures = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    found = Images(path, pictures, numbers, classes)
    if pictures.min() >= 0 and 0 < pictures.max() <= 1:
        fix = "uint8 images must be 0 to 255, got 0 to 1: * 255?"
        if pictures.is_floating_point():
            fix = f"float images must be from -1 to 1, got {pictures.min():.3g} to {pictures.max():.3g}: x * 2 - 1?"
        raise ValueError(f"{path}: {fix}")
    return split(found, part, 0.1)


def _numbered(path: str, labels: np.ndarray) -> tuple[Tensor, list[str]]:
    """Labels as 0, 1, ... and what each of those was."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "bf":
        with np.errstate(all="ignore"):  # what is no whole number is another after the cast
            whole = labels.astype(np.int64)
        labels = whole if (whole == labels).all() else labels
    if labels.dtype.kind not in "iuU" or labels.ndim != 1:
        what = f"{labels.dtype} {labels.shape}" + " with fractions" * (labels.dtype.kind == "f")
        raise ValueError(f"{path}: labels must be (N,), whole numbers or names, got {what}")
    names, numbers = np.unique(labels, return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), [str(name) for name in names]
