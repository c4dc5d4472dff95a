"""The kinds of model a run can train, and how one is made of the run's config."""

from functools import partial

import torch
from torch import nn

from ..data import Data
from ..denoise import Denoiser
from ..measure import classifier
from ..nets import NETS, build
from ..nets import default_width as net_width
from ..nets.text import encoder_for
from ..schedules import SCHEDULES
from ..stages import perceptual
from ..stages.autoencoder import Autoencoder
from ..stages.autoregressive import Causal
from ..stages.gan import GAN, GENERATORS
from ..stages.latent import Latent
from ..stages.stacked import StackedGAN

MODELS = {  # kind -> its nets
    "diffusion": NETS,
    "gan": GENERATORS,
    "stacked_gan": GENERATORS,
    "vae": ("conv",),
    "vq": ("conv",),
    "ar": ("causal",),
}


def default_width(kind: str, net: str, shape: tuple[int, ...]) -> int:
    """A width that two CPU cores train well in minutes."""
    if kind == "diffusion":
        return net_width(net, shape)
    return {"ar": 128, "gan": 128 if len(shape) == 1 else 64}.get(kind, 32)


def new_model(config, tokenizer=None, first_stage=None) -> nn.Module:
    """The untrained model of a checkpoint.Config; its initial weights depend on the seed alone.

    tokenizer reads the captions, if there are any; first_stage is the config of the autoencoder whose latents the model
    is of: that comes back in it, untrained as well.
    """
    shape = config.shape
    autoencoder = None
    if first_stage is not None:
        autoencoder = new_model(first_stage)
        shape = autoencoder.latent_shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _new(config, shape, tokenizer, first_stage)
    return model if autoencoder is None else Latent(model, autoencoder)


def _new(config, shape, tokenizer, first_stage):
    classes, text = len(config.classes) or None, None if tokenizer is None else partial(encoder_for, tokenizer)
    if config.model in ("gan", "stacked_gan"):
        make = GAN if config.model == "gan" else StackedGAN
        return make(shape, classes, text, config.width, config.net)
    if config.model in ("vae", "vq"):
        codes = config.codes if config.model == "vq" else None
        # four numbers for 2 x 2 pixels lose so little that |x - y| brings it back better alone
        plain = {"adversarial": 0.0} if config.model == "vae" and config.f <= 2 else {}
        return Autoencoder(shape, config.f, config.dim, config.width, codes, **plain)
    if config.model == "ar":
        return Causal(shape, first_stage.codes, classes, text and text(), config.width)
    net = build(
        config.net, shape, classes, config.width, config.seed,
        patch=config.patch, depth=config.depth, levels=config.levels, tokenizer=tokenizer, way=config.way,
    )  # fmt: skip
    return Denoiser(net, SCHEDULES[config.schedule](), config.prediction, config.sigma_data)


def attach(model: nn.Module, train: Data, device) -> None:
    """Give a model the networks that its training looks through and that are not its own."""
    if isinstance(model, Autoencoder) and model.critic is not None:
        model.use(perceptual.distance_for(train, device))
    if isinstance(model, StackedGAN):
        encoder = classifier.for_data(train, device, seed=1).requires_grad_(False)
        x, _ = classifier.lesson(train, 512, torch.Generator().manual_seed(0))
        model.use(encoder, classifier.judge(encoder, x)[0].std().item())


def check_first_stage(kind: str, first, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the run of config `first` is an autoencoder for pictures of `shape` that a model of this
    kind can stand on."""
    if first.model not in ("vae", "vq"):
        raise ValueError(f"--autoencoder takes a run of --model vae or vq, and this one is of {first.model}")
    if tuple(first.shape) != tuple(shape):
        raise ValueError(
            f"the autoencoder is for pictures of shape {tuple(first.shape)}, these have {tuple(shape)}: its latents "
            "do not fit them; give --size, or train another"
        )
    wanted = {"diffusion": "vae", "ar": "vq"}.get(kind)
    if wanted is None:
        raise ValueError(f"--model {kind} models pictures, not latents: leave --autoencoder out")
    if first.model != wanted:
        what = "latents that are numbers" if wanted == "vae" else "tokens"
        raise ValueError(f"--model {kind} needs {what}, of --model {wanted}: this autoencoder is a {first.model}")
