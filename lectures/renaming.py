"""Do two lists of code cells differ in import lines and names alone? Then they compute the same.

Comments and layout do not count. The names that may differ are the cells' own and those of what they import from
minidiff or from the experiments, `data.load` being one name. Those of Python, torch and other libraries may not.
"""

import ast
import builtins

OURS = ("minidiff", "experiments")


def renamed(before: list[str], after: list[str]) -> list[set[tuple[str, str]]]:
    """By cell, the names that changed: (old, new).

    Raises ValueError if more than names and imports differ, or if the new names could mean other things: if two
    variables become one or one becomes two, or an attribute or a keyword gets a name that others have had before.
    """
    if len(before) != len(after):
        raise ValueError(f"the source has {len(after)} code cells, the notebook {len(before)}")
    pairs = []
    for i, (old, new) in enumerate(zip(blanked(before), blanked(after), strict=True), 1):
        if old[0] != new[0]:
            raise ValueError(f"code cell {i} differs in more than imports and names")
        pairs.append([(kind, a, b) for (kind, a), (_, b) in zip(old[1], new[1], strict=True)])
    check({pair for cell in pairs for pair in cell})
    return [{(a, b) for _, a, b in cell if a != b} for cell in pairs]


def check(pairs: set[tuple[str, str, str]]) -> None:
    """Raise ValueError unless the (kind, old, new) of all names of a notebook are a renaming."""
    for kind, old, new in sorted(p for p in pairs if p[1] != p[2]):
        same_kind = [p[1:] for p in pairs if p[0] == kind]
        if clash := [a for a, b in same_kind if b == new and a != old or a == new != b]:
            raise ValueError(f"the {kind} {old} became {new}, which is what {clash[0]} is or was")
        if kind == "variable" and (clash := [b for a, b in same_kind if a == old and b != new]):
            raise ValueError(f"the {kind} {old} became {new} here and {clash[0]} there")


def blanked(cells: list[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """By cell, its code without imports and with _ for each name that may differ; and these names and their kinds."""
    trees = [ast.parse(cell) for cell in cells]
    imports = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    ours, others = set(), set(dir(builtins))
    for node in imports:
        for alias in node.names:
            module = alias.name if isinstance(node, ast.Import) else node.module
            name = (alias.asname or alias.name).split(".")[0]
            (ours if module.split(".")[0] in OURS else others).add(name)
    found = []
    for tree in trees:
        blank = _Blank(ours, others)
        found.append((ast.dump(blank.visit(tree)), blank.names))
    return found


class _Blank(ast.NodeTransformer):
    def __init__(self, ours: set[str], others: set[str]):
        self.ours, self.others, self.names = ours, others, []

    def visit_Import(self, node):
        return None

    visit_ImportFrom = visit_Import

    def visit_Name(self, node):
        return node if node.id in self.others else self.generic_visit(node)

    def visit_Attribute(self, node):
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        name = root.id if isinstance(root, ast.Name) else None
        if name in self.others:
            return node
        if name not in self.ours:
            return self.generic_visit(node)
        self.names.append(("variable", ast.unparse(node)))
        return ast.Name("_", node.ctx)

    def generic_visit(self, node):
        kind = {ast.Attribute: "attribute", ast.keyword: "keyword"}.get(type(node), "variable")
        for field in ("id", "attr", "arg", "name"):
            if isinstance(name := getattr(node, field, None), str):
                self.names.append((kind, name))
                setattr(node, field, "_")
        return super().generic_visit(node)
