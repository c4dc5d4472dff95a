"""Experiments in gpu mode, on a device that is not there (see pretend): where they run, on what, and how often."""

import sys

import numpy as np
import pytest
import torch
from experiments import claims, tools

from minidiff import train

from . import pretend

PICTURES = ["3.5", "3.7", "3.8", "4.2", "4.3", "4.4", "4.5", "5.3", "6.2", "6.6", "7.10", "8.1", "9.2", "9.3"]
QUICK = ("4.4",)
OF_THEIR_OWN = {"8.1", "9.2", "9.3"}  # drawn, with captions, or CIFAR-10 in any mode


class Follower(torch.Generator):
    """As train's, of noise for a GPU, it draws on the device."""

    device = pretend.DEVICE


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """gpu mode, with the pretended device for a GPU and a small copy of CIFAR-10."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "cifar.npz", images=noise, labels=np.arange(200) % 10)
    monkeypatch.setenv("MINIDIFF_CIFAR10", f"npz:{tmp_path / 'cifar.npz'}")
    monkeypatch.setenv("MINIDIFF_MODE", "gpu")
    monkeypatch.setattr(tools, "pick", lambda name: pretend.DEVICE)
    monkeypatch.setattr(tools, "processes", lambda calls: 1)  # another would know of no pretending
    monkeypatch.setattr(train, "follower", lambda generator, device: Follower().manual_seed(0))
    forget()
    yield
    forget()


def forget():
    """What experiments remember of another mode."""
    tools.pictures.cache_clear()
    for claim in claims.registry().values():
        for value in vars(sys.modules[claim.experiment.__module__]).values():
            getattr(value, "cache_clear", int)()


@pytest.mark.parametrize(
    "claim_id", [id if id in QUICK else pytest.param(id, marks=pytest.mark.slow) for id in PICTURES]
)
def test_pictures_are_learned_on_the_device(claim_id, gpu, monkeypatch):
    experiment = claims.registry()[claim_id].experiment
    module = sys.modules[experiment.__module__]
    monkeypatch.setattr(module if hasattr(module, "repeats") else tools, "repeats", lambda *_: 3)
    with pretend.pretended(monkeypatch):
        found = experiment(True)
    assert found.device == pretend.DEVICE and found.seeds == 3
    assert "CIFAR-10" in found.data or claim_id in OF_THEIR_OWN


def test_pictures_seeds_and_widths_of_each_mode(gpu, monkeypatch):
    assert (tools.repeats(False), tools.repeats(False, 5), tools.repeats(True), tools.wide(32)) == (5, 5, 2, 64)
    train_set, held_out = tools.pictures("digits")
    assert (train_set.name, train_set.shape, len(held_out)) == ("CIFAR-10", (3, 32, 32), 20)
    small, _ = tools.pictures("digits", gpu_size=16)
    mean = train_set.at(torch.arange(5)).unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    torch.testing.assert_close(small.at(torch.arange(5)), mean)
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    tools.pictures.cache_clear()
    assert (tools.repeats(False), tools.repeats(False, 5), tools.wide(32)) == (3, 5, 32)
    assert tools.device().type == "cpu"
    assert tools.named(tools.pictures("digits")[0]) == "digits 8x8"


def test_cifar10_is_found_by_its_path_and_looked_at(gpu, monkeypatch):
    for named, spec in (("", "cifar10"), ("some/where", "folder:some/where"), ("folder:x", "folder:x")):
        monkeypatch.setenv("MINIDIFF_CIFAR10", named)
        assert tools.cifar10() == spec
    monkeypatch.setattr(tools, "cifar10", lambda: "digits")
    with pytest.raises(ValueError, match=r"digits: CIFAR-10 has 10 classes of pictures \(3, 32, 32\), this has 10"):
        tools.pictures("photos")
