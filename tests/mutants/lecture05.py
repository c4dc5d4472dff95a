"""Answers to the exercises of lecture 05 that are wrong, with the key of their message, and others that are right."""


def _layers(line: str) -> str:
    return f"import math\ndef layers_to_see(side, kernel):\n    return {line}\n"


_CUT = "x.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(b, -1, p * p * c)"
_JOIN = "tokens.view(b, h // p, w // p, p, p, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, h, w)"


def _pair(cut: str = _CUT, join: str = _JOIN) -> str:
    return f"""
def patchify(x, p):
    b, c, h, w = x.shape
    return {cut}
def unpatchify(tokens, p, shape):
    b, c, h, w = shape
    return {join}
"""


def _attention(line: str = "weights @ v", scores: str = "q @ k.mT / q.shape[-1] ** 0.5", axis: int = -1,
               masked: str = "scores.masked_fill(~mask[:, None, None], -torch.inf)") -> str:  # fmt: skip
    return f"""
import torch
def attention(q, k, v, mask=None):
    scores = {scores}
    if mask is not None:
        scores = {masked}
    weights = scores.softmax({axis})
    return {line}
"""


def _unet(up: str = "for part in ups:\n        h = part(h, skips.pop())", down: str = "h, skip = part(h)",
          keep: str = "skips.append(skip)", middle: str = "h = middle(h)", end: str = "h") -> str:  # fmt: skip
    return f"""
def unet(x, downs, middle, ups):
    h, skips = x, []
    for part in downs:
        {down}
        {keep}
    {middle}
    {up}
    return {end}
"""


def _flops(attention="4 * n**2 * width", conv="18 * n * width**2", mlp="16 * n * width**2") -> str:
    return f"""
def flops(kind, n, width):
    return {{"attention": {attention}, "conv3x3": {conv}, "mlp": {mlp}}}[kind]
"""


def _mmse(inside: str, outside: str = "1 - (torch.tanh({}) * density).sum() * 20 / 4001", first: str = "") -> str:
    return f"""
import torch
def sign_mmse(m):
    {first}
    z = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    density = torch.exp(-z**2 / 2) / (2 * torch.pi) ** 0.5
    return ({outside.format(inside)}).item()
"""


_RIGHT = "m + m**0.5 * z"

WRONG = {
    "layers_to_see": {
        "one at least": ("""
def layers_to_see(side, kernel):
    return max(1, -(-(side - 1) // (kernel - 1)))
""", "one pixel"),
        "one more for even sides": ("""
def layers_to_see(side, kernel):
    return (side - 1) // (kernel - 1) + (side % 2 == 0)
""", "rounded down"),
        "floor": (_layers("(side - 1) // (kernel - 1)"), "rounded down"),
        "not rounded": (_layers("(side - 1) / (kernel - 1)"), "not rounded"),
        "side - 1": (_layers("side - 1"), "one side"),
        "one side": (_layers("math.ceil((side - 1) / (kernel // 2))"), "one side"),
        "kernel ignored": (_layers("side // 2"), "kernel ignored"),
        "whole kernels": (_layers("math.ceil(side / kernel)"), "by whole kernels"),
        "one too many": (_layers("math.ceil((side - 1) / (kernel - 1)) + 1"), "one too many"),
        "turned": (_layers("(kernel - 1) * side + 1"), "what is seen"),
        "no return": (_layers("None"), "no number"),
    },
    "patchify": {
        "detached": (_pair(cut=f"({_CUT}).detach()"), "no gradient"),
        "joined without a gradient": (_pair(join=f"({_JOIN}).detach()"), "no gradient"),
        "squeezed": (_pair(cut=f"({_CUT}).squeeze()"), "one alone"),
        "its input emptied": (_pair().replace("    return", "    was = x.clone(); x.zero_(); x = was\n    return", 1),
                              "changed its input"),
        "reshape only": (_pair("x.reshape(b, -1, p * p * c)", "tokens.reshape(shape)"), "reshape only"),
        "rows of pixels": (_pair("x.movedim(1, 3).reshape(b, -1, p * p * c)"), "rows of pixels"),
        "down the columns": (_pair(_CUT.replace("(0, 2, 4,", "(0, 4, 2,")), "down the columns"),
        "down the columns, both ways": (
            _pair(_CUT.replace("(0, 2, 4,", "(0, 4, 2,"),
                  "tokens.view(b, w // p, h // p, p, p, c).permute(0, 5, 2, 3, 1, 4).reshape(b, c, h, w)"),
            "down the columns"),
        "channels first": (_pair("x.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)"), "shape"),
        "no axis of patches": (_pair(_CUT.replace("b, -1, p * p * c", "-1, p * p * c")), "shape"),
        "square only": (_pair("x.view(b, c, h // p, p, h // p, p).permute(0, 2, 4, 3, 5, 1).reshape(b, -1, p*p*c)"),
                        "raised"),
        "sides exchanged": (_pair(join=_JOIN.replace("h // p, w // p", "w // p, h // p").replace("c, h, w", "c, h, w")),
                            "mixed up"),
        "width first": (_pair(join=_JOIN.replace("reshape(b, c, h, w)", "reshape(b, c, w, h)")), "shape"),
        "rows of a patch turned": (_pair(join=_JOIN.replace("(0, 5, 1, 3, 2, 4)", "(0, 5, 1, 4, 2, 3)")),
                                   "inside a patch"),
        "channels where pixels were": (_pair(join=_JOIN.replace("p, p, c)", "c, p, p)").replace(
            "(0, 5, 1, 3, 2, 4)", "(0, 3, 1, 4, 2, 5)")), "inside a patch"),
        "no permutation back": (_pair(join="tokens.reshape(b, c, h, w)"), "mixed up"),
        "sorted": (_pair(_CUT + ".flip(2) if x.shape[3] == 6 else " + _CUT + " * (1 + 0 * p)",
                         "tokens[..., :1].mean() + 0 * " + _JOIN), "value"),
        "another order in some": (
            _pair("(lambda t: t.__class__.cat([t[:, :1], t[:, 1:].flip(2)], 1))(" + _CUT + ")") .replace(
                "t.__class__.cat", "__import__('torch').cat"), "orders differ"),
        "unpatchify is still None": ("unpatchify = None\n" + _pair().split("def unpatchify")[0], "half"),
        "three functions": ("def f(*a):\n    return a\npatchify = (f, f, f)\n", "no pair"),
    },
    "attention": {
        "detached without a mask": ("""
import torch
def attention(q, k, v, mask=None):
    s = q @ k.mT / q.shape[-1] ** 0.5
    if mask is None:
        return s.softmax(-1).detach() @ v
    return s.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1) @ v
""", "detached"),
        "the largest of all rows": ("""
import torch
def attention(q, k, v, mask=None):
    s = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask[:, None, None], -torch.inf)
    e = (s - s.max()).exp()
    return e / e.sum(-1, keepdim=True) @ v
""", "overflow"),
        "a large number": (_attention(masked="scores.masked_fill(~mask[:, None, None], -1000.0)"), "finite mask"),
        "queries detached": (_attention(scores="q.detach() @ k.mT / q.shape[-1] ** 0.5"), "detached"),
        "no default": (_attention().replace("mask=None", "mask"), "no default"),
        "float64": (_attention("(weights @ v).double()"), "not float32"),
        "not divided": (_attention(scores="q @ k.mT"), "not divided"),
        "divided by d": (_attention(scores="q @ k.mT / q.shape[-1]"), "divided by d"),
        "all heads": (_attention(scores="q @ k.mT / (q.shape[1] * q.shape[-1]) ** 0.5"), "all heads"),
        "multiplied": (_attention(scores="q @ k.mT * q.shape[-1] ** 0.5"), "multiplied"),
        "over queries": (_attention(axis=-2), "over queries"),
        "over heads": (_attention(axis=1), "over heads"),
        "no softmax": (_attention("scores @ v"), "no softmax"),
        "not normalised": (_attention("scores.exp() @ v"), "not normalised"),
        "keys for values": (_attention("weights @ k"), "values are keys"),
        "mask ignored": (_attention(masked="scores"), "mask not used"),
        "mask after": (_attention(masked="scores", line="weights @ v if mask is None else "
                                  "(weights * mask[:, None, None]) @ v"), "mask after softmax"),
        "score 0": (_attention(masked="scores * mask[:, None, None]"), "score 0"),
        "inverted": (_attention(masked="scores.masked_fill(mask[:, None, None], -1e9)"), "inverted"),
        "lined up with queries": (_attention(masked="scores.masked_fill(~mask, -torch.inf)"),
                                  "lined up with queries"),
        "lined up with heads": (_attention(masked="scores.masked_fill(~mask[:, None], -torch.inf)"),
                                "lined up with heads"),
        "added": (_attention(masked="scores + mask[:, None, None]"), "added"),
        "a penalty of 1": (_attention(masked="scores - 1.0 * ~mask[:, None, None]"), "added"),
        "values masked": (_attention(masked="scores", line="weights @ (v if mask is None else v * "
                                     "mask[:, None, :, None])"), "mask after softmax"),
        "a soft mask": (_attention(masked="scores - 40.0 * ~mask[:, None, None]"), "leak"),
        "overflow": (_attention("scores.exp() / scores.exp().sum(-1, keepdim=True) @ v"), "overflow"),
        "detached": (_attention("weights.detach() @ v"), "detached"),
        "transposed": (_attention("(weights @ v).transpose(1, 2)"), "shape"),
        "float32": (_attention("(weights @ v).float()"), "dtype"),
    },
    "unet": {
        "skips halved": ("""
def unet(x, downs, middle, ups):
    h, skips = x, []
    for d in downs:
        h, s = d(h)
        skips.append(s / 2)
    h = middle(h)
    for u in ups:
        h = u(h, skips.pop())
    return h
""", "wrong skips"),
        "no levels": (
            """
def unet(x, downs, middle, ups):
    h, skip = downs[0](x)
    h = middle(h) if len(downs) == 1 else unet(h, downs[1:], middle, ups[:-1])
    return ups[-1](h, skip)
""",
            "no levels",
        ),
        "a skip detached": (_unet(keep="skips.append(skip.detach())"), "no gradient"),
        "detached before the middle": (_unet(middle="h = middle(h.detach())"), "no gradient"),
        "first skip first": (_unet("for part, skip in zip(ups, skips):\n        h = part(h, skip)"),
                             "first skip first"),
        "h for the skip": (_unet(keep="skips.append(h)"), "h for the skip"),
        "last skip dropped": (_unet("for part, skip in zip(ups, skips[-2::-1]):\n        h = part(h, skip)"),
                              "ups left out"),
        "skips shifted": (_unet("for part, skip in zip(ups, skips[-2::-1] + skips[-1:]):\n        h = part(h, skip)"),
                          "wrong skips"),
        "one skip": (_unet("for part in ups:\n        h = part(h, skips[-1])"), "one skip for all"),
        "middle twice": (_unet(middle="h = middle(middle(h))"), "middle again"),
        "middle at each level": (_unet(down="h, skip = part(h)\n        h = middle(h)"), "middle again"),
        "no middle": (_unet(middle="pass"), "no middle"),
        "ups backwards": (_unet("for part in reversed(ups):\n        h = part(h, skips.pop())"), "ups backwards"),
        "downs backwards": (_unet().replace("in downs", "in downs[::-1]"), "downs backwards"),
        "arguments exchanged": (_unet("for part in ups:\n        h = part(skips.pop(), h)"), "arguments exchanged"),
        "goes on with the skip": (_unet(down="skip, h = part(h)"), "h for the skip"),
        "down gets the skip": (
            _unet(down="h, skip = part(h if not skips else skips[-1])"), "goes on with the skip"),
        "the pair": (_unet(down="skip = h = part(h)"), "the pair"),
        "x again": (_unet(down="h, skip = part(x)"), "wrong h"),
        "middle's result lost": (_unet(middle="middle(h)"), "wrong h"),
        "up's result lost": (_unet("for part in ups:\n        part(h, skips.pop())"), "wrong h"),
        "returns twice": (_unet(end="2 * h"), "wrong result"),
        "returns nothing": (_unet(end="None"), "wrong result"),
        "pops the parts": (_unet("while ups:\n        h = ups.pop(0)(h, skips.pop())"), "changed its input"),
        "up first": (_unet("for part in ups:\n        h = part(h, skips.pop())\n    h = middle(h)", middle="pass"),
                     "order of calls"),
    },
    "flops": {
        "of a square": (_flops(conv="18 * int(n**0.5) ** 2 * width**2"), "value"),
        "even widths": (_flops(mlp="16 * n * (width // 2 * 2) ** 2"), "value"),
        "half": (_flops("2 * n**2 * width", "9 * n * width**2", "8 * n * width**2"), "half"),
        "only scores": (_flops("2 * n**2 * width"), "scores alone"),
        "linear attention": (_flops("4 * n * width"), "linear in n"),
        "width squared": (_flops("4 * n * width**2"), "width squared"),
        "projections": (_flops("4 * n**2 * width + 8 * n * width**2"), "projections"),
        "qkv": (_flops("4 * n**2 * width + 6 * n * width**2"), "qkv"),
        "no width": (_flops("4 * n**2"), "no width"),
        "one layer": (_flops(mlp="8 * n * width**2"), "one layer"),
        "no ratio": (_flops(mlp="4 * n * width**2"), "no ratio"),
        "ratio twice": (_flops(mlp="64 * n * width**2"), "ratio twice"),
        "4 to 4": (_flops(mlp="32 * n * width**2"), "4 to 4"),
        "one token": (_flops(mlp="16 * width**2"), "one token"),
        "one channel": (_flops(conv="18 * n * width"), "one channel"),
        "three places": (_flops(conv="6 * n * width**2"), "3 for 9"),
        "1x1": (_flops(conv="2 * n * width**2"), "one place"),
        "n is a side": (_flops(conv="18 * n**2 * width**2"), "n^2 pixels"),
        "one pixel": (_flops(conv="18 * width**2"), "one pixel"),
    },
    "sign_mmse": {
        "a grid up to 12": ("""
import torch
import math
def sign_mmse(m):
    y = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    p = torch.exp(-(y - m**0.5)**2 / 2) / (2 * math.pi)**0.5
    return 1 - (p * torch.tanh(m**0.5 * y)).sum().item() * 24 / 20000
""", "value"),
        "to 3.3 deviations": (
            _mmse(_RIGHT, "1 - (torch.tanh({}) * density).sum() * 6.6 / 4001").replace("-10, 10", "-3.3, 3.3"), "coarse"
        ),
        "m Z": (_mmse("m + m * z"), "m Z"),
        "sqrt(m) + sqrt(m) Z": (_mmse("m**0.5 + m**0.5 * z"), "sqrt(m) + sqrt(m) Z"),
        "m + Z": (_mmse("m + z"), "m + Z"),
        "both patches": (_mmse("2 * m + (2 * m) ** 0.5 * z"), "2 m"),
        "1 minus forgotten": (_mmse(_RIGHT, "(torch.tanh({}) * density).sum() * 20 / 4001"), "1 minus is missing"),
        "no average": (_mmse("m + 0 * z"), "no noise"),
        "linear": (_mmse(_RIGHT, "torch.tensor(1 / (1 + m))"), "a straight line"),
        "root": (_mmse(_RIGHT, "(1 - (torch.tanh({}) * density).sum() * 20 / 4001) ** 0.5"), "root"),
        "squared": (_mmse(_RIGHT, "(1 - (torch.tanh({}) * density).sum() * 20 / 4001) ** 2"), "squared"),
        "narrow": (_mmse(_RIGHT).replace("-10, 10", "-2, 2").replace("20 /", "4 /"), "coarse"),
        "few draws": ("import torch\ndef sign_mmse(m):\n    z = torch.randn(300, generator=torch.Generator()"
                      ".manual_seed(3))\n    return 1 - torch.tanh(m + m**0.5 * z).mean().item() + 0.004\n", "coarse"),
        "not normalised": (_mmse(_RIGHT, "1 - (torch.tanh({}) * density).mean()"), "value"),
        "a tensor": ("import torch\ndef sign_mmse(m):\n    return torch.zeros(3)\n", "no number"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "layers_to_see": {
        "loop": "def layers_to_see(side, kernel):\n    layers, seen = 0, 1\n    while seen < side:\n"
        "        layers, seen = layers + 1, seen + kernel - 1\n    return layers\n",
        "by halves": _layers("-(-(side // 2) // (kernel // 2))"),
        "math.ceil": _layers("math.ceil((side - 1) / (kernel - 1))"),
    },
    "patchify": {
        "one alone": "def patchify(x, p):\n    b, c, h, w = x.shape\n    return " + _CUT + "\n",
        "unfold and fold": """
import torch.nn.functional as F
def patchify(x, p):
    return F.unfold(x, p, stride=p).transpose(1, 2)
def unpatchify(tokens, p, shape):
    return F.fold(tokens.transpose(1, 2), shape[2:], p, stride=p)
""",
        "pixel_unshuffle": """
import torch.nn.functional as F
def patchify(x, p):
    return F.pixel_unshuffle(x, p).flatten(2).mT
def unpatchify(tokens, p, shape):
    return F.pixel_shuffle(tokens.mT.unflatten(2, (shape[2] // p, shape[3] // p)), p)
""",
        "slices": """
import torch
def patchify(x, p):
    rows = [row.split(p, 3) for row in x.split(p, 2)]
    return torch.stack([patch.flatten(1) for row in rows for patch in row], 1)
def unpatchify(tokens, p, shape):
    b, c, h, w = shape
    patches = [t.view(b, c, p, p) for t in tokens.unbind(1)]
    n = w // p
    return torch.cat([torch.cat(patches[i : i + n], 3) for i in range(0, len(patches), n)], 2)
""",
    },
    "attention": {
        "einsum": _attention("torch.einsum('bhnm,bhmd->bhnd', weights, v)",
                             "torch.einsum('bhnd,bhmd->bhnm', q, k) / q.shape[-1] ** 0.5"),
        "logsumexp": _attention("(scores - scores.logsumexp(-1, keepdim=True)).exp() @ v"),
        "a large number": _attention(masked="scores.masked_fill(~mask[:, None, None], -1e9)"),
        "torch's own": "import torch\ndef attention(q, k, v, mask=None):\n"
        "    mask = None if mask is None else mask[:, None, None]\n"
        "    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)\n",
        "q scaled": _attention(scores="(q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)"),
    },
    "unet": {
        "zip and reversed": _unet("for part, skip in zip(ups, reversed(skips)):\n        h = part(h, skip)"),
        "in front": _unet("for part, skip in zip(ups, skips):\n        h = part(h, skip)",
                          keep="skips = [skip, *skips]"),
        "a recursion": """
def unet(x, downs, middle, ups):
    if not downs:
        return middle(x)
    h, skip = downs[0](x)
    return ups[-1](unet(h, downs[1:], middle, ups[:-1]), skip)
""",
        "by index": _unet("for i, part in enumerate(ups):\n        h = part(h, skips[-1 - i])"),
    },
    "flops": {
        "by parts": _flops("2 * n * n * width + 2 * n * n * width", "2 * n * width * width * 3 * 3",
                           "2 * (2 * n * width * 4 * width)"),
    },
    "sign_mmse": {
        "rounded to three decimals": "import numpy as np\ndef sign_mmse(m):\n    z = np.linspace(-10, 10, 20001)\n"
        "    w = np.exp(-z * z / 2)\n    return round(float(1 - (w * np.tanh(m + m**0.5 * z)).sum() / w.sum()), 3)\n",
        "quadrature": _mmse(_RIGHT),
        "tanh squared": _mmse(_RIGHT, "1 - (torch.tanh({})**2 * density).sum() * 20 / 4001"),
        "Gauss and Hermite": "import numpy as np\ndef sign_mmse(m):\n"
        "    z, w = np.polynomial.hermite_e.hermegauss(80)\n"
        "    return 1 - (w * np.tanh(m + m**0.5 * z)).sum() / w.sum()\n",
        "scipy": "from scipy import integrate, stats\nimport numpy as np\ndef sign_mmse(m):\n"
        "    f = lambda z: np.tanh(m + m**0.5 * z) * stats.norm.pdf(z)\n    return 1 - integrate.quad(f, -8, 8)[0]\n",
    },
}  # fmt: skip
