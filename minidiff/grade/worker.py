"""The process in which an answer runs: it executes the program and serves the check's calls."""

import linecache
import traceback
from types import SimpleNamespace

import torch
from torch import Tensor
from torch._C import _functorch

from .calls import Peer
from .gradients import Call
from .wire import LARGEST, Ended, public, raw

FILE = "<answer>"


class OwnVersion(Exception):
    """The package's own version of what is asked was called."""


class Answer(Peer):
    """The answer's side of a socket to its check."""

    def __init__(self, sock):
        super().__init__(sock, "a", LARGEST)
        self.read = {}  # attributes of the check's objects, which do not change

    def serve_all(self) -> None:
        """Until the other side has gone."""
        while True:
            self.serve(*self.receive())

    def serve(self, body, tensors):
        try:
            if body["do"] != "run":
                return super().serve(body, tensors)
            value, out = _executed(body["source"], body["names"]), []
            self.send({"do": "reply", "to": body["number"], "value": self.pack(value, out)}, out)
        except Ended:
            raise
        except BaseException as error:
            self.send({"do": "raise", "to": body["number"], **self.pack_error(error)}, [])

    def on_call(self, body, tensors):
        """As any call, and what else it did: arguments changed in place or made to ask for gradients, gradients left in
        leaves of the check's, settings of torch."""
        reply, out = super().on_call(body, tensors)
        given = [form["tensor"] for form in [*body["args"], *body["options"].values()]
                 if isinstance(form, dict) and "tensor" in form]  # fmt: skip
        asks = [i for i in given if tensors[i].requires_grad and i not in body["needs"]]
        filled = {known: t for known, t in self.leaves.items() if known[0] != self.name and t.grad is not None}
        gradients = [[known, self.pack(t.grad, out)] for known, t in filled.items()]
        for t in filled.values():
            t.grad = None
        more = {"changed": self.changed, "asks": asks, "gradients": gradients, "settings": self.settings}
        return {**reply, **more}, out

    def apply(self, function, args, options):
        given = [*args, *options.values()]
        before, settings = list(map(_content, given)), _settings()
        value = super().apply(function, args, options)
        self.changed = list(map(_content, given)) != before
        self.settings = None if _settings() == settings else _settings()
        return value

    def call(self, of: str, args: tuple, options: dict, hidden=()):
        body, out = self.call_body(of, args, options)
        hidden = [*hidden, *(p for p in getattr(self.modules.get(of), "parameters", list)() if p.requires_grad)]
        transformed = any(map(_functorch.is_functorch_wrapped_tensor, out))
        if not transformed and not (body["grad"] and any(t.requires_grad for t in [*out, *hidden])):
            reply, tensors = self.ask({**body, "needs": [], "hidden": []}, out)
            for i in reply["needs"]:  # by weights that this side does not know
                tensors[i] = tensors[i].requires_grad_().clone()
        else:
            needs = [i for i, t in enumerate(out) if t.is_floating_point()]
            body |= {"grad": True, "needs": needs, "hidden": [self.leaf_id(t) for t in hidden]}
            box = SimpleNamespace(body=body)
            *tensors, _ = Call.apply(self, box, len(out), *out, *hidden)
            reply = box.reply
        return self.unpack(reply["value"], tensors)

    def attribute(self, of: str, name: str):
        if (of, name) not in self.read:
            reply, tensors = self.ask({"do": "get", "of": of, "name": name}, [])
            self.read[of, name] = self.unpack(reply["value"], tensors)
        return self.read[of, name]

    def pack_object(self, value, out):
        form = super().pack_object(value, out) if callable(value) or isinstance(value, torch.Generator) else None
        return form or self.thing(value, public(value), out)

    def pack_error(self, error: BaseException) -> dict:
        """With the answer's line, and the check's own number of an exception that it raised itself."""
        body = super().pack_error(error)
        if isinstance(error, RuntimeError) and "allocate memory" in body["words"]:
            body["kinds"] = ["MemoryError"]
        token = getattr(error, "token", None)
        return {**body, "line": _line(error), **({} if token is None else {"token": token})}

    def unpack_error(self, body):
        error = super().unpack_error(body)
        error.token = body["token"]
        return error


def _content(value):
    """What must not change of an argument."""
    return raw(value) if isinstance(value, Tensor) else list(map(id, value)) if isinstance(value, list) else None


def _settings() -> list:
    """What an answer may set for all of torch."""
    return [torch.is_grad_enabled(), str(torch.get_default_dtype()).removeprefix("torch.")]


def _executed(source: str, names: list[str]):
    """What a program defines by these names: one object or the tuple of them."""
    linecache.cache[FILE] = len(source), None, source.splitlines(keepends=True), FILE
    space = {"__name__": "answer"}
    exec(compile(source, FILE, "exec"), space)
    found = tuple(space[name] for name in names)
    return found if len(found) > 1 else found[0]


def _line(error: BaseException) -> list | None:
    """Number and text of the answer's last line that an exception went through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    if isinstance(error, SyntaxError) and error.filename == FILE:
        lines.append(error.lineno)
    return [lines[-1], linecache.getline(FILE, lines[-1]).strip()[:200]] if lines and lines[-1] else None
