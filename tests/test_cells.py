"""Files that are submissions, and files that are none: each refused with one line."""

import json
import os
import stat
import zipfile

import pytest
from here import notebook
from test_answers import V_TARGET, source_of

from minidiff.grade.answers import read


@pytest.mark.parametrize("name, data, said", [
    ("x.ipynb", b"", "x.ipynb is empty"),
    ("x.py", b" \r\n", "x.py is empty"),
    ("x.ipynb", b"def f(): pass", "x.ipynb is no notebook: it is no JSON"),
    ("x.ipynb", b"[" * 10**5, "x.ipynb is no notebook: it is no JSON"),
    ("x.ipynb", b"[]", "x.ipynb is no notebook: it has no cells"),
    ("x.ipynb", b"null", "x.ipynb is no notebook: it has no cells"),
    ("x.ipynb", b'{"a": 1}', "x.ipynb is no notebook: it has no cells"),
    ("x.ipynb", b'{"cells": 3}', "x.ipynb is no notebook: it has no cells"),
    ("x.ipynb", b'{"cells": [{"cell_type": "code", "source": 3}]}', "x.ipynb is no notebook: it has no cells"),
    ("x.ipynb", b'{"cells": [{"cell_type": "code", "source": [3]}]}', "x.ipynb is no notebook: it has no cells"),
    ("x.pdf", b"%PDF", "x.pdf is no notebook"),
    ("x.zip", b"PK", "x.zip cannot be unzipped"),
    ("x.py", b"a = 1\n" * 2**18, "x.py has more than 1 MB of code"),
])  # fmt: skip
def test_files_that_are_none(name, data, said, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"^{said}") as refused:
        read(tmp_path / name)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 250


def test_huge_and_special_files(tmp_path):
    with open(tmp_path / "x.ipynb", "wb") as file:
        file.truncate(30 * 2**20)
    with pytest.raises(ValueError, match=r"x.ipynb has 30 MB, the most is 20: clear the outputs"):
        read(tmp_path / "x.ipynb")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "y.ipynb")
        with pytest.raises(ValueError, match="y.ipynb is no file"):
            read(tmp_path / "y.ipynb")


def zipped(path, **entries: str):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_zips_and_folders_with_one_notebook(tmp_path):
    text = json.dumps(notebook(V_TARGET))
    beside = {
        "hw/.ipynb_checkpoints/x-checkpoint.ipynb": "{}",
        "__MACOSX/hw/._x.ipynb": "?",
        "hw/helper.py": "x = 1",
        "hw/": "",
    }
    assert source_of(zipped(tmp_path / "x.zip", **{"hw/x.ipynb": text}, **beside)) == V_TARGET
    assert source_of(zipped(tmp_path / "y.zip", **{"x.py": V_TARGET})) == V_TARGET
    folder = tmp_path / "Doe Jane_123_assignsubmission_file"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / ".ipynb_checkpoints" / "x-checkpoint.ipynb").write_text("{}", encoding="utf-8")
    (folder / "x.ipynb").write_text(text, encoding="utf-8")
    assert source_of(folder) == V_TARGET and read(folder).name == folder.name


@pytest.mark.parametrize("entries, said", [
    ({}, "x.zip holds no notebook"),
    ({"readme.txt": ""}, "x.zip holds no notebook"),
    ({"a.ipynb": "", "b/a.ipynb": ""}, "x.zip holds 2 .ipynb files .a.ipynb, b/a.ipynb.: hand in one"),
    ({"a.py": "", "b.py": ""}, "x.zip holds 2 .py files"),
    ({"../x.ipynb": "{}"}, r"x.zip holds a path that leads out of it \(../x.ipynb\)"),
    ({"x.ipynb": "{}", "a/../../b": ""}, "x.zip holds a path that leads out of it"),
    ({"/etc/x.ipynb": "{}"}, "x.zip holds a path that leads out of it"),
    ({"C:\\x.ipynb": "{}"}, "x.zip holds a path that leads out of it"),
    ({"x.ipynb": "0" * 30 * 2**20}, "x.zip unzips to more than 20 MB"),
    ({"x.ipynb": ""}, "x.zip/x.ipynb is empty"),
])  # fmt: skip
def test_zips_that_are_refused(entries, said, tmp_path):
    before = set(tmp_path.parent.rglob("*"))
    path = zipped(tmp_path / "x.zip", **entries)
    with pytest.raises(ValueError, match=f"^{said}"):
        read(path)
    assert set(tmp_path.parent.rglob("*")) == before | {path}


def test_links_and_locks_in_zips(tmp_path):
    link = zipfile.ZipInfo("x.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match=r"x.zip holds a link \(x.ipynb\)"):
        read(tmp_path / "x.zip")
    data = bytearray(zipped(tmp_path / "y.zip", **{"x.py": V_TARGET}).read_bytes())
    for start, flag in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(start) + flag] |= 1  # encrypted
    (tmp_path / "y.zip").write_bytes(data)
    with pytest.raises(ValueError, match="y.zip cannot be unzipped"):
        read(tmp_path / "y.zip")
