"""Networks, all called as net(x, c_noise, cond): x and the output alike in shape, c_noise (B,) the noise level, cond
labels (B,) or tokens (B, L), or None. They know the core, and may be used by everything but it.

A new net is a file here with its constructor function, and an entry in NETS."""

import inspect

from torch import nn

from ..device import seeded
from ..text import one_of
from . import cnn, mlp, transformer, unet
from .cnn import CNN, NCSN
from .mlp import MLP
from .text import encoder_for
from .transformer import DiT
from .unet import UNet

NETS = {  # name -> its constructor: (shape, classes), `text` where it reads captions, and the options by keyword
    "mlp": mlp.mlp,
    "cnn": cnn.cnn,
    "encoder_decoder": unet.encoder_decoder,
    "unet": unet.unet,
    "ncsn": cnn.ncsn,
    "transformer": transformer.transformer,
    "dit": transformer.dit,
}


def reads_text(name: str) -> bool:
    """Whether a net can be conditioned on captions: its constructor then takes a `text` encoder."""
    return "text" in inspect.signature(NETS[name]).parameters


def default_width(name: str, shape: tuple[int, ...]) -> int:
    """A width that two CPU cores train well in minutes."""
    if name in ("mlp", "dit", "transformer"):
        return 128
    return 32 if shape[-1] < 16 else 64


def build(
    name: str, shape: tuple[int, ...], classes: int | None = None, seed: int = 0, *, tokenizer=None, **options
) -> nn.Module:
    """The net `name` for data of `shape`, (D,) or (C, H, W), with `classes` labels or none, or conditioned on text as
    a `tokenizer` gives it (see nets.text). The options are those of the net's constructor in NETS; the width is by
    default `default_width`.

    The initial weights depend on `seed` alone; the global random state is left as it was. Raises ValueError for an
    unknown net or option, and for a net that does not fit the data.
    """
    one_of("net", name, NETS)
    if name == "mlp" and len(shape) != 1:
        raise ValueError(f"net mlp takes points (D,), and this data has shape {tuple(shape)}: use unet")
    if name != "mlp" and (len(shape) != 3 or shape[1] != shape[2]):
        raise ValueError(f"net {name} takes square pictures (C, H, H), and this data has shape {tuple(shape)}: use mlp")
    if tokenizer is not None and not reads_text(name):
        raise ValueError(f"net {name} cannot read captions: choose from {', '.join(filter(reads_text, NETS))}")
    known = [k for k, p in inspect.signature(NETS[name]).parameters.items() if p.kind is p.KEYWORD_ONLY]
    if unknown := set(options) - set(known):
        raise ValueError(f"net {name} has no {min(unknown)}: its options are {', '.join(known)}")
    with seeded(seed):
        text = {} if tokenizer is None else {"text": encoder_for(tokenizer)}
        return NETS[name](shape, classes, **text, **{"width": default_width(name, shape)} | options)


__all__ = ["CNN", "NCSN", "NETS", "DiT", "MLP", "UNet", "build", "default_width", "reads_text"]
