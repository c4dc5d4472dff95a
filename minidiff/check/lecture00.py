"""Checks of lecture 00, the tour: noise added, the best guess of what it hid, modes found, and calls counted."""

import torch
from torch import Tensor

from ..denoise import Prediction
from ..guidance import Guided
from ..oracles import GaussianMixture
from ..samplers import run_sampler
from ..schedules import Linear
from .exercise import Exercise, Wrong, close, same, stays_float32

add_noise = Exercise("00.1", "add_noise", 1, 5, "lecture 00")
best_guess = Exercise("00.2", "best_guess", 1, 10, "lecture 00")
modes_found = Exercise("00.3", "modes_found", 2, 12, "lecture 00")
calls = Exercise("00.4", "calls", 1, 8, "lecture 00")


# --- 00.1 ---


def _noisy(answer, given, *shape: int, levels: bool = True):
    """What the answer makes of random x0 and eps, and the same row by row, and its inputs."""
    x0, eps = 20 * given.normal(*shape), 20 * given.normal(*shape)  # in no range that a result might be cut to
    alpha, sigma = (given.uniform(0.3, 0.9, *shape[:1]) if levels else given.uniform(0.3, 0.9, 1)[0] for _ in "as")
    each = [(alpha[i], sigma[i]) if levels else (alpha, sigma) for i in range(shape[0])]
    rows = torch.stack([x * a.item() + e * s.item() for x, e, (a, s) in zip(x0, eps, each, strict=True)])
    return answer(x0, eps, alpha, sigma), rows, (x0, eps, alpha, sigma)


@add_noise.part("pictures, each with its own alpha and sigma")
def _(answer, given):
    found, rows, (x0, eps, alpha, sigma) = _noisy(answer, given, 4, 3, 4, 4)
    a, s = alpha[:, None, None, None], sigma[:, None, None, None]
    slips = {
        "lined up with rows": (
            alpha[:, None] * x0 + sigma[:, None] * eps,
            "Row 2 of every picture got the alpha of picture 2: alpha (B, 1) lined up with the last axes. Give it "
            "shape (B, 1, 1, 1).",
        ),
        "both roots": (a.sqrt() * x0 + (1 - a).sqrt() * eps, "alpha here is the scale of x0 itself, the root of the "
                       "papers' alpha bar: take no roots, and the sigma that is given."),
        "alpha squared": (a**2 * x0 + s * eps, "x0 is scaled by alpha^2: alpha is its scale already."),
        "lined up with columns": (
            alpha * x0 + sigma * eps,
            "Column 2 of every picture got the alpha of picture 2: alpha (B,) lined up with the last axis. Give it "
            "shape (B, 1, 1, 1).",
        ),
        "variance": (a * x0 + s**2 * eps, "The noise part is sigma^2 eps. sigma is a standard deviation already."),
        "square root": (a * x0 + s.sqrt() * eps, "The noise part is sqrt(sigma) eps: sigma is no variance."),
        "square root of alpha": (a.sqrt() * x0 + s * eps, "x0 is scaled by sqrt(alpha): that is for papers whose alpha "
                                 "is the square of ours."),
        "exchanged": (s * x0 + a * eps, "alpha and sigma are exchanged: alpha stands with x0."),
        "no noise": (a * x0, "There is no noise in it: sigma eps is missing."),
        "minus": (a * x0 - s * eps, "The noise is subtracted. That has the same distribution, but what is asked is a "
                  "sum."),
        "x0 not scaled": (x0 + s * eps, "x0 is not scaled: multiply it by alpha."),
        "1 - alpha": (a * x0 + (1 - a) * eps, "The noise has 1 - alpha for sigma: use the sigma that is given."),
    }  # fmt: skip
    if isinstance(found, Tensor) and not close(found, slips["no noise"][0]):
        again, other = answer(x0, eps, alpha, sigma), answer(x0, -eps, alpha, sigma)
        if close(found, x0):
            raise Wrong("x0 itself", "That is x0 itself: scale it by alpha and add sigma eps.")
        if not close(found, again) or close(found, other):
            raise Wrong("own noise", "It does not follow the eps that is given: multiply that by sigma, and draw none.")
    same(found, rows, slips, "x_t")


@add_noise.part("points, five of them in the plane")
def _(answer, given):
    found, rows, _ = _noisy(answer, given, 5, 2)
    if isinstance(found, Tensor) and found.ndim > 2:
        raise Wrong("pictures only", "Shape (B, 1, 1, 1) fits pictures alone: points (5, 2) need alpha as (5, 1). Let "
                    "x0.ndim say how many ones there must be.")  # fmt: skip
    same(found, rows, {}, "x_t")


@add_noise.part("one alpha and sigma for all")
def _(answer, given):
    found, rows, _ = _noisy(answer, given, 3, 1, 2, 2, levels=False)
    same(found, rows, {}, "x_t")


@add_noise.part("float32, as in training")
def _(answer, given):
    x0, eps, levels = given.normal(3, 2).float(), given.normal(3, 2).float(), given.uniform(0.3, 0.9, 2, 3).float()
    stays_float32(answer(x0, eps, *levels), "x_t")


# --- 00.2 ---

_LEVELS = ((0.7, 0.45, 1.7), (0.4, 1.3, 0.5), (1.1, 0.3, 1.6))  # alpha, sigma, s; nowhere alpha^2 + sigma^2 = 1


@best_guess.part("the mean of x0 given x_t, at three levels of noise")
def _(answer, given):
    for alpha, sigma, s in _LEVELS:
        x = 40 * given.normal(6)  # far beyond any range that a guess might be cut to
        gaussian = GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in ([1.0], [[0.0]], [[[s**2]]])))
        var = alpha**2 * s**2 + sigma**2
        slips = {
            "noise kept": (x / alpha, "You return x_t / alpha: the scale is undone, the noise kept. With much noise "
                           "the best guess goes to the mean, 0."),
            "x_t": (x, "That is x_t itself: nothing is guessed yet."),
            "s for s^2": (alpha * s / (alpha**2 * s + sigma**2) * x, f"s stands where s^2 should: here s = {s:g}."),
            "sigma for sigma^2": (alpha * s**2 / (alpha**2 * s**2 + sigma) * x, "sigma stands where sigma^2 should: "
                                  "variances add, deviations do not."),
            "alpha missing": (s**2 / var * x, "alpha is missing above the line: the covariance of x0 and x_t is "
                              "alpha s^2."),
            "alpha missing below": (alpha * s**2 / (s**2 + sigma**2) * x, "The variance of x_t is alpha^2 s^2 + "
                                    "sigma^2; you have s^2 + sigma^2."),
            "alpha not squared": (alpha * s**2 / (alpha * s**2 + sigma**2) * x, "The variance of x_t is alpha^2 s^2 + "
                                  "sigma^2; your alpha is not squared."),
            "variance 1": (alpha * s**2 * x, "You did not divide by the variance of x_t, which is not 1 here."),
            "the noise": (sigma / var * x, "That is the best guess of eps."),
            "noise taken out": (sigma**2 / var * x, "That is the share of x_t that is noise: x0 has the other share, "
                                "and is x_t over alpha in size."),
            "share of the signal": (alpha**2 * s**2 / var * x, "That is the best guess of alpha x0: divide by alpha."),
            "deviation": (alpha * s**2 / var**0.5 * x, "You divide by the deviation of x_t, not by its variance."),
            "alpha^2 + sigma^2 = 1": (alpha * s**2 / (alpha**2 * s**2 + 1 - alpha**2) * x, "You use alpha^2 + sigma^2 "
                                      "= 1: here it does not hold."),
            "s = 1": (alpha / (alpha**2 + sigma**2) * x, f"s is left out: x0 has the deviation s, here {s:g}."),
            "s for s^2 above": (alpha * s / var * x, "s stands where s^2 should, above the line."),
            "square of a sum": (alpha * s**2 / (alpha * s + sigma) ** 2 * x, "The variance of x_t is alpha^2 s^2 + "
                                "sigma^2, not the square of a sum of deviations."),
            "sign": (-alpha * s**2 / var * x, "The sign is turned."),
            "the mean": (0 * x, "You return the mean of x0, without looking at x_t."),
        }  # fmt: skip
        level = (torch.tensor(v, dtype=torch.float64) for v in (alpha, sigma))
        wanted = gaussian.posterior_mean(x[:, None], *level)[:, 0]
        same(answer(x, alpha, sigma, s), wanted, slips, f"the guess at alpha {alpha:g}, sigma {sigma:g}, s {s:g}")


@best_guess.part("float32, as in training")
def _(answer, given):
    stays_float32(answer(given.normal(8).float(), 0.7, 0.45, 2.0), "the guess")


@best_guess.part("what is left over has nothing to do with x_t, on 100,000 pairs")
def _(answer, given):
    for alpha, sigma, s in _LEVELS:
        x0 = s * given.normal(100_000)
        x_t = alpha * x0 + sigma * given.normal(100_000)
        left = (x0 - answer(x_t, alpha, sigma, s)) * x_t
        mean, error = left.mean().item(), left.std().item() / len(left) ** 0.5
        if not abs(mean) < 4 * error:
            raise Wrong("not the best", f"x0 less the guess, times x_t, is {mean:.3f} on average; it must be 0 to "
                        f"within {4 * error:.3f}, or more of x_t could still be used.")  # fmt: skip


# --- 00.3 ---

_COUNTS = (10, 9, 120, 0, 150, 2, 40, 6, 90, 0)  # points near each mode; a mode counts from 800 / (8 * 10) = 10 on
_STD = 0.02


def _planted(given) -> tuple[Tensor, Tensor]:
    """800 points around 10 means: so many of each within 2.5 std, the others at 3.5 or 20 std."""
    at = torch.cartesian_prod(torch.linspace(-2, 2, 5), torch.linspace(-1, 1, 2)).double()
    means = at[torch.randperm(10, generator=given.generator)]
    mode = torch.repeat_interleave(torch.arange(10), torch.tensor(_COUNTS))
    far = torch.arange(800 - len(mode)) % 10
    near, off = (0.8, 1.4, 1.8, 2.5), (3.5,) * 6 + (20.0,)
    radius = torch.tensor([near[i % 4] for i in range(len(mode))] + [off[i % 7] for i in range(len(far))])
    angle = given.uniform(0, 2 * torch.pi, 800)
    away = _STD * radius.double()[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    x = means[torch.cat([mode, far])] + away
    return x[torch.randperm(800, generator=given.generator)], means


def _pair(found) -> tuple:
    if isinstance(found, Tensor) and found.shape == (2,):
        found = found.tolist()
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong("no pair", "Two numbers must come back, the modes and the share: return modes, share.")
    return found


@modes_found.part("the share of the points that are near a mode")
def _(answer, given):
    x, means = _planted(given)
    share = _pair(answer(x, means, _STD))[1]
    away = (x[:, None] - means).abs()
    d = away.square().sum(2).sqrt().min(1).values
    counted = sum(n for n in _COUNTS if n >= 10)
    slips = {
        "std left out": ((d < 3).double().mean(), "Every point counts as near: 3 is in standard deviations, so compare "
                         "with 3 std."),
        "square against 3 std": ((d**2 < 3 * _STD).double().mean(), "Points at 3.5 std are counted: compare the "
                                 "distance with 3 std, or its square with 9 std^2, by the std that is given."),
        "distance against the square": ((d < 9 * _STD**2).double().mean(), "Almost none is near by your share: the "
                                        "distance goes with 3 std, its square with 9 std^2, and near is a point that "
                                        "is so to any mode."),
        "3 std^2": ((d**2 < 3 * _STD**2).double().mean(), "The square of 3 std is 9 std^2, not 3 std^2."),
        "one std": ((d < _STD).double().mean(), "Points at 1.4 std are not counted: near is within 3 std."),
        "two std": ((d < 2 * _STD).double().mean(), "Points at 2.5 std are not counted: near is within 3 std."),
        "a box": ((away < 3 * _STD).all(2).any(1).double().mean(), "You ask for each coordinate to be within 3 std: "
                  "that is a box. Use the distance."),
        "nearest point of each mode": (sum(n > 0 for n in _COUNTS) / 10, "That is the share of *modes* that have a "
                                       "point near: the least distance is wanted over the means, for each point."),
        "counted modes only": (counted / 800, "You leave out the points near modes that do not count: they are near a "
                               "mode all the same."),
        "of the near ones": (counted / sum(_COUNTS), "That is a share of the near points: a share of all N is asked."),
        "a count": (sum(_COUNTS), "That is how many, not which share: divide by N."),
        "far": (1 - sum(_COUNTS) / 800, "That is the share of the far ones."),
        "per mode": (sum(_COUNTS) / 8000, "Divided by K once too often: the mean is over the points alone."),
    }  # fmt: skip
    same(share, sum(_COUNTS) / 800, slips, "the share", 1e-6)


@modes_found.part("how many modes have enough points")
def _(answer, given):
    x, means = _planted(given)
    modes = _pair(answer(x, means, _STD))[0]
    nearest = torch.bincount((x[:, None] - means).square().sum(2).argmin(1), minlength=10)
    least = "800 points and 10 modes: a mode counts from 800 / (8 * 10) = 10 points on."
    slips = {
        "any point counts": (sum(n > 0 for n in _COUNTS), f"A mode with 2 points is counted. {least}"),
        "more than": (sum(n > 10 for n in _COUNTS), f"A mode with just 10 points is not counted. {least}"),
        "no eighth": (sum(n >= 80 for n in _COUNTS), f"You ask for too many points. {least} Is it N / (8 K), "
                      "K the number of modes?"),
        "an eighth of all": (sum(n >= 100 for n in _COUNTS), f"You ask for N / 8 points in a mode. {least}"),
        "a share of the near ones": (sum(n >= sum(_COUNTS) / 80 for n in _COUNTS), "That is another N or K: N is "
                                     "all points, not only the near ones, and K the number of modes, not of "
                                     f"coordinates. {least}"),
        "far ones counted": (int((nearest >= 10).sum()), "Points beyond 3 std count for their nearest mode: leave them "
                             "out."),
    }  # fmt: skip
    same(modes, sum(n >= 10 for n in _COUNTS), slips, "the number of modes")


@modes_found.part("three modes and 30 points: a mode counts from 1.25 points on")
def _(answer, given):
    means = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    x = given.uniform(3, 4, 30, 2)
    x[:2], x[-1] = means[1] + 0.001, means[2]
    modes, share = _pair(answer(x, means, 0.01))
    slips = {
        "rounded down": (
            2,
            "One point counts though 30 / (8 * 3) = 1.25 are asked: is that rounded, or is K not the number of modes?",
        )
    }
    same(modes, 1, slips, "the number of modes")
    same(share, 0.1, {}, "the share", 1e-6)


@modes_found.part("points between two modes, which are near both")
def _(answer, given):
    """Of 48 points 3 are 1.9 and 2.1 std from two means and 1 is at a third; 2 make a mode."""
    means = torch.tensor([[0.0, 0.0], [0.04, 0.0], [1.0, 0.0]], dtype=torch.float64)
    x = given.uniform(3, 4, 48, 2)
    x[:3], x[3] = torch.tensor([0.019, 0.0]), means[2]
    order = torch.randperm(3, generator=given.generator)
    modes, share = _pair(answer(x, means[order], 0.01))
    slips = {"counted twice": (7 / 48, "A point between two modes counts twice in your share: it is the share of "
                               "points that are near *any* mode.")}  # fmt: skip
    same(share, 4 / 48, slips, "the share", 1e-6)
    slips = {"nearest mode alone": (1, "A point that is near two modes counts for its nearest alone: it is near both, "
                                    "and counts for both.")}  # fmt: skip
    same(modes, 2, slips, "the number of modes")


# --- 00.4 ---

_SAMPLERS = ("ddim", "euler", "heun", "dpmpp_2m")
_CASES = [(name, n, scale) for name in _SAMPLERS for n in (1, 7, 20) for scale in (1.0, 1.5, 4, 0.5, 1.2, -1.0)]


class Counting:
    """A model that counts the rows it is called with."""

    schedule, null = Linear(), 1

    def __init__(self):
        self.rows = 0

    def __call__(self, x_t, t, cond=None):
        self.rows += len(x_t)
        return Prediction.from_x0(0 * x_t, x_t, *self.schedule(torch.as_tensor(t)))


def _counted(sampler: str, steps: int, scale: float) -> int:
    """Network evaluations for one picture: both branches of guidance go in one call of twice the rows."""
    model = Counting()
    for _ in run_sampler(Guided(model, scale), torch.ones(1, 2), sampler, steps, torch.zeros(1, dtype=torch.long)):
        pass
    return model.rows


def _heun(name: str, n: int) -> int:
    return 2 * n - 1 if name == "heun" else n


def _table(steps=_heun, scales=lambda scale: 1 if scale == 1 else 2) -> list[int]:
    return [int(steps(name, n) * scales(scale)) for name, n, scale in _CASES]


@calls.part("four samplers, one step to twenty, guidance off and on")
def _(answer, given):
    found = [answer(*case) for case in _CASES]
    if any(isinstance(n, bool) or not hasattr(n, "__index__") for n in found):
        other = next(n for n in found if isinstance(n, bool) or not hasattr(n, "__index__"))
        raise Wrong("no number", f"A whole number must come back; you return {other!r}.")
    found = [int(n) for n in found]
    wanted = [_counted(*case) for case in _CASES]
    slips = {
        "heun's last step": (_table(lambda name, n: 2 * n if name == "heun" else n), "heun, 20 steps: 39, not 40. Its "
                             "last step goes to t = 0, where there is no second slope."),
        "one slope for heun": (_table(lambda name, n: n), "heun takes two slopes a step, but for the last step."),
        "dpmpp_2m doubled": (_table(lambda name, n: 2 * n if name == "dpmpp_2m" else _heun(name, n)), "dpmpp_2m calls "
                             "the network once a step: it keeps what it knew from the step before."),
        "scale 1 doubled": (_table(scales=lambda scale: 2), "Scale 1 is "
                            "off and costs one call, not two."),
        "guidance not counted": (_table(scales=lambda scale: 1), "Guidance "
                                 "asks the network twice: with the condition and without."),
        "above 0 alone": (_table(scales=lambda scale: 2 if scale > 0 and scale != 1 else 1), "Scale -1 is on too: only "
                          "scale 1 is off."),
        "near 1": (_table(scales=lambda scale: 2 if abs(scale - 1) > 0.3 else 1), "Scale 1.2 is on: only 1 itself is "
                   "off."),
        "above 1 alone": (_table(scales=lambda scale: 2 if scale > 1 else 1), "Scale .5 is on: only scale 1 is off, "
                          "where the two calls are one."),
        "scale as a factor": (_table(scales=lambda scale: scale), "Guidance of any scale costs two calls: "
                              "the scale is only a factor in the sum."),
        "a step more": (_table(lambda name, n: _heun(name, n + 1)), "One step too many: a grid of n "
                        "+ 1 times has n steps."),
    }  # fmt: skip
    if found == wanted:
        return
    for key, (table, message) in slips.items():
        if found == table:
            raise Wrong(key, message)
    (name, n, scale), said, is_so = next(c for c in zip(_CASES, found, wanted, strict=True) if c[1] != c[2])
    raise Wrong("value", f"{name}, {n} steps, scale {scale:g}: you say {said}; counted, there are {is_so}.")
