"""A device that is not there: tensors of device "meta" that hold numbers, and as a GPU's refuse to meet the CPU's. So
code that mixes devices fails on a machine without a GPU."""

import contextlib

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")


class There(torch.Tensor):
    """A tensor of the device; `held`, on the CPU, is what it is."""

    @staticmethod
    def __new__(cls, held):
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, held.shape, device=DEVICE, **layout)

    def __init__(self, held):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def numpy(self, *, force=False):
        if not force:
            raise TypeError("a tensor of the device is no array: bring it to the CPU first")
        return self.held.numpy(force=True)


def _is_there(device) -> bool:
    return device is not None and torch.device(device) == DEVICE


def _run(func, args, kwargs):
    """func on what the tensors hold; of the device if they are, or if that is asked for."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = {id(x.held): x for x in tensors if isinstance(x, There)}
    name = func.overloadpacket.__name__
    # a number, a tensor without dimensions, may meet any
    if there and name not in ("_to_copy", "copy_") and any(x.ndim for x in tensors if not isinstance(x, There)):
        raise RuntimeError(f"{func}: tensors of the CPU meet those of the device")
    asked = kwargs.get("device")
    stays = bool(there) if asked is None else _is_there(asked)
    if name == "copy_":
        stays = isinstance(args[0], There)
    if _is_there(asked):
        kwargs = kwargs | {"device": torch.device("cpu")}
    args, kwargs = tree_map(lambda x: x.held if isinstance(x, There) else x, (args, dict(kwargs)))
    out = func(*args, **kwargs)
    if not stays:
        return out

    def back(x):
        if not isinstance(x, torch.Tensor):
            return x
        return there[id(x)] if id(x) in there else There(x)  # what works in place returns what it was given

    return tree_map(back, out)


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """torch.tensor and torch.as_tensor, which make tensors of a device without a dispatch."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and _is_there(kwargs.get("device")):
            return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)


@contextlib.contextmanager
def pretended(monkeypatch):
    """Within, DEVICE computes. torch.autocast does not know it, and is left out."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    with _Dispatch(), _Made():
        yield DEVICE
