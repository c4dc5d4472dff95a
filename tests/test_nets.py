import pytest
import torch
from torch import nn

from minidiff.nets import build
from minidiff.nets.layers import Embedding, Fourier, Modulated
from minidiff.nets.unet import Attention, groups


@pytest.mark.parametrize(
    "name, shape", [("mlp", (2,)), ("mlp", (64,)), ("unet", (1, 8, 8)), ("unet", (3, 32, 32)), ("unet", (1, 28, 28))]
)
@pytest.mark.parametrize("classes", [None, 10])
def test_shapes_and_start(name, shape, classes, generator):
    net = build(name, shape, classes, width=16)
    x, c_noise = torch.randn(4, *shape, generator=generator), torch.linspace(-1, 1, 4)
    out = net(x, c_noise)
    assert out.shape == x.shape
    assert (out == 0).all()  # the last layer starts at zero: the loss starts at the target's variance
    assert net.null == classes


@pytest.mark.parametrize("name, shape", [("mlp", (2,)), ("unet", (1, 8, 8))])
def test_noise_and_label_matter_and_none_is_null(name, shape, generator):
    net = build(name, shape, 10, width=16)
    for p in net.parameters():
        nn.init.normal_(p, std=0.2, generator=generator)
    x = torch.randn(1, *shape, generator=generator)
    at = lambda c, label: net(x, torch.tensor([c]), None if label is None else torch.tensor([label]))  # noqa: E731
    assert not torch.allclose(at(0.0, 3), at(0.5, 3))
    assert not torch.allclose(at(0.0, 3), at(0.0, 4))
    assert torch.equal(at(0.0, None), at(0.0, net.null))


def test_rows_do_not_mix(generator):
    net = build("unet", (1, 8, 8), 10, width=16).eval()
    for p in net.parameters():
        nn.init.normal_(p, std=0.2, generator=generator)
    x, c, y = torch.randn(3, 1, 8, 8, generator=generator), torch.tensor([-0.5, 0.0, 0.5]), torch.tensor([1, 2, 3])
    alone = torch.cat([net(x[i : i + 1], c[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(x, c, y), alone, rtol=1e-4, atol=1e-5)


def test_modulated_is_adain():
    """With instance norm, a scale of s and a shift of m give each channel mean m and standard deviation 1 + s."""
    layer = Modulated(nn.InstanceNorm2d(4), 4, 2)
    x = torch.randn(3, 4, 16, 16) * 7 + 5
    torch.testing.assert_close(layer(x, torch.zeros(3, 2)), nn.InstanceNorm2d(4)(x))
    nn.init.constant_(layer.to_scale_shift.weight, 0.5)  # embedding (1, 1): scale 1, shift 1
    out = layer(x, torch.ones(3, 2))
    torch.testing.assert_close(out.mean((2, 3)), torch.ones(3, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((2, 3), correction=0), torch.full((3, 4), 2.0), atol=1e-3, rtol=0)


def test_attention_against_torch(generator):
    layer = Attention(64)
    for p in layer.parameters():
        nn.init.normal_(p, std=0.1, generator=generator)
    x = torch.randn(2, 64, 4, 4, generator=generator)
    q, k, v = layer.qkv(layer.norm(x)).reshape(2, 3, layer.heads, 32, 16).transpose(-1, -2).unbind(1)
    theirs = nn.functional.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(2, 64, 4, 4)
    torch.testing.assert_close(layer(x), x + layer.project(theirs), rtol=1e-4, atol=1e-5)


def test_fourier_tells_levels_apart():
    levels = torch.linspace(-1.6, 1.6, 400)
    features = Fourier(64)(levels)
    near = (features[1:] - features[:-1]).norm(dim=1)
    far = torch.cdist(features, features)[:100, 300:]
    assert features.shape == (400, 64) and near.min() > 0.01 and far.min() > 1


@pytest.mark.parametrize("channels", [8, 16, 24, 32, 48, 96, 128, 200])
def test_groups_divide(channels):
    assert channels % groups(channels) == 0 and channels // groups(channels) >= 4


def test_bad_input():
    with pytest.raises(ValueError, match="unknown net 'resnet'"):
        build("resnet", (2,))
    with pytest.raises(ValueError, match="use unet"):
        build("mlp", (1, 8, 8))
    with pytest.raises(ValueError, match="use mlp"):
        build("unet", (2,))
    with pytest.raises(ValueError, match="size 30 is not a multiple of 4"):
        build("unet", (3, 30, 30))
    with pytest.raises(ValueError, match="even"):
        Embedding(7)
