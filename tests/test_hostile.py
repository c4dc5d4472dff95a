"""Submissions that cheat or break score what they deserve, leave nothing behind, and harm no other."""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hostile.attacks import ATTACKS
from hostile.make import DESERVES, EXERCISES, UNREAD, known, write

from minidiff import check
from minidiff.check import exercise
from minidiff.grade.sandbox import isolation

QUICK = "_exit", "kills all", "daemon", "forged results", "patched check", "looks into the check", "a lying tensor"
QUICK = [f"{name}.ipynb" for name in (*QUICK, "public seed", "the package's own", "untouched")]
QUICK += ["BOM and CRLF.py", "a zip that leads out.zip", "nested.ipynb"]
CHEATS = "patched allclose", "patched check", "looks into the check"
NAMED = f"evil{os.getpid()}"  # how processes of attacks call themselves, in this run of the tests


def can(level: str) -> None:
    """Skip where a level cannot be had, and where it would end the user's own processes."""
    if level == "none" and os.geteuid():
        pytest.skip("without namespaces only root can run answers as another user")
    try:
        isolation(level)
    except ValueError as error:
        pytest.skip(str(error))


def running() -> list[str]:
    """The processes that attacks left."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            found += [path.parent.name] if path.read_text(encoding="utf-8").strip() == NAMED else []
    return found


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def graded(level: str, folder: Path, names: list[str] | None, seconds: int) -> None:
    """Grade submissions in a folder, and look at what they have and what they did."""
    can(level)
    handed_in, outside = folder / "class", folder / "outside"
    handed_in.mkdir(), outside.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        write(handed_in, names, outside, server.getsockname()[1], NAMED)
        before = digests(handed_in)
        command = [sys.executable, "-m", "minidiff", "grade", str(handed_in), "--only", EXERCISES, "--sandbox", level,
                   "--seconds", str(seconds), "--csv", str(folder / "grades.csv")]  # fmt: skip
        done = subprocess.run(command, env=os.environ | {"HOSTILE_SECRET": "7"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        server.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            server.accept()[0].close()
            assert level == "none", "an answer opened a connection"
    assert running() == [] and list(outside.iterdir()) == [] and digests(handed_in) == before
    assert {path.name for path in folder.iterdir()} == {"class", "outside", "grades", "grades.csv", "grades.txt"}
    wrong = {}
    for name in before:
        results = json.loads((folder / "grades" / f"{name}.json").read_text(encoding="utf-8"))
        wrong |= {(name, key): value for key, value in unlike(results, name, level).items()}
    assert not wrong


def unlike(results: dict, name: str, level: str) -> dict:
    """What a submission has and does not deserve."""
    found = {}
    if (word := UNREAD.get(name)) and word not in results["output"]:
        found["output"] = results["output"]
    for test in results["tests"]:
        deserved = DESERVES[name][test["number"]]
        deserved = deserved[level] if isinstance(deserved, dict) else deserved
        keys = deserved if isinstance(deserved, tuple) else (deserved,)
        if test["score"] not in keys and not (test["score"] == 0 and test["tags"][0] in keys):
            found[test["number"]] = test["score"], test["tags"], test["output"]
    return found


def test_some_of_them(tmp_path):
    graded("strong", tmp_path, QUICK, 60)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["strong", "none"])
def test_all_of_them(level, tmp_path):
    graded(level, tmp_path, None, 40)
    assert len(DESERVES) >= 60


@pytest.mark.parametrize("name", [*CHEATS, "public seed"])
def test_the_cheats_do_cheat_a_check_in_the_same_process(name, monkeypatch):
    """So it is the grader that stops them."""
    for owner, patched in ((torch, "allclose"), (torch, "equal"), (torch.Tensor, "__le__"), (exercise, "close")):
        monkeypatch.setattr(owner, patched, getattr(owner, patched))  # put back afterwards
    names = {}
    exec(
        known() if name == "public seed" else ATTACKS[name][0].replace("prctl(15, b'NAMED', 0, 0, 0)", "getpid()"),
        names,
    )
    assert check.verdict("02.7", names["fresh_share"], seed=0).points == 1
