"""Claim 6.4: are the latents of an autoencoder one simple Gaussian? Each prior's log-likelihood of held-out latents.

What a prior has to model are draws from the encoder's Gaussians, z ~ q(z | x): they have a density, and so every prior
one number, in nats a latent. What is trained is trained until latents put aside get no likelier.
"""

import copy
import functools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from minidiff.denoise import lognormal_times
from minidiff.measure.classifier import extract
from minidiff.measure.metrics import frechet_distance
from minidiff.nets import build
from minidiff.run.config import Diffusion
from minidiff.run.generate import generate
from minidiff.run.models import DiffusionModel
from minidiff.stages import Autoencoder, Latent
from minidiff.stages.autoencoder import reconstruct
from minidiff.stages.latent import STD
from minidiff.stages.priors import Gaussian, Mixture
from minidiff.train import new_state, train

from .compressed import CODES, autoencoders, classifiers, held_out, prior_of
from .tools import Outcome, device, in_parallel, interval, named, repeats, seeded

PARTS = (2, 3, 5, 10)  # of the mixture: as many as suit the latents put aside
MOST = 6000  # steps
LOOKS, PATIENCE = 40, 5  # at the error in so many steps, and how many without a better one end the training


@torch.no_grad()
def drawn(net: Autoencoder, x: Tensor, generator) -> Tensor:
    """A draw z (N, *latent_shape) of the encoder's Gaussian for each of pictures x, on the CPU."""
    where = next(net.parameters()).device
    return torch.cat([net.bottleneck(net.encoder(part.to(where)), generator)[0].cpu() for part in x.split(250)])


def split(smoke: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures to learn from, every eighth put aside to stop by, and the held-out ones."""
    digits, _, _ = classifiers(smoke)
    x = digits.at(torch.arange(100 if smoke else len(digits)))
    aside = torch.arange(len(x)) % 8 == 0
    return x[~aside], x[aside], held_out()[: 20 if smoke else 400]


def to_a_plateau(model, draw, error, most: int, seed: int, **options):
    """The EMA of a model at the step where error(ema) was least, and that step; training ends after PATIENCE looks
    without a better one."""
    state, least, kept, since = new_state(model, seed), math.inf, None, 0
    batches = (draw(state.generator) for _ in range(most))
    for step in train(model, batches, most, state=state, check=None, **options):
        if step.step % max(1, most // LOOKS) and step.step != most:
            continue
        now, since = error(step.ema), since + 1
        if now < least:
            least, kept, since = now, (copy.deepcopy(step.ema), step.step), 0
        if since == PATIENCE:
            break
    return kept


@torch.no_grad()
def loss_of(model, x: Tensor, **options) -> float:
    """A model's mean loss of x, with the same noise each time."""
    x = x.to(next(model.parameters()).device)
    return model.loss(x, generator=torch.Generator().manual_seed(0), **options).mean().item()


class Flat(nn.Module):
    """An MLP of latents (B, *shape) as vectors."""

    def __init__(self, shape, width: int = 256):
        super().__init__()
        self.net, self.null = build("mlp", (math.prod(shape),), width=width), None

    def forward(self, x: Tensor, c_noise: Tensor, cond=None) -> Tensor:
        return self.net(x.flatten(1), c_noise, cond).view(x.shape)


def diffusion(z: Tensor, aside: Tensor, seed: int, most: int):
    """A diffusion model of latents, trained to a plateau, and the step where that was: of 64 numbers an MLP, of more,
    in gpu mode, a DiT."""
    few = z[0].numel() <= 64
    model = seeded(
        lambda: DiffusionModel(Flat(z.shape[1:]), z.shape[1:], Diffusion(times="uniform", sigma_data=STD)), seed
    )
    model, times = model if few else prior_of("diffusion", z.shape[1:], seed), {"times": lognormal_times}

    def draw(generator):
        return z[torch.randint(len(z), (128,), generator=generator)]

    def error(ema):
        return loss_of(ema, aside, **times)

    return to_a_plateau(model.to(device()), draw, error, most, seed, lr=1e-3, **times)


LOG_SNR = (12.5, -9.0)  # sigma / alpha from .002 to 90


@torch.no_grad()
def nats(model, z: Tensor, levels: int = 64) -> float:
    """A bound from below on the mean log-likelihood of latents z under a diffusion model: its loss at all noise levels.

    -log p(z) <= D / 2 log(2 pi e s^2) + 1/2 of the integral over log-SNR of |eps - guess|^2 minus what it would be if z
    were N(0, s^2): with the exact model it is equal (Kong et al. 2023, equation 9). Midpoints, one noise each.
    """
    where, generator = next(model.parameters()).device, torch.Generator().manual_seed(0)
    total, step = 0.0, (LOG_SNR[0] - LOG_SNR[1]) / levels
    for i in range(levels):
        log_snr = torch.tensor(LOG_SNR[0] - (i + 0.5) * step)
        t, share = model.schedule.time(log_snr), torch.sigmoid(log_snr + 2 * math.log(STD))
        alpha, sigma = model.schedule(t)
        eps = torch.randn(z.shape, generator=generator)
        guess = model((alpha * z + sigma * eps).to(where), t.to(where)).eps.cpu()
        total += ((eps - guess).square() - share * eps.square()).flatten(1).sum(1).mean().item() * step
    return -z[0].numel() / 2 * math.log(2 * math.pi * math.e * STD**2) - total / 2


def gaussian_nats(prior: Gaussian, z: Tensor) -> float:
    """The mean log-likelihood of latents z under one Gaussian."""
    cov = prior.root.double() @ prior.root.double().T
    normal = torch.distributions.MultivariateNormal(prior.mean.double(), cov)
    return normal.log_prob(z.flatten(1).double()).mean().item()


def best_mixture(z: Tensor, aside: Tensor, seed: int) -> Mixture:
    """Of mixtures of PARTS, that under which latents put aside are likeliest."""
    found = []
    for parts in PARTS:
        prior = Mixture(z.shape[1:], parts)
        prior.fit(z, torch.Generator().manual_seed(seed))
        found.append((mixture_nats(prior, aside), parts, prior))
    return max(found, key=lambda row: row[0])[2]


def mixture_nats(prior: Mixture, z: Tensor) -> float:
    return torch.logsumexp(copy.deepcopy(prior).double().log_parts(z.flatten(1).double()), 1).mean().item()


def tokens(smoke: bool, seed: int, net: Autoencoder) -> dict[str, float]:
    """Where autoregression applies: nats a token of the indices of an autoencoder with a codebook, held out, if each
    place is independent of the others, and by a causal transformer."""
    learn, aside, test = (reconstruct(net, x)[1] for x in split(smoke))
    often = one_hot(learn.flatten(1).long(), CODES).sum(0) + 1.0  # at each place; no code is impossible
    log_p = (often / often.sum(1, keepdim=True)).log()
    alone = -log_p.gather(1, test.flatten(1).long().T).mean().item()
    model = prior_of("autoregressive", learn.shape[1:], seed).to(device())
    model, _ = to_a_plateau(
        model, lambda g: learn[torch.randint(len(learn), (64,), generator=g)], lambda ema: loss_of(ema, aside),
        2 if smoke else MOST // 3, seed,
    )  # fmt: skip
    return {"independent": alone, "autoregressive": loss_of(model, test)}


def priors(smoke: bool, seed: int, net: Autoencoder) -> dict:
    """Of each prior of an autoencoder's latents: "nats" a latent and the Frechet "distance" of its pictures; the
    diffusion's "steps", and the mixture's "parts"."""
    generator = torch.Generator().manual_seed(seed)
    learn, aside, test = split(smoke)
    z, aside, test = (
        drawn(net, learn.repeat(4, 1, 1, 1), generator),
        drawn(net, aside, generator),
        drawn(net, test, generator),
    )
    scale = STD / z.std().item()
    z, aside, test = z * scale, aside * scale, test * scale
    one, simple, mixture = Gaussian(z.shape[1:]), Gaussian(z.shape[1:], full=False), best_mixture(z, aside, seed)
    one.fit(z)
    simple.root *= scale  # N(0, I) of the latents as the encoder makes them
    learned, step = diffusion(z, aside, seed, 2 if smoke else MOST)
    each = {"N(0, I)": gaussian_nats(simple, test), "full Gaussian": gaussian_nats(one, test),
            "mixture": mixture_nats(mixture, test), "diffusion": nats(learned, test, 4 if smoke else 64)}  # fmt: skip
    models = dict(zip(each, (simple, one, mixture, learned), strict=True))
    _, judge, _ = classifiers(smoke)
    real = extract(judge, held_out())[0]

    def far(model):
        model = Latent(model.to(device()), net).eval()
        model.scale.fill_(scale)
        x = generate(model, 20 if smoke else 1000, steps=2 if smoke else 20, seed=seed)
        return frechet_distance(extract(judge, x)[0], real)

    return {
        "nats": {name: value / test[0].numel() for name, value in each.items()},
        "distance": {name: far(model) for name, model in models.items()}, "steps": step, "parts": mixture.parts,
    }  # fmt: skip


@functools.cache
def measured(smoke: bool) -> dict:
    """What `priors` and `tokens` find: by name lists over the seeds."""
    nets = autoencoders(smoke)
    parts = [(part, seed, nets[2, codes, seed]) for part, codes in ((priors, None), (tokens, CODES))
             for seed in range(repeats(smoke))]  # fmt: skip
    found = in_parallel(lambda call: call[0](smoke, *call[1:]), parts)
    rows, by_token = found[: len(found) // 2], found[len(found) // 2 :]
    by_prior = {key: {name: [row[key][name] for row in rows] for name in rows[0][key]} for key in ("nats", "distance")}
    return by_prior | {key: [row[key] for row in rows] for key in ("steps", "parts")} | {"tokens": by_token}


def not_a_simple_gaussian(smoke: bool) -> Outcome:
    found = measured(smoke)
    pairs = zip(found["nats"]["diffusion"], found["nats"]["full Gaussian"], strict=True)

    def mean(values):
        return sum(values) / len(values)

    notes = "held-out nats a latent, Frechet distance of 1000 pictures: " + "; ".join(
        f"{k} {mean(v):.2f}, {mean(found['distance'][k]):.1f}" for k, v in found["nats"].items()
    )
    by_token = {k: mean([row[k] for row in found["tokens"]]) for k in ("independent", "autoregressive")}
    notes += f"; the mixture of {found['parts']} parts; the plateau after {found['steps']} steps; nats a token, places "
    notes += f"independent {by_token['independent']:.2f}, autoregressive {by_token['autoregressive']:.2f}"
    data = f"{named(classifiers(smoke)[0])}, without labels; latents at f = 2; draws for {len(held_out())} held-out pictures"
    return Outcome(*interval([a - b for a, b in pairs]), data, len(found["steps"]), notes, device(), {"found": found})
