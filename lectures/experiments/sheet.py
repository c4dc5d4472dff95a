"""Claim 6.1, on a toy: points near a two-dimensional sheet that is curled up in 64 dimensions.

They are modelled in two stages, an autoencoder and a diffusion in its two latents, and in one, at equal FLOPs.
"""

import functools

import torch
from torch import Tensor, nn

from minidiff.data.toys import branches
from minidiff.denoise import Denoiser
from minidiff.measure.metrics import sliced_wasserstein
from minidiff.measure.nets import flops
from minidiff.nets import build
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP
from minidiff.stages.gan import mlp
from minidiff.stages.latent import STD

from .tools import Outcome, fit, in_parallel, ratio_interval, seeded

DIM, NOISE = 64, 0.01
trees = functools.cache(branches)  # to make them takes longer than a training step


def lift(z: Tensor) -> Tensor:
    """z (N, 2) -> (N, 64): a fixed random smooth map, a curled sheet."""
    generator = torch.Generator().manual_seed(64)
    first, second = torch.randn(2, 32, generator=generator), torch.randn(32, DIM, generator=generator)
    return torch.tanh(1.5 * z @ first) @ second / 32**0.5 / 2


def sheet(n: int, generator) -> Tensor:
    """n points near the sheet, laid out on it as the branching trees."""
    x = lift(trees().sample(n, generator))
    return x + NOISE * torch.randn(x.shape, generator=generator)


def distance_to_sheet(x: Tensor) -> float:
    """The mean distance of x (N, 64) from the sheet."""
    line = torch.linspace(-1.3, 1.3, 120)
    return torch.cdist(x, lift(torch.cartesian_prod(line, line))).min(1).values.mean().item()


def two_stages(steps: int, seed: int):
    """An autoencoder to two dimensions and a diffusion in them: (n, seed) -> samples, and their training's FLOPs."""
    encoder, decoder = seeded(lambda: (mlp(DIM, 128, 128, 2), mlp(2, 128, 128, DIM)), seed)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *decoder.parameters()], lr=2e-3, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = sheet(256, generator)
        loss = (decoder(encoder(x)) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        mean, std = (v(encoder(sheet(4096, generator)), 0) for v in (torch.mean, torch.std))

        def draw(g):
            return STD * (encoder(sheet(256, g)) - mean) / std

        prior = Denoiser(build("mlp", (2,), width=128, seed=seed), VP(), "edm", STD)
    prior = fit(prior, lambda g: draw(g).detach(), steps, seed)

    @torch.no_grad()
    def sample(n, seed):
        z = last(dpmpp_2m(prior, start(prior, (n, 2), torch.Generator().manual_seed(seed)), VP().grid(20)))
        return decoder(z * std / STD + mean)

    autoencoder = sum(2 * m.weight.numel() for net in (encoder, decoder) for m in net if isinstance(m, nn.Linear))
    return sample, steps * (autoencoder + flops(prior.net, (2,)))


def one_stage(budget: float, seed: int):
    """A diffusion in all 64 dimensions, trained with `budget` FLOPs: (n, seed) -> samples, and the training steps."""
    net = build("mlp", (DIM,), width=128, seed=seed)
    steps = round(budget / flops(net, (DIM,)))
    spread = sheet(4096, torch.Generator().manual_seed(0)).std().item()
    model = fit(Denoiser(net, VP(), "edm", spread), lambda g: sheet(256, g), steps, seed)

    def sample(n, seed):
        return last(dpmpp_2m(model, start(model, (n, DIM), torch.Generator().manual_seed(seed)), VP().grid(20)))

    return sample, steps


def two_against_one(smoke: bool) -> Outcome:
    seeds, steps, n = (2, 3, 200) if smoke else (5, 500, 4000)

    def drawn(seed):
        two, budget = two_stages(steps, seed)
        one, one_steps = one_stage(budget, seed)
        generator = torch.Generator().manual_seed(1000 + seed)
        real, again = sheet(n, generator), sheet(n, generator)
        pictures = {"two stages": two(n, seed), "one": one(n, seed), "floor": again}
        far = {k: (sliced_wasserstein(x, real), distance_to_sheet(x[:500])) for k, x in pictures.items()}
        return pictures, far, one_steps

    found = in_parallel(drawn, range(seeds))
    pictures, _, one_steps = found[0]
    rows = {name: [far[name] for _, far, _ in found] for name in pictures}
    logs = [torch.tensor(a[0] / b[0]).log().item() for a, b in zip(rows["one"], rows["two stages"], strict=True)]
    mean, low, high = ratio_interval(logs)
    means = {k: torch.tensor(v).mean(0).tolist() for k, v in rows.items()}
    return Outcome(
        mean, low, high,
        data=f"branching trees on a sheet curled up in 64 dimensions; MLPs of width 128; {steps} steps for each of the "
        f"two stages, {one_steps} for the one: equal FLOPs; {n} samples",
        seeds=seeds,
        notes="sliced Wasserstein, distance from the sheet: "
        + "; ".join(f"{k} {a:.4f}, {b:.4f}" for k, (a, b) in means.items()),
        detail={"rows": rows, "pictures": pictures},
    )  # fmt: skip
