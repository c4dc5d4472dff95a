"""How far a student is: what is right in a notebook, or in a folder of them, and what is next."""

from pathlib import Path

from ..check import EXERCISES, Verdict, by_lecture
from .answers import read
from .grade import judge
from .report import clean
from .sandbox import Limits, Workers, isolation

SEED = 0  # of the checks in a notebook


def progress(path: Path, sandbox: str = "auto") -> None:
    """Print it. Answers are tried on the numbers of the notebook's own check. Raises ValueError if there is no
    notebook."""
    paths = sorted(p for p in path.iterdir() if p.suffix in (".ipynb", ".py")) if path.is_dir() else [path]
    if not paths:
        raise ValueError(f"{path} holds no notebooks")
    seen: dict[str, Verdict] = {}
    with Workers(Limits(), isolation(sandbox)) as workers:
        for each in paths:
            for verdict in verdicts_of(each, workers, alone=len(paths) == 1):
                if verdict.id not in seen or verdict.points > seen[verdict.id].points:
                    seen[verdict.id] = verdict
    print("\n".join(by_lecture(seen)) or f"{path} defines none of the course's exercises")


def verdicts_of(path: Path, workers: Workers, alone: bool) -> list[Verdict]:
    """Print what is right and what is not in one notebook. One of several that cannot be read costs a line."""
    try:
        submission = read(path)
    except ValueError as error:
        if alone:
            raise
        print(error)
        return []
    found = []
    print("\n".join([path.name, *(f"  {clean(problem)}" for problem in submission.problems)]))
    for id in submission.programs:
        found.append(judge(EXERCISES[id], submission, workers, SEED))
        print(f"  {clean(found[-1].text).splitlines()[0].removeprefix('Exercise ')}", flush=True)
    written = sum(verdict.key != "not written" for verdict in found)
    print(f"  {written} of {len(found)} exercises are written")
    return found
