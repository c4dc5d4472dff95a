"""Functions of autograd whose forward, backward, or both are computed on the other side of a socket."""

from types import SimpleNamespace

import torch
from torch import Tensor


def leaves_behind(outputs: list[Tensor]) -> list[Tensor]:
    """The leaves that results depend on, by their graph."""
    found = {id(t): t for t in outputs if t.grad_fn is None}
    seen, stack = set(), [t.grad_fn for t in outputs if t.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        stack += [after for after, _ in node.next_functions if after is not None]
    return list(found.values())


class Product(torch.autograd.Function):
    """Vector-Jacobian products of a call that the other side keeps under the number in the tensor `call`: one for each
    of its `k` inputs, None where the results do not depend on it; and the number under which this is kept in turn."""

    @staticmethod
    def forward(peer, box: SimpleNamespace, again: bool, k: int, call: Tensor, *tensors):
        reply, found = peer.ask({"do": "vjp", "call": int(call), "again": again}, list(tensors[k:]))
        box.needs = reply["needs"]
        products = [None if form is None else found[form["tensor"]] for form in reply["value"]]
        return *products, torch.tensor(reply["call"])

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.peer, box, _, _, _, *tensors = inputs
        ctx.needs = box.needs
        ctx.save_for_backward(output[-1], *tensors)
        ctx.mark_non_differentiable(*(v for i, v in enumerate(output) if v is not None and i not in ctx.needs))

    @staticmethod
    def backward(ctx, *vectors):
        call, *tensors = ctx.saved_tensors
        found = products(ctx.peer, call, tensors, [vectors[i] for i in ctx.needs])
        return *[None] * 5, *found

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _each_row(Product, 4, info, in_dims, inputs)


def products(peer, call: Tensor, inputs, vectors) -> tuple:
    """The gradients by the inputs of a call, and through them by whatever they depend on."""
    return Product.apply(peer, SimpleNamespace(), torch.is_grad_enabled(), len(inputs), call, *inputs, *vectors)[:-1]


def _each_row(function, plain: int, info, in_dims, inputs):
    """A batch as one call for each of its rows; the first `plain` inputs are no tensors."""
    rows = []
    for i in range(info.batch_size):
        row = [v if d is None else v.select(d, i) for v, d in zip(inputs[plain:], in_dims[plain:], strict=True)]
        rows.append(function.apply(*inputs[:plain], *row))
    found = [None if v[0] is None else torch.stack(v) for v in zip(*rows, strict=True)]
    return tuple(found), tuple(None if v is None else 0 for v in found)


class Results(torch.autograd.Function):
    """Results that have come back already, as functions of the inputs of their call."""

    @staticmethod
    def forward(ctx, peer, call: int, results: list[Tensor], *inputs):
        ctx.peer, ctx.call = peer, call
        ctx.save_for_backward(*inputs)
        return tuple(v.view_as(v) for v in results)

    @staticmethod
    def backward(ctx, *vectors):
        return None, None, None, *products(ctx.peer, torch.tensor(ctx.call), ctx.saved_tensors, vectors)


class Call(torch.autograd.Function):
    """A call; of its tensors the first `n` are arguments, the others hidden inputs. Its results, and the number under
    which it is kept. The other side is asked in here, so that torch.func's transforms find the call. (A box is where a
    call leaves what is no tensor; a dictionary would be copied by those transforms.)"""

    @staticmethod
    def forward(peer, box: SimpleNamespace, n: int, *tensors):
        box.reply, found = peer.ask(box.body, list(tensors[:n]))
        return *found[: box.reply["count"]], torch.tensor(box.reply["call"])

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.peer, box, ctx.n, *tensors = inputs
        ctx.inputs, ctx.needs, ctx.results = box.body["needs"], box.reply["needs"], len(output) - 1
        kept = [output[-1], *(tensors[i] for i in ctx.inputs), *tensors[ctx.n :], *(output[i] for i in ctx.needs)]
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)
        ctx.mark_non_differentiable(*(v for i, v in enumerate(output) if i not in ctx.needs))

    @staticmethod
    def _saved(ctx) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        call, *kept = ctx.saved_tensors
        k = len(kept) - len(ctx.needs)
        return call, kept[:k], kept[k:]

    @staticmethod
    def backward(ctx, *vectors):
        call, inputs, _ = Call._saved(ctx)
        found = products(ctx.peer, call, inputs, [vectors[i] for i in ctx.needs])
        chosen = dict(zip(ctx.inputs, found, strict=False))
        return None, None, None, *(chosen.get(i) for i in range(ctx.n)), *found[len(ctx.inputs) :]

    @staticmethod
    def jvp(ctx, *tangents):
        """J v, as the product of v with the derivative of J^T u by u."""
        call, inputs, outputs = Call._saved(ctx)
        tangents = [tangents[3:][i] for i in ctx.inputs] + list(tangents[3 + ctx.n :])
        vectors, box = [torch.zeros_like(v) for v in outputs], SimpleNamespace()
        *_, call = Product.apply(ctx.peer, box, True, len(inputs), call, *inputs, *vectors)
        both = [*inputs, *vectors]
        ahead = [torch.zeros_like(inputs[i]) if tangents[i] is None else tangents[i] for i in box.needs]
        found = products(ctx.peer, call, both, ahead)[len(inputs) :]
        found = dict(zip(ctx.needs, found, strict=True))
        return *(found.get(i) for i in range(ctx.results)), None

    @staticmethod
    def vmap(info, in_dims, *inputs):
        return _each_row(Call, 3, info, in_dims, inputs)
