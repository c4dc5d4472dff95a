"""Samples drawn to be measured, and what one set of pictures' features says of another's."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import data, plot
from ..device import replacing
from ..run.generate import generate
from . import metrics
from .features import Features

ENOUGH = 2048  # samples: of fewer a Frechet distance tells of their number first
MOST = 10_000  # real pictures for precision and recall, as ADM has it: their cost grows with the square
PAIRS = 8  # sets that a distance is averaged over: which pictures are in one, and of which mode, is chance


def draw(
    work: Path, model, shape, n: int, cond=None, *, seed: int = 0, scale=1.0, part: int = 256, **options
) -> Tensor:
    """n pictures of a model, rounded to the 256 levels of a file, in [-1, 1].

    They are drawn in parts, each kept in a folder in `work` as it is done: what is killed goes on from there. The same
    seed gives the same pictures.
    """
    digest = hashlib.sha256(repr((n, part, scale, seed, sorted(options.items()))).encode())
    for value in (*model.state_dict().values(), *(() if cond is None else (cond,))):
        digest.update(value.cpu().contiguous().numpy().tobytes())
    folder, found = work / digest.hexdigest()[:16], []
    folder.mkdir(parents=True, exist_ok=True)
    for i in tqdm(range(0, n, part), desc=f"{n} samples, scale {scale:g}", leave=False, disable=None):
        path = folder / f"{i:07d}.npy"
        if not path.exists():
            given, m = None if cond is None else cond[i : i + part], min(part, n - i)
            x = generate(model, shape, m, cond=given, scale=scale, seed=seed + 1_000_003 * i, **options)
            with replacing(path) as temporary:
                np.save(temporary, plot.to_uint8(x))
        found.append(torch.from_numpy(np.load(path)))
    return torch.cat(found).permute(0, 3, 1, 2).float() / 127.5 - 1


def some_pictures(dataset, n: int, seed: int = 20_000) -> Tensor:
    """n of its pictures, of a fixed set always the same ones and mixed: it may be sorted by class."""
    if isinstance(dataset, data.Captioned):
        return torch.cat([x for x, _ in dataset.fixed(n, seed)])
    return dataset.at(torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:n])


def balanced(labels: Tensor, n: int, generator) -> Tensor:
    """About n indices, as many of each class, drawn without replacement."""
    classes = labels.unique()
    order = torch.randperm(len(labels), generator=generator)
    return torch.cat([order[labels[order] == c][: max(1, n // len(classes))] for c in classes])


def distances(real: Tensor, features: Tensor, labels: Tensor, size: int) -> tuple[float, float, float]:
    """Frechet distance, precision and recall of `size` of the features against the real ones: means over draws, drawn
    alike for samples and for the floor, since all three depend on how many there are and of which class."""
    generator, rows = torch.Generator().manual_seed(0), []
    for _ in range(PAIRS if size < len(features) else 1):  # all of them are the same in every draw
        few = features[balanced(labels, size, generator)]
        rows.append([metrics.frechet_distance(few, real), *metrics.precision_recall(real[:MOST], few)])
    return tuple(torch.tensor(rows).mean(0).tolist())


def compared(name: str, eyes: Features, real, found, logits, labels, size: int) -> dict:
    """All that one set of features says of another, in words; without logits there is no score."""
    few = balanced(labels, size, torch.Generator().manual_seed(0))
    frechet, precision, recall = distances(real, found, labels, size)
    report = {
        f"{name}: {eyes.frechet}": frechet,
        f"{name}: {eyes.kernel}": metrics.kernel_distance(found[few], real[: 2 * ENOUGH]),
        f"{name}: precision": precision,
        f"{name}: recall": recall,
    }
    if logits is not None:
        report[f"{name}: {eyes.score}"] = metrics.inception_score(logits[few].softmax(1))
    return report


def share(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()
