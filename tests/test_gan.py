"""Adversarial training: who gets which gradient, and what comes out."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from minidiff import data
from minidiff.data.toys import eight_gaussians
from minidiff.measure.classifier import Classifier
from minidiff.nets.text import encoder_for
from minidiff.stages.gan import GAN, GENERATORS, Critic, PatchCritic, StyleGenerator, adversarial_losses, pyramid
from minidiff.stages.stacked import StackedGAN, mismatch
from minidiff.text import Tokenizer
from minidiff.train import new_state, train


class Linear(nn.Module):
    """A critic whose gradient in x is its weight."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x, cond=None):
        return x.flatten(1) @ self.weight, x.new_zeros(len(x), 0)


def test_each_player_gets_its_own_gradient(generator):
    """One backward pass of the sum gives what two separate passes, with the other player held, would."""
    critic = Critic((2,), 16)
    real, fake = torch.randn(8, 2, generator=generator), torch.randn(8, 2, generator=generator, requires_grad=True)
    sum(adversarial_losses(critic, real, fake, r1=0.0)).mean().backward()
    found, moved = [p.grad.clone() for p in critic.parameters()], fake.grad.clone()
    critic.zero_grad()
    (softplus(critic(fake.detach())[0]) + softplus(-critic(real)[0])).mean().backward()
    assert all(torch.allclose(a, p.grad, atol=1e-6) for a, p in zip(found, critic.parameters(), strict=True))
    other = fake.detach().clone().requires_grad_()
    softplus(-copy.deepcopy(critic)(other)[0]).mean().backward()
    torch.testing.assert_close(moved, other.grad)


def test_a_critic_hears_its_condition(generator):
    x, words = torch.randn(4, 2, generator=generator), Tokenizer(["red", "blue"], 2)
    by_label, by_text = Critic((2,), 16, classes=2), Critic((2,), 16, text=encoder_for(words))
    for critic, one, other in ((by_label, 0, 1), (by_text, *words(["red", "blue"]))):
        assert (critic(x, one)[0] - critic(x, other)[0]).abs().min() > 1e-4


def test_r1_is_the_squared_gradient_at_real_samples():
    weight, real = torch.tensor([3.0, 4.0]), torch.zeros(8, 2)
    with_it, without = (adversarial_losses(Linear(weight), real, torch.zeros(8, 2), r1=r)[1] for r in (2.0, 0.0))
    torch.testing.assert_close(with_it - without, torch.full((8,), 25.0))  # 2 / 2 * (9 + 16)


def test_the_guess_of_the_noise_teaches_both(generator):
    critic = Critic((2,), 16, guess=3)
    fake, z = torch.randn(8, 2, generator=generator, requires_grad=True), torch.randn(8, 3, generator=generator)
    generator_loss, critic_loss = adversarial_losses(critic, torch.zeros(8, 2), fake, None, z, r1=0.0)
    plain_generator_loss, plain_critic_loss = adversarial_losses(critic, torch.zeros(8, 2), fake, r1=0.0)
    error = (critic(fake)[1] - z).square().mean(1)
    torch.testing.assert_close(generator_loss - plain_generator_loss, error)
    torch.testing.assert_close(critic_loss - plain_critic_loss, error)
    (generator_loss - plain_generator_loss).mean().backward()
    assert fake.grad.abs().sum() > 0 and critic.codes.weight.grad is None  # to the generator only
    (critic_loss - plain_critic_loss).mean().backward()
    assert critic.codes.weight.grad.abs().sum() > 0  # and to the critic


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (4, 4, 4), (2,)])
def test_samples_have_the_shape(kind, shape, generator):
    gan = GAN(shape, classes=3, width=16, generator=kind)
    x = gan.sample(5, torch.arange(5) % 3, generator)
    assert x.shape == (5, *shape) and gan.loss(x, torch.arange(5) % 3, generator=generator).shape == (5,)


def test_pyramid():
    sides = {64: 4, 32: 4, 28: 7, 8: 4, 4: 4, 2: 2}
    widths = {64: [3, 6, 12, 12], 32: [3, 6, 12], 28: [3, 6], 8: [3], 4: [], 2: []}
    assert all(pyramid(n, 3) == (sides[n], widths[n]) for n in sides)


def test_the_label_matters_and_must_be_given(generator):
    gan = GAN((2,), classes=4, width=16)
    a, b = (gan.sample(3, torch.full((3,), k), torch.Generator().manual_seed(0)) for k in (0, 1))
    assert not torch.allclose(a, b)
    with pytest.raises(ValueError, match="has no null condition"):
        gan.sample(3, None, generator)
    with pytest.raises(ValueError, match="choose from dcgan, style"):
        GAN((3, 8, 8), generator="biggan")


def test_captions_condition_a_gan(generator):
    tokenizer = Tokenizer(["red", "blue"], 4)
    gan = GAN((3, 8, 8), text=partial(encoder_for, tokenizer), width=16)
    red, blue = (gan.sample(2, tokenizer([w, w]), torch.Generator().manual_seed(0)) for w in ("red", "blue"))
    assert not torch.allclose(red, blue)


def test_style_sets_the_statistics_and_not_the_size_of_z(generator):
    net, z = StyleGenerator((3, 16, 16), width=16), torch.randn(4, 64, generator=generator)
    given = torch.zeros(4, 0)
    torch.testing.assert_close(net(z, given), net(3 * z, given), rtol=1e-4, atol=1e-5)
    h = torch.randn(4, 32, 8, 8, generator=generator)
    style = net.mapping(z)
    out = net.styles[0](h, style)
    shift, scale = net.styles[0].modulation(style).chunk(2, 1)
    torch.testing.assert_close(out.mean((2, 3)), shift, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(out.std((2, 3), correction=0), (1 + scale).abs(), rtol=1e-3, atol=1e-4)


def test_a_gan_learns_the_modes():
    """Most of eight modes, and most samples near one: of five seeds the worst has all eight, and .63 of its samples."""
    mixture = eight_gaussians()
    torch.manual_seed(0)
    gan = GAN((2,), width=64)
    state = new_state(gan, 0)
    for _ in train(gan, (mixture.sample(256, state.generator) for _ in range(600)), 600, state=state):
        pass
    x = state.ema.sample(1000, None, torch.Generator().manual_seed(1))
    nearest = torch.cdist(x, mixture.means).min(1)
    assert (nearest.values < 0.2).float().mean() > 0.5
    assert len(nearest.indices[nearest.values < 0.2].unique()) >= 6


def test_patch_critic_sees_patches_only():
    """A pixel moves the logits of few patches, so that its share of the mean shrinks with the picture."""
    critic = PatchCritic(1, 8)
    x = torch.zeros(1, 1, 64, 64, requires_grad=True)
    critic(x)[0].sum().backward()
    with torch.no_grad():
        maps = [critic.body(x), critic.body(x + nn.functional.one_hot(torch.tensor(2080), 4096).view(1, 1, 64, 64))]
    assert maps[0].shape == (1, 1, 16, 16) and 0 < (maps[0] != maps[1]).sum() < 25


def test_stacked_gan_trains_against_its_encoder(generator):
    gan = StackedGAN((1, 8, 8), classes=10, width=16)
    x, y = torch.rand(8, 1, 8, 8, generator=generator) * 2 - 1, torch.arange(8)
    with pytest.raises(ValueError, match="learns from an encoder"):
        gan.loss(x, y, generator=generator)
    encoder = Classifier(1, 8, 10).eval().requires_grad_(False)
    gan.use(encoder, 2.0)
    gan.loss(x, y, generator=generator).mean().backward()
    assert all(p.grad is not None for p in gan.parameters())
    assert not any("encoder" in name for name in gan.state_dict())  # its weights are not the GAN's
    assert gan.sample(3, torch.arange(3), generator).shape == (3, 1, 8, 8)


def test_a_stacked_gan_prepares_itself(generator, quick_judge):
    """With the classifier of the data as its encoder, its features of about unit variance."""
    digits, gan = data.load("digits"), StackedGAN((1, 8, 8), classes=10, width=16)
    gan.prepare(digits, "cpu")
    x, y = digits.batch(256, generator)
    assert gan.features(x).std().item() == pytest.approx(1.0, abs=0.2)
    assert gan.loss(x, y, generator=generator).shape == (256,)


def test_mismatch_is_a_share_of_variance(generator):
    wanted = torch.randn(1000, 8, generator=generator)
    assert mismatch(wanted, wanted).max() == 0
    assert mismatch(torch.zeros_like(wanted), wanted).mean().item() == pytest.approx(1.0, abs=0.05)
