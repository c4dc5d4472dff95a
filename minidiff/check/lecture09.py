"""Checks of lecture 09: the moving average of weights, the Frechet distance, copies, and a training loss to mend."""

import itertools
import math

import torch
from torch import Tensor, nn

from .exercise import Exercise, Wrong, alone_in_float32, close, is_tensor, same

update_ema = Exercise("09.1", "update_ema", 2, 12, "lecture 09, part 2")
frechet = Exercise("09.2", "frechet", 2, 15, "lecture 09, part 3")
copied = Exercise("09.3", "copied", 1, 13, "lecture 09, part 7")
diffusion_loss = Exercise("09.4", "diffusion_loss", 2, 15, "lecture 09, part 2")


# --- 09.1 ---


def _net(given) -> nn.Module:
    """A net with parameters of two shapes, one layer of which stands at two places; and buffers: floats, a count, and
    one that is not saved."""
    tied = nn.Linear(4, 4)
    net = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4)), tied, tied)
    net[0].register_buffer("place", torch.ones(2), persistent=False)
    net.double()
    _move(net, given)
    return net


@torch.no_grad()
def _move(net: nn.Module, given) -> None:
    for v in [*net.parameters(), *net.buffers()]:
        v.copy_(given.whole(1, 99).to(v) if v.ndim == 0 else given.uniform(0.5, 2.0, *v.shape))


def _flat(values) -> Tensor:
    return torch.cat([v.detach().double().flatten() for v in values])


def _averaged(ema: Tensor, model: Tensor, decay: float) -> Tensor:
    return decay * ema + (1 - decay) * model


def _pair(given) -> tuple[nn.Module, nn.Module]:
    """A model that is trained, and another that is its average."""
    return _net(given), _net(given).eval().requires_grad_(False)


def _after(answer, given, step: int, slips, **options) -> None:
    """One call on two new nets; slips(ema, model) are what mistakes give."""
    model, ema = _pair(given)
    new, old, buffers = _flat(model.parameters()), _flat(ema.parameters()), _flat(model.buffers())
    parameters = list(ema.parameters())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    answer(ema, model, step, **options)
    if not model.training or any(not p.requires_grad or p.grad is None or not p.grad.all() for p in model.parameters()):
        raise Wrong("stops the model", "The model cannot train on as before: leave its mode (train or eval), its "
                    "requires_grad and its gradients alone, and change ema.")  # fmt: skip
    if not close(_flat(model.parameters()), new) or not close(_flat(model.buffers()), buffers):
        raise Wrong("changes the model", "The model has changed: the optimizer's alone. Change ema.")
    if any(v.requires_grad or v.grad_fn is not None for v in ema.parameters()):
        raise Wrong("under autograd", "ema has become part of the graph, which then grows with each step: write it "
                    "under torch.no_grad().")  # fmt: skip
    decay = min(options.get("decay", 0.999), (1 + step) / (10 + step))
    usual = {
        "nothing": (old, "ema has not changed: write into its parameters, as p.lerp_(q, weight) or p.copy_(...) do. "
                    "p = ... gives a name to a new tensor."),
        "a copy": (new, "ema is the model itself: nothing is averaged."),
        "exchanged": (_averaged(new, old, decay), "Decay and 1 - decay are exchanged: decay is the share of ema that "
                      "is kept."),
        "plus": (decay * old + new, "The weights do not add up to 1: decay of ema and 1 - decay of the model."),
    }  # fmt: skip
    once, told = _averaged(old, new, decay), "A layer that stands at two places was changed twice: parameters() gives "
    told += "it once, state_dict() under both names."
    twice = {"shared layer averaged twice": _averaged(once, new, decay), "shared layer copied": new}
    usual |= {key: (torch.cat([once[:-20], v[-20:]]), told) for key, v in twice.items()}  # it is the last
    if any(p is not q for p, q in zip(ema.parameters(), parameters, strict=False)):
        raise Wrong("new parameters", "ema has new parameters: what holds the old ones, an optimizer say, would not "
                    "see them. Write into them, as p.lerp_(q, weight) or p.copy_(...) do.")  # fmt: skip
    found = _flat(ema.parameters())
    kept = ((found - new) / (old - new)).mean()
    last = {}
    if abs(kept - decay) > 5e-5:  # else it was float32 on the way
        message = f"At step {step} you keep {kept:.4f} of ema: {decay:.4f} is right."
        last = {"another decay": (_averaged(old, new, kept), message)}
    same(found, _averaged(old, new, decay), slips(old, new) | usual | last, "ema, its parameters in a row,")


@update_ema.part("after the first step ema has gone 9/11 of the way to the model")
def _(answer, given):
    def slips(old, new):
        start = "Almost all of the random start is still in ema after the first step, and noise is what it draws. The "
        return {
            "no warm-up": (_averaged(old, new, 0.999), start + "decay is the *smaller* of decay and (1 + step) / "
                           "(10 + step)."),
            "one step off": (_averaged(old, new, 1 / 10), "That is the decay of step 0: steps are counted from 1."),
            "one step late": (_averaged(old, new, 3 / 12), "That is the decay of step 2: steps are counted from 1."),
            "no 1 in it": (_averaged(old, new, 1 / 11), "The decay is (1 + step) / (10 + step); yours is "
                           "step / (10 + step)."),
        }  # fmt: skip

    _after(answer, given, 1, slips)


@update_ema.part("later steps: the decay, .999 or what is given, is the most")
def _(answer, given):
    def slips(old, new):
        ramp = (1 + 10**5) / (10 + 10**5)
        return {
            "no limit": (_averaged(old, new, ramp), f"After many steps (1 + step) / (10 + step) is {ramp:.4f}, above "
                         "the decay: take the smaller."),
            "decay not used": (_averaged(old, new, 0.999), "Another decay was given, and .999 used."),
        }  # fmt: skip

    _after(answer, given, 5000, lambda old, new: {})
    for decay in (0.9, 0.9995):
        _after(answer, given, 10**5, slips, decay=decay)
    _after(answer, given, 10**5, lambda old, new: {"no limit": slips(old, new)["no limit"]})


@update_ema.part("buffers are copied")
def _(answer, given):
    model, ema = _pair(given)
    old, new = _flat(ema.buffers()), _flat(model.buffers())
    answer(ema, model, 1)
    found = _flat(ema.buffers())
    if close(found, new):
        return
    if close(found, old):
        raise Wrong("buffers forgotten", "The buffers of ema, such as batch norm's running mean, are still those of "
                    "the start: copy the model's.")  # fmt: skip
    moved = ~torch.isclose(found, new, rtol=1e-6) & ~torch.isclose(found, old, rtol=1e-6)
    if not moved.any() and any(close(found[i], new[i]) for i in range(len(new))):
        raise Wrong("buffers left out", "Some of the buffers are copied and others are not: copy all, counts too.")
    raise Wrong("buffers averaged", "Buffers are copied, not averaged: they are averages, counts or constants already.")


@update_ema.part("an ema that copy.deepcopy(model).eval() made, as in the next cell")
def _(answer, given):
    model, ema = _net(given), _net(given).eval()
    old, new = _flat(ema.parameters()), _flat(model.parameters())
    answer(ema, model, 1)
    same(_flat(ema.parameters()), _averaged(old, new, 2 / 11), {}, "ema, its parameters in a row,")
    if any(v.grad_fn is not None for v in [*ema.parameters(), *ema.buffers()]):
        raise Wrong("under autograd", "ema has become part of the graph: write it under torch.no_grad().")


@update_ema.part("when the model moves on, ema stays where it is")
def _(answer, given):
    model, ema = _pair(given)
    answer(ema, model, 3)
    before = _flat([*ema.parameters(), *ema.buffers()])
    _move(model, given)
    if not close(_flat([*ema.parameters(), *ema.buffers()]), before):
        raise Wrong("reference", "Training now moves ema too: it holds the model's own tensors. Copy the numbers, with "
                    "copy_ or lerp_.")  # fmt: skip


@update_ema.part("sixty steps of a model that moves")
def _(answer, given):
    model, ema = _pair(given)
    wanted = _flat(ema.parameters())
    for step in range(1, 61):
        _move(model, given)
        answer(ema, model, step, 0.8)
        wanted = _averaged(wanted, _flat(model.parameters()), min(0.8, (1 + step) / (10 + step)))
    same(_flat(ema.parameters()), wanted, {}, "ema, its parameters in a row,")


# --- 09.2 ---


def _root(c: Tensor) -> Tensor:
    """The symmetric root of a covariance."""
    values, axes = torch.linalg.eigh(c)
    return axes @ torch.diag(values.clamp(min=0).sqrt()) @ axes.T


def _exactly(given, n: int, mean: Tensor, covariance: Tensor) -> Tensor:
    """n points that have exactly this mean and this covariance, with n - 1 as the divisor."""
    z = given.normal(n, len(mean))
    z = torch.linalg.qr(z - z.mean(0)).Q * math.sqrt(n - 1)
    return z @ _root(covariance) + mean


def _covariance(given, d: int) -> Tensor:
    """One with unequal variances and strong correlations."""
    axes = torch.linalg.qr(given.normal(d, d)).Q
    return axes @ torch.diag(torch.linspace(0.2, 3.0, d, dtype=torch.float64)) @ axes.T


def _number(found):
    """`found`, raising Wrong if it is complex: roots of matrices are, by rounding."""
    if isinstance(found, complex) or (isinstance(found, Tensor) and found.is_complex()):
        raise Wrong("complex", "A complex number: the eigenvalues are real but for rounding. Take the real part.")
    return found.item() if hasattr(found, "item") and getattr(found, "size", 0) == 1 else found  # numpy's float


@frechet.part("samples whose covariances are not diagonal and do not commute")
def _(answer, given):
    d, ma, mb, ca, cb = 3, given.normal(3), given.normal(3) + 2, _covariance(given, 3), 2 * _covariance(given, 3)
    a, b = _exactly(given, 20, ma, ca), _exactly(given, 31, mb, cb)
    away, traces = (ma - mb).square().sum(), torch.trace(ca) + torch.trace(cb)
    cross = torch.trace(_root(_root(ca) @ cb @ _root(ca)))
    right = away + traces - 2 * cross
    sa, sb = ca.diagonal().sqrt(), cb.diagonal().sqrt()
    ra, rb = ca / sa[:, None] / sa, cb / sb[:, None] / sb
    few = (19 / 20, 30 / 31)
    diagonal = "Right where both covariances are diagonal: the root is that of the matrix product, not of each entry."
    slips = {
        "elementwise root": (away + traces - 2 * (ca @ cb).diagonal().clamp(min=0).sqrt().sum(), diagonal),
        "of the variances alone": (away + traces - 2 * (sa * sb).sum(), diagonal),
        "product of roots": (away + traces - 2 * torch.trace(_root(ca) @ _root(cb)), "The root of a product is not the "
                             "product of the roots: these covariances do not commute."),
        "eigvalsh": (away + traces - 2 * torch.linalg.eigvalsh(ca @ cb).clamp(min=0).sqrt().sum(), "C_a C_b is not "
                     "symmetric, and eigvalsh reads only half of it: take eigvals."),
        "singular values": (away + traces - 2 * torch.linalg.svdvals(ca @ cb).sqrt().sum(), "C_a C_b is not symmetric, "
                            "and its singular values are not its eigenvalues: take eigvals."),
        "no 2": (away + traces - cross, "The last trace is taken twice."),
        "plus": (away + traces + 2 * cross, "The last trace is subtracted: equal samples are at 0."),
        "no root": (away + traces - 2 * torch.trace(ca @ cb), "The root of the product is missing."),
        "rooted": (right.sqrt(), "That is the distance; its square is what papers print."),
        "mean not squared": (away.sqrt() + traces - 2 * cross, "The distance of the means is squared."),
        "mean of squares": (away / d + traces - 2 * cross, "The squared differences of the means are summed over the "
                            "dimensions, not averaged."),
        "means left out": (traces - 2 * cross, "The means are left out."),
        "covariances left out": (away, "Only the means are compared: two sets may differ in their spread."),
        "determinant": (away + traces - 2 * torch.det(ca @ cb).sqrt(), "A determinant is not a trace."),
        "correlation": (away + 2 * d - 2 * torch.trace(_root(_root(ra) @ rb @ _root(ra))), "Those are correlations: "
                        "covariances keep the spread of each feature."),
        "divided by N": (away + few[0] * torch.trace(ca) + few[1] * torch.trace(cb) - 2 * math.sqrt(few[0] * few[1])
                         * cross, "The covariances are divided by N: it is N - 1, as torch.cov does."),
    }  # fmt: skip
    found = _number(answer(a, b))
    if isinstance(found, float) and math.isnan(found):
        raise Wrong("elementwise root", "The distance is NaN, as the root of a negative number is: an entry of the "
                    "product may be negative, its eigenvalues are not. Take the roots of those.")  # fmt: skip
    same(found, right.item(), slips, "the distance", 1e-6)


@frechet.part("0 between a sample and itself, and the same both ways")
def _(answer, given):
    a, b = given.normal(40, 4), 2 * given.normal(25, 4) + 1
    if not abs(float(_number(answer(a, a)))) < 1e-5:
        raise Wrong("not 0", f"From a sample to itself it is {float(_number(answer(a, a))):.3g}, not 0.")
    same(_number(answer(b, a)), float(_number(answer(a, b))), {}, "the distance from b to a", 1e-6)


@frechet.part("fewer pictures than features")
def _(answer, given):
    a, b = given.normal(5, 8), 2 * given.normal(6, 8) + 1
    x, y = ((v - v.mean(0)) / (len(v) - 1) ** 0.5 for v in (a, b))
    cross = torch.linalg.svdvals(x @ y.T).sum()  # singular values of a product of two roots
    right = (a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum() - 2 * cross
    found = _number(answer(a, b))
    if not found == found:
        raise Wrong("NaN", "With few pictures of 8 features the distance is NaN: covariances have eigenvalues 0, and "
                    "rounding makes them negative: clamp(min=0) before the root.")  # fmt: skip
    same(found, right.item(), {}, "the distance of 5 and 6 pictures of 8 features", 1e-5)


@frechet.part("all features times 3: the distance times 9")
def _(answer, given):
    a, b = given.normal(30, 3), 1.5 * given.normal(50, 3) + 1
    same(_number(answer(3 * a, 3 * b)), 9 * float(_number(answer(a, b))), {}, "the distance", 1e-6)


# --- 09.3 ---


def _away(x: Tensor, y: Tensor) -> Tensor:
    """(N, M) distances."""
    return (x[:, None] - y).square().sum(2).sqrt()


@copied.part("the median distance to the nearest training picture, over that of held-out pictures")
def _(answer, given):
    train, held, x = given.normal(24, 5), given.normal(15, 5), 0.8 * given.normal(21, 5)
    mine, theirs, middle = _away(x, train), _away(held, train), lambda a, dim=1: a.min(dim).values.median()
    right = middle(mine) / middle(theirs)
    fair = "The numerator and the denominator must both look at train, as only train could be copied."
    slips = {
        "turned": (1 / right, "Turned round: copies must give 0, so the samples' distance stands above."),
        "held_out looked at": (middle(_away(x, held)) / middle(theirs), fair + " You look for samples in held_out."),
        "below is not train": (middle(mine) / middle(_away(held, x)), fair + " Below you look in samples."),
        "both held_out": (middle(_away(x, held)) / middle(_away(held, x)), fair),
        "above alone": (middle(mine), "What is near? Divide by the distance of pictures that were never seen."),
        "mean": (mine.min(1).values.mean() / theirs.min(1).values.mean(), "The mean of the distances, which one odd "
                 "sample moves: the median was asked."),
        "wrong way": (middle(mine, 0) / middle(theirs, 0), "For each *training* picture you take the nearest sample: "
                      "take, for each sample, the nearest training picture."),
        "wrong way above": (middle(mine, 0) / middle(theirs), "Above you take the least over the samples: take it over "
                            "train."),
        "all distances": (mine.median() / theirs.median(), "The median of all distances: take the nearest first."),
        "farthest": (mine.max(1).values.median() / theirs.max(1).values.median(), "That is the farthest, not the "
                     "nearest."),
        "squared": (right**2, "Squared distances: take the root."),
        "ratios": ((mine.min(1).values[:15] / theirs.min(1).values).median(), "A median of ratios pairs pictures that "
                   "have nothing to do with each other: it is a ratio of medians."),
        "difference": (middle(mine) - middle(theirs), "A ratio was asked, so that units do not matter."),
        "least": (mine.min() / theirs.min(), "The nearest pair alone says little: the median over all samples."),
    }  # fmt: skip
    if right > 1:
        slips["cut at 1"] = (
            1.0,
            "Samples farther from train than held-out pictures give a ratio above 1: do not cut it.",
        )
    found = _number(answer(x, train, held))
    if isinstance(found, int | float) and not math.isfinite(found):
        raise Wrong(
            "a picture is its own neighbour",
            "You divide by 0: a picture is its own nearest neighbour, where a set is compared with itself. " + fair,
        )
    same(found, right.item(), slips, "the ratio", 1e-6)


@copied.part("samples among held-out pictures, and samples far from all")
def _(answer, given):
    train, held = given.normal(24, 5), 4 + given.normal(15, 5)
    for x, key, message in (
        (held[:11] + 0.01 * given.normal(11, 5), "held_out looked at", "The samples lie beside held-out pictures, and "
         "your ratio is small: look for them in train alone."),
        (12 + given.normal(11, 5), "too small", "Samples far from every picture give a ratio far above 1."),
    ):  # fmt: skip
        right, found = (_away(v, train).min(1).values.median() for v in (x, held)), _number(answer(x, train, held))
        right = torch.div(*right).item()
        if float(found) == 1 < right:
            key, message = "cut at 1", "A ratio may be above 1: do not cut it."
        same(found, right, {key: (found, message)} if float(found) < right else {}, "the ratio", 1e-6)


@copied.part("copies: 0; and with more than half copies too")
def _(answer, given):
    train, held, fresh = given.normal(60, 4), given.normal(41, 4), given.normal(25, 4)
    for x, what in ((train[:31], "samples that are training pictures"),
                    (torch.cat([train[:31], fresh]), "samples of which most are training pictures")):  # fmt: skip
        found = float(_number(answer(x, train, held)))
        if not abs(found) < 0.01:  # cdist in float32 is a thousandth off
            raise Wrong("not 0 for copies", f"{found:.3g} for {what}: it must be 0.")


@copied.part("the unit does not matter")
def _(answer, given):
    train, held, x = given.normal(24, 5), given.normal(15, 5), given.normal(21, 5)
    same(_number(answer(7 * x, 7 * train, 7 * held)), float(_number(answer(x, train, held))), {}, "the ratio", 1e-6)


# --- 09.4 ---


class Recorder(nn.Module):
    """A net that returns c times what it is given, and keeps that."""

    def __init__(self, c: float):
        super().__init__()
        self.c, self.seen = nn.Parameter(torch.tensor(c, dtype=torch.float64)), []

    def forward(self, x_t, t, *_):
        self.seen.append((x_t.detach().clone(), t))
        return self.c * x_t


def _pictures(given):
    """As many pictures as columns, so that what is lined up wrongly passes unseen; schedule, t and noise."""
    slope = given.uniform(0.3, 0.6)
    pictures = given.whole(20, 200, 4, 3, 5, 4).to(torch.uint8)
    return pictures, given.uniform(0.15, 0.85, 4), given.normal(4, 3, 5, 4), lambda t: (1 - slope * t, 0.2 + t)


def _range(pictures: Tensor) -> dict:
    """key -> (what the pictures become, what to tell of it); the right one first."""
    p = pictures.double()
    return {
        None: (p / 127.5 - 1, ""),
        "0 to 255": (p, "The net sees values up to 255: pictures go to [-1, 1] first, x / 127.5 - 1."),
        "0 to 1": (p / 255, "The pictures are in [0, 1]: the data of a diffusion model is centred, in [-1, 1]."),
        "0 to 2": (p / 127.5, "The pictures are in [0, 2]: subtract 1."),
        "not scaled": (p - 127.5, "The pictures are centred and not scaled: divide by 127.5."),
        "half": (p / 255 - 0.5, "The pictures are in [-.5, .5]: they go to [-1, 1]."),
        "wrapped": (2 * pictures / 255 - 1, "2 * 200 is 144 in bytes, which wrap at 256: make floats of them first."),
        "wrapped, 128": (
            (pictures - 128) / 128,
            "100 - 128 is 228 in bytes, which wrap at 0: make floats of them first.",
        ),
        "128": (p / 128 - 1, "Bytes end at 255: divide by 127.5, and 255 becomes 1; by 128 it becomes .992."),
    }


_NOISING = {
    "sigma squared": "The noise is scaled by sigma^2: sigma is a standard deviation already.",
    "lined up with columns": "alpha and sigma (B,) line up with the columns of the pictures, silently, as there are as "
    "many. Give them shape (B, 1, 1, 1).",
    "exchanged": "alpha and sigma are exchanged: alpha scales the picture.",
    "minus": "The noise is added, not subtracted.",
}  # fmt: skip


def _noisy(x0: Tensor, t: Tensor, eps: Tensor, schedule, bugs=()) -> Tensor:
    alpha, sigma = schedule(t)
    if "lined up with columns" not in bugs:
        alpha, sigma = alpha[:, None, None, None], sigma[:, None, None, None]
    if "exchanged" in bugs:
        alpha, sigma = sigma, alpha
    return alpha * x0 + (-1 if "minus" in bugs else 1) * (sigma**2 if "sigma squared" in bugs else sigma) * eps


def _losses(answer, net, *args) -> Tensor:
    """What is returned, (B,), float64: pictures and networks are float32 mostly."""
    found = answer(net, *args)
    if isinstance(found, Tensor) and found.ndim == 0:
        raise Wrong("a mean over the batch", "One number for the batch: a loss for each picture was asked, (B,).")
    found = found.double() if isinstance(found, Tensor) else found
    is_tensor(found, (4,), "the loss")
    return found


@diffusion_loss.part("what the net is given: x_t, and t")
def _(answer, given):
    pictures, t, eps, schedule = _pictures(given)
    net = Recorder(0.0)
    _losses(answer, net, pictures, t, eps, schedule)
    if len(net.seen) != 1:
        raise Wrong("calls", f"The net was called {len(net.seen)} times: once is enough.")
    seen, when = net.seen[0]
    is_tensor(seen.double(), pictures.shape, "what the net is given")
    ranges, right = _range(pictures), None
    for some in itertools.chain.from_iterable(itertools.combinations(_NOISING, n) for n in range(4)):
        for key, (x0, message) in ranges.items():
            if close(seen, _noisy(x0, t, eps, schedule, some), 1e-5):
                right = right or ((key, message) if key else (some[0], _NOISING[some[0]]) if some else "right")
    for key, (x0, message) in ranges.items():
        if close(seen, x0, 1e-5):
            right = (key, message) if key else ("clean", "The net is given the clean picture: give it x_t.")
    if right is None:
        same(seen.double(), _noisy(ranges[None][0], t, eps, schedule), {}, "what the net is given", 1e-5)
    if right != "right":
        raise Wrong(*right)
    ratio = when.detach().reshape(-1).double() / t if isinstance(when, Tensor) and when.numel() == 4 else t
    if ratio[0] > 0 and not close(ratio, torch.ones(4), 1e-5) and close(ratio, ratio[:1].expand(4), 1e-5):
        raise Wrong("t scaled", f"The net is given {ratio[0]:.4g} t: give it t as it is.")
    if not isinstance(when, Tensor) or not close(when.reshape(-1).double(), t, 1e-5):
        raise Wrong("t", "The net is given something other than the times t, (B,), as they are.")
    if when.ndim > 1:
        raise Wrong("t's shape", f"The net is given t as {tuple(when.shape)}: it takes (B,).")


@diffusion_loss.part("the loss of a net that says 0: the mean of eps^2, picture by picture")
def _(answer, given):
    pictures, t, eps, schedule = _pictures(given)
    alpha, sigma = schedule(t)
    x0, per = pictures.double() / 127.5 - 1, lambda v: v.flatten(1).mean(1)
    square = per(eps.square())
    floor = "A net that says the best guess of eps does not reach the floor with it: eps is what the sampler takes its "
    floor += "output for. "
    slips = {
        "target x0": (per(x0.square()), floor + "Your target is x0."),
        "target v": (per(_noisy(eps, t, -x0, schedule).square()), floor + "Your target is v = alpha eps - sigma x0."),
        "target flow": (per((eps - x0).square()), floor + "Your target is eps - x0."),
        "target x_t": (per(_noisy(x0, t, eps, schedule).square()), floor + "Your target is x_t."),
        "sum": (60 * square, "The squares are summed over the pixels: take their mean."),
        "root": (square.sqrt(), "The root of the mean square: leave it squared."),
        "absolute": (per(eps.abs()), "Absolute errors: their best guess is a median, and x0's mean is needed."),
        "half": (square / 2, "Half of it: there is no 1/2 in this loss."),
        "weighted": (square * (alpha / sigma) ** 2, "Weighted by the SNR: the simple loss has weight 1."),
        "weighted by sigma": (square * sigma**2, "That is sigma^2 eps^2: the target is eps, not sigma "
                              "eps, and the simple loss has weight 1."),
        "one mean for all": (square.mean().expand(4), "All pictures have the same loss, the batch's mean: take it "
                             "over all axes but the first."),
        "mean over pictures": (eps.square().mean((0, 1, 2)), "The mean is over the pictures, and what is left are "
                               "columns: keep the first axis."),
        "old noise": (torch.zeros(4, dtype=torch.float64), "0 whatever the noise: is the target the net's own output?"),
    }  # fmt: skip
    same(_losses(answer, Recorder(0.0), pictures, t, eps, schedule), square, slips, "the loss", 1e-5)


@diffusion_loss.part("the loss of a net that says something, and its gradient")
def _(answer, given):
    pictures, t, eps, schedule = _pictures(given)
    c, net = 0.7, Recorder(0.7)
    x_t, per = _noisy(pictures.double() / 127.5 - 1, t, eps, schedule), lambda v: v.flatten(1).mean(1)
    slips = {
        "sign": (per((c * x_t + eps).square()), "The net's output and eps are added: subtract."),
        "difference of squares": (per((c * x_t).square() - eps.square()), "Subtract first, then square."),
    }
    found = _losses(answer, net, pictures, t, eps, schedule)
    same(found.detach(), per((c * x_t - eps).square()), slips, "the loss", 1e-5)
    if not found.requires_grad:
        raise Wrong("no gradient", "The loss does not know where it comes from: no detach(), no torch.no_grad().")
    slope = torch.autograd.grad(found.sum(), net.c)[0]
    same(slope, per(2 * (c * x_t - eps) * x_t).sum(), {}, "the gradient", 1e-4)


@diffusion_loss.part("one picture alone, float32, as in training")
def _(answer, given):
    pictures, t, eps, schedule = _pictures(given)
    found = answer(Recorder(0.3).float(), pictures[:1], t[:1].float(), eps[:1].float(), schedule)
    alone_in_float32(found, (1,), "the loss")
    part = answer(Recorder(0.0).float(), pictures[:1, :2], t[:1].float(), eps[:1, :2].float(), schedule)
    same(part.double(), eps[:1, :2].square().mean()[None], {}, "the loss of a picture of 40 numbers, not 60,", 1e-5)


@diffusion_loss.part("fresh noise is not drawn: eps is given")
def _(answer, given):
    args = _pictures(given)
    net = Recorder(0.3)
    if not close(_losses(answer, net, *args), _losses(answer, net, *args).detach()):
        raise Wrong("random", "Two calls with the same noise give two losses: use the eps that is given.")
