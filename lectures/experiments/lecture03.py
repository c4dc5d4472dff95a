"""Claims of lecture 03, noise conditioning: must a network be told the noise level? Must one network serve them all?

A "blind" model is not told it, an "aware" one is. On points the best of either is exact, on pictures both are trained.
"""

from functools import cache

import torch
from torch import Tensor

from minidiff import data
from minidiff.denoise import Denoiser, device_of
from minidiff.measure.metrics import frechet_distance, sliced_wasserstein
from minidiff.nets import CNN, DiT
from minidiff.samplers import ddim, last, start
from minidiff.schedules import VP

from . import tools
from .claims import Claim
from .tools import Embedded, Outcome, fit, interval, level_error, pixel_distance, ratio_interval, seeded

PREDICTIONS = ("eps", "v", "x0")
DIMS = (2, 8, 32, 128, 512)


def blind_over_aware(dim: int, prediction: str, seed: int, n: int, steps: int) -> tuple[float, float, Tensor]:
    """From the same noise: the ratio of sliced Wasserstein distances to the data, blind over aware; the noise that is
    left in each empty dimension of the blind samples; and these samples."""
    generator = torch.Generator().manual_seed(seed)
    models = [Embedded(dim, prediction, blind) for blind in (True, False)]
    real = models[0].sample(n, generator)
    x = start(models[0], (n, dim), generator)
    samples = [last(ddim(model, x, model.schedule.grid(steps))) for model in models]
    far = [sliced_wasserstein(s, real) for s in samples]
    left = samples[0][:, 2:].square().mean().sqrt().item() if dim > 2 else 0.0
    return far[0] / far[1], left, samples[0]


@cache
def toy(smoke: bool) -> dict:
    """Ratios and noise left (seeds, dims, predictions), and samples by (dim, prediction)."""
    seeds, n, steps = (2, 100, 5) if smoke else (5, 1000, 30)
    dims = (2, 32, 128) if smoke else DIMS
    shape, samples = (seeds, len(dims), len(PREDICTIONS)), {}
    ratios, left = torch.zeros(shape), torch.zeros(shape)
    for seed in range(seeds):
        for i, dim in enumerate(dims):
            for j, prediction in enumerate(PREDICTIONS):
                ratios[seed, i, j], left[seed, i, j], x = blind_over_aware(dim, prediction, seed, n, steps)
                samples.setdefault((dim, prediction), x[:, :2])
    return {"dims": dims, "ratios": ratios, "left": left, "samples": samples, "seeds": seeds}


def _toy_outcome(smoke: bool, pick) -> Outcome:
    """The outcome whose deciding number is pick(ratios of a seed (dims, predictions), dims), on a log scale."""
    found = toy(smoke)
    value, low, high = ratio_interval([pick(r, found["dims"]).log().item() for r in found["ratios"]])
    typical = found["ratios"].log().mean(0).exp()
    return Outcome(
        value, low, high,
        data="eight Gaussians in the plane of d dimensions, exact scores, linear path, ddim, 30 calls, 1,000 samples",
        seeds=found["seeds"],
        notes="blind over aware, by dimension (eps, v, x0): "
        + "; ".join(
            f"{d}: " + ", ".join(f"{v:.2f}" for v in row)
            for d, row in zip(found["dims"], typical.tolist(), strict=True)
        )
        + "; noise that blind v leaves in each empty dimension, times sqrt(2 d): "
        + ", ".join(
            f"{d}: {v * (2 * d) ** 0.5:.2f}"
            for d, v in zip(found["dims"], found["left"][:, :, 1].mean(0).tolist(), strict=True)
            if d > 2
        ),
        detail=found,
    )  # fmt: skip


def relative_variance(dim: int, t: float, n: int, seed: int) -> float:
    """2 d Var(t | x_t) / t^2, the variance averaged over n draws of x_t."""
    model, generator = Embedded(dim, levels=2000), torch.Generator().manual_seed(seed)
    x0 = model.sample(n, generator)
    x_t = (1 - t) * x0 + t * torch.randn(x0.shape, generator=generator)
    weights, times = model.posterior(x_t), model.times[:, None]
    mean = (weights * times).sum(0)
    return 2 * dim * (weights * (times - mean) ** 2).sum(0).mean().item() / t**2


def noise_level_is_visible(smoke: bool) -> Outcome:
    seeds, n, dims = (2, 20, (128,)) if smoke else (5, 200, (8, 32, 128, 512))
    found = torch.tensor([[relative_variance(d, 0.3, n, seed) for d in dims] for seed in range(seeds)])
    mean, low, high = interval(found[:, dims.index(128)].tolist())
    return Outcome(
        mean, low, high,
        data="eight Gaussians in the plane of d dimensions, x_t at t = 0.3 on the linear path, exact posterior of t",
        seeds=seeds,
        notes="2 d Var(t | x_t) / t^2 by dimension: "
        + ", ".join(f"{d}: {v:.2f}" for d, v in zip(dims, found.mean(0).tolist(), strict=True)),
        detail={"dims": dims, "found": found},
    )  # fmt: skip


NORMS, LEARNED = ("group", "instance", "none"), ("eps", "v", "edm")
LEVELS = torch.logspace(-1.3, 0.7, 9)  # sigma / alpha from .05 to 5


@cache
def digits_grid(smoke: bool) -> dict:
    """Train {told, blind} x {norm} x {prediction} on the digits: pixel Frechet distances and log denoising
    errors, each (seeds, 2, norms, predictions)."""
    seeds, (steps, batch) = tools.repeats(smoke), (3, 8) if smoke else (250, 64)
    train_set, held_out = tools.pictures("digits")
    real, _ = held_out.batch(16 if smoke else len(held_out), torch.Generator().manual_seed(0))
    real_train, _ = train_set.batch(len(real), torch.Generator().manual_seed(1))
    shape = (seeds, 2, len(NORMS), len(LEARNED))
    far, error = torch.zeros(shape), torch.zeros(shape)
    for seed, told, i, j in torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist():
        conditioning = "modulate" if told else "none"
        net = seeded(
            lambda i=i, c=conditioning: CNN(real.shape[1], None, tools.wide(32), 8, norm=NORMS[i], conditioning=c), seed
        )
        model = Denoiser(net, VP(), LEARNED[j], data.std(train_set)).to(
            tools.device(), memory_format=torch.channels_last
        )
        model = fit(model, lambda g: train_set.batch(batch, g)[0], steps, seed, warmup=50)
        far[seed, told, i, j] = pixel_distance(model, real, seed, 2 if smoke else 20)
        error[seed, told, i, j] = level_error(model, real, LEVELS).log().mean()
    floor = frechet_distance(real_train.flatten(1), real.flatten(1))
    return {
        "far": far, "error": error, "seeds": seeds, "floor": floor,
        "data": f"{tools.named(train_set)}, CNN of width {tools.wide(32)} and 8 convolutions, {steps} steps of 64, "
        f"EMA, {len(real)} samples by dpmpp_2m in 20 calls, raw pixels",
    }  # fmt: skip


def _digits_outcome(smoke: bool, prediction: str) -> Outcome:
    found = digits_grid(smoke)
    ratio = (found["far"][:, 0] / found["far"][:, 1]).log()  # (seeds, norms, predictions), blind over told
    mean, low, high = ratio_interval(ratio[:, :, LEARNED.index(prediction)].mean(1).tolist())
    worse = (found["error"][:, 0] - found["error"][:, 1]).mean(0).exp()
    table = "; ".join(
        f"{p}: " + ", ".join(f"{n} {ratio[:, i, j].mean().exp():.2f}" for i, n in enumerate(NORMS))
        for j, p in enumerate(LEARNED)
    )
    return Outcome(
        mean, low, high,
        data=found["data"], seeds=found["seeds"], device=tools.device(),
        notes=f"distances blind over told by norm: {table}; denoising errors blind over told: "
        + ", ".join(f"{p} {worse[:, j].log().mean().exp():.3f}" for j, p in enumerate(LEARNED))
        + f"; told distances {found['far'][:, 1].min():.1f} to {found['far'][:, 1].max():.1f}, real against real "
        f"{found['floor']:.1f}",
        detail=found,
    )  # fmt: skip


def blind_photos(smoke: bool) -> Outcome:
    seeds, (steps, batch) = tools.repeats(smoke, 5), (2, 4) if smoke else (400, 32)
    train_set, held_out = tools.pictures("photos")
    x0, _ = held_out.batch(8 if smoke else 256, torch.Generator().manual_seed(0))
    errors = torch.zeros(seeds, 2, len(LEVELS))
    for seed in range(seeds):
        for told in range(2):
            conditioning = "adaln_zero" if told else "none"
            net = seeded(lambda c=conditioning: DiT(3, 32, None, tools.wide(64), 4, patch=4, conditioning=c), seed)
            model = Denoiser(net, VP(), "edm", data.std(train_set)).to(tools.device())
            model = fit(model, lambda g: train_set.batch(batch, g)[0], steps, seed, warmup=50)
            errors[seed, told] = level_error(model, x0, LEVELS)
    ratio = (errors[:, 0] / errors[:, 1]).log()
    mean, low, high = ratio_interval(ratio.mean(1).tolist())
    return Outcome(
        mean, low, high,
        data=f"{tools.named(train_set)}, DiT of width {tools.wide(64)}, depth 4, patch 4, {steps} steps of {batch}, "
        f"EMA, edm prediction, {len(x0)} held-out pictures",
        seeds=seeds, device=tools.device(),
        notes="denoising error blind over told at sigma/alpha = "
        + ", ".join(f"{s:.2g}: {v:.3f}" for s, v in zip(LEVELS.tolist(), ratio.mean(0).exp().tolist(), strict=True)),
        detail={"errors": errors, "levels": LEVELS},
    )  # fmt: skip


EDGES = torch.logspace(-2, 1, 6)  # five bands of sigma / alpha


def band_times(low: float, high: float):
    """Training times with log(sigma / alpha) uniform between two levels."""

    def times(n, schedule, generator=None):
        level = torch.rand(n, generator=generator, device=device_of(generator)) * (high.log() - low.log()) + low.log()
        return schedule.time(-2 * level)

    return times


def one_or_five(smoke: bool) -> Outcome:
    seeds, steps = tools.repeats(smoke), 5 if smoke else 1000
    train_set, held_out = tools.pictures("digits")
    x0, _ = held_out.batch(8 if smoke else len(held_out), torch.Generator().manual_seed(0))
    levels = torch.stack(
        [torch.logspace(a.log10(), b.log10(), 5)[1:-1] for a, b in zip(EDGES, EDGES[1:], strict=False)]
    )

    def trained_on(low, high, steps, seed):
        net = seeded(lambda: CNN(x0.shape[1], None, tools.wide(32), 8), seed)
        model = Denoiser(net, VP(), "edm", data.std(train_set)).to(tools.device(), memory_format=torch.channels_last)
        draw = lambda g: train_set.batch(64, g)[0]  # noqa: E731
        return fit(model, draw, steps, seed, times=band_times(low, high), warmup=50)

    errors = torch.zeros(seeds, 2, *levels.shape)
    for seed in range(seeds):
        single = trained_on(EDGES[0], EDGES[-1], steps, seed)
        for band in range(5):
            own = trained_on(EDGES[band], EDGES[band + 1], steps // 5, seed)
            errors[seed, 0, band] = level_error(single, x0, levels[band])
            errors[seed, 1, band] = level_error(own, x0, levels[band])
    ratio = (errors[:, 0] / errors[:, 1]).log()
    mean, low, high = ratio_interval(ratio.mean((1, 2)).tolist())
    return Outcome(
        mean, low, high,
        data=f"{tools.named(train_set)}, CNN of width {tools.wide(32)} and 8 convolutions, {steps} steps of 64 in all, "
        "EMA, held-out pictures",
        seeds=seeds, device=tools.device(),
        notes="denoising error, one net over five, by band from sigma/alpha .01 to 10: "
        + ", ".join(f"{v:.2f}" for v in ratio.mean((0, 2)).exp().tolist()),
        detail={"errors": errors, "levels": levels},
    )  # fmt: skip


INF = float("inf")
CRUCIAL = 'slide "Noise-level Conditional Diffusion Model": "It\'s crucial to train a single diffusion network on all '
CONDITION = CRUCIAL + 'time steps (and condition it on the time step)"'

CLAIMS = [
    Claim(
        "3.1",
        "In the plane, a denoiser that is not told the noise level cannot sample, whatever it predicts",
        CONDITION,
        "the best blind field gives at least twice the sliced Wasserstein distance, for eps, v and x0 alike",
        "blind over aware distance in 2 dimensions, the smallest of eps, v, x0",
        (2.0, INF),
        lambda smoke: _toy_outcome(smoke, lambda r, dims: r[0].min()),
    ),
    Claim(
        "3.2",
        "In 128 dimensions a denoiser that predicts v need not be told: x_t shows its own noise level",
        CONDITION,
        "the best blind field gives at most 1.2 times the distance: against the lecture",
        "blind over aware distance in 128 dimensions, v prediction",
        (-INF, 1.2),
        lambda smoke: _toy_outcome(smoke, lambda r, dims: r[dims.index(128), 1]),
    ),
    Claim(
        "3.3",
        "In between it is the eps prediction that needs to be told",
        CONDITION,
        "in 32 dimensions blind eps is at least twice as bad as blind v",
        "(blind over aware of eps) over (blind over aware of v) in 32 dimensions",
        (2.0, INF),
        lambda smoke: _toy_outcome(smoke, lambda r, dims: r[dims.index(32), 0] / r[dims.index(32), 1]),
    ),
    Claim(
        "3.4",
        "x_t in d dimensions shows its noise level to within a relative error of 1 / sqrt(2 d)",
        'slide "Noise as a style": "noise level is a global property of the image"',
        "2 d Var(t | x_t) / t^2 is within 10% of 1 at d = 128",
        "2 d Var(t | x_t) / t^2 at d = 128",
        (0.9, 1.1),
        noise_level_is_visible,
    ),
    Claim(
        "3.5",
        "On digits, a blind net that predicts eps samples much worse",
        CONDITION,
        "at least 1.5 times the pixel Frechet distance, over the three norms",
        "blind over told pixel Frechet distance, eps prediction, mean over norms",
        (1.5, INF),
        lambda smoke: _digits_outcome(smoke, "eps"),
    ),
    Claim(
        "3.6",
        "On digits, a blind net with edm prediction samples as well as one that is told",
        CONDITION,
        "at most 1.2 times the pixel Frechet distance, over the three norms",
        "blind over told pixel Frechet distance, edm prediction, mean over norms",
        (-INF, 1.2),
        lambda smoke: _digits_outcome(smoke, "edm"),
    ),
    Claim(
        "3.7",
        "On 32x32 pictures telling the noise level barely improves denoising",
        CONDITION,
        "the blind net's denoising error is at most 5% larger",
        "blind over told denoising error, geometric mean over levels",
        (-INF, 1.05),
        blind_photos,
    ),
    Claim(
        "3.8",
        "One network on all noise levels beats five specialists that share its compute",
        CRUCIAL + 'time steps"',
        "the single net's denoising error is at most .95 of the five nets', over all bands",
        "denoising error of one net over that of five, geometric mean over levels",
        (-INF, 0.95),
        one_or_five,
    ),
]
