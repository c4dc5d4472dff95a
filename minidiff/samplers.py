"""Samplers: from noise to data along a grid of times, each a generator that yields x after each step.

`times` runs from noise to data, as `model.schedule.grid(steps)` gives it; if it ends at t = 0 the last step returns
the denoised x0, so nothing is ever divided by sigma = 0. Users' own times may be a list; they are refused where the
path is not defined (see `checked`). One step is one network call, but for heun, whose steps take two (the last one:
one); langevin makes many such steps at each time. `last(...)` runs a sampler to its end.

Most of them work in the variables y = x / alpha and n = sigma / alpha, in which the probability-flow ODE is
dy/dn = eps on every path: the schedule bends the clock, not the trajectory.
"""

import math
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from .denoise import normal_like, score, velocity
from .schedules import Schedule
from .text import numbers, one_of, tensor_of


def last(iterator: Iterator[Tensor]) -> Tensor:
    """The final x of a sampler."""
    found = deque(iterator, maxlen=1)
    if not found:
        raise ValueError("the sampler took no step: its times need at least two entries")
    return found[0]


def start(model, shape: tuple[int, ...], generator=None, device="cpu") -> Tensor:
    """The x a sampler starts from: sigma at t_max times standard normal noise of `shape`."""
    sigma = model.schedule(torch.tensor(model.schedule.t_max))[1]
    return sigma * normal_like(torch.empty(shape, device=device), generator)


@torch.no_grad()
def ddim(model, x: Tensor, times: Tensor, cond=None, eta: float = 0.0, generator=None):
    """DDIM (Song et al. 2021, equation 12); eta = 1 is DDPM's ancestral sampling. Order 1.

    With eta = 0, exact for a constant x0: an exponential integrator, and Euler's method in dy/dn = eps.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be between 0 (DDIM) and 1 (DDPM), got {eta}")
    x, pairs = _pairs(times, x, model.schedule)
    for t, s in pairs:
        x0, eps = model(x, t, cond)
        if s is None:
            yield x0
            return
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        fresh = eta**2 * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2)  # share of sigma_s^2 drawn anew
        x = alpha_s * x0 + sigma_s * (torch.sqrt(1 - fresh) * eps)
        if eta > 0:
            x = x + sigma_s * torch.sqrt(fresh) * normal_like(x, generator)
        yield x


@torch.no_grad()
def euler(model, x: Tensor, times: Tensor, cond=None):
    """Euler's method on dx/dt = velocity, the sampler of flow matching (Lipman et al. 2023). Order 1.

    On the straight paths (Linear, EDM) it is ddim; on a curved one it is another step of first order.
    """
    x, pairs = _pairs(times, x, model.schedule)
    for t, s in pairs:
        x = model(x, t, cond).x0 if s is None else x + (s - t) * velocity(model, x, t, cond)
        yield x


@torch.no_grad()
def heun(model, x: Tensor, times: Tensor, cond=None, churn: float = 0.0, generator=None):
    """EDM's sampler (Karras et al. 2022, algorithms 1 and 2): Heun's method on dy/dn = eps. Order 2.

    churn > 0 adds noise before each step and removes it again: S_churn, with S_noise = 1.
    """
    x, pairs = _pairs(times, x, model.schedule)
    gamma = min(churn / len(pairs), math.sqrt(2) - 1)
    for t, s in pairs:
        if gamma > 0:
            x, t = _churn(model.schedule, x, t, gamma, generator)
        if s is None:
            yield model(x, t, cond).x0
            return
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        step = sigma_s / alpha_s - sigma_t / alpha_t
        eps = model(x, t, cond).eps
        ahead = alpha_s * (x / alpha_t + step * eps)
        x = alpha_s * (x / alpha_t + step * (eps + model(ahead, s, cond).eps) / 2)
        yield x


def _churn(schedule, x, t, gamma, generator):
    """Raise the noise level sigma / alpha by the factor 1 + gamma; the x and t there."""
    alpha, sigma = schedule(t)
    up = schedule.time(schedule.log_snr(t) - 2 * math.log1p(gamma))
    noise = sigma / alpha * math.sqrt((1 + gamma) ** 2 - 1)
    return schedule(up)[0] * (x / alpha + noise * normal_like(x, generator)), up


@torch.no_grad()
def dpmpp_2m(model, x: Tensor, times: Tensor, cond=None):
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): one call a step, x0 extrapolated from the step before. Order 2.

    In h, the step in log(alpha / sigma), the ODE is linear but for x0. The first step and the one to t = 0 are
    first order.
    """
    x0_before = h_before = None
    x, pairs = _pairs(times, x, model.schedule)
    for t, s in pairs:
        x0 = model(x, t, cond).x0
        if s is None:
            yield x0
            return
        (alpha_s, sigma_s), (_, sigma_t) = model.schedule(s), model.schedule(t)
        h = _log_ratio(model.schedule, t, s)
        ahead = x0 if x0_before is None else x0 + (x0 - x0_before) * h / (2 * h_before)
        x = sigma_s / sigma_t * x - alpha_s * torch.expm1(-h) * ahead
        x0_before, h_before = x0, h
        yield x


@torch.no_grad()
def unipc(model, x: Tensor, times: Tensor, cond=None):
    """UniPC (Zhao et al. 2023, algorithm 1) of two points: dpmpp_2m, and each step once more when x0 at its end is
    known, which costs no further call. Order 3.

    dpmpp_2m extrapolates x0; here it is interpolated, by a parabola through its last three values.
    """
    before = slope = h = None
    x, pairs = _pairs(times, x, model.schedule)
    for t, s in pairs:
        x0 = model(x, t, cond).x0
        if s is None:
            yield x0
            return
        if before is not None:
            x_before, t_before, x0_before = before
            h_before, h = h, _log_ratio(model.schedule, t_before, t)
            slope_before, slope = slope, (x0 - x0_before) / h
            bend = 0 if slope_before is None else (slope - slope_before) / (h + h_before)
            x = _solved(model.schedule, x_before, t_before, t, x0_before, slope, bend)
        before = x, t, x0
        ahead = x0 if slope is None else x0 + slope * _log_ratio(model.schedule, t, s) / 2
        x = _solved(model.schedule, x, t, s, ahead)
        yield x


def _log_ratio(schedule, t, s):
    """By how much log(alpha / sigma) rises from t to s."""
    return (schedule.log_snr(s) - schedule.log_snr(t)) / 2


def _solved(schedule, x, t, s, x0, slope=0, bend=0):
    """x at s, from x at t: exact where x0 is x0 + slope u + bend u (u - h), u being log(alpha / sigma) since t, which
    rises to h (the integral of Lu et al. 2022, equation 8)."""
    (alpha, sigma), (_, sigma_t), h = schedule(s), schedule(t), _log_ratio(schedule, t, s)
    i0 = -torch.expm1(-h)  # the integrals of e^(u - h) times 1, u and u^2
    i1 = h - i0
    i2 = h**2 - 2 * i1
    return sigma / sigma_t * x + alpha * (i0 * x0 + i1 * slope + (i2 - h * i1) * bend)


@torch.no_grad()
def langevin(model, x: Tensor, times: Tensor, cond=None, steps: int = 100, step_size: float = 0.2, generator=None):
    """NCSN's annealed Langevin dynamics (Song and Ermon 2019, algorithm 1): `steps` moves at each of `times`.

    A move at noise sigma is x + a / 2 * score + sqrt(a) * z with a = step_size * sigma^2. NCSN's epsilon is
    step_size * sigma_min^2: its 2e-5 at 0.01 is 0.2 here. A final t = 0 denoises once more, from the level before
    (Jolicoeur-Martineau et al. 2021). One entry in `times` is plain Langevin dynamics at that level.
    """
    x, times = _falling(times, x, model.schedule, least=1)
    for i, t in enumerate(times):
        if t is None:
            yield model(x, times[i - 1], cond).x0
            return
        alpha, sigma = model.schedule(t)
        if i > 0:
            x = x * alpha / model.schedule(times[i - 1])[0]
        a = step_size * sigma**2
        for _ in range(steps):
            x = x + a / 2 * score(model, x, t, cond) + torch.sqrt(a) * normal_like(x, generator)
            yield x


def checked(times, schedule: Schedule, dtype: torch.dtype, least: int = 2) -> Tensor:
    """times as a vector of `dtype` on the CPU, where looking at them costs nothing.

    Raises ValueError unless they are at least `least` finite numbers between 0 and 1 at which, 0 aside, the schedule
    has both data and noise.
    """
    times = tensor_of(times, "times must be a vector of numbers").detach().cpu().to(dtype)
    if times.ndim != 1 or len(times) < least:
        raise ValueError(f"times must be a vector of at least {least} entries, got shape {tuple(times.shape)}")
    if bad := [t for t in times.tolist() if not 0 <= t <= 1]:
        raise ValueError(f"times must lie between 0 (data) and 1 (noise), got {bad[0]:g}")
    if bad := times[(times > 0) & ~schedule.log_snr(times).isfinite()].tolist():
        raise ValueError(
            f"{schedule} has no data left, or no noise, at t = {bad[0]:g}: times must lie between 0 and less than 1, "
            f"and best start at its t_max, {schedule.t_max:.4g}, as those of Schedule.grid do"
        )
    return times


def _falling(times, x, schedule, least):
    """x as a tensor of floats, and the times where x is, as a list; None stands for a final 0."""
    x = numbers(x)
    times = checked(times, schedule, x.dtype, least)
    if (times.diff() > 0).any() or times[0] == 0:
        raise ValueError("times must fall from noise (t <= 1) to data (t >= 0): see Schedule.grid")
    if (times.diff() == 0).any():
        raise ValueError("times must fall strictly: two of them are equal")
    there = list(times.to(x.device, non_blocking=x.is_cuda))
    return x, [*there[:-1], None if times[-1] == 0 else there[-1]]


def _pairs(times, x, schedule):
    x, times = _falling(times, x, schedule, 2)
    return x, list(zip(times[:-1], times[1:], strict=True))


SAMPLERS = {"ddim": ddim, "euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m, "unipc": unipc, "langevin": langevin}

# how many calls of the model so many steps take; of the others a step each
CALLS = {"heun": lambda steps: 2 * steps - 1, "langevin": lambda steps: 12 * steps + 1}


def whole(name: str, value, least: int = 1, bits: int = 63) -> int:
    """value, of whatever type, as an int. Raises ValueError unless it is whole and from `least` to 2^bits - 1."""
    try:
        if (number := int(value)) == value and least <= number < 2**bits:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be at least {least}, a whole number below 2^{bits}, got {value!r}")


def check_sampling(sampler: str, steps: int, scale: float = 1.0) -> int:
    """The steps. Raises ValueError for an unknown sampler, and for a bad number of steps or guidance scale."""
    one_of("sampler", sampler, SAMPLERS)
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"scale must be a number of at least 0 (1 is no guidance), got {scale}")
    return whole("steps", steps)


def run_sampler(model, x: Tensor, sampler: str, steps: int, cond=None, generator=None) -> Iterator[Tensor]:
    """The sampler named `sampler`, from x as `start` gives it, on a grid of `steps` steps that suits it.

    langevin moves `steps` times at each of 12 levels. unipc is for few calls: the fewer, the more it leaves out of the
    noise in which pictures are not yet to be seen, and of the last detail. With the pretrained CIFAR-10 model six, from
    8 to .07, are at a Fréchet distance of 10.8; six from 20 to .1 at 15.3, 50 of dpmpp_2m at 8.8.
    """
    steps, schedule = check_sampling(sampler, steps), model.schedule
    if sampler == "langevin":
        return langevin(model, x, schedule.grid(12), cond, steps=steps, generator=generator)
    if sampler == "unipc":
        least, most = schedule.noise_range
        times = schedule.grid(steps, math.inf, (min(most, 2.0 + steps), max(least, 0.4 / steps)))
        less = schedule(times[0])[1] / schedule(torch.tensor(schedule.t_max))[1]
        return unipc(model, x * less.to(x), times, cond)
    return SAMPLERS[sampler](model, x, schedule.grid(steps), cond)
