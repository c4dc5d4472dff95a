"""Gradescope's zip, run as Gradescope runs it: folders made by hand, its scripts called, results.json as documented.

The environment borrows the packages of the one that runs the tests. With MINIDIFF_WHEELS, folders of wheels, setup.sh
makes it, from these wheels and without a network.
"""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from numbers import Real
from pathlib import Path

import nbformat
import pytest
from hostile.attacks import ATTACKS, HONEST
from hostile.make import notebook

from minidiff import check

BUILD = Path(__file__).parents[1] / "lectures" / "build.py"
ONLY = "00.2 02.7 05.2"
SHOWN = {"visible", "hidden", "after_due_date", "after_published"}
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
# what Gradescope's documentation says of results.json: field -> its type, or the values that it may have
WHOLE = {
    "score": Real,
    "execution_time": Real,
    "output": str,
    "output_format": FORMATS,
    "test_output_format": FORMATS,
    "test_name_format": FORMATS,
    "visibility": SHOWN,
    "stdout_visibility": SHOWN,
    "extra_data": dict,
    "tests": list,
    "leaderboard": list,
}
TEST = {
    "score": Real,
    "max_score": Real,
    "status": {"passed", "failed"},
    "name": str,
    "name_format": FORMATS,
    "number": str,
    "output": str,
    "output_format": FORMATS,
    "tags": list,
    "visibility": SHOWN,
    "extra_data": dict,
}
METADATA = {
    "id": 123456,
    "created_at": "2026-10-01T14:22:32.365935-04:00",
    "assignment": {"id": 25828, "title": "Homework", "total_points": "4.0", "course_id": 1234},
    "users": [{"email": "student@example.com", "id": 1234, "name": "A student"}],
    "submission_method": "upload",
    "previous_submissions": [],
}

pytestmark = pytest.mark.slow


def fits(found: dict, documented: dict) -> None:
    """Whether there are only documented fields, of their types."""
    assert not set(found) - set(documented)
    for name, value in found.items():
        allowed = documented[name]
        assert value in allowed if isinstance(allowed, set) else isinstance(value, allowed), (name, value)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What stands for /autograder, with its environment."""
    root = tmp_path_factory.mktemp("autograder")
    for name in ("source", "submission", "results"):
        (root / name).mkdir()
    outputs = ["--autograder", str(root / "a.zip"), "--homework", str(root / "hw.ipynb")]
    subprocess.run([sys.executable, str(BUILD), "--only", ONLY, *outputs], check=True)
    with zipfile.ZipFile(root / "a.zip") as packed:
        for info in packed.infolist():
            path = Path(packed.extract(info, root / "source"))
            path.chmod(info.external_attr >> 16 & 0o777 or 0o644)
    (root / "submission_metadata.json").write_text(json.dumps(METADATA), encoding="utf-8")
    if wheels := os.environ.get("MINIDIFF_WHEELS"):
        environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels, "AUTOGRADER": str(root)}
        subprocess.run([str(root / "source" / "setup.sh")], env=os.environ | environment, check=True)
    else:
        borrowed(root)
    return root


def borrowed(root: Path) -> None:
    """An environment with the package from the zip's wheel, and all else from here."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True)
    (packages,) = (root / "venv").glob("lib/*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    (wheel,) = (root / "source").glob("*.whl")
    with zipfile.ZipFile(wheel) as package:
        package.extractall(packages)


def ran(root: Path, files: dict[str, bytes]) -> dict:
    """What comes out for the files of a submission."""
    results = root / "results" / "results.json"
    for path in (*(root / "submission").iterdir(), *(root / "results").iterdir()):
        path.unlink()
    for name, data in files.items():
        (root / "submission" / name).write_bytes(data)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"AUTOGRADER": str(root)}
    done = subprocess.run(
        [str(root / "source" / "run_autograder")], cwd="/", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and [p.name for p in (root / "results").iterdir()] == ["results.json"], done.stderr
    found = json.loads(results.read_text(encoding="utf-8"))
    fits(found, WHOLE)
    for test in found["tests"]:
        fits(test, TEST)
        assert 0 <= test["score"] <= test["max_score"]
    assert [(t["number"], t["max_score"]) for t in found["tests"]] == [
        (id, check.EXERCISES[id].points) for id in ONLY.split()
    ]
    assert found["score"] == sum(t["score"] for t in found["tests"])
    return found


def solved(root: Path) -> bytes:
    """The homework with the lectures' solutions in it."""
    from test_check import CELLS

    homework = nbformat.read(root / "hw.ipynb", 4)
    for cell in homework.cells:
        if "exercise" in cell.metadata:
            cell.source = CELLS[cell.metadata["exercise"]].source
    return nbformat.writes(homework).encode()


def test_what_students_hand_in(root):
    assert ran(root, {"hw.ipynb": solved(root)})["score"] == 4
    untouched = ran(root, {"hw.ipynb": (root / "hw.ipynb").read_bytes()})
    assert untouched["score"] == 0 and all("not written yet" in t["output"] for t in untouched["tests"])
    forged = ran(root, {"hw.ipynb": notebook(HONEST, ATTACKS["forged results"][0])})
    assert forged["score"] == 1 and [t["status"] for t in forged["tests"]] == ["passed", "failed", "failed"]


def test_what_cannot_be_read_has_its_line_and_no_points(root):
    for files, word in (({}, "no notebook"), ({"a.ipynb": b""}, "a.ipynb"), ({"a.pdf": b"%PDF"}, "no notebook"),
                        ({"a.ipynb": b"{", "b.ipynb": b"{"}, "hand in one")):  # fmt: skip
        found = ran(root, files)
        assert found["score"] == 0 and word in found["output"]
