from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from minidiff import data
from minidiff.data.images import Images
from minidiff.measure import classifier, features, metrics, report
from minidiff.measure.nets import fingerprint
from minidiff.oracles import EmpiricalDenoiser, MixtureDenoiser
from minidiff.run import checkpoint
from minidiff.run.checkpoint import new_model
from minidiff.run.evaluate import card, default_scale, evaluate, in_words
from minidiff.run.loop import train_run
from minidiff.run.recipes import configure
from minidiff.samplers import CALLS, SAMPLERS, last, run_sampler
from minidiff.schedules import VP

from .pretend import pretended
from .test_cli import refused


class Exact(MixtureDenoiser, torch.nn.Module):
    """The oracle with a parameter, so that it has a device."""

    def __init__(self, mixture):
        torch.nn.Module.__init__(self)
        MixtureDenoiser.__init__(self, mixture, VP())
        self.anchor = torch.nn.Parameter(torch.zeros(1))


def test_score_error_of_the_exact_and_of_an_untrained_model():
    mixture = data.load("eight_gaussians").mixture
    assert max(report.score_error(Exact(mixture), mixture, 500)) < 1e-6
    config, _ = configure("eight_gaussians", prediction="eps", width=32)
    assert report.score_error(new_model(config), mixture, 500) == pytest.approx([1.0] * 20)  # eps = 0 scores 1


def test_a_lost_mode_costs_recall_and_not_precision(generator):
    """As the report says it, in which the two could be exchanged: of one mode in eight about .95 and .13."""
    points = data.load("eight_gaussians")
    found = report.of_points(lambda **_: points.mixture.given(0).sample(500, generator), points, 500, 1.0)
    assert found["precision (500 points, k = 3)"] > 0.8 and found["recall (500 points, k = 3)"] < 0.3


def test_pictures_of_what_was_asked():
    """They are all as asked, by their own captions and not by another's."""
    shapes, n = data.load("shapes"), 60
    asked_for, captions, _ = shapes.asked(n, torch.Generator().manual_seed(10_000))
    coarse = features.Features(
        "", lambda x: (torch.nn.functional.avg_pool2d(x, 8).flatten(1), None), "FD", "KD", None, False
    )
    given = []
    found = report.of_captions(lambda cond, scale: given.append(cond) or asked_for, coarse, shapes, n, [1.0], list)
    assert given == [captions]
    own, others = ([v for k, v in found.items() if words in k] for words in ("as asked", "by another's caption"))
    assert set(own) == {1.0} and len(own) == len(others) == 7 and max(others) < 0.8


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_calls_that_a_card_tells_are_those_that_are_made(name):
    class Counted(EmpiricalDenoiser):
        calls = 0

        def __call__(self, *inputs):
            self.calls += 1
            return super().__call__(*inputs)

    for steps in (1, 2, 7):
        model = Counted(torch.zeros(1, 1), VP())
        last(run_sampler(model, torch.zeros(1, 1), name, steps, generator=torch.Generator()))
        assert model.calls == CALLS.get(name, int)(steps)


def test_classifier_learns_repeats_and_is_cached(tmp_path, monkeypatch):
    """250 steps: right on .97 of held-out digits, of five seeds the worst on .980."""
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path))
    train, test = data.load("digits"), data.load("digits", "test")
    fit = classifier.fit
    monkeypatch.setattr(classifier, "fit", lambda train, **options: fit(train, **options | {"steps": 250}))
    net = classifier.for_data(train)
    x = test.at(torch.arange(len(test)))
    features, logits = classifier.extract(net, x)
    assert features.shape == (359, 128) and (logits.argmax(1) == test.labels).float().mean() >= 0.97
    monkeypatch.setattr(classifier, "fit", None)  # training again would fail
    again = classifier.extract(classifier.for_data(train), x)[1]
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-4)
    (path,) = tmp_path.glob("classifier-*")
    path.write_bytes(path.read_bytes()[:1000])  # damaged: it is trained anew
    monkeypatch.setattr(classifier, "fit", lambda train, **options: fit(train, **options | {"steps": 2}))
    classifier.for_data(train)
    assert len(load_file(path)) == len(net.state_dict())


def test_shift_moves_by_whole_pixels(generator):
    x = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(2, 1, 1, 1)
    moved = {classifier.shift(x, generator)[0, 0, 4, 4].item() for _ in range(100)}
    assert moved == {float(8 * r + c) for r in (3, 4, 5) for c in (3, 4, 5)}


def test_evaluating_pictures(tmp_path, quick_judge):
    config, dataset = configure("digits", width=16, batch=16)
    train_run(tmp_path / "run", config, dataset, steps=3, device="cpu", progress=False)
    found = evaluate(tmp_path / "run", n=100, few=True, steps=2, device="cpu")
    assert found["scale 1: recognised as their class"] <= 0.5  # three steps teach nothing
    names = [name for name in found if "Frechet" in name]
    assert found[names[0]] < 0.5 * found[names[1]] and names[0].startswith("floor")
    kernels = [name for name in found if "kernel" in name]
    assert found[kernels[0]] < 0.5 * found[kernels[1]] and kernels[0].startswith("floor")
    assert {f"scale {s}: recall" for s in ("1", "1.5")} <= set(found)
    assert found["network calls a sample"].startswith("2,") and "below 2048" in found["too few"]
    assert found["bits per dimension, 32 held-out pictures, by ODE"] > 0
    assert not (tmp_path / "run" / "evaluating").exists()
    work = tmp_path / "work"
    (work / "mine").mkdir(parents=True)
    evaluate(tmp_path / "run", n=20, few=True, steps=1, device="cpu", work=work)
    assert [p.name for p in work.iterdir()] == ["mine"]  # another's folder stays
    with pytest.raises(ValueError, match="too few.*--few"):
        evaluate(tmp_path / "run", n=100, steps=2)


def trained(out, spec, **choices):
    config, dataset = configure(spec, batch=8, device="cpu", **choices)
    train_run(out, config, dataset, steps=1, device="cpu", progress=False)
    return out


def test_what_was_never_trained_is_not_measured(tmp_path, capsys):
    """Without a null condition there is no guidance, nor what the model says without a condition."""
    run = trained(tmp_path / "run", "eight_gaussians", width=16, p_uncond=0.0)
    found = evaluate(run, n=50, steps=1, device="cpu")
    assert not [name for name in found if "score error" in name or "likelihood" in name]
    assert default_scale(replace(checkpoint.read_config(run), shape=(1, 8, 8))) == 1.0
    for command in ("sample", "evaluate"):
        refused(capsys, [command, run, "--scale", "2"], "this has p_uncond 0", run)


def test_options_that_would_do_nothing(tmp_path, capsys, monkeypatch):
    plain = trained(tmp_path / "plain", "eight_gaussians", width=16)
    refused(capsys, ["evaluate", plain, "--features", "nonsense"], "features are of pictures", plain)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images)
    run = trained(tmp_path / "run", f"npz:{tmp_path / 'x.npz'}", width=8)
    for command in ("sample", "evaluate"):
        refused(capsys, [command, run, "--scale", "2"], "trained with labels or captions, and this one has none", run)
    monkeypatch.setattr(classifier, "fit", None)  # nothing is trained before it is refused
    refused(capsys, ["evaluate", run, "--few", "--n", 50], "4 held-out pictures are too few", run)
    for kind in ("gan", "vae"):
        out = trained(tmp_path / kind, "digits", model=kind, width=8, **({"f": 2} if kind == "vae" else {}))
        refused(capsys, ["evaluate", out, "--scale", "2"], "guidance is for diffusion models", out)
        refused(capsys, ["evaluate", out, "--steps", "3"], "a sampler and its steps are for diffusion models", out)
        refused(capsys, ["evaluate", out, "--few", "--features", "nonsense"], "unknown features 'nonsense'", out)


@pytest.mark.parametrize("kind", ["diffusion", "gan", "vae"])
def test_a_card_tells_what_was_done(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("minidiff.run.evaluate.fast_bf16", lambda _: True)
    run = trained(tmp_path / kind, "digits", model=kind, width=8, **({"f": 2} if kind == "vae" else {}))
    config, model = checkpoint.read_config(run), checkpoint.load(run)
    found = card(model, config, run, {"n": 9, "scale": 1.0, "sampler": "heun", "steps": 3, "seed": 0})
    assert found["precision"] == ("float32" if kind == "gan" else "bfloat16 by autocast")
    assert ("sampler" in found) == (kind == "diffusion") and ("n" in found) == (kind != "vae")
    calls = {"diffusion": "5, twice as many where guided", "gan": 1}.get(kind)
    assert found.get("network calls a sample") == calls


def test_a_floor_is_of_as_many_as_the_samples(generator):
    """With few held-out pictures, of which Inception's floor is, samples of the same law are as near as it is."""

    def by(x):
        return x.flatten(1), torch.zeros(len(x), 2)

    pictures = torch.randn(1100, 1, 4, 4, generator=generator).clamp(-1, 1)
    train, held_out = (Images("x", x, None, []) for x in (pictures[:1000], pictures[1000:]))
    fresh = torch.randn(500, 1, 4, 4, generator=generator).clamp(-1, 1)
    measure = features.Features("stand-in", by, "FID", "KID", None, own_classes=False)
    found = report.of_pictures(lambda cond, scale: fresh, measure, train, held_out, 500, [1.0])
    assert found["distances are of"] == "100 samples, mean of 8 draws"
    assert found["scale 1: FID"] == pytest.approx(found[f"{report.FLOOR}: FID"], rel=0.2)


def test_the_floor_of_an_autoencoder_is_what_perfect_reconstructions_have(generator):
    def by(x):
        return x.flatten(1), None

    x = torch.rand(40, 1, 4, 4, generator=generator)
    found = report.of_reconstructions(x, x, features.Features("stand-in", by, "FID", "KID", None, own_classes=False))
    ours, floor = (v for k, v in found.items() if "FID" in k)
    assert ours == floor > 0


def test_bits_are_of_no_more_pictures_than_there_are(monkeypatch):
    seen = []
    monkeypatch.setattr(metrics, "bits_per_dim", lambda model, x, *_: seen.append(len(x)) or torch.rand(len(x)))
    digits = data.load("digits", "test").keep(torch.arange(10))
    model = new_model(configure("digits", width=8)[0])
    assert "10 held-out pictures" in next(iter(report.bits(model, digits))) and seen == [10]


def test_small_numbers_are_not_rounded_to_nothing():
    assert in_words({"KID": 0.00003, "FID": [1.5, 12.3456]}) == ["KID: 3e-05", "FID: 1.5 12.35"]


def test_one_class_is_none(tmp_path, quick_judge):
    """Its judge has something to tell apart, and says that noise is farther away than blur."""
    digits = data.load("digits")
    one = digits.pictures[digits.labels == 3]
    images = one.permute(0, 2, 3, 1).repeat(2, 1, 1, 1).numpy()
    np.savez(tmp_path / "one.npz", images=images, labels=np.zeros(len(images), int))
    config, dataset = configure(f"npz:{tmp_path / 'one.npz'}", width=16, batch=16)
    assert len(dataset.classes) == 1 and classifier.outputs(dataset) == 4
    train_run(tmp_path / "run", config, dataset, steps=2, device="cpu", progress=False)
    found = evaluate(tmp_path / "run", n=20, few=True, steps=2, device="cpu")
    assert not [name for name in found if "class score" in name or "recognised" in name or "scale 1.5" in name]
    by = features.features_for("classifier", dataset, "cpu")
    judge = fingerprint(classifier.for_data(dataset))[:8]  # whose distances are comparable with no other's
    assert found["features"] == by.what and f"weights {judge}" in by.what
    x = dataset.some(200)
    real = by.compute(x)[0]
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blur, far = (metrics.frechet_distance(by.compute(v)[0], real) for v in (blurred, noise))
    assert by.score is None and far > blur


@pytest.mark.slow
@pytest.mark.parametrize("spec, choices, n", [
    ("eight_gaussians", {}, 100), ("eight_gaussians", {"model": "gan"}, 100), ("digits", {"width": 16}, 30),
    ("shapes:1", {"width": 32}, 12), ("digits", {"model": "stacked_gan", "width": 8}, 30),
    ("digits", {"model": "vae", "f": 2, "width": 8}, 30),
])  # fmt: skip
def test_evaluation_on_a_device(spec, choices, n, tmp_path, monkeypatch, quick_judge):
    """Every kind of measure on a device whose tensors do not meet the CPU's."""
    config, dataset = configure(spec, batch=8, device="cpu", **choices)
    train_run(tmp_path / "run", config, dataset, steps=1, device="cpu", progress=False)
    load = checkpoint.load
    monkeypatch.setattr(checkpoint, "load", lambda run, device: load(run).to(device))
    with pretended(monkeypatch) as device:
        how = {} if choices.get("model") else {"steps": 2}
        assert evaluate(tmp_path / "run", device=str(device), n=n, few=True, **how)["device"] == str(device)


@pytest.mark.slow
def test_digits_after_three_minutes(tmp_path):
    """The claim of the front door: guided samples are their class, and recall does not pay for it."""
    config, dataset = configure("digits")
    train_run(tmp_path / "run", config, dataset, minutes=3, progress=False)
    found = evaluate(tmp_path / "run")
    assert found["classifier: right on held-out real pictures"] >= 0.97
    assert found["scale 1.5: recognised as their class"] >= 0.95
    assert found["scale 1.5: recall"] >= 0.5


@pytest.mark.slow
def test_toy_after_one_minute(tmp_path):
    config, dataset = configure("eight_gaussians", net="mlp")
    train_run(tmp_path / "run", config, dataset, minutes=1, progress=False)
    found = evaluate(tmp_path / "run")
    assert found["score error, relative squared, mean of 20 log-SNR levels -7 to 7"] <= 0.05
    assert found["ratio to the floor"] <= 1.5
