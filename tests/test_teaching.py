"""What TEACHING.md says is so: the table of exercises, the sums, the links, the questions for each student."""

import csv
import re
import sys
from pathlib import Path

import pytest
import variants

from minidiff import check
from minidiff.run import cli

LECTURES = Path(__file__).parents[1] / "lectures"
TEXT = (LECTURES / "TEACHING.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d\d\.\d) \| (\w+) \| ([FAPDE]) \| (\d+) \| (\d+) \| (.+) \|$", TEXT, re.M)


def test_the_table_is_that_of_the_checks():
    found = [(id, name, int(minutes), int(points)) for id, name, _, minutes, points, _ in ROWS]
    assert found == [(e.id, e.name, e.minutes, e.points) for e in check.EXERCISES.values()]
    assert len(TEXT.splitlines()) <= 250 and all(len(wrong) > 10 for *_, wrong in ROWS)


def test_the_times_add_up():
    hours = sum(e.minutes for e in check.EXERCISES.values()) / 60
    assert "All exercises take thirteen and a half hours" in TEXT and hours == pytest.approx(13.5, abs=0.25)
    core = re.findall(r"\d\d\.\d", re.search(r"a core set takes seven and a half: (.*?)\. In five", TEXT, re.S)[1])
    assert sum(check.EXERCISES[id].minutes for id in core) / 60 == pytest.approx(7.5, abs=0.25)
    assert {id[:2] for id in core} == {id[:2] for id in check.EXERCISES}


def test_paths_lead_somewhere():
    paths = re.findall(r"(?<![\w/.])(?:minidiff|tests|lectures|datasets)/[\w./]+(?![\w*])", TEXT)
    assert len(paths) > 5 and not [path for path in paths if not (LECTURES.parent / path.rstrip(".")).exists()]


def test_commands_and_options_exist(capsys):
    for name in ("grade", "progress"):
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
    known = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    scripts = [LECTURES / "build.py", LECTURES.parent / "site" / "build.py"]
    known |= {option for script in scripts for option in re.findall(r"--[a-z]+", script.read_text(encoding="utf-8"))}
    known |= {"--seed", "--force", "--help", "--index"}  # of variants.py, nbgrader, python and pip
    assert set(re.findall(r"-m minidiff (\w+)", TEXT)) == {"grade"}
    assert len(re.findall(r"--[a-z]+", TEXT)) > 15 and not set(re.findall(r"(?<!-)--[a-z]+", TEXT)) - known


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("Ada\nBea\nÇem\n", encoding="utf-8")
    return path


def asked(names: Path, out: Path, *more: str) -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["variants.py", str(names), str(out), *more])
        variants.main()
    with open(out, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_student_has_questions_of_their_own(names, tmp_path):
    rows, again, other = (asked(names, tmp_path / f"{i}.csv", "--seed", str(seed)) for i, seed in enumerate((1, 1, 2)))
    assert rows == again and [row["student"] for row in rows] == ["Ada", "Bea", "Çem"]
    questions = [tuple(v for k, v in row.items() if k.endswith("question")) for row in rows + other]
    assert len(set(questions)) == 6
    kinds = {id: kind for id, _, kind, *_ in ROWS}
    for id in variants.ASKED:
        assert kinds[id] == "P"
        answer = eval(rows[0][f"{id} question"], {check.EXERCISES[id].name: variants.solution(id)})
        told = [float(number) for number in rows[0][f"{id} answer"].split(", ")]
        assert told == pytest.approx(answer if isinstance(answer, tuple) else [answer], rel=1e-5)


def test_lists_that_cannot_be_used(names, tmp_path, capsys):
    for text, out, message in (("Ada\nAda\n", "x.csv", "a student a line, each once"), ("", "x.csv", "each once"),
                               ("Ada\n", "names.txt", "is there already")):  # fmt: skip
        names.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit, match="2"):
            asked(names, tmp_path / out)
        assert message in capsys.readouterr().err
