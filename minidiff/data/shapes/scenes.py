"""Scenes of one to three coloured shapes: how they are drawn at random, and how they are rendered.

A scene is numbers, relative to the side of the picture, so it can be rendered at any size.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

COLOURS = {
    "red": (0.85, -0.75, -0.75),
    "green": (-0.75, 0.55, -0.65),
    "blue": (-0.7, -0.5, 0.9),
    "yellow": (0.9, 0.75, -0.7),
    "purple": (0.45, -0.8, 0.75),
    "white": (0.95, 0.95, 0.95),
}
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = ("small", "big")
BACKGROUND = 0.0  # grey, in every channel
RADII = ((0.135, 0.145), (0.205, 0.215))  # small, big: of the circle of equal area, in sides of the picture
# where objects lie: one in nine places, row by row; two beside or above one another; three in a triangle
ALONE = torch.tensor([[x, y] for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8)])
PAIRS = torch.tensor([[[0.24, 0.5], [0.76, 0.5]], [[0.5, 0.24], [0.5, 0.76]]])
THREE = torch.tensor([[0.24, 0.24], [0.76, 0.24], [0.5, 0.76]])
JITTER = 0.03  # how far from there each way
MOST = 3  # objects
# half the width and the height above and below the centre of gravity of each shape, in its radius
REACH = torch.tensor([[1.0, 1.0, 1.0], [0.886, 0.886, 0.886], [1.347, 1.555, 0.778], [1.189, 1.189, 1.189]])
EDGES = (0.425, 0.575)  # between left, middle and right; top, middle and bottom
GAP, MARGIN = 0.1, 0.02  # between two objects, and to the picture's edge


class Scenes(NamedTuple):
    """N scenes of up to three objects; the entries beyond `count` mean nothing."""

    count: Tensor  # (N,)
    colour: Tensor  # (N, 3), an index into COLOURS
    shape: Tensor  # (N, 3), an index into SHAPES
    big: Tensor  # (N, 3), an index into SIZES
    radius: Tensor  # (N, 3), in sides of the picture
    centre: Tensor  # (N, 3, 2), x to the right and y down, both in [0, 1]


def draw(n: int, generator=None, most: int = MOST, allowed: Tensor | None = None) -> Scenes:
    """n scenes of 1 to `most` objects that do not touch, each place and relation plain to see.

    allowed (colours, shapes), bool: the combinations an object may have, by default all.
    """
    count = 1 + torch.randint(most, (n,), generator=generator)
    scenes = _guess(count, generator, allowed)
    while (bad := ~plain(scenes)).any():  # drawn anew, but with as many objects: the crowded ones need more tries
        tries = _guess(count[bad].repeat(8), generator, allowed)
        fits = plain(tries).view(8, -1)
        first = fits.float().argmax(0)  # of eight, the first that fits, or else the first
        chosen = first * fits.shape[1] + torch.arange(fits.shape[1])
        for old, new in zip(scenes, tries, strict=True):
            old[bad] = new[chosen]
    return scenes


def _guess(count: Tensor, generator, allowed: Tensor | None) -> Scenes:
    """Scenes of `count` (N,) objects, each within the picture, but perhaps on top of one another."""
    size = (len(count), MOST)
    kinds = torch.arange(len(COLOURS) * len(SHAPES)) if allowed is None else allowed.flatten().nonzero()[:, 0]
    kind = kinds[torch.randint(len(kinds), size, generator=generator)]
    colour, shape = kind // len(SHAPES), kind % len(SHAPES)
    big = torch.randint(2, size, generator=generator)
    low, high = torch.tensor(RADII)[big].unbind(2)
    radius = low + (high - low) * torch.rand(size, generator=generator)
    centre = _places(count, generator) + JITTER * (2 * torch.rand(*size, 2, generator=generator) - 1)
    above_left, below_right = _reach(shape, radius)
    centre = centre.clamp(above_left + MARGIN, 1 - MARGIN - below_right)  # large ones are moved inwards
    return Scenes(count, colour, shape, big, radius, centre)


def _places(count: Tensor, generator) -> Tensor:
    """Where the objects of scenes of `count` (N,) lie but for the jitter, (N, 3, 2); several in the order of reading.

    A lone one lies in the middle a third of the time, so that a caption which says no place can mean the middle.
    """
    centre = THREE.repeat(len(count), 1, 1)
    pair = PAIRS[torch.randint(2, count.shape, generator=generator)]
    place = torch.randint(9, count.shape, generator=generator)
    place = torch.where(torch.rand(count.shape, generator=generator) < 0.25, 4, place)
    centre[count == 2, :2] = pair[count == 2]
    centre[count == 1, 0] = ALONE[place[count == 1]]
    return centre


def _reach(shape: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """How far each object reaches from its centre to the left and up, and to the right and down, both (N, 3, 2)."""
    wide, up, down = (REACH[shape] * radius[..., None]).unbind(2)
    return torch.stack([wide, up], 2), torch.stack([wide, down], 2)


def plain(s: Scenes) -> Tensor:
    """Whether the objects of each scene are apart, and those of a pair more along one axis than the other, (N,)."""
    above_left, below_right = _reach(s.shape, s.radius)
    low, high = s.centre - above_left, s.centre + below_right
    dx, dy = (s.centre[:, 0] - s.centre[:, 1]).abs().unbind(1)
    ok = ((dx - dy).abs() > 0.1) | (s.count != 2)
    for i in range(MOST):
        for j in range(i):
            apart = torch.maximum(low[:, i] - high[:, j], low[:, j] - high[:, i]).amax(1) > GAP
            ok &= apart | (s.count <= i)
    return ok


def render(scenes: Scenes, size: int) -> Tensor:
    """The pictures, (N, 3, size, size) in [-1, 1]; each edge shades over one pixel (anti-aliasing)."""
    picture = torch.full((len(scenes.count), 3, size, size), BACKGROUND)
    colours = torch.tensor(list(COLOURS.values()))
    for i in range(int(scenes.count.max())):
        cover = coverage(scenes.shape[:, i], scenes.radius[:, i], scenes.centre[:, i], size)
        cover = (cover * (scenes.count > i)[:, None, None])[:, None]
        picture = picture.lerp(colours[scenes.colour[:, i]][:, :, None, None].expand_as(picture), cover)
    return picture


def coverage(shape: Tensor, radius: Tensor, centre: Tensor, size: int) -> Tensor:
    """How much of each pixel a shape covers, (N, size, size) in [0, 1], from its signed distance in pixels.

    shape, radius (N,), centre (N, 2) as in Scenes. All shapes of one radius have one area, that of its circle.
    """
    line, radius = (torch.arange(size) + 0.5) / size, radius[:, None, None]
    x = (line - centre[:, :1])[:, None, :] / radius
    y = (line - centre[:, 1:])[:, :, None] / radius
    ax, ay = x.abs(), y.abs()
    half, arm = math.sqrt(math.pi) / 2, math.sqrt(math.pi / 5)  # of the square, of the cross
    side = math.sqrt(4 * math.pi / math.sqrt(3))  # of the triangle
    distance, *others = (  # in radii, in the order of SHAPES
        (ax.square() + ay.square()).sqrt() - 1,
        torch.maximum(ax, ay) - half,
        torch.maximum((math.sqrt(3) * ax - y) / 2, y) - side / math.sqrt(12),
        torch.minimum(torch.maximum(ax - arm / 2, ay - 1.5 * arm), torch.maximum(ay - arm / 2, ax - 1.5 * arm)),
    )
    for number, other in enumerate(others, 1):
        distance = torch.where((shape == number)[:, None, None], other, distance)
    return (0.5 - distance * radius * size).clamp(0, 1)
