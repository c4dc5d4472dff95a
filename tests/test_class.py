"""Grading a class: the table, the summary, several jobs, gradings that were killed, and Canvas's gradebook."""

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import here
import pytest
from here import RIGHT, STUB, WRONG, check_gradescope, plan_here, refused, save

from minidiff.check import EXERCISES, Verdict
from minidiff.grade import grade
from minidiff.grade.canvas import Export
from minidiff.grade.grade import Places, asked, earlier, grade_class
from minidiff.run.cli import main

pytestmark = pytest.mark.usefixtures("answers_here")


@pytest.fixture
def class_of(tmp_path):
    """A folder of submissions: right, wrong, a stub, broken ones, and one of another name for what was asked."""
    folder = tmp_path / "hw"
    save(folder / "doejane_12345_901_hw.ipynb", RIGHT)
    save(folder / "roejohn_LATE_12346_902_hw-1.ipynb", "# mine\n" + RIGHT, "x = (")
    save(folder / "wrongann_12347_903_hw.ipynb", WRONG, "def drop(x):\n    return x")
    save(folder / "wrongbob_12348_904_hw.ipynb", WRONG + "# too\n")
    save(folder / "emptyeve_12349_905_hw.ipynb", STUB)
    save(folder / "emptyzoe_12350_906_hw.ipynb", STUB)
    (folder / "badbill_12351_907_hw.ipynb").write_text("{", encoding="utf-8")
    (folder / "=cmd_12352_908_hw.pdf").write_bytes(b"%PDF")
    (folder / "Doe Jill_7_assignsubmission_file").mkdir()
    save(folder / "Doe Jill_7_assignsubmission_file" / "hw.ipynb", WRONG)
    (folder / ".DS_Store").write_bytes(b"\0")
    return folder


def rows_of(path: Path) -> dict[str, dict]:
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_a_class(class_of, capsys):
    main(["grade", str(class_of), "--seed", "4"])
    said, table = capsys.readouterr().out, class_of.with_name("hw-grades.csv")
    rows = rows_of(table)
    points = {name.split("_")[0]: row["points"] for name, row in rows.items()}
    zero = ["wrongann", "wrongbob", "emptyeve", "emptyzoe", "badbill", "'=cmd", "Doe Jill"]
    assert points == {"doejane": "1", "roejohn": "1"} | dict.fromkeys(zero, "0")
    assert list(rows["doejane_12345_901_hw.ipynb"]) == ["file", "late", "points", "of", "02.1 v_target", "notes"]
    assert [name for name, row in rows.items() if row["late"]] == ["roejohn_LATE_12346_902_hw-1.ipynb"]
    notes = {name.split("_")[0]: row["notes"] for name, row in rows.items()}
    assert "is no notebook: it is no JSON" in notes["badbill"] and "pdf is no notebook" in notes["'=cmd"]
    assert notes["doejane"] == "same answers as roejohn_LATE_12346_902_hw-1.ipynb" and "left out" in notes["roejohn"]
    assert "wrongann" in notes["Doe Jill"] and "wrongbob" in notes["Doe Jill"] and not notes["emptyeve"]
    assert "9 submissions, 2 of them cannot be read; points: mean 0.2, median 0, of 1\n" in said
    assert "02.1 v_target: 2 of 9 passed (22%), 4 not written; most often " in said and "(3): " in said
    assert table.with_suffix(".txt").read_text(encoding="utf-8").splitlines()[0] in said and "Seed 4" in said
    for path in class_of.with_name("hw-grades").iterdir():
        check_gradescope(json.loads(path.read_text(encoding="utf-8")))


def test_many_same_answers_are_named_shortly(tmp_path):
    for name in "abcdef":
        save(tmp_path / "hw" / f"{name}.ipynb", RIGHT, f"x = {name!r}")
    main(["grade", str(tmp_path / "hw")])
    assert rows_of(tmp_path / "hw-grades.csv")["b.ipynb"]["notes"] == (
        "same answers as a.ipynb, c.ipynb, d.ipynb and 2 more"
    )


def test_grading_again_judges_what_is_new(class_of, capsys):
    main(["grade", str(class_of)])
    seed, table = re.search(r"Seed (\d+)", capsys.readouterr().out)[1], class_of.with_name("hw-grades.csv")
    before = table.read_bytes()
    here.Workers.judged.clear()
    main(["grade", str(class_of)])
    assert here.Workers.judged == [] and table.read_bytes() == before and f"Seed {seed}" in capsys.readouterr().out
    save(class_of / "emptyeve_12349_905_hw.ipynb", RIGHT)
    save(class_of / "new.ipynb", STUB)
    main(["grade", str(class_of)])
    assert here.Workers.judged == ["02.1", "02.1"] and rows_of(table)["emptyeve_12349_905_hw.ipynb"]["points"] == "1"


def test_nothing_is_overwritten_by_another_grading(class_of, capsys):
    main(["grade", str(class_of), "--seed", "4"])
    before = {p: p.read_bytes() for p in class_of.parent.rglob("*") if p.is_file()}
    refused(["grade", class_of, "--seed", "5"], "holds a grading with seed 4 of 02.1", capsys)
    refused(["grade", class_of, "--only", "02.2"], "holds a grading with seed 4 of 02.1", capsys)
    (class_of.parent / "mine.csv").write_text("a,b", encoding="utf-8")
    refused(["grade", class_of, "--csv", class_of.parent / "mine.csv"], "mine.csv exists already", capsys)
    (class_of.parent / "notes").mkdir()
    (class_of.parent / "notes" / "a.json").write_text("{}", encoding="utf-8")
    refused(["grade", class_of, "--csv", class_of.parent / "notes.csv"], "is no grading's", capsys)
    assert all(path.read_bytes() == data for path, data in before.items())


def test_the_table_may_lie_in_the_folder(class_of):
    table = class_of / "grades.csv"
    for _ in range(2):
        main(["grade", str(class_of), "--csv", str(table)])
        assert len(rows_of(table)) == 9


def test_exercises_that_are_chosen_stand_in_the_courses_order(class_of):
    main(["grade", str(class_of), "--only", "adain, 03 02.1"])
    (row, *_) = rows_of(class_of.with_name("hw-grades.csv")).values()
    of_it = [f"{id} {e.name}" for id, e in EXERCISES.items() if id in ("02.1", "04.1") or id.startswith("03")]
    assert list(row)[4:-1] == of_it


def test_names_of_few_are_not_asked(class_of):
    assert asked(sorted(class_of.iterdir())) == ("02.1",)  # drop is one student's own
    assert asked([class_of / "wrongann_12347_903_hw.ipynb"]) == ("02.1", "07.2")


# --- several at a time, and killed ---


def in_order(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.name[0] != ".")


def test_jobs_side_by_side_give_what_one_gives(class_of, tmp_path):
    found = []
    for jobs in (1, 2):
        places = Places(tmp_path / f"{jobs}.csv")
        graded = grade_class(in_order(class_of), plan_here("02.1", "02.2", seed=5), places, jobs)
        found.append((places.csv.read_text(encoding="utf-8"), {n: r["tests"] for n, r in sorted(graded.items())}))
    assert found[0] == found[1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_stops_a_grading_stops_all_jobs(jobs, tmp_path, monkeypatch):
    """After the call that is interrupted each job ends the call that it is at, and begins none."""
    calls, stopped = itertools.count(), threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *args, **options):
            stopped.set()
            super().shutdown(*args, **options)

    def interrupted(self, exercise, program, seed):
        here.Workers.judged.append(exercise.id)
        if next(calls) == 0:
            raise KeyboardInterrupt
        stopped.wait(60)
        return Verdict(exercise.id, exercise.name, False, 0, "value", "")

    monkeypatch.setattr(grade, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(here.Workers, "judge", interrupted)
    paths = [save(tmp_path / "hw" / f"{name}.ipynb", RIGHT, "def drop(x):\n    return x") for name in "abcdefg"]
    with pytest.raises(KeyboardInterrupt):
        grade_class(paths, plan_here("02.1", "07.2"), Places(tmp_path / "grades.csv"), jobs)
    assert len(here.Workers.judged) <= 1 + jobs


KILLED = """
import os, signal, sys
from pathlib import Path
import here
from minidiff.grade import grade, report

folder, table, jobs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
grade.Workers, write, seen = here.Workers, report.write_csv, []

def killing(graded, path):
    write(graded, path)
    seen.append(0)
    if len(seen) == 4:
        os.kill(os.getpid(), signal.SIGKILL)

report.write_csv = killing
paths = sorted(p for p in folder.iterdir() if p.name[0] != ".")
grade.grade_class(paths, here.plan_here("02.1", "02.2", seed=5), grade.Places(table), jobs)
"""


def judged_in(data: bytes) -> list[str]:
    return [t["output"] for t in json.loads(data)["tests"] if t["tags"] not in (["not judged"], ["missing"])]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_grading_goes_on(jobs, class_of, tmp_path):
    places, paths = Places(tmp_path / "grades.csv"), in_order(class_of)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", KILLED, class_of, places.csv, str(jobs)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(rows_of(places.csv)) == 4
    (places.folder / ".tmp-1-torn.json").write_text("{", encoding="utf-8")  # as a kill may leave one
    before = {path: judged_in(path.read_bytes()) for path in places.folder.glob("[!.]*.json")}
    assert earlier(places) == (5, ("02.1", "02.2"))
    graded = grade_class(paths, plan_here("02.1", "02.2", seed=5), places)
    assert len(rows_of(places.csv)) == len(graded) == 9
    assert len(here.Workers.judged) == 7 - sum(map(len, before.values()))
    assert all(outputs == judged_in(path.read_bytes()) for path, outputs in before.items() if outputs)
    fresh = grade_class(paths, plan_here("02.1", "02.2", seed=5), Places(tmp_path / "fresh.csv"))
    assert {n: r["tests"] for n, r in fresh.items()} == {n: r["tests"] for n, r in graded.items()}


# --- Canvas ---

BOOK = (
    'Student,ID,SIS User ID,SIS Login ID,Section,"Homework 1, paths (77)",Homework 2 (78),Final Score\r\n'
    ",,,,,Manual Posting,,(read only)\r\n"
    "    Points Possible,,,,,1.0,16.0,(read only)\r\n"
    '"Doe, Jane",12345,A1,jane@x.org,"Sec ""A""",,3,90.5\r\n'
    '"Roé, John",12346,A2,john@x.org,S,0.0,,"80\r\n1"\r\n'
    "Nobody,99999,A3,n@x.org,S,5,,\r\n"
    "wrongann,12347,A4,,S,,,70\r\n"
)
FILLED = BOOK.replace('"Sec ""A""",,3', '"Sec ""A""",1,3')
FILLED = FILLED.replace("S,0.0,,", "S,1,,").replace("S,,,70", "S,0,,70")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("comma", [",", ";"])
def test_canvas_has_one_column_filled(encoding, comma, class_of, capsys):
    def written(text: str) -> bytes:
        return (text.replace(",", ";") if comma == ";" else text).encode(encoding)

    export = class_of.with_name("export.csv")
    export.write_bytes(written(BOOK))
    column = "Homework 1, paths (77)".replace(",", comma)
    main(["grade", str(class_of), "--canvas", str(export), "--column", column])
    assert export.read_bytes() == written(BOOK)
    assert class_of.with_name("export-filled.csv").read_bytes() == written(FILLED)
    said = capsys.readouterr().out
    assert "export-filled.csv: 8 students" in said
    assert "not in Canvas's list: 12352, 12351, 12349, 12350, 12348" in said
    assert (
        "in no row: Doe Jill_7_assignsubmission_file" in said and "1 grades that stood in it are other ones now" in said
    )
    main(["grade", str(class_of), "--canvas", str(export), "--column", column])
    assert "an earlier export-filled.csv is replaced" in capsys.readouterr().out


def test_two_files_of_a_student_and_other_points(class_of, capsys):
    save(class_of / "doejane_12345_909_helper.ipynb", STUB)
    export = class_of.with_name("export.csv")
    export.write_text(
        BOOK.replace(",Homework 2 (78)", ",Homework 2").replace("1.0,16.0", "10.0,16.0"), encoding="utf-8"
    )
    main(["grade", str(class_of), "--canvas", str(export)])
    said = capsys.readouterr().out
    assert "more than one file, the best counts: doejane" in said
    assert "Canvas has 10.0 points for this column, the grading 1" in said
    assert '"Sec ""A""",1,3' in class_of.with_name("export-filled.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("text, column, said", [
    ("Name,ID\na,1", None, "is no gradebook of Canvas"),
    (BOOK, None, r"which column\? --column is one of 'Homework 1, paths .77.', 'Homework 2 .78.'"),
    (BOOK, "Homework 3", r"there is no column 'Homework 3': --column is one of"),
    (BOOK.replace("Doe, Jane\"", 'Doe, Jane"x'), "Homework 2 (78)", r"is no CSV: ',' expected after '\"'"),
    ("Student,ID,Section\na,1,2", None, "--column is one of none"),
])  # fmt: skip
def test_gradebooks_that_are_refused(text, column, said, tmp_path):
    (tmp_path / "book.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^book.csv.*{said}"):
        Export(tmp_path / "book.csv", column)
