"""Values across a socket: which ones may cross between an answer and its check, and how they are written.

A message is JSON and the bytes of its tensors, each with its length in front; nothing is ever unpickled. Numbers,
texts, tensors and collections of these are copied; what can be called stays where it is and crosses as a handle.
"""

import json
import math
import numbers
import struct
from dataclasses import astuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ..denoise import Prediction
from ..schedules import SCHEDULES

LARGEST = 2**25  # bytes of a message from an answer; the largest that a check needs has half as many
_HEAD = struct.Struct(">IQ")
_DTYPES = {str(d).removeprefix("torch."): d for d in (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex128, torch.complex64, torch.int64,
    torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)}  # fmt: skip
_SCHEDULES = {c.__name__: c for c in SCHEDULES.values()}
_ITERATOR = type(iter([]))


class Ended(BaseException):
    """An answer that cannot be judged further: a key of the reason, and what to tell. No check catches it."""

    def __init__(self, key: str, message: str):
        super().__init__(message)
        self.key, self.message = key, message


class TooLarge(Exception):
    """A value with more bytes than may cross."""


class Thing:
    """Stands for an object that does not cross: of the same name, with those of its attributes that do."""


# --- messages ---


def raw(t: Tensor) -> bytes:
    """The bytes of a tensor's numbers, in the order of its indices."""
    t = t.detach().resolve_conj().resolve_neg()
    return (t.view(torch.int16) if t.dtype == torch.bfloat16 else t).numpy().tobytes()  # numpy has no bfloat16


def send(sock, body: dict, tensors: list[Tensor], largest: int) -> None:
    """Raises TooLarge before anything is sent."""
    size = sum(t.numel() * t.element_size() for t in tensors)
    if size > largest:
        raise TooLarge(f"{size:,} bytes of tensors; at most {largest:,} may cross")
    table = [[str(t.dtype).removeprefix("torch."), list(t.shape)] for t in tensors]
    head = json.dumps({**body, "tensors": table}).encode()
    if len(head) > largest:
        raise TooLarge(f"{len(head):,} bytes of numbers and texts; at most {largest:,} may cross")
    sock.sendall(b"".join([_HEAD.pack(len(head), size), head, *map(raw, tensors)]))


def receive(sock, largest: int) -> tuple[dict, list[Tensor]]:
    """Raises Ended for what is no message, is longer than `largest` bytes, or never comes to its end."""
    head, size = _HEAD.unpack(_exactly(sock, _HEAD.size))
    if head > largest or size > largest:
        raise Ended("too large", f"The answer sent {max(head, size):,} bytes; at most {largest:,} may cross.")
    text, data = _exactly(sock, head), _exactly(sock, size)
    try:
        body = json.loads(text)
        tensors, place = [], 0
        for name, shape in body["tensors"]:
            dtype = _DTYPES[name]
            count = math.prod(map(int, shape))
            end = place + count * dtype.itemsize
            if count < 0 or any(n < 0 for n in shape) or end > size:
                raise ValueError("more numbers than bytes")
            flat = torch.frombuffer(data[place:end], dtype=dtype) if count else torch.empty(0, dtype=dtype)
            tensors.append(flat.reshape(shape))
            place = end
    except Exception as error:
        raise Ended("forged", f"What came back is no message ({type(error).__name__}).") from None
    return body, tensors


def _exactly(sock, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        try:
            got = sock.recv_into(view)
        except OSError:
            got = 0
        if not got:
            raise Ended("died", "The process in which the answer ran has ended.")
        view = view[got:]
    return data


# --- values ---


class Values:
    """Writes values and reads them. A subclass says what handles, modules and generators are."""

    def pack(self, value, out: list[Tensor]):
        """What stands for a value in JSON; its tensors are appended to `out`."""
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if isinstance(value, Tensor):
            return self._tensor(value, out)
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value, out)
        if kind in (list, set, frozenset, _ITERATOR, torch.Size, Prediction):
            return {kind.__name__: [self.pack(v, out) for v in value]}
        if isinstance(value, tuple):
            names = {"names": [kind.__name__, *value._fields]} if hasattr(value, "_fields") else {}
            return {"tuple": [self.pack(v, out) for v in value], **names}
        if isinstance(value, dict):
            return {"dict": [[self.pack(k, out), self.pack(v, out)] for k, v in value.items()]}
        for plain in (bool, int, float, str):
            if isinstance(value, plain):
                return plain(value)
        if kind in _SCHEDULES.values():
            return {"schedule": [kind.__name__, *astuple(value)]}
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if kind is Fraction:
            return {"Fraction": [value.numerator, value.denominator]}
        if isinstance(value, numbers.Real | Decimal):
            return float(value)  # sympy's, say
        return self.pack_object(value, out)

    def _tensor(self, value: Tensor, out: list[Tensor]):
        if value.layout != torch.strided or value.device.type != "cpu" or str(value.dtype)[6:] not in _DTYPES:
            return self.thing(value, {}, out)
        out.append(value)
        return {"tensor": len(out) - 1}

    def _array(self, value, out: list[Tensor]):
        if isinstance(value, np.longdouble):
            return float(value)
        if value.dtype.kind not in "biufc" or value.dtype.name not in _DTYPES:
            return self.thing(value, {}, out)
        out.append(torch.from_numpy(np.array(value)))
        return {"array": len(out) - 1, "scalar": isinstance(value, np.generic)}

    def thing(self, value, attributes: dict, out: list[Tensor]):
        return {"thing": type(value).__name__, "has": [[k, self.pack(v, out)] for k, v in attributes.items()]}

    def unpack(self, form, tensors: list[Tensor]):
        """The value that stands in `form`. Raises what malformed ones lead to."""
        if not isinstance(form, dict):
            return form
        tag, body = next(iter(form.items()))
        if tag in _READ:
            return _READ[tag]([self.unpack(v, tensors) for v in body])
        if tag == "tensor":
            return tensors[body]
        if tag == "array":
            array = tensors[body].numpy()
            return array[()] if form["scalar"] else array
        if tag == "dict":
            return {self.unpack(k, tensors): self.unpack(v, tensors) for k, v in body}
        if tag == "tuple":
            values = tuple(self.unpack(v, tensors) for v in body)
            if "names" not in form:
                return values
            name, *names = form["names"]
            return _with(class_named(name, tuple)(values), zip(names, values, strict=True))
        if tag == "thing":
            return _with(class_named(body, Thing)(), [(k, self.unpack(v, tensors)) for k, v in form["has"]])
        return self.unpack_object(tag, body, tensors)


_READ = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "list_iterator": iter,
    "Size": torch.Size,
    "Prediction": lambda v: Prediction(*v),
    "schedule": lambda v: _SCHEDULES[v[0]](*map(float, v[1:])),
    "complex": lambda v: complex(*v),
    "Fraction": lambda v: Fraction(*v),
}


def class_named(name: str, base: type) -> type:
    """A class of this name, as messages to students say it."""
    return type(name if name.isidentifier() and len(name) < 60 else base.__name__, (base,), {})


def _with(found, attributes):
    """An object with these attributes, names and values."""
    vars(found).update({k: v for k, v in attributes if not k.startswith("_")})
    return found


def public(value) -> dict:
    """The attributes of an object that may be told: its data."""
    data = None | bool | int | float | str | Tensor | list | tuple | dict
    held = list(getattr(value, "__dict__", {}).items())[:100]
    return {k: v for k, v in held if isinstance(k, str) and not k.startswith("_") and isinstance(v, data)}
