"""Claims of lecture 05, architectures: receptive field and cost of CNN, encoder-decoder, U-Net and transformers.

Which of them lose details, and which cannot make distant parts of a picture agree?
"""

from functools import cache

import torch
from torch import Tensor

from minidiff import data
from minidiff.denoise import WEIGHTINGS, Denoiser
from minidiff.measure.nets import flops, parameters, receptive_field
from minidiff.nets import CNN, DiT, UNet
from minidiff.schedules import VP

from . import distant, tools
from .claims import Claim
from .lecture03 import band_times
from .tools import Outcome, bench_results, fit, in_parallel, level_error, ratio_interval, seeded, slope


def two_minutes_each() -> dict:
    """What tests/bench/nets.py measured: every net on the digits for two minutes."""
    return bench_results("nets")


def family(size: int, channels: int = 3) -> dict:
    """The lecture's five architectures for pictures of size x size, of comparable parameters; each a function."""
    return {
        "plain CNN": lambda: CNN(channels, None, tools.wide(32), 8),
        "encoder-decoder": lambda: UNet(
            channels, size, None, tools.wide(24), (1, 1, 1, 1), attention_at=(), skips=False
        ),
        "U-Net": lambda: UNet(channels, size, None, tools.wide(24), (1, 1, 1, 1), attention_at=()),
        "transformer": lambda: DiT(channels, size, None, tools.wide(48), 4, patch=1),
        "DiT": lambda: DiT(channels, size, None, tools.wide(48), 4, patch=2),
    }


def extent(field: Tensor) -> int:
    """The side of the square of pixels on which the centre depends."""
    return max(int((field > 0).any(i).sum()) for i in (0, 1))


def receptive_fields(smoke: bool) -> Outcome:
    size = 32
    layers = (4, 6) if smoke else (4, 6, 8, 10, 12, 14)
    fields = {
        n: receptive_field(CNN(1, None, 8, layers=n), (1, size, size), torch.Generator().manual_seed(0)) for n in layers
    }
    off = max(abs(extent(f) - (2 * n + 1)) for n, f in fields.items())
    others = {
        name: receptive_field(seeded(make, 0), (1, size, size), torch.Generator().manual_seed(0))
        for name, make in family(size, 1).items()
    }
    sides = {name: extent(f) for name, f in others.items()}
    return Outcome(
        off, off, off,
        data=f"gradients of the centre pixel, {size}x{size}, random weights; CNNs of {layers[0]} to {layers[-1]}",
        seeds=0,
        notes="side of what the centre sees of 32: " + ", ".join(f"{k} {v}" for k, v in sides.items()),
        detail={"fields": fields, "others": others, "sides": sides},
    )  # fmt: skip


def cost_models() -> dict:
    """Nets by side N of the picture, and the slope that theory gives to log FLOPs a pixel against log N."""
    return {
        "CNN, 8 layers": (lambda n: CNN(3, None, 32, 8), 0),
        "CNN deep enough to see all": (lambda n: CNN(3, None, 32, n // 2), 1),
        "U-Net without attention": (lambda n: UNet(3, n, None, 32, (1, 2, 2), attention_at=()), 0),
        "transformer": (lambda n: DiT(3, n, None, 32, 2, patch=1), 2),
        "DiT, patch 4": (lambda n: DiT(3, n, None, 32, 2, patch=4), 2),
    }


def flops_by_side(smoke: bool) -> Outcome:
    sides = (32, 64) if smoke else (32, 64, 128, 256, 512)
    found, off = {}, 0.0
    for name, (make, theory) in cost_models().items():
        counts = []
        for n in sides:
            with torch.device("meta"):  # shapes alone
                net = make(n)
            counts.append(flops(net, (3, n, n)) / n**2)
        found[name] = torch.tensor(counts)
        steep = slope(torch.tensor(sides[-2:]).log(), found[name][-2:].log())  # where the highest power has taken over
        off = max(off, abs(steep - theory))
    saved = (found["transformer"] / found["DiT, patch 4"])[-1].item()
    return Outcome(
        off, off, off,
        data=f"analytic counter, sides {sides[0]} to {sides[-1]}; slopes between the last two",
        seeds=0,
        notes="FLOPs a pixel at the largest side: "
        + ", ".join(f"{k} {v[-1]:.3g}" for k, v in found.items())
        + f"; transformer over DiT {saved:.0f} (4^4 = 256 for the attention alone)",
        detail={"sides": sides, "found": found},
    )  # fmt: skip


DETAIL = torch.tensor([0.02, 0.03, 0.05, 0.07, 0.1])


@cache
def detail(smoke: bool) -> dict:
    """Errors of x0 at small noise, (seeds, nets, levels): the five of the family, and DiTs with tokens too narrow.

    All predict x0: with the noise or edm's mixture as the target, x_t itself is added to the output, and would carry
    the details around any bottleneck.
    """
    seeds, (steps, batch) = tools.repeats(smoke), (2, 4) if smoke else (500 if tools.mode() == "gpu" else 250, 32)
    train_set, held_out = tools.pictures("photos", 16)
    x0, _ = held_out.batch(8 if smoke else 256, torch.Generator().manual_seed(0))
    size = train_set.shape[1]
    nets = family(size) | {
        "DiT, patch 2, width 24": lambda: DiT(3, size, None, 24, 4, patch=2),
        "DiT, patch 4, width 24": lambda: DiT(3, size, None, 24, 4, patch=4),
        "DiT, patch 4, width 96": lambda: DiT(3, size, None, 96, 4, patch=4),
    }

    def learned(seed, name):
        net = seeded(nets[name], seed)
        model = Denoiser(net, VP(), "x0", data.std(train_set)).to(tools.device())
        times = band_times(DETAIL[0], 2 * DETAIL[-1])
        draw = lambda g: train_set.batch(batch, g)[0]  # noqa: E731
        model = fit(model, draw, steps, seed, times=times, weight=WEIGHTINGS["snr"], warmup=50, lr=2e-3)
        with torch.no_grad():
            t = model.schedule.time(-2 * DETAIL[2].log())
            alpha, sigma = model.schedule(t)
            noise = torch.randn(x0[:8].shape, generator=torch.Generator().manual_seed(7))
            shown = model((alpha * x0[:8] + sigma * noise).to(tools.device()), t).x0.cpu()
        return level_error(model, x0, DETAIL), shown

    errors, pictures = zip(*in_parallel(learned, range(seeds), nets), strict=True)
    errors, names = torch.stack(errors).unflatten(0, (seeds, len(nets))), list(nets)
    sizes = {name: (parameters(net := seeded(nets[name], 0)), flops(net, train_set.shape)) for name in names}
    text = f"{tools.named(train_set)}, x0 prediction, {steps} steps of {batch}, EMA, {len(x0)} held-out pictures"
    return {"names": names, "errors": errors, "pictures": dict(zip(names, pictures, strict=False)), "clean": x0[:8],
            "sizes": sizes, "seeds": seeds, "data": text}  # fmt: skip


def _detail_outcome(smoke: bool, worse: str, better: str) -> Outcome:
    found = detail(smoke)
    i, j = found["names"].index(worse), found["names"].index(better)
    at = 2  # sigma / alpha = .05
    logs = found["errors"].log()
    value, low, high = ratio_interval((logs[:, i, at] - logs[:, j, at]).tolist())
    slopes = [slope(DETAIL.log(), logs.mean(0)[k]) for k in range(len(found["names"]))]
    return Outcome(
        value, low, high,
        data=found["data"], seeds=found["seeds"], device=tools.device(),
        notes="error at .05 in units of the noise's .0025, and its slope against log sigma from .02 to .1, geometric means: "
        + ", ".join(
            f"{n} {logs[:, k, at].mean().exp() / 0.05**2:.2f} ({slopes[k]:.2f})" for k, n in enumerate(found["names"])
        ),
        detail=found,
    )  # fmt: skip


INF = float("inf")

CLAIMS = [
    Claim(
        "5.1",
        "A plain CNN has a limited receptive field: L convolutions of 3x3 see 2L + 1 pixels",
        'slide "Diffusion with naive CNN architecture": "Limited receptive field"',
        "exactly: the gradient is zero outside and not inside",
        "largest difference between the side seen and 2L + 1",
        (0.0, 0.0),
        receptive_fields,
    ),
    Claim(
        "5.2",
        "A CNN that sees all grows with the side, a pixel transformer with its square, a U-Net not at all",
        'slides on CNN, U-Net and Transformer: "Computationally expensive", "Computationally cheap"',
        "log FLOPs a pixel against log side: slopes 1, 2 and 0, and 2 again for patches, each within .1",
        "largest difference between a slope and its theory",
        (0.0, 0.1),
        flops_by_side,
        says=(0.0, 0.5),
    ),
    Claim(
        "5.3",
        "An encoder-decoder loses details that skip connections keep",
        'slides "Encoder-Decoder": "Losing details", "U-Net": "Preserving details"',
        "at noise .05 its error is at least 3 times the U-Net's",
        "error of x0 at sigma/alpha = .05, encoder-decoder over U-Net",
        (3.0, INF),
        lambda smoke: _detail_outcome(smoke, "encoder-decoder", "U-Net"),
        says=(1.0, INF),
    ),
    Claim(
        "5.4",
        "A DiT preserves details only if its tokens are wide enough for their patches",
        'slide "Diffusion with Transformer architecture (with patchification)": "Preserving details"',
        "tokens of width 24 for patches of 48 numbers have at least twice the error of width 24 for 12 numbers",
        "error of x0 at sigma/alpha = .05, patch 4 over patch 2, width 24",
        (2.0, INF),
        lambda smoke: _detail_outcome(smoke, "DiT, patch 4, width 24", "DiT, patch 2, width 24"),
        says=(1.0, INF),
    ),
    Claim(
        "5.5",
        "A net with a small receptive field cannot make distant parts agree",
        'slide "Diffusion with naive CNN architecture": "Limited receptive field"',
        "two patches that always have one sign get one sign in .4 to .6 of the samples",
        "rate of equal signs, CNN of 4 layers",
        (0.4, 0.6),
        distant.blind,
        says=(0.0, 0.75),
        why_anew="The other nets of the comparison were stopped after 600 steps, learned or not.",
    ),
    Claim(
        "5.6",
        "U-Net, DiT, and a CNN deep enough to span the gap make them agree",
        'slides on U-Net and Transformer: "Larger receptive field", "Full receptive field"',
        "equal signs in at least .95 of the samples, for the worst of the four; the CNNs need ten times the steps",
        "rate of equal signs, the smallest of CNNs of 8 and 20 layers, U-Net and DiT",
        (0.95, 1.0),
        distant.seeing,
        says=(0.75, 1.0),
        why_anew="All nets were stopped after 600 steps, and no CNN deeper than 10 layers was tried; now each is trained "
        "until it has learned, for 20,000 steps at most.",
    ),
]
