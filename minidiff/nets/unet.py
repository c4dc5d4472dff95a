"""The U-Net (Ronneberger et al. 2015; Ho et al. 2020; Dhariwal and Nichol 2021), and the same without its skips."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu

from .cnn import Block, ConvNet, norm_of, resize
from .layers import positions, read, set_zero

PLACE = 16  # features of a pixel's place that a U-Net for text is given


class UNet(ConvNet):
    """x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, C, H, W).

    Level i has `width` * `mults`[i] channels at H / 2^i, `blocks` residual blocks going down and one more coming up,
    and self-attention where H / 2^i is in `attention_at`, and in the middle. Every output going down is kept and
    concatenated on the way up: those are the skips. With skips=False it is an encoder-decoder: all must pass through
    the narrow middle. `resample` is "conv" (strided down, repeated and convolved up) or "block" (ADM's up and down
    residual blocks); `norm` and `how` are Block's and ConvNet's. With `patch` p the picture enters as p^2 C channels at
    H / p, each pixel of a p x p patch a channel, and leaves so: the same width at a p^2-th of the cost.

    `text`, an encoder of minidiff.text, makes cond tokens (B, L). Their pooled vector joins the embedding; with `way`
    "tokens" or "cross" the attention reads the words as well (see PixelAttention), with "pooled" that is all.
    """

    def __init__(
        self, channels, size, classes=None, width=64, mults=(1, 2), blocks=1, attention_at=(8,), skips=True,
        resample="conv", norm="group", how="modulate", patch=1,
        text=None, way="cross",
    ):  # fmt: skip
        super().__init__(how, 4 * width, classes, text)
        if size % (unit := patch * 2 ** (len(mults) - 1)):
            raise ValueError(
                f"a U-Net of {len(mults)} levels and patches of {patch} divides the picture by {unit}: "
                f"size {size} is not a multiple of {unit}, {size - size % unit} would be"
            )
        self.skips, self.patch = skips, patch
        size_at, channels = [size // patch // 2**level for level in range(len(mults))], patch**2 * channels

        reads = (text.dim, way) if text else ()

        def block(c_in, mult, level, resample=None):
            attention = size_at[level] in attention_at and not resample
            return Block(c_in, width * mult, 4 * width, norm, how, attention, resample, reads)

        self.enter = nn.Conv2d(channels + (how == "channel") + (PLACE if text else 0), width, 3, padding=1)
        if text:  # "at the top left" asks where a pixel is
            grid = positions(size_at[0], PLACE).T.reshape(1, PLACE, size_at[0], size_at[0])
            self.register_buffer("place", grid, persistent=False)
        kept, now = [width], width
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, mult in enumerate(mults):
            for _ in range(blocks):
                self.down.append(block(now, mult, level))
                now = width * mult
                kept.append(now)
            if level < len(mults) - 1:
                self.down.append(Down(now) if resample == "conv" else block(now, mult, level, "down"))
                kept.append(now)
        self.middle = Block(now, now, 4 * width, norm, how, bool(attention_at), None, reads)
        for level, mult in reversed(list(enumerate(mults))):
            for _ in range(blocks + 1):
                self.up.append(block(now + (kept.pop() if skips else 0), mult, level))
                now = width * mult
            if level > 0:
                self.up.append(Up(now) if resample == "conv" else block(now, mult, level, "up"))
        self.norm = norm_of(norm, now, True)
        self.leave = set_zero(nn.Conv2d(now, channels, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        words = None
        if self.text is not None:
            words = read(self.text, cond, x)
            cond = words.pooled
        x, emb = self.conditioned(pixel_unshuffle(x, self.patch), c_noise, cond)
        if self.text is not None:
            x = torch.cat([x, self.place.expand(len(x), -1, -1, -1).to(x.dtype)], 1)
        h = self.enter(x)
        kept = [h]
        for part in self.down:
            h = part(h, emb, words)
            kept.append(h)
        h = self.middle(h, emb, words)
        for part in self.up:
            changes_size = isinstance(part, Up) or part.resample
            h = part(torch.cat([h, kept.pop()], 1) if self.skips and not changes_size else h, emb, words)
        return pixel_shuffle(self.leave(silu(self.norm(h))), self.patch)


class Down(nn.Conv2d):
    """Half the size, by a strided convolution."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, stride=2, padding=1)

    def forward(self, x, emb, words=None):
        return super().forward(x)


class Up(nn.Conv2d):
    """Twice the size: each pixel repeated, then a convolution."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x, emb, words=None):
        return super().forward(resize(x, "up"))
