"""The checks of the exercises: right answers pass, every mutant dies by the message that names it."""

import importlib
import inspect
import pkgutil
import re
import signal
import zlib
from pathlib import Path

import jupytext
import pytest
import torch
from mutants import __path__ as folder

from minidiff import check
from minidiff.check.exercise import Wrong, same
from minidiff.grade import nursery

SOURCES = sorted((Path(__file__).parents[1] / "lectures" / "source").glob("*.py"))
MUTANTS = [importlib.import_module(f"mutants.{m.name}") for m in pkgutil.iter_modules(folder)]
WRONG = [(name, which, *case) for m in MUTANTS for name, of in m.WRONG.items() for which, case in of.items()]
RIGHT = [(name, which, code) for m in MUTANTS for name, of in m.ALSO_RIGHT.items() for which, code in of.items()]
CELLS = {
    cell.metadata["exercise"]: cell
    for source in SOURCES
    for cell in jupytext.read(source).cells
    if "exercise" in cell.metadata
}


def defined(code: str, name: str):
    """What a cell defines by that name, with nothing else defined: a tuple where an exercise's answer has parts."""
    names = {"__name__": "answer"}
    exec(compile(code, "answer", "exec"), names)
    parts = next((e.names for e in check.EXERCISES.values() if e.name == name), (name,))
    answer = tuple(names[part] for part in parts if part in names)
    return answer if len(answer) > 1 else names[name]


def test_every_exercise_stands_in_a_lecture():
    assert sorted(CELLS) == sorted(check.EXERCISES)
    for id, exercise in check.EXERCISES.items():
        metadata = CELLS[id].metadata
        assert (metadata["points"], metadata["minutes"]) == (exercise.points, exercise.minutes), id


def test_a_check_says_where_the_lecture_explains_it():
    part = None
    for source in SOURCES:
        for cell in jupytext.read(source).cells:
            for heading, id in re.findall(r"^## (\d+)\. |^### Exercise (\d\d\.\d+)", cell.source, re.M):
                part = heading or part
                if id and source.stem[:2] not in ("00", "10"):  # those have no numbered parts
                    assert re.match(rf"lecture {id[:2]}, parts? .*\b{part}\b", check.EXERCISES[id].see), id


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("id", check.EXERCISES)
def test_solutions_pass(id, seed):
    exercise = check.EXERCISES[id]
    verdict = check.verdict(id, defined(CELLS[id].source, exercise.name), seed)
    assert verdict.ok and verdict.points == exercise.points, verdict.text


def seed_of(name: str, which: str) -> int:
    """A seed for each answer: together they try many."""
    return zlib.crc32(f"{name}: {which}".encode())


@pytest.mark.parametrize("name, which, code", RIGHT, ids=[f"{name}: {which}" for name, which, _ in RIGHT])
def test_other_right_answers_pass(name, which, code):
    verdict = check.verdict(name, defined(code, name), seed_of(name, which))
    assert verdict.ok, verdict.text


@pytest.mark.parametrize("name, which, code, key", WRONG, ids=[f"{name}: {which}" for name, which, *_ in WRONG])
def test_mutants_die_by_their_own_message(name, which, code, key):
    verdict = check.verdict(name, defined(code, name), seed_of(name, which))
    assert verdict.key == key and verdict.points == 0, verdict.text


def test_every_exercise_has_mutants():
    names = {exercise.name for exercise in check.EXERCISES.values()}
    for cases, least in ((WRONG, 3), (RIGHT, 0)):
        assert {name for name, *_ in cases} <= names
        assert not least or all(sum(case[0] == name for case in cases) >= least for name in names)


def refuse(*args, **options):
    raise AssertionError("a check calls what it checks")


@pytest.mark.parametrize("id", nursery.OWN)
def test_no_check_calls_what_it_checks(id, monkeypatch):
    """Nor what the package has of it, by whatever name: checks use oracles, schedules and other libraries."""
    answer = defined(CELLS[id].source, check.EXERCISES[id].name)
    for name in nursery.OWN[id]:
        if not name.startswith("minidiff.oracles."):
            monkeypatch.setattr(inspect.unwrap(pkgutil.resolve_name(name)), "__code__", refuse.__code__)
    assert check.verdict(id, answer).ok


def test_what_is_not_an_answer():
    def stub(model, x, times, cond=None):
        raise NotImplementedError("exercise 02.4")

    assert check.verdict("02.4", stub).text == "Exercise 02.4 ddim: not written yet (0 of 3 points)"
    for thing in (None, 3, "ddim", [], object(), lambda: 0, lambda *a, **k: a, float("nan"), type):
        for id in check.EXERCISES:
            verdict = check.verdict(id, thing)
            assert not verdict.ok and verdict.points == 0 and "Traceback" not in verdict.text
    with pytest.raises(ValueError, match=r"unknown exercise '99.1': choose from"):
        check.verdict("99.1", stub)
    with pytest.raises(AttributeError, match="there is no exercise 'dddim'"):
        check.dddim  # noqa: B018


def test_what_torch_has_not_implemented_is_not_a_stub():
    answer = defined("def fresh_share(a, b, c, d):\n    return a & b\n", "fresh_share")
    assert "not implemented for" in check.verdict("fresh_share", answer).text


@pytest.mark.parametrize("setting", ["set_grad_enabled(False)", "set_default_dtype(torch.float64)"])
def test_what_an_answer_sets_for_all_of_torch_is_put_back(setting):
    first = "    alpha, sigma = ("
    code = CELLS["02.1"].source.replace(first, f"    import torch; torch.{setting}\n{first}", 1)
    before = torch.is_grad_enabled(), torch.get_default_dtype()
    verdict = check.verdict("v_target", defined(code, "v_target"))
    assert verdict.key == "a setting left" and f"torch.{setting.partition('(')[0]} is not as it was" in verdict.text
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == before


def test_own_mistakes_are_shown_by_their_line():
    code = "def ddim(model, x, times, cond=None):\n    y = 2 * x\n    return y.alpha\n"
    text = check.verdict("ddim", defined(code, "ddim")).text
    assert "Your line 3" in text and "ended in AttributeError" in text


def test_two_types_that_do_not_go_together_are_told():
    answer = defined("import torch\ndef blind_eps(x, *_):\n    return x @ torch.eye(x.shape[1])\n", "blind_eps")
    text = check.verdict("blind_eps", answer).text
    assert "Your line 3" in text and "New tensors must be of the inputs' type" in text


def test_numbers_that_are_all_wrong_in_one_way_are_told_so():
    wanted = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    told = [
        (7 * wanted, "All are 7 times what is right."),
        (wanted - 0.3, "All are off by -0.3."),
        (0 * wanted, "All are 0."),
    ]
    for found, said in told:
        with pytest.raises(Wrong, match=re.escape(said)):
            same(found, wanted)
    with pytest.raises(Wrong, match=r"3 is right\.$"):  # no two alike
        same(wanted**3, wanted)


def test_the_same_seed_asks_the_same():
    answer = defined("def fresh_share(a, b, c, d):\n    return a * 0 + 0.7\n", "fresh_share")
    assert check.verdict("fresh_share", answer, 3).text == check.verdict("fresh_share", answer, 3).text
    assert check.verdict("fresh_share", answer, 3).text != check.verdict("fresh_share", answer, 4).text


def test_what_a_notebook_prints(capsys, monkeypatch):
    monkeypatch.setattr(check, "_seen", {})
    answer = defined(CELLS["02.4"].source, "ddim")
    assert check.ddim(answer).answer is answer and check.heun(None).answer is None
    check.progress()
    said = capsys.readouterr().out
    assert said.startswith("Exercise 02.4 ddim: right, 3 points\nExercise 02.5 heun: not right yet (0 of 3 points)\n")
    assert re.search(r"lecture 02: 3 of \d+ points; next: 02.1 v_target, 6 minutes", said)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system cannot end an answer")
def test_an_endless_answer_is_ended_in_a_notebook(monkeypatch, capsys):
    """Not by its speed: it would never end."""

    def ddim(model, x, times, cond=None):
        while True:
            try:
                model(x, 0.5)
            except Exception:
                continue

    monkeypatch.setattr(check, "LIMIT", 2.0)
    found = check.ddim(ddim)
    assert found.key == "endless" and "a loop that cannot end" in capsys.readouterr().out
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_has_changed_is_named():
    def v_target(x0, eps, alpha, sigma):
        x0 *= 2
        return x0

    def drop(cond, null, p, generator):
        cond[0] = null
        return cond

    assert (
        "x0 has changed, and belongs to the caller: work on a copy, x0.clone()." in check.verdict("02.1", v_target).text
    )
    assert "cond has changed" in check.verdict("07.2", drop).text
