"""Measures of a net: its parameters, its FLOPs, what it sees of its input, and how well it denoises at each level."""

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..denoise import Denoiser, normal_like, numbers
from ..device import autocast
from ..optim import hidden


def parameters(net: nn.Module) -> int:
    """How many numbers training sets."""
    return sum(p.numel() for p in net.parameters())


def flops(net: nn.Module, shape: tuple[int, ...], others: tuple | None = None) -> int:
    """Floating-point operations of one forward pass on one input of `shape` (C, H, W) or (D,), a multiply-add as two.

    Convolutions and products of matrices are counted, by PyTorch's counter; norms and activations are not, as is usual.
    Training costs three times as much: backward computes the gradients of inputs and of weights. The pass runs on
    shapes alone (PyTorch's meta device), so 4096^2 pixels cost nothing to count. `others` is what the net takes beside
    its input, tensors of one row or None: by default the noise level and no condition, which counts as a null one.
    """
    shadow, like = _on_meta(net).eval().requires_grad_(False), next(net.parameters(), torch.empty(0))
    others = (like.new_empty(1), None) if others is None else others
    inputs = (torch.empty(1, *shape, dtype=like.dtype, device="meta"), *others)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(*(x if x is None else x.to("meta") for x in inputs))
    return counter.get_total_flops()


def _on_meta(net: nn.Module) -> nn.Module:
    """A copy of the net without its numbers, and without copying them first."""
    memo = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in net.parameters()}
    memo |= {id(b): b.to("meta") for b in net.buffers()}
    return copy.deepcopy(net, memo)


def receptive_field(net: nn.Module, shape: tuple[int, ...], generator=None, inputs: int = 2) -> Tensor:
    """|d output(centre) / d input|, (H, W): its largest entry over channels, outputs and a few random inputs.

    Zero, exactly, is what the net cannot see (Luo et al. 2016 call the rest the effective receptive field). Weights
    that start at zero would hide all: they are drawn at random in a copy.
    """
    net = copy.deepcopy(net).eval()
    for p in net.parameters():
        if p.ndim > 1:
            p.data = normal_like(p, generator) / p[0].numel() ** 0.5
    c, h, w = shape
    x = normal_like(p.new_empty(inputs, *shape), generator).requires_grad_()
    centre = net(x, p.new_zeros(inputs), None)[:, :, h // 2, w // 2]
    seen = [torch.autograd.grad(centre[:, i].sum(), x, retain_graph=True)[0].abs() for i in range(centre.shape[1])]
    return torch.stack(seen).amax((0, 1, 2))


@torch.no_grad()
def denoising_error(model: Denoiser, x0: Tensor, levels: Tensor, cond: Tensor | None = None, generator=None) -> Tensor:
    """The mean squared error of x0 at each noise level sigma / alpha, (len(levels),); the noise is drawn once, so that
    two models given equal generators are compared on the same noisy pictures."""
    x0, errors = numbers(x0), []
    for level in levels:
        t = model.schedule.time(-2 * torch.log(torch.as_tensor(level)))
        alpha, sigma = model.schedule(t)
        x_t = alpha * x0 + sigma * normal_like(x0, generator)
        errors.append((model(x_t, t, cond).x0 - x0).square().mean())
    return torch.stack(errors)


def training_memory(
    model: nn.Module, shape: tuple[int, ...], batch: int, parts: int = 1, cond=None, optimizer: str = "adamw"
) -> dict[str, int]:
    """The bytes that a training step needs, computed: what is kept for each weight (itself, its gradient, AdamW's two
    moments or Muon's one, and the moving average, in float32) and the activations that autograd keeps of one part of
    the batch.

    Measured on one and on two pictures where the model is (on a CPU attention keeps its matrices): the rest is
    proportional. Workspaces and fragmentation come on top, some 10 to 20%. cond is a label or tokens of one picture.
    """

    def kept(n: int) -> int:
        sizes, generator = {}, torch.Generator().manual_seed(0)

        def note(x):
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        x = torch.zeros(n, *shape, device=next(model.parameters()).device)
        given = () if cond is None else (torch.as_tensor(cond).expand(n, *torch.as_tensor(cond).shape).clone(),)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x), autocast(x.device, x):
            loss = model.loss(x, *(given or (None,)), generator=generator)
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        total = sum(size for at, size in sizes.items() if at not in weights)
        del loss
        return total

    one, two = kept(1), kept(2)
    spared = sum(p.numel() for p in hidden(model)) if optimizer == "muon" else 0
    return {
        "weights, gradients, optimizer, moving average": 4 * (5 * parameters(model) - spared),
        "activations": one + (batch // parts - 1) * (two - one),
    }
