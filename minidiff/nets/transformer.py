"""The diffusion transformer (DiT, Peebles and Xie 2023); with patches of one pixel, the lecture's plain transformer."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..denoise import Prediction
from ..schedules import VP, expand
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


def from_official(state_dict: dict[str, Tensor], heads: int | None = None) -> DiT:
    """The DiT of a checkpoint of facebookresearch/DiT: net(x, t, y) is its output for their integer times t (B,).

    All output channels come out, the learned sigma's too. Sizes are read from the shapes; `heads` is 16 for width 1152
    (DiT-XL), else width / 64, unless given. Raises ValueError naming the keys that are missing, left over or misshapen.
    diffusers' port of these nets spaces the time's frequencies by 1 / 127 of the range where the original has 1 / 128.
    """
    theirs = {k.removeprefix("module."): v for k, v in state_dict.items()}
    sizes = {"x_embedder.proj.weight": 4, "pos_embed": 3, "y_embedder.embedding_table.weight": 2,
             "t_embedder.mlp.0.weight": 2, "final_layer.linear.weight": 2, "blocks.0.mlp.fc1.weight": 2}  # fmt: skip
    for name, ndim in sizes.items():
        if name not in theirs or theirs[name].ndim != ndim:
            raise ValueError(f"not a DiT checkpoint: {name} is missing, or is not of {ndim} dimensions")
    width, channels, patch, _ = theirs["x_embedder.proj.weight"].shape
    side, half = math.isqrt(theirs["pos_embed"].shape[1]), theirs["t_embedder.mlp.0.weight"].shape[1] // 2
    net = DiT(
        channels,
        side * patch,
        classes=len(theirs["y_embedder.embedding_table.weight"]) - 1,
        width=width,
        depth=1 + max(int(k.split(".")[1]) for k in theirs if k.startswith("blocks.")),
        heads=heads or (16 if width == 1152 else width // 64),
        patch=patch,
        mlp_ratio=len(theirs["blocks.0.mlp.fc1.weight"]) / width,
        out_channels=len(theirs["final_layer.linear.weight"]) // patch**2,
        features=Fourier(torch.exp(-math.log(10000.0) * torch.arange(half) / half)),  # rounded as theirs are
    )
    ours = {"emb.noise.0.frequencies": net.emb.noise[0].frequencies}
    for name, value in theirs.items():
        ours |= _ours(name, value)
    wanted = net.state_dict()
    wrong = [f"{k} is missing" for k in wanted if k not in ours]
    for k, v in ours.items():
        if k not in wanted:
            wrong.append(f"{k} is left over")
        elif v.shape != wanted[k].shape:
            wrong.append(f"{k} has shape {tuple(v.shape)}, not {tuple(wanted[k].shape)}")
    if wrong:
        raise ValueError(f"not a DiT checkpoint (in our names): {'; '.join(wrong[:3])}")
    net.load_state_dict(ours)
    return net.eval()


class OfficialModel:
    """A net of from_official as a Model on the VP path, to be sampled or guided as any other.

    It predicts eps at the times 0 to 999 of a DDPM with betas from .0001 to .02 (Ho et al. 2020); between two of them
    the time is interpolated by log SNR. The learned sigma is left out: no sampler here needs it.
    """

    def __init__(self, net: DiT):
        self.net, self.schedule, self.null = net, VP(), net.null
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        self.levels = (alpha_bar / (1 - alpha_bar)).log().numpy()  # log SNR, falling

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        t = torch.as_tensor(t).to(x_t)
        alpha, sigma = (expand(v, x_t) for v in self.schedule(t))
        number = np.interp(-self.schedule.log_snr(t).numpy(force=True), -self.levels, np.arange(1000.0))
        number = torch.as_tensor(number).to(x_t).expand(len(x_t))
        eps = self.net(x_t, number, cond)[:, : x_t.shape[1]]
        return Prediction((x_t - sigma * eps) / alpha, eps)


_OFFICIAL = {  # their name -> ours; N is the block's number
    "pos_embed": "positions",
    "x_embedder.proj": "enter",
    "t_embedder.mlp.0": "emb.noise.1",
    "t_embedder.mlp.2": "emb.noise.3",
    "y_embedder.embedding_table": "emb.label",
    "blocks.N.attn.qkv": "blocks.N.attention.layer.qkv",
    "blocks.N.attn.proj": "blocks.N.attention.layer.project",
    "blocks.N.mlp.fc1": "blocks.N.mlp.layer.0",
    "blocks.N.mlp.fc2": "blocks.N.mlp.layer.2",
    "final_layer.linear": "leave",
    "final_layer.adaLN_modulation.1": "norm.modulation",
}


def _ours(name: str, value: Tensor) -> dict[str, Tensor]:
    """Their parameter under our name or names."""
    stem, _, leaf = name.rpartition(".")
    if name == "pos_embed":
        return {"positions": value[0]}
    parts = stem.split(".")
    number = parts[1] if parts[0] == "blocks" else ""
    stem = stem.replace(f"blocks.{number}.", "blocks.N.") if number else stem
    if stem == "blocks.N.adaLN_modulation.1":  # shift, scale, gate of the attention, then of the MLP
        first, second = value.chunk(2)
        at = f"blocks.{number}.{{}}.norm.modulation.{leaf}"
        return {at.format("attention"): first, at.format("mlp"): second}
    return {f"{_OFFICIAL.get(stem, stem)}.{leaf}".replace("blocks.N.", f"blocks.{number}."): value}
