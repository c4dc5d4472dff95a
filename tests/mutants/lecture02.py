"""Answers to the exercises of lecture 02: wrong ones, each with the key of its message, and others that are right."""

_SAMPLER = """
def {name}(model, x, times, cond=None):
    for t, s in zip(times[:-1], times[1:]):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        {step}
    return x
"""
_STEP = "x0, eps = model(x, t, cond)\n        x = alpha_s * x0 + sigma_s * eps"
_END = "x0, eps = model(x, t, cond)\n        if s == 0: return x0\n        "


def _ddim(step: str) -> str:
    return _SAMPLER.format(name="ddim", step=step)


def _heun(ahead: str, slope: str, result: str = "alpha_s * (x / alpha_t + h * slope)") -> str:
    step = _END + "h = sigma_s / alpha_s - sigma_t / alpha_t\n        "
    step += f"ahead = {ahead}\n        slope = {slope}\n        x = {result}"
    return _SAMPLER.format(name="heun", step=step)


def _dpmpp(ahead: str, keep: str = "before = x0, h") -> str:
    return f"""
import torch
def dpmpp_2m(model, x, times, cond=None):
    before = None
    for t, s in zip(times[:-1], times[1:]):
        x0 = model(x, t, cond).x0
        if s == 0: return x0
        h = (model.schedule.log_snr(s) - model.schedule.log_snr(t)) / 2
        ahead = x0
        if before is not None: ahead = {ahead}
        alpha, sigma = model.schedule(s)
        x = sigma / model.schedule(t)[1] * x - alpha * torch.expm1(-h) * ahead
        {keep}
    return x
"""


_SIGMAS = "sigma / model.schedule(t)[1]"
_RIGHT_AHEAD = "x0 + (x0 - before[0]) * h / (2 * before[1])"
_H = "h = sigma_s / alpha_s - sigma_t / alpha_t"
_AHEAD = "alpha_s * (x / alpha_t + h * eps)"
_SLOPE = "(eps + model(ahead, s, cond).eps) / 2"
_WIDE = "alpha, sigma = (v.view(-1, *[1] * (x0.ndim - 1)) for v in (alpha, sigma))\n    "


def _v(line: str, wide: str = _WIDE) -> str:
    return f"def v_target(x0, eps, alpha, sigma):\n    {wide}return {line}\n"


_CRAMER = "(b * x_t - sigma * out) / det, (alpha * out - a * x_t) / det"


def _solve(line: str, view: str = "v.view(-1, *[1] * (x_t.ndim - 1))", det: str = "alpha * b - sigma * a") -> str:
    wide = f"a, b, alpha, sigma = ({view} for v in (a, b, alpha, sigma))"
    return f"def solve(out, a, b, x_t, alpha, sigma):\n    {wide}\n    det = {det}\n    return {line}\n"


def _time(first: str, later: str, rounds: int = 50, low="middle, low", high="high, middle") -> str:
    return f"""
import torch
def time_of(schedule, log_snr):
    low, high = {first}
    for _ in range({rounds}):
        middle = (low + high) / 2
        later = {later}
        low, high = torch.where(later, {low}), torch.where(later, {high})
    return (low + high) / 2
"""


_EACH = "torch.zeros_like(log_snr), torch.ones_like(log_snr)"
_LATER = "schedule.log_snr(middle) > log_snr"


def _share(line: str) -> str:
    return f"def fresh_share(alpha_t, sigma_t, alpha_s, sigma_s):\n    return {line}\n"


WRONG = {
    "v_target": {
        "cut to three": ("""
def v_target(x0, eps, alpha, sigma):
    a, s = (v.reshape(-1, *[1] * (x0.ndim - 1)) for v in (alpha, sigma))
    return (a * eps - s * x0).clamp(-3, 3)
""", "value"),
        "float64": (_v("alpha.double() * eps - sigma.double() * x0"), "not float32"),
        "squeezed": (_v("(alpha * eps - sigma * x0).squeeze()"), "one alone"),
        "flow": (_v("eps - x0"), "flow's target"),
        "sign": (_v("sigma * x0 - alpha * eps"), "turned"),
        "exchanged": (_v("sigma * eps - alpha * x0"), "exchanged"),
        "plus": (_v("alpha * eps + sigma * x0"), "plus"),
        "x_t": (_v("alpha * x0 + sigma * eps"), "x_t"),
        "broadcast": (_v("alpha * eps - sigma * x0", ""), "lined up with columns"),
        "in place": (_v("eps.mul_(alpha).sub_(sigma * x0)"), "changed its input"),
        "float32": (_v("(alpha * eps - sigma * x0).float()"), "dtype"),
        "no return": (_v("None"), "no tensor"),
        "flow turned": (_v("x0 - eps"), "flow turned"),
        "pairs of x_t": (_v("alpha * x0 - sigma * eps"), "pairs of x_t"),
        "on VP": (_v("(alpha * (alpha * x0 + sigma * eps) - x0) / sigma"), "alpha^2 + sigma^2 = 1"),
        "sigma from alpha": (_v("alpha * eps - (1 - alpha**2).sqrt() * x0"), "sigma from alpha"),
        "alpha from sigma": (_v("(1 - sigma**2).sqrt() * eps - sigma * x0"), "alpha from sigma"),
        "alpha bar": (_v("alpha.sqrt() * eps - (1 - alpha).sqrt() * x0"), "alpha bar"),
        "the first for all": (_v("alpha[0] * eps - sigma[0] * x0", ""), "the first for all"),
        "rows": (_v("alpha[:, None] * eps - sigma[:, None] * x0", ""), "lined up with rows"),
        "pictures alone": (_v("alpha[:, None, None, None] * eps - sigma[:, None, None, None] * x0", ""),
                           "pictures alone"),
        "axes short": (_v("alpha.view(-1, 1, 1) * eps - sigma.view(-1, 1, 1) * x0", ""), "raised"),
    },
    "solve": {
        "determinants below .001 are 0": (
            _solve(_CRAMER, det="(lambda d: d.where(d.abs() >= 1e-3, 0.))(alpha * b - sigma * a)"),
            "hidden singularity",
        ),
        "no determinant": (_solve("b * x_t - sigma * out, alpha * out - a * x_t"), "no determinant"),
        "no determinant for eps": (_solve("(b * x_t - sigma * out) / det, alpha * out - a * x_t"), "no determinant"),
        "sign": (_solve("(sigma * out - b * x_t) / det, (a * x_t - alpha * out) / det"), "sign"),
        "sign of eps": (_solve("(b * x_t - sigma * out) / det, (a * x_t - alpha * out) / det"), "sign"),
        "plus": (_solve("(b * x_t - sigma * out) / (alpha * b + sigma * a), out"), "plus"),
        "absolute": (_solve(_CRAMER, det="(alpha * b - sigma * a).abs()"), "absolute"),
        "numerators added": (_solve(_CRAMER.replace("- sigma", "+ sigma").replace("- a *", "+ a *")),
                             "numerators added"),
        "exchanged": (_solve("(alpha * out - a * x_t) / det, (b * x_t - sigma * out) / det"), "exchanged"),
        "a and b exchanged, both": (
            _solve("(a * x_t - sigma * out) / det, (alpha * out - b * x_t) / det", det="alpha * a - sigma * b"),
            "a and b exchanged, both",
        ),
        "other pairs": (_solve(_CRAMER, det="a * b - alpha * sigma"), "other pairs"),
        "clamped": (_solve(_CRAMER, det="(alpha * b - sigma * a).clamp(min=1e-8)"), "clamped"),
        "sigma from alpha": (
            _solve(_CRAMER).replace("    det =", "    sigma = (1 - alpha**2) ** 0.5\n    det ="), "sigma from alpha"
        ),
        "eps only": (_solve("(x_t - sigma * out) / alpha, out"), "eps taken for the output"),
        "one result": (_solve("(b * x_t - sigma * out) / det"), "no pair"),
        "made up": (
            _solve("(b * x_t - sigma * out) / (det + 1e-12), (alpha * out - a * x_t) / (det + 1e-12)"),
            "hidden singularity",
        ),
        "out and x_t exchanged": (_solve("(b * out - sigma * x_t) / det, (alpha * x_t - a * out) / det"),
                                  "out and x_t exchanged"),
        "v on VP": (_solve("alpha * x_t - sigma * out, sigma * x_t + alpha * out"), "v on VP"),
        "a and b exchanged": (_solve(_CRAMER, det="alpha * a - sigma * b"), "a and b exchanged"),
        "eps without alpha": (_solve("(x0 := (b * x_t - sigma * out) / det), (x_t - x0) / sigma"), "eps without alpha"),
        "columns": (_solve(_CRAMER, "v"), "lined up with columns"),
        "rows": (_solve(_CRAMER, "v[:, None]"), "lined up with rows"),
        "pictures alone": (_solve(_CRAMER, "v[:, None, None, None]"), "pictures alone"),
        "through x0": (
            _solve("(x0 := (b * x_t - sigma * out) / det), (x_t - alpha * x0) / sigma"), "divides by alpha or sigma"
        ),
        "through eps": (
            _solve("(x_t - sigma * (eps := (alpha * out - a * x_t) / det)) / alpha, eps"), "divides by alpha or sigma"
        ),
        "a determinant that is clamped": (
            _solve(_CRAMER, det="alpha * b - sigma * a; det = det.sign() * det.abs().clamp(min=1e-2)"),
            "hidden singularity",
        ),
        "float64": (_solve("[v.double() for v in (" + _CRAMER + ")]"), "not float32"),
        "squeezed": (_solve("[v.squeeze() for v in (" + _CRAMER + ")]"), "one alone"),
        "pinv": (
            """
import torch
def solve(out, a, b, x_t, alpha, sigma):
    system = torch.stack([torch.stack([a, b], -1), torch.stack([alpha, sigma], -1)], -2)
    both = torch.linalg.pinv(system) @ torch.stack([out.flatten(1), x_t.flatten(1)], 1)
    return both[:, 0].view(x_t.shape), both[:, 1].view(x_t.shape)
""",
            "least squares",
        ),
        "no infinity": (_solve("[v.nan_to_num(0, 0, 0) for v in (" + _CRAMER + ")]"), "hidden singularity"),
        "through out": (_solve("(x0 := (b * x_t - sigma * out) / det), (out - a * x0) / b"), "divides by a or b"),
        "eps first, through out": (_solve("(out - b * (eps := (alpha * out - a * x_t) / det)) / a, eps"),
                                   "divides by a or b"),
    },
    "time_of": {
        "up to .9999": (_time("torch.zeros_like(log_snr), torch.full_like(log_snr, .9999)", _LATER), "wrong half"),
        "from 2e-5 on": (_time("torch.full_like(log_snr, 2e-5), torch.ones_like(log_snr)", _LATER), "wrong half"),
        "wrong half": (_time(_EACH, "schedule.log_snr(middle) < log_snr"), "wrong half"),
        "factor": (_time(_EACH, "schedule.log_snr(middle) / 2 > log_snr"), "factor of 2"),
        "up to .999": (_time("torch.zeros_like(log_snr), torch.full_like(log_snr, 0.999)", _LATER), "bracket"),
        "halves of whole numbers": (
            _time(_EACH, _LATER).replace("middle = (low + high) / 2", "middle = (low + high) // 2"), "both ends move"
        ),
        "ten halvings": (_time(_EACH, _LATER, 10), "coarse"),
        "until it is small": (
            _time(_EACH, _LATER).replace("for _ in range(50)", "while (high - low).max() > 1e-12"), "never ends"
        ),
        "30 halvings": (_time(_EACH, _LATER, 30), "coarse"),
        "from .0001": (_time("torch.full_like(log_snr, 1e-4), torch.ones_like(log_snr)", _LATER), "bracket"),
        "up to .99": (_time("torch.zeros_like(log_snr), torch.full_like(log_snr, 0.99)", _LATER), "bracket"),
        "squeezed": (_time(_EACH, _LATER).replace("(low + high) / 2\n", "((low + high) / 2).squeeze()\n").replace(
            "middle = ((low + high) / 2).squeeze()", "middle = (low + high) / 2"), "one alone"),
        "one for all": (
            _time("torch.zeros(()), torch.ones(())", "(schedule.log_snr(middle) > log_snr).all()").replace(
                "return (low + high) / 2", "return ((low + high) / 2).double().expand(log_snr.shape)"
            ),
            "one time for all",
        ),
        "backwards": (
            _time(_EACH, _LATER).replace("return (low + high) / 2", "return 1 - (low + high) / 2"),
            "time runs back",
        ),
        "asks": ("def time_of(schedule, log_snr):\n    return schedule.time(log_snr)\n", "asks the schedule"),
        "search": (
            "import torch\ndef time_of(schedule, log_snr):\n    t = torch.linspace(0.001, 0.999, 3000).double()\n"
            "    all = torch.stack([schedule.log_snr(v) for v in t])\n"
            "    return t[(all[:, None] - log_snr).abs().argmin(0)]\n",
            "coarse",
        ),
        "both ends move": (_time(_EACH, _LATER, high="middle, high"), "both ends move"),
        "a thousand steps": (_time("torch.zeros_like(log_snr), torch.full_like(log_snr, 1000)", _LATER), "outside"),
        "any": (
            _time("torch.zeros(()).double(), torch.ones(()).double()", f"({_LATER}).any()").replace(
                "(low + high) / 2\n", "((low + high) / 2).expand(log_snr.shape)\n"
            ),
            "one time for all",
        ),
        "float32": (_time("torch.zeros(len(log_snr)), torch.ones(len(log_snr))", _LATER), "dtype"),
        "bracket": (_time("torch.full_like(log_snr, 1e-3), torch.ones_like(log_snr)", _LATER), "bracket"),
        "bracket of .02": (_time("torch.full_like(log_snr, .02), torch.full_like(log_snr, .98)", _LATER), "bracket"),
        "no logarithm": (_time(_EACH, "schedule(middle)[0] / schedule(middle)[1] > log_snr"), "no logarithm"),
        "row by row": (
            """
import torch
def time_of(schedule, log_snr):
    out = []
    for value in log_snr:
        low, high = torch.zeros_like(value), torch.ones_like(value)
        for _ in range(50):
            middle = (low + high) / 2
            if schedule.log_snr(middle) > value: low = middle
            else: high = middle
        out.append(low)
    return torch.stack(out)
""",
            "too many calls",
        ),
        "float64 for any": (_time("torch.zeros(()).double(), torch.ones(()).double()", _LATER), "not float32"),
        "formula": ("def time_of(schedule, log_snr):\n    return 1 / (1 + (log_snr / 2).exp())\n", "a formula"),
        "if": (
            _time(_EACH, _LATER).replace("torch.where(later, middle, low)", "middle if later else low"), "raised"
        ),
    },
    "ddim": {
        "x cut to five": ("""
def ddim(model, x, times, cond=None):
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = model(x, t, cond)
        alpha, sigma = model.schedule(s)
        x = alpha * x0 + sigma * eps
    return x.clamp(-5, 5)
""", "value"),
        "velocity": (
            _ddim("x0, eps = model(x, t, cond)\n        a, b = model.schedule.rates(t)\n"
                  "        x = x + (s - t) * (a * x0 + b * eps)"),
            "velocity",
        ),
        "y comes back": (_ddim(_STEP).replace("return x", "return x / alpha_s"), "stays in y"),
        "x0 cut to five": ("""
def ddim(model, x, times, cond=None):
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = model(x, t, cond)
        alpha, sigma = model.schedule(s)
        x = alpha * x0.clamp(-5, 5) + sigma * eps
    return x
""", "value"),
        "the condition multiplied by 0": ("""
def ddim(model, x, times, cond=None):
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = model(x, t, None if cond is None else 0 * cond)
        alpha, sigma = model.schedule(s)
        x = alpha * x0 + sigma * eps
    return x
""", "condition changed"),
        "class 0 is no condition": ("""
def ddim(model, x, times, cond=None):
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = model(x, t, cond if cond is not None and cond.sum() else None)
        alpha, sigma = model.schedule(s)
        x = alpha * x0 + sigma * eps
    return x
""", "condition lost"),
        "t with two axes": ("""
def ddim(model, x, times, cond=None):
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = model(x, t.expand(len(x), 1), cond)
        alpha, sigma = model.schedule(s)
        x = alpha * x0 + sigma * eps
    return x
""", "t's shape"),
        "the condition is lost in the step to 0": (
            _ddim("x0, eps = (model(x, t, cond) if s > 0 else model(x, t))\n        x = alpha_s * x0 + sigma_s * eps"),
            "condition lost",
        ),
        "a condition is made up": (
            _ddim("import torch; cond = torch.zeros(len(x)).long() if cond is None else cond\n        " + _STEP),
            "condition made up",
        ),
        "a condition of another type": (
            _ddim("c = cond if cond is None else cond.float()\n        " + _STEP.replace("cond)", "c)")),
            "condition changed",
        ),
        "two calls in the step to 0": (
            _ddim("x0, eps = model(x, t, cond)\n        if s == 0: return model(x, t, cond).x0\n        "
                  "x = alpha_s * x0 + sigma_s * eps"),
            "too many calls",
        ),
        "small is 0": (
            _ddim(_END.replace("s == 0", "s < 1e-3") + "x = alpha_s * x0 + sigma_s * eps"), "small is not 0"
        ),
        "the first step left out": (_ddim(_STEP).replace("zip(times[:-1], times[1:])", "zip(times[1:-1], times[2:])"),
                                    "first step left out"),
        "float64": (_ddim("x = x.double()\n        " + _STEP), "not float32"),
        "squeezed": (_ddim(_STEP).replace("return x", "return x.squeeze()"), "one alone"),
        "new time": (_ddim("x0, eps = model(x, s, cond)\n        x = alpha_s * x0 + sigma_s * eps"),
                     "called at the new time"),
        "old alpha": (_ddim(_END + "x = alpha_t * x0 + sigma_s * eps"), "old alpha"),
        "old sigma": (_ddim(_END + "x = alpha_s * x0 + sigma_t * eps"), "old sigma"),
        "variance": (_ddim(_END + "x = alpha_s * x0 + sigma_s**2 * eps"), "variance"),
        "a step early": (_ddim(_END + "x = alpha_s * x0 + sigma_s * eps").replace("times[1:]", "times[1:-1]"),
                         "stops early"),
        "0 / 0": (
            _ddim("x0, eps = model(x, t, cond)\n        x = alpha_s * x0 + sigma_s * (x - alpha_t * x0) / sigma_t")
            .replace("return x", "return (x - model(x, s, cond).eps * 0)"),
            "too many calls",
        ),
        "divides by sigma": (
            _ddim("x0, eps = model(x, t, cond)\n        x = sigma_s * (alpha_s * x0 / sigma_s + eps)"),
            "0 / 0 at the end",
        ),
        "never moves": (_ddim(_END + "x = alpha_t * x0 + sigma_t * eps"), "never moves"),
        "x0 alone": (_ddim("x0, eps = model(x, t, cond)\n        x = x0"), "x0 alone"),
        "exchanged": (_ddim("x0, eps = model(x, t, cond)\n        x = alpha_s * eps + sigma_s * x0"), "exchanged"),
        "no alpha": (_ddim("x0, eps = model(x, t, cond)\n        x = x0 + sigma_s * eps"), "no alpha"),
        "straight": (_ddim("x0, eps = model(x, t, cond)\n        x = (1 - s) * x0 + s * eps"), "straight path"),
        "upwards": (
            _ddim("x0, eps = model(x, t, cond)\n        x = alpha_s * x0 + sigma_s * eps").replace(
                "times[:-1], times[1:]", "times.flip(0)[:-1], times.flip(0)[1:]"
            ),
            "walks up",
        ),
        "ancestral": (
            "import torch\n" + _ddim(_END + "x = alpha_s * x0 + sigma_s * torch.randn_like(x)"),
            "draws noise",
        ),
        "no condition": (_ddim("x0, eps = model(x, t)\n        x = alpha_s * x0 + sigma_s * eps"), "condition lost"),
        "x instead of y": (_ddim(_END + "x = x + (sigma_s / alpha_s - sigma_t / alpha_t) * eps"), "x instead of y"),
        "x by sigma": (_ddim(_END + "x = x + (sigma_s - sigma_t) * eps"), "old alpha"),
        "stays in y": (_ddim(_END + "x = x / alpha_t + (sigma_s / alpha_s - sigma_t / alpha_t) * eps"), "stays in y"),
        "pair turned": (_ddim(_STEP).replace("t, s in", "s, t in"), "called at the new time"),
        "returns x0": (_ddim(_STEP).replace("return x\n", "return x0\n"), "x0 alone"),
        "x0 of the step before": (
            _ddim(f"if s == 0: return x0\n        {_STEP}"), "x0 of the step before"
        ),
        "h turned": (
            _ddim(_END + "x = alpha_s * (x / alpha_t - (sigma_s / alpha_s - sigma_t / alpha_t) * eps)"), "h turned"
        ),
        "minus": (_ddim("x0, eps = model(x, t, cond)\n        x = alpha_s * x0 - sigma_s * eps"), "minus"),
        "float32 times": (
            _ddim(_STEP).replace("zip(times[:-1], times[1:])", "zip(*(v.float() for v in (times[:-1], times[1:])))"),
            "nearly",
        ),
        "breaks at 0": (_ddim(f"if s == 0: break\n        {_STEP}"), "last step left out"),
        "alpha bar": (_ddim(_END + "x = alpha_s.sqrt() * x0 + (1 - alpha_s).sqrt() * eps"), "alpha bar"),
        "sigma from alpha": (_ddim(_END + "x = alpha_s * x0 + (1 - alpha_s**2).sqrt() * eps"), "sigma from alpha"),
        "returns in the loop": (_ddim(_STEP + "\n        return x"), "stops early"),
        "points alone": (
            _ddim("x0, eps = model(x, t, cond)\n        x = alpha_s * x0 + sigma_s.expand(len(x))[:, None] * eps"),
            "raised",
        ),
        "a generator": (_ddim(_END + "x = alpha_s * x0 + sigma_s * eps\n        yield x"), "no tensor"),
        "in place": (
            "def ddim(model, x, times, cond=None):\n    for t, s in zip(times[:-1], times[1:]):\n"
            "        x0, eps = model(x, t, cond)\n        alpha, sigma = model.schedule(s)\n"
            "        x.copy_(alpha * x0 + sigma * eps)\n    return x\n",
            "changed its input",
        ),
    },
    "heun": {
        "the condition is lost in the step to 0": (
            _heun(_AHEAD, _SLOPE).replace("if s == 0: return x0", "if s == 0: return model(x, t).x0").replace(
                "x0, eps = model(x, t, cond)", "x0, eps = model(x, t, cond) if s > 0 else (None, None)"),
            "condition lost",
        ),
        "two calls in the step to 0": (
            _heun(_AHEAD, _SLOPE).replace("if s == 0: return x0", "if s == 0: return model(x, t, cond).x0"),
            "too many calls",
        ),
        "small is 0": (_heun(_AHEAD, _SLOPE).replace("s == 0", "s < 1e-3"), "small is not 0"),
        "velocity": (
            """
def heun(model, x, times, cond=None):
    def slope(x, t):
        x0, eps = model(x, t, cond)
        a, b = model.schedule.rates(t)
        return a * x0 + b * eps
    for t, s in zip(times[:-1], times[1:]):
        if s == 0: return model(x, t, cond).x0
        first = slope(x, t)
        x = x + (s - t) * (first + slope(x + (s - t) * first, s)) / 2
    return x
""",
            "velocity",
        ),
        "the second slope is kept": (
            """
def heun(model, x, times, cond=None):
    kept = None
    for t, s in zip(times[:-1], times[1:]):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        x0, eps = model(x, t, cond) if kept is None else kept
        if s == 0: return x0
        h = sigma_s / alpha_s - sigma_t / alpha_t
        kept = model(alpha_s * (x / alpha_t + h * eps), s, cond)
        x = alpha_s * (x / alpha_t + h * (eps + kept.eps) / 2)
    return x
""",
            "slope kept",
        ),
        "second call at the old time": (_heun(_AHEAD, "(eps + model(ahead, t, cond).eps) / 2"),
                                        "second call at the old time"),
        "the same slope twice": (_heun(_AHEAD, "(eps + model(x, t, cond).eps) / 2"), "second call at the old time"),
        "one slope": (_heun(_AHEAD, "eps"), "one slope"),
        "one slope at the end": (
            _heun(_AHEAD, "eps if s == times[-1] else (eps + model(ahead, s, cond).eps) / 2"), "one slope at the end"
        ),
        "no half": (_heun(_AHEAD, "eps + model(ahead, s, cond).eps"), "slopes added"),
        "predictor in x": (_heun("x + h * eps", _SLOPE), "predictor in x"),
        "all in x": (_heun("x + h * eps", _SLOPE, "x + h * slope"), "x instead of y"),
        "second slope alone": (_heun(_AHEAD, "model(ahead, s, cond).eps"), "second slope alone"),
        "two DDIM steps averaged": (
            _heun(_AHEAD, "model(ahead, s, cond)", "(ahead + alpha_s * slope.x0 + sigma_s * slope.eps) / 2"),
            "one slope",
        ),
        "DDIM with the mean slope": (_heun(_AHEAD, _SLOPE, "alpha_s * x0 + sigma_s * slope"), "first x0"),
        "DDIM with the mean slope and the second x0": (
            _heun(_AHEAD, "model(ahead, s, cond)", "alpha_s * slope.x0 + sigma_s * (eps + slope.eps) / 2"), "second x0"
        ),
        "the end in x": (_heun(_AHEAD, _SLOPE, "x + h * slope"), "the end in x"),
        "slope not scaled": (_heun(_AHEAD, _SLOPE, "alpha_s * x / alpha_t + h * slope"), "slope not scaled"),
        "the second halved": (_heun(_AHEAD, "eps + model(ahead, s, cond).eps / 2"), "the second halved"),
        "x0 for eps": (_heun(_AHEAD, _SLOPE.replace(".eps", ".x0")).replace("x0, eps =", "eps, x0 ="),
                       "x0 and eps exchanged"),
        "n turned": (_heun(_AHEAD, _SLOPE).replace(_H, "h = alpha_s / sigma_s - alpha_t / sigma_t"), "n turned"),
        "no end": (_heun(_AHEAD, _SLOPE).replace("if s == 0: return x0", ""), "0 / 0 at the end"),
        "no condition": (_heun(_AHEAD, "(eps + model(ahead, s).eps) / 2"), "condition lost"),
        "h turned": (_heun(_AHEAD.replace("+ h", "- h"), _SLOPE, "alpha_s * (x / alpha_t - h * slope)"), "h turned"),
        "h in sigma": (_heun(_AHEAD, _SLOPE).replace(_H, "h = sigma_s - sigma_t"), "h in sigma"),
        "h in t": (_heun(_AHEAD, _SLOPE).replace(_H, "h = s - t"), "h in t"),
        "from ahead": (_heun(_AHEAD, _SLOPE, "alpha_s * (ahead / alpha_s + h * slope)"), "slopes added"),
        "second call at the old point": (_heun(_AHEAD, "(eps + model(x, s, cond).eps) / 2"),
                                         "second call at the old point"),
        "predictor in y": (_heun("x / alpha_t + h * eps", _SLOPE), "predictor in y"),
        "predictor at old alpha": (_heun("x + alpha_t * h * eps", _SLOPE), "predictor at old alpha"),
        "stays in y": (_heun(_AHEAD, _SLOPE, "x / alpha_t + h * slope"), "stays in y"),
        "old alpha": (_heun(_AHEAD, _SLOPE, "alpha_t * (x / alpha_t + h * slope)"), "old alpha"),
        "x0 in the last step": (_heun(_AHEAD, _SLOPE).replace("if s == 0", "if s == times[-1]"), "x0 alone"),
        "breaks at 0": (_heun(_AHEAD, _SLOPE).replace(": return x0", ": break"), "last step left out"),
        "midpoint": (
            _heun(
                "(a := model.schedule((t + s) / 2))[0] * x / alpha_t + (a[1] - a[0] * sigma_t / alpha_t) * eps",
                "model(ahead, (t + s) / 2, cond).eps",
            ),
            "midpoint",
        ),
        "x0 of the step before": (
            _heun(_AHEAD, _SLOPE).replace("x0, eps = model(x, t, cond)\n        if s == 0: return x0",
                                          "if s == 0: return x0\n        x0, eps = model(x, t, cond)"),
            "x0 of the step before",
        ),
        "x0 of the second slope": (
            _heun(_AHEAD, "(eps + (second := model(ahead, s, cond)).eps) / 2").replace(
                "x0, eps = model(x, t, cond)\n        if s == 0: return x0",
                "if s == 0: return second.x0\n        x0, eps = model(x, t, cond)",
            ),
            "x0 of the step before",
        ),
        "x not divided": (_heun(_AHEAD, _SLOPE, "alpha_s * (x + h * slope)"), "x not divided"),
        "x0 averaged too": (
            _heun(_AHEAD, "model(ahead, s, cond)", "alpha_s * (x0 + slope.x0) / 2 + sigma_s * (eps + slope.eps) / 2"),
            "one slope",
        ),
    },
    "dpmpp_2m": {
        "small is 0": (_dpmpp(_RIGHT_AHEAD).replace("s == 0", "s < 1e-3"), "small is not 0"),
        "a condition is made up": (
            _dpmpp(_RIGHT_AHEAD).replace("before = None", "before, cond = None, 0 * x[:, 0] if cond is None else cond"),
            "condition made up",
        ),
        "ratio turned": (_dpmpp("x0 + (x0 - before[0]) * before[1] / (2 * h)"), "ratio turned"),
        "no log": (
            _dpmpp(_RIGHT_AHEAD).replace(
                "h = (model.schedule.log_snr(s) - model.schedule.log_snr(t)) / 2",
                "h = (lambda a, b: a[0] / a[1] - b[0] / b[1])(model.schedule(s), model.schedule(t))",
            ),
            "no log",
        ),
        "eps extrapolated": (
            """
import torch
def dpmpp_2m(model, x, times, cond=None):
    before = None
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = model(x, t, cond)
        if s == 0: return x0
        h = (model.schedule.log_snr(s) - model.schedule.log_snr(t)) / 2
        ahead = eps if before is None else eps + h / (2 * before[1]) * (eps - before[0])
        alpha, sigma = model.schedule(s)
        x = alpha / model.schedule(t)[0] * x - sigma * torch.expm1(h) * ahead
        before = eps, h
    return x
""",
            "eps extrapolated",
        ),
        "x0 of the step before": (
            _dpmpp(_RIGHT_AHEAD).replace("if s == 0: return x0", "").replace(
                "        x0 = model", "        if s == 0: return before[0]\n        x0 = model"
            ),
            "x0 of the step before",
        ),
        "extrapolated to 0": (
            _dpmpp(_RIGHT_AHEAD).replace("return x0", "return x0 + .5 * (x0 - before[0])"), "extrapolated to 0"
        ),
        "a small sigma at the end": (
            _dpmpp(_RIGHT_AHEAD).replace("if s == 0: return x0", "").replace(
                "h = (model.schedule.log_snr(s) - model.schedule.log_snr(t)) / 2",
                "(a, c), (a_t, c_t) = model.schedule(s), model.schedule(t)\n"
                "        h = torch.log(a / (c + 1e-12)) - torch.log(a_t / c_t)",
            ),
            "extrapolated to 0",
        ),
        "parentheses": (_dpmpp("x0 + h / 2 * before[1] * (x0 - before[0])"), "parentheses"),
        "from the step before": (_dpmpp("before[0] + h / (2 * before[1]) * (x0 - before[0])"), "from the step before"),
        "h kept once": (_dpmpp(_RIGHT_AHEAD, "before = x0, before[1] if before else h"), "h kept once"),
        "1 twice": (_dpmpp(_RIGHT_AHEAD).replace("torch.expm1(-h)", "(torch.expm1(-h) - 1)"), "1 twice"),
        "x kept whole": (_dpmpp(_RIGHT_AHEAD).replace(_SIGMAS + " * x", "x"), "x kept whole"),
        "no ratio": (_dpmpp("x0 + (x0 - before[0]) / 2"), "no ratio"),
        "h_before overwritten": (_dpmpp("x0 + h / (2 * (hb := h)) * (x0 - before[0])"), "no ratio"),
        "ratio in t": (
            _dpmpp("x0 + (s - t) / (2 * before[1]) * (x0 - before[0])", "before = x0, s - t"), "h in t"
        ),
        "ratio in sigma / alpha": (
            _dpmpp("x0 + n / (2 * before[1]) * (x0 - before[0])", "before = x0, n").replace(
                "        ahead = x0", "        n = model.schedule(s)[1] / model.schedule(s)[0]\n"
                "        n = n - model.schedule(t)[1] / model.schedule(t)[0]\n        ahead = x0"
            ),
            "h in sigma / alpha",
        ),
        "eps for x0": (_dpmpp(_RIGHT_AHEAD).replace("x0 = model(x, t, cond).x0", "_, x0 = model(x, t, cond)"),
                       "eps for x0"),
        "no half": (_dpmpp("x0 + (x0 - before[0]) * h / before[1]"), "no half"),
        "minus": (_dpmpp("x0 - (x0 - before[0]) * h / (2 * before[1])"), "minus"),
        "never kept": (_dpmpp(_RIGHT_AHEAD, "pass"), "never kept"),
        "extrapolation kept": (_dpmpp(_RIGHT_AHEAD, "before = ahead, h"), "D kept"),
        "kept once": (_dpmpp(_RIGHT_AHEAD, "before = before or (x0, h)"), "kept once"),
        "h turned": (_dpmpp(_RIGHT_AHEAD).replace("expm1(-h)", "expm1(h)"), "h turned"),
        "e^-h": (_dpmpp(_RIGHT_AHEAD).replace("expm1", "exp"), "1 left out"),
        "plus": (_dpmpp(_RIGHT_AHEAD).replace("x - alpha", "x + alpha"), "plus"),
        "sigmas turned": (_dpmpp(_RIGHT_AHEAD).replace(_SIGMAS, "model.schedule(t)[1] / sigma"), "sigmas turned"),
        "ratio of alphas": (_dpmpp(_RIGHT_AHEAD).replace(_SIGMAS, "alpha / model.schedule(t)[0]"), "ratio of alphas"),
        "old alpha": (_dpmpp(_RIGHT_AHEAD).replace("- alpha *", "- model.schedule(t)[0] *"), "old alpha"),
        "x0 in the last step": (_dpmpp(_RIGHT_AHEAD).replace("if s == 0", "if s == times[-1]"), "x0 alone"),
        "breaks at 0": (_dpmpp(_RIGHT_AHEAD).replace(": return x0", ": break"), "last step left out"),
        "two calls": (
            _dpmpp(_RIGHT_AHEAD).replace(
                "ahead = x0\n", "ahead = model(x, t, cond).x0\n"
            ),
            "too many calls",
        ),
        "h not halved": (
            _dpmpp(_RIGHT_AHEAD).replace("log_snr(t)) / 2", "log_snr(t))"),
            "h is twice too long",
        ),
        "no end": (
            _dpmpp(_RIGHT_AHEAD).replace("if s == 0: return x0", ""),
            "0 / 0 at the end",
        ),
    },
    "fresh_share": {
        "one number alone": (_share("1 - min((alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2, 1)"), "raised"),
        "the first for all": (
            _share("1 - (alpha_t * sigma_s / (alpha_s * sigma_t)).flatten()[0].expand(alpha_t.shape) ** 2"), "value"
        ),
        "sigma_t for the noise": (
            _share("1 / (1 / sigma_s**2 + (alpha_t / alpha_s) ** 2 / sigma_t**2) / sigma_s**2"), "sigma_t for the noise"
        ),
        "1 / sigma_s^2 left out": (
            _share("(sigma_t**2 * alpha_s**2 / alpha_t**2 - sigma_s**2) / sigma_s**2"), "x_t alone"
        ),
        "all": (_share("alpha_t / alpha_t"), "all"),
        "no r": (
            _share("1 / (1 / sigma_s**2 + (alpha_t / alpha_s) ** 2 / (sigma_t**2 - sigma_s**2)) / sigma_s**2"), "no r"
        ),
        "beta for the noise": (
            _share("1 / (1 / sigma_s**2 + (alpha_t / alpha_s) ** 2 / (1 - (alpha_t / alpha_s) ** 2)) / sigma_s**2"),
            "beta for the noise",
        ),
        "sigma_s for the noise": (
            _share("1 / (1 / sigma_s**2 + (alpha_t / alpha_s) ** 2 / sigma_s**2) / sigma_s**2"), "sigma_s for the noise"
        ),
        "not inverted": (
            _share("(1 / sigma_s**2 + (r := alpha_t / alpha_s) ** 2 / (sigma_t**2 - (r * sigma_s) ** 2)) * sigma_s**2"),
            "not inverted",
        ),
        "alpha bar": (_share("1 - alpha_t * (1 - alpha_s) / (alpha_s * (1 - alpha_t))"), "alpha bar"),
        "no square": (_share("1 - alpha_t * sigma_s / (alpha_s * sigma_t)"), "no square"),
        "turned": (_share("1 - (alpha_s * sigma_t / (alpha_t * sigma_s)) ** 2"), "turned"),
        "plus": (_share("1 + (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2"), "plus"),
        "sigma only": (_share("1 - (sigma_s / sigma_t) ** 2"), "no alpha"),
        "kept": (_share("(alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2"), "what is kept"),
        "variance": (_share("sigma_s**2 - (alpha_t / alpha_s * sigma_s**2 / sigma_t) ** 2"), "variance"),
        "beta": (_share("1 - alpha_t**2 / alpha_s**2"), "beta"),
        "beta tilde": (_share("(1 - alpha_t**2 / alpha_s**2) * sigma_s**2 / sigma_t**2"), "beta tilde"),
        "on VP": (_share("(1 - alpha_t**2 / alpha_s**2) / sigma_t**2"), "VP"),
        "beta tilde, alphas": (
            _share("(1 - alpha_s**2) / (1 - alpha_t**2) * (1 - alpha_t**2 / alpha_s**2) / sigma_s**2"),
            "beta tilde, alphas",
        ),
        "beta tilde, share": (_share("(1 - alpha_t**2 / alpha_s**2) / (1 - alpha_t**2)"), "beta tilde, share"),
        "noise forward": (_share("sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2"), "noise forward"),
        "noise forward / sigma_s^2": (_share("(sigma_t / sigma_s) ** 2 - (alpha_t / alpha_s) ** 2"),
                                      "noise forward / sigma_s^2"),
        "alphas turned": (_share("1 - (alpha_s * sigma_s / (alpha_t * sigma_t)) ** 2"), "alphas turned"),
        "sigmas turned": (_share("1 - (alpha_t * sigma_t / (alpha_s * sigma_s)) ** 2"), "sigmas turned"),
        "kept, no square": (_share("alpha_t * sigma_s / (alpha_s * sigma_t)"), "what is kept, no square"),
        "deviation": (_share("(1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2) ** 0.5"), "deviation"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "v_target": {
        "einsum": "import torch\ndef v_target(x0, eps, alpha, sigma):\n"
        "    return torch.einsum('b,b...->b...', alpha, eps) - torch.einsum('b,b...->b...', sigma, x0)\n",
        "a loop": "import torch\ndef v_target(x0, eps, alpha, sigma):\n"
        "    return torch.stack([a * e - s * x for x, e, a, s in zip(x0, eps, alpha, sigma)])\n",
    },
    "solve": {
        "one tensor of both": "import torch\n" + _solve(f"torch.stack([{_CRAMER}])"),
        "torch.linalg": """
import torch
def solve(out, a, b, x_t, alpha, sigma):
    system = torch.stack([torch.stack([a, b], -1), torch.stack([alpha, sigma], -1)], -2)
    known = torch.stack([out.flatten(1), x_t.flatten(1)], 1)
    det = (alpha * b - sigma * a).view(-1, 1)
    if (det == 0).any(): return x_t / 0, x_t / 0
    x0, eps = torch.linalg.solve(system, known).unbind(1)
    return x0.view(x_t.shape), eps.view(x_t.shape)
""",
        "linalg": """
import torch
def solve(out, a, b, x_t, alpha, sigma):
    system = torch.stack([torch.stack([a, b], -1), torch.stack([alpha, sigma], -1)], -2)
    both = torch.linalg.solve(system, torch.stack([out.flatten(1), x_t.flatten(1)], 1))
    return both[:, 0].view(x_t.shape), both[:, 1].view(x_t.shape)
""",
        "raises": _solve(_CRAMER).replace("    return", "    if (det == 0).any(): raise ValueError(0)\n    return"),
        "asserts": _solve(_CRAMER).replace("    return", "    assert (det != 0).all()\n    return"),
    },
    "time_of": {
        "row by row, by torch.vmap": """
import torch
def time_of(schedule, log_snr):
    def one(v):
        low, high = torch.zeros_like(v), torch.ones_like(v)
        for _ in range(50):
            m = (low + high) / 2
            later = schedule.log_snr(m) > v
            low, high = torch.where(later, m, low), torch.where(later, high, m)
        return (low + high) / 2
    return torch.vmap(one)(log_snr)
""",
        "more rounds": _time(_EACH, _LATER, 90),
        "by alpha and sigma": _time(_EACH, "(schedule(middle)[0] / schedule(middle)[1]).log() * 2 > log_snr", 45),
        "numbers first": _time("torch.zeros(()).to(log_snr), torch.ones(()).to(log_snr)", _LATER),
        "by signs, of both ends": """
import torch
def time_of(schedule, log_snr):
    low, high = torch.zeros_like(log_snr), torch.ones_like(log_snr)
    for _ in range(100):
        middle = (low + high) / 2
        at_low, at_middle = schedule.log_snr(low) - log_snr, schedule.log_snr(middle) - log_snr
        same = at_low.sign() == at_middle.sign()
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return (low + high) / 2
""",
        "false position": """
import torch
def time_of(schedule, log_snr):
    low, high = torch.full_like(log_snr, 1e-9), torch.full_like(log_snr, 1 - 1e-9)
    for _ in range(60):
        middle = torch.lerp(low, high, 0.5)
        too_early = schedule.log_snr(middle) >= log_snr
        low = torch.where(too_early, middle, low)
        high = torch.where(too_early, high, middle)
    return high
""",
    },
    "ddim": {
        "in y": _ddim(
            _END + "y = x / alpha_t + (sigma_s / alpha_s - sigma_t / alpha_t) * eps\n        x = alpha_s * y"
        ),
        "by the score": _ddim(
            "x0, eps = model(x, t, cond)\n        if s == 0: return x0\n        score = -eps / sigma_t\n"
            "        x0 = (x + sigma_t**2 * score) / alpha_t\n        x = alpha_s * x0 - sigma_s * sigma_t * score"
        ),
        "a time each": _ddim(_STEP.replace("x, t,", "x, t.expand(len(x)),")),
        "in place, on what the model says": _ddim(
            "x0, eps = model(x, t, cond)\n        x0 *= alpha_s\n        eps *= sigma_s\n        x = x0.add_(eps)"
        ),
        "without a special end": _ddim("x0, eps = model(x, t, cond)\n        x = alpha_s * x0 + sigma_s * eps"),
        "by index": """
def ddim(model, x, times, cond=None):
    for i in range(len(times) - 1):
        guess = model(x, times[i], cond)
        alpha, sigma = model.schedule(times[i + 1])
        x = alpha * guess.x0 + sigma * guess.eps
    return x
""",
    },
    "heun": {
        "a time each": _heun(_AHEAD, _SLOPE.replace("ahead, s,", "ahead, s.expand(len(x)),")).replace(
            "model(x, t,", "model(x, t.expand(len(x)),"
        ),
        "in place, on what the model says": _heun(_AHEAD, "eps.add_(model(ahead, s, cond).eps).div_(2)"),
        "DDIM first": _heun("alpha_s * x0 + sigma_s * eps", _SLOPE),
        "slopes halved one by one": _heun(_AHEAD, "0.5 * eps + 0.5 * model(ahead, s, cond).eps"),
        "in y": """
def heun(model, x, times, cond=None):
    alpha, sigma = model.schedule(times[0])
    y, n = x / alpha, sigma / alpha
    for t, s in zip(times[:-1], times[1:]):
        alpha, _ = model.schedule(t)
        guess = model(alpha * y, t, cond)
        if s == 0: return guess.x0
        alpha_s, sigma_s = model.schedule(s)
        m = sigma_s / alpha_s
        slope = model(alpha_s * (y + (m - n) * guess.eps), s, cond).eps
        y, n = y + (m - n) * (guess.eps + slope) / 2, m
    return model.schedule(times[-1])[0] * y
""",
    },
    "dpmpp_2m": {
        "a time each": _dpmpp(_RIGHT_AHEAD).replace("model(x, t,", "model(x, t.expand(len(x)),"),
        "in place, on what the model says": _dpmpp(
            "before[0].mul_(-h / (2 * before[1])).add_(x0 * (1 + h / (2 * before[1])))"
        ),
        "Lu's r0": _dpmpp("(1 + 1 / (2 * (before[1] / h))) * x0 - 1 / (2 * (before[1] / h)) * before[0]"),
    },
    "fresh_share": {
        "by variances": _share("1 - (alpha_t / alpha_s) ** 2 * sigma_s**2 / sigma_t**2"),
        "by the chain": _share("(sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2) / sigma_t**2"),
    },
}
