"""How good is a run? Its model is loaded and sampled, and what measure.report says of the samples is written down."""

import hashlib
import json
import math
import shutil
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import plot
from ..data.shapes import checker
from ..device import cached, fast_bf16, pick, replacing
from ..measure import report
from ..measure.features import features_for
from ..measure.nets import fingerprint, parameters
from ..measure.report import ENOUGH
from ..samplers import CALLS, check_sampling, whole
from ..stages.autoencoder import reconstruct
from ..stages.vq import usage
from . import checkpoint
from .config import Config
from .folder import load_data
from .generate import check_scale, generate
from .models import AUTOENCODERS, tokenizer_of


def draw(work: Path, model, n: int, cond=None, *, seed: int = 0, scale=1.0, part: int = 256, **options) -> Tensor:
    """n pictures of a model, rounded to the 256 levels of a file, in [-1, 1]; the same seed gives the same pictures.

    They are drawn in parts, each kept in a folder in `work` when it is done: if killed, the next call goes on there.
    """
    asked = fingerprint(model), n, part, scale, seed, sorted(options.items()), None if cond is None else cond.tolist()
    folder = work / hashlib.sha256(repr(asked).encode()).hexdigest()[:16]

    def drawn(i: int) -> np.ndarray:
        given = None if cond is None else cond[i : i + part]
        x = generate(model, min(part, n - i), cond=given, scale=scale, seed=seed + 1_000_003 * i, **options)
        folder.mkdir(parents=True, exist_ok=True)
        return plot.to_uint8(x)

    found = []
    for i in tqdm(range(0, n, part), desc=f"{n} samples, scale {scale:g}", leave=False, disable=None):
        found.append(torch.from_numpy(cached(folder / f"{i:07d}.npy", np.load, partial(drawn, i), np.save)))
    return torch.cat(found).permute(0, 3, 1, 2).float() / 127.5 - 1


def prompt_accuracy(model, tokenizer, dataset, n: int, *, seed: int = 0, **options) -> dict[str, float]:
    """Attribute -> the share as asked, of n pictures for n fresh captions of captioned shapes (data.shapes.checker);
    options are generate's."""
    captions, asked = report.questions(dataset, n, seed)
    return checker.accuracy(asked, generate(model, n, cond=tokenizer(captions), seed=seed, **options))


def evaluate_autoencoder(model, config: Config, dataset, held_out, *, n, features_of="classifier") -> dict:
    """How well n held-out pictures, or all if there are fewer, come back, and how many codes are used."""
    x = held_out.some(n, 20_000)
    if len(x) < 4:
        raise ValueError(f"{config.data}: {len(x)} held-out pictures are too few to measure by: at least 4 are needed")
    y, z = reconstruct(model, x)
    found = report.of_reconstructions(x, y, features_for(features_of, dataset, next(model.parameters()).device))
    found["positions"] = f"{math.prod(z.shape[-2:])}, for {x[0, 0].numel()} pixels"
    if config.model == "vq":
        found["codes in use, share"], found["perplexity over the number of codes"] = usage(z, config.net["codes"])
    return found


def evaluate_pictures(
    model, config: Config, dataset, held_out, work: Path, *, n, scale, features_of="classifier", few=False, **options
) -> dict:
    """n pictures of a run without guidance, and n at `scale`, measured; options are those of sampling."""
    found = {}
    if n < ENOUGH:
        found["too few"] = f"yes, below {ENOUGH}: distances are too large by an amount that their floor shows"
        if not few:
            raise ValueError(
                f"{n} samples are too few: of less than {ENOUGH} a Frechet distance tells of their number more than of "
                f"the model; give --n {ENOUGH} or more, or add --few to have it all the same"
            )
    if not dataset.objects and len(held_out) < 10 * max(1, len(held_out.classes)):  # on average
        raise ValueError(f"{held_out.name}: {len(held_out)} held-out pictures are too few to measure by: ten a class")
    features = features_for(features_of, dataset, next(model.parameters()).device)
    found["features"] = features.what
    drawn = partial(draw, work, model, n, **options)
    measured = {"n": n, "scales": sorted({1.0, scale}), "tokenizer": tokenizer_of(config)}
    if dataset.objects:
        return found | report.of_captions(drawn, features, held_out, **measured, seed=options["seed"])
    found |= report.of_pictures(drawn, features, dataset, held_out, **measured)
    told = config.diffusion is not None and (config.classes or has_null(config))  # what the pictures are given
    if told and config.autoencoder is None and held_out.pictures.dtype == torch.uint8:
        found |= report.bits(model, held_out)
    return found


def evaluate(
    run: Path, *, n=None, scale=None, sampler="dpmpp_2m", steps=20, seed=0, device="auto", features_of="classifier",
    spec: str | None = None, few: bool = False, work: Path | None = None,
) -> dict:  # fmt: skip
    """Measure a run's EMA model: a measure in words -> its value, in the order of printing.

    By default toys are measured on 10,000 samples without guidance, pictures on 2,048 with scales 1 and 1.5, or 2 if
    they have captions. Fewer pictures are refused unless `few`. `spec` is other data than the run was trained on, of
    the same shape and classes. Samples are kept in `work`, by default a folder in the run, until all is measured.
    Raises ValueError for an option that would do nothing.
    """
    config = checkpoint.read_config(run)
    if spec is not None:
        config = replace(config, data=spec, fingerprint=None)
    points = len(config.shape) == 1
    scale = default_scale(config) if scale is None else scale
    check_options(config, scale, sampler, steps, features_of)
    n = whole("n", n or (10_000 if points else ENOUGH))
    options = {"sampler": sampler, "steps": check_sampling(sampler, steps, scale), "seed": whole("seed", seed, 0, 64)}
    model = checkpoint.load(run, device=pick(device))
    dataset, held_out = load_data(config), load_data(config, "test")
    head = {"run": str(run), "data": config.data} | card(model, config, run, {"n": n, "scale": scale, **options})
    if config.model in AUTOENCODERS:
        return head | evaluate_autoencoder(model, config, dataset, held_out, n=n, features_of=features_of)
    if points:
        drawn = partial(generate, model, n, **options)
        density = model if config.diffusion is not None and has_null(config) else None
        return head | report.of_points(drawn, dataset, n, scale, options["seed"], density)
    work = work or run / "evaluating"
    own = work / "-".join(map(str, (n, scale, *options.values(), features_of)))  # another may be under way
    options |= {"n": n, "scale": scale, "features_of": features_of, "few": few}
    found = evaluate_pictures(model, config, dataset, held_out, own, **options)
    shutil.rmtree(own, ignore_errors=True)
    with suppress(OSError):
        work.rmdir()  # if nothing else is in it
    return head | found


def has_null(config: Config) -> bool:
    """Whether a diffusion model was trained without a condition, always or at times."""
    return config.diffusion.p_uncond > 0 or not config.classes and config.text is None


def default_scale(config: Config) -> float:
    """Of guidance: as is usual for pictures with labels or captions, and 1 for what cannot be guided and for points."""
    if config.diffusion is None or len(config.shape) == 1 or not has_null(config):
        return 1.0
    return 2.0 if config.text is not None else 1.5 if len(config.classes) > 1 else 1.0


def check_options(config: Config, scale: float, sampler: str, steps: int, features_of: str) -> None:
    """Raise ValueError for an option that would do nothing."""
    check_scale(config, scale)
    if config.diffusion is None and (sampler, steps) != ("dpmpp_2m", 20):
        raise ValueError("a sampler and its steps are for diffusion models, and this is none: leave them out")
    if len(config.shape) == 1 and features_of != "classifier":
        raise ValueError("features are of pictures, and this model is of points: leave them out")


def card(model, config: Config, run: Path, options: dict) -> dict:
    """What must stand beside a number: the model and its training, how it was sampled, where and in which precision."""
    device, kind = next(model.parameters()).device, config.model
    # GANs and transformers of tokens draw in float32
    half = len(config.shape) == 3 and fast_bf16(device) and kind in ("diffusion", *AUTOENCODERS)
    if kind == "diffusion":
        steps = options["steps"]
        calls = CALLS.get(options["sampler"], int)(steps)
        options = options | {"network calls a sample": f"{calls}, twice as many where guided"}
    elif kind in AUTOENCODERS:
        options = {}  # nothing is drawn
    else:
        calls = math.prod(model.latent_shape) if kind == "ar" else 2 if kind == "stacked_gan" else 1
        options = {"n": options["n"], "seed": options["seed"], "network calls a sample": calls}
    return {
        "model": f"{kind}, {config.net['name']}, {parameters(model) / 1e6:.2f} million parameters",
        "trained for": checkpoint.trained_for(run),
        **options,
        "weights": "EMA",
        "precision": "bfloat16 by autocast" if half else "float32",
        "device": str(device),
    }


def in_words(report: dict) -> list[str]:
    """A line for each measure."""
    lines = []
    for name, value in report.items():
        values = value if isinstance(value, list) else [value]
        lines.append(f"{name}: {' '.join(f'{v:.4g}' if isinstance(v, float) else str(v) for v in values)}")
    return lines


def write_card(report: dict, out: Path) -> None:
    """evaluation.json and, the same as text, evaluation.txt in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("json", json.dumps(report, indent=2)), ("txt", "\n".join(in_words(report)))):
        with replacing(out / f"evaluation.{name}") as f:
            f.write_text(text + "\n", encoding="utf-8")
