import json
import shutil

import numpy as np
import pytest
from PIL import Image

from minidiff.cli import main


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
    report = json.loads((run / "evaluation.json").read_text())
    assert report["n"] == 500 and 0 < report["score error, relative squared, mean of 20 log-SNR levels -7 to 7"] < 2


def test_doctor(capsys):
    main(["doctor", "--data", "eight_gaussians", "--steps", "300"])
    assert "both halves work" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:  # after one step the model has learnt nothing, and doctor says so
        main(["doctor", "--data", "eight_gaussians", "--steps", "1"])
    assert stopped.value.code == 1 and "the MODEL is at fault" in capsys.readouterr().out


def test_demo(tmp_path, capsys):
    main(["demo", "--out", str(tmp_path / "demo"), "--minutes", "0.02", "--n", "20", "--device", "cpu"])
    written = {p.name for p in (tmp_path / "demo").iterdir()}
    assert {"prompts.png", "accuracy.png", "accuracy.json", "noise_to_picture.gif", "loss.png", "run"} <= written
    assert "guidance 4: colour" in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep me")
    refused(capsys, ["demo", "--out", tmp_path / "other"], "was not made by demo", tmp_path / "other")


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
    refused(capsys, ["sample"], "give the folder of a run, or --pretrained and a name")
    refused(capsys, ["train", "--data", "digits", "--speed", 3], "unrecognized arguments: --speed")
    refused(capsys, ["claims", "9.9"], "unknown claim '9.9'")
    assert not out.exists()


def test_bad_numbers(run, tmp_path, capsys):
    out = tmp_path / "new"
    for steps in (0, -5):
        refused(capsys, ["train", "--data", "digits", "--steps", steps, "--out", out], "--steps must be more than 0")
        refused(capsys, ["sample", run, "--steps", steps], "steps must be at least 1", run)
    refused(capsys, ["train", "--data", "digits", "--minutes", 0, "--out", out], "--minutes must be more than 0")
    refused(capsys, ["train", "--data", "digits", "--minutes", 1, "--steps", 1, "--out", out], "not both")
    refused(capsys, ["train", "--data", "digits", "--steps", "many", "--out", out], "invalid int value: 'many'")
    refused(capsys, ["train", "--data", "digits", "--steps", 5, "--batch", 0, "--out", out], "batch must be at least 1")
    refused(capsys, ["train", "--data", "digits", "--steps", 5, "--p-uncond", 2, "--out", out], "probability")
    refused(capsys, ["sample", run, "--n", 0], "n must be at least 1", run)
    refused(capsys, ["sample", run, "--scale", "nan"], "scale must be a number", run)
    refused(capsys, ["sample", run, "--label", 8], "label '8' is out of range", run)
    refused(capsys, ["evaluate", run, "--n", 0], "--n must be more than 0", run)
    assert not out.exists()


def test_bad_outputs_and_runs(run, tmp_path, capsys):
    train = ["train", "--data", "eight_gaussians", "--steps", 5, "--out"]
    refused(capsys, [*train, run], "is a run already", run)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("keep me")
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
    (tmp_path / "early" / ".tmp-1-config.json").write_text("{")
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
    config = json.loads((run / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"colour": "red"}))
    refused(capsys, ["sample", broken], "unknown key 'colour'", broken)
    (broken / "config.json").write_text(json.dumps(config))
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
