import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minidiff import data
from minidiff.measure.nets import parameters
from minidiff.run import loop, recipes
from minidiff.run.checkpoint import new_model, read_config
from minidiff.run.loop import train_run
from minidiff.run.recipes import RECIPES, configure

from .bench.memory import training_memory


@pytest.fixture
def colour(tmp_path, generator):
    """A data set of 40 colour pictures of 32 x 32 in two classes, as an .npz."""
    pictures = torch.randint(256, (40, 32, 32, 3), generator=generator, dtype=torch.uint8)
    np.savez(tmp_path / "some.npz", images=pictures.numpy(), labels=np.arange(40) % 2)
    return f"npz:{tmp_path / 'some.npz'}"


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "latents-laptop"])
def test_every_recipe_makes_a_config_and_a_net(name, colour):
    config, _ = configure(colour, recipe=name)
    with torch.device("meta"):
        model = new_model(config, "meta")
    assert config.recipe == name and len(RECIPES[name].why) > 40
    assert config.net == config.net | RECIPES[name].net and config.training == RECIPES[name].training
    assert 1e6 < parameters(model) < 2e8


def test_colour_photographs_are_trained_by_the_recipe_of_the_machine(colour):
    assert configure(colour, device="cpu")[0].recipe == "unet-laptop"
    assert configure(colour, device="cpu", net="dit")[0].recipe == "dit-laptop"
    assert configure(colour, device="cpu", flip=False, width=32)[0].training.flip is False
    for spec, choices in (("digits", {}), ("shapes", {}), (colour, {"net": "cnn"}), (colour, {"model": "vae"})):
        assert configure(spec, **choices)[0].recipe is None


@pytest.mark.parametrize("where, gigabytes, unet, dit", [
    ("cpu", 0, "unet-laptop", "dit-laptop"), ("mps", 0, "unet-laptop", "dit-laptop"),
    ("cuda", 8, "unet-minutes", "dit-8gb"), ("cuda", 24, "unet-minutes", "dit-24gb"),
])  # fmt: skip
def test_the_recipe_suits_the_machine(where, gigabytes, unet, dit, colour, monkeypatch):
    monkeypatch.setattr(recipes, "pick", lambda name: torch.device(where))
    memory = SimpleNamespace(total_memory=gigabytes * 1e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: memory)
    assert [configure(colour, net=net)[0].recipe for net in (None, "unet", "dit")] == [unet, unet, dit]


def test_latents_of_photographs_have_a_recipe(colour, tmp_path):
    first, dataset = configure(colour, model="vae", f=2, width=16)
    train_run(tmp_path / "vae", first, dataset, steps=1, device="cpu", progress=False)
    config, _ = configure(colour, autoencoder=tmp_path / "vae")
    assert (config.recipe, config.net["levels"], config.training.flip) == ("latents-laptop", 2, False)
    with pytest.raises(ValueError, match="is for pixels"):
        configure(colour, autoencoder=tmp_path / "vae", recipe="unet-laptop")
    with pytest.raises(ValueError, match="is for latents: give --autoencoder"):
        configure(colour, recipe="latents-laptop")


def test_a_run_by_a_recipe(colour, tmp_path):
    config, dataset = configure(colour, device="cpu", width=16, batch=8)
    train_run(tmp_path / "run", config, dataset, steps=4, device="cpu", compiled=False, progress=False)
    assert read_config(tmp_path / "run") == config and config.training.flip and config.training.cooldown > 0


def test_flip_mirrors_half(generator):
    photos = data.load("photos")
    plain, _ = next(data.batches(photos, 400, torch.Generator().manual_seed(1)))
    flipped, _ = next(data.batches(photos, 400, torch.Generator().manual_seed(1), flip=True))
    same = (plain == flipped).flatten(1).all(1)
    assert 0.4 < same.float().mean() < 0.6
    assert torch.equal(flipped[~same], plain[~same].flip(3))


def test_cooldown_falls_to_zero(tmp_path, monkeypatch):
    config, dataset = configure("digits", width=16, batch=4, cooldown=0.5)
    factors, real = [], loop.train

    def spy(*args, fall, **options):
        factors.extend(fall(step) for step in range(8))
        return real(*args, fall=fall, **options)

    monkeypatch.setattr(loop, "train", spy)
    train_run(tmp_path / "run", config, dataset, steps=8, device="cpu", progress=False)
    assert factors == [1.0] * 5 + [0.75, 0.5, 0.25]


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))), reason="there is no C++ compiler")
@pytest.mark.slow
def test_compiling_changes_speed_alone(tmp_path, monkeypatch):
    """Names of weights stay what they are, and losses what they were."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))  # not what an older run left behind
    config, dataset = configure("eight_gaussians", width=32, batch=32)
    for name, compiled in (("plain", False), ("compiled", True)):
        train_run(tmp_path / name, config, dataset, steps=20, device="cpu", compiled=compiled, progress=False)
    a, b = ((tmp_path / name / "loss.csv").read_text(encoding="utf-8").split(",")[-1] for name in ("plain", "compiled"))
    assert float(a) == pytest.approx(float(b), rel=1e-3)


def test_memory_of_training():
    """Four numbers a weight beside it, and activations that grow with the batch: by hand for one convolution."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Conv2d(3, 8, 3, padding=1)

        def loss(self, x, cond, generator=None):
            with torch.autocast("cpu", enabled=False):
                return self.net(x).square().flatten(1).mean(1)

    model = Model()
    net, found = model.net, training_memory(model, (3, 16, 16), batch=10)
    weights = 4 * sum(p.numel() for p in net.parameters())
    assert found["weights, gradients, optimizer, moving average"] == 5 * weights
    inside = 4 * net.weight.numel()  # Muon's one moment for AdamW's two
    spared = training_memory(model, (3, 16, 16), batch=10, optimizer="muon")
    assert spared["weights, gradients, optimizer, moving average"] == 5 * weights - inside
    x, out = 10 * 3 * 256, 10 * 8 * 256
    # the convolution keeps its input and weight, the square its input, the mean nothing
    assert found["activations"] == pytest.approx(4 * (x + out), rel=0.02)


def test_bad_recipes(colour):
    for spec, choices, words in (
        (colour, {"recipe": "unet-desktop"}, "unknown recipe 'unet-desktop'"),
        (colour, {"recipe": "dit-8gb", "net": "unet"}, "is of net dit"),
        ("shapes", {"recipe": "unet-8gb"}, "not for captions"),
        ("eight_gaussians", {"recipe": "unet-8gb"}, "not for captions or points"),
        (colour, {"model": "vae", "recipe": "unet-8gb"}, "is not for --model vae"),
        (colour, {"cooldown": 2.0}, "cooldown is a share"),
        ("eight_gaussians", {"flip": True}, "mirrors pictures"),
        ("shapes", {"flip": True}, "mirrors pictures"),
        ("digits", {"net": "cnn", "depth": 3}, "--depth is not for --model diffusion, net cnn"),
        ("digits", {"net": "dit", "levels": 3}, "--levels is not for --model diffusion, net dit"),
    ):
        with pytest.raises(ValueError, match=words):
            new_model(configure(spec, **choices)[0])
