"""The front door: train text-to-image on captioned shapes, from nothing, and draw what is typed.

It is latent diffusion (Rombach et al. 2022) in small: an autoencoder first, then a DiT that draws its latents.
"""

import json
import shlex
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from . import plot
from .device import autocast, pick, replacing, threads_for_free_cores, to_device
from .guidance import Guided
from .run import checkpoint
from .run.evaluate import prompt_accuracy
from .run.folder import load_data
from .run.generate import generate
from .run.loop import train_run
from .run.models import tokenizer_of
from .run.recipes import configure
from .samplers import dpmpp_2m, start

DATA, SIZE = "shapes:2", 32
FIRST = 0.2  # of the time is the autoencoder's
# It learns edges: of pictures of three objects, which have more of them; by Muon at a large rate, which a long cooldown
# settles; and without a critic, as |x - y| has one answer here.
AUTOENCODER = {"batch": 16, "lr": 1.6e-2, "optimizer": "muon", "cooldown": 0.7, "critic": False}
LATENTS = {"cooldown": 0.5}
SCALES = (1.0, 2.0, 4.0)
HOW = {"sampler": "unipc", "steps": 12}
PROMPTS = (
    "a big red circle",
    "a small blue square at the top left",
    "a yellow triangle at the bottom",
    "a big green cross",
    "a red square above a blue circle",
    "a small white circle to the left of a big purple triangle",
)


@threads_for_free_cores()
def demo(out: Path, minutes: float = 4.0, seed: int | None = None, device: str = "auto", n: int = 500) -> None:
    """Train for `minutes` (once more if the run is there already), and write to `out` what became of it. The seed is by
    default that of the run, of a new one 0.

    prompts.png, prompts by guidance scale; accuracy.png and .json, what a checker finds of what n captions ask for;
    noise_to_picture.gif; loss.png.
    """
    first, run = out / "autoencoder", out / "run"
    if out.exists() and any(out.iterdir()) and not any(map(checkpoint.is_run, (first, run))):
        raise ValueError(f"{out} exists and was not made by demo: choose another --out")
    config, dataset = train_stages(first, run, minutes, seed, device)
    seed = config.seed
    model, tokenizer = checkpoint.load(run, device=pick(device)), tokenizer_of(config)
    began, rows = time.monotonic(), {}
    for scale in SCALES:
        rows[scale] = prompt_accuracy(model, tokenizer, dataset, n, scale=scale, seed=seed, **HOW)
        print(f"guidance {scale:g}: " + ", ".join(f"{k} {v:.0%}" for k, v in rows[scale].items()), flush=True)
    print(f"({n} captions, {HOW['steps']} steps of {HOW['sampler']}, {time.monotonic() - began:.0f} s)")
    with replacing(out / "accuracy.json") as f:
        f.write_text(json.dumps({f"{k:g}": v for k, v in rows.items()}, indent=1) + "\n", encoding="utf-8")
    draw_accuracy(rows, n, out / "accuracy.png")
    draw_prompts(model, tokenizer, out / "prompts.png", seed)
    draw_animation(model, tokenizer, out / "noise_to_picture.gif", seed)
    plot.save(plot.losses(checkpoint.read_losses(run), title="captioned shapes: training loss"), out / "loss.png")
    print(f"look at prompts.png, accuracy.png, noise_to_picture.gif and loss.png in {out}")
    further = ["-m", "minidiff", "sample", str(run), "--prompt", PROMPTS[4], "--scale", "2", "--n", "16"]
    print("next:", shlex.join([sys.executable, *further]))


def train_stages(first: Path, second: Path, minutes: float, seed: int | None, device: str):
    """Train an autoencoder, and on its latents the model; or, if that is there already, it alone, with the seed that it
    has. Its config, and the data."""
    if checkpoint.is_run(second):
        config = checkpoint.read_config(second)
        if config.data != DATA or config.autoencoder is None:
            raise ValueError(f"{second} is a run on {config.data}, not one of demo's: choose another --out")
        if seed not in (None, config.seed):
            raise ValueError(f"{second} was made with seed {config.seed}, not {seed}: leave it out")
        dataset = load_data(config)
        print(f"training the model that draws for {minutes:g} minutes more")
    else:
        print(f"training on pictures of one or two shapes and their captions for {minutes:g} minutes, from nothing:")
        print("first an autoencoder, which makes pictures small, then the model that draws what a caption says")
        options, seed = {"minutes": FIRST * minutes, "device": device}, seed or 0
        train_run(first, *configure("shapes", SIZE, model="vae", seed=seed, **AUTOENCODER), **options)
        config, dataset = configure(DATA, autoencoder=first, seed=seed, **LATENTS)
        minutes *= 1 - FIRST
    train_run(second, config, dataset, autoencoder=first, minutes=minutes, device=device)
    return config, dataset


def draw_accuracy(rows: dict[float, dict[str, float]], n: int, path: Path) -> None:
    """A group of bars for each attribute, one for each scale."""
    figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    names = list(rows[1.0])
    for i, (scale, row) in enumerate(rows.items()):
        places = [k + 0.27 * (i - 1) for k in range(len(names))]
        bars = ax.bar(places, [row[k] for k in names], 0.25, label=f"guidance {scale:g}")
        ax.bar_label(bars, [f"{100 * row[k]:.0f}" for k in names], fontsize=7)
    ax.set_xticks(range(len(names)), names)
    ax.set(ylim=(0, 1.2), ylabel="share as asked for", title=f"{n} captions, read back by the checker")
    ax.legend(frameon=False, loc="upper center", ncols=3)
    plot.save(figure, path)


def draw_prompts(model, tokenizer, path: Path, seed: int, each: int = 4) -> None:
    """A row a prompt, `each` samples of it without guidance and at each scale, all from the same noise."""
    tokens = tokenizer(list(PROMPTS)).repeat_interleave(each, 0)
    figure, axes = plt.subplots(1, len(SCALES), figsize=(11, 4.4), layout="constrained")
    for ax, scale in zip(axes, SCALES, strict=True):
        x = generate(model, len(tokens), cond=tokens, scale=scale, seed=seed + 1, **HOW)
        labels = list(PROMPTS) if scale == SCALES[0] else None
        plot.grid(x, each, ax, f"guidance {scale:g}" + (" (off)" if scale == 1 else ""), labels)
    plot.save(figure, path, dpi=150)


@torch.no_grad()
def draw_animation(model, tokenizer, path: Path, seed: int, scale: float = 2.0, steps: int = 24) -> None:
    """Noise becoming a picture of each prompt, as a GIF that rests on its last frame."""
    device = next(model.parameters()).device
    tokens = tokenizer(list(PROMPTS)).repeat_interleave(3, 0).to(device)
    x = to_device(start(model, (len(tokens), *model.latent_shape), torch.Generator().manual_seed(seed + 1)), device)
    with autocast(device, x):
        drawn = [x, *dpmpp_2m(Guided(model, scale), x, model.schedule.grid(steps), tokens)]
        shown = [model.decode(z).unflatten(0, (len(PROMPTS), 3)).transpose(0, 1).flatten(0, 1) for z in drawn]
    frames = [plot.sheet(x, len(PROMPTS)) for x in shown]
    plot.gif(frames, [120] * steps + [2500], path)
