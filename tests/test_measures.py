import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minidiff.data.toys import eight_gaussians
from minidiff.denoise import Denoiser
from minidiff.nets import CNN, DiT, UNet, build
from minidiff.nets.layers import attend
from minidiff.nets.measures import denoising_error, flops, parameters, receptive_field
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.schedules import VP


@pytest.mark.parametrize(
    "net, shape",
    [
        (build("mlp", (2,)), (2,)),
        (build("ncsn", (1, 8, 8), 10, 16), (1, 8, 8)),
        (CNN(3, None, 16, layers=6), (3, 16, 16)),
        (UNet(3, 32, None, 16, (1, 2, 2), 2, (16,)), (3, 32, 32)),
        (UNet(3, 16, None, 32, resample="block", skips=False), (3, 16, 16)),
        (DiT(3, 32, 10, width=64, depth=3, patch=4), (3, 32, 32)),
    ],
    ids=["mlp", "ncsn", "cnn", "unet", "encoder-decoder", "dit"],
)
def test_flops_against_torch(net, shape):
    with FlopCounterMode(display=False) as counter:
        net(torch.randn(1, *shape), torch.zeros(1))
    assert flops(net, shape) == counter.get_total_flops()
    assert next(net.parameters()).device.type == "cpu"  # counted on a copy


def test_flops_by_hand():
    """A convolution of 3 to 8 channels, 3x3, at 5x5, and one back, and those of one block between."""
    net = CNN(3, None, 8, layers=4, how="none")
    assert flops(net, (3, 5, 5)) == 2 * 25 * 9 * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 3)
    assert parameters(net) == 9 * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 3) + 8 + 8 + 8 + 3


def test_flops_of_huge_pictures_cost_nothing():
    net = DiT(4, 512, 10, width=64, depth=1, patch=8)
    assert flops(net, (4, 512, 512)) > 2 * 2 * (64 * 64) ** 2 * 64


@pytest.mark.parametrize("layers", [4, 6, 10])
def test_receptive_field_of_the_cnn_is_2l_plus_1(layers, generator):
    field = receptive_field(CNN(2, None, 8, layers=layers), (2, 31, 31), generator)
    seen = field > 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    assert seen.sum() == (2 * layers + 1) ** 2
    assert rows.tolist() == columns.tolist() == list(range(15 - layers, 16 + layers))


@pytest.mark.parametrize("name", ["unet", "encoder_decoder", "transformer", "dit"])
def test_the_others_see_everything(name, generator):
    assert (receptive_field(build(name, (1, 16, 16), width=16), (1, 16, 16), generator) > 0).all()


def test_denoising_error_of_the_exact_denoiser():
    """An untrained net does worse at every level; and one Gaussian is known in closed form."""
    mixture = eight_gaussians()
    x0 = mixture.sample(20_000, torch.Generator().manual_seed(1))
    levels = torch.tensor([0.1, 0.5, 2.0])
    exact = denoising_error(MixtureDenoiser(mixture, VP()), x0, levels, generator=torch.Generator().manual_seed(2))
    other = Denoiser(build("mlp", (x0.shape[1],)), VP(), "edm")
    worse = denoising_error(other, x0, levels, generator=torch.Generator().manual_seed(2))
    assert (exact < worse).all()
    one = GaussianMixture(torch.ones(1), torch.zeros(1, 2), 0.25 * torch.eye(2)[None])
    found = denoising_error(
        MixtureDenoiser(one, VP()), one.sample(200_000, torch.Generator().manual_seed(3)), levels,
        generator=torch.Generator().manual_seed(4),
    )  # fmt: skip
    torch.testing.assert_close(found, 0.25 * levels**2 / (0.25 + levels**2), rtol=0.02, atol=0)


def test_attention_is_local_to_its_heads(float64):
    q = k = torch.zeros(1, 2, 3, 4)
    v = torch.arange(24.0).reshape(1, 2, 3, 4)
    torch.testing.assert_close(attend(q, k, v), v.mean(2, keepdim=True).expand_as(v))
    q = torch.zeros(1, 2, 3, 4)
    q[0, 1, 0, 0] = 2 * math.log(3)
    k = torch.zeros(1, 2, 3, 4)
    k[0, 1, 2, 0] = 1.0  # exp(q k / sqrt 4) = 3 at one place
    out = attend(q, k, v)
    torch.testing.assert_close(out[0, 1, 0], (v[0, 1, 0] + v[0, 1, 1] + 3 * v[0, 1, 2]) / 5)
