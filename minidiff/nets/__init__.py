"""Networks, all called as net(x, c_noise, cond): x and the output alike in shape, c_noise (B,), cond labels (B,) or
tokens (B, L), or None."""

import torch

from .cnn import CNN, NCSN
from .layers import heads_of
from .mlp import MLP
from .text import encoder_for
from .transformer import DiT
from .unet import UNet

NETS = ("mlp", "cnn", "encoder_decoder", "unet", "ncsn", "transformer", "dit")
READERS = ("encoder_decoder", "unet", "transformer", "dit")  # those that text can condition


def default_width(name: str, shape: tuple[int, ...]) -> int:
    """A width that two CPU cores train well in minutes."""
    if name in ("mlp", "dit", "transformer"):
        return 128
    return 32 if shape[-1] < 16 else 64


def build(
    name: str, shape: tuple[int, ...], classes: int | None = None, width: int | None = None, seed: int = 0,
    *, patch: int | None = None, depth: int | None = None, levels: int | None = None,
    tokenizer=None, way: str = "cross",
):  # fmt: skip
    """The network `name` for data of `shape`, (D,) or (C, H, W), with `classes` labels or unconditional; or for text,
    with the encoder of a `tokenizer` (see minidiff.text), taken in by `way`: "pooled", "tokens" or "cross". U-Nets
    and transformers cut the picture into patches of `patch`; by default the first do not, and DiT as the size
    suggests. `depth` is the blocks of a transformer (6) or of each of a U-Net's `levels` going down (1); of those there
    are by default 3, or 2 for pictures, counted in patches, of less than 16.

    Its initial weights depend on `seed` alone; the global random state is left as it was. Raises ValueError if net
    and data do not fit.
    """
    if name not in NETS:
        raise ValueError(f"unknown net {name!r}: choose from {', '.join(NETS)}")
    width = width or default_width(name, shape)
    if name == "mlp" and len(shape) != 1:
        raise ValueError(f"net mlp takes points (D,), and this data has shape {tuple(shape)}: use unet")
    if name != "mlp" and (len(shape) != 3 or shape[1] != shape[2]):
        raise ValueError(f"net {name} takes square pictures (C, H, H), and this data has shape {tuple(shape)}: use mlp")
    if patch is not None and name not in READERS:
        raise ValueError(f"net {name} knows no patches: choose from {', '.join(READERS)}, or leave the patch out")
    if depth is not None and name not in READERS:
        raise ValueError(f"net {name} has one depth: choose from {', '.join(READERS)}, or leave the depth out")
    if levels is not None and name not in ("unet", "encoder_decoder"):
        raise ValueError(f"net {name} has no levels: choose unet or encoder_decoder, or leave the levels out")
    if tokenizer is not None and name not in READERS:
        raise ValueError(f"net {name} cannot read captions: choose from {', '.join(READERS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _new(name, shape, classes, width, patch, depth, levels, tokenizer, way)


def _new(name, shape, classes, width, patch=None, depth=None, levels=None, tokenizer=None, way=None):
    text = {} if tokenizer is None else {"text": encoder_for(tokenizer), "way": way}
    if name == "mlp":
        return MLP(shape[0], classes, width)
    channels, size, _ = shape
    if name == "cnn":
        return CNN(channels, classes, width)
    if name == "ncsn":
        return NCSN(channels, classes, width)
    if name in ("unet", "encoder_decoder"):
        patch = patch or 1
        mults = (1, *[2] * ((levels or (2 if size // patch < 16 else 3)) - 1))
        sizes = [size // patch // 2**level for level in range(len(mults))]
        at = [s for s in sizes if s <= max(8, sizes[-1])]  # attention where it is cheap, and at least at the bottom
        skips, blocks = name == "unet", depth or 1
        return UNet(channels, size, classes, width, mults, blocks, at, skips=skips, patch=patch, **text)
    patch = (
        patch or 1
        if name == "transformer"
        else patch or next(p for p in ((2, 1) if size < 32 else (4, 2, 1)) if size % p == 0)
    )
    heads = heads_of(width, 32) if text else None  # one asks for a colour, another for a place
    return DiT(channels, size, classes, width, depth or 6, heads, patch=patch, **text)


__all__ = ["CNN", "NCSN", "NETS", "DiT", "MLP", "UNet", "build", "default_width"]
