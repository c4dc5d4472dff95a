import pytest
import torch
from torch import nn

from minidiff.data import load
from minidiff.denoise import Denoiser
from minidiff.device import to_device
from minidiff.measure.doctor import examine, sampler_error
from minidiff.nets import build
from minidiff.run import checkpoint
from minidiff.run.cli import main
from minidiff.run.generate import generate
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure
from minidiff.samplers import ddim, dpmpp_2m, heun
from minidiff.schedules import VP, Linear

from .pretend import pretended


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


@pytest.mark.parametrize("spec", ["eight_gaussians", "digits", "shapes:1"])
def test_nothing_is_left_on_the_cpu(spec, monkeypatch):
    """The doctor's two tests, and guided sampling, on a device whose tensors do not meet the CPU's."""
    config, dataset = configure(spec, device="cpu", width=32)
    x0, labels = dataset.batch(4, torch.Generator().manual_seed(0))
    cond = torch.arange(2) if config.classes else tokenizer_of(config)(["a big red circle"] * 2)
    with pretended(monkeypatch) as device:
        net = checkpoint.new_model(config, device)
        x = generate(net.eval(), 2, cond=cond, scale=2.0, negative=cond[0], interval=(0.1, 0.8), steps=2)
        assert x.device.type == "cpu"
        labels = labels.to(device) if config.classes else None
        report = examine(net, to_device(x0, device), labels, steps=2)
    assert report.sampler_ok and not report.model_ok


@pytest.mark.parametrize("sampler", ["ddim", "euler", "heun", "langevin"])
def test_samplers_stay_on_the_device(sampler, monkeypatch):
    config, _ = configure("eight_gaussians", device="cpu", width=32)
    with pretended(monkeypatch) as device:
        net = checkpoint.new_model(config, device).eval()
        assert generate(net, 2, cond=[0, 1], steps=2, sampler=sampler).shape == (2, 2)


def test_the_pretended_device_tells(monkeypatch):
    with pretended(monkeypatch) as device:
        x = torch.ones(3, device=device)
        assert (x + torch.tensor(1.0)).sum().item() == 6 and x.cpu().device.type == "cpu"
        for wrong in (lambda: x + torch.ones(3), lambda: torch.cdist(x[None], torch.ones(1, 3)), x.numpy):
            with pytest.raises((RuntimeError, TypeError), match="of the device"):
                wrong()


def test_langevin_has_a_generator_of_its_own(capsys):
    before = torch.random.get_rng_state()
    with pytest.raises(SystemExit):  # in one step the model learns nothing
        main(["doctor", "--data", "eight_gaussians", "--sampler", "langevin", "--steps", "1"])
    assert "the MODEL is at fault" in capsys.readouterr().out and torch.equal(torch.random.get_rng_state(), before)
