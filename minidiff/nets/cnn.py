"""The residual convolution block of all convolutional nets, and two nets without attention: plain CNN and NCSN."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate, silu

from .fast import GroupNorm
from .layers import Attention, CondInstanceNormPlus, CrossAttention, Embedding, Modulated, groups, heads_of, set_zero

NORMS = ("group", "instance", "none")
CONDITIONING = ("modulate", "add", "channel", "none")


def norm_of(kind: str, channels: int, affine: bool) -> nn.Module:
    """A normalisation over space: of groups of channels, of each channel, or none at all."""
    if kind == "group":
        return GroupNorm(groups(channels), channels, affine=affine)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=affine)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"unknown norm {kind!r}: choose from {', '.join(NORMS)}")


class Block(nn.Module):
    """norm, silu, conv, modulated norm, silu, conv, added to the input; then, if asked for, self-attention.

    ADM's residual block (Dhariwal and Nichol 2021, section 3): (B, c_in, H, W), emb (B, emb_dim) -> (B, c_out, ...).
    `how` the embedding enters: "modulate" the second norm (AdaGN), "add" a vector before it (Ho et al. 2020), or
    "none". `resample` "up" or "down" changes the size inside the block, on both of its paths. `words` (text.Words) is
    for attention that reads: see PixelAttention, whose options are `text`.
    """

    def __init__(self, c_in, c_out, emb_dim, norm="group", how="modulate", attention=False, resample=None, text=()):
        super().__init__()
        self.resample = resample
        self.norm_in = norm_of(norm, c_in, True)
        self.conv_in = nn.Conv2d(c_in, c_out, 3, padding=1)
        if how == "modulate":
            self.norm_out = Modulated(norm_of(norm, c_out, False), c_out, emb_dim, zero=True)
        else:
            self.norm_out = norm_of(norm, c_out, True)
        self.add = nn.Linear(emb_dim, c_out) if how == "add" else None
        self.conv_out = set_zero(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.attention = PixelAttention(c_out, *text) if attention else None

    def forward(self, x: Tensor, emb: Tensor | None, words=None) -> Tensor:
        h = silu(self.norm_in(x))
        if self.resample:
            x, h = resize(x, self.resample), resize(h, self.resample)
        h = self.conv_in(h)
        if self.add is not None:
            h = h + self.add(emb)[..., None, None]
        h = self.norm_out(h, emb) if isinstance(self.norm_out, Modulated) else self.norm_out(h)
        x = self.skip(x) + self.conv_out(silu(h))
        return x if self.attention is None else self.attention(x, words)


def resize(x: Tensor, which: str) -> Tensor:
    """Twice the size, each pixel repeated ("up"), or half of it, four pixels averaged ("down")."""
    return interpolate(x, scale_factor=2.0, mode="nearest") if which == "up" else avg_pool2d(x, 2)


class PixelAttention(nn.Module):
    """Self-attention over the pixels of x (B, C, H, W), added to it.

    It reads words of `context` dimensions if `way` is "tokens" (beside the pixels: Nichol et al. 2022) or "cross" (in a
    cross-attention after it: Rombach et al. 2022).
    """

    def __init__(self, channels, context=None, way=None):
        super().__init__()
        self.norm = GroupNorm(groups(channels), channels)
        self.way, self.cross = way, None
        self.attention = Attention(channels, heads_of(channels), context if way == "tokens" else None)
        set_zero(self.attention.project)
        if way == "cross":
            self.norm_cross = GroupNorm(groups(channels), channels)
            self.cross = CrossAttention(channels, heads_of(channels), context)
            set_zero(self.cross.project)

    def forward(self, x, words=None):
        def added(norm, attention, *read):
            tokens = attention(norm(x).flatten(2).transpose(1, 2), *read)
            return x + tokens.transpose(1, 2).reshape(x.shape)

        read = (words.each, words.there) if words is not None else ()
        x = added(self.norm, self.attention, *(read if self.way == "tokens" else ()))
        return x if self.cross is None else added(self.norm_cross, self.cross, *read)


def with_level(x: Tensor, c_noise: Tensor) -> Tensor:
    """x (B, C, H, W) with c_noise as one more channel: one value a picture (B,), or a map (B, 1, H, W)."""
    level = c_noise.reshape(-1, 1, 1, 1) if c_noise.ndim == 1 else c_noise
    return torch.cat([x, level.expand(len(x), 1, *x.shape[2:]).to(x.dtype)], 1)


class ConvNet(nn.Module):
    """What the convolutional nets share: how the noise level and the label come in.

    `how` is "modulate" or "add" in every block, "channel" (a constant picture beside x) or "none"; the last two know no
    labels. Raises ValueError for another `how`, or labels that cannot come in.
    """

    def __init__(self, how: str, emb_dim: int, classes: int | None, text=None):
        super().__init__()
        if how not in CONDITIONING:
            raise ValueError(f"unknown conditioning {how!r}: choose from {', '.join(CONDITIONING)}")
        if (classes or text) and how in ("channel", "none"):
            raise ValueError(f"conditioning {how!r} has no place for labels: choose modulate or add")
        self.how, self.text = how, text
        text_dim = text.dim if text else None
        self.emb = Embedding(emb_dim, classes, text_dim=text_dim) if how in ("modulate", "add") else None
        self.null = text.null if text else classes or None

    def conditioned(self, x: Tensor, c_noise: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What enters the first layer, and the embedding for the blocks or None."""
        if self.emb is None:
            return (with_level(x, c_noise) if self.how == "channel" else x), None
        return x, silu(self.emb(c_noise, cond))


class CNN(ConvNet):
    """The lecture's naive CNN, constant in resolution: `layers` 3x3 convolutions see 2 * layers + 1 pixels, no more.

    x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, C, H, W). Without a norm by default: one that averages over
    space would let every pixel see, if dimly, every other.
    """

    def __init__(self, channels, classes=None, width=64, layers=10, norm="none", how="modulate"):
        super().__init__(how, 4 * width, classes)
        if layers < 4 or layers % 2:
            raise ValueError(f"a CNN has one convolution to enter, one to leave and pairs between: layers was {layers}")
        self.layers = layers
        self.enter = nn.Conv2d(channels + (how == "channel"), width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, width, 4 * width, norm, how) for _ in range(layers // 2 - 1))
        self.leave = set_zero(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        x, emb = self.conditioned(x, c_noise, cond)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, emb)
        return self.leave(silu(h))


class NCSN(nn.Module):
    """Song and Ermon's noise-conditional score network in small: full resolution, dilated convolutions for reach,
    CondInstanceNorm++ before each, ELU (2019, appendix A.1, without its RefineNet).

    x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, C, H, W). Theirs knows the level by its number in a list;
    here gamma, beta and alpha are linear in an embedding of c_noise, of which such a list is a special case.
    """

    def __init__(self, channels, classes=None, width=64, dilations=(1, 2, 4)):
        super().__init__()
        self.emb = Embedding(4 * width, classes)
        self.null = self.emb.null
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(DilatedBlock(width, 4 * width, d) for d in dilations)
        self.norm = CondInstanceNormPlus(width, 4 * width)
        self.leave = set_zero(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        emb = silu(self.emb(c_noise, cond))
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, emb)
        return self.leave(elu(self.norm(h, emb)))


class DilatedBlock(nn.Module):
    def __init__(self, width, emb_dim, dilation):
        super().__init__()
        self.norms = nn.ModuleList(CondInstanceNormPlus(width, emb_dim) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation) for _ in range(2))
        set_zero(self.convs[1])

    def forward(self, x, emb):
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(elu(norm(h, emb)))
        return x + h
