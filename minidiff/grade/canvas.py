"""Canvas's gradebook export with one column filled; what stands in all other fields stays."""

import csv
import io
import re
from pathlib import Path

from ..device import replacing

MARK = b"\xef\xbb\xbf".decode("latin-1")  # UTF-8's byte order mark
ASSIGNMENT = re.compile(r".+ \(\d+\)")  # how Canvas heads the column of an assignment: its name and its number


class Export:
    """A gradebook as Canvas exports it. Raises ValueError for a file that is none, or if the column is not clear."""

    def __init__(self, path: Path, column: str | None = None):
        self.path = path
        text = path.read_bytes().decode("latin-1")  # a letter a byte: fields come back as they were, in any encoding
        found = re.match(rf'({MARK}|)"?Student"?([,;\t])"?ID"?[,;\t]', text)
        if not found:
            raise ValueError(f"{path.name} is no gradebook of Canvas: its columns must start with Student, ID")
        self.mark, self.comma = found.groups()
        self.ending = "\r\n" if "\r\n" in text else "\n"
        try:
            lines = io.StringIO(text.removeprefix(self.mark), newline="")
            self.rows = list(csv.reader(lines, delimiter=self.comma, strict=True))
        except csv.Error as error:
            raise ValueError(f"{path.name} is no CSV: {error}") from None
        names = [name.encode("latin-1").decode("utf-8", "replace") for name in self.rows[0]]
        choices = [name for name in names if ASSIGNMENT.fullmatch(name)]
        if column is None and len(choices) == 1:
            column = choices[0]
        if names.count(column) != 1:
            wrong = "which column?" if column is None else f"there is no column {column!r}:"
            raise ValueError(f"{path.name}: {wrong} --column is one of {', '.join(map(repr, choices)) or 'none'}")
        self.column = names.index(column)

    def fill(self, points: dict[str, int], most: int) -> tuple[Path, list[str]]:
        """Write the points, by Canvas's number of the student, into the column of a copy beside the export. Returns the
        copy and what is to be told."""
        left, replaced, told = dict(points), 0, []
        for row in self.rows[1:]:
            if len(row) <= self.column:
                continue
            before = row[self.column].strip()
            if row[0].strip() == "Points Possible" and before.removesuffix(".0") != str(most):
                told.append(f"Canvas has {before or 'no'} points for this column, the grading {most}")
            if row[1] in left:
                row[self.column] = str(left.pop(row[1]))
                replaced += before not in ("", row[self.column])
        out = self.path.with_name(f"{self.path.stem}-filled{self.path.suffix}")
        told += [f"{replaced} grades that stood in it are other ones now"] if replaced else []
        told += [f"not in Canvas's list: {', '.join(left)}"] if left else []
        told += [f"an earlier {out.name} is replaced"] if out.exists() else []
        with replacing(out) as temporary, open(temporary, "w", newline="", encoding="latin-1") as file:
            file.write(self.mark)
            csv.writer(file, delimiter=self.comma, lineterminator=self.ending).writerows(self.rows)
        return out, told
