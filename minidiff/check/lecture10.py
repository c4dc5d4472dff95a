"""Checks of lecture 10: the quiz, prompts to pictures, experiments that could refute a claim, predictions."""

import json
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
from ..schedules import EDM, VP
from .exercise import Exercise, Verdict, Wrong, same
from .intervals import no_interval

SEE = "lecture 10"
DATA = json.loads(Path(__file__).with_name("quiz.json").read_text(encoding="utf-8"))
QUESTIONS = DATA["questions"]


# --- 10.1 ---


class Quiz(Exercise):
    """An exercise of many questions: a point for each that is right."""

    def verdict(self, answer, seed: int = 0) -> Verdict:
        found = super().verdict(answer, seed)
        if found.key in ("right", "not written", "raised", "no answers"):
            return found
        answers = _dictionary(answer)
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
        raise Wrong("no answers", "Return a dictionary, number -> answer, as {1: 'a', 2: 16.8}.")
    return {int(k) if str(k).isdecimal() else k: v for k, v in found.items()}


def _number(value) -> float | None:
    """A number given as such, as a tensor or an array of one, or in words as "3/8"; None if it is none."""
    try:
        value = value.item() if hasattr(value, "item") else value
        return float(Fraction(re.sub(r"[,\s]", "", value)) if isinstance(value, str) else value)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError, OverflowError):
        return None


def _numbers(value) -> list[float | None]:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, str):
        value = value.strip(" ()[]")
        value = [value] if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d*)?", value) else value.split(",")  # 16,777,216
    return [_number(part) for part in (value if isinstance(value, list | tuple) else [value])]


def _equal(found, wanted) -> bool:
    """Whether the numbers are as many and agree to 1%."""
    found, wanted = _numbers(found), _numbers(wanted)
    return len(found) == len(wanted) and all(
        a is not None and abs(a - b) <= 0.01 * abs(b) for a, b in zip(found, wanted, strict=True)
    )


def _plain(text) -> str:
    return re.sub(r"[\s*'’.,\"]", "", str(text)).lower()


def _letter(said: str) -> str:
    """Of a choice given as b, (b), b) or (b) with its words."""
    bracketed = re.match(r"\(?(\w)\)", said)
    return bracketed[1] if bracketed else said


def judged(n: int, answer) -> tuple[str, str]:
    """("right", "") for a right answer to question n; else a key and a hint: that of a foreseen wrong answer, or a
    general one, "other"."""
    question = QUESTIONS[n - 1]
    if question["kind"] != "choice":
        if any(_equal(answer, right) for right in question["right"]):
            return "right", ""
        for wrong, hint in question["wrong"].items():
            if _equal(answer, wrong):
                return wrong, hint
        if None in _numbers(answer):
            return "other", f"{str(answer)[:40]!r} cannot be read as a number: give 0.5, or '1/2'."
        return "other", f"{str(answer)[:40]!r} is not right. Numbers are compared to 1%."
    options = question["options"]
    said = _plain(answer)
    letter = {_plain(text): k for k, text in options.items()}.get(said, _letter(said))
    if letter in map(_plain, question["right"]):
        return "right", ""
    return (letter, question["wrong"][letter]) if letter in question["wrong"] else (
        "other", f"{str(answer)[:40]!r} is none of the choices: {', '.join(options)}.")  # fmt: skip


def q(n: int, answer) -> Verdict:
    """Print whether `answer` to question n of the quiz is right, else a hint, and return it.

    A choice is given by its letter or in its words, a number as number or fraction ("3/8"), several as a tuple. Raises
    ValueError for a number that no question has.
    """
    if not isinstance(n, int) or not 1 <= n <= len(QUESTIONS):
        raise ValueError(f"there is no question {n!r}: they are numbered 1 to {len(QUESTIONS)}")
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


def _draw(answer, world: Scenes, prompts: list[str], scale: float = 1.0, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = answer(world, world.tokenise, prompts, (3, 16, 16), scale, STEPS, generator)
    shape = len(prompts), 3, 16, 16
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
    conditions = [c for c in world.conds if c is not None and (c != 0).any()]
    if not conditions:
        raise Wrong("condition lost", "All prompts draw from all scenes: the tokens never reached the model.")
    if len(torch.cat([c[(c != 0).any(1)] for c in conditions]).unique(dim=0)) == 1:
        raise Wrong("one prompt for all", "Every picture was drawn from one prompt: the tokens differ by row.")
    if world.times[-1] > world.times[0]:
        raise Wrong("wrong way", "The times rise: the grid falls from noise to data.")
    if world.times[-1] > 10 * world.schedule.t_min or which == wanted and error < 0.3:
        raise Wrong("a veil of noise", f"Off by up to {error:.2g}: noise is left. Does the grid end at t = 0, is "
                    "the last step taken?")  # fmt: skip
    halves = _nearest(2 * found - 1, world)
    if halves[0] == wanted and halves[1] < 0.02:
        raise Wrong("in [0, 1]", "The pictures are in [0, 1]: leave them in [-1, 1].")
    if scale != 1:
        raise Wrong("guided away", f"At scale {scale:g} the pictures are not what the prompts say: null + scale * "
                    "(cond - null), not the other way round.")  # fmt: skip
    place = next((i for i, (a, b) in enumerate(zip(which, wanted, strict=True)) if a != b), 0)
    raise Wrong("other scenes", f"Picture {place} is not the scene of prompt {place}: is the order kept?")


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
            raise Wrong("off the path", f"At t = {t:.2f} the model is asked about an x that is not alpha x0 + sigma eps"
                        "on its path: take alpha and sigma of each time from model.schedule.")  # fmt: skip


@text_to_image.part("each picture is its prompt's scene, without guidance")
def _(answer, given):
    world = Scenes(int(given.whole(0, 1000)))
    chosen = world.some(given, 5)
    found = _draw(answer, world, [world.prompts[i] for i in chosen])
    _as_told(found, world, chosen, 1.0)
    rows = checker.accuracy([world.asked[i] for i in chosen], found)
    if min(rows.values()) < 1:
        raise Wrong("misread", f"The checker does not find all that the prompts say: {rows}.")
    world = Scenes(int(given.whole(0, 1000)), path=VP)
    _as_told(_draw(answer, world, [world.prompts[i] for i in chosen]), world, chosen, 1.0)


@text_to_image.part("with guidance, scale 3")
def _(answer, given):
    world = Scenes(int(given.whole(0, 1000)))
    chosen = world.some(given, 4)
    found = _draw(answer, world, [world.prompts[i] for i in chosen], 3.0)
    if not any(c is None or (c == 0).all(1).any() for c in world.conds):
        raise Wrong("no guidance", "At scale 3 the model is never asked without the prompt: nothing was guided.")
    _as_told(found, world, chosen, 3.0)


class Grey:
    """The exact model of two pictures, each of one grey: `told` for any words, `untold` for none."""

    def __init__(self, told: float, untold: float):
        self.told, self.untold, self.schedule, self.null = told, untold, EDM(), 0

    def __call__(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        words = torch.zeros(len(x_t), 1) if cond is None else torch.as_tensor(cond).reshape(len(x_t), -1)
        x0 = torch.where((words != 0).any(1), self.told, self.untold).to(x_t).view(-1, 1, 1, 1).expand_as(x_t).clone()
        alpha, sigma = (v.reshape(-1, 1, 1, 1).to(x_t) for v in self.schedule(torch.as_tensor(t)))
        return Prediction(x0, (x_t - alpha * x0) / sigma)


@text_to_image.part("guidance by this very scale, below 1 too")
def _(answer, given):
    for low, high in ((1.5, 3.0), (0.3, 0.7)):
        _guided_by(answer, given, given.uniform(low, high).item())


def _guided_by(answer, given, scale: float) -> None:
    untold, step = (given.uniform(*v).item() for v in ((-0.3, 0.0), (0.1, 0.2)))
    tokenise = lambda texts: torch.tensor([[len(text), 0] for text in texts])  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    found = answer(Grey(untold + step, untold), tokenise, ["grey", "grey"], (3, 4, 4), scale, STEPS, generator)
    found = torch.as_tensor(found).detach().mean().double()
    why = f"Guided with scale {scale:.2f} the picture is null + scale * (cond - null)"
    slips = {
        "scale + 1": (untold + (scale + 1) * step, f"{why}; yours is that of {scale + 1:.2f}: is 1 off, or 0?"),
        "off below 1": (untold + step, f"{why}; yours is that of scale 1: only scale 1 is off."),
        "scale - 1": (untold + (scale - 1) * step, f"{why}; yours is that of {scale - 1:.2f}: is 1 off, or 0?"),
    }
    same(found, torch.tensor(untold + scale * step).double(), slips, "the grey of a guided picture", 1e-4)


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
    draws = []
    for seed in (1, 1, 2):
        world.starts.clear(), world.times.clear()
        _draw(answer, world, ["", ""], 1.0, seed)
        draws.append(torch.cat([x for x, t in zip(world.starts, world.times, strict=True) if t == max(world.times)]))
    if not torch.equal(draws[0], draws[1]):
        raise Wrong("random", "Equal seeds start from different noise: draw it with the generator that is given.")
    if torch.equal(draws[0], draws[2]):
        raise Wrong("one seed", "Different seeds start from the same noise: draw it with the generator that is given.")
    if torch.equal(draws[0][0], draws[0][-1]):
        raise Wrong("one noise", "All pictures start from the same noise: draw it for each.")
    if not STEPS <= len(set(world.times)) <= 2 * STEPS:
        raise Wrong("steps", f"{len(set(world.times))} noise levels were visited with steps = {STEPS}.")


# --- 10.3 ---


@controls.part("for each claim an experiment that could refute it")
def _(answer, given):
    chosen = _dictionary(answer)
    for n, right in DATA["controls"].items():
        several = chosen.get(int(n), "")
        several = several if isinstance(several, list | tuple | set) else [several]
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
        if not re.fullmatch(r"(10|\d)\.\d{1,2}", str(claim)):
            raise Wrong("no claim", f"{str(claim)[:20]!r} is no claim's number, as '7.4' is.")
        if wrong := no_interval(interval):
            raise Wrong("no interval", f"Claim {claim}: {wrong}.")
    if len(found) < 10:
        raise Wrong("too few", f"{len(found)} predictions: ten are needed before a share of them says anything.")
