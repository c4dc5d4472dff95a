"""A small U-Net with adaptive group norm (Ronneberger et al. 2015; Ho et al. 2020; Dhariwal and Nichol 2021)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from .layers import Embedding, Modulated, zero


class UNet(nn.Module):
    """x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, C, H, W).

    Level i has `width` * `mults`[i] channels at H / 2^i, `blocks` residual blocks going down and one more coming up,
    and self-attention where H / 2^i is `attention_at` or less. Every block's output going down is kept and
    concatenated on the way up: those are the skips.
    """

    def __init__(self, channels, size, classes=None, width=64, mults=(1, 2), blocks=1, attention_at=8):
        super().__init__()
        if size % 2 ** (len(mults) - 1):
            raise ValueError(
                f"a U-Net of {len(mults)} levels halves the picture {len(mults) - 1} times: "
                f"size {size} is not a multiple of {2 ** (len(mults) - 1)}, "
                f"{size - size % 2 ** (len(mults) - 1)} would be"
            )
        self.emb = Embedding(4 * width, classes)
        self.null = self.emb.null
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        kept, now = [width], width
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, mult in enumerate(mults):
            attention = size // 2**level <= attention_at
            for _ in range(blocks):
                self.down.append(Block(now, width * mult, 4 * width, attention))
                now = width * mult
                kept.append(now)
            if level < len(mults) - 1:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                kept.append(now)
        self.middle = Block(now, now, 4 * width, True)
        for level, mult in reversed(list(enumerate(mults))):
            attention = size // 2**level <= attention_at
            for _ in range(blocks + 1):
                self.up.append(Block(now + kept.pop(), width * mult, 4 * width, attention))
                now = width * mult
            if level > 0:
                self.up.append(nn.Conv2d(now, now, 3, padding=1))
        self.norm = nn.GroupNorm(groups(now), now)
        self.leave = zero(nn.Conv2d(now, channels, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        emb = silu(self.emb(c_noise, cond))
        h = self.enter(x)
        kept = [h]
        for part in self.down:
            h = part(h, emb) if isinstance(part, Block) else part(h)
            kept.append(h)
        h = self.middle(h, emb)
        for part in self.up:
            if isinstance(part, Block):
                h = part(torch.cat([h, kept.pop()], 1), emb)
            else:
                h = part(interpolate(h, scale_factor=2.0, mode="nearest"))
        return self.leave(silu(self.norm(h)))


class Block(nn.Module):
    """norm, silu, conv, AdaGN, silu, conv, added to the input; then, if asked for, self-attention."""

    def __init__(self, c_in, c_out, emb_dim, attention):
        super().__init__()
        self.norm_in = nn.GroupNorm(groups(c_in), c_in)
        self.conv_in = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm_out = Modulated(nn.GroupNorm(groups(c_out), c_out, affine=False), c_out, emb_dim)
        self.conv_out = zero(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.attention = Attention(c_out) if attention else nn.Identity()

    def forward(self, x, emb):
        h = self.conv_in(silu(self.norm_in(x)))
        h = self.conv_out(silu(self.norm_out(h, emb)))
        return self.attention(self.skip(x) + h)


class Attention(nn.Module):
    """Self-attention over the pixels of x (B, C, H, W), added to it; heads of 32 to 63 channels.

    Written out rather than scaled_dot_product_attention, whose backward is slow on a CPU in bfloat16 at these sizes.
    """

    def __init__(self, channels):
        super().__init__()
        self.heads = max(1, channels // 32)
        while channels % self.heads:
            self.heads -= 1
        self.norm = nn.GroupNorm(groups(channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        b, c, height, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, height * width).unbind(1)
        weights = torch.softmax(q.transpose(-1, -2) @ k / math.sqrt(c // self.heads), -1)
        out = (v @ weights.transpose(-1, -2)).reshape(b, c, height, width)
        return x + self.project(out)


def groups(channels: int) -> int:
    """The number of groups for group norm: at most 32, each of at least 4 channels, dividing the channels."""
    return math.gcd(channels, min(32, max(1, channels // 4)))
