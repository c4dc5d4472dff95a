"""Checks of lecture 07: guidance with exact models, label dropout, and what is counted and compared."""

import copy
import math
from statistics import fmean

import torch
from scipy import stats
from torch import Tensor

from ..denoise import Prediction
from ..oracles import GaussianMixture, MixtureDenoiser
from ..schedules import Cosine
from .exercise import Exercise, Wrong, alone_in_float32, close, explained, is_number, is_tensor, kind, same

cfg = Exercise("07.1", "cfg", 2, 10, "lecture 07, part 1")
drop = Exercise("07.2", "drop", 2, 8, "lecture 07, part 2")
guided_variances = Exercise("07.3", "guided_variances", 2, 20, "lecture 07, part 3")
with_interval = Exercise("07.4", "with_interval", 1, 10, "lecture 07, part 3")
classifier_guided = Exercise("07.5", "classifier_guided", 3, 18, "lecture 07, part 5")
precision_recall = Exercise("07.6", "precision_recall", 2, 14, "lecture 07, part 6")
best_scales = Exercise("07.7", "best_scales", 2, 20, "lecture 07, part 8")


# --- exact models and scores ---


class Recorded:
    """The exact model of a mixture. Keeps the condition of every row that it is asked about; null where it had none.

    Like a net that is trained it asks for gradients, unless it is called where they are off.
    """

    def __init__(self, mixture: GaussianMixture, schedule):
        self.model, self.schedule = MixtureDenoiser(mixture, schedule), schedule
        self.null, self.conds = self.model.null, []
        self.weight = torch.ones((), dtype=torch.float64, requires_grad=True)

    def __call__(self, x_t, t, cond=None):
        rows = torch.full((len(x_t),), self.null) if cond is None else torch.as_tensor(cond).expand(len(x_t))
        if rows.is_floating_point():
            if (rows == self.null).all():
                raise Wrong("null of floats", f"The null is {rows.dtype}, and conditions are whole numbers: "
                            "torch.full_like(cond, model.null).")  # fmt: skip
            raise Wrong("order of arguments", "The model's third argument is no whole number: the order is (x_t, t, "
                        "cond).")  # fmt: skip
        self.conds += rows.tolist()
        known = torch.isin(rows, self.model.mixture.labels) | (rows == self.null)
        if not known.all():
            raise Wrong("null made up", f"The model was asked about condition {int(rows[~known][0])}, which there is "
                        f"not. The null is model.null, {self.null} here.")  # fmt: skip
        return Prediction(*(v * self.weight for v in self.model(x_t, t, rows)))


def exact(given, labels: list[int], dim: int) -> tuple[GaussianMixture, Recorded]:
    """A mixture of unequal weights and spreads, with two components of each label, and its model."""
    k = 2 * len(labels)
    root = 0.4 * given.normal(k, dim, dim)
    spreads = root @ root.mT + 0.2 * torch.eye(dim, dtype=torch.float64)
    mixture = GaussianMixture(given.uniform(0.5, 1.5, k), given.normal(k, dim), spreads, torch.tensor(labels * 2))
    return mixture, Recorded(mixture, Cosine())


def ends(mixture: GaussianMixture, schedule, x_t: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
    """eps by automatic differentiation of the log density at each row's own noise: without and with its condition."""

    def eps(i: int, of: GaussianMixture) -> Tensor:
        alpha, sigma = schedule(t[i])
        x = x_t[i : i + 1].clone().requires_grad_()
        return -sigma * torch.autograd.grad(of.diffuse(alpha, sigma).log_prob(x).sum(), x)[0][0]

    with torch.enable_grad():
        free = torch.stack([eps(i, mixture) for i in range(len(t))])
        return free, torch.stack([eps(i, mixture.given(int(c))) for i, c in enumerate(cond)])


def parts_of(found, like: Tensor) -> tuple[Tensor, Tensor]:
    """x0 and eps of a Prediction, or Wrong."""
    if not hasattr(found, "x0") or not hasattr(found, "eps"):
        raise Wrong(
            "no Prediction", f"A Prediction must come back, with both ends x0 and eps; you return {kind(found)}."
        )
    is_tensor(found.eps, like.shape, "eps")
    is_tensor(found.x0, like.shape, "x0")
    return found.x0, found.eps


def on_one_line(x0: Tensor, eps: Tensor, x_t: Tensor, t: Tensor, schedule, free: Tensor, told: Tensor) -> None:
    """Raise Wrong unless alpha x0 + sigma eps = x_t, where eps is known to be right. `free` and `told` are the eps of
    the model without and with its condition."""
    alpha, sigma = (v[:, None] for v in schedule(t))
    for one in (free, told):
        if close(x0, (x_t - sigma * one) / alpha, 1e-6) and not close(one, eps, 1e-6):
            raise Wrong("x0 not guided", "eps is guided, x0 is not: together they no longer make x_t.")
    goes_with(x0, eps, x_t, alpha, sigma)


def goes_with(x0: Tensor, eps: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> None:
    """Raise Wrong unless x0 is the other end of the line through x_t and eps, which is known to be right."""
    wanted = (x_t - sigma * eps) / alpha
    i, j = divmod(int((x0 - wanted).abs().argmax()), x0.shape[1])
    if not close(x0, wanted, 1e-7):
        raise Wrong("x0 does not fit", f"eps is right. x0 is {x0[i, j]:.6g} at [{i}, {j}], {wanted[i, j]:.6g} is "
                    "right: alpha x0 + sigma eps must make x_t.")  # fmt: skip


def setting(given, labels: list[int], dim: int, rows: int):
    """A model, noisy rows with times and labels (never the largest), and eps without and with those labels."""
    mixture, model = exact(given, labels, dim)
    x_t, t = 1.5 * given.normal(rows, dim), given.uniform(0.2, 0.8, rows)
    cond = torch.tensor(labels[:-1])[given.whole(0, len(labels) - 1, rows)]
    return model, x_t, t, cond, *ends(mixture, model.schedule, x_t, t, cond)


class OfPictures:
    """A model of points, asked about pictures (B, 1, 4, 4) of as many numbers."""

    def __init__(self, model):
        self.model, self.schedule, self.null = model, model.schedule, model.null

    def __call__(self, x_t, t, cond=None):
        return Prediction(*(v.view(x_t.shape) for v in self.model(x_t.flatten(1), t, cond)))


def for_pictures(part, answer, given) -> None:
    """Try a part of a check, whose rows hold 16 numbers, with pictures (B, 1, 4, 4) in place of rows; raise Wrong if
    the answer, right for rows, does not pass. `answer` takes the model first and x_t among the rest."""

    def of_rows(model, *args):
        args = [v.view(-1, 1, 4, 4) if isinstance(v, Tensor) and v.ndim == 2 else v for v in args]
        found = answer(OfPictures(model), *args)
        x0, eps = parts_of(found, next(v for v in args if isinstance(v, Tensor)))
        return Prediction(x0.flatten(1), eps.flatten(1))

    try:
        part(of_rows, given)
    except Wrong as wrong:
        raise Wrong("points alone", "Right for points, wrong for pictures (B, C, H, W): give what is (B,) as many axes "
                    f"as x_t has, (B, 1, 1, 1) for pictures. {wrong.message}") from None  # fmt: skip


# --- 07.1 ---


@cfg.part("guided by 2.5, three classes and their null")
def _(answer, given):
    scale = 2.5
    model, x_t, t, cond, free, told = setting(given, [0, 1, 4], 4, 6)
    x0, eps = parts_of(answer(model, x_t, t, cond, scale), x_t)
    wanted = free + scale * (told - free)
    asked = set(model.conds) - {model.null, *cond.tolist()}
    if asked:
        raise Wrong("null made up", f"The model was asked about condition {min(asked)}, which no row has. The null is "
                    f"model.null, {model.null} here.")  # fmt: skip
    if model.null not in model.conds:
        free_rows = "The model was never asked under the null condition."
        raise Wrong("null never asked", f"{free_rows} Its rows are torch.full_like(cond, model.null).")
    alpha, sigma = (v[:, None] for v in model.schedule(t))
    if close(alpha * x0 + sigma * wanted, x_t) and (close(eps, free, 1e-6) or close(eps, told, 1e-6)):
        raise Wrong("eps not guided", "x0 is guided, eps is not: together they no longer make x_t.")
    if close(x0, wanted, 1e-6):
        raise Wrong("ends exchanged", "x0 and eps stand in each other's place: Prediction(x0, eps).")
    each = torch.stack([(eps - v).abs() < 1e-6 for v in (wanted, free, told)])
    if each.any(0).all() and not each.flatten(1).all(1).any():
        left = 1 - each[0].double().mean().item()
        raise Wrong("partly guided", f"{left:.0%} of the numbers are not guided: guide all channels and all rows, each "
                    "by its own two predictions.")  # fmt: skip
    same(eps, wanted, cfg_slips(free, told, scale), "eps")
    on_one_line(x0, eps, x_t, t, model.schedule, free, told)


def cfg_slips(free: Tensor, told: Tensor, scale: float) -> dict:
    return {
        "scale is w": (
            told + scale * (told - free),
            "At scale 1 this gives something else than the conditional model: you use w, with 0 as off. Here guided = "
            "null + scale (cond - null).",
        ),
        "one too little": (free + (scale - 1) * (told - free), "Scale 2 gives the conditional model: scale 1 must. You "
                           "use w = scale - 1, counted from the null on; there it is scale."),
        "exchanged": (told + scale * (free - told), "The branches are exchanged: it moves away from the condition."),
        "minus": (free - scale * (told - free), "It moves away from the condition: add scale (cond - null)."),
        "from the condition": (
            told + (scale - 1) * (free - told),
            "It moves away from the condition: from the conditional eps on, add (scale - 1) (cond - null).",
        ),
        "brackets": (scale * told, "That is scale times the conditional eps: put the difference in brackets, null + "
                     "scale (cond - null)."),
        "no scale": (told, "The conditional model itself comes back: the scale has no effect."),
        "condition lost": (free, "The unconditional model itself comes back."),
        "difference alone": (scale * (told - free), "Only the difference comes back: add it to the null's eps."),
        "added": (free + scale * told, "scale times the conditional eps is added to the other: multiply the difference "
                  "of the two."),
        "averaged": ((free + scale * told) / (1 + scale), "That is an average of the two, between them. Guidance goes "
                     "beyond the conditional one."),
    }  # fmt: skip


@cfg.part("scale 1 is the conditional model, 0 the unconditional one, .5 half-way, -1 beyond it")
def _(answer, given):
    _by_scales(answer, given, 3, 5)


def _by_scales(answer, given, dim: int = 16, rows: int = 4) -> None:
    model, x_t, t, cond, free, told = setting(given, [0, 2], dim, rows)
    for scale in (1.0, 0.0, 0.5, -1.0):
        x0, eps = parts_of(answer(model, x_t, t, cond, scale), x_t)
        same(eps, free + scale * (told - free), {}, f"eps at scale {scale:g}")
        on_one_line(x0, eps, x_t, t, model.schedule, free, told)


@cfg.part("pictures")
def _(answer, given):
    for_pictures(_by_scales, answer, given)


@cfg.part("one sample, float32 as in training")
def _(answer, given):
    _in_float32(lambda model, x_t, t, cond: answer(model, x_t, t, cond, 2.0), given)


def _in_float32(call, given) -> None:
    """Raise Wrong unless the Prediction of one sample keeps its shape and stays float32."""
    model, x_t, t, cond, *_ = setting(given, [0, 1], 3, 1)

    def net(x_t, t, cond=None):
        return Prediction(*(v.float().detach() for v in model(x_t.double(), t.double(), cond)))

    net.schedule, net.null = model.schedule, model.null
    found = call(net, x_t.float(), t.float(), cond)
    alone_in_float32(found.x0, x_t.shape, "x0")
    alone_in_float32(found.eps, x_t.shape, "eps")


@cfg.part("each row asked about twice, at most")
def _(answer, given):
    model, x_t, t, cond, *_ = setting(given, [0, 1], 3, 5)
    answer(model, x_t, t, cond, 2.0)
    if len(model.conds) > 10:
        raise Wrong("too many calls", f"The model saw {len(model.conds)} rows; with 5 pictures 10 are enough.")


# --- 07.2 ---


def labels_like(found, cond: Tensor) -> None:
    if not isinstance(found, Tensor):
        raise Wrong("no tensor", f"The conditions must come back as a tensor; you return {kind(found)}.")
    if found.ndim == 2 and found.shape == (len(cond), *cond.shape):
        raise Wrong("a table", f"{len(cond)} labels became a table {tuple(found.shape)}: tosses (B, 1) are for "
                    "captions (B, L). For labels (B,) toss (B,).")  # fmt: skip
    if found.shape != cond.shape:
        raise Wrong("shape", f"Shape {tuple(cond.shape)} must come back; yours has {tuple(found.shape)}.")
    if found.dtype != cond.dtype:
        raise Wrong("dtype", f"Conditions are whole numbers, {cond.dtype}; yours are {found.dtype}.")


def stream(given) -> torch.Generator:
    return torch.Generator().manual_seed(int(given.whole(0, 2**31, 1)))


@drop.part("p = 0 drops nothing, p = 1 everything; the null is 7, labels reach 6")
def _(answer, given):
    cond, rng = given.whole(1, 7, 2000), stream(given)
    none, all_ = answer(cond, 7, 0.0, rng), answer(cond, 7, 1.0, rng)
    labels_like(none, cond)
    labels_like(all_, cond)
    if (none != cond).all() and torch.equal(all_, cond):
        raise Wrong("inverted", "Everything is dropped at p = 0, nothing at p = 1: is the comparison turned round, or "
                    "are the two values of torch.where exchanged?")  # fmt: skip
    if all_.unique().numel() == 1 and all_[0] != 7:
        raise Wrong("null made up", f"Dropped labels became {int(all_[0])}. The null is `null`, 7 here: to the network "
                    f"{int(all_[0])} means something else.")  # fmt: skip
    kept, changed = int((all_ != 7).sum()), int((none != cond).sum())
    if abs(changed - 1000) < 100 and abs(kept - 317) < 70:
        raise Wrong("normal numbers", f"At p = 0 {changed} of 2,000 labels were dropped, at p = 1 {kept} kept: that is "
                    "randn. A toss is uniform, torch.rand.")  # fmt: skip
    if kept:
        raise Wrong("not all", f"At p = 1 {kept} of 2,000 labels were kept.")
    if changed:
        raise Wrong("not none", f"At p = 0 {changed} of 2,000 labels were changed.")


@drop.part("of 4,000 labels a tenth, within 4 standard errors; the others as they were")
def _(answer, given):
    cond, rng = given.whole(0, 7, 4000), stream(given)
    first, second = answer(cond, 7, 0.1, rng), answer(cond, 7, 0.1, rng)
    labels_like(first, cond)
    dropped, n = first == 7, int((first == 7).sum())
    if not torch.equal(first[~dropped], cond[~dropped]):
        raise Wrong("labels moved", "Labels that were not dropped have changed.")
    if n in (0, 4000):
        raise Wrong("one toss for all", f"{n} of 4,000 were dropped: one toss decides for the whole batch. Toss for "
                    "each row.")  # fmt: skip
    if abs(n - 3600) <= 76:
        raise Wrong("inverted", "90% dropped at p = .1: the comparison is turned round.")
    if abs(n - 400) > 76:
        raise Wrong("share", f"{n} of 4,000 were dropped at p = .1; 400 give or take 76 must be.")
    if torch.equal(first, second):
        raise Wrong("same rows", "Two calls in a row dropped the same rows: which ones must be random, drawn anew.")


@drop.part("small batches: 1,000 of 5")
def _(answer, given):
    cond, rng = given.whole(0, 7, 5), stream(given)
    n = sum(int((answer(cond, 7, 0.1, rng) == 7).sum()) for _ in range(1000))
    if abs(n - 500) > 85:
        raise Wrong("small batches", f"In 1,000 batches of 5 labels {n} were dropped at p = .1; 500 give or take 85 "
                    "must be. Is the share of a batch rounded? Toss for each row.")  # fmt: skip


@drop.part("p = .37 and .02, row by row: no row more often than another, none because its neighbour is")
def _(answer, given):
    cond, rng = given.whole(8, 15, 400), stream(given)  # all above the null
    for p, often in ((0.37, 60), (0.02, 200), (0.004, 200)):
        gone = torch.stack([answer(cond, 7, p, rng) == 7 for _ in range(often)]).double()
        error = (p * (1 - p) / gone.numel()) ** 0.5
        if abs(gone.mean() - p) > 5 * error:
            raise Wrong("share", f"{gone.mean():.2%} were dropped at p = {p:g}.")
        if p < 0.01:
            continue  # too few are dropped to compare rows
        rows, wide = gone.mean(0), (p * (1 - p) / often) ** 0.5
        if p == 0.37 and (rows - p).abs().max() > 6 * wide:
            raise Wrong("some rows more often", f"Some rows were dropped in {rows.max():.0%} of the batches and others "
                        f"in {rows.min():.0%}, at p = {p:g}: every row has the same toss.")  # fmt: skip
        together = ((gone[:, 1:] - p) * (gone[:, :-1] - p)).mean() / (p * (1 - p))
        if abs(together) > 6 / gone[:, 1:].numel() ** 0.5:
            raise Wrong(
                "neighbours together", "A row is dropped more often where its neighbour is: a toss for each row."
            )


@drop.part("captions of 12 words, 12 of them: a row is dropped whole or not at all")
def _(answer, given):
    cond, rng = given.whole(0, 7, 12, 12), stream(given)
    rows = []
    for _ in range(20):
        found = answer(cond, 7, 0.5, rng)
        labels_like(found, cond)
        gone = found == 7
        if not (gone.all(1) | ~gone.any(1)).all():
            if (gone.all(0) | ~gone.any(0)).all():
                raise Wrong("lined up with words", "Word 3 was dropped in *every* caption: the tosses (B,) lined up "
                            "with the last axis. Give them shape (B, 1).")  # fmt: skip
            if not gone[:, 1:].any():
                raise Wrong("first word", "Only the first word of a caption became null: all of its words must.")
            part = gone[~gone.all(1) & gone.any(1)].double().mean().item()
            raise Wrong("per token", f"{part:.0%} of the words of a caption were dropped: one toss a row.")
        rows.append(gone[:, 0].double().mean().item())
    if set(rows) in ({0.0}, {1.0}):
        how = "No caption was" if rows[0] == 0 else "All captions were"
        raise Wrong("share", f"{how} dropped in twenty batches at p = .5: one toss decides for a caption.")
    if set(rows) == {0.0, 1.0}:
        raise Wrong("one toss for all", "All captions of a batch were dropped, or none: toss for each row.")
    if abs(fmean(rows) - 0.5) > 4 * 0.5 / 240**0.5:
        raise Wrong("share", f"{fmean(rows):.0%} of the captions were dropped at p = .5.")


@drop.part("three captions of five words, one caption, one label")
def _(answer, given):
    for shape in ((3, 5), (1, 4), (1,)):
        cond, rng = given.whole(0, 7, *shape), stream(given)
        for p, wanted in ((0.0, cond), (1.0, torch.full_like(cond, 7))):
            found = answer(cond, 7, p, rng)
            labels_like(found, cond)
            if not torch.equal(found, wanted):
                raise Wrong("not all" if p else "not none", f"Of conditions {shape} {int((found == 7).sum())} numbers "
                            f"of {cond.numel()} are the null at p = {p:g}.")  # fmt: skip


@drop.part("whole numbers of 32 bits stay so")
def _(answer, given):
    cond = given.whole(0, 7, 50).int()
    labels_like(answer(cond, 7, 0.5, stream(given)), cond)


@drop.part("drawn by the generator")
def _(answer, given):
    cond, found, seed = given.whole(0, 7, 200), [], int(given.whole(0, 2**31, 1))
    for other in (1, 2):
        torch.manual_seed(other)
        found.append(answer(cond, 7, 0.5, torch.Generator().manual_seed(seed)))
    if not torch.equal(*found):
        raise Wrong("generator unused", "Two generators of one seed gave different rows: pass generator=generator.")


# --- 07.3 ---


def by_integration(gamma: Tensor) -> Tensor:
    """Variances (2, K) at s = 0 by the ODE, dV/ds = k V, and by the SDE, dV/ds = 2 k V - 1, from V = s = e^14, by
    Runge-Kutta in log(1 + s)."""
    steps, top = 700, 14.0

    def slope(u, v):
        s = math.expm1(u)
        k = gamma / (1 + s) - (gamma - 1) / (2 + s)
        return (1 + s) * torch.stack([k * v[0], 2 * k * v[1] - 1])

    v, h = torch.full((2, len(gamma)), math.exp(top), dtype=torch.float64), -top / steps
    for i in range(steps):
        u = top + i * h
        a = slope(u, v)
        b = slope(u + h / 2, v + h / 2 * a)
        c = slope(u + h / 2, v + h / 2 * b)
        v = v + h / 6 * (a + 2 * b + 2 * c + slope(u + h, v + h * c))
    return v


def three(found, gamma: float) -> list[float]:
    if _length(found) != 3:
        count = f" of {len(found)}" if isinstance(found, tuple | list) else ""
        raise Wrong("no three", f"Three numbers must come back at gamma {gamma:g}: sharpened, by_ode, by_sde; you "
                    f"return {kind(found)}{count}.")  # fmt: skip
    return [number(v, f"each of the three at gamma {gamma:g}") for v in found]


def _length(found) -> int | None:
    """How many came back in a row, if it is one: a tuple, a list, an array or a tensor."""
    if isinstance(found, tuple | list):
        return len(found)
    return found.shape[0] if len(getattr(found, "shape", ())) else None


def number(found, what: str) -> float:
    """A finite number, or a tensor of one, as a float; else Wrong."""
    if not is_number(found):
        raise Wrong("no number", f"{what} must be a number; one of yours is a {type(found).__name__}.")
    if not math.isfinite(found):
        raise Wrong("not finite", f"{what} must be a finite number; one of yours is {float(found)}.")
    return float(found)


@guided_variances.part("gamma 1 is off: the three are 1, the conditional's own variance")
def _(answer, given):
    found = three(answer(1.0), 1.0)
    if all(close(v, w, 1e-3) for v, w in zip(found[:2], (2 / 3, 0.5), strict=True)):
        raise Wrong("gamma is w", "At gamma 1 (off) all three are 1; yours are those of gamma 2. You take gamma for "
                    "w, which is gamma - 1.")  # fmt: skip
    slips = {
        "sharpened": {"first factor": (2.0, "The exponents are gamma and 1 - gamma: the slide's density has the factor "
                                       "p(x|c) once more.")},
        "by_ode": {"half a factor": (0.5, "At s = 0 the factor 2 + s is 2, not 1: take the integral of k at both "
                                     "ends.")},
        "by_sde": {"upper end alone": (2.0, "Twice the right one. Is the lower end of the integral, u = 1, subtracted? "
                                       "The start adds nothing: there V times the factor goes to 0."),
                   "sign": (-1.0, "A variance cannot be below 0: from a huge s down to 0 the noise adds to it. Turn "
                            "the sign of the integral."),
                   "ends added": (3.0, "The ends of an integral are subtracted: upper less lower.")},
    }  # fmt: skip
    for v, name in zip(found, slips, strict=True):
        same(v, 1.0, slips[name], f"{name} at gamma 1", 1e-3)


@guided_variances.part("the sharpened density")
def _(answer, given):
    for gamma in given.uniform(2.3, 5, 3).tolist():
        slips = {
            "precision": ((gamma + 1) / 2, "That is the precision: precisions add, the variance is 1 over their sum."),
            "deviation": ((2 / (gamma + 1)) ** 0.5, "That is the deviation: its square is asked."),
            "variances added": (gamma - 2 * (gamma - 1), "The variances are weighed: in a product of Gaussians it is "
                                "their precisions that add."),
            "precision 2": (1 / (gamma - 2 * (gamma - 1)), "2 is the variance of x: its precision is 1/2."),
            "deviation 2": (1 / (gamma - (gamma - 1) / 4), "2 is the variance of x, not its deviation: the precision "
                            "is 1/2, not 1/4."),
            "p(x) left out": (1 / gamma, "p(x|c)^gamma alone: p(x)^(1 - gamma) has the precision (1 - gamma) / 2."),
            "exponent": (1 / (gamma + (gamma - 1) / 2), "The exponent of p(x) is 1 - gamma, below 0: its precision is "
                         "subtracted."),
        }  # fmt: skip
        found, wanted = three(answer(gamma), gamma), 1 / (gamma - (gamma - 1) / 2)
        if close(found[1], wanted, 1e-3) and not close(found[0], wanted, 1e-3):
            raise Wrong("order", "The second is the sharpened density's. The order is sharpened, by_ode, by_sde.")
        if not close(found[0], wanted, 1e-3) and close(found[2], wanted, 1e-3):
            raise Wrong("order", "The third is the sharpened density's. The order is sharpened, by_ode, by_sde.")
        same(found[0], wanted, slips, f"sharpened at gamma {gamma:.3g}", 1e-3)


@guided_variances.part("what the ODE and the SDE sample, by numerical integration")
def _(answer, given):
    # at whole numbers several slips give one number
    gammas = torch.cat([given.uniform(1.3, 5, 2), torch.tensor([2.0, 3.0], dtype=torch.float64)])
    for gamma, ode, sde in zip(gammas.tolist(), *by_integration(gammas).tolist(), strict=True):
        _, by_ode, by_sde = three(answer(gamma), gamma)
        if close(by_ode, sde, 1e-3) and close(by_sde, ode, 1e-3):
            raise Wrong("exchanged", "by_ode and by_sde are exchanged.")
        slips = {
            "ODE is not sharpened": (2 / (gamma + 1), "The ODE does not sample the sharpened density: integrate k / 2 "
                                     "for log x."),
            "deviation": (ode**0.5, "That is the deviation by the ODE: its square is asked."),
            "no half": (ode**2, "log x changes by *half* the integral of k."),
            "upside down": (1 / ode, "That is 1 over the right one: from a huge s down to 0, x shrinks."),
            "one end": (1.0, "That is 1, as if the integral of k were 0: at s = 0 the factor 2 + s is 2, and its "
                        "logarithm stays."),
        }  # fmt: skip
        same(by_ode, ode, slips, f"by_ode at gamma {gamma:.3g}", 1e-3)
        slips = {
            "SDE is not ODE": (ode, "The SDE is not the ODE: it adds noise all the way, and dV/ds = 2 k V - 1."),
            "SDE is not sharpened": (2 / (gamma + 1), "The SDE does not sample the sharpened density either: solve "
                                     "dV/ds = 2 k V - 1."),
            "upper end alone": (2 / (2 * gamma - 1), "The lower end of the integral, u = 1, is missing."),
            "2 gamma + 1": ((2 - 2 ** (2 - 2 * gamma)) / (2 * gamma + 1), "The integral of u^(2 gamma - 2) has "
                            "2 gamma - 1 below, not 2 gamma + 1."),
            "factor at 0": (sde * 2 ** (2 * gamma - 2), "The integrating factor at s = 0 is 2^(2 gamma - 2): divide by "
                            "it."),
            "factor's root": (sde * 2 ** (gamma - 1), "You divide by 2^(gamma - 1): the integrating factor at s = 0 is "
                              "its square."),
            "factor turned": (sde * 2 ** (4 * gamma - 4), "You multiply by the integrating factor at s = 0: divide."),
            "start kept": (sde + 2 ** (2 - 2 * gamma), "V times the integrating factor goes to 0 at the start, not to "
                           "1: it adds nothing."),
            "homogeneous": (2 ** (2 - 2 * gamma), "That solves dV/ds = 2 k V alone: the noise, the -1, is left out."),
            "not divided": (sde * (2 * gamma - 1), "The integral of u^(2 gamma - 2) is u^(2 gamma - 1) / (2 gamma - "
                            "1): divide."),
            "0 to 1": (2 ** (2 - 2 * gamma) / (2 * gamma - 1), "u runs from 1 (s huge) to 2 (s = 0), not from 0 to 1."),
            "deviation": (sde**0.5, "That is the deviation by the SDE: its square is asked."),
        }  # fmt: skip
        same(by_sde, sde, slips, f"by_sde at gamma {gamma:.3g}", 1e-3)


@guided_variances.part("gamma 0, the unconditional: all three are 2")
def _(answer, given):
    for v, name in zip(three(answer(0.0), 0.0), ("sharpened", "by_ode", "by_sde"), strict=True):
        same(v, 2.0, {}, f"{name} at gamma 0", 1e-3)


# --- 07.4 ---


@with_interval.part("guided where low <= t <= high, off elsewhere, row by row")
def _(answer, given):
    low, high, scale = 0.3125, 0.625, 3.0
    model, x_t, _, cond, *_ = setting(given, [0, 1, 2], 7, 7)
    t = torch.tensor([0.7, low, 0.35, 0.2, 0.45, high, 0.9], dtype=torch.float64)
    free, told = ends(model.model.mixture, model.schedule, x_t, t, cond)
    try:
        x0, eps = parts_of(answer(model, x_t, t, cond, scale, low, high), x_t)
    except RuntimeError as error:
        if "dtype" in str(error):
            slip = "float32 scale", "torch.where of two Python numbers is float32. Add .to(x_t)."
        elif "Boolean value" in str(error) or "bitwise_and" in str(error):
            slip = "chained", "t has a number for each row: write (low <= t) & (t <= high), with the brackets."
        else:
            raise
        raise Wrong(slip[0], f"{error}: {slip[1]}") from None
    full = free + scale * (told - free)
    inside = (low <= t) & (t <= high)
    alpha, sigma = (v[:, None] for v in model.schedule(t))
    if close(alpha * x0 + sigma * torch.where(inside[:, None], full, told), x_t) and close(eps, told, 1e-6):
        raise Wrong("eps not guided", "x0 is guided in the interval, eps is not: together they no longer make x_t.")
    if not close(eps, torch.where(inside[:, None], full, told)):
        _which_rows(eps, {"g": full, "c": told, "u": free}, inside, t, low, high)
        columns = free + torch.where(inside, scale, 1.0) * (told - free)
        same(eps, torch.where(inside[:, None], full, told), {
            "lined up with columns": (columns, "Number 2 of each row was scaled by row 2's scale: (B,) lined up with "
                                      "the last axis. Give it as many axes as x_t has: (B, 1) here."),
            "exchanged": (torch.where(inside[:, None], told + scale * (free - told), told), "The branches are "
                          "exchanged: inside it moves away from the condition."),
            "scale is w": (torch.where(inside[:, None], told + scale * (told - free), told), "Off is right. Inside, "
                           "guided = null + scale (cond - null)."),
            "w from the null": (torch.where(inside[:, None], free + (scale - 1) * (told - free), free), "You start "
                                "from the null: there the difference is multiplied by scale inside and 1 outside, not "
                                "scale - 1 and 0."),
            "branches exchanged": (torch.where(inside[:, None], told + scale * (free - told), free), "The branches are "
                                   "exchanged, inside and outside: it moves away from the condition."),
            "0 outside": (torch.where(inside[:, None], full, 0.0), "Outside you return 0: off is the conditional "
                          "model, scale 1."),
        }, "eps")  # fmt: skip
    on_one_line(x0, eps, x_t, t, model.schedule, free, told)


def _which_rows(eps: Tensor, ways: dict[str, Tensor], inside: Tensor, t: Tensor, low: float, high: float) -> None:
    """Raise Wrong where each row is guided ("g"), conditional ("c") or unconditional ("u"), but not the right ones."""
    rows = ["".join(k for k, v in ways.items() if close(eps[i], v[i], 1e-6))[:1] for i in range(len(t))]
    if "" in rows:
        return
    on = torch.tensor([r == "g" for r in rows])
    if "u" in rows:
        where = "Outside" if all(not inside[i] for i, r in enumerate(rows) if r == "u") else "In some rows"
        raise Wrong("off is 1", f"{where} you return the unconditional model: scale 0. Off is scale 1.")
    if on.all():
        raise Wrong("one decision for all", "Every row is guided: is there one decision for the batch, or | (or) in "
                    "the place of & (and)? Each row has its own time.")  # fmt: skip
    if not on.any():
        raise Wrong("one decision for all", "No row is guided: is there one decision for the batch, or are low and "
                    "high exchanged? Each row has its own time.")  # fmt: skip
    if torch.equal(on, ~inside):
        raise Wrong("inverted", "Guided outside the interval, off inside: the condition is inverted.")
    edge = (t == low) | (t == high)
    if torch.equal(on, inside & ~edge) or torch.equal(on[~edge], inside[~edge]):
        raise Wrong("ends", f"t = {low:g} and t = {high:g} themselves are inside: use <= at both ends.")
    if torch.equal(on, t >= low) or torch.equal(on, t <= high):
        raise Wrong("one end", "Only one end of the interval is looked at.")
    raise Wrong("wrong rows", f"Guided rows have t = {[round(v, 4) for v in t[on].tolist()]}; the interval is {low:g} "
                f"to {high:g}. It is of times: compare t itself, not sigma or 1 - t.")  # fmt: skip


@with_interval.part("an interval that holds all times, and one that holds none; scales above 1 and below")
def _(answer, given):
    model, x_t, t, cond, free, told = setting(given, [0, 1], 3, 4)
    for scale in (1.75, 0.0, 0.5):
        slips = {"off below 1": (told, f"At scale {scale:g} the conditional model comes back inside too: only outside "
                                 "is off. Inside, 0 is the unconditional model, as in cfg.")}  # fmt: skip
        for low, high, wanted in ((0.0, 1.0, free + scale * (told - free)), (0.9, 1.0, told)):
            x0, eps = parts_of(answer(model, x_t, t, cond, scale, low, high), x_t)
            inside = {} if wanted is told or scale > 1 else slips
            same(eps, wanted, inside, f"eps at scale {scale:g} with the interval {low:g} to {high:g}")
            on_one_line(x0, eps, x_t, t, model.schedule, free, told)


@with_interval.part("one sample, float32 as in training")
def _(answer, given):
    _in_float32(lambda model, x_t, t, cond: answer(model, x_t, t, cond, 2.0, 0.0, t[0].item()), given)


@with_interval.part("pictures")
def _(answer, given):
    for_pictures(_in_some_rows, answer, given)


def _in_some_rows(answer, given) -> None:
    model, x_t, t, cond, free, told = setting(given, [0, 1], 16, 4)
    middle = t.median().item()  # two rows are inside
    x0, eps = parts_of(answer(model, x_t, t, cond, 1.75, 0.0, middle), x_t)
    same(eps, torch.where((t <= middle)[:, None], free + 1.75 * (told - free), told), {}, "eps")
    on_one_line(x0, eps, x_t, t, model.schedule, free, told)


# --- 07.5 ---


def judged(given, dim: int = 4, rows: int = 6, classes: int = 3, asked: int | None = None):
    """A model, an exact classifier with logits shifted by a function of x, the rows, and the two gradients at them: of
    log p(c | x_t) for every class c (rows, classes, dim), and of the logits. The rows' classes are below `asked`."""
    mixture, model = exact(given, list(range(classes)), dim)
    x_t, t, cond = 1.5 * given.normal(rows, dim), given.uniform(0.2, 0.8, rows), given.whole(0, asked or classes, rows)
    slant = given.normal(dim)

    def log_joint(x, times):
        alpha, sigma = (v.reshape(-1, 1, 1) for v in model.schedule(times.expand(len(x))))
        away = x[:, None] - alpha * mixture.means
        spread = alpha[..., None] ** 2 * mixture.covariances + sigma[..., None] ** 2 * torch.eye(dim).to(x)
        pull = torch.linalg.solve(spread, away[..., None])[..., 0]
        each = mixture.weights.log() - ((away * pull).sum(-1) + torch.linalg.slogdet(spread).logabsdet) / 2
        return torch.stack([torch.logsumexp(each[:, mixture.labels == c], 1) for c in range(classes)], 1)

    def classifier(x, times):
        return log_joint(x, torch.as_tensor(times)) + (x @ slant)[:, None]

    free = ends(mixture, model.schedule, x_t, t, cond)[0]
    each = torch.stack([ends(mixture, model.schedule, x_t, t, torch.full_like(cond, c))[1] for c in range(classes)], 1)
    sigma = model.schedule(t)[1][:, None]
    gradients = -(each - free[:, None]) / sigma[:, None]  # Bayes: grad log p(c | x) = score given c - score
    logits = -each / sigma[:, None] + slant
    return model, classifier, x_t, t, cond, free, sigma, gradients, logits


@classifier_guided.part("by Bayes' rule: an exact classifier makes the unconditional model the conditional one")
def _(answer, given):
    for scale in (1.0, 2.5):
        _guided_by(answer, given, scale)


def _guided_by(answer, given, scale: float) -> None:
    model, classifier, x_t, t, cond, free, sigma, gradients, logits = judged(given)
    with torch.enable_grad(), explained(_SAYS):
        found = answer(model, classifier, x_t, t, cond, scale)
    x0, eps = (v.detach() for v in parts_of(found, x_t))
    mine, alpha = gradients[torch.arange(len(cond)), cond], model.schedule(t)[0][:, None]
    wanted = free - scale * sigma * mine
    if close(eps, free, 1e-6) and close(x0, (x_t - sigma * wanted) / alpha, 1e-6):
        raise Wrong("eps not guided", "x0 is guided, eps is not: together they no longer make x_t.")
    if close(x0, wanted, 1e-6):
        raise Wrong("ends exchanged", "x0 and eps stand in each other's place: Prediction(x0, eps).")
    with torch.enable_grad():
        x = x_t.detach().requires_grad_()
        over_rows = torch.log_softmax(classifier(x, t), 0)[torch.arange(len(cond)), cond].sum()
        across = free - scale * sigma * torch.autograd.grad(over_rows, x)[0]
    p = torch.log_softmax(classifier(x_t, t), 1).exp()
    slips = {"softmax over rows": (across, "The softmax goes over the rows of the batch: it goes over the classes, the "
                                   "last axis.")}  # fmt: skip
    slips |= classifier_slips(free, alpha, sigma, gradients, logits, p, cond, scale)
    same(eps, wanted, slips, f"eps at scale {scale:g}", 1e-7)
    if close(x0, (x_t - sigma * free) / alpha, 1e-6):
        raise Wrong("x0 not guided", "eps is guided, x0 is not: together they no longer make x_t.")
    goes_with(x0, eps, x_t, alpha, sigma)
    if set(model.conds) != {model.null}:
        raise Wrong("not unconditional", "The model was asked under a condition: start from the unconditional "
                    "model(x_t, t). Where it knows its conditions the classifier is not needed.")  # fmt: skip


_SAYS = {  # torch, where a usual line is missing; rows are 6, of 4 numbers
    "(6) must match the size of tensor b (4)": ("axes", "alpha and sigma are (B,); expand(v, x_t) gives them x_t's "
                                                "axes."),
    "only for scalar outputs": ("no sum", "sum log p over the rows first; no row's depends on another's x."),
    "does not require grad": ("not the copy", "call the classifier on the copy of x_t that asks for gradients."),
}  # fmt: skip


def _other_factors(free, alpha, sigma, gradients, cond, scale: float) -> dict:
    mine = gradients[torch.arange(len(cond)), cond]
    return {
        "over sigma": (free - scale / sigma * mine, "The gradient is divided by sigma: eps is minus sigma times the "
                       "score."),
        "sigma times alpha": (free - scale * sigma * alpha * mine, "alpha is one factor too many: eps is minus sigma "
                              "times the score."),
        "one time for all": (free - scale * sigma[0] * mine, "sigma of the first row is used for all: each has its own "
                             "time."),
        "rows by class": (free - scale * sigma * _by_class(gradients, cond), "log_p[cond] takes rows by the number of "
                          "their class, and all of their columns: log_p[torch.arange(B), cond], or gather."),
    }  # fmt: skip


def classifier_slips(free, alpha, sigma, gradients, logits, p, cond, scale: float) -> dict:
    rows = torch.arange(len(cond))
    mine = gradients[rows, cond]
    twice = mine * p[rows, cond, None] - torch.einsum("bk,bk,bkd->bd", p.softmax(1), p, gradients)
    slips = _other_factors(free, alpha, sigma, gradients, cond, scale) | {
        "uphill in eps": (free + scale * sigma * mine, "The sign: eps is *minus* sigma times the score, so the "
                          "gradient is subtracted."),
        "no sigma": (free - scale * mine, "sigma is missing: eps is minus *sigma* times the score."),
        "sigma squared": (free - scale * sigma**2 * mine, "sigma^2 stands where sigma should."),
        "logit": (free - scale * sigma * logits[rows, cond], "You took the gradient of the logit, not of its log "
                  "softmax: logits may be shifted by anything that depends on x."),
        "all classes": (free - scale * sigma * gradients.sum(1), "The gradient is of the sum over *all* classes: take "
                        "each row's own."),
        "probability": (free - scale * sigma * p[rows, cond, None] * mine, "You took the gradient of the probability, "
                        "not of its logarithm."),
        "mean over the batch": (free - scale * sigma * mine / len(cond), "The gradient is divided by the batch: sum "
                                "over the rows, do not average."),
        "a loss": (free + scale * sigma * mine / len(cond), "That is the gradient of a loss, cross_entropy: minus the "
                   "*mean* of log p. Ascend the sum of log p."),
        "each other's classes": (free - scale * sigma * gradients[:, cond].sum(1), "Each row takes the classes of all "
                                 "rows: log_p[:, cond] is (B, B). Use log_p[torch.arange(B), cond], or gather."),
        "softmax twice": (free - scale * sigma * twice, "softmax is taken twice: log_softmax wants the logits."),
        "alpha for sigma": (free - scale * alpha * mine, "alpha stands where sigma should: model.schedule(t) returns "
                            "alpha, sigma."),
        "condition counted twice": (free - (1 + scale) * sigma * mine, "The condition counts once too often: start "
                                    "from model(x_t, t), without cond, and multiply by scale."),
        "no guidance": (free, f"At scale {scale:g} the unconditional model itself comes back: is the gradient used? "
                        "Multiply by scale, not scale - 1: scale 0 is unconditional, as in CFG."),
        "sigma over alpha": (free - scale * sigma / alpha * mine, "sigma is divided by alpha: eps is minus sigma times "
                             "the score."),
        "gradient alone": (-scale * sigma * mine, "Only the gradient comes back: it is added to the model's eps."),
    }  # fmt: skip
    if scale != 1:
        slips["no scale"] = (free - sigma * mine, "scale has no effect.")
    return slips


def _by_class(gradients: Tensor, cond: Tensor) -> Tensor:
    """The gradient of log_p[cond].sum() by each row: all its classes, as often as its number is asked for."""
    times = torch.bincount(cond, minlength=len(gradients))[: len(gradients)]
    return times[:, None] * gradients.sum(1)


@classifier_guided.part("inside a sampler, where gradients are off")
def _(answer, given):
    model, classifier, x_t, t, cond, free, sigma, gradients, _ = judged(given)
    wanted = free - 2 * sigma * gradients[torch.arange(len(cond)), cond]
    try:
        with torch.no_grad():
            found = answer(model, classifier, x_t, t, cond, 2.0)
            left_on = torch.is_grad_enabled()
    except RuntimeError as error:
        if "grad" not in str(error):
            raise
        raise Wrong("gradients off", "Samplers run under torch.no_grad(), and there your gradient fails. Put it into "
                    "`with torch.enable_grad():`.") from None  # fmt: skip
    if left_on:
        raise Wrong("gradients left on", "After your answer gradients are on in the sampler that called it: use `with "
                    "torch.enable_grad():`, which ends.")  # fmt: skip
    x0, eps = parts_of(found, x_t)
    same(eps, wanted, {}, "eps", 1e-7)
    if eps.requires_grad or x0.requires_grad:
        raise Wrong("graph left", "The result still asks for gradients, and its graph grows with every step of a "
                    "sampler: let only the gradient of log p be computed where they are on, and call the model at "
                    "x_t.")  # fmt: skip


@classifier_guided.part("four classes, of which the last two are in no row")
def _(answer, given):
    model, classifier, x_t, t, cond, free, sigma, gradients, _ = judged(given, classes=4, asked=2)
    x0, eps = parts_of(answer(model, classifier, x_t, t, cond, 1.5), x_t)
    same(eps, free - 1.5 * sigma * gradients[torch.arange(len(cond)), cond], {}, "eps", 1e-7)
    goes_with(x0, eps, x_t, model.schedule(t)[0][:, None], sigma)


@classifier_guided.part("one sample, float32 as in training")
def _(answer, given):
    classifier = judged(given, dim=3, rows=1)[1]

    def single(x, times):
        return classifier(x.double(), times.double()).float()

    _in_float32(lambda model, x_t, t, cond: answer(model, single, x_t, t, cond, 2.0), given)


@classifier_guided.part("pictures")
def _(answer, given):
    for_pictures(_guided_once, answer, given)


def _guided_once(answer, given) -> None:
    model, classifier, x_t, t, cond, free, sigma, gradients, _ = judged(given, 16, 4)
    found = answer(model, lambda x, times: classifier(x.flatten(1), times), x_t, t, cond, 2.0)
    x0, eps = parts_of(found, x_t)
    same(eps, free - 2 * sigma * gradients[torch.arange(len(cond)), cond], {}, "eps", 1e-7)
    goes_with(x0, eps, x_t, model.schedule(t)[0][:, None], sigma)


# --- 07.6 ---


def apart(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def both(real: Tensor, fake: Tensor, share) -> Tensor:
    """(precision, recall) from share(points, support)."""
    return torch.stack([share(fake, real), share(real, fake)])


def reached(k: int, how=lambda away, radius: (away <= radius).any(1)):
    """share(points, support): of the points that lie within a support point's distance to its k-th nearest other."""
    return lambda points, support: how(apart(points, support), _kth(support, support, k)).double().mean()


def _kth(a: Tensor, b: Tensor, k: int) -> Tensor:
    """From each of a to the k-th nearest of b, counted from 0."""
    return apart(a, b).sort(1).values[:, min(k, len(b) - 1)]


def _past_zeros(s: Tensor, k: int) -> Tensor:
    """The k-th smallest distance of each of s to its set that torch.cdist does not give as 0."""
    away = torch.cdist(s, s)
    return away.masked_fill(away == 0, torch.inf).sort(1).values[:, k - 1]


def _ways(k: int) -> dict:
    """What slips take for share(points, support): key -> (share, what to tell)."""
    near = (
        f"The radii are {'0' if k == 1 else 'too small'}: each point is its own nearest. Take the k-th *other* point."
    )
    ways = {
        "own neighbour": (reached(k - 1), near),
        "one too many": (reached(k + 1), "The radii reach one neighbour too far."),
        "strict": (reached(k, lambda away, r: (away < r).any(1)), "A point exactly at the radius counts: use <=."),
        "all": (reached(k, lambda away, r: (away <= r).all(1)), "A point counts inside *any* radius, not all of them."),
        "pairs": (reached(k, lambda away, r: away <= r), "That is the share of *pairs*: a point counts once, if it is "
                  "inside any radius."),
        "radii of the other set": (
            lambda p, s: (apart(p, s) <= _kth(s, p, k - 1)).any(1).double().mean(),
            "The radii are distances to the other set; they must be those of a set's points among themselves.",
        ),
        "radii around the points": (
            lambda p, s: (apart(p, s).min(1).values <= _kth(p, p, k)).double().mean(),
            "The radius is that of the point asked about. Precision: is the fake inside a *real* point's radius?",
        ),
        "nearest alone": (reached(k, lambda away, r: away.min(1).values <= r[away.argmin(1)]), "You ask the nearest "
                          "point alone: a farther one may have a larger radius. Inside *any* radius counts."),
        "any over the wrong axis": (
            lambda p, s: (apart(p, s) <= _kth(s, s, k)).any(0).double().mean(),
            "The shares are of the other set: precision is the share of the *fakes* that lie inside some real radius. "
            "Take any over the points that have the radii.",
        ),
        "k unused": (reached(1), "k has no effect: that is the result of k = 1."),
        "k is 3": (reached(3), "k has no effect: that is the result of k = 3."),
    } | _other_radii(k)  # fmt: skip
    for mean in (Tensor.mean, Tensor.median):
        ways[f"one radius, {mean.__name__}"] = (reached(k, lambda away, r, m=mean: (away <= m(r)).any(1)), "All radii "
                                                "are one: each point keeps its own.")  # fmt: skip
    return ways


def _other_radii(k: int) -> dict:
    """`_ways`, where the radii are not those to the k-th nearest other point."""
    return {
        "zeros left out": (
            lambda p, s: (apart(p, s) <= _past_zeros(s, k)).any(1).double().mean(),
            "You leave out distances that are 0. By rounding, cdist does not give every point exactly 0 from itself: "
            "take the (k + 1)-th smallest.",
        ),
        "mean of the nearest": (
            lambda p, s: (apart(p, s) <= apart(s, s).sort(1).values[:, 1 : k + 1].mean(1)).any(1).double().mean(),
            "The radius is the mean distance of the k nearest: it is that of the k-th.",
        ),
        "too far": (
            lambda p, s: (apart(p, s) <= apart(s, s).sort(1).values[:, -min(k, len(s))]).any(1).double().mean(),
            "The radii reach far beyond the k-th neighbour: is it each point's own, and the k-th *smallest* distance "
            "(topk takes the largest, unless largest=False)?",
        ),
    }


def pr_slips(real: Tensor, fake: Tensor, k: int) -> dict:
    right = both(real, fake, reached(k))
    real_radii = (apart(real, fake) <= _kth(real, real, k)[:, None]).any(1).double().mean()
    slips = {
        "real radii": (
            torch.stack([right[0], real_radii]),
            "Precision is right. For the recall the radii are those of the *fakes*: exchange the roles.",
        ),
        "exchanged": (right.flip(0), "Precision and recall are exchanged. Precision asks of the *fakes*."),
        "precision twice": (right[[0, 0]], "Both numbers are the precision: exchange the roles for the recall."),
    }
    return slips | {key: (both(real, fake, share), told) for key, (share, told) in _ways(k).items()}


def pair_of(found) -> Tensor:
    if _length(found) != 2:
        raise Wrong("no pair", f"Two numbers must come back: return precision, recall; you return {kind(found)}.")
    found = torch.tensor([number(v, "each of the two") for v in found], dtype=torch.float64)
    if not ((found >= 0) & (found <= 1)).all():
        raise Wrong("no share", f"{found[0]:.4g} and {found[1]:.4g}: shares lie between 0 and 1. Divide by how many "
                    "points were asked about.")  # fmt: skip
    return found


def compare(answer, real: Tensor, fake: Tensor, k: int) -> None:
    what = f"k = {k}, {len(real)} real and {len(fake)} fake points: (precision, recall)"
    same(pair_of(answer(real, fake, k)), both(real, fake, reached(k)), pr_slips(real, fake, k), what, 1e-6)


@precision_recall.part("everything seven times as large changes nothing")
def _(answer, given):
    sets = [(size * given.normal(60, 3), size * given.normal(50, 3)) for size in (0.3, 1.0, 3.0)]
    found = torch.stack([pair_of(answer(real, fake, 3)) for real, fake in sets])
    if not close(found[0], pair_of(answer(*(7 * v for v in sets[0]), 3)), 1e-6):
        for how in (lambda away, r: (away**2 <= r).any(1), lambda away, r: (away <= r**2).any(1)):
            slip = torch.stack([both(real, fake, reached(3, how)) for real, fake in sets])
            if close(found, slip, 1e-6):
                raise Wrong("squares with lengths", "Squared distances are compared with radii that are not squared, "
                            "or the other way round: square both or neither.")  # fmt: skip
        raise Wrong("a fixed radius", "Seven times as large, the same points give other numbers: radii must come from "
                    "the points.")  # fmt: skip


@precision_recall.part("200 real and 150 fake points in six dimensions")
def _(answer, given):
    compare(answer, given.normal(200, 6), 0.5 + 1.4 * given.normal(150, 6), 5)


@precision_recall.part("points on a line: real 0, 1, 2, 10; fake .4, 1.6, 3.2, 30, 31; k = 1")
def _(answer, given):
    real, fake = ([0.0, 1, 2, 10], [0.4, 1.6, 3.2, 30, 31])
    compare(answer, *(torch.tensor(v, dtype=torch.float64)[:, None] for v in (real, fake)), 1)


@precision_recall.part("two points in one place: each is the other's nearest; real 0, 0, 1, 5; fake -.5, 3, 9; k = 1")
def _(answer, given):
    real, fake = (torch.tensor(v, dtype=torch.float64)[:, None] for v in ([0.0, 0, 1, 5], [-0.5, 3, 9]))
    share, message = _ways(1)["zeros left out"]
    if close(pair_of(answer(real, fake, 1)), both(real, fake, share), 1e-6):
        raise Wrong("zeros left out", message)
    compare(answer, real, fake, 1)


@precision_recall.part("a point exactly at the radius counts")
def _(answer, given):
    real, fake = ([[0.0, 0], [0, 2], [8, 0]], [[0.0, 4], [0, 1], [20, 0], [21, 0]])
    compare(answer, *(torch.tensor(v, dtype=torch.float64) for v in (real, fake)), 1)


# --- 07.7 ---

SCALES = [1.05, 1.3, 1.65, 2.05, 2.55, 3.2, 4.1]
SEEDS = [3, 4, 5, 6, 7, 8]
PROBLEMS = 100


class Problem:
    """Distances by scale and seed: U-shaped with its least at one of the scales; seeds differ more than scales do."""

    def __init__(self, given, noise: float = 0.25, sizes: tuple[list, list] = (SCALES, SEEDS)):
        self.grid, self.seeds = sizes
        m, n = len(self.grid), len(self.seeds)
        self.best, self.t, self.root = int(given.whole(0, m, 1)), student(n), n**0.5
        off = torch.arange(m, dtype=torch.float64) - self.best
        truth = 5 + given.uniform(0.09, 0.11, 1) * off.abs() ** 3
        self.values = truth[:, None] + 2 * given.normal(1, n) + noise * given.normal(m, n)
        self.means = self.values.mean(1)
        self.asked = []

    def __call__(self, scale, seed) -> float:
        try:
            place = self.grid.index(float(scale)), self.seeds.index(int(seed))
        except ValueError:
            raise Wrong("not asked for", f"distance was asked about scale {scale} and seed {seed}, which are not among "
                        "those given.") from None  # fmt: skip
        self.asked.append(place)
        return self.values[place].item()

    def on_the_edge(self) -> "Problem":
        """The same, but for two scales: one's interval just reaches 0, another's just does not."""
        twin, best = copy.copy(self), int(self.means.argmin())
        twin.values, twin.asked = self.values.clone(), []
        for i, share in zip([i for i in range(len(self.grid)) if i != best], (0.997, 1.003), strict=False):
            away = self.values[i] - self.values[best]
            twin.values[i] += share * self.t * away.std() / self.root - away.mean()
        twin.means = twin.values.mean(1)
        return twin

    def those(self, kept: Tensor) -> set[float]:
        """The scales at which `kept` is true."""
        return {s for s, k in zip(self.grid, kept.tolist(), strict=True) if k}

    def errors(self, least=None) -> Tensor:
        """Mean over standard error of each scale's differences from `least`, by default the row of least mean."""
        away = self.values - (self.values[self.means.argmin()] if least is None else least)
        return away.mean(1) / (away.std(1) / self.root).clamp(min=1e-12)

    def scales(self, times: float | None = None, least=None) -> set[float]:
        """Those whose interval of the differences, `times` standard errors wide, by default Student's, reaches 0."""
        return self.those(self.errors(least).abs() <= (self.t if times is None else times))

    def from_row(self, row) -> tuple[set[float], set[float]]:
        """Those whose interval of the differences from a scale's row reaches 0; and with them those below it."""
        errors = self.errors(self.values[int(row)])
        return self.those(errors.abs() <= self.t), self.those(errors <= self.t)

    def neighbours(self) -> set[float]:
        """That of least mean, and those beside it."""
        best = int(self.means.argmin())
        return set(self.grid[max(0, best - 1) : best + 2])

    def sorted(self) -> set[float]:
        """The same where each scale's numbers are sorted: seeds are no longer paired."""
        twin = copy.copy(self)
        twin.values = self.values.sort(1).values
        return twin.scales()

    def unpaired(self) -> list[set[float]]:
        """By the scales' own numbers: where their intervals overlap; by Welch's test, and by that of equal variances;
        by each row's deviation; by the sum of two variances."""
        best, spread = int(self.means.argmin()), self.values.std(1) / self.root
        tests = [stats.ttest_ind(self.values.numpy(), self.values[best].numpy(), axis=1, equal_var=equal).pvalue
                 for equal in (False, True)]  # fmt: skip
        return [
            self.those(self.means - self.t * spread <= self.means[best] + self.t * spread[best]),
            *(self.those(torch.as_tensor(p > 0.05)) | {self.grid[best]} for p in tests),
            self.those((self.means - self.means[best]).abs() <= self.t * spread),
            self.those((self.means - self.means[best]).abs() <= self.t * torch.hypot(spread, spread[best]))
            | {self.grid[best]},
        ]


def student(n: int) -> float:
    """The half width of n seeds' 95% interval, in standard errors."""
    return float(stats.t.ppf(0.975, n - 1))


T = student(len(SEEDS))
ROOT = len(SEEDS) ** 0.5
BY_N = (1 - 1 / len(SEEDS)) ** 0.5  # a deviation with n below instead of n - 1, over the right one
FACTORS = {  # how many standard errors wide an interval of six seeds becomes by which slip
    "numpy's std divides by n: give it ddof=1.": T * BY_N,
    "1.96 is the normal distribution's: with few seeds t is larger.": 1.96,
    "1.96 is the normal distribution's, and numpy's std divides by n: give it ddof=1.": 1.96 * BY_N,
    "2 is a rule of thumb for many seeds, and ppf(0.95, n - 1) leaves out 5% at each side: ppf(0.975, n - 1).": float(
        stats.t.ppf(0.95, len(SEEDS) - 1)
    ),
    "That is one standard error: t is missing.": 1.0,
    "ppf(0.975, n), or without t the root of 6, is nearly that: t is ppf(0.975, n - 1), n the number of seeds.": float(
        stats.t.ppf(0.975, len(SEEDS))
    ),
    "t has n - 1 degrees of freedom, n the number of seeds: not the number of scales.": float(
        stats.t.ppf(0.975, len(SCALES))
    ),
    "t has n - 1 degrees of freedom, not n - 2.": float(stats.t.ppf(0.975, len(SEEDS) - 2)),
    "Divide by the root of n, not by n.": T / ROOT,
    "std(ddof=1) has n - 1 below already: divide by the root of n.": T / BY_N,
    "ppf(0.995, n - 1) is of a 99% interval: 95% leaves out 2.5% at each side, ppf(0.975, n - 1).": float(
        stats.t.ppf(0.995, len(SEEDS) - 1)
    ),
    "n is the number of seeds, not of scales.": T * (len(SEEDS) / len(SCALES)) ** 0.5,
    "The interval is of one seed, not of the mean: divide by the root of the number of seeds.": T * ROOT,
}


def listed(answer, problem: Problem) -> set[float]:
    found = answer(problem, list(problem.grid), list(problem.seeds))
    if not isinstance(found, list | tuple | set):
        raise Wrong("no list", "A list of scales must come back.")
    try:
        numbers = [float(v) for v in found]
    except (TypeError, ValueError):
        raise Wrong("no list", "A list of scales, each a number, must come back.") from None
    if strange := set(numbers) - set(problem.grid):
        raise Wrong("not a scale", f"{min(strange):g} is in your list and not among the scales: positions are not "
                    "scales.")  # fmt: skip
    if len(set(numbers)) < len(numbers):
        raise Wrong("listed twice", f"A scale is in your list twice: {sorted(numbers)}.")
    return set(numbers)


@best_scales.part("distance is asked once for each scale and seed")
def _(answer, given):
    problem = Problem(given)
    listed(answer, problem)
    if (missing := 42 - len(set(problem.asked))) > 0:
        raise Wrong("not all asked", f"{missing} of 42 pairs of scale and seed were never asked: use all seeds.")
    if len(problem.asked) > 42:
        raise Wrong("asked twice", f"distance was called {len(problem.asked)} times for 42 pairs. Each call may train "
                    "a network: keep what it gave.")  # fmt: skip


@best_scales.part(f"{PROBLEMS} problems, half of them with four times the noise: the lists of the paired 95% interval")
def _(answer, given):
    problems = [Problem(given, noise) for noise in (0.25, 1.0) for _ in range(PROBLEMS // 2)]
    problems += [Problem(given).on_the_edge() for _ in range(4)]
    lists = [listed(answer, p) for p in problems]
    if all(p.scales() == found for p, found in zip(problems, lists, strict=True)):
        return
    for rule, key, told in _rules():  # named only where it is what was listed in every problem
        if all(rule(p) == found for p, found in zip(problems, lists, strict=True)):
            raise Wrong(key, told)
    _by_a_factor(problems, lists)
    _by_a_margin(problems, lists)
    _other_lists(problems, lists)


_LEAST = "take them from the scale of least mean."
_PAIRED = "seeds differ more than scales do. Take the interval of the differences, seed by seed."
_ROWS = {  # from which row the differences are taken, by mistake
    "the scale of least median": lambda p: p.values.quantile(0.5, 1).argmin(),
    "the scale of least lower median": lambda p: p.values.median(1).values.argmin(),
    "the scale of least worst seed": lambda p: p.values.max(1).values.argmin(),
    "the scale of the least single number": lambda p: p.values.min(1).values.argmin(),
    "the scale of least mean rank": lambda p: p.values.argsort(0).argsort(0).double().mean(1).argmin(),
    "the scale that is best for most seeds": lambda p: p.values.argmin(0).bincount().argmax(),
} | {
    f"the best scale of seed {i + 1} of {len(SEEDS)}": lambda p, i=i: p.values[:, i].argmin() for i in range(len(SEEDS))
}
_LISTS = (  # what is listed, by mistake; the key; what to tell
    (lambda p: {p.grid[int(p.means.argmin())]}, "one scale", "You return the scale of the least mean, which is often "
     "not the best: list all that cannot be told from it."),
    (lambda p: {p.grid[int(p.means.argmax())]}, "maximum", "You return the scale of the *greatest* distance."),
    (lambda p: set(p.grid), "all scales", "Your lists have all scales, always."),
    (lambda p: p.scales(least=p.values[p.means.argmax()]), "another rule",
     f"The differences are from the scale of *greatest* mean: {_LEAST}"),
    (Problem.sorted, "another rule", "The numbers of each scale have been sorted: they are no longer paired by seed."),
    (Problem.neighbours, "another rule", "You list the least mean and its neighbours, whatever the seeds say: a list "
     "may be longer or shorter."),
    (lambda p: {p.grid[i] for i in p.values.argmin(0).tolist()}, "winners", "You list the best scale of each seed. A "
     "seed's best is a coin toss: compare means of differences."),
    (lambda p: p.those(p.errors(p.values.min(0).values) <= p.t), "seed by seed", "You take differences from each "
     "seed's own least. Take them from one row, that of the least mean."),
    (lambda p: p.unpaired()[0], "unpaired", f"Your intervals of two scales overlap, but {_PAIRED}"),
    (lambda p: p.unpaired()[1], "unpaired", f"That is a test of the scales' own numbers, as Welch's is, but {_PAIRED}"),
    (lambda p: p.unpaired()[2], "unpaired", f"That is a test of the scales' own numbers, unpaired, but {_PAIRED}"),
    (lambda p: p.unpaired()[3], "unpaired", f"The deviation is that of a scale's own numbers, but {_PAIRED}"),
    (lambda p: p.unpaired()[4], "unpaired", f"The two variances are added, as of independent means, but {_PAIRED}"),
    (lambda p: p.scales() - p.scales(0.0), "best left out", "The scale of the least mean is not in your list: its "
     "difference from itself is 0."),
    (lambda p: set(p.grid) - p.scales(), "inverted", "You list the scales that can be told from the best, not those "
     "that cannot."),
)  # fmt: skip


def _rules():
    """Every rule of other lists that is known: what it lists of a problem, the key, what to tell."""
    yield from _LISTS
    for i in range(len(SEEDS)):
        yield (
            lambda p, i=i: {p.grid[int(p.values[:, i].argmin())]},
            "one seed",
            "You return the best scale of one seed.",
        )
    for name, row in _ROWS.items():
        told = f"The differences are from {name}: {_LEAST}"
        for i in range(2):
            yield lambda p, row=row, i=i: p.from_row(row(p))[i], "another rule", told
    for i, scale in enumerate(SCALES):
        told = f"{scale:g} is in none of your lists, also not where it may be best: are all scales looked at?"
        yield lambda p, i=i: p.scales() - {p.grid[i]}, "a scale never", told
        told = (
            f"Your lists have {i + 1} scales at most, and are right but for that: list all that cannot be told apart."
        )
        yield lambda p, i=i: set(sorted(p.scales())[: i + 1]), "cut off", told


def _by_a_factor(problems: list[Problem], lists: list[set]) -> None:
    """Raise Wrong where the lists are those of an interval about the least mean, of another width than 95%."""
    inside, beyond = _bounds(problems, lists, Problem.errors)
    if not inside < beyond:
        return
    n, t = len(problems[0].seeds), problems[0].t
    times = (inside + beyond) / 2 if math.isfinite(beyond) else inside
    if n != len(SEEDS):
        raise Wrong("six seeds alone", f"With 6 seeds your lists were right. For {n} your interval is mean(d) give or "
                    f"take {times:.2f} standard errors, and t is {t:.2f}: t has n - 1 degrees of freedom, std ddof=1, "
                    "and the root is that of the number of seeds.")  # fmt: skip
    likely = [why for why, factor in FACTORS.items() if inside <= factor < beyond]
    why = f" {' Or: '.join(likely)}" if likely else ""  # problems do not tell all slips apart
    raise Wrong("narrow" if times < t else "wide", f"Your interval is mean(d) give or take {times:.2f} standard "
                f"errors; for {n} seeds t is {t:.2f}.{why}")  # fmt: skip


def _by_a_margin(problems: list[Problem], lists: list[set]) -> None:
    """Raise Wrong where the lists are the means up to so much, or to such a share, above the least."""
    for above in (lambda p: p.means - p.means.min(), lambda p: p.means / p.means.min() - 1):
        inside, beyond = _bounds(problems, lists, above)
        if inside < beyond:
            raise Wrong("a fixed margin", "You list the means within a margin of the least, which does not know how "
                        "much seeds differ. Take the interval of the differences.")  # fmt: skip


def _bounds(problems: list[Problem], lists: list[set], of) -> tuple[float, float]:
    """The most of a number by scale, of(problem), that was listed, and the least that was not."""
    each = [(v, s in found) for p, found in zip(problems, lists, strict=True)
            for s, v in zip(p.grid, of(p).tolist(), strict=True)]  # fmt: skip
    return max((v for v, kept in each if kept), default=0.0), min((v for v, kept in each if not kept), default=math.inf)


def _other_lists(problems: list[Problem], lists: list[set]) -> None:
    """Raise Wrong with the lists of one problem, if there is one with another list than it must have."""
    for p, found in zip(problems, lists, strict=True):
        if found != p.scales():
            raise Wrong("wrong lists", f"Of {len(p.grid)} scales and {len(p.seeds)} seeds you list {sorted(found)}; "
                        f"{sorted(p.scales())} have a paired 95% interval, mean(d) give or take t std(d, ddof=1) / "
                        "sqrt(n), that reaches 0.")  # fmt: skip


@best_scales.part("four seeds and five scales, nine seeds and nine scales")
def _(answer, given):
    for n, grid, several in ((4, SCALES[:5], 50), (9, [*SCALES, 5.2, 6.5], 10)):
        problems = [Problem(given, sizes=(grid, list(range(11, 11 + n)))) for _ in range(several)]
        problems += [p.on_the_edge() for p in problems[:2]]
        lists = [listed(answer, p) for p in problems]
        if any(p.scales() != found for p, found in zip(problems, lists, strict=True)):
            _by_a_factor(problems, lists)
            _other_lists(problems, lists)
