"""Claims of lecture 04, noise as a style: is the noise level in the features' statistics?

Is adaptive normalisation the best place for it to enter a net? Style transfer by AdaIN, style mixing, and NCSN.
"""

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from minidiff import data
from minidiff.denoise import WEIGHTINGS, Denoiser, device_of
from minidiff.measure.metrics import frechet_distance
from minidiff.nets import NCSN
from minidiff.nets.layers import adain
from minidiff.samplers import langevin, last
from minidiff.schedules import VE
from minidiff.stages.gan import GAN, noise

from . import style
from .claims import Claim
from .conditioning import adagn_or_addition, compare_conditionings, style_or_map
from .tools import (
    Outcome,
    device,
    fit,
    in_parallel,
    interval,
    named,
    pictures,
    ratio_interval,
    repeats,
    seeded,
    share_interval,
    wide,
)

# by whether it is a smoke run: steps of training, and pairs of styles, pictures, or moves at a level
MIXED = {False: (1200, 1000), True: (2, 20)}
MOVED = {False: (450, 128), True: (4, 4)}
DRAWN = {False: (600, 10), True: (3, 1)}
SINGLE = (9, 6, 3)  # of NCSN's levels the lowest, and two higher ones


def level_statistics(pictures: Tensor, seed: int, normalise: bool, least: float = 0.02) -> tuple[Tensor, Tensor]:
    """Each channel's mean and log deviation over random 3x3 convolutions of noisy pictures (N, 32), and log sigma (N,).

    sigma is log-uniform from `least` to 2. `normalise` divides each picture by its level's deviation, as
    a Denoiser does.
    """
    generator = torch.Generator().manual_seed(seed)
    sigma = torch.exp(torch.empty(len(pictures)).uniform_(math.log(least), math.log(2), generator=generator))
    x = pictures + sigma[:, None, None, None] * torch.randn(pictures.shape, generator=generator)
    if normalise:
        x = x / (sigma**2 + pictures.var()).sqrt()[:, None, None, None]
    weight = torch.randn(16, pictures.shape[1], 3, 3, generator=generator) / 3
    features = conv2d(x, weight).relu()
    return torch.cat([features.mean((2, 3)), (features.std((2, 3)) + 1e-3).log()], 1), sigma.log()


def r_squared(pictures: Tensor, seed: int, normalise: bool = False, least: float = 0.02) -> float:
    """Of log sigma, linear in level_statistics: fitted on the first three quarters, measured on the rest."""
    x, y = level_statistics(pictures, seed, normalise, least)
    x = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    y, cut = y.double(), 3 * len(x) // 4
    w = torch.linalg.lstsq(x[:cut], y[:cut, None]).solution[:, 0]
    return 1 - ((x[cut:] @ w - y[cut:]).square().mean() / y[cut:].var()).item()


def level_is_in_the_statistics(smoke: bool) -> Outcome:
    seeds, n = (2, 200) if smoke else (5, 1436)
    photos, digits = (data.load(name).batch(n, torch.Generator().manual_seed(0))[0] for name in ("photos", "digits"))
    grey = photos.mean(1, keepdim=True)
    sets = {"32x32": grey, "16x16": grey[..., 8:24, 8:24], "8x8": grey[..., 12:20, 12:20], "digits 8x8": digits}
    found = {k: [r_squared(v, s) for s in range(seeds)] for k, v in sets.items()}
    other = {k: sum(r_squared(v, s, True) for s in range(seeds)) / seeds for k, v in sets.items()}
    loud = sum(r_squared(grey, s, least=0.2) for s in range(seeds)) / seeds
    mean, low, high = interval(found["32x32"])
    return Outcome(
        mean, low, high,
        data=f"{n} grey crops of photos and their middles, digits; 16 random 3x3 filters, relu; sigma .02 to 2",
        seeds=seeds,
        notes="R^2 by size: "
        + ", ".join(f"{k} {sum(v) / seeds:.3f} (input normalised: {other[k]:.3f})" for k, v in found.items())
        + f"; at 32x32 with sigma from .2 only: {loud:.3f}",
        detail={"sets": sets, "found": found},
    )  # fmt: skip


def style_gan(train_set, steps: int, seed: int) -> GAN:
    """A GAN with a style generator: three layers of styles for 32 pixels, at 4, 8 and 16."""
    model = seeded(lambda: GAN(train_set.shape, width=wide(16), generator="style"), seed).to(device())
    return fit(model, lambda g: train_set.batch(32, g)[0], steps, seed, lr=2e-3)


@functools.cache
def by_seed(smoke: bool) -> dict:
    """What `mixed`, `drawn` and `moved` return, a list over the seeds by each. All are trained in one call, the longest
    first, so that two cores end together."""
    parts, seeds = (mixed, drawn, moved), repeats(smoke)
    found = in_parallel(lambda part, seed: part(smoke, seed), parts, range(seeds))
    return {part: found[i * seeds : (i + 1) * seeds] for i, part in enumerate(parts)}


def mixed(smoke: bool, seed: int) -> tuple[list[float], GAN]:
    """Mix pairs of styles, the last of three layers from the other: in what shares is the mixture's colour nearer to the
    fine style's, its layout to the coarse style's? And the GAN."""
    steps, n = MIXED[smoke]
    model, generator = style_gan(pictures("photos")[0], steps, seed), torch.Generator().manual_seed(seed)
    a, b = (noise(n, model, generator) for _ in range(2))
    with torch.no_grad():
        found = [style.mix(model.generator, *pair, 2) for pair in ((a, b), (a, a), (b, b))]
    (colour, layout), (colour_a, layout_a), (colour_b, layout_b) = (style.colour_and_layout(x) for x in found)
    fine = (colour - colour_b).norm(dim=1) < (colour - colour_a).norm(dim=1)
    coarse = (layout * layout_a).sum(1) > (layout * layout_b).sum(1)
    return [fine.float().mean().item(), coarse.float().mean().item()], model.cpu()


def mixed_styles(smoke: bool) -> Outcome:
    """Whose colours has a mixture of two styles, and whose layout?"""
    (shares, nets), (steps, n) = zip(*by_seed(smoke)[mixed], strict=True), MIXED[smoke]
    value, low, high = share_interval([min(s) for s in shares])
    return Outcome(
        value, low, high,
        data=f"{named(pictures('photos')[0])}, style GAN, {steps} steps of 32, {n} pairs of styles",
        seeds=len(shares), device=device(),
        notes="the mixture's mean colour is nearer to that of the fine layers' style in "
        + ", ".join(f"{s[0]:.2f}" for s in shares)
        + " of the pairs (by seed), its layout nearer to that of the coarse layers' in "
        + ", ".join(f"{s[1]:.2f}" for s in shares),
        detail={"shares": shares, "net": nets[0]},
    )  # fmt: skip


def moved(smoke: bool, seed: int) -> tuple:
    """Of style transfer by AdaIN, on held-out pictures: how much of the distance to the style's statistics it closes; how
    its normalised features correlate with the content's and the style's; by how much AdaIN's own output misses the
    style's statistics; pictures; and the net."""
    steps, n = MOVED[smoke]
    train_set, held_out = pictures("photos")
    other = len(held_out) // 2  # where the photos' second class begins
    content, style_pictures = (held_out.at(first + torch.arange(n)).to(device()) for first in (0, other))
    net = style.train_autoencoder(train_set, steps, seed=seed, device=device())
    out = style.transfer(net, content, style_pictures)
    features = [net.encode(v) for v in (content, style_pictures, out)]
    a, b, c = map(style.statistics, features)
    closed = 1 - ((c - b).norm() / (a - b).norm()).item()
    mixture = adain(features[0], features[1])
    missed = ((style.statistics(mixture) - b).abs().mean() / b.abs().mean()).item()
    flat = [((f - f.mean((2, 3), keepdim=True)) / (f.std((2, 3), keepdim=True) + 1e-3)).flatten(1) for f in features]
    kept = [torch.cosine_similarity(flat[2], flat[k]).mean().item() for k in (0, 1)]
    shown = [x.cpu() for x in (content, style_pictures, style.transfer(net, content, style_pictures, 0.0), out)]
    return closed, kept, missed, shown, net.cpu()


def style_moves_content_stays(smoke: bool) -> Outcome:
    (closed, kept, missed, shown, nets), (steps, n) = zip(*by_seed(smoke)[moved], strict=True), MOVED[smoke]
    value, low, high = interval(closed)
    kept = torch.tensor(kept).mean(0).tolist()
    return Outcome(
        value, low, high,
        data=f"{named(pictures('photos')[0])}, {n} held-out pictures (of the photos, of the temple) in the style of {n} others (of "
        f"the flower), autoencoder trained {steps} steps",
        seeds=len(closed), device=device(),
        notes=f"AdaIN's own output misses the style's statistics by {max(missed):.1%} (channels that are 0 all over a crop); "
        f"after decoding and encoding again the normalised features correlate {kept[0]:.2f} with the content's and "
        f"{kept[1]:.2f} with the style's",
        detail={"pictures": shown[0], "net": nets[0]},
    )  # fmt: skip


def ladder(levels: int = 10) -> Tensor:
    """NCSN's noise levels: geometric, from 1 to .01 (Song and Ermon 2019, section 5)."""
    return torch.logspace(0, -2, levels)


def ncsn(steps: int, seed: int, train_set) -> Denoiser:
    """NCSN in small with its own objective: scores at the ladder's levels, weighted by sigma^2 (their equation 6)."""
    levels = ladder()

    def times(n, schedule, generator=None):
        index = torch.randint(len(levels), (n,), generator=generator, device=device_of(generator))
        return schedule.time(-2 * levels.log()).to(index.device)[index]

    net = seeded(lambda: NCSN(train_set.shape[0], None, wide(32)), seed)
    model = Denoiser(net, VE(), "score", data.std(train_set)).to(device())
    draw = lambda g: train_set.batch(64, g)[0]  # noqa: E731
    return fit(model, draw, steps, seed, times=times, weight=WEIGHTINGS["snr"], warmup=50)


def held_out_digits(smoke: bool) -> Tensor:
    """Held-out digits, with as many of which samples are compared."""
    digits = pictures("digits")[1]
    return digits.batch(8 if smoke else len(digits), torch.Generator().manual_seed(0))[0]


def drawn(smoke: bool, seed: int) -> list[Tensor]:
    """NCSN's samples: annealed, and in as many calls at each of the levels SINGLE alone."""
    steps, moves = DRAWN[smoke]
    model = ncsn(steps, seed, pictures("digits")[0])
    times, generator = model.schedule.time(-2 * ladder().log()), torch.Generator().manual_seed(seed)
    x = torch.randn(held_out_digits(smoke).shape, generator=generator).to(device())
    with torch.no_grad():
        samples = [last(langevin(model, x, times, steps=moves, generator=generator))]
        for i in SINGLE:
            samples.append(last(langevin(model, x, times[i : i + 1], steps=10 * moves, generator=generator)))
    return [s.cpu() for s in samples]


def annealed_or_one_level(smoke: bool) -> Outcome:
    found, (steps, moves), levels = by_seed(smoke)[drawn], DRAWN[smoke], ladder()
    train_set, real = pictures("digits")[0], held_out_digits(smoke)
    again, _ = train_set.batch(len(real), torch.Generator().manual_seed(1))
    far = torch.tensor([[frechet_distance(s.flatten(1), real.flatten(1)) for s in samples] for samples in found])
    value, low, high = ratio_interval((far[:, 1] / far[:, 0]).log().tolist())
    return Outcome(
        value, low, high,
        data=f"{named(train_set)}, NCSN of width {wide(32)}, {steps} steps of 64, {len(real)} samples, "
        f"{10 * moves} calls, raw pixels",
        seeds=len(found), device=device(),
        notes=f"distance annealed {far[:, 0].mean():.2f}; at one level "
        + ", ".join(f"{levels[i]:.2g}: {far[:, 1 + k].mean():.2f}" for k, i in enumerate(SINGLE))
        + f"; real against real {frechet_distance(again.flatten(1), real.flatten(1)):.2f}",
        detail={"far": far, "pictures": found[0], "single": [levels[i].item() for i in SINGLE]},
    )  # fmt: skip


INF = float("inf")
STYLE = 'slide "Noise as a style": "Noise level is a global property of the image that can be captured by feature '
STYLE += 'statistics"'
LONG = "on a slow machine of two cores the lecture took twelve minutes: now "

CLAIMS = [
    Claim(
        "4.1",
        "The noise level is captured by the statistics of features, even random ones",
        STYLE,
        "channel means and deviations of 16 random filters predict log sigma with R^2 above .98 at 32x32",
        "R^2 of log sigma, linear in the statistics, at 32x32",
        (0.98, 1.0),
        level_is_in_the_statistics,
        says=(0.5, 1.0),
    ),
    Claim(
        "4.2",
        "Adaptive layer norm, gated from zero, tells a transformer the noise level better than a token does",
        'slides "Adaptive Normalization" and "Diffusion Transformer"',
        "adaLN-Zero has at most .97 of the denoising error of an in-context token, at equal parameters",
        "denoising error of adaLN-Zero over that of the token",
        (-INF, 0.97),
        compare_conditionings,
        says=(0.0, 1.0),
    ),
    Claim(
        "4.3",
        "A style is global: with two noise levels in one picture it loses to a map of them",
        STYLE,
        "with the level as a style the error of eps is at least 1.05 times that with a map",
        "error of eps, style over map, half the picture at twice the noise",
        (1.05, INF),
        style_or_map,
        says=(1.0, INF),
        why_anew=LONG + "450 steps and not 600",
    ),
    Claim(
        "4.4",
        "AdaIN moves the style and keeps the content",
        'slide "Style Transfer": AdaIN(x, y)',
        "the stylised picture's own features have closed at least half of the distance to the style's statistics",
        "1 - distance to the style's statistics after over before",
        (0.5, 1.0),
        style_moves_content_stays,
        says=(0.0, 1.0),
        why_anew=LONG + "450 steps and not 600",
    ),
    Claim(
        "4.5",
        "NCSN samples by annealing the noise level; at its lowest level alone Langevin dynamics gets nowhere",
        'slide "Noise as a style": NCSN on CIFAR-10',
        "at equal calls the pixel Fréchet distance of one level is at least twice that of annealing",
        "distance at the lowest level over annealed",
        (2.0, INF),
        annealed_or_one_level,
        says=(1.0, INF),
        why_anew=LONG + "600 steps and not 800, 100 calls and not 150",
    ),
    Claim(
        "4.6",
        "Adaptive group norm is a better way into a U-Net than addition",
        'slide "Adaptive (Instance -> Group) Normalization"; ADM, table 3: FID 13.06 against 15.08',
        "with labels and at equal parameters AdaGN has .95 to .99 of the denoising error of addition",
        "denoising error of AdaGN over that of addition",
        (0.95, 0.99),
        adagn_or_addition,
        says=(0.0, 1.0),
        why_anew=LONG + "200 steps and not 250",
    ),
    Claim(
        "4.7",
        "In a style generator coarse layers' styles set the layout, fine layers' the colours",
        "slide of faces that do not exist (StyleGAN)",
        "with the last of three layers for the fine one both hold in at least .7 of the mixtures, for the rarer of the two",
        "share of pairs, the smaller of two: colour nearer to the fine style's, layout nearer to the coarse style's",
        (0.7, 1.0),
        mixed_styles,
        says=(0.5, 1.0),
    ),
]
