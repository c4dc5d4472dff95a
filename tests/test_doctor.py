import pytest
import torch
from torch import nn

from minidiff.data import load
from minidiff.denoise import Denoiser
from minidiff.doctor import examine, sampler_error
from minidiff.nets import build
from minidiff.samplers import ddim, dpmpp_2m, heun
from minidiff.schedules import VP, Linear


@pytest.fixture
def batch():
    return load("eight_gaussians").batch(4, torch.Generator().manual_seed(0))[0]


def model():
    torch.manual_seed(0)
    return Denoiser(build("mlp", (2,)), VP(), "edm", 0.57)


def too_far(m, x, times):
    """A sampler with a one-letter mistake: sigma_t where sigma_s belongs."""
    for t, s in zip(times[:-1], times[1:], strict=True):
        x0, eps = m(x, t)
        x = m.schedule(s)[0] * x0 + m.schedule(t)[1] * eps
        yield x


class Deaf(nn.Module):
    """A net that ignores its input."""

    def __init__(self):
        super().__init__()
        self.answer = nn.Parameter(torch.zeros(2))

    def forward(self, x, c_noise, cond):
        return self.answer.expand(len(x), 2)


def test_finds_nothing_where_nothing_is_and_a_broken_sampler(batch):
    net = model()
    report = examine(net, batch)
    assert report.model_ok and report.sampler_ok and "both halves work" in str(report)
    report = examine(net, batch, sampler=too_far, steps=10)  # it knows the batch by heart already
    assert report.model_ok and not report.sampler_ok and "the SAMPLER is at fault" in str(report)


def test_finds_a_broken_model(batch):
    report = examine(Denoiser(Deaf(), VP(), "edm", 0.57), batch)
    assert not report.model_ok and report.sampler_ok and "the MODEL is at fault" in str(report)


@pytest.mark.parametrize("sampler", [ddim, heun, dpmpp_2m])
@pytest.mark.parametrize("schedule", [VP(), Linear()])
def test_our_samplers_pass(sampler, schedule, batch):
    assert sampler_error(batch, schedule, sampler) < 1e-4
