"""The shape of the package: which folder may import which, and how long files and functions may be.

Lines are counted as `wc -l` does, in .py files. A function has the lines from its `def` to its end: its docstring and
what is defined in it count, its decorators do not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minidiff"
LECTURE = ("schedules", "denoise", "samplers", "guidance", "train")
CORE = (*LECTURE, "oracles", "score_matching", "text", "optim", "plot", "device")

# part of the package -> the parts that it may import, beside itself. A core module is a .py file at the top, but demo.
KNOWS = {
    "core": set(),
    "nets": {"core"},
    "data": {"core"},
    "measure": {"core", "nets", "data"},
    "stages": {"core", "nets", "data", "measure"},
    "run": {"core", "nets", "data", "measure", "stages", "demo", "grade"},
    "demo": {"core", "nets", "data", "measure", "stages", "run"},
    "pretrained": set(),
    "check": {"core", "data"},
    "grade": {"core", "check", "run"},
}


def part(module: str) -> str:
    """The part of the package that a module, "minidiff.nets.unet", is in."""
    names = module.split(".")[1:]
    if names == ["__main__"]:
        return "run"  # the command line
    return names[0] if names and names[0] in KNOWS else "core"


def module_of(path: Path, root: Path) -> str:
    """The dotted name of a file; of an __init__.py that of its folder."""
    names = path.relative_to(root).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def modules(root: Path) -> dict[str, Path]:
    return {module_of(path, root): path for path in sorted((root / "minidiff").rglob("*.py"))}


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of each import of a file, those within functions and under `if` too."""
    package = module_of(path, root).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            name = node.args[0] if node.args else None
            yield node.lineno, name.value if isinstance(name, ast.Constant) else "what a variable names"


def wrong_imports(root: Path) -> list[str]:
    """Each import of the package under `root` that goes against KNOWS, or out to the lectures or the tests."""
    ours, wrong = modules(root), []
    outside = {"lectures", "tests", "what a variable names"} | {p.stem for p in (root / "lectures").glob("*")}
    folders = {p.parent.name for p in (root / "minidiff").glob("*/__init__.py")} - set(KNOWS)
    wrong += [f"minidiff/{name}: say in KNOWS what it may import" for name in sorted(folders)]
    for module, path in ours.items():
        for line, name in imports(path, root):
            at = f"{path.relative_to(root)}:{line}"
            if name.split(".")[0] in outside or name in outside:
                wrong.append(f"{at} imports {name}, which is not the package's")
            if name.split(".")[0] != "minidiff":
                continue
            imported = name if name in ours else name.rpartition(".")[0]  # a module, or something in one
            if part(imported) not in KNOWS[part(module)] | {part(module)}:
                wrong.append(f"{at} ({part(module)}) imports {name} ({part(imported)})")
    return wrong


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def nodes(kinds) -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kinds):
                yield path.relative_to(ROOT), node


def listed(offenders) -> str:
    return "\n" + "\n".join(offenders)


def test_imports_go_one_way():
    assert not (wrong := wrong_imports(ROOT)), listed(wrong)


@pytest.mark.parametrize(
    "file, line, said",
    [
        ("denoise.py", "from .nets import unet", "minidiff/denoise.py:1 (core) imports minidiff.nets.unet (nets)"),
        ("nets/unet.py", "from ..stages.gan import GAN", "(nets) imports minidiff.stages.gan.GAN (stages)"),
        ("nets/unet.py", "def f():\n    from .. import run", "minidiff/nets/unet.py:2 (nets) imports minidiff.run"),
        ("data/toys.py", "import minidiff.measure.metrics", "(data) imports minidiff.measure.metrics (measure)"),
        ("measure/metrics.py", "if 1:\n    from ..run import cli", "(measure) imports minidiff.run.cli (run)"),
        ("stages/gan.py", "from ..demo import demo", "(stages) imports minidiff.demo.demo (demo)"),
        ("run/cli.py", "from experiments.claims import measure", "not the package's"),
        ("run/cli.py", "from tests.bench import ship", "not the package's"),
        ("run/cli.py", "import importlib\nimportlib.import_module(x)", "imports what a variable names"),
        ("nets/unet.py", "importlib.import_module('minidiff.run.cli')", "(nets) imports minidiff.run.cli (run)"),
        ("new/__init__.py", "", "minidiff/new: say in KNOWS"),
    ],
)
def test_a_wrong_import_is_found(tmp_path, file, line, said):
    for name in ("denoise.py", "demo.py", "nets/unet.py", "stages/gan.py", "data/toys.py", "measure/metrics.py"):
        make(tmp_path / "minidiff" / name, "import torch\nfrom minidiff import denoise\n")
    make(tmp_path / "minidiff/run/cli.py", "from ..stages.gan import GAN\nfrom .. import demo, denoise\n")
    make(tmp_path / "lectures/experiments/__init__.py", "")
    assert wrong_imports(tmp_path) == []
    make(tmp_path / "minidiff" / file, line)
    (wrong,) = wrong_imports(tmp_path)
    assert said in wrong


def make(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").touch()
    path.write_text(text, encoding="utf-8")


def test_files_are_short():
    """But for check/, which has one file for all exercises of a lecture."""
    of_the_package = [p for p in modules(ROOT).values() if p.parent.name != "check"]
    long = [f"{p.relative_to(ROOT)}: {lines(p)} lines" for p in of_the_package if lines(p) > 300]
    assert not long, listed(long)


def test_functions_are_short():
    found = [(path, f, f.end_lineno - f.lineno + 1) for path, f in nodes(ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{path}:{f.lineno} {f.name}: {length} lines" for path, f, length in found if length > 40]
    assert not long, listed(long)


def test_one_block_a_file():
    found = [str(path) for path, node in nodes(ast.ClassDef) if node.name == "Block"]
    twice = sorted({path for path in found if found.count(path) > 1})
    assert not twice, listed(twice)


def test_few_modules_at_the_top():
    top = sorted(p.name for p in PACKAGE.glob("*.py"))
    assert len(top) <= 14, listed(top)
    assert not [name for name in CORE if f"{name}.py" not in top]
