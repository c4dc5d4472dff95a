"""The code cells of a submission: a notebook of any version, a .py, or a zip or a folder with one of them.

All is read in memory: nothing is unpacked, nothing is run.
"""

import json
import re
import stat
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

MOST_FILE, MOST_CODE = 20 * 2**20, 2**20  # bytes of a file, and of all its code: parsed code takes a hundred times that
KINDS = (".ipynb", ".py")


def code_cells(path: Path) -> list[str]:
    """The texts of the code cells, in order. Raises ValueError, with the file's name, for what cannot be read."""
    name, data = handed_in(path)
    if not data.strip():
        raise ValueError(f"{name} is empty")
    text = decoded(data)
    found = of_notebook(text, name) if name.lower().endswith(".ipynb") else of_script(text)
    cells = [one_ending(cell).encode("utf-8", "replace").decode() for cell in found]
    if sum(map(len, cells)) > MOST_CODE:
        raise ValueError(f"{name} has more than {MOST_CODE // 2**20} MB of code")
    return cells


def handed_in(path: Path) -> tuple[str, bytes]:
    """The name and the bytes of the notebook or .py at `path`, or of the only one in the folder or zip at `path`."""
    if path.is_dir():
        path = path / only([str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()], path.name)
    if not path.is_file():
        raise ValueError(f"{path.name} is no file")
    if path.suffix.lower() not in (*KINDS, ".zip"):
        raise ValueError(f"{path.name} is no notebook (.ipynb), .py or .zip")
    if path.stat().st_size > MOST_FILE:
        raise ValueError(f"{path.name} has {path.stat().st_size / 2**20:.0f} MB, the most is {MOST_FILE // 2**20}: "
                         "clear the outputs, and hand in again")  # fmt: skip
    return of_zip(path) if path.suffix.lower() == ".zip" else (path.name, path.read_bytes())


def of_zip(path: Path) -> tuple[str, bytes]:
    """The name and the bytes of the only notebook, or else the only .py, in a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
            for name, entry in entries.items():
                outside = ".." in re.split(r"[/\\]", name) or re.match(r"[/\\]|[A-Za-z]:", name)
                if outside or stat.S_ISLNK(entry.external_attr >> 16):
                    raise ValueError(f"{path.name} holds {'a path that leads out of it' if outside else 'a link'} "
                                     f"({name[:80]}): zip the notebook alone")  # fmt: skip
            name = only(list(entries), path.name)
            with archive.open(entries[name]) as file:
                data = file.read(MOST_FILE + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{path.name} cannot be unzipped ({' '.join(str(error).split())[:100]})") from None
    if len(data) > MOST_FILE:
        raise ValueError(f"{path.name} unzips to more than {MOST_FILE // 2**20} MB")
    return f"{path.name}/{name}", data


def only(names: list[str], where: str) -> str:
    """The only notebook of some files, or else the only .py. Copies that programs keep beside it do not count."""
    beside = (".", "__MACOSX")
    kept = [n for n in names if not any(part.startswith(beside) for part in re.split(r"[/\\]", n))]
    for kind in KINDS:
        found = sorted(n for n in kept if n.lower().endswith(kind))
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"{where} holds {len(found)} {kind} files ({', '.join(found)[:120]}): hand in one")
    raise ValueError(f"{where} holds no notebook (.ipynb) and no .py")


def decoded(data: bytes) -> str:
    """Text in UTF-8, -16 or -32, with a byte order mark or without, or else in the Windows or Latin-1 code page."""
    for encoding in (json.detect_encoding(data), "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def of_notebook(text: str, name: str) -> list[str]:
    """The code cells of a notebook of version 2, 3 (worksheets of cells with `input`) or 4."""
    try:
        notebook = json.loads(text)
        sheets = [notebook] if "cells" in notebook else notebook["worksheets"]
        cells = [cell for sheet in sheets for cell in sheet["cells"] if cell["cell_type"] == "code"]
        sources = [cell["source"] if "source" in cell else cell["input"] for cell in cells]
        return ["".join(source) for source in sources]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no notebook: it is no JSON ({' '.join(str(error).split())[:100]})") from None
    except (TypeError, KeyError, AttributeError):
        raise ValueError(f"{name} is no notebook: it has no cells of code as nbformat 2 to 4 do") from None


def of_script(text: str) -> list[str]:
    """The parts of a .py, cut where a line starts with # %%."""
    return re.split(r"^# ?%%.*$", one_ending(text), flags=re.MULTILINE)


def one_ending(text: str) -> str:
    """A text whose lines end in \\n."""
    return re.sub(r"\r\n?", "\n", text)
