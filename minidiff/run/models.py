"""The kinds of model a run can train, and how one is built of the run's config.

Whatever a run trains has `loss(x0, cond, generator=...) -> (B,)` and `sample(n, cond, generator, **options)`. What is
trained on more than the data's batches also has `prepare(data, device)`, which returns what it is trained on.
"""

from functools import partial

from torch import Tensor, nn

from ..denoise import TIMES, WEIGHTINGS, Denoiser
from ..device import seeded
from ..nets import NETS
from ..nets import build as build_net
from ..nets.text import ClipTokenizer, encoder_for
from ..schedules import SCHEDULES
from ..stages.autoencoder import Autoencoder
from ..stages.autoregressive import Causal
from ..stages.gan import GAN, GENERATORS
from ..stages.latent import Latent
from ..stages.stacked import StackedGAN
from ..text import Tokenizer
from .generate import from_noise

# Constructors of what is no net of a diffusion model: (shape, number of classes or None, a function that makes a text
# encoder or None), of `causal` also the size of the codebook. Their keywords are options of `train`.


def gan(make, generator, shape, classes, text, *, width: int = 64):
    return make(shape, classes, text, width, generator)


def gains_by_critic(f: int, critic: bool) -> bool:
    """Whether a VAE learns from a critic: at f of 1 or 2 so little is lost that |x - y| alone reconstructs better."""
    return critic and f > 2


def vae(shape, classes, text, *, f: int = 4, dim: int = 4, width: int = 32, critic: bool = True):
    return Autoencoder(shape, f, dim, width, **({} if gains_by_critic(f, critic) else {"adversarial": 0.0}))


def vq(shape, classes, text, *, f: int = 4, dim: int = 8, codes: int = 256, width: int = 32):
    return Autoencoder(shape, f, dim, width, codes)


def causal(shape, classes, text, codes, *, width: int = 128, depth: int = 6):
    return Causal(shape, codes, classes, text and text(), width, depth)


MODELS = {  # kind -> its nets by name
    "diffusion": NETS,
    "gan": {name: partial(gan, GAN, name) for name in GENERATORS},
    "stacked_gan": {name: partial(gan, StackedGAN, name) for name in GENERATORS},
    "vae": {"conv": vae},
    "vq": {"conv": vq},
    "ar": {"causal": causal},
}
AUTOENCODERS = ("vae", "vq")
CRITICS = ("gan", "stacked_gan", "vq")  # kinds that learn from one, whatever their options


class DiffusionModel(Denoiser):
    """A Denoiser that knows the shape of what it draws, and of which noise levels its loss is."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...], chosen):
        """chosen: the config's section on diffusion."""
        super().__init__(net, SCHEDULES[chosen.schedule](), chosen.prediction, chosen.sigma_data)
        self.shape, self.p_uncond = tuple(shape), chosen.p_uncond
        self.times, self.weight = TIMES[chosen.times], WEIGHTINGS[chosen.weighting]
        if chosen.weighting == "edm":
            self.weight = partial(self.weight, sigma_data=chosen.sigma_data)

    def loss(self, x0: Tensor, cond: Tensor | None = None, **options) -> Tensor:
        chosen = {"times": self.times, "p_uncond": self.p_uncond, "weight": self.weight}
        return super().loss(x0, cond, **(chosen | options))

    def sample(self, n: int, cond: Tensor | None = None, generator=None, **options) -> Tensor:
        """n samples (n, *shape); the options are from_noise's."""
        return from_noise(self, self.shape, n, cond, generator, **options)


def tokenizer_of(config) -> Tokenizer | ClipTokenizer | None:
    """What makes a condition of a caption; None for a run without captions."""
    if config.text is None:
        return None
    if config.text.text_encoder is not None:
        return ClipTokenizer(config.text.text_encoder.removeprefix("clip:"))
    return Tokenizer(config.text.words, config.text.length)


def build(config) -> nn.Module:
    """The untrained model of a Config; its initial weights depend on the seed alone."""
    autoencoder = None if config.autoencoder is None else build(config.autoencoder)
    shape = config.shape if autoencoder is None else autoencoder.latent_shape
    tokenizer, options, classes = tokenizer_of(config), dict(config.net), len(config.classes) or None
    name = options.pop("name")
    with seeded(config.seed):
        if config.model == "diffusion":
            if tokenizer is not None:
                options |= {"tokenizer": tokenizer, "text_mode": config.text.text_mode}
            model = DiffusionModel(build_net(name, shape, classes, config.seed, **options), shape, config.diffusion)
        else:
            encoder = None if tokenizer is None else lambda: encoder_for(tokenizer)
            codes = [config.autoencoder.net["codes"]] if config.model == "ar" else []
            model = MODELS[config.model][name](shape, classes, encoder, *codes, **options)
    return model if autoencoder is None else Latent(model, autoencoder)


def check_autoencoder(model: str, first, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the run of config `first` is an autoencoder for pictures of `shape` that a model of this
    kind can stand on."""
    if first.model not in AUTOENCODERS:
        raise ValueError(f"--autoencoder takes a run of --model vae or vq, and this one is of {first.model}")
    if first.shape != tuple(shape):
        raise ValueError(
            f"the autoencoder is for pictures of shape {first.shape}, these have {tuple(shape)}: its latents "
            "do not fit them; give --size, or train another"
        )
    wanted = {"diffusion": "vae", "ar": "vq"}.get(model)
    if wanted is None:
        raise ValueError(f"--model {model} models pictures, not latents: leave --autoencoder out")
    if first.model != wanted:
        what = "latents that are numbers" if wanted == "vae" else "tokens"
        raise ValueError(f"--model {model} needs {what}, of --model {wanted}: this autoencoder is a {first.model}")
