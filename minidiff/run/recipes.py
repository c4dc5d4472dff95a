"""What a new run is by default: the net, its size and how it is trained, by the data and by the machine."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from .. import data
from ..device import pick
from ..stages.latent import STD
from . import checkpoint, pretrained
from .checkpoint import Config
from .models import MODELS, check_first_stage, default_width


@dataclass(frozen=True)
class Recipe:
    """A net for colour photographs of about 32 x 32 and how to train it: a Config's fields, and the reason."""

    why: str
    net: str
    width: int
    depth: int
    patch: int
    batch: int
    lr: float
    levels: int | None = None
    optimizer: str = "adamw"
    parts: int = 1
    flip: bool = True  # photographs have no left and right: twice the data
    cooldown: float = 0.3  # the last steps average the noise of the batches away; a third of the budget is well spent

    def choices(self) -> dict:
        return {k: v for k, v in asdict(self).items() if k != "why" and v is not None}


RECIPES = {
    "unet-laptop": Recipe(
        "four pixels a position: a quarter of the cost of a U-Net of this width, which many cheap steps repay",
        net="unet", width=96, depth=1, levels=2, patch=2, batch=64, lr=2e-3, optimizer="muon",
    ),
    "latents-laptop": Recipe(
        "a third of the numbers to learn, and the fine detail is the decoder's: what two cores make most of in minutes",
        net="unet", width=80, depth=1, levels=2, patch=1, batch=64, lr=2e-3, optimizer="muon", flip=False,
    ),
    "unet-minutes": Recipe(
        "the laptop's U-Net, twice as wide and deep: what a GPU learns most from in minutes",
        net="unet", width=192, depth=2, levels=2, patch=2, batch=256, lr=2e-3, optimizer="muon",
    ),
    "unet-8gb": Recipe(
        "every pixel its own position; two blocks a level see further; batches that fill a GPU",
        net="unet", width=128, depth=2, levels=3, patch=1, batch=128, lr=1e-3,
    ),
    "unet-24gb": Recipe(
        "of the size of EDM's CIFAR-10 net (56 million parameters, Karras et al. 2022) and half its batch",
        net="unet", width=160, depth=3, levels=3, patch=1, batch=256, lr=1e-3,
    ),
    "dit-laptop": Recipe(
        "64 tokens: attention costs nothing, all of it is matrix products, which two cores do best",
        net="dit", width=256, depth=8, patch=4, batch=64, lr=2e-3, optimizer="muon",
    ),
    "dit-8gb": Recipe(
        "DiT-S/2's shape (Peebles and Xie 2023): 256 tokens of 2 x 2 pixels for the detail; two parts to fit",
        net="dit", width=384, depth=12, patch=2, batch=128, parts=2, lr=5e-4,
    ),
    "dit-24gb": Recipe(
        "DiT-B/2's shape (Peebles and Xie 2023); the batch in two parts, so that it fits with room for the optimizer",
        net="dit", width=768, depth=12, patch=2, batch=256, parts=2, lr=3e-4,
    ),
}  # fmt: skip
DEFAULTS = {"mlp": {"batch": 512, "lr": 1e-3}, "transformer": {"lr": 1e-3}, "dit": {"lr": 1e-3}}  # by net
# small batches, and more of the times at which the words decide what to draw: those of much noise
CAPTIONED = {"net": "dit", "way": "cross", "batch": 32, "times": "noisy_lognormal"}
CAPTIONED_DIT = {"width": 128, "lr": 2e-3}
OTHERS = {  # than diffusion
    "gan": {"net": "dcgan", "lr": 1e-3},
    "stacked_gan": {"net": "dcgan", "lr": 1e-3, "batch": 32},
    "vae": {"net": "conv", "batch": 32, "f": 4, "dim": 4},
    "vq": {"net": "conv", "batch": 32, "f": 4, "dim": 8, "codes": 256},
    "ar": {"net": "causal", "lr": 1e-3},
}
TRAINING = ("batch", "lr", "optimizer", "times", "p_uncond", "seed", "parts", "flip", "cooldown")  # not what it is
BELONGS = {"f": ("vae", "vq"), "dim": ("vae", "vq"), "codes": ("vq",)} | {
    name: ("diffusion",)
    for name in ("schedule", "prediction", "times", "p_uncond", "patch", "depth", "levels", "way", "recipe")
}


def configure(
    spec: str, size: int | None = None, autoencoder: Path | None = None, device: str = "auto", **choices
) -> tuple[Config, data.Data]:
    """The config of a new run on the data `spec`, and the data; a choice of None means the default. With an
    `autoencoder`, a run, the model is of that one's latents of the data. Colour pictures of 24 pixels or more are
    trained on by the recipe that suits the device, unless `recipe` names another."""
    choices = {k: v for k, v in choices.items() if v is not None}
    kind = choices.setdefault("model", "diffusion")
    if kind not in MODELS:
        raise ValueError(f"unknown model {kind!r}: choose from {', '.join(MODELS)}")
    first = None if autoencoder is None else checkpoint.read_config(autoencoder)
    dataset = data.load(spec, "train", size or (first and _side(spec, first.shape)))
    _check(spec, dataset, kind, choices, first)
    shape, sigma_data = dataset.shape, round(data.std(dataset), 4)
    if first is not None:
        check_first_stage(kind, first, shape)
        shape, sigma_data = checkpoint.new_model(first).latent_shape, STD
        choices["first_stage"] = asdict(first)
    elif kind == "ar":
        raise ValueError("--model ar models the tokens of a run of --model vq: give it as --autoencoder")
    choices = _recipe(choices, dataset, first, device) | choices
    choices = OTHERS.get(kind, {}) | _for_captions(spec, dataset, choices, shape) | choices
    choices.setdefault("net", "mlp" if len(shape) == 1 else "unet")
    width = default_width(kind, choices["net"], shape)
    choices = {"width": width} | DEFAULTS.get(choices["net"], {}) | choices
    found = {"size": _side(spec, dataset.shape), "fingerprint": dataset.fingerprint()}
    return Config(spec, dataset.shape, list(dataset.classes), sigma_data, **found, **choices), dataset


def configure_from(spec: str, start_from: str, **choices) -> tuple[Config, data.Data]:
    """The config of a new run on the data `spec` that begins with the weights of another, and the data. It has the
    choices of that run but for those of TRAINING that are given. Raises ValueError for others, and for data of another
    shape or with other labels."""
    was = checkpoint.read_config(pretrained.find(start_from))
    given = {k: v for k, v in choices.items() if v is not None}
    for name, value in given.items():
        if name not in TRAINING and value != getattr(was, name):
            raise ValueError(f"{start_from}, to start from, has {name} {getattr(was, name)}, not {value}: leave it out")
    dataset = data.load(spec, "train", _side(spec, was.shape))
    for what, ours, theirs in (("shape", dataset.shape, was.shape), ("classes", dataset.classes, was.classes)):
        if list(ours) != list(theirs):
            raise ValueError(f"{spec} has {what} {list(ours)}, {start_from} was trained with {list(theirs)}")
    if dataset.captioned != (was.way is not None) and was.model not in ("vae", "vq"):
        raise ValueError(f"{start_from} was trained with{'out' if was.way is None else ''} captions, unlike {spec}")
    _check(spec, dataset, was.model, {"flip": was.flip} | given, was.first_stage)
    data.std(dataset)  # refuses what has nothing to learn
    given |= {"size": _side(spec, dataset.shape), "fingerprint": dataset.fingerprint()}
    if was.way is not None:
        given["prompts"] = _prompts(dataset)
    return replace(was, **given, data=spec, start_from=start_from), dataset


def _check(spec: str, dataset: data.Data, kind: str, choices: dict, first_stage) -> None:
    """Raise ValueError for choices that a new model of this kind, whichever way it begins, cannot have on the data."""
    for name in sorted(set(choices) & set(BELONGS)):
        if kind not in BELONGS[name]:
            raise ValueError(f"--{name.replace('_', '-')} is not for --model {kind}: leave it out")
    if kind in OTHERS and len(dataset.shape) == 1 and kind != "gan":
        raise ValueError(f"--model {kind} is for pictures, and {spec} has points: use gan or diffusion")
    if choices.get("flip") and (len(dataset.shape) != 3 or dataset.captioned or first_stage is not None):
        raise ValueError("--flip mirrors pictures: not points or latents, nor what captions say is left or right")


def _side(spec: str, shape: tuple[int, ...]) -> int | None:
    """The size to ask for to have pictures of `shape`, if that can be asked for."""
    return shape[-1] if data.sizable(spec) else None


def _recipe(choices: dict, dataset: data.Data, first: Config | None, device: str) -> dict:
    """The choices of the recipe that was asked for or, for colour photographs, suits the device."""
    name, net = choices.get("recipe"), choices.get("net", "unet")
    if name is None:
        photographs = len(dataset.shape) == 3 and dataset.shape[0] == 3 and dataset.shape[1] >= 24
        if not photographs or dataset.captioned or dataset.shape[1] % 4:
            return {}
        if choices["model"] != "diffusion" or net not in ("unet", "dit") or (first and (net, first.f) != ("unet", 2)):
            return {}
        name = "latents-laptop" if first else _recipe_for(net, device)
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}: choose from {', '.join(RECIPES)}")
    if dataset.captioned or len(dataset.shape) != 3:
        raise ValueError(f"recipe {name} is for pictures with labels or without, not for captions or points")
    if name.startswith("latents") != (first is not None):
        raise ValueError(f"recipe {name} is for {'pixels: leave out' if first else 'latents: give'} --autoencoder")
    found = RECIPES[name].choices()
    if choices.get("net", found["net"]) != found["net"]:
        raise ValueError(f"recipe {name} is of net {found['net']}, not {choices['net']}: leave the net out")
    return found | {"recipe": name}


def _recipe_for(net: str, device: str) -> str:
    where = pick(device)
    if where.type != "cuda":
        return f"{net}-laptop"
    if net == "unet":
        return "unet-minutes"  # the larger ones are for hours
    return f"{net}-24gb" if torch.cuda.get_device_properties(where).total_memory > 20e9 else f"{net}-8gb"


def _for_captions(spec, dataset, choices, shape) -> dict:
    """What a run on captions has beside: how they are read, their words, and eight to draw while it trains."""
    if not dataset.captioned or choices["model"] in ("vae", "vq"):
        if given := {"way", "text_encoder"} & set(choices):
            raise ValueError(f"{spec} has no captions to read: leave out the {sorted(given)[0].replace('_', ' ')}")
        return {}
    words, length = ([], 0) if "text_encoder" in choices else dataset.vocabulary()
    found = {"words": words, "length": length, "prompts": _prompts(dataset)}
    if choices["model"] != "diffusion":
        return found | {"way": "tokens" if choices["model"] == "ar" else "pooled"}
    patch = next(p for p in (4, 3, 2, 1) if shape[-1] % p == 0 and p <= max(1, shape[-1] // 4))
    dit = CAPTIONED_DIT | {"patch": patch} if choices.get("net", "dit") == "dit" else {}
    return found | CAPTIONED | dit


def _prompts(dataset: data.Data) -> list[str]:
    """Eight of the captions."""
    return list(dataset.batch(8, torch.Generator().manual_seed(0))[1])
