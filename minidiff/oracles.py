"""Exact models: the answers against which networks and samplers are held.

Two data laws have a denoiser in closed form: a mixture of Gaussians, and a finite data set (a mixture of points).
Both are Models, so every sampler, guidance and metric runs on them without any training.
"""

import math

import torch
from torch import Tensor

from .denoise import Prediction, device_of, inputs, normal_like
from .schedules import Schedule, expand
from .text import condition


class GaussianMixture:
    """sum_k weights[k] N(means[k], covariances[k]); weights (K,), means (K, D), covariances (K, D, D).

    `labels` (K,) gives each component's class, by default its own index. Weights are normalised. Diffusing it keeps
    it a mixture and keeps the eigenvectors of its covariances, which makes everything below closed-form.
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor, labels: Tensor | None = None):
        weights, means, covariances = (torch.as_tensor(v) for v in (weights, means, covariances))
        k, d = means.shape
        if weights.shape != (k,) or covariances.shape != (k, d, d):
            raise ValueError(
                f"a mixture of {k} in {d} dimensions needs weights ({k},) and covariances ({k}, {d}, {d}), "
                f"got {tuple(weights.shape)} and {tuple(covariances.shape)}"
            )
        self.dim, self.weights, self.means, self.covariances = d, weights / weights.sum(), means, covariances
        self.labels = torch.arange(k, device=means.device) if labels is None else labels
        self.variances, self.axes = torch.linalg.eigh(covariances)  # (K, D), (K, D, D) with axes in columns
        self.directions = self.axes.mT.flatten(0, 1)  # (K D, D): all axes, for one product with them
        self.centres = (self.means[:, None] @ self.axes)[:, 0]  # (K, D): each mean in its own axes
        if not (weights >= 0).all() or not (self.variances > -1e-9).all():
            raise ValueError("a mixture needs weights >= 0 and covariances without negative eigenvalues")

    def to(self, like: Tensor) -> "GaussianMixture":
        """The mixture in `like`'s dtype and on its device."""
        parts = (v.to(like) for v in (self.weights, self.means, self.covariances))
        return GaussianMixture(*parts, labels=self.labels.to(like.device))

    def given(self, label: int) -> "GaussianMixture":
        """The mixture of one class."""
        keep = self.labels == label
        if not keep.any():
            raise ValueError(f"label {label} is out of range: this mixture has {sorted(set(self.labels.tolist()))}")
        return GaussianMixture(self.weights[keep], self.means[keep], self.covariances[keep], self.labels[keep])

    def sample_labelled(self, n: int, generator=None) -> tuple[Tensor, Tensor]:
        """n samples (n, D) and their classes (n,)."""
        where = device_of(generator, self.weights)
        k = torch.multinomial(self.weights.to(where), n, replacement=True, generator=generator).to(self.weights.device)
        z = normal_like(self.means[k], generator) * self.variances[k].clamp(min=0).sqrt()
        return self.means[k] + torch.einsum("nij,nj->ni", self.axes[k], z), self.labels[k]

    def sample(self, n: int, generator=None) -> Tensor:
        """n samples (n, D)."""
        return self.sample_labelled(n, generator)[0]

    def diffuse(self, alpha: float, sigma: float) -> "GaussianMixture":
        """The law of alpha * x0 + sigma * eps."""
        eye = torch.eye(self.dim).to(self.covariances)
        covariances = alpha**2 * self.covariances + sigma**2 * eye
        return GaussianMixture(self.weights, alpha * self.means, covariances, self.labels)

    def in_axes(self, x: Tensor, alpha: float | Tensor = 1.0) -> Tensor:
        """x - alpha mean of each component in that one's axes, (B, K, D); alpha is a number or (B, 1, 1)."""
        return (x @ self.directions.T).view(-1, *self.means.shape) - alpha * self.centres

    def _components(self, x, alpha, sigma):
        """log of weight times density of each component at x under noise, (B, K), and x in that one's axes over its
        variances, (B, K, D). alpha, sigma are numbers or (B, 1, 1)."""
        z = self.in_axes(x, alpha)
        variances = alpha**2 * self.variances + sigma**2
        scaled = z * variances.reciprocal()
        square = (z * scaled) @ z.new_ones(self.dim)  # faster than a sum over so short an axis
        log_density = -0.5 * (square + (variances.log() + math.log(2 * math.pi)).sum(-1))
        return self.weights.log() + log_density, scaled

    def denoise(self, x_t: Tensor, alpha, sigma, cond: Tensor | None = None) -> Prediction:
        """E[x0 | x_t] and E[eps | x_t], each (B, D); alpha, sigma () or (B,), not both 0.

        cond (B,) restricts each row to the components of its class; a class that no component has (the null) or
        None restricts to nothing.
        """
        alpha, sigma = (torch.as_tensor(v).to(x_t).reshape(-1, 1, 1) for v in (alpha, sigma))
        logits, scaled = self._components(x_t, alpha, sigma)
        if cond is not None:
            mine = self.labels == cond[:, None]
            logits = logits.masked_fill(~mine & mine.any(1, keepdim=True), -torch.inf)
        share = torch.softmax(logits, 1)
        back = (share[..., None] * scaled).flatten(1)  # (B, K D)
        x0 = share @ self.means + alpha[:, 0] * (back @ (self.variances.reshape(-1, 1) * self.directions))
        return Prediction(x0, sigma[:, 0] * (back @ self.directions))

    def posterior_mean(self, x_t: Tensor, alpha, sigma) -> Tensor:
        """E[x0 | x_t], (B, D)."""
        return self.denoise(x_t, alpha, sigma).x0

    def log_prob(self, x: Tensor) -> Tensor:
        """log density in nats, (B,)."""
        return torch.logsumexp(self._components(x, 1.0, 0.0)[0], 1)

    def score(self, x: Tensor) -> Tensor:
        """grad log p(x), (B, D)."""
        logits, scaled = self._components(x, 1.0, 0.0)
        return -(torch.softmax(logits, 1)[..., None] * scaled).flatten(1) @ self.directions


class MixtureDenoiser:
    """The Model that a perfect network trained on `mixture` would be. Classes are the mixture's labels."""

    def __init__(self, mixture: GaussianMixture, schedule: Schedule):
        self.mixture, self.schedule = mixture, schedule
        self.null = int(mixture.labels.max()) + 1

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        (x_t, t), mixture = inputs(x_t, t), self.mixture
        if mixture.means.dtype != x_t.dtype or mixture.means.device != x_t.device:
            mixture = mixture.to(x_t)  # not kept: in float32 the next call in float64 would be rounded
        t = t[:1] if t.ndim and (t == t[:1]).all() else t  # one noise level for all: a third less to compute
        with torch.autocast(x_t.device.type, enabled=False):  # exact also where a sampler computes in bfloat16
            return mixture.denoise(x_t, *self.schedule(t), condition(cond, x_t, self.null))


class EmpiricalDenoiser:
    """The Model that minimises the training loss on the data set itself: a softmax over its points.

    data (N, ...), labels (N,) or None. Sampling with it returns training points: perfect score matching memorises
    (Karras et al. 2022, appendix B.3), and a sampler that does not end on a point is broken.
    """

    def __init__(self, data: Tensor, schedule: Schedule, labels: Tensor | None = None):
        self.data, self.schedule, self.labels = data, schedule, labels
        self.null = None if labels is None else int(labels.max()) + 1

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        x_t, t = inputs(x_t, t)
        alpha, sigma = self.schedule(t)
        points, x = self.data.to(x_t).flatten(1), x_t.flatten(1)
        a, s = expand(alpha, x), expand(sigma, x)
        with torch.autocast(x.device.type, enabled=False):
            # |x - a p|^2 without the term that is the same for every point, which the softmax does not see
            logits = (a * x @ points.T - a**2 * points.square().sum(1) / 2) / s**2
            if cond is not None:
                if self.labels is None:
                    raise ValueError("a condition was given to an EmpiricalDenoiser without labels")
                mine = self.labels.to(x.device) == condition(cond, x, self.null)[:, None]
                logits = logits.masked_fill(~mine & mine.any(1, keepdim=True), -torch.inf)
            x0 = (torch.softmax(logits, 1) @ points).reshape(x_t.shape)
        return Prediction.from_x0(x0, x_t, alpha, sigma)
