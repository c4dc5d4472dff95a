"""The residual convolution block of all convolutional nets, and two nets without attention: plain CNN and NCSN."""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, elu, interpolate, silu

from ..text import one_of
from .fast import GroupNorm
from .layers import CondInstanceNormPlus, ConditionedNet, Modulated, PixelAttention, set_zero

NORMS = {"group": GroupNorm, "none": nn.Identity}  # over space: of groups of channels, or none at all
CONDITIONING = ("modulate", "add", "channel", "none")


class Block(nn.Module):
    """ADM's residual block: (B, c_in, H, W), emb (B, emb_dim) -> (B, c_out, ...) (Dhariwal and Nichol 2021, section 3).

    norm, silu, conv, modulated norm, silu, conv, added to the input; then, with `attention`, a PixelAttention.
    `conditioning` is how the embedding enters: "modulate", in the second norm (AdaGN); "add", as a vector before it (Ho
    et al. 2020); any other, not at all. `resample` "up" or "down" changes the size, on both paths.
    """

    def __init__(
        self, c_in, c_out, emb_dim, norm="group", conditioning="modulate", attention=False, resample=None, context=None,
        text_mode="pooled",
    ):  # fmt: skip
        super().__init__()
        one_of("norm", norm, NORMS)
        self.resample = resample
        self.norm_in = NORMS[norm](c_in)
        self.conv_in = nn.Conv2d(c_in, c_out, 3, padding=1)
        if conditioning == "modulate":
            self.norm_out = Modulated(NORMS[norm](c_out, affine=False), c_out, emb_dim, zero=True)
        else:
            self.norm_out = NORMS[norm](c_out)
        self.add = nn.Linear(emb_dim, c_out) if conditioning == "add" else None
        self.conv_out = set_zero(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.attention = PixelAttention(c_out, context, text_mode) if attention else None

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


class CNN(ConditionedNet):
    """The lecture's naive CNN of constant resolution: x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, C, H, W).

    With `layers` 3x3 convolutions an output depends on a square of 2 * layers + 1 pixels. By default there is no norm:
    one that averages over space would make every output depend, a little, on every pixel.
    """

    def __init__(self, channels, classes=None, width=64, layers=10, norm="none", conditioning="modulate"):
        super().__init__(conditioning, CONDITIONING, 4 * width, classes)
        if layers < 4 or layers % 2:
            raise ValueError(f"a CNN has one convolution to enter, one to leave and pairs between: layers was {layers}")
        self.layers = layers
        self.enter = nn.Conv2d(channels + (conditioning == "channel"), width, 3, padding=1)
        pairs = layers // 2 - 1
        self.blocks = nn.ModuleList(Block(width, width, 4 * width, norm, conditioning) for _ in range(pairs))
        self.leave = set_zero(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        x, emb, _ = self.conditioned(x, c_noise, cond)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, emb)
        return self.leave(silu(h))


class NCSN(ConditionedNet):
    """A small noise-conditional score network (Song and Ermon 2019, appendix A.1, without the RefineNet).

    x (B, C, H, W), c_noise (B,), cond (B,) or None -> (B, C, H, W). Full resolution, dilated convolutions, and before
    each a CondInstanceNorm++ and an ELU. The paper's net has gamma, beta and alpha in a table, a row for each noise
    level; here they are linear in an embedding of c_noise.
    """

    def __init__(self, channels, classes=None, width=64, dilations=(1, 2, 4)):
        super().__init__("modulate", CONDITIONING, 4 * width, classes)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(DilatedBlock(width, 4 * width, d) for d in dilations)
        self.norm = CondInstanceNormPlus(width, 4 * width)
        self.leave = set_zero(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        x, emb, _ = self.conditioned(x, c_noise, cond)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, emb)
        return self.leave(elu(self.norm(h, emb)))


class DilatedBlock(nn.Module):
    """Two dilated convolutions, added to the input: x (B, width, H, W), emb (B, emb_dim) -> like x."""

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


def cnn(shape, classes=None, *, width: int = 64) -> CNN:
    """The plain CNN, for `build`."""
    return CNN(shape[0], classes, width)


def ncsn(shape, classes=None, *, width: int = 64) -> NCSN:
    """The noise-conditional score network, for `build`."""
    return NCSN(shape[0], classes, width)
