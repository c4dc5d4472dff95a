import json
import os
import random
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from minidiff import checkpoint, data, runs
from minidiff.generate import generate
from minidiff.nets import NETS
from minidiff.recipes import configure
from minidiff.runs import train_run

TRAIN = [sys.executable, "-m", "minidiff", "train", "--data", "eight_gaussians", "--width", "32", "--batch", "32"]


def command(out, *more):
    return [*TRAIN, "--out", str(out), "--device", "cpu", *more]


def test_a_run_holds_what_it_should(tmp_path):
    config, dataset = configure("digits", width=16, batch=16)
    run = tmp_path / "run"
    train_run(run, config, dataset, steps=45, save_every=1e9, device="cpu", progress=False)  # drawn at the end alone
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


def test_ctrl_c_saves(tmp_path, monkeypatch):
    config, dataset = configure("eight_gaussians", width=32, batch=32)

    def interrupted(*args, **kwargs):
        for i, step in enumerate(train(*args, **kwargs)):
            yield step
            if i == 6:
                raise KeyboardInterrupt

    train = runs.train
    monkeypatch.setattr(runs, "train", interrupted)
    train_run(tmp_path / "run", config, dataset, steps=100, device="cpu", progress=False)
    assert checkpoint.resume(tmp_path / "run")[1].step == 7


# Trains as often as it is told to die, and then to the end. It dies in the middle of its fifth write of the state or of
# weights, half a file left behind, or by a signal at a random moment after some step. Each training is a fork: as good
# as a new process, and sooner there. Its clock counts steps, and it waits for its death, so no machine is too fast.
KILLED = """
import itertools, json, os, signal, sys, threading, time
import torch, torch._dynamo, minidiff.checkpoint as checkpoint, minidiff.runs as runs
from minidiff.cli import main

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
            threading.Timer(seconds, os.kill, (os.getpid(), number)).start()
        if steps_left is not None and i == steps_left + 20:
            signal.pause()

train, runs.train, runs.time = runs.train, counted, Clock
number, arguments = int(sys.argv[1]), sys.argv[2:]
for death in [*json.loads(sys.stdin.read()), None]:
    if (child := os.fork()) == 0:
        os.dup2(2, 1)
        if death == "state":
            die_writing(torch, "save")
        elif death == "weights":
            die_writing(checkpoint, "save_file")
        elif death is not None:
            runs.train = lambda *args, **options: counted(*args, **options, steps_left=death[0], seconds=death[1])
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
    subprocess.run(command(tmp_path / "whole", "--steps", steps), check=True, capture_output=True)
    deaths = [(rng.randint(1, 2 * every - 1), 0.05 * rng.random()) for _ in range(kills)]
    if number == signal.SIGKILL:
        deaths[:2] = "state", "weights"
    out, arguments = tmp_path / "killed", ["--steps", steps, "--save-every", str(every)]
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(int(number)), *command(out)[3:], *arguments],
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
def test_killed_twenty_times(tmp_path):
    kill_and_resume(tmp_path, 20, 30)


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
