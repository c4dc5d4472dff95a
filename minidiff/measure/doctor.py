"""Samples are noise: is it the model or the sampler? Each is tested alone.

The model must learn one small batch by heart: its x0 is compared with that of the batch's exact denoiser. The sampler,
run on that exact denoiser, must land on the batch's points.
"""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from ..denoise import Denoiser, lognormal_times, normal_like
from ..oracles import EmpiricalDenoiser
from ..samplers import dpmpp_2m, last, start
from ..schedules import expand
from ..train import train

MODEL_LIMIT, SAMPLER_LIMIT = 0.3, 0.01
VERDICTS = {  # (model_ok, sampler_ok) -> what to do
    (True, True): "both halves work: look at the data, the learning rate, or train for longer",
    (False, True): "the MODEL is at fault: net, targets, conditioning or optimizer; the sampler works",
    (True, False): "the SAMPLER is at fault: its formula or its times; the model learns",
    (False, False): "both are at fault: mend the sampler first, it needs no training to test",
}


class Report(NamedTuple):
    """model_error: mean squared error of x0 after overfitting, as a share of that of the best linear filter (1: nothing
    was learnt that needs a net). sampler_error: mean squared distance of samples to the nearest point of the batch, as
    a share of the batch's variance."""

    model_error: float
    sampler_error: float

    @property
    def model_ok(self) -> bool:
        return self.model_error <= MODEL_LIMIT

    @property
    def sampler_ok(self) -> bool:
        return self.sampler_error <= SAMPLER_LIMIT

    def __str__(self) -> str:
        return (
            f"model: after overfitting one batch, x0 is wrong by {self.model_error:.3f} of a linear filter's error "
            f"({'ok' if self.model_ok else 'BAD'}, limit {MODEL_LIMIT})\n"
            f"sampler: on the exact denoiser, samples miss the batch by {self.sampler_error:.4f} of the variance "
            f"({'ok' if self.sampler_ok else 'BAD'}, limit {SAMPLER_LIMIT})\n{VERDICTS[self.model_ok, self.sampler_ok]}"
        )


def examine(
    model: Denoiser, x0: Tensor, cond=None, sampler=dpmpp_2m, steps: int = 300, times=lognormal_times
) -> Report:
    """Overfit a model (it is changed) to a few x0 (B, ...) for `steps` steps, and run `sampler(model, x, times)` on
    the exact denoiser. Each step sees the batch many times, with other noise, so that no luck is in the result."""
    copies = max(1, (256 if x0.ndim == 2 else 64) // len(x0))
    batch = x0.repeat(copies, *[1] * (x0.ndim - 1)), None if cond is None else cond.repeat(copies)
    for _ in train(model, itertools.repeat(batch), steps, warmup=20, p_uncond=0.0, times=times):
        pass
    model.eval()
    generator = torch.Generator().manual_seed(0)
    oracle = EmpiricalDenoiser(x0, model.schedule, cond)
    mean, variance = x0.mean(), x0.var()
    ours = linear = 0.0  # squared errors, summed over the noise levels sigma / alpha
    for noise in (0.2, 0.5, 1.0):
        t = model.schedule.time(-2 * torch.tensor(noise).log()).to(x0)
        alpha, sigma = (expand(v, x0) for v in model.schedule(t))
        x_t = alpha * x0 + sigma * normal_like(x0, generator)
        exact = oracle(x_t, t, cond).x0
        filtered = mean + alpha * variance / (alpha**2 * variance + sigma**2) * (x_t - alpha * mean)
        with torch.no_grad():
            ours += (model(x_t, t, cond).x0 - exact).square().mean().item()
        linear += (filtered - exact).square().mean().item()
    return Report(ours / linear, sampler_error(x0, model.schedule, sampler))


def sampler_error(x0: Tensor, schedule, sampler=dpmpp_2m) -> float:
    """How far `sampler` ends from the nearest point of x0 when the denoiser is the exact one of x0."""
    oracle = EmpiricalDenoiser(x0, schedule)
    x = start(oracle, (64, *x0.shape[1:]), torch.Generator().manual_seed(0), x0.device)
    samples = last(sampler(oracle, x, schedule.grid(20)))
    nearest = torch.cdist(samples.flatten(1), x0.flatten(1)).min(1).values.square() / x0[0].numel()
    return (nearest.mean() / x0.var()).item()
