"""The diffusion transformer (DiT, Peebles and Xie 2023); with patches of one pixel, the lecture's plain transformer."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from .layers import Attention, ConditionedNet, CrossAttention, Fourier, Modulated, heads_of, positions, set_zero

CONDITIONING = ("none", "channel", "token", "add", "scale_shift", "adaln", "adaln_zero")


class DiT(ConditionedNet):
    """x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, out_channels, H, W).

    The picture is cut into patches of `patch` x `patch` pixels, each a token of `width`. `depth` blocks of attention
    (heads as `heads_of` says, unless given) and MLP follow. `conditioning` is how the embedding enters each block:
    "adaln_zero" modulates the norms and gates the branches, "adaln" modulates only, "scale_shift" modulates the output
    of the branches (FiLM), "add" adds a vector to their input, and "token" is one more token at the input.

    For `text` see ConditionedNet: with `text_mode` "tokens" the words follow the patches through all blocks, with
    "cross" each block has a cross-attention to them (PixArt-alpha, Chen et al. 2024). Raises ValueError for sizes that
    do not fit.
    """

    def __init__(
        self, channels, size, classes=None, width=128, depth=6, heads=None, patch=2, conditioning="adaln_zero",
        mlp_ratio=4.0, out_channels=None, features: Fourier | None = None, text=None, text_mode="cross",
    ):  # fmt: skip
        if size % patch:
            raise ValueError(f"pictures of {size} pixels cannot be cut into patches of {patch}: choose a divisor")
        if width % 4:
            raise ValueError(f"the positions' 2-D sine features need a width that is a multiple of 4, got {width}")
        heads = heads or heads_of(width)
        if width % heads:
            raise ValueError(f"attention splits the width among its heads: {width} is not a multiple of {heads}")
        super().__init__(conditioning, CONDITIONING, width, classes, text, text_mode, features)
        self.patch = patch
        self.words = nn.Linear(text.dim, width) if text and text_mode == "tokens" else None
        self.enter = nn.Conv2d(channels + (conditioning == "channel"), width, patch, stride=patch)
        self.register_buffer("positions", positions(size // patch, width))
        hidden = int(mlp_ratio * width)
        context = text.dim if text and text_mode == "cross" else None
        self.blocks = nn.ModuleList(Block(width, heads, hidden, conditioning, context) for _ in range(depth))
        self.modulated = conditioning in ("adaln", "adaln_zero")
        self.norm = Modulated(layer_norm(width), width, width, zero=True) if self.modulated else nn.LayerNorm(width)
        self.leave = set_zero(nn.Linear(width, patch**2 * (out_channels or channels)))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        x, emb, words = self.conditioned(x, c_noise, cond)
        h = self.enter(x)
        b, _, *side = h.shape
        mask = None
        h = h.flatten(2).transpose(1, 2) + self.positions.to(h.dtype)  # (B, patches, width)
        if self.conditioning == "token":
            h = torch.cat([h, emb[:, None]], 1)
        if self.words is not None:
            mask = torch.cat([words.mask.new_ones(h.shape[:2]), words.mask], 1)
            h = torch.cat([h, self.words(words.each).to(h.dtype)], 1)
        for block in self.blocks:
            h = block(h, emb, mask, words)
        h = h[:, : math.prod(side)]
        h = self.leave(self.norm(h, emb) if self.modulated else self.norm(h))
        h = h.view(b, *side, self.patch, self.patch, -1)  # (B, rows, columns, p, p, C)
        return h.permute(0, 5, 1, 3, 2, 4).reshape(b, -1, side[0] * self.patch, side[1] * self.patch)


class Block(nn.Module):
    """Attention, cross-attention to a text if there is a `context`, and an MLP, each a residual branch.

    x (B, N, width), emb (B, width) or None -> like x; mask (B, N) is true where x may be attended to; words are
    nets.text.Words. The cross-attention is not modulated, as in PixArt-alpha, and has no gate: with a gate that starts
    at 0 it takes twice the steps to learn which object lies where.
    """

    def __init__(self, width, heads, hidden, conditioning, context=None):
        super().__init__()
        mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))
        self.attention = Branch(Attention(width, heads), width, conditioning)
        self.cross = Branch(CrossAttention(width, heads, context), width, "none") if context else None
        self.mlp = Branch(mlp, width, conditioning)

    def forward(self, x: Tensor, emb: Tensor | None, mask: Tensor | None = None, words=None) -> Tensor:
        x = self.attention(x, emb, mask=mask)
        if self.cross is not None:
            x = self.cross(x, emb, words.each, words.mask)
        return self.mlp(x, emb)


class Branch(nn.Module):
    """x + layer(norm(x)), with the embedding where `conditioning` says (see DiT); further arguments are the layer's."""

    def __init__(self, layer, width, conditioning):
        super().__init__()
        self.layer, self.conditioning = layer, conditioning
        if conditioning in ("adaln", "adaln_zero"):
            zero = conditioning == "adaln_zero"
            self.norm = Modulated(layer_norm(width), width, width, zero=zero, gate=zero)
        else:
            self.norm = nn.LayerNorm(width)
        if conditioning == "scale_shift":
            self.film = Modulated(nn.Identity(), width, width)
        if conditioning == "add":
            self.add = nn.Linear(width, width)

    def forward(self, x, emb, *args, **options):
        def layer(h):
            return self.layer(h, *args, **options)

        if self.conditioning == "adaln_zero":
            h, gate = self.norm(x, emb)
            return torch.addcmul(x, gate, layer(h))
        if self.conditioning == "adaln":
            return x + layer(self.norm(x, emb))
        if self.conditioning == "scale_shift":
            return x + self.film(layer(self.norm(x)), emb)
        if self.conditioning == "add":
            return x + layer(self.norm(x) + self.add(emb)[:, None])
        return x + layer(self.norm(x))


def layer_norm(width: int) -> nn.LayerNorm:
    """A layer norm without scale and shift of its own, which come from the embedding."""
    return nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)


def dit(
    shape, classes=None, text=None, *, width: int = 128, depth: int = 6, patch: int | None = None,
    text_mode: str = "cross",
) -> DiT:  # fmt: skip
    """DiT, for `build`. Without `patch` it is the largest of 1, 2 and, for 32 pixels or more, 4 that divides the side.
    For text there are more heads: one asks for a colour, another for a place."""
    channels, size, _ = shape
    if patch is None:
        patch = next(p for p in ((2, 1) if size < 32 else (4, 2, 1)) if size % p == 0)
    heads = heads_of(width, 32) if text else None
    return DiT(channels, size, classes, width, depth, heads, patch, text=text, text_mode=text_mode)


transformer = partial(dit, patch=1)  # the lecture's: each pixel is a token
