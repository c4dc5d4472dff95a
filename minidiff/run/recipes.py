"""What a new run is by default: a whole Config by the data and by the machine, on which what was asked for is laid."""

from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import torch

from .. import data
from ..device import pick
from ..nets import default_width
from ..stages.latent import STD
from ..text import one_of
from . import checkpoint, pretrained
from .config import Config, Diffusion, Text, Training, laid_over, net_options, values
from .models import AUTOENCODERS, CRITICS, MODELS, build, check_autoencoder, gains_by_critic


class Recipe(NamedTuple):
    """A net for colour photographs of about 32 x 32, how to train it, and the reason. `diffusion` is what of its path,
    target and times is not the usual."""

    why: str
    net: dict
    training: Training
    diffusion: dict = {}


PHOTOGRAPHS = {
    "flip": True,  # they have no left and right: twice the data
    "cooldown": 0.3,  # the last steps average the noise of the batches away; a third of the budget is well spent
}
RECIPES = {
    "unet-laptop": Recipe(
        "four pixels a position: a quarter of the cost of a U-Net of this width, which many cheap steps repay",
        {"name": "unet", "width": 96, "depth": 1, "levels": 2, "patch": 2},
        Training(batch=64, lr=2e-3, optimizer="muon", **PHOTOGRAPHS),
    ),
    "latents-laptop": Recipe(
        "a third of the numbers to learn, and the fine detail is the decoder's: what two cores make most of in minutes",
        {"name": "unet", "width": 80, "depth": 1, "levels": 2, "patch": 1},
        Training(batch=32, lr=2e-3, optimizer="muon", cooldown=0.3),
        {"schedule": "linear", "prediction": "flow", "times": "logit_normal"},
    ),
    "unet-minutes": Recipe(
        "the laptop's U-Net, twice as wide and deep: what a GPU learns most from in minutes",
        {"name": "unet", "width": 192, "depth": 2, "levels": 2, "patch": 2},
        Training(batch=256, lr=2e-3, optimizer="muon", **PHOTOGRAPHS),
    ),
    "unet-8gb": Recipe(
        "every pixel its own position; two blocks a level see further; batches that fill a GPU",
        {"name": "unet", "width": 128, "depth": 2, "levels": 3, "patch": 1},
        Training(batch=128, lr=1e-3, **PHOTOGRAPHS),
    ),
    "unet-24gb": Recipe(
        "of the size of EDM's CIFAR-10 net (56 million parameters, Karras et al. 2022) and half its batch",
        {"name": "unet", "width": 160, "depth": 3, "levels": 3, "patch": 1},
        Training(batch=256, lr=1e-3, **PHOTOGRAPHS),
    ),
    "dit-laptop": Recipe(
        "64 tokens: attention costs nothing, all of it is matrix products, which two cores do best",
        {"name": "dit", "width": 256, "depth": 8, "patch": 4},
        Training(batch=64, lr=2e-3, optimizer="muon", **PHOTOGRAPHS),
    ),
    "dit-8gb": Recipe(
        "DiT-S/2's shape (Peebles and Xie 2023): 256 tokens of 2 x 2 pixels for the detail; two parts to fit",
        {"name": "dit", "width": 384, "depth": 12, "patch": 2},
        Training(batch=128, parts=2, lr=5e-4, **PHOTOGRAPHS),
    ),
    "dit-24gb": Recipe(
        "DiT-B/2's shape (Peebles and Xie 2023); the batch in two parts, so that it fits with room for the optimizer",
        {"name": "dit", "width": 768, "depth": 12, "patch": 2},
        Training(batch=256, parts=2, lr=3e-4, **PHOTOGRAPHS),
    ),
}
OTHERS = {  # than diffusion: the net, and how it is trained
    "gan": ("dcgan", Training(lr=1e-3)),
    "stacked_gan": ("dcgan", Training(lr=1e-3, batch=32)),
    "vae": ("conv", Training(batch=32)),
    "vq": ("conv", Training(batch=32)),
    "ar": ("causal", Training(lr=1e-3)),
}
MAY_CHANGE = {f.name for f in fields(Training)} | {"times", "weighting", "p_uncond", "seed"}  # in a run from another's


def configure(
    spec: str, size: int | None = None, autoencoder: Path | None = None, device: str = "auto",
    model: str | None = None, net: str | None = None, recipe: str | None = None, **asked,
) -> tuple[Config, data.Data]:  # fmt: skip
    """The config of a new run on the data `spec`, and the data.

    With an `autoencoder`, a run, the model is of that one's latents of the data. `asked` are options of the config's
    sections and of the net, by name; None means the recipe's. Colour pictures without captions, of 24 pixels or more
    and a multiple of 4, have the recipe that suits the device, unless `recipe` names another.
    """
    model = model or "diffusion"
    one_of("model", model, MODELS)
    asked = {k: v for k, v in asked.items() if v is not None}
    first = None if autoencoder is None else checkpoint.read_config(autoencoder)
    if size is None and first is not None:
        size = data.size_for(spec, first.shape)
    dataset = data.load(spec, "train", size)
    if model not in ("diffusion", "gan") and len(dataset.shape) == 1:
        raise ValueError(f"--model {model} is for pictures, and {spec} has points: use gan or diffusion")
    if first is not None:
        check_autoencoder(model, first, dataset.shape)
    elif model == "ar":
        raise ValueError("--model ar models the tokens of a run of --model vq: give it as --autoencoder")
    about = {
        "data": spec, "shape": dataset.shape, "classes": list(dataset.classes), "model": model, "autoencoder": first,
        "size": data.size_for(spec, dataset.shape), "fingerprint": dataset.fingerprint(),
        "text": _text(spec, dataset, model, asked),
    }  # fmt: skip
    spread = round(data.std(dataset), 4)  # refuses what has nothing to learn
    if model == "diffusion":
        config = _diffusion(about, dataset, net, recipe, first, device, STD if first else spread)
    elif recipe is not None:
        raise ValueError(f"--recipe is not for --model {model}: leave it out")
    else:
        usual, training = OTHERS[model]
        width = 128 if len(dataset.shape) == 1 else None  # points' nets are small: their constructor's is of pictures
        config = Config(net=_net(model, net or usual, width), training=training, **about)
    return _checked(laid_over(config, asked), dataset), dataset


def configure_from(spec: str, start_from: str, **asked) -> tuple[Config, data.Data]:
    """The config of a new run on the data `spec` that begins with the weights of another, and the data. It has the
    choices of that run but for those of MAY_CHANGE that are asked for. Raises ValueError for others, and for data of
    another shape or with other labels."""
    was = checkpoint.read_config(pretrained.find(start_from))
    for name, value in asked.items():
        if name not in MAY_CHANGE and value != (found := values(was).get(name)):
            raise ValueError(f"{start_from}, to start from, has {name} {found}, not {value}: leave it out")
    dataset = data.load(spec, "train", data.size_for(spec, was.shape))
    for what, ours, theirs in (("shape", dataset.shape, was.shape), ("classes", dataset.classes, was.classes)):
        if list(ours) != list(theirs):
            raise ValueError(f"{spec} has {what} {list(ours)}, {start_from} was trained with {list(theirs)}")
    if dataset.captioned != (was.text is not None) and was.model not in AUTOENCODERS:
        raise ValueError(f"{start_from} was trained with{'out' if was.text is None else ''} captions, unlike {spec}")
    data.std(dataset)  # refuses what has nothing to learn
    config = laid_over(was, {k: v for k, v in asked.items() if k in MAY_CHANGE})
    text = was.text and replace(was.text, prompts=_prompts(dataset))
    about = {"size": data.size_for(spec, dataset.shape), "fingerprint": dataset.fingerprint()}
    return _checked(replace(config, data=spec, start_from=start_from, text=text, **about), dataset), dataset


def _checked(config: Config, dataset: data.Data) -> Config:
    """The config, if its flip fits the data and its optimizer the model."""
    if config.training.flip and (len(config.shape) != 3 or dataset.captioned or config.autoencoder is not None):
        raise ValueError("--flip mirrors pictures: not points or latents, nor what captions say is left or right")
    net = config.net
    judged = gains_by_critic(net["f"], net["critic"]) if config.model == "vae" else config.model in CRITICS
    if config.training.optimizer == "muon" and judged:
        raise ValueError(
            "--optimizer muon is not for models that learn from a critic, whose ends it would take for inner layers"
        )
    return config


def _diffusion(about: dict, dataset, net, recipe, first, device, sigma_data) -> Config:
    """Of a diffusion model: by a recipe where there is one, else small enough for two CPU cores."""
    shape = dataset.shape if first is None else build(first).latent_shape
    diffusion = Diffusion(sigma_data=sigma_data)
    if name := _recipe_name(dataset, net, recipe, first, device):
        made = RECIPES[name]
        net = _net("diffusion", made.net["name"], None) | made.net
        diffusion = replace(diffusion, **made.diffusion)
        return Config(net=net, training=made.training, diffusion=diffusion, recipe=name, **about)
    net = net or ("mlp" if len(shape) == 1 else "dit" if dataset.captioned else "unet")
    training = Training(lr=1e-3 if net in ("mlp", "dit", "transformer") else 2e-3, batch=512 if net == "mlp" else 64)
    chosen = _net("diffusion", net, default_width(net, shape))
    if dataset.captioned:
        # small batches, and more of the times at which the words decide what to draw: those of much noise
        training, diffusion = replace(training, batch=32), replace(diffusion, times="noisy_lognormal")
    if dataset.captioned and net == "dit":
        training = replace(training, lr=2e-3)
        chosen["patch"] = next(p for p in (4, 3, 2, 1) if shape[-1] % p == 0 and p <= max(1, shape[-1] // 4))
    return Config(net=chosen, training=training, diffusion=diffusion, **about)


def _net(model: str, net: str, width: int | None) -> dict:
    """A net's name, and the defaults of its constructor where they do not depend on the data."""
    one_of("net", net, MODELS[model])
    options = {name: p.default for name, p in net_options(model, net).items() if p.default is not None}
    return {"name": net} | options | ({} if width is None else {"width": width})


def _recipe_name(dataset, net: str | None, recipe: str | None, first: Config | None, device: str) -> str | None:
    """The recipe that was asked for or, for colour photographs, suits the device."""
    photographs = len(dataset.shape) == 3 and dataset.shape[0] == 3 and dataset.shape[1] >= 24
    if recipe is None:
        if not photographs or dataset.captioned or dataset.shape[1] % 4 or net not in (None, "unet", "dit"):
            return None
        if first is not None:
            return "latents-laptop" if net != "dit" and first.net["f"] == 2 else None
        return _suits(net or "unet", device)
    one_of("recipe", recipe, RECIPES)
    if dataset.captioned or len(dataset.shape) != 3:
        raise ValueError(f"recipe {recipe} is for pictures with labels or without, not for captions or points")
    if recipe.startswith("latents") != (first is not None):
        raise ValueError(f"recipe {recipe} is for {'pixels: leave out' if first else 'latents: give'} --autoencoder")
    if net not in (None, found := RECIPES[recipe].net["name"]):
        raise ValueError(f"recipe {recipe} is of net {found}, not {net}: leave the net out")
    return recipe


def _suits(net: str, device: str) -> str:
    where = pick(device)
    if where.type != "cuda":
        return f"{net}-laptop"
    if net == "unet":
        return "unet-minutes"  # the larger ones are for hours
    return f"{net}-24gb" if torch.cuda.get_device_properties(where).total_memory > 20e9 else f"{net}-8gb"


def _text(spec: str, dataset, model: str, asked: dict) -> Text | None:
    """How a run on captions reads them, their words, and eight to draw while it trains."""
    if not dataset.captioned or model in AUTOENCODERS:
        if given := {"text_mode", "text_encoder"} & set(asked):
            raise ValueError(f"{spec} has no captions to read: leave out the {sorted(given)[0].replace('_', ' ')}")
        return None
    if model != "diffusion" and "text_mode" in asked:
        raise ValueError(f"--text-mode is not for --model {model}: leave it out")
    words, length = ([], 0) if "text_encoder" in asked else dataset.vocabulary()
    mode = {"diffusion": "cross", "ar": "tokens"}.get(model, "pooled")
    return Text(mode, words=words, length=length, prompts=_prompts(dataset))


def _prompts(dataset: data.Data) -> list[str]:
    """Eight of the captions."""
    return list(dataset.batch(8, torch.Generator().manual_seed(0))[1])
