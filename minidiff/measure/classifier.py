"""A small classifier of a data set's real pictures, trained here: its features are what pictures are compared by.

It never sees a generated picture. Its features are not Inception's, so a Frechet distance in them is not an FID.
"""

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, linear, pad

from ..data import Data
from ..data.dataset import data_folder
from ..device import autocast, cached, seeded, to_device


class Classifier(nn.Module):
    """Pictures (N, C, H, W) in [-1, 1] -> logits (N, classes); `features` are the 128 numbers before the last layer."""

    def __init__(self, channels: int, size: int, classes: int):
        super().__init__()
        width = 32 if size < 64 else 16  # for the sake of time
        layers = []
        now = channels
        for level in range(max(1, size.bit_length() - 3)):  # halved until 4 to 7 pixels are left
            out = width * min(4, 2**level)
            layers += [nn.Conv2d(now, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
            layers += [nn.Conv2d(out, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
            now = out
        self.body = nn.Sequential(*layers)
        self.squeeze = nn.Sequential(nn.LazyLinear(128), nn.ReLU())
        self.head = nn.Linear(128, classes)
        self.squeeze(self.body.eval()(torch.zeros(1, channels, size, size)).flatten(1))  # fixes the lazy layer's size

    def features(self, x: Tensor) -> Tensor:
        return self.squeeze(self.body(x).flatten(1))

    def maps(self, x: Tensor) -> list[Tensor]:
        """The feature maps (N, c, h, w) before each halving, the finest first: what a perceptual loss compares."""
        found = []
        for layer in self.body:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
            x = layer(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def labelled(train: Data) -> bool:
    """Whether there are classes to tell apart: one class is none."""
    return len(train.classes) > 1


def outputs(train: Data) -> int:
    """How many logits a classifier of `train` has: see `training_batch`."""
    return len(train.classes) if labelled(train) else len(train.objects) or 4


def training_batch(train: Data, n: int, generator) -> tuple[Tensor, Tensor]:
    """n pictures and the targets that a classifier learns: labels (n,); for captioned shapes which kinds of object are
    in each picture, (n, kinds), 0 or 1; without labels the number of quarter turns by which each was rotated, (n,)
    (Gidaris et al. 2018)."""
    if train.objects:
        return train.kinds(n, generator)
    x, label = train.batch(n, generator)
    if labelled(train):
        return x, label
    turns = torch.randint(4, (n,), generator=generator)
    return torch.stack([p.rot90(k, (1, 2)) for p, k in zip(x, turns.tolist(), strict=True)]), turns


def fit(train: Data, steps: int = 1200, batch: int = 128, seed: int = 0, device="cpu") -> Classifier:
    """A classifier trained on `train`, its pictures shifted at random; the same seed gives the same classifier."""
    device = torch.device(device)
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        net = Classifier(*train.shape[:2], outputs(train)).train()
    net = net.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        x, y = training_batch(train, batch, generator)
        x, y = to_device(shift(x, generator), device), y.to(device)
        with autocast(device, x):
            logits = net(x).float()
        if y.ndim == 2:
            loss = binary_cross_entropy_with_logits(logits, y)
        else:
            loss = cross_entropy(logits, y, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def shift(x: Tensor, generator: torch.Generator) -> Tensor:
    """Move the whole batch by up to a tenth of its size, at least a pixel, repeating the border."""
    size = x.shape[-1]
    most = max(1, size // 10)
    dx, dy = torch.randint(2 * most + 1, (2,), generator=generator).tolist()
    return pad(x, (most,) * 4, mode="replicate")[..., dy : dy + size, dx : dx + size]


def for_data(train: Data, device="cpu", seed: int = 0) -> Classifier:
    """The classifier of a data set: trained once, then read from the cache while the pictures are the same.

    Seed 0 measures; what models learn from is of seed 1: they are not measured by the net that taught them.
    """
    name = f"classifier-{train.fingerprint()}-{outputs(train)}{f'-{seed}' if seed else ''}"

    def read(path):
        net = Classifier(*train.shape[:2], outputs(train))
        net.load_state_dict(load_file(path))
        return net.to(device).eval()

    def write(path, net):
        save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)

    steps = 600 if train.objects else 1200
    path = data_folder() / f"{name}.safetensors"
    return cached(path, read, lambda: fit(train, steps=steps, seed=seed, device=device), write)


@torch.no_grad()
def extract(net: Classifier, x: Tensor, batch: int = 512) -> tuple[Tensor, Tensor]:
    """Features (N, 128) and logits (N, classes) of pictures, on the CPU in float32."""
    device = next(net.parameters()).device
    features = torch.cat([net.features(part.to(device)).cpu() for part in x.split(batch)])
    return features, linear(features, net.head.weight.cpu(), net.head.bias.cpu())
