"""The parts that networks share: how the noise level is embedded, and how an embedding modulates features."""

import math

import torch
from torch import Tensor, nn

from .fast import attend


class Fourier(nn.Module):
    """Features of a scalar: its cosine and sine at each of `frequencies` (F,), in radians a unit. (B,) -> (B, 2F)."""

    def __init__(self, frequencies: Tensor):
        super().__init__()
        self.register_buffer("frequencies", frequencies.float())
        self.dim = 2 * len(frequencies)

    def forward(self, c: Tensor) -> Tensor:
        angle = c[:, None] * self.frequencies
        return torch.cat([angle.cos(), angle.sin()], 1)


def sinusoidal(dim: int) -> Fourier:
    """Geometric frequencies, 1 / 8 to 32 periods a unit: c_noise moves by about 3 over the whole range of noise.

    The embedding of Vaswani et al. 2017 (section 3.5), its range fitted to c_noise = log(sigma / alpha) / 4.
    """
    return Fourier(2 * math.pi * torch.logspace(-3, 5, _pairs(dim), base=2.0))


def gaussian(dim: int, scale: float = 2.0) -> Fourier:
    """Random frequencies, N(0, scale^2) periods a unit (Tancik et al. 2020; Song et al. 2021 for diffusion)."""
    return Fourier(2 * math.pi * scale * torch.randn(_pairs(dim)))


def _pairs(dim: int) -> int:
    if dim % 2:
        raise ValueError(f"Fourier features come in pairs: their number must be even, got {dim}")
    return dim // 2


class Embedding(nn.Module):
    """The vector that tells a net the noise level and, if it is conditional, the label or a vector for the whole text.

    c_noise (B,), cond (B,) or None -> (B, dim). Label number `classes` is the null condition, which None stands for.
    With `text_dim` cond is that vector instead, (B, text_dim).
    """

    def __init__(self, dim: int, classes: int | None = None, features: Fourier | None = None, text_dim=None):
        super().__init__()
        features = features or sinusoidal(dim)
        self.noise = nn.Sequential(features, nn.Linear(features.dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Embedding(classes + 1, dim) if classes else None
        self.text = nn.Linear(text_dim, dim) if text_dim else None
        self.null = classes if classes else None

    def forward(self, c_noise: Tensor, cond: Tensor | None) -> Tensor:
        emb = self.noise(c_noise)
        if self.label is not None:
            cond = torch.full((len(emb),), self.null, device=emb.device) if cond is None else cond
            emb = emb + self.label(cond)
        return emb if self.text is None else emb + self.text(cond)


def read(text: nn.Module, cond: Tensor | None, x: Tensor):
    """What the encoder `text` makes of the tokens cond (B, L), None being the null condition of each of x (B, ...)."""
    if cond is None:
        null = torch.as_tensor(text.null, device=x.device)
        cond = null.expand(len(x), text.length) if null.ndim == 0 else null.expand(len(x), -1)
    return text(cond)


def adain(x: Tensor, y: Tensor, eps: float = 1e-5) -> Tensor:
    """sigma(y) * (x - mu(x)) / sigma(x) + mu(y): x (B, C, ...) with each channel's mean and deviation those of y.

    Huang and Belongie 2017, equation 8; the lecture's formula. x and y may differ in size, not in channels.
    """
    space = tuple(range(2, x.ndim))
    mean, std = x.mean(space, keepdim=True), x.std(space, correction=0, keepdim=True)
    return y.std(space, correction=0, keepdim=True) * (x - mean) / (std + eps) + y.mean(space, keepdim=True)


class Modulated(nn.Module):
    """norm(x) * (1 + scale(emb)) + shift(emb): a normalisation whose statistics the embedding sets.

    With InstanceNorm it is AdaIN (Huang and Belongie 2017), with GroupNorm AdaGN (Dhariwal and Nichol 2021), with
    LayerNorm adaLN (Peebles and Xie 2023), with Identity FiLM (Perez et al. 2018). `norm` is built without its own
    affine. x is a picture (B, channels, H, W), tokens (B, N, channels) or points (B, channels); emb is (B, emb_dim).

    `gate` returns (modulated x, gate(emb)) instead, for x + gate * branch. `zero` starts scale, shift and gate at 0, so
    that the layer starts as the plain norm and, with the gate, the block as the identity: both make adaLN-Zero.
    """

    def __init__(self, norm: nn.Module, channels: int, emb_dim: int, zero: bool = False, gate: bool = False):
        super().__init__()
        self.norm = norm
        self.modulation = nn.Linear(emb_dim, (3 if gate else 2) * channels)
        self.gate = gate
        if zero:
            set_zero(self.modulation)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        at = {2: (len(emb), -1), 3: (len(emb), 1, -1), 4: (len(emb), -1, 1, 1)}[x.ndim]
        shift, scale, *gate = (v.reshape(at) for v in self.modulation(emb).chunk(3 if self.gate else 2, 1))
        out = torch.addcmul(shift, self.norm(x), 1 + scale)
        return (out, *gate) if self.gate else out


class CondInstanceNormPlus(Modulated):
    """NCSN's CondInstanceNorm++ (Song and Ermon 2019, appendix A.1): AdaIN keeps what it would forget, the channels'
    means. Normalised over the channels, they come back times alpha(emb): gamma * (norm(x) + alpha * means) + shift.
    """

    def __init__(self, channels: int, emb_dim: int):
        super().__init__(nn.InstanceNorm2d(channels), channels, emb_dim)
        self.alpha = nn.Linear(emb_dim, channels)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        means = x.mean((2, 3))
        means = (means - means.mean(1, keepdim=True)) / (means.var(1, keepdim=True) + 1e-5).sqrt()
        shift, scale = self.modulation(emb).chunk(2, 1)
        scale = 1 + scale
        shift = shift + scale * self.alpha(emb) * means
        return torch.addcmul(shift[..., None, None], self.norm(x), scale[..., None, None])


class Attention(nn.Module):
    """Multi-head self-attention, x (B, N, width) -> (B, N, width) (Vaswani et al. 2017, section 3.2).

    there (B, N), if given, says which of x may be attended to. With `context` it also attends to that many-dimensional
    vectors beside x, extra (B, M, context), of which extra_there (B, M) are there: text in context (GLIDE, Nichol et
    al. 2022, section 2.3).
    """

    def __init__(self, width: int, heads: int, context: int | None = None):
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.extra = nn.Linear(context, 2 * width) if context else None

    def forward(self, x: Tensor, extra: Tensor | None = None, extra_there=None, *, there=None) -> Tensor:
        q, k, v = split_heads(self.qkv(x), 3, self.heads)
        if extra is not None:
            more_k, more_v = split_heads(self.extra(extra), 2, self.heads)
            k, v = torch.cat([k, more_k], 2), torch.cat([v, more_v], 2)
            there = torch.cat([extra_there.new_ones(x.shape[:2]), extra_there], 1)
        return self.project(attend(q, k, v, there).transpose(1, 2).reshape(x.shape))


class CrossAttention(nn.Module):
    """Attention of x (B, N, width) to others (B, M, context), of which there (B, M) are there -> (B, N, width)."""

    def __init__(self, width: int, heads: int, context: int):
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.q, self.kv, self.project = nn.Linear(width, width), nn.Linear(context, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, others: Tensor, there: Tensor) -> Tensor:
        (q,), (k, v) = split_heads(self.q(x), 1, self.heads), split_heads(self.kv(others), 2, self.heads)
        return self.project(attend(q, k, v, there).transpose(1, 2).reshape(x.shape))


def check_heads(width: int, heads: int) -> None:
    """Raise ValueError unless the heads divide the width."""
    if width % heads:
        raise ValueError(f"attention splits the width among its heads: {width} is not a multiple of {heads}")


def split_heads(x: Tensor, parts: int, heads: int) -> Tensor:
    """(B, N, parts * width) -> (parts, B, heads, N, width / heads)."""
    b, n, width = x.shape
    return x.view(b, n, parts, heads, width // parts // heads).permute(2, 0, 3, 1, 4)


def positions(side: int, width: int) -> Tensor:
    """Sine and cosine features of a side x side grid, row by row, (side^2, width): the first half tells the column, the
    second the row, at frequencies 10000^(-4i / width) (Vaswani et al. 2017; in two dimensions, as DiT has them)."""
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    line = torch.cat([angle.sin(), angle.cos()], 1)  # (side, width / 2)
    column, row = line.repeat(side, 1), line.repeat_interleave(side, 0)
    return torch.cat([column, row], 1).float()


def heads_of(width: int, channels: int = 64) -> int:
    """As many heads as leave each at least 64 channels, as in ADM, or so many, and divide the width."""
    return next(heads for heads in range(max(1, width // channels), 0, -1) if width % heads == 0)


def set_zero(layer: nn.Module) -> nn.Module:
    """The layer with its weights set to 0: a residual branch that ends in it starts as the identity."""
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer


def groups(channels: int) -> int:
    """The number of groups for group norm: at most 32, each of at least 16 channels, dividing the channels.

    Others use groups of 4 upwards; on a CPU those make the norm up to ten times slower.
    """
    return math.gcd(channels, min(32, max(1, channels // 16)))
