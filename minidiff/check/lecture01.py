"""Checks of lecture 01: a mixture's score, three losses that find a score, and Langevin dynamics."""

import torch
from torch import Tensor

from ..denoise import Prediction
from ..oracles import GaussianMixture
from ..schedules import VE
from .exercise import Exercise, Wrong, alone_in_float32, close, explained, is_tensor, of_one_axis, same

mixture_score = Exercise("01.1", "mixture_score", 2, 15, "lecture 01, part 1")
ism_loss = Exercise("01.2", "ism_loss", 2, 15, "lecture 01, part 2")
ssm_loss = Exercise("01.3", "ssm_loss", 2, 10, "lecture 01, part 2")
dsm_loss = Exercise("01.4", "dsm_loss", 1, 8, "lecture 01, part 2")
langevin_step = Exercise("01.5", "langevin_step", 1, 5, "lecture 01, part 4")
annealed_langevin = Exercise("01.6", "annealed_langevin", 4, 25, "lecture 01, part 4")


# --- 01.1 ---


def _gradient(x: Tensor, weights: Tensor, means: Tensor, std: float) -> Tensor:
    """Of a mixture's log density, by autograd."""
    eye = torch.eye(x.shape[1], dtype=x.dtype).expand(len(means), -1, -1)
    x = x.clone().requires_grad_()
    return torch.autograd.grad(GaussianMixture(weights, means, std**2 * eye).log_prob(x).sum(), x)[0]


@mixture_score.part("the gradient of the log density, by automatic differentiation")
def _(answer, given):
    x, means, std = given.normal(7, 3), given.normal(4, 3), 0.7
    weights = torch.softmax(given.uniform(-1.5, 1.5, 4), 0)
    log_each = weights.log() - (x[:, None] - means).square().sum(2) / (2 * std**2)

    def pull(logits, axis=1):
        return (torch.softmax(logits, axis) @ means - torch.softmax(logits, axis).sum(1, keepdim=True) * x) / std**2

    right, density = pull(log_each), log_each.exp()
    to_nearest = (means[log_each.argmax(1)] - x) / std**2
    slips = {
        "sign": (-right, "The sign is turned: the score points uphill, towards the modes."),
        "std for std^2": (right * std, "The pull of the modes is right, its size is not: divide by std^2, not std."),
        "not divided": (right * std**2, "The pull of the modes is right, its size is not: divide by std^2."),
        "twice": (2 * right, "Twice too long: the exponent has a half in it."),
        "nearest mode only": (to_nearest, "Only the likeliest mode pulls: all do, each by its share of the density."),
        "weights left out": (pull(log_each - weights.log()), "The modes pull as if all had the same weight: add log "
                             "weights to the exponents."),
        "equal pull": ((weights @ means - x) / std**2, "Each mode pulls by its weight, wherever x is: what counts is "
                       "its share of the density *at x*."),
        "softmax over the batch": (pull(log_each, 0), "The softmax runs over the points (axis 0). It must run over the "
                                   "modes."),
        "no half": (pull(weights.log() - (x[:, None] - means).square().sum(2) / std**2), "The exponent is -|x - m|^2 / "
                    "(2 std^2): the 2 is missing."),
        "std in the exponent": (pull(weights.log() - (x[:, None] - means).square().sum(2) / (2 * std)), "The exponent "
                                "is -|x - m|^2 / (2 std^2): you have std there."),
        "x left out": (torch.softmax(log_each, 1) @ means / std**2, "x is not subtracted: each mode pulls along "
                       "m - x."),
        "not the logarithm": (right * density.sum(1, keepdim=True) / (2 * torch.pi * std**2) ** 1.5, "That is the "
                              "gradient of the density: divide by the density for that of its logarithm."),
        "density not divided out": (right * density.sum(1, keepdim=True), "The shares of the modes do not sum to 1: "
                                    "divide by their sum."),
    }  # fmt: skip
    same(answer(x, weights, means, std), _gradient(x, weights, means, std), slips, "the score")


@mixture_score.part("one mode: a straight pull to it")
def _(answer, given):
    x, mean = given.normal(5, 2), given.normal(1, 2)
    same(answer(x, torch.ones(1, dtype=torch.float64), mean, 0.3), (mean - x) / 0.3**2, {}, "the score")


@mixture_score.part("60 standard deviations from every mode")
def _(answer, given):
    means, std, weights = given.normal(3, 2), 0.1, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    x = 7 * torch.nn.functional.normalize(given.normal(4, 2), dim=1)
    x = x + means.norm(dim=1).max() * x / x.norm(dim=1, keepdim=True)
    found = answer(x, weights, means, std)
    if isinstance(found, Tensor) and not found.isfinite().all():
        raise Wrong("underflow", "At 60 std from all modes you return NaN: exp is 0 there for every mode, and 0 / 0 "
                    "has no value. Take the softmax of the exponents.")  # fmt: skip
    wanted = _gradient(x, weights, means, std)
    if isinstance(found, Tensor) and found.shape == wanted.shape and found.abs().max() < 1e-2 * wanted.abs().max():
        raise Wrong("underflow hidden", "At 60 std from all modes you return 0: a small number in the denominator "
                    "hides 0 / 0. Take the softmax of the exponents.")  # fmt: skip
    same(found, wanted, {}, "the score")
    means, weights = torch.tensor([[-0.3, 0.0], [0.3, 0.0]]).double(), torch.tensor([0.5, 0.5]).double()
    x = torch.tensor([[0.0, 6.5], [0.004, -7.0]], dtype=torch.float64)  # nearly as far from both
    found, wanted = answer(x, weights, means, std), _gradient(x, weights, means, std)
    if isinstance(found, Tensor) and found.shape == wanted.shape and not close(found[:, 0], wanted[:, 0], 1e-6):
        raise Wrong("nearest mode alone", "65 std from two modes, and nearly as far from both, both pull: the share "
                    "of the farther is not 0 there.")  # fmt: skip
    same(found, wanted, {}, "the score")
    # in one batch: points near each mode, the modes 80 std apart, and one far from all
    means = torch.tensor([[-4.0, 0.0], [4.0, 0.5]], dtype=torch.float64)
    x = torch.cat([means + 0.1, torch.tensor([[0.5, 9.0]], dtype=torch.float64)])
    found = answer(x, weights, means, std)
    if isinstance(found, Tensor) and not found.isfinite().all():
        raise Wrong("one shift for all", "Of points at modes that are 80 std apart some return NaN or infinity: "
                    "subtract each point's own largest exponent, or take torch.softmax over the modes.")  # fmt: skip
    same(found, _gradient(x, weights, means, std), {}, "the score")


@mixture_score.part("one point, float32, as in training")
def _(answer, given):
    found = answer(given.normal(1, 2).float(), torch.tensor([0.5, 0.5]), given.normal(2, 2).float(), 0.5)
    alone_in_float32(found, (1, 2), "the score")


# --- fields whose derivatives are known ---


def _linear(given, dim: int = 3) -> tuple[Tensor, Tensor]:
    """A (dim, dim), not symmetric, and b (dim,)."""
    return given.normal(dim, dim), given.normal(dim)


def _curved(x: Tensor) -> Tensor:
    """A field in three dimensions, of one point or many."""
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    return torch.stack([torch.sin(a * b), b * torch.cos(c) + a, a**2 - torch.sin(c + b)], -1)


def _slope(x: Tensor, v: Tensor, h: float = 1e-5) -> Tensor:
    """v . (d field / dx) v, by finite differences, (B,)."""
    return ((_curved(x + h * v) - _curved(x - h * v)) / (2 * h) * v).sum(1)


def _asks_once(answer, given, *more) -> None:
    """Raise Wrong if the field is asked at other points than those given, as for finite differences, or if gradients
    are left in its weights; for one point alone it is float32."""
    weight, x, asked = given.normal(3, 3).requires_grad_(), given.normal(4, 3), []

    def fn(y):
        if not torch._C._functorch.is_functorch_wrapped_tensor(y):
            asked.append(y.detach().double().reshape(-1, 3))
        return torch.sin(y @ weight.to(y.dtype).T)

    answer(fn, x, *(v(4) for v in more))
    if asked and torch.cdist(torch.cat(asked), x).min(1).values.max() > 1e-12:
        raise Wrong("finite differences", "fn is asked at points beside x: finite differences are noise in float32, as "
                    "in training. torch.autograd.grad is exact.")  # fmt: skip
    if weight.grad is not None:
        raise Wrong("gradients left", "After your loss the network's weights have gradients already, and those of "
                    "the step are added to them: backward() fills all. Ask for x's alone: autograd.grad.")  # fmt: skip
    asked.clear()
    alone_in_float32(answer(fn, x[:1].float(), *(v(1).float() for v in more)), (1,), "the loss")


def _learns(answer, given, wanted, slips, x: Tensor, *rest) -> None:
    """The gradient of the loss by the field's matrix A, where the field is A x + b."""
    A, b = _linear(given, x.shape[1])
    A.requires_grad_()
    loss = answer(lambda y: y @ A.T + b, x, *rest)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise Wrong("no gradient", "The loss has no gradient, and nothing would be learned: no no_grad, no detach of "
                    "what fn returns, no .item().")  # fmt: skip
    (found,) = torch.autograd.grad(loss.sum(), A, allow_unused=True)
    s = (x @ A.T + b).detach()
    found = torch.zeros_like(s.T @ x) if found is None else found
    same(
        found, wanted(s), {k: (value(s), message) for k, (value, message) in slips.items()}, "the loss's gradient by A"
    )


_SAYS = {  # torch, where a usual line is missing
    "backward through the graph a second time": ("no graph", "pass create_graph=True to autograd.grad, which keeps the "
                                                 "graph, and makes what it returns differentiable."),
    "does not require grad": ("x not marked", "derivatives by x are asked: x = x.detach().requires_grad_(), and no "
                              "no_grad or detach after that."),
}  # fmt: skip
_DETACHED = "The loss is right but its gradient misses {}: pass create_graph=True to autograd.grad."


# --- 01.2 ---


@ism_loss.part("a linear field: the trace of its matrix, and half the square")
def _(answer, given):
    (A, b), x = _linear(given), given.normal(5, 3)
    s, trace = x @ A.T + b, A.trace()
    half = s.square().sum(1) / 2
    slips = {
        "whole Jacobian": (A.sum() + half, "You summed the whole Jacobian: the gradient of s.sum() gives column sums. "
                           "You need d s_i / d x_i, one i at a time."),
        "no half": (trace + 2 * half, "The half of 1/2 |s|^2 is missing."),
        "minus": (trace - half, "The square is added: trace + 1/2 |s|^2."),
        "minus the trace": (half - trace, "The trace is added: trace + 1/2 |s|^2."),
        "no trace": (half, "The trace is missing."),
        "no square": (trace.expand(5), "1/2 |s|^2 is missing."),
        "mean over dimensions": (trace + s.square().mean(1) / 2, "You take the mean of s^2 over the dimensions: it is "
                                 "the sum, as the trace is one."),
        "mean of both": (trace / 3 + s.square().mean(1) / 2, "You take means over the dimensions: both terms are "
                         "sums."),
        "mean of the trace": (trace / 3 + half, "The trace is a sum over the dimensions, not their mean."),
        "length": (trace + half.mul(2).sqrt() / 2, "You have 1/2 |s|: the length must be squared."),
        "one dimension": (A[0, 0] + half, "The trace has d s_1 / d x_1 alone: go through all the dimensions."),
        "last dimension": (A[2, 2] + half, "The trace has its last term alone: add the terms up."),
        "column": (A[0].sum() + half, "You take d s_1 by all x_j. The trace has d s_i / d x_i."),
        "batch": (5 * trace + half, "The trace is summed over the batch as well: one number for each point."),
    }  # fmt: skip
    with explained(_SAYS):
        found = answer(lambda y: y @ A.T + b, x)
    same(found, trace + half, slips, "the loss")


@ism_loss.part("a curved field: its divergence, by finite differences")
def _(answer, given):
    x = given.normal(6, 3)
    each = torch.eye(3, dtype=torch.float64)
    wanted = sum(_slope(x, e.expand(6, 3)) for e in each) + _curved(x).square().sum(1) / 2
    same(answer(_curved, x), wanted, {}, "the loss", 1e-7)


@ism_loss.part("the trace can be learned through")
def _(answer, given):
    x, eye = given.normal(4, 2), torch.eye(2, dtype=torch.float64)
    slips = {
        "trace detached": (lambda s: s.T @ x, _DETACHED.format("the trace")),
        "square detached": (lambda s: 4 * eye, "The loss is right but its gradient misses 1/2 |s|^2: nothing that fn "
                            "returns may be detached."),
    }  # fmt: skip
    _learns(answer, given, lambda s: 4 * eye + s.T @ x, slips, x)


@ism_loss.part("exact derivatives, by x alone; one point in float32")
def _(answer, given):
    _asks_once(answer, given)


# --- 01.3 ---


@ssm_loss.part("along v = e_i: the i-th entry of the trace")
def _(answer, given):
    (A, b), x, v = _linear(given), given.normal(3, 3), torch.eye(3, dtype=torch.float64)
    s = x @ A.T + b
    slips = {
        "no second v": (A.sum(1) + s.diagonal() ** 2 / 2, "With v = e_1 the first term must be A_11; you gave the sum "
                        "of a row of A: multiply by v once more."),
        "column": (A.sum(0) + s.diagonal() ** 2 / 2, "With v = e_1 the first term must be A_11; you gave the sum of a "
                   "column of A: multiply by v once more."),
        "trace": (A.trace() + s.diagonal() ** 2 / 2, "The first term is the whole trace: look along v alone."),
        "|s|^2": (A.diagonal() + s.square().sum(1) / 2, "You have 1/2 |s|^2. That has the same mean over v, but here "
                  "1/2 (v.s)^2 is asked."),
        "no half": (A.diagonal() + s.diagonal() ** 2, "The half of 1/2 (v.s)^2 is missing."),
        "not squared": (A.diagonal() + s.diagonal() / 2, "v.s must be squared."),
        "minus": (A.diagonal() - s.diagonal() ** 2 / 2, "The square is added."),
        "minus the derivative": (s.diagonal() ** 2 / 2 - A.diagonal(), "The derivative is added."),
        "no derivative": (s.diagonal() ** 2 / 2, "The derivative is missing: only 1/2 (v.s)^2 is there."),
        "no square": (A.diagonal(), "1/2 (v.s)^2 is missing."),
    }  # fmt: skip
    _given_v(answer, lambda y: y @ A.T + b, x, v)
    same(answer(lambda y: y @ A.T + b, x, v), A.diagonal() + s.diagonal() ** 2 / 2, slips, "the loss")


def _given_v(answer, fn, x: Tensor, v: Tensor) -> None:
    """Raise Wrong if directions are drawn, not taken."""
    with explained(_SAYS):
        found, again = answer(fn, x, v), answer(fn, x, v)
    if isinstance(found, Tensor) and isinstance(again, Tensor) and not close(found.nan_to_num(), again.nan_to_num()):
        raise Wrong("own v", "The same call twice gives two results: use the v that is given, draw none.")


@ssm_loss.part("a curved field, directions of any length")
def _(answer, given):
    x, v = given.normal(6, 3), 1.7 * given.normal(6, 3)
    s, unit = _curved(x), torch.nn.functional.normalize(v, dim=1)
    along, slope = (s * v).sum(1), _slope(x, v)
    slips = {
        "normalised": (_slope(x, unit) + (s * unit).sum(1) ** 2 / 2, "v is made to have length 1, or |v|^2 divided "
                       "out: take v as it is."),
        "|s|^2": (slope + s.square().sum(1) / 2, "You have 1/2 |s|^2: here 1/2 (v.s)^2 is asked."),
        "elementwise": (slope + (s * v).square().sum(1) / 2, "You square before you sum: (v.s)^2 is the square of the "
                        "sum."),
    }  # fmt: skip
    same(answer(_curved, x, v), slope + along**2 / 2, slips, "the loss", 1e-7)


@ssm_loss.part("the derivative can be learned through")
def _(answer, given):
    x, v = given.normal(4, 2), given.normal(4, 2)

    def square(s):
        return ((s * v).sum(1, keepdim=True) * v).T @ x

    slips = {
        "derivative detached": (square, _DETACHED.format("the derivative")),
        "square detached": (lambda s: v.T @ v, "The loss is right but its gradient misses 1/2 (v.s)^2: nothing that fn "
                            "returns may be detached."),
    }  # fmt: skip
    _learns(answer, given, lambda s: v.T @ v + square(s), slips, x, v)


@ssm_loss.part("exact derivatives, by x alone; one point in float32")
def _(answer, given):
    _asks_once(answer, given, lambda n: given.normal(n, 3))


# --- 01.4 ---


@dsm_loss.part("data of one point: its score has loss 0")
def _(answer, given):
    for sigma in (0.3, 2.0):
        c, eps, asked = given.normal(3), given.normal(4, 3), []

        def fn(x, c=c, sigma=sigma, asked=asked):
            asked.append(x.detach().clone())  # an answer may go on writing into it
            return -(x - c) / sigma**2

        x0 = c.expand(4, 3).clone()
        found = answer(fn, x0, eps, sigma)
        size = eps.square().sum(1)
        if len(asked) == 1 and asked[0].shape == x0.shape:
            answer(fn, x0, eps, sigma)
            if not close(asked[0], asked[1]):
                raise Wrong("own noise", "The same call twice has two noises: use the eps that is given, draw none.")
            places = {
                "called at x0": (x0, "fn was called at x0, not at the noisy point x0 + sigma eps."),
                "noise not scaled": (x0 + eps, "fn was called at x0 + eps: the noise is sigma eps."),
                "noise times variance": (x0 + sigma**2 * eps, "fn was called at x0 + sigma^2 eps: sigma is a deviation "
                                         "already."),
                "noise subtracted": (x0 - sigma * eps, "fn was called at x0 - sigma eps: the noise is added."),
            }  # fmt: skip
            same(asked[0], x0 + sigma * eps, places, "where fn is called")
        slips = {
            "sign": (2 * size / sigma**2, "The perfect score of a single point has loss 0; yours has the sign turned: "
                     "the score points back, against eps, so that s + eps / sigma is 0."),
            "eps / sigma^2": ((1 / sigma**2 - 1 / sigma) ** 2 * size / 2, "The target is -eps / sigma: you divide by "
                              "sigma^2."),
            "eps not divided": ((1 - 1 / sigma) ** 2 * size / 2, "The target is -eps / sigma: you do not divide by "
                                "sigma."),
            "times sigma": ((sigma - 1 / sigma) ** 2 * size / 2, "The target is -eps / sigma: you multiply."),
            "no target": (size / sigma**2 / 2, "There is no target: s + eps / sigma must be squared."),
        }  # fmt: skip
        if isinstance(found, Tensor) and found.shape == (4,) and 1e-14 < found.abs().max() < 1e-9:
            raise Wrong("nearly", "Here the loss must be exactly 0, and is nearly: was something float32 on the "
                        "way, or a small number added to sigma?")  # fmt: skip
        same(found, torch.zeros(4, dtype=torch.float64), slips, "the loss", 1e-2)  # to 1e-14: of 0


@dsm_loss.part("a field that is 0: |eps|^2 / (2 sigma^2)")
def _(answer, given):
    sigma, x0, eps = 0.4, given.normal(5, 3), given.normal(5, 3)
    right = eps.square().sum(1) / (2 * sigma**2)
    slips = {
        "no half": (2 * right, "The half is missing."),
        "mean for sum": (right / 3, "You take the mean over the dimensions: the squared length is a sum."),
        "weighted": (right * sigma**2, "That is the loss times sigma^2, a useful weight, but it is not asked here."),
        "length": (right.sqrt(), "The length is not squared."),
    }
    same(answer(lambda y: 0 * y, x0, eps, sigma), right, slips, "the loss")


@dsm_loss.part("the network can learn from it")
def _(answer, given):
    x0, eps, sigma = given.normal(4, 3), given.normal(4, 3), 0.5
    x = x0 + sigma * eps
    A, b = _linear(given)
    A.requires_grad_()
    loss = answer(lambda y: y @ A.T + b, x0, eps, sigma)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise Wrong("no gradient", "The loss has no gradient, and nothing would be learned: no no_grad, no detach, no "
                    ".item().")  # fmt: skip
    wanted = (x @ A.T + b + eps / sigma).detach().T @ x
    same(torch.autograd.grad(loss.sum(), A)[0], wanted, {}, "the loss's gradient by A")


@dsm_loss.part("one point, float32, as in training")
def _(answer, given):
    found = answer(lambda y: -y, given.normal(1, 3).float(), given.normal(1, 3).float(), 0.5)
    alone_in_float32(found, (1,), "the loss")


# --- 01.5 ---


def _ends_at(pull: float, noise: float, a: float = 0.5) -> float:
    """The variance that x <- (1 - pull) x + noise z ends at, or infinity."""
    return noise**2 / (1 - (1 - pull) ** 2) if 0 < pull < 2 else float("inf")


@langevin_step.part("without noise: half a step up the score")
def _(answer, given):
    x, score, a = given.normal(6, 2), given.normal(6, 2), torch.tensor(0.3, dtype=torch.float64)
    slips = {
        "a for a / 2": (x + a * score, "Twice too far: you move by a, not a / 2 (with noise sqrt(2 a) that is the step "
                        "of 2 a; here a is the noise's variance). At a = .5 a chain on N(0, 1), with "
                        f"noise sqrt(a), ends at a variance of {_ends_at(0.5, 0.5**0.5):.2f}, not "
                        f"{_ends_at(0.25, 0.5**0.5):.2f}."),
        "downhill": (x - a / 2 * score, "The sign: it goes uphill, along the score."),
        "deviation": (x + a.sqrt() * score, "The score is multiplied by sqrt(a): that goes with z. Here it is a / 2."),
        "half the deviation": (x + a.sqrt() / 2 * score, "The score is multiplied by sqrt(a) / 2: it is a / 2."),
        "square": (x + a**2 / 2 * score, "The score is multiplied by a^2 / 2: it is a / 2."),
        "no move": (x, "The score has no effect."),
        "x lost": (a / 2 * score, "x itself is missing: the move is added to it."),
        "twice": (x + 2 * a * score, "The score is multiplied by 2 a: it is a / 2."),
    }  # fmt: skip
    same(_without_chance(answer, x, score, a, torch.zeros_like(x)), x + a / 2 * score, slips, "x")


def _without_chance(answer, *args):
    """What comes back. Raises Wrong if a second call gives something else."""
    found, again = (answer(*args) for _ in range(2))
    if isinstance(again, Tensor) and not close(found.nan_to_num(), again.nan_to_num()):
        raise Wrong("own noise", "The same call twice gives two results: use the z that is given, draw none.")
    return found


@langevin_step.part("without a score: noise of variance a")
def _(answer, given):
    x, z, a = given.normal(6, 2), given.normal(6, 2), torch.tensor(0.3, dtype=torch.float64)
    nought = torch.zeros_like(x)
    right = _ends_at(0.25, 0.5**0.5)
    slips = {
        "sqrt(2 a)": (x + (2 * a).sqrt() * z, f"At a = .5 a chain on N(0, 1) ends at a variance of "
                      f"{_ends_at(0.25, 1.0):.2f}, not {right:.2f}: the noise is sqrt(2 a). With a / 2 before the "
                      "score it is sqrt(a)."),
        "a z": (x + a * z, f"At a = .5 a chain on N(0, 1) ends at a variance of {_ends_at(0.25, 0.5):.2f}, not "
                f"{right:.2f}: a is the variance of the noise, so its deviation is sqrt(a)."),
        "a / 2 z": (x + a / 2 * z, "The noise is multiplied by a / 2: a is its variance, so it is sqrt(a)."),
        "half": (x + (a / 2).sqrt() * z, "The noise is sqrt(a / 2): it is sqrt(a)."),
        "z": (x + z, "The noise is not scaled: multiply z by sqrt(a)."),
        "no noise": (x, "z has no effect: without noise all points climb to the modes."),
        "minus": (x - a.sqrt() * z, "The noise is subtracted. That has the same distribution, but a sum is asked."),
    }  # fmt: skip
    same(_without_chance(answer, x, nought, a, z), x + a.sqrt() * z, slips, "x")


@langevin_step.part("pictures")
def _(answer, given):
    x, score, z = 50 * given.normal(3, 3, 2, 3, 4)
    a = torch.tensor(0.3, dtype=torch.float64)
    same(answer(x, score, a, z), x + a / 2 * score + a.sqrt() * z, {}, "x")


@langevin_step.part("one point, float32, as in training")
def _(answer, given):
    x, score, z = given.normal(3, 1, 2).float()
    alone_in_float32(answer(x, score, torch.tensor(0.3), z), (1, 2), "x")


@langevin_step.part("a chain on N(0, 1) ends at a variance of 1.14 at a = .5 (1 for small a)")
def _(answer, given):
    a, n = torch.tensor(0.5, dtype=torch.float64), 4000
    x = given.normal(n)
    for _ in range(40):
        x = answer(x, -x, a, given.normal(n))
    variance, wanted = x.var().item(), _ends_at(0.25, 0.5**0.5)
    if not abs(variance - wanted) < 4 * wanted * (2 / n) ** 0.5:
        raise Wrong("variance", f"At a = .5 the chain ends at variance {variance:.2f}; {wanted:.2f} is right.")


# --- 01.6 ---

PATH = VE(0.02, 20.0)  # not the lecture's own: an answer must ask the model's


class Watched:
    """A model on a path without scaling (alpha = 1); says eps(x, sigma), and records when and where it is asked."""

    null = None

    def __init__(self, eps):
        self.eps, self.schedule, self.asked = eps, PATH, []

    def __call__(self, x_t, t, cond=None):
        of_one_axis(t)
        self.asked.append((float(torch.as_tensor(t).reshape(-1)[0]), x_t.detach().clone()))  # it may be written into
        sigma = self.schedule(torch.as_tensor(t, dtype=x_t.dtype).reshape(-1)[0])[1]
        eps = self.eps(x_t, sigma).clone()  # never x_t itself: an answer may write into it
        return Prediction.from_eps(eps, x_t, torch.ones_like(sigma), sigma)


def _levels(n: int, least: float = 0.03) -> tuple[Tensor, Tensor]:
    """n times, and their noise, from 2 to `least`."""
    noise = torch.logspace(torch.tensor(2.0).log10().item(), torch.tensor(least).log10().item(), n, dtype=torch.float64)
    return PATH.time(-2 * noise.log()), noise


def _walk(answer, given, eps, n: int = 500, levels: int = 4, steps: int = 3, step_size: float = 0.2):
    """(the model, what it was asked, its moves from call to call, the noise at each)"""
    times, noise = _levels(levels)
    model = Watched(eps)
    seed = int(given.whole(0, 10**6, 1)[0])
    found = answer(model, given.normal(n, 2), times, steps, step_size, torch.Generator().manual_seed(seed))
    is_tensor(found, (n, 2), "x")
    places = [x for _, x in model.asked]
    if len(places) < 2:
        calls = f"{levels} levels of {steps} moves take {levels * steps} calls of the model"
        raise Wrong("calls", f"{calls}; you made {len(places)}.")
    if len(places) == levels * steps:  # else there is a last denoising call, at the last place
        places.append(found.detach())
    return model, torch.stack([b - a for a, b in zip(places, places[1:], strict=False)]), times, noise


@annealed_langevin.part("every level in turn, from much noise to little")
def _(answer, given):
    model, _, times, _ = _walk(answer, given, lambda x, sigma: 0 * x)
    right = times.repeat_interleave(3)
    asked = torch.tensor([t for t, _ in model.asked], dtype=torch.float64)
    slips = {
        "levels reversed": (times.flip(0).repeat_interleave(3), "The levels go from little noise to much."),
        "levels in turns": (times.repeat(3), "One move a level, over and over: make all `steps` moves at a level "
                            "before the next."),
        "one move a level": (times, "The model is asked once a level: `steps` moves are to be made, each by the eps of "
                             "where x is then."),
        "last level missing": (right[:-3], "The last level, with the least noise, is not visited."),
        "first level missing": (right[3:], "The first level, with the most noise, is not visited."),
        "first level only": (times[:1].expand(12), "The model is always asked about the first level."),
        "last level only": (times[-1:].expand(12), "The model is always asked about the last level: that is Langevin "
                            "dynamics at one level."),
        "two calls a move": (right.repeat_interleave(2), "The model is asked twice as often as there are moves: "
                             "`steps` moves a level, with one call each."),
    }  # fmt: skip
    if asked.shape == (13,) and close(asked[:-1], right, 1e-5) and close(asked[-1], right[-1], 1e-5):
        raise Wrong("denoised", "The model is asked once more at the end: is x0 returned, a denoised x? The last x is "
                    "asked, with its noise.")  # fmt: skip
    for key, (table, message) in slips.items():
        if asked.shape == table.shape and close(asked, table, 1e-5):
            raise Wrong(key, message)
    if asked.shape != right.shape:
        raise Wrong("calls", f"4 levels of 3 moves take 12 calls of the model; you made {len(asked)}.")
    same(asked, right, {}, "the times of the calls", 1e-5)


@annealed_langevin.part("the move along the score: a / 2, with a = step_size sigma^2")
def _(answer, given):
    big, step_size = 1e9, 0.35
    _, moves, times, noise = _walk(answer, given, lambda x, sigma: torch.full_like(x, big), step_size=step_size)
    sigma, other = (v.repeat_interleave(3)[: len(moves)] for v in (noise, VE()(times)[1]))
    right = -step_size * sigma / 2  # a / 2 times -eps / sigma
    slips = {
        "a = step_size": (-step_size / sigma / 2, "The modes would come out too wide: a must shrink with sigma^2, a = "
                          "step_size sigma^2; yours is step_size at every level."),
        "one sigma short": (-step_size / 2 + 0 * sigma, "The moves are as long at every level. Is a = step_size "
                            "sigma^2, and the score eps divided by sigma, once?"),
        "eps for the score": (right * sigma, "eps is taken for the score: the score is -eps / sigma. Or is your sigma "
                              "its square?"),
        "eps for the score, uphill": (-right * sigma, "eps is taken for the score: the score is -eps / sigma."),
        "downhill": (-right, "It goes downhill: the score is *minus* eps / sigma."),
        "a for a / 2": (2 * right, "Twice too far: the score is multiplied by a / 2."),
        "by the last level": (right / noise[-1] ** 2, "a is step_size sigma^2 / sigma_last^2, as in the paper. Here "
                              "step_size is relative: a = step_size sigma^2."),
        "by the first level": (-step_size * noise[0] ** 2 / sigma / 2, "a is that of the first level throughout: it "
                               "must shrink with sigma^2."),
        "first sigma": (-step_size * sigma**2 / noise[0] / 2, "The score is divided by the first level's sigma "
                        "throughout."),
        "another path": (-step_size * other / 2, "Your sigma is that of another path, the lecture's own: ask "
                         "model.schedule(t)."),
    }  # fmt: skip
    each = moves.mean((1, 2)) / big
    if len(each) == 12 and close(each[:11], right[:11], 1e-6) and not close(each, right, 1e-6):
        raise Wrong("last move", "What comes back is not the x after the last move: is it the x before it, clamped, or "
                    "changed in another way?")  # fmt: skip
    wanted = {k: (v[: len(moves)], m) for k, (v, m) in slips.items()}
    same(moves.mean((1, 2)) / big, right[: len(moves)], wanted, "a move, for each of eps", 1e-6)


@annealed_langevin.part("the noise of a move: variance a, from the generator")
def _(answer, given):
    times, _ = _levels(3)
    start = given.normal(5, 2)
    one, two, other = (
        answer(Watched(lambda x, sigma: x), start.clone(), times, 2, 0.2, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    model, generator = Watched(lambda x, sigma: x), torch.Generator().manual_seed(1)
    before = generator.get_state()
    first = answer(model, start, times, 2, 0.2, generator)
    if not close(model.asked[0][1], start):
        raise Wrong("own start", "The model is first asked about another x than the one that is given: does the walk "
                    "begin there, and is the score asked for before the noise is added?")  # fmt: skip
    if not close(one, two):
        raise Wrong("generator not used", "Equal generators give different samples: draw z with generator=generator.")
    if close(one, other):
        raise Wrong("same noise", "Two generators give the same samples: is there noise, and from the generator?")
    again = answer(Watched(lambda x, sigma: x), start, times, 2, 0.2, generator)
    if torch.equal(before, generator.get_state()) or close(first, again):
        raise Wrong("generator not moved on", "The generator that is given has not moved on: the next call would draw "
                    "the same noise. Draw from it, not from a copy or its seed.")  # fmt: skip
    _noise_of_moves(*_walk(answer, given, lambda x, sigma: 0 * x, n=2000))


def _noise_of_moves(model, moves: Tensor, times: Tensor, noise: Tensor) -> None:
    """Raise Wrong unless each move, where eps is 0, has noise of its own, of variance .2 sigma^2."""
    if len(moves) > 1 and (close(moves[0], moves[1], 1e-6) or close(moves[0] / noise[0], moves[3] / noise[1], 1e-6)):
        raise Wrong("one z for all", "Two moves have the same noise: draw z anew in each.")
    if (moves.var(1) < 1e-9 * moves.square().mean((1, 2))[:, None]).any():
        raise Wrong("one z for all points", "All points get the same noise: draw z of x's shape.")
    a = 0.2 * noise.repeat_interleave(3)[: len(moves)] ** 2
    ratio = (moves.square().mean((1, 2)) / a).log()
    error = 4 * (2 / 4000) ** 0.5
    for key, (log, message) in {
        "sqrt(2 a)": (torch.tensor(2.0).log() + 0 * a, "The noise has variance 2 a. With a / 2 before the score it is "
                      "sqrt(a) z."),
        "a z": (a.log(), "The noise is a z: a is its variance, so it is sqrt(a) z."),
        "half the noise": (torch.tensor(0.5).log() + 0 * a, "The noise has variance a / 2: it is sqrt(a) z."),
        "not scaled": (-a.log(), "The noise is z itself: multiply by sqrt(a)."),
        "noise of step_size": (-(a / 0.2).log(), "The noise has variance step_size at every level: it is a = step_size "
                               "sigma^2."),
    }.items():  # fmt: skip
        if (ratio - log).abs().max() < 2 * error:
            raise Wrong(key, message)
    if ratio.abs().max() > 1.5 * error:
        worst = int(ratio.abs().argmax())
        raise Wrong("noise", f"The noise of move {worst + 1} of {len(ratio)} has variance "
                    f"{ratio[worst].exp():.3f} a; it must be a.")  # fmt: skip
    z = moves / a.sqrt()[:, None, None]
    if (z.sum((1, 2)).abs() < 1e-8).all():
        raise Wrong("not independent", "The noise of each move adds up to exactly 0, as numbers do that are drawn for "
                    "half of the points or made to fit: draw z for each point by itself.")  # fmt: skip
    if abs(z.pow(4).mean() - 3 * z.square().mean() ** 2) > 0.4:  # 0 if normal, give or take .05
        raise Wrong("not normal", "The noise has the right variance, but is not normal: torch.randn's.")


@annealed_langevin.part("two modes of weight .2 and .8, with their exact score")
def _(answer, given):
    n, std = 1500, 0.1
    times, noise = _levels(9)

    def eps(x, sigma):
        """Modes at -.6 and .6 on the diagonal."""
        var = std**2 + sigma**2
        mean = 0.6 * torch.tanh(0.6 * x.sum(1, keepdim=True) / var + torch.log(torch.tensor(2.0)))
        return sigma * (x - mean) / var

    seed = int(given.whole(0, 10**6, 1)[0])
    found = answer(Watched(eps), noise[0] * given.normal(n, 2), times, 100, 0.3, torch.Generator().manual_seed(seed))
    is_tensor(found, (n, 2), "x")
    upper = found.sum(1) > 0
    share, wide = upper.double().mean().item(), found[upper].std(0).mean().item()
    if not abs(share - 0.785) < 0.055:  # .784, deviation .011 over 12 generators: the levels are few
        raise Wrong("share", f"{share:.2f} of the points end in the upper mode; .73 to .84 is right: .8 at best.")
    if not abs(wide - 0.1) < 0.015:
        raise Wrong("width", f"The upper mode comes out {wide:.3f} wide; .1 is right.")


@annealed_langevin.part("each move by the eps of where x is")
def _(answer, given):
    times, noise = _levels(3)
    start, seed = given.normal(6, 3), int(given.whole(0, 10**6, 1)[0])
    walks = []
    for eps in (lambda x, sigma: 0 * x, lambda x, sigma: torch.sin(3 * x)):
        model = Watched(eps)
        found = answer(model, start.clone(), times, 3, 0.2, torch.Generator().manual_seed(seed))
        is_tensor(found, start.shape, "x")
        walks.append([x for _, x in model.asked[:9]] + [found.detach()] * (len(model.asked) == 9))
    (still, pulled), sigma = map(torch.stack, walks), noise.repeat_interleave(3)[: len(walks[0]) - 1, None, None]
    moves, places = pulled.diff(dim=0) - still.diff(dim=0), pulled[:-1]  # without the noise, which is the same
    right = -0.1 * sigma * torch.sin(3 * places)
    before = -0.1 * sigma * torch.sin(3 * torch.cat([places[:1], places[:-1]]))
    slips = {"old eps": (before, "A move takes the eps of the place before: ask the model where x is now.")}
    same(moves, right, slips, "a move without its noise", 1e-6)


@annealed_langevin.part("one point in three dimensions, float32 as in training")
def _(answer, given):
    times, _ = _levels(2)
    model = Watched(lambda x, sigma: x)
    found = answer(model, given.normal(1, 3).float(), times.float(), 2, 0.2, torch.Generator().manual_seed(0))
    alone_in_float32(found, (1, 3), "x")
