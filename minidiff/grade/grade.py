"""Grading a submission, and a class: what was judged is on disk at once, and a grading that was ended goes on."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from ..check import EXERCISES, Exercise, Verdict
from . import report
from .answers import Submission, read
from .sandbox import Isolation, Limits, Workers

QUARTER = 0.25  # of a class: what fewer define is a name of their own, not what was asked


@dataclass(frozen=True)
class Plan:
    """What is asked of every submission, and how its answers run."""

    exercises: tuple[str, ...]
    seed: int
    limits: Limits
    isolated: Isolation

    def workers(self) -> Workers:
        return Workers(self.limits, self.isolated)


def asked(paths: list[Path]) -> tuple[str, ...]:
    """The exercises that at least a quarter of the submissions define, if only as a stub."""
    counts, readable = Counter(), 0
    for path in paths:
        with suppress(ValueError, OSError):
            counts.update(read(path).programs.keys())
            readable += 1
    return tuple(id for id in EXERCISES if counts[id] and counts[id] >= QUARTER * readable)


def uncounted(plan: Plan) -> str:
    """What to say of exercises of the same lectures that are not in the plan."""
    lectures = {id[:2] for id in plan.exercises}
    left = [id for id in EXERCISES if id[:2] in lectures and id not in plan.exercises]
    return f"not counted, as nothing is defined for them: {', '.join(left)}; --only would count them" if left else ""


def grade(
    path: Path,
    plan: Plan,
    workers: Workers,
    out: Path | None = None,
    tell: Callable[[Verdict], None] = lambda verdict: None,
    stopping: Event | None = None,
) -> dict:
    """Judge a submission; the results in Gradescope's form.

    At `out` they lie with 0 points before anything is read, and again after each exercise. Results of the same answers
    and the same plan that lie there already are gone on with. Raises no error for what a submission is or does.
    """
    exercises = [EXERCISES[id] for id in plan.exercises]
    results, before = report.blank(exercises, plan.seed), out and report.load(out)
    save = (lambda: report.write(results, out)) if out else (lambda: None)
    if not before:
        save()
    try:
        submission = read(path)
    except (ValueError, OSError) as error:
        results["extra_data"]["unread"] = True
        report.finish(results, "", [str(error)])
        save()
        return results
    results = continued(before, exercises, plan.seed, submission)
    for exercise in exercises:
        if stopping and stopping.is_set():
            return results
        if not report.judged(results, exercise.id):
            began = time.monotonic()
            verdict = judge(exercise, submission, workers, plan.seed)
            report.enter(results, verdict)
            results["execution_time"] = round(results["execution_time"] + time.monotonic() - began, 3)
            save()
            tell(verdict)
    report.finish(results, str(plan.isolated), submission.problems)
    save()
    return results


def judge(exercise: Exercise, submission: Submission, workers: Workers, seed: int) -> Verdict:
    """The verdict on a submission's answer to an exercise."""
    program = submission.programs.get(exercise.id)
    return workers.judge(exercise, program, seed) if program else report.missing(exercise)


def continued(before: dict | None, exercises: list[Exercise], seed: int, submission: Submission) -> dict:
    """Earlier results, if they are of the same answers, exercises and seed, else new ones."""
    programs = {e.id: submission.programs[e.id] for e in exercises if e.id in submission.programs}
    text = repr(sorted((id, p.source) for id, p in programs.items()))
    results = report.blank(exercises, seed, hashlib.sha256(text.encode()).hexdigest())
    written = sorted((id, p.source) for id, p in programs.items() if p.written)
    results["extra_data"]["answers"] = hashlib.sha256(repr(written).encode()).hexdigest() if written else ""
    same = before and all(before["extra_data"][k] == results["extra_data"][k] for k in ("seed", "digest"))
    if same and [t["name"] for t in before["tests"]] == [t["name"] for t in results["tests"]]:
        return before
    return results


# --- a class ---


@dataclass(frozen=True)
class Places:
    """Where a class's results go: a table, a summary of the same name, and a folder with the results of each."""

    csv: Path

    @property
    def summary(self) -> Path:
        return self.csv.with_suffix(".txt")

    @property
    def folder(self) -> Path:
        return self.csv.with_suffix("")

    def of(self, path: Path) -> Path:
        """Where the results of the submission at `path` lie."""
        name = path.name.encode(errors="surrogateescape")
        short = path.name if len(name) < 200 else hashlib.sha256(name).hexdigest()  # a name has at most 255 bytes
        return self.folder / f"{short}.json"


def submissions(folder: Path, places: Places) -> list[Path]:
    """What was handed in: each file and each folder in the folder. Raises ValueError if there is nothing."""
    ours = {p.resolve() for p in (places.csv, places.summary, places.folder)}
    found = [p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX")) and p.resolve() not in ours]
    if not found:
        raise ValueError(f"{folder} holds no submissions")
    return sorted(found)


def earlier(places: Places) -> tuple[int, tuple[str, ...]] | None:
    """Seed and exercises of the grading that lies there, None if there is none. Raises ValueError for what is something
    else."""
    if places.folder.exists() and not places.folder.is_dir():
        raise ValueError(f"{places.folder} is a file: choose another --csv, for the results go there")
    for path in sorted(places.folder.glob("[!.]*.json")):
        results = report.load(path)
        return results["extra_data"]["seed"], tuple(t["number"] for t in results["tests"])
    for path in (places.csv, places.summary):
        if path.exists():
            raise ValueError(f"{path} exists already: choose another --csv, or move it away")
    return None


def grade_class(paths: list[Path], plan: Plan, places: Places, jobs: int = 1) -> dict[str, dict]:
    """Judge every submission, `jobs` at a time; the results by the file's name.

    A submission's results lie in the folder as soon as an exercise is judged, the table is written after each
    submission. What an earlier grading finished is not judged again.
    """
    places.folder.mkdir(parents=True, exist_ok=True)
    graded: dict[str, dict] = {}
    began = time.monotonic()
    for path, results in side_by_side(paths, plan, places, jobs):
        graded[path.name] = results
        report.write_csv(graded, places.csv)
        unread = f", {'; '.join(results['extra_data']['problems'])}" if results["extra_data"].get("unread") else ""
        print(f"{len(graded)} of {len(paths)}: {report.clean(path.name)}, {results['score']} of {report.most(results)} "
              f"points, {time.monotonic() - began:.0f} s{unread}", flush=True)  # fmt: skip
    return graded


def side_by_side(paths: list[Path], plan: Plan, places: Places, jobs: int) -> Iterator[tuple[Path, dict]]:
    """Each submission and its results, as they are done. Threads are enough: they wait for processes that judge."""
    idle, stopping = SimpleQueue(), Event()

    def one(path: Path) -> dict:
        workers = idle.get()
        try:
            return grade(path, plan, workers, places.of(path), stopping=stopping)
        finally:
            idle.put(workers)

    with ExitStack() as stack:
        for _ in range(jobs):
            idle.put(stack.enter_context(plan.workers()))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        futures = {pool.submit(one, path): path for path in paths}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            stopping.set()  # after an error or Ctrl-C what is being judged is judged to its end, and no more
            pool.shutdown(cancel_futures=True)
