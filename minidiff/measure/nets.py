"""What a net costs and what it sees: its parameters, its FLOPs, its receptive field; and which weights it has."""

import copy
import hashlib

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..denoise import normal_like


def parameters(net: nn.Module) -> int:
    """How many numbers training sets."""
    return sum(p.numel() for p in net.parameters())


def fingerprint(model: nn.Module) -> str:
    """A hash of its weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def flops(net: nn.Module, shape: tuple[int, ...], others: tuple | None = None) -> int:
    """Floating-point operations of one forward pass on one input of `shape` (C, H, W) or (D,), a multiply-add as two.

    PyTorch's counter counts convolutions and products of matrices; norms and activations are not counted, as is usual.
    Training costs three times as much: backward computes the gradients of inputs and of weights. `others` are the net's
    other inputs, tensors of one row or None: by default the noise level and no condition, which counts as a null one.
    """
    like = next(net.parameters(), torch.empty(0))
    others = (like.new_empty(1), None) if others is None else others
    inputs = (torch.empty(1, *shape, dtype=like.dtype, device="meta"), *others)
    # a copy on the meta device has shapes without numbers: there even 4096^2 pixels cost nothing to count
    memo = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in net.parameters()}
    memo |= {id(b): b.to("meta") for b in net.buffers()}
    shadow = copy.deepcopy(net, memo).eval().requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(*(x if x is None else x.to("meta") for x in inputs))
    return counter.get_total_flops()


def receptive_field(net: nn.Module, shape: tuple[int, ...], generator=None, inputs: int = 2) -> Tensor:
    """|d output(centre) / d input|, (H, W): its largest entry over channels, outputs and a few random inputs.

    It is exactly zero where the net sees nothing (Luo et al. 2016 call the rest the effective receptive field). The
    weights of a copy are drawn at random, as those that start at zero would hide all.
    """
    net = copy.deepcopy(net).eval()
    for p in net.parameters():
        if p.ndim > 1:
            p.data = normal_like(p, generator) / p[0].numel() ** 0.5
    c, h, w = shape
    x = normal_like(p.new_empty(inputs, *shape), generator).requires_grad_()
    centre = net(x, p.new_zeros(inputs), None)[:, :, h // 2, w // 2]
    found = [torch.autograd.grad(centre[:, i].sum(), x, retain_graph=True)[0].abs() for i in range(centre.shape[1])]
    return torch.stack(found).amax((0, 1, 2))
