"""Answers are found by name, whatever else stands in a submission and whatever form it has."""

import json

import build
import pytest
from here import STUB, Workers, notebook, save

from minidiff.check import EXERCISES
from minidiff.grade.answers import read

LECTURE = build.HERE / "source" / "02_paths_and_samplers.py"
IDS = tuple(id for id in EXERCISES if id.startswith("02"))
V_TARGET = "def v_target(x0, eps, alpha, sigma):\n    return alpha * eps - sigma * x0\n"  # right for numbers


def written(tmp_path, *sources: str):
    return save(tmp_path / "x.ipynb", *sources)


def source_of(path, id: str = "02.1") -> str:
    return read(path).programs[id].source


@pytest.fixture(scope="module")
def solved() -> list[str]:
    """The code cells of a lecture, with solutions."""
    return [c.source for c in build.read(LECTURE).cells if c.cell_type == "code"]


@pytest.fixture(scope="module")
def programs(solved, tmp_path_factory):
    found = read(written(tmp_path_factory.mktemp("solved"), *solved))
    assert found.problems == [] and tuple(found.programs) == IDS
    return found.programs


def all_right(path) -> bool:
    found = read(path).programs
    return tuple(found) == IDS and all(Workers().judge(EXERCISES[id], found[id], 0).ok for id in IDS)


# --- what a definition is ---


@pytest.mark.parametrize(
    "sources",
    [
        (V_TARGET.replace("-", "+"), V_TARGET),
        (V_TARGET, STUB),  # it was copied, and the stub is still there
        (STUB, V_TARGET),
        ("import math\nv_target = 3\n" + V_TARGET,),
        ("my_target = 1", V_TARGET.replace("v_target", "my_target"), "v_target = my_target"),
        ("v_target = lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0",),
        ("v_target: object = lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0",),
        ("def f(): pass", "f, v_target = None, lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0"),
        ("if 1 > 2:\n    v_target = None\nelse:\n    " + V_TARGET.replace("\n", "\n    "),),
        ("try:\n    import nothing\nexcept ImportError:\n    " + V_TARGET.replace("\n", "\n    "),),
        ("import functools\n\n@functools.lru_cache\ndef half(): return 0.5\n\n@functools.wraps(half)\n" + V_TARGET,),
        (V_TARGET, "import functools\nv_target = functools.partial(v_target)"),  # of its earlier self
        ("class Target:\n    def __call__(self, x0, eps, alpha, sigma): return alpha * eps - sigma * x0",
         "v_target = Target()"),
        ("from __future__ import annotations\n" + V_TARGET.replace("(x0", "(x0: Undefined"),),
    ],
)  # fmt: skip
def test_the_last_definition_is_the_answer(sources, tmp_path):
    found = read(written(tmp_path, *sources))
    names = {}
    exec(found.programs["02.1"].source, names)
    assert names["v_target"](1.0, 2.0, 3.0, 4.0) == 2.0
    assert found.problems == []


def test_what_is_no_definition(tmp_path):
    path = written(
        tmp_path, "from minidiff.samplers import ddim\nddim.x = 1\nx = ddim\ndef f():\n    def v_target(): pass"
    )
    assert read(path).programs == {}
    assert read(written(tmp_path)).programs == {} and read(written(tmp_path, "")).programs == {}


@pytest.mark.parametrize("code", ["class AdaLNZero(nn.Module):\n    pass", "@decorate(nn)\nclass AdaLNZero:\n    pass"])
def test_a_class_and_its_decorator(code, tmp_path):
    helper = "def decorate(x):\n    return lambda c: c"
    names = {}
    exec(source_of(written(tmp_path, "from torch import nn", helper, code), "04.2"), names)
    assert isinstance(names["AdaLNZero"], type)


def test_an_answer_of_several_names(tmp_path):
    cut, join = "def patchify(x, p):\n    return x", "def unpatchify(tokens, p, shape):\n    return tokens"
    found = read(written(tmp_path, "unpatchify = None\n" + cut, join)).programs["05.2"]
    assert found.names == ("patchify", "unpatchify") and "None" not in found.source
    assert "unpatchify = None" in source_of(written(tmp_path, "unpatchify = None\n" + cut), "05.2")
    half = read(written(tmp_path, cut))
    assert half.programs == {} and half.problems == ["exercise 05.2 needs unpatchify too, which is not there"]


# --- what goes with it ---


def test_helpers_of_other_cells_go_with_it(tmp_path):
    path = written(
        tmp_path, "import math, no_such_module\nfrom math import (\n    sqrt,\n    nothing)", "TWO = 2 * math.sqrt(1)",
        "def half(x):\n    return second(x) / TWO", "print(1 / 0)", "while True: pass",
        "def v_target(x0, eps, alpha, sigma):\n    unused = [nothing for nothing in ()]\n    return half(sqrt(x0))",
        "def second(x):\n    return x if x < 9 else half(x)", "TWO = 3", "import os\nos._exit(1)",
    )  # fmt: skip
    found, names = read(path), {}
    exec(found.programs["02.1"].source, names)
    assert names["v_target"](4.0, 0, 0, 0) == 1.0 and found.problems == []
    assert not {"print", "while", "os", "3"} & set(found.programs["02.1"].source.split())


def test_what_another_cell_computes_does_not_go_with_it(tmp_path):
    code = "def v_target(x0, eps, alpha, sigma):\n    x = 1\n    return net(x)"
    found = read(written(tmp_path, "x = train()", "net = train()", code))
    assert found.programs["02.1"].source == code + "\n"
    said = "exercise 02.1 uses net, which another cell computes: an answer's cell must hold all that it needs"
    assert found.problems == [said]


@pytest.mark.parametrize(
    "constants, value",
    [
        ('WORD = re.compile(r"[a-z]+")\nX = len(WORD.findall("a b"))', 2),
        ('TABLE = str.maketrans("", "", string.punctuation)\nX = "a, b".translate(TABLE)', "a b"),
        ("X = sorted({k: v for k, v in zip(frozenset('a'), itertools.count())})", ["a"]),
        ("X = t.tensor(2.0).sqrt().item() ** 2 > 1", True),  # by another name of torch
        ("class Pair:\n    def __init__(self, n): self.n = n\nX = Pair(3).n", 3),
        ("X: int = sum(half(i) for i in range(4))", 3.0),
        ("X = 1\nX = X + len([X])", 2),
        ("A, (B, *C) = 1, [2, 3]\nX = max(A, B, *C)", 3),
        ("PATH = schedules.VP()\nX = type(PATH).__name__", "VP"),
    ],
)
def test_constants_in_its_own_cell_go_with_it(constants, value, tmp_path):
    imports = "import re, string, itertools, torch as t\nfrom minidiff import schedules\ndef half(x): return x / 2"
    answer = "def v_target(x0, eps, alpha, sigma):\n    return X"
    found, names = read(written(tmp_path, imports, f"{constants}\n{answer}")), {}
    exec(found.programs["02.1"].source, names)
    assert names["v_target"](0, 0, 0, 0) == value and found.problems == []


@pytest.mark.parametrize(
    "constants",
    [
        "X = open('x.txt').read()",
        "X = json.load(FILE)",
        "X = pathlib.Path('x').read_text()",
        "X = train(3)",
        "from minidiff import train as fit\nX = fit.train(3)",
        "from minidiff.measure.metrics import frechet_distance\nX = frechet_distance(1, 2)",
        "def fitted(x):\n    return train(x)\nX = fitted(3)",
        "Y = train(3)\nX = abs(Y)",
        "X = abs(measured)",
        "X = [get_ipython()]",
        "X = v_target(1, 2, 3, 4)",
        "X = abs(undefined)",
    ],
)
def test_grading_trains_measures_and_reads_nothing(constants, tmp_path):
    """Constants of an answer's own cell that would: they are left out, and their name is told."""
    before = "import json, pathlib\ndef train(n):\n    loss.backward()\n    return n"
    answer = "def v_target(x0, eps, alpha, sigma):\n    return X"
    found = read(written(tmp_path, before, "measured = 3 * distance(1)", f"{constants}\n{answer}"))
    assert found.programs["02.1"].source == f"{answer}\n"
    told = (
        "exercise 02.1 uses X, which grading leaves out: it trains and measures nothing, reads no files, runs no loops"
    )
    assert found.problems == [told]


def test_many_constants_are_read_at_once(tmp_path):
    chain = "x0 = f(1)\n" + "\n".join(f"x{i} = f(x{i - 1})" for i in range(1, 4000))
    found = read(written(tmp_path, f"def f(x): return x + 1\n{chain}\ndef v_target(*a): return x3999"))
    names = {}
    exec(found.programs["02.1"].source, names)
    assert names["v_target"]() == 4001


def test_the_definition_before_counts_for_helpers(tmp_path):
    path = written(
        tmp_path, "def f(): return 1", "def v_target(*a): return f()", "def f(): return 2", "def solve(): return f()"
    )
    for id, name, value in (("02.1", "v_target", 1), ("02.2", "solve", 2)):
        names = {}
        exec(source_of(path, id), names)
        assert names[name]() == value


# --- forms ---


def test_copied_split_reordered_and_stripped_cells(solved, tmp_path):
    split = [part for cell in solved for part in cell.split("\n\n\n")]
    for sources in (solved + solved, split, solved[::-1]):
        assert all_right(written(tmp_path, *sources))
    bare = {"nbformat": 4, "cells": [{"cell_type": "code", "source": s} for s in solved]}
    (tmp_path / "colab.ipynb").write_text(json.dumps(bare), encoding="utf-8")
    assert all_right(tmp_path / "colab.ipynb")


def test_deleted_and_edited_checks_change_nothing(solved, programs, tmp_path):
    kept = [s for s in solved if "check." not in s]
    assert len(kept) < len(solved)
    assert read(written(tmp_path, *kept)).programs == programs
    edited = [s.replace("check.", "print or check.") for s in solved]
    patched = "from minidiff import check\ncheck.ddim = lambda *a: print('right')\nimport torch\ntorch.allclose = print"
    assert read(written(tmp_path, patched, *edited)).programs == programs


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("as_lines", [True, False])
def test_versions_of_nbformat(version, as_lines, solved, programs, tmp_path):
    sources = [s.splitlines(keepends=True) if as_lines else s for s in solved]
    key = "source" if version == 4 else "input"
    listed = [
        {"cell_type": "markdown", "source": "x"},
        *({"cell_type": "code", "language": "python", key: s} for s in sources),
    ]
    body = {"cells": listed} if version == 4 else {"worksheets": [{"cells": listed}]}
    (tmp_path / "x.ipynb").write_text(
        json.dumps({"metadata": {}, "nbformat": version, "nbformat_minor": 0} | body), encoding="utf-8"
    )
    assert read(tmp_path / "x.ipynb").programs == programs


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(encoding, ends, tmp_path):
    code = "# Größe\nname = 'é'\n" + V_TARGET
    text = json.dumps(notebook(code.replace("\n", ends)), ensure_ascii=False, indent=1).replace("\n", ends)
    for name, content in (("x.ipynb", text), ("x.py", code.replace("\n", ends))):
        (tmp_path / name).write_bytes(content.encode(encoding))
        assert source_of(tmp_path / name) == V_TARGET


def test_a_script(solved, programs, tmp_path):
    (tmp_path / "x.py").write_text("\n# %%\n".join(solved), encoding="utf-8")
    assert read(tmp_path / "x.py").programs == programs
    (tmp_path / "x.py").write_text("# %% [markdown]\n# text\n# %%\nbroken(\n#%%\n" + V_TARGET, encoding="utf-8")
    found = read(tmp_path / "x.py")
    assert (
        found.programs["02.1"].source == V_TARGET
        and "code cell 3 is left out: syntax error in line 2" in found.problems[0]
    )
    (tmp_path / "x.py").write_text(V_TARGET, encoding="utf-8")
    assert source_of(tmp_path / "x.py") == V_TARGET


# --- what does not parse ---


def test_a_syntax_error_elsewhere_costs_nothing(tmp_path):
    found = read(written(tmp_path, "x = = 2", V_TARGET, "def solve(:\n    pass"))
    assert found.programs["02.1"].source == V_TARGET
    assert found.problems[0] == "code cell 1 is left out: syntax error in line 1 (invalid syntax): x = = 2"


@pytest.mark.parametrize("before", [(), (STUB,), (STUB, "")])
def test_a_syntax_error_in_the_answer_is_told(before, tmp_path):
    code = "%matplotlib inline\ndef v_target(x0, eps, alpha, sigma)\n    return x0\n"
    found = read(written(tmp_path, *before, code))
    assert found.programs["02.1"].source == code.replace("%matplotlib inline", "pass")
    assert Workers().judge(EXERCISES["02.1"], found.programs["02.1"], 0).key == "syntax"
    assert source_of(written(tmp_path, V_TARGET, code)) == V_TARGET  # the last that parses


def test_magics_are_left_out(tmp_path):
    tops = ["%matplotlib inline", "!pip install -q 'torch>=2' don't", "%load_ext autoreload\n%autoreload 2",
            "files = !ls *", "?print", "v_target?", "if True:\n    !ls (\n    %cd x", "!pip install \\\n   a \\\n   b",
            "%time x = (1 +", "n = %time 3"]  # fmt: skip
    for top in [*tops, "\n".join(tops)]:
        found = read(written(tmp_path, f"{top}\n{V_TARGET}"))
        assert (found.programs["02.1"].source, found.problems) == (V_TARGET, []), top
    for top in ("%%time", "%%capture out", "\n%%timeit -n 1", "%%unknown"):
        assert source_of(written(tmp_path, f"{top}\n{V_TARGET}")) == V_TARGET
    for top in ("%%bash", "%%writefile x.py", "%%html", "%%!", "%%javascript"):
        found = read(written(tmp_path, f"{top}\n{V_TARGET}", f"{top}\n<b>'</b>"))
        assert (found.programs, found.problems) == ({}, [])
    modulo = "x = (7\n     % 4)\n\ntext = '''\n% not a magic\n!\n'''\n"
    found = read(written(tmp_path, "%matplotlib inline\n" + modulo + V_TARGET))
    assert found.problems == [] and found.programs["02.1"].source == V_TARGET


@pytest.mark.parametrize(
    "code",
    ["(" * 10**5, "[" * 150 + "]" * 150, "-" * 10**5 + "1", "a" + ".b" * 10**5, "x = '\0'", "'\ud800'",
     "1" * 5000 + "j" * 2, "!ls\n" * 200, "x = " + "9" * 5000, "if 1: pass\n" + "elif 1: pass\n" * 9000,
     "return 1\nnonlocal x", "\f\v", "?" * 999],
    ids=lambda code: repr(code[:9]),
)  # fmt: skip
def test_no_code_stops_the_reading(code, tmp_path):
    path = written(tmp_path, code, V_TARGET)
    assert read(path).programs["02.1"].source == V_TARGET
    for body in (f"    {code[:50]!r}", code):
        read(written(tmp_path, f"def v_target():\n    f = 1\n{body}"))


def test_many_statements(tmp_path):
    with pytest.raises(ValueError, match="x.ipynb has more than 5000 statements outside functions"):
        read(written(tmp_path, "x = 1\n" * 6000))
