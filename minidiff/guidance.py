"""Guidance: extrapolate from a weaker prediction through a stronger one.

guided = weak + scale * (strong - weak). In classifier-free guidance the weak model is the same network without its
condition (Ho and Salimans 2022; there w = scale - 1); in autoguidance it is a worse network (Karras et al. 2024).
The scale is the lecture's gamma: 1 is off.
"""

import torch
from torch import Tensor

from .denoise import Prediction
from .schedules import expand


class Guided:
    """A Model that guides another. `scale` 1 is the model itself and costs one call, 0 the weak one alone.

    weak: the weaker Model, given the same condition; by default the model under its null condition, both branches
    in one batched call. interval: the times (low, high), inclusive, within which guidance is on (Kynkaanniemi et al.
    2024); outside it the model itself is called, once.
    """

    def __init__(self, model, scale: float = 1.0, *, weak=None, interval: tuple[float, float] = (0.0, 1.0)):
        self.model, self.scale, self.weak, self.interval = model, float(scale), weak, interval
        self.schedule, self.null = model.schedule, getattr(model, "null", None)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        t = torch.as_tensor(t).to(x_t)
        low, high = self.interval
        on = (t >= low) & (t <= high)
        if self.scale == 1 or not on.any() or (cond is None and self.weak is None):
            return self.model(x_t, t, cond)
        scale = self.scale if on.all() else expand(torch.where(on, self.scale, 1.0).to(x_t), x_t)
        if self.weak is not None:
            return self.weak(x_t, t, cond).lerp(self.model(x_t, t, cond), scale)
        if self.scale == 0 and on.all():
            return self.model(x_t, t)
        if self.null is None:  # a Model that does not say which index is its null: two calls
            return self.model(x_t, t).lerp(self.model(x_t, t, cond), scale)
        both = torch.cat([torch.full_like(cond, self.null), cond])
        halves = self.model(torch.cat([x_t, x_t]), t.expand(len(x_t)).repeat(2), both)
        weak, strong = (Prediction(*part) for part in zip(*(h.chunk(2) for h in halves), strict=True))
        return weak.lerp(strong, scale)
