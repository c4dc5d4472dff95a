"""Every lecture agrees with its source, and runs from top to bottom (in smoke mode, under nbval)."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import pytest

LECTURES = Path(__file__).parents[1] / "lectures"
spec = importlib.util.spec_from_file_location("build", LECTURES / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_notebook_agrees_with_its_source(source):
    assert build.agrees(source), f"edit {source.name}, then run: python lectures/build.py {source.stem[:2]}"


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_notebook_is_committed_executed(source):
    notebook = build.nbformat.read(LECTURES / f"{source.stem}.ipynb", 4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(c.execution_count for c in code)
    outputs = [o for c in code for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    assert any("image/png" in o.get("data", {}) for o in outputs)


@pytest.fixture(scope="module")
def cells_run(request):
    """Notebook -> its cells' results under nbval, of those that are asked for: see conftest."""
    process, chosen, folder = request.config.notebooks
    process.wait()
    cells = {stem: [] for stem in chosen}
    for case in ElementTree.parse(folder / "cells.xml").iter("testcase"):
        cells[next(stem for stem in chosen if stem in case.get("classname"))].append(case)
    assert all(cells.values()), (folder / "said.txt").read_text(encoding="utf-8")
    return cells


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_notebook_runs(source, cells_run):
    wrong = [f"{case.get('name')}: {part.text}" for case in cells_run[source.stem] for part in case]
    code = [c for c in build.nbformat.read(LECTURES / f"{source.stem}.ipynb", 4).cells if c.cell_type == "code"]
    assert not wrong and len(cells_run[source.stem]) == len(code), "\n".join(wrong)[:4000]


def test_a_changed_source_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tmp_path / "source").mkdir()
    for path in (LECTURES / "source" / "01_score_matching.py", LECTURES / "01_score_matching.ipynb"):
        (tmp_path / path.relative_to(LECTURES)).write_text(path.read_text())
    (source,) = build.sources("01")
    assert build.agrees(source)
    source.write_text(source.read_text().replace("# # Lecture 01", "# # The first lecture"))
    assert not build.agrees(source)
    build.build_text(source)  # prose alone needs no execution
    assert build.agrees(source)
    source.write_text(source.read_text() + "\n# %%\nprint(1)\n")
    assert not build.agrees(source)
    with pytest.raises(SystemExit, match="its code was edited too"):
        build.build_text(source)
