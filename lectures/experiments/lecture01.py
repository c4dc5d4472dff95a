"""Claims of lecture 01, score matching: do four losses have one minimiser, and what do they cost?

Where is a learned score wrong, and why are many noise levels needed?
"""

import math
import time

import torch
from torch import Tensor

from minidiff import score_matching
from minidiff.data.toys import eight_gaussians, two_modes
from minidiff.denoise import score
from minidiff.nets import build
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.samplers import langevin, last
from minidiff.schedules import VE, VP

from .claims import Claim
from .tools import Outcome, RadialScore, in_parallel, interval, slope, trained

LOSSES = ("implicit", "sliced", "denoising")


def noisy_eight(sigma: float) -> GaussianMixture:
    """Eight Gaussians with noise sigma added, in float64."""
    return eight_gaussians().to(torch.empty(0, dtype=torch.float64)).diffuse(1.0, sigma)


def minimisers(n: int, seed: int, sigma: float = 0.3) -> dict[str, Tensor]:
    """The minimiser of each loss on n samples of noisy_eight(sigma), the same noisy points for all."""
    model, generator = RadialScore(), torch.Generator().manual_seed(seed)
    clean = eight_gaussians().to(torch.empty(0, dtype=torch.float64)).sample(n, generator)
    state = generator.get_state()
    x = clean + sigma * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    target = noisy_eight(sigma).score(x)

    def again():
        return torch.Generator().set_state(state)  # denoising draws the very noise that made x

    def directions():
        return torch.Generator().manual_seed(seed + 1000)  # and sliced must not

    return {
        "explicit": model.minimiser(lambda fn: score_matching.explicit(fn, x, target).mean()),
        "implicit": model.minimiser(lambda fn: score_matching.implicit(fn, x).mean()),
        "sliced": model.minimiser(lambda fn: score_matching.sliced(fn, x, generator=directions()).mean()),
        "denoising": model.minimiser(lambda fn: score_matching.denoising(fn, clean, sigma, again()).mean()),
    }


def distances(found: dict[str, Tensor], sigma: float = 0.3) -> list[float]:
    """How far each other loss's score is from the explicit one's, relative, over a fixed set of points."""
    x, model = noisy_eight(sigma).sample(4000, torch.Generator().manual_seed(99)), RadialScore()
    fields = {k: model(w)(x) for k, w in found.items()}
    size = fields["explicit"].square().mean()
    return [((fields[k] - fields["explicit"]).square().mean() / size).sqrt().item() for k in LOSSES]


def one_minimiser(smoke: bool) -> Outcome:
    sizes, seeds = ((500, 2000), 2) if smoke else ((1000, 4000, 16_000, 64_000), 5)
    far = in_parallel(lambda seed, n: distances(minimisers(n, seed)), range(seeds), sizes)
    far = torch.tensor(far).unflatten(0, (seeds, len(sizes)))
    slopes = [[slope(torch.tensor(sizes).log(), far[seed, :, i].log()) for i in range(3)] for seed in range(seeds)]
    mean, low, high = interval(
        [max(s) for s in slopes]
    )  # the slowest decides: a harsh choice, as a maximum is biased upwards
    last_ones, each = far[:, -1].mean(0), [interval([s[i] for s in slopes]) for i in range(3)]
    return Outcome(
        mean, low, high,
        data=f"eight Gaussians + noise 0.3, n = {sizes[0]} to {sizes[-1]}, score linear in 26 parameters",
        seeds=seeds,
        notes=f"at n = {sizes[-1]} the relative distance to the explicit minimiser is "
        + ", ".join(f"{k} {v:.4f}" for k, v in zip(LOSSES, last_ones.tolist(), strict=True))
        + "; their slopes are "
        + ", ".join(f"{k} {m:.2f} [{a:.2f}, {b:.2f}]" for k, (m, a, b) in zip(LOSSES, each, strict=True)),
        detail={"sizes": sizes, "far": far},
    )  # fmt: skip


def seconds_per_step(dim: int, seed: int, repeats: int) -> dict[str, float]:
    """The least time of one gradient of each loss, for an MLP of width 128 on 128 points; taken in turns. What else the
    machine does can only add to a time."""
    generator = torch.Generator().manual_seed(seed)
    net = build("mlp", (dim,), width=128)
    x, noise = torch.randn(128, dim, generator=generator), torch.zeros(128)
    target = -x
    losses = {
        "explicit": lambda fn: score_matching.explicit(fn, x, target),
        "implicit": lambda fn: score_matching.implicit(fn, x),
        "sliced": lambda fn: score_matching.sliced(fn, x, generator=generator),
        "denoising": lambda fn: score_matching.denoising(fn, x, 0.3, generator),
    }
    times = {k: [] for k in losses}
    for repeat in range(repeats + 1):
        for name, loss in losses.items():
            began = time.perf_counter()
            net.zero_grad()
            loss(lambda x: net(x, noise)).mean().backward()
            if repeat:  # the first is a warm-up
                times[name].append(time.perf_counter() - began)
    return {k: min(v) for k, v in times.items()}


def cost_by_dimension(smoke: bool) -> Outcome:
    dims, repeats, seeds = ((2, 8), 1, 2) if smoke else ((2, 8, 32, 128, 256), 5, 5)
    ratios = torch.zeros(seeds, len(dims), 3)  # implicit, sliced, explicit over denoising
    for seed in range(seeds):
        for i, dim in enumerate(dims):
            took = seconds_per_step(dim, seed, repeats)
            ratios[seed, i] = torch.tensor([took[k] / took["denoising"] for k in ("implicit", "sliced", "explicit")])
    above = [i for i, d in enumerate(dims) if d >= 8 or smoke]
    x = torch.tensor(dims).float().log()[above]
    growth = [slope(x, ratios[s, above, 0].log()) for s in range(seeds)]
    flat = interval([slope(x, ratios[s, above, 1].log()) for s in range(seeds)])
    mean, low, high = interval(growth)
    implicit, sliced, explicit = ratios[:, -1].mean(0).tolist()
    return Outcome(
        mean, low, high,
        data=f"MLP of width 128, batch 128, dimensions {dims[0]} to {dims[-1]}",
        seeds=seeds,
        notes=f"in {dims[-1]} dimensions a step costs, in steps of denoising: implicit {implicit:.0f}, sliced "
        f"{sliced:.1f}, explicit {explicit:.1f}; the slope of sliced is {flat[0]:.2f} [{flat[1]:.2f}, {flat[2]:.2f}]",
        detail={"dims": dims, "ratios": ratios},
    )  # fmt: skip


LEVEL = 0.1  # the noise sigma / alpha at which scores are compared


def error_by_density(model, mixture: GaussianMixture, bins: int = 10, n: int = 20_000) -> tuple[Tensor, Tensor]:
    """Mean log density (bins,) and relative squared error (bins,) of the score, over points spread evenly in the
    square [-1.2, 1.2]^2 and grouped by the density of p_t there."""
    t = VP().time(-2 * torch.tensor(LEVEL).log())
    alpha, sigma = (v.item() for v in VP()(t))
    y = 2.4 * torch.rand(n, 2, generator=torch.Generator().manual_seed(5)) - 1.2
    x_t = alpha * y
    log_p = mixture.diffuse(alpha, sigma).log_prob(x_t)
    exact = score(MixtureDenoiser(mixture, VP()), x_t, t)
    with torch.no_grad():
        wrong = (score(model, x_t, t) - exact).square().sum(1)
    order = log_p.argsort().chunk(bins)
    return (
        torch.stack([log_p[i].mean() for i in order]),
        torch.stack([wrong[i].sum() / exact[i].square().sum() for i in order]),
    )


def low_density(smoke: bool) -> Outcome:
    steps, seeds = ((20, 60), 2) if smoke else ((300, 1000, 3000), 5)
    mixture = eight_gaussians()
    curves = in_parallel(lambda seed, n: error_by_density(trained(mixture, n, seed), mixture), range(seeds), steps)
    log_p = curves[0][0]
    errors = torch.stack([wrong for _, wrong in curves]).unflatten(0, (seeds, len(steps)))  # (seeds, steps, bins)
    mean, low, high = interval((errors[:, -1, 0] / errors[:, -1, -1]).log10().tolist())
    gain = (errors[:, 0] / errors[:, -1]).log().mean(0).exp()  # geometric mean over seeds
    return Outcome(
        mean, low, high,
        data=f"eight Gaussians, sigma/alpha = {LEVEL}, MLP of width 64, {steps[-1]} steps of 256, EMA",
        seeds=seeds,
        notes=f"relative squared error in the densest tenth {errors[:, -1, -1].mean():.4f}, in the emptiest "
        f"{errors[:, -1, 0].mean():.3f}; from {steps[0]} to {steps[-1]} steps the densest "
        f"improves {gain[-1]:.0f}-fold, the emptiest {gain[0]:.1f}-fold",
        detail={"steps": steps, "log_p": log_p, "errors": errors},
    )  # fmt: skip


def share_of_upper(x: Tensor) -> float:
    """The share of points on the upper mode's side of the diagonal."""
    return (x.sum(1) > 0).float().mean().item()


def one_and_many_levels(model, seed: int, n: int = 2000, levels: int = 10, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Langevin samples from as many score calls: all at the lowest of `levels` noise levels, or annealed through them.

    Both start from the same wide noise, x ~ N(0, 1).
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.logspace(0, -1.5, levels)  # sigma from 1 to 0.03
    times = model.schedule.time(-2 * noise.log())
    x = torch.randn(n, 2, generator=generator)
    annealed = last(langevin(model, x, times, steps=steps, generator=generator))
    return last(langevin(model, x, times[-1:], steps=levels * steps, step_size=0.2, generator=generator)), annealed


def one_level_or_many(smoke: bool) -> Outcome:
    seeds, steps, train_steps = (2, 5, 20) if smoke else (5, 100, 2000)
    mixture = two_modes()

    def both(seed, learned):
        model = trained(mixture, train_steps, seed) if learned else MixtureDenoiser(mixture, VE())
        return one_and_many_levels(model, seed, steps=steps)

    samples = in_parallel(both, range(seeds), (False, True))
    off = torch.tensor([[abs(share_of_upper(x) - 0.8) for x in pair] for pair in samples])
    exact, learned = off[::2], off[1::2]
    mean, low, high = interval((exact[:, 0] - exact[:, 1]).tolist())
    other = interval((learned[:, 0] - learned[:, 1]).tolist())
    return Outcome(
        mean, low, high,
        data=f"two Gaussians of weight 0.2 and 0.8, 2,000 chains of {10 * steps} calls, exact scores",
        seeds=seeds,
        notes=f"error of the mode's share with exact scores: one level {exact[:, 0].mean():.3f}, annealed "
        f"{exact[:, 1].mean():.3f}; with learned scores {learned[:, 0].mean():.3f} and {learned[:, 1].mean():.3f}, "
        f"difference {other[0]:.3f} [{other[1]:.3f}, {other[2]:.3f}]",
        detail={"exact": exact, "learned": learned, "samples": samples[0]},
    )  # fmt: skip


def weight_blindness(noise: Tensor, share: float = 0.8, other: float = 0.5, n: int = 200_001) -> Tensor:
    """sigma^2 times the Fisher divergence between two modes of weights (1 - share, share) and (1 - other, other), at
    each noise level. The factor is denoising's own weighting: it compares the two laws' eps predictions.

    All happens on the line through the modes, so the expectation is an integral over one variable, done by quadrature:
    at small noise all of it comes from rare points between the modes, which sampling would miss.
    """
    out = []
    for sigma in noise.tolist():
        u = torch.linspace(-8, 8, n, dtype=torch.float64)[:, None] * (0.2 + sigma)
        p, q = (line_of_two_modes(s).diffuse(1.0, sigma) for s in (share, other))
        integrand = p.log_prob(u).exp() * (p.score(u) - q.score(u)).square().sum(1)
        out.append(sigma**2 * torch.trapezoid(integrand, u[:, 0]))
    return torch.stack(out)


def line_of_two_modes(share: float) -> GaussianMixture:
    """two_modes along the diagonal, (1-D, float64)."""
    means = two_modes().means[:, :1].double() * 2**0.5
    weights = torch.tensor([1 - share, share], dtype=torch.float64)
    return GaussianMixture(weights, means, two_modes().covariances[:, :1, :1].double())


def blind_to_weights(smoke: bool) -> Outcome:
    noise = torch.logspace(-1.5, 1, 26)
    curve = weight_blindness(noise, n=2001 if smoke else 200_001)
    value = (curve.max() / curve[0]).log10().item()
    kl = 0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)
    return Outcome(
        value, value, value,
        data="two Gaussians of weights 0.2 and 0.8 against 0.5 and 0.5, exact scores, quadrature",
        seeds=0,
        notes=f"the divergence peaks at sigma = {noise[curve.argmax()]:.2f} with {curve.max():.3f}; at "
        f"{noise[0]:.3f} it is {curve[0]:.1e}, though the laws differ by a KL of {kl:.3f} nats",
        detail={"noise": noise, "curve": curve},
    )  # fmt: skip


INF = float("inf")
SLIDE = 'slides "Noise-level Conditional Diffusion Model"'

CLAIMS = [
    Claim("1.1", "Explicit, implicit, sliced and denoising score matching have one minimiser",
          f"{SLIDE}: the loss |s(x; t) - grad log p_t|^2, which cannot be computed as it stands",
          "the minimisers differ by sampling noise only: their distance falls as n^(-1/2), also for the worst loss",
          "slope of log distance to the explicit minimiser against log n, worst loss", (-INF, -0.4), one_minimiser,
          says=(-INF, -0.25)),  # nearer to sampling noise, -1/2, than to a distance that stays, 0
    Claim("1.2", "The implicit loss costs in proportion to the dimension, the denoising loss does not",
          f"{SLIDE}: why every diffusion model is trained by denoising",
          "an implicit step over a denoising one grows with slope 1 from 8 dimensions on, a sliced one with slope 0",
          "log-log slope, against the dimension, of the time of an implicit step in denoising steps", (0.8, 1.2),
          cost_by_dimension, says=(0.5, 1.5),
          why_anew="the median of five times let another program into the figure: now the least of them"),
    Claim("1.3", "The learned score is most accurate where there is most data",
          f"{SLIDE}: the loss is an average over p_t",
          "in the emptiest tenth of the plane the relative error is at least 10 times that of the densest tenth",
          "log10 of the error in the emptiest tenth over the densest", (1.0, INF), low_density, says=(0.0, INF)),
    Claim("1.4", "Langevin dynamics needs many noise levels: at one small level it gets the modes' weights wrong",
          f"{SLIDE}: train on all time steps",
          "with the exact score and equally many calls, one level misses the mode's share by at least 0.2 more than "
          "annealing does",
          "error of the mode's share, one level minus annealed", (0.2, INF), one_level_or_many, says=(0.0, INF)),
    Claim("1.5", "The score at one small noise level does not know the weights of separated modes",
          f"{SLIDE}: train on all time steps",
          "the divergence between laws that differ in weights alone is at least 1,000 times smaller at sigma = 0.03 "
          "than at its peak",
          "log10 of the peak of the divergence over its value at sigma = 0.03", (3.0, INF), blind_to_weights,
          says=(1.0, INF)),  # a tenth of what the best level shows, or less
]  # fmt: skip
