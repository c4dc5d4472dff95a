"""Claims 7.10, 6.11, 6.12 and 6.14: precision and recall of guided digits against the guidance scale.

Four methods are compared: classifier-free, the same within an interval of noise, autoguidance, and a classifier's.
"""

import functools

import torch

from minidiff import data
from minidiff.denoise import Denoiser
from minidiff.guidance import ClassifierGuided, Guided
from minidiff.measure import classifier
from minidiff.measure.report import distances
from minidiff.nets import build
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP

from .noisy import fit_noisy
from .tools import Outcome, device, fit, interval, named, pictures, ratio_interval, repeats, wide

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
    """Method -> (seeds, scales, 4): precision, recall, Frechet distance (classifier features), share recognised. Real
    digits have the key "floor".

    Three nets a seed: a U-Net, a smaller one trained a quarter as long for autoguidance, and a classifier of noisy
    digits.
    """
    seeds, (steps, n, calls) = repeats(smoke), (4, 30, 2) if smoke else (500, 500, STEPS)
    digits, held_out = pictures("digits")
    judge = classifier.fit(digits, steps=5, device=device()) if smoke else classifier.for_data(digits, device())
    real = classifier.extract(judge, held_out.at(torch.arange(len(held_out))))[0]
    labels, size, out = torch.arange(n) % 10, min(n, 350), {}

    def measured(x, labels):
        features, logits = classifier.extract(judge, x)
        frechet, precision, recall = distances(real, features, labels, size)
        return [precision, recall, frechet, (logits.argmax(1) == labels).float().mean().item()]

    for seed in range(seeds):
        models = []
        for width, duration in ((32, steps), (16, steps // 4)):
            net = build("unet", digits.shape, 10, seed, width=wide(width))
            model = Denoiser(net, VP(), "edm", data.std(digits)).to(device())
            draw = lambda generator: digits.batch(64, generator)  # noqa: E731
            models.append(fit(model, draw, duration, seed, lr=2e-3))
        strong, weak = models
        noisy = fit_noisy(digits, VP(), steps, seed=seed, device=device())
        within = tuple(VP().time(-2 * torch.tensor(NOISE).log()).tolist())
        methods = {
            "classifier-free": lambda g, m=strong: Guided(m, g),
            "within an interval": lambda g, m=strong, w=within: Guided(m, g, interval=w),
            "autoguidance": lambda g, m=strong, w=weak: Guided(m, g, weak=w),
            "classifier (ADM-G)": lambda g, m=strong, c=noisy: ClassifierGuided(Unconditional(m), c, g),
        }
        x = start(strong, (n, *digits.shape), torch.Generator().manual_seed(seed), device())
        for method, guided in methods.items():
            rows = []
            for scale in SCALES:
                if scale == 1 and "ADM" not in method and out.get("classifier-free", [])[seed:]:
                    rows.append(out["classifier-free"][seed][0])  # all three are the model itself
                    continue
                found = last(dpmpp_2m(guided(scale), x, VP().grid(calls), labels)).clamp(-1, 1)
                rows.append(measured(found, labels))
            out.setdefault(method, []).append(rows)
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


def precision_gained(smoke: bool) -> Outcome:
    found = sweep(smoke)
    cfg, at = found["classifier-free"], SCALES.index(3.0)
    mean, low, high = interval((cfg[:, at, 0] - cfg[:, 0, 0]).tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(cfg), device=device(),
        notes=f"precision by gamma {_by_scale(cfg[..., 0].mean(0))} (real digits {found['floor'][..., 0].mean():.3f}); "
        f"recognised {_by_scale(cfg[..., 3].mean(0))}",
        detail={"found": found},
    )  # fmt: skip


def recall_lost(smoke: bool) -> Outcome:
    found = sweep(smoke)
    cfg, at = found["classifier-free"], SCALES.index(3.0)
    recall = cfg[..., 1].clamp(min=1e-3)  # a smoke run's may be 0
    mean, low, high = ratio_interval((recall[:, at] / recall[:, 0]).log().tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(cfg), device=device(),
        notes=f"recall by gamma {_by_scale(cfg[..., 1].mean(0))} (real digits {found['floor'][..., 1].mean():.3f}); "
        f"Frechet distance {_by_scale(cfg[..., 2].mean(0))} (real {found['floor'][..., 2].mean():.3f})",
    )  # fmt: skip


def interval_keeps_recall(smoke: bool) -> Outcome:
    found, at = sweep(smoke), SCALES.index(3.0)
    gained = {k: v[:, at] - found["classifier-free"][:, at] for k, v in found.items() if k != "floor"}
    mean, low, high = interval(gained["within an interval"][:, 1].tolist())
    return Outcome(
        mean, low, high, data=described(smoke) + f"; interval {NOISE} of sigma / alpha",
        seeds=len(gained["autoguidance"]), device=device(),
        notes="at scale 3, precision and recall less classifier-free guidance's: "
        + ", ".join(f"{k} {v[:, 0].mean():+.3f} {v[:, 1].mean():+.3f}" for k,
        v in gained.items() if k != "classifier-free"),
    )  # fmt: skip


def classifier_beside(smoke: bool) -> Outcome:
    found = sweep(smoke)
    best = {k: v[..., 2].min(1).values for k, v in found.items() if k != "floor"}
    mean, low, high = ratio_interval((best["classifier (ADM-G)"] / best["classifier-free"]).log().tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(best["autoguidance"]), device=device(),
        notes="the least Frechet distance over the scales: " + ", ".join(f"{k} {v.mean():.3f}" for k, v in best.items())
        + "; ADM-G recognised " + _by_scale(found["classifier (ADM-G)"][..., 3].mean(0)),
    )  # fmt: skip
