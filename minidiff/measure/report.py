"""What is said of a model's samples: of points, of pictures, of pictures for captions, and of an autoencoder's.

Each function returns a dict, a measure in words -> its value, in the order of printing. Samples come from a function
draw(cond=, scale=) -> x (n, ...), cond being labels or tokens. Distances depend on how many samples there are, so
beside each stands its floor: the distance of real samples to other real ones, which a perfect model has.
"""

import torch
from torch import Tensor

from ..data.shapes import checker
from ..denoise import normal_like
from ..oracles import MixtureDenoiser
from . import metrics
from .features import Features

LOG_SNRS = torch.linspace(-7.0, 7.0, 20)  # sigma / alpha from 33 down to 0.03
ENOUGH = 2048  # samples: with fewer a Frechet distance depends on their number more than on the model
MOST = 10_000  # real pictures for precision and recall, as ADM has it: their cost grows with the square
PAIRS = 8  # draws that a distance is averaged over: which samples are in one is chance
FLOOR = "floor (other real pictures)"


def score_error(model, mixture, n: int = 4096) -> list[float]:
    """The relative squared error of the score under p_t at each of LOG_SNRS: E|s - s*|^2 / E|s*|^2.

    x_t is drawn from the exact p_t; s is the unconditional score. 0 is perfect, 1 is what s = 0 scores.
    """
    generator = torch.Generator().manual_seed(0)
    oracle = MixtureDenoiser(mixture, model.schedule)
    device = next(model.parameters()).device
    errors = []
    for level in LOG_SNRS:
        t = model.schedule.time(level)
        alpha, sigma = model.schedule(t)
        x0 = mixture.sample(n, generator)
        x_t = alpha * x0 + sigma * normal_like(x0, generator)
        with torch.no_grad():
            ours, exact = model(x_t.to(device), t).eps.cpu(), oracle(x_t, t).eps
        errors.append(((ours - exact).square().sum() / exact.square().sum()).item())  # eps = -sigma * score
    return errors


def of_density(model, mixture, x: Tensor) -> dict:
    """A diffusion model against the exact law: its score, and its likelihood of points x (N, 2)."""
    errors = score_error(model, mixture)
    times = model.schedule.grid(64)[:-1].flip(0)
    likelihood = metrics.log_likelihood(model, x.to(next(model.parameters()).device), times)
    return {
        "score error, relative squared, mean of 20 log-SNR levels -7 to 7": sum(errors) / len(errors),
        "score error at each level": [round(e, 5) for e in errors],
        f"log-likelihood per point, nats, {len(x)} real points, by ODE": likelihood.mean().item(),
        "log-likelihood of the same under the exact law": mixture.log_prob(x).mean().item(),
    }


def of_points(draw, dataset, n: int, scale: float, seed: int = 0, model=None) -> dict:
    """n samples, labelled as the data is: modes covered, distances, precision and recall; and the density of `model`,
    if a diffusion model is given and the exact law is known."""
    generator = torch.Generator().manual_seed(seed + 10_000)  # not the noise that the samples start from
    fake = draw(cond=dataset.batch(n, generator)[1], scale=scale)
    report = {}
    if dataset.mixture is not None and model is not None:
        report |= of_density(model, dataset.mixture, dataset.batch(512, generator)[0])
    if dataset.mixture is not None:
        covered, near = metrics.modes_covered(fake, dataset.mixture)
        report["modes with an eighth of their share or more"] = f"{covered} of {len(dataset.mixture.weights)}"
        report["samples within 3 standard deviations of a mode"] = near
    distance = metrics.sliced_wasserstein
    ours = [distance(fake, dataset.batch(n, generator)[0]) for _ in range(PAIRS)]
    floor = [distance(*(dataset.batch(n, generator)[0] for _ in "ab")) for _ in range(PAIRS)]
    few = min(n, 2000)
    precision, recall = metrics.precision_recall(dataset.batch(few, generator)[0], fake[:few])
    return report | {
        f"sliced Wasserstein of {n} samples to as many real ones, mean of {PAIRS}": sum(ours) / PAIRS,
        f"floor: real against real, mean of {PAIRS} pairs": sum(floor) / PAIRS,
        "ratio to the floor": sum(ours) / sum(floor),
        f"precision ({few} points, k = 3)": precision,
        f"recall ({few} points, k = 3)": recall,
    }


def balanced(labels: Tensor, n: int, generator) -> Tensor:
    """About n indices, equally many of each class, drawn without replacement."""
    classes = labels.unique()
    order = torch.randperm(len(labels), generator=generator)
    return torch.cat([order[labels[order] == c][: max(1, n // len(classes))] for c in classes])


def distances(real: Tensor, features: Tensor, labels: Tensor, size: int) -> tuple[float, float, float]:
    """Frechet distance, precision and recall of `size` of the features (N, D) against the real ones (M, D).

    All three depend on how many samples there are and of which classes. So samples and floor are drawn alike, equally
    many of each class, and the values are means over PAIRS draws.
    """
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(PAIRS if size < len(features) else 1):  # all of them are the same in every draw
        few = features[balanced(labels, size, generator)]
        rows.append([metrics.frechet_distance(few, real), *metrics.precision_recall(real[:MOST], few)])
    return tuple(torch.tensor(rows).mean(0).tolist())


def compared(
    name: str, features: Features, real: Tensor, found: Tensor, logits: Tensor, labels: Tensor, size: int
) -> dict:
    """All measures of features `found` (N, D) and logits (N, outputs) against `real` (M, D), in sets of `size` that
    have equally many of each of the labels (N,)."""
    few = balanced(labels, size, torch.Generator().manual_seed(0))
    frechet, precision, recall = distances(real, found, labels, size)
    report = {
        f"{name}: {features.frechet}": frechet,
        f"{name}: {features.kernel}": metrics.kernel_distance(found[few], real[: 2 * ENOUGH]),
        f"{name}: precision": precision,
        f"{name}: recall": recall,
    }
    if features.score is not None:
        report[f"{name}: {features.score}"] = metrics.inception_score(logits[few].softmax(1))
    return report


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()


def of_pictures(draw, features: Features, train, held_out, n: int, scales, tokenizer=None) -> dict:
    """n samples at each guidance scale, equally many of each class or of the held-out captions, against real pictures.

    A classifier's features compare with held-out pictures, and its logits tell whether a sample shows its class;
    Inception's compare with all training pictures, as is usual for an FID. `tokenizer` reads captions, if there are
    any.
    """
    cond = labels = torch.arange(n) % len(train.classes) if train.classes else None
    if tokenizer is not None:
        cond = tokenizer([held_out.captions[i % len(held_out)] for i in range(n)], truncate=True)

    # the real pictures to compare with, and others for the floor
    usual = features.frechet == "FID"
    near, far = (train, held_out) if usual else (held_out, train)
    order = torch.randperm(len(near), generator=torch.Generator().manual_seed(0))  # it may be sorted by class
    real, logits = features.compute(near.at(order))
    report = {"compared with": f"{len(near)} {'training' if usual else 'held-out'} pictures"}
    groups, others, classes = torch.zeros(n), torch.zeros(len(far)), 1
    if features.own_classes:
        groups, others, classes = labels, far.labels, len(train.classes)
        report["classifier: right on held-out real pictures"] = accuracy(logits, near.labels[order])
    most = min(n, len(far))  # the floor can be of no more, and it is to be of as many as the samples
    size = most if usual else max(1, min(len(real), most) // classes) * classes
    draws = f"{', as many of each class' * (classes > 1)}, mean of {PAIRS} draws" if size < n else ""
    report["distances are of"] = f"{size} samples{draws}"

    some = balanced(others, min(len(far), PAIRS * size), torch.Generator().manual_seed(1))
    report |= compared(FLOOR, features, real, *features.compute(far.at(some)), others[some], size)
    for scale in scales:
        found, logits = features.compute(draw(cond=cond, scale=scale))
        if features.own_classes:
            report[f"scale {scale:g}: recognised as their class"] = accuracy(logits, labels)
        report |= compared(f"scale {scale:g}", features, real, found, logits, groups, size)
    return report


def bits(model, held_out, n: int = 32) -> dict:
    """Bits per dimension of n held-out pictures of 256 levels, or of all if there are fewer, by a diffusion model of
    pixels."""
    n = min(n, len(held_out))
    index = torch.linspace(0, len(held_out) - 1, n).long()  # from all over: they may be sorted by class
    device = next(model.parameters()).device
    cond = held_out.labels[index].to(device) if held_out.classes else None
    times = model.schedule.grid(32)[:-1].flip(0)
    generator = torch.Generator().manual_seed(0)
    found = metrics.bits_per_dim(model, held_out.pictures[index].to(device), times, cond, generator)
    return {
        f"bits per dimension, {n} held-out pictures, by ODE": found.mean().item(),
        "its standard error": found.std().item() / n**0.5,
    }


def of_captions(draw, features: Features, dataset, n: int, scales, tokenizer, seed: int = 0) -> dict:
    """n samples of n fresh captions at each guidance scale: the share of what the captions ask for that the pictures
    show, by attribute; the same for the caption of another picture, which is chance; and distances to real pictures."""
    captions, asked = questions(dataset, n, seed)
    tokens = tokenizer(captions)
    alike = torch.zeros(n)
    features = features._replace(score=None)  # the captions ask for no classes
    real, other = (features.compute(dataset.some(n, which))[0] for which in (20_000, 30_000))
    report = compared(FLOOR, features, real, other, None, alike, n)
    for scale in scales:
        x = draw(cond=tokens, scale=scale)
        report |= {f"scale {scale:g}: {k} as asked": v for k, v in checker.accuracy(asked, x).items()}
        report |= compared(f"scale {scale:g}", features, real, features.compute(x)[0], None, alike, n)
    chance = checker.accuracy(asked[1:] + asked[:1], x)  # of the last scale
    return report | {f"scale {scale:g}, judged by another's caption: {k}": v for k, v in chance.items()}


def questions(dataset, n: int, seed: int = 0) -> tuple[list[str], list]:
    """n fresh captions of captioned shapes, and what they ask for: the same for the same seed."""
    return dataset.asked(n, torch.Generator().manual_seed(10_000 + seed))[1:]


def of_reconstructions(x: Tensor, y: Tensor, features: Features) -> dict:
    """Pictures x (N, C, H, W), N at least 4, and what an autoencoder made of them, y, of the same shape.

    The distances are of one half to the other: a reconstruction is nearer to its own picture than any floor tells.
    """
    was, became = (features.compute(part)[0] for part in (x, y))
    half = len(x) // 2
    return {
        "pictures": len(x),
        "PSNR, dB": metrics.psnr(x, y),
        f"one half's reconstructions to the other half: {features.frechet}": metrics.frechet_distance(
            became[:half], was[half:]
        ),
        f"floor (the half itself to the other): {features.frechet}": metrics.frechet_distance(was[:half], was[half:]),
    }
