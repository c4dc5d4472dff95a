"""Wrong answers to the exercises of lecture 01, each with the key of its message, and others that are right."""

_MIX = """
import torch
def mixture_score(x, weights, means, std):
    away = means - x[:, None]
    logits = {logits}
    share = {share}
    return {result}
"""


def _mix(logits="weights.log() - away.square().sum(2) / (2 * std**2)", share="torch.softmax(logits, 1)",
         result="(share[..., None] * away).sum(1) / std**2") -> str:  # fmt: skip
    return _MIX.format(logits=logits, share=share, result=result)


_GRAD = "torch.autograd.grad({}, x, create_graph=True)[0]"
_HALF = "0.5 * s.square().sum(1)"


def _ism(term="torch.autograd.grad(s[:, i].sum(), x, create_graph=True)[0][:, i]", start="0.0", step="trace + term",
         result=f"trace + {_HALF}") -> str:  # fmt: skip
    return f"""
import torch
def ism_loss(fn, x):
    x = x.detach().requires_grad_()
    s, trace = fn(x), {start}
    for i in range(x.shape[1]):
        term = {term}
        trace = {step}
    return {result}
"""


def _ssm(back="torch.autograd.grad((s * v).sum(), x, create_graph=True)[0]", first="(back * v).sum(1)",
         second="0.5 * (s * v).sum(1).square()", before="pass", result="first + second") -> str:  # fmt: skip
    return f"""
import torch
def ssm_loss(fn, x, v):
    {before}
    x = x.detach().requires_grad_()
    s = fn(x)
    back = {back}
    first, second = {first}, {second}
    return {result}
"""


def _dsm(line: str) -> str:
    return f"import torch\ndef dsm_loss(fn, x0, eps, sigma):\n    return {line}\n"


def _step(line: str) -> str:
    return f"import torch\ndef langevin_step(x, score, a, z):\n    return {line}\n"


def _anneal(levels="times", sigma="model.schedule(t)[1]", a="step_size * sigma**2",
            ask="model(x, t).eps", score="-eps / sigma",
            noise="a.sqrt() * torch.randn(x.shape, generator=generator, dtype=x.dtype)", end="return x",
            move="x + a / 2 * score + noise", count="range(steps)") -> str:  # fmt: skip
    return f"""
import torch
def annealed_langevin(model, x, times, steps, step_size, generator):
    for t in {levels}:
        sigma = {sigma}
        a = {a}
        for _ in {count}:
            eps = {ask}
            score, noise = {score}, {noise}
            x = {move}
    {end}
"""


_RANDN = "torch.randn(x.shape, generator=generator, dtype=x.dtype)"


def _first(line: str, **options) -> str:
    """An annealed walk with a line before its loop."""
    return _anneal(**options).replace("    for t in", f"    {line}\n    for t in", 1)


WRONG = {
    "mixture_score": {
        "the last mode's exponent subtracted": ("""
import torch
def mixture_score(x, weights, means, std):
    away = means - x[:, None]
    logits = weights.log() - away.square().sum(2) / (2 * std**2)
    e = (logits - logits[:, -1:]).exp()
    share = e / e.sum(1, keepdim=True)
    return (share[..., None] * away).sum(1) / std**2
""", "underflow"),
        "the first mode's exponent subtracted": ("""
import torch
def mixture_score(x, weights, means, std):
    away = means - x[:, None]
    logits = weights.log() - away.square().sum(2) / (2 * std**2)
    e = (logits - logits[:, :1]).exp()
    share = e / e.sum(1, keepdim=True)
    return (share[..., None] * away).sum(1) / std**2
""", "underflow"),
        "the mean subtracted": ("""
import torch
def mixture_score(x, weights, means, std):
    away = means - x[:, None]
    logits = weights.log() - away.square().sum(2) / (2 * std**2)
    e = (logits - logits.mean(1, keepdim=True)).exp()
    share = e / e.sum(1, keepdim=True)
    return (share[..., None] * away).sum(1) / std**2
""", "underflow"),
        "one shift for the batch": ("""
import torch
def mixture_score(x, weights, means, std):
    away = means - x[:, None]
    logits = weights.log() - away.square().sum(2) / (2 * std**2)
    e = (logits - logits.max()).exp()
    share = e / e.sum(1, keepdim=True)
    return (share[..., None] * away).sum(1) / std**2
""", "underflow"),
        "nearest mode where exp is 0": (
            _mix(share="(p := logits.exp()) / p.sum(1, keepdim=True).where(p.sum(1, keepdim=True) > 0, torch.inf)"
                 " + (p.sum(1, keepdim=True) == 0) * torch.eye(len(weights), dtype=x.dtype)[logits.argmax(1)]"),
            "nearest mode alone",
        ),
        "float64": (_mix(result="((share[..., None] * away).sum(1) / std**2).double()"), "not float32"),
        "squeezed": (_mix(result="((share[..., None] * away).sum(1) / std**2).squeeze()"), "one alone"),
        "sign": (_mix(result="-(share[..., None] * away).sum(1) / std**2"), "sign"),
        "over std": (_mix(result="(share[..., None] * away).sum(1) / std"), "std for std^2"),
        "not divided": (_mix(result="(share[..., None] * away).sum(1)"), "not divided"),
        "twice": (_mix(result="2 * (share[..., None] * away).sum(1) / std**2"), "twice"),
        "nearest alone": (_mix(share="torch.nn.functional.one_hot(logits.argmax(1), len(means))"), "nearest mode only"),
        "no weights": (_mix("-away.square().sum(2) / (2 * std**2)"), "weights left out"),
        "weights alone": (_mix(share="weights.expand(len(x), -1)"), "equal pull"),
        "over the batch": (_mix(share="torch.softmax(logits, 0)"), "softmax over the batch"),
        "no half": (_mix("weights.log() - away.square().sum(2) / std**2"), "no half"),
        "std in the exponent": (_mix("weights.log() - away.square().sum(2) / (2 * std)"), "std in the exponent"),
        "x left out": (_mix(result="share @ means / std**2"), "x left out"),
        "plain exp": (_mix(share="logits.exp() / logits.exp().sum(1, keepdim=True)"), "underflow"),
        "plain exp, saved": (_mix(share="(e := logits.exp()) / (e.sum(1, keepdim=True) + 1e-30)"), "underflow hidden"),
        "not normalised": (_mix(share="logits.exp()"), "density not divided out"),
        "of the density": (
            _mix(share="logits.exp() / (2 * torch.pi * std**2) ** (x.shape[1] / 2)"),
            "not the logarithm",
        ),
        "weights not in logarithms": (_mix("weights - away.square().sum(2) / (2 * std**2)"), "value"),
        "one point": (_mix(result="((share[..., None] * away).sum(1) / std**2)[0]"), "shape"),
    },
    "ism_loss": {
        "finite differences": (
            """
import torch
def ism_loss(fn, x):
    s, trace, h = fn(x), 0.0, 1e-4
    for i in range(x.shape[1]):
        e = torch.zeros_like(x)
        e[:, i] = h
        trace = trace + (fn(x + e) - fn(x - e))[:, i] / (2 * h)
    return trace + 0.5 * s.square().sum(1)
""",
            "finite differences",
        ),
        "gradients left in the weights": (
            """
import warnings
def ism_loss(fn, x):
    x = x.detach().requires_grad_()
    s, trace = fn(x), 0.0
    for i in range(x.shape[1]):
        x.grad = None
        with warnings.catch_warnings(action="ignore"):
            s[:, i].sum().backward(create_graph=True)
        trace = trace + x.grad[:, i]
    return trace + 0.5 * s.square().sum(1)
""",
            "gradients left",
        ),
        "marks its input": (_ism().replace("x = x.detach().requires_grad_()", "x.requires_grad_()"), "input marked"),
        "column sums": (
            _ism("0.0", result=_GRAD.format("s.sum()") + f".sum(1) + {_HALF}"),
            "whole Jacobian",
        ),
        "no half": (_ism(result="trace + s.square().sum(1)"), "no half"),
        "minus": (_ism(result="trace - 0.5 * s.square().sum(1)"), "minus"),
        "minus the trace": (_ism(result="0.5 * s.square().sum(1) - trace"), "minus the trace"),
        "no trace": (_ism(result="0.5 * s.square().sum(1)"), "no trace"),
        "trace alone": (_ism(result="trace"), "no square"),
        "mean of the squares": (_ism(result="trace + 0.5 * s.square().mean(1)"), "mean over dimensions"),
        "means": (_ism(result="trace / x.shape[1] + 0.5 * s.square().mean(1)"), "mean of both"),
        "mean trace": (_ism(result="trace / x.shape[1] + 0.5 * s.square().sum(1)"), "mean of the trace"),
        "length": (_ism(result="trace + 0.5 * s.norm(dim=1)"), "length"),
        "first alone": (_ism(step="term if i == 0 else trace"), "one dimension"),
        "last alone": (_ism(step="term"), "last dimension"),
        "a row": (_ism(result=_GRAD.format("s[:, 0].sum()") + f".sum(1) + {_HALF}"), "column"),
        "whole batch": (_ism(_GRAD.format("s[:, i].sum()") + "[:, i].sum()"), "batch"),
        "three dimensions": (_ism().replace("range(x.shape[1])", "range(3)"), "raised"),
        "trace detached": (_ism("torch.autograd.grad(s[:, i].sum(), x, retain_graph=True)[0][:, i]"), "trace detached"),
        "graph freed": (_ism("torch.autograd.grad(s[:, i].sum(), x)[0][:, i]"), "no graph"),
        "field detached": (_ism(result="trace + 0.5 * s.detach().square().sum(1)"), "square detached"),
        "all detached": (_ism(result="(trace + 0.5 * s.square().sum(1)).detach()"), "no gradient"),
        "mean over the batch": (_ism(result="(trace + 0.5 * s.square().sum(1)).mean()"), "shape"),
        "marked in place": (_ism().replace("x = x.detach().requires_grad_()", "pass"), "x not marked"),
    },
    "ssm_loss": {
        "graph freed": (
            """
import torch
def ssm_loss(fn, x, v):
    x = x.detach().requires_grad_()
    along = (fn(x) * v).sum(1)
    back = torch.autograd.grad(along.sum(), x)[0]
    return (back * v).sum(1) + torch.autograd.grad(along.square().sum(), x)[0].sum(1)
""",
            "no graph",
        ),
        "minus the derivative": (
            """
import torch
def ssm_loss(fn, x, v):
    x = x.detach().requires_grad_()
    along = (fn(x) * v).sum(1)
    back = torch.autograd.grad(along.sum(), x, create_graph=True)[0]
    return 0.5 * along.square() - (back * v).sum(1)
""",
            "minus the derivative",
        ),
        "finite differences": (
            """
def ssm_loss(fn, x, v):
    s, h = fn(x), 1e-4
    return ((fn(x + h * v) - fn(x - h * v)) / (2 * h) * v).sum(1) + 0.5 * (s * v).sum(1).square()
""",
            "finite differences",
        ),
        "no second v": (_ssm(first="back.sum(1)"), "no second v"),
        "jvp without v": (_ssm(first="torch.func.jvp(fn, (x,), (v,))[1].sum(1)"), "column"),
        "whole trace": (_ssm(first="sum(" + _GRAD.format("s[:, i].sum()") + "[:, i] for i in range(3))"), "trace"),
        "no half": (_ssm(second="(s * v).sum(1).square()"), "no half"),
        "all of s": (_ssm(second="0.5 * s.square().sum(1)"), "|s|^2"),
        "not squared": (_ssm(second="0.5 * (s * v).sum(1)"), "not squared"),
        "minus": (_ssm(result="first - second"), "minus"),
        "no derivative": (_ssm(result="second"), "no derivative"),
        "derivative alone": (_ssm(result="first"), "no square"),
        "normalised": (_ssm(before="v = v / v.norm(dim=1, keepdim=True)"), "normalised"),
        "elementwise": (_ssm(second="0.5 * (s * v).square().sum(1)"), "elementwise"),
        "over |v|^2": (_ssm(result="(first + second) / v.square().sum(1)"), "normalised"),
        "own v": (_ssm(before="v = torch.randn_like(v)"), "own v"),
        "derivative detached": (_ssm(_GRAD.replace("create", "retain").format("(s * v).sum()")), "derivative detached"),
        "field detached": (_ssm(second="0.5 * (s.detach() * v).sum(1).square()"), "square detached"),
        "all detached": (_ssm(result="(first + second).detach()"), "no gradient"),
        "summed": (_ssm(result="(first + second).sum()"), "shape"),
    },
    "dsm_loss": {
        "a small number": (
            _dsm("0.5 * (fn(x0 + sigma * eps) + eps / (sigma + 1e-8)).square().sum(1)"), "nearly"
        ),
        "squeezed": (_dsm("0.5 * (fn(x0 + sigma * eps) + eps / sigma).square().sum(1).squeeze()"), "one alone"),
        "minus": (_dsm("0.5 * (fn(x0 + sigma * eps) - eps / sigma).square().sum(1)"), "sign"),
        "sigma squared": (_dsm("0.5 * (fn(x0 + sigma * eps) + eps / sigma**2).square().sum(1)"), "eps / sigma^2"),
        "eps": (_dsm("0.5 * (fn(x0 + sigma * eps) + eps).square().sum(1)"), "eps not divided"),
        "times sigma": (_dsm("0.5 * (fn(x0 + sigma * eps) + eps * sigma).square().sum(1)"), "times sigma"),
        "no target": (_dsm("0.5 * fn(x0 + sigma * eps).square().sum(1)"), "no target"),
        "at x0": (_dsm("0.5 * (fn(x0) + eps / sigma).square().sum(1)"), "called at x0"),
        "unscaled": (_dsm("0.5 * (fn(x0 + eps) + eps / sigma).square().sum(1)"), "noise not scaled"),
        "variance": (_dsm("0.5 * (fn(x0 + sigma**2 * eps) + eps / sigma).square().sum(1)"), "noise times variance"),
        "subtracted": (_dsm("0.5 * (fn(x0 - sigma * eps) - eps / sigma).square().sum(1)"), "noise subtracted"),
        "own noise": (_dsm("0.5 * (fn(x0 + sigma * torch.randn_like(x0)) + eps / sigma).square().sum(1)"), "own noise"),
        "no half": (_dsm("(fn(x0 + sigma * eps) + eps / sigma).square().sum(1)"), "no half"),
        "mean": (_dsm("0.5 * (fn(x0 + sigma * eps) + eps / sigma).square().mean(1)"), "mean for sum"),
        "weighted": (_dsm("0.5 * (sigma * fn(x0 + sigma * eps) + eps).square().sum(1)"), "weighted"),
        "length": (_dsm("(0.5 * (fn(x0 + sigma * eps) + eps / sigma).square().sum(1)).sqrt()"), "length"),
        "mean over all": (_dsm("0.5 * (fn(x0 + sigma * eps) + eps / sigma).square().mean()"), "shape"),
        "detached": (_dsm("0.5 * (fn(x0 + sigma * eps).detach() + eps / sigma).square().sum(1)"), "no gradient"),
    },
    "langevin_step": {
        "cut to five": ("""
def langevin_step(x, score, a, z):
    return (x + a / 2 * score + a**.5 * z).clamp(-5, 5)
""", "value"),
        "float64": (_step("x.double() + a / 2 * score + a.sqrt() * z"), "not float32"),
        "not a number": (_step("x + a / 2 * score + (a * z) ** 0.5"), "not finite"),
        "a": (_step("x + a * score + a**0.5 * z"), "a for a / 2"),
        "downhill": (_step("x - a / 2 * score + a**0.5 * z"), "downhill"),
        "deviation": (_step("x + a**0.5 * score + a**0.5 * z"), "deviation"),
        "half a deviation": (_step("x + a**0.5 / 2 * score + a**0.5 * z"), "half the deviation"),
        "square": (_step("x + a**2 / 2 * score + a**0.5 * z"), "square"),
        "2 a": (_step("x + 2 * a * score + a**0.5 * z"), "twice"),
        "no score": (_step("x + a**0.5 * z"), "no move"),
        "x lost": (_step("a / 2 * score + a**0.5 * z"), "x lost"),
        "2 a in the noise": (_step("x + a / 2 * score + (2 * a) ** 0.5 * z"), "sqrt(2 a)"),
        "a in the noise": (_step("x + a / 2 * score + a * z"), "a z"),
        "a / 2 in the noise": (_step("x + a / 2 * (score + z)"), "a / 2 z"),
        "half the noise": (_step("x + a / 2 * score + (a / 2) ** 0.5 * z"), "half"),
        "plain z": (_step("x + a / 2 * score + z"), "z"),
        "no noise": (_step("x + a / 2 * score"), "no noise"),
        "noise subtracted": (_step("x + a / 2 * score - a**0.5 * z"), "minus"),
        "draws z itself": (_step("x + a / 2 * score + a**0.5 * torch.randn_like(x)"), "own noise"),
        "own noise": (_step("x + a / 2 * score + a**0.5 * torch.randn_like(z) * z.any()"), "own noise"),
        "in place": (_step("x.add_(a / 2 * score).add_(a**0.5 * z)"), "changed its input"),
        "points alone": (_step("torch.einsum('bd->bd', x + a / 2 * score + a**0.5 * z)"), "raised"),
    },
    "annealed_langevin": {
        "a last denoising": (_anneal(end="return model(x, times[-1]).x0"), "denoised"),
        "seeded at the start": (_first("generator.manual_seed(generator.initial_seed())"), "generator not moved on"),
        "noise in pairs": (
            _anneal(noise=f"a.sqrt() * (lambda z: torch.cat([z, -z])[: len(x)])({_RANDN}[: (len(x) + 1) // 2])"),
            "not independent",
        ),
        "uniform noise": (_anneal(noise=f"a.sqrt() * ({_RANDN.replace('randn', 'rand')} - .5) * 12**.5"), "not normal"),
        "signs for noise": (
            _anneal(noise="a.sqrt() * (torch.randint(0, 2, x.shape, generator=generator).to(x.dtype) * 2 - 1)"),
            "not normal",
        ),
        "t with two axes": (_anneal(ask="model(x, t.expand(len(x), 1)).eps"), "t's shape"),
        "axes of 1 dropped": (_anneal(end="return x.squeeze()"), "one alone"),
        "made two-dimensional": (_anneal(end="return x.reshape(-1, 2)"), "shape"),
        "two dimensions alone": (
            _anneal(noise="a.sqrt() * torch.randn(len(x), 2, generator=generator, dtype=x.dtype)"),
            "raised",
        ),
        "the eps of the place before": ("""
import torch
def annealed_langevin(model, x, times, steps, step_size, generator):
    eps = None
    for t in times:
        sigma = model.schedule(t)[1]
        a = step_size * sigma**2
        for _ in range(steps):
            new = model(x, t).eps
            eps = new if eps is None else eps
            x = x - a / 2 * eps / sigma + a**0.5 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
            eps = new
    return x
""", "old eps"),
        "the x before the last move": (
            _anneal(move="(was := x) + a / 2 * score + noise", end="return was"), "last move"
        ),
        "clamped at the end": (_anneal(end="return x.clamp(-1, 1)"), "last move"),
        "no noise in the last move of a level": (
            _anneal(noise="(_ < steps - 1) * a.sqrt() * torch.randn(x.shape, generator=generator, dtype=x.dtype)"),
            "noise",
        ),
        "one z for all points": (
            _anneal(noise="a.sqrt() * torch.randn(x.shape[1:], generator=generator, dtype=x.dtype)"),
            "one z for all points",
        ),
        "reversed": (_anneal("times.flip(0)"), "levels reversed"),
        "constant a": (_anneal(a="step_size * torch.ones_like(sigma)"), "a = step_size"),
        "own step size": (_anneal(a="0.2 * sigma**2"), "value"),
        "a by sigma": (_anneal(a="step_size * sigma"), "one sigma short"),
        "first level": (_anneal(ask="model(x, times[0]).eps"), "first level only"),
        "the lecture's path": (
            "from minidiff.schedules import VE\npath = VE()\n" + _anneal(sigma="path(t)[1]"), "another path"
        ),
        "first sigma in the score": (_anneal(score="-eps / model.schedule(times[0])[1]"), "first sigma"),
        "first sigma in a": (_anneal(a="step_size * model.schedule(times[0])[1] ** 2"), "by the first level"),
        "last level": (_anneal(levels="times[-1:].expand(len(times))"), "last level only"),
        "skips the last": (_anneal(levels="times[:-1]"), "last level missing"),
        "skips the first": (_anneal(levels="times[1:]"), "first level missing"),
        "one move": (_anneal(count="range(1)"), "one move a level"),
        "in turns": (_anneal(levels="times.repeat(steps)", count="range(1)"), "levels in turns"),
        "a move too many": (_anneal(count="range(steps + 1)"), "calls"),
        "asks twice": (_anneal(ask="model(x, t).eps + 0 * model(x, t).x0"), "two calls a move"),
        "sqrt(2 a)": (_anneal(noise=f"(2 * a).sqrt() * {_RANDN}"), "sqrt(2 a)"),
        "a z": (_anneal(noise=f"a * {_RANDN}"), "a z"),
        "half the noise": (_anneal(noise=f"(a / 2).sqrt() * {_RANDN}"), "half the noise"),
        "plain noise": (_anneal(noise=_RANDN), "not scaled"),
        "noise of one level": (_anneal(noise=f"step_size**0.5 * {_RANDN}"), "noise of step_size"),
        "eps for the score": (_anneal(score="-eps"), "eps for the score"),
        "plus eps": (_anneal(score="eps"), "eps for the score, uphill"),
        "over sigma^2": (_anneal(score="-eps / sigma**2"), "one sigma short"),
        "downhill": (_anneal(score="eps / sigma"), "downhill"),
        "a": (_anneal(move="x + a * score + noise"), "a for a / 2"),
        "as in the paper": (_anneal(a="step_size * sigma**2 / model.schedule(times[-1])[1] ** 2"), "by the last level"),
        "no generator": (_anneal(noise="a.sqrt() * torch.randn_like(x)"), "generator not used"),
        "no move": (_first("return x.clone()"), "calls"),
        "own start": (_first("x = 2 * torch.randn(x.shape, generator=generator, dtype=x.dtype)"), "own start"),
        "a copy of the generator": (
            _first("generator = torch.Generator().set_state(generator.get_state())"), "generator not moved on"
        ),
        "float64 noise": (
            _anneal(noise="a.sqrt() * torch.randn(x.shape, generator=generator, dtype=torch.float64)"), "not float32"
        ),
        "one z": (_first(f"z = {_RANDN}", noise="a.sqrt() * z"), "one z for all"),
        "no noise": (_anneal(noise="0"), "same noise"),
        "noise from one seed": (
            _anneal(noise="a.sqrt() * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)"),
            "same noise",
        ),
        "float32": (_anneal(end="return x.float()"), "dtype"),
        "abs": (_anneal(end="return x.abs()"), "last move"),
        "squeezed": (_anneal(end="return x.clamp(-0.6, 0.6)"), "last move"),
        "in place": (_anneal(move="x.add_(a / 2 * score + noise)"), "changed its input"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "mixture_score": {
        "autograd": """
import torch
def mixture_score(x, weights, means, std):
    x = x.detach().requires_grad_()
    logits = weights.log() - torch.cdist(x, means).square() / (2 * std**2)
    return torch.autograd.grad(torch.logsumexp(logits, 1).sum(), x)[0]
""",
        "the least taken away": _mix(share="(e := (logits - logits.amax(1, True)).exp()) / e.sum(1, True)"),
        "logsumexp": _mix(share="(logits - torch.logsumexp(logits, 1, keepdim=True)).exp()"),
        "best guess": _mix(result="(share @ means - x) / std**2"),
    },
    "ism_loss": {
        "jacrev": """
import torch
def ism_loss(fn, x):
    jacobian = torch.func.vmap(torch.func.jacrev(fn))(x)
    return jacobian.diagonal(dim1=1, dim2=2).sum(1) + fn(x).square().sum(1) / 2
""",
        "jacobian of the batch": """
import torch
def ism_loss(fn, x):
    jacobian = torch.autograd.functional.jacobian(lambda y: fn(y).sum(0), x, create_graph=True)
    return torch.einsum("ibi->b", jacobian) + 0.5 * (fn(x) ** 2).sum(-1)
""",
        "by grad_outputs": _ism(_GRAD.format("s[:, i]").replace("x,", "x, torch.ones(len(x)).double(),") + "[:, i]"),
    },
    "ssm_loss": {
        "jvp": """
import torch
def ssm_loss(fn, x, v):
    s, along = torch.func.jvp(fn, (x,), (v,))
    return (v * along).sum(1) + 0.5 * (v * s).sum(1) ** 2
""",
        "vjp by grad_outputs": _ssm("torch.autograd.grad(s, x, grad_outputs=v, create_graph=True)[0]"),
    },
    "dsm_loss": {
        "x_t - x0": "def dsm_loss(fn, x0, eps, sigma):\n    x = x0 + sigma * eps\n"
        "    return ((fn(x) + (x - x0) / sigma**2) ** 2).sum(-1) / 2\n",
        "weighted and back": _dsm("0.5 * (sigma * fn(x0 + sigma * eps) + eps).square().sum(1) / sigma**2"),
    },
    "langevin_step": {
        "math": "import math\ndef langevin_step(x, score, a, z):\n    return x + math.sqrt(a) * z + 0.5 * a * score\n",
        "a normal distribution": _step("torch.addcmul(torch.addcmul(x, a / 2, score), a.sqrt(), z)"),
    },
    "annealed_langevin": {
        "one time each": _anneal(ask="model(x, t.expand(len(x))).eps"),
        "in place, on a copy": """
import torch
def annealed_langevin(model, x, times, steps, step_size, generator):
    x = x.clone()
    for t in times:
        sigma = model.schedule(t)[1]
        a = step_size * sigma**2
        for _ in range(steps):
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x += a / 2 * (-model(x, t).eps / sigma) + a.sqrt() * z
    return x
""",
        "in place, on what the model says": _anneal(ask="model(x, t).eps.mul_(1)", score="eps.div_(-sigma)"),
        "minus z": _anneal(noise=f"-a.sqrt() * {_RANDN}"),
        "z turned": _anneal(noise="a.sqrt() * torch.randn(x.shape[::-1], generator=generator, dtype=x.dtype).T"),
        "through x0": _anneal(ask="(x - model(x, t).x0) / sigma"),
        "without a": """
import torch
def annealed_langevin(model, x, times, steps, step_size, generator):
    for t in times:
        _, sigma = model.schedule(t)
        for _ in range(steps):
            z = torch.empty_like(x).normal_(generator=generator)
            x = x - step_size * sigma / 2 * model(x, t).eps + step_size**0.5 * sigma * z
    return x
""",
    },
}  # fmt: skip
