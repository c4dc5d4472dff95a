"""Representation alignment: the middle of a U-Net learns to tell a classifier's feature maps of what is clean."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from minidiff import data
from minidiff.measure import classifier
from minidiff.run import checkpoint
from minidiff.run.loop import train_run
from minidiff.run.models import build
from minidiff.run.recipes import configure

ASKED = {"net": "unet", "width": 16, "p_uncond": 0.0, "align": 0.5, "batch": 4}


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """A classifier of two steps, in the place of one of 1,200."""
    monkeypatch.setattr(classifier, "for_data", lambda data, device, seed: classifier.fit(data, steps=2, seed=seed))


def test_the_angle_to_the_features_is_added_to_the_loss():
    config, digits = configure("digits", device="cpu", **ASKED)
    x, labels = digits.batch(4, torch.Generator().manual_seed(0))
    plain = build(replace(config, diffusion=replace(config.diffusion, align=0.0))).train()
    model = build(config).train()
    before = model.loss(x, labels, generator=torch.Generator().manual_seed(1))
    own = plain.loss(x, labels, generator=torch.Generator().manual_seed(1))
    assert torch.equal(before, own), "until prepare() there is nothing to tell, and the weights are the same"

    assert model.prepare(digits, "cpu") is digits
    kept = []
    model.net.project.register_forward_hook(lambda module, inputs, output: kept.append(output.detach()))
    found = model.loss(x, labels, generator=torch.Generator().manual_seed(1))
    maps = classifier.fit(digits, steps=2, seed=1).maps(x)[-1]
    right = adaptive_avg_pool2d(maps, kept[0].shape[-1]).detach()
    cosine = (kept[0] * right).sum(1) / (kept[0].norm(dim=1) * right.norm(dim=1)).clamp(min=1e-8)
    torch.testing.assert_close(found, own + 0.5 * (1 - cosine.mean((1, 2))))
    found.mean().backward()
    assert model.net.project.weight.grad.any() and not model.net.projected
    assert torch.equal(*(m.eval().loss(x, labels, generator=torch.Generator().manual_seed(1)) for m in (model, plain)))
    assert all(not name.startswith("teacher") for name in model.state_dict())


def test_a_run_with_it_goes_on_exactly_and_samples(tmp_path):
    config, digits = configure("digits", device="cpu", **ASKED)
    options = {"device": "cpu", "save_every": 1e9, "progress": False}
    train_run(tmp_path / "whole", config, digits, steps=6, **options)
    for steps in (3, 6):
        train_run(tmp_path / "parts", config, digits, steps=steps, **options)
    whole, parts = (checkpoint.load(tmp_path / name).state_dict() for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)
    assert "net.project.weight" in whole
    model = checkpoint.load(tmp_path / "whole")
    assert model.sample(2, torch.tensor([1, 2]), torch.Generator().manual_seed(0), steps=2).shape == (2, *digits.shape)
    assert not model.net.projected


def test_latents_are_aligned_with_a_classifier_of_latents(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        classifier, "for_data", lambda data, device, seed: seen.append(data.shape) or classifier.fit(data, steps=1)
    )
    options = {"device": "cpu", "save_every": 1e9, "progress": False}
    first, _ = configure("digits", model="vae", device="cpu", f=2, width=8)
    train_run(tmp_path / "vae", first, data.load("digits"), steps=1, **options)
    config, digits = configure("digits", autoencoder=tmp_path / "vae", device="cpu", **ASKED)
    train_run(tmp_path / "run", config, digits, autoencoder=tmp_path / "vae", steps=2, **options)
    assert seen == [(4, 4, 4)]


@pytest.mark.parametrize(
    "asked, words", [({"net": "dit"}, "--align is for the net unet"), ({"align": -1.0}, "align is a weight, 0 or more")]
)
def test_where_it_has_no_place(asked, words):
    with pytest.raises(ValueError, match=words):
        build(configure("digits", device="cpu", **(ASKED | {"width": 32} | asked))[0])
