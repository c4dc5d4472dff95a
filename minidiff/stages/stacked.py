"""Stacked GANs (Huang et al. 2017): one GAN makes the features of an encoder, another the picture of the features."""

import torch
from torch import Tensor, nn

from .gan import DCGAN, GENERATORS, NOISE, Condition, Critic, PointGenerator, StyleGenerator, game, noise

FEATURES = 128  # of classifier.Classifier


class StackedGAN(nn.Module):
    """Noise and condition -> features (B, 128) -> picture, each step with a critic of its own.

    Each generator has three losses, as in the paper: to fool its critic; the *conditional* loss, that the encoder
    finds in what was made what it was made from; and the *entropy* loss, that its noise can be guessed from it, so that
    it does not ignore it. Both are trained at once, the lower on real features.

    `encoder` is a trained classifier.Classifier, which training needs and sampling does not: it is not saved.
    """

    betas = (0.0, 0.99)

    def __init__(self, shape, classes=None, text=None, width: int = 32, generator: str = "dcgan", r1: float = 1.0):
        super().__init__()
        if generator not in GENERATORS:
            raise ValueError(f"unknown generator {generator!r}: choose from {', '.join(GENERATORS)}")
        make = {"dcgan": DCGAN, "style": StyleGenerator}[generator]
        self.condition = Condition(NOISE, classes, text and text())
        self.upper = PointGenerator((FEATURES,), self.condition.dim, 4 * width)
        self.upper_critic = Critic((FEATURES,), 4 * width, classes, text and text(), codes=NOISE)
        self.lower = make(shape, FEATURES, width)
        self.lower_critic = Critic(shape, width, codes=NOISE)
        self.r1 = r1
        self.use(None)

    def use(self, encoder, spread: float = 1.0) -> None:
        """Train against this encoder, whose features are divided by `spread`: best their standard deviation."""
        self.__dict__["encoder"], self.spread = encoder, spread  # not a submodule: its weights are not this model's

    def features(self, x: Tensor) -> Tensor:
        return self.encoder.features(x).float() / self.spread

    def loss(self, x0: Tensor, cond: Tensor | None = None, *, generator=None) -> Tensor:
        """The sum of all losses of all players, (B,)."""
        if self.encoder is None:
            raise ValueError("a stacked GAN learns from an encoder: give it one with use(classifier.for_data(data))")
        z_upper, z_lower = (noise(len(x0), self, NOISE, generator) for _ in range(2))
        with torch.no_grad():
            features = self.features(x0)
        made = self.upper(z_upper, self.condition(cond, z_upper)).float()
        fool, tell = game(self.upper_critic, features, made, cond, z_upper, self.r1)
        total = fool + tell
        if cond is not None:  # without one there is nothing that the features were made from
            head = self.encoder.head
            total = total + mismatch(head(self.spread * made), head(self.spread * features))
        picture = self.lower(z_lower, features).to(x0)
        fool, tell = game(self.lower_critic, x0, picture, None, z_lower, self.r1)
        return total + fool + tell + mismatch(self.features(picture), features)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, generator=None) -> Tensor:
        """n pictures, for the conditions cond (n,), (n, L) or None."""
        z_upper, z_lower = (noise(n, self, NOISE, generator) for _ in range(2))
        return self.lower(z_lower, self.upper(z_upper, self.condition(cond, z_upper))).float()


def mismatch(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared error of each, as a share of the variance of what was wanted, (B,)."""
    return (found - wanted).float().square().mean(1) / wanted.float().var()
