"""A perceptual distance between pictures: that of the features of a trained network."""

from collections.abc import Callable

import torch
from torch import Tensor


def distance(maps: Callable[[Tensor], list[Tensor]]) -> Callable[[Tensor, Tensor], Tensor]:
    """(x, y) -> (B,), 0 to 4: the squared difference of the unit vectors of their feature maps (B, c, h, w), averaged
    over space and layers. LPIPS (Zhang et al. 2018, equation 1) without its learned weights; gradients go to y alone.
    """

    def between(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = [unit(h) for h in maps(x)]
        errors = [(unit(h) - w).square().sum(1).mean((1, 2)) for h, w in zip(maps(y), wanted, strict=True)]
        return sum(errors) / len(errors)

    return between


def unit(h: Tensor) -> Tensor:
    """h (B, c, h, w) with vectors of length 1 along c."""
    h = h.float()
    return h / (h.square().sum(1, keepdim=True) + 1e-8).sqrt()
