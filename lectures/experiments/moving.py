"""The lecture's Sora in small: clips of one moving shape, and a diffusion transformer on spacetime patches.

A clip has 16 frames of 16 x 16 pixels, (3, 16, 16, 16): channels, frames, rows, columns. A patch is a cube of 4 frames
of 4 x 4 pixels, a token; so attention looks through space and time at once (Brooks et al. 2024).
"""

import torch
from torch import Tensor, nn

from minidiff.data.shapes.scenes import BACKGROUND, COLOURS, SHAPES, coverage
from minidiff.nets.layers import ConditionedNet, Modulated, heads_of, positions, set_zero
from minidiff.nets.text import Words
from minidiff.nets.transformer import CONDITIONING, Block, layer_norm
from minidiff.text import Tokenizer

FRAMES = SIZE = 16
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # x to the right and y down
PROMPTS = [f"a {c} {s} moves {d}" for c in COLOURS for s in SHAPES for d in DIRECTIONS]
TOKENIZER = Tokenizer(sorted({word for prompt in PROMPTS for word in prompt.split()}), 5)


def clips(n: int, generator=None) -> tuple[Tensor, list[str]]:
    """n clips (n, 3, 16, 16, 16) in [-1, 1], each of a shape that crosses half of the picture, and their captions."""
    which = torch.randint(len(PROMPTS), (n,), generator=generator)
    colour, shape = which // (len(SHAPES) * len(DIRECTIONS)), which // len(DIRECTIONS) % len(SHAPES)
    way = torch.tensor(list(DIRECTIONS.values()))[which % len(DIRECTIONS)][:, None]  # (n, 1, 2)
    middle = 0.4 + 0.2 * torch.rand(n, 1, 2, generator=generator)
    along = (torch.arange(FRAMES) / (FRAMES - 1) - 0.5)[:, None] / 2  # a quarter of the picture before and after
    centre, radius = middle + way * along, torch.full((n * FRAMES,), 0.17)
    cover = coverage(shape.repeat_interleave(FRAMES), radius, centre.flatten(0, 1), SIZE).view(n, 1, FRAMES, SIZE, SIZE)
    paint = torch.tensor(list(COLOURS.values()))[colour].view(n, 3, 1, 1, 1)
    return BACKGROUND + (paint - BACKGROUND) * cover, [PROMPTS[i] for i in which.tolist()]


class SpacetimeDiT(ConditionedNet):
    """x (B, 3, 16, 16, 16), c_noise (B,), cond tokens or None -> like x. The package's blocks, on cubes of `patch`.

    With `apart` a patch attends to those of its own four frames alone: the same parameters, but no look through time.
    """

    def __init__(self, text, width: int = 96, depth: int = 4, patch: int = 4, apart: bool = False):
        super().__init__("adaln_zero", CONDITIONING, width, text=text)
        self.patch, self.apart, self.side = patch, apart, SIZE // patch
        self.enter = nn.Conv3d(3, width, patch, stride=patch)
        self.register_buffer("places", positions(self.side, width))
        self.moments = nn.Parameter(torch.randn(FRAMES // patch, 1, width) / 4)
        heads = heads_of(width, 32)
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width, "adaln_zero", text.dim) for _ in range(depth))
        self.norm = Modulated(layer_norm(width), width, width, zero=True)
        self.leave = set_zero(nn.Linear(width, 3 * patch**3))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        x, emb, words = self.conditioned(x, c_noise, cond)
        h = self.enter(x).flatten(3).permute(0, 2, 3, 1) + self.places + self.moments  # (B, moments, places, width)
        moments = h.shape[1]
        if self.apart:  # the moments of a clip as samples of their own
            emb, words = emb.repeat_interleave(moments, 0), Words(*(w.repeat_interleave(moments, 0) for w in words))
        h = h.flatten(0, 1) if self.apart else h.flatten(1, 2)
        for block in self.blocks:
            h = block(h, emb, None, words)
        h = self.leave(self.norm(h, emb)).view(len(x), moments, self.side, self.side, 3, *[self.patch] * 3)
        return h.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(x.shape)


def path(clip: Tensor) -> tuple[Tensor, Tensor]:
    """Where what differs from the background lies in each frame of clips (N, 3, F, H, W), (N, F, 2) in sides of the
    picture, x then y; and its colour, (N,), an index into COLOURS."""
    strength = (clip - BACKGROUND).norm(dim=1)
    weight = strength.masked_fill(strength < 0.4, 0) + 1e-6
    line = (torch.arange(clip.shape[-1]) + 0.5) / clip.shape[-1]
    total = weight.sum((2, 3))
    centre = torch.stack([(weight.sum(2) * line).sum(2), (weight.sum(3) * line).sum(2)], 2) / total[..., None]
    mean = (clip * weight[:, None]).sum((2, 3, 4)) / weight.sum((1, 2, 3))[:, None]
    paint = torch.nn.functional.normalize(torch.tensor(list(COLOURS.values())), dim=1)
    return centre, (torch.nn.functional.normalize(mean, dim=1) @ paint.T).argmax(1)


def followed(clip: Tensor, captions: list[str]) -> dict[str, float]:
    """Shares of clips with the colour and the direction that their captions ask for, and how far a shape jumps aside
    between frames: the deviation of its steps from their mean, in pixels."""
    centre, colour = path(clip)
    steps = centre.diff(dim=1)
    ways = torch.tensor(list(DIRECTIONS.values())).float()
    moved = (centre[:, -1] - centre[:, 0]) @ ways.T
    asked = [caption.split() for caption in captions]
    right = torch.tensor([list(COLOURS).index(words[1]) for words in asked])
    way = torch.tensor([list(DIRECTIONS).index(words[-1]) for words in asked])
    jump = (steps - steps.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt().median() * clip.shape[-1]
    return {
        "colour": (colour == right).float().mean().item(),
        "direction": (moved.argmax(1) == way).float().mean().item(),
        "jump, pixels": jump.item(),
    }
