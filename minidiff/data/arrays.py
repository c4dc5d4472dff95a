"""Pictures of yours in an .npz, the file that numpy.savez writes."""

import os

import numpy as np
import torch
from torch import Tensor

from ..device import out_of_memory
from .images import Images, split


def load(spec: str, part: str, size: None) -> Images:
    """npz:PATH, a file with `images`, (N, H, H, C) or (N, H, H), uint8 or floats in [-1, 1], and perhaps `labels` (N,),
    whole numbers or names. The classes are the labels that occur; 10% are held out."""
    path = spec.partition(":")[2]
    found = _read(path)
    images = found["images"]
    if images.ndim == 3 and images.shape[2] not in (1, 3):  # else it may be one picture
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(f"{path}: images must be (N, H, W, C) with C 1 or 3, got {images.shape}")
    if images.size and images.shape[1] != images.shape[2]:
        raise ValueError(f"{path}: images must be square, got {images.shape[1]} x {images.shape[2]}: crop them")
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 is beyond 1 as well, and refused
            images = images.astype(np.float32)
    elif images.dtype != np.uint8:
        raise ValueError(f"{path}: images must be uint8 or floats in [-1, 1], got {images.dtype}")
    labels, classes = _numbered(path, found["labels"]) if "labels" in found else (None, [])
    loaded = Images(path, torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), labels, classes)
    low, high = images.min(), images.max()
    if low >= 0 and 0 < high <= 1:
        span, fix = ("0 to 255", "x * 255") if images.dtype == np.uint8 else ("from -1 to 1", "x * 2 - 1")
        raise ValueError(f"{path}: {images.dtype} images must be {span}, got {low:.3g} to {high:.3g}: {fix}?")
    return split(loaded, part, 0.1)


def _read(path: str) -> dict[str, np.ndarray]:
    """The arrays images and labels of a file, if it has them; what else is in it may be anything."""
    try:
        with open(os.path.expanduser(path), "rb") as raw, np.load(raw, allow_pickle=False) as f:
            names, found = f.files, {name: f[name] for name in ("images", "labels") if name in f.files}
    except Exception as error:  # numpy raises OSError, ValueError, EOFError or BadZipFile for a file it cannot read
        if out_of_memory(error):
            raise
        why = " ".join(str(error).split())[:200]  # some repeat the file
        raise ValueError(f"{path}: not a readable .npz ({type(error).__name__}: {why})") from None
    if "images" not in found:
        raise ValueError(f"{path}: needs an array named images, has {', '.join(names) or 'none'}")
    return found


def _numbered(path: str, labels: np.ndarray) -> tuple[Tensor, list[str]]:
    """Labels (N,) or (N, 1) as 0, 1, ..., and the name of each of those numbers."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "bf":
        with np.errstate(all="ignore"):  # what is no whole number is another after the cast
            whole = labels.astype(np.int64)
        labels = whole if (whole == labels).all() else labels
    if labels.dtype.kind not in "iuU" or labels.ndim != 1:
        fractions = " with fractions" * (labels.dtype.kind == "f")
        raise ValueError(
            f"{path}: labels must be (N,), whole numbers or names, got {labels.dtype} {labels.shape}{fractions}"
        )
    names, numbers = np.unique(labels, return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), [str(name) for name in names]
