"""Toys: distributions of points in the plane, at about the scale of [-1, 1].

Those in EXACT are functions that return a GaussianMixture, so density and score are exact. Those in SAMPLED have no
density to write down: they are functions (n, generator) -> points (n, 2) and labels (n,).
"""

import math

import torch
from torch import Tensor

from ..denoise import normal_like
from ..oracles import GaussianMixture
from .dataset import Data


class Points(Data):
    """A toy as a data set: for every batch points (n, 2) and labels (n,) are drawn afresh, for both parts alike."""

    shape = (2,)

    def __init__(self, name: str, part: str = "train", size: None = None):
        self.name = name
        self.mixture = EXACT[name]() if name in EXACT else None
        self.batch = self.mixture.sample_labelled if name in EXACT else SAMPLED[name]
        _, labels = self.batch(4096, torch.Generator().manual_seed(0))
        self.classes = [str(i) for i in range(int(labels.max()) + 1)]


def _isotropic(means: Tensor, std: float, weights: Tensor | None = None, labels: Tensor | None = None):
    k, d = means.shape
    weights = torch.ones(k) if weights is None else weights
    return GaussianMixture(weights, means, std**2 * torch.eye(d).expand(k, d, d), labels)


def _circle(n: int, radius: float) -> Tensor:
    angle = torch.arange(n) * (2 * math.pi / n)
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def eight_gaussians(std: float = 0.05) -> GaussianMixture:
    """Eight modes on a circle of radius 0.8, a class each."""
    return _isotropic(_circle(8, 0.8), std)


def two_modes(share: float = 0.8, std: float = 0.1) -> GaussianMixture:
    """Two well separated Gaussians, the second with `share` of the weight (after Song and Ermon 2019, figure 3)."""
    return _isotropic(torch.tensor([[-0.6, -0.6], [0.6, 0.6]]), std, torch.tensor([1 - share, share]))


def grid_25(std: float = 0.03) -> GaussianMixture:
    """A 5 x 5 grid of modes in [-0.8, 0.8]^2, a class each: the mode-coverage test of the GAN years."""
    line = torch.linspace(-0.8, 0.8, 5)
    return _isotropic(torch.cartesian_prod(line, line), std)


def rings(std: float = 0.04) -> GaussianMixture:
    """Two rings, of 24 modes at radius 0.8 and 12 at 0.4, all of equal weight; a class each ring."""
    labels = torch.tensor([0] * 24 + [1] * 12)
    return _isotropic(torch.cat([_circle(24, 0.8), _circle(12, 0.4)]), std, labels=labels)


def branches(depth: int = 5) -> GaussianMixture:
    """Two trees that fork `depth` - 1 times into ever finer twigs, a class each.

    Where a learned score is blurred, samples fall between the twigs (after the fractal of Karras et al. 2024, "Guiding
    a Diffusion Model with a Bad Version of Itself", figure 1).
    """
    left, right = (_grow(torch.zeros(2), angle, 0.4, 0.04, depth, 1.0) for angle in (math.pi, 0.0))
    weights, means, covariances = (torch.stack(p) for p in zip(*left, *right, strict=True))
    return GaussianMixture(weights, means, covariances, torch.arange(2).repeat_interleave(len(left)))


def _grow(root, angle, length, thickness, depth, weight):
    """A branch as four long Gaussians in a row, and two thinner branches from its tip."""
    along = torch.tensor([math.cos(angle), math.sin(angle)])
    across = torch.stack([-along[1], along[0]])
    covariance = (length / 8) ** 2 * torch.outer(along, along) + (thickness / 2) ** 2 * torch.outer(across, across)
    parts = [(torch.tensor(weight / 4), root + along * length * (i + 0.5) / 4, covariance) for i in range(4)]
    if depth > 1:
        for turn in (-0.5, 0.5):
            parts += _grow(root + along * length, angle + turn, 0.7 * length, 0.6 * thickness, depth - 1, weight / 2)
    return parts


def two_moons(n: int, generator=None) -> tuple[Tensor, Tensor]:
    """Two interleaved half circles with noise 0.03, a class each."""
    label = torch.randint(2, (n,), generator=generator)
    angle = math.pi * torch.rand(n, generator=generator)
    sign = 1.0 - 2 * label
    x = torch.stack([sign * angle.cos() - 0.5 * sign, sign * angle.sin() - 0.25 * sign], 1)
    return 0.6 * x + 0.03 * normal_like(x, generator), label


def swiss_roll(n: int, generator=None) -> tuple[Tensor, Tensor]:
    """A spiral of one and a half turns with noise 0.02; the class is its inner or outer half."""
    turn = torch.rand(n, generator=generator)
    angle = 1.5 * math.pi * (1 + 2 * turn)
    x = (angle / (4.5 * math.pi))[:, None] * torch.stack([angle.cos(), angle.sin()], 1) * 0.95
    return x + 0.02 * normal_like(x, generator), (turn > 0.5).long()


def checkerboard(n: int, generator=None) -> tuple[Tensor, Tensor]:
    """The eight dark squares of a 4 x 4 board on [-1, 1]^2, uniform on each, a class each."""
    square = torch.randint(8, (n,), generator=generator)
    row, column = square // 2, 2 * (square % 2) + (square // 2) % 2
    x = torch.rand(n, 2, generator=generator) + torch.stack([column, row], 1)
    return x / 2 - 1, square


def spirals(n: int, generator=None) -> tuple[Tensor, Tensor]:
    """Two arms that wind once and a half about each other, with noise 0.02, a class each."""
    arm = torch.randint(2, (n,), generator=generator)
    turn = torch.rand(n, generator=generator).sqrt()
    angle = 3 * math.pi * turn + math.pi * arm
    x = 0.9 * turn[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return x + 0.02 * normal_like(x, generator), arm


EXACT = {f.__name__: f for f in (eight_gaussians, two_modes, grid_25, rings, branches)}
SAMPLED = {f.__name__: f for f in (two_moons, swiss_roll, checkerboard, spirals)}
