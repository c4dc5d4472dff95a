"""Canvas's gradebook export with one column filled; every other byte stays as it is."""

import re
from pathlib import Path

from ..device import replacing

MARK = b"\xef\xbb\xbf".decode("latin-1")  # UTF-8's byte order mark
ASSIGNMENT = re.compile(r".+ \(\d+\)")  # how Canvas heads the column of an assignment: its name and its number


class Export:
    """A gradebook as Canvas exports it. Raises ValueError for a file that is none, or if the column is not clear."""

    def __init__(self, path: Path, column: str | None = None):
        self.path = path
        self.text = path.read_bytes().decode("latin-1")  # a letter a byte: what is not touched comes back as it was
        found = re.match(r'"?Student"?([,;\t])"?ID"?[,;\t]', self.text.removeprefix(MARK))
        if not found:
            raise ValueError(f"{path.name} is no gradebook of Canvas: its columns must start with Student, ID")
        self.rows = fields(self.text, found[1], path.name)
        names = [self.value(field) for field in self.rows[0]]
        choices = [name for name in names if ASSIGNMENT.fullmatch(name)]
        if column is None and len(choices) == 1:
            column = choices[0]
        if names.count(column) != 1:
            wrong = "which column?" if column is None else f"there is no column {column!r}:"
            raise ValueError(f"{path.name}: {wrong} --column is one of {', '.join(map(repr, choices)) or 'none'}")
        self.column = names.index(column)

    def value(self, field: tuple[int, int]) -> str:
        text = self.text[slice(*field)].removeprefix('"').removesuffix('"').replace('""', '"')
        return text.encode("latin-1").decode("utf-8", "replace")

    def fill(self, points: dict[str, int], most: int) -> tuple[Path, list[str]]:
        """Write the points, by Canvas's number of the student, into the column of a copy beside the export. Returns the
        copy and what is to be told."""
        parts, end, left, replaced, told = [], 0, dict(points), 0, []
        for row in self.rows[1:]:
            if len(row) <= self.column:
                continue
            student, place = self.value(row[1]), row[self.column]
            before = self.value(place).strip()
            if self.value(row[0]).strip() == "Points Possible" and before.removesuffix(".0") != str(most):
                told.append(f"Canvas has {before or 'no'} points for this column, the grading {most}")
            if student in left:
                replaced += before not in ("", str(left[student]))
                parts += [self.text[end : place[0]], str(left.pop(student))]
                end = place[1]
        out = self.path.with_name(f"{self.path.stem}-filled{self.path.suffix}")
        told += [f"{replaced} grades that stood in it are other ones now"] if replaced else []
        told += [f"not in Canvas's list: {', '.join(left)}"] if left else []
        told += [f"an earlier {out.name} is replaced"] if out.exists() else []
        with replacing(out) as temporary:
            temporary.write_bytes("".join([*parts, self.text[end:]]).encode("latin-1"))
        return out, told


def fields(text: str, comma: str, name: str) -> list[list[tuple[int, int]]]:
    """The rows of a CSV, each field as its place in the text."""
    field = re.compile(rf'"[^"]*(?:""[^"]*)*"|[^"{comma}\r\n]*')
    ending = re.compile(rf"{comma}|\r\n|\r|\n|\Z")
    rows, at = [[]], 3 if text.startswith(MARK) else 0
    while at < len(text):
        rows[-1].append(field.match(text, at).span())
        end = ending.match(text, rows[-1][-1][1])
        if not end:
            raise ValueError(f"{name} is no CSV: row {len(rows)} has a quote where none can be")
        at = end.end()
        if at == len(text) and end[0] == comma:
            rows[-1].append((at, at))
        elif at < len(text) and end[0] != comma:
            rows.append([])
    return rows
