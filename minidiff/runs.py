"""Training as a run: a folder that fills as training goes, can be killed at any moment, and goes on exactly."""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from tqdm import tqdm

from . import checkpoint, data, plot
from .checkpoint import Config
from .denoise import TIMES
from .device import pick
from .generate import generate
from .nets import default_width
from .train import train

LOG_EVERY = 20  # steps a row of loss.csv
DEFAULTS = {"mlp": {"batch": 512, "lr": 1e-3}, "unet": {"batch": 64, "lr": 2e-3}}  # by net


def configure(spec: str, size: int | None = None, **choices) -> tuple[Config, data.Points | data.Images]:
    """The config of a new run on the data `spec`, and the data; a choice of None means the default."""
    dataset = data.load(spec, "train", size)
    choices = {k: v for k, v in choices.items() if v is not None}
    choices.setdefault("net", "mlp" if len(dataset.shape) == 1 else "unet")
    width = default_width(choices["net"], dataset.shape)
    choices = {"width": width} | DEFAULTS.get(choices["net"], {}) | choices
    if spec.startswith("folder:"):
        size = dataset.shape[-1]
    classes = dataset.classes if isinstance(dataset, data.Points) or dataset.labels is not None else []
    config = Config(spec, dataset.shape, classes, round(data.std(dataset), 4), size=size, **choices)
    return config, dataset


def open_run(out: Path, resume: bool) -> None:
    """Check that `out` can be trained into: new or empty without `resume`, a run with it. Nothing is overwritten."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} exists and is not a folder: choose another --out")
    if resume:
        checkpoint.read_config(out)  # says what is wrong if it is no run
    elif checkpoint.is_run(out):
        raise ValueError(f"{out} is a run already: add --resume to go on with it, or choose another --out")
    elif out.is_dir() and any(p for p in out.iterdir() if not p.name.startswith(".tmp-")):
        raise ValueError(f"{out} exists, is not empty and is not a run: choose another --out")


def train_run(
    out: Path,
    config: Config,
    dataset: data.Points | data.Images,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    save_every: float = 30.0,
    device: str = "auto",
    progress: bool = True,
) -> None:
    """Train the run at `out` until `steps` in all, or for `minutes` from now; start it, or go on where it stopped.

    Saves every `save_every` seconds, at the end, and on Ctrl-C; draws pictures at the first, second, fourth, ...
    save and at the end.
    """
    where = pick(device)
    if checkpoint.is_run(out):
        _, state, rows, recent = checkpoint.resume(out, where)
    else:
        state, rows, recent = checkpoint.new_state(checkpoint.denoiser(config, where), config.seed), [], []
    out.mkdir(parents=True, exist_ok=True)
    if steps is not None and state.step > steps:
        raise ValueError(f"{out} is at step {state.step} already, beyond --steps {steps}, which is the total")
    checkpoint.save(out, config, state, rows, recent)
    loop = train(
        state.model,
        data.batches(dataset, config.batch, state.generator),
        steps if steps is not None else 2**62,
        lr=config.lr,
        p_uncond=config.p_uncond,
        times=TIMES[config.times],
        state=state,
    )
    began = saved = time.monotonic()
    first, saves, status = state.step, 0, ""
    # no bar where nobody watches (a log file): there a line at each save says the same
    bar = tqdm(total=steps, initial=state.step, unit="step", disable=None if progress else True, mininterval=1.0)
    unit = "images/s" if len(config.shape) == 3 else "points/s"
    try:
        for step in loop:
            recent.append(step.loss)
            if step.step % LOG_EVERY == 0:
                rows.append((step.step, sum(recent) / len(recent)))
                recent.clear()
            now = time.monotonic()
            bar.update()
            if step.step % LOG_EVERY == 0:
                speed = (step.step - first) * config.batch / (now - began)
                status = f"loss {rows[-1][1]:.4f}, {speed:.0f} {unit}"
                bar.set_postfix_str(status, refresh=False)
            if now - saved >= save_every:
                checkpoint.save(out, config, state, rows, recent)
                saves += 1
                if progress and bar.disable:
                    print(f"step {state.step}, {status}", flush=True)
                if saves & (saves - 1) == 0:
                    draw_samples(out, config, state)
                saved = time.monotonic()
            if minutes is not None and now - began >= 60 * minutes:
                break
    except KeyboardInterrupt:
        tqdm.write(f"stopped at step {state.step}; train --resume --out {out} goes on from there")
    finally:
        bar.close()
    checkpoint.save(out, config, state, rows, recent)
    draw_samples(out, config, state)
    if progress and state.step > first:
        took = time.monotonic() - began
        print(
            f"{out}: step {state.step}, loss {rows[-1][1] if rows else recent[-1]:.4f}, "
            f"{(state.step - first) * config.batch / took:.0f} {unit} on {where} ({took:.0f} s, saving included)"
        )


def draw_samples(out: Path, config: Config, state) -> None:
    """samples/step_N.png: 64 samples of the raw weights and of their moving average, from the same noise."""
    (out / "samples").mkdir(exist_ok=True)
    n = 64 if len(config.shape) == 3 else 2000
    labels = torch.arange(n) % len(config.classes) if config.classes else None
    figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
    for ax, name, model in ((axes[0], "raw weights", state.model), (axes[1], "moving average (EMA)", state.ema)):
        model.eval()
        x = generate(model, config.shape, n, labels=labels, steps=10)
        plot.grid(x, 8, ax, name) if x.ndim == 4 else plot.points(x, labels, ax, name)
    state.model.train()
    figure.suptitle(f"{config.data}, step {state.step}, dpmpp_2m, 10 calls, no guidance")
    plot.save(figure, out / "samples" / f"step_{state.step:07d}.png")
