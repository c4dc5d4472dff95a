"""What experiments share: their outcome, intervals over seeds, verdicts, and a small trained model."""

from dataclasses import dataclass, field

import torch
from scipy import stats
from torch import Tensor

from ..denoise import Denoiser, lognormal_times
from ..nets import build
from ..oracles import GaussianMixture
from ..schedules import VP
from ..train import new_state, train


@dataclass
class Outcome:
    """What an experiment found: the number that decides, its 95% interval over seeds, and the arrays for figures."""

    value: float
    low: float
    high: float
    data: str
    seeds: int
    notes: str  # the other numbers worth keeping, in a sentence
    detail: dict = field(default_factory=dict, repr=False)


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and the 95% Student interval of the mean of at least two values."""
    x = torch.tensor(values, dtype=torch.float64)
    half = stats.t.ppf(0.975, len(x) - 1) * x.std().item() / len(x) ** 0.5
    mean = x.mean().item()
    return mean, mean - half, mean + half


def verdict(low: float, high: float, predicted: tuple[float, float]) -> str:
    """supported, contradicted or depends, by where the interval lies."""
    if predicted[0] <= low and high <= predicted[1]:
        return "supported"
    return "contradicted" if high < predicted[0] or low > predicted[1] else "depends"


def slope(x: Tensor, y: Tensor) -> float:
    """Of the least-squares line through (x, y)."""
    x = x - x.mean()
    return ((x * y).sum() / x.square().sum()).item()


def trained(mixture: GaussianMixture, steps: int, seed: int, batch: int = 256, width: int = 64) -> Denoiser:
    """The EMA of a small MLP trained for `steps` on a mixture, without labels."""
    model = Denoiser(build("mlp", (mixture.dim,), width=width, seed=seed), VP(), "edm", 0.5)
    state = new_state(model, seed)
    batches = (mixture.sample(batch, state.generator) for _ in range(steps))
    *_, step = train(model, batches, steps, times=lognormal_times, state=state)
    return step.ema


class RadialScore:
    """A score that is linear in its 26 parameters, so that each loss has its minimiser in closed form.

    s(x) = sum_j w_j grad exp(-|x - c_j|^2 / 2 h^2) - w x, with centres c_j on a 5 x 5 lattice.
    """

    def __init__(self, h: float = 0.5):
        line = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)
        self.centres, self.h = torch.cartesian_prod(line, line), h
        self.size = len(self.centres) + 1

    def features(self, x: Tensor) -> Tensor:
        """(B, 26, 2)"""
        away = self.centres - x[:, None]
        bumps = away / self.h**2 * torch.exp(-away.square().sum(-1, keepdim=True) / (2 * self.h**2))
        return torch.cat([bumps, -x[:, None]], 1)

    def __call__(self, w: Tensor):
        return lambda x: torch.einsum("j,bjd->bd", w, self.features(x))

    def minimiser(self, loss) -> Tensor:
        """The parameters at which loss(fn), quadratic in them, is least: one Newton step from 0."""

        def gradient(w):
            w = w.clone().requires_grad_()
            return torch.autograd.grad(loss(self(w)), w)[0]

        at_zero = gradient(torch.zeros(self.size, dtype=torch.float64))
        hessian = torch.stack([gradient(e) - at_zero for e in torch.eye(self.size, dtype=torch.float64)])
        return torch.linalg.lstsq(hessian, -at_zero[:, None]).solution[:, 0]
