"""Generative adversarial networks: a generator makes samples of noise, a critic tells them from real ones.

The losses of the two are added up. Each sees the other's weights as constants, so one backward pass of the sum gives
both gradients, and a GAN is trained as any other model here: `loss` for training, `sample` to draw from it.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import leaky_relu, softplus

from ..denoise import normal_like
from ..nets.cnn import resize
from ..nets.fast import GroupNorm
from ..nets.layers import Modulated
from ..text import check_labels, condition, one_of

NOISE = 64  # dimensions of z
HIDDEN = 128  # features of a critic before its last layer


class Condition(nn.Module):
    """Labels (B,), or the tokens of texts (B, L) with an encoder `text` -> (B, dim); without either dim is 0."""

    def __init__(self, dim: int, classes: int | None = None, text=None):
        super().__init__()
        self.label = nn.Embedding(classes, dim) if classes else None
        self.text = text
        self.project = nn.Linear(text.dim, dim) if text else None
        self.dim = dim if classes or text else 0

    def given(self, cond, like: Tensor) -> Tensor:
        return required_condition(cond, like, self.label, self.text)

    def forward(self, cond: Tensor | None, like: Tensor) -> Tensor:
        if not self.dim:
            return like.new_zeros(len(like), 0)
        cond = self.given(cond, like)
        return self.label(cond) if self.text is None else self.project(self.text(cond).pooled)


def required_condition(cond, like: Tensor, label: nn.Embedding | None, text) -> Tensor:
    """The condition for each of `like` (see `condition`) of a model that has no null condition: labels of the table
    `label`, or tokens for the encoder `text`. Raises ValueError for None, for labels out of range, and if the model has
    neither; one that trains on a GPU does not check the labels, as that would wait for it."""
    if label is None and text is None:
        raise ValueError("a condition was given to a model that was trained without labels and captions: leave it out")
    if cond is None:
        raise ValueError("this model was trained with labels or captions and has no null condition: give it some")
    cond = condition(cond, like, tokens=label is None, length=getattr(text, "length", None))
    if label is not None and (cond.device.type == "cpu" or not torch.is_grad_enabled()):
        check_labels(cond, label.num_embeddings - 1, ", and it has no null condition")
    return cond


def pyramid(size: int, width: int) -> tuple[int, list[int]]:
    """The side (4, or odd) that halving pictures of `size` leads to, and the channels after each halving."""
    widths = []
    while size % 2 == 0 and size > 4:
        size = size // 2
        widths.append(width * min(4, 2 ** len(widths)))
    return size, widths


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with leaky ReLUs between them."""
    layers = []
    for now, then in pairwise(sizes):
        layers += [nn.Linear(now, then), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def to_picture(width: int, channels: int, double: bool) -> nn.Module:
    """A generator's last layer, which doubles the side unless nothing was halved."""
    return nn.ConvTranspose2d(width, channels, 4, 2, 1) if double else nn.Conv2d(width, channels, 3, padding=1)


class DCGAN(nn.Module):
    """z (B, NOISE), cond (B, cond_dim) -> pictures (B, C, H, W), by transposed convolutions (Radford et al. 2016).

    With group norm: batch norm, which they have, does not do the same when sampling as in training.
    """

    def __init__(self, shape, cond_dim: int = 0, width: int = 32):
        super().__init__()
        self.side, halved = pyramid(shape[-1], width)
        widths = halved[::-1] or [width]
        self.enter = nn.Linear(NOISE + cond_dim, widths[0] * self.side**2)
        layers = [GroupNorm(widths[0]), nn.ReLU()]
        for now, then in pairwise(widths):
            layers += [nn.ConvTranspose2d(now, then, 4, 2, 1), GroupNorm(then), nn.ReLU()]
        self.body = nn.Sequential(*layers, to_picture(width, shape[0], bool(halved)))

    def forward(self, z: Tensor, cond: Tensor) -> Tensor:
        return self.body(self.enter(torch.cat([z, cond], 1)).view(len(z), -1, self.side, self.side))


class StyleGenerator(nn.Module):
    """z (B, NOISE), cond (B, cond_dim) -> pictures (B, C, H, W): StyleGAN's generator in small (Karras et al. 2019).

    A mapping network makes a style of z. The picture grows from a constant, and the style sets the statistics of every
    layer by AdaIN; StyleGAN's noise in each layer is left out.
    """

    def __init__(self, shape, cond_dim: int = 0, width: int = 32, style: int = 128):
        super().__init__()
        side, halved = pyramid(shape[-1], width)
        widths = halved[::-1] or [width]
        self.mapping = mlp(NOISE + cond_dim, style, style, style)
        self.constant = nn.Parameter(torch.randn(widths[0], side, side))
        self.convs, self.styles = nn.ModuleList(), nn.ModuleList()
        for now, then in pairwise([widths[0], *widths]):
            self.convs.append(nn.Conv2d(now, then, 3, padding=1))
            self.styles.append(Modulated(nn.InstanceNorm2d(then), then, style))
        self.leave = to_picture(width, shape[0], bool(halved))

    def forward(self, z: Tensor, cond: Tensor) -> Tensor:
        style = self.mapping(torch.cat([z / z.square().mean(1, keepdim=True).sqrt(), cond], 1))
        h = self.constant.expand(len(z), -1, -1, -1)
        for i, (conv, modulated) in enumerate(zip(self.convs, self.styles, strict=True)):
            h = leaky_relu(modulated(conv(resize(h, "up") if i else h), style), 0.2)
        return self.leave(h)


class PointGenerator(nn.Module):
    """z (B, NOISE), cond (B, cond_dim) -> points (B, D), by an MLP."""

    def __init__(self, shape, cond_dim: int = 0, width: int = 128):
        super().__init__()
        self.body = mlp(NOISE + cond_dim, width, width, width, shape[0])

    def forward(self, z: Tensor, cond: Tensor) -> Tensor:
        return self.body(torch.cat([z, cond], 1))


GENERATORS = {"dcgan": DCGAN, "style": StyleGenerator}  # of pictures


def new_generator(name: str, shape, cond_dim: int, width: int) -> nn.Module:
    """The generator `name` of pictures (C, H, W), or a PointGenerator of points (D,)."""
    one_of("generator", name, GENERATORS)
    return (PointGenerator if len(shape) == 1 else GENERATORS[name])(shape, cond_dim, width)


class BatchDeviation(nn.Module):
    """One more channel: how much the features differ within the batch (Karras et al. 2018, section 3)."""

    def forward(self, h: Tensor) -> Tensor:
        spread = (h.float().var(0, correction=0) + 1e-8).sqrt().mean().to(h)
        return torch.cat([h, spread.expand(len(h), 1, *h.shape[2:])], 1)


class Critic(nn.Module):
    """x (B, ...) and a condition -> (logit of being real (B,), guess of the noise that x was made of (B, guess)).

    Strided convolutions for pictures (Radford et al. 2016), an MLP for points; the condition enters by projection
    (Miyato and Koyama 2018). There are no norms: the R1 penalty takes their place.
    """

    def __init__(self, shape, width: int = 32, classes=None, text=None, guess: int = 0):
        super().__init__()
        if len(shape) == 1:
            self.body = mlp(shape[0], width, width, HIDDEN)
        else:
            side, halved = pyramid(shape[-1], width)
            kernel, stride = (4, 2) if halved else (3, 1)
            widths, layers = halved or [width], []
            for now, then in pairwise([shape[0], *widths]):
                layers += [nn.Conv2d(now, then, kernel, stride, padding=1), nn.LeakyReLU(0.2)]
            layers += [BatchDeviation(), nn.Flatten(), nn.Linear((widths[-1] + 1) * side**2, HIDDEN)]
            self.body = nn.Sequential(*layers)
        self.condition = Condition(HIDDEN, classes, text)
        self.verdict = nn.Linear(HIDDEN, 1)
        self.codes = nn.Linear(HIDDEN, guess) if guess else None  # the guess, by its name in saved models

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = leaky_relu(self.body(x), 0.2)
        logit = self.verdict(h)[:, 0]
        if self.condition.dim:
            logit = logit + (self.condition(cond, x) * h).sum(1) / math.sqrt(HIDDEN)
        return logit.float(), x.new_zeros(len(x), 0) if self.codes is None else self.codes(h).float()


class PatchCritic(nn.Module):
    """x (B, C, H, W) -> (mean logit of its overlapping patches (B,), nothing): Isola et al. 2017, section 3.2.2."""

    def __init__(self, channels: int, width: int = 32):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor, cond=None) -> tuple[Tensor, Tensor]:
        return self.body(x).float().mean((1, 2, 3)), x.new_zeros(len(x), 0)


def adversarial_losses(critic, real: Tensor, fake: Tensor, cond=None, z: Tensor | None = None, r1: float = 0.1):
    """(generator_loss, critic_loss), each (B,): one has gradients in `fake` alone, the other in the critic alone.

    The non-saturating loss (Goodfellow et al. 2014, section 3) with the R1 penalty, the squared gradient at the real
    samples (Mescheder et al. 2018, equation 9; here at a quarter of them). With the noise z (B, guess) both losses have
    the error of the critic's guess of it: a generator that ignores its noise is penalised (Huang et al. 2017, section
    3.4).
    """
    constant = {name: p.detach() for name, p in critic.named_parameters()}
    logit, guess = functional_call(critic, constant, (fake, cond))
    generator_loss = softplus(-logit)
    logit, critic_guess = critic(fake.detach(), cond)
    few = real[: max(1, len(real) // 4)].detach().requires_grad_()
    few_cond = None if cond is None else cond[: len(few)]
    gradient = torch.autograd.grad(critic(few, few_cond)[0].sum(), few, create_graph=True)[0]
    penalty = r1 / 2 * gradient.float().flatten(1).square().sum(1).mean()
    critic_loss = softplus(logit) + softplus(-critic(real, cond)[0]) + penalty
    if z is None:
        return generator_loss, critic_loss
    return generator_loss + (guess - z).square().mean(1), critic_loss + (critic_guess - z).square().mean(1)


class GAN(nn.Module):
    """A generator and its critic. x0 (B, ...), cond (B,), (B, L) or None.

    `text` makes a text encoder: generator and critic have one each. Raises ValueError for an unknown generator.
    """

    betas = (0.0, 0.99)  # of Adam: with momentum the two run in circles (Gidel et al. 2019)

    def __init__(self, shape, classes=None, text=None, width: int = 32, generator: str = "dcgan", r1: float = 0.1):
        super().__init__()
        self.condition = Condition(NOISE, classes, text and text())
        self.generator = new_generator(generator, shape, self.condition.dim, width)
        self.critic = Critic(shape, width, classes, text and text())
        self.r1 = r1

    def loss(self, x0: Tensor, cond: Tensor | None = None, *, generator=None) -> Tensor:
        """The sum of the generator's and the critic's loss, (B,): near 3 log 2 = 2.08 where neither wins."""
        fake = self.draw(len(x0), cond, generator).to(x0)
        generator_loss, critic_loss = adversarial_losses(self.critic, x0, fake, cond, r1=self.r1)
        return generator_loss + critic_loss

    def draw(self, n: int, cond: Tensor | None, generator) -> Tensor:
        """n samples, with gradients."""
        z = noise(n, self, generator)
        return self.generator(z, self.condition(cond, z))

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, generator=None) -> Tensor:
        """n samples, for the conditions cond (n,), (n, L) or None."""
        return self.draw(n, cond, generator).float()


def noise(n: int, model: nn.Module, generator) -> Tensor:
    """z (n, NOISE), drawn on the generator's device, on that of the model."""
    return normal_like(torch.empty(n, NOISE, device=next(model.parameters()).device), generator)
