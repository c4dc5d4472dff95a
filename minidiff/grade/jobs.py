"""Several submissions at a time, each in a process that judges one after the other."""

import multiprocessing
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from ..check import EXERCISES
from . import report

Task = tuple[Path, Path]  # a submission, and where its results go


def in_processes(tasks: list[Task], jobs: int, plan, done: Callable[[Path, dict], None]) -> None:
    """Grade the submissions, `jobs` at a time, and call `done` with each and its results. A process that dies costs one
    submission what was not judged of it."""
    waiting, busy = tasks[::-1], {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                task, (process, end) = waiting.pop(), start(plan)
                with suppress(OSError):
                    end.send(task)
                busy[end] = process, task
            for end in wait(list(busy)):
                process, (path, out) = busy.pop(end)
                try:
                    results = end.recv()
                except (EOFError, OSError):
                    process.join()
                    results = died(out, plan, process.exitcode)
                else:
                    if waiting:
                        busy[end] = process, waiting.pop()
                        with suppress(OSError):  # it died meanwhile, and the next wait says so
                            end.send(busy[end][1])
                    else:
                        end.close()
                done(path, results)
    finally:
        for end, (process, _) in busy.items():
            end.close()
            process.terminate()


def start(plan) -> tuple[multiprocessing.Process, Connection]:
    """A process that grades what it is sent, and the end of the pipe to it."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, plan))
    process.start()
    theirs.close()  # so that the end of either side is noticed by the other
    return process, ours


def serve(end: Connection, plan) -> None:
    """Grade what comes until the other side closes, or is gone."""
    from .grade import grade

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the other side ends this one
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # in order, so that workers are ended too
    with plan.workers() as workers:
        while True:
            try:
                path, out = end.recv()
                end.send(grade(path, plan, workers, out))
            except (EOFError, OSError):
                return


def died(out: Path, plan, status: int) -> dict:
    """The results that lie at `out`, where the process that wrote them died."""
    results = report.load(out) or report.blank([EXERCISES[id] for id in plan.exercises], plan.seed)
    said = f"the grader's process died (status {status}) while it judged this: grade it again by itself"
    report.finish(results, "", [*results["extra_data"]["problems"], said])
    report.write(results, out)
    return results
