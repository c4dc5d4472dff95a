"""The process that keeps the others: for each exercise it starts one for the check and one for the answer, waits until
the time is over, and ends whatever is left.

It runs `main` beside the grader, which it talks to in lines of JSON. Before it imports the checks it forks a nursery,
in which there are none: from there come the processes of answers, so that no check, no right answer and no seed is in
their memory.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from . import isolate, nursery

CHECK = 4 * 2**30  # bytes for the check's own process
GRACE = 120.0  # seconds until what was killed must be gone, on a busy machine too


def main() -> None:
    """Judge what comes in, line by line, until there is no more."""
    isolate.adopts_orphans()
    isolate.unreadable()
    nursery.warm()
    keeper = Keeper()
    from .. import check

    nursery.settle()
    print("{}", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        found = keeper.judge(check.EXERCISES[task["id"]], task)
        try:
            print(json.dumps({**found, "last": not keeper.can_go_on()}), flush=True)
        except BrokenPipeError:
            os._exit(0)  # the grader has gone: nobody is left to tell
        if not keeper.can_go_on():
            return  # a new nursery must not come from a process that has the checks


class Keeper:
    """Starts and ends the processes of one exercise after the other."""

    def __init__(self):
        self.user = isolate.other_user()
        self.control, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.control.close()
            _run(lambda: nursery.serve(theirs))
        theirs.close()

    def judge(self, exercise, task: dict) -> dict:
        """The verdict, as a dictionary; nothing that the answer started or wrote is left."""
        ends = time.monotonic() + task["seconds"]
        folder = tempfile.mkdtemp(prefix="answer")
        ours, theirs = socket.socketpair()
        try:
            if self.user is not None:
                os.chown(folder, self.user, self.user)
            order = {key: task[key] for key in ("id", "seconds", "memory", "alone")}
            order |= {"folder": folder, "user": self.user}
            with contextlib.suppress(OSError):  # without a nursery the answer has died
                socket.send_fds(self.control, [json.dumps(order).encode()], [theirs.fileno()])
            theirs.close()
            return self._verdict(exercise, task, ours, ends)
        finally:
            ours.close()
            self.end()
            shutil.rmtree(folder, onerror=_make_writable)

    def _verdict(self, exercise, task: dict, ours: socket.socket, ends: float) -> dict:
        """What the check's process says, unless time is over first."""
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            _run(lambda: _check(exercise, task, ours, writes))
        os.close(writes)
        data = b""
        try:
            while True:
                ready, _, _ = select.select([reads, sys.stdin], [], [], max(0.0, ends - time.monotonic()))
                if sys.stdin in ready:
                    raise SystemExit  # the grader has gone
                if not ready:
                    seconds = f"{task['seconds']:g} seconds"
                    message = f"It did not end within {seconds}: is there a loop without an end?"
                    return _fields(exercise.ended("time", message))
                if not (more := os.read(reads, 2**16)):
                    break
                data += more
        finally:
            os.close(reads)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        try:
            return json.loads(data)
        except ValueError:
            return _fields(exercise.ended("died", "The check itself could not go on with what the answer returned."))

    def end(self) -> None:
        """Kill all that was started, but for the nursery, and wait until it is gone."""
        last = time.monotonic() + GRACE
        while left := isolate.descendants(os.getpid()) - {self.pid}:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            if time.monotonic() > last:
                raise RuntimeError(f"process {min(left)} of an answer does not end")
            time.sleep(0.005)
        self._reap()

    def can_go_on(self) -> bool:
        """Whether the nursery still runs: without namespaces an answer of the same user can end it."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _reap(self) -> None:
        """Take leave of what has ended: orphans are this process's children."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _check(exercise, task: dict, sock: socket.socket, writes: int) -> None:
    """In a process of its own: judge, and write the verdict."""
    from .judge import verdict

    isolate.dies_with_parent()
    isolate.limit(task["seconds"], CHECK)
    found = verdict(exercise, task["source"], tuple(task["names"]), task["seed"], sock)
    os.write(writes, json.dumps(_fields(found)).encode())


def _fields(verdict) -> dict:
    return {key: getattr(verdict, key) for key in ("ok", "points", "key", "text")}


def _run(function) -> None:
    """To the end of this process."""
    try:
        function()
    except BaseException:
        if os.environ.get("MINIDIFF_GRADE_DEBUG"):
            sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _make_writable(function, path, _) -> None:
    """An answer may have taken the rights away from its own folder."""
    with contextlib.suppress(OSError):
        Path(path).parent.chmod(0o700)
        Path(path).chmod(0o700)
        function(path)


if __name__ == "__main__":
    main()
