"""The diffusion transformer (DiT, Peebles and Xie 2023); with patches of one pixel, the lecture's plain transformer."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from .cnn import with_level
from .layers import Attention, CrossAttention, Embedding, Fourier, Modulated, heads_of, positions, read, set_zero

CONDITIONING = ("none", "channel", "token", "add", "scale_shift", "adaln", "adaln_zero")


class DiT(nn.Module):
    """x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, out_channels, H, W).

    The picture is cut into patches of `patch` x `patch` pixels, each a token of `width`; `depth` blocks of attention
    (heads of 64 channels, unless given) and MLP follow. `how` the embedding enters each block: "adaln_zero" modulates
    the norms and gates the branches, "adaln" modulates only, "scale_shift" modulates what the branches put out (FiLM),
    "add" adds a vector to what they take in; or once, at the input: as one more "token", as a constant "channel" of the
    picture, or not at all ("none"); the last two know no labels. Raises ValueError for sizes that do not fit.

    `text`, an encoder of minidiff.text, makes cond tokens (B, L). Their pooled vector joins the embedding; with `way`
    "tokens" the words follow the patches through all blocks as well, with "cross" each block has a cross-attention to
    them (PixArt-alpha, Chen et al. 2024), and with "pooled" that is all.
    """

    def __init__(
        self, channels, size, classes=None, width=128, depth=6, heads=None, patch=2, how="adaln_zero", mlp_ratio=4.0,
        out_channels=None, features: Fourier | None = None, text=None, way="cross",
    ):  # fmt: skip
        super().__init__()
        if how not in CONDITIONING:
            raise ValueError(f"unknown conditioning {how!r}: choose from {', '.join(CONDITIONING)}")
        if (classes or text) and how in ("channel", "none"):
            raise ValueError(f"conditioning {how!r} has no place for labels: choose another, or leave out classes")
        if size % patch:
            raise ValueError(f"pictures of {size} pixels cannot be cut into patches of {patch}: choose a divisor")
        if width % 4:
            raise ValueError(f"the positions' 2-D sine features need a width that is a multiple of 4, got {width}")
        self.how, self.patch, self.text, self.way = how, patch, text, way
        text_dim = text.dim if text else None
        self.emb = Embedding(width, classes, features, text_dim) if how not in ("channel", "none") else None
        self.null = text.null if text else classes or None
        self.words = nn.Linear(text.dim, width) if text and way == "tokens" else None
        self.enter = nn.Conv2d(channels + (how == "channel"), width, patch, stride=patch)
        self.register_buffer("positions", positions(size // patch, width))
        heads, hidden = heads or heads_of(width), int(mlp_ratio * width)
        context = text.dim if text and way == "cross" else None
        self.blocks = nn.ModuleList(Block(width, heads, hidden, how, context) for _ in range(depth))
        self.modulated = how in ("adaln", "adaln_zero")
        self.norm = Modulated(layer_norm(width), width, width, zero=True) if self.modulated else nn.LayerNorm(width)
        self.leave = set_zero(nn.Linear(width, patch**2 * (out_channels or channels)))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        words, there = None, None
        if self.text is not None:
            words = read(self.text, cond, x)
            cond = words.pooled
        emb = None if self.emb is None else silu(self.emb(c_noise, cond))
        h = self.enter(with_level(x, c_noise) if self.how == "channel" else x)
        b, width, *side = h.shape
        h = h.flatten(2).transpose(1, 2) + self.positions.to(h.dtype)
        if self.how == "token":
            h = torch.cat([h, emb[:, None]], 1)
        if self.words is not None:
            there = torch.cat([words.there.new_ones(h.shape[:2]), words.there], 1)
            h = torch.cat([h, self.words(words.each).to(h.dtype)], 1)
        for block in self.blocks:
            h = block(h, emb, there, words)
        h = h[:, : math.prod(side)]
        h = self.leave(self.norm(h, emb) if self.modulated else self.norm(h))
        h = h.view(b, *side, self.patch, self.patch, -1)  # (B, rows, columns, p, p, C)
        return h.permute(0, 5, 1, 3, 2, 4).reshape(b, -1, side[0] * self.patch, side[1] * self.patch)


class Block(nn.Module):
    """Attention, then cross-attention to text if it has a `context`, then an MLP, each a residual branch.

    The cross-attention is not modulated, as in PixArt-alpha, and has no gate: one that starts at 0 keeps the words out
    while the rest settles without them, and which object lies where is then learned in twice the steps.

    x (B, N, width), emb (B, width) or None -> like x; there (B, N), which of x count; words, what is read.
    """

    def __init__(self, width, heads, hidden, how, context=None):
        super().__init__()
        mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width))
        self.attention = Branch(Attention(width, heads), width, how)
        self.cross = Branch(CrossAttention(width, heads, context), width, "none") if context else None
        self.mlp = Branch(mlp, width, how)

    def forward(self, x: Tensor, emb: Tensor | None, there: Tensor | None = None, words=None) -> Tensor:
        x = self.attention(x, emb, there=there)
        if self.cross is not None:
            x = self.cross(x, emb, words.each, words.there)
        return self.mlp(x, emb)


class Branch(nn.Module):
    """x + layer(norm(x)), with the embedding where `how` says (see DiT)."""

    def __init__(self, layer, width, how):
        super().__init__()
        self.layer, self.how = layer, how
        if how in ("adaln", "adaln_zero"):
            with_zero = how == "adaln_zero"
            self.norm = Modulated(layer_norm(width), width, width, zero=with_zero, gate=with_zero)
        else:
            self.norm = nn.LayerNorm(width)
        if how == "scale_shift":
            self.film = Modulated(nn.Identity(), width, width)
        if how == "add":
            self.add = nn.Linear(width, width)

    def forward(self, x, emb, *read, **options):
        def layer(h):
            return self.layer(h, *read, **options)

        if self.how == "adaln_zero":
            h, gate = self.norm(x, emb)
            return torch.addcmul(x, gate, layer(h))
        if self.how == "adaln":
            return x + layer(self.norm(x, emb))
        if self.how == "scale_shift":
            return x + self.film(layer(self.norm(x)), emb)
        if self.how == "add":
            return x + layer(self.norm(x) + self.add(emb)[:, None])
        return x + layer(self.norm(x))


def layer_norm(width: int) -> nn.LayerNorm:
    """Without its own scale and shift, which the embedding gives."""
    return nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
