"""The package as others install it: a wheel, in an environment of its own, away from the repository."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="70.1", reason="older ones cannot make a wheel by themselves")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Made of a copy, as building leaves files in the source."""
    source = tmp_path_factory.mktemp("source")
    for name in ("minidiff", "tests", "lectures", "datasets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "cache", "*.ipynb"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True, text=True)
    (made,) = (source / "dist").glob("*.whl")
    return made


# As `python -m minidiff` does with each of several command lines, but torch is imported once.
IN_TURN = """
import json, runpy, sys
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    runpy.run_module("minidiff", run_name="__main__")
"""


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs command lines of the wheel in an empty folder, and the folder."""
    home = tmp_path_factory.mktemp("home")
    venv.create(home / "venv", symlinks=os.name != "nt")
    python = home / "venv" / ("Scripts" if os.name == "nt" else "bin") / Path(sys.executable).name
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    zipfile.ZipFile(wheel).extractall(site)  # all that installing a wheel without scripts is
    others = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    (site / "others.pth").write_text("\n".join(dict.fromkeys(others)) + "\n", encoding="utf-8")  # torch and the like
    folder = home / "empty"
    folder.mkdir()
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MINIDIFF_DATA")} | {"HOME": str(home)}

    def run(*lines):
        command = [python, "-c", IN_TURN, json.dumps([[str(word) for word in argv] for argv in lines])]
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

    where = "import minidiff; print(minidiff.__file__)"
    found = subprocess.run(
        [python, "-c", where], cwd=folder, env=env, capture_output=True, text=True, check=True
    ).stdout
    assert Path(found.strip()).is_relative_to(home)  # or the tests would be of something else
    return run, folder


def test_the_wheel_holds_the_package_and_what_it_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"minidiff", "minidiff-0.1.0.dist-info"}
    ours = {str(p.relative_to(ROOT).as_posix()) for p in (ROOT / "minidiff").rglob("*.py")}
    needed = {p.relative_to(ROOT).as_posix() for p in (ROOT / "minidiff" / "pretrained").glob("*/*") if p.is_file()}
    needed = {name for name in needed if "__pycache__" not in name}
    assert ours | needed | {"minidiff/data/shapes/held_out.csv"} <= set(names)


def test_an_installed_package_samples_trains_and_evaluates(installed):
    run, folder = installed
    done = run(
        ["sample", "--pretrained", "shapes", "--n", 1, "--steps", 1, "--device", "cpu"],
        ["train", "--data", "shapes:2:held_out", "--width", 16, "--batch", 4, "--steps", 2, "--out", "pictures",
         "--device", "cpu"],
        ["train", "--data", "eight_gaussians", "--steps", 2, "--out", "points", "--device", "cpu"],
        ["evaluate", "points", "--few", "--n", 64, "--steps", 2, "--device", "cpu"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "shapes.png").stat().st_size > 0
    assert (folder / "pictures" / "state.pt").exists() and (folder / "points" / "evaluation.json").exists()


@pytest.mark.slow  # trains a judge
def test_an_installed_package_evaluates_pictures(installed):
    run, folder = installed
    done = run(
        ["train", "--data", "shapes:2:held_out", "--width", 16, "--batch", 4, "--steps", 2, "--out", "judged",
         "--device", "cpu"],
        ["evaluate", "judged", "--few", "--n", 16, "--steps", 2, "--device", "cpu"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "judged" / "evaluation.json").exists()
