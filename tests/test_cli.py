import ast
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import minidiff
from minidiff import demo
from minidiff.data.shapes.dataset import Captioned
from minidiff.measure import doctor, report
from minidiff.run import generate, loop
from minidiff.run.checkpoint import read_config, read_losses
from minidiff.run.cli import main
from minidiff.run.commands import COMMANDS
from minidiff.run.config import Diffusion, Training, net_options, values
from minidiff.run.models import MODELS
from minidiff.run.options import add_options
from minidiff.run.recipes import configure


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "toy"
    main(["train", "--data", "eight_gaussians", "--steps", "5", "--width", "32", "--batch", "32", "--out", str(out)])
    return out


def snapshot(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(capsys, arguments, words, keep=None):
    """Exit status 2, one line on stderr that has `words`, and nothing under `keep` changed."""
    before = snapshot(keep) if keep else None
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    err = capsys.readouterr().err
    assert stopped.value.code == 2
    assert err.startswith("minidiff: ") and err.count("\n") == 1 and words in err, err
    if keep:
        assert snapshot(keep) == before


def options_of(command):
    """Every option of a command, by name; those of train are also a config's and all nets'."""
    parser = ArgumentParser()
    getattr(COMMANDS[command], "add_options", partial(add_options, cls=COMMANDS[command]))(parser)
    return {action.dest: action for action in parser._actions if action.dest != "help"}


EVERY = [(command, name) for command in COMMANDS for name in options_of(command)]


def arrived(monkeypatch, command, *arguments):
    """The options of a command as it runs with these arguments, by name."""
    found = []
    monkeypatch.setattr(COMMANDS[command], "run", lambda options: found.append(options))
    main([command, *arguments])
    own = vars(found[0]).copy()
    return own | own.pop("asked", {})


def written(action):
    """Ways to give an option on the command line -> the value that it then has."""
    if isinstance(action, BooleanOptionalAction):
        return dict(zip([(name,) for name in action.option_strings], (True, False), strict=True))
    kind = {"int": int, "float": float, "str": str, "Path": Path}[action.type.__name__]
    text, value = {int: ("7", 7), float: ("0.25", 0.25), str: ("5 words_$", "5 words_$"), Path: ("a/b", Path("a/b"))}[
        kind
    ]
    if not action.option_strings:
        return {(text,): value}
    (name,) = action.option_strings
    return {(name, text): value, (f"{name}={text}",): value}


@pytest.mark.parametrize("command, name", EVERY, ids=[f"{command} {name}" for command, name in EVERY])
def test_every_option_arrives_where_it_should(command, name, monkeypatch):
    usual = arrived(monkeypatch, command)
    for arguments, value in written(options_of(command)[name]).items():
        options = arrived(monkeypatch, command, *arguments)
        assert options[name] == value and type(options[name]) is type(value)
        assert {k: v for k, v in options.items() if k != name} == {k: v for k, v in usual.items() if k != name}


@pytest.mark.parametrize("command", COMMANDS)
def test_all_options_at_once(command, monkeypatch):
    """Whatever stands before it or behind it takes nothing from an option."""
    ways = {name: list(written(action).items())[-1] for name, action in options_of(command).items()}
    for names in (list(ways), list(ways)[::-1]):
        options = arrived(monkeypatch, command, *(word for name in names for word in ways[name][0]))
        assert options == {name: value for name, (_, value) in ways.items()}


def test_train_has_every_option_of_a_config_and_of_every_net():
    names = set(options_of("train"))
    config, _ = configure("shapes:1")
    assert {f.name for f in fields(Training)} | {f.name for f in fields(Diffusion)} <= names | {"sigma_data"}
    assert {"text_mode", "text_encoder"} | set(config.net) - {"name"} <= names
    for model, nets in MODELS.items():
        for net in nets:
            assert set(net_options(model, net)) <= names


def test_options_of_train_reach_the_config(tmp_path):
    asked = {"width": "16", "depth": "2", "batch": "4", "schedule": "linear", "weighting": "min_snr", "seed": "5"}
    words = [word for name, value in asked.items() for word in (f"--{name}", value)]
    main(["train", "--data", "digits", *words, "--steps", "1", "--out", str(tmp_path / "run"), "--device", "cpu"])
    found = values(read_config(tmp_path / "run"))
    assert {name: str(found[name]) for name in asked} == asked


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_each_option_is(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    squeezed = "".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    for name, action in options_of(command).items():
        assert (action.metavar or f"--{name.replace('_', '-')}") in squeezed
        assert "".join(action.help.replace("%%", "%").split()) in squeezed
        assert "default" in action.help or action.metavar


def test_words_that_are_no_options(run, tmp_path, capsys):
    train = ["train", "--data", "digits", "--out", tmp_path / "new"]
    refused(capsys, [*train, "--fli"], "unrecognized arguments: --fli")  # nothing is guessed from its beginning
    refused(capsys, [*train, "--flip", "true"], "unrecognized arguments: true")
    refused(capsys, [*train, "--flip=true"], "--flip")
    refused(capsys, [*train, "--noflip"], "unrecognized arguments: --noflip")
    refused(capsys, ["evaluate", run, run], "unrecognized arguments")
    refused(capsys, ["sample", run, "--speed\nfast"], "--speed fast")  # one line, whatever was typed
    refused(capsys, ["samp", run], "invalid choice")
    assert not (tmp_path / "new").exists()


def test_seeds_have_a_range(run, tmp_path, capsys):
    for seed in (-1, 2**63, 2**64, 10**30):
        for command in (
            ["sample", run],
            ["evaluate", run],
            ["demo", "--out", tmp_path / "x"],
            ["train", "--data", "digits"],
        ):
            refused(capsys, [*command, "--seed", seed], f"a seed is a whole number from 0 to {2**63 - 1}", run)
    refused(capsys, ["sample", run, "--n", 2**31], "is too large", run)
    main(["sample", str(run), "--n", "2", "--seed", str(2**63 - 1), "--out", str(tmp_path / "x.npz")])


@pytest.mark.parametrize("command, module, name", [
    ("sample RUN", generate, "run_sampler"), ("evaluate RUN", report, "of_points"),
    ("doctor --data spirals", doctor, "examine"),
    ("demo --out NEW", demo, "train_run"),
])  # fmt: skip
def test_control_c_is_one_line(command, module, name, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, name, lambda *_, **__: signal.raise_signal(signal.SIGINT))
    command = [{"RUN": str(run), "NEW": str(tmp_path / "new")}.get(word, word) for word in command.split()]
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 130 and capsys.readouterr().err == "minidiff: stopped\n"


def in_a_process(*arguments, **options):
    path = os.pathsep.join([str(Path(minidiff.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    options["env"] = os.environ | {"PYTHONPATH": path} | options.pop("env", {})
    return subprocess.run([sys.executable, "-m", "minidiff", *arguments], stderr=subprocess.PIPE, text=True, **options)


def test_each_rank_says_why_it_ends(monkeypatch, capsys):
    """Its own loss may not be finite, say. A number that a cluster gives a process is no rank of torchrun's."""
    monkeypatch.setenv("RANK", "1")
    refused(capsys, ["sample"], "minidiff: give the folder of a run")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    refused(capsys, ["sample"], "minidiff: rank 1: give the folder of a run")


def test_a_reader_that_has_read_enough():
    read, write = os.pipe()
    os.close(read)
    done = in_a_process("train", "--help", stdout=write)
    os.close(write)
    assert done.stderr == "" and done.returncode in (0, 141)  # argparse itself passes over what it cannot print


@pytest.mark.usefixtures("names_in_any_script")
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_code_page_without_the_letters(encoding, run, tmp_path, monkeypatch):
    out = tmp_path / "läuft.日本.npz"
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    main(["sample", str(run), "--n", "2", "--out", str(out)])
    with pytest.raises(SystemExit) as stopped:
        main(["sample", str(run), "--label", "猫"])
    assert stopped.value.code == 2 and out.exists()
    for name, words in (("stdout", b"2 samples"), ("stderr", b"label '?' is unknown or out of range")):
        streams[name].flush()
        assert words in streams[name].buffer.getvalue()


def test_every_file_of_text_is_utf_8():
    """No open, read_text or write_text, of the package or of its tests, that would go by the machine's code page."""
    others = ("os.open", "Image.open", "archive.open")  # of descriptors, pictures and bytes
    for path in (*Path(minidiff.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or (called := ast.unparse(node.func)) in others:
                continue
            named = called.rpartition(".")[2] in ("open", "read_text", "write_text")
            modes = node.args[1:] if called == "open" else node.args  # a path's own open begins with the mode
            binary = any(isinstance(a, ast.Constant) and "b" in str(a.value) for a in modes)
            told = any(k.arg == "encoding" for k in node.keywords)
            assert not named or binary or told, f"{path.name}, line {node.lineno}"


def test_names_by_default_take_no_file_of_others(run, tmp_path, monkeypatch, capsys):
    """In the folder where a pretrained model is sampled, another's picture may have its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("minidiff.run.pretrained.folder", lambda name: run)
    Path("toy.png").write_bytes(b"mine")
    for _ in range(2):
        main(["sample", "--pretrained", "toy", "--n", "5"])
    assert Path("toy.png").read_bytes() == b"mine" and Path("toy-3.png").exists()
    assert "toy-2.png" in capsys.readouterr().out
    main(["sample", "--pretrained", "toy", "--n", "5", "--out", "toy.png"])  # this name was asked for
    assert Path("toy.png").read_bytes() != b"mine"


def test_evaluating_in_vain_leaves_nothing(run, tmp_path, capsys):
    for wrong in (["--sampler", "magic"], ["--steps", 0], ["--scale", "nan"], ["--data", "digits"]):
        refused(capsys, ["evaluate", run, *wrong, "--out", tmp_path / "card"], "", tmp_path)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    refused(capsys, ["evaluate", run, "--out", tmp_path / "file"], "is a file: --out names the folder", tmp_path)


def test_doctor_asks_first(capsys):
    refused(capsys, ["doctor", "--data", "spirals", "--sampler", "magic"], "unknown sampler 'magic'")


def test_what_does_not_fit_into_memory(run, monkeypatch, capsys):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80000 bytes\nat x.cpp")

    monkeypatch.setattr(generate, "start", full)
    refused(capsys, ["sample", run], "out of memory", run)


def test_the_way_through(run, tmp_path, capsys):
    main(["sample", str(run), "--n", "10", "--label", "3", "--scale", "2", "--out", str(tmp_path / "x.npz")])
    with np.load(tmp_path / "x.npz") as f:
        assert f["samples"].shape == (10, 2) and (f["labels"] == 3).all()
    main(["sample", str(run), "--n", "10", "--sampler", "langevin", "--steps", "2"])
    assert (run / "sample.png").exists()
    main(["train", "--steps", "8", "--resume", "--out", str(run)])
    assert "step 8" in capsys.readouterr().out
    main(["evaluate", str(run), "--n", "500"])
    out = capsys.readouterr().out
    assert "score error" in out and "floor" in out
    report = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert report["n"] == 500 and 0 < report["score error, relative squared, mean of 20 log-SNR levels -7 to 7"] < 2


def test_what_help_says_of_defaults(run, tmp_path, monkeypatch):
    """Each class in turn; three minutes, into runs/DATA."""
    given, trained = [], []
    monkeypatch.setattr(generate, "generate", lambda model, n, *, cond, **_: given.extend(cond) or torch.zeros(n, 2))
    main(["sample", str(run), "--n", "10", "--out", str(tmp_path / "x.npz")])
    with np.load(tmp_path / "x.npz") as f:
        assert f["labels"].tolist() == given == [i % 8 for i in range(10)]
    monkeypatch.setattr(loop, "train_run", lambda out, *_, minutes, **__: trained.append((out.as_posix(), minutes)))
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["--steps", "5"], ["--minutes", "7"]):
        main(["train", "--data", "shapes:1", *arguments])
    assert trained == [("runs/shapes-1", 3.0), ("runs/shapes-1", None), ("runs/shapes-1", 7.0)]


def test_doctor(capsys):
    main(["doctor", "--data", "eight_gaussians", "--steps", "300"])
    assert "both halves work" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:  # after one step the model has learnt nothing, and doctor says so
        main(["doctor", "--data", "eight_gaussians", "--steps", "1"])
    assert stopped.value.code == 1 and "the MODEL is at fault" in capsys.readouterr().out


def test_demo(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(demo.HOW, "steps", 3)
    monkeypatch.setattr(Captioned.parts, "__defaults__", (200, 0))  # not 20,000 to encode
    command = ["demo", "--out", str(tmp_path / "demo"), "--minutes", "0.02", "--n", "20", "--device", "cpu"]
    main(command)
    written = {p.name for p in (tmp_path / "demo").iterdir()}
    assert {"prompts.png", "accuracy.png", "accuracy.json", "noise_to_picture.gif", "loss.png", "run"} <= written
    assert read_config(tmp_path / "demo" / "run").autoencoder.data == "shapes"
    assert "guidance 4: colour" in capsys.readouterr().out
    before = read_losses(tmp_path / "demo" / "autoencoder")
    main(command)  # once more: the model alone
    assert "0.02 minutes more" in capsys.readouterr().out
    assert read_losses(tmp_path / "demo" / "autoencoder") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep me", encoding="utf-8")
    refused(capsys, ["demo", "--out", tmp_path / "other"], "was not made by demo", tmp_path / "other")


@pytest.mark.parametrize("seed", [None, 0, 5])
def test_demo_goes_on_with_the_seed_it_has(seed, tmp_path, monkeypatch):
    config, _ = configure("shapes:2", seed=5)
    config = replace(config, autoencoder=config)
    monkeypatch.setattr(demo.checkpoint, "is_run", lambda _: True)
    monkeypatch.setattr(demo.checkpoint, "read_config", lambda _: config)
    monkeypatch.setattr(demo, "load_data", lambda _: None)
    monkeypatch.setattr(demo, "train_run", lambda *_, **__: None)
    if seed == 0:
        with pytest.raises(ValueError, match="was made with seed 5, not 0: leave it out"):
            demo.train_stages(tmp_path, tmp_path, 1.0, seed, "cpu")
    else:
        assert demo.train_stages(tmp_path, tmp_path, 1.0, seed, "cpu")[0].seed == 5


def test_unknown_names(run, tmp_path, capsys):
    out = tmp_path / "new"
    refused(capsys, ["train", "--data", "imagenet", "--steps", 5, "--out", out], "unknown data 'imagenet'")
    refused(
        capsys, ["train", "--data", "digits", "--net", "resnet", "--steps", 5, "--out", out], "unknown net 'resnet'"
    )
    refused(capsys, ["train", "--data", "digits", "--schedule", "sine", "--steps", 5, "--out", out], "unknown schedule")
    refused(capsys, ["train", "--data", "digits", "--net", "mlp", "--steps", 5, "--out", out], "use unet")
    refused(capsys, ["train", "--data", "digits", "--device", "abacus", "--steps", 5, "--out", out], "not available")
    refused(capsys, ["train", "--steps", 5, "--out", out], "--data is missing")
    refused(capsys, ["sample", run, "--sampler", "magic"], "unknown sampler 'magic'", run)
    refused(capsys, ["evaluate", run, "--sampler", "magic"], "unknown sampler 'magic'", run)
    refused(capsys, ["paint"], "invalid choice: 'paint'")
    refused(capsys, ["sample", run, "--label"], "argument --label: expected a value", run)
    refused(capsys, ["sample", run, "--label", "--n", 3], "argument --label: expected a value", run)
    refused(capsys, ["train", "--data", "digits", "--speed", 3], "unrecognized arguments: --speed")
    assert not out.exists()


def test_bad_numbers(run, tmp_path, capsys):
    out = tmp_path / "new"
    for steps in (0, -5):
        refused(capsys, ["train", "--data", "digits", "--steps", steps, "--out", out], "--steps must be more than 0")
        refused(capsys, ["sample", run, "--steps", steps], "steps must be at least 1", run)
    refused(capsys, ["train", "--data", "digits", "--minutes", 0, "--out", out], "--minutes must be more than 0")
    refused(capsys, ["train", "--data", "digits", "--minutes", 1, "--steps", 1, "--out", out], "not both")
    refused(
        capsys, ["train", "--data", "digits", "--size", 8, "--steps", 1, "--out", out], "leave out the size for digits"
    )
    for spec in ("photos", "shapes", f"folder:{tmp_path}"):
        refused(capsys, ["train", "--data", spec, "--size", 0, "--steps", 1, "--out", out], "0")
    refused(capsys, ["train", "--data", "digits", "--steps", "many", "--out", out], "invalid int value: 'many'")
    refused(capsys, ["train", "--data", "digits", "--steps", 5, "--batch", 0, "--out", out], "batch must be at least 1")
    refused(capsys, ["train", "--data", "digits", "--steps", 5, "--p-uncond", 2, "--out", out], "probability")
    refused(capsys, ["sample", run, "--n", 0], "n must be at least 1", run)
    refused(capsys, ["sample", run, "--scale", "nan"], "scale must be a number", run)
    refused(capsys, ["sample", run, "--device", "meta"], "not available here", run)
    refused(capsys, ["sample", run, "--label", 8], "label '8' is unknown or out of range", run)
    refused(capsys, ["evaluate", run, "--n", 0], "--n must be more than 0", run)
    assert not out.exists()


def test_bad_outputs_and_runs(run, tmp_path, capsys):
    train = ["train", "--data", "eight_gaussians", "--steps", 5, "--out"]
    refused(capsys, [*train, run], "is a run already", run)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("keep me", encoding="utf-8")
    refused(capsys, [*train, mine], "is not empty and is not a run", mine)
    refused(capsys, [*train, mine, "--resume"], "is not a run", mine)
    refused(capsys, [*train, mine / "thesis.txt"], "not a folder", mine)
    refused(capsys, ["train", "--resume", "--steps", 5, "--out", tmp_path / "nothing"], "there is no run at")
    refused(capsys, [*train, run, "--resume", "--lr", 5], "was made with lr 0.001, not 5.0", run)
    refused(capsys, ["train", "--steps", 5, "--resume"], "--data is missing")
    refused(capsys, ["sample", mine], "is not a run: it has no config.json", mine)
    refused(capsys, ["sample", tmp_path / "nothing"], "is not a folder")
    refused(capsys, ["sample", run, "--out", mine / "x.gif"], "must end in .png or .npz", mine)
    refused(capsys, ["sample", run, "--out", tmp_path / "no" / "x.png"], "does not exist")


def test_resuming_what_was_killed_before_its_first_save_starts_it(tmp_path):
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / ".tmp-1-config.json").write_text("{", encoding="utf-8")
    for out in (tmp_path / "early", tmp_path / "earlier"):
        main(["train", "--resume", "--data", "spirals", "--steps", "2", "--width", "16", "--out", str(out)])
        assert (out / "ema.safetensors").exists()


def test_data_that_changed_under_a_run(tmp_path, capsys):
    pets, out = tmp_path / "pets", tmp_path / "run"
    for name in "abc":
        (pets / name).mkdir(parents=True)
        for i in range(4):
            Image.effect_noise((8, 8), 90).save(pets / name / f"{i}.png")
    train = ["train", "--width", "16", "--batch", "4", "--out", str(out)]
    main([*train, "--data", f"folder:{pets}", "--steps", "2"])
    shutil.rmtree(pets / "c")
    refused(capsys, [*train, "--resume", "--steps", "4"], "is not what the run was trained on", out)


def test_bad_checkpoints(run, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.json", "ema.safetensors", "state.pt"):
        (broken / name).write_bytes((run / name).read_bytes())
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    (broken / "config.json").write_text(json.dumps(config | {"colour": "red"}), encoding="utf-8")
    refused(capsys, ["sample", broken], "unknown key 'colour'", broken)
    (broken / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (broken / "ema.safetensors").write_bytes(b"x" * 100)
    refused(capsys, ["sample", broken], "does not hold this run's weights", broken)
    refused(capsys, ["evaluate", broken], "does not hold this run's weights", broken)
    (broken / "state.pt").write_bytes((run / "state.pt").read_bytes()[:5000])
    refused(capsys, ["train", "--resume", "--steps", 9, "--out", broken], "is damaged", broken)
    (broken / "ema.safetensors").unlink()
    refused(capsys, ["sample", broken], "is missing", broken)


def test_bad_data(run, tmp_path, capsys):
    train = ["train", "--steps", 5, "--out", tmp_path / "new", "--data"]
    refused(capsys, [*train, f"folder:{tmp_path / 'nowhere'}"], "does not exist")
    pets = tmp_path / "pets" / "cat"
    pets.mkdir(parents=True)
    refused(capsys, [*train, f"folder:{pets.parent}"], "has no pictures")
    Image.effect_noise((32, 32), 90).convert("RGB").save(pets / "1.jpg")
    (pets / "2.jpg").write_bytes((pets / "1.jpg").read_bytes()[:300])
    refused(capsys, [*train, f"folder:{pets.parent}"], "2.jpg: cannot be read as a picture")
    np.savez(tmp_path / "floats.npz", images=np.linspace(0, 255, 20 * 64).reshape(20, 8, 8, 1))
    refused(capsys, [*train, f"npz:{tmp_path / 'floats.npz'}"], "must lie in [-1, 1], got 0 to 255")
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_not_finite(tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["train", "--data", "eight_gaussians", "--width", 16, "--steps", 5000, "--lr", 1e30, "--out", out]
    refused(capsys, arguments, "lower the learning rate")
    assert (out / "state.pt").exists()  # the last good checkpoint
    refused(capsys, ["train", "--resume", "--steps", 9, "--lr", 2, "--out", out], "was made with lr", out)
