"""A residual MLP conditioned on the noise level, for points in a few dimensions."""

from torch import Tensor, nn
from torch.nn.functional import silu

from .layers import ConditionedNet, Modulated, set_zero


class MLP(ConditionedNet):
    """x (B, dim), c_noise (B,), cond (B,) or None -> (B, dim).

    `depth` residual blocks of `width`, each a modulated layer norm (adaLN) and two linear layers.
    """

    def __init__(self, dim: int, classes: int | None = None, width: int = 128, depth: int = 3):
        super().__init__("modulate", ("modulate",), width, classes)
        self.enter = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.leave = set_zero(nn.Linear(width, dim))

    def forward(self, x: Tensor, c_noise: Tensor, cond: Tensor | None = None) -> Tensor:
        x, emb, _ = self.conditioned(x, c_noise, cond)
        h = self.enter(x)
        for block in self.blocks:
            h = block(h, emb)
        return self.leave(silu(h))


class Block(nn.Module):
    """A modulated norm and two linear layers, added to the input: h (B, width), emb (B, width) -> like h."""

    def __init__(self, width):
        super().__init__()
        self.norm = Modulated(nn.LayerNorm(width, elementwise_affine=False), width, width, zero=True)
        self.inner, self.outer = nn.Linear(width, 2 * width), set_zero(nn.Linear(2 * width, width))

    def forward(self, h, emb):
        return h + self.outer(silu(self.inner(self.norm(h, emb))))


def mlp(shape, classes=None, *, width: int = 128) -> MLP:
    """The MLP, for `build`."""
    return MLP(shape[0], classes, width)
