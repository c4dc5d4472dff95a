"""Stacked GANs (Huang et al. 2017): one GAN makes the features of an encoder, another the picture of the features."""

import torch
from torch import Tensor, nn

from ..measure import classifier
from .gan import NOISE, Condition, Critic, PointGenerator, adversarial_losses, new_generator, noise

FEATURES = 128  # of classifier.Classifier


class StackedGAN(nn.Module):
    """Noise and condition -> features (B, 128) -> picture (B, C, H, W): two generators, each with its own critic.

    Each generator has three losses, as in the paper: the adversarial loss; the *conditional* loss, that the encoder
    finds in its output what it was made of; and the *entropy* loss, that the critic can guess its noise. Both are
    trained at once, the lower one on real features. `text` makes a text encoder.

    The encoder is a trained classifier.Classifier. Training needs it and sampling does not: it is not saved.
    """

    betas = (0.0, 0.99)  # of Adam, as GAN's

    def __init__(self, shape, classes=None, text=None, width: int = 32, generator: str = "dcgan", r1: float = 1.0):
        super().__init__()
        self.condition = Condition(NOISE, classes, text and text())
        self.upper = PointGenerator((FEATURES,), self.condition.dim, 4 * width)
        self.upper_critic = Critic((FEATURES,), 4 * width, classes, text and text(), guess=NOISE)
        self.lower = new_generator(generator, shape, FEATURES, width)
        self.lower_critic = Critic(shape, width, guess=NOISE)
        self.r1 = r1
        self.use(None)

    def prepare(self, data, device):
        """It is trained on the data, against a classifier of them."""
        encoder = classifier.for_data(data, device, seed=1).requires_grad_(False)
        x, _ = classifier.training_batch(data, 512, torch.Generator().manual_seed(0))
        self.use(encoder, classifier.extract(encoder, x)[0].std().item())
        return data

    def use(self, encoder, spread: float = 1.0) -> None:
        """Train against this encoder, whose features are divided by `spread`: best their standard deviation."""
        self.__dict__["encoder"], self.spread = encoder, spread  # not a submodule: its weights are not this model's

    def features(self, x: Tensor) -> Tensor:
        """(B, 128), of about unit variance."""
        return self.encoder.features(x).float() / self.spread

    def loss(self, x0: Tensor, cond: Tensor | None = None, *, generator=None) -> Tensor:
        """The sum of all losses of both generators and critics, (B,)."""
        if self.encoder is None:
            raise ValueError("a stacked GAN learns from an encoder: give it one with use(classifier.for_data(data))")
        z_upper, z_lower = (noise(len(x0), self, generator) for _ in range(2))
        with torch.no_grad():
            features = self.features(x0)
        # upper: noise to features
        made = self.upper(z_upper, self.condition(cond, z_upper)).float()
        generator_loss, critic_loss = adversarial_losses(self.upper_critic, features, made, cond, z_upper, self.r1)
        total = generator_loss + critic_loss
        if cond is not None:  # without one there is nothing that the features were made of
            head = self.encoder.head
            total = total + mismatch(head(self.spread * made), head(self.spread * features))
        # lower: noise and real features to the picture
        picture = self.lower(z_lower, features).to(x0)
        generator_loss, critic_loss = adversarial_losses(self.lower_critic, x0, picture, None, z_lower, self.r1)
        return total + generator_loss + critic_loss + mismatch(self.features(picture), features)

    @torch.no_grad()
    def sample(self, n: int, cond: Tensor | None = None, generator=None) -> Tensor:
        """n pictures, for the conditions cond (n,), (n, L) or None."""
        z_upper, z_lower = (noise(n, self, generator) for _ in range(2))
        return self.lower(z_lower, self.upper(z_upper, self.condition(cond, z_upper))).float()


def mismatch(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared error of each, as a share of the variance of what was wanted, (B,)."""
    return (found - wanted).float().square().mean(1) / wanted.float().var()
