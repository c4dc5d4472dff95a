"""What a teacher hands out and grades with: a homework of chosen exercises, Gradescope's zip, nbgrader's metadata.

build.py calls it; a lecture comes in as its two notebooks, with solutions and with stubs, and no file is read here.
"""

import ast
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nbformat

from minidiff import check
from minidiff.device import replacing
from minidiff.grade.sandbox import Limits

ROOT = Path(__file__).parents[1]
SETUP = """# If this fails, install the course first: !git clone ADDRESS minidiff && pip install -e ./minidiff
from minidiff import check"""

COVER = """# Homework: {title}

| exercise | minutes | points |
| --- | --- | --- |
{rows}
| **together** | **{minutes}** | **{points}** |

**What to do.** Replace `raise NotImplementedError(...)` by your answer and run the cell below it: the check says what is right,
or which mistake it found. It may be run as often as you like. Each exercise is from the lecture of its number, where you find
what leads to it. The numbers that a check gives are float64 unless it says otherwise, and most results are compared to eight
digits: make new tensors like those that are given, as `torch.zeros_like(x)` or `torch.tensor(s).to(x)`.

**How to hand in.** Save the notebook and hand in this one file, where your teacher says. If files are collected in a folder,
name yours after yourself.

**What counts.** The last definition of the name that is asked for. It may use imports, and functions, classes and constants
that stand above it on the left margin, a constant that takes more than numbers and a library's call in the same cell; nothing
else in the notebook is run when it is graded, no training and no reading of files, and the numbers that it is tried on are then
others. An answer then has {seconds:g} seconds, where the check in a notebook waits for {limit:g}. The package's own version of
what is asked gets no points, though the check in a notebook says that it is right. What a cell prints, and whether a check was
run, does not count."""


def asked(cell) -> str:
    """The text of an exercise, from the heading of its section on."""
    before, mark, after = cell.source.rpartition("### Exercise ")
    section = before.rfind("\n## ")
    return (before[section + 1 :] + mark + after).strip()


def called(cell, name: str) -> ast.Call:
    """The call of check.NAME in the cell after an exercise."""
    for node in ast.walk(ast.parse(cell.source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"check.{name}":
            return node
    raise ValueError(f"the cell after {name} has no check.{name}(...)")


def homework(lectures: list, ids: list[str]):
    """A notebook of the exercises `ids`, from the lectures' notebooks: cover, then text, answer and check of each."""
    new, parts = nbformat.v4, {}
    for cells in (lecture.cells for lecture in lectures):
        for i, cell in enumerate(cells):
            if (id := cell.metadata.get("exercise")) in ids:
                call = ast.unparse(called(cells[i + 1], check.EXERCISES[id].name))
                parts[id] = [
                    new.new_markdown_cell(asked(cells[i - 1])),
                    new.new_code_cell(cell.source, metadata=dict(cell.metadata)),
                    new.new_code_cell(f"_ = {call}"),
                ]
    notebook = new.new_notebook(metadata=dict(lectures[0].metadata))
    notebook.cells = [new.new_markdown_cell(cover(parts, ids)), new.new_code_cell(SETUP)]
    notebook.cells += [cell for id in ids for cell in parts[id]] + [new.new_code_cell("check.progress()")]
    return notebook


def cover(parts: dict, ids: list[str]) -> str:
    """The words of the first cell: what is asked, for how many points, and how to hand in."""
    exercises = [check.EXERCISES[id] for id in ids]
    titles = [re.search(r"### Exercise (.*?) \(", parts[id][0].source)[1] for id in ids]
    rows = [f"| {title} | {e.minutes} | {e.points} |" for title, e in zip(titles, exercises, strict=True)]
    sums = {"minutes": sum(e.minutes for e in exercises), "points": sum(e.points for e in exercises)}
    title = ", ".join(ids) if len(ids) < 8 else f"{len(ids)} exercises"
    waits = {"seconds": Limits().seconds, "limit": check.LIMIT}
    return COVER.format(title=title, rows="\n".join(rows), **sums, **waits)


# --- nbgrader ---

TEST = """import secrets

from minidiff import check

found = check.verdict("{id}", {answer}, seed=secrets.randbelow(2**31))  # other numbers than in the check above
print(found)
found.points"""


def nbgrader(notebook):
    """The notebook with nbgrader's metadata: answers are solution cells, and after each check stands a cell that gives
    the points. nbgrader takes them from the number that is the cell's value."""
    cells = []
    for i, cell in enumerate(notebook.cells):
        cells.append(cell)
        if id := cell.metadata.get("exercise"):
            cell.metadata["nbgrader"] = graded(f"answer-{id}", solution=True)
        elif id := i and notebook.cells[i - 1].metadata.get("exercise"):
            exercise = check.EXERCISES[id]
            answer = ast.unparse(called(cell, exercise.name).args[0])
            test = nbformat.v4.new_code_cell(TEST.format(id=id, answer=answer))
            test.metadata["nbgrader"] = graded(f"points-{id}", grade=True, locked=True, points=exercise.points)
            cells.append(test)
    notebook.cells = cells
    return notebook


def graded(name: str, **options) -> dict:
    """nbgrader's metadata of a cell, in its third schema; a name may have no dots."""
    plain = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    return plain | {"grade_id": name.replace(".", "-"), "cell_type": "code"} | options


# --- Gradescope ---

SETUP_SH = """#!/usr/bin/env bash
# Gradescope runs this once, as root, when the autograder is built. ROOT is elsewhere only when it is tried by hand.
set -e
ROOT=${AUTOGRADER:-/autograder}
cd "$ROOT/source"
python3 -c 'import ensurepip, sys; assert sys.version_info >= (3, 10)' || {
  apt-get update
  apt-get install -y python3 python3-venv
}
python3 -m venv "$ROOT/venv"
grep '^torch' requirements.txt > torch.txt
"$ROOT/venv/bin/pip" install --index-url https://download.pytorch.org/whl/cpu -r torch.txt  # no CUDA: gigabytes less
"$ROOT/venv/bin/pip" install -r requirements.txt ./minidiff-*.whl
"""
RUN_AUTOGRADER = """#!/usr/bin/env bash
# Gradescope runs this for each submission, as root, with no arguments.
ROOT=${AUTOGRADER:-/autograder}
cd "$ROOT"
"$ROOT/venv/bin/python" -m minidiff grade "$ROOT/submission" --json "$ROOT/results/results.json"ONLY
test -f "$ROOT/results/results.json"  # what cannot be read has its line there, and 0 points
"""


def autograder(path: Path, ids: list[str]) -> None:
    """Write Gradescope's zip. It grades the exercises `ids`, or all if there are none."""
    only = f' --only "{" ".join(ids)}"' if ids else ""
    texts = {"setup.sh": SETUP_SH, "run_autograder": RUN_AUTOGRADER.replace("ONLY", only)}
    texts["requirements.txt"] = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    with (
        tempfile.TemporaryDirectory() as folder,
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name, text in texts.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.external_attr = (0o644 if name.endswith(".txt") else 0o755) << 16
            packed.writestr(info, text)
        built = wheel(Path(folder))
        packed.write(built, built.name)


def wheel(folder: Path) -> Path:
    """Build the package's wheel in a copy, as setuptools leaves its own files where it works. Raises ValueError."""
    copy = folder / "copy"
    shutil.copytree(ROOT / "minidiff", copy / "minidiff", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    for more in (["--no-build-isolation"], []):  # the first needs setuptools 70.1 or newer here, the second a network
        done = subprocess.run(command + more, capture_output=True, text=True)
        if done.returncode == 0:
            return next(folder.glob("*.whl"))
    said = [line for line in done.stderr.splitlines() if "error:" in line.lower()][-1:]
    raise ValueError(f'the wheel could not be built, try pip install "setuptools>=70.1": {"".join(said)}')
