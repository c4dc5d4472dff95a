"""How good is a run? Against the exact law where there is one, else against held-out real data; floors beside."""

import json
import math
import shutil
from pathlib import Path

import torch
from torch import Tensor

from .. import data
from ..data.shapes import checker
from ..denoise import normal_like
from ..device import native_bf16, pick, replacing
from ..measure import metrics
from ..measure.classifier import for_data, judge, labelled
from ..measure.compare import ENOUGH, PAIRS, balanced, compared, draw, share, some_pictures
from ..measure.features import Features, features
from ..measure.nets import parameters
from ..oracles import MixtureDenoiser
from ..stages.autoencoder import Autoencoder, reconstruct
from ..stages.vq import usage
from . import checkpoint
from .checkpoint import Config
from .generate import check_sampling, generate, whole
from .loop import load_data

LOG_SNRS = torch.linspace(-7.0, 7.0, 20)  # sigma / alpha from 33 down to 0.03
FOR_BITS = 32  # pictures that bits per dimension are the mean of


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


def evaluate_images(
    model, config: Config, dataset, held_out, eyes: Features, work: Path, *, n, scale, **options
) -> dict:
    """Distances, precision, recall and score of samples against real pictures, without guidance and with it, and bits
    per dimension.

    A classifier's features compare with held-out pictures, and say whether a sample is of its class; Inception's with
    the training pictures, all of them, as is usual for an FID.
    """
    if len(held_out) < 10 * max(1, len(config.classes)):
        raise ValueError(f"{config.data}: {len(held_out)} held-out pictures are too few to measure {n} samples by")
    usual = eyes.frechet == "FID"
    near, far = (dataset, held_out) if usual else (held_out, dataset)
    order = torch.randperm(len(near), generator=torch.Generator().manual_seed(0))  # it may be sorted by class
    real, logits = eyes.look(near.at(order))
    report = {"compared with": f"{len(near)} {'training' if usual else 'held-out'} pictures"}
    known = labelled(config) and not usual
    if known:
        report["classifier: right on held-out real pictures"] = share(logits, held_out.labels[order])
    classes = len(config.classes) if known else 1
    size = n if usual else max(1, min(len(real), n) // classes) * classes  # as many of each class
    draws = f", as many of each class, mean of {PAIRS} draws" if size < n else ""
    report["distances are of"] = f"{size} samples{draws}"
    labels = cond = torch.arange(n) % len(config.classes) if config.classes else None
    if config.way:
        captions = [held_out.captions[i % len(held_out)] for i in range(n)]
        cond = checkpoint.tokenizer(config)(captions, truncate=True)
    group = labels if known else torch.zeros(n, dtype=torch.long)

    def groups_of(dataset):
        return dataset.labels if known else torch.zeros(len(dataset), dtype=torch.long)

    some = balanced(groups_of(far), min(len(far), PAIRS * size), torch.Generator().manual_seed(1))
    report |= compared("floor (other real pictures)", eyes, real, *eyes.look(far.at(some)), groups_of(far)[some], size)
    for gamma in sorted({1.0, scale}):
        x = draw(work, model, config.shape, n, cond, scale=gamma, **options)
        found, logits = eyes.look(x)
        if known:
            report[f"scale {gamma:g}: recognised as their class"] = share(logits, labels)
        report |= compared(f"scale {gamma:g}", eyes, real, found, logits, group, size)
    return report | _bits(model, held_out, bool(config.classes))


def _bits(model, held_out, labelled: bool) -> dict:
    """Bits per dimension of some held-out pictures, of a model of pixels of 256 levels."""
    if not hasattr(model, "schedule") or hasattr(model, "decode") or held_out.pictures.dtype != torch.uint8:
        return {}
    index = torch.linspace(0, len(held_out) - 1, FOR_BITS).long()  # from all over: they may be sorted by class
    device, few = next(model.parameters()).device, held_out.pictures[index]
    cond = held_out.labels[index].to(device) if labelled else None
    times = model.schedule.grid(32)[:-1].flip(0)
    bits = metrics.bits_per_dim(model, few.to(device), times, cond, torch.Generator().manual_seed(0))
    return {
        f"bits per dimension, {len(few)} held-out pictures, by ODE": bits.mean().item(),
        "its standard error": bits.std().item() / len(few) ** 0.5,
    }


def evaluate_autoencoder(model, config: Config, dataset, held_out, *, n) -> dict:
    """How well n held-out pictures come back: PSNR, and the Frechet distance of what came back to what went in."""
    x = some_pictures(held_out, n)
    y, codes = reconstruct(model, x)
    net = for_data(dataset, device=next(model.parameters()).device)
    was, became = (judge(net, part)[0] for part in (x, y))
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


def _questions(dataset, n: int, seed: int) -> tuple[list[str], list]:
    """n fresh captions of a set of captioned shapes, and what they ask for: the same for the same seed."""
    return dataset.asked(n, torch.Generator().manual_seed(10_000 + seed))[1:]


def prompted(model, tokenizer, dataset, n: int, **options) -> tuple[Tensor, list[str], list]:
    """n pictures of n fresh captions of a set of captioned shapes, the captions, and what they ask for. The same seed
    asks the same."""
    captions, asked = _questions(dataset, n, options.get("seed", 0))
    return generate(model, dataset.shape, n, cond=tokenizer(captions), **options), captions, asked


def prompt_accuracy(model, tokenizer, dataset, n: int, *, shuffle=False, **options) -> dict[str, float]:
    """Attribute -> the share as asked, of n pictures for n fresh captions of a set of captioned shapes (see
    data.checker).

    shuffle judges each by the caption of another, which is what chance is.
    """
    x, _, asked = prompted(model, tokenizer, dataset, n, **options)
    return checker.accuracy(asked[1:] + asked[:1] if shuffle else asked, x)


def evaluate_captions(model, config: Config, dataset, eyes: Features, work: Path, *, n, scale, seed, **options) -> dict:
    """What captions ask for and pictures show, by attribute, without guidance and with it, and by chance."""
    tokenizer, all_alike = checkpoint.tokenizer(config), torch.zeros(n, dtype=torch.long)
    real, again = (eyes.look(some_pictures(dataset, n, which))[0] for which in (20_000, 30_000))
    report = compared("floor (other real pictures)", eyes, real, again, None, all_alike, n)
    captions, asked = _questions(dataset, n, seed)
    for gamma in sorted({1.0, scale}):
        x = draw(work, model, config.shape, n, tokenizer(captions), seed=seed, scale=gamma, **options)
        for name, value in checker.accuracy(asked, x).items():
            report[f"scale {gamma:g}: {name} as asked"] = value
        report |= compared(f"scale {gamma:g}", eyes, real, eyes.look(x)[0], None, all_alike, n)
    for name, value in checker.accuracy(asked[1:] + asked[:1], x).items():  # of the last scale
        report[f"scale {gamma:g}, judged by another's caption: {name}"] = value
    return report


def evaluate(
    run: Path, *, n=None, scale=None, sampler="dpmpp_2m", steps=20, seed=0, device="auto", features_of="classifier",
    spec: str | None = None, few: bool = False, work: Path | None = None,
) -> dict:  # fmt: skip
    """Measure a run's EMA model; a dict of what is said in words: number, in the order of printing.

    By default toys are measured on 10,000 samples without guidance, pictures on 2,048 with scales 1 and 1.5, or 2 if
    they have captions. Fewer pictures are refused unless `few`. `spec` is other data than the run was trained on, of
    the same shape and classes. Samples drawn so far are kept in `work`, by default a folder in the run, until all is
    measured.
    """
    config = checkpoint.read_config(run)
    if spec is not None:
        config.data, config.fingerprint = spec, None
    model = checkpoint.load(run, device=pick(device))
    dataset = load_data(config)
    points, noisy = isinstance(dataset, data.Points), hasattr(model, "schedule")
    usual = 1.0 if points or not noisy else 2.0 if dataset.captioned else 1.5 if labelled(config) else 1.0
    n, seed = whole("n", n or (10_000 if points else ENOUGH)), whole("seed", seed, 0, 64)
    scale = usual if scale is None else scale
    steps = check_sampling(sampler, steps, scale)
    options = {"n": n, "scale": scale, "sampler": sampler, "steps": steps, "seed": seed}
    head = {"run": str(run), "data": config.data} | _card(config, model, run, options)
    if isinstance(model, Autoencoder):
        return head | evaluate_autoencoder(model, config, dataset, load_data(config, "test"), n=n)
    if points:
        return head | evaluate_points(model, config, dataset, **options)
    if n < ENOUGH and not few:
        raise ValueError(
            f"{n} samples are too few: of less than {ENOUGH} a Frechet distance tells of their number more than of the "
            f"model; give --n {ENOUGH} or more, or add --few to have it all the same"
        )
    if n < ENOUGH:
        head["too few"] = f"yes, below {ENOUGH}: distances are too large by an amount that their floor shows"
    eyes, work = features(features_of, dataset, pick(device)), work or run / "evaluating"
    head["features"] = eyes.what
    held_out = load_data(config, "test")
    if isinstance(dataset, data.Captioned):
        report = evaluate_captions(model, config, held_out, eyes, work, **options)
    else:
        report = evaluate_images(model, config, dataset, held_out, eyes, work, **options)
    shutil.rmtree(work, ignore_errors=True)
    return head | report


def _card(config: Config, model, run: Path, options: dict) -> dict:
    """What a number means nothing without."""
    device, calls = next(model.parameters()).device, options["steps"]
    if options["sampler"] == "heun":
        calls = 2 * calls - 1
    elif options["sampler"] == "langevin":
        calls = 12 * calls + 1
    half = len(config.shape) == 3 and native_bf16(device)
    return {
        "model": f"{config.model}, {config.net}, {parameters(model) / 1e6:.2f} million parameters",
        "trained for": checkpoint.trained_for(run),
        **options,
        "network calls a sample": f"{calls}, twice as many where guided" if hasattr(model, "schedule") else 1,
        "weights": "EMA",
        "precision": "bfloat16 by autocast" if half else "float32",
        "device": str(device),
    }


def in_words(report: dict) -> list[str]:
    """A line for each of its measures."""
    rows = {name: value if isinstance(value, list) else [value] for name, value in report.items()}
    return [
        f"{name}: {' '.join(f'{v:.4f}' if isinstance(v, float) else str(v) for v in row)}" for name, row in rows.items()
    ]


def write_card(report: dict, out: Path) -> None:
    """evaluation.json and, the same as text, evaluation.txt in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("json", json.dumps(report, indent=2)), ("txt", "\n".join(in_words(report)))):
        with replacing(out / f"evaluation.{name}") as f:
            f.write_text(text + "\n", encoding="utf-8")
