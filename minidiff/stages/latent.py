"""The second stage's view of the first: latents of a data set, cached on disk, and a prior over them to draw from.

Pictures are drawn as p(x) = integral of p(z) p(x|z) dz says: z from the prior, then x by the decoder.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..data import Captioned, Data
from ..device import autocast, data_folder, out_of_memory, replacing, to_device
from ..text import vocabulary_of
from .autoencoder import Autoencoder

STD = 0.5  # that latents are scaled to, as pictures have about so much: noise levels and training times then suit both


class Latent(nn.Module):
    """A prior over an autoencoder's latents, together with the autoencoder.

    If the prior is a Denoiser this is a Model, of latents: samplers and guidance take it as any other, and `decode`
    makes pictures of what they end on (latent diffusion, Rombach et al. 2022). Else the prior has `sample`, and so has
    this. Latents (B, *latent_shape) are those of the autoencoder times `scale`; indices are left as they are.
    """

    def __init__(self, prior: nn.Module, autoencoder: Autoencoder):
        super().__init__()
        self.prior, self.autoencoder = prior, autoencoder.requires_grad_(False)
        self.register_buffer("scale", torch.ones(()))

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return self.autoencoder.latent_shape

    @property
    def schedule(self):
        return self.prior.schedule

    @property
    def null(self):
        return getattr(self.prior, "null", None)

    def forward(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None):
        return self.prior(x_t, t, cond)

    def loss(self, x0: Tensor, cond: Tensor | None = None, **options) -> Tensor:
        """The prior's loss of latents x0; the options are its own."""
        return self.prior.loss(x0, cond, **options)

    def sample(self, n: int, cond: Tensor | None = None, generator=None, **options) -> Tensor:
        """n pictures by a prior that is not a Denoiser; the options are its own."""
        return self.decode(self.prior.sample(n, cond, generator, **options))

    def decode(self, z: Tensor) -> Tensor:
        """Latents or indices -> pictures (B, C, H, H) in [-1, 1]."""
        return self.autoencoder.decode(z / self.scale if z.is_floating_point() else z)

    def train(self, mode: bool = True):
        super().train(mode)
        self.autoencoder.eval()  # its weights, and a codebook's averages, stay as they are
        return self


@dataclass
class Latents:
    """Latents of a data set's pictures, z (N, ...), with its labels or captions; itself a data set."""

    name: str
    z: Tensor
    labels: Tensor | None
    classes: list[str]
    captions: list[str] | None = None
    scale: float = 1.0

    mixture = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.z.shape[1:])

    @property
    def captioned(self) -> bool:
        return self.captions is not None

    def vocabulary(self) -> tuple[list[str], int]:
        return vocabulary_of(self.captions)

    def at(self, index: Tensor) -> Tensor:
        """Those at `index`: float32, scaled, or int64."""
        z = self.z[to_device(index, self.z.device)]
        return z.float() * self.scale if z.is_floating_point() else z.long()

    def batch(self, n: int, generator=None):
        """n of them at random, and their captions, labels (n,) or None."""
        index = torch.randint(len(self.z), (n,), generator=generator)
        if self.captioned:
            return self.at(index), [self.captions[i] for i in index.tolist()]
        return self.at(index), None if self.labels is None else self.labels[to_device(index, self.labels.device)]

    def to(self, device: torch.device) -> "Latents":
        """The same with its latents and labels on the device."""
        return replace(self, z=self.z.to(device), labels=None if self.labels is None else self.labels.to(device))


def fingerprint(autoencoder: Autoencoder) -> str:
    """A hash of its weights."""
    digest = hashlib.sha256()
    for name, value in sorted(autoencoder.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def latents_of(autoencoder: Autoencoder, train: Data) -> Latents:
    """The latents of a data set (of captioned shapes: of its fixed set), encoded once and then read from the cache;
    scaled to a standard deviation of STD unless they are indices."""
    own = fingerprint(autoencoder)
    path = data_folder() / f"latents-{train.fingerprint()}-{own}.safetensors"
    if not path.exists():
        z, captions = encode_all(autoencoder, train)
        about = {"autoencoder": own, "captions": json.dumps(captions)}
        with replacing(path) as temporary:
            save_file({"z": z.contiguous()}, temporary, about)
    z, captions = read_latents(path, own)
    labels = getattr(train, "labels", None)
    scale = STD / z.float().std().item() if z.is_floating_point() else 1.0
    return Latents(f"latents of {train.name}", z, labels, list(train.classes), captions, scale)


def read_latents(path: Path, own: str) -> tuple[Tensor, list[str] | None]:
    """Latents and captions of a cache file. Raises ValueError if it is damaged or of another autoencoder."""
    try:
        with safe_open(path, "pt") as f:
            about, z = f.metadata() or {}, f.get_tensor("z")
    except (SafetensorError, OSError) as error:
        if out_of_memory(error):
            raise
        raise ValueError(f"{path} is not a readable file of latents ({error}): delete it") from None
    if about.get("autoencoder") != own:
        raise ValueError(
            f"{path} holds latents of another autoencoder (weights {about.get('autoencoder')}, here {own}): delete it"
        )
    return z, json.loads(about["captions"])


@torch.no_grad()
def encode_all(autoencoder: Autoencoder, train: Data, batch: int = 500) -> tuple[Tensor, list[str] | None]:
    """Every picture's latents, float16, or indices, int16; and the captions, or None."""
    device, found, captions = next(autoencoder.parameters()).device, [], [] if train.captioned else None
    autoencoder = autoencoder.eval()
    if isinstance(train, Captioned):
        parts = train.fixed()
    else:
        rows = torch.arange(len(train)).split(batch)
        parts = ((train.at(i), train.captions and [train.captions[k] for k in i.tolist()]) for i in rows)
    for x, said in tqdm(parts, desc="encoding", unit="batch", leave=False, disable=None):
        x = to_device(x, device)
        with autocast(device, x):
            z = autoencoder.encode(x).cpu()
        found.append(z.half() if z.is_floating_point() else z.short())
        if captions is not None:
            captions += said
    return torch.cat(found), captions
