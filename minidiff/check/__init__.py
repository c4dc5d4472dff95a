"""Checks of the lectures' exercises: is an answer right, and if not, which mistake was made?

check.ddim(answer) prints what was found, check.verdict("02.4", answer) returns it; check.progress() adds up. A module
for each lecture. They use the package's core and data; of the package only grading uses them.
"""

import functools
import re

from . import (
    lecture00,
    lecture01,
    lecture02,
    lecture03,
    lecture04,
    lecture05,
    lecture06,
    lecture07,
    lecture08,
    lecture09,
    lecture10,
)
from .exercise import Exercise, Verdict, Wrong, limited
from .intervals import calibration, measured, predict
from .lecture10 import q

__all__ = [
    "EXERCISES", "Exercise", "Verdict", "Wrong", "calibration", "chosen", "measured", "predict", "progress",
    "q", "verdict",
]  # fmt: skip

MODULES = (
    lecture00, lecture01, lecture02, lecture03, lecture04, lecture05,
    lecture06, lecture07, lecture08, lecture09, lecture10,
)  # fmt: skip
EXERCISES = {e.id: e for module in MODULES for e in vars(module).values() if isinstance(e, Exercise)}
_BY_NAME = {e.name: e for e in EXERCISES.values()}
_seen: dict[str, Verdict] = {}
LIMIT = 60.0  # seconds that a notebook waits for a check; right answers take one at most


def verdict(exercise: str, answer, seed: int = 0) -> Verdict:
    """Check an answer to an exercise, given by its number ("02.4") or its name ("ddim").

    The answer is the function, class or value that was asked for. The seed draws the numbers it is tried on. Raises
    ValueError for an unknown exercise, and for nothing that an answer does.
    """
    found = EXERCISES.get(exercise) or _BY_NAME.get(exercise)
    if found is None:
        raise ValueError(f"unknown exercise {exercise!r}: choose from {', '.join(EXERCISES)}")
    return found.verdict(answer, seed)


def chosen(only: str) -> list[str]:
    """The exercises that a text names, in its order: "06.1 06.2", their names, or all of a lecture, "06". Raises
    ValueError for one that there is not, and if none is named."""
    ids: dict[str, None] = {}
    words = [word for word in re.split(r"[\s,]+", only) if word]
    if not words:
        raise ValueError('no exercise is named: write for example "02.4 02.5"')
    for word in words:
        found = [e.id for e in EXERCISES.values() if word in (e.id, e.name, e.id[:2])]
        if not found:
            raise ValueError(f"there is no exercise {word!r}: choose from {', '.join(EXERCISES)}, or a lecture, 02")
        ids |= dict.fromkeys(found)
    return list(ids)


def _shown(exercise: Exercise, answer) -> Verdict:
    """Print the verdict on an answer and return it."""
    with limited(LIMIT):
        _seen[exercise.id] = found = exercise.verdict(answer)
    print(found)
    return found


def by_lecture(seen: dict[str, Verdict]) -> list[str]:
    """For each lecture of which some exercise has a verdict: its points, and which exercise is next."""
    lines = []
    for lecture in sorted({id[:2] for id in seen}):
        of_it = [e for e in EXERCISES.values() if e.id.startswith(lecture)]
        points, most = sum(seen[e.id].points for e in of_it if e.id in seen), sum(e.points for e in of_it)
        ahead = [e for e in of_it if e.id not in seen or not seen[e.id].ok]
        then = f"next: {ahead[0].id} {ahead[0].name}, {ahead[0].minutes} minutes" if ahead else "all right"
        lines.append(f"lecture {lecture}: {points} of {most} points; {then}")
    return lines


def progress() -> None:
    """Print the points of the answers checked in this session, by lecture, and which exercise is next."""
    print("\n".join(by_lecture(_seen)) or "no answer has been checked yet")


def __getattr__(name: str):
    if name in _BY_NAME:
        return functools.partial(_shown, _BY_NAME[name])
    raise AttributeError(f"there is no exercise {name!r}: there are {', '.join(_BY_NAME)}")


def __dir__() -> list[str]:
    return [*__all__, *_BY_NAME]
