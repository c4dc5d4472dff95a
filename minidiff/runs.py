"""Training as a run: a folder that fills as training goes, can be killed at any moment, and goes on exactly."""

import time
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from tqdm import tqdm

from . import checkpoint, data, plot
from .checkpoint import Config
from .denoise import TIMES
from .device import pick
from .generate import generate
from .models import MODELS, attach, check_first_stage, default_width
from .stages.autoencoder import Autoencoder, reconstruct
from .stages.latent import STD, Latent, latents_of
from .train import State, new_state, train

LOG_EVERY = 20  # steps a row of loss.csv
DEFAULTS = {"mlp": {"batch": 512, "lr": 1e-3}, "transformer": {"lr": 1e-3}, "dit": {"lr": 1e-3}}  # by net
# small batches, and more of the times at which the words decide what to draw: those of much noise
CAPTIONED = {"net": "dit", "way": "cross", "batch": 32, "times": "noisy_lognormal"}
CAPTIONED_DIT = {"width": 128, "lr": 2e-3}
OTHERS = {  # than diffusion
    "gan": {"net": "dcgan", "lr": 1e-3},
    "stacked_gan": {"net": "dcgan", "lr": 1e-3, "batch": 32},
    "vae": {"net": "conv", "batch": 32, "f": 4, "dim": 4},
    "vq": {"net": "conv", "batch": 32, "f": 4, "dim": 8, "codes": 256},
    "ar": {"net": "causal", "lr": 1e-3},
}
BELONGS = {"f": ("vae", "vq"), "dim": ("vae", "vq"), "codes": ("vq",)} | {
    name: ("diffusion",) for name in ("schedule", "prediction", "times", "p_uncond", "patch", "way")
}


def configure(
    spec: str, size: int | None = None, autoencoder: Path | None = None, **choices
) -> tuple[Config, data.Data]:
    """The config of a new run on the data `spec`, and the data; a choice of None means the default. With an
    `autoencoder`, a run, the model is of that one's latents of the data."""
    choices = {k: v for k, v in choices.items() if v is not None}
    kind = choices.setdefault("model", "diffusion")
    if kind not in MODELS:
        raise ValueError(f"unknown model {kind!r}: choose from {', '.join(MODELS)}")
    for name in sorted(set(choices) & set(BELONGS)):
        if kind not in BELONGS[name]:
            raise ValueError(f"--{name.replace('_', '-')} is not for --model {kind}: leave it out")
    first = None if autoencoder is None else checkpoint.read_config(autoencoder)
    dataset = data.load(spec, "train", size or (first.size if first else None))
    shape, sigma_data = dataset.shape, round(data.std(dataset), 4)
    if first is not None:
        check_first_stage(kind, first, shape)
        shape, sigma_data = checkpoint.new_model(first).latent_shape, STD
        choices["first_stage"] = asdict(first)
    elif kind == "ar":
        raise ValueError("--model ar models the tokens of a run of --model vq: give it as --autoencoder")
    if kind in OTHERS and len(shape) == 1 and kind != "gan":
        raise ValueError(f"--model {kind} is for pictures, and {spec} has points: use gan or diffusion")
    choices = OTHERS.get(kind, {}) | _for_captions(spec, dataset, choices, shape) | choices
    choices.setdefault("net", "mlp" if len(shape) == 1 else "unet")
    width = default_width(kind, choices["net"], shape)
    choices = {"width": width} | DEFAULTS.get(choices["net"], {}) | choices
    if spec.split(":")[0] in ("folder", "shapes"):
        size = dataset.shape[-1]
    config = Config(spec, dataset.shape, list(dataset.classes), sigma_data, size=size, **choices)
    return config, dataset


def _for_captions(spec, dataset, choices, shape) -> dict:
    """What a run on captions has beside: how they are read, their words, and eight to draw while it trains."""
    if not dataset.captioned or choices["model"] in ("vae", "vq"):
        if given := {"way", "text_encoder"} & set(choices):
            raise ValueError(f"{spec} has no captions to read: leave out the {sorted(given)[0].replace('_', ' ')}")
        return {}
    words, length = ([], 0) if "text_encoder" in choices else dataset.vocabulary()
    _, prompts = dataset.batch(8, torch.Generator().manual_seed(0))
    found = {"words": words, "length": length, "prompts": prompts}
    if choices["model"] != "diffusion":
        return found | {"way": "tokens" if choices["model"] == "ar" else "pooled"}
    dit = CAPTIONED_DIT | {"patch": min(4, max(1, shape[-1] // 4))} if choices.get("net", "dit") == "dit" else {}
    return found | CAPTIONED | dit


def open_run(out: Path, resume: bool, may_start: bool = True) -> bool:
    """Whether there is a run at `out` to go on with; False if it is free to start one in.

    Raises ValueError if neither: something else is there, a run without `resume`, or, unless `may_start`, nothing.
    A run killed before its first save counts as nothing: resuming it starts it.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} exists and is not a folder: choose another --out")
    if checkpoint.is_run(out):
        if not resume:
            raise ValueError(f"{out} is a run already: add --resume to go on with it, or choose another --out")
        return True
    if out.is_dir() and any(p for p in out.iterdir() if not p.name.startswith(".tmp-")):
        raise ValueError(f"{out} exists, is not empty and is not a run: choose another --out")
    if not may_start:
        raise ValueError(f"there is no run at {out} to go on with: give --data to start one")
    return False


def load_data(config: Config, part: str = "train") -> data.Data:
    """The data of a run. Raises ValueError if it is no longer what the run was trained on."""
    dataset = data.load(config.data, part, config.size)
    then = (config.shape, config.classes)
    now = (tuple(dataset.shape), list(dataset.classes) if config.classes else [])
    if then != now:
        raise ValueError(f"{config.data} is not what the run was trained on: it had (shape, classes) {then}, now {now}")
    return dataset


def train_run(
    out: Path,
    config: Config,
    dataset: data.Data,
    *,
    autoencoder: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    save_every: float = 10.0,
    device: str = "auto",
    progress: bool = True,
) -> None:
    """Train the run at `out` until `steps` in all, or for `minutes` from now; start it, or go on where it stopped.

    A new run on latents takes the weights of its `autoencoder`, a run, with it.

    Saves every `save_every` seconds, or less often if that would take more than a twentieth of the time; at the end,
    and on Ctrl-C. Draws pictures at the first, 4th, 16th, ... save and at the end.
    """
    where = pick(device)
    state, rows, recent = _start_or_resume(out, config, autoencoder, where)
    if steps is not None and state.step > steps:
        raise ValueError(f"{out} is at step {state.step} already, beyond --steps {steps}, which is the total")
    dataset = _prepare(state, dataset, where)
    checkpoint.save(out, config, state, rows, recent)
    first, began = state.step, time.monotonic()
    saves, saved, took, draw_at, loss = 0, began, 0.0, 1, float("nan")

    def status() -> str:
        speed = (state.step - first) * config.batch / max(time.monotonic() - began, 1e-9)
        return f"loss {loss:.4f}, {speed:.0f} {'images' if len(config.shape) == 3 else 'points'}/s"

    # no bar where nobody watches (a log file): there a line at each save says the same
    bar = tqdm(total=steps, initial=first, unit="step", disable=None if progress else True, mininterval=1.0)
    batches = data.batches(dataset, config.batch, state.generator, checkpoint.tokenizer(config))
    options = {"lr": config.lr, "p_uncond": config.p_uncond, "times": TIMES[config.times], "state": state}
    if config.first_stage is not None:
        options["check"] = None  # latents have their own range
    try:
        for step in train(state.model, batches, steps or 2**62, **options):
            recent.append(step.loss)
            loss = sum(recent) / len(recent)
            if step.step % LOG_EVERY == 0:
                rows.append((step.step, loss))
                recent.clear()
                bar.set_postfix_str(status(), refresh=False)
            bar.update()
            now = time.monotonic()
            if now - saved >= max(save_every, 20 * took):
                checkpoint.save(out, config, state, rows, recent)
                saves, saved = saves + 1, time.monotonic()
                took = saved - now
                if progress and bar.disable:
                    print(f"step {step.step}, {status()}", flush=True)
                if saves == draw_at:
                    draw_samples(out, config, state, dataset)
                    draw_at *= 4
            if minutes is not None and now - began >= 60 * minutes:
                break
    except KeyboardInterrupt:
        tqdm.write(f"stopped at step {state.step}; train --resume --out {out} goes on from there")
    finally:
        bar.close()
    checkpoint.save(out, config, state, rows, recent)
    draw_samples(out, config, state, dataset)
    if progress:
        print(f"{out}: step {state.step}, {status()} on {where}; pictures in {out / 'samples'}")


def _start_or_resume(out: Path, config: Config, autoencoder: Path | None, device) -> tuple[State, list, list]:
    """The state to train from, the rows of loss.csv, and the losses since the last row."""
    if checkpoint.is_run(out):
        _, state, rows, recent = checkpoint.resume(out, device)
    else:
        model = checkpoint.new_model(config, device)
        if config.first_stage is not None:
            if autoencoder is None:
                raise ValueError(f"{out}: a new run on latents needs the autoencoder, a run, that its config is of")
            model.autoencoder.load_state_dict(checkpoint.load(autoencoder, device=device).state_dict())
        state, rows, recent = new_state(model, config.seed), [], []
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(".tmp-*"):  # of a save that was killed
        leftover.unlink()
    return state, rows, recent


def _prepare(state: State, dataset: data.Data, device):
    """What the model is trained on: the data, or their latents, to whose scale model and EMA are set."""
    attach(state.model, dataset, device)
    if not isinstance(state.model, Latent):
        return dataset
    latents = latents_of(state.model.autoencoder, dataset)
    for model in (state.model, state.ema):
        model.scale.fill_(latents.scale)
    return latents


def draw_samples(out: Path, config: Config, state, dataset=None) -> None:
    """samples/step_N.png: 64 samples of the raw weights and of their moving average, from the same noise; of an
    autoencoder, pictures and what it makes of them."""
    (out / "samples").mkdir(exist_ok=True)
    n = 64 if len(config.shape) == 3 else 2000
    cond = torch.arange(n) % len(config.classes) if config.classes else None
    if config.prompts:  # a row each
        cond = checkpoint.tokenizer(config)(config.prompts, truncate=True).repeat_interleave(8, 0)
    figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
    for ax, name, model in ((axes[0], "raw weights", state.model), (axes[1], "moving average (EMA)", state.ema)):
        model.eval()
        if isinstance(model, Autoencoder):
            x = pairs(model, dataset)
        else:
            x = generate(model, config.shape, n, cond=cond, steps=10)
        plot.grid(x, 8, ax, name) if x.ndim == 4 else plot.points(x, cond, ax, name)
    state.model.train()
    how = "dpmpp_2m, 10 calls, no guidance" if hasattr(state.model, "schedule") else config.model
    if isinstance(state.model, Autoencoder):
        how = "pictures and their reconstructions, in turn"
    figure.suptitle(f"{config.data}, step {state.step}, {how}")
    plot.save(figure, out / "samples" / f"step_{state.step:07d}.png")


def pairs(model: Autoencoder, dataset, n: int = 32) -> torch.Tensor:
    """n pictures of the data set, each followed by what the autoencoder makes of it."""
    x, _ = dataset.batch(n, torch.Generator().manual_seed(0))
    return torch.stack([x, reconstruct(model, x)[0]], 1).flatten(0, 1)
