"""The optimizers: AdamW, and Muon, which gets further in as many steps, each a tenth to a quarter longer."""

import math

import torch
from torch import Tensor, nn

from .device import fast_bf16
from .text import one_of

# layers with these names are AdamW's: inputs, outputs and embeddings; a new net must use them (critics and GANs do not,
# and recipes refuse Muon for them)
ENDS = ("enter", "leave", "emb", "text", "embed", "label", "places", "words")


def new_optimizer(model: nn.Module, name: str = "adamw", betas: tuple[float, float] = (0.9, 0.99)):
    """The optimizer `name` for a model's parameters, without decay, its learning rate 0 until it is set. Raises
    ValueError for an unknown name."""
    one_of("optimizer", name, OPTIMIZERS)
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    groups = [{"params": list(model.parameters())}]
    if name == "muon":
        inside = {id(p) for p in hidden(model)}
        groups = [{"params": [p for p in model.parameters() if (id(p) in inside) == muon], "muon": muon}
                  for muon in (True, False)]  # fmt: skip
    return OPTIMIZERS[name](groups, lr=0.0, betas=betas, weight_decay=0.0, fused=fused)


def hidden(model: nn.Module) -> list[Tensor]:
    """The matrices between a net's ends, convolutions' among them: those whose inputs and outputs are features."""
    return [p for name, p in model.named_parameters() if p.ndim > 1 and not set(name.split(".")) & set(ENDS)]


class Muon(torch.optim.AdamW):
    """Momentum made orthogonal, for the parameters of groups with "muon" set; AdamW for the others.

    A gradient of a matrix is nearly of low rank: a few directions take all of a step. Muon takes as long a step in each
    of its directions (Jordan et al. 2024). A convolution (out, in, h, w) counts as a matrix (out, in h w). The update
    is scaled to a root mean square of lr / 5, about that of Adam's, so that one learning rate serves both (Liu et al.
    2025, section 2.2).
    """

    momentum = 0.95

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            given = [p for p in group["params"] if p.grad is not None] if group.get("muon") else []
            for shape in dict.fromkeys(p.shape for p in given):  # those of one shape together: a GPU waits less
                self._orthogonal_step([p for p in given if p.shape == shape], group["lr"])
        super().step()

    def _orthogonal_step(self, params: list[Tensor], lr: float) -> None:
        for p in params:
            if not self.state[p]:  # under Adam's names: its loading looks for a step
                self.state[p] |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(p)}
        gradients, means = [p.grad for p in params], [self.state[p]["exp_avg"] for p in params]
        torch._foreach_lerp_(means, gradients, 1 - self.momentum)
        ahead = torch._foreach_lerp(gradients, means, self.momentum)  # Nesterov's
        update = orthogonal(torch.stack(ahead).flatten(2))
        change = -0.2 * lr * math.sqrt(max(update.shape[1:]))
        torch._foreach_add_(params, list(update.reshape(-1, *params[0].shape)), alpha=change)
        for p in params:
            p.grad = None  # AdamW passes over it


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About U V^T of matrices (..., m, n) = U S V^T: all singular values between .7 and 1.2, those near 0 excepted.

    Newton and Schulz's iteration with a polynomial of fifth degree, steep at 0, in bfloat16 where that is fast
    (Jordan et al. 2024). The norm is 1 before, so that no singular value is larger.
    """
    half = fast_bf16(matrices.device)
    x = (matrices.bfloat16() if half else matrices.float()).reshape(-1, *matrices.shape[-2:])
    tall = x.shape[-2] > x.shape[-1]
    wide = x.mT if tall else x
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if half:
        for _ in range(steps):
            gram = wide @ wide.mT
            wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), wide, beta=3.4445)
    else:
        wide = _factor(wide @ wide.mT, steps) @ wide
    return (wide.mT if tall else wide).to(matrices.dtype).reshape(matrices.shape)


def _factor(gram: Tensor, steps: int) -> Tensor:
    """What all steps multiply X by from the left. It depends on X X^T (..., m, m) alone, so that of X's longer side
    there are two products, not ten: a third of the work for a convolution. bfloat16 has too few digits for it."""
    one = torch.eye(gram.shape[-1], device=gram.device)

    def polynomial(gram: Tensor) -> Tensor:
        return torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315) + 3.4445 * one

    factor = step = polynomial(gram)
    for _ in range(steps - 1):
        gram = step @ gram @ step
        step = polynomial(gram)
        factor = step @ factor
    return factor


OPTIMIZERS = {"adamw": torch.optim.AdamW, "muon": Muon}
