"""Distances between samples, and likelihoods. Distances take arrays (N, D) of samples or of features, torch or numpy.

A number means nothing without the features, the number of samples and the sampler: print them beside it. A Frechet
distance is an FID only on Inception's features.
"""

import math

import torch
from torch import Tensor

from ..denoise import normal_like, numbers
from ..samplers import checked
from ..score_matching import exact_trace, hutchinson_trace
from ..text import tensor_of


def sliced_wasserstein(a: Tensor, b: Tensor, projections: int = 256) -> float:
    """The root mean square, over random directions, of the 1-D 2-Wasserstein distance (Bonneel et al. 2015).

    a, b (N, D), equally many. The directions are those of seed 0, so that a distance repeats.
    """
    a, b = _same(a, b, equal_n=True)
    directions = normal_like(torch.empty(a.shape[1], projections), torch.Generator().manual_seed(0)).to(a)
    directions = directions / directions.norm(dim=0)
    return ((a @ directions).sort(0).values - (b @ directions).sort(0).values).square().mean().sqrt().item()


def psnr(x: Tensor, y: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures y against x, (N, C, H, W) in [-1, 1]: the mean over pictures."""
    x, y = _finite(numbers(x)), _finite(numbers(y))
    if x.shape != y.shape or x.ndim != 4 or not len(x):
        raise ValueError(f"expected pictures (N, C, H, W) of one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    error = (x - y).square().flatten(1).mean(1).clamp(min=1e-10)
    return (10 * torch.log10(4 / error)).mean().item()


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The squared Frechet distance of Gaussians fitted to a (N, D) and b (M, D) (Heusel et al. 2017).

    |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)). The last trace is the sum of the singular values of
    A^T B where C_a = A A^T: no matrix square root, nothing complex.
    """
    a, b = _same(a, b, least=2)
    mean_a, mean_b = a.mean(0), b.mean(0)
    root_a, root_b = (a - mean_a) / math.sqrt(len(a) - 1), (b - mean_b) / math.sqrt(len(b) - 1)
    # R of QR is as good a root, and of many samples the smaller one
    root_a, root_b = (torch.linalg.qr(r).R if len(r) > r.shape[1] else r for r in (root_a, root_b))
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    return ((mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross).item()


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased squared MMD under the kernel (x.y / D + 1)^3 (Binkowski et al. 2018): KID on Inception features."""
    a, b = _same(a, b, least=2)

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x):  # the mean over pairs of two different points
        k = kernel(x, x)
        return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))

    return (within(a) + within(b) - 2 * kernel(a, b).mean()).item()


def inception_score(probs: Tensor) -> float:
    """exp of the mean KL(p(y|x) || p(y)) (Salimans et al. 2016); probs (N, classes), rows summing to 1."""
    probs = _finite(probs)
    if probs.ndim != 2 or not len(probs) or (probs < 0).any() or ((probs.sum(1) - 1).abs() > 1e-3).any():
        raise ValueError("inception_score takes probabilities (N, classes) whose rows sum to 1: softmax the logits")
    marginal = probs.mean(0)
    return (torch.xlogy(probs, probs) - torch.xlogy(probs, marginal)).sum(1).mean().exp().item()


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019): real (N, D), fake (M, D).

    Precision: the share of fakes within the distance of some real point to its k-th nearest other real point.
    Recall: the same with the roles exchanged.
    """
    if k < 1:
        raise ValueError(f"precision and recall need the k-th nearest neighbour of at least k = 1, got {k}")
    real, fake = _same(real, fake, least=k + 1)
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(points, support, k):
    # exact differences: the matrix-product form of cdist loses the small distances that the radii are made of
    def distances(x):
        return torch.cdist(x, support, compute_mode="donot_use_mm_for_euclid_dist")

    radius = torch.cat([distances(part).kthvalue(k + 1, 1).values for part in support.split(2048)])
    return torch.cat([(distances(part) <= radius).any(1) for part in points.split(2048)]).float().mean().item()


def modes_covered(x: Tensor, mixture) -> tuple[int, float]:
    """How many components of a GaussianMixture have at least an eighth of their share of x (N, D), and the share of x
    that belongs to any: the nearest, in its standard deviations, if within three of them."""
    x = _finite(x).to(mixture.means)
    if x.ndim != 2 or x.shape[1] != mixture.dim or not len(x):
        raise ValueError(f"expected samples (N, {mixture.dim}), got {tuple(x.shape)}")
    away = mixture.in_axes(x) / mixture.variances.sqrt()
    nearest, mode = away.norm(dim=2).min(1)
    near = nearest < 3.0
    counts = torch.bincount(mode[near], minlength=len(mixture.weights))
    return int((counts >= mixture.weights * len(x) / 8).sum()), near.float().mean().item()


@torch.no_grad()
def log_likelihood(model, x0: Tensor, times: Tensor, cond=None, exact: bool = True, generator=None) -> Tensor:
    """log p(x0) in nats, (B,), by the probability-flow ODE (Song et al. 2021, "Score-Based", section 4.3).

    times runs from data to noise, all above 0, say `model.schedule.grid(n)[:-1].flip(0)`: x0 is taken as y at the
    first of them. The ODE is dy/dn = eps in y = x / alpha, n = sigma / alpha, solved by Heun's method; log p
    changes by the trace of d eps / dy, exact (D backward passes) or estimated by one (Hutchinson).
    """
    x0, times = numbers(x0), checked(times, model.schedule, x0.dtype)
    if (times.diff() <= 0).any() or times[0] == 0:
        raise ValueError("the times of a likelihood rise from data to noise, all above 0: a grid's, flipped")
    times = times.to(x0.device)

    def slope_and_trace(y, t):
        alpha = model.schedule(t)[0]
        eps = lambda y: model(alpha * y, t, cond).eps  # noqa: E731
        return exact_trace(eps, y) if exact else hutchinson_trace(eps, y, generator)

    y, change = x0, x0.new_zeros(len(x0))
    for t, s in zip(times[:-1], times[1:], strict=True):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        step = sigma_s / alpha_s - sigma_t / alpha_t
        slope, trace = slope_and_trace(y, t)
        slope_ahead, trace_ahead = slope_and_trace(y + step * slope, s)
        y, change = y + step * (slope + slope_ahead) / 2, change + step * (trace + trace_ahead) / 2
    n = sigma_s / alpha_s
    prior = -0.5 * (y.flatten(1) / n).square().sum(1) - y[0].numel() * (n.log() + 0.5 * math.log(2 * math.pi))
    return prior + change


def bits_per_dim(model, pictures: Tensor, times: Tensor, cond=None, generator=None) -> Tensor:
    """-log2 p(picture) / D, (N,), of uint8 pictures (N, ...): what a lossless code would take by the model, at most.

    The density of the pictures plus uniform noise of one level, by `log_likelihood` with an estimated trace, is a bound
    on their probability (Theis et al. 2016, section 3.1); levels are 2 / 255 apart in [-1, 1].
    """
    pictures = torch.as_tensor(pictures)
    if pictures.dtype != torch.uint8:
        raise ValueError(f"bits are of pictures of 256 levels, uint8, not {pictures.dtype}")
    where = pictures.device if generator is None else generator.device
    noise = torch.rand(pictures.shape, generator=generator, device=where).to(pictures.device)
    x = (pictures + noise - 0.5) / 127.5 - 1
    nats = log_likelihood(model, x, times, cond, exact=False, generator=generator)
    return -nats / (x[0].numel() * math.log(2)) + math.log2(127.5)


def _finite(x) -> Tensor:
    """Numbers of any kind (tensor, array, lists) as float64 on the CPU. Raises ValueError unless all are finite."""
    x = tensor_of(x).detach().cpu().double()
    if not x.isfinite().all():
        raise ValueError(f"{int((~x.isfinite()).sum())} of {x.numel()} numbers to be compared are not finite")
    return x


def _same(a, b, least: int = 1, equal_n: bool = False) -> tuple[Tensor, Tensor]:
    """a (N, D) and b (M, D) in float64 on the CPU. Raises ValueError if they cannot be compared."""
    a, b = _finite(a), _finite(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not (a.numel() and b.numel()):
        raise ValueError(f"expected (N, D) and (M, D), got {tuple(a.shape)} and {tuple(b.shape)}")
    if equal_n and len(a) != len(b):
        raise ValueError(f"expected equally many samples, got {len(a)} and {len(b)}")
    if min(len(a), len(b)) < least:
        raise ValueError(f"expected more than {least - 1} samples a side, got {len(a)} and {len(b)}")
    return a, b
