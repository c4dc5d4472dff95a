"""What a grading found: results.json in Gradescope's form, a CSV with a row a submission, and what to teach again."""

import csv
import json
import re
from collections import Counter
from pathlib import Path
from statistics import mean, median

from ..check import Exercise, Verdict
from ..device import replacing

LONGEST = 4000  # letters of a verdict: an answer's exception may say more
NOT_JUDGED = "not judged"
CANVAS = re.compile(r"(?P<who>[^_]+)_(?P<late>LATE_)?(?P<user>\d+)_(?P<attempt>\d+)_.+")  # how Canvas names a file


# --- of one submission ---


def blank(exercises: list[Exercise], seed: int, digest: str = "") -> dict:
    """Results with 0 points everywhere, in the form in which Gradescope takes them."""
    tests = [
        {
            "name": f"{e.id} {e.name}",
            "number": e.id,
            "score": 0,
            "max_score": e.points,
            "status": "failed",
            "output": "not judged: the grading did not come so far",
            "tags": [NOT_JUDGED],
            "visibility": "visible",
        }
        for e in exercises
    ]
    kept = {"seed": seed, "digest": digest, "finished": False, "problems": []}
    output = "The grading did not come to its end."
    return {"score": 0, "execution_time": 0, "output": output, "visibility": "visible", "tests": tests,
            "extra_data": kept}  # fmt: skip


def missing(exercise: Exercise) -> Verdict:
    """The verdict where there is no answer."""
    names = " and ".join(exercise.names)
    text = (f"Exercise {exercise.id} {exercise.name}: no answer found (0 of {exercise.worth}): define {names} "
            "at the top level of a code cell")  # fmt: skip
    return Verdict(exercise.id, exercise.name, False, 0, "missing", text)


def enter(results: dict, verdict: Verdict) -> None:
    """Put a verdict into the results, and add up."""
    (test,) = [t for t in results["tests"] if t["number"] == verdict.id]
    test |= {"score": verdict.points, "status": "passed" if verdict.ok else "failed"}
    test |= {"output": clean(verdict.text), "tags": [clean(verdict.key)]}
    results["score"] = sum(t["score"] for t in results["tests"])


def judged(results: dict, id: str) -> bool:
    """Whether an exercise has its verdict."""
    return any(t["number"] == id and t["tags"] != [NOT_JUDGED] for t in results["tests"])


def clean(text: str) -> str:
    """A text without what a terminal would obey, and not too long."""
    shown = "".join(c if c.isprintable() or c == "\n" else " " if c == "\t" else "?" for c in str(text))
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]} ... ({len(shown)} letters)"


def finish(results: dict, words: str, problems: list[str]) -> None:
    """Write the lines about the whole: what was found wrong, the points, and how to repeat it."""
    kept = results["extra_data"]
    kept |= {"finished": True, "problems": [clean(p) for p in problems]}
    lines = [f"{results['score']} of {most(results)} points", *kept["problems"]]
    lines += [f"Seed {kept['seed']}: --seed {kept['seed']} asks the same again.", words]
    results["output"] = "\n".join(line for line in lines if line)


def most(results: dict) -> int:
    """The points of all its exercises."""
    return sum(t["max_score"] for t in results["tests"])


def write(results: dict, path: Path) -> None:
    """Write results.json, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(results, indent=1), encoding="utf-8")


def load(path: Path) -> dict | None:
    """Results that an earlier grading wrote, None if there are none. Raises ValueError for another file."""
    if not path.exists():
        return None
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if {"seed", "digest", "finished", "problems"} <= results["extra_data"].keys() and results["tests"] is not None:
            return results
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ValueError(f"{path} exists and is no grading's: choose another place, or move it away")


# --- of a class: graded is {name of the file: its results} ---


def write_csv(graded: dict[str, dict], path: Path) -> None:
    """A row for each submission: points by exercise, and what is to be noted."""
    tests = next(iter(graded.values()))["tests"]
    header = ["file", "late", "points", "of", *(t["name"] for t in tests), "notes"]
    same = same_answers(graded)
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        for name, results in sorted(graded.items()):
            found, kept = CANVAS.fullmatch(name), results["extra_data"]
            notes = [*kept["problems"], *([] if kept["finished"] else ["not graded to its end"])]
            notes += [f"same answers as {same[name]}"] if name in same else []
            late = "late" if found and found["late"] else ""
            points = [t["score"] for t in results["tests"]]
            rows.writerow([as_text(name), late, results["score"], most(results), *points, as_text("; ".join(notes))])


def as_text(words: str) -> str:
    """Words that no spreadsheet takes for a formula."""
    return f"'{words}" if words.startswith(("=", "+", "-", "@", "\t")) else words


def same_answers(graded: dict[str, dict]) -> dict[str, str]:
    """The files whose written answers are, letter by letter, those of others, and the first of those others."""
    alike: dict[str, list[str]] = {}
    for name, results in sorted(graded.items()):
        if answers := results["extra_data"].get("answers"):
            alike.setdefault(answers, []).append(name)
    found = {name: [n for n in names if n != name] for names in alike.values() for name in names if len(names) > 1}
    return {name: ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
            for name, others in found.items()}  # fmt: skip


def summary(graded: dict[str, dict]) -> str:
    """For the teacher: how many passed each exercise, and the commonest message of those who did not."""
    every = list(graded.values())
    points = [r["score"] for r in every]
    unread = sum(r["extra_data"].get("unread", False) for r in every)
    lines = [f"{len(every)} submissions{f', {unread} of them cannot be read' if unread else ''}; points: mean "
             f"{mean(points):.1f}, median {median(points):g}, of {most(every[0])}"]  # fmt: skip
    for i, first in enumerate(every[0]["tests"]):
        tests = [r["tests"][i] for r in every]
        passed = sum(t["status"] == "passed" for t in tests)
        keys = Counter(t["tags"][0] for t in tests if t["status"] != "passed")
        unwritten = sum(keys.pop(key, 0) for key in ("not written", "missing", NOT_JUDGED))
        line = f"{first['name']}: {passed} of {len(tests)} passed ({passed / len(tests):.0%})"
        line += f", {unwritten} not written" if unwritten else ""
        if keys:
            ((key, n),) = keys.most_common(1)
            said = message(next(t["output"] for t in tests if t["tags"][0] == key))
            line += f"; most often {key!r} ({n}): {said}"
        lines.append(line)
    return "\n".join(lines)


def message(output: str) -> str:
    """What a verdict's text says of the mistake: the lines under what failed, or else its first."""
    under = [line.strip() for line in output.split("\n") if line.startswith("    ")]
    return " ".join(under)[:300] or output.split("\n")[0][:300]


def to_canvas(graded: dict[str, dict], export) -> str:
    """Fill the gradebook; what is to be told about it."""
    points: dict[str, int] = {}
    others, twice = [], []
    for name, results in sorted(graded.items()):
        found = CANVAS.fullmatch(name)
        if not found:
            others.append(name)
            continue
        twice += [found["who"]] if found["user"] in points else []
        points[found["user"]] = max(results["score"], points.get(found["user"], 0))
    out, told = export.fill(points, most(next(iter(graded.values()))))
    told += [f"more than one file, the best counts: {', '.join(twice)}"] if twice else []
    told += [f"not named as Canvas names files, so in no row: {', '.join(others)}"] if others else []
    return clean("\n".join([f"{out}: {len(points)} students", *told]))
