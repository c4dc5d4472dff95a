"""Samples are noise: is it the model or the sampler? Two tests, each of one half alone.

The model: a net that cannot learn one small batch by heart cannot learn anything. Its x0 is compared with that of
the batch's exact denoiser. The sampler: run on that exact denoiser, it must land on the batch's points.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoise import Denoiser, lognormal_times, normal_like
from ..oracles import EmpiricalDenoiser
from ..samplers import dpmpp_2m, last, start
from ..schedules import expand
from ..train import train


@dataclass
class Report:
    """model_error: mean squared difference of x0 to the exact one after overfitting, as a share of what the best linear
    filter leaves (1: learnt nothing that needs a net). sampler_error: mean squared distance of samples to the nearest
    point of the batch, as a share of the batch's variance."""

    model_error: float
    sampler_error: float

    model_limit = 0.3
    sampler_limit = 0.01

    @property
    def model_ok(self) -> bool:
        return self.model_error <= self.model_limit

    @property
    def sampler_ok(self) -> bool:
        return self.sampler_error <= self.sampler_limit

    def __str__(self) -> str:
        verdict = {
            (True, True): "both halves work: look at the data, the learning rate, or train for longer",
            (False, True): "the MODEL is at fault: net, targets, conditioning or optimizer; the sampler works",
            (True, False): "the SAMPLER is at fault: its formula or its times; the model learns",
            (False, False): "both are at fault: mend the sampler first, it needs no training to test",
        }[self.model_ok, self.sampler_ok]
        return (
            f"model: after overfitting one batch, x0 is wrong by {self.model_error:.3f} of a linear filter's error "
            f"({'ok' if self.model_ok else 'BAD'}, limit {self.model_limit})\n"
            f"sampler: on the exact denoiser, samples miss the batch by {self.sampler_error:.4f} of the variance "
            f"({'ok' if self.sampler_ok else 'BAD'}, limit {self.sampler_limit})\n{verdict}"
        )


def examine(
    model: Denoiser, x0: Tensor, cond=None, sampler=dpmpp_2m, steps: int = 300, times=lognormal_times
) -> Report:
    """Overfit a model (it is changed) to a few x0 (B, ...) for `steps` steps; run `sampler(model, x, times)` on the
    oracle. Each step sees the batch many times over, at other noise: so it is a fair test of the net, not of luck."""
    copies = max(1, (256 if x0.ndim == 2 else 64) // len(x0))
    rows = x0.repeat(copies, *[1] * (x0.ndim - 1)), None if cond is None else cond.repeat(copies)
    for _ in train(model, itertools.repeat(rows), steps, warmup=20, p_uncond=0.0, times=times):
        pass
    model.eval()
    generator = torch.Generator().manual_seed(0)
    oracle, errors = EmpiricalDenoiser(x0, model.schedule, cond), []
    for noise in (0.2, 0.5, 1.0):
        t = model.schedule.time(-2 * torch.tensor(noise).log()).to(x0)
        alpha, sigma = (expand(v, x0) for v in model.schedule(t))
        with torch.no_grad():
            x_t = alpha * x0 + sigma * normal_like(x0, generator)
            exact = oracle(x_t, t, cond).x0
            linear = x0.mean() + alpha * x0.var() / (alpha**2 * x0.var() + sigma**2) * (x_t - alpha * x0.mean())
            errors.append([(x - exact).square().mean().item() for x in (model(x_t, t, cond).x0, linear)])
    ours, linear = map(sum, zip(*errors, strict=True))
    return Report(ours / linear, sampler_error(x0, model.schedule, sampler))


def sampler_error(x0: Tensor, schedule, sampler=dpmpp_2m, steps: int = 20, n: int = 64) -> float:
    """How far `sampler` ends from the nearest point of x0 when the denoiser is the exact one of x0."""
    oracle = EmpiricalDenoiser(x0, schedule)
    x = start(oracle, (n, *x0.shape[1:]), torch.Generator().manual_seed(0), x0.device)
    samples = last(sampler(oracle, x, schedule.grid(steps)))
    nearest = torch.cdist(samples.flatten(1), x0.flatten(1)).min(1).values.square() / x0[0].numel()
    return (nearest.mean() / x0.var()).item()
