"""Answers to the exercises of lecture 07: wrong ones, each with the key of its message, and others that are right."""


def _cfg(eps: str, x0: str = "", calls: str = "") -> str:
    """A guided Prediction; `eps` and `x0` are of f(ree) and t(old)."""
    calls = calls or "f, t = model(x_t, t, torch.full_like(cond, model.null)), model(x_t, t, cond)"
    x0 = x0 or eps.replace("eps", "x0")
    return f"""
import torch
from minidiff.denoise import Prediction
def cfg(model, x_t, t, cond, scale):
    time = t
    {calls}
    return Prediction({x0}, {eps})
"""


_GUIDED = "f.eps + scale * (t.eps - f.eps)"


def _drop(toss: str, result: str = "torch.where(gone, null, cond)", before: str = "pass") -> str:
    return f"""
import torch
def drop(cond, null, p, generator):
    {before}
    gone = {toss}
    if gone.ndim == 1: gone = gone.view(-1, *[1] * (cond.ndim - 1))
    return {result}
"""


_TOSS = "torch.rand(len(cond), generator=generator) < p"


def _laws(
    sharp: str = "2 / (g + 1)", ode: str = "2 ** (1 - g)", sde: str = "(2 - 2 ** (2 - 2 * g)) / (2 * g - 1)"
) -> str:
    return f"def guided_variances(gamma):\n    g = gamma\n    return {sharp}, {ode}, {sde}\n"


_WIDE = ".view(-1, *[1] * (x_t.ndim - 1))"


def _interval(on: str, scale: str = f"torch.where(on, scale, 1.0){_WIDE}", guided: str = "f.lerp(c, by)") -> str:
    return f"""
import torch
def with_interval(model, x_t, t, cond, scale, low, high):
    on = {on}
    by = ({scale}).to(x_t)
    f, c = model(x_t, t), model(x_t, t, cond)
    return {guided}
"""


_ON = "(low <= t) & (t <= high)"


def _classifier(
    eps: str = "h.eps - scale * sigma * g",
    log_p: str = "classifier(x, t).log_softmax(1)",
    chosen: str = "log_p.gather(1, cond[:, None]).sum()",
    x0: str = "(x_t - sigma * eps) / alpha",
    model: str = "model(x_t, t)",
    x: str = "x_t.detach().requires_grad_()",
    extra: str = "",
) -> str:
    return f"""
import torch
from minidiff.denoise import Prediction
def classifier_guided(model, classifier, x_t, t, cond, scale):
    with torch.enable_grad():
        x = {x}
        log_p = {log_p}
        g = torch.autograd.grad({chosen}, x{extra})[0]
    alpha, sigma = (v{_WIDE} for v in model.schedule(t))
    h = {model}
    eps = {eps}
    return Prediction({x0}, eps)
"""  # fmt: skip


def _pr(
    radius: str = "d(s, s).kthvalue(k + 1, 1).values",
    near: str = "(d(p, s) <= r).any(1)",
    result: str = "share(fake, real), share(real, fake)",
    norm: str = "(a[:, None] - b).norm(dim=2)",
) -> str:
    return f"""
import torch
def precision_recall(real, fake, k):
    def d(a, b): return {norm}
    def share(p, s):
        r = {radius}
        return {near}.double().mean().item()
    return {result}
"""  # fmt: skip


def _best(
    keep: str = "abs(d.mean()) <= T * d.std(ddof=1) / n ** 0.5",
    least: str = "v.mean(1).argmin()",
    rows: str = "[[distance(s, e) for e in seeds] for s in scales]",
    result: str = "[s for s, k in zip(scales, kept) if k]",
) -> str:
    return f"""
import numpy as np
from scipy import stats
def best_scales(distance, scales, seeds):
    v = np.array({rows})
    n, b = len(seeds), {least}
    T = stats.t.ppf(0.975, n - 1)
    kept = []
    for row in v:
        d = row - v[b]
        kept.append({keep})
    return {result}
"""  # fmt: skip


WRONG = {
    "cfg": {
        "w": (_cfg("t.eps + scale * (t.eps - f.eps)"), "scale is w"),
        "scale - 1 from the null": (_cfg("f.eps + (scale - 1) * (t.eps - f.eps)"), "one too little"),
        "a null of floats": (
            _cfg(_GUIDED, calls="f, t = model(x_t, t, torch.full_like(t, model.null)), model(x_t, t, cond)"),
            "null of floats",
        ),
        "t and cond exchanged": (
            _cfg(_GUIDED, calls="f, t = model(x_t, t), model(x_t, cond, t)"), "order of arguments"
        ),
        "exchanged": (_cfg("t.eps + scale * (f.eps - t.eps)"), "exchanged"),
        "exchanged rows": (
            _cfg(_GUIDED, calls="both = model(torch.cat([x_t, x_t]), t.repeat(2), torch.cat([cond, torch.full_like("
                 "cond, model.null)]))\n    f, t = (Prediction(*p) for p in zip(both.x0.chunk(2), both.eps.chunk(2)))"),
            "exchanged",
        ),
        "null 0": (_cfg(_GUIDED, calls="f, t = model(x_t, t, 0 * cond + 3), model(x_t, t, cond)"), "null made up"),
        "null 10": (_cfg(_GUIDED, calls="f, t = model(x_t, t, 0 * cond + 10), model(x_t, t, cond)"), "null made up"),
        "null from the batch": (
            _cfg(_GUIDED, calls="f, t = model(x_t, t, 0 * cond + cond.max() + 1), model(x_t, t, cond)"),
            "null made up",
        ),
        "null zeros": (_cfg(_GUIDED, calls="f, t = model(x_t, t, 0 * cond), model(x_t, t, cond)"), "null never asked"),
        "eps only": (_cfg(_GUIDED, "t.x0"), "x0 not guided"),
        "eps only, x0 of the null": (_cfg(_GUIDED, "f.x0"), "x0 not guided"),
        "x0 only": (_cfg("t.eps", "f.x0 + scale * (t.x0 - f.x0)"), "eps not guided"),
        "three of four": (
            _cfg("torch.cat([(f.eps + scale * (t.eps - f.eps))[:, :3], t.eps[:, 3:]], 1)"), "partly guided"
        ),
        "first row": (_cfg("torch.cat([(f.eps + scale * (t.eps - f.eps))[:1], t.eps[1:]])"), "partly guided"),
        "off above 1 only": (_cfg("f.eps + max(scale, 1) * (t.eps - f.eps)"), "value"),
        "no scale": (_cfg("t.eps"), "no scale"),
        "null alone": (_cfg("f.eps"), "condition lost"),
        "difference": (_cfg("scale * (t.eps - f.eps)"), "difference alone"),
        "added": (_cfg("f.eps + scale * t.eps"), "added"),
        "mean": (_cfg("(f.eps + scale * t.eps) / (1 + scale)"), "averaged"),
        "eps alone": (_cfg(_GUIDED).replace("return Prediction(", "return (").replace("f.x0 + scale * (t.x0 - f.x0), ",
                      ""), "no Prediction"),
        "no return": (_cfg(_GUIDED).replace("return Prediction", "Prediction"), "no Prediction"),
        "three calls": (_cfg(_GUIDED).replace("time = t", "model(x_t, t, cond)"), "too many calls"),
        "clamped": (_cfg(_GUIDED, "(f.x0 + scale * (t.x0 - f.x0)).clamp(-0.3, 0.3)"), "x0 does not fit"),
        "ends exchanged": (_cfg("f.x0 + scale * (t.x0 - f.x0)", _GUIDED), "ends exchanged"),
        "minus": (_cfg("f.eps - scale * (t.eps - f.eps)"), "minus"),
        "back from the condition": (_cfg("t.eps + (scale - 1) * (f.eps - t.eps)"), "from the condition"),
        "no brackets": (_cfg("f.eps + scale * t.eps - f.eps"), "brackets"),
        "null -1": (_cfg(_GUIDED, calls="f, t = model(x_t, t, 0 * cond - 1), model(x_t, t, cond)"), "null made up"),
        "points alone": (
            _cfg("(x_t - a * x0) / s", "x0",
                 "a, s = (v[:, None] for v in model.schedule(t))\n    f, t = model(x_t, t), model(x_t, t, cond)"
                 "\n    x0 = scale * t.x0 - (scale - 1) * f.x0"),
            "points alone",
        ),
        "x0 without alpha": (
            _cfg("e", "x_t - model.schedule(time)[1][:, None] * e",
                 f"f, t = model(x_t, t), model(x_t, t, cond)\n    e = {_GUIDED}"),
            "x0 does not fit",
        ),
        "x0 by w": (_cfg(_GUIDED, "t.x0 + scale * (t.x0 - f.x0)"), "x0 does not fit"),
        "cond overwritten": (
            _cfg(_GUIDED, calls="t = model(x_t, t, cond); cond[:] = model.null; f = model(x_t, time, cond)"),
            "changed its input",
        ),
        "a difference of Predictions": (_cfg("0").replace("Prediction(0, 0)", "f + scale * (t - f)"), "raised"),
    },
    "drop": {
        "squeezed": ("""
import torch
def drop(cond, null, p, generator):
    gone = torch.rand(len(cond), 1, generator=generator) < p
    return torch.where(gone, null, cond.reshape(len(cond), -1)).squeeze()
""", "shape"),
        "as many tosses as words": ("""
import torch
def drop(cond, null, p, generator):
    toss = torch.rand(cond.shape[-1], generator=generator)
    if cond.ndim > 1: toss = toss[:, None]
    return torch.where(toss < p, null, cond)
""", "raised"),
        "whole percents": ("""
import torch
def drop(cond, null, p, generator):
    gone = torch.randint(100, (len(cond),), generator=generator) < 100 * p
    out = cond.clone()
    out[gone] = null
    return out
""", "share"),
        "in tenths": (
            "import torch\ndef drop(cond, null, p, generator):\n"
            "    gone = torch.randint(0, 10, (len(cond),), generator=generator) < round(10 * p)\n"
            "    return torch.where(gone.view(-1, *[1] * (cond.ndim - 1)), null, cond)\n",
            "share",
        ),
        "the first rows": (
            "import torch\ndef drop(cond, null, p, generator):\n"
            "    n = int((torch.rand(len(cond), generator=generator) < p).sum())\n"
            "    out = cond.clone()\n    out[:n] = null\n    return out\n",
            "some rows more often",
        ),
        "two neighbours together": (
            "import torch\ndef drop(cond, null, p, generator):\n"
            "    gone = torch.rand(len(cond) // 2 + 1, generator=generator) < p\n"
            "    gone = gone.repeat_interleave(2)[: len(cond)]\n"
            "    return torch.where(gone.view(-1, *[1] * (cond.ndim - 1)), null, cond)\n",
            "neighbours together",
        ),
        "the larger": (
            "import torch\ndef drop(cond, null, p, generator):\n"
            "    gone = torch.rand(len(cond), generator=generator) < p\n"
            "    return torch.maximum(cond, gone.view(-1, *[1] * (cond.ndim - 1)) * null)\n",
            "share",
        ),
        "inverted": (_drop("torch.rand(len(cond), generator=generator) > p"), "inverted"),
        "kept": (_drop(_TOSS, "torch.where(gone, cond, null)"), "inverted"),
        "one toss": (_drop("(torch.rand(1, generator=generator) < p).expand(len(cond))"), "one toss for all"),
        "per token": (_drop("torch.rand(cond.shape, generator=generator) < p"), "per token"),
        "columns": (_drop(_TOSS, "torch.where(gone, null, cond)").replace("if gone.ndim == 1", "if False"),
                    "lined up with words"),
        "in place": (_drop(_TOSS, "cond.masked_fill_(gone, null)"), "changed its input"),
        "in place by index": (
            "import torch\ndef drop(cond, null, p, generator):\n"
            "    cond[torch.rand(len(cond), generator=generator) < p] = null\n    return cond\n",
            "changed its input",
        ),
        "0 for null": (_drop(_TOSS, "torch.where(gone, 0, cond)"), "null made up"),
        "10 for null": (_drop(_TOSS, "torch.where(gone, 10, cond)"), "null made up"),
        "multiplied": (_drop(_TOSS, "cond * ~gone"), "null made up"),
        "always of 64 bits": (_drop(_TOSS, "torch.where(gone, null, cond).long()"), "dtype"),
        "floats": (_drop(_TOSS, "torch.where(gone, float(null), cond)"), "dtype"),
        "the first": (_drop("torch.arange(len(cond)) < p * len(cond)"), "same rows"),
        "rounded": (
            "import torch\ndef drop(cond, null, p, generator):\n    out = cond.clone()\n"
            "    out[torch.randperm(len(cond), generator=generator)[: int(p * len(cond))]] = null\n    return out\n",
            "small batches",
        ),
        "twice": (_drop(_TOSS.replace("< p", "< p * p")), "share"),
        "a half": (_drop(_TOSS.replace("< p", "< (0.5 if 0 < p < 1 else p)")), "share"),
        "own stream": (_drop("torch.rand(len(cond)) < p"), "generator unused"),
        "reseeded": (_drop(_TOSS, before="generator.manual_seed(0)"), "same rows"),
        "shuffled": (
            _drop(_TOSS, "torch.where(gone, null, cond.flip(0) if 0 < p < 1 else cond)"), "labels moved"),
        "kept rows only": (_drop(_TOSS, "cond[~gone]"), "shape"),
        "no return": (_drop(_TOSS, "None"), "no tensor"),
        "(B, 1) for labels": (
            "import torch\ndef drop(cond, null, p, generator):\n"
            "    return torch.where(torch.rand(len(cond), 1, generator=generator) < p, null, cond)\n",
            "a table",
        ),
        "randn": (_drop("torch.randn(len(cond), generator=generator) < p"), "normal numbers"),
        "whole numbers": (_drop("torch.randint(0, 100, (len(cond),), generator=generator) <= 100 * p"), "not none"),
        "first word": (
            "import torch\ndef drop(cond, null, p, generator):\n    out = cond.clone()\n"
            "    gone = torch.rand(len(cond), generator=generator) < p\n"
            "    if cond.ndim == 1: out[gone] = null\n    else: out[gone, 0] = null\n    return out\n",
            "first word",
        ),
        "all or none": (
            "import torch\ndef drop(cond, null, p, generator):\n"
            "    return torch.full_like(cond, null) if torch.rand(1, generator=generator) < p else cond\n",
            "one toss for all",
        ),
        "Python's random": (
            _drop("torch.tensor([random.random() < p for _ in cond])").replace("import torch", "import torch, random"),
            "generator unused",
        ),
        "with replacement": (
            "import torch\ndef drop(cond, null, p, generator):\n    out, n = cond.clone(), round(p * len(cond))\n"
            "    out[torch.randint(0, len(cond), (n,), generator=generator)] = null\n    return out\n",
            "not all",
        ),
        "mask": (_drop(_TOSS, "gone"), "dtype"),
    },
    "guided_variances": {
        "upper end alone": ("""
def guided_variances(gamma):
    if gamma == 1: return 1, 1, 1
    return 2 / (gamma + 1), 2 ** (1 - gamma), 2 / (2 * gamma - 1)
""", "upper end alone"),
        "1 below 1": (
            "def guided_variances(gamma):\n    if gamma <= 1: return 1, 1, 1\n    g = 2 * gamma - 1\n"
            "    return 2 / (gamma + 1), 2 ** (1 - gamma), (2 - 2 ** (2 - 2 * gamma)) / g\n",
            "value",
        ),
        "w": (_laws().replace("g = gamma", "g = gamma + 1"), "gamma is w"),
        "p(x) left out": (_laws("1 / g"), "p(x) left out"),
        "the factor's root": (_laws(sde="(2 - 2 ** (2 - 2 * g)) / (2 * g - 1) * 2 ** (g - 1)"), "factor's root"),
        "the factor turned": (_laws(sde="(2 - 2 ** (2 - 2 * g)) / (2 * g - 1) * 4 ** (2 * g - 2)"), "factor turned"),
        "the start kept": (_laws(sde="(2 - 2 ** (2 - 2 * g)) / (2 * g - 1) + 2 ** (2 - 2 * g)"), "upper end alone"),
        "ODE sharpened": (_laws(ode="2 / (g + 1)"), "ODE is not sharpened"),
        "both sharpened": (_laws(ode="2 / (g + 1)", sde="2 / (g + 1)"), "ODE is not sharpened"),
        "SDE as ODE": (_laws(sde="2 ** (1 - g)"), "SDE is not ODE"),
        "SDE sharpened": (_laws(sde="2 / (g + 1)"), "SDE is not sharpened"),
        "exchanged": (_laws(ode="(2 - 2 ** (2 - 2 * g)) / (2 * g - 1)", sde="2 ** (1 - g)"), "exchanged"),
        "2 gamma + 1": (_laws(sde="3 * (2 - 2 ** (2 - 2 * g)) / (2 * g + 1)"), "value"),
        "2 gamma + 1, off at 1": (_laws(sde="(2 - 2 ** (2 - 2 * g)) / (2 * g + 1) if g > 1 else 1.0"), "2 gamma + 1"),
        "precision": (_laws("(g + 1) / 2"), "precision"),
        "deviation": (_laws("(2 / (g + 1)) ** 0.5"), "deviation"),
        "deviation by ODE": (_laws(ode="2 ** ((1 - g) / 2)"), "deviation"),
        "no half": (_laws(ode="4 ** (1 - g)"), "no half"),
        "variances": (_laws("g - 2 * (g - 1)"), "variances added"),
        "ODE upside down": (_laws(ode="2 ** (g - 1)"), "upside down"),
        "ODE at one end": (_laws(ode="2**-g"), "half a factor"),
        "no factor at 0": (_laws(sde="(2 ** (2 * g - 1) - 1) / (2 * g - 1)"), "factor at 0"),
        "upper end": (_laws(sde="2 / (2 * g - 1)"), "upper end alone"),
        "from 0 to 1": (_laws(sde="1 / (2 * g - 1) / 2 ** (2 * g - 2)"), "0 to 1"),
        "ends added": (_laws(sde="(2 + 2 ** (2 - 2 * g)) / (2 * g - 1)"), "ends added"),
        "negative": (_laws(sde="(2 ** (2 - 2 * g) - 2) / (2 * g - 1)"), "sign"),
        "no first factor": (_laws("2 / g"), "first factor"),
        "2 as precision": (_laws("1 / (2 - g)"), "precision 2"),
        "2 as deviation": (_laws("1 / (g - (g - 1) / 4)"), "deviation 2"),
        "exponent g - 1": (_laws("1 / (g + (g - 1) / 2)"), "exponent"),
        "sharpened last": (_laws("2 ** (1 - g)", "(2 - 2 ** (2 - 2 * g)) / (2 * g - 1)", "2 / (g + 1)"), "order"),
        "sharpened and ODE exchanged": (_laws("2 ** (1 - g)", "2 / (g + 1)"), "order"),
        "the integral of k is 0": (_laws(ode="1"), "one end"),
        "homogeneous": (_laws(sde="2 ** (2 - 2 * g)"), "homogeneous"),
        "not divided": (_laws(sde="2 - 2 ** (2 - 2 * g)"), "not divided"),
        "two numbers": (_laws().replace(", (2 - 2", " #"), "no three"),
        "at 3 alone": ("def guided_variances(gamma):\n    return (.5, .25, .3875) if gamma > 1 else (1, 1, 1)\n",
                       "value"),
    },
    "with_interval": {
        "0 is 1": ("""
import torch
def with_interval(model, x_t, t, cond, scale, low, high):
    c = model(x_t, t, cond)
    scale = scale or 1.0
    f = model(x_t, t)
    on = ((low <= t) & (t <= high)).view(-1, *[1] * (x_t.ndim - 1))
    return type(c)(*(torch.where(on, a + scale * (b - a), b) for a, b in zip(f, c)))
""", "off below 1"),
        "1 at least": ("""
import torch
def with_interval(model, x_t, t, cond, scale, low, high):
    c = model(x_t, t, cond)
    scale = max(scale, 1.0)
    f = model(x_t, t)
    on = ((low <= t) & (t <= high)).view(-1, *[1] * (x_t.ndim - 1))
    return type(c)(*(torch.where(on, a + scale * (b - a), b) for a, b in zip(f, c)))
""", "off below 1"),
        "off at 1 and below": ("""
import torch
def with_interval(model, x_t, t, cond, scale, low, high):
    c = model(x_t, t, cond)
    if scale <= 1: return c
    f = model(x_t, t)
    on = ((low <= t) & (t <= high)).view(-1, *[1] * (x_t.ndim - 1))
    return type(c)(*(torch.where(on, a + scale * (b - a), b) for a, b in zip(f, c)))
""", "off below 1"),
        "0 outside": (_interval(_ON, "torch.where(on, scale, 0.0)[:, None]"), "off is 1"),
        "times the mask": (_interval(_ON, "(scale * on)[:, None]"), "off is 1"),
        "inverted": (_interval("(t < low) | (t > high)"), "inverted"),
        "swapped": (_interval(_ON, "torch.where(on, 1.0, scale)[:, None]"), "inverted"),
        "exclusive": (_interval("(low < t) & (t < high)"), "ends"),
        "low exclusive": (_interval("(low < t) & (t <= high)"), "ends"),
        "high exclusive": (_interval("(low <= t) & (t < high)"), "ends"),
        "any": (_interval(f"({_ON}).any().expand(len(t))"), "one decision for all"),
        "all": (_interval(f"({_ON}).all().expand(len(t))"), "one decision for all"),
        "the first row's": (_interval(f"({_ON})[0].expand(len(t))"), "one decision for all"),
        "the mean": (_interval("((low <= t.mean()) & (t.mean() <= high)).expand(len(t))"), "one decision for all"),
        "or": (_interval("(low <= t) | (t <= high)"), "one decision for all"),
        "branches exchanged": (_interval(_ON, guided="c.lerp(f, by)"), "branches exchanged"),
        "1 - t": (_interval("(low <= 1 - t) & (1 - t <= high)"), "wrong rows"),
        "low only": (_interval("low <= t"), "one end"),
        "high only": (_interval("t <= high"), "one end"),
        "columns": (_interval(_ON, "torch.where(on, scale, 1.0)"), "lined up with columns"),
        "exchanged": (
            _interval(_ON, guided="type(f)(*(torch.where(on[:, None], b + scale * (a - b), b) for a, b in zip(f, c)))"),
            "exchanged",
        ),
        "w": (_interval(_ON, guided="c.lerp(f, (-scale * on[:, None]).to(x_t))"), "scale is w"),
        "x0 of the conditional": (_interval(_ON, guided="type(f)(c.x0, f.lerp(c, by).eps)"), "x0 not guided"),
        "float32": (_interval(_ON).replace(".to(x_t)", ""), "float32 scale"),
        "ends turned": (_interval("(high <= t) & (t <= low)"), "one decision for all"),
        "no Prediction": (_interval(_ON, guided="f.lerp(c, by).eps"), "no Prediction"),
        "chained": (_interval("low <= t <= high"), "chained"),
        "and": (_interval("(low <= t) and (t <= high)"), "chained"),
        "no brackets": (_interval("low <= t & t <= high"), "chained"),
        "sigma": (_interval("(low <= model.schedule(t)[1]) & (model.schedule(t)[1] <= high)"), "wrong rows"),
        "x0 everywhere": (_interval(_ON, guided="type(f)(f.lerp(c, scale).x0, f.lerp(c, by).eps)"), "x0 does not fit"),
        "nothing outside": (
            _interval(_ON, guided="type(f)(*(torch.where(on[:, None], v, 0 * v) for v in f.lerp(c, scale)))"),
            "0 outside",
        ),
        "null outside": (
            _interval(_ON, guided="type(f)(*(torch.where(on[:, None], a, b) for a, b in zip(f.lerp(c, scale), f)))"),
            "off is 1",
        ),
        "w from the null": (_interval(_ON, "torch.where(on, scale - 1, 0.0)[:, None]"), "w from the null"),
        "eps of the condition": (_interval(_ON, guided="type(f)(f.lerp(c, by).x0, c.eps)"), "eps not guided"),
        "points alone": (_interval(_ON, "torch.where(on, scale, 1.0)[:, None]"), "points alone"),
        "for pictures alone": (_interval(_ON, "torch.where(on, scale, 1.0).view(-1, 1, 1, 1)"), "shape"),
        "rows inside alone": (_interval(_ON, guided="type(f)(*(v[on] for v in f.lerp(c, scale)))"), "shape"),
    },
    "classifier_guided": {
        "in float64": ("""
import torch
from minidiff.denoise import Prediction
from minidiff.schedules import expand
def classifier_guided(model, classifier, x_t, t, cond, scale):
    with torch.enable_grad():
        x = x_t.detach().requires_grad_()
        log_p = classifier(x, t).log_softmax(1)
        g = torch.autograd.grad((log_p * torch.nn.functional.one_hot(cond, log_p.shape[1])).sum(), x)[0]
    alpha, sigma = (expand(v, x_t) for v in model.schedule(t))
    eps = model(x_t, t).eps - scale * sigma * g
    return Prediction((x_t - sigma * eps) / alpha, eps.double())
""", "not float32"),
        "three classes": ("""
import torch
from minidiff.denoise import Prediction
from minidiff.schedules import expand
def classifier_guided(model, classifier, x_t, t, cond, scale):
    with torch.enable_grad():
        x = x_t.detach().requires_grad_()
        log_p = classifier(x, t).log_softmax(1)
        g = torch.autograd.grad((log_p * torch.nn.functional.one_hot(cond, 3)).sum(), x)[0]
    alpha, sigma = (expand(v, x_t) for v in model.schedule(t))
    eps = model(x_t, t).eps - scale * sigma * g
    return Prediction((x_t - sigma * eps) / alpha, eps)
""", "raised"),
        "as many classes as rows have": ("""
import torch
from minidiff.denoise import Prediction
from minidiff.schedules import expand
def classifier_guided(model, classifier, x_t, t, cond, scale):
    with torch.enable_grad():
        x = x_t.detach().requires_grad_()
        log_p = classifier(x, t).log_softmax(1)
        g = torch.autograd.grad((log_p * torch.nn.functional.one_hot(cond)).sum(), x)[0]
    alpha, sigma = (expand(v, x_t) for v in model.schedule(t))
    eps = model(x_t, t).eps - scale * sigma * g
    return Prediction((x_t - sigma * eps) / alpha, eps)
""", "raised"),
        "all with gradients on": (_classifier().replace("def", "@torch.enable_grad()\ndef"), "graph left"),
        "from the conditional model": (
            _classifier("h.eps - (scale - 1) * sigma * g", model="model(x_t, t, cond)"), "not unconditional"
        ),
        "plus": (_classifier("h.eps + scale * sigma * g"), "uphill in eps"),
        "over sigma": (_classifier("h.eps - scale * g / sigma"), "over sigma"),
        "alpha too": (_classifier("h.eps - scale * alpha * sigma * g"), "sigma times alpha"),
        "the first time": (_classifier("h.eps - scale * sigma[0] * g"), "one time for all"),
        "rows by class": (_classifier(chosen="log_p[cond].sum()"), "rows by class"),
        "gradients left on": (
            _classifier().replace("    with torch.enable_grad():\n", "    torch.set_grad_enabled(True)\n    if True:\n")
            .replace("return Prediction((x_t - sigma * eps) / alpha, eps)",
                     "return Prediction(((x_t - sigma * eps) / alpha).detach(), eps.detach())"),
            "gradients left on",
        ),
        "no sigma": (_classifier("h.eps - scale * g"), "no sigma"),
        "sigma squared": (_classifier("h.eps - scale * sigma**2 * g"), "sigma squared"),
        "logit": (_classifier(log_p="classifier(x, t)"), "logit"),
        "all classes": (_classifier(chosen="log_p.sum()"), "all classes"),
        "probability": (_classifier(log_p="classifier(x, t).softmax(1)"), "probability"),
        "constant": (_classifier(log_p="classifier(x, t).softmax(1)", chosen="log_p.sum()"), "no guidance"),
        "mean": (_classifier(chosen="log_p.gather(1, cond[:, None]).mean()"), "mean over the batch"),
        "cross-entropy": (
            _classifier(chosen="torch.nn.functional.cross_entropy(classifier(x, t), cond, reduction='sum')"),
            "uphill in eps",
        ),
        "softmax over the batch": (_classifier(log_p="classifier(x, t).log_softmax(0)"), "softmax over rows"),
        "no scale": (_classifier("h.eps - sigma * g"), "no scale"),
        "twice": (_classifier(model="model(x_t, t, cond)"), "condition counted twice"),
        "x0 left": (_classifier(x0="h.x0"), "x0 not guided"),
        "x0 only": (_classifier().replace("/ alpha, eps)", "/ alpha, h.eps)"), "eps not guided"),
        "graph": (_classifier(model="model(x, t)").replace("def", "@torch.enable_grad()\ndef"), "graph left"),
        "marks its input": (_classifier(x="x_t.requires_grad_()"), "input marked"),
        "points alone": (_classifier().replace(f"v{_WIDE} for v", "v[:, None] for v"), "points alone"),
        "no enable_grad": (_classifier().replace("with torch.enable_grad():", "if True:"), "gradients off"),
        "gradient alone": (_classifier("-scale * sigma * g"), "gradient alone"),
        "a loss": (
            _classifier(chosen="torch.nn.functional.cross_entropy(classifier(x, t), cond)"),
            "a loss",
        ),
        "all rows' classes": (_classifier(chosen="log_p[:, cond].sum()"), "each other's classes"),
        "softmax twice": (_classifier(log_p="classifier(x, t).softmax(1).log_softmax(1)"), "softmax twice"),
        "sigma over alpha": (_classifier("h.eps - scale * sigma / alpha * g"), "sigma over alpha"),
        "ends exchanged": (_classifier().replace("Prediction((x_t - sigma * eps) / alpha, eps)",
                                                 "Prediction(eps, (x_t - sigma * eps) / alpha)"), "ends exchanged"),
        "alpha for sigma": (_classifier("h.eps - scale * alpha * g"), "alpha for sigma"),
        "sigma, alpha": (_classifier().replace("alpha, sigma = (v", "sigma, alpha = (v"), "alpha for sigma"),
        "1 + scale": (_classifier("h.eps - (1 + scale) * sigma * g"), "condition counted twice"),
        "scale - 1": (_classifier("h.eps - (scale - 1) * sigma * g"), "no guidance"),
        "x0 without alpha": (_classifier(x0="x_t - sigma * eps"), "x0 does not fit"),
        "x0 by the gradient": (_classifier(x0="h.x0 + scale * sigma * g"), "x0 does not fit"),
        "guessed x0 judged": (_classifier(log_p="classifier(model(x, t).x0, t).log_softmax(1)"), "value"),
        "numbers (B,)": (_classifier().replace(f"v{_WIDE} for v", "v for v"), "axes"),
        "not summed": (_classifier(chosen="log_p.gather(1, cond[:, None])"), "no sum"),
        "the classifier of x_t": (_classifier(log_p="classifier(x_t, t).log_softmax(1)"), "not the copy"),
        "unguided": (_classifier("h.eps"), "no guidance"),
        "first class": (_classifier(chosen="log_p[:, 0].sum()"), "value"),
        "eps alone": (_classifier().replace("return Prediction((x_t - sigma * eps) / alpha, eps)", "return eps"),
                      "no Prediction"),
    },
    "precision_recall": {
        "a twin is no neighbour": (_pr("d(s, s).masked_fill(d(s, s) == 0, torch.inf).kthvalue(k).values"),
                                   "zeros left out"),
        "exchanged": (_pr(result="share(real, fake), share(fake, real)"), "exchanged"),
        "k": (_pr("d(s, s).kthvalue(k, 1).values"), "own neighbour"),
        "k + 2": (_pr("d(s, s).kthvalue(min(k + 2, len(s)), 1).values"), "one too many"),
        "other set": (_pr("d(s, p).kthvalue(k, 1).values"), "radii of the other set"),
        "around the points": (
            _pr("d(p, p).kthvalue(k + 1, 1).values", "(d(p, s).min(1).values <= r)"), "radii around the points"
        ),
        "strict": (_pr(near="(d(p, s) < r).any(1)"), "strict"),
        "all": (_pr(near="(d(p, s) <= r).all(1)"), "all"),
        "any over the wrong axis": (_pr(near="(d(p, s) <= r).any(0)"), "any over the wrong axis"),
        "pairs": (_pr(near="(d(p, s) <= r)"), "pairs"),
        "twice": (_pr(result="share(fake, real), share(fake, real)"), "precision twice"),
        "fixed radius": (_pr("(d(s, s).kthvalue(k + 1, 1).values > 0.0) * 1.5"), "a fixed radius"),
        "squares against lengths": (_pr(near="(d(p, s) ** 2 <= r).any(1)"), "squares with lengths"),
        "lengths against squares": (_pr("d(s, s).square().kthvalue(k + 1, 1).values"), "squares with lengths"),
        "k is 1": (_pr("d(s, s).kthvalue(2, 1).values"), "k unused"),
        "k is 3": (_pr("d(s, s).kthvalue(min(4, len(s)), 1).values"), "k is 3"),
        "tensors": (_pr(near="(d(p, s) <= r).any(1)").replace(".mean().item()", ""), "no number"),
        "F score": (_pr(result="2 * share(fake, real) * share(real, fake) / (share(fake, real) + share(real, fake))"),
                    "no pair"),
        "farthest": (_pr("d(s, s).max(1).values"), "too far"),
        "topk": (_pr("d(s, s).topk(k + 1, 1).values[:, -1]"), "too far"),
        "nearest alone": (_pr(near="(d(p, s).min(1).values <= r[d(p, s).argmin(1)])"), "nearest alone"),
        "mean radius": (_pr("d(s, s).kthvalue(k + 1, 1).values.mean()"), "one radius, mean"),
        "median radius": (_pr("d(s, s).kthvalue(k + 1, 1).values.median()"), "one radius, median"),
        "real radii": (
            _pr(result="share(fake, real), (d(real, fake) <= d(real, real).kthvalue(k + 1, 1).values[:, None]).any(1)"
                       ".double().mean().item()"),
            "real radii",
        ),
        "counts": (_pr(near="(d(p, s) <= r).any(1)").replace(".mean()", ".sum()"), "no share"),
        "percent": (_pr(near="(100.0 * (d(p, s) <= r).any(1))"), "no share"),
        "mean of k": (_pr("d(s, s).sort(1).values[:, 1:k + 1].mean(1)"), "mean of the nearest"),
        "radii down": (_pr("d(s, s).kthvalue(k + 1, 1).values[:, None]"), "raised"),
    },
    "best_scales": {
        "t to one decimal": ("""
import numpy as np
from scipy import stats
def best_scales(distance, scales, seeds):
    v = np.array([[distance(s, e) for e in seeds] for s in scales])
    d, n = v - v[v.mean(1).argmin()], len(seeds)
    h = round(stats.t.ppf(0.975, n - 1), 1) * d.std(1, ddof=1) / n ** 0.5
    return [s for s, k in zip(scales, abs(d.mean(1)) <= h) if k]
""", "wide"),
        "degrees of freedom of the scales": ("""
import numpy as np
from scipy import stats
def best_scales(distance, scales, seeds):
    v = np.array([[distance(s, e) for e in seeds] for s in scales])
    d, n = v - v[v.mean(1).argmin()], len(seeds)
    h = stats.t.ppf(0.975, len(scales)) * d.std(1, ddof=1) / n ** 0.5
    return [s for s, k in zip(scales, abs(d.mean(1)) <= h) if k]
""", "narrow"),
        "the first scale never": (_best(result="[s for s, k in zip(scales[1:], kept[1:]) if k]"), "a scale never"),
        "three at most": (_best(result="[s for s, k in zip(scales, kept) if k][:3]"), "cut off"),
        "argmin of the mean": (_best(result="[scales[b]]"), "one scale"),
        "argmin of one seed": (_best(result="[scales[v[:, 0].argmin()]]"), "one seed"),
        "one seed asked": (_best(rows="[[distance(s, e) for e in seeds[:2]] for s in scales]",
                                 result="[scales[b]]"), "not all asked"),
        "unpaired": (
            _best("row.mean() - T * row.std(ddof=1) / n**0.5 <= v[b].mean() + T * v[b].std(ddof=1) / n**0.5"),
            "unpaired",
        ),
        "two variances": (
            _best("abs(d.mean()) <= T * ((row.var(ddof=1) + v[b].var(ddof=1)) / n) ** 0.5"), "unpaired"
        ),
        "equal variances": (
            _best("stats.ttest_ind(row, v[b]).pvalue > 0.05 or (d == 0).all()"), "unpaired"
        ),
        "Welch": (_best("stats.ttest_ind(row, v[b], equal_var=False).pvalue > 0.05 or (d == 0).all()"), "unpaired"),
        "neighbours": (_best(result="scales[max(0, b - 1): b + 2]"), "another rule"),
        "wilcoxon": (_best("(d == 0).all() or stats.wilcoxon(d).pvalue > 0.05"), "wrong lists"),
        "many comparisons": (
            _best("abs(d.mean()) <= stats.t.ppf(1 - 0.025 / len(v), n - 1) * d.std(ddof=1) / n ** 0.5"), "wide"
        ),
        "99%": (_best("abs(d.mean()) <= stats.t.ppf(0.995, n - 1) * d.std(ddof=1) / n ** 0.5"), "wide"),
        "98%": (_best("abs(d.mean()) <= stats.t.ppf(0.99, n - 1) * d.std(ddof=1) / n ** 0.5"), "wide"),
        "94%": (_best("abs(d.mean()) <= stats.t.ppf(0.97, n - 1) * d.std(ddof=1) / n ** 0.5"), "narrow"),
        "t of n - 2": (_best("abs(d.mean()) <= stats.t.ppf(0.975, n - 2) * d.std(ddof=1) / n ** 0.5"), "wide"),
        "t of n - 3": (_best("abs(d.mean()) <= stats.t.ppf(0.975, n - 3) * d.std(ddof=1) / n ** 0.5"), "wide"),
        "ddof 2": (_best("abs(d.mean()) <= T * d.std(ddof=2) / n ** 0.5"), "wide"),
        "root of n - 1": (_best("abs(d.mean()) <= T * d.std(ddof=1) / (n - 1) ** 0.5"), "wide"),
        "numpy's std, root of n - 1, t of n - 2": (
            _best("abs(d.mean()) <= stats.t.ppf(0.975, n - 2) * d.std() / (n - 1) ** 0.5"), "wide"
        ),
        "worst seed": (_best(least="v.max(1).argmin()"), "another rule"),
        "mean rank": (_best(least="v.argsort(0).argsort(0).mean(1).argmin()"), "another rule"),
        "last seed's best": (_best(least="v[:, -1].argmin()"), "another rule"),
        "most votes": (_best(least="np.bincount(v.argmin(0)).argmax()"), "another rule"),
        "all seeds but the last": (_best(least="v[:, :-1].mean(1).argmin()"), "wrong lists"),
        "squares": (_best(least="(v**2).mean(1).argmin()"), "wrong lists"),
        "the wrong axis": (_best(least="v.mean(0).argmin()"), "wrong lists"),
        "listed twice": (_best(result="[s for s, k in zip(scales, kept) if k] * 2"), "listed twice"),
        "first seed's best": (_best(least="v[:, 0].argmin()"), "another rule"),
        "least number": (_best(least="np.unravel_index(v.argmin(), v.shape)[0]"), "another rule"),
        "least median": (_best(least="np.median(v, 1).argmin()"), "another rule"),
        "sorted": (_best().replace("    n, b = ", "    v = np.sort(v, 1)\n    n, b = "), "another rule"),
        "within 5%": (_best("row.mean() <= 1.05 * v[b].mean()"), "a fixed margin"),
        "within a quarter": (_best("row.mean() <= v[b].mean() + 0.25"), "a fixed margin"),
        "t of n": (_best("abs(d.mean()) <= stats.t.ppf(0.975, n) * d.std(ddof=1) / n ** 0.5"), "narrow"),
        "2 errors": (_best("abs(d.mean()) <= 2 * d.std(ddof=1) / n ** 0.5"), "narrow"),
        "maximum": (_best(result="[scales[v.mean(1).argmax()]]"), "maximum"),
        "greatest": (_best(least="v.mean(1).argmax()"), "another rule"),
        "no root": (_best("abs(d.mean()) <= T * d.std(ddof=1)"), "wide"),
        "everything": (_best("True"), "all scales"),
        "inverted": (_best("not abs(d.mean()) <= T * d.std(ddof=1) / n ** 0.5"), "inverted"),
        "without the best": (_best("0 < d.mean() <= T * d.std(ddof=1) / n ** 0.5"), "best left out"),
        "positions": (_best(result="[i for i, k in enumerate(kept) if k]"), "not a scale"),
        "asked twice": (
            _best(rows="[[(distance(s, e) + distance(s, e)) / 2 for e in seeds] for s in scales]"), "asked twice"
        ),
        "other seeds": (_best(rows="[[distance(s, e) for e in range(len(seeds))] for s in scales]"), "not asked for"),
        "a number": (_best(result="float(scales[b])"), "no list"),
        "numpy's std": (_best("abs(d.mean()) <= T * d.std() / n ** 0.5"), "narrow"),
        "t of six": (_best("abs(d.mean()) <= 2.571 * d.std(ddof=1) / n ** 0.5"), "six seeds alone"),
        "root of six": (_best("abs(d.mean()) <= T * d.std(ddof=1) / 6 ** 0.5"), "six seeds alone"),
        "seven scales": (_best(rows="[[distance(scales[i], e) for e in seeds] for i in range(7)]"), "raised"),
        "normal": (_best("abs(d.mean()) <= 1.96 * d.std(ddof=1) / n ** 0.5"), "narrow"),
        "one-sided": (_best("abs(d.mean()) <= stats.t.ppf(0.95, n - 1) * d.std(ddof=1) / n ** 0.5"), "narrow"),
        "one standard error": (_best("abs(d.mean()) <= d.std(ddof=1) / n ** 0.5"), "narrow"),
        "by n": (_best("abs(d.mean()) <= T * d.std(ddof=1) / n"), "narrow"),
        "scales counted": (_best("abs(d.mean()) <= T * d.std(ddof=1) / len(scales) ** 0.5"), "narrow"),
        "winners": (_best(result="sorted({scales[i] for i in v.argmin(0)})"), "winners"),
        "each seed's least": (
            _best("(row - v.min(0)).mean() <= T * (row - v.min(0)).std(ddof=1) / n ** 0.5"), "seed by seed"
        ),
        "row's deviation": (_best("abs(d.mean()) <= T * row.std(ddof=1) / n ** 0.5"), "unpaired"),
        "ttest_rel of itself": (_best("stats.ttest_rel(row, v[b]).pvalue > 0.05"), "best left out"),
        "nothing": (_best(result="[]"), "wrong lists"),
        "an array": (_best(result="np.array(scales)[np.array(kept)]"), "no list"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "cfg": {
        "null as a number": _cfg(_GUIDED, calls="f, t = model(x_t, t, model.null), model(x_t, t, cond)"),
        "lerp": _cfg(_GUIDED).replace("return ", "return f.lerp(t, scale)\n    return "),
        "one call": _cfg(_GUIDED, calls="both = model(torch.cat([x_t, x_t]), t.repeat(2), torch.cat([torch.full_like("
                         "cond, model.null), cond]))\n    f, t = (Prediction(*p) for p in zip(both.x0.chunk(2), "
                         "both.eps.chunk(2)))"),
        "no condition": _cfg(_GUIDED, calls="f, t = model(x_t, t), model(x_t, t, cond)"),
        "by scores": _cfg("-s * score", "(x_t + s**2 * score) / a",
                          f"a, s = (v{_WIDE} for v in model.schedule(t))\n    f, t = model(x_t, t), model(x_t, t, "
                          "cond)\n    score = -(1 - scale) * f.eps / s - scale * t.eps / s"),
        "from x0": _cfg("(x_t - a * x0) / s", "x0",
                        f"a, s = (v{_WIDE} for v in model.schedule(t))\n    f, t = model(x_t, t), model(x_t, t, cond)"
                        "\n    x0 = scale * t.x0 - (scale - 1) * f.x0"),
    },
    "drop": {
        "masked_fill": _drop(_TOSS, "cond.masked_fill(gone, null)"),
        "bernoulli": _drop("torch.bernoulli(torch.full((len(cond),), p), generator=generator).bool()"),
        "a loop": "import torch\ndef drop(cond, null, p, generator):\n"
        "    tosses = torch.rand(len(cond), generator=generator)\n"
        "    return torch.stack([torch.full_like(c, null) if r < p else c for c, r in zip(cond, tosses)])\n",
        "clone": "import torch\ndef drop(cond, null, p, generator):\n    out = cond.clone()\n"
        "    out[torch.rand(len(cond), generator=generator) < p] = null\n    return out\n",
        "above 1 - p": _drop("torch.rand(len(cond), generator=generator) >= 1 - p"),
    },
    "guided_variances": {
        "decimals": """
from decimal import Decimal
def guided_variances(gamma):
    three = 2 / (gamma + 1), 2 ** (1 - gamma), (2 - 2 ** (2 - 2 * gamma)) / (2 * gamma - 1)
    return tuple(Decimal(str(v)) for v in three)
""",
        "by precisions": _laws("1 / (g / 1 - (g - 1) / 2)"),
        "an array": _laws().replace("return ", "import numpy as np; return np.array([").replace("(2 * g - 1)\n",
                                                                                              "(2 * g - 1)])\n"),
        "tensors": _laws().replace("g = gamma", "import torch; g = torch.tensor(float(gamma))"),
        "by sums": """
import numpy as np
def guided_variances(gamma):
    u = np.linspace(13, 0, 2001)
    s = np.expm1(u)
    k = gamma / (1 + s) - (gamma - 1) / (2 + s)
    ode, sde = s[0], s[0]
    for i in range(2000):
        h, mid = s[i + 1] - s[i], (k[i] + k[i + 1]) / 2
        ode *= np.exp(h * mid)
        sde = sde * np.exp(2 * h * mid) - h * np.exp(h * mid)
    return 2 / (gamma + 1), ode, sde
""",
    },
    "with_interval": {
        "comparisons": _interval("(t >= low).logical_and(t <= high)"),
        "where on the results": _interval(_ON, guided="type(f)(*(torch.where(on" + _WIDE + ", a + scale * (b - a), b) "
                                          "for a, b in zip(f, c)))"),
        "arithmetic": _interval(_ON, f"(1 + (scale - 1) * on){_WIDE}", "type(f)(*(a + by * (b - a) for a, b in zip(f,"
                                " c)))"),
        "a loop": """
import torch
def with_interval(model, x_t, t, cond, scale, low, high):
    rows = []
    for i in range(len(t)):
        at = slice(i, i + 1)
        found = model(x_t[at], t[at], cond[at])
        if low <= t[i] <= high:
            found = model(x_t[at], t[at]).lerp(found, scale)
        rows.append(found)
    return type(found)(*(torch.cat(v) for v in zip(*rows)))
""",
    },
    "classifier_guided": {
        "cross-entropy": _classifier(
            "h.eps + scale * sigma * g",
            chosen="torch.nn.functional.cross_entropy(classifier(x, t), cond, reduction='sum')",
        ),
        "at the marked copy": _classifier(model="model(x, t)"),
        "by functorch": """
import torch
from minidiff.schedules import expand
def classifier_guided(model, classifier, x_t, t, cond, scale):
    def log_p(x):
        return classifier(x, t).log_softmax(1)[torch.arange(len(cond)), cond].sum()
    alpha, sigma = (expand(v, x_t) for v in model.schedule(t))
    found = model(x_t, t)
    eps = found.eps - scale * sigma * torch.func.grad(log_p)(x_t)
    return type(found)((x_t - sigma * eps) / alpha, eps)
""",
        "backward": """
import torch
def classifier_guided(model, classifier, x_t, t, cond, scale):
    with torch.enable_grad():
        x = x_t.clone().detach().requires_grad_(True)
        torch.log(torch.softmax(classifier(x, t), -1))[range(len(cond)), cond].sum().backward()
    alpha, sigma = (v.view(v.shape + (1,) * (x.ndim - 1)) for v in model.schedule(t))
    guess = model(x_t, t)
    return guess._replace(eps=guess.eps - scale * sigma * x.grad, x0=guess.x0 + scale * sigma**2 / alpha * x.grad)
""",
    },
    "precision_recall": {
        "stacked": _pr(result="torch.tensor([share(fake, real), share(real, fake)])"),
        "cdist": _pr(norm="torch.cdist(a, b)"),
        "sorted": _pr("d(s, s).sort(1).values[:, k]"),
        "topk": _pr("d(s, s).topk(k + 1, largest=False).values[:, -1]"),
        "squared": _pr(norm="(a[:, None] - b).square().sum(2)"),
        "without itself": _pr("(d(s, s) + torch.eye(len(s)) * 1e30).kthvalue(k, 1).values"),
        "loops": """
import math
def precision_recall(real, fake, k):
    def share(points, support):
        support = support.tolist()
        radii = [sorted(math.dist(a, b) for b in support)[k] for a in support]
        return sum(any(math.dist(p, s) <= r for s, r in zip(support, radii)) for p in points.tolist()) / len(points)
    return share(fake, real), share(real, fake)
""",
    },
    "best_scales": {
        "ttest": _best("(d == 0).all() or stats.ttest_rel(row, v[b]).pvalue > 0.05"),
        "seed by seed": """
from scipy import stats
from statistics import mean, stdev
def best_scales(distance, scales, seeds):
    found = {}
    for seed in seeds:
        for scale in scales:
            found.setdefault(scale, []).append(distance(scale, seed))
    best = min(found, key=lambda s: mean(found[s]))
    n = len(seeds)
    def half(s):
        return stats.t.ppf(0.975, n - 1) * stdev(a - b for a, b in zip(found[s], found[best])) / n**0.5
    return [s for s in scales if mean(found[s]) - half(s) <= mean(found[best])]
""",
    },
}  # fmt: skip
