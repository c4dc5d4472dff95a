"""Captioned shapes as a data set: scenes drawn afresh for every batch, with their captions."""

import csv
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..dataset import Data
from .captions import LENGTH, Asked, describe, vocabulary
from .scenes import COLOURS, MOST, SHAPES, draw, render

FIXED = 20_000  # pictures, where a fixed set is needed


class Captioned(Data):
    """shapes, shapes:N or shapes:N:held_out: pictures (3, size, size) of 1 to N objects, by default 3, drawn afresh for
    every batch, each with a caption that is true of it.

    held_out: of the combinations of colour and shape the train part has none that held_out.csv lists, the test part no
    other.
    """

    classes, labels, captioned = (), None, True
    objects = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)

    def __init__(self, name: str, part: str = "train", size: int | None = None):
        most, _, choice = name.partition(":")[2].partition(":")
        if most not in ("", "1", "2", "3") or choice not in ("", "held_out"):
            raise ValueError(f"unknown data {name!r}: shapes, shapes:N, 1 to 3 objects at most, or shapes:N:held_out")
        size = 16 if size is None else size
        if not 16 <= size <= 64:
            raise ValueError(f"the shapes are drawn at 16 to 64 pixels, not {size}: at fewer they blur")
        self.name, self.shape, self.most, self.allowed = name, (3, size, size), int(most or MOST), None
        self.suffix = "-test" if choice and part == "test" else ""  # else both parts are of the same scenes
        if choice:
            self.allowed = held_out() if part == "test" else ~held_out()

    def batch(self, n: int, generator=None) -> tuple[Tensor, list[str]]:
        """n fresh pictures and their captions."""
        x, captions, _ = self.asked(n, generator)
        return x, captions

    def asked(self, n: int, generator=None) -> tuple[Tensor, list[str], list[Asked]]:
        """n fresh pictures, their captions, and what those ask for."""
        scenes = draw(n, generator, self.most, self.allowed)
        captions, asked = zip(*describe(scenes, generator), strict=True)
        return render(scenes, self.shape[-1]), list(captions), list(asked)

    def kinds(self, n: int, generator=None) -> tuple[Tensor, Tensor]:
        """n fresh pictures, and which of `objects` are in each: (n, len(objects)), 1.0 or 0.0."""
        scenes = draw(n, generator, self.most, self.allowed)
        row, column = (torch.arange(MOST) < scenes.count[:, None]).nonzero(as_tuple=True)
        present = torch.zeros(n, len(self.objects))
        present[row, scenes.colour[row, column] * len(SHAPES) + scenes.shape[row, column]] = 1
        return render(scenes, self.shape[-1]), present

    def parts(self, n: int = FIXED, seed: int = 0) -> Iterator[tuple[Tensor, list[str]]]:
        """A fixed set of n pictures, in batches of 500: the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        return (self.batch(min(500, n - i), generator) for i in range(0, n, 500))

    def some(self, n: int, seed: int = 20_000) -> Tensor:
        """n pictures: the same for the same seed."""
        return torch.cat([x for x, _ in self.parts(n, seed)])

    def fingerprint(self) -> str:
        return f"{self.name.replace(':', '-')}-{self.shape[-1]}{self.suffix}"

    def vocabulary(self) -> tuple[list[str], int]:
        return vocabulary(), LENGTH


def held_out() -> Tensor:
    """The combinations of colour and shape that held_out.csv lists, (colours, shapes), bool."""
    mask = torch.zeros(len(COLOURS), len(SHAPES), dtype=torch.bool)
    with open(Path(__file__).with_name("held_out.csv"), newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            mask[list(COLOURS).index(row["colour"]), SHAPES.index(row["shape"])] = True
    return mask
