"""Training as a run: a folder that fills as training goes, can be killed at any moment, and goes on exactly."""

import importlib.util
import logging
import shlex
import shutil
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from .. import data
from ..denoise import Denoiser
from ..device import out_of_memory, tuned
from ..train import State, train
from . import checkpoint, parallel, pretrained
from .checkpoint import Run
from .config import Config
from .folder import check_same, locked, open_run
from .models import tokenizer_of
from .options import check_positive
from .progress import draw_samples

LOG_EVERY = 20  # steps a row of loss.csv


class Clock:
    """When training ends, and when to save: every so many seconds, or less often if saving takes more than a twentieth
    of the time."""

    def __init__(self, steps: int | None, minutes: float | None, save_every: float):
        self.steps, self.minutes, self.save_every = steps, minutes, save_every
        self.began = self.saved = time.monotonic()
        self.took, self.saves, self.done = 0.0, 0, 0.0

    def read(self) -> tuple[float, bool]:
        """The share of the minutes that is over, and whether it is time to save, as the first rank, which writes, has
        it."""
        now = time.monotonic()
        share = 0.0 if self.minutes is None else (now - self.began) / (60 * self.minutes)
        return share, parallel.rank() == 0 and now - self.saved >= max(self.save_every, 20 * self.took)

    def save(self, run: Run) -> bool:
        """Save, and say whether this is the first, 4th, 16th, ... time: then pictures are drawn."""
        began = time.monotonic()
        checkpoint.save(run)
        self.saved, self.saves = time.monotonic(), self.saves + 1
        self.took = self.saved - began
        return self.saves in (4**k for k in range(32))

    def falling(self, cooldown: float):
        """The factor of the learning rate at a step: it falls to 0 over the last `cooldown` of the training."""

        def fall(step: int) -> float:
            share = self.done if self.steps is None else step / self.steps
            return 1.0 if cooldown == 0 else min(1.0, max(0.0, (1 - share) / cooldown))

        return fall


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

    A new run on latents takes the weights of its `autoencoder`, a run, with it. `compiled`: by default where it pays.
    Saves as Clock says, at the end, and on Ctrl-C or SIGTERM, which take their course after that. Raises ValueError if
    another process trains there, or if it cannot compile; and MemoryError. Then too the last checkpoint is whole.
    """
    for name, value in (("steps", steps), ("minutes", minutes), ("save_every", save_every)):
        check_positive(name, value)
    with parallel.joined(device) as where, _enough_memory(out), _alone(out):
        if compiled:
            check_compiling(config, where)
        run = _start_or_resume(out, config, autoencoder, where)
        if steps is not None and run.state.step > steps:
            raise ValueError(f"{out} is at step {run.state.step} already, beyond --steps {steps}, which is the total")
        with parallel.first():
            material = _prepare(run.state, dataset, where)
        with tuned(where), parallel.deferred() as stops:
            checkpoint.save(run)
            if compiling_helps(where, minutes) if compiled is None else compiled:
                compile_net(run.state.model)
            status = _train(run, material, Clock(steps, minutes, save_every), progress and parallel.rank() == 0, stops)
            checkpoint.save(run)
            if parallel.rank() == 0:
                draw_samples(run, material)
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
        saved = (out / "ema.safetensors").exists()
        onward = f"; from what {out} has learned so far goes on a new run with --start-from {out}" if saved else ""
        raise MemoryError(
            f"out of memory ({' '.join(str(error).split())[:120]}): begin with a smaller --batch, or cut it with "
            f"--parts{onward}"
        ) from None


def _alone(out: Path):
    """Hold the run's folder; the ranks share it."""
    return locked(out) if parallel.rank() == 0 else nullcontext()


def _train(run: Run, material, clock: Clock, shown: bool, stops: list) -> str:
    """The loop of train_run: log, save, draw, and stop in time. What is to be said of it at the end."""
    state, first, unread, loss = run.state, run.state.step, [], float("nan")
    # to look at the loss waits for a GPU
    every = LOG_EVERY if next(state.model.parameters()).is_cuda else 1
    # no bar where nobody watches (a log file): there a line at each save says the same
    bar = tqdm(total=clock.steps, initial=first, unit="step", disable=None if shown else True, mininterval=1.0)
    with bar:
        for step in _steps(run, material, clock, every):
            unread.append(step.loss)
            bar.update()
            if step.step % every and step.step != clock.steps:
                continue
            # all ranks go by the same clock, or they would stop at different steps
            *losses, clock.done, due, stop = parallel.mean([*map(float, unread), *clock.read(), bool(stops)])
            unread.clear()
            loss = log(run, losses)
            if step.step % LOG_EVERY == 0:
                bar.set_postfix_str(_status(run, clock, loss, first), refresh=False)
            if due:
                time_to_draw = clock.save(run)
                if shown and bar.disable:
                    print(f"step {step.step}, {_status(run, clock, loss, first)}", flush=True)
                if time_to_draw and parallel.rank() == 0:
                    draw_samples(run, material)
            if stop:
                return (
                    f"stopped at step {state.step}; train --resume --out {shlex.quote(str(run.out))} goes on from there"
                )
            if clock.done >= 1:
                break
    if state.step == first:
        return f"at step {first} already, so nothing was left to do"
    return f"step {state.step}, {_status(run, clock, loss, first)}"


def log(run: Run, losses: list[float]) -> float:
    """Take in the losses of the last steps; the mean since the last row of loss.csv."""
    run.recent += losses
    mean = sum(run.recent) / len(run.recent)
    if run.state.step % LOG_EVERY == 0:
        run.rows.append((run.state.step, mean))
        run.recent.clear()
    return mean


def _steps(run: Run, material, clock: Clock, every: int):
    """The training steps of a run, by its config."""
    config, chosen = run.config, run.config.training
    size = chosen.batch // chosen.parts
    batches = data.batches(material, size, run.state.generators, tokenizer_of(config), chosen.flip)
    options = {"lr": chosen.lr, "fall": clock.falling(chosen.cooldown), "check_every": every, "state": run.state}
    if config.autoencoder is not None:
        options["check"] = None  # latents have their own range
    return train(run.state.model, batches, clock.steps or 2**62, **options)


def _status(run: Run, clock: Clock, loss: float, first: int) -> str:
    """The loss, and how fast it goes since step `first`."""
    rate = (run.state.step - first) * run.config.training.batch / max(time.monotonic() - clock.began, 1e-9)
    each = f", {rate / parallel.ranks():.0f} each of {parallel.ranks()} ranks" if parallel.ranks() > 1 else ""
    return f"loss {loss:.4f}, {rate:.0f} {'images' if len(run.config.shape) == 3 else 'points'}/s{each}"


def can_compile(device: torch.device) -> bool:
    """Whether what compiling takes is there: a C++ compiler, for a GPU Triton."""
    if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        return False
    if device.type != "cuda":
        return True
    return importlib.util.find_spec("triton") is not None and torch.cuda.get_device_capability(device) >= (7, 0)


def check_compiling(config: Config, device: torch.device) -> None:
    """Raise ValueError if the model of a run has nothing to compile, or it cannot be compiled here."""
    if config.diffusion is None:
        raise ValueError(
            f"only a diffusion model's net is compiled, and this is a {config.model}: leave --compiled out"
        )
    if not can_compile(device):
        raise ValueError(f"to compile for {device} needs a C++ compiler, for cuda Triton too: leave --compiled out")


def compiling_helps(device: torch.device, minutes: float | None) -> bool:
    """Whether the net can be compiled, and that, a minute or so, saves more than it takes. It makes a GPU's steps up to
    twice as fast, a CPU's by a tenth."""
    least = {"cuda": 5, "cpu": 15}.get(device.type, float("inf"))
    return (minutes or 0) >= least and can_compile(device)


def compile_net(model: torch.nn.Module) -> None:
    """Compile the network of a diffusion model, in place: names of weights and copies of it stay what they are."""
    denoiser = getattr(model, "prior", model)
    if isinstance(denoiser, Denoiser):
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns where there is no GPU
        denoiser.net.compile(dynamic=False)


def _start_or_resume(out: Path, config: Config, autoencoder: Path | None, device) -> Run:
    """The run as it is to be trained, its config as the ranks share it."""
    if resumed := open_run(out, resume=True):
        run = checkpoint.resume(out, device)
        check_same(out, run.config, config)
        run.config = replace(run.config, data=config.data, fingerprint=config.fingerprint)
    else:
        run = checkpoint.start(out, config, device)
    models = run.state.model, run.state.ema
    if config.start_from is not None and not (out / "state.pt").exists():
        weights = checkpoint.load(pretrained.find(config.start_from), device=device).state_dict()
        for model in models:
            model.load_state_dict(weights)
    elif config.autoencoder is not None and not resumed:
        if autoencoder is None:
            raise ValueError(f"{out}: a new run on latents needs the autoencoder, a run, that its config is of")
        weights = checkpoint.load(autoencoder, device=device).state_dict()
        for model in models:
            model.autoencoder.load_state_dict(weights)
    parallel.mean([0.0])  # until all are here: the first save makes this a run, which another would resume
    if parallel.rank() == 0:
        for name in checkpoint.FILES:
            for leftover in out.glob(f".tmp-*-{name}"):  # of a save that was killed
                leftover.unlink()
    return run


def _prepare(state: State, dataset: data.Data, device):
    """What the model is trained on; on a GPU, but for data that are drawn anew for each batch."""
    material = state.model.prepare(dataset, device) if hasattr(state.model, "prepare") else dataset
    for average, found in zip(state.ema.buffers(), state.model.buffers(), strict=True):
        average.copy_(found)  # say the scale of latents
    return material.to(device) if device.type == "cuda" else material


def peak_memory(device: torch.device) -> str:
    """What to say of the most memory in use so far: of the GPU, else of the process; nothing where that is unknown."""
    if device.type == "cuda":
        return f", {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of its memory at most"
    try:
        import resource
    except ImportError:  # Windows
        return ""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f", {most / 2**30:.1f} GiB of memory at most"
