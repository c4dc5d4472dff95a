"""From a trained model to samples: labels by name, any sampler, in batches, written as a picture or as arrays."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import plot
from .device import autocast, to_device
from .files import replacing
from .guidance import Guided
from .samplers import SAMPLERS, last, start
from .stages.autoregressive import Causal


def parse_label(label: str, classes: list[str]) -> int:
    """The index of a label given by name, or by number if no name is one; 'none' is the null condition."""
    if not classes:
        raise ValueError(f"label {label!r} was given, but this model was trained without labels")
    if label in classes:
        return classes.index(label)
    if label == "none":
        return len(classes)
    if label.isdigit() and int(label) < len(classes) and not any(c.isdigit() for c in classes):
        return int(label)
    raise ValueError(f"label {label!r} is out of range: choose from {', '.join(classes)}, or none")


def run_sampler(model, x: Tensor, sampler: str, steps: int, cond=None, generator=None):
    """The iterator of the sampler named `sampler` on the schedule's own grid of `steps` steps.

    langevin takes `steps` moves at each of 12 levels of the grid.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}: choose from {', '.join(SAMPLERS)}")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if sampler == "langevin":
        return SAMPLERS[sampler](model, x, model.schedule.grid(12), cond, steps=steps, generator=generator)
    return SAMPLERS[sampler](model, x, model.schedule.grid(steps), cond)


def generate(
    model, shape, n, *, cond=None, scale=1.0, interval=(0.0, 1.0), negative=None, sampler="dpmpp_2m", steps=20, seed=0,
    batch=256, temperature: float | None = None, top_k: int | None = None,
) -> Tensor:  # fmt: skip
    """n samples (n, *shape) on the CPU; cond (n,) or (n, L) or None; negative, a condition for all, and interval, the
    times at which guidance is on, are Guided's.

    A Model is run from noise to data, and what it has a `decode` for is decoded; a GAN or an autoregressive prior draws
    by its own `sample`, which knows no scale, sampler or steps; temperature and top_k are for the autoregressive. The
    same seed and batch give the same samples.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale must be a number of at least 0 (1 is no guidance), got {scale}")
    device, generator = next(model.parameters()).device, torch.Generator().manual_seed(seed)
    options = {k: v for k, v in (("temperature", temperature), ("top_k", top_k)) if v is not None}
    noisy = hasattr(model, "schedule")
    if not noisy and not hasattr(model, "sample"):
        raise ValueError("an autoencoder draws nothing by itself: train a second stage, with --autoencoder")
    if options and (noisy or not isinstance(getattr(model, "prior", None), Causal)):
        raise ValueError("temperature and top_k are for an autoregressive model, and this is none")
    if not noisy and scale != 1:
        raise ValueError("guidance is for diffusion models, and this is none: leave the scale at 1")
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


def write(path: Path, x: Tensor, labels: Tensor | None, columns: int) -> None:
    """Write samples to .png (a grid, or a scatter plot) or .npz: `images` uint8 (N, H, W, C) or `samples` (N, 2).

    A grid has the pictures' own pixels, each drawn as a square of whole pixels.
    """
    check_output(path)
    if path.suffix.lower() == ".npz":
        arrays = {"images": plot.to_uint8(x)} if x.ndim == 4 else {"samples": x.numpy()}
        if labels is not None:
            arrays["labels"] = labels.numpy()
        with replacing(path) as temporary, open(temporary, "wb") as f:
            np.savez(f, **arrays)
    elif x.ndim == 4:
        sheet = plot.tile(x, columns)
        zoom = max(1, 512 // max(sheet.shape[:2]))
        with replacing(path) as temporary:
            Image.fromarray(sheet.repeat(zoom, 0).repeat(zoom, 1).squeeze()).save(temporary)
    else:
        plot.save(plot.points(x, labels), path)
