"""Checkpoints of the DiT paper (Peebles and Xie 2023), from github.com/facebookresearch/DiT: `from_official` makes a
net of this package of one, and `OfficialModel` a Model of the net. Reading the file is torch.load's."""

import math

import numpy as np
import torch
from torch import Tensor

from ..denoise import Prediction
from ..schedules import VP
from .layers import Fourier
from .transformer import DiT

_SIZES = {  # parameters that sizes are read from, and their number of dimensions
    "x_embedder.proj.weight": 4, "pos_embed": 3, "y_embedder.embedding_table.weight": 2,
    "t_embedder.mlp.0.weight": 2, "final_layer.linear.weight": 2, "blocks.0.mlp.fc1.weight": 2,
}  # fmt: skip
_NAMES = {  # their part of a name -> ours
    "x_embedder.proj": "enter",
    "t_embedder.mlp.0": "emb.noise.1",
    "t_embedder.mlp.2": "emb.noise.3",
    "y_embedder.embedding_table": "emb.label",
    ".attn.qkv": ".attention.layer.qkv",
    ".attn.proj": ".attention.layer.project",
    ".mlp.fc1": ".mlp.layer.0",
    ".mlp.fc2": ".mlp.layer.2",
    "final_layer.linear": "leave",
    "final_layer.adaLN_modulation.1": "norm.modulation",
}


def from_official(state_dict: dict[str, Tensor], heads: int | None = None) -> DiT:
    """The DiT of a checkpoint of facebookresearch/DiT: net(x, t, y) is its output at their times t (B,), 0 to 999.

    All output channels come out, those of the learned sigma too. Sizes are read from the shapes; `heads` is by default
    16 for width 1152 (DiT-XL), else width / 64. Raises ValueError naming keys that are missing, left over or misshapen.
    (diffusers' port spaces the frequencies of the time by 1 / 127 of the range, the original by 1 / 128.)
    """
    theirs = {k.removeprefix("module."): v for k, v in state_dict.items()}
    for name, ndim in _SIZES.items():
        if name not in theirs or theirs[name].ndim != ndim:
            raise ValueError(f"not a DiT checkpoint: {name} is missing, or is not of {ndim} dimensions")
    width, channels, patch, _ = theirs["x_embedder.proj.weight"].shape
    side, half = math.isqrt(theirs["pos_embed"].shape[1]), theirs["t_embedder.mlp.0.weight"].shape[1] // 2
    net = DiT(
        channels,
        side * patch,
        classes=len(theirs["y_embedder.embedding_table.weight"]) - 1,
        width=width,
        depth=1 + max(int(k.split(".")[1]) for k in theirs if k.startswith("blocks.")),
        heads=heads or (16 if width == 1152 else width // 64),
        patch=patch,
        mlp_ratio=len(theirs["blocks.0.mlp.fc1.weight"]) / width,
        out_channels=len(theirs["final_layer.linear.weight"]) // patch**2,
        features=Fourier(torch.exp(-math.log(10000.0) * torch.arange(half) / half)),  # rounded as theirs are
    )
    ours = {"emb.noise.0.frequencies": net.emb.noise[0].frequencies}
    for name, value in theirs.items():
        ours |= _ours(name, value)
    _check(ours, net.state_dict())
    net.load_state_dict(ours)
    return net.eval()


def _ours(name: str, value: Tensor) -> dict[str, Tensor]:
    """Their parameter under our name or names."""
    if name == "pos_embed":
        return {"positions": value[0]}
    for their_part, our_part in _NAMES.items():
        name = name.replace(their_part, our_part)
    block, of_a_block, leaf = name.partition("adaLN_modulation.1.")
    if not of_a_block:
        return {name: value}
    attention, mlp = value.chunk(2)  # shift, scale and gate of each
    return {f"{block}attention.norm.modulation.{leaf}": attention, f"{block}mlp.norm.modulation.{leaf}": mlp}


def _check(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise ValueError unless the keys and the shapes are those wanted."""
    wrong = [f"{k} is missing" for k in wanted if k not in found]
    for k, v in found.items():
        if k not in wanted:
            wrong.append(f"{k} is left over")
        elif v.shape != wanted[k].shape:
            wrong.append(f"{k} has shape {tuple(v.shape)}, not {tuple(wanted[k].shape)}")
    if wrong:
        raise ValueError(f"not a DiT checkpoint (in our names): {'; '.join(wrong[:3])}")


class OfficialModel:
    """A net of from_official as a Model on the VP path, to be sampled or guided as any other.

    The net predicts eps at the times 0 to 999 of a DDPM with betas from .0001 to .02 (Ho et al. 2020); the time of a
    level between two of them is interpolated by log SNR; less noise than time 0 has, sigma / alpha below .01, counts as
    that of time 0. The learned sigma is not used: no sampler here needs it.
    """

    def __init__(self, net: DiT):
        self.net, self.schedule, self.null = net, VP(), net.null
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        self.levels = (alpha_bar / (1 - alpha_bar)).log().numpy()  # log SNR, falling

    def __call__(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Prediction:
        t = torch.as_tensor(t).to(x_t)
        number = np.interp(-self.schedule.log_snr(t).numpy(force=True), -self.levels, np.arange(1000.0))
        number = torch.as_tensor(number).to(x_t).expand(len(x_t))
        eps = self.net(x_t, number, cond)[:, : x_t.shape[1]]
        return Prediction.from_eps(eps, x_t, *self.schedule(t))
