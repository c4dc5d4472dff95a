"""What the READMEs show works: Python, links, paths, commands and their options."""

import re
from pathlib import Path

import pytest

from minidiff.run.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ALL = ("README.md", "tests/bench/README.md", "datasets/README.md")
CARD = {"torch", "torchvision", "numpy", "matplotlib", "jupyter", "tqdm", "pytest", "nbval"}  # the course's


def test_it_is_two_screens():
    assert len(TEXT.encode()) <= 7 * 1024


def test_the_python_in_it_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    names = {}
    exec(code.replace("steps=2000", "steps=100").replace("% 500", "% 50"), names)
    assert names["samples"].shape == (1000, 2) and capsys.readouterr().out.startswith("50 ")


@pytest.mark.parametrize("file", ALL)
def test_links_and_paths_lead_somewhere(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert len(links) > 20 or file != "README.md"
    assert not [link for link in links if not ((ROOT / file).parent / link).exists()]
    outside_links = re.sub(r"\]\([^)]*\)", "]", text)
    paths = re.findall(r"(?<![\w/.])(?:minidiff|tests|lectures)/[\w./]+", outside_links)
    assert not [path for path in paths if not (ROOT / path.rstrip(".")).exists()]


def test_every_module_is_on_the_map():
    package = ROOT / "minidiff"
    modules = {p.name for p in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {p.parent.name for p in package.glob("*/__init__.py")}
    assert not [name for name in modules | folders if f"(minidiff/{name})" not in TEXT]


def test_commands_exist():
    assert set(re.findall(r"-m minidiff (\w+)", TEXT)) == set(COMMANDS)
    everywhere = "".join((ROOT / file).read_text(encoding="utf-8") for file in ALL)
    assert set(re.findall(r"-m minidiff (\w+)", everywhere)) == set(COMMANDS)


def test_options_exist(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
    known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
    assert (
        not {o for file in ALL for o in re.findall(r"(?<!-)--[a-z][\w-]*", (ROOT / file).read_text(encoding="utf-8"))}
        - known
    )


def test_the_two_commands_are_the_ones_that_ci_takes():
    pattern = re.search(r"grep -m1 -E '(.*)' README.md", (ROOT / ".ci/run").read_text(encoding="utf-8"))[1]
    install = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python -m "
    assert re.findall(pattern, TEXT, re.M) == [f"{install}pytest"]
    assert f"\n{install}minidiff demo\n" in TEXT


def test_dependencies_are_explained():
    listed = set(re.findall(r"^([\w-]+)[><=]", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.M))
    said = TEXT.split("## Dependencies")[1]
    assert listed >= CARD and not [name for name in listed if name not in said]
    assert not [name for name in listed - CARD if f"\n- {name}: " not in said]
