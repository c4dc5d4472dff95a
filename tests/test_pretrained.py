import json

import numpy as np
import pytest
import torch

from minidiff import checkpoint, data, pretrained
from minidiff.cli import main
from minidiff.evaluate import prompt_accuracy
from minidiff.recipes import configure
from minidiff.runs import train_run
from tests.test_cli import refused

CARD = ("data", "sampler", "steps", "network calls a sample", "scale", "weights", "precision", "seed", "features", "n")


@pytest.mark.parametrize("name", pretrained.names())
def test_each_has_weights_of_ten_megabytes_and_a_card(name):
    folder = pretrained.folder(name)
    assert (folder / "ema.safetensors").stat().st_size <= 10_000_000
    card = json.loads((folder / "evaluation.json").read_text())
    assert not [key for key in CARD if key not in card] and card["n"] >= 2048
    text = (folder / "README.md").read_text()
    assert all(word in text for word in ("Trained on", "minutes", "Limits"))
    config = checkpoint.read_config(folder)
    assert ":" not in config.data.removeprefix("shapes:")  # no path of somebody's machine
    model = checkpoint.load(folder)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())


def test_there_are_two():
    assert pretrained.names() == ["cifar10", "shapes"]


def test_ships_frogs_and_horses_in_one_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["sample", "--pretrained", "cifar10", "--label", "ship", "--n", "4", "--steps", "3"])
    assert (tmp_path / "cifar10.png").exists() and "4 samples" in capsys.readouterr().out
    main(["sample", "--pretrained", "shapes", "--prompt", "a red circle", "--n", "2", "--out", "red.png"])
    assert (tmp_path / "red.png").exists()


def test_the_card_of_the_shapes_reproduces():
    """On 200 other captions: within three standard errors of what the card says."""
    folder = pretrained.folder("shapes")
    config, card = checkpoint.read_config(folder), json.loads((folder / "evaluation.json").read_text())
    model, dataset = checkpoint.load(folder), data.load(config.data, "test", config.size)
    found = prompt_accuracy(model, checkpoint.tokenizer(config), dataset, 200, scale=card["scale"], steps=12, seed=5)
    for name in ("colour", "shape"):
        said = card[f"scale {card['scale']:g}: {name} as asked"]
        assert found[name] >= said - 3 * max(said * (1 - said), 0.01) ** 0.5 / 200**0.5


def test_shipping_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "HERE", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    config, dataset = configure("digits", width=16, batch=16)
    run = tmp_path / "run"
    train_run(run, config, dataset, steps=2, device="cpu", progress=False)
    with pytest.raises(ValueError, match="no evaluation.json"):
        pretrained.ship(run, "tiny", "digits", "digits, 2 steps.", "All.")
    (run / "evaluation.json").write_text(json.dumps({"run": "/home/me/run", "scale 1: precision": 0.5}))
    pretrained.ship(run, "tiny", "digits", "digits, 2 steps.", "All.")
    assert "| scale 1: precision | 0.5 |" in (tmp_path / "shipped/tiny/README.md").read_text()
    assert pretrained.names() == ["tiny"] and "/home" not in (tmp_path / "shipped/tiny/evaluation.json").read_text()
    ours, theirs = checkpoint.load(run), checkpoint.load(pretrained.folder("tiny"))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr(pretrained, "LIMIT", 1000)
    with pytest.raises(ValueError, match="more than"):
        pretrained.ship(run, "tiny", "digits", "digits, 2 steps.", "All.")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run in latents of digits, its few steps enough to tell its weights from new ones."""
    folder = tmp_path_factory.mktemp("trained")
    few = ["--data", "digits", "--width", "16", "--steps", "4"]
    main(["train", "--model", "vae", "--f", "2", *few, "--out", str(folder / "vae")])
    main(["train", "--autoencoder", str(folder / "vae"), *few, "--out", str(folder / "latents")])
    return folder / "latents"


def faded(path):
    """The digits at half their contrast, as a file."""
    digits = data.load("digits")
    np.savez(path, images=digits.at(torch.arange(200))[:, 0].numpy() / 2, labels=digits.labels[:200].numpy())
    return f"npz:{path}"


def test_training_starts_from_the_average_of_another(trained, tmp_path):
    """At a learning rate of next to nothing it stays that, scale of the latents included, whatever the data are."""
    given = ["--data", faded(tmp_path / "faded.npz"), "--start-from", str(trained), "--lr", "1e-12", "--steps", "2"]
    main(["train", *given, "--out", str(tmp_path / "on")])
    before = checkpoint.load(trained).state_dict()
    for ema in (True, False):
        for name, value in checkpoint.load(tmp_path / "on", ema=ema).state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=1e-6, msg=name)
    config, was = checkpoint.read_config(tmp_path / "on"), checkpoint.read_config(trained)
    assert (config.start_from, config.lr, config.width) == (str(trained), 1e-12, was.width)


def test_killed_before_its_first_save_it_starts_there_again(trained, tmp_path):
    given = ["train", "--data", "digits", "--start-from", str(trained), "--steps", "3", "--out"]
    for name in ("whole", "killed"):
        main([*given, str(tmp_path / name)])
    (tmp_path / "killed" / "state.pt").unlink()
    main(["train", "--resume", "--steps", "3", "--out", str(tmp_path / "killed")])
    whole, killed = (checkpoint.load(tmp_path / name).state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_start_that_does_not_fit_is_refused(trained, tmp_path, capsys):
    def check(arguments, words):
        refused(capsys, ["train", *arguments, "--steps", "1", "--out", tmp_path / "new"], words, tmp_path)

    digits = ["--data", "digits", "--start-from", trained]
    check([*digits, "--width", "32"], "has width 16, not 32: leave it out")
    check([*digits, "--autoencoder", trained], "leave --autoencoder out")
    check(["--data", "shapes", "--start-from", "cifar10"], "cifar10 was trained with")
    check(["--data", "digits", "--start-from", "imagenet"], "imagenet is not a folder")


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["sample", "--pretrained", "imagenet"])
    assert stopped.value.code == 2 and "choose from cifar10, shapes" in capsys.readouterr().err
    for argv in (["sample"], ["sample", "runs/x", "--pretrained", "cifar10"]):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 2 and "give the folder of a run, or --pretrained" in capsys.readouterr().err
