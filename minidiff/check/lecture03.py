"""Checks of lecture 03: the best answer without the noise level, what shows the level, intervals, a misread level."""

import math

import torch
from scipy import stats
from torch import Tensor

from ..schedules import Linear
from .exercise import Exercise, Wrong, alone_in_float32, close, is_tensor, kind, same

blind_eps = Exercise("03.1", "blind_eps", 3, 20, "lecture 03, part 1")
visible = Exercise("03.2", "visible", 1, 5, "lecture 03, part 1")
paired_interval = Exercise("03.3", "paired_interval", 2, 14, "lecture 03, part 2")
misread = Exercise("03.4", "misread", 2, 15, "lecture 03, part 3")
level_features = Exercise("03.5", "level_features", 1, 8, "lecture 03, part 4")


def slips(values: dict, messages: dict) -> dict:
    """What typical mistakes give, each with its message, as `same` takes them."""
    return {key: (value, messages[key]) for key, value in values.items()}


# --- 03.1 ---

_EPS = {
    "no log term": "The likelihood lacks its factor before exp: without -D/2 log(s^2 + sigma^2) the largest wins.",
    "log term once": "The term -1/2 log(s^2 + sigma^2) counts once for each of the D coordinates.",
    "log term twice": "It is -D/2 log(s^2 + sigma^2): D deviations divide the density, not D variances.",
    "no half": "The exponent is -|x|^2 over *twice* the variance.",
    "noise alone": "You ask how likely x is as noise alone. It is data plus noise, of variance s^2 + sigma^2.",
    "sign": "The weights are turned round: the unlikely levels get most.",
    "mean over coordinates": "The D coordinates' log-likelihoods are added, not averaged.",
    "equal weights": "You averaged over the levels with equal weights. A point tells how likely each is: "
    "weigh by p(x | sigma).",
    "likeliest level": "That is the answer of the likeliest level alone: the best one is the mean over all of them.",
    "level averaged": "You average the levels, then answer for the mean level. Average the answers.",
    "softmax over the batch": "The weights sum to 1 over the points. They must over the levels, for each point.",
    "not normalised": "The weights do not sum to 1: divide by their sum.",
    "x0": "That is the best x0: eps at one level is (x - x0) / sigma.",
    "all noise": "x / sigma takes all of x for noise. Some of it is data: of variance s^2.",
    "noise": "That is the best guess of sigma eps: divide by sigma.",
    "no square": "Variances add, not deviations: s^2 + sigma^2.",
    "s for s^2": "s stands where s^2 should.",
    "score": "That is the score: eps is -sigma times it.",
    "whitened": "That is x scaled to variance 1, not the part of it that is noise.",
}


def _average(logits: Tensor, x: Tensor, sigmas: Tensor, s: float, dim: int = 0) -> Tensor:
    """The mean over levels of sigma x / (s^2 + sigma^2), weighed by the softmax of logits (T, B)."""
    return (torch.softmax(logits, dim) * (sigmas / (s**2 + sigmas**2))[:, None]).sum(0)[:, None] * x


def _log_p(x, sigmas, s) -> Tensor:
    """log p(x | sigma) (T, B), by torch's own normal distribution."""
    zero = torch.zeros((), dtype=torch.float64)
    return torch.stack([torch.distributions.Normal(zero, (s**2 + v**2).sqrt()).log_prob(x).sum(1) for v in sigmas])


def _is_best(found, x, sigmas, s, rtol: float) -> None:
    square, sigma, d = x.square().sum(1)[None], sigmas[:, None], x.shape[1]
    var, log_p = s**2 + sigma**2, _log_p(x, sigmas, s)
    weights = torch.softmax(log_p, 0)
    mean, best = (weights * sigma).sum(0)[:, None], sigmas[log_p.argmax(0)][:, None]
    logits = {
        "no log term": -square / (2 * var),
        "log term once": -square / (2 * var) - var.log() / 2,
        "log term twice": -square / (2 * var) - d * var.log(),
        "no half": -square / var - d / 2 * var.log(),
        "noise alone": -square / (2 * sigma**2) - d * sigma.log(),
        "sign": -log_p,
        "mean over coordinates": log_p / d,
        "equal weights": torch.zeros_like(log_p),
    }
    values = {key: _average(v, x, sigmas, s) for key, v in logits.items()} | {
        "likeliest level": best * x / (s**2 + best**2),
        "level averaged": mean * x / (s**2 + mean**2),
        "softmax over the batch": _average(log_p, x, sigmas, s, 1),
        "not normalised": (log_p.exp() * (sigma / var)).sum(0)[:, None] * x,
        "x0": (weights * s**2 / var).sum(0)[:, None] * x,
    }
    same(found, _average(log_p, x, sigmas, s), slips(values, _EPS), rtol=rtol)


@blind_eps.part("one level only: sigma x / (s^2 + sigma^2)")
def _(answer, given):
    x, sigma, s = given.normal(3, 5), given.uniform(0.3, 0.9, 1), given.uniform(1.2, 2.0, 1).item()
    var = s**2 + sigma**2
    values = {
        "all noise": x / sigma,
        "x0": s**2 * x / var,
        "noise": sigma**2 * x / var,
        "no square": sigma * x / (s + sigma),
        "s for s^2": sigma * x / (s + sigma**2),
        "score": -x / var,
        "whitened": x / var.sqrt(),
        "softmax over the batch": _average(_log_p(x, sigma, s), x, sigma, s, 1),
    }
    same(answer(x, sigma, s), sigma * x / var, slips(values, _EPS))


@blind_eps.part("four levels and four points: each point weighs the levels by p(x | sigma)")
def _(answer, given):
    s, sigmas = given.uniform(0.4, 0.6, 1).item(), torch.tensor([0.2, 0.5, 0.9, 1.6], dtype=torch.float64)
    x = given.normal(4, 4) * torch.tensor([0.4, 0.8, 1.2, 2.0], dtype=torch.float64)[:, None]
    _is_best(answer(x, sigmas, s), x, sigmas, s, 1e-6)


@blind_eps.part("2,048 dimensions, where every density is 0 to the computer")
def _(answer, given):
    """Levels whose variances are 3% apart, and points as long as those between the first two."""
    s, x = given.uniform(0.5, 0.8, 1).item(), given.normal(3, 2048)
    x = x * (2048 * 2 * math.exp(0.02) / x.square().sum(1, keepdim=True)).sqrt()
    sigmas = torch.sqrt(2 * torch.exp(0.03 * torch.arange(4, dtype=torch.float64)) - s**2)
    found = answer(x, sigmas, s)
    if isinstance(found, Tensor) and found.shape == x.shape and (found.isnan().any() or not found.abs().sum() > 0):
        message = (
            "In 2,048 dimensions all weights became 0, or 0 / 0: exp(-1000) is 0 to the computer. Work with logarithms."
        )
        raise Wrong("underflow", message)
    if isinstance(found, Tensor) and close(found, _average(0 * _log_p(x, sigmas, s), x, sigmas, s), 1e-6):
        raise Wrong("underflow", "In 2,048 dimensions all weights became equal: exp(-1000) is 0 to the computer, and "
                    "what keeps it from 0 is the same for all levels. Work with logarithms.")  # fmt: skip
    _is_best(found, x, sigmas, s, 1e-4)


@blind_eps.part("2,048 dimensions, points of each of four levels")
def _(answer, given):
    s, sigmas = 0.5, torch.tensor([0.1, 0.6, 2.0, 6.0], dtype=torch.float64)
    x = given.normal(4, 2048) * (s**2 + sigmas**2).sqrt()[:, None]
    found = answer(x, sigmas, s)
    if isinstance(found, Tensor) and found.shape == x.shape and not found.isfinite().all():
        rows = int((~found.isfinite()).any(1).sum())
        raise Wrong("underflow", f"{rows} of 4 points became NaN: subtract from the logarithms each point's own "
                    "largest, or take torch.softmax or torch.logsumexp over the levels.")  # fmt: skip
    _is_best(found, x, sigmas, s, 1e-4)


@blind_eps.part("one point, float32, as in training")
def _(answer, given):
    alone_in_float32(answer(given.normal(1, 3).float(), torch.tensor([0.3, 0.8]), 0.5), (1, 3), "eps")


@blind_eps.part("20,000 simulated points: what it misses of eps has nothing to do with x")
def _(answer, given):
    sigmas, n = torch.tensor([0.3, 0.8, 1.5], dtype=torch.float64), 20_000
    sigma, eps = sigmas[given.whole(0, 3, n)][:, None], given.normal(n, 2)
    x = 0.5 * given.normal(n, 2) + sigma * eps
    found = answer(x, sigmas, 0.5)
    is_tensor(found, x.shape)
    for name, test in (("x", x), ("x |x|", x * x.norm(dim=1, keepdim=True))):
        product = ((eps - found) * test).sum(1)
        if product.mean().abs() > 4 * product.std() / n**0.5:
            raise Wrong("not the best", f"The mean of (eps - yours) times {name} is {product.mean():.4f}, not 0.")


# --- 03.2 ---

_VISIBLE = {
    "variance": "That is the spread of sigma^2. A square root halves a relative error.",
    "no 2": "1 / sqrt(d), nearly: the mean *square* has spread sqrt(2 / d), and a root halves it.",
    "no root": "1 / (2 d) is the *variance* of the relative error: take its root.",
    "no roots": "2 / d is the variance of sigma^2: take its root, then half of it.",
    "turned": "It grows with d: more coordinates show the level better, not worse.",
    "absolute": "That grows with d. A share is asked: divide by what is measured.",
    "per cent": "A share is asked, not per cent: divide by 100.",
    "half": "Halved once too often: it is sqrt(2 / d) / 2.",
}


@visible.part("the spread of the root mean square of d numbers, for three d")
def _(answer, given):
    several = given.whole(400, 9000, 3).tolist()  # large ones
    found = [answer(d) for d in several]
    if isinstance(found[0], float) and found[0] == found[1] == found[2]:
        raise Wrong("one number", f"{found[0]:.3g} for every d: it depends on d.")
    for d, one in zip(several, found, strict=True):
        # E of the root mean square of d standard normal numbers, by the gamma function
        mean = math.sqrt(2 / d) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
        right = (2 * d) ** -0.5
        values = {"variance": 2 * right, "no 2": d**-0.5, "no root": right**2, "no roots": 2 / d, "turned": 1 / right}
        values |= {"absolute": 1 / right / 2, "per cent": 100 * right, "half": right / 2}
        same(one, math.sqrt(1 - mean**2) / mean, slips(values, _VISIBLE), f"visible({d})", 0.02)


# --- 03.3 ---

_INTERVAL = {
    "normal": "1.96 is for many seeds. {} Student's t with n - 1 degrees of freedom has {t:.3f}.",
    "two": "2 is for many seeds. {} Student's t with n - 1 degrees of freedom has {t:.3f}.",
    "one-sided": "2.5% are left out at *each* end, so the quantile is that of .975. {}",
    "degrees": "n values have n - 1 degrees of freedom: one went into the mean. {}",
    "no t": "That is the mean and its standard error: multiply by Student's t, {t:.3f}. {}",
    "by n": "The error of a mean falls with the *root* of n. {}",
    "no root": "That is the range of a single seed: the mean's error is smaller by the root of n.",
    "population": "The deviation is divided by n: with the mean taken from the same numbers it is n - 1. {}",
    "variance": "The variance stands where the deviation should: take the root.",
    "turned": "The sign is turned: a - b is asked.",
    "order": "low and high are exchanged.",
    "mean last": "The order is mean, low, high.",
    "mean between": "The order is mean, low, high.",
    "half width": "low and high are the ends: mean - half and mean + half.",
}


def _three(found) -> Tensor:
    if not hasattr(found, "__len__") or isinstance(found, dict | str) or len(found) != 3:
        raise Wrong("not three", f"Three numbers must come back, mean, low, high; you return {kind(found)}"
                    f"{f' of {len(found)}' if isinstance(found, tuple | list) else ''}.")  # fmt: skip
    for v in found:
        if isinstance(v, bool) or not hasattr(v, "__float__") or torch.as_tensor(v).numel() != 1:
            raise Wrong("no number", "Each of mean, low and high must be one number, not an array.")
    return torch.stack([torch.as_tensor(v, dtype=torch.float64).detach().reshape(()) for v in found])


def _runs(given, n: int) -> tuple[Tensor, Tensor]:
    """What two methods gave on n seeds: seeds differ more than the methods do. Of two equal seeds each won one."""
    seed, a, b = 3 * given.normal(n), 0.4 * given.normal(n), 0.4 * given.normal(n)
    seed[1], a[:2], b[:2] = seed[0], torch.tensor([0.5, -0.5]), torch.tensor([-0.5, 0.5])
    return 5 + seed + a, 4.7 + seed + b


def _interval_of(answer, given, n: int) -> None:
    a, b = _runs(given, n)[:: 1 if n % 2 else -1]  # of an even n the mean is below 0
    d = (a - b).numpy()
    by_scipy = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    mean, low, high = d.mean(), by_scipy.low, by_scipy.high
    t, error = stats.t.ppf(0.975, n - 1), d.std(ddof=1) / n**0.5
    factors = {
        "normal": 1.96, "two": 2.0, "one-sided": stats.t.ppf(0.95, n - 1), "degrees": stats.t.ppf(0.975, n), "no t": 1,
        "by n": t / n**0.5, "no root": t * n**0.5, "population": t * (1 - 1 / n) ** 0.5, "variance": t * error * n**0.5,
    }  # fmt: skip
    values = {key: (mean, mean - factor * error, mean + factor * error) for key, factor in factors.items()} | {
        "turned": (-mean, -high, -low),
        "order": (mean, high, low),
        "mean last": (low, high, mean),
        "mean between": (low, mean, high),
        "half width": (mean, t * error, t * error),
    }
    holds = {k: f"With {n} seeds yours holds the truth {1 - 2 * stats.t.sf(f, n - 1):.0%} of the time." for k, f in
             factors.items()}  # fmt: skip
    messages = {key: words.format(holds.get(key), t=t) for key, words in _INTERVAL.items()}
    values = {key: torch.tensor(v, dtype=torch.float64) for key, v in values.items()}
    right = torch.tensor([mean, low, high], dtype=torch.float64)
    found = _three(answer(a, b))
    digits = any(close(found, found.mul(k).round() / k, 1e-12) for k in (1e3, 1e4, 1e5))
    if digits and (found - right).abs().max() < 1e-3:
        raise Wrong("rounded", "The three are right but rounded: return them as they are.")
    same(found, right, slips(values, messages), "(mean, low, high)", 5e-4)  # a slip's factor may have three digits
    same(found, right, {}, "(mean, low, high)", 1e-6)


@paired_interval.part("a bad seed that is bad for both changes nothing")
def _(answer, given):
    a, b = _runs(given, 5)
    bad = torch.tensor([0.0, 40.0, 0.0, 0.0, -20.0], dtype=torch.float64)
    first, second = (_three(answer(a + v, b + v)) for v in (0 * bad, bad))
    if first.isnan().any():
        raise Wrong("NaN", "NaN comes back: of a logarithm or a root of a negative number? Or does stats.t.ppf get its "
                    "numbers in the wrong order? The probability comes first.")  # fmt: skip
    if close(_three(answer(b, a))[0], first[0], 1e-3):
        raise Wrong("never below 0", "With a and b exchanged the mean must change its sign: yours does not.")
    if not close(second, first, 1e-3):
        was, now = (f"{v[1]:.2f} to {v[2]:.2f}" for v in (first, second))
        raise Wrong("unpaired", f"Seeds 1 and 4 bad for both methods: your interval was {was} and is {now}. Subtract "
                    "first, seed by seed: then they cancel.")  # fmt: skip


@paired_interval.part("five seeds: Student's interval")
def _(answer, given):
    _interval_of(answer, given, 5)


@paired_interval.part("three, twelve, thirty and sixty seeds")
def _(answer, given):
    for n in (3, 12, 30, 60):
        try:
            _interval_of(answer, given, n)
        except Wrong as wrong:
            if wrong.key in ("rounded", "order"):
                raise
            message = f"Right for five seeds and wrong for {n}: Student's t depends on their number. {wrong.message}"
            raise Wrong("five seeds only", message) from None


# --- 03.4 ---

_FLOW = (
    "1 / guess: so moves flow's target alone. The sampler knows t, and solves for x0 and eps with the alpha, sigma, a "
    "and b of t."
)
_MISREAD = {
    "told": "1 / t is the right velocity. The network does not know t: it answers for the guess.",
    "all as flow": _FLOW,
    "first as flow": f"The second is right; the first is {_FLOW}",
    "second as flow": f"The first is right; the second is {_FLOW}",
    "eps alone": "The velocity is eps - x0. With a wrong level the x0 that comes out is not 0.",
    "plus": "dx/dt is eps - x0 on this path: alpha falls.",
    "sign": "The sign is turned: dx/dt = eps - x0, for time that goes to noise, and det is alpha b - sigma a.",
    "b of t": "The network's b is that of the level it believes in: the guess.",
    "no division": "In an empty coordinate the network takes x for guess times eps: its eps is x / guess.",
    "no determinant": "Divide by the determinant alpha b - sigma a.",
    "no alpha": "Right for v. For eps the x0 that comes out is (x - t eps) / (1 - t): divided by alpha.",
    "no determinant of eps": "Right for v. For eps divide by the determinant too, 1 - t.",
    "exchanged": "t and the guess are exchanged: the network believes the guess, the sampler knows t.",
}
_TARGET = {  # a and b on the linear path
    "x0": lambda t: (torch.ones_like(t), torch.zeros_like(t)),
    "eps": lambda t: (torch.zeros_like(t), torch.ones_like(t)),
    "v": lambda t: (-t, 1 - t),
    "flow": lambda t: (-torch.ones_like(t), torch.ones_like(t)),
}


def _moves(target: str, t: Tensor, guess: Tensor, slip: str = "") -> Tensor:
    """(dx/dt) / x where x0 is 0, by solving each 2 x 2 system with torch."""
    (a, b), (alpha, sigma) = _TARGET[target](t), Linear()(t)
    said = (b if slip == "b of t" else _TARGET[target](guess)[1]) / (1 if slip == "no division" else guess)
    system = torch.stack([torch.stack([a, b], 1), torch.stack([alpha, sigma], 1)], 1)
    x0, eps = torch.linalg.solve(system, torch.stack([said, torch.ones_like(t)], 1)).unbind(1)
    move = {"eps alone": eps, "plus": eps + x0, "sign": x0 - eps}.get(slip, eps - x0)
    return move * (alpha * b - sigma * a if slip == "no determinant" else 1)


def _misread_part(title: str, first: str, second: str) -> None:
    @misread.part(title)
    def _(answer, given):
        t = given.uniform(0.2, 0.8, 4)
        guess = t * torch.tensor([0.8, 0.9, 1.1, 1.2], dtype=torch.float64)
        found = [answer(target, t, guess) for target in (first, second)]
        for target, each in zip((first, second), found, strict=True):
            is_tensor(each, (4,), target)

        def both(slip: str = "") -> Tensor:
            return torch.stack([_moves(target, t, guess, slip) for target in (first, second)])

        right, flow = both(), (1 / guess).expand(2, 4)
        values = {
            "told": (1 / t).expand(2, 4),
            "all as flow": flow,
            "first as flow": torch.stack([flow[0], right[1]]),
            "second as flow": torch.stack([right[0], flow[1]]),
            "no alpha": torch.stack([right[0], (1 + t - guess) / guess]),
            "no determinant of eps": torch.stack([right[0], (1 - guess) / guess]),
            "exchanged": torch.stack([_moves(target, guess, t) for target in (first, second)]),
        } | {slip: both(slip) for slip in ("eps alone", "plus", "sign", "b of t", "no division", "no determinant")}
        values = {key: value for key, value in values.items() if not close(value, right, 1e-6)}
        same(torch.stack(found), right, slips(values, _MISREAD), f"{first} (row 0) and {second} (row 1)")


_misread_part("v and eps: the sampler solves with the a and b of t", "v", "eps")
_misread_part("flow and x0: the two that no sampler can spoil", "flow", "x0")


@misread.part("one level, float32, as in training")
def _(answer, given):
    for target in _TARGET:
        found = answer(target, torch.tensor([0.4]), torch.tensor([0.5]))
        alone_in_float32(found, (1,), f"the factor of {target}")


# --- 03.5 ---

_FEATURES = {
    "no 2 pi": "A frequency of 1 is a whole turn, 2 pi, for each unit.",
    "one pi": "A whole turn is 2 pi, not pi.",
    "sine first": "The cosines come first.",
    "one only": "Both halves are cosines: a cosine alone does not tell 1 from -1.",
    "interleaved": "All cosines first, then all sines: join them along the last axis.",
    "divided": "The level is multiplied by a frequency, not divided by it.",
    "lined up": "Row 2 has all levels and one frequency: rows are levels. Give level the shape (B, 1).",
}


def _features(answer, given, b: int, f: int) -> None:
    level, frequencies = given.uniform(-1.5, 1.1, b), given.uniform(0.2, 3.0, f)
    angle = 2 * math.pi * torch.outer(level, frequencies)

    def joined(angle: Tensor) -> Tensor:
        turn = torch.polar(torch.ones_like(angle), angle)
        return torch.cat([turn.real, turn.imag], 1)

    values = {
        "no 2 pi": joined(angle / (2 * math.pi)),
        "one pi": joined(angle / 2),
        "sine first": torch.cat([angle.sin(), angle.cos()], 1),
        "one only": angle.cos().repeat(1, 2),
        "interleaved": torch.stack([angle.cos(), angle.sin()], 2).flatten(1),
        "divided": joined(2 * math.pi * level[:, None] / frequencies),
        "lined up": joined(angle.T),
    }
    found = answer(level, frequencies)
    if isinstance(found, Tensor) and found.shape == (b, f):
        raise Wrong("one only", f"{f} numbers a level: each frequency gives two, a cosine and a sine.")
    if isinstance(found, Tensor) and found.shape == (2 * b, f):
        told = "Cosines and sines stand below each other, or all is transposed: join (B, F) and (B, F) along axis 1."
        raise Wrong("joined below", told)
    same(found, joined(angle), slips(values, _FEATURES))


@level_features.part("four levels and four frequencies")
def _(answer, given):
    _features(answer, given, 4, 4)


@level_features.part("seven levels and three frequencies; one of each in float32")
def _(answer, given):
    _features(answer, given, 7, 3)
    alone_in_float32(answer(torch.tensor([0.4]), torch.tensor([0.5])), (1, 2), "the features")
