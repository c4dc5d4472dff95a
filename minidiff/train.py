"""The training loop: a generator, so that whoever runs it decides when to look, save or stop.

It trains a Denoiser, and as well whatever else has `loss(x0, cond, generator=...) -> (B,)`: GANs, autoencoders, priors.
"""

import copy
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .denoise import uniform_times
from .device import autocast, average_gradients, follower, to_device
from .optim import new_optimizer


class Step(NamedTuple):
    """What a training step tells: its number (from 1), the batch's mean loss (of several ranks, that of this one's
    parts; a tensor, as float(loss) waits for a GPU), and the EMA of the model."""

    step: int
    loss: Tensor
    ema: nn.Module


@dataclass
class State:
    """All that training changes, and so all that a checkpoint must hold."""

    model: nn.Module
    ema: nn.Module
    optimizer: torch.optim.Optimizer
    generators: list[torch.Generator]  # one a part of the batch; on the CPU, so that a seed means the same everywhere
    step: int = 0

    @property
    def generator(self) -> torch.Generator:
        """That of a batch in one part."""
        return self.generators[0]


def new_state(model: nn.Module, seed: int = 0, parts: Iterable[int] = (0,), optimizer: str = "adamw") -> State:
    """The state before the first step. Adam's memory is short, (0.9, 0.99), or the model's `betas`.

    `parts` are those of each batch that this process computes: all, or its share (see run.parallel).
    """
    optimizer = new_optimizer(model, optimizer, getattr(model, "betas", (0.9, 0.99)))
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    return State(model, ema, optimizer, [stream(seed, i) for i in parts])


def stream(seed: int, part: int) -> torch.Generator:
    """The generator of one part of the batch: its data and its noise. `seed` may be numpy's."""
    try:
        return torch.Generator().manual_seed(operator.index(seed) + 1_000_003 * part)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"a seed is a whole number, and of less than 64 bits, got {seed!r}") from None


def check_pictures(x: Tensor, name: str = "pictures") -> None:
    """Raise ValueError unless x is (N, C, H, W), C 1 or 3, and uint8 or floats in [-1, 1]."""
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        hint = ": move the channels to the front" if x.ndim == 4 and x.shape[-1] in (1, 3) else ""
        raise ValueError(f"{name}: expected (N, C, H, W) with 1 or 3 channels, got {tuple(x.shape)}{hint}")
    if x.numel() == 0:
        raise ValueError(f"{name}: there are no pictures in it")
    if x.dtype == torch.uint8:
        return
    if not x.is_floating_point():
        raise ValueError(f"{name}: pictures must be uint8 or floats in [-1, 1], got {x.dtype}")
    low, high = x.min().item(), x.max().item()
    if not (low >= -1.001 and high <= 1.001):  # also false for NaN
        raise ValueError(f"{name}: float pictures must lie in [-1, 1], got {low:.3g} to {high:.3g}: x / 127.5 - 1?")


def train(
    model: nn.Module,
    batches: Iterable[Tensor | tuple[Tensor, Tensor | None]],
    steps: int,
    *,
    lr: float = 1e-3,
    warmup: int = 100,
    fall: Callable[[int], float] | None = None,
    clip: float = 1.0,
    p_uncond: float = 0.1,
    weight=None,
    times=uniform_times,
    check=check_pictures,
    check_every: int = 1,
    state: State | None = None,
) -> Iterator[Step]:
    """Train until `steps` in all, yielding a Step after each optimizer and EMA step.

    batches gives x0 or (x0, labels or None), x0 (B, ...) in [-1, 1], one a step or, of a state of several parts, one a
    part in their order: their gradients are averaged, over the parts and over all ranks (see run.parallel). lr rises
    linearly over `warmup` steps and falls as 1 / sqrt(step) from 10 `warmup` on; `clip` bounds the gradient's norm.
    Neither depends on `steps`, so training N and then N more is training 2N; fall(step), if given, is a further factor.
    p_uncond, weight and times are for models of noise alone (those with a schedule). Pass a `state` to go on from it.
    Raises ValueError for pictures out of range (see `check`; latents have none), and for a loss that is not finite:
    with `check_every` 1 before it reaches the weights. To look waits for a GPU, so there it is done every so many
    steps: then keep the weights of multiples of that, and of the last step, alone.

    All chance comes from the state's generators, which are on the CPU; on a GPU the noise is drawn there, from a
    generator that they seed anew for each part: a CPU would take longer to draw it than the GPU to use it.
    """
    state = state or new_state(model)
    if state.model is not model:
        raise ValueError("the state belongs to another model: make it with new_state(model)")
    like = next(model.parameters())
    device, dtype = like.device, like.dtype
    model.train()
    batches, unseen = iter(batches), []
    while state.step < steps:  # asks for no batch beyond the last step: it would move the random state on
        state.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=device)
        for generator in state.generators:
            if (batch := next(batches, None)) is None:
                return
            x0, cond = batch if isinstance(batch, tuple | list) else (batch, None)
            x0 = torch.as_tensor(x0)
            if x0.is_floating_point():
                x0 = x0.to(dtype)  # points are often float64
            if state.step == 0 and x0.ndim == 4 and check is not None:
                check(x0, "the first batch")
            noise, generator = {}, follower(generator, device)
            if hasattr(model, "schedule"):
                t = times(len(x0), model.schedule, generator)
                noise = {"t": t, "p_uncond": p_uncond, "weight": weight}
            x0, cond = to_device(x0, device), None if cond is None else to_device(torch.as_tensor(cond), device)
            with autocast(device, x0):
                losses = model.loss(x0, cond, generator=generator, **noise)
            loss = losses.mean() / len(state.generators)
            unseen.append((state.step + 1, losses.detach(), noise.get("t")))
            if (state.step + 1) % check_every == 0 or state.step + 1 == steps:
                _look(unseen, model)
            loss.backward()
            total += loss.detach()
        average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        for group in state.optimizer.param_groups:
            group["lr"] = lr * rate(state.step, warmup) * (1.0 if fall is None else fall(state.step))
        state.optimizer.step()
        state.step += 1
        update_ema(state.ema, model, state.step)
        yield Step(state.step, total, state.ema)


def rate(step: int, warmup: int) -> float:
    """The learning rate's factor: linear warm-up, then 1, then 1 / sqrt(step) (EDM2, Karras et al. 2024). Without a
    warm-up, 0, it is 1."""
    if warmup < 0:
        raise ValueError(f"warmup is a number of steps, 0 or more, got {warmup}")
    if warmup == 0:
        return 1.0
    return min(1.0, (step + 1) / warmup) / max(1.0, (step + 1) / (10 * warmup)) ** 0.5


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, step: int, gamma: float = 6.94) -> None:
    """ema <- beta * ema + (1 - beta) * model with beta = (1 - 1 / step)^(gamma + 1).

    The power-function EMA of Karras et al. 2024 (EDM2): its width is always 10% of the training so
    far, so that it needs no warm-up of its own, forgets the random start, and has no horizon to guess.
    """
    beta = (1 - 1 / step) ** (gamma + 1)
    ours, theirs = list(ema.parameters()), list(model.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - beta)
    for mine, other in zip(ema.buffers(), model.buffers(), strict=True):
        mine.copy_(other)


def _look(unseen: list, model) -> None:
    """Raise ValueError at the first (step, losses, times) with a loss that is not finite; else empty the list."""
    if not torch.isfinite(torch.stack([losses.mean() for _, losses, _ in unseen])).all():
        raise ValueError(_what_broke(*next(row for row in unseen if not torch.isfinite(row[1].mean())), model))
    unseen.clear()


def _what_broke(step, losses, t, model):
    bad = int((~torch.isfinite(losses)).nonzero()[0]) if not torch.isfinite(losses).all() else int(losses.argmax())
    at = ""
    if t is not None:
        at = f", at log-SNR {model.schedule.log_snr(t[bad]).item():.2f} (t = {t[bad].item():.4f})"
    return (
        f"the loss is {losses[bad].item()} at step {step}{at}: "
        "lower the learning rate or look at the data; the last checkpoint is untouched"
    )
