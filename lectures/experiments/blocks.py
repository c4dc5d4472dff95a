"""What lecture 05 goes on with where an exercise is not done: patches, and the walk through a U-Net."""

from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


def cut(x: Tensor, p: int) -> Tensor:
    """Pictures (B, C, H, W) -> tokens (B, N, C p^2), row by row."""
    return pixel_unshuffle(x, p).flatten(2).mT


def join(tokens: Tensor, p: int, shape) -> Tensor:
    """The inverse of `cut`, for pictures of `shape`."""
    return pixel_shuffle(tokens.mT.unflatten(2, (shape[2] // p, shape[3] // p)), p)


def walk(x: Tensor, downs: list, middle, ups: list) -> Tensor:
    """From the outside in: a U-Net is a level around a smaller U-Net."""
    if not downs:
        return middle(x)
    inner, skip = downs[0](x)
    return ups[-1](walk(inner, downs[1:], middle, ups[:-1]), skip)
