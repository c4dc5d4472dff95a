"""Checks of lecture 10: the quiz, prompts to pictures, experiments that could refute a claim, predictions."""

import json
import operator
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from ..data.shapes import checker
from ..data.shapes.captions import describe
from ..data.shapes.scenes import draw, render
from ..denoise import Prediction
from ..oracles import EmpiricalDenoiser
from ..schedules import EDM, VP, Linear
from .exercise import Exercise, Verdict, Wrong, same
from .intervals import no_interval

SEE = "lecture 10"
DATA = json.loads(Path(__file__).with_name("quiz.json").read_text(encoding="utf-8"))
QUESTIONS = DATA["questions"]


# --- 10.1 ---


class Quiz(Exercise):
    """An exercise of many questions: a point for each that is right."""

    def verdict(self, answer, seed: int = 0) -> Verdict:
        answers = {}

        def once():  # a function may not give the same twice
            answers.update(_dictionary(answer))
            return dict(answers)

        found = super().verdict(once, seed)
        if found.key == "right":
            return replace(found, answer=answer)
        if not answers or found.key in ("raised", "no answers"):
            return found
        right, said = 0, []
        for n in range(1, len(QUESTIONS) + 1):
            if n in answers:
                key, hint = judged(n, answers[n])
                right += key == "right"
                said += [] if key == "right" else [f"  {n}: {hint} See lecture {QUESTIONS[n - 1]['lecture']}."]
        missing = [str(n) for n in range(1, len(QUESTIONS) + 1) if n not in answers]
        said += [f"  no answer yet: {', '.join(missing)}"] if missing else []
        head = f"Exercise {self.id} {self.name}: {right} of {self.points} points"
        return replace(found, points=right, text="\n".join([head, *said]))


quiz = Quiz("10.1", "quiz", len(QUESTIONS), 36, "the lecture that each question is from")
text_to_image = Exercise("10.2", "text_to_image", 6, 30, SEE)
controls = Exercise("10.3", "controls", 3, 12, SEE)
predictions = Exercise("10.4", "predictions", 1, 8, SEE)


def _dictionary(answer) -> dict:
    """A dictionary, or what a function of no arguments returns."""
    found = answer() if callable(answer) else answer
    if not isinstance(found, dict) or not found:
        raise Wrong("no answers", "Return a dictionary, number -> answer, as {1: 'd', 2: 4.1}.")
    return {int(k) if re.fullmatch(r"\d+(\.0)?", str(k)[:9]) else k: v for k, v in found.items()}


def _number(value) -> float | None:
    """A number given as such, as a tensor or an array of one, or in words as "3/8" or "1 3/8"; None if it is none."""
    try:
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, str) and (mixed := re.fullmatch(r"\s*(\d+)\s+(\d+\s*/\s*\d+)\s*", value)):
            return int(mixed[1]) + _number(mixed[2])
        return float(Fraction(re.sub(r"[,\s]", "", value)) if isinstance(value, str) else value)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError, OverflowError):
        return None


def _numbers(value) -> list[float | None]:
    value = value.tolist() if hasattr(value, "tolist") and not isinstance(value, type) else value
    if isinstance(value, str):
        value = value.strip(" ()[]")
        one = re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d*)?", value)  # 16,777,216
        value = [value] if one else re.split(",|;|and", value)
    return [_number(part) for part in (value if isinstance(value, list | tuple) else [value])]


def _equal(found, wanted) -> bool:
    """Whether the numbers are as many and agree to 1%."""
    found, wanted = _numbers(found), _numbers(wanted)
    return len(found) == len(wanted) and all(
        a is not None and abs(a - b) <= (0 if b == int(b) >= 100 else 0.01 * abs(b))
        for a, b in zip(found, wanted, strict=True)
    )


def _plain(text) -> str:
    return re.sub(r"[\s*'’.,\"]", "", _shown(text).replace("**", "^")).lower()


def _shown(answer) -> str:
    try:
        return str(answer)
    except ValueError:  # a number of thousands of digits
        return "a number that cannot be printed"


def _letter(said: str) -> str:
    """Of a choice given as b, (b), b), b: or (b) with its words, or as option b."""
    bracketed = re.match(r"\(?(\w)[):]", said) or re.fullmatch(r"(?:option|experiment|claim|answer)\(?(\w)\)?", said)
    return bracketed[1] if bracketed else said


def judged(n: int, answer) -> tuple[str, str]:
    """("right", "") for a right answer to question n; else a key and a hint: that of a foreseen wrong answer, or a
    general one, "other"."""
    question = QUESTIONS[n - 1]
    if isinstance(answer, list | tuple | set | frozenset) and len(answer) == 1:
        (answer,) = answer
    shown = repr(_shown(answer)[:40])
    if question["kind"] != "choice":
        if any(_equal(answer, right) for right in question["right"]):
            return "right", ""
        for wrong, hint in question["wrong"].items():
            if _equal(answer, wrong):
                return wrong, hint
        numbers = _numbers(answer)
        if None in numbers:
            how = "a number: give 0.5, or '1/2'" if question["kind"] == "number" else "numbers: give a tuple, (0.5, 2)"
            return "other", f"{shown} cannot be read as {how}."
        if question["kind"] == "number" and len(numbers) > 1:
            return "other", f"{shown} was read as {len(numbers)} numbers: write 0.5 with a point."
        read = f", read as {numbers[0]:g}," if isinstance(answer, str) and len(numbers) == 1 else ""
        return "other", f"{shown}{read} is not right. Numbers are compared to 1%."
    options = question["options"]
    said = _plain(answer)
    words = {_plain(said): k for k, text in options.items() for said in (text, f"{k} {text}")}
    letter = words.get(said, _letter(said))
    if letter in map(_plain, question["right"]):
        return "right", ""
    return (letter, question["wrong"][letter]) if letter in question["wrong"] else (
        "other", f"{shown} is none of the choices: {', '.join(options)}.")  # fmt: skip


def q(n: int, answer) -> Verdict:
    """Print whether `answer` to question n of the quiz is right, else a hint, and return it.

    A choice is given by its letter or in its words, a number as number or fraction ("3/8"), several as a tuple. Raises
    ValueError for a number that no question has.
    """
    try:
        n = operator.index(n)
    except TypeError:
        raise ValueError(f"there is no question {n!r}: their numbers are whole, 1 to {len(QUESTIONS)}") from None
    if not 1 <= n <= len(QUESTIONS):
        raise ValueError(f"there is no question {n}: they are numbered 1 to {len(QUESTIONS)}")
    key, hint = judged(n, answer)
    ok = key == "right"
    text = f"Question {n}: right" if ok else f"Question {n}: {hint} See lecture {QUESTIONS[n - 1]['lecture']}."
    print(text)
    return Verdict("10.1", f"question {n}", ok, int(ok), key, text, answer if ok else None)


@quiz.part("all questions")
def _(answer, given):
    answers = _dictionary(answer)
    if unknown := [k for k in answers if k not in range(1, len(QUESTIONS) + 1)]:
        raise Wrong("no answers", f"There is no question {unknown[0]!r}: they are numbered 1 to {len(QUESTIONS)}.")
    for n in sorted(answers):
        key, hint = judged(n, answers[n])
        if key != "right":
            raise Wrong(f"{n}: {key}", hint)
    if missing := [n for n in range(1, len(QUESTIONS) + 1) if n not in answers]:
        raise Wrong(f"{missing[0]}: no answer", f"Question {missing[0]} has no answer yet.")


# --- 10.2 ---


def _weights():
    """What parameters() of a net gives: an answer may ask them for their device and type."""
    return iter([torch.zeros(1)])


class Scenes:
    """The exact model of 24 pictures of shapes, told by tokens which of them to draw, on a path.

    It records what it is called with. `stretch` times the pictures are its data: above 1 they leave [-1, 1].
    """

    def __init__(self, seed: int, stretch: float = 1.0, path=EDM):
        generator = torch.Generator().manual_seed(seed)
        scenes = draw(24, generator)
        self.prompts, self.asked = zip(*describe(scenes, generator), strict=True)
        self.pictures = stretch * render(scenes, 16)
        labels = torch.arange(24)
        self.exact, self.schedule, self.null = EmpiricalDenoiser(self.pictures, path(), labels), path(), 0
        self.parameters = _weights
        self.starts, self.times, self.conds = [], [], []

    def tokenise(self, texts: list[str]) -> Tensor:
        """(n, 2): which of the prompts a text is, from 1, in two digits of base 6; 0 is no word."""
        if isinstance(texts, str):
            raise Wrong("one prompt", "The tokeniser takes a list of texts, and was given one text.")
        numbers = torch.tensor([0 if not text else 1 + self.prompts.index(text) for text in texts])
        return torch.stack([numbers // 6, numbers % 6], 1)

    def __call__(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        self.starts.append(x_t.detach().clone())
        self.times.append(float(torch.as_tensor(t).reshape(-1)[0]))
        self.conds.append(None if cond is None else torch.as_tensor(cond).clone())
        if cond is None:
            return self.exact(x_t, t)
        cond = torch.as_tensor(cond)
        if cond.ndim != 2 or cond.shape != (len(x_t), 2):
            raise Wrong("tokens", f"The model reads tokens ({len(x_t)}, 2), a row a picture; it got "
                        f"{tuple(cond.shape)}.")  # fmt: skip
        numbers = 6 * cond[:, 0] + cond[:, 1]
        return self.exact(x_t, t, torch.where(numbers == 0, 24, numbers - 1))

    def some(self, given, n: int) -> list[int]:
        return torch.randperm(24, generator=given.generator)[:n].tolist()


STEPS = 12


def _draw(answer, world, prompts, scale: float = 1.0, seed=7, shape=(3, 16, 16), steps: int = STEPS) -> Tensor:
    """What an answer draws of the prompts; `seed` may be a generator."""
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    found = answer(world, world.tokenise, prompts, shape, scale, steps, generator)
    shape = len(prompts), *shape
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise Wrong("shape", f"A tensor {shape} must come back, a picture for each prompt; yours is {what}.")
    if not found.isfinite().all():
        raise Wrong("not finite", "The pictures have NaN or infinity in them.")
    return found.detach().float()


def _nearest(x: Tensor, world: Scenes) -> tuple[list[int], float]:
    """Which of the scenes each picture is nearest to, and the largest error of any of them."""
    away = (x[:, None] - world.pictures).abs().flatten(2)
    which = away.square().sum(2).argmin(1)
    return which.tolist(), away[torch.arange(len(x)), which].max().item()


def _as_told(found: Tensor, world: Scenes, wanted: list[int], scale: float) -> None:
    """Raise Wrong unless picture i is scene wanted[i]."""
    sigma = world.schedule(torch.tensor(world.schedule.t_max))[1].item()
    start = world.starts[0].std().item() if world.starts else sigma
    if not 0.75 < start / sigma < 1.25:
        raise Wrong("start", f"The first x has deviation {start:.3g}: it is sigma(t_max) times noise, {sigma:.3g} on "
                    "this path.")  # fmt: skip
    which, error = _nearest(found, world)
    if which == wanted and error < 1e-3:
        if scale == 1:
            _on_the_path(world, wanted)
        return
    for key, (change, message) in _RANGES.items():
        if (found - (meant := change(world.pictures[wanted]))).abs().max() <= max(0.02, meant.abs().max() / 200):
            raise Wrong(key, message)
    conditions = [c for c in world.conds if c is not None and (c != 0).any()]
    if not conditions:
        raise Wrong("condition lost", "All prompts draw from all scenes: the tokens never reached the model.")
    if len(torch.cat([c[(c != 0).any(1)] for c in conditions]).unique(dim=0)) == 1:
        raise Wrong("one prompt for all", "Every picture was drawn from one prompt: the tokens differ by row.")
    if world.times[-1] > world.times[0]:
        raise Wrong("wrong way", "The times rise: the grid falls from noise to data.")
    if world.times[-1] > 10 * world.schedule.t_min or which == wanted and error < 0.3:
        raise Wrong("a veil of noise", f"Off by up to {error:.2g}. The model was last asked at t = "
                    f"{world.times[-1]:.3g}: take the times of model.schedule.grid(steps), which end at 0, to the "
                    "last.")  # fmt: skip
    if scale != 1:
        raise Wrong("guided away", f"At scale {scale:g} the pictures are not what the prompts say: x0 and eps are null "
                    "+ scale * (cond - null), and only the last x is clamped.")  # fmt: skip
    place = next((i for i, (a, b) in enumerate(zip(which, wanted, strict=True)) if a != b), 0)
    raise Wrong("other scenes", f"Picture {place} is not the scene of prompt {place}: is the order kept? And is "
                "it null + scale * (cond - null), which at scale 1 is the model under cond?")  # fmt: skip


_RANGES = {  # key -> (what becomes of a picture, what to tell)
    "in [0, 1]": (lambda x: (x + 1) / 2, "The pictures are in [0, 1]: leave them in [-1, 1]."),
    "dark parts cut off": (lambda x: x.clamp(0, 1), "All below 0 is cut off: pictures lie in [-1, 1]."),
    "bytes": (lambda x: (x + 1) * 127.5, "The pictures are bytes, 0 to 255: leave them in [-1, 1]."),
    "tanh": (torch.tanh, "The pictures are bent by tanh: what the sampler draws lies in [-1, 1] already; cut off the "
             "little that does not."),
}  # fmt: skip


def _on_the_path(world: Scenes, wanted: list[int]) -> None:
    """Raise Wrong if the model was asked about an x that is not alpha x0 + sigma eps, eps of deviation 1 and nothing
    to do with x0: a told scene ends right even so, as its x0 is always the same."""
    x0 = world.pictures[wanted]
    along = x0 / x0.square().sum((1, 2, 3), keepdim=True).sqrt()
    for x, t in zip(world.starts, world.times, strict=True):
        alpha, sigma = world.schedule(torch.tensor(t))
        if x.shape != x0.shape or t < 0.01:
            continue
        eps = (x - alpha * x0) / sigma
        if (eps * along).sum((1, 2, 3)).abs().max() > 6 or not 0.85 < eps.square().mean().sqrt() < 1.15:
            raise Wrong("off the path", f"At t = {t:.2f} the model is asked about an x that is not alpha x0 + sigma "
                        "eps on its path: take alpha and sigma of each time from model.schedule.")  # fmt: skip


@text_to_image.part("each picture is its prompt's scene, without guidance")
def _(answer, given):
    world = Scenes(int(given.whole(0, 1000)))
    chosen = world.some(given, 5)
    found = _draw(answer, world, [world.prompts[i] for i in chosen])
    _as_told(found, world, chosen, 1.0)
    rows = checker.accuracy([world.asked[i] for i in chosen], found)
    if min(rows.values()) < 1:
        raise Wrong("misread", f"The checker does not find all that the prompts say: {rows}.")
    for path, steps in ((Linear, STEPS), (VP, 6 * STEPS)):  # on VP Euler's steps are not exact
        world = Scenes(int(given.whole(0, 1000)), path=path)
        chosen = world.some(given, 7)
        _as_told(_draw(answer, world, [world.prompts[i] for i in chosen], steps=steps), world, chosen, 1.0)


@text_to_image.part("with guidance, scale 3")
def _(answer, given):
    world = Scenes(int(given.whole(0, 1000)))
    chosen = world.some(given, 4)
    found = _draw(answer, world, [world.prompts[i] for i in chosen], 3.0, steps=2 * STEPS)
    if not any(c is None or (c == 0).all(1).any() for c in world.conds):
        raise Wrong("no guidance", "At scale 3 the model is never asked without the prompt: nothing was guided.")
    _as_told(found, world, chosen, 3.0)


class Grey:
    """The exact model of two pictures, each of one grey: `told` for any words, `untold` for none. It records at which
    times it was asked with words and without, and about which x."""

    def __init__(self, told: float, untold: float, path):
        self.told, self.untold, self.schedule, self.null = told, untold, path(), 0
        self.asked, self.parameters = [], _weights

    def tokenise(self, texts: list[str]) -> Tensor:
        return torch.tensor([[len(text), 0] for text in texts])

    def __call__(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        words = torch.zeros(len(x_t), 1) if cond is None else torch.as_tensor(cond).reshape(len(x_t), -1)
        said, t = (words != 0).any(1), torch.as_tensor(t).detach()
        self.asked += [
            (float(t.reshape(-1)[0]), bool(row), x.detach().clone()) for row, x in zip(said, x_t, strict=True)
        ]
        x0 = torch.where(said, self.told, self.untold).to(x_t).view(-1, 1, 1, 1).expand_as(x_t).clone()
        alpha, sigma = (v.reshape(-1, 1, 1, 1).to(x_t) for v in self.schedule(t))
        return Prediction(x0, (x_t - alpha * x0) / sigma)


@text_to_image.part("guidance by this very scale, below 1 and below 0 too; 0 is no prompt")
def _(answer, given):
    for low, high in ((1.5, 3.0), (0.3, 0.7), (-0.4, -0.2)):
        for path in (EDM, Linear):
            _guided_by(answer, given, given.uniform(low, high).item(), path)
    world = Grey(0.5, -0.25, Linear)
    found = _draw(answer, world, ["grey", "grey"], 0.0, shape=(3, 8, 8)).mean().double()
    slips = {"0 is off": (0.5, "At scale 0 the picture is that of no prompt; yours is that of the prompt: only scale 1 "
                          "is off.")}  # fmt: skip
    same(found, torch.tensor(-0.25).double(), slips, "the grey of a picture at scale 0", 1e-4)


def _guided_by(answer, given, scale: float, path) -> None:
    untold, step = (given.uniform(*v).item() for v in ((-0.7, -0.6), (0.4, 0.5)))
    world = Grey(untold + step, untold, path)
    found = _draw(answer, world, ["grey", "grey"], scale, shape=(3, 8, 8)).mean().double()
    why = f"Guided with scale {scale:.2f} the picture is null + scale * (cond - null)"
    slips = {
        "scale + 1": (untold + (scale + 1) * step, f"{why}; yours is that of {scale + 1:.2f}: is 1 off, or 0?"),
        "off below 1": (untold + step, f"{why}; yours is that of scale 1: only scale 1 is off."),
        "scale - 1": (untold + (scale - 1) * step, f"{why}; yours is that of {scale - 1:.2f}: is 1 off, or 0?"),
    }
    same(found, torch.tensor(untold + scale * step).double(), slips, "the grey of a guided picture", 1e-4)
    told, not_told = ({t for t, said, _ in world.asked if said is which} for which in (True, False))
    if told != not_told:
        raise Wrong("guided in part", f"Of {len(told | not_told)} times the model was asked at {len(told & not_told)} "
                    "both with the prompt and without: guide at each.")  # fmt: skip
    seen = {}
    for t, _, x in world.asked:
        alpha, sigma = world.schedule(torch.tensor(t))
        seen.setdefault(t, []).append((x - alpha * (untold + scale * step)) / sigma)
    for t, each in seen.items():
        eps = torch.stack(each)
        rms, error = eps.square().flatten(1).mean(1).sqrt(), (2 * 3 * 8 * 8) ** -0.5
        if t > 0.01 and (rms.min() < 0.8 or rms.max() > 1.2 or eps.mean().abs() > 6 * error):
            raise Wrong("eps not guided", f"At t = {t:.2f} the model is asked about an x that is not alpha x0 + sigma "
                        "eps of the guided x0: guide at each time, and eps as you guide x0, or take it of the guided "
                        "x0 by (x - alpha x0) / sigma.")  # fmt: skip


@text_to_image.part("an empty prompt: any of the scenes")
def _(answer, given):
    world = Scenes(int(given.whole(0, 1000)))
    one = world.some(given, 1)[0]
    found = _draw(answer, world, ["", world.prompts[one], ""], 3.0)
    which, error = _nearest(found, world)
    if error > 1e-3 or which[1] != one:
        raise Wrong("empty prompt", "An empty prompt beside others: its pictures must be scenes too, and theirs as "
                    "told.")  # fmt: skip


@text_to_image.part("numbers in [-1, 1]")
def _(answer, given):
    world = Scenes(int(given.whole(0, 1000)), stretch=1.4)
    chosen = world.some(given, 3)
    found = _draw(answer, world, [world.prompts[i] for i in chosen])
    if found.abs().max() > 1 + 1e-6:
        raise Wrong("out of range", f"Pictures lie in [-1, 1]; yours reach {found.abs().max():.2f}: clamp them.")
    if (found - world.pictures[chosen].clamp(-1, 1)).abs().max() > 0.02:
        raise Wrong("rescaled", "What lies outside [-1, 1] is cut off, and all else stays as it is.")


@text_to_image.part("noise from the generator, and as many steps as asked for")
def _(answer, given):
    world = Scenes(int(given.whole(0, 1000)))
    draws, later = [], []
    for seed in (11, 11, 12):
        world.starts.clear(), world.times.clear()
        _draw(answer, world, ["", ""], 1.0, seed)
        draws.append(torch.cat([x for x, t in zip(world.starts, world.times, strict=True) if t == max(world.times)]))
        later.append(world.starts[-1])
    if not torch.equal(draws[0], draws[1]):
        raise Wrong("random", "Equal seeds start from different noise: draw it with the generator that is given.")
    if later[0].shape != later[1].shape or not torch.equal(later[0], later[1]):
        raise Wrong("random on the way", "Equal seeds start alike and end differently: give the generator to the "
                    "sampler too.")  # fmt: skip
    if torch.equal(draws[0], draws[2]):
        raise Wrong("one seed", "Different seeds start from the same noise: draw it with the generator that is given.")
    if torch.equal(draws[0][0], draws[0][-1]):
        raise Wrong("one noise", "All pictures start from the same noise: draw it for each.")
    if torch.equal(draws[0][0][0], draws[0][0][-1]):
        raise Wrong("grey noise", "All channels start from the same noise: draw it for each number.")
    if draws[0].abs().max() < 2 * draws[0].std():  # of 1,536 normal numbers the largest is beyond 3
        raise Wrong("not normal", "The noise has no tails: it is normal, torch.randn's, not uniform.")
    generator = torch.Generator().manual_seed(13)
    first, second = (_draw(answer, world, ["", ""], 1.0, generator) for _ in range(2))
    if torch.equal(first, second):
        raise Wrong("seeded anew", "A generator that is used twice gave the same pictures twice: draw from it; "
                    "do not seed it, nor another by its seed.")  # fmt: skip
    for steps in (STEPS, 9):
        world.times.clear()
        _draw(answer, world, ["", ""], steps=steps)
        visited = torch.tensor(sorted(set(world.times) - {0.0}), dtype=torch.float64)
        between = world.schedule.grid(steps)[1:-1].double()  # where a sampler asks at other times too, all of these
        if len(visited) != steps and (between[:, None] - visited).abs().min(1).values.max() > 1e-5:
            raise Wrong("steps", f"{len(visited)} noise levels were visited with steps = {steps}, and not those of "
                        "model.schedule.grid(steps).")  # fmt: skip


@text_to_image.part("one prompt, and pictures of one channel that are no squares")
def _(answer, given):
    _draw(answer, Grey(0.5, -0.25, Linear), ["grey"], shape=(1, 6, 4))


# --- 10.3 ---


@controls.part("for each claim an experiment that could refute it")
def _(answer, given):
    chosen = _dictionary(answer)
    if unknown := [k for k in chosen if str(k) not in DATA["controls"]]:
        raise Wrong("no answers", f"There is no claim {unknown[0]!r}: they are numbered 1 to {len(DATA['controls'])}, "
                    "and each has a letter, as {1: 'i'}.")  # fmt: skip
    for n, right in DATA["controls"].items():
        several = chosen.get(int(n), "")
        pair = r"\W*(?:both\s+)?(\w)\W+(?:and\s+|or\s+)?(\w)\W*"  # "d, e"
        if isinstance(several, str) and (two := re.fullmatch(pair, several)):
            several = two.groups()
        several = several if isinstance(several, list | tuple | set | frozenset) else [several]
        letters = [_letter(_plain(v)) for v in several]
        if letters and all(letter in right for letter in letters):
            continue
        letter = next((v for v in letters if v not in right), "")
        if not letter:
            raise Wrong(f"{n}: no answer", f"Claim {n} has no experiment yet.")
        if letter not in DATA["experiments"]:
            raise Wrong(f"{n}: other", f"{chosen[int(n)]!r} is none of the experiments a to i.")
        hint = DATA["hints"][n]
        if letter == "i":
            hint = f"That shows at most that more helps, not that this is why. {hint}"
        raise Wrong(f"{n}: {letter}", f"Claim {n}: {hint}")


# --- 10.4 ---


@predictions.part("ten predictions, each an interval")
def _(answer, given):
    found = answer() if callable(answer) else answer
    if not isinstance(found, dict):
        raise Wrong("no answers", "Return a dictionary, claim -> (low, high), as {'7.4': (0.8, 1.2)}.")
    for claim, interval in found.items():
        if isinstance(claim, float) or not re.fullmatch(r"\d\.[1-9]\d?", str(claim)):
            raise Wrong("no claim", f"{str(claim)[:20]!r} is no claim's number, as the text '7.4' is (7.10 would be "
                        "7.1).")  # fmt: skip
        if wrong := no_interval(interval):
            raise Wrong("no interval", f"Claim {claim}: {wrong}.")
    if (several := len({str(claim) for claim in found})) < 10:
        raise Wrong("too few", f"{several} predictions: ten are needed before a share of them says anything.")
