"""Claims of lecture 00, the tour: what happened around 2020?

A GAN as in 2014, one with the R1 penalty, and a diffusion model, of equal size and FLOPs, on 25 Gaussians.
"""

import functools

import torch

from minidiff.data.toys import grid_25
from minidiff.denoise import Denoiser
from minidiff.measure.metrics import modes_covered
from minidiff.measure.nets import flops, parameters
from minidiff.nets import build
from minidiff.oracles import GaussianMixture
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP
from minidiff.stages.gan import GAN

from .claims import Claim
from .tools import Outcome, fit, in_parallel, interval, seeded

WIDTH, BATCH = 128, 512
NAMES = ("GAN, 2014", "GAN, R1", "diffusion")


def two_classes() -> GaussianMixture:
    """Two broad Gaussians that overlap, a class each: what guidance does to one is plain to see."""
    means = torch.tensor([[-0.25, 0.0], [0.25, 0.0]])
    return GaussianMixture(torch.ones(2), means, torch.diag(torch.tensor([0.04, 0.12])).expand(2, 2, 2))


def gan(seed: int, penalty: bool) -> GAN:
    """A GAN with the R1 penalty; or without it and with momentum, as the first ones."""
    model = seeded(lambda: GAN((2,), width=WIDTH, r1=0.1 if penalty else 0.0), seed)
    model.betas = model.betas if penalty else (0.9, 0.99)
    return model


def training_flops(model: GAN) -> int:
    """Multiply-adds of a GAN's step a sample: the generator forward and back, and its critic on the fakes twice, once
    without gradients for its weights, on the real ones, and on a quarter of them twice differentiated."""
    linear = [
        sum(2 * m.weight.numel() for m in net.modules() if hasattr(m, "in_features"))
        for net in (model.generator, model.critic)
    ]
    return round(3 * linear[0] + (2 + 3 + 3 + 6 / 4) * linear[1])


def diffusion(seed: int, size: int) -> Denoiser:
    """An MLP of about `size` parameters, by its width."""
    width = min(range(32, 160, 8), key=lambda w: abs(parameters(build("mlp", (2,), width=w)) - size))
    return Denoiser(build("mlp", (2,), width=width, seed=seed), VP(), "edm", 0.5)


@functools.cache
def histories(smoke: bool) -> dict:
    """Name -> (modes, precision) a seed, and "samples", "steps", "parameters"."""
    seeds, steps, n = (2, 2, 200) if smoke else (5, 1500, 4000)
    found = {name: [] for name in NAMES} | {"samples": {}, "parameters": {}, "steps": {}}
    grid = grid_25()

    def samples(seed, name):
        size, budget = parameters(gan(seed, True)), steps * training_flops(gan(seed, True))
        model = diffusion(seed, size) if name == "diffusion" else gan(seed, name == "GAN, R1")
        duration = round(budget / (3 * flops(model.net, (2,)))) if name == "diffusion" else steps
        trained = fit(model, lambda g: grid.sample(BATCH, g), duration, seed)
        noise = torch.Generator().manual_seed(seed)
        if name == "diffusion":
            return last(dpmpp_2m(trained, start(trained, (n, 2), noise), VP().grid(20))), parameters(model), duration
        return trained.sample(n, None, noise), parameters(model), duration

    drawn = iter(in_parallel(samples, range(seeds), NAMES))
    for seed in range(seeds):
        for name in NAMES:
            found["samples"][name, seed], found["parameters"][name], found["steps"][name] = next(drawn)
            found[name].append(modes_covered(found["samples"][name, seed], grid))
    return found


def mean_of(rows: list[tuple[int, float]]) -> float:
    """Of the precisions."""
    return sum(p for _, p in rows) / len(rows)


def _outcome(smoke: bool, values: list[float]) -> Outcome:
    found = histories(smoke)
    mean, low, high = interval(values)
    rows = {name: found[name] for name in NAMES}
    real = modes_covered(grid_25().sample(4000, torch.Generator().manual_seed(0)), grid_25())
    return Outcome(
        mean, low, high,
        data="25 Gaussians, std .03; MLPs of "
        + ", ".join(f"{v:,} parameters ({k}, {found['steps'][k]:,} steps)" for k, v in found["parameters"].items())
        + ": equal FLOPs; 4,000 samples, 20 calls of dpmpp_2m",
        seeds=len(values),
        notes="modes covered by seed, and precision: "
        + "; ".join(f"{k} {' '.join(f'{m}' for m, _ in v)}, {mean_of(v):.3f}" for k, v in rows.items())
        + f"; real points {real[0]}, {real[1]:.3f}",
        detail={"found": found},
    )  # fmt: skip


def gans_drop_modes(smoke: bool) -> Outcome:
    return _outcome(smoke, [float(m) for m, _ in histories(smoke)["GAN, 2014"]])


def diffusion_is_closer(smoke: bool) -> Outcome:
    found = histories(smoke)
    return _outcome(smoke, [a[1] - b[1] for a, b in zip(found["diffusion"], found["GAN, R1"], strict=True)])


WHERE = 'slide "What happened around 2020?"'
INF = float("inf")
CLAIMS = [
    Claim("0.1", "A GAN as in 2014 drops modes", WHERE, "20 of 25 or fewer", "modes covered", (0.0, 20.0),
          gans_drop_modes, says=(0.0, 24.0)),
    Claim("0.2", "Diffusion, of equal size and FLOPs, draws closer to the data than a GAN that is held by R1", WHERE,
          "a fifth more of its points near a mode", "precision of diffusion minus that of the GAN with R1", (0.2, INF),
          diffusion_is_closer, says=(0.0, INF)),
]  # fmt: skip
