"""An untouched student notebook runs to its end: each check says "not written yet", and there are no points."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from minidiff import check

LECTURES = Path(__file__).parents[1] / "lectures"
NOTEBOOKS = sorted((LECTURES / "student").glob("*.ipynb"))
QUICK = ("10",)  # the others take 10 to 30 s each, and their solved versions run in each suite
RUN = """import sys, nbformat
names = {"__name__": "__main__"}
for cell in nbformat.read(sys.argv[1], 4).cells:
    if cell.cell_type == "code":
        exec(compile(cell.source, "cell", "exec"), names)
"""


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=[] if p.stem[:2] in QUICK else pytest.mark.slow, id=p.stem) for p in NOTEBOOKS]
)
def test_an_untouched_notebook_runs_to_its_end(path, tmp_path):
    """As a program, in the student's folder: in a kernel the same cells run, more slowly."""
    environment = os.environ | {"MINIDIFF_MODE": "smoke", "PYTHONPATH": str(LECTURES.parent), "MPLBACKEND": "agg"}
    environment["MINIDIFF_DATA"] = str(tmp_path)
    command = [sys.executable, "-c", RUN, str(path)]
    done = subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr, done.stderr[-3000:]
    found = re.findall(r"^Exercise (\d\d\.\d) \w+: not written yet \(0 of (\d+) points?\)$", done.stdout, re.M)
    of_it = [e for e in check.EXERCISES.values() if e.id.startswith(path.stem[:2])]
    assert sorted(found) == sorted((e.id, str(e.points)) for e in of_it)
    assert f"lecture {path.stem[:2]}: 0 of {sum(e.points for e in of_it)} points" in done.stdout


def test_student_notebooks_are_all_there():
    assert [p.stem for p in NOTEBOOKS] == [p.stem for p in sorted((LECTURES / "source").glob("*.py"))]
    for path in NOTEBOOKS:
        nbformat.validate(nbformat.read(path, 4))
