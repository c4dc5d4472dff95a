"""Training as a run: a folder that fills as training goes, can be killed at any moment, and goes on exactly."""

import importlib.util
import json
import logging
import shutil
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from tqdm import tqdm

from .. import data, plot
from ..denoise import TIMES, Denoiser
from ..device import out_of_memory, peak_memory, pick, tuned
from ..stages.autoencoder import Autoencoder, reconstruct
from ..stages.latent import Latent, latents_of
from ..train import State, train
from . import checkpoint, parallel, pretrained
from .checkpoint import Config
from .folder import locked
from .generate import generate
from .models import attach

LOG_EVERY = 20  # steps a row of loss.csv


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
    if out.is_dir() and any(p for p in out.iterdir() if not p.name.startswith((".tmp-", ".lock"))):
        raise ValueError(f"{out} exists, is not empty and is not a run: choose another --out")
    if not may_start:
        raise ValueError(f"there is no run at {out} to go on with: give --data to start one")
    return False


def load_data(config: Config, part: str = "train") -> data.Data:
    """The data of a run. Raises ValueError if it is no longer what the run was trained on."""
    kind, _, path = config.data.partition(":")
    if kind in ("folder", "npz") and not Path(path).expanduser().exists():
        raise ValueError(f"{path}, the run's data, does not exist: if it has moved, say where to by --data {kind}:PATH")
    dataset = data.load(config.data, part, config.shape[-1] if data.sizable(config.data) else None)
    then = (config.shape, config.classes)
    now = (tuple(dataset.shape), list(dataset.classes) if config.classes else [])
    if then != now:
        raise ValueError(f"{config.data} is not what the run was trained on: it had (shape, classes) {then}, now {now}")
    if part == "train" and config.fingerprint not in (None, dataset.fingerprint()):
        raise ValueError(
            f"{config.data} is not what the run was trained on, some pictures, labels or captions are others: bring "
            "those back, or begin a new run with --start-from; evaluate measures by others if --data names them"
        )
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
    compiled: bool | None = None,
    progress: bool = True,
) -> None:
    """Train the run at `out` until `steps` in all, or for `minutes` from now; start it, or go on where it stopped.

    A new run on latents takes the weights of its `autoencoder`, a run, with it. `compiled` is by default where it pays:
    from five minutes on on a GPU, from a quarter of an hour on on a CPU. Started by torchrun, the ranks share the work
    (see `parallel`) and the first one writes.

    Saves every `save_every` seconds, or less often if that would take more than a twentieth of the time; at the end,
    and on Ctrl-C or SIGTERM, which take their course after that. Draws pictures at the first, 4th, 16th, ... save and
    at the end. Raises ValueError if another process trains there, MemoryError if the memory does not suffice; then and
    after any other error the last checkpoint is whole.
    """
    for name, value in (("steps", steps), ("minutes", minutes), ("save_every", save_every)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be more than 0, got {value}")
    with parallel.joined(pick(device)) as where, _enough_memory(out), _alone(out):
        config, state, rows, recent = _start_or_resume(out, config, autoencoder, where)
        if steps is not None and state.step > steps:
            raise ValueError(f"{out} is at step {state.step} already, beyond --steps {steps}, which is the total")
        with parallel.first():
            material = _prepare(state, dataset, where)
        if where.type == "cuda" and hasattr(material, "to"):  # toys and shapes are drawn anew
            material = material.to(where)
        with tuned(where), parallel.deferred() as stops:
            checkpoint.save(out, config, state, rows, recent)
            if pays(where, minutes) if compiled is None else compiled:
                compile_net(state.model)
            status = _train(out, config, state, material, rows, recent, steps, minutes, save_every, progress, stops)
            checkpoint.save(out, config, state, rows, recent)
            if parallel.rank() == 0:
                draw_samples(out, config, state, material)
                if progress:
                    print(f"{out}: {status}, on {where}{peak_memory(where)}; pictures in {out / 'samples'}", flush=True)


@contextmanager
def _enough_memory(out: Path):
    """Say what to do where the memory does not suffice."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise MemoryError(
            f"out of memory ({' '.join(str(error).split())[:120]}): begin with a smaller --batch, or cut it with "
            f"--parts; from what {out} has learned so far goes on a new run with --start-from {out}"
        ) from None


def _alone(out: Path):
    """Hold the run's folder; the ranks share it."""
    return locked(out) if parallel.rank() == 0 else nullcontext()


def _train(out, config, state, material, rows, recent, steps, minutes, save_every, progress, stops) -> str:
    """The loop of train_run: log, save, draw, and stop in time. What is to be said of it at the end."""
    first, began, done = state.step, time.monotonic(), 0.0
    saves, saved, took, draw_at, loss, unread = 0, began, 0.0, 1, float("nan"), []

    def fall(step: int) -> float:
        share = done if steps is None else step / steps
        return 1.0 if config.cooldown == 0 else min(1.0, max(0.0, (1 - share) / config.cooldown))

    def status() -> str:
        rate = (state.step - first) * config.batch / max(time.monotonic() - began, 1e-9)
        each = f", {rate / parallel.ranks():.0f} each of {parallel.ranks()} ranks" if parallel.ranks() > 1 else ""
        return f"loss {loss:.4f}, {rate:.0f} {'images' if len(config.shape) == 3 else 'points'}/s{each}"

    # no bar where nobody watches (a log file): there a line at each save says the same
    shown = progress and parallel.rank() == 0
    bar = tqdm(total=steps, initial=first, unit="step", disable=None if shown else True, mininterval=1.0)
    size = config.batch // config.parts
    batches = data.batches(material, size, state.generators, checkpoint.tokenizer(config), config.flip)
    every = LOG_EVERY if next(state.model.parameters()).is_cuda else 1  # to look at the loss waits for the GPU
    options = {"lr": config.lr, "fall": fall, "p_uncond": config.p_uncond, "times": TIMES[config.times], "state": state}
    options["check_every"] = every
    if config.first_stage is not None:
        options["check"] = None  # latents have their own range
    with bar:
        for step in train(state.model, batches, steps or 2**62, **options):
            unread.append(step.loss)
            bar.update()
            if step.step % every and step.step != steps:
                continue
            now = time.monotonic()
            done = 0.0 if minutes is None else (now - began) / (60 * minutes)
            # all ranks go by the same clock, or they would stop at different steps
            due = now - saved >= max(save_every, 20 * took)
            *means, due, done, stop = parallel.mean([*map(float, unread), due, done, bool(stops)])
            unread.clear()
            recent += means
            loss = sum(recent) / len(recent)
            if step.step % LOG_EVERY == 0:
                rows.append((step.step, loss))
                recent.clear()
                bar.set_postfix_str(status(), refresh=False)
            if due:
                checkpoint.save(out, config, state, rows, recent)
                saves, saved = saves + 1, time.monotonic()
                took = saved - now
                if shown and bar.disable:
                    print(f"step {step.step}, {status()}", flush=True)
                if saves == draw_at:
                    draw_at *= 4
                    if parallel.rank() == 0:
                        draw_samples(out, config, state, material)
            if stop:
                return f"stopped at step {state.step}; train --resume --out {out} goes on from there"
            if done >= 1:
                break
    if state.step == first:
        return f"at step {first} already, so nothing was left to do"
    return f"step {state.step}, {status()}"


def pays(device: torch.device, minutes: float | None) -> bool:
    """Whether compiling the net, a minute or so, saves more than it takes, and what it takes is there: a C++ compiler,
    for a GPU Triton. It makes a GPU's steps up to 1.8 times as fast, a CPU's up to 1.3 times."""
    if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        return False
    if device.type == "cuda":
        able = importlib.util.find_spec("triton") is not None and torch.cuda.get_device_capability(device) >= (7, 0)
        return able and (minutes or 0) >= 5
    return device.type == "cpu" and (minutes or 0) >= 15


def compile_net(model: torch.nn.Module) -> None:
    """Compile the network of a diffusion model, in place: names of weights and copies of it stay what they are."""
    denoiser = getattr(model, "prior", model)
    if isinstance(denoiser, Denoiser):
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns where there is no GPU
        denoiser.net.compile(dynamic=False)


def _start_or_resume(out: Path, config: Config, autoencoder: Path | None, device) -> tuple[Config, State, list, list]:
    """The config as the ranks share it, the state to train from, the rows of loss.csv, the losses since the last."""
    resumed, rows, recent = open_run(out, resume=True), [], []
    if resumed:
        found, state, rows, recent = checkpoint.resume(out, device)
        check_same(out, found, config)
        config = replace(found, data=config.data, fingerprint=config.fingerprint)
    else:
        config, state = checkpoint.start(config, device)
    models = state.model, state.ema
    if config.start_from is not None and not (out / "state.pt").exists():
        weights = checkpoint.load(pretrained.find(config.start_from), device=device).state_dict()
        for model in models:
            model.load_state_dict(weights)
    elif config.first_stage is not None and not resumed:
        if autoencoder is None:
            raise ValueError(f"{out}: a new run on latents needs the autoencoder, a run, that its config is of")
        for model in models:
            model.autoencoder.load_state_dict(checkpoint.load(autoencoder, device=device).state_dict())
    parallel.mean([0.0])  # until all are here: the first save makes this a run, which another would resume
    if parallel.rank() == 0:
        for leftover in out.glob(".tmp-*"):  # of a save that was killed
            leftover.unlink()
    return config, state, rows, recent


def check_same(out: Path, run: Config, config: Config) -> None:
    """Raise ValueError if a run was made with another config than one that is to go on with it."""
    was, now = (json.loads(json.dumps(asdict(c))) for c in (run, config))
    for name in was:  # load_data has compared the data; the ranks share the parts
        if name not in ("data", "fingerprint", "size", "parts") and was[name] != now[name]:
            raise ValueError(f"{out} was made with {name} {was[name]}, not {now[name]}: choose another folder")


def _prepare(state: State, dataset: data.Data, device):
    """What the model is trained on: the data, or their latents, at the scale that it knows or, if new, now gets."""
    attach(state.model, dataset, device)
    if not isinstance(state.model, Latent):
        return dataset
    latents = latents_of(state.model.autoencoder, dataset)
    if state.model.scale != 1:
        latents.scale = state.model.scale.item()
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
            with torch.compiler.set_stance("force_eager"):  # compiled anew for one drawing it would take longer
                x = generate(model, config.shape, n, cond=cond, steps=10)
        plot.grid(x, 8, ax, name) if x.ndim == 4 else plot.points(x, cond, ax, name)
    state.model.train()
    how = "dpmpp_2m, 10 calls, no guidance" if hasattr(state.model, "schedule") else config.model
    if isinstance(state.model, Autoencoder):
        how = "pictures and their reconstructions, in turn"
    figure.suptitle(plot.plain(f"{config.data}, step {state.step}, {how}"))
    plot.save(figure, out / "samples" / f"step_{state.step:07d}.png")


def pairs(model: Autoencoder, dataset, n: int = 32) -> torch.Tensor:
    """n pictures of the data set, each followed by what the autoencoder makes of it."""
    x, _ = dataset.batch(n, torch.Generator().manual_seed(0))
    return torch.stack([x.cpu(), reconstruct(model, x)[0]], 1).flatten(0, 1)
