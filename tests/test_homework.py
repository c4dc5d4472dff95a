"""What a teacher hands out: homework of chosen exercises, nbgrader's notebooks, Gradescope's zip."""

import importlib.util
import re
import sys
import zipfile
from pathlib import Path

import homework
import nbformat
import pytest

from minidiff import check

LECTURES = Path(__file__).parents[1] / "lectures"
spec = importlib.util.spec_from_file_location("build", LECTURES / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


def run(*arguments) -> None:
    """build.py with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["build.py", *map(str, arguments)])
        build.main()


def ran(notebook) -> dict:
    """Run a notebook's code cells in one namespace, with nothing else defined."""
    names = {"__name__": "__main__"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "cell", "exec"), names)
    return names


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder in which build.py wrote the notebooks once."""
    folder = tmp_path_factory.mktemp("teacher")
    run("--only", "05.2 02.7 10.1", "--homework", folder / "hw.ipynb", "--nbgrader", folder / "nb")
    run("--homework", folder / "all.ipynb")
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Gradescope's zip."""
    pytest.importorskip("pip", reason="makes the wheel")
    pytest.importorskip("setuptools", minversion="70.1", reason="older ones need a network to make a wheel")
    path = tmp_path_factory.mktemp("gradescope") / "a.zip"
    run("--only", "05.2 02.7 10.1", "--autograder", path)
    return path


def test_an_untouched_homework_runs_to_its_end(written, capsys, monkeypatch):
    monkeypatch.setattr(check, "_seen", {})
    ran(nbformat.read(written / "all.ipynb", 4))
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said if "not written yet" in line] == list(check.EXERCISES)
    assert sum(line.startswith("lecture ") and ": 0 of " in line for line in said) == 11


def test_a_lecture_stands_for_its_exercises():
    assert check.chosen("05.2, 06  05.2") == ["05.2", *(id for id in check.EXERCISES if id.startswith("06"))]
    with pytest.raises(ValueError, match="no exercise is named"):
        check.chosen(", ")


def test_the_cover_adds_up_and_keeps_the_order(written):
    notebook = nbformat.read(written / "hw.ipynb", 4)
    nbformat.validate(notebook)
    exercises = [check.EXERCISES[id] for id in ("05.2", "02.7", "10.1")]
    minutes, points = (sum(getattr(e, name) for e in exercises) for name in ("minutes", "points"))
    cover = notebook.cells[0].source
    assert cover.startswith("# Homework: 05.2, 02.7, 10.1\n") and f"| **{minutes}** | **{points}** |" in cover
    assert [c.metadata["exercise"] for c in notebook.cells if "exercise" in c.metadata] == [e.id for e in exercises]
    headings = re.findall(r"^### Exercise (\S+):", "\n".join(c.source for c in notebook.cells), re.M)
    assert headings == [e.id for e in exercises] and "SOLUTION" not in (written / "hw.ipynb").read_text(
        encoding="utf-8"
    )


def test_the_cover_says_what_grading_does_otherwise(written):
    """Than the check in a notebook: it waits less, and takes no answer of the package's."""
    cover = " ".join(nbformat.read(written / "hw.ipynb", 4).cells[0].source.split())
    assert "An answer then has 20 seconds, where the check in a notebook waits for 60." in cover
    assert "The package's own version of what is asked gets no points" in cover and "float64" in cover


@pytest.mark.parametrize("kind, share", [("release", 0), ("source", 1)])
def test_nbgrader_takes_the_points_from_its_own_cells(written, kind, share, monkeypatch):
    """The cell after each check, whose value is the points; nbgrader makes a name of a cell once, without dots."""
    monkeypatch.setattr(check, "_seen", {})
    notebook = nbformat.read(written / "nb" / kind / "homework" / "homework.ipynb", 4)
    nbformat.validate(notebook)
    of = {c.metadata["nbgrader"]["grade_id"]: c for c in notebook.cells if "nbgrader" in c.metadata}
    assert list(of) == ["answer-05-2", "points-05-2", "answer-02-7", "points-02-7", "answer-10-1", "points-10-1"]
    for name, cell in of.items():
        metadata, graded = cell.metadata["nbgrader"], name.startswith("points")
        assert metadata["schema_version"] == 3 and metadata["solution"] != graded
        assert metadata["grade"] == metadata["locked"] == graded
        if graded:
            exercise = check.EXERCISES[name[7:].replace("-", ".")]
            cell.source = cell.source.replace("found.points", "points = found.points")
            assert metadata["points"] == exercise.points
            before = [c for c in notebook.cells[: notebook.cells.index(cell) + 1] if c.source != "check.progress()"]
            assert ran(nbformat.v4.new_notebook(cells=before))["points"] == share * exercise.points


def test_the_zip_holds_what_gradescope_runs(packed):
    with zipfile.ZipFile(packed) as found:
        (wheel,) = [name for name in found.namelist() if name.endswith(".whl")]
        assert set(found.namelist()) == {"setup.sh", "run_autograder", "requirements.txt", wheel}
        modes = {info.filename: info.external_attr >> 16 & 0o111 for info in found.infolist()}
        assert modes["setup.sh"] == modes["run_autograder"] == 0o111
        assert b'/results.json" --only "05.2 02.7 10.1"\n' in found.read("run_autograder")
        found.extract(wheel, packed.parent)
    with zipfile.ZipFile(packed.parent / wheel) as package:
        names = package.namelist()
        assert {"minidiff/check/quiz.json", "minidiff/__main__.py", "minidiff/data/shapes/held_out.csv"} < set(names)
        assert not [name for name in names if name.startswith(("lectures", "tests", "build"))]


@pytest.mark.parametrize("arguments, message", [
    (["--only", "06.9", "--homework", "x.ipynb"], "there is no exercise '06.9': choose from 00.1, "),
    (["--only", "06.1"], "--only needs --homework OUT.ipynb, --autograder OUT.zip or --nbgrader DIR"),
    (["--homework", LECTURES / "build.py"], "build.py is there already: delete it or name another"),
    (["--nbgrader", LECTURES / "build.py"], "build.py/source/00_tour cannot be made: "),
])  # fmt: skip
def test_what_cannot_be_built_is_said_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


def test_a_homework_without_all_of_an_exercise_is_refused():
    cell = nbformat.v4.new_code_cell("check.heun(heun)")
    with pytest.raises(ValueError, match=r"the cell after ddim has no check.ddim\(...\)"):
        homework.called(cell, "ddim")
