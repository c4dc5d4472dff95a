"""What the README shows works: its Python, its links, its commands' names."""

import re
from pathlib import Path

from minidiff.run.cli import COMMANDS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_the_python_in_it_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    names = {}
    exec(code.replace("steps=2000", "steps=100").replace("% 500", "% 50"), names)
    assert names["samples"].shape == (1000, 2) and capsys.readouterr().out.startswith("50 ")


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert len(links) > 20
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_module_is_on_the_map():
    modules = {p.name for p in (ROOT / "minidiff").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert not [m for m in modules if f"(minidiff/{m})" not in TEXT]


def test_commands_exist():
    assert set(re.findall(r"-m minidiff (\w+)", TEXT)) == set(COMMANDS)


def test_dependencies_are_explained():
    listed = re.findall(r"^([\w-]+)[><=]", (ROOT / "requirements.txt").read_text(), re.M)
    assert not [name for name in listed if name not in TEXT.split("## Dependencies")[1]]
