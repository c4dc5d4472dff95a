"""Several processes that train one model, by gloo on CPUs and NCCL on GPUs:

torchrun --nproc-per-node 2 -m minidiff train ...

A batch is cut into parts, each with its own stream of data and noise. Rank r of R computes the parts r, r + R, r + 2R,
..., and the gradients are averaged over all of them: how many ranks share the parts changes nothing but the time (to
rounding; with a number of ranks that does not divide the parts, the streams are made anew). One rank with several parts
is gradient accumulation. Only the first rank writes; several machines need a shared file system.
"""

import importlib
import os
import signal
import threading
from contextlib import contextmanager, suppress

import torch
import torch.distributed as dist
from torch import Tensor

from ..device import averaged, pick, rank, ranks

LOST = "another rank has ended, so this one does too; train --resume goes on from the last checkpoint"


@contextmanager
def joined(name: str):
    """The device `name` (see device.pick); if torchrun started this process that of this rank, the others met.

    Raises ConnectionError when another rank ends before its time: it closes its connections, or torchrun sends a
    SIGTERM.
    """
    launched = dist.is_torchelastic_launched()
    if launched and name.startswith(("auto", "cuda")) and torch.cuda.is_available():
        name = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(name)  # first of all: whoever tries the first GPU holds memory there
    device = pick(name)
    if not launched or dist.is_initialized():
        yield device
        return
    # It takes the group of the moment for its default and keeps it; torch.optim imports it, and a group that outlives
    # its end has threads that can abort Python's. So it is imported while there is none.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")

    def ended(*_):
        raise ConnectionError(LOST)

    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield device
        dist.destroy_process_group()
    except RuntimeError as error:
        if _is_of_the_wire(error):
            raise ConnectionError(LOST) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def deferred():
    """Let Ctrl-C and SIGTERM wait until this is left, and then take their course. Yields a list, not empty any more as
    soon as one has come. (torchrun's SIGTERM does not wait: it tells that another rank has ended.)"""
    came, before, broke = [], {}, None

    def note(number, _):
        if not came:
            with suppress(OSError):  # not print, which may be what this interrupts
                os.write(2, b"\nstopping after this step; what is done is saved\n")
        came.append(number)

    if threading.current_thread() is threading.main_thread():  # others get no signals
        wanted = [signal.SIGINT] if dist.is_torchelastic_launched() else [signal.SIGTERM, signal.SIGINT]
        before = {number: signal.getsignal(number) for number in wanted}
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, note)
        yield came
    except RuntimeError as error:  # of a compiler, say: Ctrl-C ends every process of the terminal
        if not came:
            raise
        broke = error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
    if broke is not None:
        raise broke


def _is_of_the_wire(error: RuntimeError) -> bool:
    """Whether the error is of the connection to another rank: gloo and NCCL raise no class of their own for all."""
    said = str(error).lower()
    return isinstance(error, dist.DistError) or any(w in said for w in ("gloo", "nccl", "closed by peer", "connection"))


def mean(values: list[float]) -> list[float]:
    """The mean over ranks of each value."""
    return values if ranks() == 1 else averaged(torch.tensor(values, dtype=torch.float64)).tolist()


def gather(tensors: list[Tensor]) -> list[Tensor]:
    """The equally shaped CPU tensors of all ranks in the order of the parts: rank 0's first, rank 1's first, ..."""
    if ranks() == 1:
        return tensors
    found = []
    for x in tensors:
        everyone = [torch.empty_like(x) for _ in range(ranks())]
        dist.all_gather(everyone, x)
        found += everyone
    return found


@contextmanager
def first():
    """Rank 0 does what is within before the others do: what it downloads or writes into the cache, they read."""
    if rank() > 0:
        dist.barrier()
    yield
    if rank() == 0 and ranks() > 1:
        dist.barrier()
