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
    centre: tuple[float, float]


def read(pictures: Tensor) -> list[list[Found]]:
    """The objects in each of pictures (N, 3, H, H) in [-1, 1], from the left to the right.

    Exact on rendered pictures of 16 pixels or more; how it fares under noise is measured in the tests and lecture 07.
    """
    x = pictures.float().clamp(-1, 1).cpu() - BACKGROUND
    size = x.shape[-1]
    owner, covers, colours = [], [], []
    rays = torch.tensor(list(COLOURS.values())) - BACKGROUND
    for i, picture in enumerate(x):
        for mask in _pieces(picture):
            piece = picture * mask
            amount = torch.einsum("kc,chw->khw", rays, piece) / rays.square().sum(1)[:, None, None]
            amount = amount.clamp(0, 1)  # how much of each pixel is this colour, were it the object's
            missed = (piece - torch.einsum("khw,kc->kchw", amount, rays)).square().sum((1, 2, 3))
            colour = int(missed.argmin())
            if math.pi * (0.7 * RADII[0][0] * size) ** 2 < amount[colour].sum():  # smaller ones are specks
                owner.append(i)
                covers.append(amount[colour])
                colours.append(colour)
    found = [[] for _ in x]
    if owner:
        radius, centre = measure(torch.stack(covers))
        shape = nearest_shape(torch.stack(covers), radius, centre)
        big = (radius > (RADII[0][1] + RADII[1][0]) / 2).long()
        for i, *numbers, c in zip(owner, colours, shape.tolist(), big.tolist(), centre.tolist(), strict=True):
            found[i].append(Found(*numbers, tuple(c)))
    return [sorted(objects, key=lambda o: o.centre) for objects in found]


def _pieces(picture: Tensor) -> list[Tensor]:
    """A mask (H, H) for each object: what is clearly foreground and hangs together, and the edge that is nearest to
    it.
    """
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


def nearest_shape(cover: Tensor, radius: Tensor, centre: Tensor) -> Tensor:
    """The shape (M,) whose drawing at that place, of that area, is nearest to cover (M, H, H)."""
    drawn = [coverage(torch.full_like(radius, k), radius, centre, cover.shape[-1]) for k in range(len(SHAPES))]
    return (torch.stack(drawn) - cover).square().sum((2, 3)).argmin(0)


def score(asked: Asked, found: list[Found]) -> dict[str, list[bool]]:
    """Attribute -> whether it is as asked, an entry for each object or pair of which it was asked.

    Objects found are matched to those asked for so that most is right; one that is not there has nothing right.
    "object" is colour and shape of one object together, "count" whether there are as many as asked for.
    """
    best, most = None, -1
    padded = [*found, *[None] * (len(asked.objects) - len(found))]
    for chosen in permutations(padded, len(asked.objects)):
        rows = _compare(asked, chosen)
        right = sum(sum(v) for v in rows.values())
        if right > most:
            best, most = rows, right
    return {**best, "count": [len(found) == len(asked.objects)]}


def _compare(asked, chosen):
    rows = {"colour": [], "shape": [], "object": [], "size": [], "place": [], "relation": []}
    for (colour, shape, size), one in zip(asked.objects, chosen, strict=True):
        right = (False, False) if one is None else (one.colour == colour, one.shape == shape)
        rows["colour"].append(right[0])
        rows["shape"].append(right[1])
        rows["object"].append(all(right))
        if size is not None:
            rows["size"].append(one is not None and one.big == size)
    if asked.place is not None:
        rows["place"].append(chosen[0] is not None and place_of(*chosen[0].centre) == asked.place)
    if asked.relation is not None:
        there = chosen[0] is not None and chosen[1] is not None
        rows["relation"].append(there and relation_of(chosen[0].centre, chosen[1].centre) == asked.relation)
    return rows


def accuracy(asked: list[Asked], pictures: Tensor) -> dict[str, float]:
    """Attribute -> the share of those asked for that pictures (N, 3, H, H) show; asked has N entries."""
    rows = [score(a, f) for a, f in zip(asked, read(pictures), strict=True)]
    totals = {name: [v for row in rows for v in row[name]] for name in rows[0]}
    return {name: sum(v) / len(v) for name, v in totals.items() if v}
