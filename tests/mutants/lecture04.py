"""Answers to the exercises of lecture 04 that are wrong, with the key of their message, and others that are right."""


def _adain(line: str, first: str = "") -> str:
    return f"""
import torch
def adain(x, y, eps=1e-5):
    mx, my = x.mean((2, 3), keepdim=True), y.mean((2, 3), keepdim=True)
    sx, sy = x.std((2, 3), keepdim=True), y.std((2, 3), keepdim=True)
    {first}
    return {line}
"""


def _axes(axes: str, of: str = "xy") -> str:
    x, y = (axes if v in of else "(2, 3)" for v in "xy")
    return f"""
def adain(x, y, eps=1e-5):
    unit = (x - x.mean({x}, keepdim=True)) / (x.std({x}, keepdim=True) + eps)
    return y.std({y}, keepdim=True) * unit + y.mean({y}, keepdim=True)
"""


def _zero(
    out: str = "x + gate * self.branch(self.norm(x) * (1 + scale) + shift)",
    zero: str = "nn.init.zeros_(self.style.weight), nn.init.zeros_(self.style.bias)",
    pieces: str = "self.style(emb)[:, None].chunk(3, -1)",
    size: str = "3 * width",
    more: str = "",
) -> str:
    return f"""
import torch
from torch import nn
class AdaLNZero(nn.Module):
    def __init__(self, width, emb_dim, branch):
        super().__init__()
        self.norm, self.branch = nn.LayerNorm(width, elementwise_affine=False), branch
        self.style = nn.Linear(emb_dim, {size})
        {zero}
        {more}
    def forward(self, x, emb):
        shift, scale, gate = {pieces}
        return {out}
"""


def _modulate(line: str) -> str:
    return f"def modulate(x, shift, scale):\n    return {line}\n"


def _forgets(**changed: bool) -> str:
    right = {"none": False, "instance": True, "group": True, "layer": True, "batch": True}
    return f"def forgets():\n    return {right | changed}\n"


def _sigma(line: str) -> str:
    return f"""
import torch
def estimate_sigma(x):
    across = x[..., 1:] - x[..., :-1]
    middle = across.abs().flatten(1).median(1).values
    return {line}
"""


WRONG = {
    "adain": {
        "eps in both": (_adain("(sy + eps) * (x - mx) / (sx + eps) + my"), "eps elsewhere"),
        "eps a floor": (_adain("sy * (x - mx) / sx.clamp(min=eps) + my"), "eps a floor"),
        "an eps of its own": (_adain("sy * (x - mx) / (sx + 1e-5) + my"), "eps not used"),
        "squeezed": (_adain("(sy * (x - mx) / (sx + eps) + my).squeeze()"), "one alone"),
        "nan to 0": (_adain("sy * torch.nan_to_num((x - mx) / sx) + my"), "0 / 0"),
        "variance": (_adain("sy**2 * (x - mx) / (sx + eps) + my"), "variance"),
        "both variances": (_adain("sy**2 * (x - mx) / (sx**2 + eps) + my"), "two variances"),
        "variance of x": (_adain("sy * (x - mx) / (sx**2 + eps) + my"), "variance of x"),
        "over the batch": (_axes("(0, 2, 3)"), "over the batch"),
        "style over the batch": (_axes("(0, 2, 3)", "y"), "y over the batch"),
        "over the channels": (_axes("(1, 2, 3)"), "over the channels"),
        "style over the channels": (_axes("(1, 2, 3)", "y"), "y over the channels"),
        "exchanged": (_adain("sx * (y - my) / (sy + eps) + mx"), "y comes back"),
        "statistics exchanged": (_adain("sx * (x - my) / (sy + eps) + mx"), "exchanged"),
        "mean only": (_adain("x - mx + my"), "mean only"),
        "not divided": (_adain("sy * (x - mx) + my"), "not divided"),
        "deviation only": (_adain("sy * (x - mx) / (sx + eps) + mx"), "deviation only"),
        "no mean": (_adain("sy * (x - mx) / (sx + eps)"), "no mean of y"),
        "mean not removed": (_adain("sy * x / (sx + eps) + my"), "mean not removed"),
        "mean scaled": (_adain("sy * ((x - mx) / (sx + eps) + my)"), "mean scaled"),
        "normalised only": (_adain("(x - mx) / (sx + eps)"), "normalised only"),
        "one style": (_adain("sy[:1] * (x - mx) / (sx + eps) + my[:1]"), "one style"),
        "no eps": (_adain("sy * (x - mx) / sx + my"), "0 / 0"),
        "no keepdim": (_adain("sy * (x - x.mean((2, 3))) / (sx + eps) + my"), "raised"),
        "in place": (_adain("x", "x.sub_(mx).div_(sx + eps).mul_(sy).add_(my)"), "changed its input"),
        "the style itself": ("def adain(x, y, eps=1e-5):\n    return y\n", "y comes back"),
    },
    "AdaLNZero": {
        "dropout on the embedding": (
            _zero(pieces="self.style(nn.functional.dropout(emb, 0.1))[:, None].chunk(3, -1)"),
            "random",
        ),
        "layer norm of the embedding": (
            _zero(pieces="self.style(nn.functional.layer_norm(emb, emb.shape[-1:]))[:, None].chunk(3, -1)"),
            "embedding normalised",
        ),
        "softmax of the embedding": (
            _zero(pieces="self.style(emb.softmax(-1))[:, None].chunk(3, -1)"),
            "embedding normalised",
        ),
        "branch in eval mode": (_zero(more="branch.eval()"), "branch in eval mode"),
        "one token squeezed": (
            _zero("x + (gate * self.branch(self.norm(x) * (1 + scale) + shift)).squeeze()"),
            "one alone",
        ),
        "x in float64": (_zero("x.double() + gate * self.branch(self.norm(x) * (1 + scale) + shift)"), "not float32"),
        "float64 ones": (
            _zero("x + gate * self.branch(self.norm(x) * (torch.ones(x.shape[-1]).double() + scale) + shift)"),
            "raised",
        ),
        "frozen weight": (_zero(more="self.style.weight.requires_grad_(False)"), "frozen"),
        "the gate alone is zeroed": (
            _zero(zero="nn.init.zeros_(self.style.weight[2 * width :]), nn.init.zeros_(self.style.bias[2 * width :])"),
            "not zeroed",
        ),
        "the embedding detached": (
            _zero(pieces="self.style(emb.detach())[:, None].chunk(3, -1)"), "embedding detached"
        ),
        "x detached": (_zero("x.detach() + gate * self.branch(self.norm(x) * (1 + scale) + shift)"), "x detached"),
        "x detached in the branch": (_zero("x + gate * self.branch(self.norm(x.detach()) * (1 + scale) + shift)"),
                                     "x detached"),
        "scale and shift detached": (
            _zero("x + gate * self.branch(self.norm(x) * (1 + scale.detach()) + shift.detach())"), "embedding detached"
        ),
        "one style for all": (_zero(pieces="self.style(emb.mean(0))[None, None].chunk(3, -1)"), "one style for all"),
        "the embedding normalised": (
            _zero(pieces="self.style(nn.functional.normalize(emb))[:, None].chunk(3, -1)"), "embedding normalised"
        ),
        "an affine norm": (_zero().replace(", elementwise_affine=False", ""), "affine norm"),
        "branch zeroed": (
            _zero(zero="[nn.init.zeros_(p) for m in (self.style, branch) for p in m.parameters()]"), "branch changed"
        ),
        "branch detached": (
            _zero("x + gate * self.branch(self.norm(x) * (1 + scale) + shift).detach()"), "branch not trained"
        ),
        "in place": (_zero("x.add_(gate * self.branch(self.norm(x) * (1 + scale) + shift))"), "changed its input"),
        "scale without 1 +": (_zero("x + gate * self.branch(self.norm(x) * scale + shift)"), "no 1 + scale"),
        "1 + gate": (_zero("x + (1 + gate) * self.branch(self.norm(x) * (1 + scale) + shift)"), "gate starts at 1"),
        "no gate": (_zero("x + self.branch(self.norm(x) * (1 + scale) + shift)"), "gate starts at 1"),
        "not zeroed": (_zero(zero="pass"), "not zeroed"),
        "weight not zeroed": (_zero(zero="nn.init.zeros_(self.style.bias)"), "not zeroed"),
        "bias not zeroed": (_zero(zero="nn.init.zeros_(self.style.weight)"), "not zeroed"),
        "no residual": (_zero("gate * self.branch(self.norm(x) * (1 + scale) + shift)"), "no residual"),
        "residual of the norm": (
            _zero("self.norm(x) + gate * self.branch(self.norm(x) * (1 + scale) + shift)"), "residual of the norm"),
        "lined up with tokens": (_zero(pieces="self.style(emb).chunk(3, -1)"), "lined up with tokens"),
        "both factors 0": (
            _zero("x + self.strength * gate * self.branch(self.norm(x) * (1 + scale) + shift)",
                  more="self.strength = nn.Parameter(torch.zeros(width))"), "cannot learn"),
        "no gradient": (_zero(pieces="self.style(emb).detach()[:, None].chunk(3, -1)"), "cannot learn"),
        "no norm": (_zero("x + gate * self.branch(x * (1 + scale) + shift)"), "no norm"),
        "norm last": (_zero("x + gate * self.branch(self.norm(x * (1 + scale) + shift))"), "norm last"),
        "gate on x": (_zero("x + gate * (x + self.branch(self.norm(x) * (1 + scale) + shift))"), "gate on x"),
        "modulated after": (_zero("x + gate * (self.branch(self.norm(x)) * (1 + scale) + shift)"), "modulated after"),
        "shift scaled": (_zero("x + gate * self.branch((self.norm(x) + shift) * (1 + scale))"), "shift scaled"),
        "no shift": (_zero("x + gate * self.branch(self.norm(x) * (1 + scale))"), "no shift"),
        "no scale": (_zero("x + gate * self.branch(self.norm(x) + shift)"), "no scale"),
        "tanh": (_zero("x + gate.tanh() * self.branch(self.norm(x) * (1 + scale) + shift)"), "gate squashed"),
        "n - 1": (
            _zero("x + gate * self.branch((x - x.mean(-1, True)) / (x.std(-1, keepdim=True) + 1e-6) * (1 + scale) + "
                  "shift)"), "n - 1"),
        "norm over tokens": (
            _zero("x + gate * self.branch(self.norm(x.mT).mT * (1 + scale) + shift)").replace(
                "nn.LayerNorm(width, elementwise_affine=False)",
                "lambda v: nn.functional.layer_norm(v, v.shape[-1:])"), "norm over tokens"),
        "called twice": (
            _zero("x + gate * (self.branch(self.norm(x) * (1 + scale) + shift) + self.branch(self.norm(x))) / 2"),
            "calls"),
        "two pieces": (
            _zero("x + self.branch(self.norm(x) * scale + shift)", size="2 * width",
                  pieces="*self.style(emb)[:, None].chunk(2, -1), 0"), "modulation"),
        "no bias": (_zero(zero="self.style = nn.Linear(emb_dim, 3 * width, bias=False)"), "modulation"),
        "branch in a list": (
            _zero("x + gate * self.branch[0](self.norm(x) * (1 + scale) + shift)").replace(
                "elementwise_affine=False), branch", "elementwise_affine=False), [branch]"), "branch not registered"),
        "a function": ("def AdaLNZero(width, emb_dim, branch):\n    return lambda x, emb: x\n", "no module"),
        "x alone": (_zero("x"), "cannot learn"),
        "embedding unused": (_zero(pieces="(self.style(0 * emb) + emb.sum() * 0)[:, None].chunk(3, -1)"),
                             "embedding unused"),
    },
    "modulate": {
        "float64": (_modulate("(x * (1 + scale[:, None]) + shift[:, None]).double()"), "not float32"),
        "squeezed": (_modulate("(x * (1 + scale[:, None]) + shift[:, None]).squeeze()"), "shape"),
        "as given": (_modulate("x * (1 + scale) + shift"), "lined up with tokens"),
        "axis in front": (_modulate("x * (1 + scale[None]) + shift.unsqueeze(0)"), "lined up with tokens"),
        "transposed": (_modulate("x * (1 + scale.T) + shift.T"), "transposed"),
        "axis at the end": (_modulate("x * (1 + scale[..., None]) + shift[..., None]"), "axis at the end"),
        "shift alone right": (_modulate("x * (1 + scale) + shift[:, None]"), "scale lined up"),
        "scale alone right": (_modulate("x * (1 + scale[:, None]) + shift"), "shift lined up"),
        "no 1 +": (_modulate("x * scale[:, None] + shift[:, None]"), "no 1 +"),
        "exchanged": (_modulate("x * (1 + shift[:, None]) + scale[:, None]"), "exchanged"),
        "shift scaled": (_modulate("(x + shift[:, None]) * (1 + scale[:, None])"), "shift scaled"),
        "no shift": (_modulate("x * (1 + scale[:, None])"), "no shift"),
        "first style": (_modulate("x * (1 + scale[0]) + shift[0]"), "first style"),
        "one batch size": (_modulate("x * (1 + scale.view(4, 1, 4)) + shift.view(4, 1, 4)"), "raised"),
        "reshaped": (
            _modulate("(x.reshape(-1, x.shape[2]) * (1 + scale.repeat(x.shape[1], 1)) + "
                      "shift.repeat(x.shape[1], 1)).view(x.shape)"), "lined up with tokens"),
        "in place": (_modulate("x.mul_(1 + scale[:, None]).add_(shift[:, None])"), "changed its input"),
    },
    "forgets": {
        "none": (_forgets(none=True), "none"),
        "instance": (_forgets(instance=False), "instance"),
        "group": (_forgets(group=False), "group"),
        "layer": (_forgets(layer=False), "layer"),
        "batch": (_forgets(batch=False), "batch"),
        "turned": (_forgets(none=True, instance=False, group=False, layer=False, batch=False), "none"),
        "one left out": ("forgets = {'none': False, 'instance': True}\n", "no table"),
        "words": (_forgets(layer="yes"), "neither"),
    },
    "estimate_sigma": {
        "bare mean of |difference|": (_sigma("across.abs().flatten(1).mean(1)"), "mean of |difference|"),
        "for three channels alone": (
            "def estimate_sigma(x):\n    return x.mean(1).diff(dim=2).flatten(1).std(1) * 1.5**0.5\n", "a constant off"
        ),
        "constant": (_sigma("x.flatten(1).mean(1) * 0 + 0.3"), "not in proportion"),
        "contrast": (_sigma("x.flatten(1).std(1)"), "contrast"),
        "differences not divided": (_sigma("across.flatten(1).std(1)"), "sqrt 2"),
        "median, not divided": (_sigma("middle / 0.6745"), "sqrt 2"),
        "no .6745": (_sigma("middle / 2**0.5"), "median"),
        "no constant": (_sigma("middle"), "both constants"),
        "no constant, both ways": (
            _sigma("torch.cat([v.abs().flatten(1) for v in (across, x.diff(dim=2))], 1).median(1).values"),
            "both constants",
        ),
        "mean of |x|": (_sigma("x.abs().flatten(1).mean(1)"), "mean of |x|"),
        "variance": (_sigma("across.flatten(1).var(1) / 2"), "variance"),
        "range": (_sigma("x.flatten(1).amax(1) - x.flatten(1).amin(1)"), "a constant off"),
        "the batch's": (_sigma("(across.std() / 2**0.5).expand(len(x))"), "other pictures"),
        "mean of |difference|": (_sigma("across.abs().flatten(1).mean(1) / 2**0.5"), "mean of |x|"),
        "one number": (_sigma("across.std() / 2**0.5"), "shape"),
        "each channel's contrast": (_sigma("x.flatten(2).std(2).mean(1)"), "contrast"),
        ".83 times": (_sigma("0.83 * across.flatten(1).std(1) / 2**0.5"), "far off"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "adain": {
        "instance norm": "import torch.nn.functional as F\ndef adain(x, y, eps=1e-5):\n"
        "    return F.instance_norm(x, eps=eps) * y.std((2, 3), keepdim=True) + y.mean((2, 3), keepdim=True)\n",
        "by var_mean": "import torch\ndef adain(x, y, eps=1e-5):\n"
        "    (vx, mx), (vy, my) = (torch.var_mean(v, (2, 3), keepdim=True) for v in (x, y))\n"
        "    return (x - mx) * ((vy + eps) / (vx + eps)).sqrt() + my\n",
        "flattened": "def adain(x, y, eps=1e-5):\n    a, b = x.flatten(2), y.flatten(2)\n"
        "    unit = (a - a.mean(2, keepdim=True)) / (a.std(2, correction=0, keepdim=True) + eps)\n"
        "    return (unit * b.std(2, correction=0, keepdim=True) + b.mean(2, keepdim=True)).view(x.shape)\n",
        "lerp of a formula": _adain("my + (x - mx) * (sy / (sx + eps))"),
    },
    "AdaLNZero": {
        "a norm in float32": _zero("x + gate * self.branch(self.norm(x.float()).type_as(x) * (1 + scale) + shift)"),
        "another order": _zero(pieces="self.style(emb)[:, None].chunk(3, -1)[::-1]"),
        "by turns": _zero(pieces="self.style(emb).view(len(emb), 1, -1, 3).unbind(-1)"),
        "every third": _zero(pieces="(self.style(emb)[:, None, i::3] for i in (2, 0, 1))"),
        "silu": _zero(pieces="self.style(nn.functional.silu(emb)).unsqueeze(1).chunk(3, -1)"),
        "transposed": _zero(
            "(x.transpose(0, 1) + gate * self.branch((self.norm(x).transpose(0, 1) * (1 + scale) + shift)"
            ".transpose(0, 1)).transpose(0, 1)).transpose(0, 1)", pieces="self.style(emb).chunk(3, -1)"),
        "three linears": """
import torch
from torch import nn
class AdaLNZero(nn.Module):
    def __init__(self, width, emb_dim, branch):
        super().__init__()
        self.branch = branch
        self.style = nn.ModuleList(nn.Linear(emb_dim, width) for _ in range(3))
        for p in self.style.parameters():
            nn.init.zeros_(p)
    def forward(self, x, emb):
        gate, shift, scale = (layer(emb)[:, None] for layer in self.style)
        h = nn.functional.layer_norm(x, x.shape[-1:])
        return x + gate * self.branch(h + scale * h + shift)
""",
    },
    "modulate": {
        "none axis": _modulate("x * (1 + scale[:, None]) + shift[:, None]"),
        "einsum": "import torch\ndef modulate(x, shift, scale):\n"
        "    return x + torch.einsum('bnw,bw->bnw', x, scale) + shift.unsqueeze(1)\n",
        "tokens in front": _modulate("(x.transpose(0, 1) * (1 + scale) + shift).transpose(0, 1)"),
        "addcmul": "import torch\ndef modulate(x, shift, scale):\n"
        "    return torch.addcmul(x + shift[:, None], x, scale[:, None])\n",
    },
    "forgets": {
        "tensors": "import torch\ndef forgets():\n    return {k: torch.tensor(k != 'none') for k in "
        "('none', 'instance', 'group', 'layer', 'batch')}\n",
        "a dictionary": "forgets = {'batch': True, 'layer': True, 'group': True, 'instance': True, 'none': False}\n",
        "by trial": "import torch\nfrom torch import nn\ndef forgets():\n    x = 9 * torch.randn(4, 4, 8, 8)\n"
        "    norms = {'none': nn.Identity(), 'instance': nn.InstanceNorm2d(4), 'group': nn.GroupNorm(2, 4),\n"
        "             'layer': nn.LayerNorm([4, 8, 8]), 'batch': nn.BatchNorm2d(4)}\n"
        "    return {k: bool((n(3 * x) - n(x)).abs().max() < 0.01) for k, n in norms.items()}\n",
    },
    "estimate_sigma": {
        "second differences both ways": """
import torch
import torch.nn.functional as F
def estimate_sigma(x):
    k = torch.tensor([[1., -2, 1], [-2, 4, -2], [1, -2, 1]]).to(x)[None, None]
    r = F.conv2d(x.flatten(0, 1)[:, None], k).view(len(x), -1)
    return 1.10 * r.abs().median(1).values / .6745 / 6
""",
        "pairs drawn at random": """
import torch
def estimate_sigma(x):
    d = x.diff(dim=3).abs().flatten(1)
    return d[:, torch.randint(d.shape[1], (500,))].median(1).values / 0.6745 / 2**0.5
""",
        "median of differences": _sigma("middle / 0.6745 / 2**0.5"),
        "a loop": _sigma("torch.tensor([(p[..., 1:] - p[..., :-1]).std().item() / 2**0.5 for p in x])"),
        "both ways": _sigma("torch.cat([v.abs().flatten(1) for v in (across, x.diff(dim=2))], 1).median(1).values "
                            "/ 0.954"),
        "deviation of differences": _sigma("across.flatten(1).std(1) / 2**0.5"),
        "Immerkaer": """
import torch
def estimate_sigma(x):
    kernel = torch.tensor([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]).to(x)[None, None]
    found = torch.nn.functional.conv2d(x.flatten(0, 1)[:, None], kernel).abs()
    return found.view(len(x), -1).mean(1) * (torch.pi / 2) ** 0.5 / 6
""",
        "Haar": """
def estimate_sigma(x):
    fine = (x[..., ::2, ::2] - x[..., 1::2, ::2] - x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 2
    return fine.abs().flatten(1).median(1).values / 0.6745
""",
        "least local variance": """
import torch
def estimate_sigma(x):
    blocks = x.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4).var(-1)
    return blocks.flatten(1).quantile(0.25, 1).sqrt() * 1.1
""",
        "against a blur": """
import torch
def estimate_sigma(x):
    rest = x - torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    return rest[..., 1:-1, 1:-1].flatten(1).std(1) / (8 / 9) ** 0.5
""",
    },
}  # fmt: skip
