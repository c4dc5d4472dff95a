"""What defines a run: one nested dataclass, and config.json is exactly that.

A recipe (see recipes) makes a whole Config; `laid_over` puts what the user asked for on top. The fields of the sections
are options of `train` by their own names, and so is every keyword of the net's constructor.
"""

import inspect
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from types import UnionType
from typing import get_args, get_origin, get_type_hints

from ..denoise import PREDICTIONS, TIMES, WEIGHTINGS
from ..optim import OPTIMIZERS
from ..schedules import SCHEDULES
from ..text import TEXT_MODES, one_of
from .models import MODELS
from .options import option

VERSION = 2  # of config.json; version 1 had no number in it, and no sections


@dataclass
class Diffusion:
    """How noise is added, what the net predicts, and of which noise levels its loss is."""

    schedule: str = option("vp", "the path from data to noise")
    prediction: str = option("edm", "what the net puts out")
    times: str = option("lognormal", "noise levels drawn in training")
    weighting: str = option("own", "of the loss by noise level; own is that of the prediction")
    p_uncond: float = option(0.1, "how often the label or caption is dropped")
    sigma_data: float = 0.5  # the standard deviation of the data

    def __post_init__(self):
        tables = {"schedule": SCHEDULES, "prediction": PREDICTIONS, "times": TIMES, "weighting": WEIGHTINGS}
        for name, known in tables.items():
            one_of(name, getattr(self, name), known)
        if not 0 <= self.p_uncond <= 1:
            raise ValueError(f"p_uncond is a probability between 0 and 1, got {self.p_uncond}")


@dataclass
class Training:
    """How the weights are found."""

    batch: int = option(64, "batch size")
    lr: float = option(2e-3, "learning rate")
    optimizer: str = option("adamw", "adamw or muon")
    parts: int = option(1, "into which each batch is cut, one after the other, each with its own random stream")
    flip: bool = option(False, "mirror half the pictures")
    cooldown: float = option(0.0, "share of the time, at its end, in which the learning rate falls to 0")

    def __post_init__(self):
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        for name, least in (("lr", 1e-12), ("batch", 1), ("parts", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least:g}, got {getattr(self, name)}")
        if self.batch % self.parts:
            raise ValueError(f"a batch of {self.batch} cannot be cut into {self.parts} equal parts")
        if not 0 <= self.cooldown <= 1:
            raise ValueError(f"cooldown is a share of the training between 0 and 1, got {self.cooldown}")


@dataclass
class Text:
    """How captions are read."""

    text_mode: str = option("cross", "how the net takes captions in: cross, tokens or pooled")
    text_encoder: str | None = option(None, "clip:PATH, a folder with CLIP, or one that is trained with the net")
    words: list[str] = field(default_factory=list)  # the vocabulary of that one
    length: int = 0  # and the most words it reads
    prompts: list[str] = field(default_factory=list)  # eight captions, drawn as training goes

    def __post_init__(self):
        one_of("text mode", self.text_mode, TEXT_MODES)
        if self.text_encoder is not None and not self.text_encoder.startswith("clip:"):
            raise ValueError(f"unknown text encoder {self.text_encoder!r}: give clip:PATH, or leave it out")


@dataclass
class Config:
    """A run: the data and what was found in them, the model, and how it is trained."""

    data: str
    shape: tuple[int, ...]  # of the data: pictures, where the model is of their latents
    classes: list[str]
    net: dict  # its name and its constructor's keywords
    training: Training
    model: str = "diffusion"
    diffusion: Diffusion | None = None
    text: Text | None = None  # None without captions
    autoencoder: "Config | None" = None  # of whose latents the model is
    size: int | None = None  # asked of the data, where that can be
    seed: int = 0
    recipe: str | None = None
    start_from: str | None = None  # the run, or the model that comes with minidiff, with whose weights this began
    fingerprint: str | None = None  # by which the data are known again; None of points
    version: int = VERSION

    def __post_init__(self):
        self.shape, self.classes = tuple(self.shape), list(self.classes)
        one_of("model", self.model, MODELS)
        one_of("net", self.net.get("name"), MODELS[self.model])
        for needs, name in (("diffusion", "diffusion"), ("ar", "autoencoder")):
            if self.model == needs and getattr(self, name) is None:
                raise ValueError(f"a model of kind {needs} needs its section {name}")
        for name, keyword in net_options(self.model, self.net["name"]).items():
            kind = _plain(keyword.annotation)
            if name in self.net and not isinstance(self.net[name], kind):
                raise ValueError(f"{name} is of the wrong type: {self.net[name]!r} is no {kind.__name__}")
            if kind is int and self.net.get(name, 1) < 1:
                raise ValueError(f"{name} must be at least 1, got {self.net[name]}")
        if self.size is not None and self.size < 4:
            raise ValueError(f"size must be at least 4, got {self.size}")


SECTIONS = {"training": Training, "diffusion": Diffusion, "text": Text}


def net_options(model: str, net: str) -> dict[str, inspect.Parameter]:
    """The options of a net, by name: the keywords of its constructor, but for text_mode, which is the text's."""
    known = inspect.signature(MODELS[model][net]).parameters
    return {name: p for name, p in known.items() if p.kind is p.KEYWORD_ONLY and name != "text_mode"}


def _plain(hint):
    """Of T | None it is T."""
    return get_args(hint)[0] if isinstance(hint, UnionType) else hint


def every_net_option() -> dict[str, tuple[type, str]]:
    """The options of all nets: name -> type, and which nets have it."""
    found = {}
    for model, nets in MODELS.items():
        for net in nets:
            for name, keyword in net_options(model, net).items():
                found.setdefault(name, (_plain(keyword.annotation), []))[1].append(net)
    return {name: (kind, "of net " + ", ".join(dict.fromkeys(nets))) for name, (kind, nets) in found.items()}


def values(config: Config) -> dict[str, object]:
    """All fields of the config, its sections and its net, by name; the autoencoder's config as a dictionary."""
    found = asdict(config)
    for section in SECTIONS:
        found |= found.pop(section) or {}
    net = found.pop("net")
    return found | {"net": net.pop("name")} | net


def laid_over(config: Config, given: dict[str, object]) -> Config:
    """The config with what was asked for, by name, in its place. Raises ValueError for what it has no place for."""
    changed, rest = {}, dict(given)
    own = {f.name for f in fields(Config)} - {*SECTIONS, "net"}
    changed |= {name: rest.pop(name) for name in own & set(rest)}
    for name, section in SECTIONS.items():
        mine = {f.name: rest.pop(f.name) for f in fields(section) if f.name in rest}
        if mine and getattr(config, name) is None:
            why = "captions are not what it is of" if name == "text" else f"it has no {name}"
            raise ValueError(f"--{_dashed(next(iter(mine)))} is not for --model {config.model}: {why}; leave it out")
        if mine:
            changed[name] = replace(getattr(config, name), **mine)
    known = net_options(config.model, config.net["name"])
    for name in rest:
        if name not in known:
            options = ", ".join(f"--{_dashed(k)}" for k in known) or "none"
            raise ValueError(
                f"--{_dashed(name)} is not for --model {config.model}, net {config.net['name']}: that has {options}"
            )
    return replace(config, **changed, net=config.net | rest)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def from_json(raw) -> Config:
    """The Config that asdict wrote. Raises ValueError for what is none, or of another version."""
    if not isinstance(raw, dict):
        raise ValueError("it is not a JSON object")
    if (version := raw.get("version", 1)) != VERSION:
        raise ValueError(
            f"it is of version {version}, and this minidiff reads version {VERSION}: use the minidiff that wrote it"
        )
    return _read(Config, raw)


def _read(cls: type, raw: dict):
    """The dataclass of these values, sections as dictionaries. Raises ValueError unless keys and types are its own."""
    hints, known = get_type_hints(cls), {f.name: f for f in fields(cls)}
    needed = [name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    if unknown := sorted(set(raw) - set(known)):
        raise ValueError(f"it has the unknown key {unknown[0]!r}: known are {', '.join(sorted(known))}")
    if missing := sorted(set(needed) - set(raw)):
        raise ValueError(f"it lacks the key {missing[0]!r}")
    found = {}
    for name, value in raw.items():
        kind = _plain(hints[name])
        if is_dataclass(kind) and isinstance(value, dict):
            value = _read(kind, value)
        kind = get_origin(kind) or kind
        kinds = {float: (int, float), tuple: (list, tuple)}.get(kind, kind)  # JSON knows no other
        optional = isinstance(hints[name], UnionType)
        if not (value is None and optional) and not isinstance(value, kinds):
            raise ValueError(f"it has a value of the wrong type: {name} is {value!r}")
        found[name] = value
    try:
        return cls(**found)
    except TypeError as error:
        raise ValueError(f"it has a value of the wrong type ({error})") from None
