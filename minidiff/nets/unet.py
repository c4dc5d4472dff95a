"""The U-Net (Ronneberger et al. 2015; Ho et al. 2020; Dhariwal and Nichol 2021), and the same without its skips."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

from .cnn import CONDITIONING, Block, resize
from .fast import GroupNorm
from .layers import ConditionedNet, positions, set_zero

PLACE = 16  # features of a pixel's position, which a U-Net for text takes in


class UNet(ConditionedNet):
    """x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, C, H, W).

    With `patch` p the picture enters and leaves as p^2 C channels at H / p: for the same width a p^2-th of the cost.
    Level i has `width` * `mults`[i] channels at H / (p 2^i), `depth` residual blocks going down and one more coming up.
    Self-attention is where H / (p 2^i) is in `attention_at`, and in the middle. The skips concatenate every output
    going down to an input coming up; without them it is an encoder-decoder. `conditioning` is Block's. For `text` see
    ConditionedNet; the attention reads the single words (see PixelAttention).
    """

    def __init__(
        self, channels, size, classes=None, width=64, mults=(1, 2), depth=1, attention_at=(8,), skips=True,
        conditioning="modulate", patch=1, text=None, text_mode="cross",
    ):  # fmt: skip
        super().__init__(conditioning, CONDITIONING, 4 * width, classes, text, text_mode)
        check_size(size, patch, len(mults))
        self.skips, self.patch = skips, patch
        side = size // patch
        channels = patch**2 * channels
        context = text.dim if text else None

        def block(c_in, c_out, attention):
            return Block(c_in, c_out, 4 * width, "group", conditioning, attention, None, context, text_mode)

        self.enter = nn.Conv2d(channels + (conditioning == "channel") + (PLACE if text else 0), width, 3, padding=1)
        if text:  # "at the top left" asks where a pixel is
            self.register_buffer("place", positions(side, PLACE).T.reshape(1, PLACE, side, side), persistent=False)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        levels = [(width * mult, side // 2**level in attention_at) for level, mult in enumerate(mults)]
        now, kept = width, [width]  # going down; kept are the channels that the skips bring back
        for level, (out, attention) in enumerate(levels):
            for _ in range(depth):
                self.down.append(block(now, out, attention))
                now = out
                kept.append(now)
            if level < len(levels) - 1:
                self.down.append(Resized(now, "down"))
                kept.append(now)
        self.middle = block(now, now, bool(attention_at))
        for level, (out, attention) in reversed(list(enumerate(levels))):  # coming up
            for _ in range(depth + 1):
                self.up.append(block(now + (kept.pop() if skips else 0), out, attention))
                now = out
            if level > 0:
                self.up.append(Resized(now, "up"))
        self.norm = GroupNorm(now)
        self.leave = set_zero(nn.Conv2d(now, channels, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        x, emb, words = self.conditioned(pixel_unshuffle(x, self.patch), c_noise, cond)
        if self.text is not None:
            x = torch.cat([x, self.place.expand(len(x), -1, -1, -1).to(x.dtype)], 1)
        h = self.enter(x)
        kept = [h]
        for part in self.down:
            h = part(h, emb, words)
            kept.append(h)
        h = self.middle(h, emb, words)
        for part in self.up:
            has_skip = self.skips and part.resample is None
            h = part(torch.cat([h, kept.pop()], 1) if has_skip else h, emb, words)
        return pixel_shuffle(self.leave(silu(self.norm(h))), self.patch)


def check_size(size: int, patch: int, levels: int) -> None:
    """Raise ValueError unless a U-Net of so many levels can halve pictures of this size."""
    unit = patch * 2 ** (levels - 1)
    if size % unit:
        raise ValueError(
            f"a U-Net of {levels} levels and patches of {patch} divides the picture by {unit}: "
            f"size {size} is not a multiple of {unit}, {max(unit, size - size % unit)} would be"
        )


class Resized(nn.Conv2d):
    """Half the size, by a strided convolution ("down"), or twice, each pixel repeated before a convolution ("up")."""

    def __init__(self, channels, resample):
        super().__init__(channels, channels, 3, stride=2 if resample == "down" else 1, padding=1)
        self.resample = resample

    def forward(self, x, emb, words=None):
        return super().forward(resize(x, "up") if self.resample == "up" else x)


def unet(
    shape, classes=None, text=None, *, width: int = 64, depth: int = 1, levels: int | None = None, patch: int = 1,
    text_mode: str = "cross", skips: bool = True,
) -> UNet:  # fmt: skip
    """The U-Net, for `build`. Without `levels` there are 3, or 2 for less than 16 patches in a row. Attention is where
    there are at most 8 in a row, and at the lowest level."""
    channels, size, _ = shape
    side = size // patch
    levels = levels or (2 if side < 16 else 3)
    sides = [side // 2**level for level in range(levels)]
    attention_at = [s for s in sides if s <= max(8, sides[-1])]
    options = {"skips": skips, "patch": patch, "text": text, "text_mode": text_mode}
    return UNet(channels, size, classes, width, (1, *[2] * (levels - 1)), depth, attention_at, **options)


encoder_decoder = partial(unet, skips=False)
