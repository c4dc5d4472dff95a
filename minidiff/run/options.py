"""Options of the command line, made of the fields of a dataclass: `n: int = option(64, "how many")` is --n 64."""

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from dataclasses import field, fields
from typing import get_args, get_type_hints

MOST, LARGEST_SEED = 2**31 - 1, 2**63 - 1  # more steps or samples than that nobody waits for


def option(default, about: str, **settings):
    """A field of a command: its default, what --help says of it, and, where its type does not say enough, `read`, what
    makes a value of its text, or `metavar`, which makes it an argument without a name."""
    return field(default=default, metadata={"about": about, **settings})


def whole(text: str) -> int:
    """An int, if it is one."""
    number = int(text)
    if abs(number) > MOST:
        raise ArgumentTypeError(f"{text} is too large: the most is {MOST}")
    return number


def seed(text: str) -> int:
    number = int(text)
    if not 0 <= number <= LARGEST_SEED:
        raise ArgumentTypeError(f"a seed is a whole number from 0 to {LARGEST_SEED}, got {text}")
    return number


seed.__name__ = whole.__name__ = "int"  # in the message about a value that is no number


def check_positive(name: str, value) -> None:
    """Raise ValueError unless a number, if it is given at all, is more than 0."""
    if value is not None and not value > 0:
        raise ValueError(f"{name} must be more than 0, got {value}")


def add_options(parser: ArgumentParser, cls: type, by_default: str = "") -> None:
    """Every field of the dataclass with an `about` as an option. `by_default` replaces the default in --help."""
    hints = get_type_hints(cls)
    for f in fields(cls):
        if "about" in f.metadata:
            default = None if by_default else f.default
            settings = f.metadata | {"about": f.metadata["about"] + by_default}
            add_option(parser, f.name, hints[f.name], default, **settings)


def add_option(parser: ArgumentParser, name: str, hint, default, about: str, read=None, metavar=None) -> None:
    """--name VALUE, or --name and --no-name if it is a bool; with a metavar an argument without a name. `hint` is its
    type, or that | None. What is not given is not in the result, or without a name its default."""
    (kind, *_) = get_args(hint) or [hint]
    about = about.replace("%", "%%")
    if default is not None:
        about += f" (default {'no' if default is False else default})"
    elif "default" not in about and metavar is None:
        about += " (default none)"
    how = {"action": BooleanOptionalAction} if kind is bool else {"type": read or (whole if kind is int else kind)}
    if metavar is not None:
        parser.add_argument(name, help=about, nargs="?", default=default, metavar=metavar, **how)
    else:
        parser.add_argument(f"--{name.replace('_', '-')}", help=about, default=SUPPRESS, **how)
