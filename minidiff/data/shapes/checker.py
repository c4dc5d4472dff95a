"""Read a picture of captioned shapes back: what is where in it, and how much of what a caption asked for.

Nothing here is learned. Objects are what differs from the background and hangs together; the colour is the palette's
that explains the pixels best, the radius follows from the area, and the shape is that whose drawing is nearest.
"""

import math
from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from .captions import Asked, place_of, relation_of
from .scenes import BACKGROUND, COLOURS, RADII, SHAPES, coverage


class Found(NamedTuple):
    """An object in a picture: indices into COLOURS, SHAPES and SIZES, and its centre in [0, 1], y down."""

    colour: int
    shape: int
    big: int
    centre: tuple[float, float] | None


MISSING = Found(-1, -1, -1, None)  # an object that was asked for and is not there


def read(pictures: Tensor) -> list[list[Found]]:
    """The objects in each of pictures (N, 3, H, H) in [-1, 1], from the left to the right.

    Exact on rendered pictures of 16 pixels or more; how it fares under noise is measured in the tests and lecture 08.
    """
    x = pictures.float().clamp(-1, 1).cpu() - BACKGROUND
    rays = torch.tensor(list(COLOURS.values())) - BACKGROUND
    owner, colours, covers = [], [], []
    for i, picture in enumerate(x):
        for mask in _pieces(picture):
            piece = picture * mask
            amount = torch.einsum("kc,chw->khw", rays, piece) / rays.square().sum(1)[:, None, None]
            amount = amount.clamp(0, 1)  # how much of each pixel is this colour, were it the object's
            missed = (piece - torch.einsum("khw,kc->kchw", amount, rays)).square().sum((1, 2, 3))
            colour = int(missed.argmin())
            if math.pi * (0.7 * RADII[0][0] * x.shape[-1]) ** 2 < amount[colour].sum():  # smaller ones are specks
                owner.append(i)
                colours.append(colour)
                covers.append(amount[colour])
    found = [[] for _ in x]
    if owner:
        radius, centre = measure(torch.stack(covers))
        drawn = [coverage(torch.full_like(radius, k), radius, centre, x.shape[-1]) for k in range(len(SHAPES))]
        shape = (torch.stack(drawn) - torch.stack(covers)).square().sum((2, 3)).argmin(0)  # whose drawing is nearest
        big = (radius > (RADII[0][1] + RADII[1][0]) / 2).long()
        for i, *numbers, c in zip(owner, colours, shape.tolist(), big.tolist(), centre.tolist(), strict=True):
            found[i].append(Found(*numbers, tuple(c)))
    return [sorted(objects, key=lambda o: o.centre) for objects in found]


def _pieces(picture: Tensor) -> list[Tensor]:
    """A mask (H, H) for each object: what is clearly foreground and hangs together, and the edge nearest to it."""
    strength = picture.norm(dim=0).numpy()
    seeds, count = ndimage.label(strength > 0.8)
    if count == 0:
        return []
    away, (row, column) = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    label = np.where(away < 1.5, seeds[row, column], 0)
    return [torch.from_numpy(label == k + 1) for k in range(count)]


def measure(cover: Tensor) -> tuple[Tensor, Tensor]:
    """Radius (M,) and centre (M, 2) of what covers each pixel by cover (M, H, H), in sides of the picture."""
    size = cover.shape[-1]
    area, line = cover.sum((1, 2)), (torch.arange(size) + 0.5) / size
    centre = torch.stack([(cover.sum(1) * line).sum(1), (cover.sum(2) * line).sum(1)], 1) / area[:, None]
    return (area / math.pi).sqrt() / size, centre


def score(asked: Asked, found: list[Found]) -> dict[str, list[bool]]:
    """Attribute -> whether it is as asked, an entry for each object or pair of which it was asked.

    Objects found are matched to those asked for so that most is right; one that is not there has nothing right.
    "object" is colour and shape of one object together, "count" whether there are as many as asked for.
    """
    padded = [*found, *[MISSING] * (len(asked.objects) - len(found))]
    rows = [_compare(asked, chosen) for chosen in permutations(padded, len(asked.objects))]
    return max(rows, key=lambda row: sum(map(sum, row.values()))) | {"count": [len(found) == len(asked.objects)]}


def _compare(asked: Asked, chosen: tuple[Found, ...]) -> dict[str, list[bool]]:
    """`score` of these objects, one for each that was asked for, in that order."""
    pairs = list(zip(asked.objects, chosen, strict=True))
    places = [one.centre for one in chosen]
    rows = {
        "colour": [one.colour == colour for (colour, _, _), one in pairs],
        "shape": [one.shape == shape for (_, shape, _), one in pairs],
        "object": [(one.colour, one.shape) == kind[:2] for kind, one in pairs],
        "size": [one.big == size for (_, _, size), one in pairs if size is not None],
        "place": [],
        "relation": [],
    }
    if asked.place is not None:
        rows["place"].append(None not in places and place_of(*places[0]) == asked.place)
    if asked.relation is not None:
        rows["relation"].append(None not in places and relation_of(*places) == asked.relation)
    return rows


def accuracy(asked: list[Asked], pictures: Tensor) -> dict[str, float]:
    """Attribute -> the share of those asked for that pictures (N, 3, H, H) show; asked has N entries."""
    rows = [score(a, f) for a, f in zip(asked, read(pictures), strict=True)]
    totals = {name: [v for row in rows for v in row[name]] for name in rows[0]}
    return {name: sum(v) / len(v) for name, v in totals.items() if v}
