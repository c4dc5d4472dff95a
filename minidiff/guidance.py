"""Guidance: extrapolate from a weaker prediction through a stronger one.

guided = weak + scale * (strong - weak). In classifier-free guidance the weak model is the same network without its
condition (Ho and Salimans 2022; there w = scale - 1); in autoguidance it is a worse network (Karras et al. 2024).
With a classifier the difference is its gradient (Dhariwal and Nichol 2021). The scale is the lecture's gamma: 1 is off.
"""

import math

import torch
from torch import Tensor

from .denoise import Prediction, condition, numbers, whole_numbers
from .schedules import expand


class Guided:
    """A Model that guides another. `scale` 1 is the model itself and costs one call, 0 the weak one alone.

    weak: the weaker Model, given the same condition; by default the model under its null condition, both branches
    in one batched call. negative: a condition, one for all (() or (L,)) or one each, that takes the place of the null:
    what the samples are pushed away from. interval: the times (low, high), inclusive, within which guidance is on
    (Kynkaanniemi et al. 2024); outside it the model itself is called, once. rescale, 0 to 1: how far x0, which guidance
    makes too contrasty, is brought back to the deviation of the conditional one (Lin et al. 2024, section 3.4).
    """

    def __init__(self, model, scale: float = 1.0, *, weak=None, interval=(0.0, 1.0), negative=None, rescale=0.0):
        if not math.isfinite(scale):
            raise ValueError(f"the guidance scale must be a number (1 is no guidance), got {scale}")
        if not 0 <= rescale <= 1:
            raise ValueError(f"rescale must lie between 0 (off) and 1, got {rescale}")
        if weak is not None and negative is not None:
            raise ValueError("a weak model and a negative condition both say what to move away from: give one of them")
        self.model, self.scale, self.weak, self.interval = model, float(scale), weak, interval
        self.negative, self.rescale = negative, rescale
        self.schedule, self.null = model.schedule, getattr(model, "null", None)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        x_t = numbers(x_t)
        t = torch.as_tensor(t).to(x_t)
        if cond is not None:
            cond = whole_numbers(cond).to(x_t.device)
            cond = cond.expand(len(x_t)) if cond.ndim == 0 else cond
        if self.scale == 1 or (cond is None and self.weak is None and self.negative is None):
            return self.model(x_t, t, cond)
        low, high = self.interval
        on = (t >= low) & (t <= high)
        always = (low <= 0 and high >= 1) or bool(on.all())  # a GPU is waited for only if there is an interval
        if not (always or on.any()):
            return self.model(x_t, t, cond)
        if self.scale == 0 and always and self.rescale == 0:
            return self._weak(x_t, t, cond)
        scale = self.scale if always else expand(torch.where(on, self.scale, 1.0).to(x_t), x_t)
        weak, strong = self._both(x_t, t, cond)
        guided = weak.lerp(strong, scale)
        return guided if self.rescale == 0 else self._rescaled(guided, strong, x_t, t)

    def _away(self, like: Tensor) -> Tensor | None:
        """The condition to move away from, shaped like cond."""
        away = self.null if self.negative is None else self.negative
        if away is None or isinstance(away, int):
            return None if away is None else torch.full_like(like, away)
        return torch.as_tensor(away).to(like, non_blocking=like.is_cuda).expand_as(like)

    def _weak(self, x_t, t, cond):
        if self.weak is not None:
            return self.weak(x_t, t, cond)
        return self.model(x_t, t, None if self.negative is None or cond is None else self._away(cond))

    def _both(self, x_t, t, cond):
        away = None if self.weak is not None or cond is None else self._away(cond)
        if away is None:  # two models, or one that does not say which index is its null: two calls
            return self._weak(x_t, t, cond), self.model(x_t, t, cond)
        twice = torch.cat([x_t, x_t]), t.expand(len(x_t)).repeat(2), torch.cat([away, cond])
        return tuple(Prediction(*part) for part in zip(*(h.chunk(2) for h in self.model(*twice)), strict=True))

    def _rescaled(self, guided, strong, x_t, t):
        wanted, found = (expand(p.x0.flatten(1).std(1), x_t) for p in (strong, guided))
        x0 = guided.x0 * (self.rescale * wanted / found + 1 - self.rescale)
        return from_x0(x0, x_t, *self.schedule(t))


class ClassifierGuided:
    """ADM-G (Dhariwal and Nichol 2021, algorithm 2): eps - scale * sigma * grad log p(cond | x_t). A Model.

    classifier: (x_t, t) -> logits (B, classes), trained on noisy pictures (classifier.fit_noisy), or an exact one. The
    model is given the condition too if it takes one, else it is called without; rows of the null condition are not
    guided. Unlike Guided's, scale 0 is off: the classifier is added to what the model knows of the condition.
    """

    def __init__(self, model, classifier, scale: float = 1.0):
        if not math.isfinite(scale):
            raise ValueError(f"the guidance scale must be a number (0 is no guidance), got {scale}")
        self.model, self.classifier, self.scale = model, classifier, float(scale)
        self.schedule, self.null = model.schedule, getattr(model, "null", None)

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        x_t = numbers(x_t)
        cond = condition(cond, x_t, self.null)
        t = torch.as_tensor(t).to(x_t)
        found = self.model(x_t, t, None if self.null is None else cond)
        if cond is None or self.scale == 0:
            return found
        with torch.enable_grad():
            x = x_t.detach().requires_grad_()
            log_p = self.classifier(x, t).log_softmax(1)
            known = (cond < log_p.shape[1]).to(log_p)
            chosen = log_p.gather(1, cond.clamp(max=log_p.shape[1] - 1)[:, None])[:, 0]
            gradient = torch.autograd.grad((known * chosen).sum(), x)[0]
        alpha, sigma = (expand(v, x_t) for v in self.schedule(t))
        eps = found.eps - self.scale * sigma * gradient
        return Prediction((x_t - sigma * eps) / alpha, eps)


def during(times: Tensor, first: int, last: int) -> tuple[float, float]:
    """The interval that holds the steps `first` to `last` of a grid of falling times, counted from 0, and no other."""
    between = [1.0, *times.unfold(0, 2, 1).mean(1).tolist()]
    return between[last + 1], between[first]


def from_x0(x0: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Prediction:
    """The Prediction whose x0 this is."""
    return Prediction(x0, (x_t - expand(alpha, x_t) * x0) / expand(sigma, x_t))
