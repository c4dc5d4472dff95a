import pytest
import torch

from minidiff.data.toys import eight_gaussians
from minidiff.denoise import Denoiser, Prediction
from minidiff.guidance import Guided
from minidiff.nets import build
from minidiff.oracles import MixtureDenoiser
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP


@pytest.fixture
def model(generator):
    net = build("mlp", (2,), 8, width=32)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3, generator=generator)
    return Counted(Denoiser(net, VP()).eval().requires_grad_(False))


class Counted:
    """Counts calls and rows."""

    def __init__(self, model):
        self.model, self.schedule, self.null, self.calls, self.rows = model, model.schedule, model.null, 0, 0

    def __call__(self, x, t, cond=None):
        self.calls, self.rows = self.calls + 1, self.rows + len(x)
        return self.model(x, t, cond)


X, LABELS, T = torch.linspace(-1, 1, 16).reshape(8, 2), torch.arange(8), torch.tensor(0.4)


def test_scale_one_is_the_model(model):
    ours, plain = Guided(model, 1.0)(X, T, LABELS), model.model(X, T, LABELS)
    assert torch.equal(ours.x0, plain.x0) and torch.equal(ours.eps, plain.eps) and model.calls == 1


def test_scale_zero_is_unconditional(model):
    ours, plain = Guided(model, 0.0)(X, T, LABELS), model.model(X, T)
    assert torch.equal(ours.x0, plain.x0) and model.calls == 1 and model.rows == 8


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_scale_extrapolates_in_one_batched_call(model, scale):
    cond, null = model.model(X, T, LABELS), model.model(X, T)
    ours = Guided(model, scale)(X, T, LABELS)
    for mine, strong, weak in zip(ours, cond, null, strict=True):
        torch.testing.assert_close(mine, weak + scale * (strong - weak))
    assert model.calls == 1 and model.rows == 16


def test_gamma_three_has_exponents_three_and_minus_two():
    """On exact scores: the guided score is 3 grad log p(x|c) - 2 grad log p(x)."""
    exact = MixtureDenoiser(eight_gaussians(), VP())
    cond, null, ours = exact(X, T, LABELS), exact(X, T), Guided(exact, 3.0)(X, T, LABELS)
    torch.testing.assert_close(ours.eps, 3 * cond.eps - 2 * null.eps)


def test_interval(model):
    guided = Guided(model, 2.0, interval=(0.3, 0.6))
    for t, rows in ((0.2, 8), (0.3, 16), (0.45, 16), (0.7, 8)):
        model.rows = 0
        guided(X, torch.tensor(t), LABELS)
        assert model.rows == rows
    mixed = guided(X, torch.tensor([0.2] * 4 + [0.45] * 4), LABELS)
    torch.testing.assert_close(mixed.x0[:4], model.model(X, torch.tensor(0.2), LABELS).x0[:4])
    torch.testing.assert_close(mixed.x0[4:], guided(X, torch.tensor(0.45), LABELS).x0[4:])


def test_autoguidance_extrapolates_from_the_weak_model(model):
    def weak(x, t, cond=None):
        return Prediction(torch.zeros_like(x), torch.zeros_like(x))

    ours, plain = Guided(model, 1.5, weak=weak)(X, T, LABELS), model.model(X, T, LABELS)
    torch.testing.assert_close(ours.x0, 1.5 * plain.x0)


def test_guidance_sharpens(generator):
    """Classes of the exact mixture are singled out more often with guidance than the label's own law needs."""
    exact = MixtureDenoiser(eight_gaussians(std=0.3), VP())
    labels = torch.zeros(2000, dtype=torch.long)
    x = start(exact, (2000, 2), generator)
    spread = [last(dpmpp_2m(Guided(exact, s), x, VP().grid(20), labels)).var(0).sum() for s in (1.0, 3.0)]
    assert spread[1] < 0.7 * spread[0]


def test_a_model_that_does_not_tell_its_null_takes_two_calls(model):
    expected = Guided(model, 2.0)(X, T, LABELS)
    model.null, model.calls = None, 0
    ours = Guided(model, 2.0)(X, T, LABELS)
    torch.testing.assert_close(ours.x0, expected.x0)
    assert model.calls == 2


def test_an_unconditional_model_cannot_be_guided():
    unconditional = Denoiser(build("mlp", (2,), width=32), VP())
    with pytest.raises(ValueError, match="unconditional net"):
        Guided(unconditional, 2.0)(X, T, LABELS)
