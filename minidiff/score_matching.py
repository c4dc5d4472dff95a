"""Score matching: four losses for one score. Each returns the loss of every sample, (B,).

The lecture's loss, |s(x) - grad log p(x)|^2, needs the answer. The other three need only samples, and have the same
minimiser: they differ from it by a constant. `fn` is a function x (B, D) -> (B, D).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .denoise import normal_like
from .text import numbers


def explicit(fn: Callable, x: Tensor, target: Tensor) -> Tensor:
    """1/2 |s(x) - target|^2 with the true score `target` (B, D): half the Fisher divergence (Hyvarinen 2005)."""
    return 0.5 * (fn(x) - target).square().sum(1)


def implicit(fn: Callable, x: Tensor) -> Tensor:
    """tr(ds/dx) + 1/2 |s|^2 (Hyvarinen 2005, equation 4): explicit minus a constant, by integration by parts.

    The trace costs D backward passes.
    """
    s, trace = exact_trace(fn, x)
    return trace + 0.5 * s.square().sum(1)


def sliced(fn: Callable, x: Tensor, generator=None) -> Tensor:
    """v.(ds/dx)v + 1/2 (v.s)^2 along a random v ~ N(0, I) of each x (Song et al. 2019).

    With |s|^2 for (v.s)^2, which has the same mean and less variance, it is `implicit` by Hutchinson's trace.
    """
    again = torch.is_grad_enabled()
    x = numbers(x).detach().requires_grad_()
    with torch.enable_grad():
        s, v = fn(x), normal_like(x, generator)
        (back,) = torch.autograd.grad((s * v).sum(), x, create_graph=again)
        loss = (back * v).sum(1) + 0.5 * (s * v).sum(1).square()
    return loss if again else loss.detach()


def denoising(fn: Callable, x0: Tensor, sigma: float, generator=None) -> Tensor:
    """1/2 |s(x0 + sigma eps) + eps / sigma|^2 (Vincent 2011, equation 9): no derivative at all.

    Its minimiser is the score of the *noisy* law, that of x0 + sigma eps.
    """
    x0 = numbers(x0)
    eps = normal_like(x0, generator)
    return 0.5 * (fn(x0 + sigma * eps) + eps / sigma).square().sum(1)


def exact_trace(fn: Callable, x: Tensor) -> tuple[Tensor, Tensor]:
    """fn(x) (B, ...) and the trace of its Jacobian (B,), by one backward pass a dimension.

    Differentiable again if gradients are on: that is what `implicit` trains through.
    """
    again = torch.is_grad_enabled()
    x = numbers(x).detach().requires_grad_()
    with torch.enable_grad():
        out = fn(x)
        flat = out.flatten(1)
        trace = 0.0
        for i in range(flat.shape[1]):
            (back,) = torch.autograd.grad(flat[:, i].sum(), x, create_graph=again, retain_graph=True)
            trace = trace + back.flatten(1)[:, i]
    return (out, trace) if again else (out.detach(), trace.detach())


def hutchinson_trace(fn: Callable, x: Tensor, generator=None) -> tuple[Tensor, Tensor]:
    """fn(x) (B, ...) and an unbiased estimate (B,) of the trace of its Jacobian: v.(d fn/dx)v, by one backward pass.

    v has random signs, which of all such v has the least variance (Hutchinson 1989).
    """
    again = torch.is_grad_enabled()
    x = numbers(x).detach().requires_grad_()
    with torch.enable_grad():
        out, v = fn(x), normal_like(x, generator).sign()
        (back,) = torch.autograd.grad((out * v).sum(), x, create_graph=again)
        trace = (back * v).flatten(1).sum(1)
    return (out, trace) if again else (out.detach(), trace.detach())
