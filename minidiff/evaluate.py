"""How good is a run? Against the exact law where there is one, else against held-out real data; floors beside."""

import math
from pathlib import Path

import torch
from torch import Tensor

from . import checkpoint, classifier, data, metrics
from .checkpoint import Config
from .data import checker
from .denoise import normal_like
from .device import pick
from .generate import generate
from .oracles import MixtureDenoiser
from .runs import load_data
from .stages.autoencoder import Autoencoder, reconstruct
from .stages.vq import usage

LOG_SNRS = torch.linspace(-7.0, 7.0, 20)  # sigma / alpha from 33 down to 0.03
PAIRS = 8  # real samples that a distance is averaged over: the shares of the modes are drawn at random in each


def score_error(model, mixture, n: int = 4096, seed: int = 0) -> list[float]:
    """The relative squared error of the score under p_t at each of LOG_SNRS: E|s - s*|^2 / E|s*|^2.

    x_t is drawn from the exact p_t; s is the unconditional score. 0 is perfect, 1 is what s = 0 scores.
    """
    generator = torch.Generator().manual_seed(seed)
    oracle, errors = MixtureDenoiser(mixture, model.schedule), []
    device = next(model.parameters()).device
    for level in LOG_SNRS:
        t = model.schedule.time(level)
        alpha, sigma = model.schedule(t)
        x0 = mixture.sample(n, generator)
        x_t = alpha * x0 + sigma * normal_like(x0, generator)
        with torch.no_grad():
            ours, exact = model(x_t.to(device), t).eps.cpu(), oracle(x_t, t).eps
        errors.append(((ours - exact).square().sum() / exact.square().sum()).item())  # eps = -sigma * score
    return errors


def evaluate_points(model, config: Config, dataset, *, n, scale, sampler, steps, seed) -> dict:
    """Score error (exact toys), distances of n samples to the data law, floor beside; samples follow its labels."""
    report = {}
    generator = torch.Generator().manual_seed(seed + 10_000)  # not the noise that the samples start from
    _, labels = dataset.batch(n, generator)
    fake = generate(model, config.shape, n, cond=labels, scale=scale, sampler=sampler, steps=steps, seed=seed)
    if dataset.mixture is not None and hasattr(model, "schedule"):
        errors = score_error(model, dataset.mixture)
        report["score error, relative squared, mean of 20 log-SNR levels -7 to 7"] = sum(errors) / len(errors)
        report["score error at each level"] = [round(e, 5) for e in errors]
        times = model.schedule.grid(64)[:-1].flip(0)
        few = dataset.batch(512, generator)[0]
        report["log-likelihood per point, nats, 512 real points, by ODE"] = (
            metrics.log_likelihood(model, few.to(next(model.parameters()).device), times).mean().item()
        )
        report["log-likelihood of the same under the exact law"] = dataset.mixture.log_prob(few).mean().item()
    if dataset.mixture is not None:
        covered, near = metrics.modes_covered(fake, dataset.mixture)
        report["modes with an eighth of their share or more"] = f"{covered} of {len(dataset.mixture.weights)}"
        report["samples within 3 standard deviations of a mode"] = near
    distance = metrics.sliced_wasserstein
    ours = [distance(fake, dataset.batch(n, generator)[0]) for _ in range(PAIRS)]
    floor = [distance(*(dataset.batch(n, generator)[0] for _ in "ab")) for _ in range(PAIRS)]
    report[f"sliced Wasserstein of {n} samples to as many real ones, mean of {PAIRS}"] = sum(ours) / PAIRS
    report[f"floor: real against real, mean of {PAIRS} pairs"] = sum(floor) / PAIRS
    report["ratio to the floor"] = sum(ours) / sum(floor)
    few = min(n, 2000)
    precision, recall = metrics.precision_recall(dataset.batch(few, generator)[0], fake[:few])
    report[f"precision ({few} points, k = 3)"], report[f"recall ({few} points, k = 3)"] = precision, recall
    return report


def evaluate_images(model, config: Config, dataset, held_out, *, n, scale, sampler, steps, seed) -> dict:
    """Recognised class, precision, recall and Frechet distance of samples against held-out real pictures.

    Features and labels come from a classifier trained on the real training pictures; without guidance and with it.
    """
    if len(held_out) < 10 * len(config.classes):
        raise ValueError(f"{config.data}: {len(held_out)} held-out pictures are too few to measure {n} samples by")
    judge = classifier.for_data(dataset, device=next(model.parameters()).device)
    real, logits = classifier.judge(judge, held_out.at(torch.arange(len(held_out))))
    size = max(1, min(len(real), n) // len(config.classes)) * len(config.classes)  # as many of each class
    report = {"classifier: right on held-out real pictures": _share(logits, held_out.labels)}
    report["distances are of"] = (
        f"{size} samples, as many of each class, to {len(real)} held-out; mean of {PAIRS} draws"
    )
    generator = torch.Generator().manual_seed(1)
    everything = torch.arange(len(dataset))[_balanced(dataset.labels, min(len(dataset), PAIRS * size), generator)]
    train_features, _ = classifier.judge(judge, dataset.at(everything))
    report |= _distances("floor (real training pictures)", real, train_features, dataset.labels[everything], size)
    labels = torch.arange(n) % len(config.classes)
    for gamma in sorted({1.0, scale}):
        options = {"cond": labels, "scale": gamma, "sampler": sampler, "steps": steps, "seed": seed}
        features, logits = classifier.judge(judge, generate(model, config.shape, n, **options).clamp(-1, 1))
        report[f"scale {gamma:g}: recognised as their class"] = _share(logits, labels)
        report |= _distances(f"scale {gamma:g}", real, features, labels, size)
    return report


def evaluate_autoencoder(model, config: Config, dataset, held_out, *, n) -> dict:
    """How well n held-out pictures come back: PSNR, and the Frechet distance of what came back to what went in."""
    x = some_pictures(held_out, n)
    y, codes = reconstruct(model, x)
    judge = classifier.for_data(dataset, device=next(model.parameters()).device)
    was, became = (classifier.judge(judge, part)[0] for part in (x, y))
    half = len(x) // 2
    report = {
        "pictures": len(x),
        "PSNR, dB": metrics.psnr(x, y),
        "Frechet distance to the originals, classifier features (not FID)": metrics.frechet_distance(became, was),
        "floor: one half of the originals to the other": metrics.frechet_distance(was[:half], was[half:]),
        "positions": f"{math.prod(codes.shape[-2:])}, for {x[0, 0].numel()} pixels",
    }
    if config.codes:
        used, perplexity = usage(codes, config.codes)
        report |= {"codes in use, share": used, "perplexity over the number of codes": perplexity}
    return report


def some_pictures(dataset, n: int, seed: int = 20_000) -> Tensor:
    """n of its pictures: of a fixed set the first, else fresh ones."""
    if isinstance(dataset, data.Captioned):
        return torch.cat([x for x, _ in dataset.fixed(n, seed)])
    return dataset.at(torch.arange(min(n, len(dataset))))


def _balanced(labels: Tensor, n: int, generator) -> Tensor:
    """About n indices, as many of each class, drawn without replacement."""
    classes = labels.unique()
    order = torch.randperm(len(labels), generator=generator)
    return torch.cat([order[labels[order] == c][: max(1, n // len(classes))] for c in classes])


def distances(real: Tensor, features: Tensor, labels: Tensor, size: int) -> tuple[float, float, float]:
    """Frechet distance, precision and recall of `size` of the features against the real ones: means over draws, drawn
    alike for samples and for the floor, since all three depend on how many there are and of which class."""
    generator, rows = torch.Generator().manual_seed(0), []
    for _ in range(PAIRS if size < len(features) else 1):  # all of them are the same in every draw
        few = features[_balanced(labels, size, generator)]
        rows.append([metrics.frechet_distance(few, real), *metrics.precision_recall(real, few)])
    return tuple(torch.tensor(rows).mean(0).tolist())


def _distances(name: str, *args) -> dict:
    """The same in words."""
    frechet, precision, recall = distances(*args)
    return {
        f"{name}: Frechet distance, classifier features (not FID)": frechet,
        f"{name}: precision": precision,
        f"{name}: recall of held-out real pictures": recall,
    }


def _share(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).float().mean().item()


def prompted(model, tokenizer, dataset, n: int, **options) -> tuple[Tensor, list[str], list]:
    """n pictures of n fresh captions of a set of captioned shapes, the captions, and what they ask for. The same seed
    asks the same."""
    generator = torch.Generator().manual_seed(10_000 + options.get("seed", 0))
    _, captions, asked = dataset.asked(n, generator)
    return generate(model, dataset.shape, n, cond=tokenizer(captions), **options), captions, asked


def prompt_accuracy(model, tokenizer, dataset, n: int, *, shuffle=False, **options) -> dict[str, float]:
    """Attribute -> the share as asked, of n pictures for n fresh captions of a set of captioned shapes (see
    data.checker).

    shuffle judges each by the caption of another, which is what chance is.
    """
    x, _, asked = prompted(model, tokenizer, dataset, n, **options)
    return checker.accuracy(asked[1:] + asked[:1] if shuffle else asked, x)


def evaluate_captions(model, config: Config, dataset, *, n, scale, **options) -> dict:
    """What captions ask for and pictures show, by attribute, without guidance and with it, and by chance."""
    report, tokenizer = {}, checkpoint.tokenizer(config)
    judge = classifier.for_data(load_data(config), device=next(model.parameters()).device)
    real, again = (classifier.judge(judge, some_pictures(dataset, n, seed))[0] for seed in (20_000, 30_000))
    all_alike = torch.zeros(n, dtype=torch.long)
    report |= _distances("floor (other real pictures)", real, again, all_alike, n)
    for gamma in sorted({1.0, scale}):
        x, captions, asked = prompted(model, tokenizer, dataset, n, scale=gamma, **options)
        for name, value in checker.accuracy(asked, x).items():
            report[f"scale {gamma:g}: {name} as asked"] = value
        report |= _distances(f"scale {gamma:g}", real, classifier.judge(judge, x.clamp(-1, 1))[0], all_alike, n)
    chance = prompt_accuracy(model, tokenizer, dataset, n, scale=scale, shuffle=True, **options)
    return report | {f"scale {scale:g}, judged by another's caption: {k}": v for k, v in chance.items()}


def evaluate(run: Path, *, n=None, scale=None, sampler="dpmpp_2m", steps=20, seed=0, device="auto") -> dict:
    """Measure a run's EMA model; a dict of what is said in words: number, in the order of printing.

    By default toys are measured on 10,000 samples without guidance, pictures on 1,000 with scales 1 and 1.5, or 2 if
    they have captions.
    """
    config = checkpoint.read_config(run)
    model = checkpoint.load(run, device=pick(device))
    dataset = load_data(config)
    points = isinstance(dataset, data.Points)
    usual = 1.0 if points else 2.0 if dataset.captioned else 1.5
    if not hasattr(model, "schedule"):  # no guidance
        usual = 1.0
    n, scale = n or (10_000 if points else 1_000), usual if scale is None else scale
    options = {"n": n, "scale": scale, "sampler": sampler, "steps": steps, "seed": seed}
    head = {"run": str(run), "data": config.data, **options, "weights": "EMA", "device": str(pick(device))}
    if isinstance(model, Autoencoder):
        return head | evaluate_autoencoder(model, config, dataset, load_data(config, "test"), n=n)
    if points:
        return head | evaluate_points(model, config, dataset, **options)
    if isinstance(dataset, data.Captioned):
        return head | evaluate_captions(model, config, load_data(config, "test"), **options)
    if not config.classes:
        raise ValueError(f"{run}: its pictures have no labels, so no classifier can make features to compare them by")
    return head | evaluate_images(model, config, dataset, load_data(config, "test"), **options)
