"""Generative adversarial networks: a generator that makes pictures of noise, a critic that tells them from real ones.

Both players' losses are added up, each seeing the other's weights as constants, so that one backward pass gives both
gradients and a GAN is trained as any other model here: `loss` for training, `sample` to draw from it.
"""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import leaky_relu, softplus

from ..denoise import check_labels, condition, normal_like
from ..nets.cnn import resize
from ..nets.fast import GroupNorm
from ..nets.layers import Modulated, groups

NOISE = 64  # dimensions of z
HIDDEN = 128  # features of a critic before its verdict
GENERATORS = ("dcgan", "style")


class Condition(nn.Module):
    """Labels (B,), or the tokens of texts (B, L) with an encoder `text` -> (B, dim); without either dim is 0."""

    def __init__(self, dim: int, classes: int | None = None, text=None):
        super().__init__()
        self.label = nn.Embedding(classes, dim) if classes else None
        self.text, self.project = text, nn.Linear(text.dim, dim) if text else None
        self.dim = dim if classes or text else 0

    def forward(self, cond: Tensor | None, like: Tensor) -> Tensor:
        if not self.dim:
            return like.new_zeros(len(like), 0)
        cond = required(cond, like, self.label)
        return self.label(cond) if self.text is None else self.project(self.text(cond).pooled)


def required(cond, like: Tensor, label: nn.Embedding | None) -> Tensor:
    """The condition for each of `like` (see `condition`), labels or without `label` tokens, of a model that has no null
    one. In training a GPU is not waited for: a data set's labels are its classes."""
    if cond is None:
        raise ValueError("this model was trained with labels or captions and has no null condition: give it some")
    cond = condition(cond, like, tokens=label is None)
    if label is not None and (cond.device.type == "cpu" or not torch.is_grad_enabled()):
        check_labels(cond, label.num_embeddings - 1, ", and it has no null condition")
    return cond


def halvings(size: int) -> tuple[int, int]:
    """The side (4 to 7, or odd) at which a net's pyramid ends, and how many halvings lead there."""
    levels = 0
    while size % 2 == 0 and size > 4:
        size, levels = size // 2, levels + 1
    return size, levels


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with leaky ReLUs between them."""
    layers = []
    for now, then in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(now, then), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


class DCGAN(nn.Module):
    """z (B, noise) and what it is given (B, given) -> pictures (B, C, H, W), by transposed convolutions that double the
    side (Radford et al. 2016); with group norm, which unlike their batch norm does the same when sampling."""

    def __init__(self, shape, given: int = 0, width: int = 32, noise: int = NOISE):
        super().__init__()
        (channels, _, _), (self.side, levels) = shape, halvings(shape[-1])
        widths = [width * min(4, 2**level) for level in range(levels)][::-1] or [width]
        self.noise, self.enter = noise, nn.Linear(noise + given, widths[0] * self.side**2)
        layers = [GroupNorm(groups(widths[0]), widths[0]), nn.ReLU()]
        for now, then in zip(widths, widths[1:], strict=False):
            layers += [nn.ConvTranspose2d(now, then, 4, 2, 1), GroupNorm(groups(then), then), nn.ReLU()]
        last = nn.ConvTranspose2d(width, channels, 4, 2, 1) if levels else nn.Conv2d(width, channels, 3, padding=1)
        self.body = nn.Sequential(*layers, last)

    def forward(self, z: Tensor, given: Tensor) -> Tensor:
        return self.body(self.enter(torch.cat([z, given], 1)).view(len(z), -1, self.side, self.side))


class StyleGenerator(nn.Module):
    """StyleGAN's generator in small (Karras et al. 2019): a mapping network makes a style of z, and the style sets the
    statistics of every layer by AdaIN, while the picture grows from a constant. (Theirs adds noise to each layer too.)

    z (B, noise), given (B, given) -> pictures (B, C, H, W).
    """

    def __init__(self, shape, given: int = 0, width: int = 32, noise: int = NOISE, style: int = 128):
        super().__init__()
        (channels, _, _), (side, levels) = shape, halvings(shape[-1])
        widths = [width * min(4, 2**level) for level in range(levels)][::-1] or [width]
        self.noise, self.mapping = noise, mlp(noise + given, style, style, style)
        self.constant = nn.Parameter(torch.randn(widths[0], side, side))
        self.convs, self.styles = nn.ModuleList(), nn.ModuleList()
        for now, then in zip([widths[0], *widths], widths, strict=False):
            self.convs.append(nn.Conv2d(now, then, 3, padding=1))
            self.styles.append(Modulated(nn.InstanceNorm2d(then), then, style))
        self.leave = (
            nn.ConvTranspose2d(width, channels, 4, 2, 1) if levels else nn.Conv2d(width, channels, 3, padding=1)
        )

    def forward(self, z: Tensor, given: Tensor) -> Tensor:
        style = self.mapping(torch.cat([z / z.square().mean(1, keepdim=True).sqrt(), given], 1))
        h = self.constant.expand(len(z), -1, -1, -1)
        for i, (conv, modulated) in enumerate(zip(self.convs, self.styles, strict=True)):
            h = leaky_relu(modulated(conv(resize(h, "up") if i else h), style), 0.2)
        return self.leave(h)


class PointGenerator(nn.Module):
    """z (B, noise), given (B, given) -> points (B, D), by an MLP."""

    def __init__(self, shape, given: int = 0, width: int = 128, noise: int = NOISE):
        super().__init__()
        self.noise, self.body = noise, mlp(noise + given, width, width, width, shape[0])

    def forward(self, z: Tensor, given: Tensor) -> Tensor:
        return self.body(torch.cat([z, given], 1))


class BatchDeviation(nn.Module):
    """One more channel, by how much the batch's features differ: a generator that draws one picture only is found out
    at once (minibatch standard deviation, Karras et al. 2018, section 3)."""

    def forward(self, h: Tensor) -> Tensor:
        spread = (h.float().var(0, correction=0) + 1e-8).sqrt().mean().to(h)
        return torch.cat([h, spread.expand(len(h), 1, *h.shape[2:])], 1)


class Critic(nn.Module):
    """x (B, ...) and a condition -> (logit of being real (B,), guess of the z it was made of (B, codes)).

    Strided convolutions for pictures (Radford et al. 2016), an MLP for points; the condition enters by projection
    (Miyato and Koyama 2018). No norms: R1 is
    for them.
    """

    def __init__(self, shape, width: int = 32, classes=None, text=None, codes: int = 0):
        super().__init__()
        if len(shape) == 1:
            self.body = mlp(shape[0], width, width, HIDDEN)
        else:
            (channels, _, _), (side, levels) = shape, halvings(shape[-1])
            widths, layers = [width * min(4, 2**level) for level in range(levels)] or [width], []
            for now, then in zip([channels, *widths], widths, strict=False):
                step = nn.Conv2d(now, then, 4, 2, 1) if levels else nn.Conv2d(now, then, 3, padding=1)
                layers += [step, nn.LeakyReLU(0.2)]
            layers += [BatchDeviation(), nn.Flatten(), nn.Linear((widths[-1] + 1) * side**2, HIDDEN)]
            self.body = nn.Sequential(*layers)
        self.condition = Condition(HIDDEN, classes, text)
        self.verdict, self.codes = nn.Linear(HIDDEN, 1), nn.Linear(HIDDEN, codes) if codes else None

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


def game(critic, real: Tensor, fake: Tensor, cond=None, z: Tensor | None = None, r1: float = 0.1):
    """The losses of the two players, each (B,): to fool, with gradients in `fake` alone, and to tell, in the critic
    alone.

    The non-saturating loss (Goodfellow et al. 2014, section 3) with R1, the squared gradient at the real samples
    (Mescheder et al. 2018, equation 9; here at a quarter of them). z (B, codes) is what the critic guesses of the
    noise, which both learn to make easy: without it a generator may ignore its noise (Huang et al. 2017, section 3.4).
    """
    constant = {name: p.detach() for name, p in critic.named_parameters()}
    seen, guess = functional_call(critic, constant, (fake, cond))
    told, other = critic(fake.detach(), cond)
    few = real[: max(1, len(real) // 4)].detach().requires_grad_()
    few_cond = None if cond is None else cond[: len(few)]
    gradient = torch.autograd.grad(critic(few, few_cond)[0].sum(), few, create_graph=True)[0]
    penalty = r1 / 2 * gradient.float().flatten(1).square().sum(1).mean()
    fool, tell = softplus(-seen), softplus(told) + softplus(-critic(real, cond)[0]) + penalty
    if z is None:
        return fool, tell
    return fool + (guess - z).square().mean(1), tell + (other - z).square().mean(1)


class GAN(nn.Module):
    """A generator and its critic. x0 (B, ...), cond (B,), (B, L) or None."""

    betas = (0.0, 0.99)  # of Adam: momentum makes two players circle (Gidel et al. 2019)

    def __init__(self, shape, classes=None, text=None, width: int = 32, generator: str = "dcgan", r1: float = 0.1):
        """`text` makes a text encoder: the two players have one each. Raises ValueError for an unknown generator."""
        super().__init__()
        if generator not in GENERATORS:
            raise ValueError(f"unknown generator {generator!r}: choose from {', '.join(GENERATORS)}")
        make = PointGenerator if len(shape) == 1 else {"dcgan": DCGAN, "style": StyleGenerator}[generator]
        self.condition = Condition(NOISE, classes, text and text())
        self.generator = make(shape, self.condition.dim, width)
        self.critic, self.r1 = Critic(shape, width, classes, text and text()), r1

    def loss(self, x0: Tensor, cond: Tensor | None = None, *, generator=None) -> Tensor:
        """The sum of both players' losses, (B,): near 3 log 2 = 2.08 where neither wins."""
        fake = self.make(len(x0), cond, generator).to(x0)
        fool, tell = game(self.critic, x0, fake, cond, r1=self.r1)
        return fool + tell

    def make(self, n: int, cond, generator) -> Tensor:
        z = noise(n, self, self.generator.noise, generator)
        return self.generator(z, self.condition(cond, z))

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, generator=None) -> Tensor:
        """n samples, for the conditions cond (n,), (n, L) or None."""
        return self.make(n, cond, generator).float()


def noise(n: int, model: nn.Module, dim: int, generator) -> Tensor:
    """z (n, dim), drawn where the generator is."""
    return normal_like(torch.empty(n, dim, device=next(model.parameters()).device), generator)
