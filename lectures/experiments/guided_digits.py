"""Claims 7.10 to 7.12, 7.14 and 7.16: precision and recall of guided digits against the guidance scale.

Six methods are compared: classifier-free, the same after a third of the training and within an interval of noise,
autoguidance, and a classifier's gradient added to the conditional and to the unconditional net.
"""

import copy
import functools

import torch

from minidiff import data
from minidiff.denoise import Denoiser, lognormal_times
from minidiff.device import tuned
from minidiff.guidance import ClassifierGuided, Guided
from minidiff.measure import classifier
from minidiff.measure.report import distances
from minidiff.nets import build
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP
from minidiff.train import new_state, train

from .noisy import fit_noisy
from .tools import (
    Outcome,
    device,
    fit,
    in_parallel,
    interval,
    mode,
    named,
    patch,
    pictures,
    place_of_least,
    ratio_interval,
    repeats,
)

CFG, EARLY, WITHIN, AUTO = "classifier-free", "after a third", "within an interval", "autoguidance"
ADM, ADM_FREE = "ADM-G, conditional", "ADM-G, unconditional"
SCALES = {
    CFG: (0.5, 1.0, 1.5, 2.0, 3.0, 5.0),
    EARLY: (0.5, 1.0, 1.5, 2.0, 3.0, 5.0),
    WITHIN: (1.5, 3.0),
    AUTO: (1.5, 3.0),
    ADM: (0.5, 1.0, 3.0, 10.0),  # 0 is off, and that is the conditional net
    ADM_FREE: (1.0, 3.0, 10.0),
}
STEPS = 10
NOISE = (0.3, 3.0)  # the interval, in sigma / alpha


class Unconditional:
    """A Model without its condition."""

    def __init__(self, model):
        self.model, self.schedule, self.null = model, model.schedule, None

    def __call__(self, x_t, t, cond=None):
        return self.model(x_t, t)


def amounts(smoke: bool) -> tuple[int, int, int]:
    """Steps of training, samples, steps of sampling."""
    return (4, 30, 2) if smoke else (2000, 500, STEPS) if mode() == "gpu" else (600, 350, STEPS)


def widths() -> tuple[int, int]:
    """Of the U-Net and of the smaller one."""
    return (64, 32) if mode() == "gpu" else (24, 12)


def network(digits, width: int, seed: int) -> Denoiser:
    """A U-Net, untrained."""
    net = build("unet", digits.shape, len(digits.classes), seed, width=width, patch=patch(digits))
    return Denoiser(net, VP(), "edm", data.std(digits)).to(device(), memory_format=torch.channels_last)


def strong_and_early(digits, steps: int, seed: int) -> dict:
    """A U-Net, and the same after a third of its steps."""
    model = network(digits, widths()[0], seed)
    state = new_state(model, seed)
    batches = (digits.batch(64, state.generator) for _ in range(steps))
    with tuned(device()):
        for step in train(model, batches, steps, state=state, times=lognormal_times, lr=2e-3, check_every=50):
            if step.step == max(1, steps // 3):
                early = copy.deepcopy(step.ema)
    return {"strong": step.ema, "early": early}


def weak_net(digits, steps: int, seed: int) -> dict:
    """A smaller one, trained a quarter as long."""
    return {"weak": fit(network(digits, widths()[1], seed), lambda g: digits.batch(64, g), steps // 4, seed, lr=2e-3)}


def noisy_net(digits, steps: int, seed: int) -> dict:
    """A classifier of noisy digits."""
    return {"noisy": fit_noisy(digits, VP(), steps // 2, seed=seed, device=device())}


def methods(strong, early, weak, noisy) -> dict:
    """Method -> (scale -> guided Model)."""
    within = tuple(VP().time(-2 * torch.tensor(NOISE).log()).tolist())
    return {
        CFG: lambda g: Guided(strong, g),
        EARLY: lambda g: Guided(early, g),
        WITHIN: lambda g: Guided(strong, g, interval=within),
        AUTO: lambda g: Guided(strong, g, weak=weak),
        ADM: lambda g: ClassifierGuided(strong, noisy, g),
        ADM_FREE: lambda g: ClassifierGuided(Unconditional(strong), noisy, g),
    }


@functools.cache
def sweep(smoke: bool) -> dict:
    """Method -> (seeds, scales, 4): precision, recall, Frechet distance (classifier features), share recognised. Real
    digits have the key "floor"."""
    seeds, (steps, n, calls) = repeats(smoke, 4), amounts(smoke)
    digits, held_out = pictures("digits")
    judge = classifier.fit(digits, steps=5, device=device()) if smoke else classifier.for_data(digits, device())
    real = classifier.extract(judge, held_out.at(torch.arange(len(held_out))))[0]
    labels, out = torch.arange(n) % 10, {}

    def measured(x, labels):
        features, logits = classifier.extract(judge, x)
        frechet, precision, recall = distances(real, features, labels, n)
        return [precision, recall, frechet, (logits.argmax(1) == labels).float().mean().item()]

    def by_scale(numbered, method):
        seed, nets = numbered
        x = start(nets["strong"], (n, *digits.shape), torch.Generator().manual_seed(seed), device())
        guided = methods(**nets)[method]
        draws = (last(dpmpp_2m(guided(scale), x, VP().grid(calls), labels)) for scale in SCALES[method])
        return [measured(found.clamp(-1, 1), labels) for found in draws]

    parts = strong_and_early, weak_net, noisy_net  # the longest first: so the cores end together
    found = in_parallel(lambda part, seed: part(digits, steps, seed), parts, range(seeds))
    nets = [a | b | c for a, b, c in zip(*(found[i : i + seeds] for i in range(0, 3 * seeds, seeds)), strict=True)]
    rows = iter(in_parallel(by_scale, enumerate(nets), SCALES))
    for seed in range(seeds):
        for method in SCALES:
            out.setdefault(method, []).append(next(rows))
        out.setdefault("floor", []).append([measured(*digits.batch(n, torch.Generator().manual_seed(seed)))])
    return {k: torch.tensor(v) for k, v in out.items()}


def described(smoke: bool) -> str:
    (digits, held_out), (steps, n, calls) = pictures("digits"), amounts(smoke)
    return (
        f"{named(digits)}, U-Net of width {widths()[0]}, {steps} steps of 64, {n} samples, dpmpp_2m, {calls} steps, features "
        f"of a classifier trained on the same, {len(held_out)} held-out pictures"
    )


def _by_scale(values, method: str = CFG) -> str:
    return ", ".join(f"{s:g} {v:.3f}" for s, v in zip(SCALES[method], values, strict=True))


def at(method: str, scale: float, smoke: bool) -> torch.Tensor:
    """The four measures of a method at a scale, (seeds, 4)."""
    return sweep(smoke)[method][:, SCALES[method].index(scale)]


def precision_gained(smoke: bool) -> Outcome:
    found = sweep(smoke)
    mean, low, high = interval((at(CFG, 3.0, smoke) - at(CFG, 1.0, smoke))[:, 0].tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(found[CFG]), device=device(),
        notes=f"precision by gamma {_by_scale(found[CFG][..., 0].mean(0))} (real pictures "
        f"{found['floor'][..., 0].mean():.3f}); recognised {_by_scale(found[CFG][..., 3].mean(0))}",
        detail={"found": found},
    )  # fmt: skip


def recall_lost(smoke: bool) -> Outcome:
    found = sweep(smoke)
    logs = at(CFG, 3.0, smoke)[:, 1].clamp(min=1e-3).log() - at(CFG, 1.0, smoke)[:, 1].clamp(min=1e-3).log()
    mean, low, high = ratio_interval(logs.tolist())  # a smoke run's recall may be 0
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(logs), device=device(),
        notes=f"recall by gamma {_by_scale(found[CFG][..., 1].mean(0))} (real pictures "
        f"{found['floor'][..., 1].mean():.3f}); Frechet distance {_by_scale(found[CFG][..., 2].mean(0))} (real "
        f"{found['floor'][..., 2].mean():.3f})",
    )  # fmt: skip


def interval_keeps_recall(smoke: bool) -> Outcome:
    gained = {k: at(k, 3.0, smoke) - at(CFG, 3.0, smoke) for k in (WITHIN, AUTO)}
    mean, low, high = interval(gained[WITHIN][:, 1].tolist())
    return Outcome(
        mean, low, high, data=described(smoke) + f"; interval {NOISE} of sigma / alpha", seeds=len(gained[AUTO]),
        device=device(),
        notes="at scale 3, precision and recall minus classifier-free guidance's: "
        + ", ".join(f"{k} {v[:, 0].mean():+.3f} {v[:, 1].mean():+.3f}" for k, v in gained.items()),
    )  # fmt: skip


def classifier_beside(smoke: bool) -> Outcome:
    found = sweep(smoke)
    best = {k: v[..., 2].min(1).values for k, v in found.items() if k != "floor"}
    mean, low, high = ratio_interval((best[ADM] / best[CFG]).log().tolist())
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(best[CFG]), device=device(),
        notes="the least Frechet distance over the scales: " + ", ".join(f"{k} {v.mean():.3f}" for k, v in best.items())
        + "; by scale: " + "; ".join(f"{k} {_by_scale(found[k][..., 2].mean(0), k)}" for k in (ADM, ADM_FREE))
        + f"; unconditional, recognised {_by_scale(found[ADM_FREE][..., 3].mean(0), ADM_FREE)}",
    )  # fmt: skip


def early_needs_more(smoke: bool) -> Outcome:
    found = sweep(smoke)
    scales = torch.tensor(SCALES[CFG])
    best = {k: torch.tensor([place_of_least(scales, row) for row in found[k][..., 2]]) for k in (EARLY, CFG)}
    mean, low, high = interval((best[EARLY] - best[CFG]).tolist())
    return Outcome(
        mean, low, high, data=described(smoke) + f"; gamma between {SCALES[CFG]} by a parabola", seeds=len(best[CFG]),
        device=device(),
        notes="best gamma by Frechet distance: "
        + ", ".join(f"{k} " + " ".join(f"{g:.2f}" for g in v) for k, v in best.items())
        + f"; the early net's distance {_by_scale(found[EARLY][..., 2].mean(0), EARLY)}",
    )  # fmt: skip
