"""Claims of lecture 06, several stages: how small may an autoencoder make pictures, and which prior suits its latents?

What do latents save at 4096 x 4096? Are two stacked GANs better than one? Claim 6.1, on a toy, is in sheet.py.
"""

import functools

import torch
from torch import Tensor

from minidiff.measure import classifier
from minidiff.measure.classifier import extract
from minidiff.measure.metrics import frechet_distance, precision_recall, psnr
from minidiff.measure.nets import flops
from minidiff.nets import DiT, UNet
from minidiff.run.config import Diffusion
from minidiff.run.generate import generate
from minidiff.run.models import DiffusionModel
from minidiff.stages import GAN, Autoencoder, Causal, Latents, StackedGAN, perceptual
from minidiff.stages.autoencoder import Decoder, reconstruct
from minidiff.stages.latent import STD
from minidiff.stages.priors import Gaussian, Mixture, fit
from minidiff.stages.vq import usage

from .claims import Claim
from .sheet import two_against_one
from .tools import Outcome, bench_results, device, named, pictures, ratio_interval, repeats, seeded, wide
from .tools import fit as fit_denoiser

# --- how small, and which prior ---

FACTORS = (1, 2, 4, 8)
PRIORS = ("N(0, I)", "Gaussian", "mixture", "GAN", "autoregressive", "diffusion")


@functools.cache
def classifiers(smoke: bool):
    """The digits, a classifier whose features distances are of, and one of another seed, for perceptual losses and for
    stacked GANs."""
    digits, _ = digits_and_held_out()
    if smoke:
        return digits, *(classifier.fit(digits, steps=2, seed=s, device=device()) for s in (0, 1))
    return digits, *(classifier.for_data(digits, device(), s) for s in (0, 1))


def digits_and_held_out():
    """Or, in gpu mode, CIFAR-10 at 16x16, of which the full Gaussians can still be fitted."""
    return pictures("digits", gpu_size=16)


def training_pictures(n: int) -> Tensor:
    """n of the training digits."""
    return digits_and_held_out()[0].batch(n, torch.Generator().manual_seed(2))[0]


def held_out() -> Tensor:
    """The 359 digits that nothing was trained on."""
    _, digits = digits_and_held_out()
    return digits.at(torch.arange(len(digits)))


def autoencoder(f: int, seed: int, smoke: bool, codes=None) -> Autoencoder:
    """One trained for some seconds."""
    digits, _, teacher = classifiers(smoke)
    net = seeded(lambda: Autoencoder(digits.shape, f, 8 if codes else 4, wide(32), codes), seed)
    net.use(perceptual.distance(teacher.requires_grad_(False).maps))
    return fit_denoiser(
        net.to(device(), memory_format=torch.channels_last),
        lambda g: digits.batch(32, g)[0],
        2 if smoke else AE_STEPS,
        seed,
        lr=2e-3,
    )


AE_STEPS, PRIOR_STEPS = 500, 400


def prior_of(name: str, shape, seed: int):
    """An untrained prior for latents of a shape; the diffusion's net has 16 tokens, or what there are if fewer."""
    if name in ("N(0, I)", "Gaussian"):
        return Gaussian(shape, full=name == "Gaussian")
    if name == "mixture":
        return Mixture(shape, 10, 10)
    if name == "GAN":
        return seeded(lambda: GAN(shape, width=wide(32)), seed)
    if name == "autoregressive":
        return seeded(lambda: Causal(shape, CODES, width=wide(96), depth=4), seed)
    net = seeded(lambda: DiT(shape[0], shape[-1], None, wide(96), 4, patch=max(1, shape[-1] // 4)), seed)
    return DiffusionModel(net, shape, Diffusion(times="uniform", sigma_data=STD))


CODES = 128


@functools.cache
def compressed(smoke: bool) -> dict:
    """(prior, f) -> the Frechet distance a seed, and "floor", "again" and "pictures": every prior on every autoencoder.

    The tokens of the autoregressive prior come from an autoencoder of its own, with a codebook.
    """
    seeds, (n, calls) = repeats(smoke), (10, 2) if smoke else (1000, 10)
    _, judge, _ = classifiers(smoke)
    real = extract(judge, held_out())[0]

    def distance(x):
        return frechet_distance(extract(judge, x)[0], real)

    found = {"again": distance(training_pictures(n)), "pictures": {("real", 1): training_pictures(8)}}
    digits, _, _ = classifiers(smoke)
    train_on = digits.at(torch.arange(100 if smoke else len(digits)))
    for seed in range(seeds):
        for f in FACTORS:
            nets = {None: autoencoder(f, seed, smoke)}
            if f == 2:
                nets[CODES] = autoencoder(f, seed, smoke, CODES)
            for codes, net in nets.items():
                z = reconstruct(net, train_on)[1]
                scale = 1.0 if codes else STD / z.std().item()
                latents = Latents("latents", z, None, [], None, scale)
                x = training_pictures(n)
                back, index = reconstruct(net, x)
                kind = " with codes" if codes else ""
                found.setdefault(("floor" + kind, f), []).append(distance(back))
                found.setdefault(("PSNR" + kind, f), []).append(psnr(x, back))
                if codes:
                    found.setdefault(("usage", f), []).append(usage(index, codes)[0])
                found["pictures"].setdefault(("reconstructed" + kind, f), back[:8])
                for name in PRIORS:
                    if (name == "autoregressive") != bool(codes):
                        continue
                    prior = prior_of(name, latents.shape, seed).to(device())
                    model = fit(
                        prior,
                        latents,
                        net,
                        2 if smoke else PRIOR_STEPS,
                        seed=seed,
                        lr=2e-3 if name == "diffusion" else 1e-3,
                    )
                    x = generate(model, n, steps=calls, seed=seed)
                    found.setdefault((name, f), []).append(distance(x))
                    found["pictures"].setdefault((name, f), x[:8])
    return found


def described(smoke: bool) -> str:
    return (
        f"{named(classifiers(smoke)[0])}, without labels; autoencoders of {AE_STEPS} steps of 32, priors of "
        f"{PRIOR_STEPS} of 64; 1000 samples to {len(held_out())} held-out, 10 calls of dpmpp_2m where diffusion; "
        "classifier features, not FID"
        if not smoke
        else "smoke"
    )


def _means(found, name) -> str:
    return " ".join(f"{sum(v) / len(v):.2f}" for f in FACTORS if (v := found.get((name, f))))


def _outcome(smoke: bool, logs: list[float]) -> Outcome:
    mean, low, high = ratio_interval(logs)
    found = compressed(smoke)
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(logs), device=device(),
        notes=f"Frechet distance at f = 1, 2, 4, 8 (autoregressive 2): reconstruction {_means(found, 'floor')}; "
        + "; ".join(f"{name} {_means(found, name)}" for name in PRIORS)
        + f"; real against real {found['again']:.2f}",
        detail={"found": found},
    )  # fmt: skip


def _logs(numerator, denominator) -> list[float]:
    return [torch.tensor(max(a, 1e-6) / max(b, 1e-6)).log().item() for a, b in zip(numerator, denominator, strict=True)]


def best_in_the_middle(smoke: bool) -> Outcome:
    found = compressed(smoke)
    ends, middle = (
        [min(pair) for pair in zip(*(found["diffusion", f] for f in fs), strict=True)] for fs in ((1, 8), (2, 4))
    )
    return _outcome(smoke, _logs(ends, middle))


def above_the_floor(smoke: bool) -> Outcome:
    found = compressed(smoke)
    by_f = [_logs(found["diffusion", f], found["floor", f]) for f in FACTORS]
    return _outcome(smoke, [min(row) for row in zip(*by_f, strict=True)])


def not_a_simple_gaussian(smoke: bool) -> Outcome:
    found = compressed(smoke)
    return _outcome(smoke, _logs(found["N(0, I)", 2], found["diffusion", 2]))


# --- 4096 x 4096 in numbers ---

SIDE, CALLS = 4096, 50


def cost_of_4096(smoke: bool) -> Outcome:
    """FLOPs of one picture: 50 calls in pixels, or 50 at an eighth of the side and one of a decoder."""
    nets = {
        "U-Net": lambda c, n: UNet(c, n, None, 128, (1, 2, 2, 4), attention_at=()),
        "transformer": lambda c, n: DiT(c, n, None, 384, 12, patch=1),
        "DiT, patch 2": lambda c, n: DiT(c, n, None, 384, 12, patch=2),
    }
    with torch.device("meta"):
        once = flops(Decoder(3, 4, 8, 64), (4, SIDE // 8, SIDE // 8), others=())
        found = {
            name: (
                CALLS * flops(make(3, SIDE), (3, SIDE, SIDE)),
                CALLS * flops(make(4, SIDE // 8), (4, SIDE // 8, SIDE // 8)),
            )
            for name, make in nets.items()
        }
    ratio = found["U-Net"][0] / (found["U-Net"][1] + once)
    return Outcome(
        ratio, ratio, ratio, data="analytic counter, forward passes", seeds=0,
        notes=f"{SIDE}^2 = {SIDE**2:,} pixels; PFLOP a picture of {CALLS} calls, in pixels and in latents: "
        + "; ".join(f"{k} {a / 1e15:.3g} and {b / 1e15:.3g}" for k, (a, b) in found.items())
        + f"; the decoder, once, {once / 1e15:.3g}",
        detail={"found": found, "decoder": once},
    )  # fmt: skip


# --- a stack of two GANs, and one ---


def stacked_against_one(smoke: bool) -> Outcome:
    """Both on the same pictures without captions; a step of the stack takes 1.7 times as long, so the one makes as many
    more."""
    seeds, (steps, n) = repeats(smoke), (2, 40) if smoke else (600, 1000)
    digits, judge, teacher = classifiers(smoke)
    spread = extract(teacher, training_pictures(200))[0].std().item()
    real, rows, shown = extract(judge, held_out())[0], {"stacked": [], "one": []}, {}
    for seed in range(seeds):
        stack = seeded(lambda: StackedGAN(digits.shape, width=wide(32)), seed)
        stack.use(teacher, spread)
        models = {
            "stacked": (stack, steps),
            "one": (seeded(lambda: GAN(digits.shape, width=wide(32)), seed), round(1.7 * steps)),
        }
        for name, (model, duration) in models.items():
            model = model.to(device(), memory_format=torch.channels_last)
            model = fit_denoiser(model, lambda g: digits.batch(64, g)[0], duration, seed)
            x = generate(model, n, seed=seed).clamp(-1, 1)
            features = extract(judge, x)[0]
            rows[name].append((frechet_distance(features, real), *precision_recall(real, features)))
            shown.setdefault(name, x[:16])
    mean, low, high = ratio_interval(_logs([r[0] for r in rows["one"]], [r[0] for r in rows["stacked"]]))
    means = {k: torch.tensor(v).mean(0).tolist() for k, v in rows.items()}
    return Outcome(
        mean, low, high,
        data=f"{named(digits)}, without labels; {steps} steps of 64 for the stack, "
        f"{round(1.7 * steps)} for the one; {n} samples; features of a classifier that is not the stack's encoder",
        seeds=seeds, device=device(),
        notes="Frechet distance, precision, recall: "
        + "; ".join(f"{k} {a:.1f}, {b:.2f}, {c:.2f}" for k, (a, b, c) in means.items()),
        detail={"rows": rows, "pictures": shown},
    )  # fmt: skip


def eight_minutes_each(name: str) -> dict:
    """What tests/bench/stages.py measured on the data called `name`."""
    return bench_results(f"stages_{name}")


STAGES = 'slide "Multi-Stage Generative Models"'
COSTLY = 'slide "Directly generating..."'
SIZE = "not in the lecture: how small the first stage may make pictures"
INF = float("inf")
CLAIMS = [
    Claim("6.1", "Modelling p(x) in one stage is harder than in two", STAGES,
          "two stages come a fifth closer or more at equal FLOPs", "sliced Wasserstein, one stage over two", (1.2, INF),
          two_against_one),
    Claim("6.2", "The best autoencoder makes pictures neither as they are nor very small", SIZE,
          "the distance is U-shaped in f", "Frechet distance of diffusion, better of f = 1, 8 over better of f = 2, 4",
          (1.0, INF), best_in_the_middle),
    Claim("6.3", "No second stage comes below its autoencoder's reconstructions", SIZE,
          "at least the floor", "Frechet distance of diffusion over that of reconstructions, least of the factors",
          (1.0, INF), above_the_floor),
    Claim("6.4", "Latents have a non-trivial distribution, not a simple Gaussian", STAGES,
          "N(0, I) is at least twice as far as a learned prior", "Frechet distance at f = 2, N(0, I) over diffusion",
          (2.0, INF), not_a_simple_gaussian),
    Claim("6.5", "Directly generating high-resolution images is very costly; latents are not", COSTLY,
          "64 times fewer positions, less what the decoder costs",
          "FLOPs at 4096^2, U-Net in pixels over latents at f = 8",
          (32.0, 64.0), cost_of_4096),
    Claim("6.6", "A stack of two GANs is better than one GAN", 'slide "Stacked GANs"', "closer at equal time",
          "Frechet distance, one GAN over the stack", (1.0, INF), stacked_against_one),
]  # fmt: skip
