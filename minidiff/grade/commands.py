"""The commands grade and progress of `python -m minidiff`."""

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from ..run.options import option, seed

# what a command needs is imported when it runs, so that --help and a misspelt option answer at once

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


@dataclass
class Grade:
    """Grade a submission, or a folder of them: each answer is judged by its check, and runs apart from it, with limits.

    Of a folder each file, or folder, is a submission. They make a table, a summary (.txt) and a folder of results, each
    in Gradescope's form. Killed, or with new submissions, the same command goes on.
    """

    path: Path | None = option(None, "a notebook, a .py, a zip with one of them, or a folder of these", metavar="PATH")
    json: Path | None = option(None, "write Gradescope's results.json here; a folder is then one submission")
    csv: Path | None = option(None, "the table of a folder; by default FOLDER-grades.csv, beside it")
    canvas: Path | None = option(None, "a gradebook from Canvas: a copy beside it gets the points")
    column: str | None = option(None, "of the gradebook; by default its only assignment")
    only: str | None = option(None, 'the exercises, say "02.4 02.5", or lectures; by default those that are defined')
    seed: int | None = option(None, "of the numbers that answers are tried on; by default a secret one", read=seed)
    seconds: float = option(20.0, "for each exercise")
    memory: str = option("2GiB", "for each exercise")
    sandbox: str = option("auto", "strong refuses where answers cannot be kept apart, none does not try")
    jobs: int = option(1, "submissions at a time")

    def run(self):
        one = self.checked()
        from ..check import chosen

        exercises = () if self.only is None else tuple(sorted(chosen(self.only)))
        self.one(exercises) if one else self.all(exercises)

    def checked(self) -> bool:
        """Whether PATH is one submission. Raises ValueError for options that do not go together."""
        if self.path is None:
            raise ValueError("PATH is missing: a notebook, a .py, a zip, or a folder of submissions")
        if not self.path.exists():
            raise ValueError(f"{self.path} does not exist")
        one = self.json is not None or not self.path.is_dir()
        for name in ("csv", "canvas", "column"):
            if one and getattr(self, name) is not None:
                raise ValueError(f"--{name} is for a folder of submissions{', without --json' if self.json else ''}")
        if self.csv is not None and self.csv.suffix != ".csv":
            raise ValueError(f"--csv {self.csv} must end in .csv")
        if self.column is not None and self.canvas is None:
            raise ValueError("--column needs --canvas, the gradebook that it is of")
        if self.jobs < 1 or not self.seconds > 0:
            raise ValueError("--jobs and --seconds must be more than 0")
        return one

    def plan(self, exercises: tuple[str, ...], seed: int | None):
        """What is asked and how answers run, which is printed."""
        from .grade import Plan
        from .sandbox import Limits, isolation

        isolated, limits = isolation(self.sandbox), Limits(self.seconds, size(self.memory))
        print(isolated)
        return Plan(exercises, secrets.randbelow(2**48) if seed is None else seed, limits, isolated)

    def one(self, exercises: tuple[str, ...]) -> None:
        """Grade PATH as one submission, and print the verdicts."""
        from . import report
        from .grade import asked, grade, uncounted

        before = report.load(self.json) if self.json else None
        if before and before["extra_data"]["finished"]:
            print(f"{self.json} held an earlier grading, which is replaced")
        elif before and self.seed is None:
            self.seed = before["extra_data"]["seed"]
        plan = self.plan(exercises or asked([self.path]), self.seed)
        with plan.workers() as workers:
            results = grade(self.path, plan, workers, self.json, lambda verdict: print(report.clean(verdict.text)))
        if results["extra_data"].get("unread"):
            raise ValueError(results["extra_data"]["problems"][0])
        if not plan.exercises:
            raise ValueError(f"{self.path} defines none of the course's exercises")
        print(results["output"])
        if not exercises and (words := uncounted(plan)):
            print(words)

    def all(self, exercises: tuple[str, ...]) -> None:
        """Grade the submissions in the folder PATH, and print the summary."""
        from ..device import replacing
        from . import report
        from .canvas import Export
        from .grade import Places, asked, earlier, grade_class, submissions, uncounted

        folder = Path(os.path.abspath(self.path))
        places = Places(self.csv or folder.with_name(f"{folder.name}-grades.csv"))
        export = Export(self.canvas, self.column) if self.canvas else None
        paths, before = submissions(self.path, places), earlier(places)
        plan = self.plan(exercises or (before[1] if before else asked(paths)), before[0] if before else self.seed)
        if not plan.exercises:
            raise ValueError(f"no submission in {self.path} defines one of the course's exercises")
        if before and (before != (plan.seed, plan.exercises) or self.seed not in (None, plan.seed)):
            raise ValueError(f"{places.folder} holds a grading with seed {before[0]} of {' '.join(before[1])}: "
                             "ask for the same, or choose another --csv")  # fmt: skip
        graded = grade_class(paths, plan, places, self.jobs)
        words = "" if exercises else uncounted(plan)
        said = f"{report.summary(graded)}\n{words + chr(10) if words else ''}Seed {plan.seed}. {plan.isolated}"
        with replacing(places.summary) as temporary:
            temporary.write_text(said + "\n", encoding="utf-8", errors="replace")
        print(f"{said}\n{places.csv}, {places.summary}, and for each submission {places.folder}")
        if export:
            print(report.to_canvas(graded, export))


@dataclass
class Progress:
    """Say which exercises of a notebook, or of a folder of notebooks, are right, the points, and what is next."""

    path: Path | None = option(Path("lectures/student"), "a notebook, or a folder of notebooks", metavar="PATH")
    sandbox: str = option("auto", "strong refuses where answers cannot be kept apart, none does not try")

    def run(self):
        from .progress import progress

        if not self.path.exists():
            raise ValueError(f"{self.path} does not exist: give a notebook, or a folder of notebooks")
        progress(self.path, self.sandbox)


def size(text: str) -> int:
    """The bytes of 2GiB, 500M or 1e9. Raises ValueError for what is no size, or less than torch needs."""
    found = re.fullmatch(r"([\d.]+(?:e\d+)?)\s*([KMG]?)(?:i?B)?", text.strip())
    try:
        size = int(float(found[1]) * UNITS[found[2]])
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"--memory is a size as 2GiB or 500MiB, not {text!r}") from None
    if size < 2**28:
        raise ValueError(f"--memory {text} is too little: torch alone needs 256MiB")
    return size
