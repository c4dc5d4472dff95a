"""The denoiser: a network, a schedule and a prediction type. Scores, velocities and the training loss follow.

Every training target is a * x0 + b * eps. With x_t = alpha * x0 + sigma * eps that is a 2x2 system of determinant
D = alpha * b - sigma * a, so that from the network's output

    x0 = (b * x_t - sigma * out) / D        eps = (alpha * out - a * x_t) / D.

A *Model* is anything called as `model(x_t, t, cond=None) -> Prediction` with a `.schedule`: a Denoiser, an exact
oracle, a guided pair. Samplers and metrics know no more than that.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .schedules import Schedule, expand
from .text import condition, numbers, one_of


class Prediction(NamedTuple):
    """What a Model says of x_t: the two ends of the line through it, each shaped like x_t."""

    x0: Tensor
    eps: Tensor

    @classmethod
    def from_x0(cls, x0: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> "Prediction":
        """The one with this x0; alpha and sigma (B,) or () are those of x_t."""
        return cls(x0, (x_t - expand(alpha, x_t) * x0) / expand(sigma, x_t))

    @classmethod
    def from_eps(cls, eps: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> "Prediction":
        """The one with this eps."""
        return cls((x_t - expand(sigma, x_t) * eps) / expand(alpha, x_t), eps)

    def lerp(self, other: "Prediction", weight: float | Tensor) -> "Prediction":
        """self + weight * (other - self); a weight above 1 extrapolates, which is all that guidance does."""
        return Prediction(*(torch.lerp(a, b, weight) for a, b in zip(self, other, strict=True)))


# prediction -> (a, b); arguments: alpha, sigma, d alpha / dt, d sigma / dt, sigma_data
_TARGETS = {
    "x0": lambda al, si, _da, _ds, _s: (torch.ones_like(al), torch.zeros_like(si)),
    "eps": lambda al, si, _da, _ds, _s: (torch.zeros_like(al), torch.ones_like(si)),  # Ho et al. 2020
    "v": lambda al, si, _da, _ds, _s: (-si, al),  # Salimans and Ho 2022
    "score": lambda al, si, _da, _ds, _s: (torch.zeros_like(al), -1 / si),  # Song and Ermon 2019
    "flow": lambda al, si, da, ds, _s: (da, ds),  # Lipman et al. 2023
    "edm": lambda al, si, _da, _ds, s: (si / (s * _norm(al, si, s)), -al * s / _norm(al, si, s)),  # Karras et al. 2022
}
PREDICTIONS = tuple(_TARGETS)


def _norm(alpha, sigma, sigma_data):
    """The standard deviation of x_t when x0 has `sigma_data`."""
    return torch.sqrt(alpha**2 * sigma_data**2 + sigma**2)


def coefficients(prediction: str, schedule: Schedule, t: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor]:
    """(a, b) of the target a * x0 + b * eps, each of t's shape.

    The determinant is not 0 for 0 < t < 1; at the ends "x0" loses eps (sigma = 0), "eps" and "score" lose x0
    (alpha = 0), "v" and "edm" lose nothing, nor does "flow" on the linear path.
    """
    one_of("prediction", prediction, PREDICTIONS)
    return _TARGETS[prediction](*schedule(t), *schedule.rates(t), sigma_data)


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal noise like x, drawn on the generator's device so that a CPU seed serves every device."""
    noise = torch.randn(x.shape, generator=generator, device=device_of(generator, x), dtype=x.dtype)
    return noise.to(x.device, non_blocking=x.is_cuda)


def device_of(generator, like: Tensor | None = None) -> torch.device | None:
    """Where it draws, and so where what it draws is; without a generator where `like` is, if that is given."""
    if generator is not None:
        return generator.device
    return None if like is None else like.device


def inputs(x_t, t) -> tuple[Tensor, Tensor]:
    """What a Model is called with: x_t as floats (see `numbers`), and t of their type, where they are."""
    x_t = numbers(x_t)
    return x_t, torch.as_tensor(t).to(x_t)


# --- the times drawn in training: (n, schedule, generator) -> (n,), clipped to the range that sampling visits ---


def uniform_times(n: int, schedule: Schedule, generator=None) -> Tensor:
    """Uniform on the schedule's own clock (Ho et al. 2020)."""
    u = torch.rand(n, generator=generator, device=device_of(generator))
    return schedule.t_min + (schedule.t_max - schedule.t_min) * u


def logit_normal_times(n: int, schedule: Schedule, generator=None) -> Tensor:
    """logit(t) ~ N(0, 1): the middle of the path more often (Esser et al. 2024, section 3.1)."""
    z = torch.randn(n, generator=generator, device=device_of(generator))
    return torch.sigmoid(z).clamp(schedule.t_min, schedule.t_max)


def lognormal_times(n: int, schedule: Schedule, generator=None, mean: float = -1.2, std: float = 1.2) -> Tensor:
    """log(sigma / alpha) ~ N(mean, std^2): the same noise levels on every path (Karras et al. 2022, table 1)."""
    z = torch.randn(n, generator=generator, device=device_of(generator))
    return schedule.time(-2 * (mean + std * z)).clamp(schedule.t_min, schedule.t_max)


# where words decide what is drawn, more often than in Karras et al. 2022
noisy_lognormal_times = partial(lognormal_times, mean=0.1, std=1.3)


TIMES = {
    "uniform": uniform_times,
    "logit_normal": logit_normal_times,
    "lognormal": lognormal_times,
    "noisy_lognormal": noisy_lognormal_times,
}


class Denoiser(nn.Module):
    """A network made into a Model.

    The network is called as `net(c_in * x_t, c_noise, cond)`: its input has unit variance if the data has standard
    deviation `sigma_data`, and c_noise = log(sigma / alpha) / 4 tells it the noise level rather than the schedule's
    clock (Karras et al. 2022, section 5). A conditional network has `net.null`, the index of the null condition;
    `cond=None` means all null. (A run chooses other predictions and times than the defaults here: run/config.py.)
    """

    def __init__(self, net: nn.Module, schedule: Schedule, prediction: str = "v", sigma_data: float = 0.5):
        super().__init__()
        one_of("prediction", prediction, PREDICTIONS)
        if not sigma_data > 0:
            raise ValueError(f"sigma_data is the data's standard deviation and must be positive, got {sigma_data}")
        self.net, self.schedule, self.prediction, self.sigma_data = net, schedule, prediction, sigma_data

    @property
    def null(self) -> int | Tensor | None:
        return getattr(self.net, "null", None)

    def given(self, cond, x: Tensor) -> Tensor | None:
        """The condition as the network takes it, for each of x (see `condition`)."""
        if cond is None:
            return None
        if self.null is None:
            raise ValueError("a condition was given to an unconditional net: leave cond out, or build it with classes")
        text = getattr(self.net, "text", None)
        if text is not None or not isinstance(self.null, int):
            return condition(cond, x, tokens=True, length=getattr(text, "length", None))
        if hasattr(self.net, "emb"):
            return condition(cond, x, self.null)
        return condition(cond, x, tokens=None)  # of another net we know no more

    def output(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """The network's raw output at x_t (B, ...) and t (B,) or (): of x_t's type, computed in that of the weights."""
        alpha, sigma = self.schedule(t)
        c_noise = (torch.log(sigma / alpha) / 4).expand(len(x_t))
        x_in = expand(1 / _norm(alpha, sigma, self.sigma_data), x_t) * x_t
        like = next(self.net.parameters(), x_in)
        return self.net(x_in.to(like.dtype), c_noise.to(like.dtype), self.given(cond, x_t)).to(x_t.dtype)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        """x0 and eps as predicted from x_t (B, ...), at t (B,) or () with t > 0."""
        x_t, t = inputs(x_t, t)
        out = self.output(x_t, t, cond)
        a, b = coefficients(self.prediction, self.schedule, t, self.sigma_data)
        alpha, sigma, a, b = (expand(c, x_t) for c in (*self.schedule(t), a, b))
        det = alpha * b - sigma * a
        return Prediction((b * x_t - sigma * out) / det, (alpha * out - a * x_t) / det)

    def loss(self, x0, cond=None, *, t=None, times=uniform_times, p_uncond=0.1, weight=None, generator=None) -> Tensor:
        """The denoising loss of each sample, (B,): the mean over its dimensions of the squared error.

        x0 (B, ...) in [-1, 1]; cond (B,) or (B, L), dropped to null with probability `p_uncond` a row; t (B,), by
        default drawn by times(B, schedule, generator). Without `weight` the error is that of the network's own target;
        with it, weight(log_snr) times the error of x0 (see the weightings below).
        """
        x0 = numbers(x0)
        t = times(len(x0), self.schedule, generator) if t is None else torch.as_tensor(t)
        t, eps = t.to(x0, non_blocking=x0.is_cuda), normal_like(x0, generator)
        self.times_drawn = t  # so that train can say at which noise a loss broke
        alpha, sigma = self.schedule(t)
        x_t = expand(alpha, x0) * x0 + expand(sigma, x0) * eps
        out = self.output(x_t, t, self._drop(self.given(cond, x0), p_uncond, generator))
        a, b = coefficients(self.prediction, self.schedule, t, self.sigma_data)
        error = (out - expand(a, x0) * x0 - expand(b, x0) * eps).square().flatten(1).mean(1)
        if weight is None:
            return error
        return weight(self.schedule.log_snr(t)) * (sigma / (alpha * b - sigma * a)) ** 2 * error

    def _drop(self, cond, p_uncond, generator):
        if cond is None or p_uncond == 0:
            return cond
        drop = torch.rand(len(cond), generator=generator, device=device_of(generator, cond)).to(cond.device) < p_uncond
        return torch.where(drop.reshape(-1, *[1] * (cond.ndim - 1)), self.null, cond)  # a number, or a row of tokens


def score(model, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
    """grad log p_t(x_t) = -eps / sigma_t, shaped like x_t (Vincent 2011)."""
    x_t, t = inputs(x_t, t)
    return -model(x_t, t, cond).eps / expand(model.schedule(t)[1], x_t)


def velocity(model, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
    """dx/dt of the probability-flow ODE: alpha' * x0 + sigma' * eps, shaped like x_t (Lipman et al. 2023)."""
    x_t, t = inputs(x_t, t)
    x0, eps = model(x_t, t, cond)
    d_alpha, d_sigma = model.schedule.rates(t)
    return expand(d_alpha, x_t) * x0 + expand(d_sigma, x_t) * eps


# Loss weightings, log_snr (B,) -> weight (B,) of the squared error of x0 (Kingma and Gao 2023). Without any, each
# prediction brings its own: x0 1, eps SNR, v SNR + 1 (on VP), edm SNR + 1 / sigma_data^2; score that of eps over
# sigma^2, flow on the linear path 1 / sigma^2.
WEIGHTINGS = {
    "own": None,
    "uniform": torch.ones_like,  # every x0 error counts alike
    "snr": torch.exp,  # the eps loss, DDPM's L_simple (Ho et al. 2020, equation 14)
    "min_snr": lambda log_snr: log_snr.exp().clamp(max=5.0),  # Hang et al. 2023
    # (sigma^2 + s^2) / (sigma s)^2 at alpha = 1 (Karras et al. 2022, table 1)
    "edm": lambda log_snr, sigma_data=0.5: log_snr.exp() + 1 / sigma_data**2,
    "sigmoid": lambda log_snr: log_snr.exp() * torch.sigmoid(2.0 - log_snr),  # Kingma and Gao 2023, on the eps loss
}
