"""The front door: train a class-conditional model on scikit-learn's digits, and draw what it does."""

import os
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from . import checkpoint, classifier, plot
from .device import pick
from .generate import generate
from .guidance import Guided
from .runs import configure, load_data, train_run
from .samplers import dpmpp_2m, start

SCALE = 1.5


def demo(out: Path, minutes: float = 2.5, seed: int = 0, device: str = "auto") -> None:
    """Train into out/run for `minutes` (once more if it is there already) and write three pictures to `out`."""
    run = out / "run"
    if out.exists() and not checkpoint.is_run(run) and any(out.iterdir()):
        raise ValueError(f"{out} exists and was not made by demo: choose another --out")
    print(f"training on 1,438 handwritten digits of 8 x 8 pixels for {minutes:g} minutes")
    if checkpoint.is_run(run):
        config = checkpoint.read_config(run)
        dataset = load_data(config)
    else:
        config, dataset = configure("digits", seed=seed)
    train_run(run, config, dataset, minutes=minutes, device=device)

    model = checkpoint.load(run, device=pick(device))
    labels = torch.arange(10).repeat_interleave(10)
    x = generate(model, config.shape, 100, labels=labels, scale=SCALE, seed=seed)
    ax = plot.grid(x, 10, row_labels=config.classes, title=f"asked for (left) and drawn: guidance {SCALE}, 20 calls")
    plot.save(ax, out / "digits.png", dpi=200)
    plot.save(plot.losses(checkpoint.read_losses(run), title="digits: training loss"), out / "loss.png")
    draw_trajectory(model, config, out / "trajectory.png", seed)

    _, logits = classifier.judge(classifier.for_data(dataset), x.clamp(-1, 1))
    right = (logits.argmax(1) == labels).float().mean().item()
    print(f"a classifier trained on the real digits recognises {right:.0%} of the 100 as the digit asked for")
    print(f"look at {out / 'digits.png'}, {out / 'trajectory.png'} and {out / 'loss.png'}")
    python = os.path.relpath(sys.executable)
    print(f"next: {python} -m minidiff sample {run} --label 7 --n 16; {python} -m minidiff evaluate {run}")


def draw_trajectory(model, config, path: Path, seed: int) -> None:
    """A row a digit: x_t at each of 20 steps of dpmpp_2m (left to right), from noise to picture."""
    device = next(model.parameters()).device
    labels = torch.arange(10, device=device)
    x = start(model, (10, *config.shape), torch.Generator().manual_seed(seed), device)
    times = model.schedule.grid(20)
    steps = [x, *dpmpp_2m(Guided(model, SCALE), x, times, labels)]
    figure, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
    shown = torch.stack([s / s.abs().amax((1, 2, 3), keepdim=True).clamp(min=1) for s in steps], 1).flatten(0, 1)
    plot.grid(shown, 21, ax, "from noise (left) to digit (right), 20 steps of dpmpp_2m", config.classes)
    plot.save(figure, path, dpi=150)
