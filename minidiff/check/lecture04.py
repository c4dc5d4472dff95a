"""Checks of lecture 04: AdaIN, adaLN-Zero, broadcasting, what norms forget, and the noise level by a rule."""

import functools
from collections.abc import Mapping
from itertools import permutations

import torch
from torch import Tensor, nn

from ..data.images import photographs
from .exercise import CHANGED, Exercise, Wrong, alone_in_float32, close, is_tensor, same

adain = Exercise("04.1", "adain", 1, 8, "lecture 04, part 1")
ada_ln_zero = Exercise("04.2", "AdaLNZero", 4, 25, "lecture 04, part 4")
modulate = Exercise("04.3", "modulate", 1, 8, "lecture 04, part 4")
forgets = Exercise("04.4", "forgets", 1, 6, "lecture 04, part 4")
estimate_sigma = Exercise("04.5", "estimate_sigma", 3, 23, "lecture 04, part 3")


# --- 04.1 ---


def _spread_features(given, *shape: int) -> Tensor:
    """Features whose channels differ in mean and deviation, picture by picture."""
    mean, std = given.normal(*shape[:2], 1, 1) * 3, given.uniform(0.5, 4.0, *shape[:2], 1, 1)
    return mean + std * given.normal(*shape)


def _moments(v: Tensor, axes=(2, 3)) -> tuple[Tensor, Tensor]:
    return v.mean(axes, keepdim=True), v.std(axes, correction=0, keepdim=True)


def _adain_slips(x: Tensor, y: Tensor) -> dict:
    (mx, sx), (my, sy) = _moments(x), _moments(y)
    (bx, tx), (by, ty) = _moments(x, (0, 2, 3)), _moments(y, (0, 2, 3))
    (cx, ux), (cy, uy) = _moments(x, (1, 2, 3)), _moments(y, (1, 2, 3))
    unit, variance = (x - mx) / sx, "A variance stands where a standard deviation must: take std, or the root of var."
    return {
        "variance": (sy**2 * unit + my, "The deviations come out as y's variances: std, not var."),
        "variance of x": (sy * (x - mx) / sx**2 + my, variance),
        "two variances": ((sy / sx) ** 2 * (x - mx) + my, variance),
        "over the batch": (ty * (x - bx) / tx + by, "All pictures of the batch share one mean: keep the batch axis."),
        "y over the batch": (
            ty * unit + by,
            "y's statistics are taken over the batch: each picture has its own style.",
        ),
        "over the channels": (uy * (x - cx) / ux + cy, "All channels share one mean: keep the channels' axis."),
        "y over the channels": (uy * unit + cy, "y's statistics are taken over the channels too: keep their axis."),
        "exchanged": (sx * (x - my) / sy + mx, "x's and y's statistics are exchanged: the result must have y's."),
        "mean only": (x - mx + my, "The means are y's, the deviations still x's: divide by x's, multiply by y's."),
        "not divided": (sy * (x - mx) + my, "x is not divided by its own deviation."),
        "deviation only": (sy * unit + mx, "The deviations are y's, the means still x's."),
        "no mean of y": (sy * unit, "y's mean is not added."),
        "mean not removed": (sy * x / sx + my, "x's own mean is still in it: subtract it first."),
        "mean scaled": (sy * (unit + my), "y's mean is scaled by its deviation: add it last."),
        "normalised only": (unit, "That is x normalised: y's deviation and mean do not come in."),
        "one style": (sy[:1] * unit + my[:1], "All pictures take the style of the first y."),
    }


@adain.part("each channel of each picture leaves with y's mean and deviation, and x's layout")
def _(answer, given):
    x, y = _spread_features(given, 4, 4, 16, 15), _spread_features(given, 4, 4, 12, 18)
    found = answer(x, y)
    if isinstance(found, Tensor) and found.shape == y.shape:
        raise Wrong("y comes back", "The result has y's size: it is x that is moved to y's statistics, not y to x's.")
    (mx, sx), (my, sy) = _moments(x), _moments(y)
    wanted = sy * (x - mx) / sx + my
    same(found, wanted, _adain_slips(x, y), rtol=0.01)  # either count, n or n - 1, is right
    if ((found.mean((2, 3), keepdim=True) - my).abs() > 0.01 * sy).any():
        raise Wrong("value", "A channel's mean is not y's.")
    if ((found.std((2, 3), keepdim=True) / sy - 1).abs() > 0.01).any():
        raise Wrong("value", "A channel's deviation is not y's.")


@adain.part("a channel that is constant stays finite, whatever its value")
def _(answer, given):
    for size, value in ((6, 0.3), (3, 0.1), (7, 1.7)):  # the mean of 36 times .3 is not .3 to the last bit
        x, y = _spread_features(given, 2, 3, size, size), _spread_features(given, 2, 3, 5, 4)
        x[0, 1], x[1, 1] = 2.0, value
        found = answer(x, y)
        if isinstance(found, Tensor) and not found.isfinite().all():
            raise Wrong("0 / 0", "A constant channel has deviation 0, and 0 / 0 is NaN; so is the root of a variance "
                        "that rounding makes negative. Add eps below the line, or under the root.")  # fmt: skip
        wanted = y[:, 1].mean((1, 2))[:, None, None].expand(2, size, size)
        same(found[:, 1], wanted, {}, "the constant channel", 1e-6)


@adain.part("the eps that is given; one picture of one channel in float32")
def _(answer, given):
    x, y = _spread_features(given, 2, 3, 16, 15), _spread_features(given, 2, 3, 12, 18)
    found, ((mx, sx), (my, sy)) = answer(x, y, 0.5), (_moments(x), _moments(y))
    is_tensor(found, x.shape)
    if close(found, answer(x, y, 0.0), 1e-9):
        if not close(found, answer(x, y, 8.0), 1e-9):
            raise Wrong("eps a floor", "eps is the least deviation in yours: *add* it to the deviation.")
        raise Wrong("eps not used", "eps = .5 was given and changes nothing: use the argument.")
    root, root_y = ((s**2 + 0.5).sqrt() for s in (sx, sy))  # under the root, and for y too, is usual as well
    usual = sy / (sx + 0.5), sy / root, root_y / root
    if not any(close(found, ratio * (x - mx) + my, 0.005) for ratio in usual):
        raise Wrong("eps elsewhere", "With eps = .5 the result is not y_std (x - x_mean) / (x_std + eps) + y_mean.")
    one = _spread_features(given, 1, 1, 4, 4).float()
    alone_in_float32(answer(one, one + 1), one.shape)


# --- 04.2 ---


class Counted(nn.Module):
    """A branch (B, N, W) -> like x that mixes tokens and features and is not linear; counts its calls."""

    def __init__(self, width: int):
        super().__init__()
        self.mix, self.calls = nn.Linear(width, width), 0

    def forward(self, h: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(self.mix(h)) + 0.3 * h.mean(1, keepdim=True)


def _block(answer, width: int, emb_dim: int):
    """The student's block in float64, its branch, and the pieces of its modulation: (weight, bias) of `width` rows."""
    branch = Counted(width)
    weight = branch.mix.weight.detach().clone()
    block = answer(width, emb_dim, branch)
    if not isinstance(block, nn.Module):
        raise Wrong("no module", "AdaLNZero(width, emb_dim, branch) must be an nn.Module.")
    block = block.double()
    if not any(p is branch.mix.weight for p in block.parameters()):
        raise Wrong("branch not registered", "The branch's own weights are not among the block's, so it would not be "
                    "trained: self.branch = branch, and no copy.")  # fmt: skip
    if not branch.training:
        raise Wrong("branch in eval mode", "The branch was put into eval mode: its dropout would be off for good.")
    if not torch.equal(branch.mix.weight.float(), weight):
        raise Wrong("branch changed", "The branch's own weights have changed: zero the linear layer of shift, scale "
                    "and gate alone. Where gate and branch are both 0 neither learns.")  # fmt: skip
    linears = [m for m in block.modules() if isinstance(m, nn.Linear) and m is not branch.mix]
    pieces = [(m.weight[i : i + width], m.bias[i : i + width]) for m in linears if m.bias is not None
              for i in range(0, m.out_features, width)]  # fmt: skip
    if len(pieces) != 3 or any(len(b) != width or w.shape[1] != emb_dim for w, b in pieces):
        shapes = ", ".join(f"{m.in_features} -> {m.out_features}" for m in linears) or "none"
        raise Wrong("modulation", f"Shift, scale and gate need {emb_dim} -> 3 x {width} in all, by nn.Linear with a "
                    f"bias; found: {shapes}.")  # fmt: skip
    if not all(v.requires_grad for piece in pieces for v in piece):
        raise Wrong("frozen", "A weight or a bias that gives shift, scale and gate asks for no gradient, so it stays 0 "
                    "for ever: zero it and leave it trainable.")  # fmt: skip
    return block, branch, pieces


@ada_ln_zero.part("it starts as the identity, to the bit")
def _(answer, given):
    block, branch, pieces = _block(answer, 6, 5)
    x, emb = 3 * given.normal(4, 4, 6) + 1, given.normal(4, 5)
    found = block(x, emb)
    is_tensor(found, x.shape)
    if any(v.any() for piece in pieces for v in piece):
        raise Wrong("not zeroed", "The linear layer that gives shift, scale and gate must start at 0, weight and bias, "
                    "all three.")  # fmt: skip
    if torch.equal(found, x):
        return
    if close(found, 0 * x):
        raise Wrong("no residual", "At the start out is 0: add x itself, outside the gate.")
    unit = (x - x.mean(2, keepdim=True)) / x.std(2, correction=0, keepdim=True)
    if any(close(found, x + branch(v), 1e-4) for v in (unit, 0 * x, x)):
        raise Wrong("gate starts at 1", "At the start out is x + branch(...): multiply what the branch puts out by the "
                    "gate, which starts at 0. Is it missing, inside the branch, or 1 + gate?")  # fmt: skip
    if close(found, unit, 1e-4):
        raise Wrong("residual of the norm", "At the start out is norm(x): what is added to the branch is x itself.")
    off = (found - x).abs().max().item()
    raise Wrong("not the identity", f"With all modulation 0, out must be x itself; it is off by up to {off:.3g}.")


@ada_ln_zero.part("it can learn: the gate has a gradient from the start")
def _(answer, given):
    block, _, pieces = _block(answer, 6, 5)
    out = block(given.normal(4, 4, 6), given.normal(4, 5))
    if out.requires_grad:
        (out * given.normal(4, 4, 6)).sum().backward()
    parameters = [p for p in block.parameters() if p.grad is not None and p.grad.any()]
    if not parameters:
        raise Wrong("cannot learn", "At the start every gradient of shift, scale and gate is 0, and stays 0: what "
                    "else is 0, or detached? Zero the one linear layer alone.")  # fmt: skip


def _modulated(x, shift, scale, gate, branch) -> Tensor:
    return x + gate * branch(_layer_norm(x) * (1 + scale) + shift)


def _layer_norm(x: Tensor) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()


_BLOCK_SLIPS = {
    "no 1 + scale": (lambda x, h, s, g, f: x + g * f(_layer_norm(x) * s + h),
                     "Scale 0 makes your features 0: modulate by 1 + scale."),
    "no norm": (lambda x, h, s, g, f: x + g * f(x * (1 + s) + h), "x enters the branch without a layer norm."),
    "n - 1": (lambda x, h, s, g, f: x + g * f((x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) * (1 + s) + h),
              "Your norm's deviation has n - 1 below: a layer norm's has n, x.std(-1, correction=0, keepdim=True)."),
    "norm last": (lambda x, h, s, g, f: x + g * f(_layer_norm(x * (1 + s) + h)),
                  "The norm comes after the modulation and undoes it: norm first."),
    "gate on x": (lambda x, h, s, g, f: x + g * (x + f(_layer_norm(x) * (1 + s) + h)), "The gate multiplies x too."),
    "gate inside": (lambda x, h, s, g, f: x + f(g * (_layer_norm(x) * (1 + s) + h)) - f(0 * x),
                    "The gate stands inside the branch: it multiplies what the branch puts out."),
    "modulated after": (lambda x, h, s, g, f: x + g * (f(_layer_norm(x)) * (1 + s) + h),
                        "Scale and shift come after the branch: they belong before it, on the norm."),
    "shift scaled": (lambda x, h, s, g, f: x + g * f((_layer_norm(x) + h) * (1 + s)),
                     "The shift is scaled too: multiply by 1 + scale first, then add."),
    "no shift": (lambda x, h, s, g, f: x + g * f(_layer_norm(x) * (1 + s)), "The shift is not added."),
    "no scale": (lambda x, h, s, g, f: x + g * f(_layer_norm(x) + h), "The scale is not used."),
    "gate squashed": (lambda x, h, s, g, f: x + torch.tanh(g) * f(_layer_norm(x) * (1 + s) + h),
                      "The gate is used as it is, without tanh."),
    "norm over tokens": (lambda x, h, s, g, f: x + g * f(_layer_norm(x.transpose(1, 2)).transpose(1, 2) * (1 + s) + h),
                         "The norm runs over the tokens: it is each token's, over its features."),
    "norm over all": (lambda x, h, s, g, f: x + g * f(_layer_norm(x.flatten(1)).view(x.shape) * (1 + s) + h),
                      "The norm runs over tokens and features together: it is each token's own."),
}  # fmt: skip


@ada_ln_zero.part("out = x + gate branch(norm(x) (1 + scale) + shift), the branch called once")
def _(answer, given):
    block, branch, pieces = _block(answer, 6, 5)
    x, emb, values = 3 * given.normal(4, 4, 6) + 1, given.normal(4, 5), given.uniform(0.3, 1.5, 3, 6)
    with torch.no_grad():
        for (weight, bias), value in zip(pieces, values, strict=True):
            weight.zero_(), bias.copy_(value)
    known = [*branch.parameters(), *(v for piece in pieces for v in piece)]
    if sum(p.numel() for p in block.parameters()) > sum(v.numel() for v in known):
        raise Wrong("affine norm", "The block has weights besides the linear layer and the branch: is it the norm's "
                    "own affine? elementwise_affine=False leaves it to shift and scale.")  # fmt: skip
    branch.calls = 0
    given_x, given_emb = x.clone(), emb.clone()
    found = block(x, emb)
    for name, now, before in (("x", x, given_x), ("emb", emb, given_emb)):
        if not torch.equal(now, before):
            raise Wrong(CHANGED[0], f"{name} has changed, and belongs to the caller: nothing in place, as x += y or "
                        "inplace=True.")  # fmt: skip
    if not torch.equal(torch.stack([bias.detach() for _, bias in pieces]), values):
        raise Wrong("set to 0 again", "The linear layer was set anew in forward: set it to 0 once, in __init__.")
    if branch.calls != 1:
        raise Wrong("calls", f"The branch is called {branch.calls} times: once is right.")
    is_tensor(found, x.shape)
    gradient = torch.autograd.grad(found.square().sum(), branch.mix.weight, allow_unused=True)[0]
    if gradient is None or not gradient.any():
        raise Wrong("branch not trained", "No gradient reaches the branch's weights, with a gate that is not 0: is "
                    "something detached?")  # fmt: skip
    by_turns = values.flatten().view(6, 3).T  # the layer's outputs may be cut into three, or dealt out by turns
    orders = [*permutations(values), *permutations(by_turns)]
    if any(close(found, _modulated(x, *order, branch), 1e-4) for order in orders):
        return
    for key, (slip, message) in _BLOCK_SLIPS.items():
        if any(close(found, slip(x, *order, branch), 1e-4) for order in orders):
            raise Wrong(key, message)
    raise Wrong("value", "Shift, scale and gate were set to vectors; out is x + gate branch(norm(x) (1 + scale) + "
                "shift) in none of the six orders of the three.")  # fmt: skip


@ada_ln_zero.part("each picture by its own embedding, also with as many pictures as tokens")
def _(answer, given):
    for b, n in ((4, 4), (3, 5)):
        block, _, pieces = _block(answer, 6, 5)
        with torch.no_grad():
            for weight, bias in pieces:
                weight.copy_(given.normal(6, 5)), bias.copy_(given.normal(6))
        x, emb = given.normal(b, n, 6), given.normal(b, 5)
        found, alone = block(x, emb), torch.cat([block(x[i : i + 1], emb[i : i + 1]) for i in range(b)])
        is_tensor(found, x.shape)
        if not close(found, block(x, emb), 1e-7):
            raise Wrong("random", "Two calls with the same inputs give two results: leave out dropout, and any state.")
        if not close(found, alone, 1e-7):
            for name, style in (("the first embedding", emb[:1]), ("the mean of the embeddings", emb.mean(0)[None])):
                if close(found, block(x, style.expand(b, 5)), 1e-7):
                    raise Wrong("one style for all", f"All pictures are modulated by {name}: each has its own.")
            raise Wrong("lined up with tokens", "A picture comes out otherwise in a batch than alone: (B, W) lined up "
                        "with the tokens. Give shift, scale and gate the shape (B, 1, W).")  # fmt: skip
        if close(found, block(x, given.normal(b, 5)), 1e-9):
            raise Wrong("embedding unused", "Another embedding changes nothing.")
        for other, what in ((2 * emb, "Twice the embedding"), (emb + 3, "The embedding plus 3")):
            if close(found, block(x, other), 1e-4):
                raise Wrong("embedding normalised", f"{what} changes nothing: it enters the linear layer as it is.")


@ada_ln_zero.part("pictures of one token, float32 as in training")
def _(answer, given):
    block = answer(6, 5, Counted(6))
    with torch.no_grad():
        for v in block.parameters():
            v.copy_(given.normal(*v.shape))
    found = block(given.normal(3, 1, 6).float(), given.normal(3, 5).float())
    alone_in_float32(found, (3, 1, 6), "what comes out")


@ada_ln_zero.part("gradients reach x and the embedding, through shift, scale and gate")
def _(answer, given):
    block, _, pieces = _block(answer, 6, 5)
    x, emb, w = given.normal(2, 3, 6).requires_grad_(), given.normal(2, 5).requires_grad_(), given.normal(2, 3, 6)
    at_start = torch.autograd.grad((block(x, emb) * w).sum(), x, allow_unused=True)[0]
    if at_start is None or not close(at_start, w):
        raise Wrong("x detached", "At the start out is x, and the gradient by x must pass as it is: what lies below "
                    "the block could not learn. Is x detached?")  # fmt: skip
    with torch.no_grad():
        for weight, bias in pieces:
            weight.copy_(given.normal(6, 5)), bias.copy_(given.normal(6))
    learned = [v for v in block.parameters() if v.requires_grad]
    found = torch.autograd.grad((block(x, emb) * w).sum(), [x, emb, *learned], allow_unused=True)
    for value, gradient, name in ((x, found[0], "x"), (emb, found[1], "the embedding")):
        v, h = given.normal(*value.shape), 1e-2  # so wide that a norm taken in float32 does not drown it
        with torch.no_grad():
            a, b, c, d = (block(*(u + s * h * v if u is value else u for u in (x, emb))) for s in (2, 1, -1, -2))
        slope = ((8 * (b - c) - (a - d)) * w).sum() / (12 * h)
        if gradient is None or abs((gradient * v).sum() - slope) > 1e-4 * (gradient * v).norm():
            raise Wrong(f"{'x' if value is x else 'embedding'} detached", f"The gradient by {name} is not the slope of "
                        "what comes out: is something detached, or under no_grad?")  # fmt: skip
    for value, gradient in zip(learned, found[2:], strict=True):
        if gradient is None or (value.shape[0] % 6 == 0 and not all(part.any() for part in gradient.split(6))):
            raise Wrong("part detached", "Shift, scale or gate has no gradient, though none is 0: is one detached?")


# --- 04.3 ---


def _one_by_one(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.stack([torch.stack([x[b, n] * (1 + scale[b]) + shift[b] for n in range(x.shape[1])])
                        for b in range(len(x))])  # fmt: skip


@modulate.part("as many pictures as tokens and features: picture by picture, token by token")
def _(answer, given):
    x, shift, scale = given.normal(4, 4, 4), given.normal(4, 4), given.normal(4, 4)
    h, s = shift[:, None], scale[:, None]
    slips = {
        "lined up with tokens": (x * (1 + scale) + shift, "At B = N nothing crashes, but token 2 of every picture got "
                                 "picture 2's style: insert an axis."),
        "scale lined up": (x * (1 + scale) + h, "The shift is right; the scale needs the axis too."),
        "shift lined up": (x * (1 + s) + shift, "The scale is right; the shift needs the axis too."),
        "transposed": (x * (1 + scale.T) + shift.T, "Shift and scale are transposed: what is missing is an axis."),
        "axis at the end": (x * (1 + scale[..., None]) + shift[..., None], "The new axis is the last one: feature 2's "
                            "style went to token 2. It belongs in the middle."),
        "no 1 +": (x * s + h, "Scale 0 must leave x as it is: 1 + scale."),
        "exchanged": (x * (1 + h) + s, "shift and scale are exchanged."),
        "shift scaled": ((x + h) * (1 + s), "The shift is scaled too: multiply first, then add."),
        "no shift": (x * (1 + s), "The shift is not added."),
        "first style": (x * (1 + scale[0]) + shift[0], "All pictures got the first picture's style."),
    }  # fmt: skip
    same(answer(x, shift, scale), _one_by_one(x, shift, scale), slips)


@modulate.part("other sizes: 3 pictures of 5 tokens, 5 of 1, 1 of 4")
def _(answer, given):
    for b, n in ((3, 5), (5, 1), (1, 4)):
        x, shift, scale = given.normal(b, n, 6), given.normal(b, 6), given.normal(b, 6)
        found = answer(x, shift, scale)
        if isinstance(found, Tensor) and found.shape != x.shape:
            raise Wrong("shape", f"x is {tuple(x.shape)} and so must be the result; yours is {tuple(found.shape)}.")
        same(found, _one_by_one(x, shift, scale))


@modulate.part("one token of one picture, float32, as in training")
def _(answer, given):
    x, shift, scale = given.normal(1, 1, 6).float(), given.normal(1, 6).float(), given.normal(1, 6).float()
    alone_in_float32(answer(x, shift, scale), (1, 1, 6))


# --- 04.4 ---

NORMS = {
    "none": (nn.Identity, "`none` keeps it: norm(3 x) is 3 x."),
    "instance": (lambda: nn.InstanceNorm2d(8), "Instance norm divides each channel by its own deviation: it forgets."),
    "group": (lambda: nn.GroupNorm(2, 8), "Group norm divides each group by the group's deviation: it forgets."),
    "layer": (lambda: nn.LayerNorm([8, 5, 5]), "Layer norm divides by the deviation of what it norms: it forgets."),
    "batch": (lambda: nn.BatchNorm2d(8), "Batch norm, in training, divides by the batch's deviation: norm(3 x) of a "
              "batch that is 3 times as loud is norm(x)."),
}  # fmt: skip


@forgets.part("does norm(3 x) = norm(x)? Tried on the five modules, in training")
def _(answer, given):
    found = answer() if callable(answer) else answer
    found = dict(found) if isinstance(found, Mapping) else found
    if not isinstance(found, dict) or set(found) != set(NORMS):
        raise Wrong("no table", f"Return a dict with True or False for each of: {', '.join(NORMS)}.")
    found = {k: v.item() if getattr(v, "ndim", None) == 0 else v for k, v in found.items()}  # tensor(True) too
    if not all(isinstance(v, bool) for v in found.values()):
        raise Wrong("neither", "Each value is True (it forgets how loud x is) or False (it does not).")
    x = 5 * given.normal(6, 8, 5, 5)
    for name, (make, message) in NORMS.items():
        norm = make().double().train()
        if found[name] != close(norm(3 * x), norm(x), 1e-4):
            raise Wrong(name, message)


# --- 04.5 ---


@functools.cache
def _photographs() -> Tensor:
    return photographs().double() / 127.5 - 1


def _noisy_crops(n: int, given) -> tuple[Tensor, Tensor]:
    """Crops (n, 3, 32, 32) of the two photographs with noise of log-uniform sigma (n,), .1 to 1."""
    photos, size = _photographs(), 32
    rows, columns = (given.whole(0, photos.shape[i] - size, n).tolist() for i in (2, 3))
    clean = torch.stack([photos[i % 2, :, r : r + size, c : c + size]
                         for i, (r, c) in enumerate(zip(rows, columns, strict=True))])  # fmt: skip
    sigma = 0.1 * 10 ** given.uniform(0, 1, n)
    return clean + sigma[:, None, None, None] * given.normal(*clean.shape), sigma


def _estimates(found, n: int, what: str = "the estimates") -> Tensor:
    """What came back as float64, (n,): estimates of .15 may be float32. Raises Wrong for anything else."""
    found = found.double() if isinstance(found, Tensor) else found
    is_tensor(found, (n,), what)
    return found


_FACTORS = {
    "sqrt 2": (2**0.5, "On noise alone your rule is right up to a constant 1.41: a difference of two pixels has twice "
               "the variance."),
    "median": (0.6745, "On noise alone your rule is right up to a constant .674: that is the median of |z|, not the "
               "deviation of z."),
    "multiplied": (0.6745**2, "On noise alone your rule is right up to a constant .455: divide the median by .6745, do "
                   "not multiply."),
    "mean of |x|": ((2 / torch.pi) ** 0.5, "On noise alone your rule is right up to a constant .798: the mean of |z| "
                    "is not its deviation."),
    "mean of |difference|": ((4 / torch.pi) ** 0.5, "On noise alone your rule is right up to a constant 1.13: if it is "
                             "the mean of |difference|, sqrt(2) and .798 are left out."),
}  # fmt: skip


@estimate_sigma.part("noise alone: twice as loud, twice the estimate, each picture for itself")
def _(answer, given):
    for channels in (3, 1):
        loud = given.uniform(0.12, 0.48, 24)  # doubled, still within the promised .1 to 1
        z = loud[:, None, None, None] * given.normal(24, channels, 32, 32)
        one, two = (_estimates(answer(v), 24) for v in (z, 2 * z))
        if (one <= 0).any() or (two <= 0).any():
            raise Wrong("not positive", "On noise alone some of your estimates are 0 or below: is the size of the "
                        "differences (abs) missing, or is a constant subtracted?")  # fmt: skip
        grown = (two / one).median().item()
        if 3.5 < grown < 4.5:
            raise Wrong("variance", "Twice as loud, and you say four times: that is sigma^2. Take the root.")
        if not 1.8 < grown < 2.2:
            raise Wrong("not in proportion", f"Twice as loud, and you say {grown:.2f} times: look at the picture.")
        alone = torch.cat([_estimates(answer(z[i : i + 1]), 1, "the estimate of one picture") for i in range(3)])
        drawn = (_estimates(answer(z), 24) / one).log().abs().max().item()  # a rule may look at pixels drawn at random
        if not close(alone, one[:3], 0.05 + 3 * drawn):
            raise Wrong("other pictures", "A picture's estimate depends on the others of its batch.")
        _no_bare_rule(one, z)
        ratio = (one / loud).median().item()
        of = "three channels" if channels == 3 else "one channel"
        for key, (factor, message) in _FACTORS.items():
            if abs(ratio / factor - 1) < 0.03 and not 0.8 < ratio < 1.25:
                raise Wrong(key, message)
        if not 0.8 < ratio < 1.25:
            raise Wrong("a constant off", f"On noise alone, pictures of {of}, you say {ratio:.2f} times its sigma.")


def _no_bare_rule(found: Tensor, z: Tensor) -> None:
    """Raise Wrong if estimates are means of |x|, or medians or means of |difference|: of the medians .6745 and sqrt(2),
    both left out, nearly cancel. Rules about other numbers differ from these by 2%."""
    across, down = (z.diff(dim=axis).abs().flatten(1) for axis in (3, 2))
    if close(found, z.abs().flatten(1).mean(1), 0.003):
        raise Wrong("mean of |x|", _FACTORS["mean of |x|"][1])
    for v in (across, down, torch.cat([across, down], 1)):
        if close(found, v.mean(1), 0.003):
            raise Wrong("mean of |difference|", _FACTORS["mean of |difference|"][1])
        if close(found, v.median(1).values, 0.003):
            raise Wrong("both constants", "That is the median of |difference|, near by luck: divide it by sqrt(2), for "
                        "the difference of two pixels, and by .6745, for the median.")  # fmt: skip


@estimate_sigma.part("crops of photographs, sigma from .1 to 1")
def _(answer, given):
    x, sigma = _noisy_crops(640, given)
    found = _estimates(answer(x), len(sigma))
    if (found <= 0).any():
        raise Wrong("not positive", "An estimate of a deviation must be positive.")
    ratio, quiet = found / sigma, sigma < 0.2
    off, low = (ratio - 1).abs().median().item(), ratio[quiet].median().item()
    if off <= 0.15 and low <= 1.38:
        return
    if low > 1.38:
        says, is_so = found[quiet].median().item(), sigma[quiet].median().item()
        raise Wrong("contrast", f"Where sigma is below .2 you say {says:.2f}, in the median, and it is {is_so:.2f}: is "
                    "that the picture's own contrast? Look where the picture changes slowly: at differences of "
                    "neighbours.")  # fmt: skip
    raise Wrong("far off", f"Half of your estimates are off by more than {off:.0%}; at most 15% is asked.")
