"""The parts that networks share: how the noise level and the condition come in, how an embedding modulates features,
and attention."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..text import TEXT_MODES, one_of
from .fast import GroupNorm, attend


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
    if dim % 2:
        raise ValueError(f"Fourier features come in pairs: their number must be even, got {dim}")
    return Fourier(2 * math.pi * torch.logspace(-3, 5, dim // 2, base=2.0))


class Embedding(nn.Module):
    """One vector for the noise level and the condition: c_noise (B,), cond -> (B, dim).

    With `classes` cond is labels (B,); label number `classes` is the null condition, and None stands for it. With
    `text_dim` cond is a vector for the whole text, (B, text_dim). With neither it is None. `features` of c_noise are
    by default `sinusoidal`.
    """

    def __init__(self, dim: int, classes: int | None = None, features: Fourier | None = None, text_dim=None):
        super().__init__()
        features = features or sinusoidal(dim)
        self.noise = nn.Sequential(features, nn.Linear(features.dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Embedding(classes + 1, dim) if classes else None
        self.text = nn.Linear(text_dim, dim) if text_dim else None

    def forward(self, c_noise: Tensor, cond: Tensor | None) -> Tensor:
        emb = self.noise(c_noise)
        if self.label is not None:
            null = self.label.num_embeddings - 1
            cond = torch.full((len(emb),), null, device=emb.device) if cond is None else cond
            emb = emb + self.label(cond)
        return emb if self.text is None else emb + self.text(cond)


class ConditionedNet(nn.Module):
    """The base of the nets: how the noise level and the condition come in.

    `conditioning` is one of `known`: "channel", the noise level as one more channel of the picture; "none"; or a way
    to use the embedding (B, emb_dim) of level and condition, which is the net's. The condition is a label below
    `classes` or, with an encoder `text` of nets.text, tokens (B, L), whose pooled vector is embedded; `text_mode` says
    whether and how the net reads the single words. Raises ValueError for labels or text without an embedding.
    """

    def __init__(self, conditioning, known, emb_dim, classes=None, text=None, text_mode="cross", features=None):
        super().__init__()
        embedded = conditioning not in ("channel", "none")
        one_of("conditioning", conditioning, known)
        one_of("text_mode", text_mode, TEXT_MODES)
        if (classes or text) and not embedded:
            raise ValueError(f"conditioning {conditioning!r} has no place for labels or captions: choose another")
        self.conditioning, self.text, self.text_mode = conditioning, text, text_mode
        text_dim = text.dim if text else None
        self.emb = Embedding(emb_dim, classes, features, text_dim) if embedded else None
        self.null = text.null if text else classes or None

    def conditioned(self, x: Tensor, c_noise: Tensor, cond: Tensor | None):
        """What enters the first layer (B, C', H, W), the embedding (B, emb_dim) or None, the text's Words or None."""
        words = None
        if self.text is not None:
            if cond is None:
                cond = torch.as_tensor(self.text.null, device=x.device).expand(len(x), self.text.length)
            words = self.text(cond)
            cond = words.pooled
        emb = None if self.emb is None else silu(self.emb(c_noise, cond))
        if self.conditioning == "channel":  # one level a picture, or a map of levels (B, 1, H, W)
            level = c_noise.reshape(-1, 1, 1, 1) if c_noise.ndim == 1 else c_noise
            x = torch.cat([x, level.expand(len(x), 1, *x.shape[2:]).to(x.dtype)], 1)
        return x, emb, words


def adain(x: Tensor, y: Tensor, eps: float = 1e-5) -> Tensor:
    """sigma(y) * (x - mu(x)) / sigma(x) + mu(y): x (B, C, ...) with each channel's mean and deviation those of y.

    Huang and Belongie 2017, equation 8; the lecture's formula. x and y may differ in size, not in channels.
    """
    space = tuple(range(2, x.ndim))
    mean, std = x.mean(space, keepdim=True), x.std(space, correction=0, keepdim=True)
    return y.std(space, correction=0, keepdim=True) * (x - mean) / (std + eps) + y.mean(space, keepdim=True)


class Modulated(nn.Module):
    """norm(x) * (1 + scale(emb)) + shift(emb): a normalisation whose statistics the embedding sets.

    x is a picture (B, channels, H, W), tokens (B, N, channels) or points (B, channels); emb is (B, emb_dim). `norm`
    has no affine of its own. With InstanceNorm this is AdaIN (Huang and Belongie 2017), with GroupNorm AdaGN (Dhariwal
    and Nichol 2021), with LayerNorm adaLN (Peebles and Xie 2023), with Identity FiLM (Perez et al. 2018).

    With `gate` it returns (modulated x, gate(emb)), for x + gate * branch. With `zero` scale, shift and gate start at
    0: the layer starts as the plain norm, and a gated block as the identity. Both together are adaLN-Zero.
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
    """NCSN's CondInstanceNorm++: gamma * (norm(x) + alpha * means) + shift (Song and Ermon 2019, appendix A.1).

    AdaIN removes the mean of each channel. Here the means, normalised over the channels, come back times alpha(emb).
    """

    def __init__(self, channels: int, emb_dim: int):
        if channels < 2:
            raise ValueError("NCSN's norm compares the means of channels: it needs a width of at least 2")
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
    """Multi-head self-attention: x (B, N, width) -> (B, N, width) (Vaswani et al. 2017, section 3.2).

    mask (B, N), if given, is true where x may be attended to. A layer with `context` also takes words (B, M, context)
    and words_mask (B, M): each vector of x then attends to those of x and to the words together (GLIDE, Nichol et al.
    2022, section 4.1).
    """

    def __init__(self, width: int, heads: int, context: int | None = None):
        super().__init__()
        self.heads = heads
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.extra = nn.Linear(context, 2 * width) if context else None

    def forward(self, x: Tensor, words: Tensor | None = None, words_mask=None, *, mask=None) -> Tensor:
        q, k, v = split_heads(self.qkv(x), 3, self.heads)
        if words is not None:
            word_k, word_v = split_heads(self.extra(words), 2, self.heads)
            k, v = torch.cat([k, word_k], 2), torch.cat([v, word_v], 2)
            mask = torch.cat([words_mask.new_ones(x.shape[:2]), words_mask], 1)
        return self.project(attend(q, k, v, mask).transpose(1, 2).reshape(x.shape))


class CrossAttention(nn.Module):
    """Attention of x (B, N, width) to the words (B, M, context) alone, where mask (B, M) is true -> (B, N, width)."""

    def __init__(self, width: int, heads: int, context: int):
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.project = nn.Linear(width, width), nn.Linear(context, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        (q,), (k, v) = split_heads(self.q(x), 1, self.heads), split_heads(self.kv(words), 2, self.heads)
        return self.project(attend(q, k, v, mask).transpose(1, 2).reshape(x.shape))


class TransformerBlock(nn.Module):
    """Attention and an MLP, each after a norm and added to its input: x (B, N, width) -> like x (GPT-2's order).

    Further arguments of the call are the attention's.
    """

    def __init__(self, attention: nn.Module, width: int, hidden: int, activation: nn.Module):
        super().__init__()
        self.norm_in, self.attention = nn.LayerNorm(width), attention
        self.norm_out = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), activation, nn.Linear(hidden, width))

    def forward(self, x: Tensor, *args, **options) -> Tensor:
        x = x + self.attention(self.norm_in(x), *args, **options)
        return x + self.mlp(self.norm_out(x))


class PixelAttention(nn.Module):
    """Self-attention over the pixels of x (B, C, H, W), added to it.

    With `text_mode` "tokens" it attends to the words, of `context` dimensions, together with the pixels (GLIDE, Nichol
    et al. 2022); with "cross" a cross-attention to the words follows (Rombach et al. 2022).
    """

    def __init__(self, channels: int, context: int | None = None, text_mode: str = "pooled"):
        super().__init__()
        self.norm = GroupNorm(channels)
        self.with_words = context is not None and text_mode == "tokens"
        self.attention = Attention(channels, heads_of(channels), context if self.with_words else None)
        set_zero(self.attention.project)
        self.cross = None
        if context is not None and text_mode == "cross":
            self.norm_cross = GroupNorm(channels)
            self.cross = CrossAttention(channels, heads_of(channels), context)
            set_zero(self.cross.project)

    def forward(self, x: Tensor, words=None) -> Tensor:
        def branch(norm, attention, *text):
            pixels = attention(norm(x).flatten(2).transpose(1, 2), *text)  # (B, H W, C)
            return pixels.transpose(1, 2).reshape(x.shape)

        text = () if words is None else (words.each, words.mask)
        x = x + branch(self.norm, self.attention, *(text if self.with_words else ()))
        return x if self.cross is None else x + branch(self.norm_cross, self.cross, *text)


def split_heads(x: Tensor, parts: int, heads: int) -> Tensor:
    """(B, N, parts * width) -> (parts, B, heads, N, width / heads)."""
    b, n, width = x.shape
    return x.view(b, n, parts, heads, width // parts // heads).permute(2, 0, 3, 1, 4)


def positions(side: int, width: int) -> Tensor:
    """Sine and cosine features of a side x side grid, row by row, (side^2, width).

    The first half tells the column, the second the row, at frequencies 10000^(-4i / width) (Vaswani et al. 2017; in
    two dimensions as in DiT).
    """
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    line = torch.cat([angle.sin(), angle.cos()], 1)  # (side, width / 2)
    column, row = line.repeat(side, 1), line.repeat_interleave(side, 0)
    return torch.cat([column, row], 1).float()


def heads_of(width: int, channels: int = 64) -> int:
    """The number of attention heads: the most that divide the width and have at least `channels` each (64 in ADM); one
    where the width is less."""
    return next(heads for heads in range(max(1, width // channels), 0, -1) if width % heads == 0)


def set_zero(layer: nn.Module) -> nn.Module:
    """The layer with its weights set to 0: a residual branch that ends in it starts as the identity."""
    for p in layer.parameters():
        nn.init.zeros_(p)
    return layer
