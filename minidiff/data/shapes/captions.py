"""The sentences of captioned shapes: a small grammar with synonyms, several phrasings, and things left unsaid."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .scenes import COLOURS, EDGES, SHAPES, SIZES, Scenes, draw, render

WORDS = {  # every word an attribute may be called by, the first being its name
    "red": ("red", "crimson"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "yellow": ("yellow", "golden"),
    "purple": ("purple", "violet"),
    "white": ("white", "pale"),
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box"),
    "triangle": ("triangle", "pyramid"),
    "cross": ("cross", "plus"),
    "small": ("small", "little", "tiny"),
    "big": ("big", "large", "huge"),
}
RELATIONS = {  # the first object lies so from the second
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}
PLACES = (  # row by row
    ("at the top left", "in the upper left corner"), ("at the top", "in the upper middle"),
    ("at the top right", "in the upper right corner"), ("on the left", "at the left"),
    ("in the middle", "in the centre"), ("on the right", "at the right"),
    ("at the bottom left", "in the lower left corner"), ("at the bottom", "in the lower middle"),
    ("at the bottom right", "in the lower right corner"),
)  # fmt: skip
OPENINGS = ("", "", "", "a picture of", "there is")
MIDDLE = 4  # its number among the places
LENGTH = 16  # the most words a caption has
KINDS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]  # of objects
FIXED = 20_000  # pictures, where a fixed set is needed


@dataclass(frozen=True)
class Asked:
    """What a caption asks for: (colour, shape, size or None) of each object, as indices; the place (0 to 8, row by row)
    of a lone object or None; the relation (0 to 3, as RELATIONS) of the first to the second or None."""

    objects: tuple[tuple[int, int, int | None], ...]
    place: int | None = None
    relation: int | None = None


def place_of(x: float, y: float) -> int:
    """The number of the place at (x, y), 0 to 8, row by row."""
    column, row = (sum(v > edge for edge in EDGES) for v in (x, y))
    return 3 * row + column


def relation_of(first, second) -> int:
    """How the first centre (x, y) lies from the second: the number of a relation, along the axis where they are further
    apart."""
    dx, dy = first[0] - second[0], first[1] - second[1]
    return int(dx > 0) if abs(dx) > abs(dy) else 2 + int(dy > 0)


def describe(scenes: Scenes, generator=None) -> list[tuple[str, Asked]]:
    """For each scene a caption that is true of it, and what it asks for.

    A size is said of two objects in three. A place is left unsaid only in the middle, and then mostly; the relation
    of a pair only when the left one is named first, "a cross and a circle", and three are named in the order of
    reading.
    """
    draws = torch.rand(len(scenes), 32, generator=generator).tolist()
    columns = (scenes.count, scenes.colour, scenes.shape, scenes.big, scenes.centre)
    return [_sentence(*row, iter(u)) for *row, u in zip(*(c.tolist() for c in columns), draws, strict=True)]


def _sentence(count, colour, shape, big, centre, chance):
    def pick(options):
        return options[int(next(chance) * len(options))]

    order = list(range(count))
    if next(chance) < 0.5 and count == 2:
        order.reverse()
    asked, said = [], []
    for i in order:
        size = big[i] if next(chance) < 2 / 3 else None
        words = [] if size is None else [pick(WORDS[SIZES[size]])]
        words += [pick(WORDS[list(COLOURS)[colour[i]]]), pick(WORDS[SHAPES[shape[i]]])]
        asked.append((colour[i], shape[i], size))
        said.append(("an " if words[0][0] in "aeiou" else "a ") + " ".join(words))
    opening = pick(OPENINGS)
    if count == 1:
        place = place_of(*centre[0])
        place = None if place == MIDDLE and next(chance) < 3 / 4 else place
        text = f"{opening} {said[0]}" + ("" if place is None else f" {pick(PLACES[place])}")
        return text.strip(), Asked(tuple(asked), place=place)
    if count == 3:
        return f"{opening} {said[0]}, {said[1]} and {said[2]}".strip(), Asked(tuple(asked))
    relation = relation_of(centre[order[0]], centre[order[1]])
    if list(RELATIONS)[relation] == "left of" and next(chance) < 0.5:
        return f"{opening} {said[0]} and {said[1]}".strip(), Asked(tuple(asked))
    words = pick(list(RELATIONS.values())[relation])
    if next(chance) < 0.25:  # the place first: "above a blue square is a red circle"
        text = f"{words} {said[1]} {'is' if opening != 'a picture of' else ''} {said[0]}"
        return " ".join(text.split()).replace("a picture of ", ""), Asked(tuple(asked), relation=relation)
    return f"{opening} {said[0]} {words} {said[1]}".strip(), Asked(tuple(asked), relation=relation)


def vocabulary() -> list[str]:
    """Every word that a caption may contain, sorted."""
    phrases = [w for words in (*WORDS.values(), *RELATIONS.values(), *PLACES) for w in words]
    return sorted(set(" ".join((*phrases, *OPENINGS, "a an and is")).split()))


@dataclass
class Captioned:
    """Scenes of 1 to `most` objects, `size` x `size`, drawn afresh for every batch, each with a caption that is true
    of it.

    allowed (colours, shapes), bool: the combinations that occur, by default all.
    """

    name: str
    size: int = 16
    most: int = 3
    allowed: Tensor | None = None

    classes, captioned, mixture = (), True, None

    def __post_init__(self):
        if not 16 <= self.size <= 64:
            raise ValueError(f"the shapes are drawn at 16 to 64 pixels, not {self.size}: at fewer they blur")

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, self.size, self.size)

    def batch(self, n: int, generator=None) -> tuple[Tensor, list[str]]:
        """n fresh pictures (n, 3, size, size) and their captions."""
        x, captions, _ = self.asked(n, generator)
        return x, captions

    def asked(self, n: int, generator=None) -> tuple[Tensor, list[str], list[Asked]]:
        """The same, with what the captions ask for."""
        scenes = draw(n, generator, self.most, self.allowed)
        captions, asked = zip(*describe(scenes, generator), strict=True)
        return render(scenes, self.size), list(captions), list(asked)

    def kinds(self, n: int, generator=None) -> tuple[Tensor, Tensor]:
        """n fresh pictures, and which of KINDS are in each, (n, kinds), 1.0 or 0.0."""
        scenes = draw(n, generator, self.most, self.allowed)
        there = torch.zeros(n, len(KINDS))
        for i in range(self.most):
            rows = torch.arange(n)[scenes.count > i]
            there[rows, scenes.colour[rows, i] * len(SHAPES) + scenes.shape[rows, i]] = 1
        return render(scenes, self.size), there

    def fixed(self, n: int = FIXED, seed: int = 0):
        """n pictures and their captions, in parts (500, 3, size, size) so as not to need the memory for all: the same
        for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        return (self.batch(min(500, n - i), generator) for i in range(0, n, 500))

    def fingerprint(self) -> str:
        """A name for what is drawn, to tell whether something computed from it is still its."""
        return f"{self.name.replace(':', '-')}-{self.size}"

    def vocabulary(self) -> tuple[list[str], int]:
        """The words of all captions there can be, and how many the longest has."""
        return vocabulary(), LENGTH


def held_out() -> Tensor:
    """The combinations of colour and shape that the experiments hold out, (colours, shapes), bool."""
    mask = torch.zeros(len(COLOURS), len(SHAPES), dtype=torch.bool)
    with open(Path(__file__).with_name("held_out.csv"), newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            mask[list(COLOURS).index(row["colour"]), SHAPES.index(row["shape"])] = True
    return mask
