"""Claims 7.4 to 7.7 and 7.17: small networks trained to a plateau on two trees of ever finer twigs, and guided.

After the toy of Karras et al. 2024, figure 1. Blur is seen by the share of samples outside the true 99% contour and by
their log density; a sliced Wasserstein distance stands beside, which hardly sees it, and a divergence of histograms,
which sees blur and lost twigs alike. Outliers are what lies outside the contour of the tree thickened by NEAR.
"""

import copy
import functools

import torch
from torch import Tensor

from minidiff.data.toys import branches
from minidiff.denoise import Denoiser, lognormal_times
from minidiff.guidance import Guided
from minidiff.measure.metrics import precision_recall, sliced_wasserstein
from minidiff.nets import build
from minidiff.oracles import MixtureDenoiser
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP
from minidiff.train import new_state, train

from .tools import Outcome, denoising_error, in_parallel, interval, place_of_least, ratio_interval

GAMMAS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
WIDTHS = (8, 32, 64)
STEPS = 4000
CALLS = 20
DISTANCE, OUTSIDE, PRECISION, RECALL, DENSITY, DIVERGENCE, OUTLIERS = range(7)  # the columns of `quality`
BINS = 52
NEAR = 0.05  # about as wide as the gaps between the twigs
LEVELS = (0.03, 0.1, 0.3)  # noise at which a net's error is compared with the exact denoiser's


@functools.cache
def true_tree(label: int) -> tuple[float, float, Tensor, float]:
    """Of a tree: the log density that 99% of it exceed, the median one, its histogram, and the log density that 99% of
    the thickened tree exceed."""
    one, generator = branches().given(label), torch.Generator().manual_seed(0)
    x, thick = one.sample(100_000, generator), one.diffuse(1.0, NEAR)
    log_p, log_thick = one.log_prob(x[:10_000]), thick.log_prob(thick.sample(10_000, generator))
    return log_p.quantile(0.01).item(), log_p.median().item(), histogram(x), log_thick.quantile(0.01).item()


def histogram(x: Tensor) -> Tensor:
    """Shares of points (N, 2) in BINS^2 squares of [-1.3, 1.3]^2; what lies beyond is counted at its edge."""
    place = ((x + 1.3) / 2.6 * BINS).long().clamp(0, BINS - 1)
    return torch.bincount(place[:, 0] * BINS + place[:, 1], minlength=BINS**2) / len(x)


def divergence(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon, in nats."""
    middle = (p + q) / 2
    return sum((torch.xlogy(a, a) - torch.xlogy(a, middle)).sum().item() for a in (p, q)) / 2


def quality(x: Tensor, labels: Tensor, seed: int) -> list[float]:
    """Of samples with labels: sliced Wasserstein distance, share outside the class's 99% contour, precision, recall,
    median log density minus that of the data, the divergence of histograms and the share of outliers. The last three are
    means of classes."""
    tree, generator = branches(), torch.Generator().manual_seed(1000 + seed)
    real, outside, rest = torch.zeros_like(x), torch.zeros(len(x), dtype=torch.bool), []
    for label in (0, 1):
        mine, one = labels == label, tree.given(label)
        edge, median, share, far = true_tree(label)
        real[mine], log_p = one.sample(int(mine.sum()), generator), one.log_prob(x[mine])
        outside[mine] = log_p < edge
        outliers = (one.diffuse(1.0, NEAR).log_prob(x[mine]) < far).float().mean().item()
        rest.append([log_p.median().item() - median, divergence(histogram(x[mine]), share), outliers])
    pair = precision_recall(real[:1000], x[:1000])
    return [sliced_wasserstein(x, real), outside.float().mean().item(), *pair, *torch.tensor(rest).mean(0).tolist()]


def plateau(width: int, steps: int, seed: int) -> tuple[Denoiser, list[float]]:
    """A net trained for `steps`, and its error of x0 beyond the exact denoiser's, over that, half-way and at the end."""
    tree, path = branches(), VP()
    model, halves = Denoiser(build("mlp", (2,), 2, width=width, seed=seed), path, "edm", 0.5), []
    state = new_state(model, seed)
    batches = (tree.sample_labelled(512, state.generator) for _ in range(steps))
    for step in train(model, batches, steps, state=state, times=lognormal_times, p_uncond=0.2):
        if step.step in (steps // 2, steps):
            halves.append(copy.deepcopy(step.ema))
    x0, cond = tree.sample_labelled(min(5000, 50 * steps), torch.Generator().manual_seed(0))
    levels = torch.tensor(LEVELS)
    errors = [
        denoising_error(m, x0, levels, cond, torch.Generator().manual_seed(1))
        for m in (*halves, MixtureDenoiser(tree, path))
    ]
    return halves[-1], [(e / errors[-1] - 1).mean().item() for e in errors[:-1]]


@functools.cache
def sweep(smoke: bool) -> dict:
    """Model -> (seeds, gammas, 7) of `quality`: MLPs by width, the true score, and autoguidance of width 32 by width
    8. The key "beyond" has (seeds, widths, 2): the error beyond the exact denoiser's, half-way and at the end."""
    seeds, steps, n, calls = (2, 4, 200, 3) if smoke else (3, STEPS, 4000, CALLS)
    every, turned = range(seeds), WIDTHS[::-1]  # the longest first: so the cores end together
    trained = iter(in_parallel(lambda width, seed: plateau(width, steps, seed), turned, every))
    trained = {width: [next(trained) for _ in every] for width in turned}
    models, labels = [], torch.arange(n) % 2
    for seed in every:
        by_width = {width: trained[width][seed][0] for width in WIDTHS}
        models.append({f"width {width}": (net, None) for width, net in by_width.items()})
        models[-1]["width 32, by width 8"] = by_width[32], by_width[8]
        models[-1]["true score"] = MixtureDenoiser(branches(), VP()), None

    def guided(name, seed):
        model, weak = models[seed][name]
        x = start(model, (n, 2), torch.Generator().manual_seed(seed))
        draws = (dpmpp_2m(Guided(model, g, weak=weak), x, model.schedule.grid(calls), labels) for g in GAMMAS)
        return [quality(last(draw), labels, seed) for draw in draws]

    names = list(models[0])
    rows = torch.tensor(in_parallel(guided, names[::-1], every)).unflatten(0, (len(names), seeds)).flip(0)
    beyond = torch.tensor([[trained[width][seed][1] for width in WIDTHS] for seed in every])
    return dict(zip(names, rows, strict=True)) | {"beyond": beyond}


def _models(smoke: bool) -> dict:
    return {k: v for k, v in sweep(smoke).items() if k != "beyond"}


def _described(smoke: bool) -> str:
    steps, n, calls = (4, 200, 3) if smoke else (STEPS, 4000, CALLS)
    return f"two trees (branches), MLP of depth 3, {steps} steps of 512, {n} samples, {calls} calls of dpmpp_2m"


def _ratios(column: int, gamma: float, smoke: bool) -> dict:
    """Model -> log ratios by seed of a column at gamma to that at 1."""
    at, off = GAMMAS.index(gamma), GAMMAS.index(1.0)
    least = 1e-4  # a smoke run's share may be 0
    return {k: (v[:, at, column].clamp(min=least) / v[:, off, column].clamp(min=least)).log()
            for k, v in _models(smoke).items()}  # fmt: skip


def _listed(values: dict) -> str:
    return ", ".join(f"{k} {v:.3g}" for k, v in values.items())


def guidance_mends(smoke: bool) -> Outcome:
    found, off = _models(smoke), GAMMAS.index(1.0)
    logs = _ratios(OUTSIDE, 2.0, smoke)
    mean, low, high = ratio_interval(logs["width 32"].tolist())
    beyond = sweep(smoke)["beyond"].mean(0)
    means = {k: v[:, off].mean(0) for k, v in found.items()}
    return Outcome(
        mean, low, high, data=_described(smoke), seeds=len(logs["width 32"]),
        notes="the same for all: " + _listed({k: v.mean().exp() for k, v in logs.items()})
        + "; without guidance, the share outside: " + _listed({k: v[OUTSIDE] for k, v in means.items()})
        + "; log density below the data's, in nats: " + _listed({k: -v[DENSITY] for k, v in means.items()})
        + "; at gamma 2 over gamma 1, the sliced Wasserstein distance: "
        + _listed({k: v.mean().exp() for k, v in _ratios(DISTANCE, 2.0, smoke).items()})
        + ", and the divergence of histograms: "
        + _listed({k: v.mean().exp() for k, v in _ratios(DIVERGENCE, 2.0, smoke).items()})
        + "; error beyond the exact denoiser's, half-way and at the end: "
        + ", ".join(f"width {w} {a:.2f} {b:.2f}" for w, (a, b) in zip(WIDTHS, beyond.tolist(), strict=True)),
        detail={"found": found},
    )  # fmt: skip


def true_score_needs_none(smoke: bool) -> Outcome:
    found, logs = sweep(smoke)["true score"], _ratios(DISTANCE, 1.5, smoke)["true score"]
    mean, low, high = ratio_interval(logs.tolist())
    by_gamma = zip(GAMMAS, found[..., DISTANCE].mean(0), found[..., DIVERGENCE].mean(0), strict=True)
    return Outcome(
        mean, low, high, data=_described(smoke), seeds=len(found),
        notes="distance and divergence by gamma: " + ", ".join(f"{g:g} {a:.4f} {b:.4f}" for g, a, b in by_gamma),
    )  # fmt: skip


def _best_gammas(column: int, smoke: bool) -> dict:
    """Model -> by seed the gamma at which a column is least."""
    grid = torch.tensor(GAMMAS)
    return {k: torch.tensor([place_of_least(grid, row) for row in v[..., column]]) for k, v in _models(smoke).items()}


def best_gamma_falls(smoke: bool) -> Outcome:
    best, others = _best_gammas(DIVERGENCE, smoke), _best_gammas(DISTANCE, smoke)
    mean, low, high = interval((best["width 8"] - best["width 64"]).tolist())
    return Outcome(
        mean, low, high, data=_described(smoke) + f"; gamma between {GAMMAS} by a parabola", seeds=len(best["width 8"]),
        notes="best gamma by the divergence of histograms: " + _listed({k: v.mean() for k, v in best.items()})
        + "; by sliced Wasserstein distance: " + _listed({k: v.mean() for k, v in others.items()}),
    )  # fmt: skip


def outliers_removed(smoke: bool) -> Outcome:
    found, logs = _models(smoke), _ratios(OUTLIERS, 3.0, smoke)
    mean, low, high = ratio_interval(logs["width 32"].tolist())
    return Outcome(
        mean, low, high, data=_described(smoke) + f"; outside the 99% contour of the tree and noise of {NEAR}",
        seeds=len(logs["width 32"]),
        notes="the same for all: " + _listed({k: v.mean().exp() for k, v in logs.items()}) + "; the shares by gamma: "
        + "; ".join(f"{k} " + ", ".join(f"{g:g} {a:.4f}" for g, a in zip(GAMMAS, v[..., OUTLIERS].mean(0), strict=True))
        for k, v in found.items()),
    )  # fmt: skip


def recall_over_precision(smoke: bool) -> Outcome:
    found, off = _models(smoke), GAMMAS.index(1.0)
    floor = found["true score"][:, off, PRECISION : RECALL + 1]
    lost = {k: floor - v[:, off, PRECISION : RECALL + 1] for k, v in found.items() if "by" not in k}
    mean, low, high = interval((lost["width 32"][:, 0] - lost["width 32"][:, 1]).tolist())
    return Outcome(
        mean, low, high,
        data=_described(smoke) + "; precision and recall of 1000 samples, k = 3, against the true score's",
        seeds=len(floor),
        notes="precision and recall lost: "
        + ", ".join(f"{k} {v[:, 0].mean():.3f} {v[:, 1].mean():.3f}" for k, v in lost.items()),
    )  # fmt: skip
