"""What pictures are compared by: the features of a classifier trained here on the real ones, or those of Inception.

Only with Inception's features is a Frechet distance an FID, a kernel distance a KID, and the score of the class
probabilities an Inception score. So the names of the measures come with the features.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import plot
from ..data import Data
from ..device import out_of_memory
from ..text import one_of
from . import classifier
from .nets import fingerprint


class Features(NamedTuple):
    """compute(x) gives the features (N, D) and logits (N, outputs) of pictures x (N, C, H, W) in [-1, 1], on the CPU.
    `frechet`, `kernel` and `score` are what the measures in them are called; `score` is None if the logits are not of
    classes. `own_classes` tells whether they are of the data's classes."""

    what: str
    compute: Callable[[Tensor], tuple[Tensor, Tensor]]
    frechet: str
    kernel: str
    score: str | None
    own_classes: bool


def features_for(name: str, train: Data, device) -> Features:
    """The features `name`, "classifier" or "inception", for pictures like those of `train`. Raises ValueError for an
    unknown name, and if Inception cannot be loaded."""
    one_of("features", name, ("classifier", "inception"))
    if name == "inception":
        compute = partial(extract, inception(device))
        return Features("Inception-v3 of torch-fidelity", compute, "FID", "KID", "Inception score", own_classes=False)
    labelled, net = classifier.labelled(train), classifier.for_data(train, device=device)
    return Features(
        # another cache's has other weights: the same samples are up to a sixth nearer or farther there
        f"a classifier trained here on the training pictures (weights {fingerprint(net)[:8]})",
        partial(classifier.extract, net),
        "Frechet distance, classifier features (not FID)",
        "kernel distance, classifier features (not KID)",
        "class score, as the Inception score is computed" if labelled else None,
        own_classes=labelled,
    )


def inception(device) -> nn.Module:
    """Inception-v3 with the weights that FID is defined by (Heusel et al. 2017), by torch-fidelity: uint8 pictures
    (N, 3, H, W) -> features (N, 2048) and logits (N, 1008)."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise ValueError("FID needs Inception: pip install -e '.[fid]', or compare by --features classifier") from None
    try:
        net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"])
    except (OSError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise ValueError(
            f"Inception's weights could not be loaded ({' '.join(str(error).split())[:200]}): they are downloaded "
            f"once, into {torch.hub.get_dir()}/checkpoints; without a network compare by --features classifier"
        ) from None
    return net.to(device).eval()


@torch.no_grad()
def extract(net: nn.Module, x: Tensor, batch: int = 128) -> tuple[Tensor, Tensor]:
    """Inception's features and logits of pictures in [-1, 1], on the CPU; grey ones in three equal channels."""
    device = next(net.parameters()).device
    found = []
    for part in tqdm(x.split(batch), desc="Inception", leave=False, disable=True if len(x) < 1000 else None):
        part = torch.from_numpy(plot.to_uint8(part)).permute(0, 3, 1, 2)
        found.append([v.float().cpu() for v in net(part.expand(-1, 3, -1, -1).contiguous().to(device))])
    return tuple(torch.cat(v) for v in zip(*found, strict=True))
