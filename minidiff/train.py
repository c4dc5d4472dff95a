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

from .device import autocast, average_gradients, follower, to_device
from .optim import new_optimizer

ADVICE = "lower the learning rate or look at the data; the last checkpoint is untouched"


class Step(NamedTuple):
    """A training step: its number (from 1), the mean loss of this rank's parts of the batch (a tensor, as float(loss)
    waits for a GPU), and the moving average (EMA) of the model."""

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
    check=check_pictures,
    check_every: int = 1,
    state: State | None = None,
    **options,
) -> Iterator[Step]:
    """Train until `steps` in all, yielding a Step after each optimizer and EMA step.

    batches gives x0 (B, ...) or (x0, labels or None), one for each part of a step. The first step of a new state raises
    ValueError for data that check(x0) refuses. So does a loss or gradient that is not finite: it is looked for every
    `check_every` steps, as that waits for a GPU, so save weights at those. The learning rate is lr * rate(step, warmup)
    * fall(step). Nothing but `fall` may depend on `steps`: N and then N more, with one `state`, are 2N.
    """
    state = state or new_state(model)
    if state.model is not model:
        raise ValueError("the state belongs to another model: make it with new_state(model)")
    model.train()
    batches, unseen = iter(batches), []
    while state.step < steps:  # asks for no batch beyond the last step: it would move the random state on
        look = (state.step + 1) % check_every == 0 or state.step + 1 == steps
        loss = backward(state, batches, unseen, look, check if state.step == 0 else None, options)
        if loss is None:
            return
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        if look and not torch.isfinite(norm):
            raise ValueError(f"the gradient is not finite at step {state.step + 1}, though the loss is: {ADVICE}")
        for group in state.optimizer.param_groups:
            group["lr"] = lr * rate(state.step, warmup) * (1.0 if fall is None else fall(state.step))
        state.optimizer.step()
        state.step += 1
        update_ema(state.ema, model, state.step)
        yield Step(state.step, loss, state.ema)


def backward(state: State, batches: Iterator, unseen: list, look: bool, check, options: dict) -> Tensor | None:
    """The gradients of the model's next step, and its mean loss; None if there are no more batches.

    One batch for each of the state's generators: a step may be computed in several parts. The gradients of all parts,
    and of all ranks, are averaged. With `look`, raises ValueError for a loss that is not finite.
    """
    state.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=next(state.model.parameters()).device)
    for generator in state.generators:
        if (batch := next(batches, None)) is None:
            return None
        losses = losses_of(state.model, batch, generator, check, **options)
        unseen.append((state.step + 1, losses.detach(), getattr(state.model, "times_drawn", None)))
        if look:
            _stop_unless_finite(unseen, state.model)
        loss = losses.mean() / len(state.generators)
        loss.backward()
        total += loss.detach()
    average_gradients(state.model)
    return total


def losses_of(model: nn.Module, batch, generator: torch.Generator, check=None, **options) -> Tensor:
    """The model's loss of each sample of a batch, (B,), computed where the model is.

    The generator is on the CPU, so that a seed means the same everywhere. For a GPU it seeds one that is there: a CPU
    takes longer to draw noise than a GPU to use it.
    """
    like = next(model.parameters())
    x0, cond = batch if isinstance(batch, tuple | list) else (batch, None)
    x0 = torch.as_tensor(x0)
    if x0.is_floating_point():
        x0 = x0.to(like.dtype)  # points are often float64
    if x0.ndim == 4 and check is not None:
        check(x0, "the first batch")
    x0, cond = to_device(x0, like.device), None if cond is None else to_device(torch.as_tensor(cond), like.device)
    with autocast(like.device, x0):
        return model.loss(x0, cond, generator=follower(generator, like.device), **options)


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


def _stop_unless_finite(unseen: list, model) -> None:
    """Raise ValueError at the first (step, losses, times) with a loss that is not finite; else empty the list."""
    if torch.isfinite(torch.stack([losses.mean() for _, losses, _ in unseen])).all():
        unseen.clear()
        return
    step, losses, t = next(row for row in unseen if not torch.isfinite(row[1].mean()))
    bad = int((~torch.isfinite(losses)).nonzero()[0]) if not torch.isfinite(losses).all() else int(losses.argmax())
    at = "" if t is None else f", at log-SNR {model.schedule.log_snr(t[bad]).item():.2f} (t = {t[bad].item():.4f})"
    raise ValueError(f"the loss is {losses[bad].item()} at step {step}{at}: {ADVICE}")
