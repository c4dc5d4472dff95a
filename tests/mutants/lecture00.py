"""Wrong answers to the exercises of lecture 00, each with the key of its message, and others that are right."""

_WIDE = "alpha, sigma = (v.reshape(v.shape + (1,) * (x0.ndim - v.ndim)) if v.ndim else v for v in (alpha, sigma))\n    "
_PICTURES = "alpha, sigma = alpha.view(-1, 1, 1, 1), sigma.view(-1, 1, 1, 1)\n    "


def _add(line: str, wide: str = _WIDE) -> str:
    return f"import torch\ndef add_noise(x0, eps, alpha, sigma):\n    {wide}return {line}\n"


def _guess(line: str) -> str:
    return f"def best_guess(x_t, alpha, sigma, s):\n    return {line}\n"


def _modes(
    near: str = "d.min(1).values < 3 * std",
    least: str = "count >= len(x) / (8 * len(means))",
    share: str = "near.float().mean().item()",
    count: str = "(d < 3 * std).sum(0)",
) -> str:
    return f"""
import torch
def modes_found(x, means, std):
    d = torch.cdist(x, means)
    near = {near}
    count = {count}
    return int(({least}).sum()), {share}
"""  # fmt: skip


def _calls(each='2 * steps - 1 if sampler == "heun" else steps', guided="n if scale == 1 else 2 * n") -> str:
    return f"def calls(sampler, steps, scale):\n    n = {each}\n    return {guided}\n"


WRONG = {
    "add_noise": {
        "cut to five": ("""
def add_noise(x0, eps, alpha, sigma):
    a, s = (v.reshape(-1, *[1] * (x0.ndim - 1)) for v in (alpha, sigma))
    return (a * x0 + s * eps).clamp(-5, 5)
""", "value"),
        "float64": (_add("(alpha * x0 + sigma * eps).double()"), "not float32"),
        "plain": (_add("alpha * x0 + sigma * eps", ""), "lined up with columns"),
        "rows": (_add("alpha[:, None] * x0 + sigma[:, None] * eps", ""), "lined up with rows"),
        "both roots": (_add("alpha**0.5 * x0 + (1 - alpha) ** 0.5 * eps"), "both roots"),
        "alpha squared": (_add("alpha**2 * x0 + sigma * eps"), "alpha squared"),
        "x0": (_add("x0"), "x0 itself"),
        "sigma squared": (_add("alpha * x0 + sigma**2 * eps"), "variance"),
        "root of sigma": (_add("alpha * x0 + sigma**0.5 * eps"), "square root"),
        "DDPM's alpha": (_add("alpha**0.5 * x0 + sigma * eps"), "square root of alpha"),
        "exchanged": (_add("sigma * x0 + alpha * eps"), "exchanged"),
        "own noise": (_add("alpha * x0 + sigma * torch.randn_like(x0)"), "own noise"),
        "eps forgotten": (_add("alpha * x0 + sigma"), "own noise"),
        "own seeded noise": (
            _add("alpha * x0 + sigma * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))"),
            "own noise",
        ),
        "no noise": (_add("alpha * x0"), "no noise"),
        "minus": (_add("alpha * x0 - sigma * eps"), "minus"),
        "x0 whole": (_add("x0 + sigma * eps"), "x0 not scaled"),
        "a straight path": (_add("alpha * x0 + (1 - alpha) * eps"), "1 - alpha"),
        "for pictures alone": (_add("alpha * x0 + sigma * eps", _PICTURES), "pictures only"),
        "in place": (_add("x0.mul_(alpha).add_(sigma * eps)"), "changed its input"),
        "one level for all": (_add("alpha.flatten()[0] * x0 + sigma.flatten()[0] * eps"), "value"),
        "not for one level": (
            _add("alpha * x0 + sigma * eps", "shape = (len(x0),) + (1,) * (x0.ndim - 1)\n    "
                 "alpha, sigma = (v.reshape(shape) for v in (alpha, sigma))\n    "),
            "raised",
        ),
        "float32": (_add("(alpha * x0 + sigma * eps).float()"), "dtype"),
        "nothing returned": (_add("None"), "no tensor"),
    },
    "best_guess": {
        "cut to ten deviations": ("""
def best_guess(x_t, alpha, sigma, s):
    return (alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t).clamp(-10 * s, 10 * s)
""", "value"),
        "within three deviations": (
            _guess("(alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t).clamp(-3 * s, 3 * s)"), "value"
        ),
        "float64": (_guess("(alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t).double()"), "not float32"),
        "scale undone": (_guess("x_t / alpha"), "noise kept"),
        "on VP": (_guess("alpha * s**2 / (alpha**2 * s**2 + 1 - alpha**2) * x_t"), "alpha^2 + sigma^2 = 1"),
        "without s": (_guess("alpha / (alpha**2 + sigma**2) * x_t"), "s = 1"),
        "s above": (_guess("alpha * s / (alpha**2 * s**2 + sigma**2) * x_t"), "s for s^2 above"),
        "a sum squared": (_guess("alpha * s**2 / (alpha * s + sigma) ** 2 * x_t"), "square of a sum"),
        "minus": (_guess("-alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t"), "sign"),
        "x_t": (_guess("x_t"), "x_t"),
        "s": (_guess("alpha * s / (alpha**2 * s + sigma**2) * x_t"), "s for s^2"),
        "sigma": (_guess("alpha * s**2 / (alpha**2 * s**2 + sigma) * x_t"), "sigma for sigma^2"),
        "no alpha above": (_guess("s**2 / (alpha**2 * s**2 + sigma**2) * x_t"), "alpha missing"),
        "no alpha below": (_guess("alpha * s**2 / (s**2 + sigma**2) * x_t"), "alpha missing below"),
        "alpha": (_guess("alpha * s**2 / (alpha * s**2 + sigma**2) * x_t"), "alpha not squared"),
        "not divided": (_guess("alpha * s**2 * x_t"), "variance 1"),
        "eps": (_guess("sigma / (alpha**2 * s**2 + sigma**2) * x_t"), "the noise"),
        "alpha x0": (_guess("alpha**2 * s**2 / (alpha**2 * s**2 + sigma**2) * x_t"), "share of the signal"),
        "the other share": (_guess("sigma**2 / (alpha**2 * s**2 + sigma**2) * x_t"), "noise taken out"),
        "deviation": (_guess("alpha * s**2 / (alpha**2 * s**2 + sigma**2) ** 0.5 * x_t"), "deviation"),
        "the mean": (_guess("0 * x_t"), "the mean"),
        "shrunk twice": (_guess("(alpha * s**2 / (alpha**2 * s**2 + sigma**2)) ** 2 * x_t"), "value"),
        "float32 on the way": (
            "import torch\n" + _guess("torch.tensor(alpha * s**2 / (alpha**2 * s**2 + sigma**2)) * x_t"), "nearly"
        ),
        "mean of the batch": (_guess("(alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t).mean()"), "shape"),
    },
    "modes_found": {
        "K counts coordinates": (_modes(least="count >= len(x) / (8 * means.numel())"), "a share of the near ones"),
        "the notebook's std": (_modes(near="d.min(1).values < 0.09"), "square against 3 std"),
        "any point counts": (_modes(least="count > 0"), "any point counts"),
        "strictly more": (_modes(least="count > len(x) / (8 * len(means))"), "more than"),
        "no eighth": (_modes(least="count >= len(x) / len(means)"), "no eighth"),
        "an eighth of all": (_modes(least="count >= len(x) / 8"), "an eighth of all"),
        "of the near ones": (_modes(least="count >= near.sum() / (8 * len(means))"), "a share of the near ones"),
        "far ones too": (_modes(count="torch.bincount(d.argmin(1), minlength=len(means))"), "far ones counted"),
        "nearest mode alone": (
            _modes(count="torch.bincount(d.argmin(1)[near], minlength=len(means))"), "nearest mode alone"
        ),
        "counted twice": (_modes(share="(d < 3 * std).sum().item() / len(x)"), "counted twice"),
        "least over the points": (_modes("d.min(0).values < 3 * std"), "nearest point of each mode"),
        "square": (_modes("d.min(1).values ** 2 < 3 * std"), "square against 3 std"),
        "nine": (_modes("d.min(1).values < 9 * std**2"), "distance against the square"),
        "three": (_modes("d.min(1).values ** 2 < 3 * std**2"), "3 std^2"),
        "one std": (_modes("d.min(1).values < std"), "one std"),
        "two std": (_modes("d.min(1).values < 2 * std"), "two std"),
        "no std": (_modes("d.min(1).values < 3"), "std left out"),
        "a box": (_modes("((x[:, None] - means).abs() < 3 * std).all(2).any(1)"), "a box"),
        "share of the counted": (
            _modes(share="(count * (count >= len(x) / (8 * len(means)))).sum().item() / len(x)"),
            "counted modes only",
        ),
        "share of the near": (
            _modes(share="(count * (count >= len(x) / (8 * len(means)))).sum().item() / near.sum().item()"),
            "of the near ones",
        ),
        "rounded down": (_modes(least="count >= len(x) // (8 * len(means))"), "rounded down"),
        "ten points": (_modes(least="count >= 10"), "value"),
        "a count": (_modes(share="near.sum().item()"), "a count"),
        "far": (_modes(share="1 - near.double().mean().item()"), "far"),
        "mean over all pairs": (_modes(share="(d < 3 * std).double().mean().item()"), "per mode"),
        "modes alone": ("def modes_found(x, means, std):\n    return 5\n", "no pair"),
    },
    "calls": {
        "near 1 is off": ("""
def calls(sampler, steps, scale):
    n = 2 * steps - 1 if sampler == "heun" else steps
    return n if abs(scale - 1) < .25 else 2 * n
""", "near 1"),
        "scales of 0 and less are off": ("""
def calls(sampler, steps, scale):
    n = 2 * steps - 1 if sampler == "heun" else steps
    return n if scale <= 0 or scale == 1 else 2 * n
""", "above 0 alone"),
        "off by identity": (_calls(guided="n if type(scale) is int and scale == 1 else 2 * n"), "scale 1 doubled"),
        "heun's end": (_calls('2 * steps if sampler == "heun" else steps'), "heun's last step"),
        "one each": (_calls("steps"), "one slope for heun"),
        "dpmpp doubled": (_calls('2 * steps - (sampler == "heun") if sampler in ("heun", "dpmpp_2m") else steps'),
                          "dpmpp_2m doubled"),
        "scale 1 doubled": (_calls(guided="2 * n"), "scale 1 doubled"),
        "above 1": (_calls(guided="2 * n if scale > 1 else n"), "above 1 alone"),
        "no guidance": (_calls(guided="n"), "guidance not counted"),
        "scale times": (_calls(guided="int(n * scale)"), "scale as a factor"),
        "a step more": (_calls('2 * (steps + 1) - 1 if sampler == "heun" else steps + 1'), "a step more"),
        "guided only beyond 2": (_calls(guided="2 * n if scale > 2 else n"), "value"),
        "a fraction": (_calls(guided="n / 2"), "no number"),
        "a fraction where guided": (_calls(guided="n if scale == 1 else 2.0 * n"), "no number"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "add_noise": {
        "einsum": "import torch\ndef add_noise(x0, eps, alpha, sigma):\n"
        "    alpha, sigma = alpha.expand(len(x0)), sigma.expand(len(x0))\n"
        "    return torch.einsum('b,b...->b...', alpha, x0) + torch.einsum('b,b...->b...', sigma, eps)\n",
        "the package's expand": "from minidiff.schedules import expand\ndef add_noise(x0, eps, alpha, sigma):\n"
        "    return expand(alpha, x0) * x0 + expand(sigma, x0) * eps\n",
        "a loop": "import torch\ndef add_noise(x0, eps, alpha, sigma):\n"
        "    alpha, sigma = alpha.expand(len(x0)), sigma.expand(len(x0))\n"
        "    return torch.stack([a * x + s * e for x, e, a, s in zip(x0, eps, alpha, sigma)])\n",
        "last axis": "def add_noise(x0, eps, alpha, sigma):\n"
        "    return (alpha * x0.movedim(0, -1) + sigma * eps.movedim(0, -1)).movedim(-1, 0)\n",
    },
    "best_guess": {
        "precisions": _guess("(alpha / sigma**2 * x_t) / (1 / s**2 + alpha**2 / sigma**2)"),
        "by the score": _guess("(x_t - sigma**2 * x_t / (alpha**2 * s**2 + sigma**2)) / alpha"),
        "a Kalman gain": "def best_guess(x_t, alpha, sigma, s):\n    gain = s * s * alpha / (alpha * s * s * alpha "
        "+ sigma * sigma)\n    return 0.0 + gain * (x_t - alpha * 0.0)\n",
    },
    "modes_found": {
        "broadcasting": """
def modes_found(x, means, std):
    near = (x[:, None] - means).square().sum(-1) < 9 * std**2
    return (near.sum(0) >= len(x) / (8 * len(means))).sum(), near.any(1).double().mean()
""",
        "a loop": """
def modes_found(x, means, std):
    modes, close = 0, set()
    for mean in means:
        near = [i for i, point in enumerate(x) if (point - mean).norm() <= 3 * std]
        modes, close = modes + (8 * len(means) * len(near) >= len(x)), close | {*near}
    return modes, len(close) / len(x)
""",
        "cdist": _modes(),
    },
    "calls": {
        "formula": _calls(),
        "numpy": "import numpy as np\n" + _calls(guided="np.int64(n if scale == 1 else 2 * n)"),
        "a table": "def calls(sampler, steps, scale):\n    n = {'ddim': steps, 'euler': steps, 'heun': 2 * steps - 1, "
        "'dpmpp_2m': steps}[sampler]\n    return n * (2 if scale != 1 else 1)\n",
    },
}
