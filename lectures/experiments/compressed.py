"""Lecture 06: every prior on every autoencoder of the digits. How small may pictures become, and what draws latents best?

In gpu mode the pictures are CIFAR-10's.
"""

import functools

import torch
from torch import Tensor

from minidiff.measure import classifier
from minidiff.measure.classifier import extract
from minidiff.measure.metrics import frechet_distance, psnr
from minidiff.nets import DiT
from minidiff.run.config import Diffusion
from minidiff.run.generate import generate
from minidiff.run.models import DiffusionModel
from minidiff.stages import GAN, Autoencoder, Causal, Latents, perceptual
from minidiff.stages.autoencoder import reconstruct
from minidiff.stages.latent import STD
from minidiff.stages.priors import Gaussian, Mixture, fit
from minidiff.stages.vq import usage

from .tools import device, in_parallel, named, pictures, repeats, seeded, wide
from .tools import fit as fit_denoiser

FACTORS = (1, 2, 4, 8)
PRIORS = ("N(0, I)", "Gaussian", "mixture", "GAN", "autoregressive", "diffusion")
AE_STEPS, PRIOR_STEPS, CODES = 500, 400, 128
BY_TWO = (2, None), (2, CODES)  # kinds of autoencoders: the factor and the codebook's size
BY_OTHERS = (1, None), (4, None), (8, None)


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


def distance(x: Tensor, smoke: bool) -> float:
    """The Frechet distance of pictures x to the held-out ones."""
    _, judge, _ = classifiers(smoke)
    return frechet_distance(extract(judge, x.clamp(-1, 1))[0], extract(judge, held_out())[0])


def autoencoder(f: int, codes: int | None, seed: int, smoke: bool) -> Autoencoder:
    """One trained for some seconds."""
    digits, _, teacher = classifiers(smoke)
    net = seeded(lambda: Autoencoder(digits.shape, f, 8 if codes else 4, wide(32), codes), seed)
    net.perceptual = perceptual.distance(teacher.requires_grad_(False).maps)
    net = fit_denoiser(net.to(device()), lambda g: digits.batch(32, g)[0], 2 if smoke else AE_STEPS, seed, lr=2e-3)
    net.perceptual = None  # only training needs it
    return net


@functools.cache
def autoencoders(smoke: bool, kinds: tuple = BY_TWO) -> dict[tuple, Autoencoder]:
    """(factor, codebook's size or None, seed) -> one, of these kinds."""
    classifiers(smoke)  # trained here, if they are not yet: all processes read the same
    keys = [(*kind, seed) for kind in kinds for seed in range(repeats(smoke))]
    return dict(zip(keys, in_parallel(lambda key: autoencoder(*key, smoke), keys), strict=True))


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


def pictures_of(name: str, latents: Latents, net: Autoencoder, n: int, seed: int, smoke: bool) -> Tensor:
    """n pictures by a prior fitted to latents, and the decoder."""
    prior, lr = prior_of(name, latents.shape, seed).to(device()), 2e-3 if name == "diffusion" else 1e-3
    model = fit(prior, latents, net, 2 if smoke else PRIOR_STEPS, seed=seed, lr=lr)
    return generate(model, n, steps=2 if smoke else 10, seed=seed)


@functools.cache
def compressed(smoke: bool) -> dict:
    """(prior, f) -> the Frechet distance a seed, and "floor", "again" and "pictures": every prior on every autoencoder.

    The tokens of the autoregressive prior come from an autoencoder of its own, with a codebook.
    """
    n = 10 if smoke else 1000
    found = {"again": distance(training_pictures(n), smoke), "pictures": {("real", 1): training_pictures(8)}}
    digits, _, _ = classifiers(smoke)
    train_on = digits.at(torch.arange(100 if smoke else len(digits)))

    def measured(kind, net):
        f, codes, seed = kind
        z, x = reconstruct(net, train_on)[1], training_pictures(n)
        latents = Latents("latents", z, None, [], None, 1.0 if codes else STD / z.std().item())
        back, index = reconstruct(net, x)
        suffix = " with codes" if codes else ""
        numbers = {"floor" + suffix: distance(back, smoke), "PSNR" + suffix: psnr(x, back)}
        numbers |= {"usage": usage(index, codes)[0]} if codes else {}
        shown = {"reconstructed" + suffix: back[:8]}
        for name in PRIORS:
            if (name == "autoregressive") == bool(codes):
                x = pictures_of(name, latents, net, n, seed, smoke)
                numbers[name], shown[name] = distance(x, smoke), x[:8]
        return f, numbers, shown

    nets = autoencoders(smoke) | autoencoders(smoke, BY_OTHERS)
    for f, numbers, shown in in_parallel(lambda pair: measured(*pair), nets.items()):
        for name, value in numbers.items():
            found.setdefault((name, f), []).append(value)
        for name, x in shown.items():
            found["pictures"].setdefault((name, f), x)
    return found


def described(smoke: bool) -> str:
    return (
        f"{named(classifiers(smoke)[0])}, without labels; autoencoders of {AE_STEPS} steps of 32, priors of "
        f"{PRIOR_STEPS} of 64; 1000 samples to {len(held_out())} held-out, 10 calls of dpmpp_2m where diffusion; "
        "classifier features, not FID"
        if not smoke
        else "smoke"
    )
