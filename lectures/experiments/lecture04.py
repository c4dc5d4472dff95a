"""Claims of lecture 04, noise as a style: is the noise level in the features' statistics?

Is adaptive normalisation the best place for it to enter a net? Style transfer by AdaIN, and NCSN, which has both.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, mse_loss

from minidiff import data
from minidiff.denoise import Denoiser, device_of, snr_weight
from minidiff.measure.metrics import frechet_distance
from minidiff.measure.nets import parameters
from minidiff.nets import CNN, NCSN, DiT
from minidiff.nets.layers import adain
from minidiff.samplers import langevin, last
from minidiff.schedules import VE, VP

from . import style
from .claims import Claim
from .tools import Outcome, device, fit, interval, level_error, named, pictures, ratio_interval, repeats, seeded, wide


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


# conditioning -> the MLP's width in units of the net's, so that all nets have as many parameters
MLP_RATIOS = {"none": 5.5, "token": 5.25, "add": 4.25, "scale_shift": 3.25, "adaln": 3.0, "adaln_zero": 2.0}
LEVELS = torch.logspace(-1.3, 0.7, 9)


def compare_conditionings(smoke: bool) -> Outcome:
    seeds, steps = repeats(smoke, 5), 3 if smoke else 400
    train_set, held_out = pictures("digits")
    x0, _ = held_out.batch(8 if smoke else len(held_out), torch.Generator().manual_seed(0))
    errors, sizes, like = torch.zeros(seeds, len(MLP_RATIOS), len(LEVELS)), {}, train_set.shape[:2]
    for seed in range(seeds):
        for i, (conditioning, ratio) in enumerate(MLP_RATIOS.items()):
            net = seeded(
                lambda c=conditioning, r=ratio: DiT(*like, None, wide(64), 4, conditioning=c, mlp_ratio=r), seed
            )
            sizes[conditioning] = parameters(net)
            model = Denoiser(net, VP(), "edm", data.std(train_set)).to(device())
            model = fit(model, lambda g: train_set.batch(64, g)[0], steps, seed, warmup=50)
            errors[seed, i] = level_error(model, x0, LEVELS)
    mean = errors.log().mean(2)  # (seeds, conditionings)
    names = list(MLP_RATIOS)
    best = mean[:, names.index("adaln_zero")]
    value, low, high = ratio_interval((best - mean[:, names.index("token")]).tolist())
    others = {n: ratio_interval((mean[:, i] - best).tolist()) for i, n in enumerate(names) if n != "adaln_zero"}
    return Outcome(
        value, low, high,
        data=f"{named(train_set)}, DiT of width {wide(64)}, depth 4, patch 2, {min(sizes.values()):,} to "
        f"{max(sizes.values()):,} parameters, {steps} steps of 64, EMA, held-out pictures",
        seeds=seeds, device=device(),
        notes="denoising error in that of adaln_zero: "
        + ", ".join(f"{n} {v:.3f} [{a:.3f}, {b:.3f}]" for n, (v, a, b) in others.items()),
        detail={"names": names, "errors": errors, "levels": LEVELS},
    )  # fmt: skip


def half_and_half(x0: Tensor, sigma: Tensor, generator, factor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy pictures with `factor` times the noise in one half, chosen at random of four: x, eps, the noise map."""
    b, _, h, w = x0.shape
    side, low = torch.randint(2, (b,), generator=generator), torch.randint(2, (b,), generator=generator)
    row, column = torch.arange(h)[:, None].expand(h, w) < h // 2, torch.arange(w)[None].expand(h, w) < w // 2
    half = torch.where(side[:, None, None] == 0, row, column) ^ (low[:, None, None] == 1)
    noise_map = sigma[:, None, None, None] * torch.where(half[:, None], factor, 1.0)
    eps = torch.randn(x0.shape, generator=generator)
    return x0 + noise_map * eps, eps, noise_map


def train_on_halves(conditioning: str, steps: int, seed: int, factor: float, train_set, x0: Tensor) -> float:
    """The mean squared error of eps, held out, of a CNN told the level as a style ("modulate") or as a map ("channel").

    The style is the level of the less noisy half: with `factor` both know the picture's two levels, and only the map
    says where they are.
    """
    generator = torch.Generator().manual_seed(seed)
    net = seeded(lambda: CNN(x0.shape[1], None, wide(32), 8, norm="group", conditioning=conditioning), seed)
    net = net.to(device(), memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0)

    def error(clean, generator):
        sigma = torch.exp(torch.empty(len(clean)).uniform_(-3.0, 0.5, generator=generator))
        x, eps, noise_map = half_and_half(clean, sigma, generator, factor)
        level = (noise_map if conditioning == "channel" else sigma).log() / 4
        x = x / (x.square().mean((1, 2, 3), keepdim=True)).sqrt()
        return mse_loss(net(x.to(device()), level.to(device())), eps.to(device()))

    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 - 2 * step / steps)  # constant, then to 0 over the second half
        loss = error(train_set.batch(64, generator)[0], generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return error(x0.repeat(8, 1, 1, 1), torch.Generator().manual_seed(99)).item()


def style_or_map(smoke: bool) -> Outcome:
    seeds, steps = repeats(smoke), 3 if smoke else 600
    train_set, held_out = pictures("digits")
    x0, _ = held_out.batch(8 if smoke else len(held_out), torch.Generator().manual_seed(0))
    found = torch.tensor(
        [
            [[train_on_halves(c, steps, seed, factor, train_set, x0) for c in ("modulate", "channel")]
             for factor in (2.0, 1.0)]
            for seed in range(seeds)
        ]
    )  # fmt: skip
    ratio = (found[..., 0] / found[..., 1]).log()
    value, low, high = ratio_interval(ratio[:, 0].tolist())
    same = ratio_interval(ratio[:, 1].tolist())
    return Outcome(
        value, low, high,
        data=f"{named(train_set)}, CNN of width {wide(32)} and 8 convolutions, {steps} steps of 64, held-out pictures",
        seeds=seeds, device=device(),
        notes=f"error of eps with two levels: style {found[:, 0, 0].mean():.4f}, map {found[:, 0, 1].mean():.4f}; with "
        f"one level everywhere, style over map {same[0]:.3f} [{same[1]:.3f}, {same[2]:.3f}]",
        detail={"found": found},
    )  # fmt: skip


def style_moves_content_stays(smoke: bool) -> Outcome:
    seeds, (steps, n) = repeats(smoke), (4, 4) if smoke else (600, 128)
    train_set, held_out = pictures("photos")
    other = len(held_out) // 2  # where the photos' second class begins
    content, style_pictures = (held_out.at(first + torch.arange(n)).to(device()) for first in (0, other))
    closed, kept, exact, shown, first = [], [], 0.0, None, None
    for seed in range(seeds):
        net = style.train_autoencoder(train_set, steps, seed=seed, device=device())
        out = style.transfer(net, content, style_pictures)
        a, b, c = (style.statistics(net.encode(v)) for v in (content, style_pictures, out))
        closed.append(1 - ((c - b).norm() / (a - b).norm()).item())
        features = [net.encode(v) for v in (content, style_pictures, out)]
        mixed = adain(features[0], features[1])
        exact = max(exact, ((style.statistics(mixed) - b).abs().mean() / b.abs().mean()).item())
        flat = [
            ((f - f.mean((2, 3), keepdim=True)) / (f.std((2, 3), keepdim=True) + 1e-3)).flatten(1) for f in features
        ]
        kept.append([torch.cosine_similarity(flat[2], flat[k]).mean().item() for k in (0, 1)])
        shown = shown or [
            x.cpu() for x in (content, style_pictures, style.transfer(net, content, style_pictures, 0.0), out)
        ]
        first = first or net.cpu()
    value, low, high = interval(closed)
    kept = torch.tensor(kept).mean(0).tolist()
    return Outcome(
        value, low, high,
        data=f"{named(train_set)}, {n} held-out pictures (of the photos, of the temple) in the style of {n} others (of "
        f"the flower), autoencoder trained {steps} steps",
        seeds=seeds, device=device(),
        notes=f"AdaIN's own output misses the style's statistics by {exact:.1%} (channels that are 0 all over a crop); "
        f"after decoding and encoding again the normalised features correlate {kept[0]:.2f} with the content's and "
        f"{kept[1]:.2f} with the style's",
        detail={"pictures": shown, "net": first},
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
    model = Denoiser(net, VE(), "score", data.std(train_set)).to(device(), memory_format=torch.channels_last)
    draw = lambda g: train_set.batch(64, g)[0]  # noqa: E731
    return fit(model, draw, steps, seed, times=times, weight=snr_weight, warmup=50)


def annealed_or_one_level(smoke: bool) -> Outcome:
    seeds, (steps, moves) = repeats(smoke), (3, 1) if smoke else (800, 15)
    train_set, held_out = pictures("digits")
    real, _ = held_out.batch(8 if smoke else len(held_out), torch.Generator().manual_seed(0))
    again, _ = train_set.batch(len(real), torch.Generator().manual_seed(1))
    levels, rows, shown = ladder(), [], None
    single = (9, 6, 3)  # the lowest level, and two higher ones
    for seed in range(seeds):
        model = ncsn(steps, seed, train_set)
        times, generator = model.schedule.time(-2 * levels.log()), torch.Generator().manual_seed(seed)
        x = torch.randn(real.shape, generator=generator).to(device())
        with torch.no_grad():
            samples = [last(langevin(model, x, times, steps=moves, generator=generator))]
            for i in single:
                samples.append(last(langevin(model, x, times[i : i + 1], steps=10 * moves, generator=generator)))
        samples = [s.cpu() for s in samples]
        rows.append([frechet_distance(s.flatten(1), real.flatten(1)) for s in samples])
        shown = shown or samples
    far = torch.tensor(rows)
    value, low, high = ratio_interval((far[:, 1] / far[:, 0]).log().tolist())
    return Outcome(
        value, low, high,
        data=f"{named(train_set)}, NCSN of width {wide(32)}, {steps} steps of 64, {len(real)} samples, "
        f"{10 * moves} calls, raw pixels",
        seeds=seeds, device=device(),
        notes=f"distance annealed {far[:, 0].mean():.2f}; at one level "
        + ", ".join(f"{levels[i]:.2g}: {far[:, 1 + k].mean():.2f}" for k, i in enumerate(single))
        + f"; real against real {frechet_distance(again.flatten(1), real.flatten(1)):.2f}",
        detail={"far": far, "pictures": shown, "single": [levels[i].item() for i in single]},
    )  # fmt: skip


INF = float("inf")
STYLE = 'slide "Noise as a style": "Noise level is a global property of the image that can be captured by feature '
STYLE += 'statistics"'

CLAIMS = [
    Claim(
        "4.1",
        "The noise level is captured by the statistics of features, even random ones",
        STYLE,
        "channel means and deviations of 16 random filters predict log sigma with R^2 above .98 at 32x32",
        "R^2 of log sigma, linear in the statistics, at 32x32",
        (0.98, 1.0),
        level_is_in_the_statistics,
    ),
    Claim(
        "4.2",
        "Adaptive layer norm, gated from zero, is the best way to tell a transformer the noise level",
        'slides "Adaptive Normalization" and "Diffusion Transformer"',
        "adaLN-Zero has at most .97 of the denoising error of an in-context token, at equal parameters",
        "denoising error of adaLN-Zero over that of the token",
        (-INF, 0.97),
        compare_conditionings,
    ),
    Claim(
        "4.3",
        "A style is global: with two noise levels in one picture it loses to a map of them",
        STYLE,
        "told as a style the error of eps is at least 1.05 times that told as a map",
        "error of eps, style over map, half the picture at twice the noise",
        (1.05, INF),
        style_or_map,
    ),
    Claim(
        "4.4",
        "AdaIN moves the style and keeps the content",
        'slide "Style Transfer": AdaIN(x, y)',
        "the stylised picture's own features have closed at least half of the distance to the style's statistics",
        "1 - distance to the style's statistics after over before",
        (0.5, 1.0),
        style_moves_content_stays,
    ),
    Claim(
        "4.5",
        "NCSN samples by annealing the noise level; at its lowest level alone Langevin dynamics gets nowhere",
        'slide "Noise as a style": NCSN on CIFAR-10',
        "at equal calls the pixel Frechet distance of one level is at least twice that of annealing",
        "distance at the lowest level over annealed",
        (2.0, INF),
        annealed_or_one_level,
    ),
]
