"""Networks that are told the noise level and networks that are blind to it, alike in all else: lecture 03's."""

import math
from functools import cache

import torch
from torch import Tensor, nn

from minidiff.denoise import Denoiser, uniform_times
from minidiff.measure.metrics import frechet_distance
from minidiff.measure.nets import parameters
from minidiff.nets import DiT
from minidiff.nets.layers import Fourier
from minidiff.schedules import Linear
from minidiff.train import new_state, train

from . import tools
from .tools import Outcome, in_parallel, level_error, pixel_distance, ratio_interval, seeded

LEVELS = torch.logspace(-1.3, 0.7, 9)  # sigma / alpha from .05 to 5
LEARNED = ("eps", "v", "flow")


class Net(nn.Module):
    """x (B, ...), c_noise (B,) -> like x: a residual MLP. Told, it reads 12 features of the level beside x; blind, x
    alone. That is 1 to 2% of its parameters."""

    def __init__(self, dim: int, told: bool, width: int = 256, depth: int = 3):
        super().__init__()
        self.features = Fourier(math.pi / 2 * 2.0 ** torch.arange(6)) if told else None
        self.enter = nn.Linear(dim + 12 * told, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.leave = nn.Linear(width, dim)

    def forward(self, x, c_noise, cond=None):
        flat = x.flatten(1)
        h = self.enter(flat if self.features is None else torch.cat([flat, self.features(c_noise)], 1))
        for block in self.blocks:
            h = h + block(h)
        return (flat + self.leave(h)).view(x.shape)


class Raw(Denoiser):
    """A Denoiser whose network gets x_t as it is. Scaled by c_in(t), it would give the level away."""

    def output(self, x_t, t, cond=None):
        alpha, sigma = self.schedule(t)
        return self.net(x_t, (torch.log(sigma / alpha) / 4).expand(len(x_t)), None)


def snapshots(model, draw, marks: tuple[int, ...], seed: int, look) -> Tensor:
    """Train a Raw model on draw(generator) -> x0, its times uniform; look(EMA) at each of the steps `marks`, stacked."""
    state = new_state(model, seed)
    batches = (draw(state.generator) for _ in range(marks[-1]))
    return torch.stack([
        torch.as_tensor(look(step.ema))
        for step in train(model, batches, marks[-1], state=state, times=uniform_times, warmup=50)
        if step.step in marks
    ])  # fmt: skip


@cache
def digits_grid(smoke: bool) -> dict:
    """Train {blind, told} x {eps, v, flow} on the digits: pixel Frechet distances and geometric means of denoising
    errors, each (seeds, 2, targets, marks)."""
    seeds, marks, batch = tools.repeats(smoke), (1, 2) if smoke else (250, 500, 1000, 2000), 128
    train_set, held_out = tools.pictures("digits", gpu_size=8)
    real, again = held_out.at(torch.arange(len(held_out))), train_set.at(torch.arange(len(held_out)))

    def net(told, seed=0):
        return seeded(lambda: Net(math.prod(train_set.shape), told, tools.wide(256)), seed)

    def learned(seed, told, target):
        model = Raw(net(told, seed), Linear(), target).to(tools.device())

        def look(ema):
            near = pixel_distance(ema, real[:16] if smoke else real, seed, 2 if smoke else 50)
            return near, level_error(ema, real, LEVELS).log().mean().exp()

        return snapshots(model, lambda g: train_set.batch(batch, g)[0], marks, seed, look).T

    lists = range(seeds), (False, True), LEARNED
    far, error = torch.stack(in_parallel(learned, *lists), 1).unflatten(1, tuple(map(len, lists)))
    sizes = [parameters(net(told)) for told in (False, True)]
    return {
        "far": far, "error": error, "marks": marks, "floor": frechet_distance(again.flatten(1), real.flatten(1)),
        "data": f"{tools.named(train_set)}, MLPs of {sizes[0]:,} (blind) and {sizes[1]:,} parameters, raw x_t, linear "
        f"path, {marks[-1]} steps of {batch}, EMA, {len(real)} samples by dpmpp_2m in 50 calls, raw pixels",
    }  # fmt: skip


def on_digits(smoke: bool, target: str) -> Outcome:
    found = digits_grid(smoke)
    far, error, marks = found["far"], found["error"], found["marks"]
    ratio = (far[:, 0] / far[:, 1]).log()  # (seeds, targets, marks), blind over told
    table = "; ".join(
        f"{name}: blind {', '.join(f'{v:.1f}' for v in far[:, 0, j].mean(0))}, told "
        f"{', '.join(f'{v:.1f}' for v in far[:, 1, j].mean(0))}, denoising error blind over told at the end "
        f"{(error[:, 0, j, -1] / error[:, 1, j, -1]).log().mean().exp():.3f}"
        for j, name in enumerate(LEARNED)
    )
    return Outcome(
        *ratio_interval(ratio[:, LEARNED.index(target), -1].tolist()),
        found["data"], len(far), f"distances after {', '.join(map(str, marks))} steps, {table}; two sets of data "
        f"{found['floor']:.1f}", tools.device(), found,
    )  # fmt: skip


def blind_photos(smoke: bool) -> Outcome:
    seeds, marks, batch = tools.repeats(smoke), (1, 2) if smoke else (50, 100, 200, 400), 4 if smoke else 32
    train_set, held_out = tools.pictures("photos")
    x0, _ = held_out.batch(8 if smoke else 128, torch.Generator().manual_seed(0))

    def net(told, seed=0):
        options = (
            {"conditioning": "adaln_zero", "mlp_ratio": 2.0} if told else {"conditioning": "none", "mlp_ratio": 5.5}
        )
        return seeded(lambda: DiT(3, 32, None, tools.wide(64), 4, patch=4, **options), seed)

    def learned(seed, told):
        model = Raw(net(told, seed), Linear(), "flow").to(tools.device())
        draw = lambda g: train_set.batch(batch, g)[0]  # noqa: E731
        return snapshots(model, draw, marks, seed, lambda ema: level_error(ema, x0, LEVELS))

    errors = torch.stack(in_parallel(learned, range(seeds), (False, True))).unflatten(0, (seeds, 2))
    sizes = [parameters(net(told)) for told in (False, True)]
    ratio = (errors[:, 0] / errors[:, 1]).log()
    return Outcome(
        *ratio_interval(ratio[:, -1].mean(1).tolist()),
        f"{tools.named(train_set)}, DiTs of {sizes[0]:,} (blind) and {sizes[1]:,} parameters, depth 4, patch 4, raw x_t, "
        f"linear path, flow target, {marks[-1]} steps of {batch}, EMA, {len(x0)} held-out pictures",
        seeds,
        f"error blind over told after {', '.join(map(str, marks))} steps: "
        + ", ".join(f"{v:.3f}" for v in ratio.mean((0, 2)).exp().tolist())
        + "; at the end, at sigma/alpha = "
        + ", ".join(f"{s:.2g}: {v:.3f}" for s, v in zip(LEVELS.tolist(), ratio[:, -1].mean(0).exp().tolist(), strict=True)),
        tools.device(),
        {"errors": errors, "levels": LEVELS, "marks": marks},
    )  # fmt: skip
