"""Where to compute, and in which precision: decided by what the hardware does natively."""

import sys
from contextlib import contextmanager

import torch


def pick(name: str = "auto") -> torch.device:
    """The device `name`; 'auto' is cuda, else mps, else cpu. Raises ValueError for one that is not here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # meta, which computes nothing, is none
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(f"device {name!r} is not available here: use auto, cpu, cuda or mps") from None
    return device


def native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed in hardware; where it is emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        return bool(has.get("amx_bf16") or has.get("avx512_bf16") or has.get("bf16"))
    return False


def autocast(device: torch.device, x: torch.Tensor):
    """bfloat16 for pictures and tokens where it is native, else float32: points need the digits, not the speed."""
    return torch.autocast(device.type, torch.bfloat16, enabled=x.ndim > 2 and native_bf16(device))


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


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory: torch has a class for a GPU's, but none for a CPU's."""
    words = ("out of memory", "not enough memory", "allocate memory", "alloc_failed")
    said = isinstance(error, RuntimeError | OSError) and any(word in str(error).lower() for word in words)
    return said or isinstance(error, MemoryError)


def peak_memory(device: torch.device) -> str:
    """What to say of the most memory in use so far: of the GPU, else of the process; nothing where that is unknown."""
    if device.type == "cuda":
        return f", {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of its memory at most"
    try:
        import resource
    except ImportError:  # Windows
        return ""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f", {most / 2**30:.1f} GiB of memory at most"
