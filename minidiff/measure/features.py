"""The eyes that pictures are compared with: a classifier trained here on the real ones, or Inception.

Every distance is one of features, and only of Inception's is a Frechet distance an FID, a kernel distance a KID and
the score of the class probabilities an Inception score. So the names come with the features.
"""

from collections.abc import Callable
from typing import NamedTuple
from urllib.error import URLError

import torch
from torch import Tensor
from tqdm import tqdm

from .. import plot
from ..data import Data
from ..device import out_of_memory
from . import classifier

NAMES = ("classifier", "inception")


class Features(NamedTuple):
    """What looks at pictures, (N, C, H, W) in [-1, 1] -> features (N, D) and logits (N, classes), or None without
    classes to tell apart, on the CPU; and what the measures in those features are called."""

    what: str
    look: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    frechet: str
    kernel: str
    score: str


def features(name: str, train: Data, device) -> Features:
    """The features `name`, for pictures like those of `train`. Raises ValueError for an unknown name, and if Inception
    is not to be had."""
    if name not in NAMES:
        raise ValueError(f"unknown features {name!r}: choose from {', '.join(NAMES)}")
    if name == "inception":
        net = inception(device)
        return Features("Inception-v3 of torch-fidelity", lambda x: see(net, x), "FID", "KID", "Inception score")
    net = classifier.for_data(train, device=device)
    what = "a classifier trained here on the training pictures"
    names = (
        "Frechet distance, classifier features (not FID)",
        "kernel distance, classifier features (not KID)",
        "class score, as the Inception score is computed",
    )

    def look(x):
        seen, logits = classifier.judge(net, x)
        return seen, logits if classifier.labelled(train) else None

    return Features(what, look, *names)


def inception(device) -> torch.nn.Module:
    """Inception-v3 with the weights that FID is defined by (Heusel et al. 2017), by torch-fidelity: uint8 pictures
    (N, 3, H, W) -> features (N, 2048) and logits (N, 1008)."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise ValueError("FID needs Inception: pip install -e '.[fid]', or compare by --features classifier") from None
    try:
        net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"])
    except (URLError, OSError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise ValueError(
            f"Inception's weights could not be loaded ({' '.join(str(error).split())[:200]}): they are downloaded "
            f"once, into {torch.hub.get_dir()}/checkpoints; without a network compare by --features classifier"
        ) from None
    return net.to(device).eval()


@torch.no_grad()
def see(net: torch.nn.Module, x: Tensor, batch: int = 128) -> tuple[Tensor, Tensor]:
    """What Inception makes of pictures in [-1, 1], grey ones in three equal channels."""
    device, found = next(net.parameters()).device, []
    for part in tqdm(x.split(batch), desc="Inception", leave=False, disable=True if len(x) < 1000 else None):
        part = torch.from_numpy(plot.to_uint8(part)).permute(0, 3, 1, 2)
        found.append([v.float().cpu() for v in net(part.expand(-1, 3, -1, -1).contiguous().to(device))])
    seen, logits = (torch.cat(v) for v in zip(*found, strict=True))
    return seen, logits
