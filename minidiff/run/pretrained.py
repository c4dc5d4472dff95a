"""The small models that come with minidiff, each a run folder with its weights in half the size and a card."""

from pathlib import Path

HERE = Path(__file__).parents[1] / "pretrained"


def names() -> list[str]:
    """The models that are there."""
    return sorted(p.parent.name for p in HERE.glob("*/config.json"))


def folder(name: str) -> Path:
    """The run folder of the model `name`: checkpoint.load(folder("cifar10")) is a Model. Raises ValueError for another
    name."""
    if name not in names():
        raise ValueError(f"no pretrained model is named {name!r}: choose from {', '.join(names()) or 'none'}")
    return HERE / name


def find(source: str) -> Path:
    """The run folder `source`, or that of the model with this name."""
    return folder(source) if source in names() and not Path(source).exists() else Path(source)
