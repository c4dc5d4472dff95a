"""Samples are noise: is it the model or the sampler? Two tests, each of one half alone.

The model: a net that cannot learn one small batch by heart cannot learn anything. Its x0 is compared with the
batch at middle noise. The sampler: run on the exact denoiser of that batch, it must land on the batch's points.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .denoise import Denoiser, normal_like
from .oracles import EmpiricalDenoiser
from .samplers import dpmpp_2m, last, start
from .schedules import expand
from .train import train


@dataclass
class Report:
    """model_error: mean squared error of x0 after overfitting, as a share of the batch's variance (1: learnt nothing).
    sampler_error: mean squared distance of samples to the nearest point of the batch, in the same unit."""

    model_error: float
    sampler_error: float

    model_limit = 0.1
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
            f"model: after overfitting one batch, x0 is wrong by {self.model_error:.3f} of the variance "
            f"({'ok' if self.model_ok else 'BAD'}, limit {self.model_limit})\n"
            f"sampler: on the exact denoiser, samples miss the batch by {self.sampler_error:.4f} of the variance "
            f"({'ok' if self.sampler_ok else 'BAD'}, limit {self.sampler_limit})\n{verdict}"
        )


def examine(model: Denoiser, x0: Tensor, cond: Tensor | None = None, sampler=dpmpp_2m, steps: int = 300) -> Report:
    """Overfit a model (it is changed) to x0 (B, ...) for `steps` steps; run `sampler(model, x, times)` on the oracle."""

    def forever():
        while True:
            yield x0, cond

    for _ in train(model, forever(), steps, warmup=20, p_uncond=0.0):
        pass
    model.eval()
    generator = torch.Generator().manual_seed(0)
    errors = []
    for noise in (0.2, 0.5, 1.0):
        t = model.schedule.time(-2 * torch.tensor(noise).log())
        alpha, sigma = (expand(v, x0) for v in model.schedule(t))
        with torch.no_grad():
            guess = model(alpha * x0 + sigma * normal_like(x0, generator), t, cond).x0
        errors.append((guess - x0).square().mean() / x0.var())
    return Report(torch.stack(errors).mean().item(), sampler_error(x0, model.schedule, sampler))


def sampler_error(x0: Tensor, schedule, sampler=dpmpp_2m, steps: int = 20, n: int = 64) -> float:
    """How far `sampler` ends from the nearest point of x0 when the denoiser is the exact one of x0."""
    oracle = EmpiricalDenoiser(x0, schedule)
    x = start(oracle, (n, *x0.shape[1:]), torch.Generator().manual_seed(0))
    samples = last(sampler(oracle, x, schedule.grid(steps)))
    nearest = torch.cdist(samples.flatten(1), x0.flatten(1)).min(1).values.square() / x0[0].numel()
    return (nearest.mean() / x0.var()).item()
