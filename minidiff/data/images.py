"""Pictures in memory: any of yours, and the digits and photographs of scikit-learn and the sets of torchvision."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..device import out_of_memory, to_device
from ..text import vocabulary_of
from ..train import check_pictures
from .dataset import Data, data_folder

TORCHVISION = {"cifar10": "CIFAR10", "mnist": "MNIST", "fashion_mnist": "FashionMNIST"}  # its names there


@dataclass
class Images(Data):
    """Pictures (N, C, H, W), C 1 or 3, uint8 or floats in [-1, 1]; with labels (N,), with captions, or with neither.

    Raises ValueError, saying what it got, for any other shape, type or range.
    """

    name: str
    pictures: Tensor
    labels: Tensor | None
    classes: list[str]
    captions: list[str] | None = None

    def __post_init__(self):
        check_pictures(self.pictures, self.name)
        if self.captions is not None and len(self.captions) != len(self):
            raise ValueError(f"{self.name}: {len(self)} pictures, but {len(self.captions)} captions")
        if self.labels is not None:
            if self.labels.shape != (len(self),):
                raise ValueError(f"{self.name}: {len(self)} pictures, but labels {tuple(self.labels.shape)}")
            if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
                raise ValueError(f"{self.name}: labels must be 0 to {len(self.classes) - 1}, found others")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pictures.shape[1:])

    @property
    def captioned(self) -> bool:
        return self.captions is not None

    def __len__(self) -> int:
        return len(self.pictures)

    def at(self, index: Tensor) -> Tensor:
        """The pictures at `index`, float32 in [-1, 1]."""
        x = self.pictures[to_device(index, self.pictures.device)]
        return x.float() / 127.5 - 1 if x.dtype == torch.uint8 else x

    def cond(self, index: Tensor) -> Tensor | list[str] | None:
        """Their captions or labels, if there are any."""
        if self.captioned:
            return [self.captions[i] for i in index.tolist()]
        return None if self.labels is None else self.labels[to_device(index, self.labels.device)]

    def batch(self, n: int, generator=None) -> tuple[Tensor, Tensor | list[str] | None]:
        """n pictures drawn at random, with replacement."""
        index = torch.randint(len(self), (n,), generator=generator)
        return self.at(index), self.cond(index)

    def some(self, n: int, seed: int = 20_000) -> Tensor:
        """n pictures, or all if there are fewer, of all classes: for any seed the first of one random order."""
        return self.at(torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:n])

    def parts(self) -> Iterator[tuple[Tensor, Tensor | list[str] | None]]:
        """All pictures in their order, in batches of 500."""
        return ((self.at(index), self.cond(index)) for index in torch.arange(len(self)).split(500))

    def vocabulary(self) -> tuple[list[str], int]:
        return vocabulary_of(self.captions)

    def to(self, device: torch.device) -> "Images":
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, pictures=self.pictures.to(device), labels=labels)

    def keep(self, index: Tensor) -> "Images":
        """The subset at `index`."""
        labels = None if self.labels is None else self.labels[index]
        captions = self.captions and [self.captions[i] for i in index.tolist()]
        return replace(self, pictures=self.pictures[index], labels=labels, captions=captions)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.pictures.numpy().tobytes())
        digest.update(b"" if self.labels is None else self.labels.numpy().tobytes())
        digest.update(b"" if self.captions is None else repr(self.captions).encode())
        return digest.hexdigest()[:16]


def split(images: Images, part: str, held_out: float) -> Images:
    """The part 'train' or 'test' of pictures that have no split of their own: a fixed random share is held out, but no
    picture that would be missed as the only one of its class."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    cut = max(1, round(held_out * len(images)))
    kept, held = order[cut:], order[:cut]
    if images.labels is not None:
        seen = torch.isin(images.labels[held], images.labels[kept])
        kept, held = torch.cat([kept, held[~seen]]), held[seen]
    if not (len(kept) and len(held)):
        alone = ", each being the only one of its class" if len(images) > 1 else ""
        raise ValueError(f"{images.name}: {len(images)} picture(s) are too few to hold one out{alone}")
    return images.keep(held if part == "test" else kept)


def digits(name: str, part: str, size: None) -> Images:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 grey; 20% are held out."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    pictures = torch.from_numpy((raw.images * (255 / 16)).round().astype(np.uint8))[:, None]
    images = Images(name, pictures, torch.from_numpy(raw.target).long(), [str(i) for i in range(10)])
    return split(images, part, 0.2)


def photographs() -> Tensor:
    """The two photographs of scikit-learn, a Chinese temple and a flower, halved: uint8 (2, 3, 212, 320)."""
    from sklearn.datasets import load_sample_images

    x = torch.stack([torch.from_numpy(photo.copy()) for photo in load_sample_images().images])
    return torch.nn.functional.avg_pool2d(x.permute(0, 3, 1, 2)[:, :, :424].float(), 2).round().byte()


def photos(name: str, part: str, size: int | None) -> Images:
    """20,000 crops of the two photographs, size x size (by default 32), at random places, every other one mirrored; the
    class is the photograph.

    The 2,000 of 'test' are from the middle quarter of each, which no crop of 'train' touches. Raises ValueError for a
    size below 4 or beyond 64.
    """
    size = 32 if size is None else size
    if not 4 <= size <= 64:
        raise ValueError(f"photos are cropped to 4 to 64 pixels, not {size}: their held-out quarter is 80 wide")
    generator = torch.Generator().manual_seed(int(part == "test"))
    pieces, n = ([slice(120, 200)], 1000) if part == "test" else ([slice(0, 120), slice(200, None)], 5000)
    crops = []
    for x in photographs():
        for columns in pieces:
            windows = x[:, :, columns].unfold(1, size, 1).unfold(2, size, 1)  # (3, rows, columns, size, size)
            row, column = (torch.randint(windows.shape[i], (n,), generator=generator) for i in (1, 2))
            found = windows[:, row, column].transpose(0, 1).contiguous()
            found[::2] = found[::2].flip(3)
            crops.append(found)
    pictures = torch.cat(crops)
    return Images(name, pictures, torch.arange(2).repeat_interleave(len(pictures) // 2), ["temple", "flower"])


def from_torchvision(name: str, part: str, size: None) -> Images:
    """CIFAR-10, MNIST or Fashion-MNIST with the split that they come with; downloaded once."""
    import torchvision

    try:
        raw = getattr(torchvision.datasets, TORCHVISION[name])(data_folder(), train=part == "train", download=True)
    except Exception as error:  # no network, or files that are broken in one of many ways
        if out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{name} could not be downloaded or read ({reason}); without a network use digits, a toy, folder:PATH or "
            f"npz:PATH, or put torchvision's files into {data_folder()}"
        ) from None
    x = torch.as_tensor(raw.data)  # (N, H, W), or (N, H, W, C)
    pictures = x.reshape(*x.shape[:3], -1).permute(0, 3, 1, 2).contiguous()
    return Images(name, pictures, torch.as_tensor(raw.targets).long(), list(raw.classes))
