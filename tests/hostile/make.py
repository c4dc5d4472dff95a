"""Write the submissions that cheat or break into a folder: python -m hostile.make FOLDER, in tests/.

Grade them with --sandbox strong, or as root: without namespaces some of them end all processes of the user they run as.

DESERVES: file -> exercise -> points, or the key (or keys) of a verdict with 0 points; a dictionary by level where the
isolation makes a difference. UNREAD: file -> a word of the line that says why it cannot be read.
"""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from minidiff import check

from .attacks import ATTACKS, HONEST, RIGHT

WRONG = RIGHT.replace("** 2", "")
EXERCISES = "00.2 02.4 02.7"
_OWN = """from minidiff import samplers
def ddim(model, x, times, cond=None):
    return samplers.last(samplers.ddim(model, x, times, cond))
"""
_SOURCES = """from pathlib import Path
import minidiff
def fresh_share(*numbers):
    text = (Path(minidiff.__file__).parents[1] / "lectures/source/02_paths_and_samplers.py").read_text()
    names = {}
    exec("def fresh_share" + text.split("\\ndef fresh_share")[1].split("# %%")[0], names)
    return names["fresh_share"](*numbers)
"""
_KNOWN = """import torch
LEFT = {known}
def fresh_share(*numbers):
    return torch.tensor(LEFT.pop(0) if LEFT else 0.0, dtype=torch.float64)
"""
STUB = 'def {}(*arguments):\n    raise NotImplementedError("exercise {}")\n'


def notebook(*cells: str) -> bytes:
    """A notebook as Jupyter writes it."""
    parts = [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [],
              "source": cell.splitlines(keepends=True)} for i, cell in enumerate(cells)]  # fmt: skip
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": parts}).encode()


def older(*cells: str) -> bytes:
    """A notebook of version 3: worksheets of cells with `input`."""
    parts = [{"cell_type": "code", "language": "python", "collapsed": False, "outputs": [], "input": c} for c in cells]
    sheets = [{"cells": parts, "metadata": {}}]
    return json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": sheets}).encode()


def colab(*cells: str) -> bytes:
    """A notebook that came through Colab: metadata stripped, other metadata added."""
    parts = [{"cell_type": "code", "metadata": {"id": "x", "outputId": "y"}, "source": c} for c in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 0, "metadata": {"colab": {}}, "cells": parts}).encode()


def zipped(**files: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return held.getvalue()


def known() -> str:
    """The answers to 02.7 for the public seed, as a student's machine knows them."""
    names, found = {}, []
    exec(RIGHT, names)

    def recorded(*numbers):
        found.append(names["fresh_share"](*numbers).tolist())
        return torch.tensor(found[-1], dtype=torch.float64)

    assert check.verdict("02.7", recorded, seed=0).ok
    return _KNOWN.format(known=found)


def files() -> dict[str, Callable[[], bytes]]:
    """What is handed in, but for the attacks: file -> what makes its bytes."""
    full = HONEST, RIGHT
    return {
        "deleted checks.ipynb": lambda: notebook(*full),
        "edited checks.ipynb": lambda: notebook(HONEST, WRONG, "check.fresh_share = print\nprint('right, 1 point')"),
        "untouched.ipynb": lambda: notebook(HONEST, STUB.format("fresh_share", "02.7"), STUB.format("ddim", "02.4")),
        "older format.ipynb": lambda: older(*full),
        "Colab.ipynb": lambda: colab(*full),
        "copied cells.ipynb": lambda: notebook(HONEST, HONEST, WRONG, RIGHT),
        "copied cells, the wrong one last.ipynb": lambda: notebook(HONEST, RIGHT, WRONG),
        "syntax error in another cell.ipynb": lambda: notebook("def f(:\n", *full, "x ="),
        "syntax error in the answer.ipynb": lambda: notebook(HONEST, RIGHT.replace("return", "retur")),
        "magics.ipynb": lambda: notebook("%matplotlib inline\n!pip install minidiff\n" + HONEST, "%%time\n" + RIGHT),
        "a training loop.ipynb": lambda: notebook(HONEST, "while True: pass", RIGHT, "import os\nos._exit(0)"),
        "BOM and CRLF.ipynb": lambda: b"\xef\xbb\xbf" + notebook(*(c.replace("\n", "\r\n") for c in full)),
        "BOM and CRLF.py": lambda: b"\xef\xbb\xbf" + "\n".join(full).replace("\n", "\r\n").encode(),
        "a script.py": lambda: "\n".join(full).encode(),
        "Latin-1.py": lambda: ("# Fr\xe9chet\n" + "\n".join(full)).encode("latin-1"),
        "a zip.zip": lambda: zipped(**{"homework/hw.ipynb": notebook(*full)}),
        "public seed.ipynb": lambda: notebook(HONEST, known()),
        "the package's own.ipynb": lambda: notebook(HONEST, RIGHT, _OWN),
        "reads the solutions.ipynb": lambda: notebook(HONEST, _SOURCES),
        "empty.ipynb": lambda: b"",
        "no notebook.ipynb": lambda: b'{"nbformat": 4}',
        "half a notebook.ipynb": lambda: notebook(*full)[:300],
        "nested.ipynb": lambda: b"[" * 200_000,
        "a picture.png": lambda: b"\x89PNG\r\n",
        "a zip that leads out.zip": lambda: zipped(**{"../../outside.ipynb": notebook(*full)}),
        "two notebooks.zip": lambda: zipped(**{"a.ipynb": notebook(*full), "b.ipynb": notebook(*full)}),
        "a zip bomb.zip": lambda: zipped(**{"a.ipynb": bytes(2**28)}),
        "many outputs.ipynb": lambda: notebook(*full) + b" " * 30 * 2**20,
    }


UNREAD = {
    "empty.ipynb": "is empty",
    "no notebook.ipynb": "no notebook",
    "half a notebook.ipynb": "no JSON",
    "nested.ipynb": "no JSON",
    "a picture.png": "no notebook",
    "a zip that leads out.zip": "leads out of it",
    "two notebooks.zip": "holds 2",
    "a zip bomb.zip": "unzips to more than",
    "many outputs.ipynb": "clear the outputs",
}
_ALL = {"00.2": 1, "02.7": 1, "02.4": "missing"}
DESERVES = {name: dict.fromkeys(_ALL, "not judged") if name in UNREAD else dict(_ALL) for name in files()}
DESERVES |= {f"{name}.ipynb": _ALL | {"02.7": deserved} for name, (_, deserved) in ATTACKS.items()}
for _name, _keys in {
    "edited checks.ipynb": {"02.7": "no square"},
    "untouched.ipynb": {"02.7": "not written", "02.4": "not written"},
    "copied cells, the wrong one last.ipynb": {"02.7": "no square"},
    "syntax error in the answer.ipynb": {"02.7": ("missing", "syntax")},
    "public seed.ipynb": {"02.7": "value"},
    "the package's own.ipynb": {"02.4": "own version"},
    "reads the solutions.ipynb": {"02.7": {"strong": "raised", "none": (1, "raised")}},  # 1 if all users may read them
}.items():
    DESERVES[_name] |= _keys


def write(folder: Path, names: list[str] | None = None, outside="/outside", port: int = 9, named="hostile") -> None:
    """Write the submissions, or those of these names. `outside` is a folder and `port` one of this machine's that
    attacks try to reach, `named` how their processes call themselves."""
    makes = files() | {f"{name}.ipynb": partial(notebook, HONEST, attack) for name, (attack, _) in ATTACKS.items()}
    for name in makes if names is None else names:
        data = makes[name]()
        for word, value in (("OUTSIDE", outside), ("PORT", port), ("NAMED", named)):
            data = data.replace(word.encode(), str(value).encode())
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
