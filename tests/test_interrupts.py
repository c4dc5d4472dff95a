"""Training that is interrupted or killed at any moment goes on as if it had not been."""

import itertools
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import torch
from safetensors import safe_open

from minidiff import checkpoint, denoise, optim, parallel, runs, train
from minidiff.runs import train_run
from tests.test_runs import small

TRAIN = [sys.executable, "-m", "minidiff", "train", "--data", "eight_gaussians", "--width", "32", "--batch", "32"]


def command(out, *more):
    return [*TRAIN, "--out", str(out), "--save-every", "0.02", "--device", "cpu", *more]


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


def test_ctrl_c_that_breaks_a_step_is_no_other_error(tmp_path, monkeypatch):
    """It ends a compiler too, whose end is then an error of the step."""
    config, dataset = small()
    train_run(tmp_path, config, dataset, steps=5, device="cpu", progress=False)

    def broken(*_, **__):
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("the compiler has ended")

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(denoise.Denoiser, "loss", broken)
        train_run(tmp_path, config, dataset, steps=9, device="cpu", progress=False)
    assert checkpoint.resume(tmp_path)[1].step == 5


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
