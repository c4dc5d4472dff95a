"""Captions of scenes: a small grammar with synonyms, several phrasings, and things left unsaid."""

from typing import NamedTuple

import torch

from .scenes import COLOURS, EDGES, SHAPES, SIZES, Scenes

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


class Asked(NamedTuple):
    """What a caption asks for. What it leaves unsaid is None."""

    objects: tuple[tuple[int, int, int | None], ...]  # colour, shape and size of each, indices into COLOURS, ...
    place: int | None = None  # of a lone object, an index into PLACES
    relation: int | None = None  # of the first object to the second, an index into RELATIONS


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
    draws = torch.rand(len(scenes.count), 32, generator=generator).tolist()
    columns = (scenes.count, scenes.colour, scenes.shape, scenes.big, scenes.centre)
    return [_sentence(*row, iter(u)) for *row, u in zip(*(c.tolist() for c in columns), draws, strict=True)]


def _sentence(count, colour, shape, big, centre, chance) -> tuple[str, Asked]:
    """The caption of one scene; `chance` gives numbers in [0, 1) that choose the words."""

    def pick(options):
        return options[int(next(chance) * len(options))]

    order = list(range(count))
    if next(chance) < 0.5 and count == 2:
        order.reverse()
    objects, said = [], []
    for i in order:
        size = big[i] if next(chance) < 2 / 3 else None
        words = [] if size is None else [pick(WORDS[SIZES[size]])]
        words += [pick(WORDS[list(COLOURS)[colour[i]]]), pick(WORDS[SHAPES[shape[i]]])]
        objects.append((colour[i], shape[i], size))
        said.append(("an " if words[0][0] in "aeiou" else "a ") + " ".join(words))
    opening, text, place, relation = pick(OPENINGS), said[0], None, None
    if count == 1:
        place = place_of(*centre[0])
        place = None if place == MIDDLE and next(chance) < 3 / 4 else place
        text += "" if place is None else f" {pick(PLACES[place])}"
    elif count == 3:
        text = f"{said[0]}, {said[1]} and {said[2]}"
    else:
        relation = relation_of(centre[order[0]], centre[order[1]])
        if list(RELATIONS)[relation] == "left of" and next(chance) < 0.5:
            relation, text = None, f"{said[0]} and {said[1]}"
        else:
            words = pick(list(RELATIONS.values())[relation])
            text = f"{said[0]} {words} {said[1]}"
            if next(chance) < 0.25:  # the other first: "above a blue square is a red circle"
                verb = "" if opening == "a picture of" else "is "
                opening, text = "", f"{words} {said[1]} {verb}{said[0]}"
    return f"{opening} {text}".strip(), Asked(tuple(objects), place, relation)


def vocabulary() -> list[str]:
    """Every word that a caption may contain, sorted."""
    phrases = [w for words in (*WORDS.values(), *RELATIONS.values(), *PLACES) for w in words]
    return sorted(set(" ".join((*phrases, *OPENINGS, "a an and is")).split()))
