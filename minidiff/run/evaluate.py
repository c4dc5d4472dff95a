"""How good is a run? Its model is loaded and sampled, and what measure.report says of the samples is written down."""

import hashlib
import json
import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import plot
from ..data.shapes import checker
from ..device import cached, native_bf16, pick, replacing
from ..measure import report
from ..measure.features import features_for
from ..measure.nets import parameters
from ..measure.report import ENOUGH
from ..oracles import EmpiricalDenoiser
from ..samplers import check_sampling, last, run_sampler, whole
from ..schedules import VP
from ..stages.autoencoder import reconstruct
from ..stages.vq import usage
from . import checkpoint
from .config import Config
from .folder import load_data
from .generate import generate
from .models import AUTOENCODERS, tokenizer_of


def draw(work: Path, model, n: int, cond=None, *, seed: int = 0, scale=1.0, part: int = 256, **options) -> Tensor:
    """n pictures of a model, rounded to the 256 levels of a file, in [-1, 1]; the same seed gives the same pictures.

    They are drawn in parts, each kept in a folder in `work` when it is done: if killed, the next call goes on there.
    """
    digest = hashlib.sha256(repr((n, part, scale, seed, sorted(options.items()))).encode())
    for value in (*model.state_dict().values(), *(() if cond is None else (cond,))):
        digest.update(value.cpu().contiguous().numpy().tobytes())
    folder = work / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)

    def drawn(i: int) -> np.ndarray:
        given = None if cond is None else cond[i : i + part]
        x = generate(model, min(part, n - i), cond=given, scale=scale, seed=seed + 1_000_003 * i, **options)
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


def evaluate_autoencoder(model, config: Config, dataset, held_out, *, n) -> dict:
    """How well n held-out pictures come back, and how many codes are used."""
    x = held_out.some(n, 20_000)
    y, z = reconstruct(model, x)
    found = report.of_reconstructions(x, y, features_for("classifier", dataset, next(model.parameters()).device))
    found["positions"] = f"{math.prod(z.shape[-2:])}, for {x[0, 0].numel()} pixels"
    if config.model == "vq":
        found["codes in use, share"], found["perplexity over the number of codes"] = usage(z, config.net["codes"])
    return found


def evaluate_pictures(
    model, config: Config, dataset, work: Path, *, n, scale, features_of="classifier", few: bool = False, **options
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
    features = features_for(features_of, dataset, next(model.parameters()).device)
    found["features"] = features.what
    held_out = load_data(config, "test")
    drawn = partial(draw, work, model, n, **options)
    measured = {"n": n, "scales": sorted({1.0, scale}), "tokenizer": tokenizer_of(config)}
    if dataset.objects:
        return found | report.of_captions(drawn, features, held_out, **measured, seed=options["seed"])
    found |= report.of_pictures(drawn, features, dataset, held_out, **measured)
    if config.diffusion and config.autoencoder is None and held_out.pictures.dtype == torch.uint8:
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
    """
    config = checkpoint.read_config(run)
    if spec is not None:
        config = replace(config, data=spec, fingerprint=None)
    model = checkpoint.load(run, device=pick(device))
    dataset = load_data(config)
    points = len(dataset.shape) == 1
    if scale is None:
        guided = config.diffusion is not None and not points
        scale = 1.0 if not guided else 2.0 if dataset.captioned else 1.5 if len(dataset.classes) > 1 else 1.0
    n = whole("n", n or (10_000 if points else ENOUGH))
    options = {"sampler": sampler, "steps": check_sampling(sampler, steps, scale), "seed": whole("seed", seed, 0, 64)}
    head = {"run": str(run), "data": config.data} | card(model, config, run, {"n": n, "scale": scale, **options})
    if config.model in AUTOENCODERS:
        return head | evaluate_autoencoder(model, config, dataset, load_data(config, "test"), n=n)
    if points:
        drawn = partial(generate, model, n, **options)
        density = None if config.diffusion is None else model
        return head | report.of_points(drawn, dataset, n, scale, options["seed"], density)
    work = work or run / "evaluating"
    options |= {"n": n, "scale": scale, "features_of": features_of, "few": few}
    found = evaluate_pictures(model, config, dataset, work, **options)
    shutil.rmtree(work, ignore_errors=True)
    return head | found


def network_calls(sampler: str, steps: int) -> int:
    """How often a sampler calls its model for one sample: counted on the exact model of a single point."""

    class Counted(EmpiricalDenoiser):
        calls = 0

        def __call__(self, *inputs):
            self.calls += 1
            return super().__call__(*inputs)

    model = Counted(torch.zeros(1, 1), VP())
    last(run_sampler(model, torch.zeros(1, 1), sampler, steps, generator=torch.Generator()))
    return model.calls


def card(model, config: Config, run: Path, options: dict) -> dict:
    """What must stand beside a number: the model and its training, how it was sampled, where and in which precision."""
    device = next(model.parameters()).device
    half = len(config.shape) == 3 and native_bf16(device)
    calls = 1
    if config.diffusion is not None:
        calls = f"{network_calls(options['sampler'], options['steps'])}, twice as many where guided"
    return {
        "model": f"{config.model}, {config.net['name']}, {parameters(model) / 1e6:.2f} million parameters",
        "trained for": checkpoint.trained_for(run),
        **options,
        "network calls a sample": calls,
        "weights": "EMA",
        "precision": "bfloat16 by autocast" if half else "float32",
        "device": str(device),
    }


def in_words(report: dict) -> list[str]:
    """A line for each measure."""
    lines = []
    for name, value in report.items():
        values = value if isinstance(value, list) else [value]
        lines.append(f"{name}: {' '.join(f'{v:.4f}' if isinstance(v, float) else str(v) for v in values)}")
    return lines


def write_card(report: dict, out: Path) -> None:
    """evaluation.json and, the same as text, evaluation.txt in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("json", json.dumps(report, indent=2)), ("txt", "\n".join(in_words(report)))):
        with replacing(out / f"evaluation.{name}") as f:
            f.write_text(text + "\n", encoding="utf-8")
