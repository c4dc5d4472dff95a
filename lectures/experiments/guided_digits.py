"""Lecture 06 on pictures: what guidance buys and costs on the digits, four ways of guiding on the same axes."""

import functools

import torch

from minidiff import data
from minidiff.denoise import Denoiser
from minidiff.guidance import ClassifierGuided, Guided
from minidiff.measure import classifier
from minidiff.measure.compare import distances
from minidiff.nets import build
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP

from .tools import Outcome, fit, interval, named, pictures, place, ratio_interval, repeats, wide

SCALES = (1.0, 1.5, 2.0, 3.0, 5.0)
STEPS = 12
NOISE = (0.3, 3.0)  # the interval, in sigma / alpha


class Unconditional:
    """A Model without its condition."""

    def __init__(self, model):
        self.model, self.schedule, self.null = model, model.schedule, None

    def __call__(self, x_t, t, cond=None):
        return self.model(x_t, t)


@functools.cache
def sweep(smoke: bool) -> dict:
    """Way -> (seeds, scales, 4): precision, recall, Frechet distance (classifier features), share recognised; and
    "floor".

    Three nets a seed: a U-Net, a smaller one trained a fifth as long to guide it by, and a classifier of noisy
    digits.
    """
    seeds, (steps, n, calls) = repeats(smoke), (4, 30, 2) if smoke else (500, 500, STEPS)
    digits, held_out = pictures("digits")
    judge = classifier.fit(digits, steps=5, device=place()) if smoke else classifier.for_data(digits, place())
    real = classifier.judge(judge, held_out.at(torch.arange(len(held_out))))[0]
    labels, size, out = torch.arange(n) % 10, min(n, 350), {}

    def measured(x, labels):
        features, logits = classifier.judge(judge, x)
        frechet, precision, recall = distances(real, features, labels, size)
        return [precision, recall, frechet, (logits.argmax(1) == labels).float().mean().item()]

    for seed in range(seeds):
        models = []
        for width, so_long in ((32, steps), (16, steps // 4)):
            net = build("unet", digits.shape, 10, wide(width), seed)
            model = Denoiser(net, VP(), "edm", data.std(digits)).to(place())
            draw = lambda generator: digits.batch(64, generator)  # noqa: E731
            models.append(fit(model, draw, so_long, seed, lr=2e-3))
        strong, weak = models
        noisy = classifier.fit_noisy(digits, VP(), steps, seed=seed, device=place())
        within = tuple(VP().time(-2 * torch.tensor(NOISE).log()).tolist())
        ways = {
            "classifier-free": lambda g, m=strong: Guided(m, g),
            "within an interval": lambda g, m=strong, w=within: Guided(m, g, interval=w),
            "autoguidance": lambda g, m=strong, w=weak: Guided(m, g, weak=w),
            "classifier (ADM-G)": lambda g, m=strong, c=noisy: ClassifierGuided(Unconditional(m), c, g),
        }
        x = start(strong, (n, *digits.shape), torch.Generator().manual_seed(seed), place())
        for way, guided in ways.items():
            rows = []
            for scale in SCALES:
                if scale == 1 and "ADM" not in way and out.get("classifier-free", [])[seed:]:
                    rows.append(out["classifier-free"][seed][0])  # all three are the model itself
                    continue
                found = last(dpmpp_2m(guided(scale), x, VP().grid(calls), labels)).clamp(-1, 1)
                rows.append(measured(found, labels))
            out.setdefault(way, []).append(rows)
        out.setdefault("floor", []).append([measured(*digits.batch(n, torch.Generator().manual_seed(seed)))])
    return {k: torch.tensor(v) for k, v in out.items()}


def described(smoke: bool) -> str:
    digits, held_out = pictures("digits")
    return (
        f"{named(digits)}, U-Net of width {wide(32)}, 500 steps of 64, 500 samples, dpmpp_2m, {STEPS} steps, features "
        f"of a classifier trained on the same, 350 a draw, {len(held_out)} held-out pictures"
        if not smoke
        else "smoke"
    )


def _by_scale(values) -> str:
    return ", ".join(f"{s:g} {v:.3f}" for s, v in zip(SCALES, values, strict=True))


def precision_bought(smoke: bool) -> Outcome:
    found = sweep(smoke)
    cfg, at = found["classifier-free"], SCALES.index(3.0)
    mean, low, high = interval((cfg[:, at, 0] - cfg[:, 0, 0]).tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(cfg), device=place(),
        notes=f"precision by gamma {_by_scale(cfg[..., 0].mean(0))} (real digits {found['floor'][..., 0].mean():.3f}); "
        f"recognised {_by_scale(cfg[..., 3].mean(0))}",
        detail={"found": found},
    )  # fmt: skip


def recall_paid(smoke: bool) -> Outcome:
    found = sweep(smoke)
    cfg, at = found["classifier-free"], SCALES.index(3.0)
    recall = cfg[..., 1].clamp(min=1e-3)  # a smoke run's may be 0
    mean, low, high = ratio_interval((recall[:, at] / recall[:, 0]).log().tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(cfg), device=place(),
        notes=f"recall by gamma {_by_scale(cfg[..., 1].mean(0))} (real digits {found['floor'][..., 1].mean():.3f}); "
        f"Frechet distance {_by_scale(cfg[..., 2].mean(0))} (real {found['floor'][..., 2].mean():.3f})",
    )  # fmt: skip


def interval_keeps_recall(smoke: bool) -> Outcome:
    found, at = sweep(smoke), SCALES.index(3.0)
    gained = {k: v[:, at] - found["classifier-free"][:, at] for k, v in found.items() if k != "floor"}
    mean, low, high = interval(gained["within an interval"][:, 1].tolist())
    return Outcome(
        mean, low, high, data=described(smoke) + f"; interval {NOISE} of sigma / alpha",
        seeds=len(gained["autoguidance"]), device=place(),
        notes="at scale 3, precision and recall less classifier-free guidance's: "
        + ", ".join(f"{k} {v[:, 0].mean():+.3f} {v[:, 1].mean():+.3f}" for k,
        v in gained.items() if k != "classifier-free"),
    )  # fmt: skip


def classifier_beside(smoke: bool) -> Outcome:
    found = sweep(smoke)
    best = {k: v[..., 2].min(1).values for k, v in found.items() if k != "floor"}
    mean, low, high = ratio_interval((best["classifier (ADM-G)"] / best["classifier-free"]).log().tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(best["autoguidance"]), device=place(),
        notes="the least Frechet distance over the scales: " + ", ".join(f"{k} {v.mean():.3f}" for k, v in best.items())
        + "; ADM-G recognised " + _by_scale(found["classifier (ADM-G)"][..., 3].mean(0)),
    )  # fmt: skip
