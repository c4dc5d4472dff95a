"""Guidance: extrapolate from a weaker prediction through a stronger one.

guided = weak + scale * (strong - weak). In classifier-free guidance the weak model is the same network without its
condition (Ho and Salimans 2022; there w = scale - 1); in autoguidance it is a worse network (Karras et al. 2024).
With a classifier the difference is its gradient (Dhariwal and Nichol 2021). The scale is the lecture's gamma: 1 is off.
"""

import math
from functools import partial

import torch
from torch import Tensor

from .denoise import Prediction, inputs
from .schedules import expand
from .text import check_labels, condition


class Guided:
    """A Model that guides another. `scale` 1 is the model itself and costs one call, 0 the weak one alone.

    weak: the weaker Model, given the same condition; by default the model under its null condition, both branches
    in one batched call. negative: a condition, one for all (() or (L,)) or one each, that takes the place of the null:
    what the samples are pushed away from. interval: the times (low, high), inclusive, within which guidance is on
    (Kynkaanniemi et al. 2024); outside it the model itself is called, once.
    """

    def __init__(self, model, scale: float = 1.0, *, weak=None, interval=(0.0, 1.0), negative=None):
        if not math.isfinite(scale):
            raise ValueError(f"the guidance scale must be a number (1 is no guidance), got {scale}")
        if weak is not None and negative is not None:
            raise ValueError("a weak model and a negative condition both say what to move away from: give one of them")
        self.model, self.scale, self.weak, self.negative = model, float(scale), weak, negative
        self.low, self.high = interval
        self.schedule, self.null = model.schedule, getattr(model, "null", None)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        x_t, t = inputs(x_t, t)
        if self.negative is not None and cond is None:
            raise ValueError("a negative condition is the other end of a condition: give that as well")
        given = getattr(self.model, "given", partial(condition, tokens=None))
        cond = given(cond, x_t)
        if self.scale == 1 or (cond is None and self.weak is None):
            return self.model(x_t, t, cond)
        on = None if self.low <= 0 and self.high >= 1 else (t >= self.low) & (t <= self.high)
        if on is not None and not on.any():  # a GPU is waited for only if there is an interval
            return self.model(x_t, t, cond)
        if self.scale == 0 and (on is None or on.all()):
            return self._weak(x_t, t, cond)
        scale = self.scale if on is None else expand(torch.where(on, self.scale, 1.0).to(x_t), x_t)
        weak, strong = self._both(x_t, t, cond)
        return weak.lerp(strong, scale)

    def _away(self, like: Tensor) -> Tensor | None:
        """The condition to move away from, shaped like cond."""
        away = self.null if self.negative is None else self.negative
        if away is None or isinstance(away, int):
            return None if away is None else torch.full_like(like, away)
        return torch.as_tensor(away).to(like, non_blocking=like.is_cuda).expand_as(like)

    def _weak(self, x_t, t, cond):
        if self.weak is not None:
            return self.weak(x_t, t, cond)
        return self.model(x_t, t, None if self.negative is None else self._away(cond))

    def _both(self, x_t, t, cond):
        """What the weak and the strong model say."""
        away = None if self.weak is not None or cond is None else self._away(cond)
        if away is None:  # two models, or one whose null condition is None alone: two calls
            return self._weak(x_t, t, cond), self.model(x_t, t, cond)
        twice = torch.cat([x_t, x_t]), t.expand(len(x_t)).repeat(2), torch.cat([away, cond])
        return tuple(Prediction(*part) for part in zip(*(h.chunk(2) for h in self.model(*twice)), strict=True))


class ClassifierGuided:
    """ADM-G (Dhariwal and Nichol 2021, algorithm 2): eps - scale * sigma * grad log p(cond | x_t). A Model.

    classifier: (x_t, t) -> logits (B, classes), trained on noisy pictures, or an exact one. The
    model is given the condition too if it takes one, else it is called without; rows of the null condition are not
    guided. Unlike Guided's, scale 0 is off: the classifier is added to what the model knows of the condition.
    """

    def __init__(self, model, classifier, scale: float = 1.0):
        if not math.isfinite(scale):
            raise ValueError(f"the guidance scale must be a number (0 is no guidance), got {scale}")
        self.model, self.classifier, self.scale = model, classifier, float(scale)
        self.schedule, self.null = model.schedule, getattr(model, "null", None)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        x_t, t = inputs(x_t, t)
        cond = condition(cond, x_t, self.null)
        found = self.model(x_t, t, None if self.null is None else cond)
        if cond is None or self.scale == 0:
            return found
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            log_p = self.classifier(x, t).log_softmax(1)
            if self.null is None and cond.device.type == "cpu":
                check_labels(cond, log_p.shape[1] - 1)
            known = (cond < log_p.shape[1]).to(log_p)
            chosen = log_p.gather(1, cond.clamp(max=log_p.shape[1] - 1)[:, None])[:, 0]
            gradient = torch.autograd.grad((known * chosen).sum(), x)[0]
        alpha, sigma = self.schedule(t)
        return Prediction.from_eps(found.eps - self.scale * expand(sigma, x_t) * gradient, x_t, alpha, sigma)
