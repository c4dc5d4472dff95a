"""Priors over latents: `fit` one to Latents, and with the decoder it draws pictures.

Here are those that are fitted in closed form or by EM: N(0, I), one Gaussian, a mixture. The others are models that are
trained: a GAN, a Causal transformer over tokens, a Denoiser. fit(Denoiser(...), latents, vae) is latent diffusion,
fit(Causal(...), latents, vq) is VQGAN.
"""

import math

import torch
from torch import Tensor, nn

from ..denoise import device_of, normal_like
from ..train import new_state, train
from .autoencoder import Autoencoder
from .latent import Latent, Latents


class Gaussian(nn.Module):
    """One Gaussian for latents of `shape`: of their mean and covariance or, with full=False, N(0, I), the law towards
    which the loss of an autoencoder pulls its latents as they are, not scaled."""

    def __init__(self, shape, full: bool = True):
        super().__init__()
        self.shape, self.full = tuple(shape), full
        dim = math.prod(shape)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("root", torch.eye(dim))  # of the covariance

    def fit(self, z: Tensor, generator=None) -> None:
        """z (N, *shape)."""
        if self.full:
            z = z.flatten(1).cpu().double()
            self.mean.copy_(z.mean(0))
            self.root.copy_(root_of(z.T.cov()))

    def sample(self, n: int, cond=None, generator=None) -> Tensor:
        """(n, *shape); the condition is not used."""
        x = normal_like(self.mean.expand(n, -1), generator)
        return (self.mean + x @ self.root.T).view(n, *self.shape)


def root_of(covariance: Tensor, ridge: float = 1e-4) -> Tensor:
    """Its Cholesky root (D, D); the ridge is added to every variance, so that one of few samples has a root."""
    covariance = torch.atleast_2d(covariance)  # cov of one variable has no dimensions
    return torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype))


class Mixture(nn.Module):
    """`parts` Gaussians with full covariances, by expectation maximisation (Dempster et al. 1977)."""

    def __init__(self, shape, parts: int = 10, steps: int = 20):
        super().__init__()
        self.shape, self.parts, self.steps = tuple(shape), parts, steps
        dim = math.prod(shape)
        self.register_buffer("weights", torch.full((parts,), 1 / parts))
        self.register_buffer("means", torch.zeros(parts, dim))
        self.register_buffer("roots", torch.eye(dim).repeat(parts, 1, 1))

    def fit(self, z: Tensor, generator=None) -> list[float]:
        """z (N, *shape); the mean log-likelihood in nats before each step, which never falls but for the ridge.

        It starts from random samples as means and the covariance of all.
        """
        device, z = self.means.device, z.flatten(1).cpu().double()  # not every device has float64
        self.cpu().double()
        self.means.copy_(z[torch.randperm(len(z), generator=generator)[: self.parts]])
        self.roots.copy_(root_of(z.T.cov()).expand_as(self.roots))
        path = []
        for _ in range(self.steps):
            logs = self.log_parts(z)
            path.append(torch.logsumexp(logs, 1).mean().item())
            share = torch.softmax(logs, 1)  # (N, parts), of each sample
            total = share.sum(0).clamp(min=1e-6)
            self.weights.copy_(total / total.sum())
            self.means.copy_(share.T @ z / total[:, None])
            for k in range(self.parts):
                away = (z - self.means[k]) * share[:, k : k + 1].sqrt()
                self.roots[k] = root_of(away.T @ away / total[k])
        self.float().to(device)
        return path

    def log_parts(self, z: Tensor) -> Tensor:
        """log of weight times density of each part at z (N, D), (N, parts)."""
        found = []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            away = torch.linalg.solve_triangular(root, (z - mean).T, upper=False)
            log_det = root.diagonal().log().sum()
            found.append(weight.log() - log_det - 0.5 * (away.square().sum(0) + z.shape[1] * math.log(2 * math.pi)))
        return torch.stack(found, 1)

    def sample(self, n: int, cond=None, generator=None) -> Tensor:
        """(n, *shape); the condition is not used."""
        where = device_of(generator, self.weights)
        k = torch.multinomial(self.weights.to(where), n, replacement=True, generator=generator).to(self.means.device)
        x = normal_like(self.means[k], generator)
        for part, (mean, root) in enumerate(zip(self.means, self.roots, strict=True)):
            x[k == part] = mean + x[k == part] @ root.T
        return x.view(n, *self.shape)


def fit(
    prior: nn.Module, latents: Latents, autoencoder: Autoencoder, steps: int = 1000, seed: int = 0, lr: float = 1e-3
) -> Latent:  # fmt: skip
    """Any prior fitted to latents, and joined with the decoder. A model is trained for `steps` steps of 64.

    N(0, I) is not fitted: it is that of the autoencoder's own latents, so what it draws is decoded at a scale of 1.
    """
    generator = torch.Generator().manual_seed(seed)
    if hasattr(prior, "fit"):
        prior.fit(latents.at(torch.arange(len(latents))), generator)
    else:
        state = new_state(prior, seed)
        batches = (latents.batch(64, state.generator)[0] for _ in range(steps))
        for _ in train(prior, batches, steps, lr=lr, check=None, state=state):
            pass
        prior = state.ema
    model = Latent(prior, autoencoder).eval()
    if getattr(prior, "full", True):
        model.scale.fill_(latents.scale)
    return model
