"""Claims of lecture 02, paths and samplers: one family of paths, two ways back, orders, and calls a picture needs."""

import functools
import math
from itertools import product

import torch
from torch import Tensor

from minidiff import data
from minidiff.data.toys import eight_gaussians, rings
from minidiff.denoise import Denoiser
from minidiff.measure.metrics import frechet_distance, sliced_wasserstein
from minidiff.nets import build
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.run.generate import generate
from minidiff.samplers import ddim, dpmpp_2m, euler, heun, last, start
from minidiff.schedules import EDM, VE, VP, Cosine, Linear

from . import tools
from .claims import Claim
from .tools import Outcome, fit, in_parallel, ratio_interval, repeats, slope

INF = float("inf")
PATHS = {"VP": VP(), "VE": VE(), "cosine": Cosine(), "linear": Linear(), "EDM": EDM()}
ORDERS = {"DDIM": ddim, "Euler": euler, "Heun": heun, "DPM-Solver++(2M)": dpmpp_2m}
CALLS = (4, 6, 8, 10, 14, 20, 30, 50)
NEEDED = 1.1  # as near as this times the distance of 50 calls is near enough


def double(mixture: GaussianMixture) -> GaussianMixture:
    return mixture.to(torch.empty(0, dtype=torch.float64))


# --- the chain and the line ---


def chain(n: int) -> tuple[Tensor, Tensor]:
    """DDPM's chain of n steps (Ho et al. 2020): beta grows in equal steps from 0.1 / n to 20 / n, with 1,000 steps from
    1e-4 to .02. The times k / n and alpha after k steps."""
    beta = torch.linspace(0.1, 20, n, dtype=torch.float64) / n
    return torch.arange(1, n + 1, dtype=torch.float64) / n, torch.sqrt(torch.cumprod(1 - beta, 0))


def limit_of_the_chain(smoke: bool) -> Outcome:
    off = {n: (alpha - VP()(t)[0]).abs().max().item() for n in (100, 1000, 10_000) for t, alpha in [chain(n)]}
    notes = "largest difference of alpha: " + ", ".join(f"{v:.2g} with {n:,} steps" for n, v in off.items())
    value = off[1000]
    return Outcome(value, value, value, "the coefficients alone", 0, notes, detail={"off": off})


# --- five paths, one family ---


def one_family(smoke: bool) -> Outcome:
    """DDIM from one noise on each path, at the same noise levels, with the exact model in float64."""
    mixture, generator = double(eight_gaussians()), torch.Generator().manual_seed(0)
    noise = torch.logspace(math.log10(40), math.log10(0.01), 31, dtype=torch.float64)
    z, ends = torch.randn(500, 2, generator=generator, dtype=torch.float64), {}
    for name, schedule in PATHS.items():
        times = schedule.time(-2 * noise.log())
        alpha, _ = schedule(times[0])
        x = last(ddim(MixtureDenoiser(mixture, schedule), alpha * noise[0] * z, times))
        ends[name] = x / schedule(times[-1])[0]
    apart = max((x - ends["EDM"]).abs().max().item() for x in ends.values())
    notes = "the paths: " + ", ".join(PATHS)
    return Outcome(apart, apart, apart, "eight Gaussians, DDIM, 30 steps", 0, notes, detail={"ends": ends})


# --- two ways back ---


def reverse_sde(model, x: Tensor, times: Tensor, generator) -> Tensor:
    """Euler's method on EDM's reverse SDE (alpha = 1): dx = -2 sigma score dsigma, with noise of variance 2 sigma
    dsigma."""
    for t, s in zip(times[:-1], times[1:], strict=True):
        (_, sigma), (_, sigma_s) = model.schedule(t), model.schedule(s)
        step = sigma - sigma_s
        fresh = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = x + 2 * step * -model(x, t).eps + torch.sqrt(2 * sigma * step) * fresh
    return x


def two_ways(smoke: bool) -> Outcome:
    seeds, n, steps = (2, 200, 20) if smoke else (5, 20_000, 400)
    mixture = rings()
    model = MixtureDenoiser(mixture, EDM())
    noise = torch.cat([torch.linspace(20 ** (1 / 7), 0.002 ** (1 / 7), steps) ** 7, torch.zeros(1)])
    times = model.schedule.time(-2 * noise[:-1].log())

    def far(seed):
        generator = torch.Generator().manual_seed(seed)
        real, other = mixture.sample(n, generator), mixture.sample(n, generator)
        x = 20 * torch.randn(n, 2, generator=generator)
        found = {"SDE": reverse_sde(model, x, times, generator), "ODE": last(heun(model, x, times)), "real": other}
        return {k: sliced_wasserstein(v, real) for k, v in found.items()}

    rows = in_parallel(far, range(seeds))
    logs = [math.log(row["SDE"] / row["ODE"]) for row in rows]
    mean = {k: sum(r[k] for r in rows) / seeds for k in rows[0]}
    notes = "sliced Wasserstein distance to the data: " + ", ".join(f"{k} {v:.4f}" for k, v in mean.items())
    return Outcome(*ratio_interval(logs), f"two rings, {n:,} points, {steps} steps", seeds, notes)


# --- orders ---


def orders(smoke: bool) -> Outcome:
    """Errors against the exact flow of a Gaussian, float64, t from .9 to .1 on VP."""
    spread = torch.tensor([0.15, 0.5, 1.2], dtype=torch.float64)
    gaussian = GaussianMixture(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.diag(spread**2)[None])
    model, steps = MixtureDenoiser(gaussian, VP()), (10, 20, 40, 80, 160)
    z = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = {}
    for n in steps:
        times = torch.linspace(0.9, 0.1, n + 1, dtype=torch.float64)
        first, end = (torch.sqrt(a**2 * spread**2 + s**2) * z for a, s in (VP()(times[0]), VP()(times[-1])))
        for name, sampler in ORDERS.items():
            errors.setdefault(name, []).append((last(sampler(model, first, times)) - end).square().mean().sqrt().item())
    order = {k: -slope(torch.tensor(steps[2:]).log(), torch.tensor(v[2:]).log()) for k, v in errors.items()}
    more = order["DPM-Solver++(2M)"] - order["DDIM"]
    notes = "orders: " + ", ".join(f"{k} {v:.2f}" for k, v in order.items())
    return Outcome(more, more, more, "a Gaussian in three dimensions, exact model", 0, notes,
                   detail={"errors": errors, "steps": steps})  # fmt: skip


# --- what churn does ---


def churned(smoke: bool) -> Outcome:
    """A small net on two rings: distance with and without churn, at few steps and at many."""
    seeds, train_steps, n = (2, 5, 100) if smoke else (5, 1500, 10_000)
    mixture = rings()

    def distances(seed):
        model = Denoiser(build("mlp", (2,), width=64, seed=seed), EDM(), "edm", 0.5)
        model = fit(model, lambda generator: mixture.sample(256, generator), train_steps, seed)
        generator = torch.Generator().manual_seed(100 + seed)
        real, x = mixture.sample(n, generator), start(model, (n, 2), generator)
        return {
            (steps, share): sliced_wasserstein(
                last(heun(model, x, model.schedule.grid(steps), churn=share * steps, generator=generator)), real
            )
            for steps in (8, 64)
            for share in (0.0, 0.4)
        }

    rows = in_parallel(distances, range(seeds))
    few, logs = ([math.log(far[steps, 0.4] / far[steps, 0.0]) for far in rows] for steps in (8, 64))
    at_few = [f"{v:.2f}" for v in ratio_interval(few)]
    notes = f"with 8 steps the ratio is {at_few[0]}, 95% interval {at_few[1]} to {at_few[2]}"
    return Outcome(*ratio_interval(logs), f"two rings, MLP of width 64, {train_steps} steps of 256, {n:,} samples", seeds,
                   notes)  # fmt: skip


def step_back(schedule, t: Tensor, s: Tensor, x_t: Tensor, x0: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of x_s, s < t, given x_t and x0 (Ho et al. 2020, equation 7, on any path): x_s given x0 is
    N(alpha_s x0, sigma_s^2), and x_t is r x_s and noise."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    r = alpha_t / alpha_s
    noise = sigma_t**2 - r**2 * sigma_s**2
    variance = 1 / (1 / sigma_s**2 + r**2 / noise)
    return variance * (alpha_s * x0 / sigma_s**2 + r * x_t / noise), variance


# --- how many calls a picture needs ---


@functools.cache
def distances_by_calls(smoke: bool) -> dict[tuple[str, int], list[float]]:
    """(sampler, calls) -> Frechet distance in raw pixels, a seed: a U-Net trained on digits (gpu mode: CIFAR-10)."""
    train_set, held_out = tools.pictures("digits", gpu_size=16)
    real, seeds = held_out.at(torch.arange(len(held_out))), range(repeats(smoke))

    def trained(seed):
        model = Denoiser(build("unet", train_set.shape, None, seed, width=tools.wide(24)), VP(), "edm",
                         data.std(train_set)).to(tools.device())  # fmt: skip
        return fit(model, lambda generator: train_set.batch(64, generator)[0], 3 if smoke else 600, seed)

    models = in_parallel(trained, seeds)

    def far(name, calls, numbered):
        seed, model = numbered
        steps = (calls + 1) // 2 if name == "heun" else calls
        options = {"shape": train_set.shape, "sampler": name, "steps": steps, "seed": seed}
        x = generate(model, len(real) if not smoke else 10, **options)
        return frechet_distance(x.flatten(1), real.flatten(1))

    kinds = ("ddim", "heun", "dpmpp_2m"), (4, 50) if smoke else CALLS
    found = iter(in_parallel(far, *kinds, enumerate(models)))
    return {kind: [next(found) for _ in seeds] for kind in product(*kinds)}


def calls_needed(smoke: bool) -> Outcome:
    found, logs, rows = distances_by_calls(smoke), [], []
    tried = sorted({calls for _, calls in found})
    for seed in range(repeats(smoke)):
        enough = NEEDED * found["dpmpp_2m", 50][seed]
        need = {
            name: next((c for c in tried if found[name, c][seed] <= enough), tried[-1])
            for name in ("ddim", "heun", "dpmpp_2m")
        }
        rows.append(need)
        logs.append(math.log(need["dpmpp_2m"] / need["ddim"]))
    notes = "calls until the distance is within 10% of that of 50 calls of dpmpp_2m, by seed: " + "; ".join(
        f"{name} {', '.join(str(r[name]) for r in rows)}" for name in rows[0]
    )
    described = f"{tools.named(tools.pictures('digits', gpu_size=16)[0])}, U-Net, 600 steps of 64, raw pixels"
    return Outcome(*ratio_interval(logs), described, len(logs), notes, tools.device(), {"found": found})


CLAIMS = [
    Claim("2.1", "The chain of many small steps is one line: x_t = alpha_t x0 + sigma_t eps", "diffusion, implied",
          "With DDPM's 1,000 steps alpha differs from the continuous path's by less than .001",
          "largest difference of alpha", (0.0, 1e-3), limit_of_the_chain, says=(0.0, 0.01),
          why_anew="its betas were those at the middles of 1,000 equal steps: now they are DDPM's own, 1e-4 to .02"),
    Claim("2.2", "The paths VP, VE, cosine, linear (flow matching) and EDM are one family", "implied by the 2x2 system",
          "From one noise, at the same noise levels, DDIM ends at the same points to rounding",
          "largest difference of a coordinate between two paths", (0.0, 1e-9), one_family, says=(0.0, 1e-3)),
    Claim("2.3", "The reverse SDE and the probability-flow ODE sample one distribution", "Song et al. 2021",
          "Equal to 10%, at the floor of two sets of data",
          "distance to the data, SDE over ODE", (0.9, 1.1), two_ways, says=(0.8, 1.25)),
    Claim("2.4", "Heun and DPM-Solver++(2M) are of second order, DDIM and Euler of first", "their papers",
          "Orders 2 and 1 to a tenth", "order of DPM-Solver++(2M) minus that of DDIM", (0.9, 1.1), orders, says=(0.5, INF)),
    Claim("2.5", "Noise drawn anew on the way (churn) repairs errors of a trained net, where steps are many",
          "Karras et al. 2022", "A tenth to a half nearer with 64 steps, farther with 8",
          "distance with churn over without, 64 steps of Heun", (0.5, 0.9), churned, says=(0.0, 1.0)),
    Claim("2.6", "With a second-order sampler a picture needs fewer network calls", "what the papers' samplers are for",
          "A fifth to a half as many", "calls needed, DPM-Solver++(2M) over DDIM", (0.2, 0.5), calls_needed,
          says=(0.0, 0.99), why_anew="all claims together took more than an hour on two cores: now 50 calls of dpmpp_2m "
          "are the limit, and not 100"),
]  # fmt: skip
