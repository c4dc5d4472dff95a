"""Networks, all called as net(x, c_noise, cond): x and the output alike in shape, c_noise (B,), cond (B,) or None."""

import torch

from .mlp import MLP
from .unet import UNet

NETS = ("mlp", "unet")


def default_width(name: str, shape: tuple[int, ...]) -> int:
    """A width that two CPU cores train well in minutes."""
    return 128 if name == "mlp" else 32 if shape[-1] < 16 else 64


def build(name: str, shape: tuple[int, ...], classes: int | None = None, width: int | None = None, seed: int = 0):
    """The network `name` for data of `shape`, (D,) or (C, H, W), with `classes` labels or unconditional.

    Its initial weights depend on `seed` alone; the global random state is left as it was. Raises ValueError if net and
    data do not fit.
    """
    if name not in NETS:
        raise ValueError(f"unknown net {name!r}: choose from {', '.join(NETS)}")
    width = width or default_width(name, shape)
    if name == "mlp" and len(shape) != 1:
        raise ValueError(f"net mlp takes points (D,), and this data has shape {tuple(shape)}: use unet")
    if name == "unet" and (len(shape) != 3 or shape[1] != shape[2]):
        raise ValueError(f"net unet takes square pictures (C, H, H), and this data has shape {tuple(shape)}: use mlp")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "mlp":
            return MLP(shape[0], classes, width)
        return UNet(shape[0], shape[1], classes, width, mults=(1, 2) if shape[1] < 16 else (1, 2, 2))
