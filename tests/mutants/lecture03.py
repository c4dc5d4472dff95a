"""Wrong answers to the exercises of lecture 03, each with the key of its message, and others that are right."""


def _blind(logits: str, weights="torch.softmax(logits, 0)", each="(sigma / var)[..., None] * x") -> str:
    return f"""
import torch
def blind_eps(x, sigmas, s):
    sigma = sigmas[:, None]
    var = s**2 + sigma**2
    square, d = x.square().sum(1), x.shape[1]
    logits = {logits}
    weights = {weights}
    return (weights[..., None] * {each}).sum(0)
"""


_LOG_P = "-square / (2 * var) - d / 2 * var.log()"


def _visible(line: str) -> str:
    return f"import math\ndef visible(d):\n    return {line}\n"


def _paired(half: str, first: str = "d = a - b", last: str = "mean, mean - half, mean + half") -> str:
    return f"""
import math
import torch
from scipy import stats
def paired_interval(a, b):
    {first}
    n, mean = len(a), d.mean().item()
    half = {half}
    return {last}
"""


_T = "stats.t.ppf(0.975, n - 1) * d.std().item() / math.sqrt(n)"
_UNPAIRED = "stats.t.ppf(0.975, 2 * n - 2) * math.sqrt((a.var() + b.var()).item() / n)"


def _misread(said: str = "b_guess / guess", solved: str = "", result: str = "eps - x0") -> str:
    solved = solved or "(b - sigma * out) / det, (alpha * out - a) / det"
    return f"""
import torch
from minidiff.denoise import coefficients
from minidiff.schedules import Linear
def misread(target, t, guess):
    path = Linear()
    _, b_guess = coefficients(target, path, guess)
    a, b = coefficients(target, path, t)
    alpha, sigma = path(t)
    out, det = {said}, alpha * b - sigma * a
    x0, eps = {solved}
    return {result}
"""


def _by_hand(eps: str, v: str, flow: str = "1 / guess", x0: str = "1 / t") -> str:
    return f"""
def misread(target, t, guess):
    return {{"x0": {x0}, "flow": {flow}, "eps": {eps}, "v": {v}}}[target]
"""


_EPS = "(1 - guess) / (guess * (1 - t))"
_V = "(1 - 2 * guess * (1 - t)) / (guess * (1 - 2 * t + 2 * t**2))"


def _features(line: str, angle: str = "2 * math.pi * level[:, None] * frequencies") -> str:
    return (
        f"import math\nimport torch\ndef level_features(level, frequencies):\n    angle = {angle}\n    return {line}\n"
    )


_COS_SIN = "torch.cat([angle.cos(), angle.sin()], 1)"

WRONG = {
    "blind_eps": {
        "the middle level subtracted": ("""
def blind_eps(x, sigmas, s):
    var = s**2 + sigmas[:, None] ** 2
    lp = -x.square().sum(1) / (2 * var) - x.shape[1] / 2 * var.log()
    e = (lp - lp[len(sigmas) // 2]).exp()
    w = e / e.sum(0)
    return (w * sigmas[:, None] / var).sum(0)[:, None] * x
""", "underflow"),
        "guarded above and below": (
            _blind(_LOG_P, "(p := torch.exp(logits) + 1e-300) / p.sum(0)"), "underflow"
        ),
        "clamped logarithms": (_blind(_LOG_P, "torch.softmax(logits.clamp(min=-700), 0)"), "underflow"),
        "float64": (_blind(_LOG_P).replace("sigma = sigmas[:, None]", "x = x.double(); sigma = sigmas[:, None]"),
                    "not float32"),
        "squeezed": (_blind(_LOG_P).replace(".sum(0)\n", ".sum(0).squeeze()\n"), "one alone"),
        "equal weights": (_blind(_LOG_P, "torch.ones_like(logits) / len(sigmas)"), "equal weights"),
        "one largest for all": (_blind(_LOG_P, "(p := torch.exp(logits - logits.max())) / p.sum(0)"), "underflow"),
        "the first subtracted": (_blind(_LOG_P, "(p := torch.exp(logits - logits[:1])) / p.sum(0)"), "underflow"),
        "likeliest level": (_blind(_LOG_P, "(logits == logits.amax(0)).double()"), "likeliest level"),
        "no log term": (_blind("-square / (2 * var)"), "no log term"),
        "log term once": (_blind("-square / (2 * var) - var.log() / 2"), "log term once"),
        "log term twice": (_blind("-square / (2 * var) - d * var.log()"), "log term twice"),
        "no half": (_blind("-square / var - d / 2 * var.log()"), "no half"),
        "noise alone": (_blind("-square / (2 * sigma**2) - d * sigma.log()"), "noise alone"),
        "exp": (_blind(_LOG_P, "logits.exp() / logits.exp().sum(0)"), "underflow"),
        "exp, guarded": (_blind(_LOG_P, "logits.exp() / (logits.exp().sum(0) + 1e-300)"), "underflow"),
        "densities": (
            _blind("var ** (-d / 2) * torch.exp(-square / (2 * var))", "logits / logits.sum(0)"),
            "underflow",
        ),
        "softmax over the batch": (
            _blind(_LOG_P, "torch.softmax(logits, 1) if len(sigmas) > 1 else torch.ones_like(logits)"),
            "softmax over the batch",
        ),
        "softmax over the batch, always": (_blind(_LOG_P, "torch.softmax(logits, 1)"), "softmax over the batch"),
        "mean over coordinates": (_blind("-square / (2 * var) / d - var.log() / 2"), "mean over coordinates"),
        "not normalised": (
            _blind(_LOG_P + " - d / 2 * math.log(2 * math.pi)",
                   "logits.exp() if len(sigmas) > 1 else torch.ones_like(logits)").replace("import", "import math,"),
            "not normalised",
        ),
        "all noise": (_blind(_LOG_P, each="(1 / sigma)[..., None] * x"), "all noise"),
        "x0": (_blind(_LOG_P, each="(s**2 / var)[..., None] * x"), "x0"),
        "sigma eps": (_blind(_LOG_P, each="(sigma**2 / var)[..., None] * x"), "noise"),
        "score": (_blind(_LOG_P, each="(-1 / var)[..., None] * x"), "score"),
        "deviations add": (_blind(_LOG_P, each="(sigma / (s + sigma))[..., None] * x"), "no square"),
        "s": (_blind(_LOG_P).replace("s**2 + sigma**2", "s + sigma**2"), "s for s^2"),
        "whitened": (_blind(_LOG_P, each="(1 / var.sqrt())[..., None] * x"), "whitened"),
        "level averaged": (
            _blind(_LOG_P).replace("return (", "m = (weights * sigma).sum(0)[:, None]\n    return m * x / (s**2 + m**2)"
                                   "\n    ("),
            "level averaged",
        ),
        "weights turned": (_blind("square / (2 * var) + d / 2 * var.log()"), "sign"),
        "float32": (_blind(_LOG_P).replace(".sum(0)\n", ".sum(0).float()\n"), "dtype"),
        "levels first": (_blind(_LOG_P).replace(".sum(0)\n", "\n"), "shape"),
    },
    "visible": {
        "of sigma^2": (_visible("math.sqrt(2 / d)"), "variance"),
        "1 / sqrt(d)": (_visible("d**-0.5"), "no 2"),
        "no root": (_visible("1 / (2 * d)"), "no root"),
        "2 / d": (_visible("2 / d"), "no roots"),
        "grows": (_visible("math.sqrt(2 * d)"), "turned"),
        "absolute": (_visible("math.sqrt(d / 2)"), "absolute"),
        "per cent": (_visible("100 / math.sqrt(2 * d)"), "per cent"),
        "halved twice": (_visible("math.sqrt(2 / d) / 4"), "half"),
        "one number": (_visible("0.0128"), "one number"),
        "words": (_visible("'1 / sqrt(2 d)'"), "no number"),
    },
    "paired_interval": {
        "1.96 from thirty on": (
            _paired("(stats.t.ppf(0.975, n - 1) if n < 30 else 1.96) * d.std().item() / math.sqrt(n)"),
            "five seeds only",
        ),
        "ends by size": (_paired(_T, last="mean, *sorted([mean - half, mean + half], key=abs)"), "order"),
        "normal above 30": (
            _paired("(stats.t.ppf(0.975, n - 1) if n <= 30 else 1.96) * d.std().item() / math.sqrt(n)"),
            "five seeds only",
        ),
        "a table": (_paired("{2: 4.303, 4: 2.776, 11: 2.201, 29: 2.045}[n - 1] * d.std().item() / math.sqrt(n)"),
                    "value"),
        "four digits": (_paired(_T, last="round(mean, 4), round(mean - half, 4), round(mean + half, 4)"), "rounded"),
        "rounded": (_paired(_T, last="round(mean, 3), round(mean - half, 3), round(mean + half, 3)"), "rounded"),
        "logarithms": (
            _paired(_T, "d = a.log() - b.log()", "mean + 0 * (a - 9).log().mean().item(), mean, mean"), "NaN"
        ),
        "an absolute mean": (_paired(_T, last="abs(mean), abs(mean) - half, abs(mean) + half"), "never below 0"),
        "ppf turned": (_paired("stats.t.ppf(n - 1, 0.975) * d.std().item() / math.sqrt(n)"), "NaN"),
        "1.96": (_paired(_T.replace("stats.t.ppf(0.975, n - 1)", "1.96")), "normal"),
        "normal quantile": (_paired(_T.replace("t.ppf(0.975, n - 1)", "norm.ppf(0.975)")), "normal"),
        "2": (_paired(_T.replace("stats.t.ppf(0.975, n - 1)", "2")), "two"),
        "one-sided": (_paired(_T.replace("0.975", "0.95")), "one-sided"),
        "n degrees": (_paired(_T.replace("n - 1", "n")), "degrees"),
        "standard error": (_paired("d.std().item() / math.sqrt(n)"), "no t"),
        "/ n": (_paired(_T.replace("math.sqrt(n)", "n")), "by n"),
        "no root": (_paired(_T.replace(" / math.sqrt(n)", "")), "no root"),
        "population": (_paired(_T.replace("std()", "std(correction=0)")), "population"),
        "variance": (_paired(_T.replace("std()", "var()")), "variance"),
        "turned": (_paired(_T, "d = b - a"), "turned"),
        "exchanged": (_paired(_T, last="mean, mean + half, mean - half"), "order"),
        "mean in the middle": (_paired(_T, last="mean - half, mean, mean + half"), "mean between"),
        "two-sample": (_paired(_UNPAIRED), "unpaired"),
        "Welch": (
            _paired("stats.t.ppf(0.975, n) * math.sqrt((a.var() + b.var()).item() / n)"),
            "unpaired",
        ),
        "ratio": (_paired(_T, "d = a / b"), "unpaired"),
        "sorted": (_paired(_T, "d = a.sort().values - b.sort().values"), "unpaired"),
        "2.776 for all": (_paired(_T.replace("stats.t.ppf(0.975, n - 1)", "2.776445")), "five seeds only"),
        "two results": (_paired(_T, last="mean - half, mean + half"), "not three"),
        "half width": (_paired(_T, last="mean, half, half"), "half width"),
        "the difference": (_paired(_T, last="d, mean - half, mean + half"), "no number"),
    },
    "misread": {
        "all told": (_misread("b / t"), "told"),
        "all as flow": (_by_hand("1 / guess", "1 / guess"), "all as flow"),
        "x0 as flow": (_by_hand(_EPS, _V, x0="1 / guess"), "all as flow"),
        "v as flow": (_by_hand(_EPS, "1 / guess"), "first as flow"),
        "eps as flow": (_by_hand("1 / guess", _V), "second as flow"),
        "flow told": (_by_hand(_EPS, _V, "1 / t"), "told"),
        "solved at the guess": (
            _misread().replace("path, t)", "path, guess)").replace("path(t)", "path(guess)"), "all as flow"
        ),
        "eps alone": (_misread(result="eps"), "eps alone"),
        "x0 added": (_misread(result="eps + x0"), "plus"),
        "sign": (_misread(result="x0 - eps"), "sign"),
        "b of t": (_misread("b / guess"), "b of t"),
        "no division": (_misread("b_guess"), "no division"),
        "no determinant": (_misread(solved="b - sigma * out, alpha * out - a"), "no determinant"),
        "exchanged": (_misread().replace("(target, t, guess)", "(target, guess, t)"), "exchanged"),
        "no determinant of eps": (_by_hand("(1 - guess) / guess", _V), "no determinant of eps"),
        "no alpha": (_by_hand("(1 + t - guess) / guess", _V), "no alpha"),
        "v by half": (_by_hand(_EPS, "(1 - guess * (1 - t)) / (guess * (1 - 2 * t + 2 * t**2))"), "value"),
    },
    "level_features": {
        "no 2 pi": (_features(_COS_SIN, "level[:, None] * frequencies"), "no 2 pi"),
        "pi": (_features(_COS_SIN, "math.pi * level[:, None] * frequencies"), "one pi"),
        "sine first": (_features("torch.cat([angle.sin(), angle.cos()], 1)"), "sine first"),
        "cosines twice": (_features("torch.cat([angle.cos(), angle.cos()], 1)"), "one only"),
        "cosines": (_features("angle.cos()"), "one only"),
        "interleaved": (_features("torch.stack([angle.cos(), angle.sin()], 2).flatten(1)"), "interleaved"),
        "divided": (_features(_COS_SIN, "2 * math.pi * level[:, None] / frequencies"), "divided"),
        "lined up": (_features(_COS_SIN, "2 * math.pi * frequencies[:, None] * level"), "lined up"),
        "stacked": (_features("torch.cat([angle.cos(), angle.sin()])"), "joined below"),
        "float32": (_features(_COS_SIN + ".float()"), "dtype"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "blind_eps": {
        "logsumexp": _blind(_LOG_P, "torch.exp(logits - torch.logsumexp(logits, 0))"),
        "the largest subtracted": _blind(_LOG_P, "(p := torch.exp(logits - logits.amax(0))) / p.sum(0)"),
        "a loop": """
import math
import torch
def blind_eps(x, sigmas, s):
    logs = [torch.distributions.Normal(0, math.sqrt(s * s + v * v)).log_prob(x).sum(1) for v in sigmas.tolist()]
    weights = torch.stack(logs, 1).softmax(1)
    return sum(w[:, None] * v * x / (s * s + v * v) for w, v in zip(weights.T, sigmas))
""",
    },
    "visible": {
        "by the spread of the square": """
import math
def visible(d):
    return math.sqrt(1 + math.sqrt(2 / d)) - 1
""",
        "of sigma^2, halved": _visible("(2 / d) ** 0.5 / 2"),
        "chi": "from scipy import stats\ndef visible(d):\n    return float(stats.chi(d).std() / stats.chi(d).mean())\n",
        "a tensor": "import torch\ndef visible(d):\n    return torch.tensor(2.0 * d).rsqrt()\n",
    },
    "paired_interval": {
        "an array": "import numpy as np\n" + _paired(_T, last="np.array([mean, mean - half, mean + half])"),
        "scipy": """
from scipy import stats
def paired_interval(a, b):
    found = stats.ttest_rel(a.numpy(), b.numpy()).confidence_interval(0.95)
    return (a - b).mean(), found.low, found.high
""",
        "numpy": """
import numpy as np
from scipy import stats
def paired_interval(a, b):
    d = np.asarray(a) - np.asarray(b)
    low, high = stats.t.interval(0.95, len(d) - 1, d.mean(), stats.sem(d))
    return d.mean(), low, high
""",
    },
    "misread": {
        "by hand": _by_hand(_EPS, _V),
        "through the velocity": _misread(result="(out - (a + b)) * 0 - x0 + eps"),
    },
    "level_features": {
        "outer": _features(_COS_SIN, "torch.outer(level, 2 * math.pi * frequencies)"),
        "einsum": _features(_COS_SIN, "2 * math.pi * torch.einsum('b,f->bf', level, frequencies)"),
        "a shifted sine": _features("torch.cat([torch.sin(angle + math.pi / 2), angle.sin()], 1)"),
    },
}
