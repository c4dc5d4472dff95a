"""What an exercise is, how its answer is judged, and the comparisons that checks are made of."""

import inspect
import linecache
import math
import re
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor


class Wrong(Exception):
    """A part of a check that an answer does not pass: a short key of the mistake, and what to tell."""

    def __init__(self, key: str, message: str):
        super().__init__(message)
        self.key, self.message = key, message


class Endless(BaseException):
    """An answer took too long. Not an Exception, which it might catch."""


@dataclass(frozen=True)
class Verdict:
    """What a check found. `answer` is the answer if it is right, else None, so that `verdict.answer or other` goes on
    with the package's own version; `key` names the mistake, "right" if there is none."""

    id: str
    name: str
    ok: bool
    points: int
    key: str
    text: str
    answer: object = None

    def __str__(self) -> str:
        return self.text

    def _ipython_display_(self) -> None:
        """Nothing: a notebook's check has printed it already."""


CHANGED = (
    "changed its input",
    "A tensor or list that was given has changed, and belongs to the caller: work on a copy, x.clone() or list(x).",
)


class Numbers:
    """Random float64 inputs of a check, from a seed."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def whole(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from low to high - 1."""
        return torch.randint(low, high, shape, generator=self.generator)


class Exercise:
    """An exercise and the parts of its check, in the order in which they are tried.

    A part is a function (answer, given) that raises Wrong; `given` are Numbers. It knows closed forms, exact models,
    derivatives or other libraries, never the solution and never the package's own version of what is asked.
    """

    def __init__(self, id: str, name: str, points: int, minutes: int, see: str, names: tuple[str, ...] = ()):
        self.id, self.name, self.points, self.minutes, self.see = id, name, points, minutes, see
        self.names = names or (name,)  # of what the answer is made: more than one where it is a tuple of functions
        self.parts: list[tuple[str, Callable]] = []

    @property
    def worth(self) -> str:
        return "1 point" if self.points == 1 else f"{self.points} points"

    def part(self, title: str) -> Callable:
        """Adds the decorated function as the next part."""

        def add(function):
            self.parts.append((title, function))
            return function

        return add

    def verdict(self, answer, seed: int = 0) -> Verdict:
        """Try the parts in order, up to the first that fails. No exception of the answer leaves this."""
        passed = []
        for title, part in self.parts:
            try:
                with torch.random.fork_rng(devices=[]), _settings_kept():
                    torch.manual_seed(seed)
                    part(untouched(answer), Numbers(seed))
            except Wrong as wrong:
                return self._verdict(passed, title, wrong.key, wrong.message)
            except Endless as error:
                return self._verdict(passed, title, "endless", str(error))
            except (Exception, SystemExit) as error:
                if is_stub(error):
                    return self.not_written()
                return self._verdict(passed, title, "raised", told(error, answer))
            passed.append(title)
        return self._verdict(passed, "", "right", "", answer)

    def not_written(self) -> Verdict:
        """The verdict on a stub."""
        return self._verdict([], "", "not written", "not written yet")

    def ended(self, key: str, message: str) -> Verdict:
        """The verdict on an answer that could not be judged to its end."""
        head = f"Exercise {self.id} {self.name}: not judged to its end (0 of {self.worth})"
        text = "\n".join([head, *(f"    {line}" for line in message.splitlines()), f"  See {self.see}."])
        return Verdict(self.id, self.name, False, 0, key, text)

    def _verdict(self, passed: list[str], failed: str, key: str, message: str, answer=None) -> Verdict:
        ok, head = key == "right", f"Exercise {self.id} {self.name}: "
        if ok or key == "not written":
            text = head + (f"right, {self.worth}" if ok else f"{message} (0 of {self.worth})")
            return Verdict(self.id, self.name, ok, self.points * ok, key, text, answer)
        lines = [head + f"not right yet (0 of {self.worth})", *(f"  passed: {title}" for title in passed)]
        lines += [f"  failed: {failed}", *(f"    {line}" for line in message.splitlines())]
        if later := [title for title, _ in self.parts[len(passed) + 1 :]]:
            lines.append(f"  not tried: {'; '.join(later)}")
        return Verdict(self.id, self.name, False, 0, key, "\n".join([*lines, f"  See {self.see}."]))


@contextmanager
def limited(seconds: float):
    """Raise Endless inside an answer that has not ended after so long. Windows and other threads cannot: they wait."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_):
        raise Endless(f"Your answer had not ended after {seconds:g} s: is there a loop that cannot end?")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again each second, if an answer catches it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def explained(says: dict[str, tuple[str, str]]):
    """Where torch raises an error with some of these words, raise Wrong of the key, with its words and what to do."""
    try:
        yield
    except RuntimeError as error:
        for words, (key, message) in says.items():
            if words in str(error):
                raise Wrong(key, f"{str(error).splitlines()[0][:100]} ... That is: {message}") from None
        raise


@contextmanager
def _settings_kept():
    """Put back what an answer may set for all of torch, so for the rest of a notebook too; raise Wrong if it did."""
    before = torch.is_grad_enabled(), torch.get_default_dtype()
    try:
        yield
        after = torch.is_grad_enabled(), torch.get_default_dtype()
    finally:
        torch.set_grad_enabled(before[0])
        torch.set_default_dtype(before[1])
    if after != before:
        what = "set_grad_enabled" if after[0] != before[0] else "set_default_dtype"
        raise Wrong("a setting left", f"After your answer torch.{what} is not as it was, for all that follows: write "
                    "`with torch.no_grad():`, or give new tensors their dtype.")  # fmt: skip


def is_stub(error: Exception) -> bool:
    """Whether a stub raised this: torch raises NotImplementedError too, where an operation has no such dtype."""
    return isinstance(error, NotImplementedError) and (not str(error) or str(error).startswith("exercise "))


def untouched(answer):
    """The answer, raising Wrong if it changes a tensor or a list that it is given, or marks it. Classes and values are
    as they are."""
    if isinstance(answer, tuple):
        return tuple(map(untouched, answer))
    if inspect.isclass(answer) or not callable(answer):
        return answer

    def called(*args, **options):
        given = [v for v in [*args, *options.values()] if isinstance(v, Tensor | list)]
        before = [v.detach().clone() if isinstance(v, Tensor) else v.copy() for v in given]
        asked = [getattr(v, "requires_grad", False) for v in given]
        found = answer(*args, **options)
        for thing, as_it_was in zip(given, before, strict=True):
            if not _unchanged(thing, as_it_was):
                raise Wrong(CHANGED[0], _changed(answer, thing, args, options) or CHANGED[1])
        if [getattr(v, "requires_grad", False) for v in given] != asked:
            raise Wrong("input marked", "A tensor that was given asks for gradients now, and belongs to the "
                        "caller: write into x.clone(), differentiate by x.detach().requires_grad_().")  # fmt: skip
        return found

    return called


def _changed(answer, thing, args: tuple, options: dict) -> str:
    """What to tell of an argument that has changed, by its name; "" if that is not known."""
    try:
        given = inspect.signature(answer).bind(*args, **options).arguments
    except (TypeError, ValueError):
        return ""
    for name, value in given.items():
        if value is thing:
            copy = f"{name}.clone()" if isinstance(thing, Tensor) else f"list({name})"
            return f"{name} has changed, and belongs to the caller: work on a copy, {copy}."
    return ""


def _unchanged(a: Tensor | list, b: Tensor | list) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(v is w for v, w in zip(a, b, strict=True))
    return a.shape == b.shape and torch.equal(a.detach().nan_to_num(), b.nan_to_num())


# what torch says where float32 meets float64
_TWO_TYPES = re.compile(r"same dtype|dtypes match|dtype to be equal|double.*float|float.*double", re.IGNORECASE)


def told(error: Exception, answer) -> str:
    """An exception of an answer: its line, if it is known, and its words. One that comes from another process has the
    line with it."""
    code = said = None
    with suppress(Exception):  # an object may refuse even this
        code = getattr(answer, "__code__", None) or getattr(getattr(answer, "forward", None), "__code__", None)
    with suppress(Exception):
        said = str(error)
    if "is missing the required" in str(said):  # a module without forward, of which torch's own line is raised
        code = None
    said = f"{type(error).__name__}: {said}"
    if _TWO_TYPES.search(said):
        said += "\nNew tensors must be of the inputs' type: torch.zeros_like(x), x.new_zeros(n), torch.tensor(s).to(x)."
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if code is not None and f.filename == code.co_filename]
    if hasattr(error, "answer_line"):
        number, line = error.answer_line
    elif own:
        number, line = own[-1].lineno, linecache.getline(own[-1].filename, own[-1].lineno).strip()
    else:
        return f"Your answer, or what it returned, ended in {said}"
    return f"Your line {number}{f', {line!r},' if line else ''} ended in {said}"


def refuses(call: Callable, what: str) -> tuple[bool, object]:
    """Whether an answer's call ends in a ValueError, as it must, and what it returned if not. Raises Wrong for another
    exception."""
    try:
        return False, call()
    except ValueError:
        return True, None
    except Exception as error:
        if is_stub(error):
            raise
        said = f"{type(error).__name__}: {error}"
        raise Wrong("another error", f"{what} ended in {said}. Raise ValueError.") from None


def is_tensor(found, shape: tuple[int, ...], what: str = "the result") -> None:
    """Raise Wrong unless `found` is a float64 tensor of this shape, without NaN or infinity. Inputs are float64."""
    if not isinstance(found, Tensor):
        raise Wrong("no tensor", f"{what} must be a tensor {tuple(shape)}; you return {kind(found)}.")
    if tuple(found.shape) != tuple(shape):
        raise Wrong("shape", f"{what} must have shape {tuple(shape)}; yours has {tuple(found.shape)}.")
    if found.dtype != torch.float64:
        raise Wrong("dtype", f"{what} came back as {found.dtype}, the inputs are float64: make new tensors like them.")
    if not found.isfinite().all():
        raise Wrong("not finite", f"{what} has NaN or infinity in it.")


def stays_float32(found, what: str = "the result") -> None:
    """Raise Wrong unless a result for float32 inputs is float32, as a net's weights are."""
    if not isinstance(found, Tensor) or found.dtype != torch.float32:
        kind_of = found.dtype if isinstance(found, Tensor) else kind(found)
        message = f"{what} came back as {kind_of}, the inputs are float32, as in training: make new tensors like them."
        raise Wrong("not float32", message)


def alone_in_float32(found, shape: tuple[int, ...], what: str = "the result") -> None:
    """Raise Wrong unless a result for one sample, float32 as in training, has this shape, and float32."""
    stays_float32(found, what)
    if tuple(found.shape) != tuple(shape):
        raise Wrong("one alone", f"Of a batch of one, {what} must have shape {tuple(shape)}; yours has "
                    f"{tuple(found.shape)}. Does squeeze() take an axis that is 1 by chance?")  # fmt: skip


def is_number(found) -> bool:
    """Whether it is one real number, of any library, or a tensor or an array of one."""
    several = math.prod(getattr(found, "shape", ())) != 1
    return hasattr(found, "__float__") and not isinstance(found, bool) and not several


def of_one_axis(t) -> None:
    """Raise Wrong if a model is called with times of more than one axis: it takes (B,) or ()."""
    if isinstance(t, Tensor) and t.ndim > 1:
        raise Wrong("t's shape", f"The model is asked with t of shape {tuple(t.shape)}: it takes (B,) or ().")


def kind(found) -> str:
    """What was returned, in words."""
    return "None (is the return missing?)" if found is None else f"a {type(found).__name__}"


def close(a, b, rtol: float = 1e-8) -> bool:
    """Whether two tensors or numbers agree, relative to the largest of the second."""
    a, b = (torch.as_tensor(v, dtype=torch.float64).detach() for v in (a, b))
    return a.shape == b.shape and bool((a - b).abs().max() <= rtol * max(1e-12, b.abs().max().item()))


def same(found, wanted: Tensor, slips: dict | None = None, what: str = "the result", rtol: float = 1e-8) -> None:
    """Raise Wrong unless `found` is the tensor or number `wanted`.

    `slips` are typical mistakes: key -> (what it gives, what to tell). The one that gives what was found is told; if
    none does, the place that is farthest off.
    """
    if isinstance(wanted, Tensor):
        is_tensor(found, wanted.shape, what)
    elif not is_number(found):
        raise Wrong("no number", f"{what} must be a number; you return {kind(found)}.")
    found = found if isinstance(found, Tensor) else float(found)  # sympy's numbers and Decimal too
    found, wanted = (torch.as_tensor(v, dtype=torch.float64).detach() for v in (found, wanted))
    found = found.reshape(wanted.shape)
    if close(found, wanted, rtol):
        return
    alike = {k: v for k, v in (slips or {}).items() if close(found, v[0], max(rtol, 1e-6))}
    if alike:  # two slips can give nearly the same: the nearer one is told
        key = min(alike, key=lambda k: (found - torch.as_tensor(alike[k][0], dtype=torch.float64)).abs().max())
        raise Wrong(key, alike[key][1])
    place = torch.unravel_index((found - wanted).abs().nan_to_num(torch.inf).argmax(), wanted.shape)
    where = f" at {[int(i) for i in place]}" if wanted.ndim else ""
    is_now, right = (f"{value[place].item():.6g}" for value in (found, wanted))
    if is_now == right or close(found, wanted, 1e-6):  # as where a number was float32 on the way
        off = abs((found - wanted)[place].item())
        message = f"{what} is off by {off:.1g}{where}: was something float32 on the way, or a small number added?"
        raise Wrong("nearly", f"{message} Inputs are float64: so must be torch.tensor(...), torch.zeros(...).")
    raise Wrong("value", f"{what} is {is_now}{where}; {right} is right.{_everywhere(found, wanted)}")


def _everywhere(found: Tensor, wanted: Tensor) -> str:
    """In words, if all numbers are wrong by one factor or by one amount."""
    if wanted.numel() < 2:
        return ""
    factor, off = (found * wanted).sum() / wanted.square().sum(), (found - wanted).mean()
    if close(found, factor * wanted, 1e-6):
        return f" All are {factor:.4g} times what is right." if factor else " All are 0."
    return f" All are off by {off:.4g}." if close(found, wanted + off, 1e-6) else ""
