"""The side of the check: an answer's functions are called from here, where no line of a student's ever runs."""

import torch
from torch import Tensor

from ..check.exercise import CHANGED, Exercise, Verdict, Wrong, is_stub, told
from .calls import Peer
from .gradients import Results
from .wire import LARGEST, Ended

# what models, schedules and layers have
PUBLIC = ("schedule", "null", "parameters", "log_snr", "time", "rates", "grid", "t_min", "t_max", "weight", "bias",
          "in_features", "out_features")  # fmt: skip
_ENDS = {
    "MemoryError": ("memory", "The answer asked for more memory than there is for one exercise."),
    "TooLarge": ("too large", "What the answer returned is too large to be looked at."),
    "OwnVersion": ("own version", ""),
}


class Judge(Peer):
    """The check's side of a socket to a worker."""

    def __init__(self, sock):
        super().__init__(sock, "j", LARGEST)
        self.errors = []

    def run(self, source: str, names: tuple[str, ...]):
        """The answer that a program defines: one object, or the tuple of them."""
        reply, tensors = self.ask({"do": "run", "source": source, "names": list(names)}, [])
        return self.unpack(reply["value"], tensors)

    def call(self, of: str, args: tuple, options: dict, hidden=()):
        body, out = self.call_body(of, args, options)
        needs = [i for i, t in enumerate(out) if t.requires_grad]
        reply, tensors = self.ask({**body, "needs": needs, "hidden": None}, out)
        if reply["changed"]:
            raise Wrong(*CHANGED)
        for i in reply["asks"]:
            out[i].requires_grad_()
        for known, form in reply["gradients"]:
            leaf, more = self.leaves[known], self.unpack(form, tensors)
            leaf.grad = more if leaf.grad is None else leaf.grad + more
        if reply["settings"]:
            torch.set_grad_enabled(reply["settings"][0])
            torch.set_default_dtype(getattr(torch, reply["settings"][1]))
        for known, state in reply["generators"]:
            self.generators[known].set_state(self.unpack(state, tensors))
        if reply["call"]:
            inputs = [out[i] for i in needs] + [self.leaf(*leaf) for leaf in reply["hidden"]]
            with torch.enable_grad():
                tied = Results.apply(self, reply["call"], [tensors[i] for i in reply["needs"]], *inputs)
            for i, t in zip(reply["needs"], tied, strict=True):
                tensors[i] = t
        return self.unpack(reply["value"], tensors)

    def attribute(self, of: str, name: str):
        raise AttributeError(name)

    def on_get(self, body, tensors):
        """An attribute of an object that the answer was given: only what models, schedules and layers have."""
        if body["name"] not in PUBLIC:
            raise AttributeError(f"the object that was given has no {body['name']!r}")
        out: list[Tensor] = []
        return {"value": self.pack(getattr(self.find(body["of"]), body["name"]), out)}, out

    def pack_handle(self, value, hidden) -> dict:
        """With the tensors that a function learns by, which the answer's side must know before it calls."""
        held = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        return super().pack_handle(value, [t for t in held if isinstance(t, Tensor) and t.requires_grad])

    def pack_error(self, error: BaseException) -> dict:
        self.errors.append(error)
        return {**super().pack_error(error), "token": len(self.errors) - 1}

    def unpack_error(self, body: dict) -> BaseException:
        """What the check itself raised comes back as it was; reasons to end are no exception that a check expects."""
        for kind in body["kinds"]:
            if kind in _ENDS:
                key, message = _ENDS[kind]
                return Ended(key, message or str(body["words"]))
        token = body.get("token")
        error = super().unpack_error(body) if token is None else self.errors[token]
        if body.get("line"):
            error.answer_line = int(body["line"][0]), str(body["line"][1])
        return error


def verdict(exercise: Exercise, source: str, names: tuple[str, ...], seed: int, sock) -> Verdict:
    """The verdict on a program whose worker is at the other end of the socket. Never raises for what it does."""
    try:
        return exercise.verdict(Judge(sock).run(source, names), seed)
    except Ended as ended:
        return exercise.ended(ended.key, ended.message)
    except Exception as error:
        if is_stub(error):
            return exercise.not_written()
        return exercise.ended("syntax" if isinstance(error, SyntaxError) else "raised", told(error, None))
