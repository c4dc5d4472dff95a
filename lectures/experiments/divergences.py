"""Claims 7.8 and 7.9: what is small when a divergence is small, for densities of two modes on a line, by quadrature.

One compares fits by forward and reverse KL; the other how far score matching knows the modes' weights, by noise level.
"""

import torch
from torch import Tensor

from .tools import Outcome

LINE = torch.linspace(-12, 12, 4801, dtype=torch.float64)
STEP = (LINE[1] - LINE[0]).item()


def two_modes(share: float = 0.5, var: float = 0.25) -> Tensor:
    """The density on LINE of modes at -2 and 2, `share` of the weight in the second."""
    return (1 - share) * _normal(-2, var) + share * _normal(2, var)


def _normal(mean, var):
    return torch.exp(-((LINE - mean) ** 2) / (2 * var)) / (2 * torch.pi * var) ** 0.5


def kl(p: Tensor, q: Tensor) -> float:
    """KL(p || q) of densities on LINE, in nats."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum().item() * STEP


def fitted(which: str) -> Tensor:
    """The Gaussian on LINE of least KL(p || q), "forward" (the moments of p), or least KL(q || p), "reverse" (a
    search).
    """
    p = two_modes()
    if which == "forward":
        mean = (p * LINE).sum().item() * STEP
        return _normal(mean, (p * (LINE - mean) ** 2).sum().item() * STEP)
    grid = [(m, v) for m in torch.linspace(-3, 3, 121).tolist() for v in torch.logspace(-1, 1, 81).tolist()]
    return _normal(*min(grid, key=lambda mv: kl(_normal(*mv), p)))


def outside(q: Tensor) -> float:
    """The share of q where p is below the density that 99% of it exceed."""
    p = two_modes()
    order = p.sort(descending=True).values
    edge = order[(order.cumsum(0) * STEP < 0.99).sum()]
    return q[p < edge].sum().item() * STEP


def likelihood_covers(smoke: bool) -> Outcome:
    forward = outside(fitted("forward"))
    reverse = outside(fitted("reverse"))
    left = 1 - 2 * min((fitted("reverse")[LINE < 0].sum() * STEP).item(), 0.5)
    return Outcome(
        forward, forward, forward,
        data="one Gaussian to two, N(-2, .25) and N(2, .25) in equal parts, by quadrature", seeds=0,
        notes=f"the reverse KL's Gaussian: {reverse:.3f} outside, and {left:.3f} of one mode missed",
    )  # fmt: skip


def weights_seen(smoke: bool) -> Outcome:
    """KL between mixtures that differ in their modes' weights only, as the integral of half the Fisher divergence."""
    variances = torch.logspace(-3, 4, 141, dtype=torch.float64)
    halves = []
    for v in variances:
        line = LINE * max(1.0, (v.item() + 4) ** 0.5 / 1.5)  # wide enough for the noise
        laws = [torch.stack([w * _at(line, m, 0.25 + v) for m, w in ((-2, 1 - s), (2, s))]) for s in (0.2, 0.5)]
        scores = [(g * torch.stack([-(line + 2), -(line - 2)]) / (0.25 + v)).sum(0) / g.sum(0) for g in laws]
        fisher = (laws[0].sum(0) * (scores[0] - scores[1]) ** 2).sum() * (line[1] - line[0])
        halves.append(fisher.item() / 2)
    halves = torch.tensor(halves, dtype=torch.float64)
    parts = (halves[1:] + halves[:-1]) / 2 * (variances[1:] - variances[:-1])
    small = parts[variances[1:] <= 0.25].sum().item()
    total = kl(two_modes(0.2), two_modes(0.5))
    return Outcome(
        small / total, small / total, small / total,
        data="modes at -2 and 2, variance .25, weights .8 and .2 against .5 and .5, by quadrature", seeds=0,
        notes=f"KL {total:.4f} nats; half the Fisher divergence integrated over all noise variances {parts.sum():.4f}",
        detail={"variances": variances, "halves": halves},
    )  # fmt: skip


def _at(line, mean, var):
    return torch.exp(-((line - mean) ** 2) / (2 * var)) / (2 * torch.pi * var) ** 0.5
