"""Calls across a socket, in both directions and nested, and gradients through them.

Both sides are a Peer: while it waits for a reply it serves the other's calls. A message says under "do" what it is:
"call", "get" (an attribute), "vjp" (gradients) and "run" (a program) ask, each with a "number"; "reply" and "raise" are
"to" such a number. "needs" are the places, among a message's tensors, of those that gradients go through.

A call that gradients go through is a function of autograd whose backward asks the other side for vector-Jacobian
products. The side that computed keeps the inputs and outputs of each call; a product is kept as a new call, whose
inputs are those of the old one and the vectors, so that a second derivative is the same once more, and nothing is
evaluated twice. What a function uses beside its arguments (a matrix, the parameters of a module) counts as inputs too,
as hidden ones.
"""

import builtins

import torch
from torch import Tensor, nn

from .gradients import leaves_behind
from .modules import Modules
from .wire import Ended, Values, class_named, receive, send

DEEPEST = 40  # calls within calls


class Remote:
    """Something of the other side's that can be called."""

    def __init__(self, peer, of: str, hidden=()):
        self.__dict__.update(_peer=peer, _of=of, _hidden=list(hidden))

    def __call__(self, *args, **options):
        return self._peer.call(self._of, args, options, self._hidden)

    def __getattr__(self, name: str):
        return self._peer.attribute(self._of, name)

    def __deepcopy__(self, memo):
        return self


class Peer(Modules, Values):
    """One side. `name` begins the ids of all that it owns; `largest` bounds the messages that it takes."""

    def __init__(self, sock, name: str, largest: int):
        self.sock, self.name, self.largest = sock, name, largest
        self.owned, self.ids, self.remotes = {}, {}, {}  # id -> object; id(object) -> id; id -> Remote
        self.leaves, self.leaf_ids = {}, {}  # id -> tensor; id(tensor) -> id
        self.records = {}  # number of a call -> its inputs and outputs
        self.generators, self.drawn_from = {}, []
        self.depth = self.count = self.number = 0  # of calls within calls, of ids, of messages that ask
        self.start_modules()

    def new_id(self) -> str:
        self.count += 1
        return f"{self.name}{self.count}"

    # --- asking ---

    def call_body(self, of: str, args: tuple, options: dict) -> tuple[dict, list[Tensor]]:
        """The message that calls an object of the other side, and its tensors."""
        out: list[Tensor] = []
        body = {"do": "call", "of": of, "grad": torch.is_grad_enabled(), "args": [self.pack(v, out) for v in args]}
        return {**body, "options": {name: self.pack(v, out) for name, v in options.items()}}, out

    def ask(self, body: dict, tensors: list[Tensor]) -> tuple[dict, list[Tensor]]:
        """Send, serve the other's calls until the reply comes, and return it. Raises what was raised there."""
        self.depth += 1
        self.number = number = self.number + 1
        try:
            if self.depth > DEEPEST:
                raise Ended("nested", f"Calls within calls, {DEEPEST} deep.")
            self.send({**body, "number": number}, tensors)
            while True:
                reply, found = self.receive()
                if reply["do"] not in ("reply", "raise"):
                    self.serve(reply, found)
                elif reply.get("to") != number:
                    raise Ended("forged", "A reply came that was not asked for: does a fork of the process return too?")
                elif reply["do"] == "raise":
                    raise self.unpack_error(reply)
                else:
                    return reply, found
        finally:
            self.depth -= 1

    def send(self, body: dict, tensors: list[Tensor]) -> None:
        state, more = self.state(tensors)
        send(self.sock, {**body, "count": len(tensors), "state": state}, more, self.largest)

    def receive(self) -> tuple[dict, list[Tensor]]:
        body, tensors = receive(self.sock, self.largest)
        self.set_state(body["state"], tensors)
        return body, tensors

    # --- serving ---

    def serve(self, body: dict, tensors: list[Tensor]) -> None:
        """Answer one message of the other side."""
        try:
            reply, out = {"call": self.on_call, "vjp": self.on_vjp, "get": self.on_get}[body["do"]](body, tensors)
            self.send({"do": "reply", "to": body.get("number"), **reply}, out)
        except Exception as error:
            self.send({"do": "raise", "to": body.get("number"), **self.pack_error(error)}, [])

    def on_call(self, body: dict, tensors: list[Tensor]) -> tuple[dict, list[Tensor]]:
        inputs = [tensors[i].requires_grad_() for i in body["needs"]]
        self.drawn_from = []
        args = [self.unpack(form, tensors) for form in body["args"]]
        options = {name: self.unpack(form, tensors) for name, form in body["options"].items()}
        drawn_from = self.drawn_from
        with torch.set_grad_enabled(body["grad"]):
            value = self.apply(self.find(body["of"]), args, options)
        out = []
        reply = {"value": self.pack(value, out)}
        needs = [i for i, t in enumerate(out) if t.requires_grad]
        if body["hidden"] is not None:
            hidden = [self.leaf(*leaf) for leaf in body["hidden"]]
        else:
            hidden = [v for v in leaves_behind([out[i] for i in needs]) if all(v is not u for u in inputs)]
        reply["call"] = self.keep([*inputs, *hidden], [out[i] for i in needs])
        reply["generators"] = [[known, self.pack(self.generators[known].get_state(), out)] for known in drawn_from]
        return {**reply, "needs": needs, "hidden": [self.leaf_id(v) for v in hidden]}, out

    def apply(self, function, args: list, options: dict):
        return function(*args, **options)

    def on_vjp(self, body: dict, tensors: list[Tensor]) -> tuple[dict, list[Tensor]]:
        """Vector-Jacobian products of an earlier call."""
        inputs, outputs = self.records[body["call"]]
        vectors = [tensors[i].requires_grad_(body["again"]) for i in range(len(outputs))]
        found = torch.autograd.grad(
            outputs, inputs, vectors, create_graph=body["again"], retain_graph=True, allow_unused=True
        )
        out = []
        reply = {"value": [self.pack(v, out) for v in found]}
        needs = [i for i, v in enumerate(found) if v is not None and v.requires_grad]
        reply["call"] = self.keep([*inputs, *vectors], [found[i] for i in needs])
        return {**reply, "needs": needs}, out

    def on_get(self, body: dict, tensors: list[Tensor]) -> tuple[dict, list[Tensor]]:
        raise AttributeError(f"an answer has no {body['name']!r}")

    def keep(self, inputs: list[Tensor], outputs: list[Tensor]) -> int:
        """Keep a call for later products; its number, 0 if there is nothing to keep."""
        if not outputs:
            return 0
        self.count += 1
        self.records[self.count] = inputs, outputs
        return self.count

    # --- what was raised ---

    def pack_error(self, error: BaseException) -> dict:
        kinds = [c.__name__ for c in type(error).__mro__]
        return {"kinds": kinds, "words": str(error)[:2000]}

    def unpack_error(self, body: dict) -> Exception:
        """An exception of the same name, words and built-in kind as the one that was raised on the other side."""
        known = (vars(builtins).get(kind) for kind in body["kinds"])
        base = next((c for c in known if isinstance(c, type) and issubclass(c, Exception)), Exception)
        name = str(body["kinds"][0])
        words = str(body["words"])
        return type(name, (base,), {"__str__": lambda self: words})(words)

    # --- leaves of the graph that both sides know ---

    def leaf_id(self, t: Tensor) -> list:
        """What a leaf is called by both sides, its type and its shape."""
        known = self.parameter_id(t) or self.leaf_ids.get(id(t))
        if known is None:
            known = self.leaf_ids[id(t)] = self.new_id()
            self.leaves[known] = t
        return [known, str(t.dtype).removeprefix("torch."), list(t.shape)]

    def leaf(self, known, dtype: str, shape: list[int]) -> Tensor:
        """The leaf of that name; a stand-in for one of the other side's, of which only the gradient counts."""
        if isinstance(known, list):
            return self.modules[known[0]]._parameters[known[1]]
        if known not in self.leaves:
            zero = torch.zeros((), dtype=getattr(torch, dtype))
            self.leaves[known] = zero.expand(shape).requires_grad_()
            self.leaf_ids[id(self.leaves[known])] = known
        return self.leaves[known]

    # --- values ---

    def pack_object(self, value, out: list[Tensor]):
        if isinstance(value, torch.Generator):
            known = self.ids.setdefault(id(value), self.new_id())
            self.generators[known] = value
            return {"generator": [known, self.pack(value.get_state(), out)]}
        if isinstance(value, Remote):
            return {"yours": value._of}
        if isinstance(value, nn.Module):
            return {"module": self.pack_module(value, out)}
        return self.pack_handle(value, [])

    def pack_handle(self, value, hidden: list[Tensor]) -> dict:
        if id(value) not in self.ids:
            self.ids[id(value)] = self.new_id()
            self.owned[self.ids[id(value)]] = value
        return {"handle": [self.ids[id(value)], type(value).__name__, [self.leaf_id(t) for t in hidden]]}

    def unpack_object(self, tag: str, body, tensors: list[Tensor]):
        if tag == "yours":
            return self.find(body)
        if tag == "module":
            return self.unpack_module(body, tensors)
        if tag == "generator":
            generator = self.generators.setdefault(body[0], torch.Generator())
            self.drawn_from.append(body[0])
            return generator.set_state(self.unpack(body[1], tensors))
        return self.remote(body[0], body[1], [self.leaf(*leaf) for leaf in body[2]])

    def remote(self, known: str, name: str = "function", hidden=()) -> Remote:
        if known not in self.remotes:
            self.remotes[known] = class_named(name, Remote)(self, known, hidden)
        return self.remotes[known]

    def find(self, of: str):
        """An object of this side by its id."""
        return self.owned[of] if of in self.owned else self.own_module(of)
