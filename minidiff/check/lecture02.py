"""Checks of lecture 02: targets, the 2x2 system, times, and the samplers held to their orders."""

import torch
from torch import Tensor
from torch._C import _functorch

from ..denoise import Prediction
from ..oracles import GaussianMixture, MixtureDenoiser
from ..schedules import EDM, VE, VP, Cosine, Linear, expand
from .exercise import Exercise, Wrong, alone_in_float32, close, is_tensor, of_one_axis, same, stays_float32

v_target = Exercise("02.1", "v_target", 1, 6, "lecture 02, part 2")
solve = Exercise("02.2", "solve", 2, 15, "lecture 02, part 2")
time_of = Exercise("02.3", "time_of", 2, 15, "lecture 02, part 3")
ddim = Exercise("02.4", "ddim", 3, 20, "lecture 02, part 6")
heun = Exercise("02.5", "heun", 3, 20, "lecture 02, part 6")
dpmpp_2m = Exercise("02.6", "dpmpp_2m", 4, 25, "lecture 02, part 6")
fresh_share = Exercise("02.7", "fresh_share", 1, 10, "lecture 02, parts 4 and 7")

_COLUMNS = "alpha[2], the number of picture 2, went to column 2 of every picture, and so the others."
_ROWS = "alpha[2], the number of picture 2, went to row 2 of every picture, and so the others."
_AXES = "Give the numbers (B,) as many axes as x0 has: (B, 1, 1, 1) for pictures, (B, 1) for points."


# --- 02.1 ---


@v_target.part("pictures, each with its own alpha and sigma")
def _(answer, given):
    x0, eps = given.normal(4, 3, 4, 4), given.normal(4, 3, 4, 4)
    alpha, sigma = given.uniform(0.2, 0.9, 4), given.uniform(0.2, 0.9, 4)
    a, s = alpha[:, None, None, None], sigma[:, None, None, None]
    slips = {
        "flow's target": (eps - x0, "That is eps - x0, flow matching's target on the straight path: v is another."),
        "flow turned": (x0 - eps, "That is x0 - eps, flow's target turned round: v has alpha and sigma in it."),
        "turned": (s * x0 - a * eps, "The sign is turned: where there is little noise, v is nearly eps."),
        "exchanged": (s * eps - a * x0, "alpha and sigma are exchanged: alpha stands with eps."),
        "pairs of x_t": (a * x0 - s * eps, "In x_t alpha stands with x0; in v it stands with eps, and sigma with x0."),
        "plus": (a * eps + s * x0, "v is a difference: the part of x0 is subtracted."),
        "x_t": (a * x0 + s * eps, "That is x_t itself, not the target."),
        "alpha^2 + sigma^2 = 1": ((a * (a * x0 + s * eps) - x0) / s, "You use alpha^2 + sigma^2 = 1: here it does not "
                                  "hold, and v is defined by alpha and sigma alone."),
        "sigma from alpha": (a * eps - torch.sqrt(1 - a**2) * x0, "You compute sigma from alpha: take the one given."),
        "alpha from sigma": (torch.sqrt(1 - s**2) * eps - s * x0, "You compute alpha from sigma: take the one given."),
        "alpha bar": (a.sqrt() * eps - torch.sqrt(1 - a) * x0, "alpha here is the scale of x0 itself, the root of the "
                      "papers' alpha bar: take no root of it."),
        "the first for all": (a[0] * eps - s[0] * x0, "All pictures are scaled as the first: alpha is one for each."),
        "lined up with columns": (alpha * eps - sigma * x0, f"{_COLUMNS} {_AXES}"),
        "lined up with rows": (alpha[:, None] * eps - sigma[:, None] * x0, f"{_ROWS} {_AXES}"),
    }  # fmt: skip
    same(answer(x0, eps, alpha, sigma), torch.stack([alpha[i] * eps[i] - sigma[i] * x0[i] for i in range(4)]), slips)


@v_target.part("points (5, 2): v is the derivative of x_t by the angle, where alpha = cos and sigma = sin")
def _(answer, given):
    x0, eps, angle, h = 50 * given.normal(5, 2), given.normal(5, 2), given.uniform(0.2, 1.3, 5), 1e-5
    ahead, back = (torch.cos(p)[:, None] * x0 + torch.sin(p)[:, None] * eps for p in (angle + h, angle - h))
    found = answer(x0, eps, torch.cos(angle), torch.sin(angle))
    _not_for_pictures_alone(found)
    same(found, (ahead - back) / (2 * h), rtol=1e-7)


@v_target.part("one picture of one channel, float32, as in training")
def _(answer, given):
    x0, eps, levels = given.normal(1, 1, 4, 4).float(), given.normal(1, 1, 4, 4).float(), given.uniform(0.3, 0.9, 2, 1)
    alone_in_float32(answer(x0, eps, *levels.float()), x0.shape, "v")


def _not_for_pictures_alone(found) -> None:
    """Raise Wrong if a result for points (B, D) has the axes of pictures."""
    if isinstance(found, Tensor) and found.ndim == 4:
        raise Wrong("pictures alone", f"Right for pictures; for points you return {tuple(found.shape)}. {_AXES}")


# --- 02.2 ---


@solve.part("x0 and eps come back, for any a and b")
def _(answer, given):
    x0, eps = given.normal(3, 2, 3, 3), given.normal(3, 2, 3, 3)
    a, b, alpha, sigma = (given.uniform(0.3, 1.7, 3) * given.whole(0, 2, 3).mul(2).sub(1) for _ in range(4))
    b = b + torch.sign(alpha * b - sigma * a) * torch.sign(alpha)  # a determinant that is not near 0
    turned = torch.sign(alpha * b - sigma * a) * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    a, b = turned * a, turned * b  # and of both signs
    A, B, al, si = (v[:, None, None, None] for v in (a, b, alpha, sigma))
    out, x_t = A * x0 + B * eps, al * x0 + si * eps
    found = answer(out, a, b, x_t, alpha, sigma)
    if isinstance(found, Tensor) and found.shape == (2, *x0.shape):
        found = tuple(found)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong("no pair", "Two tensors must come back, x0 and eps: return x0, eps.")
    if isinstance(found[0], Tensor) and found[0].isnan().any():
        raise Wrong("sigma from alpha", "x0 is NaN where alpha is above 1: is sigma computed from alpha? It is given.")
    same(found[0], x0, _slips_of_x0(out, a, b, x_t, alpha, sigma), "x0")
    det = al * B - si * A
    slips = {
        "no determinant": (al * out - A * x_t, "x0 is right; eps is not divided by the determinant."),
        "sign": ((A * x_t - al * out) / det, "x0 is right, eps has its sign turned."),
        "eps without alpha": ((x_t - x0) / si, "x0 is right; in eps = (x_t - alpha x0) / sigma you left out alpha."),
    }
    same(found[1], eps, slips, "eps")


def _slips_of_x0(out, a, b, x_t, alpha, sigma) -> dict:
    """What typical slips give for x0, pictures (3, 2, 3, 3)."""
    A, B, al, si = (v[:, None, None, None] for v in (a, b, alpha, sigma))
    top, det = B * x_t - si * out, al * B - si * A
    lined = [(b * x - sigma * o) / (alpha * b - sigma * a) for x, o in ((x_t, out), (x_t.mT, out.mT))]
    return {
        "no determinant": (top, "Right where the determinant is 1, as for v on a path with alpha^2 + sigma^2 = 1, and "
                           "wrong elsewhere: divide by alpha b - sigma a."),
        "sign": (-top / det, "The determinant's sign is turned: it is alpha b - sigma a."),
        "plus": (top / (al * B + si * A), "The determinant is a difference: alpha b - sigma a."),
        "absolute": (top / det.abs(), "The determinant has a sign, and takes part with it: leave out abs."),
        "numerators added": ((B * x_t + si * out) / det, "The sign above the determinant: in b x_t - sigma out eps "
                             "cancels, in their sum it does not."),
        "a and b exchanged": (top / (al * A - si * B), "a and b are exchanged in the determinant, alpha b - sigma a."),
        "a and b exchanged, both": ((A * x_t - si * out) / (al * A - si * B), "a and b are exchanged: out = a x0 + b "
                                    "eps, so eps cancels in b x_t - sigma out."),
        "other pairs": (top / (A * B - al * si), "The determinant is alpha b - sigma a: you multiply other pairs."),
        "clamped": (top / det.clamp(min=1e-8), "The determinant may be negative: do not clamp it."),
        "exchanged": ((al * out - A * x_t) / det, "x0 and eps are exchanged."),
        "out and x_t exchanged": ((B * out - si * x_t) / det, "out and x_t are exchanged: it is b x_t - sigma out in "
                                  "which eps cancels."),
        "v on VP": (al * x_t - si * out, "That holds for v on a path with alpha^2 + sigma^2 = 1: use a and b."),
        "lined up with columns": (lined[0], f"{_COLUMNS} {_AXES}"),
        "lined up with rows": (lined[1].mT, f"{_ROWS} {_AXES}"),
        "eps taken for the output": ((x_t - si * out) / al, "You take the output for eps: that is a = 0, b = 1 alone. "
                                     "Use a and b."),
    }  # fmt: skip


@solve.part("points (3, 2)")
def _(answer, given):
    x0, eps, (a, b, alpha, sigma) = given.normal(3, 2), given.normal(3, 2), given.uniform(0.3, 0.9, 4, 3)
    A, B, al, si = -a[:, None], b[:, None], alpha[:, None], sigma[:, None]
    found = answer(A * x0 + B * eps, -a, b, al * x0 + si * eps, alpha, sigma)
    for which, wanted, name in zip(found, (x0, eps), ("x0", "eps"), strict=True):
        _not_for_pictures_alone(which)
        same(which, wanted, {}, name)


@solve.part("the targets x0 (a = 1, b = 0) and eps (a = 0, b = 1)")
def _(answer, given):
    x0, eps, (alpha, sigma) = given.normal(2, 3), given.normal(2, 3), given.uniform(0.3, 0.9, 2, 2)
    a, out = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.stack([x0[0], eps[1]])
    found = answer(out, a, 1 - a, alpha[:, None] * x0 + sigma[:, None] * eps, alpha, sigma)
    for which, wanted, name in zip(found, (x0, eps), ("x0", "eps"), strict=True):
        if isinstance(which, Tensor) and not which.isfinite().all():
            raise Wrong("divides by a or b", f"{name} is 0 / 0 for the target x0, whose b is 0, or for eps, whose a is "
                        "0: divide by the determinant alone.")  # fmt: skip
        same(which, wanted, {}, name)


@solve.part("pure noise and pure data, where alpha or sigma is 0, and a small determinant")
def _(answer, given):
    a, b, alpha, sigma = torch.tensor([[-1, -1, 1], [1, 1, 0], [0, 1, 0.5], [1, 0, 0.0004]], dtype=torch.float64)
    x0, eps = given.normal(3, 2), given.normal(3, 2)
    A, B, al, si = (v[:, None] for v in (a, b, alpha, sigma))
    found = answer(A * x0 + B * eps, a, b, al * x0 + si * eps, alpha, sigma)
    for which, wanted, name in zip(found, (x0, eps), ("x0", "eps"), strict=True):
        if isinstance(which, Tensor) and which.shape == (3, 2) and not which[:2].isfinite().all():
            raise Wrong("divides by alpha or sigma", f"{name} is 0 / 0 where alpha or sigma is 0, as flow matching has "
                        "at t = 1 and 0, though the determinant is 1: divide by the determinant alone.")  # fmt: skip
        if isinstance(which, Tensor) and which.shape == (3, 2) and not close(which[2], wanted[2], 1e-6):
            raise Wrong("hidden singularity", f"{name} is wrong where the determinant is -.0004: small is not 0. "
                        "Divide by it as it is.")  # fmt: skip
        same(which, wanted, {}, name)


@solve.part("one point, float32, as in training")
def _(answer, given):
    out, x_t = given.normal(1, 2).float(), given.normal(1, 2).float()
    a, b, alpha, sigma = torch.tensor([[-0.6], [0.8], [0.8], [0.6]])
    for found, name in zip(answer(out, a, b, x_t, alpha, sigma), ("x0", "eps"), strict=True):
        alone_in_float32(found, (1, 2), name)


@solve.part("where the two equations say the same, no number is made up")
def _(answer, given):
    one = torch.ones(1, dtype=torch.float64)
    try:
        x0, eps = answer(0.5 * one[:, None], one, one, 0.3 * one[:, None], one, one)
    except (ArithmeticError, AssertionError, RuntimeError, ValueError):
        return  # as torch.linalg.solve does: no number either
    if isinstance(x0, Tensor) and close(x0.reshape(1), 0.2 * one) and close(eps.reshape(1), 0.2 * one):
        raise Wrong("least squares", "With alpha b = sigma a no x0 can be found, and yet one came back: pinv and lstsq "
                    "return what fits best. Divide by the determinant, so that its 0 shows.")  # fmt: skip
    if not isinstance(x0, Tensor) or x0.isfinite().any() or eps.isfinite().any():
        raise Wrong(
            "hidden singularity",
            "With alpha b = sigma a the output says nothing new, and no x0 can be found: the division by 0 must show "
            "as infinity. A small number added to the determinant, or a number in place of the infinity, makes it look "
            "like an answer.",
        )


# --- 02.3 ---


class Halves:
    """A path the package has not: alpha = (1 - t)^2, sigma = (t + t^2) / 2. Keeps the single times that it is asked
    about, and None for several at once."""

    def __init__(self):
        self.asked = []

    def __call__(self, t):
        t = torch.as_tensor(t)
        several = t.numel() > 1 or _functorch.is_functorch_wrapped_tensor(t)  # torch.vmap asks about all rows
        self.asked.append(None if several else t.item())
        return (1 - t) ** 2, (t + t**2) / 2

    def log_snr(self, t):
        alpha, sigma = self(t)
        return 2 * torch.log(alpha / sigma)

    def rates(self, t):
        return -2 * (1 - t), 0.5 + t

    def time(self, log_snr):
        ratio = torch.exp(log_snr / 2)  # 2 (1 - t)^2 = ratio (t + t^2)
        return 4 / (4 + ratio + torch.sqrt((4 + ratio) ** 2 - 8 * (2 - ratio)))


class Untimed(Halves):
    """The same, of which the time of a log-SNR must be found."""

    def time(self, log_snr):
        raise Wrong("asks the schedule", "schedule.time is what you are to write: find t with schedule.log_snr alone.")


class Patient:
    """VP, which does not answer for ever."""

    def __init__(self):
        self.path, self.asked = VP(), 0

    def __call__(self, t):
        self.asked += 1
        if self.asked > 5000:
            raise Wrong("never ends", "5,000 questions, and no end. In float32 an interval stops shrinking near 1e-7, "
                        "so a loop until it is smaller never ends: count halvings, 50.")  # fmt: skip
        return self.path(t)

    def log_snr(self, t):
        alpha, sigma = self(t)
        return 2 * torch.log(alpha / sigma)


@time_of.part("a path that the package does not have")
def _(answer, given):
    path, t = Untimed(), given.uniform(0.05, 0.95, 6)
    wanted = path.log_snr(t)
    path.asked.clear()
    found, asked = answer(path, wanted), path.asked.copy()
    if not asked and isinstance(found, Tensor):
        raise Wrong("a formula", "You never asked the schedule. A formula holds for one path: compare schedule.log_snr "
                    "in the middle with log_snr.")  # fmt: skip
    _found_times(found, path, t)
    alone = [one for one in asked if one is not None]
    if len(alone) > len(t) and len(set(alone[: len(t)])) > 1:  # the first middle is one for all
        raise Wrong("too many calls", f"You asked for the log-SNR of single rows, {len(alone)} times: halve the "
                    "intervals of all rows at once (torch.where), 40 to 50 times.")  # fmt: skip


@time_of.part("the five paths of the package")
def _(answer, given):
    for path in (VP(), VE(), Cosine(), Linear(), EDM()):
        t = torch.cat([given.uniform(0.05, 0.95, 4), given.uniform(1e-4, 5e-4, 1), given.uniform(0.98, 0.99, 1)])
        _found_times(answer(path, path.log_snr(t)), path, t)
        near = ([1e-5, 0.99999],) if isinstance(path, Linear) else ()
        for ends in ([2.5e-5, 0.995], [0.5, 0.9995], *near):  # EDM's t_min, and near pure noise
            t = torch.tensor(ends, dtype=torch.float64)
            _found_times(answer(path, path.log_snr(t)), path, t)


@time_of.part("float32, as in training")
def _(answer, given):
    path, t = Patient(), given.uniform(0.2, 0.8, 3).float()
    found = answer(path, path.log_snr(t))
    stays_float32(found, "the times")
    same(found.double(), t.double(), {}, "the times", 1e-4)  # as float32 is: its log-SNR has 7 digits
    alone_in_float32(answer(path, path.log_snr(t[:1])), (1,), "the time")


def _found_times(found, path, t: Tensor) -> None:
    is_tensor(found, t.shape, "the times")
    wanted, reached = path.log_snr(t), path.log_snr(found.clamp(1e-9, 1 - 1e-9))
    if (reached - wanted).abs().max() < 1e-6:
        return
    if close(reached, 2 * wanted, 1e-4) or close(2 * reached, wanted, 1e-4):
        raise Wrong("factor of 2", "Off by a factor of 2: log-SNR is 2 log(alpha / sigma).")
    high = wanted > 0.1
    if high.any() and close(torch.exp(reached / 2)[high], wanted[high], 1e-4):
        raise Wrong("no logarithm", "You compare alpha / sigma itself: log-SNR is 2 log(alpha / sigma).")
    if ((found < -0.01) | (found > 1.01)).any():
        raise Wrong("outside", f"You say t = {found[found.sub(0.5).abs().argmax()]:.4g}: times go from 0 to 1.")
    if (found == 0.5).all():
        raise Wrong("both ends move", "All your times are 0.5, where it began: is the middle (low + high) / 2, and "
                    "does one end alone move there?")  # fmt: skip
    if ((found < 1e-3) | (found > 1 - 1e-3)).all():
        raise Wrong("wrong half", "All your times are at an end. Is the middle (low + high) / 2? Is the half with the "
                    "answer kept? log-SNR *falls* with t. And is it the log-SNR that you compare, 2 log(alpha / "
                    "sigma)?")  # fmt: skip
    if found.unique().numel() == 1:
        raise Wrong("one time for all", "All your times are the same: each row of the batch needs its own interval.")
    if close(path.log_snr((1 - found).clamp(1e-9, 1 - 1e-9)), wanted, 1e-4):
        raise Wrong("time runs back", "You return 1 - t: t = 0 is data, where the log-SNR is largest.")
    off = (reached - wanted).abs().max().item()
    if (found - t).abs().max() < 1e-6:
        raise Wrong("coarse", f"Near, but the log-SNR is off by {off:.1g}: halve more often, some 40 times, and all in "
                    "float64, as what is given.")  # fmt: skip
    right, far = (reached - wanted).abs() < 1e-6, (t < 0.03) | (t > 0.97)
    if (right | far).all() and (right.any() or far.all()):
        raise Wrong("bracket", "Right in the middle, wrong near the ends: the interval to halve is [0, 1] itself.")
    if (found - t).abs().max() < 0.01:
        raise Wrong("coarse", f"Near, but the log-SNR is off by {off:.1g}: halve more often, some 40 times.")
    raise Wrong("value", f"At log-SNR {wanted[0]:.4f} you say t = {found[0]:.4f}; there it is {reached[0]:.4f}.")


# --- the samplers ---


class OnePoint:
    """The exact model of data that is a single point. Records the times and conditions it is called with."""

    def __init__(self, point: Tensor, schedule):
        self.point, self.schedule, self.times, self.conds = point, schedule, [], []

    def __call__(self, x_t, t, cond=None):
        of_one_axis(t)
        self.times.append(float(torch.as_tensor(t).reshape(-1)[0]))
        self.conds.append(cond)
        alpha, sigma = (expand(torch.as_tensor(v).to(x_t), x_t) for v in self.schedule(torch.as_tensor(t)))
        x0 = self.point.expand(x_t.shape).clone()  # here and below: an answer may write into what it gets
        return Prediction(x0, (x_t - alpha * self.point) / sigma)


class Heard(MixtureDenoiser):
    """The exact model of a Gaussian. Records the times it is called with and the x0 that it says."""

    def __init__(self, given):
        spread = given.uniform(0.3, 1.2, 3)
        mean, covariance = given.normal(1, 3), torch.diag(spread**2)[None]
        super().__init__(GaussianMixture(torch.ones(1, dtype=torch.float64), mean, covariance), Linear())
        self.times, self.told = [], []

    def __call__(self, x_t, t, cond=None):
        self.times.append(float(torch.as_tensor(t).reshape(-1)[0]))
        if self.times[-1] == 0:  # asked where it has no answer
            return Prediction(x_t.clone(), torch.full_like(x_t, torch.nan))
        found = super().__call__(x_t, t, cond)
        self.told.append(found.x0.clone())
        return found


class Straight(OnePoint):
    """A model whose x0 is 1 + c lambda, lambda = log(alpha / sigma), whatever x_t is."""

    def __call__(self, x_t, t, cond=None):
        t = torch.as_tensor(t).reshape(-1)[0]
        self.times.append(float(t))
        lam = self.schedule.log_snr(t) / 2
        alpha, sigma = self.schedule(t)
        x0 = (1 + self.point * lam).expand(x_t.shape).clone()
        return Prediction(x0, (x_t - alpha * x0) / sigma)


def uneven(first: float, last: float, n: int, given) -> Tensor:
    """n + 1 times from first to last, with steps that differ up to threefold."""
    steps = given.uniform(0.5, 1.5, n).cumsum(0)
    return torch.cat([torch.tensor([first], dtype=torch.float64), first + (last - first) * steps / steps[-1]])


def alternating(schedule, first: float, last: float, n: int) -> Tensor:
    """n + 1 times whose steps in log-SNR are 3, 1, 3, 1, ... of a unit."""
    ends = schedule.log_snr(torch.tensor([first, last], dtype=torch.float64))
    share = torch.tensor([3.0, 1.0], dtype=torch.float64).repeat(n // 2).cumsum(0) / (2 * n)
    return schedule.time(torch.cat([ends[:1], ends[0] + (ends[1] - ends[0]) * share]))


SPREAD = torch.tensor([0.15, 0.5, 1.2], dtype=torch.float64)


def order_errors(sampler, schedule, grid, given) -> list[float]:
    """A sampler's error with 20, 40 and 80 steps, on N(0, diag(SPREAD^2)) with its exact model, whose flow is known."""
    mixture = GaussianMixture(torch.ones(1, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64),
                              torch.diag(SPREAD**2)[None])  # fmt: skip
    model, errors, z = MixtureDenoiser(mixture, schedule), [], given.normal(64, 3)
    for n in (20, 40, 80):
        times = grid(n)
        (a0, s0), (a1, s1) = (schedule(t) for t in (times[0], times[-1]))
        x = torch.sqrt(a0**2 * SPREAD**2 + s0**2) * z
        found = sampler(model, x, times)
        is_tensor(found, (64, 3), "x")
        errors.append((found - torch.sqrt(a1**2 * SPREAD**2 + s1**2) * z).square().mean().sqrt().item())
    return errors


def one_point(answer, given):
    """A sampler's 7 uneven steps to little noise, where the data are one point: (x found, x right, a function that
    takes the same steps as a slip would, the model, the times)."""
    schedule, point = Halves(), given.uniform(0.5, 1.5, 3)  # not alpha^2 + sigma^2 = 1, not sigma = t
    times, eps = uneven(0.9, 0.1, 7, given), given.normal(4, 3)
    (a0, s0), (a1, s1) = (schedule(t) for t in (times[0], times[-1]))
    model, first = OnePoint(point, schedule), a0 * point + s0 * eps

    def walked(step):
        x = first
        for t, s in zip(times[:-1], times[1:], strict=True):
            x = step(x, point, t, s, schedule)
        return x

    return answer(model, first.clone(), times), a1 * point + s1 * eps, walked, model, times


def lands(answer, given, slips: dict, calls_a_step: int) -> None:
    """Raise Wrong unless a sampler is exact where the data are one point; slips: key -> (their step, what to tell)."""
    found, wanted, walked, model, times = one_point(answer, given)
    if isinstance(found, Tensor) and found.shape == wanted.shape and not close(found, wanted):
        if model.times and model.times[0] < 0.5:
            raise Wrong("walks up", "The first network call is at little noise: the times fall, from noise to data.")
        if close(found, walked(lambda x, *_: x)) and abs(model.times[0] - times[0]) < 1e-6:
            raise Wrong("never moves", "x ends where it began: alpha and sigma must be those of the new time.")
        if model.times and abs(model.times[0] - times[1]) < 1e-6:
            if len(model.times) < calls_a_step * (len(times) - 1):
                raise Wrong("first step left out", "The first network call is at the second time: the first step, from "
                            "times[0] to times[1], is left out.")  # fmt: skip
            raise Wrong("called at the new time", _NEW_TIME)
        if close(found * model.schedule(times[-1])[0], wanted):
            raise Wrong("stays in y", "What comes back is y = x / alpha: multiply by alpha of the last time.")
        _calls(found, model, times, calls_a_step)
    same(found, wanted, {k: (walked(step), message) for k, (step, message) in slips.items()}, "x", 1e-10)


def _old_alpha(x, point, t, s, schedule):
    (a, sg), (_, sg_s) = schedule(t), schedule(s)
    return a * point + sg_s * (x - a * point) / sg


def _old_sigma(x, point, t, s, schedule):
    a, a_s = schedule(t)[0], schedule(s)[0]
    return a_s * point + (x - a * point)


def _variance(x, point, t, s, schedule):
    (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
    return a_s * point + sg_s**2 * (x - a * point) / sg


def _exchanged(x, point, t, s, schedule):
    (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
    return a_s * (x - a * point) / sg + sg_s * point


def _no_alpha(x, point, t, s, schedule):
    (a, sg), (_, sg_s) = schedule(t), schedule(s)
    return point + sg_s * (x - a * point) / sg


def _straight(x, point, t, s, schedule):
    a, sg = schedule(t)
    return (1 - s) * point + s * (x - a * point) / sg


def _root(x, point, t, s, schedule):
    (a, sg), (a_s, _) = schedule(t), schedule(s)
    return a_s.sqrt() * point + torch.sqrt(1 - a_s) * (x - a * point) / sg


def _circle(x, point, t, s, schedule):
    (a, sg), (a_s, _) = schedule(t), schedule(s)
    return a_s * point + torch.sqrt(1 - a_s**2) * (x - a * point) / sg


def _in_x(x, point, t, s, schedule):
    (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
    return x + (sg_s / a_s - sg / a) * (x - a * point) / sg


def _y_turned(x, point, t, s, schedule):
    (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
    return a_s * (x / a - (sg_s / a_s - sg / a) * (x - a * point) / sg)


def _minus(x, point, t, s, schedule):
    (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
    return a_s * point - sg_s * (x - a * point) / sg


def _stays_in_y(x, point, t, s, schedule):
    (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
    return x / a + (sg_s / a_s - sg / a) * (x - a * point) / sg


def _velocity(x, point, t, s, schedule):
    (a, sg), (a_rate, sg_rate) = schedule(t), schedule.rates(t)
    return x + (s - t) * (a_rate * point + sg_rate * (x - a * point) / sg)


def _calls(found, model, times: Tensor, a_step: int) -> None:
    """Raise Wrong unless a model of one point was called `a_step` times a step, or if its x0 was found."""
    calls, steps = len(model.times), len(times) - 1
    if isinstance(found, Tensor) and found.shape[-1:] == (3,) and close(found, model.point.expand(found.shape)):
        raise Wrong("x0 alone", "You return x0, where x is going. At the last time, unless it is 0, x still has noise: "
                    "alpha x0 + sigma eps.")  # fmt: skip
    if a_step == 2 and calls == steps:
        raise Wrong("one slope", "One network call a step: Heun's method takes a second slope at the new point.")
    if a_step == 2 and calls == 2 * steps - 1:
        raise Wrong("one slope at the end", "One of the steps takes one slope: only a step to t = 0 may, and here "
                    f"times end at t = {times[-1]:g}.")  # fmt: skip
    if a_step == 2 and calls == steps + 1:
        raise Wrong("slope kept", "One network call a step but for the first: every step takes two slopes of its own, "
                    "one where x is now and one at the guessed point. None is kept from the step before.")  # fmt: skip
    if calls < a_step * steps:
        ask = "Is the return inside the loop?" if calls <= a_step else "Does it stop a step early?"
        raise Wrong("stops early", f"Network calls: {calls}, expected: {a_step * steps}. {ask}")
    if calls > a_step * steps:
        raise Wrong("too many calls", f"{calls} network calls for {steps} steps: {a_step} a step are enough.")


def ends_at_data(answer, given) -> None:
    """With times that end at 0 a sampler returns the model's x0 at the x and the time before, finite."""
    model, x = Heard(given), given.normal(4, 3)
    times = torch.tensor([0.9, 0.5, 0.2, 0.0], dtype=torch.float64)
    found = answer(model, x, times)
    if isinstance(found, Tensor) and not found.isfinite().all():
        raise Wrong("0 / 0 at the end", "NaN where times end at 0: at t = 0 there is no noise, and x is x0 itself.")
    if 0.0 in model.times:
        raise Wrong("calls at t = 0", "The network is called at t = 0, where nothing is left to remove.")
    if len(model.times) > (5 if model.times.count(0.5) > 1 else 3):  # with two slopes a step, 5
        raise Wrong("too many calls", f"{len(model.times)} network calls for the times .9, .5, .2, 0: one is enough "
                    "for the step to 0.")  # fmt: skip
    told = model.told.copy()
    before = answer(model, x, times[:-1])
    wanted = model(before, times[-2]).x0
    is_tensor(found, x.shape, "x at t = 0")
    if any(close(found, x0) for x0 in told) and not close(found, wanted):
        raise Wrong("x0 of the step before", "At t = 0 you return the x0 of the step before: x has moved since. Ask "
                    "the model where x is now, then return.")  # fmt: skip
    way = (found - wanted) / (wanted - told[-2 if close(told[-1], wanted) else -1])
    if not close(found, wanted) and close(way, way.mean().expand(way.shape), 1e-6):
        raise Wrong("extrapolated to 0", "To t = 0 the step in h is infinite, and x is the model's x0 as it is: do not "
                    "extrapolate there.")  # fmt: skip
    last = (before, "x is still at the time before 0: the last step, to x0, is left out.")
    same(found, wanted, {"last step left out": last}, "x at t = 0")
    _small_is_not_zero(answer, given)


def _small_is_not_zero(answer, given) -> None:
    """Times may end at little noise that is not 0, as at a path's t_min: then x still has it."""
    schedule, point, eps = Halves(), given.normal(3), given.normal(4, 3)
    times = torch.tensor([0.5, 0.05, 2e-4, 2e-5], dtype=torch.float64)
    (a0, s0), (a1, s1) = (schedule(t) for t in (times[0], times[-1]))
    found = answer(OnePoint(point, schedule), a0 * point + s0 * eps, times)
    if close(found, point.expand(4, 3), 1e-9):
        raise Wrong("small is not 0", "Times that end at .00002 end at x0 without noise: only t = 0 is 0 (s == 0).")
    same(found, a1 * point + s1 * eps, {}, "x where times end at .00002", 1e-9)


def walks_pictures(answer, given) -> None:
    """x (B, ...) may be pictures: exact where the data are one of them."""
    schedule, point, eps = Halves(), 50 * given.normal(2, 3, 4), given.normal(5, 2, 3, 4)  # in no range
    times = torch.tensor([0.9, 0.6, 0.4], dtype=torch.float64)
    (a0, s0), (a1, s1) = (schedule(t) for t in (times[0], times[-1]))
    found = answer(OnePoint(point, schedule), a0 * point + s0 * eps, times)
    same(found, a1 * point + s1 * eps, {}, "x, pictures (5, 2, 3, 4),", 1e-10)


def takes_a_condition(answer, given) -> None:
    """cond reaches every call."""
    model, x = OnePoint(given.normal(3), Linear()), given.normal(2, 3)
    times = torch.tensor([0.9, 0.5, 0.1, 0.0], dtype=torch.float64)
    for cond in (torch.tensor([1, 2]), torch.tensor([0, 0])):
        model.conds.clear()
        answer(model, x, times, cond)
        lost = [c is None for c in model.conds]
        if any(lost):
            where = "" if any(lost[:-1]) else " in the step to 0"
            raise Wrong("condition lost", f"The condition {cond.tolist()} does not reach the network{where}: call "
                        "model(x, t, cond).")  # fmt: skip
        if not all(isinstance(c, Tensor) and c.dtype == cond.dtype and torch.equal(c, cond) for c in model.conds):
            raise Wrong("condition changed", f"The condition {cond.tolist()} reaches the network as something else: "
                        "hand it on as it is.")  # fmt: skip
    model.conds.clear()
    answer(model, x, times)
    if any(c is not None for c in model.conds):
        raise Wrong("condition made up", "No condition was given, and the network got one: None is the null condition. "
                    "Hand it on as it is.")  # fmt: skip


def keeps_float32(answer, given) -> None:
    """One point alone, float32 as in training."""
    model = OnePoint(given.normal(3).float(), Linear())
    alone_in_float32(answer(model, given.normal(1, 3).float(), torch.tensor([0.9, 0.5, 0.2, 0.1])), (1, 3), "x")


# --- 02.4 ---

_NEW_TIME = "The network is asked about the new time, but x is still at the old one: model(x, t, cond)."
_Y = (
    "eps is the slope of y = x / alpha by sigma / alpha: divide x by alpha_t before the step, then multiply by alpha_s."
)
_SLIPS = {
    "old alpha": (_old_alpha, "x0 is scaled by the alpha of the old time, as in x + (sigma_s - sigma_t) eps: the new x "
                  "needs alpha and sigma of the new time."),
    "old sigma": (_old_sigma, "eps is scaled by the sigma of the old time: no noise is ever taken away."),
    "variance": (_variance, "eps is scaled by sigma^2: sigma is a deviation already."),
    "exchanged": (_exchanged, "x0 and eps are exchanged: alpha stands with x0, sigma with eps."),
    "no alpha": (_no_alpha, "alpha is missing: on this path x0 is scaled down where there is noise."),
    "straight path": (_straight, "You take alpha for 1 - t and sigma for t, as on the linear path. Ask the schedule."),
    "alpha bar": (_root, "You take roots of alpha, as for the papers' alpha bar: model.schedule gives the scales."),
    "sigma from alpha": (_circle, "You compute sigma from alpha: not on every path is alpha^2 + sigma^2 = 1. Take both "
                         "from model.schedule."),
    "x instead of y": (_in_x, _Y),
    "h turned": (_y_turned, "The step goes the wrong way: h = n_s - n_t, new less old."),
    "minus": (_minus, "The sign: sigma eps is added to alpha x0."),
    "stays in y": (_stays_in_y, "What comes back is y = x / alpha: multiply by alpha_s at the end of each step."),
    "velocity": (_velocity, "That is Euler's method on dx/dt. DDIM is Euler's on dy/dn = eps, with y = x / alpha and n "
                 "= sigma / alpha: exact where the data are one point."),
}  # fmt: skip


@ddim.part("the same noise gives the same picture")
def _(answer, given):
    model, x = OnePoint(given.normal(3), Linear()), given.normal(2, 3)
    times = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    first, again = answer(model, x, times), answer(model, x, times)
    is_tensor(first, (2, 3), "x")
    if not torch.equal(first, again):
        raise Wrong(
            "draws noise", "Two calls with one x give two results: DDIM keeps the noise eps that the net predicts."
        )


@ddim.part("data of one point: exact, after 7 uneven steps")
def _(answer, given):
    lands(answer, given, _SLIPS, 1)


@ddim.part("one network call a step, at the time where x is")
def _(answer, given):
    found, *_, model, times = one_point(answer, given)
    _calls(found, model, times, 1)
    slips = {"called at the new time": (times[1:], _NEW_TIME)}
    same(torch.tensor(model.times, dtype=torch.float64), times[:-1], slips, "the time of a call", 1e-5)


@ddim.part("first order: on a Gaussian the error halves when the steps are doubled")
def _(answer, given):
    errors = order_errors(answer, VP(), lambda n: torch.linspace(0.9, 0.1, n + 1, dtype=torch.float64), given)
    _order(errors, 1.8, 2.25, "first")


def _order(errors: list[float], low: float, high: float, name: str) -> None:
    ratios = [a / max(b, 1e-300) for a, b in zip(errors, errors[1:], strict=False)]
    told = f"Errors {errors[0]:.2g}, {errors[1]:.2g} and {errors[2]:.2g} with 20, 40 and 80 steps: ratios " + (
        f"{ratios[0]:.2f} and {ratios[1]:.2f}, {low:g} to {high:g} is {name} order."
    )
    if errors[2] > 0.3:
        raise Wrong("does not converge", told + " It does not go to the right place at all.")
    if name == "second" and all(1.6 < r < 2.6 for r in ratios):
        ask = " Is the second slope taken, at the new point and time, and is its mean with the first the step's slope?"
        raise Wrong("first order", told + ask)
    if not all(low < r < high for r in ratios):
        raise Wrong("order", told)


ddim.part("times that end at 0: x0, finite")(ends_at_data)
ddim.part("pictures")(walks_pictures)
ddim.part("the condition reaches the network, as it is")(takes_a_condition)
ddim.part("one point, float32, as in training")(keeps_float32)


# --- 02.5 ---


def _heun(kind: str):
    """The step that a slip makes."""

    def step(x, point, t, s, schedule):
        (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
        hs = {"h turned": sg / a - sg_s / a_s, "h in sigma": sg_s - sg, "h in t": s - t,
              "n turned": a_s / sg_s - a / sg}  # fmt: skip
        if kind == "velocity":
            slope = (_velocity(x, point, t, s, schedule) - x) / (s - t)
            (a_rate, sg_rate), ahead = schedule.rates(s), x + (s - t) * slope
            return x + (s - t) * (slope + a_rate * point + sg_rate * (ahead - a_s * point) / sg_s) / 2
        h, eps = hs.get(kind, sg_s / a_s - sg / a), (x - a * point) / sg
        if kind == "x0 and eps exchanged":
            return a_s * (x / a + h * point)
        y, in_x = x / a + h * eps, x + h * eps
        aheads = {"x instead of y": in_x, "predictor in x": in_x, "predictor in y": y, "predictor at old alpha": a * y}
        ahead = (aheads | {"second call at the old point": x}).get(kind, a_s * y)
        second = (ahead - a_s * point) / sg_s
        slope = (eps + second) / (1 if kind == "slopes added" else 2)
        slope = eps + second / 2 if kind == "the second halved" else slope
        y = x / a + h * slope
        ends = {
            "x instead of y": x + h * slope,
            "the end in x": x + h * slope,
            "slope not scaled": a_s * x / a + h * slope,
            "stays in y": y,
            "old alpha": a * y,
            "x not divided": a_s * (x + h * slope),
        }
        return ends.get(kind, a_s * y)

    return step


_HEUN = {
    "slopes added": "Overshoots by a factor: the two slopes are averaged, not added, and the step starts at the old "
    "point.",
    "x instead of y": _Y,
    "the end in x": _Y,
    "slope not scaled": "h times the slope is not multiplied by alpha_s: it is added to y, before y becomes x.",
    "the second halved": "The mean of the slopes is (eps + second) / 2: you halve the second alone.",
    "x0 and eps exchanged": "The slope is eps, and you take x0: the model returns x0 first, then eps.",
    "n turned": "h is the step in sigma / alpha: you take alpha / sigma.",
    "predictor in x": "The first guess of the new point is made in x, not in y = x / alpha.",
    "predictor in y": "The model is given y at the new point: it wants x = alpha_s y.",
    "predictor at old alpha": "The first guess of the new point is scaled by alpha_t: at the new time x = alpha_s y.",
    "second call at the old point": "The second call is at the new time, but still at the old point: give it ahead.",
    "stays in y": _SLIPS["stays in y"][1],
    "x not divided": "x is not divided by alpha_t before the step: y = x / alpha.",
    "old alpha": "The result is scaled by alpha_t: at the new time x = alpha_s y.",
    "h turned": "The step goes the wrong way: h = n_s - n_t, new less old.",
    "h in sigma": "h is the step in sigma / alpha, not in sigma.",
    "h in t": "h is the step in sigma / alpha, not in t.",
    "velocity": "That is Heun's method on dx/dt: take it on dy/dn = eps, with y = x / alpha and n = sigma / alpha.",
}


@heun.part("two network calls a step: where x is, then at the new time")
def _(answer, given):
    found, *_, model, times = one_point(answer, given)
    _calls(found, model, times, 2)
    second = "The second slope is asked for at the old time. The point is new, and so must be the time."
    middle = torch.stack([times[:-1], (times[:-1] + times[1:]) / 2], 1).flatten()
    slips = {"second call at the old time": (times[:-1].repeat_interleave(2), second),
             "midpoint": (middle, "That is the midpoint method, of second order too. Heun asks at the end of the step, "
                          "and takes the mean of both slopes.")}  # fmt: skip
    wanted = torch.stack([times[:-1], times[1:]], 1).flatten()
    same(torch.tensor(model.times, dtype=torch.float64), wanted, slips, "the time of a call", 1e-5)


@heun.part("data of one point: exact, after 7 uneven steps")
def _(answer, given):
    slips = {kind: (_heun(kind), message) for kind, message in _HEUN.items()}
    lands(answer, given, slips, 2)


@heun.part("one step on a Gaussian: y (1 + h (g + g_s (1 + h g)) / 2), where eps = g y and g = n / (n^2 + d^2)")
def _(answer, given):
    path, x, times = Halves(), given.normal(5, 3), torch.tensor([0.6, 0.4], dtype=torch.float64)
    mixture = GaussianMixture(torch.ones(1, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64),
                              torch.diag(SPREAD**2)[None])  # fmt: skip
    (a, a_s), (sigma, sigma_s) = path(times)
    n, n_s = sigma / a, sigma_s / a_s
    h, g, g_s, y = n_s - n, n / (n**2 + SPREAD**2), n_s / (n_s**2 + SPREAD**2), x / a
    eps, second = g * y, g_s * (1 + h * g) * y
    mean = (eps + second) / 2
    mixed = (
        "x0 of one call, or of both, is put together with another eps: the step is alpha_s (x / alpha_t + h mean), in "
    )
    mixed += "which no x0 stands."
    slips = {
        "one slope": (a_s * (y + h * eps), "The step is that of the first slope alone. Note that alpha_s x0 + sigma_s "
                      "eps of the second call is `ahead` itself, which is no slope: average the two eps, and step from "
                      "x / alpha_t."),
        "second slope alone": (a_s * (y + h * second), "The step is that of the second slope alone: the first counts "
                               "as much."),
        "first x0": (a_s * (y - n * eps) + sigma_s * mean, mixed),
        "second x0": (a_s * (y + h * eps - n_s * second) + sigma_s * mean, mixed),
    }  # fmt: skip
    same(answer(MixtureDenoiser(mixture, path), x, times), a_s * (y + h * mean), slips, "x after one step", 1e-10)


@heun.part("second order: on a Gaussian, with long and short steps in turn")
def _(answer, given):
    schedule = VP()
    errors = order_errors(answer, schedule, lambda n: alternating(schedule, 0.9, 0.1, n), given)
    _order(errors, 3.4, 5.2, "second")


heun.part("times that end at 0: x0, finite, without a second call")(ends_at_data)
heun.part("pictures")(walks_pictures)
heun.part("the condition reaches the network, as it is")(takes_a_condition)
heun.part("one point, float32, as in training")(keeps_float32)


# --- 02.6 ---


def _dpmpp(kind: str):
    """The step that a slip makes where x0 is constant."""

    def step(x, point, t, s, schedule):
        (a, sg), (a_s, sg_s) = schedule(t), schedule(s)
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        h = {"h is twice too long": 2 * h, "h turned": -h, "no log": a_s / sg_s - a / sg}.get(kind, h)
        kept = {"sigmas turned": sg / sg_s, "ratio of alphas": a_s / a, "x kept whole": 1.0}.get(kind, sg_s / sg)
        grown = (torch.exp if kind == "1 left out" else torch.expm1)(-h) * (-1 if kind == "plus" else 1)
        grown = grown - 1 if kind == "1 twice" else grown
        said = (x - a * point) / sg if kind == "eps for x0" else point
        return kept * x - (a if kind == "old alpha" else a_s) * grown * said

    return step


_DPMPP = {
    "h is twice too long": "h is twice too long: it is the step in log(alpha / sigma), half the log-SNR.",
    "h turned": "The sign in the exponent: it is -h, with h = lambda_s - lambda_t, which is positive: log-SNR grows "
    "towards data.",
    "no log": "h is the step in lambda = log(alpha / sigma): the logarithm is missing.",
    "sigmas turned": "The ratio before x_t is turned: it is sigma_s / sigma_t, less than 1, as noise goes.",
    "ratio of alphas": "x_t is scaled by the ratio of the alphas: it is that of the sigmas.",
    "1 left out": "e^-h - 1 is torch.expm1(-h): you have e^-h.",
    "1 twice": "torch.expm1(-h) is e^-h - 1 already: you subtract 1 once more.",
    "x kept whole": "x_t is not scaled: sigma_s / sigma_t of it is left, as noise goes.",
    "plus": "The sign: e^-h - 1 is negative, and D must come in with a positive weight.",
    "old alpha": "D is scaled by the alpha of the old time: it is alpha_s.",
}


@dpmpp_2m.part("data of one point: exact, after 7 uneven steps")
def _(answer, given):
    path, point, x, times = Halves(), given.normal(3), given.normal(2, 3), torch.tensor([0.6, 0.4], dtype=torch.float64)
    found = answer(OnePoint(point, path), x, times)
    turned = _dpmpp("eps for x0")(x, point, *times, path)  # of one step: later ones extrapolate
    if isinstance(found, Tensor) and close(found, turned):
        raise Wrong("eps for x0", "You take eps where x0 belongs: the model returns x0 first, then eps.")
    lands(answer, given, {kind: (_dpmpp(kind), message) for kind, message in _DPMPP.items()}, 1)


@dpmpp_2m.part("x0 linear in the log-SNR, steps of .3, .9, .2 and 1.8: extrapolated to the middle of each")
def _(answer, given):
    schedule, slope = VP(), given.uniform(0.3, 0.8, 1)
    lam = schedule.log_snr(torch.tensor(0.8, dtype=torch.float64)) / 2
    lams = torch.cat([lam[None], lam + torch.tensor([0.3, 0.9, 0.2, 1.8], dtype=torch.float64).cumsum(0)])
    times, x = schedule.time(2 * lams), given.normal(2, 3)
    found = answer(Straight(slope, schedule), x, times)
    alpha, sigma = schedule(times)
    ahead = dict(_AHEAD)
    for name, clock in (("t", times), ("sigma / alpha", sigma / alpha), ("sigma", sigma)):
        ahead[f"h in {name}"] = (_in_steps_of(clock.diff()), f"D is extrapolated by steps in {name}: h is the step in "
                                 "lambda = log(alpha / sigma), here too.")  # fmt: skip
    slips = {k: (_extrapolated(x, slope, lams, times, schedule, w), message) for k, (w, message) in ahead.items()}
    by_eps = _by_eps(x, Straight(slope, schedule), times)
    slips["eps extrapolated"] = by_eps, "That is DPM-Solver-2M, which extrapolates eps: with ++ it is x0."
    same(found, _extrapolated(x, slope, lams, times, schedule, _middle), slips, "x", 1e-7)


def _by_eps(x, model, times: Tensor):
    """The steps of DPM-Solver-2M: the ODE of x / alpha, with eps extrapolated (Lu et al. 2022)."""
    schedule, before = model.schedule, None
    for t, s in zip(times[:-1], times[1:], strict=True):
        (alpha_t, _), (alpha_s, sigma_s) = schedule(t), schedule(s)
        h, eps = (schedule.log_snr(s) - schedule.log_snr(t)) / 2, model(x, t).eps
        ahead = eps if before is None else eps + h / (2 * before[1]) * (eps - before[0])
        x, before = alpha_s / alpha_t * x - sigma_s * torch.expm1(h) * ahead, (eps, h)
    return x


def _middle(lam, h, used):
    """The middle of the step ahead. Here and below: the lambdas and steps up to this one -> the lambda whose x0 is D,
    where x0 is linear in lambda; `used` are those of the steps before."""
    return lam[-1] + h[-1] / (2 * h[-2]) * (lam[-1] - lam[-2])


def _in_steps_of(steps: Tensor):
    """`_middle` by steps of another clock."""
    return lambda lam, h, used: lam[-1] + steps[len(h) - 1] / (2 * steps[len(h) - 2]) * (lam[-1] - lam[-2])


_AHEAD = {
    "ratio turned": (lambda lam, h, used: lam[-1] + h[-2] / (2 * h[-1]) * (lam[-1] - lam[-2]),
                     "The ratio of the steps is turned: it is h over 2 h_before."),
    "no ratio": (lambda lam, h, used: lam[-1] + (lam[-1] - lam[-2]) / 2, "The extrapolation is right for equal steps "
                 "and wrong for unequal ones: multiply by h over h_before. If you do, is h_before overwritten by h "
                 "too early?"),
    "no half": (lambda lam, h, used: lam[-1] + h[-1], "Half is missing: x0 is wanted in the *middle* of the step."),
    "parentheses": (lambda lam, h, used: lam[-1] + h[-1] / 2 * h[-2] * (lam[-1] - lam[-2]), "h / 2 * h_before "
                    "multiplies by h_before: write h / (2 * h_before)."),
    "from the step before": (lambda lam, h, used: lam[-2] + h[-1] / (2 * h[-2]) * (lam[-1] - lam[-2]), "The difference "
                             "is added to the x0 of the step before: start from the x0 of now."),
    "h kept once": (lambda lam, h, used: lam[-1] + h[-1] / (2 * h[0]) * (lam[-1] - lam[-2]), "The h of the first step "
                    "is kept for ever: keep h anew in every step, with x0."),
    "minus": (lambda lam, h, used: lam[-1] - h[-1] / 2, "The sign: x0 goes on in the direction in which it has "
              "changed."),
    "never kept": (lambda lam, h, used: lam[-1], "First order: the x0 of the step before has no effect. Is it kept?"),
    "kept once": (lambda lam, h, used: lam[-1] + h[-1] / (2 * h[0]) * (lam[-1] - lam[0]),
                  "The pair of the first step is kept for ever: keep x0 and h anew in every step."),
    "D kept": (lambda lam, h, used: lam[-1] + h[-1] / (2 * h[-2]) * (lam[-1] - used[-1]),
               "You keep D for the next step. Keep x0, what the network said."),
}  # fmt: skip


def _extrapolated(x, slope, lams, times, schedule, ahead):
    """The closed form: in each step x / sigma grows by the integral of exp(lambda) D, where D is x0 at the lambda that
    `ahead` gives; the middle of the step is right."""
    used, h = [lams[0]], lams.diff()
    for i in range(len(h)):
        if i > 0:
            used.append(ahead(lams[: i + 1], h[: i + 1], used))
        (_, sigma_t), (alpha_s, sigma_s) = schedule(times[i]), schedule(times[i + 1])
        x = sigma_s / sigma_t * x - alpha_s * torch.expm1(-h[i]) * (1 + slope * used[-1])
    return x


@dpmpp_2m.part("second order: on a Gaussian, with long and short steps in turn")
def _(answer, given):
    schedule = VP()
    errors = order_errors(answer, schedule, lambda n: alternating(schedule, 0.9, 0.1, n), given)
    _order(errors, 3.2, 5.4, "second")


@dpmpp_2m.part("one network call a step")
def _(answer, given):
    found, *_, model, times = one_point(answer, given)
    _calls(found, model, times, 1)


dpmpp_2m.part("times that end at 0: x0, finite")(ends_at_data)
dpmpp_2m.part("pictures")(walks_pictures)
dpmpp_2m.part("the condition reaches the network, as it is")(takes_a_condition)
dpmpp_2m.part("one point, float32, as in training")(keeps_float32)


# --- 02.7 ---


@fresh_share.part("the variance of x_s given x_t and x0, by Bayes' rule")
def _(answer, given):
    for schedule in (Halves(), VP(), Linear()):  # on the first neither alpha^2 + sigma^2 nor alpha + sigma is 1
        t, s = torch.tensor([0.7, 0.35], dtype=torch.float64) + given.uniform(-0.1, 0.1, 2)
        (a_t, s_t), (a_s, s_s) = schedule(t), schedule(s)
        step = a_t / a_s  # x_t = step x_s + noise, in a Markov chain
        together = torch.stack([torch.stack([s_s**2, step * s_s**2]), torch.stack([step * s_s**2, s_t**2])])
        left = (together[0, 0] - together[0, 1] ** 2 / together[1, 1]) / s_s**2
        slips = _slips_of_the_share(a_t, s_t, a_s, s_s)
        same(answer(a_t, s_t, a_s, s_s), left, slips, "the share", 1e-7)


@fresh_share.part("tensors of three numbers")
def _(answer, given):
    path, t, s = VP(), given.uniform(0.6, 0.8, 3), given.uniform(0.25, 0.45, 3)
    levels = (*path(t), *path(s))
    each = torch.stack([torch.as_tensor(answer(*row)) for row in zip(*levels, strict=True)])
    same(answer(*levels), each, {}, "the share of three, compared with one at a time,", 1e-7)


def _slips_of_the_share(a_t, s_t, a_s, s_s) -> dict:
    """What typical slips give for the share."""
    step, kept = a_t / a_s, a_t * s_s / (a_s * s_t)
    noise, beta = s_t**2 - step**2 * s_s**2, 1 - step**2
    return _by_bayes_wrongly(a_t, s_t, a_s, s_s) | {
        "no square": (1 - kept, "Not squared: it is a share of the variance, not of the deviation."),
        "what is kept": (kept**2, "That is the share that is kept: the fresh one is 1 less that."),
        "turned": (1 - 1 / kept**2, "Negative: the ratio is turned round. More is kept where s is near t."),
        "plus": (1 + kept**2, "Greater than 1: a share is 1 less what is kept."),
        "no alpha": (1 - (s_s / s_t) ** 2, "Where alpha changes too, noise of t counts as alpha_s / alpha_t times "
                     "as much at s."),
        "deviation": (torch.sqrt(1 - kept**2), "That is the deviation of the fresh noise: its variance is asked."),
        "variance": ((1 - kept**2) * s_s**2, "That is the variance itself: divide by sigma_s^2."),
        "what is kept, no square": (kept, "That is the root of the share that is kept: the fresh one is 1 less its "
                                    "square."),
        "beta": (beta, "That is DDPM's beta, the noise of a step *forward* where alpha^2 + sigma^2 = 1. The "
                 "variance of x_s given x_t and x0 is asked."),
        "noise forward": (noise, "That is the noise of the step forward, the variance of x_t given x_s. That of x_s "
                          "given x_t and x0 is asked."),
        "noise forward / sigma_s^2": (noise / s_s**2, "That is the noise of the step *forward* over sigma_s^2: in "
                                      "the share it is divided by sigma_t^2."),
        "beta tilde, alphas": ((1 - a_s**2) / (1 - a_t**2) * beta / s_s**2, "Right where alpha^2 + sigma^2 = 1 and "
                               "wrong elsewhere: DDPM's beta tilde takes 1 - alpha^2 for sigma^2."),
        "beta tilde, share": (beta / (1 - a_t**2), "Right where alpha^2 + sigma^2 = 1 and wrong elsewhere: DDPM's beta "
                              "tilde takes 1 - alpha^2 for sigma^2."),
        "VP": (beta / s_t**2, "Right where alpha^2 + sigma^2 = 1 and wrong elsewhere: the noise of the "
               "step forward is sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2."),
        "beta tilde": (beta * s_s**2 / s_t**2, "That is DDPM's variance, beta tilde, where alpha^2 + "
                       "sigma^2 = 1: divide by sigma_s^2, and use sigma on every path."),
        "all": (torch.ones_like(kept), "1 would be all of the noise drawn anew: x_t knows some of x_s."),
        "alphas turned": (1 - (a_s * s_s / (a_t * s_t)) ** 2, "The ratio of the alphas is turned: it is alpha_t / "
                          "alpha_s, less than 1."),
        "sigmas turned": (1 - (a_t * s_t / (a_s * s_s)) ** 2, "The ratio of the sigmas is turned: it is sigma_s / "
                          "sigma_t, less than 1."),
    }  # fmt: skip


def _by_bayes_wrongly(a_t, s_t, a_s, s_s) -> dict:
    """The same for slips on the way of the hint, 1 / (1 / sigma_s^2 + r^2 / variance)."""
    step = a_t / a_s
    noise = s_t**2 - step**2 * s_s**2

    def by_bayes(variance):
        return 1 / (1 / s_s**2 + step**2 / variance) / s_s**2

    ask = "the noise of the step forward has what sigma_t^2 holds beyond r^2 sigma_s^2."
    return {
        "sigma_t for the noise": (by_bayes(s_t**2), f"You give the step's noise all of sigma_t^2: {ask}"),
        "x_t alone": (noise / (step * s_s) ** 2, "1 / variance has two terms: 1 / sigma_s^2 is left out."),
        "no r": (by_bayes(s_t**2 - s_s**2), f"You give the step's noise sigma_t^2 - sigma_s^2, without r^2: {ask}"),
        "beta for the noise": (by_bayes(1 - step**2), "You give the step's noise 1 - r^2, right where alpha^2 + "
                               f"sigma^2 = 1 and wrong elsewhere: {ask}"),
        "sigma_s for the noise": (by_bayes(s_s**2), f"You give the step's noise the variance sigma_s^2: {ask}"),
        "not inverted": ((1 / s_s**2 + step**2 / noise) * s_s**2, "Greater than 1: Bayes' rule gives 1 / variance, so "
                         "turn it over before you divide by sigma_s^2."),
        "alpha bar": (1 - a_t * (1 - a_s) / (a_s * (1 - a_t)), "You take alpha for the papers' alpha bar, 1 - alpha "
                      "for sigma^2: here alpha is its root, and sigma is given."),
    }  # fmt: skip
