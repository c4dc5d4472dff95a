"""From a trained model to samples: labels by name, any sampler, in batches, written as a picture or as arrays."""

import itertools
import math
import os
import unicodedata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .. import plot
from ..denoise import check_labels, condition
from ..device import autocast, replacing, to_device
from ..guidance import Guided
from ..nets.text import ClipEncoder, TextEncoder
from ..samplers import SAMPLERS, last, start
from ..stages.autoregressive import Causal


def parse_label(label: str, classes: list[str]) -> int:
    """The index of a label given by name, or by number if no name is one; 'none' is the null condition."""
    if not classes:
        raise ValueError(f"label {label!r} was given, but this model was trained without labels")
    names = [unicodedata.normalize("NFC", name) for name in classes]
    if (name := unicodedata.normalize("NFC", label)) in names:
        return names.index(name)
    if label == "none":
        return len(classes)
    if label.isdecimal() and int(label) < len(classes) and not any(c.isdigit() for c in classes):
        return int(label)
    raise ValueError(f"label {label!r} is out of range: choose from {', '.join(classes)}, or none")


def whole(name: str, value, least: int = 1, bits: int = 63) -> int:
    """value, of whatever type, as an int. Raises ValueError unless it is whole and from `least` to 2^bits - 1."""
    try:
        if (number := int(value)) == value and least <= number < 2**bits:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be at least {least}, a whole number below 2^{bits}, got {value!r}")


def told(model: nn.Module, cond, n: int | None = None) -> Tensor:
    """Conditions as the model takes them, int64: labels (n,) or tokens (n, L); without n that for all, () or (L,).

    Labels may come as numbers of any type, as (n, 1), or as one for all. Raises ValueError for what the model was not
    trained with: labels or captions at all, labels out of range, the null label of a model that has none.
    """
    reader = next((m for m in model.modules() if isinstance(m, TextEncoder | ClipEncoder)), None)
    tables = (getattr(m, "embed" if m is reader else "label", None) for m in model.modules())
    table = next((t for t in tables if isinstance(t, nn.Embedding)), None)
    if table is None and reader is None and getattr(model, "null", None) is None:
        raise ValueError("a condition was given to a model that was trained without labels and captions: leave it out")
    found = condition(cond, torch.empty(n or 1), tokens=reader is not None)
    if reader is not None and found.shape[1] != reader.length:
        raise ValueError(f"this model reads {reader.length} tokens a caption, and got {found.shape[1]}")
    if table is not None:
        no_null = ", and it has no null condition" if getattr(model, "null", None) is None else ""
        check_labels(found, table.num_embeddings - 1, no_null)
    return found if n is not None else found[0]


def check_sampling(sampler: str, steps: int, scale: float = 1.0) -> int:
    """The steps. Raises ValueError, before minutes of training a judge or of drawing, for what cannot be sampled by."""
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: choose from {', '.join(SAMPLERS)}")
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale must be a number of at least 0 (1 is no guidance), got {scale}")
    return whole("steps", steps)


def run_sampler(model, x: Tensor, sampler: str, steps: int, cond=None, generator=None):
    """The iterator of the sampler named `sampler` on the schedule's own grid of `steps` steps.

    langevin takes `steps` moves at each of 12 levels of the grid.
    """
    steps = check_sampling(sampler, steps)
    if sampler == "langevin":
        return SAMPLERS[sampler](model, x, model.schedule.grid(12), cond, steps=steps, generator=generator)
    return SAMPLERS[sampler](model, x, model.schedule.grid(steps), cond)


def generate(
    model, shape, n, *, cond=None, scale=1.0, interval=(0.0, 1.0), negative=None, sampler="dpmpp_2m", steps=20, seed=0,
    batch=256, temperature: float | None = None, top_k: int | None = None,
) -> Tensor:  # fmt: skip
    """n samples (n, *shape) on the CPU; cond (n,) or (n, L) or None (see `told`); negative, a condition for all, and
    interval, the times at which guidance is on, are Guided's.

    A Model is run from noise to data, and what it has a `decode` for is decoded; a GAN or an autoregressive prior draws
    by its own `sample`, which knows no scale, sampler or steps; temperature and top_k are for the autoregressive. The
    same seed and batch give the same samples.
    """
    n, batch, seed = whole("n", n), whole("batch", batch), whole("seed", seed, 0, 64)
    steps = check_sampling(sampler, steps, scale)
    device, generator = next(model.parameters()).device, torch.Generator().manual_seed(seed)
    options = {k: v for k, v in (("temperature", temperature), ("top_k", top_k)) if v is not None}
    noisy = hasattr(model, "schedule")
    if not noisy and not hasattr(model, "sample"):
        raise ValueError("an autoencoder draws nothing by itself: train a second stage, with --autoencoder")
    if options and (noisy or not isinstance(getattr(model, "prior", None), Causal)):
        raise ValueError("temperature and top_k are for an autoregressive model, and this is none")
    if not noisy and (scale != 1 or negative is not None):
        raise ValueError("guidance is for diffusion models, and this is none: leave the scale at 1, and negative out")
    if negative is not None and cond is None:
        raise ValueError("a negative condition is the other end of a condition: give that as well")
    negative = None if negative is None else told(model, negative)
    cond = None if cond is None else told(model, cond, n)
    if noisy:
        x = start(model, (n, *getattr(model, "latent_shape", shape)), generator)
        guided = Guided(model, scale, interval=interval, negative=negative) if cond is not None else model
    parts = []
    for i in range(0, n, batch):
        given = None if cond is None else cond[i : i + batch].to(device)
        if not noisy:
            parts.append(model.sample(min(batch, n - i), given, generator, **options).cpu())
            continue
        part = to_device(x[i : i + batch], device)
        with autocast(device, part):
            part = last(run_sampler(guided, part, sampler, steps, given, generator))
            parts.append((model.decode(part) if hasattr(model, "decode") else part).cpu())
    return torch.cat(parts)


def check_output(path: Path) -> None:
    """Raise ValueError, before minutes of sampling, if `write` could not write to `path`."""
    if path.suffix.lower() not in (".png", ".npz"):
        raise ValueError(f"{path}: the output must end in .png or .npz")
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"{path}: {'is a folder' if path.is_dir() else f'the folder {path.parent} does not exist'}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: nothing may be written into the folder {path.parent}; choose another --out")


def free(path: Path) -> Path:
    """`path`, or with a number behind its name the first that is not there yet: x.png, x-2.png, x-3.png."""
    numbered = (path.with_stem(f"{path.stem}-{i}") for i in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if not p.exists())


def write(path: Path, x: Tensor, labels: Tensor | None, columns: int) -> None:
    """Write samples to .png (a grid, or a scatter plot) or .npz: `images` uint8 (N, H, W, C) or `samples` (N, 2).

    A grid has the pictures' own pixels, each drawn as a square of whole pixels (see plot.sheet).
    """
    check_output(path)
    if path.suffix.lower() == ".npz":
        arrays = {"images": plot.to_uint8(x)} if x.ndim == 4 else {"samples": x.numpy(force=True)}
        if labels is not None:
            arrays["labels"] = labels.numpy(force=True)
        with replacing(path) as temporary, open(temporary, "wb") as f:
            np.savez(f, **arrays)
    elif x.ndim == 4:
        with replacing(path) as temporary:
            Image.fromarray(plot.sheet(x, columns).squeeze()).save(temporary)
    else:
        plot.save(plot.points(x, labels), path)
