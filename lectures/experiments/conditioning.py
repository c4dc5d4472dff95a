"""How a net is told the noise level: the experiments of lecture 04 that train one net for each way.

In a transformer six ways, in a U-Net adaptive group norm or addition, and in a CNN a style or a map of levels.
"""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from minidiff import data
from minidiff.denoise import Denoiser
from minidiff.measure.nets import parameters
from minidiff.nets import CNN, DiT, UNet
from minidiff.schedules import VP

from . import tools
from .tools import (
    Outcome,
    denoising_error,
    device,
    fit,
    in_parallel,
    level_error,
    named,
    pictures,
    ratio_interval,
    seeded,
    wide,
)

# conditioning -> the MLP's width in units of the net's, so that all nets have as many parameters
MLP_RATIOS = {"none": 5.5, "token": 5.25, "add": 4.25, "scale_shift": 3.25, "adaln": 3.0, "adaln_zero": 2.0}
LEVELS = torch.logspace(-1.3, 0.7, 9)


def compare_conditionings(smoke: bool) -> Outcome:
    seeds, steps = tools.repeats(smoke), 3 if smoke else 400
    train_set, held_out = pictures("digits")
    x0, _ = held_out.batch(8 if smoke else len(held_out), torch.Generator().manual_seed(0))
    names = list(MLP_RATIOS)

    def net(name, seed=0):
        options = {"conditioning": name, "mlp_ratio": MLP_RATIOS[name]}
        return seeded(lambda: DiT(*train_set.shape[:2], None, wide(64), 4, **options), seed)

    def error(seed, name):
        model = Denoiser(net(name, seed), VP(), "edm", data.std(train_set)).to(device())
        model = fit(model, lambda g: train_set.batch(64, g)[0], steps, seed, warmup=50)
        return level_error(model, x0, LEVELS)

    errors = torch.stack(in_parallel(error, range(seeds), names)).unflatten(0, (seeds, len(names)))
    mean, sizes = errors.log().mean(2), [parameters(net(name)) for name in names]  # mean: (seeds, conditionings)
    best = mean[:, names.index("adaln_zero")]
    value, low, high = ratio_interval((best - mean[:, names.index("token")]).tolist())
    others = {n: ratio_interval((mean[:, i] - best).tolist()) for i, n in enumerate(names) if n != "adaln_zero"}
    return Outcome(
        value, low, high,
        data=f"{named(train_set)}, DiT of width {wide(64)}, depth 4, patch 2, {min(sizes):,} to "
        f"{max(sizes):,} parameters, {steps} steps of 64, EMA, held-out pictures",
        seeds=seeds, device=device(),
        notes="denoising error in that of adaln_zero: "
        + ", ".join(f"{n} {v:.3f} [{a:.3f}, {b:.3f}]" for n, (v, a, b) in others.items()),
        detail={"names": names, "errors": errors, "levels": LEVELS},
    )  # fmt: skip


WIDTHS = {"modulate": 44, "add": 46}  # as many parameters, to 2%


def adagn_or_addition(smoke: bool) -> Outcome:
    """A U-Net with labels whose embedding sets the second norm of each block (AdaGN), or is added before it."""
    seeds, steps = tools.repeats(smoke), 3 if smoke else 200
    train_set, held_out = pictures("digits")
    x0, labels = (
        v.to(device()) for v in held_out.batch(8 if smoke else len(held_out), torch.Generator().manual_seed(0))
    )

    def net(how, seed=0):
        return seeded(lambda: UNet(*train_set.shape[:2], 10, wide(WIDTHS[how]), (1, 1), conditioning=how), seed)

    def error(seed, how):
        model = Denoiser(net(how, seed), VP(), "edm", data.std(train_set))
        model = fit(model.to(device()), lambda g: train_set.batch(64, g), steps, seed, warmup=50, p_uncond=0.0)
        return denoising_error(model, x0, LEVELS, labels, torch.Generator().manual_seed(0)).cpu()

    errors = torch.stack(in_parallel(error, range(seeds), WIDTHS)).unflatten(0, (seeds, 2))
    sizes = [parameters(net(how)) for how in WIDTHS]
    logs = errors[:, 0].log() - errors[:, 1].log()
    each = ", ".join(f"{s:.2g}: {r:.3f}" for s, r in zip(LEVELS.tolist(), logs.mean(0).exp().tolist(), strict=True))
    return Outcome(
        *ratio_interval(logs.mean(1).tolist()),
        data=f"{named(train_set)} with labels, U-Net of {sizes[0]:,} (AdaGN) and {sizes[1]:,} parameters (addition), "
        f"{steps} steps of 64, EMA, held-out pictures",
        seeds=seeds, device=device(),
        notes=f"the ratio by noise level sigma/alpha, {each}",
        detail={"errors": errors, "levels": LEVELS},
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
    seeds, steps = tools.repeats(smoke), 3 if smoke else 450
    train_set, held_out = pictures("digits")
    x0, _ = held_out.batch(8 if smoke else len(held_out), torch.Generator().manual_seed(0))

    def error(seed, factor, how):
        return train_on_halves(how, steps, seed, factor, train_set, x0)

    found = torch.tensor(in_parallel(error, range(seeds), (2.0, 1.0), ("modulate", "channel"))).view(seeds, 2, 2)
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
