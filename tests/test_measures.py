import math

import pytest
import torch
from experiments import style
from experiments.noisy import NoisyClassifier
from experiments.tools import denoising_error
from torch.utils.flop_counter import FlopCounterMode

from minidiff.data.toys import eight_gaussians
from minidiff.denoise import Denoiser
from minidiff.measure.classifier import Classifier
from minidiff.measure.nets import flops, parameters, receptive_field
from minidiff.nets import CNN, NETS, DiT, UNet, build, cnn, reads_text, transformer
from minidiff.nets.fast import attend
from minidiff.nets.official import from_official
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.schedules import VP
from minidiff.stages import Causal, gan
from minidiff.stages.autoencoder import Decoder, Encoder
from minidiff.text import Tokenizer

from .test_transformer import SIZES, official


def ways_to_build():
    """Every net, with every option that changes what it computes: (name, the net, the shape of its input)."""
    tokenizer = Tokenizer(["red", "cube", "left"], 5)
    for name in NETS:
        shape = (2,) if name == "mlp" else (3, 8, 8)
        yield name, build(name, shape, 10, width=16), shape
        if reads_text(name):
            yield f"{name}, patch, depth", build(name, shape, width=16, patch=2, depth=2), shape
            first = "pooled" if name in ("encoder_decoder", "transformer") else "tokens"
            for mode in (first, "cross"):  # these two differ from the others in size alone
                net = build(name, shape, width=32, depth=1, tokenizer=tokenizer, text_mode=mode)
                yield f"{name}, {mode}", net, shape
    yield "unet, levels", build("unet", (3, 8, 8), width=16, levels=3), (3, 8, 8)
    for name in cnn.CONDITIONING:
        yield f"cnn, {name}", CNN(3, None, 16, conditioning=name, norm="group"), (3, 8, 8)
        net = UNet(3, 8, None, 16, conditioning=name)
        yield f"unet, {name}", net, (3, 8, 8)
    for name in transformer.CONDITIONING:
        yield f"dit, {name}", DiT(3, 8, None, 32, 1, conditioning=name), (3, 8, 8)
    yield "dit in float64", build("dit", (3, 8, 8), width=16).double(), (3, 8, 8)


def counted(net, *inputs) -> int:
    """By torch's counter, on real numbers, where attention is written out as products of matrices."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.requires_grad_(False)(*inputs)
    return counter.get_total_flops()


def test_flops_against_torch():
    for name, net, shape in ways_to_build():
        like = next(net.parameters())
        wanted = counted(net, torch.zeros(1, *shape).to(like), torch.zeros(1).to(like), None)
        assert flops(net, shape) == wanted > 0, name
        assert like.device.type == "cpu"  # counted on a copy


def nets_called_otherwise():
    """(name, the net, the shape of its input, what else it takes)."""
    shape, z, given = (3, 16, 16), (gan.NOISE,), (torch.zeros(1, 7),)
    for make in (gan.DCGAN, gan.StyleGenerator):
        yield make.__name__, make(shape, 7, 16), z, given
    yield "PointGenerator", gan.PointGenerator((2,), 7, 16), z, given
    yield "Critic", gan.Critic(shape, 16, 10, guess=4), shape, (torch.zeros(1, dtype=torch.long),)
    yield "PatchCritic", gan.PatchCritic(3, 16), shape, ()
    yield "Encoder", Encoder(3, 8, 4, 16), shape, ()
    yield "Decoder", Decoder(3, 8, 4, 16), (8, 4, 4), ()
    tokens = torch.zeros(1, 9, dtype=torch.long)
    yield "Causal", Causal((3, 3), 8, width=32, depth=2), (1, 32), (torch.ones(1, 1, dtype=torch.bool), tokens)
    yield "Classifier", Classifier(3, 16, 10), shape, ()
    yield "NoisyClassifier", NoisyClassifier(3, 16, 10, VP(), 0.5, 16), shape, (torch.full((1,), 0.5),)
    yield "style transfer", style.StyleAutoencoder().up[0], (64, 4, 4), ()
    yield "Conv1d", torch.nn.Conv1d(4, 6, 3, groups=2), (4, 9), ()


def test_flops_of_nets_that_take_other_arguments():
    for name, net, shape, others in nets_called_otherwise():
        assert flops(net, shape, others) == counted(net, torch.zeros(1, *shape), *others) > 0, name


def test_flops_of_an_official_dit():
    net = from_official(official(**SIZES[0]))
    shape = (SIZES[0]["channels"], SIZES[0]["size"], SIZES[0]["size"])
    assert flops(net, shape) == counted(net, torch.zeros(1, *shape), torch.zeros(1), None) > 0


def test_flops_by_hand():
    """A convolution of 3 to 8 channels, 3x3, at 5x5, and one back, and those of one block between."""
    net = CNN(3, None, 8, layers=4, conditioning="none")
    assert flops(net, (3, 5, 5)) == 2 * 25 * 9 * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 3)
    assert parameters(net) == 9 * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 3) + 8 + 8 + 8 + 3


def test_flops_of_huge_pictures_cost_nothing():
    """They have shapes and no numbers."""
    net, seen = DiT(4, 512, 10, width=64, depth=1, patch=8), []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].is_meta))
    assert flops(net, (4, 512, 512)) > 2 * 2 * (64 * 64) ** 2 * 64
    assert seen == [True]


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
