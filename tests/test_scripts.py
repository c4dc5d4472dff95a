"""Scripts that the suite does not run, as they take minutes, a GPU or other libraries: their calls fit minidiff."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest
from same import KINDS

from tests.test_cli import arrived

HERE = Path(__file__).parent
SCRIPTS = sorted((*HERE.glob("bench/*.py"), *HERE.glob("gpu/*.py")), key=str)


def names_of_ours(tree: ast.Module) -> dict[str, object]:
    """What a script imports of minidiff, by the names it has there. An ImportError if something is not there."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minidiff" and not node.level:
            for alias in node.names:
                module = importlib.import_module(node.module)
                thing = getattr(module, alias.name, None)
                found[alias.asname or alias.name] = (
                    importlib.import_module(f"{node.module}.{alias.name}") if thing is None else thing
                )
    return found


def called(node: ast.expr, names: dict):
    """The object that a name or a dotted name of `names` stands for, or None."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := called(node.value, names)) is not None:
        return getattr(owner, node.attr) if inspect.ismodule(owner) else getattr(owner, node.attr, None)
    return None


def misfits(source: str) -> list[str]:
    """The calls of minidiff's functions and classes in `source` whose arguments do not fit."""
    tree, wrong = ast.parse(source), []
    names = names_of_ours(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        function = called(call.func, names)
        if not callable(function) or "minidiff" not in (getattr(function, "__module__", None) or ""):
            continue
        known = [a for a in call.args if not isinstance(a, ast.Starred)]
        given = {k.arg: None for k in call.keywords if k.arg}
        whole = len(known) == len(call.args) and len(given) == len(call.keywords)
        signature = inspect.signature(function)
        try:
            (signature.bind if whole else signature.bind_partial)(*known, **given)
        except TypeError as error:
            wrong.append(f"line {call.lineno}: {ast.unparse(call)}: {error}")
    return wrong


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_calls_fit(path):
    assert misfits(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_runs_that_are_compared_are_options_of_train(kind, monkeypatch):
    arrived(monkeypatch, "train", *KINDS[kind], "--out", "x")


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("draw(work, model, shape, n, cond, part=8)", True),  # the call that quality.py had
        ("draw(work, model, n, cond, part=8, **how)", False),
        ("draw(work, model)", True),
        ("evaluate.draw(work, model, n, first=1)", False),  # goes on as an option
        ("device.pick('cpu', 'cuda')", True),
    ],
)
def test_a_call_that_does_not_fit_is_found(call, wrong):
    head = "from minidiff import device\nfrom minidiff.run import evaluate\nfrom minidiff.run.evaluate import draw\n"
    assert bool(misfits(head + call)) is wrong


def test_a_name_that_is_not_there_is_found():
    with pytest.raises(ImportError):
        misfits("from minidiff.run.evaluate import not_there")
    with pytest.raises(AttributeError):
        misfits("from minidiff import data\ndata.not_there(1)")
