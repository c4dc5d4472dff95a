"""The statements of a submission's cells: their text, the names that they bind and use, and whether other answers may
use them. Nothing is run."""

import ast
import re
import symtable
import warnings
from collections.abc import Iterator
from functools import cached_property

BROKEN = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)  # what the parser raises for bad code
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
BLOCKS = (ast.If, ast.Try, ast.With)
MAGIC = re.compile(r"\s*[%!?]|[\w\s.,]*=\s*[%!]|.*\?\s*$")  # lines for IPython, not for Python
NO_PYTHON = re.compile(
    r"\s*%%(?:!|(?:bash|sh|script|system|sx|cmd|html|HTML|svg|SVG|javascript|js|latex|markdown|writefile|file|R|sql)\b)"
)
LIBRARIES = {"math", "cmath", "torch", "nn", "F", "np", "numpy", "functools", "partial", "float", "int", "tuple",
             "list", "dict", "set", "range", "len", "min", "max", "sum", None}  # fmt: skip
# names by which a statement seems to train or to read; of the package, schedules are all that is made at no cost
COSTLY = {"backward", "optim", "open", "input", "exec", "eval", "__import__", "load", "loadtxt", "read_text",
          "read_bytes", "imread", "urlopen"}  # fmt: skip
FREE = re.compile(r"(?!minidiff\b)|minidiff\.schedules\b")
STUB = re.compile(r"raise\s+NotImplementedError\(\s*[\"']exercise \d\d\.\d")
MOST_MAGICS = 100  # in a cell


def parsed(cell: str) -> tuple[str, ast.Module | Exception]:
    """A cell without magics and shell lines, and its tree, or one of BROKEN if it has none."""
    lines = cell.split("\n")
    if NO_PYTHON.match(cell):
        return "", ast.parse("")
    for _ in range(MOST_MAGICS):
        text = "\n".join(lines)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return text, ast.parse(text)
        except BROKEN as error:
            k = (getattr(error, "lineno", None) or 0) - 1
            if not 0 <= k < len(lines) or not MAGIC.match(lines[k]):
                return text, error
            continued = lines[k].endswith("\\")
            lines[k] = re.match(r"\s*", lines[k])[0] + "pass"
            while continued and k + 1 < len(lines):
                k, continued = k + 1, lines[k + 1].endswith("\\")
                lines[k] = ""
    return text, ValueError(f"more than {MOST_MAGICS} magics")


def single(node: ast.stmt, lines: list[str]) -> list[tuple[ast.stmt, str]]:
    """A statement and its text. Of an import one for each name, for one that fails must not cost the others."""
    if not isinstance(node, IMPORTS):
        return [(node, segment(lines, node))]
    parts = [type(node)(**{**dict(ast.iter_fields(node)), "names": [alias]}) for alias in node.names]
    return [(part, ast.unparse(part)) for part in parts]


def segment(lines: list[str], node: ast.stmt) -> str:
    """The text of a statement in a cell's lines, decorators included."""
    start, column = node.lineno, node.col_offset
    if decorators := getattr(node, "decorator_list", None):
        start, column = decorators[0].lineno, 0
    own = lines[start - 1 : node.end_lineno]
    own[-1] = own[-1].encode()[: node.end_col_offset].decode()  # the parser counts bytes
    return "\n".join([own[0].encode()[column:].decode(), *own[1:]])


def blocks(node: ast.stmt) -> Iterator[ast.stmt]:
    """A statement; of an if, try or with what stands in it."""
    if not isinstance(node, BLOCKS):
        yield node
        return
    bodies = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
    for body in bodies + [handler.body for handler in getattr(node, "handlers", [])]:
        for inner in body:
            yield from blocks(inner)


def bound(node: ast.stmt) -> set[str]:
    """The names that a simple statement binds; "*" for those of a star import."""
    if isinstance(node, FUNCTIONS):
        return {node.name}
    if isinstance(node, IMPORTS):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    names = [n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


class Statement:
    """A statement at the top level of a submission, and the number of its cell."""

    def __init__(self, node: ast.stmt, text: str, cell: int):
        self.node, self.text, self.cell = node, text, cell
        self.parts = list(blocks(node))
        self.imports = all(isinstance(part, IMPORTS) for part in self.parts)
        self.binds = set().union(*map(bound, self.parts))
        self.defines = set().union(*(bound(part) for part in self.parts if not isinstance(part, IMPORTS)))
        self.stub = bool(STUB.search(text))

    @cached_property
    def uses(self) -> set[str]:
        """The notebook's names that it reads, at once or when its functions are called."""
        try:
            todo = [symtable.symtable(self.text, "answer", "exec")]
        except BROKEN:
            return set()
        names, top = set(), todo[0]
        while todo:
            table = todo.pop()
            todo += table.get_children()
            names |= {s.get_name() for s in table.get_symbols()
                      if s.is_referenced() and (table is top or s.is_global())}  # fmt: skip
        return names - (self.binds if isinstance(self.node, FUNCTIONS) else set())

    @cached_property
    def plain(self) -> bool:
        """Whether other answers may use it: an import, a function, a class, or a value that costs nothing."""
        return not isinstance(self.node, ast.With) and all(
            isinstance(part, (*IMPORTS, *FUNCTIONS, ast.Pass)) or (bound(part) and cheap(part.value))
            for part in self.parts
        )

    @cached_property
    def constant(self) -> bool:
        """Whether it gives names to a value, whatever that costs."""
        return isinstance(self.node, ast.Assign | ast.AnnAssign) and bool(self.binds)

    @cached_property
    def costly(self) -> bool:
        """Whether it seems to train, to measure or to read files."""
        nodes = list(ast.walk(self.node))
        names = {getattr(n, "id", None) or getattr(n, "attr", None) for n in nodes}
        modules = [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
        modules += [f"{n.module}.{alias.name}" for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names]
        return bool(names & COSTLY) or not all(FREE.match(module) for module in modules)


def cheap(value: ast.expr) -> bool:
    """Whether a value is a constant, a lambda, or made by calls of libraries alone: no training, no measuring."""
    if isinstance(value, ast.Lambda):
        return True
    return all(root(node.func) in LIBRARIES for node in ast.walk(value) if isinstance(node, ast.Call))


def root(node: ast.expr) -> str | None:
    """The name that calls and attributes start with, torch of torch.tensor(2).sqrt."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else None
