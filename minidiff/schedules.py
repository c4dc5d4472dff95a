"""Noise schedules: the path x_t = alpha_t * x0 + sigma_t * eps from data (t = 0) to noise (t = 1).

A schedule is only a clock and a scale. What a network can know of the noise is the signal-to-noise ratio, so two
schedules differ in *when* they reach a ratio and how they scale the sum there, never in what there is to learn
(Kingma et al. 2021, "Variational Diffusion Models", section 5.1). Hence the three knobs that are kept apart here:

- the path: `Schedule.__call__`;
- the times drawn in training: functions in `denoise`;
- the times visited in sampling: `Schedule.grid`, which places the same noise levels on every path.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def expand(value: Tensor, x: Tensor) -> Tensor:
    """Append dimensions to `value`, (B,) or (), until it broadcasts against `x`, (B, ...)."""
    return value.reshape(value.shape + (1,) * (x.ndim - value.ndim)) if value.ndim else value


class Schedule:
    """Base of the paths. A subclass gives `__call__`, `rates` and `time`; alpha(0) = 1 and sigma(0) = 0 on all.

    `noise_range` is the range of sigma / alpha that sampling visits: EDM's 0.002 to 80 (Karras et al. 2022, table 1).
    """

    noise_range = (0.002, 80.0)

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t, each of t's shape."""
        raise TypeError("a Schedule needs __call__: use VP, VE, Cosine, Linear or EDM")

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """d alpha / dt and d sigma / dt, each of t's shape. On VP and VE d sigma / dt is infinite at t = 0."""
        raise TypeError("a Schedule needs rates: use VP, VE, Cosine, Linear or EDM")

    def time(self, log_snr: Tensor) -> Tensor:
        """The time at which the log signal-to-noise ratio is `log_snr`: the inverse of `log_snr`."""
        raise TypeError("a Schedule needs time: use VP, VE, Cosine, Linear or EDM")

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log(alpha / sigma), in nats; strictly decreasing in t; infinite at t = 0."""
        alpha, sigma = self(t)
        return 2 * (alpha.log() - sigma.log())

    def _time_of(self, noise: float) -> float:
        return min(1.0, self.time(torch.tensor(-2 * math.log(noise), dtype=torch.float64)).item())

    @property
    def t_min(self) -> float:
        """The time of the least noise that is trained and sampled (sigma / alpha = 0.002)."""
        return self._time_of(self.noise_range[0])

    @property
    def t_max(self) -> float:
        """The time at which sampling starts: sigma / alpha = 80, or the end of the path if it has less noise."""
        return self._time_of(self.noise_range[1])

    def grid(self, steps: int, rho: float = 7.0, noise: tuple[float, float] | None = None) -> Tensor:
        """`steps` + 1 times, from t_max down to 0, float32.

        (sigma / alpha)^(1 / rho) falls evenly (Karras et al. 2022, equation 5), whichever the path; with rho = inf it
        falls by equal ratios. `noise`: the most and the least sigma / alpha, 0 aside, instead of all of `noise_range`.
        """
        if steps < 1:
            raise ValueError(f"a sampling grid needs at least 1 step, got {steps}")
        if not rho > 0:
            raise ValueError(f"rho must be more than 0 (7 is usual), got {rho}")
        most, least = self.noise_range[::-1] if noise is None else noise
        if not most > least > 0:
            raise ValueError(f"the noise of a grid falls from more to less, both above 0, got {noise}")
        ends = torch.tensor([self._time_of(most), self._time_of(least)], dtype=torch.float64)
        if math.isinf(rho):
            levels = torch.linspace(*(-self.log_snr(ends) / 2).tolist(), steps, dtype=torch.float64).exp()
        else:
            high, low = (-self.log_snr(ends) / (2 * rho)).exp().tolist()
            levels = torch.linspace(high, low, steps, dtype=torch.float64) ** rho
        return torch.cat([self.time(-2 * levels.log()), levels.new_zeros(1)]).float()


@dataclass(frozen=True)
class VP(Schedule):
    """Variance preserving, DDPM's limit: alpha^2 + sigma^2 = 1 (Song et al. 2021, "Score-Based", appendix C).

    alpha = exp(-B / 2) with B(t) the integral of the linear beta(t) from beta_min to beta_max.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __call__(self, t):
        b = self.beta_min * t + (self.beta_max - self.beta_min) / 2 * t**2
        return torch.exp(-b / 2), torch.sqrt(-torch.expm1(-b))  # expm1: sigma stays exact where it is small

    def rates(self, t):
        alpha, sigma = self(t)
        beta = self.beta_min + (self.beta_max - self.beta_min) * t
        return -beta * alpha / 2, beta * alpha**2 / (2 * sigma)

    def time(self, log_snr):
        b = torch.nn.functional.softplus(-log_snr)
        root = torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * b)
        return 2 * b / (self.beta_min + root)  # the root of the quadratic, in the form that does not cancel


@dataclass(frozen=True)
class VE(Schedule):
    """Variance exploding: alpha = 1, geometric sigma (Song et al. 2021, "Score-Based", appendix C).

    sigma is the noise *added* since t = 0, so sigma(0) = 0: sigma_min * sqrt((sigma_max / sigma_min)^(2t) - 1).
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    @property
    def _rate(self):
        return 2 * math.log(self.sigma_max / self.sigma_min)

    def __call__(self, t):
        return torch.ones_like(t), self.sigma_min * torch.sqrt(torch.expm1(self._rate * t))

    def rates(self, t):
        _, sigma = self(t)
        return torch.zeros_like(t), self.sigma_min**2 * self._rate * torch.exp(self._rate * t) / (2 * sigma)

    def time(self, log_snr):
        return torch.log1p(torch.exp(-log_snr) / self.sigma_min**2) / self._rate


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Nichol and Dhariwal 2021, equation 17, without the offset)."""

    def __call__(self, t):
        return torch.sin(math.pi / 2 * (1 - t)), torch.sin(math.pi / 2 * t)  # this alpha is exactly 0 at t = 1

    def rates(self, t):
        alpha, sigma = self(t)
        return -math.pi / 2 * sigma, math.pi / 2 * alpha

    def time(self, log_snr):
        return 2 / math.pi * torch.atan(torch.exp(-log_snr / 2))


@dataclass(frozen=True)
class Linear(Schedule):
    """alpha = 1 - t, sigma = t: the straight path of flow matching (Liu et al. 2022; Lipman et al. 2023)."""

    def __call__(self, t):
        return 1 - t, t.clone()

    def rates(self, t):
        return -torch.ones_like(t), torch.ones_like(t)

    def time(self, log_snr):
        return torch.sigmoid(-log_snr / 2)


@dataclass(frozen=True)
class EDM(Schedule):
    """alpha = 1, sigma = sigma_max * t: EDM's clock, in which sigma itself is the time (Karras et al. 2022)."""

    sigma_max: float = 80.0

    def __call__(self, t):
        return torch.ones_like(t), self.sigma_max * t

    def rates(self, t):
        return torch.zeros_like(t), torch.full_like(t, self.sigma_max)

    def time(self, log_snr):
        return torch.exp(-log_snr / 2) / self.sigma_max


SCHEDULES = {"vp": VP, "ve": VE, "cosine": Cosine, "linear": Linear, "edm": EDM}
