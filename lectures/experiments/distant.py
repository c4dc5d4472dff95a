"""Two patches that must agree across a gap: which nets make them, after how many steps? Claims 5.5 and 5.6."""

from functools import cache
from itertools import pairwise, repeat

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from minidiff.denoise import Denoiser
from minidiff.nets import DiT, UNet
from minidiff.run.generate import generate
from minidiff.schedules import VP
from minidiff.train import new_state, train

from . import tools
from .lecture03 import band_times
from .tools import Outcome, in_parallel, seeded, share_interval

SIDE = 8
PATCHES = ((slice(0, 2), slice(0, 2)), (slice(0, 2), slice(6, 8)))  # rows and columns, in the upper corners
LIMIT = 20_000  # steps of training at most


def pairs(n: int, generator) -> tuple[Tensor, Tensor]:
    """Pictures (n, 1, 8, 8), 0 but for 2x2 patches in two corners, both 1 or both -1; and those signs (n,).

    In corners, as a net with a small receptive field knows where it is from the border alone.
    """
    sign = 2.0 * torch.randint(2, (n,), generator=generator) - 1
    x = torch.zeros(n, 1, SIDE, SIDE)
    for patch in PATCHES:
        x[(slice(None), 0, *patch)] = sign[:, None, None]
    return x, sign


def mmse(m: float) -> float:
    """The least squared error of a random sign at signal-to-noise m: 1 - E tanh(m + sqrt(m) Z), by quadrature."""
    z = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / (2 * torch.pi) ** 0.5
    return 1 - torch.trapezoid(density * torch.tanh(m + m**0.5 * z), z).item()


ENOUGH = mmse(2) + 0.2 * (mmse(1) - mmse(2))  # four fifths of the way from one patch's bound to that of both


class Stack(nn.Module):
    """The naive CNN of textbooks: `layers` convolutions one after the other, the noise level as one more channel.

    No residual branches, which would start at 0 and let the net begin with a receptive field of 3 pixels; the weights
    start so that signals keep their size (He et al. 2015).
    """

    def __init__(self, layers: int, width: int = 12):
        super().__init__()
        sizes = [2, *[width] * (layers - 1), 1]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        for conv in self.convs[:-1]:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, c_noise: Tensor, cond=None) -> Tensor:
        h = torch.cat([x, c_noise.view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)
        for conv in self.convs[:-1]:
            h = silu(conv(h))
        return self.convs[-1](h)


NETS = {
    "CNN, 4 layers": lambda: Stack(4),
    "CNN, 8 layers": lambda: Stack(8),
    "CNN, 20 layers": lambda: Stack(20),
    "U-Net": lambda: UNet(1, SIDE, None, 8, (1, 2), attention_at=(4,)),
    "DiT": lambda: DiT(1, SIDE, None, 32, 3, patch=2),
}


@torch.no_grad()
def sign_error(model: Denoiser, x0: Tensor, sign: Tensor) -> float:
    """The squared error of the first patch's sign at m = 1, sigma / alpha = 2: a patch has 4 pixels."""
    t = model.schedule.time(-2 * torch.tensor(2.0).log())
    alpha, sigma = model.schedule(t)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(78))
    found = model(alpha * x0 + sigma * noise, t).x0
    return (found[(slice(None), 0, *PATCHES[0])].mean((1, 2)) - sign).square().mean().item()


def until_learned(model: Denoiser, seed: int, limit: int, every: int = 250):
    """Train until the sign's error is at most ENOUGH, or for `limit` steps: the EMA, and (step, error) as it went."""
    test, state, curve = pairs(4000, torch.Generator().manual_seed(77)), new_state(model, seed), []
    batches = (pairs(32, state.generator)[0] for _ in repeat(None))
    times = band_times(torch.tensor(0.05), torch.tensor(10.0))
    for step in train(model, batches, limit, state=state, times=times, warmup=30, lr=2e-3):
        if step.step % every == 0 or step.step == limit:
            curve.append((step.step, sign_error(step.ema, *test)))
            if curve[-1][1] <= ENOUGH:
                break
    return step.ema, curve


@cache
def long_range(smoke: bool) -> dict:
    """Match rates (seeds, nets) of the two signs in samples, and how the error of the sign fell, a curve for each."""
    seeds, n = tools.repeats(smoke), 8 if smoke else 500
    limits = dict.fromkeys(NETS, 2 if smoke else LIMIT) | {"CNN, 4 layers": 2 if smoke else 3000}  # it cannot see both
    spread = pairs(1000, torch.Generator().manual_seed(0))[0].std().item()

    def learned(seed, name):
        model = Denoiser(seeded(NETS[name], seed), VP(), "edm", spread)
        model, curve = until_learned(model, seed, limits[name])
        x = generate(model, n, shape=(1, SIDE, SIDE), steps=20, seed=seed)
        left, right = (x[(slice(None), 0, *patch)].mean((1, 2)) for patch in PATCHES)
        return (left * right > 0).float().mean(), curve, x[:8]

    match, curves, pictures = zip(*in_parallel(learned, range(seeds), NETS), strict=True)
    each = len(NETS)
    return {
        "names": list(NETS), "match": torch.stack(match).view(seeds, each), "seeds": seeds,
        "curves": [dict(zip(NETS, curves[i * each :], strict=False)) for i in range(seeds)],
        "pictures": dict(zip(NETS, pictures, strict=False)),
    }  # fmt: skip


def _outcome(smoke: bool, pick) -> Outcome:
    found = long_range(smoke)
    value, low, high = share_interval(pick(found["match"]).tolist())
    steps = {name: [c[name][-1][0] for c in found["curves"]] for name in found["names"]}
    last = {name: sum(c[name][-1][1] for c in found["curves"]) / found["seeds"] for name in found["names"]}
    return Outcome(
        value, low, high,
        data=f"2x2 patches of one random sign in the upper corners of 8x8, edm prediction, batches of 32, trained until the "
        f"error of the sign at m = 1 is {ENOUGH:.3f}, or for {LIMIT:,} steps (4 layers: 3,000); 500 samples, EMA",
        seeds=found["seeds"],
        notes="steps (by seed), error of the sign and rate of equal signs: "
        + "; ".join(
            f"{name} {', '.join(f'{s:,}' for s in steps[name])}, {last[name]:.3f}, {found['match'][:, i].mean():.3f}"
            for i, name in enumerate(found["names"])
        )
        + f"; bounds: one patch {mmse(1):.3f}, both {mmse(2):.3f}",
        detail=found | {"one": mmse(1), "both": mmse(2), "steps": steps},
    )  # fmt: skip


def blind(smoke: bool) -> Outcome:
    return _outcome(smoke, lambda match: match[:, 0])


def seeing(smoke: bool) -> Outcome:
    """The worst of those whose receptive field spans the gap."""
    return _outcome(smoke, lambda match: match[:, 1:].min(1).values)
