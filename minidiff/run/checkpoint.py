"""One run, one folder: everything that sampling and resuming need, and nothing that executes when loaded.

config.json             what was trained, on what
state.pt                weights, EMA, optimizer and random state: one file, so never half of one step and half
                        of another; tensors and numbers only (torch.load with weights_only)
model.safetensors       the raw weights, copied out of the state for sampling and for other programs
ema.safetensors         their moving average, which is what `sample` uses
loss.csv                step, loss averaged over 20 steps
samples/                picture grids as training went
"""

import csv
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ..device import out_of_memory, replacing
from ..train import State, new_state, stream
from . import parallel
from .config import Config, from_json
from .models import build

FILES = ("config.json", "loss.csv", "state.pt", "model.safetensors", "ema.safetensors")  # that `save` writes


def new_model(config: Config, device="cpu") -> nn.Module:
    """The untrained model of a config, where it is to be."""
    memory_format = torch.channels_last if len(config.shape) == 3 else torch.preserve_format
    return build(config).to(device, memory_format=memory_format)


@dataclass
class Run:
    """A run that is being trained: its folder, and what `save` writes into it."""

    out: Path
    config: Config
    state: State
    rows: list[tuple[int, float]]  # (step, loss), of loss.csv
    recent: list[float]  # losses since the last of them


def save(run: Run) -> None:
    """Write the run's files, each whole or not at all; a kill at any moment leaves a run that resumes exactly. All
    ranks call it, the first writes.

    state.pt is the truth, so rows are written before it (resuming drops rows beyond its step) and the weight files
    after it (resuming writes them again).
    """
    out, state = run.out, run.state
    streams = parallel.gather([g.get_state() for g in state.generators])
    if parallel.rank() > 0:
        return
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "config.json") as f:
        f.write_text(json.dumps(asdict(run.config), indent=2) + "\n", encoding="utf-8")
    with replacing(out / "loss.csv") as f:
        f.write_text("step,loss\n" + "".join(f"{step},{loss!r}\n" for step, loss in run.rows), encoding="utf-8")
    with replacing(out / "state.pt") as f:
        torch.save(
            {
                "step": state.step,
                "recent": run.recent,
                "model": state.model.state_dict(),
                "ema": state.ema.state_dict(),
                "optimizer": state.optimizer.state_dict(),
                "generators": streams,
            },
            f,
        )
    for name, model in (("model", state.model), ("ema", state.ema)):
        with replacing(out / f"{name}.safetensors") as f:
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, f, {"step": str(state.step)})


def is_run(run: Path) -> bool:
    return (run / "config.json").is_file()


def read_config(run: Path) -> Config:
    """The config of a run. Raises ValueError for a folder that is no run, and for a config.json that is none."""
    if not run.is_dir():
        raise ValueError(f"{run} is not a folder: give the run folder that train wrote")
    if not is_run(run):
        raise ValueError(f"{run} is not a run: it has no config.json")
    path = run / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    try:
        return from_json(raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def load(run: str | Path, ema: bool = True, device="cpu") -> nn.Module:
    """The trained model of a run, for sampling: its moving average, or with ema=False its raw weights."""
    run = Path(run)
    model = new_model(read_config(run), device)
    path = run / ("ema.safetensors" if ema else "model.safetensors")
    if not path.exists():
        raise ValueError(f"{path} is missing: the run has not saved yet, or train --resume --out {run} writes it again")
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise ValueError(f"{path} does not hold this run's weights ({_first_line(error)})") from None
    return model.eval().requires_grad_(False)


def start(out: Path, config: Config, device="cpu") -> Run:
    """A new run, its state this rank's, its config with as many parts as the ranks can share."""
    if config.training.parts % parallel.ranks():
        config = replace(config, training=replace(config.training, parts=parallel.ranks()))
    state = new_state(new_model(config, device), config.seed, _mine(config), config.training.optimizer)
    return Run(out, config, state, [], [])


def resume(out: Path, device="cpu") -> Run:
    """The run at `out`, to go on training exactly as if it had never stopped.

    With a number of ranks that does not divide its parts, they are made anew: as good, but not the same. A run that
    stopped before its first save starts over. Raises ValueError for a damaged file, and if the files are of different
    steps or state.pt is missing, as after a copy that was cut: going on would replace what is there by less.
    """
    was = read_config(out)
    run = start(out, was, device)
    config, state, path = run.config, run.state, out / "state.pt"
    if not path.exists():
        if kept := _beside_state(out):
            raise ValueError(
                f"{out} has {kept} but no state.pt to go on from: copy that too, or begin a new run with the weights "
                f"of this one, by --start-from {out}"
            )
        if config.autoencoder is not None and config.start_from is None:  # its weights are in no file of the run yet
            raise ValueError(f"{out} stopped before it had saved its autoencoder: remove it and train it anew")
        return run
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        state.model.load_state_dict(saved["model"])
        state.ema.load_state_dict(saved["ema"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.step, run.recent = int(saved["step"]), list(saved["recent"])
        if config.training.parts == was.training.parts:
            for part, generator in zip(_mine(config), state.generators, strict=True):
                generator.set_state(saved["generators"][part].cpu())
        else:  # not the noise that the first steps had
            state.generators = [stream(config.seed + state.step, part) for part in _mine(config)]
    except Exception as error:  # a damaged pickle can raise nearly anything; what matters is which file it is
        if out_of_memory(error) or getattr(error, "filename", None):  # that one could not even be opened
            raise
        raise ValueError(
            f"{path} is damaged or of another model ({_first_line(error)}): copy it again, or begin a new run with the "
            f"weights of this one, by --start-from {out}"
        ) from None
    _check_weights(out, state.step)
    run.rows = [row for row in read_losses(out) if row[0] <= state.step]
    return run


def _beside_state(run: Path) -> str | None:
    """A file that only a run which has saved can have."""
    early = ("config.json", "loss.csv", ".lock")
    found = sorted(p.name for p in run.iterdir() if p.name not in early and not p.name.startswith(".tmp-"))
    return next(iter(found), "loss.csv" if read_losses(run) else None)


def _check_weights(run: Path, step: int) -> None:
    """Raise ValueError if there are weights of a later step than that of state.pt, which is saved before them."""
    for path in (run / "model.safetensors", run / "ema.safetensors"):
        if (found := _step_of(path)) > step:
            raise ValueError(
                f"{path} is of step {found}, state.pt of step {step}, and going on would replace it: copy the state.pt "
                f"that it is of, or begin a new run with these weights, by --start-from {run}"
            )


def _step_of(path: Path) -> int:
    """The step of the weights in a file; 0 if they do not tell, or cannot be read."""
    try:
        with safe_open(path, "pt") as f:
            return int((f.metadata() or {}).get("step", 0))
    except (FileNotFoundError, SafetensorError):
        return 0


def _mine(config: Config) -> range:
    """The parts that this rank computes."""
    return range(parallel.rank(), config.training.parts, parallel.ranks())


def read_losses(run: Path) -> list[tuple[int, float]]:
    """The rows (step, loss) of loss.csv."""
    path = run / "loss.csv"
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as f:
            reader = csv.DictReader(f)
            if reader.fieldnames != ["step", "loss"]:
                raise ValueError
            return [(int(r["step"]), float(r["loss"])) for r in reader]
    except (KeyError, TypeError, ValueError, csv.Error):
        raise ValueError(f"{path} is damaged: expected rows of step,loss; repair it, or move it away") from None


def trained_for(run: Path) -> str:
    """How long, in words."""
    config = read_config(run)
    steps = _step_of(run / "ema.safetensors") or max([0, *(step for step, _ in read_losses(run))])
    return f"{steps} steps of {config.training.batch}" + f", onward from {config.start_from}" * bool(config.start_from)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
