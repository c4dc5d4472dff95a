"""Claim 7.15: how many labels to drop in training, by the distance of guided digits at each gamma."""

import functools

import torch

from minidiff import data
from minidiff.denoise import Denoiser
from minidiff.guidance import Guided
from minidiff.measure import classifier
from minidiff.measure.report import distances
from minidiff.nets import build
from minidiff.nets.mlp import MLP
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP

from .tools import Outcome, device, fit, in_parallel, named, patch, pictures, ratio_interval, repeats, seeded, wide

RATES = (0.02, 0.1, 0.2, 0.5)
SCALES = (1.0, 1.5, 2.0, 3.0, 5.0)
STEPS = {False: 1000, True: 800}  # of an MLP, of a U-Net


class Flat(MLP):
    """An MLP on pictures (C, H, W), flattened."""

    def __init__(self, shape, classes: int, width: int):
        super().__init__(shape.numel(), classes, width)

    def forward(self, x, c_noise, cond=None):
        return super().forward(x.flatten(1), c_noise, cond).view_as(x)


def large(digits) -> bool:
    return digits.shape[1] > 16


def network(digits, seed: int):
    """An MLP for digits, a U-Net in gpu mode, where the pictures are photographs."""
    if large(digits):
        return build("unet", digits.shape, len(digits.classes), seed, width=wide(32), patch=patch(digits))
    return seeded(lambda: Flat(torch.Size(digits.shape), len(digits.classes), 128), seed)


@functools.cache
def sweep(smoke: bool) -> torch.Tensor:
    """The Frechet distance (classifier features) of guided samples, (seeds, rates, scales)."""
    digits, held_out = pictures("digits")
    seeds, (steps, n, calls) = repeats(smoke), (4, 30, 2) if smoke else (STEPS[large(digits)], 500, 12)
    judge = classifier.fit(digits, steps=5, device=device()) if smoke else classifier.for_data(digits, device())
    real = classifier.extract(judge, held_out.at(torch.arange(len(held_out))))[0]
    labels = torch.arange(n) % 10

    def far(seed, rate):
        model = Denoiser(network(digits, seed), VP(), "edm", data.std(digits)).to(device())
        model = fit(model, lambda g: digits.batch(128, g), steps, seed, p_uncond=rate)
        x = start(model, (n, *digits.shape), torch.Generator().manual_seed(seed), device())
        draws = (last(dpmpp_2m(Guided(model, scale), x, VP().grid(calls), labels)).clamp(-1, 1) for scale in SCALES)
        return [distances(real, classifier.extract(judge, x)[0], labels, min(n, 350))[0] for x in draws]

    return torch.tensor(in_parallel(far, range(seeds), RATES)).unflatten(0, (seeds, len(RATES)))


def half_is_worse(smoke: bool) -> Outcome:
    found = sweep(smoke)
    best = found.min(2).values
    mean, low, high = ratio_interval((best[:, RATES.index(0.5)] / best[:, RATES.index(0.1)]).log().tolist())
    at = [SCALES[i] for i in found.mean(0).argmin(1)]
    digits, _ = pictures("digits")
    rows = zip(RATES, found[..., 0].mean(0).tolist(), best.mean(0).tolist(), at, strict=True)
    return Outcome(
        mean, low, high, seeds=len(found), device=device(),
        data=f"{named(digits)}, {'U-Net' if large(digits) else 'MLP of width 128'}, {STEPS[large(digits)]} steps of 128, "
        "features of a classifier",
        notes="rate, Frechet distance at gamma 1, the least, at gamma: "
        + "; ".join(f"{r:g} {a:.3f} {b:.3f} {g:g}" for r, a, b, g in rows),
    )  # fmt: skip
