"""Grading a submission: every lecture, results that are whole at any time, progress, and bad options."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import build
import here
import nbformat
import pytest
from here import RIGHT, WRONG, check_gradescope, plan_here, refused, save

from minidiff.check import EXERCISES
from minidiff.grade import grade as grading
from minidiff.grade.commands import size
from minidiff.grade.grade import asked, grade
from minidiff.run.cli import main

pytestmark = pytest.mark.usefixtures("answers_here")


def of_lecture(source: Path, solved=lambda exercise: True):
    """A student notebook of a lecture with those exercises solved."""
    ours, theirs = build.student(source), build.read(source)
    for stub, cell in zip(ours.cells, theirs.cells, strict=True):
        if "exercise" in stub.metadata and solved(stub.metadata["exercise"]):
            stub.source = cell.source
    return ours


# --- of every lecture: full marks, none, and a half ---


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_every_lecture(source, tmp_path):
    of_it = [id for id in EXERCISES if id.startswith(source.stem[:2])]
    half = random.Random(source.stem).sample(of_it, (len(of_it) + 1) // 2)
    for name, solved in (("none", []), ("half", half), ("full", of_it)):
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(of_lecture(source, solved.__contains__), path)
        results = grade(path, plan_here(*asked([path]), seed=7), here.Workers())
        assert [t["number"] for t in results["tests"]] == of_it and results["extra_data"]["problems"] == []
        for test in results["tests"]:
            right = test["number"] in solved
            assert test["status"] == ("passed" if right else "failed") and test["score"] == test["max_score"] * right
            assert right or "not written yet" in test["output"], test["output"]
        assert results["score"] == sum(EXERCISES[id].points for id in solved)


def test_the_executed_notebooks_are_right_too():
    for path in sorted(build.HERE.glob("*.ipynb")):
        found = grading.read(path).programs
        assert [id for id in EXERCISES if id.startswith(path.name[:2])] == list(found)
        assert all(program.written for program in found.values())


# --- results.json ---


def test_results_are_there_before_anything_is_read_and_after_each_exercise(tmp_path, monkeypatch):
    path, out, seen = save(tmp_path / "x.ipynb", RIGHT, "def solve(*a):\n    return 1"), tmp_path / "results.json", []

    def look():
        seen.append(json.loads(out.read_text(encoding="utf-8")))
        check_gradescope(seen[-1])

    class Looking(here.Workers):
        def judge(self, *args):
            look()
            return super().judge(*args)

    plan, read = plan_here("02.1", "02.2", "02.3", seed=3), grading.read
    monkeypatch.setattr(grading, "read", lambda path: (look(), read(path))[1])
    results = grade(path, plan, Looking(), out)
    look()
    assert [r["score"] for r in seen] == [0, 0, 1, 1] and seen[-1] == results
    assert seen[0]["output"] == "The grading did not come to its end."
    tests = results["tests"]
    assert [t["tags"][0] for t in tests][::2] == ["right", "missing"] and "define time_of" in tests[2]["output"]
    assert "--seed 3 asks the same again" in results["output"] and list(tmp_path.glob(".tmp*")) == []


def test_long_and_dangerous_words_of_an_answer_are_cut(tmp_path):
    code = "def v_target(*a):\n    raise ValueError('\\x1b[2J\\x07' + 'a' * 10**6)"
    results = grade(save(tmp_path / "x.ipynb", code), plan_here("02.1"), here.Workers())
    text = results["tests"][0]["output"]
    assert len(text) < 5000 and "\x1b" not in text and "\x07" not in text


def test_the_same_seed_repeats_a_grading(tmp_path, capsys):
    path = save(tmp_path / "x.ipynb", WRONG)
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        main(["grade", str(path), "--json", str(tmp_path / name), "--seed", seed, "--only", "02.1"])
    a, b, c = ([t["output"] for t in json.loads((tmp_path / n).read_text(encoding="utf-8"))["tests"]] for n in "abc")
    assert a == b != c
    seeds = set()
    for _ in range(2):
        main(["grade", str(path)])
        seeds.add(re.search(r"--seed (\d+) asks", capsys.readouterr().out.rsplit("of 1 points")[-1])[1])
    assert len(seeds) == 2  # a fresh one each time


def test_an_earlier_results_json(tmp_path, capsys):
    path, out = save(tmp_path / "x.ipynb", RIGHT), tmp_path / "results.json"
    main(["grade", str(path), "--json", str(out)])
    main(["grade", str(path), "--json", str(out)])
    assert f"{out} held an earlier grading, which is replaced" in capsys.readouterr().out
    results = json.loads(out.read_text(encoding="utf-8"))
    results["extra_data"]["finished"] = False
    results["tests"][0]["output"] = "kept"
    out.write_text(json.dumps(results), encoding="utf-8")
    main(["grade", str(path), "--json", str(out)])  # goes on, with the same seed
    assert json.loads(out.read_text(encoding="utf-8"))["tests"][0]["output"] == "kept"
    (tmp_path / "mine.json").write_text("{}", encoding="utf-8")
    refused(["grade", path, "--json", tmp_path / "mine.json"], "mine.json exists and is no grading's", capsys)
    assert (tmp_path / "mine.json").read_text(encoding="utf-8") == "{}"


def test_a_folder_with_json_is_one_submission(tmp_path, capsys):
    save(tmp_path / "submission" / "x.ipynb", RIGHT)
    main(["grade", str(tmp_path / "submission"), "--json", str(tmp_path / "r.json"), "--only", "02.1"])
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["score"] == 1


def test_what_cannot_be_read_has_results_too(tmp_path, capsys):
    (tmp_path / "x.ipynb").write_text("no json", encoding="utf-8")
    path, out = tmp_path / "x.ipynb", tmp_path / "r.json"
    refused(["grade", path, "--json", out, "--only", "02"], "x.ipynb is no notebook", capsys)
    results = json.loads(out.read_text(encoding="utf-8"))
    check_gradescope(results)
    assert results["score"] == 0 and len(results["tests"]) == 7 and "x.ipynb is no notebook" in results["output"]
    refused(["grade", save(tmp_path / "y.ipynb", "x = 1")], "defines none of the course's exercises", capsys)


# --- progress ---


def test_progress(tmp_path, capsys):
    folder = tmp_path / "student"
    save(folder / "02.ipynb", RIGHT, "def solve(*a):\n    raise NotImplementedError('exercise 02.2')")
    save(folder / "04.ipynb", "def forgets():\n    return 3")
    (folder / "bad.ipynb").write_text("", encoding="utf-8")
    main(["progress", str(folder)])
    said = capsys.readouterr().out
    assert "  02.1 v_target: right, 1 point\n  02.2 solve: not written yet (0 of 2 points)\n" in said
    assert "  1 of 2 exercises are written\n04.ipynb\n  04.4 forgets: not right yet (0 of 1 point" in said
    assert "bad.ipynb is empty\n" in said
    assert said.endswith("lecture 02: 1 of 16 points; next: 02.2 solve, 15 minutes\n"
                         "lecture 04: 0 of 10 points; next: 04.1 adain, 8 minutes\n")  # fmt: skip
    main(["progress", str(folder / "02.ipynb")])
    assert capsys.readouterr().out.startswith("02.ipynb\n")


# --- bad options ---


@pytest.mark.parametrize("options, words", [
    (["grade"], "PATH is missing"),
    (["grade", "no.ipynb"], "no.ipynb does not exist"),
    (["grade", "x.ipynb", "--csv", "a.csv"], "--csv is for a folder of submissions"),
    (["grade", "hw", "--json", "a.json", "--canvas", "b.csv"], "--canvas is for a folder of submissions, without --js"),
    (["grade", "hw", "--csv", "grades"], "--csv grades must end in .csv"),
    (["grade", "hw", "--column", "a"], "--column needs --canvas"),
    (["grade", "hw", "--canvas", "no.csv"], "no.csv"),
    (["grade", "hw", "--jobs", "0"], "--jobs and --seconds must be more than 0"),
    (["grade", "hw", "--seconds", "nan"], "--jobs and --seconds must be more than 0"),
    (["grade", "hw", "--sandbox", "weak"], "unknown sandbox 'weak'"),
    (["grade", "hw", "--memory", "much"], "--memory is a size as 2GiB or 500MiB, not 'much'"),
    (["grade", "hw", "--memory", "1KiB"], "is too little"),
    (["grade", "hw", "--only", "99.1"], "there is no exercise '99.1': choose from 00.1"),
    (["grade", "hw", "--only", " "], "no exercise is named"),
    (["grade", "hw", "--seed", "-1"], "a seed is a whole number"),
    (["grade", "empty"], "holds no submissions"),
    (["grade", "none"], "no submission in none defines one of the course's exercises"),
    (["progress", "no"], "no does not exist"),
    (["progress", "empty"], "empty holds no notebooks"),
    (["progress", "x.ipynb", "--sandbox", "weak"], "unknown sandbox 'weak'"),
    (["progress", "empty.py"], "empty.py is empty"),
])  # fmt: skip
def test_bad_options(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "x.ipynb", RIGHT)
    save(tmp_path / "hw" / "x.ipynb", RIGHT)
    save(tmp_path / "none" / "x.ipynb", "x = 1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.py").touch()
    refused(options, words, capsys)


@pytest.mark.parametrize(
    "text, wanted", [("2GiB", 2**31), ("500M", 500 * 2**20), ("1e9", 10**9), ("1.5 GB", 3 * 2**29)]
)
def test_sizes(text, wanted):
    assert size(text) == wanted


WINDOWS = """
import os, signal, socket, sys
sys.modules |= dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios"))
for module, names in ((os, "fork geteuid getuid setsid"), (signal, "SIGCHLD SIGKILL"), (socket, "recv_fds send_fds")):
    for name in names.split():
        delattr(module, name)
from minidiff.run.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="takes away what Windows has not")
def test_windows_cannot_grade_and_says_so(tmp_path):
    save(tmp_path / "hw" / "x.ipynb", RIGHT)
    for command, path in (("grade", "hw"), ("grade", "hw/x.ipynb"), ("progress", "hw")):
        done = subprocess.run([sys.executable, "-c", WINDOWS, command, tmp_path / path], capture_output=True, text=True)
        assert done.returncode == 2 and re.fullmatch(r"minidiff: grading forks .*WSL.*\n", done.stderr), done.stderr


def test_help_needs_no_torch():
    code = "from minidiff.run.cli import main\ntry:\n    main(['grade', '--help'])\nfinally:\n    import sys\n"
    code += "    assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "Grade a submission" in done.stdout, done.stderr
