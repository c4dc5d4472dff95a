"""The package from its docstrings, in the order in which the README reads it. Nothing is imported: it is parsed."""

import ast
import re

from .links import ROOT

PACKAGE = ROOT / "minidiff"
CORE = ["schedules", "denoise", "samplers", "guidance", "train"]  # "You may stop here: the rest runs it."
MORE = ["oracles", "score_matching", "text", "optim", "plot", "device", "demo"]
FOLDERS = ["nets", "stages", "data", "measure", "run", "check", "grade"]


def files(name: str) -> list:
    """The modules of a page: one, or those of a folder, the folder's own first. The checks of single lectures, which
    nobody calls by their functions, are left out."""
    if (PACKAGE / f"{name}.py").exists():
        return [PACKAGE / f"{name}.py"]
    found = sorted((PACKAGE / name).rglob("*.py"), key=lambda path: (path.name != "__init__.py", path))
    return [path for path in found if not re.match(r"lecture\d\d", path.name)]


def plain(text: str) -> str:
    """A docstring as Markdown: what is not in backticks is taken as it stands, indented parts are kept in lines."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if re.search(r"^\s{2,}\S|\S {2,}\S", block, re.M) and not block.lstrip().startswith("- "):
            blocks.append(f"```text\n{block}\n```")
        else:
            parts = re.split(r"(`[^`]+`)", block)
            blocks.append(
                "".join(p if p.startswith("`") else re.sub(r"([\\*_\[\]<>$#|~{}^])", r"\\\1", p) for p in parts)
            )
    return "\n\n".join(blocks)


def signature(node) -> str:
    """What a function or class is called with, as it stands in the source."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    taken = ast.unparse(node.args)
    if len(node.name) + len(taken) + len(returns) > 86:
        taken = "".join(f"\n    {argument}," for argument in arguments(taken)) + "\n"
    return f"{node.name}({taken}){returns}"


def arguments(taken: str) -> list[str]:
    """What stands between the commas of "a, b: tuple[int, int], *, c=', '", but for commas within an argument."""
    found, rest = [], ""
    for piece in taken.split(", "):
        rest = f"{rest}, {piece}" if rest else piece
        try:
            whole = rest in "*/" or ast.parse(f"def f({rest}): pass")
        except SyntaxError:
            continue
        if whole:
            found.append(rest)
            rest = ""
    return found


def public(nodes) -> list:
    return [
        n for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_") and
        ast.get_docstring(n)
    ]  # fmt: skip


def members(node: ast.ClassDef) -> str:
    """The methods of a class that say what they do, and what it is made with."""
    lines = []
    for n in node.body:
        own = isinstance(n, ast.FunctionDef) and (n.name in ("__init__", "__call__") or not n.name.startswith("_"))
        if own and (ast.get_docstring(n) or n.name == "__init__"):
            lines += [f"```python\n{signature(n)}\n```", "", plain(ast.get_docstring(n) or ""), ""]
    return "\n".join(lines)


def described(node, text: str, module: str) -> str:
    """A function or class: heading, signature, docstring, methods, folded source."""
    source = "\n".join(
        text.splitlines()[min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1 : node.end_lineno]
    )
    parts = [f"### {node.name}", "",
             f"```python\n{signature(node)}\n```", "", plain(ast.get_docstring(node)), ""]  # fmt: skip
    if isinstance(node, ast.ClassDef):
        parts += [members(node)]
    fold = f'<details class="source"><summary>Source of {node.name}</summary>'
    return "\n".join([*parts, fold, "", f"```python\n{source}\n```", "", "</details>", ""])


def page(name: str) -> str:
    """The page of a module or a folder."""
    lines = [f"# {name}", ""]
    several = len(files(name)) > 1
    for path in files(name):
        text = path.read_text(encoding="utf-8")
        tree, module = ast.parse(text), path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        module = module.removesuffix(".__init__")
        if several and module != name:
            lines += [f"## {module}", ""]
        lines += [plain(ast.get_docstring(tree) or ""), ""]
        lines += [described(node, text, module) for node in public(tree.body)]
    text = "\n".join(lines)
    return text if several else text.replace("\n### ", "\n## ")


def first_sentence(name: str) -> str:
    text = ast.get_docstring(ast.parse(files(name)[0].read_text(encoding="utf-8"))) or ""
    return plain(re.split(r"(?<=[.?])\s|\n\n", text, maxsplit=1)[0].replace("\n", " "))


def index() -> str:
    """The page that lists them, in reading order."""

    def rows(names: list[str]) -> list[str]:
        return [f"1. [{name}]({name}.md): {first_sentence(name)}" for name in names]

    lines = ["# The package", "",
             "From the docstrings, in reading order; under each function its source is folded. One convention carries "
             "everything: **x_t = alpha_t x0 + sigma_t eps**, t in [0, 1], t = 0 the data, data in [-1, 1].", "",
             "## Read these five", "", *rows(CORE), "", "## The rest of the core", "", *rows(MORE), "",
             "## Folders", "", *rows(FOLDERS), "",
             "```{toctree}", ":hidden:", "", *CORE, *MORE, *FOLDERS, "```", ""]  # fmt: skip
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every page of the package, by its path."""
    return {"api/index.md": index()} | {f"api/{name}.md": page(name) for name in [*CORE, *MORE, *FOLDERS]}
