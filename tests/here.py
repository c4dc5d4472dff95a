"""What tests of grading share: notebooks, and a stand-in for the sandbox in which answers run in this process."""

import json
import re
import threading
from pathlib import Path

import build
import pytest

from minidiff.check import Exercise, Verdict
from minidiff.grade.grade import Plan
from minidiff.grade.sandbox import Isolation, Limits
from minidiff.run.cli import main

CELLS = build.read(build.HERE / "source" / "02_paths_and_samplers.py").cells
RIGHT = next(cell.source for cell in CELLS if cell.metadata.get("exercise") == "02.1")  # the solution of 02.1
WRONG = "def v_target(x0, eps, alpha, sigma):\n    return x0\n"
STUB = 'def v_target(x0, eps, alpha, sigma):\n    raise NotImplementedError("exercise 02.1")\n'


class Workers:
    """As minidiff.grade.sandbox.Workers, for answers that can be trusted."""

    judged: list[str] = []  # the exercises, in all
    lock = threading.Lock()  # a check draws from the process's own generator

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def judge(self, exercise: Exercise, program, seed: int) -> Verdict:
        with self.lock:
            return self.judge_here(exercise, program, seed)

    def judge_here(self, exercise: Exercise, program, seed: int) -> Verdict:
        self.judged.append(exercise.id)
        names = {"__name__": "answer"}
        try:
            exec(compile(program.source, "answer", "exec"), names)
        except Exception as error:
            key = "syntax" if isinstance(error, SyntaxError) else "raised"
            return Verdict(exercise.id, exercise.name, False, 0, key, f"{type(error).__name__}: {error}")
        answer = tuple(names[name] for name in program.names)
        return exercise.verdict(answer if len(answer) > 1 else answer[0], seed)


def plan_here(*exercises: str, seed: int = 0) -> Plan:
    return Plan(exercises, seed, Limits(), Isolation(False, False))


def notebook(*sources: str) -> dict:
    """A notebook of code cells, as nbformat 4 has it."""
    bare = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    return {"cells": [bare | {"source": s} for s in sources], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def save(path: Path, *sources: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(notebook(*sources)), encoding="utf-8")
    return path


def check_gradescope(results: dict) -> None:
    """The fields that Gradescope documents, of the types that it documents, and none else."""
    shown = {"hidden", "after_due_date", "after_published", "visible"}
    assert set(results) == {"score", "execution_time", "output", "visibility", "tests", "extra_data"}
    assert results["visibility"] in shown and isinstance(results["output"], str)
    assert isinstance(results["score"], int) and isinstance(results["execution_time"], int | float)
    for test in results["tests"]:
        assert set(test) == {"name", "number", "score", "max_score", "status", "output", "tags", "visibility"}
        assert isinstance(test["name"], str) and re.fullmatch(r"\d\d\.\d", test["number"])
        assert 0 <= test["score"] <= test["max_score"] and test["status"] in ("passed", "failed")
        assert isinstance(test["output"], str) and test["visibility"] in shown
        assert all(isinstance(tag, str) for tag in test["tags"])
    assert results["score"] == sum(test["score"] for test in results["tests"])


def refused(arguments, words: str, capsys) -> None:
    """One line on stderr and exit status 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and err.startswith("minidiff: ") and err.count("\n") == 1 and words in err, err
