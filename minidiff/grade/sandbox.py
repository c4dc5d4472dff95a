"""Judges answers in processes of their own, limited and as far as the machine can isolated.

Workers starts a keeper (keeper.py), which for each exercise starts two processes: one for the check (judge.py), where
no line of a student's runs, and one for the answer (worker.py, isolate.py).
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass

from ..check.exercise import Exercise, Verdict
from . import isolate


@dataclass(frozen=True)
class Limits:
    """Of wall clock, in seconds, and of memory, in bytes, for one exercise."""

    seconds: float = 20.0
    memory: int = 2 * 2**30


@dataclass(frozen=True)
class Isolation:
    """How answers are kept apart: `alone` in namespaces of their own, as `another` user than the grader's, or neither.
    Its text says what that stops and what not."""

    alone: bool
    another: bool
    why: str = ""

    def __str__(self) -> str:
        always = "Limits of time, memory, files and processes"
        if self.alone:
            return (
                f"{always}; namespaces of its own for each answer: no network, no other process, no file but Python's "
                "and the package's, nothing written that lasts. Not stopped: the package's own source can be read."
            )
        if self.another:
            return (
                f"{always}; another user than the grader's{self.why}. Not stopped: network, reading files that all "
                "users may read (lectures and solutions too, if they are there), writing where all may, as in /tmp."
            )
        return (
            f"{always}; no isolation{self.why}. Not stopped: network, reading and writing your own files, ending your "
            "processes, the grader too. Grade in a container, or where namespaces work."
        )


def isolation(wanted: str = "auto") -> Isolation:
    """What this machine can do: "strong" is namespaces, "none" is without, "auto" takes strong where it works.

    Raises ValueError for strong where it does not work, for another word, and on systems without fork.
    """
    if wanted not in ("auto", "strong", "none"):
        raise ValueError(f"unknown sandbox {wanted!r}: choose from auto, strong, none")
    if not hasattr(os, "fork"):
        raise ValueError("grading forks a process for each answer, which Windows cannot: use Linux, macOS or WSL")
    another = isolate.other_user() is not None
    failed = "" if wanted == "none" else _tried()
    if failed and wanted == "strong":
        raise ValueError(f"no namespaces on this machine ({failed}): --sandbox none goes without")
    if wanted != "none" and not failed:
        return Isolation(True, another)
    why = f", for namespaces failed ({failed})" if failed else ", as asked"
    if another and (folder := isolate.closed()):
        why += f"; Python or the course lies in {folder}, which that user cannot read, so rare imports of answers fail"
    return Isolation(False, another, why)


def _tried() -> str:
    """Why a process cannot enter namespaces; "" if it can."""
    code = "from minidiff.grade.isolate import try_namespaces; try_namespaces()"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, folder], capture_output=True, text=True, **_apart()
        )
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else lines[-1] if lines else f"exit status {done.returncode}"


def _apart() -> dict:
    """Options of a trusted process: modules are found where they are here, and none in the folder it is started in."""
    paths = [str(isolate.PACKAGE.parent), *(p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"cwd": "/", "env": os.environ | threads | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, paths))}}


class Workers:
    """Judges answers, one after the other, each in a process of its own. A context manager; safe to share by threads,
    which then wait for each other."""

    def __init__(self, limits: Limits | None = None, isolated: Isolation | None = None):
        self.limits, self.isolated = limits or Limits(), isolated or isolation()
        self.keeper, self.lock = None, threading.Lock()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error) -> None:
        if self.keeper is not None:
            with contextlib.suppress(OSError):  # it has gone already
                self.keeper.stdin.close()
            try:
                self.keeper.wait(2 * self.limits.seconds)
            except subprocess.TimeoutExpired:
                self.keeper.kill()
                self.keeper.wait()
            self.keeper.stdout.close()
            self.keeper = None

    def judge(self, exercise: Exercise, program, seed: int) -> Verdict:
        """The verdict on a Program (source, names), tried on numbers drawn from the seed. Never raises for anything
        that an answer does: its key is then "time", "memory", "died", "too large", "syntax", "raised" or the like."""
        task = {"id": exercise.id, "source": program.source, "names": list(program.names), "seed": seed}
        task |= {"seconds": self.limits.seconds, "memory": self.limits.memory, "alone": self.isolated.alone}
        with self.lock:
            found = self._asked(json.dumps(task))
            if found is None or found["last"]:
                self.__exit__()
            if found is None:
                return exercise.ended("died", "The grader's own process has ended while it was judged.")
        return Verdict(exercise.id, exercise.name, found["ok"], found["points"], found["key"], found["text"])

    def _asked(self, line: str) -> dict | None:
        """What the keeper says, None if it has died."""
        if self.keeper is None:
            code = "from minidiff.grade.keeper import main; main()"
            self.keeper = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is the grader's alone: it then ends this one as it should
                **_apart(),
            )
            if not self.keeper.stdout.readline():
                raise RuntimeError("the process that judges does not start; its messages are above")
        try:
            self.keeper.stdin.write(line + "\n")
            self.keeper.stdin.flush()
            said = self.keeper.stdout.readline()
        except OSError:
            return None
        return json.loads(said) if said else None
