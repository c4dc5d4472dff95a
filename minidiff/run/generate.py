"""From a trained model to samples: labels by name, in batches, written as a picture or as arrays."""

import inspect
import itertools
import math
import os
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .. import plot
from ..device import autocast, replacing, to_device
from ..guidance import Guided
from ..samplers import check_sampling, last, run_sampler, start, whole
from ..text import condition


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
    raise ValueError(f"label {label!r} is unknown or out of range: choose from {', '.join(classes)}, or none")


def check_scale(config, scale: float) -> None:
    """Raise ValueError if the model of this run, a Config, is to be guided and cannot be."""
    if scale == 1:
        return
    if config.diffusion is None:
        raise ValueError("guidance is for diffusion models, and this is none: leave the scale at 1")
    if not config.classes and config.text is None:
        raise ValueError("--scale needs a model trained with labels or captions, and this one has none")
    if config.diffusion.p_uncond == 0:
        raise ValueError("--scale needs a model trained to go without its condition, and this has p_uncond 0")


def from_noise(
    model, shape, n: int, cond=None, generator=None,
    *, scale=1.0, interval=(0.0, 1.0), negative=None, sampler="dpmpp_2m", steps=20,
) -> Tensor:  # fmt: skip
    """n samples (n, *shape) of a Model, run from noise to data by the sampler of this name.

    cond (n,), (n, L) or None; scale, interval and negative, a condition for all, are Guided's.
    """
    device = next(model.parameters()).device
    x = to_device(start(model, (n, *shape), generator), device)
    if cond is not None:
        model = Guided(model, scale, interval=interval, negative=negative)
    with autocast(device, x):
        return last(run_sampler(model, x, sampler, steps, cond, generator))


def generate(model: nn.Module, n: int, *, shape=None, cond=None, seed: int = 0, batch: int = 256, **options) -> Tensor:
    """n samples (n, ...) on the CPU of what a run trained, or with a `shape` of any Model that is a module;
    cond (n,) or (n, L) or None.

    The options are those of the model's `sample`: from_noise's for diffusion models, temperature and top_k for
    autoregressive ones. The same seed and batch give the same samples. Raises ValueError for options that this kind of
    model does not know; a sampler, its steps and the scale 1 are passed over by those that have no use for them.
    """
    n, batch, seed = whole("n", n), whole("batch", batch), whole("seed", seed, 0, 64)
    if shape is not None and hasattr(model, "sample"):
        raise ValueError(f"this {type(model).__name__} knows the shape of what it draws: leave shape={shape} out")
    sample = model.sample if shape is None else partial(from_noise, model, shape)
    options = _known(from_noise if hasattr(model, "schedule") else getattr(model, "prior", model).sample, options)
    if cond is not None:
        cond = _given(model, cond, n)
    if options.get("negative") is not None:
        if cond is None:
            raise ValueError("a negative condition is the other end of a condition: give that as well")
        options["negative"] = _given(model, options["negative"], 1)[0]
    device, generator, found = next(model.parameters()).device, torch.Generator().manual_seed(seed), None
    for i in range(0, n, batch):
        given = None if cond is None else cond[i : i + batch].to(device)
        part = sample(min(batch, n - i), given, generator, **options).cpu()
        if found is None:  # where the memory does not suffice it is to fail now
            found = part.new_empty((n, *part.shape[1:]))
        found[i : i + batch] = part
    return found


def _given(model, cond, n: int) -> Tensor:
    """The condition for each of n samples as the model takes it, on the CPU, where labels are looked at."""
    model = getattr(model, "prior", model)
    model = getattr(model, "condition", model)  # a GAN's
    if hasattr(model, "given"):
        return model.given(cond, torch.empty(n))
    if getattr(model, "null", None) is None:
        raise ValueError("a condition was given to a model that was trained without labels and captions: leave it out")
    return condition(cond, torch.empty(n))


def _known(sample: Callable, options: dict) -> dict:
    """The options that this way to sample takes."""
    takes = set(inspect.signature(sample).parameters)
    scale = options.get("scale", 1.0)
    check_sampling(options.get("sampler", "dpmpp_2m"), options.get("steps", 20), scale)
    if "scale" not in takes and (scale != 1 or options.get("negative") is not None):
        raise ValueError("guidance is for diffusion models, and this is none: leave the scale at 1, and negative out")
    if "temperature" not in takes and any(options.get(k) is not None for k in ("temperature", "top_k")):
        raise ValueError("temperature and top_k are for an autoregressive model, and this is none")
    return {k: v for k, v in options.items() if k in takes and v is not None}


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


def columns_for(n: int, classes: int) -> int:
    """Of a sheet of n samples: one for each of 4 to 16 classes that come in turn, else as many as rows, 16 at most."""
    return min(n, classes if 4 <= classes <= 16 else min(16, math.ceil(n**0.5)))


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
