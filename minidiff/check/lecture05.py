"""Checks of lecture 05: receptive fields, patches, attention, the U-Net's skips, costs, and a sign behind noise."""

import math
from dataclasses import dataclass, field

import torch
from scipy import integrate
from torch import Tensor
from torch.nn.functional import conv2d, scaled_dot_product_attention
from torch.utils.flop_counter import bmm_flop, conv_flop_count, mm_flop

from .exercise import Exercise, Wrong, alone_in_float32, close, is_number, is_tensor, same

layers_to_see = Exercise("05.1", "layers_to_see", 1, 6, "lecture 05, part 1")
patchify = Exercise("05.2", "patchify", 2, 18, "lecture 05, part 3", names=("patchify", "unpatchify"))
attention = Exercise("05.3", "attention", 2, 12, "lecture 05, part 3")
unet = Exercise("05.4", "unet", 2, 18, "lecture 05, part 3")
flops = Exercise("05.5", "flops", 1, 10, "lecture 05, part 2")
sign_mmse = Exercise("05.6", "sign_mmse", 3, 16, "lecture 05, part 5")


# --- 05.1 ---


def _seen(side: int, kernel: int, layers: int) -> bool:
    """Whether the centre depends on every pixel: the gradient through convolutions whose weights are all 1."""
    x = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    h, ones = x, torch.full((1, 1, kernel, kernel), 1 / kernel, dtype=torch.float64)
    for _ in range(layers):
        h = conv2d(h, ones, padding=kernel // 2)
    (grad,) = torch.autograd.grad(h[0, 0, side // 2, side // 2], x, allow_unused=True)
    return grad is not None and bool((grad > 0).all())


@layers_to_see.part("by the gradient: enough layers see every pixel, one less does not")
def _(answer, given):
    side = 2 * int(given.whole(5, 17, 1)) + 1
    for n, kernel in ((32, 3), (12, 3), (32, 5), (9, 3), (12, 5), (side, 3), (side + 1, 7), (30, 5), (14, 7), (11, 5),
                      (15, 7), (31, 5), (13, 7), (1, 3)):  # fmt: skip
        layers = answer(n, kernel)
        wanted = next(k for k in range(n) if _seen(n, kernel, k))
        half = (n - 1) / (kernel - 1)
        if n == 1 and layers == 1:
            raise Wrong("one pixel", "A picture of one pixel is seen whole without any layer: 0. Else you are right.")
        slips = {
            "rounded to the nearest": (math.floor(half + 0.5), f"{wanted - 1} layers see "
                                       f"{(wanted - 1) * (kernel - 1) + 1} pixels of {n}: round up."),
            "rounded down": (math.floor(half), f"{wanted - 1} layers see {(wanted - 1) * (kernel - 1) + 1} pixels of "
                             f"{n}, one layer short: is it rounded down, or does a count stop too early?"),
            "not rounded": (half, "There is no part of a layer: round up."),
            "kernel ignored": (math.ceil((n - 1) / 2), f"That is for kernels of 3; this one is {kernel} wide."),
            "one side": (math.ceil((n - 1) / (kernel // 2)), "That is for one side: each layer adds pixels at *either* "
                         "side."),
            "of the centre": (n - 1, "Each layer adds pixels at *either* side of what is seen."),
            "by whole kernels": (math.ceil(n / kernel), "A layer does not add a whole kernel: its middle is seen "
                                 "already. It adds kernel - 1."),
            "one too many": (wanted + 1, "One layer less sees all of it."),
            "what is seen": ((kernel - 1) * n + 1, "That is what `side` layers see. Asked is the other way round."),
        }  # fmt: skip
        same(layers, wanted, slips, f"the layers for {n} pixels and kernels of {kernel}")


# --- 05.2 ---


def _two(answer) -> tuple:
    """(patchify, unpatchify or None)"""
    both = answer if isinstance(answer, tuple | list) else (answer, None)
    if len(both) != 2 or not callable(both[0]) or not (both[1] is None or callable(both[1])):
        raise Wrong("no pair", "Two functions are checked: check.patchify((patchify, unpatchify)).")
    return tuple(both)


def _patches(x: Tensor, p: int) -> list[list[Tensor]]:
    return [[x[:, :, r : r + p, c : c + p] for c in range(0, x.shape[3], p)] for r in range(0, x.shape[2], p)]


def _held(patches: list[Tensor]) -> Tensor:
    """What each token must hold, in any order: (B, N, p p C), sorted."""
    return torch.stack([v.flatten(1).sort(1).values for v in patches], 1)


def _distinct(given, *shape: int) -> Tensor:
    return torch.randperm(math.prod(shape), generator=given.generator).double().view(shape)


@patchify.part("patchify: token i W/p + j holds the pixels of patch (i, j)")
def _(answer, given):
    cut, _ = _two(answer)
    for (b, c, h, w), p in (((2, 3, 4, 6), 2), ((3, 2, 9, 6), 3)):
        x = _distinct(given, b, c, h, w)
        found, rows = cut(x.clone(), p), _patches(x, p)
        is_tensor(found, (b, h * w // p**2, p * p * c), "the tokens")
        columns = [v for column in zip(*rows, strict=True) for v in column]
        plain = [v.reshape(b, c * p * p) for v in x.reshape(b, -1, c * p * p).unbind(1)]
        strips = x.movedim(1, 3).reshape(b, -1, c * p * p).unbind(1)
        slips = {
            "reshape only": (_held(plain), "Token 1 holds pixels of several patches: a plain reshape cuts along rows. "
                             "Split both sides by p, then permute."),
            "rows of pixels": (_held(strips), "A token holds pixels of one row, not of a square: permute so that the "
                               "two axes of p stand together."),
            "down the columns": (_held(columns), "Tokens run down the columns; ours run along rows."),
        }  # fmt: skip
        same(found.sort(2).values, _held([v for row in rows for v in row]), slips, "a token, its numbers sorted,")


@patchify.part("patchify: in the same order in every token")
def _(answer, given):
    cut, _ = _two(answer)
    p, code = 2, _distinct(given, 3, 2, 2)
    found = cut(code.repeat(2, 1, 3, 4).view(2, 3, 6, 8), p)
    if not torch.equal(found, found[:1, :1].expand(found.shape)):
        raise Wrong(
            "orders differ", "The pixels stand in another order in some tokens: one linear layer reads them all."
        )


@patchify.part("unpatchify: the picture comes back, to the bit")
def _(answer, given):
    cut, join = _two(answer)
    if callable(answer):
        return  # patchify was given alone
    if join is None:
        raise Wrong("half", "patchify is right. Now write unpatchify, as a function of its own below it.")
    for shape, p in (((2, 3, 4, 6), 2), ((3, 2, 9, 6), 3)):
        x = _distinct(given, *shape)
        found = join(cut(x.clone(), p), p, x.shape)
        is_tensor(found, x.shape, "unpatchify's picture")
        if torch.equal(found, x):
            continue
        ours, theirs = (_held([v for row in _patches(y, p) for v in row]) for y in (x, found))
        if torch.equal(ours, theirs):
            raise Wrong("inside a patch", "Each patch is in its place, but its pixels or channels are in another "
                        "order: undo the permutation of patchify.")  # fmt: skip
        if torch.equal(ours.flatten(1, 2).sort(1).values, theirs.flatten(1, 2).sort(1).values):
            raise Wrong("mixed up", "All the numbers are there, in wrong places: split tokens into rows, columns, p, "
                        "p and C, permute back, and reshape last.")  # fmt: skip
        raise Wrong("value", "The picture that comes back is not the one that was cut.")


@patchify.part("gradients pass; one patch of one channel, float32, as in training")
def _(answer, given):
    cut, join = _two(answer)
    x, w = given.normal(2, 3, 4, 4).requires_grad_(), given.normal(2, 3, 4, 4)
    tokens = cut(x, 2)
    weights = cut(w, 2)
    found = torch.autograd.grad((tokens * weights).sum(), x)[0] if tokens.requires_grad else None
    if found is None or not close(found, w):
        raise Wrong("no gradient", "No gradient passes patchify: leave out detach, no_grad, .data and numpy.")
    alone_in_float32(cut(x[:1, :1, :2, :2].detach().float(), 2), (1, 1, 4), "the tokens")
    if join is None:
        return
    back = join(tokens, 2, x.shape)
    found = torch.autograd.grad((back * w).sum(), tokens)[0] if back.requires_grad else None
    if found is None or not close(found, weights):
        raise Wrong("no gradient", "No gradient passes unpatchify: leave out detach, no_grad, .data and numpy.")
    alone_in_float32(join(given.normal(1, 1, 4).float(), 2, (1, 1, 2, 2)), (1, 1, 2, 2), "the picture")


# --- 05.3 ---


def _heads(given, b: int, heads: int, n: int, m: int, d: int) -> tuple[Tensor, Tensor, Tensor]:
    return given.normal(b, heads, n, d), given.normal(b, heads, m, d), given.normal(b, heads, m, d)


@attention.part("without a mask: PyTorch's attention")
def _(answer, given):
    q, k, v = _heads(given, 2, 3, 4, 5, 6)
    found, raw = answer(q, k, v, None), q @ k.mT
    scores = raw / 6**0.5
    slips = {
        "not divided": (raw.softmax(-1) @ v, "Too sharp by sqrt(d): divide the scores."),
        "divided by d": ((raw / 6).softmax(-1) @ v, "Too flat: divide the scores by sqrt(d), not by d."),
        "all heads": ((raw / 18**0.5).softmax(-1) @ v, "d is the width of one head, not of all of them."),
        "multiplied": ((raw * 6**0.5).softmax(-1) @ v, "The scores are multiplied by sqrt(d): divide."),
        "over queries": (scores.softmax(-2) @ v, "The softmax runs over the queries: each query's weights over the "
                         "keys must sum to 1, the last axis."),
        "over heads": (scores.softmax(1) @ v, "The softmax runs over the heads: it belongs on the last axis."),
        "no softmax": (scores @ v, "There is no softmax: weights must be positive and sum to 1."),
        "not normalised": (scores.exp() @ v, "The weights do not sum to 1: divide the exponentials by their sum."),
        "values are keys": (scores.softmax(-1) @ k, "The weighted sum is of k; it must be of v."),
    }  # fmt: skip
    same(found, scaled_dot_product_attention(q, k, v), slips)


@attention.part("with a mask: as if the masked keys were not there, also with as many queries as pictures")
def _(answer, given):
    q, k, v = _heads(given, 4, 4, 4, 5, 3)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 1, 1], [1, 1, 0, 1, 0]]).bool()
    found = answer(q, k, v, mask)
    scores, at = q @ k.mT / 3**0.5, mask[:, None, None]
    slips = {
        "mask not used": (scores.softmax(-1) @ v, "The mask changes nothing."),
        "mask after softmax": ((scores.softmax(-1) * at) @ v, "Rows of weights do not sum to 1: mask before the "
                               "softmax, with -inf."),
        "score 0": ((scores * at).softmax(-1) @ v, "A masked score of 0 still has weight exp(0) = 1: put -inf there."),
        "inverted": (scores.masked_fill(at, -torch.inf).softmax(-1).nan_to_num() @ v, "The mask is inverted: True says "
                     "that a key may be attended to."),
        "lined up with queries": (scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v, "Query 2 of every picture got "
                                  "picture 2's mask: (B, M) lined up with the queries. Make it (B, 1, 1, M)."),
        "lined up with heads": (scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ v, "Head 2 of every "
                                "picture got picture 2's mask: make it (B, 1, 1, M)."),
        "added": ((scores + at).softmax(-1) @ v, "The mask is added as 0 and 1: put -inf where it is False."),
    }  # fmt: skip
    right = [scaled_dot_product_attention(q[i : i + 1], k[i : i + 1, :, on], v[i : i + 1, :, on])
             for i, on in enumerate(mask)]  # fmt: skip
    same(found, torch.cat(right), slips)


@attention.part("no gradient reaches a masked value or key")
def _(answer, given):
    q, k, v = _heads(given, 2, 2, 3, 4, 3)
    mask = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 0]]).bool()
    q.requires_grad_(), k.requires_grad_(), v.requires_grad_()
    answer(q, k, v, mask).square().sum().backward()
    if q.grad is None:
        raise Wrong("detached", "No gradient reaches the queries.")
    for name, value in (("value", v), ("key", k)):
        if value.grad is None:
            raise Wrong("detached", f"No gradient reaches the {name}s at all.")
        leak = value.grad.transpose(1, 2)[~mask].abs().max().item()
        if leak > 0:
            raise Wrong("leak", f"A masked {name} has a gradient of {leak:.2g}: it must be exactly 0.")


@attention.part("scores of a thousand: finite")
def _(answer, given):
    q, k, v = _heads(given, 1, 2, 3, 4, 4)
    found = answer(1000 * q, k, v, None)
    if isinstance(found, Tensor) and not found.isfinite().all():
        raise Wrong("overflow", "exp of a score of 1,000 is infinite, and of one far below the largest it is 0: "
                    "subtract the largest of each row, or use softmax.")  # fmt: skip
    same(found, scaled_dot_product_attention(1000 * q, k, v))
    mask = torch.tensor([[True, False, True, True]])
    found, right = answer(-1e5 * q.abs(), k.abs(), v, mask), (0, 2, 3)
    wanted = scaled_dot_product_attention(-1e5 * q.abs(), k.abs()[:, :, right], v[:, :, right])
    same(found, wanted, {"finite mask": (v[:, :, 1:2].expand(wanted.shape), "Where all scores are below your number, "
                                         "the masked key gets all the weight: put -inf there.")})  # fmt: skip


@attention.part("one head of one picture, float32, as in training; without a mask, and with one")
def _(answer, given):
    q, k, v = (x.float() for x in _heads(given, 1, 1, 2, 3, 4))
    try:
        found = answer(q, k, v)
    except TypeError:
        raise Wrong("no default", "attention(q, k, v), without a mask, must work: mask=None.") from None
    alone_in_float32(found, (1, 1, 2, 4))
    q = q.requires_grad_()
    found = answer(q, k, v)
    if not found.requires_grad or not torch.autograd.grad(found.square().sum(), q)[0].any():
        raise Wrong("detached", "Without a mask no gradient reaches the queries.")
    q = q.detach()
    alone_in_float32(answer(q, k, v, torch.tensor([[True, True, False]])), (1, 1, 2, 4))


# --- 05.4 ---


@dataclass
class Recorder:
    """Stands for the parts of a U-Net: each returns new numbers, and what it was given is kept by its name."""

    given: object
    calls: list = field(default_factory=list)
    made: dict = field(default_factory=dict)

    def new(self, name: str, channels: int, side: int) -> Tensor:
        self.made[name] = self.given.normal(2, channels, side, side)
        return self.made[name]

    def name_of(self, value) -> str:
        """What this tensor is: what was made under which name, or "something else"."""
        if isinstance(value, tuple | list):
            names = [self.name_of(v)[:4] for v in value]
            return "the pair that down returns" if names == ["h of", "skip"] else f"a {type(value).__name__}"
        known = [k for k, v in self.made.items() if isinstance(value, Tensor) and v.shape == value.shape]
        return next((k for k in known if torch.equal(self.made[k], value)), "something else")

    def down(self, i: int):
        def part(h):
            self.calls.append((f"downs[{i}]", self.name_of(h)))
            return self.new(f"h of downs[{i}]", 5 + i, 8 >> i), self.new(f"skip of downs[{i}]", 5 + i, 16 >> i)

        return part

    def middle(self, h):
        self.calls.append(("middle", self.name_of(h)))
        return self.new("middle's h", *h.shape[1:3]) if isinstance(h, Tensor) else h

    def up(self, i: int, levels: int):
        def part(h, skip):
            self.calls.append((f"ups[{i}]", self.name_of(h), self.name_of(skip)))
            return self.new(f"h of ups[{i}]", 4 + levels - i, 16 >> (levels - 1 - i))

        return part


def _wanted(levels: int) -> list[tuple]:
    before = ["x", *(f"h of downs[{i}]" for i in range(levels))]
    calls = [(f"downs[{i}]", before[i]) for i in range(levels)] + [("middle", before[-1])]
    before = ["middle's h", *(f"h of ups[{i}]" for i in range(levels))]
    return calls + [(f"ups[{i}]", before[i], f"skip of downs[{levels - 1 - i}]") for i in range(levels)]


def _run(answer, given, levels: int) -> tuple[Recorder, object]:
    seen = Recorder(given)
    downs, ups = [seen.down(i) for i in range(levels)], [seen.up(i, levels) for i in range(levels)]
    y = answer(seen.new("x", 4, 16), downs, seen.middle, ups)
    return seen, y


@unet.part("the calls: all the way down, the middle once, all the way up")
def _(answer, given):
    for levels in (3, 4):
        seen, _ = _run(answer, given, levels)
        names, wanted = [call[0] for call in seen.calls], [call[0] for call in _wanted(levels)]
        if names == wanted:
            continue
        if names.count("middle") > 1:
            raise Wrong("middle again", f"The middle is called {names.count('middle')} times: once is right.")
        if "middle" not in names:
            raise Wrong("no middle", "The middle is not called.")
        for kind in ("downs", "ups"):
            found, right = ([n for n in v if n.startswith(kind)] for v in (names, wanted))
            if found == right[::-1]:
                raise Wrong(f"{kind} backwards", f"{kind} are walked backwards: {kind}[0] is called first.")
            if len(found) < len(right):
                raise Wrong(f"{kind} left out", f"{len(found)} of the {len(right)} {kind} are called.")
        raise Wrong("order of calls", f"Called in the order {', '.join(names)}; right is {', '.join(wanted)}.")


@unet.part("each up gets the skip of its own level, the last to go down being the first to come up")
def _(answer, given):
    for levels in (3, 4):
        seen, _ = _run(answer, given, levels)
        ups = [call for call in seen.calls if call[0].startswith("ups")]
        skips = [call[2] for call in ups]
        wanted = [call[2] for call in _wanted(levels)[-levels:]]
        if skips == wanted:
            continue
        if skips == wanted[::-1]:
            raise Wrong("first skip first", "The first up got the first skip. The last to go down is the first to come "
                        "up.")  # fmt: skip
        if all(s.startswith("h of downs") for s in skips):
            raise Wrong("h for the skip", "Skips are what down returned second, before the halving.")
        if [call[1] for call in ups] == wanted:
            raise Wrong("arguments exchanged", "up(h, skip): h comes first.")
        if skips[0].startswith("the pair"):
            raise Wrong("the pair", "down returns two things, h and skip: take them apart.")
        if "something else" in skips:
            raise Wrong("wrong skips", f"ups[{skips.index('something else')}] got something that no down returned: "
                        "hand the skip on as it is.")  # fmt: skip
        if len(set(skips)) == 1:
            raise Wrong("one skip for all", "Every up got the same skip: keep a list, and take them off its end.")
        raise Wrong("wrong skips", f"ups[0] got {skips[0]}; {wanted[0]} is right.")


@unet.part("what flows: each part gets what the one before it returned, and the last up's h comes out")
def _(answer, given):
    for levels in (3, 4):
        seen, y = _run(answer, given, levels)
        for call, wanted in zip(seen.calls, _wanted(levels), strict=True):
            if call[1] == wanted[1]:
                continue
            if call[1].startswith("skip"):
                raise Wrong("goes on with the skip", f"{call[0]} got {call[1]}: down returns h first, then the skip.")
            raise Wrong("wrong h", f"{call[0]} got {call[1]}; {wanted[1]} is right.")
        if seen.name_of(y) != f"h of ups[{levels - 1}]":
            raise Wrong("wrong result", f"What comes out is {seen.name_of(y)}; h of ups[{levels - 1}] is right.")


@unet.part("a net of one level: the middle alone")
def _(answer, given):
    x = given.normal(2, 3, 4, 4)
    try:
        found = answer(x, [], lambda h: 3 * h, [])
    except IndexError as error:
        raise Wrong("no levels", f"With no downs and no ups, a plain CNN, the middle alone is called; yours ended in "
                    f"IndexError: {error}.") from None  # fmt: skip
    same(found, 3 * x, {}, "what comes out of the middle alone")


@unet.part("every part can learn")
def _(answer, given):
    x, (a, b, c, d, e) = given.normal(2, 3).requires_grad_(), given.uniform(0.5, 1.5, 5, 3).requires_grad_()
    downs = [lambda h, w=w: (h * w, 2 * h * w) for w in (a, b)]
    ups = [lambda h, skip, w=w: (h + skip) * w for w in (d, e)]
    found = answer(x, downs, lambda h: h * c, ups)
    if not isinstance(found, Tensor) or not found.requires_grad:
        raise Wrong("no gradient", "No gradient reaches x: leave out detach and no_grad.")
    wanted = (x * a * b * (c + 2) * d + 2 * x * a) * e
    back = torch.autograd.grad(found.sum(), x, allow_unused=True)[0]
    if back is None or not close(back, torch.autograd.grad(wanted.sum(), x)[0]):
        raise Wrong("no gradient", "A part of the gradient by x is missing: is something detached on the way?")


# --- 05.5 ---


def _counts(n: int, w: int) -> dict:
    """By the formulas of PyTorch's counter, from shapes."""
    side = next(s for s in range(math.isqrt(n), 0, -1) if n % s == 0)  # of a picture that may not be a square
    shape = [1, w, side, n // side]
    return {
        "conv3x3": conv_flop_count(shape, [w, w, 3, 3], shape),
        "attention": bmm_flop((1, n, w), (1, w, n)) + bmm_flop((1, n, n), (1, n, w)),
        "mlp": mm_flop((n, w), (w, 4 * w)) + mm_flop((n, 4 * w), (4 * w, w)),
    }


@flops.part("PyTorch's counter, for four sizes")
def _(answer, given):
    some = int(given.whole(5, 9, 1)) ** 2, 2 * int(given.whole(18, 30, 1))
    for n, w in ((16, 20), some, (256, 40), (2048, 33)):
        wanted = _counts(n, w)
        slips = {
            "conv3x3": {
                "half": (9 * n * w * w, "Half: a multiply-add counts as two operations."),
                "one channel": (18 * n * w, "Each of the width's outputs reads all the width's inputs: width^2."),
                "3 for 9": (6 * n * w * w, "A 3x3 kernel has nine places."),
                "one place": (2 * n * w * w, "That is a 1x1 convolution: a 3x3 kernel has nine places."),
                "one pixel": (18 * w * w, "That is for one pixel: there are n."),
                "n^2 pixels": (18 * n * n * w * w, "n is the number of pixels, not the side."),
            },
            "attention": {
                "scores alone": (2 * n * n * w, "Half: scores and weighted sum cost 2 n^2 width each."),
                "linear in n": (4 * n * w, "Attention is quadratic: doubling n must give four times."),
                "width squared": (4 * n * w * w, "Attention is quadratic in n, not in the width."),
                "projections": (4 * n * n * w + 8 * n * w * w, "The four projections are not asked for: scores and "
                                "weighted sum alone."),
                "qkv": (4 * n * n * w + 6 * n * w * w, "The projections are not asked for."),
                "no width": (4 * n * n, "Each score is a product of two vectors of `width` numbers."),
            },
            "mlp": {
                "one layer": (8 * n * w * w, "Half: there are two layers, width -> 4 width -> width, of 2 n width "
                               "(4 width) each."),
                "no ratio": (4 * n * w * w, "Its hidden layer is four times as wide."),
                "ratio twice": (64 * n * w * w, "The ratio enters once a layer: 2 n width (4 width), twice."),
                "4 to 4": (32 * n * w * w, "width -> 4 width -> width: no layer goes from 4 width to 4 width."),
                "one token": (16 * w * w, "That is for one token: there are n."),
            },
        }  # fmt: skip
        for kind, count in wanted.items():
            same(answer(kind, n, w), count, slips[kind], f"flops({kind!r}, {n}, {w})")


# --- 05.6 ---


def _normal(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _expected(f, mean: float = 0.0, width: float = 1.0) -> float:
    """E f(mean + width Z)."""
    return integrate.quad(lambda z: f(mean + width * z) * _normal(z), -9, 9, limit=200)[0]


def _least_error(m: float) -> float:
    """Of the problem, not of the formula: s = +-1, y = sqrt(m) s + Z, and the posterior mean by Bayes."""
    a = math.sqrt(m)

    def error(y):
        plus, minus = _normal(y - a) / 2, _normal(y + a) / 2
        guess = (plus - minus) / (plus + minus)
        return plus * (1 - guess) ** 2 + minus * (1 + guess) ** 2

    return integrate.quad(error, -a - 9, a + 9, limit=200)[0]


@sign_mmse.part("the least squared error of s = +-1 seen as sqrt(m) s + Z, by Bayes' rule")
def _(answer, given):
    for m in (given.uniform(1.2, 1.6, 1).item(), given.uniform(3, 4, 1).item(), given.uniform(0.2, 0.4, 1).item()):
        found, right, root = answer(m), _least_error(m), math.sqrt(m)
        at = f"At m = {m:.2f} "
        slips = {
            "m Z": (1 - _expected(math.tanh, m, m), at + f"{right:.3f} is right: the noise in tanh is sqrt(m) Z, its "
                    "variance m."),
            "sqrt(m) + sqrt(m) Z": (1 - _expected(math.tanh, root, root), at + f"{right:.3f} is right: the mean inside "
                                    "is m, not sqrt(m)."),
            "m + Z": (1 - _expected(math.tanh, m), at + f"{right:.3f} is right: Z is scaled by sqrt(m)."),
            "2 m": (1 - _expected(math.tanh, 2 * m, math.sqrt(2 * m)), "That is the value for 2m, of a net that sees "
                    "both patches."),
            "1 minus is missing": (1 - right, "That is E tanh(...), how sure one is: the error is 1 minus it."),
            "no noise": (1 - math.tanh(m), "Z is not averaged over: tanh of the mean is not the mean of tanh."),
            "squared": (right**2, "That is the square of the error asked for."),
            "root": (math.sqrt(right), "That is its root: the *squared* error is asked for."),
            "a straight line": (1 / (1 + m), "That is the best *linear* guess: a sign can be guessed better."),
        }  # fmt: skip
        _near(found, right, slips, at)


def _near(found, right: float, slips: dict, at: str) -> None:
    if not is_number(found):
        raise Wrong("no number", "sign_mmse(m) must be a number.")
    found = float(found)
    if abs(found - right) <= 6e-4:  # three decimals, rounded
        return
    for key, (value, message) in slips.items():
        if abs(found - value) <= 1e-3:
            raise Wrong(key, message)
    if abs(found - right) < 0.03:
        raise Wrong(
            "coarse", at + f"{right:.4f} is right and you say {found:.4f}: more points, over a wider range of Z."
        )
    raise Wrong("value", at + f"{right:.4f} is right and you say {found:.4f}.")


@sign_mmse.part("nothing seen, m = 0: error 1; much seen, m = 50 and 200: 0")
def _(answer, given):
    for m, right in ((0.0, 1.0), (50.0, 0.0), (200.0, 0.0)):
        _near(answer(m), right, {}, f"At m = {m:g} ")
