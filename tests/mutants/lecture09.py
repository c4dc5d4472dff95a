"""Wrong answers to the exercises of lecture 09, each with the key of its message, and others that are right."""


def _ema(line: str, buffers: str = "b.copy_(c)", decay: str = "min(decay, (1 + step) / (10 + step))") -> str:
    return f"""
import torch
@torch.no_grad()
def update_ema(ema, model, step, decay=0.999):
    d = {decay}
    for p, q in zip(ema.parameters(), model.parameters()):
        {line}
    for b, c in zip(ema.buffers(), model.buffers()):
        {buffers}
"""


_LERP = "p.lerp_(q, 1 - d)"


def _frechet(line: str, covariance: str = "torch.cov(x.T)", before: str = "pass") -> str:
    return f"""
import torch
def frechet(a, b):
    ma, mb = a.mean(0), b.mean(0)
    ca, cb = ({covariance} for x in (a, b))
    {before}
    away, traces = (ma - mb).square().sum(), ca.trace() + cb.trace()
    cross = torch.linalg.eigvals(ca @ cb).real.clamp(min=0).sqrt().sum()
    def root(c):
        values, axes = torch.linalg.eigh(c)
        return axes @ torch.diag(values.clamp(min=0).sqrt()) @ axes.T
    return ({line})
"""


def _copied(line: str) -> str:
    return f"""
import torch
def copied(samples, train, held_out):
    mine, theirs = torch.cdist(samples, train), torch.cdist(held_out, train)
    near = lambda a, b: torch.cdist(a, b).min(1).values
    return float({line})
"""


def _loss(
    x0: str = "pictures / 127.5 - 1",
    x_t: str = "alpha * x0 + sigma * eps",
    loss: str = "(net(x_t, t) - eps).square().flatten(1).mean(1)",
    wide: str = "alpha, sigma = (v.view(-1, 1, 1, 1) for v in (alpha, sigma))",
) -> str:
    return f"""
import torch
def diffusion_loss(net, pictures, t, eps, schedule):
    alpha, sigma = schedule(t)
    {wide}
    x0 = {x0}
    x_t = {x_t}
    return {loss}
"""


_PER = ".flatten(1).mean(1)"

WRONG = {
    "update_ema": {
        "children alone": ("""
import torch
@torch.no_grad()
def update_ema(ema, model, step, decay=0.999):
    d = min(decay, (1 + step) / (10 + step))
    for a, m in zip(ema.children(), model.children()):
        for p, q in zip(a.parameters(recurse=False), m.parameters(recurse=False)): p.lerp_(q, 1 - d)
    for b, c in zip(ema.buffers(), model.buffers()): b.copy_(c)
""", "value"),
        "new parameters": ("""
import torch
@torch.no_grad()
def update_ema(ema, model, step, decay=0.999):
    d = min(decay, (1 + step) / (10 + step))
    for (name, p), q in zip(list(ema.named_parameters()), model.parameters()):
        of, _, last = name.rpartition(".")
        setattr(ema.get_submodule(of), last, torch.nn.Parameter(d * p + (1 - d) * q, requires_grad=False))
    for b, c in zip(ema.buffers(), model.buffers()): b.copy_(c)
""", "new parameters"),
        ".999 at most": ("""
import torch
@torch.no_grad()
def update_ema(ema, model, step, decay=0.999):
    d = min(decay, (1 + step) / (10 + step), 0.999)
    for p, q in zip(ema.parameters(), model.parameters()): p.lerp_(q, 1 - d)
    for b, c in zip(ema.buffers(), model.buffers()): b.copy_(c)
""", "decay not used"),
        "by the state's names": (
            """
import torch
def update_ema(ema, model, step, decay=0.999):
    new, d = model.state_dict(), min(decay, (1 + step) / (10 + step))
    names = {name for name, _ in model.named_parameters()}
    for name, mine in ema.state_dict().items():
        mine.copy_(d * mine + (1 - d) * new[name] if name in names else new[name])
""",
            "shared layer copied",
        ),
        "by the state's items": (
            """
import torch
def update_ema(ema, model, step, decay=0.999):
    d = min(decay, (1 + step) / (10 + step))
    for mine, new in zip(ema.state_dict().values(), model.state_dict().values()):
        mine.copy_(d * mine + (1 - d) * new if mine.is_floating_point() else new)
""",
            "shared layer averaged twice",
        ),
        "in place on what is trained": (_ema("p.lerp_(q.detach(), 1 - d)").replace("@torch.no_grad()\n", ""), "raised"),
        "freezes the model": (_ema(_LERP, decay="min(decay, (1 + step) / (10 + step)); model.requires_grad_(False)"),
                              "stops the model"),
        "puts the model to eval": (_ema(_LERP, decay="min(decay, (1 + step) / (10 + step)); model.eval()"),
                                   "stops the model"),
        "clears the gradients": (_ema(_LERP, decay="min(decay, (1 + step) / (10 + step)); model.zero_grad()"),
                                 "stops the model"),
        "floats alone": (_ema(_LERP, "b.copy_(c) if b.is_floating_point() else b"), "buffers left out"),
        "a decay of float32": (_ema(_LERP, decay="torch.tensor(min(decay, (1 + step) / (10 + step)))"), "nearly"),
        "exchanged": (_ema("p.lerp_(q, d)"), "exchanged"),
        "no warm-up": (_ema(_LERP, decay="decay"), "no warm-up"),
        "a warm-up of 1,000": (
            _ema(_LERP, decay="decay if step > 1000 else min(decay, (1 + step) / (10 + step))"), "another decay"
        ),
        "max": (_ema(_LERP, decay="max(decay, (1 + step) / (10 + step))"), "no warm-up"),
        "ramp alone": (_ema(_LERP, decay="(1 + step) / (10 + step)"), "no limit"),
        "decay not used": (_ema(_LERP, decay="min(0.999, (1 + step) / (10 + step))"), "decay not used"),
        "from step 0": (_ema(_LERP, decay="min(decay, step / (9 + step))"), "one step off"),
        "no 1": (_ema(_LERP, decay="min(decay, step / (10 + step))"), "no 1 in it"),
        "one step late": (_ema(_LERP, decay="min(decay, (2 + step) / (11 + step))"), "one step late"),
        "another ramp": (_ema(_LERP, decay="min(decay, step / (100 + step))"), "another decay"),
        "a decay of its own": (_ema(_LERP, decay="0.99"), "another decay"),
        "a new name": (_ema("p = d * p + (1 - d) * q"), "nothing"),
        "a copy": (_ema("p.copy_(q)"), "a copy"),
        "plus": (_ema("p.mul_(d).add_(q)"), "plus"),
        "buffers forgotten": (_ema(_LERP, "pass"), "buffers forgotten"),
        "buffers averaged": (_ema(_LERP, "b.copy_(d * b + (1 - d) * c)"), "buffers averaged"),
        "buffers by reference": (_ema(_LERP, "b.data = c.data"), "reference"),
        "parameters by reference": (_ema("q.copy_(p.lerp_(q, 1 - d))"), "changes the model"),
        "the model": (_ema("q.lerp_(p, 1 - d)"), "changes the model"),
        "under autograd": (_ema(_LERP).replace("@torch.no_grad()", ""), "under autograd"),
        "the copy that is kept": (_ema("p.data = q.data if step > 1 else p.lerp(q, 1 - d)"), "a copy"),
        "a new module": (
            "import copy\ndef update_ema(ema, model, step, decay=0.999):\n    ema = copy.deepcopy(model)\n"
            "    return ema\n",
            "nothing",
        ),
        "first parameters only": (
            _ema(_LERP).replace("zip(ema.parameters(), model.parameters())",
                                "list(zip(ema.parameters(), model.parameters()))[:2]"),
            "value",
        ),
    },
    "frechet": {
        "the root of each entry": (
            "import numpy as np\ndef frechet(a, b):\n    a, b = a.numpy(), b.numpy()\n"
            "    ca, cb = np.cov(a.T), np.cov(b.T)\n    with np.errstate(invalid='ignore'):\n"
            "        root = np.trace(np.sqrt(ca @ cb))\n"
            "    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb) - 2 * root)\n",
            "elementwise root",
        ),
        "traces multiplied": (_frechet("away + 2 * (ca.trace() * cb.trace()).sqrt() - 2 * cross"), "value"),
        "not clamped": (
            _frechet("away + traces - 2 * torch.linalg.eigvals(ca @ cb).real.sqrt().sum()"), "NaN"
        ),
        "elementwise": (_frechet("away + traces - 2 * (ca @ cb).clamp(min=0).sqrt().trace()"), "elementwise root"),
        "elementwise product": (_frechet("away + traces - 2 * (ca * cb).sqrt().trace()"), "of the variances alone"),
        "variances alone": (
            _frechet("away + traces - 2 * (a.std(0) * b.std(0)).sum()"), "of the variances alone"),
        "product of roots": (_frechet("away + traces - 2 * (root(ca) @ root(cb)).trace()"), "product of roots"),
        "eigvalsh": (
            _frechet("away + traces - 2 * torch.linalg.eigvalsh(ca @ cb).clamp(min=0).sqrt().sum()"), "eigvalsh"),
        "svdvals": (_frechet("away + traces - 2 * torch.linalg.svdvals(ca @ cb).sqrt().sum()"), "singular values"),
        "no 2": (_frechet("away + traces - cross"), "no 2"),
        "plus": (_frechet("away + traces + 2 * cross"), "plus"),
        "no root": (_frechet("away + traces - 2 * (ca @ cb).trace()"), "no root"),
        "rooted": (_frechet("(away + traces - 2 * cross).sqrt()"), "rooted"),
        "norm of the means": (_frechet("away.sqrt() + traces - 2 * cross"), "mean not squared"),
        "mean of squares": (_frechet("away / 3 + traces - 2 * cross"), "mean of squares"),
        "no means": (_frechet("traces - 2 * cross"), "means left out"),
        "means only": (_frechet("away"), "covariances left out"),
        "correlation": (_frechet("away + traces - 2 * cross", "torch.corrcoef(x.T)"), "correlation"),
        "N": (_frechet("away + traces - 2 * cross", "torch.cov(x.T, correction=0)"), "divided by N"),
        "determinant": (_frechet("away + traces - 2 * torch.det(ca @ cb).sqrt()"), "determinant"),
        "rows for columns": (_frechet("away + traces - 2 * cross", "torch.cov(x)"), "raised"),
        "complex": (
            _frechet("away + traces - 2 * torch.linalg.eigvals(ca @ cb).sqrt().sum()").replace(
                "return (", "return complex("),
            "complex",
        ),
        "a matrix": (_frechet("away + ca + cb - 2 * root(ca @ cb)"), "no number"),
        "no return": (_frechet("None"), "no number"),
    },
    "copied": {
        "1 at most": ("""
import torch
def copied(samples, train, held_out):
    near = lambda a: torch.cdist(a, train).min(1).values.median()
    return min(1.0, (near(samples) / near(held_out)).item())
""", "cut at 1"),
        "held-out pictures searched too": ("""
import torch
def copied(samples, train, held_out):
    near = lambda a, b: torch.cdist(a, b).min(1).values.median()
    return (near(samples, torch.cat([train, held_out])) / near(held_out, train)).item()
""", "value"),
        "turned": (_copied("theirs.min(1).values.median() / mine.min(1).values.median()"), "turned"),
        "held_out looked at": (_copied("near(samples, held_out).median() / near(held_out, train).median()"),
                               "held_out looked at"),
        "held_out twice": (_copied("near(samples, held_out).median() / near(held_out, samples).median()"),
                           "both held_out"),
        "below in samples": (_copied("near(samples, train).median() / near(held_out, samples).median()"),
                             "below is not train"),
        "its own neighbour": (_copied("near(samples, train).median() / near(held_out, held_out).median()"),
                              "a picture is its own neighbour"),
        "mean": (_copied("mine.min(1).values.mean() / theirs.min(1).values.mean()"), "mean"),
        "wrong axis": (_copied("mine.min(0).values.median() / theirs.min(0).values.median()"), "wrong way"),
        "distances to samples": (_copied("near(train, samples).median() / near(held_out, train).median()"),
                                 "wrong way above"),
        "all distances": (_copied("mine.median() / theirs.median()"), "all distances"),
        "farthest": (_copied("mine.max(1).values.median() / theirs.max(1).values.median()"), "farthest"),
        "squared": (
            _copied("(mine**2).min(1).values.median() / (theirs**2).min(1).values.median()"), "squared"),
        "not over held_out": (_copied("mine.min(1).values.median()"), "above alone"),
        "difference": (_copied("mine.min(1).values.median() - theirs.min(1).values.median()"), "difference"),
        "nearest pair": (_copied("mine.min() / theirs.min()"), "least"),
        "a share": (
            _copied("(mine.min(1).values < theirs.min(1).values.median()).double().mean()"), "value"),
    },
    "diffusion_loss": {
        "over 60 numbers": ("""
def diffusion_loss(net, pictures, t, eps, schedule):
    x0 = pictures.float() / 127.5 - 1
    alpha, sigma = (value.reshape(-1, 1, 1, 1) for value in schedule(t))
    return (net(alpha * x0 + sigma * eps, t) - eps).square().flatten(1).sum(1) / 60
""", "value"),
        "squeezed": (_loss(loss="((net(x_t, t) - eps) ** 2).mean((1, 2, 3), keepdim=True).squeeze()"), "one alone"),
        "four pictures": (_loss(wide="alpha, sigma = (v.view(4, 1, 1, 1) for v in (alpha, sigma))"), "raised"),
        "bytes doubled": (_loss("2 * pictures / 255 - 1"), "wrapped"),
        "bytes less 128": (_loss("(pictures - 128) / 128"), "wrapped, 128"),
        "by the largest byte": (_loss("2 * pictures.double() / pictures.max() - 1"), "value"),
        "t in thousands": (_loss(loss="(net(x_t, 1000 * t) - eps).square().flatten(1).mean(1)"), "t scaled"),
        "sigma from alpha": (_loss(x_t="alpha * x0 + (1 - alpha**2).sqrt() * eps"), "value"),
        "t as (B, 1, 1, 1)": (
            _loss(loss="(net(x_t, t.view(-1, 1, 1, 1)) - eps).square().flatten(1).mean(1)"), "t's shape"
        ),
        "0 to 255": (_loss("pictures.float()"), "0 to 255"),
        "0 to 1": (_loss("pictures / 255"), "0 to 1"),
        "0 to 2": (_loss("pictures / 127.5"), "0 to 2"),
        "not scaled": (_loss("pictures - 127.5"), "not scaled"),
        "half": (_loss("pictures / 255 - 0.5"), "half"),
        "128": (_loss("pictures / 128 - 1"), "128"),
        "sigma squared": (_loss(x_t="alpha * x0 + sigma**2 * eps"), "sigma squared"),
        "broadcast": (_loss(wide="pass"), "lined up with columns"),
        "exchanged": (_loss(x_t="sigma * x0 + alpha * eps"), "exchanged"),
        "minus": (_loss(x_t="alpha * x0 - sigma * eps"), "minus"),
        "all of the broken one": (
            _loss("pictures.float()", "alpha * x0 + sigma**2 * eps", f"(net(x_t, t) - x0).square(){_PER}", "pass"),
            "0 to 255",
        ),
        "clean": (_loss(loss=f"(net(x0, t) - eps).square(){_PER}"), "clean"),
        "no t": (_loss(loss=f"(net(x_t, torch.zeros_like(t)) - eps).square(){_PER}"), "t"),
        "sigma for t": (_loss(loss=f"(net(x_t, sigma.flatten()) - eps).square(){_PER}"), "t"),
        "target x0": (_loss(loss=f"(net(x_t, t) - x0).square(){_PER}"), "target x0"),
        "target v": (_loss(loss=f"(net(x_t, t) - alpha * eps + sigma * x0).square(){_PER}"), "target v"),
        "target flow": (_loss(loss=f"(net(x_t, t) - eps + x0).square(){_PER}"), "target flow"),
        "sum": (_loss(loss="(net(x_t, t) - eps).square().flatten(1).sum(1)"), "sum"),
        "root": (_loss(loss=f"(net(x_t, t) - eps).square(){_PER}.sqrt()"), "root"),
        "absolute": (_loss(loss=f"(net(x_t, t) - eps).abs(){_PER}"), "absolute"),
        "half a loss": (_loss(loss=f"(net(x_t, t) - eps).square(){_PER} / 2"), "half"),
        "weighted": (_loss(loss=f"((alpha / sigma) * (net(x_t, t) - eps)).square(){_PER}"), "weighted"),
        "by sigma": (_loss(loss=f"(sigma * (net(x_t, t) - eps)).square(){_PER}"), "weighted by sigma"),
        "one number": (_loss(loss="(net(x_t, t) - eps).square().mean()"), "a mean over the batch"),
        "one for all": (_loss(loss="(net(x_t, t) - eps).square().mean().expand(len(t))"), "one mean for all"),
        "columns": (_loss(loss="(net(x_t, t) - eps).square().mean((0, 1, 2))"), "mean over pictures"),
        "each pixel": (_loss(loss="(net(x_t, t) - eps).square()"), "shape"),
        "sign": (_loss(loss=f"(net(x_t, t) + eps).square(){_PER}"), "sign"),
        "detached": (_loss(loss=f"(net(x_t, t).detach() - eps).square(){_PER}"), "no gradient"),
        "fresh noise": (_loss("pictures / 127.5 - 1 + 0 * (eps := torch.randn_like(eps))"), "value"),
        "in place": (_loss(loss=f"eps.sub_(net(x_t, t)).square(){_PER}"), "input marked"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "update_ema": {
        "mul and add": _ema("p.mul_(d).add_(q, alpha=1 - d)"),
        "data, without no_grad": _ema("p.data = d * p.data + (1 - d) * q.data", "b.data.copy_(c)").replace(
            "@torch.no_grad()", ""
        ),
        "foreach": """
import torch
def update_ema(ema, model, step, decay=0.999):
    with torch.no_grad():
        weight = 1 - min(decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), weight)
        for b, c in zip(ema.buffers(), model.buffers()):
            b.copy_(c)
""",
    },
    "frechet": {
        "scipy's root": "import numpy as np\nfrom scipy.linalg import sqrtm\ndef frechet(a, b):\n"
        "    a, b = a.numpy(), b.numpy()\n    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)\n"
        "    away = ((a.mean(0) - b.mean(0)) ** 2).sum()\n"
        "    return float(away + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real))\n",
        "singular values": """
import torch
def frechet(a, b):
    x, y = (v - v.mean(0) for v in (a, b))
    x, y = x / (len(x) - 1) ** 0.5, y / (len(y) - 1) ** 0.5
    cross = torch.linalg.svdvals(x @ y.T).sum()
    return (a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum() - 2 * cross
""",
        "by the symmetric root": _frechet("away + traces - 2 * root(root(ca) @ cb @ root(ca)).trace()"),
    },
    "copied": {
        "in float32": """
import torch
def copied(samples, train, held_out):
    near = lambda x: torch.cdist(x.float(), train.float()).min(1).values.median()
    return near(samples) / near(held_out)
""",
        "numpy": "import numpy as np\ndef copied(samples, train, held_out):\n"
        "    def near(x):\n"
        "        away = ((x.numpy()[:, None] - train.numpy()[None]) ** 2).sum(-1)\n"
        "        return np.median(away.min(1)) ** 0.5\n"
        "    return near(samples) / near(held_out)\n",
        "in parts": """
import torch
def copied(samples, train, held_out):
    def near(x):
        parts = [torch.cdist(x, part).min(1).values for part in train.split(7)]
        return torch.stack(parts).min(0).values.median()
    return near(samples) / near(held_out)
""",
    },
    "diffusion_loss": {
        "the mean over named axes": _loss(loss="((net(x_t, t) - eps) ** 2).mean(dim=(1, 2, 3))"),
        "mse_loss": _loss(loss="torch.nn.functional.mse_loss(net(x_t, t), eps, reduction='none').flatten(1).mean(1)"),
        "in place": _loss(
            "(pictures / 127.5).sub_(1)",
            "x0.mul_(alpha).add_(sigma * eps)",
            "net(x_t, t).sub(eps).square_().flatten(1).mean(1)",
        ),
        "a loop": """
import torch
def diffusion_loss(net, pictures, t, eps, schedule):
    x0 = 2 * (pictures.to(eps.dtype) / 255) - 1
    alpha, sigma = schedule(t)
    x_t = torch.stack([a * x + s * e for a, x, s, e in zip(alpha, x0, sigma, eps)])
    return torch.stack([(o - e).pow(2).mean() for o, e in zip(net(x_t, t), eps)])
""",
    },
}
