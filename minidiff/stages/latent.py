"""The second stage: the latents of a data set, cached on disk, and a prior over them with the decoder to draw pictures.

Pictures are drawn as p(x) = integral of p(z) p(x|z) dz says: z from the prior, then x by the decoder.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..data import Data, Images
from ..data.dataset import data_folder
from ..device import autocast, cached, to_device
from ..measure.nets import fingerprint
from .autoencoder import Autoencoder

STD = 0.5  # the deviation that latents are scaled to, about that of pictures: the same noise levels then suit both


class Latent(nn.Module):
    """A prior over an autoencoder's latents, and the autoencoder, which is not trained further.

    The prior models latents (B, *latent_shape): those of the autoencoder times `scale`, or indices as they are. If it
    is a Denoiser this is a Model of latents, to be sampled and guided as any other, and `decode` makes pictures of the
    result (latent diffusion, Rombach et al. 2022).
    """

    def __init__(self, prior: nn.Module, autoencoder: Autoencoder):
        super().__init__()
        self.prior, self.autoencoder = prior, autoencoder.requires_grad_(False)
        self.latent_shape: tuple[int, ...] = autoencoder.latent_shape
        self.register_buffer("scale", torch.ones(()))

    @property
    def schedule(self):
        return self.prior.schedule

    @property
    def times_drawn(self):
        return getattr(self.prior, "times_drawn", None)

    @property
    def null(self):
        return getattr(self.prior, "null", None)

    def given(self, cond, x: Tensor) -> Tensor | None:
        return self.prior.given(cond, x)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None):
        return self.prior(x_t, t, cond)

    def prepare(self, data, device):
        """It is trained on the latents of the data, at the scale that it has or, if new, now gets."""
        latents = latents_of(self.autoencoder, data)
        if self.scale != 1:
            latents.scale = self.scale.item()
        self.scale.fill_(latents.scale)
        return latents

    def loss(self, x0: Tensor, cond: Tensor | None = None, **options) -> Tensor:
        """The prior's loss of latents x0, (B,); the options are the prior's."""
        return self.prior.loss(x0, cond, **options)

    def sample(self, n: int, cond: Tensor | None = None, generator=None, **options) -> Tensor:
        """n pictures (n, C, H, H), decoded samples of the prior; the options are the prior's."""
        z = self.prior.sample(n, cond, generator, **options)
        with autocast(z.device, z) if z.is_floating_point() else nullcontext():
            return self.decode(z)

    def decode(self, z: Tensor) -> Tensor:
        """Latents or indices -> pictures (B, C, H, H) in [-1, 1]."""
        return self.autoencoder.decode(z / self.scale if z.is_floating_point() else z)

    def train(self, mode: bool = True):
        super().train(mode)
        self.autoencoder.eval()  # a codebook's moving averages stay as they are
        return self


@dataclass
class Latents(Images):
    """A data set of latents in the place of pictures: (N, *latent_shape), with the pictures' labels or captions."""

    scale: float = 1.0

    def __post_init__(self):
        """Latents have any shape and range: there is nothing to check."""

    def at(self, index: Tensor) -> Tensor:
        """Those at `index`: float32, scaled, or int64."""
        z = self.pictures[to_device(index, self.pictures.device)]
        return z.float() * self.scale if z.is_floating_point() else z.long()


def latents_of(autoencoder: Autoencoder, train: Data) -> Latents:
    """The latents of a data set (of captioned shapes: of its fixed set), encoded once and then read from the cache.

    Their scale makes the standard deviation STD, unless they are indices.
    """
    path = data_folder() / f"latents-{train.fingerprint()}-{fingerprint(autoencoder)}.safetensors"
    z, captions = cached(path, read_latents, lambda: encode_all(autoencoder, train), write_latents)
    scale = STD / z.float().std().item() if z.is_floating_point() else 1.0
    labels = train.labels
    return Latents(f"latents of {train.name}", z, labels, list(train.classes), captions, scale)


def read_latents(path: Path) -> tuple[Tensor, list[str] | None]:
    """Latents and captions of a cache file."""
    with safe_open(path, "pt") as f:
        return f.get_tensor("z"), json.loads(f.metadata()["captions"])


def write_latents(path: Path, found: tuple[Tensor, list[str] | None]) -> None:
    save_file({"z": found[0].contiguous()}, path, {"captions": json.dumps(found[1])})


@torch.no_grad()
def encode_all(autoencoder: Autoencoder, train: Data) -> tuple[Tensor, list[str] | None]:
    """Every picture's latents, float16, or indices, int16; and the captions, or None."""
    device, found, captions = next(autoencoder.parameters()).device, [], [] if train.captioned else None
    autoencoder = autoencoder.eval()
    for x, said in tqdm(train.parts(), desc="encoding", unit="batch", leave=False, disable=None):
        x = to_device(x, device)
        with autocast(device, x):
            z = autoencoder.encode(x).cpu()
        found.append(z.half() if z.is_floating_point() else z.short())
        if captions is not None:
            captions += said
    return torch.cat(found), captions
