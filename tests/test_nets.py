import inspect

import pytest
import torch
from experiments.matched import matched
from torch import nn

from minidiff.nets import CNN, NETS, DiT, UNet, build
from minidiff.nets.cnn import Block
from minidiff.nets.fast import GroupNorm
from minidiff.nets.layers import (
    Attention,
    CondInstanceNormPlus,
    Embedding,
    Modulated,
    adain,
    sinusoidal,
)
from minidiff.nets.transformer import Branch

CONVOLUTIONAL = ("cnn", "encoder_decoder", "unet", "ncsn")
ALL = (("mlp", (2,)), *((name, (1, 8, 8)) for name in (*CONVOLUTIONAL, "transformer", "dit")))


@pytest.mark.parametrize(
    "name, shape",
    [*ALL, ("mlp", (64,)), ("unet", (3, 32, 32)), ("unet", (1, 28, 28)), ("dit", (3, 32, 32)), ("cnn", (2, 10, 10))],
)
@pytest.mark.parametrize("classes", [None, 10])
def test_shapes_and_start(name, shape, classes, generator):
    net = build(name, shape, classes, width=16)
    x, c_noise = torch.randn(4, *shape, generator=generator), torch.linspace(-1, 1, 4)
    out = net(x, c_noise)
    assert out.shape == x.shape
    assert (out == 0).all()  # the last layer starts at zero: the loss starts at the target's variance
    assert net.null == classes


@pytest.mark.parametrize("name, shape", ALL)
def test_noise_and_label_matter_and_none_is_null(name, shape, generator):
    net = build(name, shape, 10, width=16)
    for p in net.parameters():
        nn.init.normal_(p, std=0.2, generator=generator)
    x = torch.randn(1, *shape, generator=generator)
    at = lambda c, label: net(x, torch.tensor([c]), None if label is None else torch.tensor([label]))  # noqa: E731
    assert not torch.allclose(at(0.0, 3), at(0.5, 3))
    assert not torch.allclose(at(0.0, 3), at(0.0, 4))
    assert torch.equal(at(0.0, None), at(0.0, net.null))


@pytest.mark.parametrize("name", [*CONVOLUTIONAL, "transformer", "dit"])
def test_rows_do_not_mix(name, generator, float64):
    net = build(name, (1, 8, 8), 10, width=16).eval()
    for p in net.parameters():
        nn.init.normal_(p, std=0.2, generator=generator)
    x, c, y = torch.randn(3, 1, 8, 8, generator=generator), torch.tensor([-0.5, 0.0, 0.5]), torch.tensor([1, 2, 3])
    alone = torch.cat([net(x[i : i + 1], c[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(x, c, y), alone, rtol=1e-9, atol=1e-9)


def randomised(net, generator, std=0.2):
    for p in net.parameters():
        nn.init.normal_(p, std=std, generator=generator)
    return net


def test_adain_takes_over_the_statistics(generator, float64):
    x, y = torch.randn(2, 5, 8, 8, generator=generator) * 3 + 1, torch.randn(2, 5, 4, 6, generator=generator) - 2
    out = adain(x, y)
    torch.testing.assert_close(out.mean((2, 3)), y.mean((2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((2, 3), correction=0), y.std((2, 3), correction=0), atol=1e-4, rtol=0)
    torch.testing.assert_close(adain(x, x), x, atol=1e-4, rtol=0)


def test_modulated_is_adain(float64):
    """With instance norm, a scale of s and a shift of m give each channel mean m and standard deviation 1 + s."""
    layer = Modulated(nn.InstanceNorm2d(4), 4, 2, zero=True)
    x = torch.randn(3, 4, 16, 16) * 7 + 5
    torch.testing.assert_close(layer(x, torch.zeros(3, 2)), nn.InstanceNorm2d(4)(x))
    nn.init.constant_(layer.modulation.weight, 0.5)  # embedding (1, 1): scale 1, shift 1
    out = layer(x, torch.ones(3, 2))
    torch.testing.assert_close(out.mean((2, 3)), torch.ones(3, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((2, 3), correction=0), torch.full((3, 4), 2.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(out, adain(x, out), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(3, 6), (3, 7, 6), (3, 6, 4, 5)], ids=["points", "tokens", "pictures"])
def test_modulated_finds_the_channels(shape, generator, float64):
    layer = randomised(Modulated(nn.Identity(), 6, 2, gate=True), generator)
    x, emb = torch.randn(*shape, generator=generator), torch.randn(3, 2, generator=generator)
    shift, scale, gate = layer.modulation(emb).chunk(3, 1)
    out, returned = layer(x, emb)
    channels_last = x.movedim(1, -1) if x.ndim == 4 else x
    for row in range(3):
        expected = channels_last[row] * (1 + scale[row]) + shift[row]
        torch.testing.assert_close((out.movedim(1, -1) if x.ndim == 4 else out)[row], expected)
    assert torch.equal(returned.flatten(1), gate)


def test_adaln_zero_is_the_identity_at_init(generator):
    """Zero and gate make it so, whatever the branch holds; adaLN without them is not (Peebles and Xie 2023)."""
    x, emb = torch.randn(2, 5, 8, generator=generator), torch.randn(2, 8, generator=generator)
    assert torch.equal(Branch(nn.Linear(8, 8), 8, "adaln_zero")(x, emb), x)
    assert not torch.equal(Branch(nn.Linear(8, 8), 8, "adaln")(x, emb), x)
    for block in DiT(1, 8, 10, width=32, depth=2).blocks:
        tokens = torch.randn(2, 16, 32, generator=generator)
        assert torch.equal(block(tokens, torch.randn(2, 32, generator=generator)), tokens)


def test_cond_instance_norm_plus_against_ncsn(generator, float64):
    """Against their formulas, written out per picture and channel from a table of (gamma, alpha, beta) by level."""
    levels, channels = 5, 6
    gamma, alpha, beta = torch.randn(3, levels, channels, generator=generator)
    ours = CondInstanceNormPlus(channels, levels)
    with torch.no_grad():  # an embedding that is the level's number, one-hot
        ours.modulation.weight.copy_(torch.cat([beta, gamma - 1], 1).T)
        ours.alpha.weight.copy_(alpha.T)
        for layer in (ours.modulation, ours.alpha):
            layer.bias.zero_()
    x, level = torch.randn(4, channels, 8, 8, generator=generator) * 2 + 1, torch.tensor([0, 3, 4, 3])
    out = ours(x, nn.functional.one_hot(level, levels).to(x))
    for n in range(4):
        mu = torch.stack([x[n, k].mean() for k in range(channels)])
        m, v = mu.mean(), ((mu - mu.mean()) ** 2).sum() / (channels - 1)
        for k in range(channels):
            var = ((x[n, k] - mu[k]) ** 2).mean()
            z = (x[n, k] - mu[k]) / (var + 1e-5).sqrt() + alpha[level[n], k] * (mu[k] - m) / (v + 1e-5).sqrt()
            expected = gamma[level[n], k] * z + beta[level[n], k]
            torch.testing.assert_close(out[n, k], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_block_against_adm(resample, generator, float64):
    """ADM's residual block as its code has it: an affine group norm, then (1 + scale) and shift from silu and a linear
    layer; up and down act on both paths between activation and convolution. Its affine is absorbed into ours."""
    c_in, c_out, dim = 32, 48, 10
    x, emb = torch.randn(2, c_in, 8, 8, generator=generator), torch.randn(2, dim, generator=generator)
    block = randomised(Block(c_in, c_out, dim, resample=resample), generator)
    w, b = torch.randn(2, c_out, generator=generator)  # the affine of their second norm
    their = randomised(nn.Linear(dim, 2 * c_out), generator)
    scale, shift = their(nn.functional.silu(emb)).chunk(2, 1)

    def gn(v, groups):
        grouped = v.reshape(len(v), groups, -1)
        mean, var = grouped.mean(2, keepdim=True), grouped.var(2, correction=0, keepdim=True)
        return ((grouped - mean) / (var + 1e-5).sqrt()).reshape(v.shape)

    def change(v):
        if resample == "up":
            return v.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return v.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)) if resample == "down" else v

    n = block.norm_in
    h = nn.functional.silu(gn(x, n.num_groups) * n.weight[:, None, None] + n.bias[:, None, None])
    h = block.conv_in(change(h))
    h = gn(h, block.norm_out.norm.num_groups) * w[:, None, None] + b[:, None, None]
    h = h * (1 + scale[..., None, None]) + shift[..., None, None]
    expected = block.skip(change(x)) + block.conv_out(nn.functional.silu(h))
    with torch.no_grad():  # (w n + b)(1 + s) + t = n (w + w s) + (b + b s + t)
        (s_w, t_w), (s_b, t_b) = their.weight.chunk(2), their.bias.chunk(2)
        block.norm_out.modulation.weight.copy_(torch.cat([b[:, None] * s_w + t_w, w[:, None] * s_w]))
        block.norm_out.modulation.bias.copy_(torch.cat([b + b * s_b + t_b, w + w * s_b - 1]))
    torch.testing.assert_close(block(x, nn.functional.silu(emb)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("affine", [True, False])
def test_group_norm_backward_against_torch(layout, affine, generator, float64):
    own, theirs = GroupNorm(64, affine=affine), nn.GroupNorm(4, 64, affine=affine)
    if affine:
        randomised(own, generator)
        theirs.load_state_dict(own.state_dict())
    x = (torch.randn(3, 64, 8, 8, generator=generator) * 2 + 3).to(memory_format=layout)
    grad = torch.randn(3, 64, 8, 8, generator=generator)
    found = []
    for norm in (own, theirs):
        leaf = x.clone().requires_grad_()
        norm(leaf).backward(grad)
        found.append([leaf.grad, *(p.grad for p in norm.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
def test_group_norm_has_second_derivatives(affine, generator, float64):
    own, theirs = GroupNorm(32, affine=affine), nn.GroupNorm(2, 32, affine=affine)
    x = torch.randn(2, 32, 3, 3, generator=generator)
    found = []
    for norm in (own, theirs):
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(norm(leaf).pow(3).sum(), leaf, create_graph=True)
        slope.square().sum().backward()
        found.append(leaf.grad)
    torch.testing.assert_close(*found)


def test_attention_against_torch(generator, float64):
    layer = randomised(Attention(64, 2), generator, std=0.1)
    x = torch.randn(2, 16, 64, generator=generator)
    q, k, v = layer.qkv(x).reshape(2, 16, 3, 2, 32).permute(2, 0, 3, 1, 4)
    theirs = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 16, 64)
    torch.testing.assert_close(layer(x), layer.project(theirs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("conditioning", ["modulate", "add", "channel", "none"])
def test_conditioning_of_convolutional_nets(conditioning, generator):
    classes = 3 if conditioning in ("modulate", "add") else None
    x = torch.randn(2, 1, 8, 8, generator=generator)
    told = {"conditioning": conditioning}
    for net in (CNN(1, classes, 16, layers=4, **told), UNet(1, 8, classes, 16, **told)):
        net = randomised(net, generator)
        same = torch.allclose(net(x, torch.zeros(2)), net(x, torch.ones(2)))
        assert same == (conditioning == "none")


@pytest.mark.parametrize("conditioning", ["none", "channel", "token", "add", "scale_shift", "adaln", "adaln_zero"])
def test_conditioning_of_transformers(conditioning, generator):
    classes = None if conditioning in ("channel", "none") else 3
    x = torch.randn(2, 1, 8, 8, generator=generator)
    net = randomised(DiT(1, 8, classes, width=16, depth=2, conditioning=conditioning), generator)
    assert net(x, torch.zeros(2)).shape == x.shape
    assert torch.allclose(net(x, torch.zeros(2)), net(x, torch.ones(2))) == (conditioning == "none")


def test_encoder_decoder_has_no_way_around_the_middle(generator):
    """Without skips, all passes through the middle: a middle that puts out nothing leaves nothing of x."""
    x, c = torch.randn(2, 1, 8, 8, generator=generator), torch.zeros(2)
    for name, kept in (("unet", True), ("encoder_decoder", False)):
        net = randomised(build(name, (1, 8, 8), width=16), generator, std=0.1)
        net.middle.forward = lambda h, emb, words: torch.zeros_like(h)
        assert torch.allclose(net(x, c), net(2 * x.flip(2), c)) != kept


def test_matched(generator):
    from minidiff.measure.nets import flops, parameters

    names = ("cnn", "encoder_decoder", "unet", "dit")
    for by, cost in (("parameters", parameters), ("flops", lambda net: flops(net, (1, 8, 8)))):
        budget = 400_000 if by == "parameters" else 20_000_000
        for net in matched(names, budget, (1, 8, 8), by).values():
            assert cost(net) == pytest.approx(budget, rel=0.1)
    with pytest.raises(ValueError, match="no width brings unet within 10% of 100 parameters"):
        matched(["unet"], 100, (1, 8, 8))
    with pytest.raises(ValueError, match="not by 'size'"):
        matched(["unet"], 100, (1, 8, 8), by="size")


def test_fourier_tells_levels_apart():
    levels = torch.linspace(-1.6, 1.6, 400)
    features = sinusoidal(64)(levels)
    near = (features[1:] - features[:-1]).norm(dim=1)
    far = torch.cdist(features, features)[:100, 300:]
    assert features.shape == (400, 64) and near.min() > 0.01 and far.min() > 1


@pytest.mark.parametrize("channels", [8, 16, 24, 32, 48, 96, 128, 200])
def test_groups_divide(channels):
    groups = GroupNorm(channels).num_groups
    assert channels % groups == 0 and channels // groups >= min(16, channels)


@pytest.mark.parametrize("name", NETS)
def test_options_are_the_constructors_keywords(name):
    """Each is a number, a word or a switch, so that it can be given on the command line; `build` takes no other."""
    options = {k: p for k, p in inspect.signature(NETS[name]).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert "width" in options
    for p in options.values():
        assert p.annotation in (int, float, str, bool, int | None), p
    given = {k: p.default for k, p in options.items()} | {"width": 16}
    shape = (2,) if name == "mlp" else (1, 8, 8)
    by_default, as_given = build(name, shape, width=16).state_dict(), build(name, shape, **given).state_dict()
    assert all(torch.equal(v, as_given[k]) for k, v in by_default.items())


def test_encoder_decoder_and_transformer_are_special_cases():
    for name, other, option in (("encoder_decoder", "unet", {"skips": False}), ("transformer", "dit", {"patch": 1})):
        a, b = build(name, (1, 8, 8), width=16).state_dict(), build(other, (1, 8, 8), width=16, **option).state_dict()
        assert a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def test_bad_input():
    with pytest.raises(ValueError, match="unknown net 'resnet'"):
        build("resnet", (2,))
    with pytest.raises(ValueError, match="use unet"):
        build("mlp", (1, 8, 8))
    with pytest.raises(ValueError, match="use mlp"):
        build("unet", (2,))
    with pytest.raises(ValueError, match="size 8 is not a multiple of 16, 16 would be"):
        build("unet", (3, 8, 8), levels=5)
    with pytest.raises(ValueError, match="a width of at least 2"):
        build("ncsn", (3, 8, 8), width=1)
    with pytest.raises(ValueError, match="size 30 is not a multiple of 4"):
        build("unet", (3, 30, 30))
    with pytest.raises(ValueError, match="net dit has no levels: its options are width, depth, patch, text_mode"):
        build("dit", (1, 8, 8), levels=2)
    with pytest.raises(ValueError, match="unknown text_mode 'sideways'"):
        build("dit", (1, 8, 8), text_mode="sideways")
    with pytest.raises(ValueError, match="even"):
        Embedding(7)
    with pytest.raises(ValueError, match="patches of 4"):
        DiT(1, 10, patch=4)
    with pytest.raises(ValueError, match="multiple of 4"):
        DiT(1, 8, width=30)
    with pytest.raises(ValueError, match="not a multiple of 3"):
        DiT(1, 8, width=64, heads=3)
    with pytest.raises(ValueError, match="no place for labels"):
        DiT(1, 8, 10, conditioning="channel")
    with pytest.raises(ValueError, match="unknown conditioning 'film'"):
        UNet(1, 8, conditioning="film")
    with pytest.raises(ValueError, match="unknown norm 'batch'"):
        CNN(1, norm="batch")
    with pytest.raises(ValueError, match="layers was 5"):
        CNN(1, layers=5)
