"""What the experiments share: the mode (smoke, cpu, gpu) and what it changes, and an experiment's Outcome.

Also intervals over seeds and verdicts, training in one line, and two models whose best fit is known exactly.
"""

import functools
import itertools
import json
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from scipy import stats
from torch import Tensor, nn

from minidiff import data
from minidiff.data.images import Images
from minidiff.data.toys import eight_gaussians
from minidiff.denoise import Denoiser, Prediction, coefficients, lognormal_times, normal_like, numbers
from minidiff.device import pick, tuned
from minidiff.measure.metrics import frechet_distance
from minidiff.nets import build
from minidiff.oracles import GaussianMixture
from minidiff.run.generate import generate
from minidiff.schedules import VP, Linear, expand
from minidiff.train import new_state, train

CPU = torch.device("cpu")
WIDER = 2  # times as wide as on the CPU is what learns pictures in gpu mode
HELD_OUT = 1000  # pictures of CIFAR-10 that experiments measure on: as many as a distance in raw pixels can take


def mode() -> str:
    """smoke, cpu or gpu: $MINIDIFF_MODE, by default gpu if there is one, else cpu.

    Smoke runs in seconds and proves nothing. In gpu mode experiments on pictures train on CIFAR-10 on the GPU, with
    wider nets and five seeds, and the ledger keeps their row beside that of cpu mode. Those in the plane run on the CPU
    in any mode.
    """
    default = "gpu" if torch.cuda.is_available() else "cpu"
    chosen = os.environ.get("MINIDIFF_MODE", default)
    if chosen not in ("smoke", "cpu", "gpu"):
        raise ValueError(f"MINIDIFF_MODE must be smoke, cpu or gpu, got {chosen!r}")
    return chosen


def device() -> torch.device:
    """The device of experiments that train on pictures: in gpu mode the GPU, else the CPU. Raises ValueError without a
    GPU in gpu mode."""
    if mode() != "gpu":
        return CPU
    try:
        return pick("cuda")
    except ValueError:
        raise ValueError("MINIDIFF_MODE is gpu, but there is no GPU here that PyTorch can use: set cpu") from None


def repeats(smoke: bool, usual: int = 3) -> int:
    """Seeds of an experiment on pictures: `usual`, or five in gpu mode; two in a smoke run."""
    return 2 if smoke else 5 if mode() == "gpu" else usual


def in_parallel(one, *lists) -> list:
    """[one(a, b, ...)] for every a of the first list, b of the second, and so on, the last moving fastest.

    `processes` share the calls, with one thread each, so that numbers do not depend on how many there are; in a smoke run
    the calls come one after the other. So `one` draws from generators of its own, and all that is wanted of it is what it
    returns: what it caches or changes stays in its process.
    """
    calls = list(itertools.product(*lists))
    if mode() == "smoke":
        return [one(*call) for call in calls]
    with (
        parallel_config("loky", inner_max_num_threads=1, max_nbytes=None),  # None: arrays are writable, as here
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "A worker stopped")  # one that had grown by 300 MB is replaced by another
        return Parallel(processes(len(calls)), batch_size=1)(delayed(one)(*call) for call in calls)


def processes(calls: int) -> int:
    """One for each call, at most one a core, and in gpu mode each with 8 GiB of the GPU: a small net leaves it waiting for
    Python, so several share it."""
    most = min(calls, cpu_count())
    if mode() == "gpu":
        most = min(most, int(torch.cuda.get_device_properties(device()).total_memory / 2**30 / 8))
    return max(1, most)


def wide(width: int) -> int:
    """The width of a net for pictures, given what it is on the CPU."""
    return WIDER * width if mode() == "gpu" else width


def cifar10() -> str:
    """CIFAR-10 as data.load takes it: torchvision's, or what $MINIDIFF_CIFAR10 names, the path of a copy in class
    folders, or folder:PATH or npz:PATH."""
    named = os.environ.get("MINIDIFF_CIFAR10") or "cifar10"
    return named if named == "cifar10" or named.startswith(("folder:", "npz:")) else f"folder:{named}"


def patch(images: Images) -> int:
    """The patch of a U-Net for them: for 32 x 32 pixels as in the recipes, a quarter of the cost."""
    return 2 if images.shape[1] >= 32 else 1


@functools.cache
def pictures(name: str, size: int | None = None, gpu_size: int = 32) -> tuple[Images, Images]:
    """Training and held-out pictures of an experiment: those called `name`, of `size`; in gpu mode CIFAR-10, and of it
    1,000 held-out ones, averaged to `gpu_size`. Raises ValueError if what $MINIDIFF_CIFAR10 names is not like it."""
    if mode() != "gpu":
        return data.load(name, size=size), data.load(name, "test", size)
    train_set, held_out = (data.load(cifar10(), part) for part in ("train", "test"))
    if train_set.shape != (3, 32, 32) or len(train_set.classes) != 10:
        found = f"{len(train_set.classes)} classes of pictures {train_set.shape}"
        raise ValueError(f"{cifar10()}: CIFAR-10 has 10 classes of pictures (3, 32, 32), this has {found}")
    parts = replace(train_set, name="CIFAR-10"), held_out.keep(torch.arange(min(HELD_OUT, len(held_out))))
    return parts if gpu_size == 32 else tuple(replace(p, pictures=_averaged(p, gpu_size)) for p in parts)


def _averaged(images: Images, size: int) -> Tensor:
    """All the pictures at a smaller size, floats."""
    return nn.functional.adaptive_avg_pool2d(images.at(torch.arange(len(images))), size)


def named(images: Images) -> str:
    """For an Outcome's data: "digits 8x8"."""
    return f"{images.name} {images.shape[1]}x{images.shape[2]}"


@dataclass
class Outcome:
    """What an experiment found: the number that decides, its 95% interval over seeds, and the arrays for figures."""

    value: float
    low: float
    high: float
    data: str
    seeds: int
    notes: str  # the other numbers worth keeping, in a sentence
    device: torch.device = CPU
    detail: dict = field(default_factory=dict, repr=False)


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and the 95% Student interval of the mean of at least two values."""
    x = torch.tensor(values, dtype=torch.float64)
    half = stats.t.ppf(0.975, len(x) - 1) * x.std().item() / len(x) ** 0.5
    mean = x.mean().item()
    return mean, mean - half, mean + half


def share_interval(shares: list[float]) -> tuple[float, float, float]:
    """Mean and interval of shares; the interval ends at 0 and 1, as every share does."""
    mean, low, high = interval(shares)
    return mean, max(0.0, low), min(1.0, high)


def ratio_interval(logs: list[float]) -> tuple[float, float, float]:
    """Mean and interval of ratios given their logarithms."""
    return tuple(torch.tensor(interval(logs)).exp().tolist())


def verdict(low: float, high: float, holds: tuple[float, float]) -> str:
    """supported, contradicted or undecided, by whether the interval lies in the range where a claim holds."""
    if holds[0] <= low and high <= holds[1]:
        return "supported"
    return "contradicted" if high < holds[0] or low > holds[1] else "undecided"


def slope(x: Tensor, y: Tensor) -> float:
    """Of the least-squares line through (x, y)."""
    x = x - x.mean()
    return ((x * y).sum() / x.square().sum()).item()


def place_of_least(x: Tensor, y: Tensor) -> float:
    """Where the parabola through the least of y and its two neighbours is least; at an end of the increasing grid x
    (N,), that end."""
    k = int(y.argmin())
    if k in (0, len(x) - 1):
        return x[k].item()
    (a, b, c), (ya, yb, yc) = x[k - 1 : k + 2].tolist(), y[k - 1 : k + 2].tolist()
    rise, fall = (yc - yb) * (b - a), (ya - yb) * (c - b)  # neither is negative: b is the least
    if rise + fall == 0:
        return b
    return b + (fall * (c - b) - rise * (b - a)) / (2 * (rise + fall))


def bench_results(name: str) -> dict:
    """What tests/bench/`name`.py measured and saved beside itself."""
    return json.loads((Path(__file__).parents[2] / "tests" / "bench" / f"{name}.json").read_text(encoding="utf-8"))


def fit(model: nn.Module, draw, steps: int, seed: int, **options) -> nn.Module:
    """The EMA of a model trained for `steps` on draw(generator) -> x0 or (x0, labels); options are train's. A Denoiser
    is trained on lognormal times, unless others are given."""
    model = model.to(memory_format=torch.channels_last)  # a tenth faster where there are convolutions
    state = new_state(model, seed)
    batches = (draw(state.generator) for _ in range(steps))
    usual = {"check_every": 50} | ({"times": lognormal_times} if isinstance(model, Denoiser) else {})
    with tuned(next(model.parameters()).device):
        *_, step = train(model, batches, steps, state=state, **(usual | options))
    return step.ema


def trained(mixture: GaussianMixture, steps: int, seed: int, batch: int = 256, width: int = 64) -> Denoiser:
    """The EMA of a small MLP trained for `steps` on a mixture, without labels."""
    model = Denoiser(build("mlp", (mixture.dim,), width=width, seed=seed), VP(), "edm", 0.5)
    return fit(model, lambda generator: mixture.sample(batch, generator), steps, seed)


def seeded(make, seed: int):
    """What make() builds, its random initial weights from the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def pixel_distance(model, real: Tensor, seed: int, steps: int = 20) -> float:
    """The Frechet distance, in raw pixels, of as many samples as there are real pictures (dpmpp_2m)."""
    fake = generate(model, len(real), shape=real.shape[1:], steps=steps, seed=seed)
    return frechet_distance(fake.flatten(1), real.flatten(1))


@torch.no_grad()
def denoising_error(model, x0: Tensor, levels: Tensor, cond: Tensor | None = None, generator=None) -> Tensor:
    """The mean squared error of x0 at each noise level sigma / alpha, (len(levels),). The noise is drawn from the
    generator: models given equal generators are compared on the same noisy pictures."""
    x0, errors = numbers(x0), []
    for level in levels:
        t = model.schedule.time(-2 * torch.log(torch.as_tensor(level)))
        alpha, sigma = model.schedule(t)
        x_t = alpha * x0 + sigma * normal_like(x0, generator)
        errors.append((model(x_t, t, cond).x0 - x0).square().mean())
    return torch.stack(errors)


def level_error(model: Denoiser, x0: Tensor, levels: Tensor, seed: int = 0) -> Tensor:
    """denoising_error, on the CPU, on the same noisy pictures for every model."""
    x0 = x0.to(next(model.parameters()).device)
    return denoising_error(model, x0, levels, generator=torch.Generator().manual_seed(seed)).cpu()


class RadialScore:
    """A score that is linear in its 26 parameters, so that each loss has its minimiser in closed form.

    s(x) = sum_j w_j grad exp(-|x - c_j|^2 / 2 h^2) - w x, with centres c_j on a 5 x 5 lattice.
    """

    def __init__(self, h: float = 0.5):
        line = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)
        self.centres, self.h = torch.cartesian_prod(line, line), h
        self.size = len(self.centres) + 1

    def __call__(self, w: Tensor):
        """The score with parameters w (26,), as a function of x (B, 2)."""

        def score(x):
            square = x.square().sum(1, keepdim=True) - 2 * x @ self.centres.T + self.centres.square().sum(1)
            bumps = w[:-1] * torch.exp(-square / (2 * self.h**2))  # (B, 25)
            return (bumps @ self.centres - bumps.sum(1, keepdim=True) * x) / self.h**2 - w[-1] * x

        return score

    def minimiser(self, loss) -> Tensor:
        """The parameters at which loss(fn), quadratic in them, is least: one Newton step from 0."""

        def gradient(w):
            w = w.clone().requires_grad_()
            return torch.autograd.grad(loss(self(w)), w)[0]

        at_zero = gradient(torch.zeros(self.size, dtype=torch.float64))
        hessian = torch.stack([gradient(e) - at_zero for e in torch.eye(self.size, dtype=torch.float64)])
        return torch.linalg.lstsq(hessian, -at_zero[:, None]).solution[:, 0]


class Embedded:
    """Eight Gaussians in the first two of `dim` dimensions, N(0, spread^2) in the others, as an exact Model on the linear
    path.

    `blind` makes it the best model that is not told the noise level: the mean of the target a x0 + b eps over all the
    levels that x_t may have come from, by quadrature over `levels` times, which training would draw uniformly.
    """

    def __init__(self, dim: int, prediction="v", blind: bool = False, levels: int = 200, spread: float = 0.0):
        self.mixture, self.spread, self.dim = eight_gaussians(), spread, dim
        self.means, self.var = self.mixture.means, self.mixture.covariances[0, 0, 0].item()
        self.prediction, self.blind, self.schedule = prediction, blind, Linear()
        self.times = torch.linspace(self.schedule.t_min, self.schedule.t_max, levels)

    def sample(self, n: int, generator) -> Tensor:
        """(n, dim)"""
        plane = self.mixture.sample(n, generator)
        return torch.cat([plane, self.spread * torch.randn(n, self.dim - 2, generator=generator)], 1)

    def at(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """log p_t(x_t) (T, B) and E[x0 | x_t, t] (T, B, dim's first two), at each of the times t (T,). The eight stand
        in the first place within: sums over a short last one are slow."""
        alpha, sigma = (v[:, None] for v in self.schedule(t))
        var, x = alpha**2 * self.var + sigma**2, x_t[:, :2]
        across, norms = (self.means @ x.T)[:, None], self.means.square().sum(1)[:, None, None]
        square = x.square().sum(1) - 2 * alpha * across + alpha**2 * norms
        log_each = -square / (2 * var) - var.log()  # (8, T, B)
        keep = alpha * self.var / var
        mean = (self.means.T @ torch.softmax(log_each, 0).flatten(1)).view(2, *log_each.shape[1:])
        pull = (1 - alpha * keep) * mean + keep * x.T[:, None]
        var = alpha**2 * self.spread**2 + sigma**2
        rest = x_t[:, 2:].square().sum(1) / (2 * var) + (self.dim - 2) * var.log() / 2
        return torch.logsumexp(log_each, 0) - rest, pull.movedim(0, 2)

    def posterior(self, x_t: Tensor) -> Tensor:
        """P(t | x_t) over self.times, (T, B)."""
        return torch.softmax(self.at(x_t, self.times)[0], 0)

    def __call__(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        t = torch.as_tensor(t).to(x_t)
        times = self.times if self.blind else t.reshape(1)
        log_p, x0 = self.at(x_t, times)
        weights = torch.softmax(log_p, 0)[..., None]
        alpha, sigma = (v[:, None, None] for v in self.schedule(times))
        a, b = (v[:, None, None] for v in coefficients(self.prediction, self.schedule, times))
        plane = (weights * (a * x0 + b * (x_t[:, :2] - alpha * x0) / sigma)).sum(0)
        empty = (a * alpha * self.spread**2 + b * sigma) / (alpha**2 * self.spread**2 + sigma**2)
        rest = (weights * empty).sum(0) * x_t[:, 2:]
        out = torch.cat([plane, rest], 1)
        alpha, sigma = (expand(v, x_t) for v in self.schedule(t))
        a, b = (expand(v, x_t) for v in coefficients(self.prediction, self.schedule, t))
        det = alpha * b - sigma * a
        return Prediction((b * x_t - sigma * out) / det, (alpha * out - a * x_t) / det)
