"""Grading as it is used: each answer in a process of its own."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import build
import nbformat
import pytest
from here import RIGHT, check_gradescope, save
from test_grade import of_lecture

from minidiff.check import EXERCISES
from minidiff.grade import progress
from minidiff.grade.sandbox import Limits
from minidiff.run.cli import main

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="answers run in forked processes")
SECONDS = ("--seconds", "300")  # however busy the machine is


def test_a_lecture(tmp_path, capsys, monkeypatch):
    """Untouched, half and full; two at a time."""
    (source,) = build.sources("00")
    of_it = [id for id in EXERCISES if id.startswith("00")]
    half = random.Random(0).sample(of_it, 2)
    (tmp_path / "hw").mkdir()
    for name, solved in (("none", []), ("half", half), ("full", of_it)):
        nbformat.write(of_lecture(source, solved.__contains__), tmp_path / "hw" / f"{name}.ipynb")
    main(["grade", str(tmp_path / "hw"), "--jobs", "2", *SECONDS])
    with open(tmp_path / "hw-grades.csv", newline="", encoding="utf-8") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    for name, solved in (("none", []), ("half", half), ("full", of_it)):
        results = json.loads((tmp_path / "hw-grades" / f"{name}.ipynb.json").read_text(encoding="utf-8"))
        check_gradescope(results)
        assert {t["number"] for t in results["tests"] if t["status"] == "passed"} == set(solved)
        assert all("not written yet" in t["output"] for t in results["tests"] if t["status"] != "passed")
        assert rows[f"{name}.ipynb"]["points"] == str(sum(EXERCISES[id].points for id in solved))
    monkeypatch.setattr(progress, "Limits", partial(Limits, 300.0))
    main(["progress", str(tmp_path / "hw" / "half.ipynb")])
    points = sum(EXERCISES[id].points for id in half)
    said = capsys.readouterr().out
    assert f"2 of 4 exercises are written\nlecture 00: {points} of 5 points; next: " in said


def test_answers_get_what_they_deserve(tmp_path):
    loop = "def visible(d):\n    while True:\n        pass"
    exits = "def forgets():\n    import os\n    os._exit(0)"
    checks = "from minidiff import check\ndef calls(sampler, steps, scale):\n    return check.calls"
    broken = "def best_guess(x_t, alpha, sigma, s)\n    return x_t"
    path, out = save(tmp_path / "x.ipynb", loop, exits, checks, broken, RIGHT), tmp_path / "r.json"
    main(["grade", str(path), "--json", str(out), "--only", "00.2 00.4 02.1 04.4", *SECONDS])
    results = json.loads(out.read_text(encoding="utf-8"))
    keys = {t["number"]: t["tags"][0] for t in results["tests"]}
    assert results["score"] == 1 and keys["02.1"] == "right", results
    assert keys["00.2"] == "syntax" and keys["04.4"] == "died" and keys["00.4"] == "raised"
    main(["grade", str(path), "--json", str(tmp_path / "t.json"), "--only", "03.2", "--seconds", "2"])
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["tests"][0]["tags"][0] == "time"


KILLED = """
import os, signal, sys
from minidiff.grade import grade, report
from minidiff.run.cli import main

class Workers(grade.Workers):
    def __enter__(self):
        every.append(self)
        return self

every, grade.Workers, write = [], Workers, report.write_csv

def killing(graded, path):
    write(graded, path)
    print("keepers", *(workers.keeper.pid for workers in every if workers.keeper), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

report.write_csv = killing
main(["grade", sys.argv[1], "--jobs", "2", "--seconds", "300"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_killed_grader_leaves_no_process(tmp_path):
    for name in "abcd":
        save(tmp_path / "hw" / f"{name}.ipynb", RIGHT)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", KILLED, tmp_path / "hw"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    keepers = [int(pid) for pid in re.search(r"^keepers (.*)", done.stdout, re.M)[1].split()]
    assert keepers
    for pid in keepers:
        for _ in range(3000):
            if not running(pid):
                break
            time.sleep(0.1)
        assert not running(pid)
    main(["grade", str(tmp_path / "hw"), "--jobs", "2", *SECONDS])
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "hw-grades").glob("[!.]*.json")]
    assert [r["score"] for r in found] == [1] * 4 and len({r["extra_data"]["seed"] for r in found}) == 1


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False
