"""The first stage: an encoder makes latents of pictures, a decoder pictures of latents.

With a KL bottleneck it is a VAE (Kingma and Welling 2014), with a codebook a VQ-VAE (van den Oord et al. 2017); with
the perceptual loss and the critic they are latent diffusion's and VQGAN's (Rombach et al. 2022; Esser et al. 2021).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

from ..denoise import normal_like
from ..device import autocast, to_device
from ..measure import classifier
from ..nets.cnn import Block, resize
from ..nets.fast import GroupNorm
from . import perceptual
from .gan import PatchCritic, adversarial_losses
from .vq import Codebook

FACTORS = (1, 2, 4, 8)
PERCEPTUAL = 0.2  # the weight of a perceptual distance beside |x - y|


def plain(width: int) -> Block:
    """A residual block without a condition."""
    return Block(width, width, 0, conditioning="none")


class Encoder(nn.Module):
    """(B, C, H, W) -> (B, out, H / f, W / f).

    The first halving, which costs most, puts each 2 x 2 pixels into the channels; the others are a block and a strided
    convolution, to twice the width, at most four times.
    """

    def __init__(self, channels: int, out: int, f: int, width: int):
        super().__init__()
        self.patch, widths = patch_and_widths(f, width)
        self.enter = nn.Conv2d(channels * self.patch**2, width, 3, padding=1)
        self.levels = nn.ModuleList(
            nn.ModuleList([plain(now), nn.Conv2d(now, then, 3, stride=2, padding=1)]) for now, then in pairwise(widths)
        )
        now = widths[-1]
        self.last, self.norm, self.leave = plain(now), GroupNorm(now), nn.Conv2d(now, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(pixel_unshuffle(x, self.patch))
        for block, down in self.levels:
            h = down(block(h, None))
        return self.leave(silu(self.norm(self.last(h, None))))


class Decoder(nn.Module):
    """(B, latent, H / f, W / f) -> (B, C, H, W): the encoder backwards."""

    def __init__(self, channels: int, latent: int, f: int, width: int):
        super().__init__()
        self.patch, widths = patch_and_widths(f, width)
        widths = widths[::-1]
        self.enter, self.first = nn.Conv2d(latent, widths[0], 3, padding=1), plain(widths[0])
        self.levels = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(now, then, 3, padding=1), plain(then)]) for now, then in pairwise(widths)
        )
        self.norm = GroupNorm(width)
        self.leave = nn.Conv2d(width, channels * self.patch**2, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        h = self.first(self.enter(z), None)
        for conv, block in self.levels:
            h = block(conv(resize(h, "up")), None)
        return pixel_shuffle(self.leave(silu(self.norm(h))), self.patch)


def patch_and_widths(f: int, width: int) -> tuple[int, list[int]]:
    """The side of the patches at the outer end, 1 or 2, and the channels at each resolution from there inwards."""
    return min(f, 2), [width * min(4, 2**level) for level in range(max(1, f.bit_length() - 1))]


class KL(nn.Module):
    """A VAE's bottleneck: h (B, 2 dim, H, W), the mean and log variance of each latent -> z (B, dim, H, W).

    The weight of the KL divergence to N(0, 1) is small, as in latent diffusion: it bounds the scale of the latents, and
    does not make them normal.
    """

    def __init__(self, weight: float = 1e-3):
        super().__init__()
        self.weight = weight

    def forward(self, h: Tensor, generator=None) -> tuple[Tensor, Tensor]:
        """A draw from the Gaussians and their KL divergence in nats a latent, weighted, (B,)."""
        mean, log_var = h.float().chunk(2, 1)
        log_var = log_var.clamp(-20, 10)
        kl = (mean.square() + log_var.exp() - 1 - log_var) / 2
        return mean + (log_var / 2).exp() * normal_like(mean, generator), self.weight * kl.flatten(1).mean(1)

    def code(self, h: Tensor) -> Tensor:
        """The means."""
        return h.float().chunk(2, 1)[0]

    def lookup(self, z: Tensor) -> Tensor:
        """z itself: what a codebook has vectors for."""
        return z


class Autoencoder(nn.Module):
    """Pictures (B, C, H, H) of `shape` (C, H, H) to latents (B, *latent_shape) and back.

    Latents are real numbers in `dim` channels at H / f or, with `codes`, indices (B, H / f, H / f) into a codebook of
    so many vectors of `dim`. The loss is |x - y| + PERCEPTUAL * the perceptual distance, if there is one, + the
    bottleneck's + `adversarial` * the generator's against a critic of patches; with 0 there is no critic. Raises
    ValueError for pictures that cannot be divided by f.
    """

    def __init__(self, shape, f=4, dim=4, width=32, codes: int | None = None, adversarial: float = 0.02):
        super().__init__()
        channels, size, _ = shape
        if f not in FACTORS:
            raise ValueError(f"an autoencoder divides the side by one of {', '.join(map(str, FACTORS))}, not {f}")
        if size % f:
            raise ValueError(f"pictures of {size} pixels cannot be divided by {f}: choose another f or size")
        self.codes, self.adversarial = codes, adversarial
        self.latent_shape = (size // f, size // f) if codes is not None else (dim, size // f, size // f)
        self.encoder = Encoder(channels, dim if codes is not None else 2 * dim, f, width)
        self.bottleneck = KL() if codes is None else Codebook(codes, dim)
        self.decoder = Decoder(channels, dim, f, width)
        self.critic = PatchCritic(channels, width) if adversarial else None
        self.perceptual = None  # a distance (x, y) -> (B,) to train with, if there is one

    def prepare(self, data, device):
        """It is trained on the data. If there is a critic it is so with a perceptual distance, of the features of a
        classifier trained here on the data, where LPIPS takes VGG's."""
        if self.critic is not None:
            self.perceptual = perceptual.distance(classifier.for_data(data, device, seed=1).requires_grad_(False).maps)
        return data

    def loss(self, x0: Tensor, cond=None, *, generator=None) -> Tensor:
        """The sum of the autoencoder's loss and its critic's, (B,); the condition is not used."""
        z, bottleneck_loss = self.bottleneck(self.encoder(x0), generator)
        y = self.decoder(z)
        loss = (y.float() - x0).abs().flatten(1).mean(1) + bottleneck_loss
        if self.perceptual is not None:
            loss = loss + PERCEPTUAL * self.perceptual(x0, y)
        if self.critic is not None:
            generator_loss, critic_loss = adversarial_losses(self.critic, x0, y.to(x0))
            loss = loss + self.adversarial * generator_loss + critic_loss
        return loss

    def sample(self, n: int, cond=None, generator=None, **options) -> Tensor:
        """Raises ValueError: there is no prior to draw latents from."""
        raise ValueError("an autoencoder draws nothing by itself: train a second stage, with --autoencoder")

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Pictures (B, C, H, H) -> latents (B, dim, H / f, H / f), or indices (B, H / f, H / f)."""
        return self.bottleneck.code(self.encoder(x))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Latents or indices -> pictures (B, C, H, H), in [-1, 1]."""
        return self.decoder(self.bottleneck.lookup(z)).float().clamp(-1, 1)


@torch.no_grad()
def reconstruct(model: Autoencoder, x: Tensor, batch: int = 250) -> tuple[Tensor, Tensor]:
    """The reconstructions of pictures x, and their latents or indices, on the CPU."""
    device, found = next(model.parameters()).device, []
    for part in x.split(batch):
        part = to_device(part, device)
        with autocast(device, part):
            z = model.encode(part)
            found.append((model.decode(z).cpu(), z.cpu()))
    return tuple(torch.cat(part) for part in zip(*found, strict=True))
