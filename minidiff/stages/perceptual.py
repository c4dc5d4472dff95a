"""A perceptual distance between pictures: that of the features of a trained network."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..data import Data
from ..measure import classifier

VGG_FILE = "vgg16-397923af.pth"  # torchvision's, as torch.hub names it
VGG_LAYERS = (3, 8, 15, 22, 29)  # after the last ReLU of each block
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # that VGG's pictures were normalised by


def distance_for(train: Data, device="cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """The perceptual distance (x, y) -> (B,) for a data set: of VGG's features, as in LPIPS, if torchvision's weights
    are on this machine already, else of those of a classifier trained here on the data."""
    if vgg_path().exists():
        return distance(vgg_maps(device))
    return distance(classifier.for_data(train, device, seed=1).requires_grad_(False).maps)


def distance(maps: Callable[[Tensor], list[Tensor]]) -> Callable[[Tensor, Tensor], Tensor]:
    """(x, y) -> (B,), 0 to 4: the squared difference of the unit vectors of their feature maps (B, c, h, w), averaged
    over space and layers. LPIPS (Zhang et al. 2018, equation 1) without its learned weights; gradients go to y alone.
    """

    def between(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = [unit(h) for h in maps(x)]
        errors = [(unit(h) - w).square().sum(1).mean((1, 2)) for h, w in zip(maps(y), wanted, strict=True)]
        return sum(errors) / len(errors)

    return between


def unit(h: Tensor) -> Tensor:
    """h (B, c, h, w) with vectors of length 1 along c."""
    h = h.float()
    return h / (h.square().sum(1, keepdim=True) + 1e-8).sqrt()


def vgg_path() -> Path:
    """Where torch.hub keeps VGG's weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE


def vgg_maps(device="cpu") -> Callable[[Tensor], list[Tensor]]:
    """The five feature maps of torchvision's VGG-16 that LPIPS compares, of pictures in [-1, 1], grey or in colour."""
    from torchvision.models import vgg16

    with torch.device("meta"):  # nothing is drawn: the weights come from the file
        layers = vgg16().features
    saved = torch.load(vgg_path(), map_location=device, weights_only=True)
    saved = {k.removeprefix("features."): v for k, v in saved.items() if k.startswith("features.")}
    layers.load_state_dict(saved, assign=True)
    layers = layers[: VGG_LAYERS[-1] + 1].eval().requires_grad_(False)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))

    def maps(x: Tensor) -> list[Tensor]:
        h, found = ((x.expand(-1, 3, -1, -1) + 1) / 2 - mean) / std, []
        for i, layer in enumerate(layers):
            if i and isinstance(layer, torch.nn.MaxPool2d) and min(h.shape[2:]) < 2:
                break  # small pictures end before VGG does
            h = layer(h)
            if i in VGG_LAYERS:
                found.append(h)
        return found

    return maps
