"""Several stages, p(x) = integral of p(z) p(x|z) dz: autoencoders, and priors over what they make of pictures."""

from .autoencoder import Autoencoder
from .autoregressive import Causal
from .gan import GAN
from .latent import Latent, Latents, latents_of
from .stacked import StackedGAN

__all__ = ["GAN", "Autoencoder", "Causal", "Latent", "Latents", "StackedGAN", "latents_of"]
