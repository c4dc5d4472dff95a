"""Models in several stages, p(x) = integral of p(z) p(x|z) dz: autoencoders, GANs, and priors over latents or tokens.
They know the core, nets, data and measure, and may be used by run. What a run trains has `prepare(data, device)`,
`loss(x0, cond, generator=...)` and `sample(n, cond, generator)`."""

from .autoencoder import Autoencoder
from .autoregressive import Causal
from .gan import GAN
from .latent import Latent, Latents, latents_of
from .stacked import StackedGAN

__all__ = ["GAN", "Autoencoder", "Causal", "Latent", "Latents", "StackedGAN", "latents_of"]
