"""The answers of a submission, found by name in the syntax tree: where they stand, and what else stands there, does not
matter. Nothing is run."""

import ast
import builtins
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..check import EXERCISES, Exercise
from .cells import code_cells
from .statements import STUB, Statement, parsed, single

MOST_STATEMENTS = 5000  # in a submission


@dataclass(frozen=True)
class Program:
    """Python text that defines an answer's names; the answer is the one object, or the tuple of them."""

    source: str
    names: tuple[str, ...]

    @property
    def written(self) -> bool:
        """Whether it is more than the stub that was handed out."""
        return not STUB.search(self.source)


@dataclass
class Submission:
    """What was handed in: the programs by exercise, those that are found, and lines on what went wrong."""

    name: str
    programs: dict[str, Program] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read(path: Path) -> Submission:
    """The answers in a notebook, a .py, or a zip or folder with one of them. Raises ValueError with the file's name."""
    path = Path(path)
    found = Submission(path.name)
    statements, broken = [], []
    for n, cell in enumerate(code_cells(path), 1):
        text, tree = parsed(cell)
        if isinstance(tree, Exception):
            broken.append(text)
            found.problems.append(f"code cell {n} is left out: {in_words(tree)}")
        else:
            if len(statements) + len(tree.body) > MOST_STATEMENTS:
                raise ValueError(f"{path.name} has more than {MOST_STATEMENTS} statements outside functions")
            lines = text.split("\n")
            statements += [Statement(node, own, n) for whole in tree.body for node, own in single(whole, lines)]
    notebook = Notebook(statements, broken)
    for exercise in EXERCISES.values():
        if program := notebook.program(exercise, found.problems):
            found.programs[exercise.id] = program
    return found


def in_words(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"syntax error in line {error.lineno} ({error.msg}): {(error.text or '').strip()[:80]}"
    return "it is nested too deep" if isinstance(error, RecursionError | MemoryError) else f"syntax error ({error})"


class Notebook:
    """The statements of a submission in their order, and the texts of cells that do not parse."""

    def __init__(self, statements: list[Statement], broken: list[str]):
        self.statements, self.broken = statements, broken
        self.binders: dict[str, list[int]] = {}
        for i, statement in enumerate(statements):
            for name in statement.binds:
                self.binders.setdefault(name, []).append(i)

    def program(self, exercise: Exercise, problems: list[str]) -> Program | None:
        """The program that defines an exercise's names, None if there is none; what is odd is added to `problems`."""
        places = {name: self.definition(name) for name in exercise.names}
        for name, place in places.items():
            cell = self.broken_cell(name)
            if cell is not None and (place is None or self.statements[place].stub):
                return Program(cell, exercise.names)  # for the message about its syntax
        missing = [name for name, place in places.items() if place is None]
        if missing:
            if len(missing) < len(places):
                problems.append(f"exercise {exercise.id} needs {', '.join(missing)} too, which is not there")
            return None
        chosen = sorted(set(places.values()))
        used, lacking = self.needed(chosen)
        own = {self.statements[i].cell for i in chosen}
        for name in lacking:
            why = "which another cell computes: an answer's cell must hold all that it needs"
            if any(self.statements[i].cell in own for i in self.binders[name]):
                why = "which grading leaves out: it trains and measures nothing, reads no files, runs no loops"
            problems.append(f"exercise {exercise.id} uses {name}, {why}")
        return Program(self.text(used, chosen), exercise.names)

    def definition(self, name: str) -> int | None:
        """The last definition that is not the stub that was handed out, or else the last."""
        found = [i for i in self.binders.get(name, []) if name in self.statements[i].defines]
        own = [i for i in found if not self.statements[i].stub]
        return (own or found or [None])[-1]

    def broken_cell(self, name: str) -> str | None:
        """The last cell that does not parse and seems to define the name."""
        defines = re.compile(rf"^(?:(?:async\s+)?def|class)\s+{name}\b|^{name}\s*(?::[^=\n]+)?=(?!=)", re.MULTILINE)
        return next((cell for cell in reversed(self.broken) if defines.search(cell)), None)

    def needed(self, chosen: list[int]) -> tuple[set[int], list[str]]:
        """The chosen statements and what they use, what that uses, and so on; and names that are bound, but by no
        statement that may be used."""
        self.usable = {i for i, statement in enumerate(self.statements) if statement.plain}
        self.usable |= self.constants(chosen)
        found, todo, lacking = set(chosen), list(chosen), []
        while todo:
            i = todo.pop()
            for name in sorted(self.statements[i].uses):
                places = self.sources(name, i)
                if not places and not hasattr(builtins, name) and set(self.binders.get(name, [])) - {i}:
                    lacking.append(name)
                todo += [j for j in places if j not in found]
                found.update(places)
        return found, sorted(set(lacking))

    def constants(self, chosen: list[int]) -> set[int]:
        """The constants in the cells of the chosen statements, which are made after them, that need no more than
        builtins, free names and one another, and that neither train nor measure nor read."""
        own = {self.statements[i].cell for i in chosen}
        known, found = self.free - set().union(*(self.statements[i].binds for i in chosen)), set()
        for i, statement in enumerate(self.statements):
            here = statement.cell in own and statement.constant and i not in chosen and not statement.costly
            if here and all(name in known or hasattr(builtins, name) for name in statement.uses):
                known |= statement.binds
                found.add(i)
        return found

    @cached_property
    def free(self) -> set[str]:
        """The names of imports, functions, classes and cheap values that neither train nor measure nor read, nor use
        what does."""
        users, names, costly = {}, set(), []
        for i, statement in enumerate(self.statements):
            if statement.plain:
                names |= statement.binds
                costly += [i] * statement.costly
                for name in statement.uses if not statement.imports else ():
                    users.setdefault(name, []).append(i)
        while costly:
            for name in self.statements[costly.pop()].binds & names:
                names.remove(name)
                costly += users.get(name, [])
        return names

    def sources(self, name: str, user: int) -> list[int]:
        """Where a name that statement `user` reads comes from: the last usable statement before it that binds it, or
        else the first after it; of imports all, for `import torch.nn` adds to `import torch`."""
        binders = [i for i in self.binders.get(name, []) if i != user and i in self.usable]
        binders = [i for i in binders if not self.statements[i].stub] or binders
        if not binders:
            return []
        before = [i for i in binders if i < user]
        chosen = before[-1] if before else binders[0]
        return [i for i in binders if self.statements[i].imports] if self.statements[chosen].imports else [chosen]

    def text(self, used: set[int], chosen: list[int]) -> str:
        """The program: imports, each in its own try, what the answer uses, then what was chosen."""
        first, imports, rest = [], [], []
        for i, s in enumerate(self.statements):
            if isinstance(s.node, ast.ImportFrom) and s.node.module == "__future__":
                first.append(s.text)
            elif s.imports and (i in used or "*" in s.binds):
                body = "\n".join("    " + line for line in s.text.split("\n"))
                imports.append(f"try:\n{body}\nexcept Exception:\n    pass")
            elif i in used and i not in chosen:
                rest.append(s.text)
        return "\n".join([*first, *dict.fromkeys(imports), *rest, *(self.statements[i].text for i in chosen)]) + "\n"
