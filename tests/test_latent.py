"""Second stages: latents on disk, whose they are, and every prior behind the same two calls."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from minidiff import data
from minidiff.data.shapes.dataset import FIXED
from minidiff.measure import classifier
from minidiff.measure.nets import fingerprint
from minidiff.nets import build
from minidiff.run import checkpoint
from minidiff.run.cli import main
from minidiff.run.config import Diffusion
from minidiff.run.generate import generate
from minidiff.run.loop import train_run
from minidiff.run.models import DiffusionModel
from minidiff.run.recipes import configure
from minidiff.stages import GAN, Autoencoder, Causal, Latent, latents_of
from minidiff.stages.priors import Gaussian, Mixture, fit
from tests.test_cli import refused


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return Autoencoder((1, 8, 8), 2, 4, 16).eval()


@pytest.fixture(scope="module")
def vq(digits):
    torch.manual_seed(0)
    net = Autoencoder((1, 8, 8), 2, 4, 16, codes=16)
    net.loss(digits.batch(64, torch.Generator().manual_seed(0))[0], generator=torch.Generator().manual_seed(0))
    return net.eval()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, quick_teachers):
    """A run of each kind of autoencoder on the digits."""
    folder = tmp_path_factory.mktemp("stages")
    few = ["--data", "digits", "--steps", "3", "--width", "16"]
    main(["train", "--model", "vae", "--f", "2", *few, "--out", str(folder / "vae")])
    main(["train", "--model", "vq", "--f", "2", "--codes", "16", *few, "--out", str(folder / "vq")])
    return folder


def test_latents_are_the_encoders_and_cached(vae, digits, monkeypatch):
    latents = latents_of(vae, digits)
    rows = torch.tensor([0, 5, 1000])
    with torch.no_grad():
        torch.testing.assert_close(latents.at(rows) / latents.scale, vae.encode(digits.at(rows)), rtol=0.02, atol=0.02)
    assert latents.at(torch.arange(len(digits))).std().item() == pytest.approx(0.5, rel=0.01)
    assert torch.equal(latents.labels, digits.labels)
    monkeypatch.setattr(Autoencoder, "encode", None)  # not called again
    assert torch.equal(latents_of(vae, digits).pictures, latents.pictures)


def test_latents_of_captioned_shapes_keep_their_captions(generator):
    shapes = data.load("shapes:1")
    torch.manual_seed(0)
    net = Autoencoder(shapes.shape, 8, 2, 16).eval()
    latents = latents_of(net, shapes)
    assert latents.captioned and len(latents.captions) == len(latents.pictures) == FIXED
    x, captions = next(iter(shapes.parts()))
    with torch.no_grad():
        torch.testing.assert_close(latents.pictures[:5].float(), net.encode(x[:5]), rtol=0.02, atol=0.02)
    assert latents.captions[:5] == captions[:5]


def test_indices_stay_indices(vq, digits):
    latents = latents_of(vq, digits)
    assert latents.scale == 1.0 and latents.shape == (4, 4) and latents.batch(3)[0].dtype == torch.int64


def test_damaged_latents_are_made_anew(vae, digits):
    from minidiff.data.dataset import data_folder

    once = latents_of(vae, digits).pictures.clone()  # not the file itself, which is mapped into memory
    path = data_folder() / f"latents-{digits.fingerprint()}-{fingerprint(vae)}.safetensors"
    for damage in (b"", path.read_bytes()[:100]):
        path.write_bytes(damage)
        assert torch.equal(latents_of(vae, digits).pictures, once)


def test_fingerprint_is_of_the_weights(vae):
    torch.manual_seed(0)
    same, other = Autoencoder((1, 8, 8), 2, 4, 16), Autoencoder((1, 8, 8), 2, 4, 16)
    assert fingerprint(same) == fingerprint(vae) != fingerprint(other)


PRIORS = {
    "N(0, I)": lambda shape: Gaussian(shape, full=False),
    "Gaussian": Gaussian,
    "mixture": lambda shape: Mixture(shape, 3, 3),
    "GAN": lambda shape: GAN(shape, width=16),
    "diffusion": lambda shape: DiffusionModel(build("unet", shape, width=16), shape, Diffusion()),
}


@pytest.mark.parametrize("name", PRIORS)
def test_every_prior_fits_and_draws(name, vae, digits):
    latents = latents_of(vae, digits)
    model = fit(PRIORS[name](latents.shape), latents, vae, steps=2)
    x = generate(model, 5, steps=2)
    assert x.shape == (5, *digits.shape) and torch.equal(x, generate(model, 5, steps=2))
    assert not torch.equal(x, generate(model, 5, steps=2, seed=1))


def test_tokens_have_a_prior_too(vq, digits):
    latents = latents_of(vq, digits)
    model = fit(Causal(latents.shape, 16, width=16, depth=1), latents, vq, steps=2)
    assert generate(model, 5, top_k=4).shape == (5, *digits.shape)


def test_a_gaussian_has_the_datas_moments(generator):
    root = torch.tensor([[1.0, 0.0], [0.8, 0.5]])
    z = torch.randn(20_000, 2, generator=generator) @ root.T + torch.tensor([1.0, -2.0])
    prior = Gaussian((2, 1, 1))
    prior.fit(z.view(-1, 2, 1, 1))
    x = prior.sample(20_000, generator=generator).flatten(1)
    torch.testing.assert_close(x.mean(0), z.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), z.T.cov(), atol=0.04, rtol=0)


def test_priors_of_one_number(generator):
    z = torch.randn(500, 1, 1, 1, generator=generator)
    for prior in (Gaussian((1, 1, 1)), Mixture((1, 1, 1), 2, 2)):
        prior.fit(z, generator)
        assert prior.sample(4, generator=generator).shape == (4, 1, 1, 1)


def test_n_0_i_is_of_the_latents_as_the_encoder_makes_them(vae, digits):
    """As the loss of a VAE means it, and not of latents scaled to a half."""
    latents = latents_of(vae, digits)
    model = fit(Gaussian(latents.shape, full=False), latents, vae)
    z = model.prior.sample(2000, generator=torch.Generator().manual_seed(0)) / model.scale
    assert latents.scale != 1 and z.std().item() == pytest.approx(1, abs=0.02)


def test_em_climbs_and_finds_two_clusters(generator):
    z = torch.randn(2000, 2, generator=generator) * 0.1
    z[:600] += 3
    prior = Mixture((2, 1, 1), parts=2, steps=15)
    path = prior.fit(z.view(-1, 2, 1, 1), generator)
    assert all(b >= a - 1e-3 for a, b in zip(path, path[1:], strict=False)) and path[-1] > path[0] + 0.5
    assert sorted(prior.weights.tolist()) == pytest.approx([0.3, 0.7], abs=0.01)
    assert sorted(prior.means[:, 0].tolist()) == pytest.approx([0.0, 3.0], abs=0.05)
    share = (prior.sample(4000, generator=generator)[:, 0] > 1.5).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.03)


def test_the_autoencoder_rests_while_the_prior_trains(vq, digits):
    model = Latent(Causal((4, 4), 16, width=16, depth=1), vq).train()
    before = {k: v.clone() for k, v in vq.state_dict().items()}
    assert not model.autoencoder.training and model.prior.training
    model.loss(torch.zeros(2, 4, 4, dtype=torch.long)).mean().backward()
    model.decode(torch.zeros(2, 4, 4, dtype=torch.long))
    assert all(torch.equal(v, before[k]) for k, v in vq.state_dict().items())
    assert all(p.grad is None for p in vq.parameters())


def test_only_what_must_invent_has_a_critic(digits, monkeypatch):
    """A vae of f = 2 learns from |x - y| alone: no critic, and no classifier is trained for it to look through."""
    asked = []
    judge = classifier.Classifier(1, 8, 10)
    monkeypatch.setattr(classifier, "for_data", lambda train, device, seed: asked.append(train) or judge)
    for kind, f, critic in (("vae", 1, False), ("vae", 2, False), ("vae", 4, True), ("vq", 2, True)):
        config, _ = configure("digits", model=kind, f=f, width=16)
        model = checkpoint.new_model(config)
        model.prepare(digits, "cpu")
        assert (model.critic is not None) == (model.perceptual is not None) == bool(asked) == critic
        asked.clear()


def test_the_way_through(runs, tmp_path, capsys, quick_judge):
    """Both second stages from the command line: the run holds its autoencoder, and draws pictures."""
    few = ["--data", "digits", "--steps", "3", "--width", "16"]
    for kind, first in (("diffusion", "vae"), ("ar", "vq")):
        out = tmp_path / kind
        main(["train", "--model", kind, "--autoencoder", str(runs / first), *few, "--out", str(out)])
        main(["sample", str(out), "--n", "10", "--out", str(tmp_path / "x.png")])
        main(["train", "--resume", "--steps", "4", "--out", str(out)])
        model = checkpoint.load(out)
        assert fingerprint(model.autoencoder) == fingerprint(checkpoint.load(runs / first))
    main(["sample", str(tmp_path / "diffusion"), "--n", "4", "--label", "3", "--scale", "2"])
    main(["evaluate", str(runs / "vq"), "--n", "100"])
    report = json.loads((runs / "vq" / "evaluation.json").read_text(encoding="utf-8"))
    assert report["pictures"] == 100 and 0 < report["codes in use, share"] <= 1
    assert "16, for 64 pixels" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["gan", "stacked_gan", "vae", "vq", "ar", "latent diffusion"])
def test_n_and_n_more_steps_are_2n(kind, runs, tmp_path):
    """To the bit, for models with two players, codebooks, and frozen parts."""
    first = {"ar": runs / "vq", "latent diffusion": runs / "vae"}.get(kind)
    model = None if kind == "latent diffusion" else kind
    config, dataset = configure("digits", model=model, width=16, batch=16, autoencoder=first)
    for name, stops in (("once", (6,)), ("twice", (3, 6))):
        for steps in stops:
            train_run(tmp_path / name, config, dataset, autoencoder=first, steps=steps, device="cpu", progress=False)
    once, twice = (load_file(tmp_path / name / "ema.safetensors") for name in ("once", "twice"))
    assert all(torch.equal(once[k], twice[k]) for k in once) and len(once) > 10


def test_bad_input(runs, tmp_path, capsys):
    (tmp_path / "keep").mkdir()
    out = ["--steps", "1", "--out", str(tmp_path / "new")]

    def check(arguments, words):
        refused(capsys, arguments, words, tmp_path)

    check(["train", "--data", "digits", "--model", "ar", *out], "give it as --autoencoder")
    check(["train", "--data", "digits", "--model", "ar", "--autoencoder", runs / "vae", *out], "needs tokens")
    check(["train", "--data", "digits", "--autoencoder", runs / "vq", *out], "needs latents that are numbers")
    check(["train", "--data", "photos", "--autoencoder", runs / "vae", *out], "its latents do not fit them")
    check(["train", "--data", "digits", "--autoencoder", tmp_path / "nowhere", *out], "is not a folder")
    check(["train", "--data", "digits", "--model", "gan", "--autoencoder", runs / "vae", *out], "models pictures")
    check(["train", "--data", "digits", "--model", "vq", "--codes", "0", *out], "codes must be at least 1, got 0")
    check(["train", "--data", "digits", "--model", "vae", "--codes", "9", *out], "--codes is not for --model vae")
    check(["train", "--data", "digits", "--model", "vae", "--f", "16", *out], "one of 1, 2, 4, 8, not 16")
    check(["train", "--data", "digits", "--model", "gan", "--patch", "2", *out], "--patch is not for --model gan")
    check(["train", "--data", "digits", "--model", "flow", *out], "unknown model 'flow'")
    check(["train", "--data", "two_moons", "--model", "vae", *out], "is for pictures")
    check(["train", "--data", "digits", "--model", "gan", "--net", "unet", *out], "unknown net 'unet'")
    check(["sample", runs / "vae"], "draws nothing by itself")
    check(["train", "--resume", "--autoencoder", runs / "vae", "--out", runs / "vq"], "leave --autoencoder out")


def test_killed_before_its_autoencoder_was_saved(runs, tmp_path, capsys):
    """Between config and state the run has no autoencoder yet: it must not go on with a random one."""
    config, dataset = configure("digits", width=16, autoencoder=runs / "vae")
    train_run(tmp_path / "x", config, dataset, autoencoder=runs / "vae", steps=1, device="cpu", progress=False)
    (tmp_path / "x" / "config.json").rename(tmp_path / "config.json")
    shutil.rmtree(tmp_path / "x")
    (tmp_path / "x").mkdir()
    (tmp_path / "config.json").rename(tmp_path / "x" / "config.json")
    refused(capsys, ["train", "--resume", "--out", tmp_path / "x"], "before it had saved its autoencoder", tmp_path)


def test_a_gan_has_no_guidance_and_no_temperature(tmp_path, capsys):
    main(["train", "--data", "digits", "--model", "gan", "--steps", "2", "--width", "16", "--out", str(tmp_path / "g")])
    refused(capsys, ["sample", tmp_path / "g", "--scale", "2"], "guidance is for diffusion models")
    refused(capsys, ["sample", tmp_path / "g", "--top-k", "2"], "for an autoregressive model")
    refused(capsys, ["sample", tmp_path / "g", "--label", "none"], "no null condition")
