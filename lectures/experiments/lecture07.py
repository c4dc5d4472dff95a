"""Claims of lecture 07, guidance: what it samples from with exact scores, and why learned scores gain by it.

Guided pictures are in guided_digits.py, what a fit by likelihood or by scores misses is in divergences.py.
"""

import functools

import torch
from torch import Tensor

from minidiff.data.toys import branches
from minidiff.denoise import Denoiser, Prediction, score
from minidiff.guidance import ClassifierGuided, Guided
from minidiff.measure.metrics import precision_recall, sliced_wasserstein
from minidiff.nets import build
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.samplers import ddim, dpmpp_2m, heun, langevin, last, start
from minidiff.schedules import EDM, VP

from . import divergences, guided_digits
from .claims import Claim
from .tools import Outcome, fit, interval, ratio_interval

# --- exact scores: x | c ~ N(0, narrow), x ~ N(0, wide), in each dimension ---


class Gaussian:
    """The exact Model of N(0, V), V with the given variances (D,) along axes (D, D), of which each column is one."""

    def __init__(self, variances: Tensor, axes: Tensor):
        self.variances, self.axes, self.schedule = variances, axes, EDM()

    def __call__(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        alpha, sigma = self.schedule(torch.as_tensor(t).to(x_t))
        shrink = alpha * self.variances / (alpha**2 * self.variances + sigma**2)
        return Prediction.from_x0((x_t @ self.axes * shrink) @ self.axes.T, x_t, alpha, sigma)


def pair(narrow: Tensor, wide: Tensor, seed: int = 0) -> tuple[Gaussian, Gaussian, Tensor]:
    """The exact conditional and unconditional Models, and the axes (D, D) along which those variances lie."""
    d = len(narrow)
    axes = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    return Gaussian(narrow, axes), Gaussian(wide, axes), axes


def laws(gamma: float, narrow: Tensor, wide: Tensor) -> dict[str, Tensor]:
    """Variances, (D,), of the sharpened density and of what guided sampling by ODE and by SDE draws (derived in
    lecture 07).
    """
    ratio = wide / narrow
    return {
        "sharpened": 1 / (gamma / narrow - (gamma - 1) / wide),
        "ODE": narrow * ratio ** (1 - gamma),
        "SDE": narrow**2 * (ratio - ratio ** (2 - 2 * gamma)) / ((2 * gamma - 1) * (wide - narrow)),
    }


def guided_samples(gamma: float, narrow: Tensor, wide: Tensor, n: int, seed: int, fine: float = 1) -> dict[str, Tensor]:
    """Guided samples (n, D) in the axes of `pair`, by ODE, by SDE, and by the ODE followed by Langevin moves at sigma
    .05.
    """
    strong, weak, axes = pair(narrow, wide)
    model, generator = Guided(strong, gamma, weak=weak), torch.Generator().manual_seed(seed)
    x = start(model, (n, len(narrow)), generator).double()
    ode = last(heun(model, x, model.schedule.grid(round(60 * fine))))
    sde = last(ddim(model, x, model.schedule.grid(round(800 * fine)), eta=1.0, generator=generator))
    level = torch.tensor([0.05 / model.schedule.sigma_max])
    moved = last(langevin(model, ode, level, steps=round(400 * min(fine, 1)), step_size=4.0, generator=generator))
    return {"ODE": ode @ axes, "SDE": sde @ axes, "sharpened": moved @ axes}


ONE = (torch.tensor([1.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64))
EIGHT = (torch.linspace(0.5, 1.5, 8, dtype=torch.float64), torch.linspace(0.5, 1.5, 8, dtype=torch.float64) + 1)


@functools.cache
def simulated(smoke: bool) -> list[dict]:
    """For each case and seed: the dimension, gamma, and variances (D,) found and derived, by sampler."""
    n, seeds, rows = (2_000, 2, []) if smoke else (100_000, 3, [])
    for narrow, wide in (ONE, EIGHT):
        for gamma in (2.0, 3.0, 5.0):
            for seed in range(seeds):
                found = guided_samples(gamma, narrow, wide, n // len(narrow), seed, 0.1 if smoke else 2)
                found = {k: v.square().mean(0) for k, v in found.items()}
                rows.append({"d": len(narrow), "gamma": gamma, "found": found, "derived": laws(gamma, narrow, wide)})
    return rows


def what_guidance_samples(smoke: bool) -> Outcome:
    rows = [r for r in simulated(smoke) if r["d"] == 1 and r["gamma"] == 3.0]
    ratios = [(r["found"]["ODE"] / r["derived"]["sharpened"]).item() for r in rows]
    found = {k: sum(r["found"][k].item() for r in rows) / len(rows) for k in rows[0]["found"]}
    mean, low, high = interval(ratios)
    return Outcome(
        mean, low, high,
        data=f"x | c ~ N(0, 1), x ~ N(0, 2), exact scores, sigma from 80, {2_000 if smoke else 100_000:,} samples",
        seeds=len(rows),
        notes=f"variance at gamma 3: by ODE (heun) {found['ODE']:.4f}, by SDE (ddim, eta 1) {found['SDE']:.4f}, "
        f"the ODE's samples after Langevin moves at sigma .05 {found['sharpened']:.4f}; the sharpened density has .5",
        detail={"rows": simulated(smoke)},
    )  # fmt: skip


def laws_hold(smoke: bool) -> Outcome:
    rows = simulated(smoke)
    off = [max((r["found"][k] / r["derived"][k] - 1).abs().mean().item() for k in r["found"]) for r in rows]
    mean, low, high = interval(off)
    return Outcome(
        mean, low, high,
        data="N(0, 1) in N(0, 2), and in 8 dimensions .5 to 1.5 in 1.5 to 2.5; gamma 2, 3, 5; exact scores",
        seeds=len(rows),
        notes=f"the largest of all: {max(off):.4f}; each the largest of three ways to sample, mean over dimensions",
    )  # fmt: skip


def guided_slope(smoke: bool) -> Outcome:
    strong, weak, _ = pair(*ONE)
    t = torch.tensor(1 / 80.0, dtype=torch.float64)
    x = torch.ones(1, 1, dtype=torch.float64)
    guided = -score(Guided(strong, 3.0, weak=weak), x, t).item()
    diffused = 1 / (laws(3.0, *ONE)["sharpened"].item() + 1)
    return Outcome(
        guided / diffused, guided / diffused, guided / diffused,
        data="N(0, 1) in N(0, 2), gamma 3, at sigma 1",
        seeds=0,
        notes=f"slope of the guided score {guided:.4f}, of that of the sharpened density after noise {diffused:.4f}",
    )  # fmt: skip


# --- learned scores: two trees of ever finer twigs ---

GAMMAS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
WIDTHS = (8, 16, 32, 64, 128)


@functools.cache
def edge(label: int) -> float:
    """The log density that 99% of a tree exceed."""
    one = branches().given(label)
    return one.log_prob(one.sample(10_000, torch.Generator().manual_seed(0))).quantile(0.01).item()


def quality(x: Tensor, labels: Tensor, tree: GaussianMixture, seed: int) -> list[float]:
    """Of samples with labels: distance to real ones, share outside the class's 99% contour, precision and recall."""
    generator = torch.Generator().manual_seed(1000 + seed)
    real, outside = torch.zeros_like(x), torch.zeros(len(x), dtype=torch.bool)
    for label in (0, 1):
        mine, one = labels == label, tree.given(label)
        real[mine] = one.sample(int(mine.sum()), generator)
        outside[mine] = one.log_prob(x[mine]) < edge(label)
    return [sliced_wasserstein(x, real), outside.float().mean().item(), *precision_recall(real[:1000], x[:1000])]


@functools.cache
def tree_sweep(smoke: bool) -> dict:
    """Model -> (seeds, gammas, 4) of `quality`: MLPs by width, the true score, and autoguidance of width 32 by width
    8.
    """
    seeds, steps, n, calls = (2, 3, 100, 3) if smoke else (5, 800, 1500, 32)
    tree, out = branches(), {}
    labels = torch.arange(n) % 2

    def sweep(model, weak, seed):
        x, rows = start(model, (n, 2), torch.Generator().manual_seed(seed)), []
        for gamma in GAMMAS:
            guided = Guided(model, gamma, weak=weak)
            rows.append(quality(last(dpmpp_2m(guided, x, model.schedule.grid(calls), labels)), labels, tree, seed))
        return rows

    for seed in range(seeds):
        nets = {}
        for width in WIDTHS:
            model = Denoiser(build("mlp", (2,), 2, width=width, seed=seed), VP(), "edm", 0.5)
            draw = lambda generator: tree.sample_labelled(512, generator)  # noqa: E731
            nets[width] = fit(model, draw, steps, seed, p_uncond=0.2)
            out.setdefault(f"width {width}", []).append(sweep(nets[width], None, seed))
        out.setdefault("width 32, by width 8", []).append(sweep(nets[32], nets[8], seed))
        out.setdefault("true score", []).append(sweep(MixtureDenoiser(tree, VP()), None, seed))
    return {k: torch.tensor(v) for k, v in out.items()}


def _tree_data(smoke):
    steps, n, calls = (3, 100, 3) if smoke else (800, 1500, 32)
    return f"two trees (branches), MLP of depth 3, {steps} steps of 512, {n} samples, {calls} calls"


def small_nets_gain(smoke: bool) -> Outcome:
    found = tree_sweep(smoke)
    at = GAMMAS.index(2.0)
    logs = {k: (v[:, at, 0] / v[:, 0, 0]).log() for k, v in found.items()}
    mean, low, high = ratio_interval(logs["width 16"].tolist())
    return Outcome(
        mean, low, high, data=_tree_data(smoke), seeds=len(logs["width 16"]),
        notes="the same for others: " + ", ".join(f"{k} {v.mean().exp():.2f}" for k,
        v in logs.items() if k != "width 16")
        + "; share outside the 99% contour without guidance: "
        + ", ".join(f"{k} {v[:, 0, 1].mean():.3f}" for k, v in found.items() if "by" not in k),
        detail={"found": found},
    )  # fmt: skip


def true_score_needs_none(smoke: bool) -> Outcome:
    found = tree_sweep(smoke)["true score"]
    mean, low, high = ratio_interval((found[:, GAMMAS.index(1.5), 0] / found[:, 0, 0]).log().tolist())
    return Outcome(
        mean, low, high, data=_tree_data(smoke), seeds=len(found),
        notes="distance by gamma: " + ", ".join(f"{g:g} {d:.4f}" for g, d in zip(GAMMAS, found[..., 0].mean(0),
        strict=True)),
    )  # fmt: skip


def best_gamma_falls(smoke: bool) -> Outcome:
    best = {k: torch.tensor(GAMMAS)[v[..., 0].argmin(1)] for k, v in tree_sweep(smoke).items()}
    mean, low, high = interval((best["width 8"] - best["width 128"]).tolist())
    return Outcome(
        mean, low, high, data=_tree_data(smoke), seeds=len(best["width 8"]),
        notes="best gamma: " + ", ".join(f"{k} {v.mean():.2f}" for k, v in best.items()),
    )  # fmt: skip


def recall_over_precision(smoke: bool) -> Outcome:
    found = tree_sweep(smoke)
    floor = found["true score"][:, 0]
    lost = {k: floor[:, 2:] - v[:, 0, 2:] for k, v in found.items() if "by" not in k}
    mean, low, high = interval((lost["width 16"][:, 0] - lost["width 16"][:, 1]).tolist())
    return Outcome(
        mean, low, high,
        data=_tree_data(smoke) + "; precision and recall of 1000 samples, k = 3, against the true score's",
        seeds=len(floor),
        notes="precision and recall lost: " + ", ".join(f"{k} {v[:, 0].mean():.3f} {v[:, 1].mean():.3f}" for k,
        v in lost.items()),
    )  # fmt: skip


def classifier_is_free(smoke: bool) -> Outcome:
    """With an exact classifier and exact scores, ADM-G on the unconditional model is classifier-free guidance."""
    tree, schedule = branches().to(torch.zeros(1, dtype=torch.float64)), VP()
    model = MixtureDenoiser(tree, schedule)

    def posterior(x, t):  # the trees are equally likely
        noisy = tree.diffuse(*schedule(t))
        return torch.stack([noisy.given(k).log_prob(x) for k in (0, 1)], 1)

    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels, worst = torch.arange(500) % 2, 0.0
    for level in (-4.0, 0.0, 4.0):
        t = schedule.time(torch.tensor(level, dtype=torch.float64))
        ours = ClassifierGuided(guided_digits.Unconditional(model), posterior, 3.0)(x, t, labels).eps
        theirs = Guided(model, 3.0)(x, t, labels).eps
        worst = max(worst, ((ours - theirs).norm() / theirs.norm()).item())
    return Outcome(
        worst, worst, worst, data="two trees, 500 points at each of three noise levels, scale 3, float64", seeds=0,
        notes="relative difference of eps; the classifier is Bayes' rule on the exact densities",
    )  # fmt: skip


WHY = 'slide "Why do we need CFG?"'
INF = float("inf")
CLAIMS = [
    Claim("7.1", "Guided sampling draws from the sharpened density p_cond (p_cond / p_uncond)^(gamma - 1)", WHY,
          "the slide says so: 1. We expect .5: the identity holds at each t, but its right side is not diffused",
          "variance of guided ODE samples over that of the sharpened density, gamma 3", (0.98, 1.02),
          what_guidance_samples),
    Claim("7.2",
    "With Gaussians its variance is wide^(1-gamma) narrow^gamma by ODE, another by SDE; Langevin moves mend it",
          "derived in lecture 07", "within 2% of the formulas", "largest relative error of three ways", (-INF, 0.02),
          laws_hold),
    Claim("7.3", "The guided score is the score of the sharpened density after noise", WHY,
          "no: .833 against .667 at sigma 1", "ratio of the slopes at sigma 1, gamma 3", (0.99, 1.01), guided_slope),
    Claim("7.4", "A network's distribution is too flat, and guidance brings it closer to the data", WHY,
          "for a small net, by 5% or more", "distance at gamma 2 over gamma 1, MLP of width 16", (-INF, 0.95),
          small_nets_gain),
    Claim("7.5", "The true score needs no guidance", "Kynkaanniemi et al. 2024",
          "it only does harm: 5% or more", "distance at gamma 1.5 over gamma 1, true score", (1.05, INF),
          true_score_needs_none),
    Claim("7.6", "The better the network, the less guidance is best", "expected, if guidance mends what is not learned",
          "best gamma falls with the width", "best gamma of width 8 less that of width 128", (1e-9, INF),
          best_gamma_falls),
    Claim("7.7", "The training objective favours recall over precision", WHY,
          "a small net loses more precision than recall", "precision lost less recall lost, width 16", (0.0, INF),
          recall_over_precision),
    Claim("7.8", "A fit by likelihood covers the data, and what lies between", WHY,
          "a fifth or more of the best single Gaussian lies where no data is", "share outside the 99% contour", (0.2,
          INF),
          divergences.likelihood_covers),
    Claim("7.9", "Score matching sees how heavy a mode is at large noise only", WHY,
          "below sigma = the modes' own deviation, 1% or less of the KL", "share of the KL from noise below .5", (-INF,
          0.01),
          divergences.weights_seen),
    Claim("7.10", "Guidance buys precision", WHY, "more than .02 on digits at gamma 3",
          "precision at gamma 3 less that at 1", (0.02, INF), guided_digits.precision_gained),
    Claim("7.11", "and pays with recall", WHY, "a tenth or more on digits at gamma 3",
          "recall at gamma 3 over that at 1", (-INF, 0.9), guided_digits.recall_lost),
    Claim("7.12", "Guidance within an interval of noise keeps more recall", "Kynkaanniemi et al. 2024",
          "more recall at scale 3", "recall within an interval less that of plain guidance, scale 3", (1e-9, INF),
          guided_digits.interval_keeps_recall),
    Claim("7.13", "With an exact classifier, classifier guidance is classifier-free guidance", "Bayes' rule; ADM-G",
          "the same to rounding", "relative difference of eps, scale 3", (-INF, 1e-6), classifier_is_free),
    Claim("7.14", "A learned classifier guides worse than classifier-free guidance does", "Ho and Salimans 2022",
          "its best distance is larger", "least distance by ADM-G over that by classifier-free guidance", (1.0, INF),
          guided_digits.classifier_beside),
]  # fmt: skip
