"""This machine: where to compute and in which precision, files that are whole or not there, and the other processes
that train the same model."""

import os
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn


def pick(name: str = "auto") -> torch.device:
    """The device `name`; 'auto' is cuda, else mps, else cpu. Raises ValueError for one that is not here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # meta, which computes nothing, is none
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        if out_of_memory(error):
            raise
        raise ValueError(f"device {name!r} is not available here: use auto, cpu, cuda or mps") from None
    return device


def fast_bf16(device: torch.device) -> bool:
    """Whether products are faster in bfloat16 than in float32.

    A CPU needs instructions for it: with AMX they are some five times as fast, with AVX512-BF16 twice on AMD's
    processors, but half as fast on Intel's (165 GFLOP/s against 324 on an Emerald Rapids without AMX); emulated slower
    yet. ONEDNN_MAX_CPU_ISA may forbid oneDNN what the processor has.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    has, most = torch.cpu.get_capabilities(), os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    free = most in ("", "ALL", "DEFAULT")
    if has.get("amx_bf16") and (free or "AMX" in most):
        return True
    intel = has.get("cpu_name", "").startswith("Intel")
    # oneDNN's names for what has these instructions: AVX512_CORE_BF16, _FP16, _AMX and those of AVX10
    allowed = free or any(name in most for name in ("BF16", "FP16", "AMX", "AVX10"))
    return bool(has.get("bf16") or (has.get("avx512_bf16") and not intel)) and allowed


def autocast(device: torch.device, x: torch.Tensor):
    """bfloat16 for pictures and tokens where it is fast, else float32: points need precision more than speed."""
    return torch.autocast(device.type, torch.bfloat16, enabled=x.ndim > 2 and fast_bf16(device))


def to_device(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """x on the device; pictures with channels last, the layout in which convolutions are fast. To a GPU without waiting
    for it, which needs memory that stays in place."""
    if device.type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()
    layout = torch.channels_last if x.ndim == 4 else torch.preserve_format
    return x.to(device, memory_format=layout, non_blocking=device.type == "cuda")


def follower(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """Where noise for the device is drawn: on a GPU from a generator of its own, seeded by the next number of this one,
    which is on the CPU; else from this one."""
    if device.type != "cuda":
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))


@contextmanager
def seeded(seed: int):
    """Within, torch's own generator of the CPU, from which layers draw their first weights, starts from `seed`; it goes
    on as if nothing had been, and those of GPUs, which torch.manual_seed would set too, are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(int(seed))
        yield


@contextmanager
def tuned(device: torch.device):
    """For training: within, a GPU rounds float32 products to TF32, and tries which convolution is the fastest."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.benchmark = before[1]


def share_of_cores(seconds: float = 0.5) -> float:
    """How much of the time of the cores that this process computes on it is given: 1 on a quiet machine."""
    x = torch.ones(256, 256)
    x @ x  # the threads are there now
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() < began + seconds:
        x @ x
    return (time.process_time() - used) / (time.monotonic() - began) / torch.get_num_threads()


@contextmanager
def threads_for_free_cores(share: Callable[[], float] = share_of_cores):
    """Within, as many threads of the CPU as there are cores left by other programs: more would wait for one another at
    every product, and on two cores that are held one thread does twice as much as two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, round(share() * threads)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory: torch has a class for a GPU's, but none for a CPU's."""
    words = ("out of memory", "not enough memory", "allocate memory", "alloc_failed")
    said = isinstance(error, RuntimeError | OSError) and any(word in str(error).lower() for word in words)
    return said or isinstance(error, MemoryError)


@contextmanager
def replacing(path: str | Path):
    """A temporary path beside `path`, with the same suffix, to write to; on leaving it takes the place of `path`.

    After an error nothing has changed; after a kill at worst a file named .tmp-* lies about. Raises OSError, naming
    `path`, if it cannot be written, say on a full disk.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the umask leaves; of safetensors' files all but the owner's is taken
        yield temporary
        temporary.chmod(mode)
        with open(temporary, "rb+") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if not _is_of_the_disk(error):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise OSError(f"{path} could not be written ({reason}): what was there before is untouched") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def cached(path: Path, read: Callable, make: Callable, write: Callable):
    """read(path); or, if there is no such file or a damaged one, make(), kept by write(path, what was made)."""
    try:
        return read(path)
    except Exception as error:  # a damaged file can raise nearly anything
        if out_of_memory(error):
            raise
    made = make()
    with replacing(path) as temporary:
        write(temporary, made)
    return made


def _is_of_the_disk(error: Exception) -> bool:
    """Whether writing failed: torch and safetensors raise no OSError then."""
    if isinstance(error, OSError):
        return not isinstance(error, ConnectionError)  # that one tells of another rank's end
    return type(error).__name__ == "SafetensorError" or "inline_container" in str(error)


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def ranks() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def average_gradients(model: nn.Module) -> None:
    """Give every rank the mean of all ranks' gradients, in one message after the backward pass."""
    if ranks() == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = averaged(torch.cat([g.flatten() for g in gradients]))
    for g, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        g.copy_(mean.view_as(g))


def of_first_rank(x: Tensor) -> Tensor:
    """The first rank's x, in place of the others' equally shaped ones."""
    if ranks() > 1:
        dist.broadcast(x, 0)
    return x


def averaged(x: Tensor) -> Tensor:
    """The mean over ranks of an equally shaped tensor, in place."""
    if ranks() > 1:
        dist.all_reduce(x)
        x /= ranks()
    return x
