"""Group norm and attention, written so that a CPU computes them fast; elsewhere they are PyTorch's own.

Both give what PyTorch's give, up to rounding."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm, scaled_dot_product_attention


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm; on a CPU with a backward pass of its own, where PyTorch's takes up to five times as long.

    There are at most 32 groups, of at least 16 channels each: other nets have groups of 4 channels upwards, which on a
    CPU make the norm up to ten times slower.
    """

    def __init__(self, channels: int, affine: bool = True):
        super().__init__(math.gcd(channels, min(32, max(1, channels // 16))), channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.ndim == 4 and torch.is_grad_enabled():
            return _GroupNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)
        return super().forward(x)


class _GroupNorm(torch.autograd.Function):
    """x (B, C, H, W) -> like x: PyTorch's forward pass, and the gradients from two sums over space."""

    @staticmethod
    def forward(ctx, x, weight, bias, groups, eps):
        b, c, h, w = x.shape
        out, mean, rstd = torch.native_group_norm(x, weight, bias, b, c, h * w, groups, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.eps = eps
        return out

    @staticmethod
    def backward(ctx, grad):
        x, weight, bias, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted, which these sums do not have
            out = group_norm(x, mean.shape[1], weight, bias, ctx.eps)
            needed = ctx.needs_input_grad[:3]
            wanted = [v for v, need in zip((x, weight, bias), needed, strict=True) if need]
            found = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
            return *(next(found) if need else None for need in needed), None, None
        (b, c, h, w), groups = x.shape, mean.shape[1]
        each, exact = (b, groups, c // groups), torch.promote_types(x.dtype, torch.float32)

        def over_space(v):  # rows first: a sum of bfloat16 into float32 would convert, and so copy, all of it
            return v.permute(0, 2, 3, 1).sum(2).sum(1, dtype=exact).view(each)

        sums, products = over_space(grad), over_space(grad * x)
        mean, rstd = mean.to(exact)[..., None], rstd.to(exact)[..., None]
        gain = torch.ones((), device=x.device) if weight is None else weight.to(exact).view(1, *each[1:])
        n = h * w * c // groups
        by_one = (gain * sums).sum(2, keepdim=True) / n  # what the subtraction of the mean takes back
        by_x = rstd**3 * ((gain * products).sum(2, keepdim=True) / n - mean * by_one)  # and the division by std

        def of(v):
            return v.expand(each).reshape(b, c, 1, 1).to(x.dtype)

        dx = torch.addcmul(torch.addcmul(of(mean * by_x - rstd * by_one), x, of(-by_x)), grad, of(rstd * gain))
        if weight is None:
            return dx, None, None, None, None
        return dx, ((products - mean * sums) * rstd).sum(0).view(c), sums.sum(0).view(c), None, None


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, for q (B, heads, N, d) and k, v (B, heads, M, d) -> like q.

    mask is true where a key may be attended to: (B, M), or (B, 1, N, M) where that differs between queries. On a CPU
    the formula is written out: the backward pass of scaled_dot_product_attention is slow in bfloat16 at these sizes.
    The softmax stays in q's type: autocast would copy the net's largest tensor to float32 and back.
    """
    mask = mask[:, None, None] if mask is not None and mask.ndim == 2 else mask
    if q.device.type != "cpu":
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    with torch.autocast("cpu", enabled=False):
        weights = scores.softmax(-1)
    return weights @ v
