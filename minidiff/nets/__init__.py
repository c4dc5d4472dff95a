"""Networks, all called as net(x, c_noise, cond): x and the output alike in shape, c_noise (B,), cond (B,) or None."""

from torch import nn

from .mlp import MLP
from .unet import UNet

NETS = ("mlp", "unet")


def default_width(name: str, shape: tuple[int, ...]) -> int:
    """A width that two CPU cores train well in minutes."""
    return 128 if name == "mlp" else 32 if shape[-1] < 16 else 64


def build(name: str, shape: tuple[int, ...], classes: int | None = None, width: int | None = None) -> nn.Module:
    """The network `name` for data of `shape`, (D,) or (C, H, W), with `classes` labels or unconditional.

    Raises ValueError if net and data do not fit.
    """
    if name not in NETS:
        raise ValueError(f"unknown net {name!r}: choose from {', '.join(NETS)}")
    width = width or default_width(name, shape)
    if name == "mlp":
        if len(shape) != 1:
            raise ValueError(f"net mlp takes points (D,), and this data has shape {tuple(shape)}: use unet")
        return MLP(shape[0], classes, width)
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"net unet takes square pictures (C, H, H), and this data has shape {tuple(shape)}: use mlp")
    return UNet(shape[0], shape[1], classes, width, mults=(1, 2) if shape[1] < 16 else (1, 2, 2))
