"""The parts that networks share: how the noise level is embedded, and how an embedding modulates features."""

import math

import torch
from torch import Tensor, nn


class Fourier(nn.Module):
    """Features of a scalar: cos and sin of it at `dim` / 2 frequencies, geometric from 1 / 8 to 32 periods a unit.

    (B,) -> (B, dim). Fixed, so that a trained net does not depend on a random draw (Vaswani et al. 2017, section
    3.5). c_noise = log(sigma / alpha) / 4 moves by about 3 over the whole range of noise.
    """

    def __init__(self, dim: int):
        super().__init__()
        if dim % 2:
            raise ValueError(f"Fourier features come in pairs: their number must be even, got {dim}")
        frequencies = 2 * math.pi * torch.logspace(-3, 5, dim // 2, base=2.0)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, c: Tensor) -> Tensor:
        angle = c[:, None] * self.frequencies.to(c.dtype)
        return torch.cat([angle.cos(), angle.sin()], 1)


class Embedding(nn.Module):
    """The vector that tells a net the noise level and, if it is conditional, the label.

    c_noise (B,), cond (B,) or None -> (B, dim). Label number `classes` is the null condition, which None stands for.
    """

    def __init__(self, dim: int, classes: int | None = None):
        super().__init__()
        self.noise = nn.Sequential(Fourier(dim), nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Embedding(classes + 1, dim) if classes else None
        self.null = classes if classes else None

    def forward(self, c_noise: Tensor, cond: Tensor | None) -> Tensor:
        emb = self.noise(c_noise)
        if self.label is not None:
            cond = torch.full((len(emb),), self.null, device=emb.device) if cond is None else cond
            emb = emb + self.label(cond)
        return emb


class Modulated(nn.Module):
    """norm(x) * (1 + scale(emb)) + shift(emb): a normalisation whose statistics the embedding sets.

    With InstanceNorm it is AdaIN (Huang and Belongie 2017), with GroupNorm AdaGN (Dhariwal and Nichol 2021), with
    LayerNorm adaLN (Peebles and Xie 2023). `norm` is built without its own affine; x is (B, channels, ...), emb
    (B, emb_dim). Scale and shift start at 0, so that it starts as the plain norm.
    """

    def __init__(self, norm: nn.Module, channels: int, emb_dim: int):
        super().__init__()
        self.norm = norm
        self.to_scale_shift = nn.Linear(emb_dim, 2 * channels)
        nn.init.zeros_(self.to_scale_shift.weight)
        nn.init.zeros_(self.to_scale_shift.bias)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.to_scale_shift(emb).chunk(2, 1)
        scale, shift = (v.reshape(*v.shape, *[1] * (x.ndim - 2)) for v in (scale, shift))
        return torch.addcmul(shift, self.norm(x), 1 + scale)


def zero(layer: nn.Module) -> nn.Module:
    """The layer with its weights set to 0: a residual branch that ends in it starts as the identity."""
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer
