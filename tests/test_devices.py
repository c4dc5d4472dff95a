"""No device is mixed with another: losses on tensors that claim to be on a GPU, which torch holds to its rules without
one (FakeTensorMode computes shapes, types and devices alone)."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from minidiff import checkpoint
from minidiff.denoise import score, velocity
from minidiff.recipes import configure

KINDS = {  # GANs differentiate within their loss, which asks for a real GPU: tests/gpu has them
    "points": ("eight_gaussians", {}),
    "unet": ("digits", {"width": 16}),
    "dit": ("digits", {"net": "dit", "width": 32}),
    "cnn": ("digits", {"net": "cnn", "width": 16}),
    "encoder_decoder": ("digits", {"net": "encoder_decoder", "width": 16}),
    "ncsn": ("digits", {"net": "ncsn", "width": 16}),
    "transformer": ("digits", {"net": "transformer", "width": 32}),
    "cross": ("shapes:1", {"width": 32}),
    "tokens": ("shapes:1", {"width": 32, "way": "tokens"}),
    "pooled": ("shapes:1", {"net": "unet", "width": 16, "way": "pooled"}),
    "vae": ("digits", {"model": "vae", "width": 16, "f": 2}),
}
GPU = torch.device("cuda", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_is_where_its_model_is(kind):
    spec, choices = KINDS[kind]
    config, dataset = configure(spec, batch=4, device="cpu", **choices)
    x0, cond = dataset.batch(4, torch.Generator().manual_seed(0))
    if tokenizer := checkpoint.tokenizer(config):
        cond = tokenizer(cond)
    model = checkpoint.new_model(config)
    with FakeTensorMode():
        move(model)
        x0, cond = (torch.empty(v.shape, dtype=v.dtype, device=GPU) for v in (x0, cond))
        times = {"t": torch.rand(4, device=GPU)} if config.model == "diffusion" else {}
        assert model.loss(x0, cond, **times).device == GPU
        if config.model == "diffusion":
            for t in (torch.rand(4, device=GPU), torch.tensor(0.5)):
                assert model(x0, t, cond).x0.device == model(x0, t).eps.device == GPU
                assert score(model, x0, t, cond).device == velocity(model, x0, t, cond).device == GPU


def move(model):
    """Put fake parameters and buffers on the GPU into a model."""
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = torch.nn.Parameter(torch.empty(p.shape, device=GPU))
        for name, b in module._buffers.items():
            if b is not None:
                module._buffers[name] = torch.empty(b.shape, dtype=b.dtype, device=GPU)


def test_a_tensor_on_the_cpu_is_noticed():
    """So that the tests above can fail."""
    with FakeTensorMode(), pytest.raises(Exception, match="same device|different devices"):
        torch.empty(4, device=GPU) + torch.empty(4)
