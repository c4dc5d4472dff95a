"""Every lecture agrees with its source, and runs from top to bottom (in smoke mode, under nbval)."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from renaming import renamed

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


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_notebook_runs(source, tmp_path):
    command = [sys.executable, "-m", "pytest", f"{source.stem}.ipynb", "-n", "0", "-p", "no:cacheprovider",
               "-W", "default", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600",
               f"--junitxml={tmp_path / 'cells.xml'}"]  # fmt: skip
    own = {f"{name}_DIR": str(tmp_path / name) for name in ("JUPYTER_CONFIG", "JUPYTER_RUNTIME")}  # none of the user's
    environment = os.environ | own | {"IPYTHONDIR": str(tmp_path / "ipython"), "MINIDIFF_MODE": "smoke"}
    said = subprocess.run(command, cwd=LECTURES, env=environment, capture_output=True, text=True)
    cells = list(ElementTree.parse(tmp_path / "cells.xml").iter("testcase"))
    wrong = [f"{case.get('name')}: {part.text}" for case in cells for part in case]
    assert not wrong and said.returncode == 0, "\n".join(wrong)[:4000] or said.stdout + said.stderr
    code = [c for c in build.nbformat.read(LECTURES / f"{source.stem}.ipynb", 4).cells if c.cell_type == "code"]
    assert len(cells) == len(code)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of a lecture's source, beside one of its notebook, which agrees with it."""
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tmp_path / "source").mkdir()
    for path in (LECTURES / "source" / "01_score_matching.py", LECTURES / "01_score_matching.ipynb"):
        (tmp_path / path.relative_to(LECTURES)).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (source,) = build.sources("01")
    assert build.agrees(source)
    return source


def test_a_changed_source_is_noticed(source):
    for old, new in (("# # Lecture 01", "# # The first lecture"), ('# %% alt="', '# %% alt="Drawn: ')):
        source.write_text(source.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
        assert not build.agrees(source)
        build.build_text(source)  # prose alone needs no execution
        assert build.agrees(source)
    source.write_text(source.read_text(encoding="utf-8") + "\n# %%\nprint(1)\n", encoding="utf-8")
    assert not build.agrees(source)
    with pytest.raises(SystemExit, match="its code was edited too"):
        build.build_text(source)


def test_new_names_and_imports_are_taken_over_with_the_outputs(source, capsys):
    notebook = source.parents[1] / "01_score_matching.ipynb"
    outputs = [c.outputs for c in build.nbformat.read(notebook, 4).cells if c.cell_type == "code"]
    edited = source.read_text(encoding="utf-8")
    for old, new in (
        (r"from experiments import claims", "from experiments import ledger"),
        (r"\bclaims\.(measure|ledger|mode|summary)", r"ledger.\1"),
        (r"\bfig\b", "figure"),
        (r"from minidiff\.data\.toys", "from minidiff.toys"),
        (r"# # Lecture 01", "# # The first lecture"),
    ):
        assert re.search(old, edited)
        edited = re.sub(old, new, edited)
    source.write_text(edited, encoding="utf-8")
    with pytest.raises(SystemExit, match="its code was edited too"):
        build.build_text(source)
    assert build.sync_all([source]) == 0 and build.agrees(source)
    said = capsys.readouterr().out
    assert "code cell 2: claims.mode -> ledger.mode\n" in said and "fig -> figure" in said
    assert "# The first lecture" in notebook.read_text(encoding="utf-8")
    assert outputs == [c.outputs for c in build.nbformat.read(notebook, 4).cells if c.cell_type == "code"]
    before = notebook.read_text(encoding="utf-8")
    source.write_text(
        edited.replace("manual_seed(0)", "manual_seed(1)").replace("figure, ax =", "fig, ax =", 1), encoding="utf-8"
    )
    assert edited != source.read_text(encoding="utf-8") and build.sync_all([source]) == 1
    assert "01_score_matching is left as it was: code cell" in capsys.readouterr().err
    assert notebook.read_text(encoding="utf-8") == before


IMPORT = "from minidiff import data\nfrom torch import sin, nn\nimport torch"


@pytest.mark.parametrize(
    "old, new, names",
    [
        ("x = data.load('a')  # it", "x = data.read(\n    'a')", {("data.load", "data.read")}),
        ("f(way=x).there + x.there", "f(text_mode=x).mask + x.mask", {("way", "text_mode"), ("there", "mask")}),
        ("def f(a): return f'{a:.2f}'", "def g(b): return f'{b:.2f}'", {("f", "g"), ("a", "b")}),
        ("from minidiff.a import f\nf(how=1, x=how)", "from minidiff.b import f\nf(conditioning=1, x=how)",
         {("how", "conditioning")}),
    ],
)  # fmt: skip
def test_renamings(old, new, names):
    assert renamed([IMPORT, old], [IMPORT, new]) == [set(), names]


@pytest.mark.parametrize(
    "old, new",
    [
        ("x = data.load(1)", "x = data.load(2)"),
        ("x = data.load('a')", "x = data.load('b')"),
        ("x = sin(y)", "x = cos(y)"),
        ("x = torch.sin(y)", "x = torch.cos(y)"),
        ("x = max(y)", "x = min(y)"),
        ("x = f(y)", "x = f(y, 1)"),
        ("x = a - b", "x = b - a"),
        ("x = a - b", "x = a - a"),
        ("x = a - a", "x = a - b"),
        ("y = p.x0 + p.eps", "y = p.eps + p.eps"),
        ("y = f(a=1, b=2)", "y = f(b=1, a=2)"),
        ("x = 1\ny = x", "z = 1\ny = x"),
    ],
)
def test_what_is_more_than_a_renaming(old, new):
    with pytest.raises(ValueError, match="differs in more|became"):
        renamed([IMPORT, old], [IMPORT, new])
    with pytest.raises(ValueError, match="the source has 3 code cells, the notebook 2"):
        renamed([IMPORT, old], [IMPORT, old, new])


# --- the form of a lecture, and its student version ---


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_a_lecture_is_not_too_long(source):
    """Words of prose, lines of code and words printed are what a reader bears in one sitting."""
    notebook = build.nbformat.read(LECTURES / f"{source.stem}.ipynb", 4)
    prose = sum(len(c.source.split()) for c in notebook.cells if c.cell_type == "markdown")
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    code = [line for c in cells for line in c.source.splitlines()]
    printed = [o.text for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream"]
    found = prose, sum(bool(line.strip()) for line in code), sum(len(text.split()) for text in printed)
    assert found[0] <= 2000 and found[1] <= 220 and found[2] <= 400, found


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_figures_have_words_for_those_who_do_not_see_them(source):
    notebook = build.nbformat.read(LECTURES / f"{source.stem}.ipynb", 4)
    for cell in notebook.cells:
        if any({"image/png", "image/gif"} & set(o.get("data", {})) for o in cell.get("outputs", [])):
            assert len(cell.metadata.get("alt", "")) > 20, cell.source[:200]


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_student_notebooks_have_stubs_and_no_outputs(source):
    notebook, solved = build.student(source), build.jupytext.read(source)
    exercises = [c.metadata["exercise"] for c in solved.cells if "exercise" in c.metadata]
    stubs = [c for c in notebook.cells if "raise NotImplementedError" in c.source]
    assert [c.metadata["exercise"] for c in stubs] == exercises
    assert not any("SOLUTION" in c.source for c in notebook.cells)
    assert not any(c.get("outputs") for c in notebook.cells)
    (setup,) = [c for c in notebook.cells if "import experiments, minidiff" in c.source]
    assert 'sys.path.insert(0, os.path.abspath(".."))' in setup.source  # experiments read files beside them
    assert build.same_cells(build.student_path(source), notebook), "run: python lectures/build.py --student"


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.stem)
def test_links_lead_somewhere(source):
    """Those of students stand a folder deeper."""
    for notebook, folder in ((build.read(source), build.HERE), (build.student(source), build.HERE / "student")):
        text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
        links = re.findall(r"\]\((?!https?:|#)([^)\s#]+)[^)]*\)", text)
        assert not [link for link in links if not (folder / link).exists()]


EXERCISE = """# %%
from minidiff import check

# %% [markdown]
# <details><summary>Hint</summary>Add.</details>

# %% exercise="02.1" points=1 minutes=5
def v_target(a, b):
    # BEGIN SOLUTION
    return a + b * 1.0000000001
    # END SOLUTION

# %%
check.v_target(v_target)
"""


@pytest.mark.parametrize("old, new, message", [
    ("    # END SOLUTION\n", "", "needs one solution between"),
    ("    return a", "    pass\n" * 13 + "    return a", "of 12 lines at most"),
    ("<summary>Hint", "<summary>Help", "needs a hint"),
    ("check.v_target(v_target)", "v_target(1, 2)", "and a check in the one after"),
    ("\n# %%\ncheck", "\n# %%\ncheck.v_target\nreturn a + b * 1.0000000001\ncheck", "stands elsewhere"),
])  # fmt: skip
def test_an_exercise_that_is_not_whole_is_refused(old, new, message, tmp_path):
    source = tmp_path / "02_x.py"
    source.write_text(EXERCISE, encoding="utf-8")
    (stub,) = [c for c in build.student(source).cells if "exercise" in c.metadata]
    assert stub.source.endswith('    raise NotImplementedError("exercise 02.1")')
    source.write_text(EXERCISE.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=f"02_x.py: .*{message}"):
        build.student(source)
