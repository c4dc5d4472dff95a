"""A config is what config.json says, and nothing that was typed is lost on the way into it."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from minidiff.denoise import TIMES
from minidiff.run.config import from_json, laid_over, net_options, values
from minidiff.run.models import MODELS, build
from minidiff.run.recipes import configure


@pytest.fixture
def config():
    return configure("digits", device="cpu")[0]


@pytest.mark.parametrize("spec, asked", [
    ("eight_gaussians", {}), ("digits", {"net": "dit", "depth": 2}), ("shapes:1", {"text_mode": "tokens"}),
    ("photos", {}), ("digits", {"model": "vq", "codes": 32}), ("rings", {"model": "gan"}),
])  # fmt: skip
def test_through_json_and_back(spec, asked):
    config, _ = configure(spec, device="cpu", **asked)
    again = from_json(json.loads(json.dumps(asdict(config))))
    assert again == config and {name: values(again)[name] for name in asked} == asked
    build(again)


def test_a_config_says_all_of_its_net():
    """Whatever does not depend on the size of the pictures: not None for a default that may change."""
    for model, nets in MODELS.items():
        for net in nets if model in ("gan", "stacked_gan", "vae", "vq") else ():
            assert set(configure("digits", model=model, net=net)[0].net) == {"name", *net_options(model, net)}
    assert configure("digits")[0].net["width"] == 32 and configure("digits")[0].net["depth"] == 1


def test_what_is_asked_for_is_laid_over(config):
    asked = {"lr": 0.5, "schedule": "linear", "weighting": "sigmoid", "width": 16, "seed": 9, "p_uncond": 0.0}
    found = laid_over(config, asked)
    assert {name: values(found)[name] for name in asked} == asked
    assert {k: v for k, v in values(found).items() if k not in asked} == {
        k: v for k, v in values(config).items() if k not in asked
    }
    assert config.training.lr != 0.5  # a config is not changed


@pytest.mark.parametrize("asked, words", [
    ({"heads": 3}, "--heads is not for --model diffusion, net unet: that has --width"),
    ({"text_mode": "cross"}, "captions are not what it is of"),
    ({"lr": 0.0}, "lr must be at least"),
    ({"width": 0}, "width must be at least 1"),
    ({"schedule": "sine"}, "unknown schedule 'sine'"),
    ({"weighting": "heavy"}, "unknown weighting 'heavy'"),
])  # fmt: skip
def test_what_has_no_place_is_refused(config, asked, words):
    with pytest.raises(ValueError, match=words):
        laid_over(config, asked)


@pytest.mark.parametrize("version", [1, 99])
def test_other_versions_are_refused(config, version):
    with pytest.raises(ValueError, match=f"of version {version}, .* use the minidiff that wrote it"):
        from_json(asdict(config) | {"version": version})
    with pytest.raises(ValueError, match="of version 1, "):  # which had no number
        from_json({"data": "digits", "width": 32})


def test_times_and_dropped_labels_of_a_config_are_those_of_the_loss(config, generator):
    x, labels, seen = torch.randn(16, *config.shape, generator=generator), torch.arange(16) % 10, []
    for times, p_uncond in ((name, float(i % 2)) for i, name in enumerate(TIMES)):
        model = build(replace(config, diffusion=replace(config.diffusion, times=times, p_uncond=p_uncond)))
        model.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
        model.loss(x, labels, generator=torch.Generator().manual_seed(0))
        wanted = TIMES[times](16, model.schedule, torch.Generator().manual_seed(0))
        assert torch.equal(model.times_drawn, wanted)
        assert torch.equal(seen[-1], torch.full_like(labels, 10) if p_uncond else labels)


def test_a_weighting_changes_the_loss(config, generator):
    """That of EDM is its prediction's own, whatever the deviation of the data."""
    x, losses = torch.randn(16, *config.shape, generator=generator), {}
    assert config.diffusion.prediction == "edm" and abs(config.diffusion.sigma_data - 0.5) > 0.1
    for weighting in ("own", "edm", "uniform", "snr", "min_snr", "sigmoid"):
        model = build(replace(config, diffusion=replace(config.diffusion, weighting=weighting)))
        losses[weighting] = model.loss(x, generator=torch.Generator().manual_seed(0)).detach()
    torch.testing.assert_close(losses["edm"], losses["own"], rtol=1e-3, atol=1e-6)
    assert all(not torch.allclose(losses[name], losses["own"]) for name in ("uniform", "snr", "min_snr", "sigmoid"))
