"""Training that is interrupted or killed at any moment goes on as if it had not been."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from minidiff import denoise, optim, train
from minidiff.run import checkpoint, loop, parallel, progress
from minidiff.run.cli import main
from minidiff.run.loop import train_run
from tests.test_runs import small

if not hasattr(os, "fork"):
    pytest.skip("needs fork and SIGKILL", allow_module_level=True)

TRAIN = ["train", "--data", "eight_gaussians", "--width", "32", "--batch", "32", "--device", "cpu"]
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
    monkeypatch.setattr(loop, "draw_samples", lambda *_: None)
    (config, dataset), options, lines = small(optimizer), {"device": "cpu", "progress": False}, []
    with at_lines(lines.append):
        train_run(tmp_path / "two", config, dataset, steps=2, **options)
    assert len(lines) > 100
    before = signal.getsignal(signal.SIGINT)
    for at in lines if times is None else lines[:: len(lines) // times]:
        with pytest.raises(KeyboardInterrupt), at_lines(lambda number, at=at: interrupt(number, at)):
            train_run(tmp_path / "often", config, dataset, **options)
    assert signal.getsignal(signal.SIGINT) is before
    steps = checkpoint.resume(tmp_path / "often").state.step + 1
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
    module, name = {"state": (torch, "save"), "weights": (checkpoint, "save_file"), "drawing": (progress.plot, "save")}[
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
    step = checkpoint.resume(tmp_path).state.step
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
    assert checkpoint.resume(tmp_path).state.step == 5


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    """As of a command in the background of a script."""
    config, dataset = small()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with at_lines(lambda number: interrupt(number, 30)):
            train_run(tmp_path, config, dataset, steps=3, device="cpu", progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert checkpoint.resume(tmp_path).state.step == 3


# Trains as often as it is told to die, and then to the end. It dies in the middle of its fifth write of the state or of
# weights, half a file left behind, or by a signal at a random moment after some step. Each training is a fork: as good
# as a new process, and sooner there. Its clock counts steps, and it waits for its death, so no machine is too fast.
KILLED = """
import itertools, json, os, signal, sys, threading, time
import torch, torch._dynamo, minidiff.run.checkpoint as checkpoint, minidiff.run.loop as loop, minidiff.run.recipes
from minidiff.run.cli import main

class Clock:
    now = 0
    monotonic = staticmethod(lambda: Clock.now)

def die_writing(module, name):
    write, calls = getattr(module, name), itertools.count(1)
    def half(what, path, *rest):
        write(what, path, *rest)
        if next(calls) == 5:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, name, half)

def counted(*args, steps_left=None, seconds=0, **options):
    for i, step in enumerate(train(*args, **options)):
        Clock.now = step.step
        yield step
        if i == steps_left:
            killer = threading.Timer(seconds, os.kill, (os.getpid(), number))
            killer.start()
        if steps_left is not None and i == steps_left + 20:
            killer.join()

train, loop.train, loop.time = loop.train, counted, Clock
number, arguments = int(sys.argv[1]), sys.argv[2:]
for death in [*json.loads(sys.stdin.read()), None]:
    if (child := os.fork()) == 0:
        os.dup2(2, 1)
        if death == "state":
            die_writing(torch, "save")
        elif death == "weights":
            die_writing(checkpoint, "save_file")
        elif death is not None:
            loop.train = lambda *args, **options: counted(*args, **options, steps_left=death[0], seconds=death[1])
        main(arguments)
        sys.exit()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = [p for p in os.listdir(arguments[arguments.index("--out") + 1]) if p.startswith(".tmp-")]
    print(json.dumps([status, len(left)]))
    arguments += [] if "--resume" in arguments else ["--resume"]
"""


def kill_and_resume(tmp_path, kills, every, number=signal.SIGKILL):
    """Kill a run `kills` times: by SIGKILL once in the middle of writing the state, once of weights; then at random
    moments. Go on to the end, and compare with a run that was never killed."""
    steps, rng = str(kills * (2 * every + 20)), random.Random(0)  # enough for every one of them
    train = [*TRAIN, "--steps", steps]
    main([*train, "--out", str(tmp_path / "whole")])
    deaths = [(rng.randint(1, 2 * every - 1), 0.05 * rng.random()) for _ in range(kills)]
    if number == signal.SIGKILL:
        deaths[:2] = "state", "weights"
    out = tmp_path / "killed"
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(int(number)), *train, "--out", str(out), "--save-every", str(every)],
        input=json.dumps(deaths), capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (*killed, (status, left)) = map(json.loads, result.stdout.splitlines())
    assert len(killed) == kills and all(code in (-number, 128 + number) for code, _ in killed)  # still training
    assert all(left for _, left in killed[:2]) if number == signal.SIGKILL else not any(left for _, left in killed)
    assert status == 0 and not left, result.stderr
    for name in ("model.safetensors", "ema.safetensors", "loss.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_killed_three_times(tmp_path):
    kill_and_resume(tmp_path, 3, 30)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_twenty_times(number, tmp_path):
    kill_and_resume(tmp_path, 20, 30, number)
