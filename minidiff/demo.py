"""The front door: train a text-to-image model on captioned shapes, from nothing, and draw what is typed."""

import json
import os
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from . import plot
from .device import autocast, pick, replacing, to_device
from .guidance import Guided
from .run import checkpoint
from .run.evaluate import prompt_accuracy
from .run.folder import load_data
from .run.generate import generate
from .run.loop import train_run
from .run.models import tokenizer_of
from .run.recipes import configure
from .samplers import dpmpp_2m, start

SCALES = (1.0, 2.0, 4.0)
STEPS = 12
PROMPTS = (
    "a big red circle",
    "a small blue square at the top left",
    "a yellow triangle at the bottom",
    "a big green cross",
    "a red square above a blue circle",
    "a small white circle to the left of a big purple triangle",
)


def demo(out: Path, minutes: float = 3.8, seed: int = 0, device: str = "auto", n: int = 500) -> None:
    """Train into out/run for `minutes` (once more if it is there already), and write to `out` what became of it.

    prompts.png, prompts by guidance scale; accuracy.png and .json, what a checker finds of what n captions ask for;
    noise_to_picture.gif; loss.png.
    """
    run = out / "run"
    if out.exists() and not checkpoint.is_run(run) and any(out.iterdir()):
        raise ValueError(f"{out} exists and was not made by demo: choose another --out")
    if checkpoint.is_run(run):
        config = checkpoint.read_config(run)
        if config.data != "shapes:2":
            raise ValueError(f"{run} is a run on {config.data}, not one of demo's: choose another --out")
        dataset = load_data(config)
    else:
        config, dataset = configure("shapes:2", seed=seed)
    print(f"training on pictures of one or two shapes and their captions for {minutes:g} minutes, from nothing")
    train_run(run, config, dataset, minutes=minutes, device=device)

    model, tokenizer = checkpoint.load(run, device=pick(device)), tokenizer_of(config)
    began, rows = time.monotonic(), {}
    for scale in SCALES:
        rows[scale] = prompt_accuracy(model, tokenizer, dataset, n, scale=scale, steps=STEPS, seed=seed)
        print(f"guidance {scale:g}: " + ", ".join(f"{k} {v:.0%}" for k, v in rows[scale].items()), flush=True)
    print(f"({n} captions, {STEPS} steps of dpmpp_2m, {time.monotonic() - began:.0f} s)")
    with replacing(out / "accuracy.json") as f:
        f.write_text(json.dumps({f"{k:g}": v for k, v in rows.items()}, indent=1) + "\n", encoding="utf-8")
    draw_accuracy(rows, n, out / "accuracy.png")
    draw_prompts(model, tokenizer, out / "prompts.png", seed)
    draw_animation(model, tokenizer, config, out / "noise_to_picture.gif", seed)
    plot.save(plot.losses(checkpoint.read_losses(run), title="captioned shapes: training loss"), out / "loss.png")
    print(f"look at prompts.png, accuracy.png, noise_to_picture.gif and loss.png in {out}")
    python = os.path.relpath(sys.executable)
    print(f'next: {python} -m minidiff sample {run} --prompt "{PROMPTS[4]}" --scale 2 --n 16')


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
        x = generate(model, len(tokens), cond=tokens, scale=scale, steps=STEPS, seed=seed + 1)
        labels = list(PROMPTS) if scale == SCALES[0] else None
        plot.grid(x, each, ax, f"guidance {scale:g}" + (" (off)" if scale == 1 else ""), labels)
    plot.save(figure, path, dpi=150)


@torch.no_grad()
def draw_animation(model, tokenizer, config, path: Path, seed: int, scale: float = 2.0, steps: int = 24) -> None:
    """Noise becoming a picture of each prompt, as a GIF that rests on its last frame."""
    device = next(model.parameters()).device
    tokens = tokenizer(list(PROMPTS)).repeat_interleave(3, 0).to(device)
    x = to_device(start(model, (len(tokens), *config.shape), torch.Generator().manual_seed(seed + 1)), device)
    with autocast(device, x):
        path_of_x = [x, *dpmpp_2m(Guided(model, scale), x, model.schedule.grid(steps), tokens)]
    frames = []
    for step in path_of_x:
        shown = step / step.abs().amax((1, 2, 3), keepdim=True).clamp(min=1)
        sheet = plot.sheet(shown.view(6, 3, *config.shape).transpose(0, 1).flatten(0, 1), 6)
        frames.append(sheet)
    plot.gif(frames, [120] * steps + [2500], path)
