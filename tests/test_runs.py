import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from minidiff import checkpoint, data, denoise, optim, parallel, runs, train
from minidiff.files import locked
from minidiff.generate import generate
from minidiff.nets import NETS
from minidiff.recipes import configure
from minidiff.runs import train_run
from tests.test_cli import refused, snapshot

TRAIN = [sys.executable, "-m", "minidiff", "train", "--data", "eight_gaussians", "--width", "32", "--batch", "32"]


def command(out, *more):
    return [*TRAIN, "--out", str(out), "--save-every", "0.02", "--device", "cpu", *more]


def test_a_run_holds_what_it_should(tmp_path):
    config, dataset = configure("digits", width=16, batch=16)
    train_run(tmp_path / "run", config, dataset, steps=45, device="cpu", progress=False)
    run = tmp_path / "run"
    assert {p.name for p in run.iterdir()} == {
        "config.json", "state.pt", "model.safetensors", "ema.safetensors", "loss.csv", "samples"
    }  # fmt: skip
    assert [p.name for p in (run / "samples").iterdir()] == ["step_0000045.png"]
    assert [step for step, _ in checkpoint.read_losses(run)] == [20, 40]
    assert checkpoint.read_config(run) == config
    raw, ema = checkpoint.load(run, ema=False), checkpoint.load(run)
    assert not ema.training
    differs = [not torch.equal(a, b) for a, b in zip(raw.parameters(), ema.parameters(), strict=True)]
    assert any(differs)


@pytest.mark.parametrize("net", [n for n in NETS if n != "mlp"])
def test_every_net_of_pictures_is_a_run(net, tmp_path):
    config, dataset = configure("digits", net=net, width=16, batch=8)
    train_run(tmp_path, config, dataset, steps=2, device="cpu", progress=False)
    trained = checkpoint.load(tmp_path, ema=False)
    fresh = checkpoint.new_model(config)
    assert not all(torch.equal(a, b) for a, b in zip(trained.parameters(), fresh.parameters(), strict=True))
    assert generate(trained, config.shape, 3, cond=torch.tensor([1, 2, 10]), scale=2.0, steps=2).shape == (3, 1, 8, 8)


def test_resuming_is_not_stopping(tmp_path):
    """30 steps, then 30 more from the files, are 60 steps: weights, EMA and losses to the bit."""
    config, dataset = configure("digits", width=16, batch=16)
    options = {"device": "cpu", "progress": False}
    train_run(tmp_path / "whole", config, dataset, steps=60, **options)
    train_run(tmp_path / "halves", config, dataset, steps=30, **options)
    train_run(tmp_path / "halves", config, dataset, steps=60, **options)
    for name in ("model.safetensors", "ema.safetensors", "loss.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halves" / name).read_bytes(), name


def small(optimizer="adamw"):
    return configure("eight_gaussians", width=16, batch=8, optimizer=optimizer)


STEP = {module.__file__ for module in (train, optim, denoise, parallel)}  # where the lines of a step are


@contextmanager
def at_lines(act):
    """Within, call act(number) before each line of a step, numbered from when training begins."""
    numbers, begun = itertools.count(1), False

    def line(frame, event, _):
        if event == "line":
            act(next(numbers))
        return line

    def call(frame, *_):
        nonlocal begun
        begun = begun or frame.f_code is train.train.__code__
        return line if begun and frame.f_code.co_filename in STEP else None

    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(None)


def interrupt(number, at):
    """Twice, as somebody in a hurry does."""
    if number == at:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def interrupt_at_lines(tmp_path, monkeypatch, optimizer, times=None):
    """Interrupted before a line of two steps, resumed, interrupted before another, ...: what it is without. Before all
    of the lines, or so many."""
    monkeypatch.setattr(runs, "draw_samples", lambda *_: None)
    (config, dataset), options, lines = small(optimizer), {"device": "cpu", "progress": False}, []
    with at_lines(lines.append):
        train_run(tmp_path / "two", config, dataset, steps=2, **options)
    assert len(lines) > 100
    before = signal.getsignal(signal.SIGINT)
    for at in lines if times is None else lines[:: len(lines) // times]:
        with pytest.raises(KeyboardInterrupt), at_lines(lambda number, at=at: interrupt(number, at)):
            train_run(tmp_path / "often", config, dataset, **options)
    assert signal.getsignal(signal.SIGINT) is before
    steps = checkpoint.resume(tmp_path / "often")[1].step + 1
    for name in ("often", "never"):
        train_run(tmp_path / name, config, dataset, steps=steps, **options)
    for name in ("model.safetensors", "ema.safetensors", "loss.csv"):
        assert (tmp_path / "often" / name).read_bytes() == (tmp_path / "never" / name).read_bytes(), name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_interrupts_in_a_step_wait_for_its_end(optimizer, tmp_path, monkeypatch):
    interrupt_at_lines(tmp_path, monkeypatch, optimizer, times=8)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_interrupts_at_every_line_of_a_step(optimizer, tmp_path, monkeypatch):
    interrupt_at_lines(tmp_path, monkeypatch, optimizer)


@pytest.mark.parametrize("where", ["state", "weights", "drawing"])
def test_saving_and_drawing_are_not_interrupted(where, tmp_path, monkeypatch):
    """Nor by SIGTERM, which afterwards does what it would have done."""
    config, dataset = small()
    module, name = {"state": (torch, "save"), "weights": (checkpoint, "save_file"), "drawing": (runs.plot, "save")}[
        where
    ]
    real, came = getattr(module, name), []

    def interrupted(*args):
        signal.raise_signal(signal.SIGTERM)
        assert not came
        real(*args)

    monkeypatch.setattr(module, name, interrupted)
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    try:
        train_run(tmp_path, config, dataset, steps=50, device="cpu", progress=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    step = checkpoint.resume(tmp_path)[1].step
    assert came == [1] and (step == 50 if where == "drawing" else step < 50)
    assert (tmp_path / "samples" / f"step_{step:07d}.png").exists() and not list(tmp_path.glob(".tmp-*"))


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    """As of a command in the background of a script."""
    config, dataset = small()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with at_lines(lambda number: interrupt(number, 30)):
            train_run(tmp_path, config, dataset, steps=3, device="cpu", progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert checkpoint.resume(tmp_path)[1].step == 3


# a training process that kills itself in the middle of its fifth write of one kind, leaving half a file behind
SUICIDE = """
import os, signal, sys, torch, minidiff.checkpoint as c
from minidiff.cli import main
which, writes = sys.argv[1], 0
real = torch.save if which == "state" else c.save_file
def half(what, path, *rest):
    global writes
    writes += 1
    real(what, path, *rest)
    if writes == 5:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
if which == "state": torch.save = half
else: c.save_file = half
main(sys.argv[2:])
"""


def kill_and_resume(tmp_path, kills, every, number=signal.SIGKILL):
    """Kill a run `kills` times: by SIGKILL once in the middle of writing the state, once of weights; then at random
    moments. Go on to the end, and compare with a run that was never killed."""
    suicides = 2 if number == signal.SIGKILL else 0
    steps, rng, out, while_saving = 3 * every * kills, random.Random(0), tmp_path / "killed", 0
    subprocess.run(command(tmp_path / "whole", "--steps", str(steps)), check=True, capture_output=True)
    for i in range(kills):
        arguments = command(out, "--steps", str(steps), *(["--resume"] if checkpoint.is_run(out) else []))
        if i < suicides:
            arguments = [sys.executable, "-c", SUICIDE, ("state", "weights")[i], *arguments[3:]]
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if i >= suicides:
            stop = step_of(out) + rng.randint(1, 2 * every - 1)
            wait_until(lambda stop=stop: step_of(out) >= stop, process)
            time.sleep(0.05 * rng.random())
            process.send_signal(number)
        assert process.wait(60) in (-number, 128 + number)  # it was still training
        while_saving += bool(list(out.glob(".tmp-*")))
    assert while_saving >= suicides and (suicides or not while_saving)
    result = subprocess.run(command(out, "--steps", str(steps), "--resume"), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for name in ("model.safetensors", "ema.safetensors", "loss.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not list(out.glob(".tmp-*"))


def step_of(run):
    """The step of the last complete weights, read from their header; 0 before the first save."""
    path = run / "model.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, "pt") as f:
        return int(f.metadata()["step"])


def wait_until(true, process):
    until = time.monotonic() + 60
    while not true():
        assert process.poll() is None and time.monotonic() < until, "training ended or hung before the kill"
        time.sleep(0.0005)


def test_killed_three_times(tmp_path):
    kill_and_resume(tmp_path, 3, 100)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_twenty_times(number, tmp_path):
    kill_and_resume(tmp_path, 20, 100, number)


def test_bad_runs(tmp_path):
    config, dataset = configure("eight_gaussians", width=32, batch=32)
    run = tmp_path / "run"
    train_run(run, config, dataset, steps=3, device="cpu", progress=False)

    def refuse(words, call, *args, **kwargs):
        with pytest.raises(ValueError, match=words):
            call(*args, **kwargs)

    refuse("beyond --steps 2", train_run, run, config, dataset, steps=2, progress=False)
    good = {name: (run / name).read_bytes() for name in ("config.json", "ema.safetensors", "state.pt")}
    raw = json.loads(good["config.json"])
    for change, words in (
        ({"heads": 3}, "unknown key 'heads'"),
        ({"net": "resnet"}, "unknown net 'resnet'"),
        ({"schedule": "sine"}, "unknown schedule 'sine'"),
        ({"width": "big"}, "wrong type"),
        ({"lr": -1.0}, "lr must be at least"),
        ({"p_uncond": 2.0}, "probability"),
    ):
        (run / "config.json").write_text(json.dumps(raw | change))
        refuse(words, checkpoint.read_config, run)
    (run / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if k != "shape"}))
    refuse("lacks the key 'shape'", checkpoint.read_config, run)
    (run / "config.json").write_text("{")
    refuse("is not JSON", checkpoint.read_config, run)
    (run / "config.json").write_bytes(good["config.json"])
    for part in (good["ema.safetensors"][:1000], b"", b"foreign"):
        (run / "ema.safetensors").write_bytes(part)
        refuse("does not hold this run's weights", checkpoint.load, run)
    for part in (good["state.pt"][:1000], b"", b"foreign"):
        (run / "state.pt").write_bytes(part)
        refuse("is damaged", checkpoint.resume, run)
    (run / "config.json").write_text(json.dumps(raw | {"width": 64}))
    (run / "ema.safetensors").write_bytes(good["ema.safetensors"])
    refuse("does not hold this run's weights", checkpoint.load, run)


def test_initial_weights_depend_on_the_seed_alone():
    config, _ = configure("eight_gaussians", width=32)
    torch.manual_seed(1)
    first = checkpoint.new_model(config)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = checkpoint.new_model(config)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    torch.manual_seed(1)
    checkpoint.new_model(config)
    assert torch.equal(torch.get_rng_state(), state)  # and the global state is left alone


def test_weights_are_plain_safetensors(tmp_path):
    config, dataset = configure("eight_gaussians", width=32)
    train_run(tmp_path / "run", config, dataset, steps=2, device="cpu", progress=False)
    weights = load_file(tmp_path / "run" / "ema.safetensors")
    assert weights["net.enter.weight"].shape == (32, 2)
    assert os.path.getsize(tmp_path / "run" / "ema.safetensors") < 1_000_000


@pytest.mark.parametrize("name", ["spirals", "digits"])
def test_configure_finds_what_suits_the_data(name):
    config, dataset = configure(name)
    assert config.net == ("mlp" if name == "spirals" else "unet") and config.classes == dataset.classes
    assert config.sigma_data == pytest.approx(data.std(dataset), abs=1e-4)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 25 steps, and its config and data; not to be changed."""
    out, (config, dataset) = tmp_path_factory.mktemp("finished") / "run", small()
    train_run(out, config, dataset, steps=25, device="cpu", progress=False)
    return out, config, dataset


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of that run."""
    return Path(shutil.copytree(finished[0], tmp_path / "copy"))


RESUME = ["train", "--resume", "--device", "cpu", "--steps"]
WEIGHTS = ["model.safetensors", "ema.safetensors"]


@pytest.mark.parametrize("there", [WEIGHTS, WEIGHTS[1:], ["loss.csv"], ["samples"], [*WEIGHTS, "loss.csv", "samples"]])
def test_a_run_without_its_state_is_not_begun_anew(there, copied, capsys):
    """A model that was copied, or a copy that was cut: training from nothing would replace it."""
    for path in copied.iterdir():
        if path.name not in ("config.json", *there):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(capsys, [*RESUME, 30, "--out", copied], "no state.pt to go on from: copy that too, or begin", copied)


def test_weights_of_a_later_state_are_not_replaced(copied, capsys, finished):
    _, config, dataset = finished
    later = copied.with_name("later")
    shutil.copytree(copied, later)
    train_run(later, config, dataset, steps=30, device="cpu", progress=False)
    shutil.copy(later / "ema.safetensors", copied)
    refused(capsys, [*RESUME, 40, "--out", copied], "is of step 30, state.pt of step 25", copied)


def test_files_that_are_not_a_run_are_not_replaced(copied, capsys, finished):
    _, config, dataset = finished
    (copied / "config.json").unlink()
    refused(capsys, [*RESUME, 30, "--data", "eight_gaussians", "--out", copied], "is not a run", copied)
    before = snapshot(copied)
    with pytest.raises(ValueError, match="is not a run"):
        train_run(copied, config, dataset, steps=1, progress=False)
    assert snapshot(copied) == before


@pytest.mark.parametrize(
    "name, text", [("config.json", '{"data": "eig'), ("loss.csv", "step,loss\n20"), ("loss.csv", "")]
)
def test_half_a_file_is_not_gone_on_from(name, text, copied, capsys):
    (copied / name).write_text(text)
    refused(capsys, [*RESUME, 30, "--out", copied], str(copied / name), copied)


def test_a_config_of_another_model_is_refused(finished):
    out, config, dataset = finished
    before = snapshot(out)
    other, _ = configure("eight_gaussians", width=24, batch=8)
    with pytest.raises(ValueError, match="was made with width 16, not 24"):
        train_run(out, other, dataset, steps=30, progress=False)
    assert snapshot(out) == before


def test_two_trainings_in_one_folder(copied, capsys, finished):
    with locked(copied):
        refused(capsys, [*RESUME, 30, "--out", copied], "another process trains in", copied)
        with pytest.raises(ValueError, match="another process trains in"):
            train_run(copied, *finished[1:], steps=30, progress=False)
    train_run(copied, *finished[1:], steps=26, device="cpu", progress=False)


def test_nothing_left_to_do_is_said(copied, capsys):
    from minidiff.cli import main

    main([*RESUME, "25", "--out", str(copied)])
    said = capsys.readouterr().out
    assert "at step 25 already, so nothing was left to do" in said and "nan" not in said


def test_durations_that_are_none(tmp_path):
    config, dataset = small()
    for name, value in (("steps", 0), ("minutes", 0), ("minutes", float("nan")), ("save_every", -1)):
        with pytest.raises(ValueError, match=f"{name} must be more than 0"):
            train_run(tmp_path / "run", config, dataset, **{name: value}, progress=False)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
@pytest.mark.parametrize("place", ["reading the state", "the weights", "a step", "drawing"])
def test_out_of_memory_is_said_and_costs_nothing(place, error, copied, capsys, monkeypatch):
    def fail(*_, **__):
        raise error

    command = [*RESUME, 30, "--out", copied]
    if place == "the weights":
        monkeypatch.setattr(checkpoint, "load_file", fail)
        command = ["sample", copied, "--n", 2, "--device", "cpu"]
    elif place == "reading the state":
        monkeypatch.setattr(torch, "load", fail)
    elif place == "drawing":
        monkeypatch.setattr(runs, "generate", fail)
    else:
        monkeypatch.setattr(denoise.Denoiser, "loss", fail)
    refused(capsys, command, "out of memory (")
    monkeypatch.undo()
    assert checkpoint.resume(copied)[1].step == (30 if place == "drawing" else 25)


def test_more_than_any_memory(tmp_path, finished, capsys):
    """Beyond all addresses, so that no machine has it."""
    train = ["train", "--data", "eight_gaussians", "--steps", 2, "--device", "cpu", "--out", tmp_path / "run"]
    refused(capsys, [*train, "--batch", 10**15], "smaller --batch, or cut it with --parts")
    refused(capsys, ["sample", finished[0], "--n", 10**15, "--device", "cpu"], "a smaller --n", finished[0])


def test_a_full_disk_leaves_the_last_checkpoint(copied, capsys):
    resource = pytest.importorskip("resource")
    before, good = resource.getrlimit(resource.RLIMIT_FSIZE), snapshot(copied)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((copied / "state.pt").stat().st_size // 2, before[1]))
    try:
        refused(capsys, [*RESUME, 30, "--out", copied], "state.pt could not be written (")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert snapshot(copied) == good
