import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import data
from minidiff.run import checkpoint, loop, pretrained
from minidiff.run.cli import main
from minidiff.run.evaluate import prompt_accuracy
from minidiff.run.folder import load_data
from minidiff.run.loop import train_run
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure, configure_from
from tests.bench import ship
from tests.test_cli import refused

CARD = ("data", "sampler", "steps", "network calls a sample", "scale", "weights", "precision", "seed", "features", "n")


@pytest.mark.parametrize("name", pretrained.names())
def test_each_has_weights_of_ten_megabytes_and_a_card(name):
    folder = pretrained.folder(name)
    assert (folder / "ema.safetensors").stat().st_size <= 10_000_000
    card = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert not [key for key in CARD if key not in card] and card["n"] >= 2048
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert all(word in text for word in ("Trained on", "minutes", "Limits"))
    config = checkpoint.read_config(folder)
    assert config.data in ("cifar10", "shapes:2")  # no path of somebody's machine
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
    config, card = checkpoint.read_config(folder), json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    model, dataset = checkpoint.load(folder), data.load(config.data, "test", config.size)
    how = {name: card[name] for name in ("scale", "sampler", "steps")}
    found = prompt_accuracy(model, tokenizer_of(config), dataset, 200, seed=5, **how)
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
        ship.ship(run, "tiny", "digits", "digits, 2 steps.", "All.")
    (run / "evaluation.json").write_text(
        json.dumps({"run": "/home/me/run", "scale 1: precision": 0.5}), encoding="utf-8"
    )
    ship.ship(run, "tiny", "digits", "digits, 2 steps.", "All.")
    assert "| scale 1: precision | 0.5 |" in (tmp_path / "shipped/tiny/README.md").read_text(encoding="utf-8")
    assert pretrained.names() == ["tiny"] and "/home" not in (tmp_path / "shipped/tiny/evaluation.json").read_text(
        encoding="utf-8"
    )
    ours, theirs = checkpoint.load(run), checkpoint.load(pretrained.folder("tiny"))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr(ship, "LIMIT", 1000)
    with pytest.raises(ValueError, match="more than"):
        ship.ship(run, "tiny", "digits", "digits, 2 steps.", "All.")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, quick_teachers):
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
    assert (config.start_from, config.training.lr, config.net) == (str(trained), 1e-12, was.net)


def test_killed_before_its_first_save_it_starts_there_again(trained, tmp_path):
    given = ["train", "--data", "digits", "--start-from", str(trained), "--steps", "3", "--out"]
    for name in ("whole", "killed"):
        main([*given, str(tmp_path / name)])
    for path in (tmp_path / "killed").iterdir():
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
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
    check(["--data", "shapes:2", "--start-from", "shapes", "--flip"], "--flip mirrors pictures")
    check([*digits, "--flip"], "--flip mirrors pictures: not points or latents")
    check(["--data", same_everywhere(tmp_path), "--start-from", trained.parent / "vae"], "all its values are the same")
    check(["--data", "digits", "--start-from", trained.parent / "vae", "--times", "uniform"], "is not for --model vae")


def same_everywhere(folder):
    """Pictures like the digits, but all grey."""
    np.savez(folder / "grey.npz", images=np.full((40, 8, 8), 128, np.uint8), labels=np.arange(40) % 10)
    return f"npz:{folder / 'grey.npz'}"


def begun(spec, out, **choices):
    """A run of no step yet."""
    config, dataset = configure(spec, width=16, batch=4, **choices)
    train_run(out, config, dataset, steps=1, device="cpu", progress=False)
    return out


def test_checks_of_a_new_run_whichever_way_it_begins(tmp_path):
    points = begun("eight_gaussians", tmp_path / "points")
    plain, said = tmp_path / "plain.npz", tmp_path / "said"
    pictures = torch.randint(256, (40, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    np.savez(plain, images=pictures.numpy())
    (said / "x").mkdir(parents=True)
    unlabelled = begun(f"npz:{plain}", tmp_path / "unlabelled")
    captioned = begun("shapes:1", tmp_path / "captioned")
    for spec, source, choices, words in (
        ("eight_gaussians", points, {"flip": True}, "--flip mirrors pictures: not points"),
        ("shapes:1", unlabelled, {}, "was trained without captions, unlike shapes:1"),
        (f"npz:{plain}", captioned, {}, f"was trained with captions, unlike npz:{plain}"),
        ("shapes:1", captioned, {"batch": 0}, "batch must be at least 1"),
        ("shapes:1", captioned, {"batch": 9, "parts": 2}, "cannot be cut"),
    ):
        with pytest.raises(ValueError, match=words):
            configure_from(spec, str(source), **choices)


def test_the_size_follows_from_the_run_that_is_started_from(tmp_path):
    """A folder's pictures are made to fit, and an .npz, which cannot be, needs no size."""
    x = torch.randint(256, (20, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy()
    np.savez(tmp_path / "x.npz", images=x)
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(x):
        Image.fromarray(picture).resize((40, 40)).save(tmp_path / "pictures" / f"{i}.png")
    folder, npz = f"folder:{tmp_path / 'pictures'}", f"npz:{tmp_path / 'x.npz'}"
    sources = begun(npz, tmp_path / "a"), begun(folder, tmp_path / "b", size=16)
    for source in sources:
        for spec, size in ((folder, 16), (npz, None)):
            config, dataset = configure_from(spec, str(source))
            assert config.size == size and dataset.shape == (3, 16, 16)
            assert load_data(config).shape == (3, 16, 16)
    from_another, new = configure_from("shapes:1", "shapes")[0], configure("shapes:1")[0]
    assert from_another.text.prompts == new.text.prompts  # not the other's


@pytest.mark.parametrize("given", ["start_from", "autoencoder"])
def test_killed_in_its_first_step_it_needs_its_source_no_more(given, trained, tmp_path, monkeypatch):
    source = shutil.copytree(trained if given == "start_from" else trained.parent / "vae", tmp_path / "source")
    new = ["train", "--data", "digits", f"--{given.replace('_', '-')}", str(source), "--device", "cpu", "--steps", "3"]
    new += ["--out"] if given == "start_from" else ["--width", "16", "--out"]
    main([*new, str(tmp_path / "whole")])

    def killed(*_, **__):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(loop, "train", killed)
        main([*new, str(tmp_path / "killed")])
    shutil.rmtree(source)
    main(["train", "--resume", "--steps", "3", "--device", "cpu", "--out", str(tmp_path / "killed")])
    whole, killed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["sample", "--pretrained", "imagenet"])
    assert stopped.value.code == 2 and "choose from cifar10, shapes" in capsys.readouterr().err
    for argv in (["sample"], ["sample", "runs/x", "--pretrained", "cifar10"]):
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        assert stopped.value.code == 2 and "give the folder of a run, or --pretrained" in capsys.readouterr().err
