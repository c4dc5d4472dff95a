"""Turn lectures/source/NN_topic.py (py:percent, what authors edit) into lectures/NN_topic.ipynb, executed.

python lectures/build.py            execute every lecture and write its claims into the ledger; what is measured already
                                    in the folder $MINIDIFF_RECORDS, by the same experiments, is taken from there
python lectures/build.py 01         only those whose name starts so
python lectures/build.py --text     only prose was edited: take it over and keep the outputs
python lectures/build.py --sync     names or import lines too, as after a renaming in the package: the same
python lectures/build.py --student  write lectures/student/: stubs for solutions, no outputs, nothing executed
python lectures/build.py --check    say which notebooks, both kinds, do not agree with their source (exit status 1)

For teachers (see TEACHING.md); --only "06.1 06.2" chooses exercises, without it there are all:

python lectures/build.py --only "06.1 06.2" --homework OUT.ipynb   a student notebook of these exercises, with a cover
python lectures/build.py --autograder OUT.zip                      what Gradescope takes
python lectures/build.py --nbgrader DIR                            DIR/source and DIR/release, with nbgrader's metadata
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import homework
import jupytext
import nbformat
from experiments import claims
from nbclient import NotebookClient
from renaming import renamed

from minidiff import check
from minidiff.device import replacing

HERE = Path(__file__).parent
SETUP = """# If this fails, the course is not beside this notebook. Run first: !git clone ADDRESS minidiff && pip install -e ./minidiff  then  %cd minidiff/lectures
import sys

sys.path.insert(0, "..")  # for lectures/student
import experiments, minidiff"""


def sources(prefix: str = "") -> list[Path]:
    """The lectures' sources whose names start with `prefix`."""
    return sorted((HERE / "source").glob(f"{prefix}*.py"))


def read(source: Path):
    """The cells of a source as a notebook, and before its first code the cell that says what it needs."""
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.pop("jupytext", None)
    first = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(first, nbformat.v4.new_code_cell(SETUP))
    return notebook


def cells(notebook) -> list[tuple]:
    """What source and notebook must share: each cell's type, text and metadata (a figure's words, an exercise)."""
    return [(c.cell_type, c.source.strip(), dict(c.metadata)) for c in notebook.cells]


def agrees(source: Path) -> bool:
    """Whether the notebook of a source exists and has the same cells."""
    return same_cells(HERE / f"{source.stem}.ipynb", read(source))


def same_cells(built: Path, notebook) -> bool:
    return built.exists() and cells(nbformat.read(built, 4)) == cells(notebook)


def build(source: Path) -> None:
    """Execute a source and write its notebook, outputs included."""
    notebook = read(source)
    began = time.monotonic()
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(HERE)}}).execute()
    write(notebook, HERE / f"{source.stem}.ipynb")
    print(f"{source.stem}: {time.monotonic() - began:.0f} s")


def build_text(source: Path) -> None:
    """Take over the prose of a source whose code its notebook has executed already."""
    ran, code = codes(source)
    if ran != code:
        sys.exit(f"{source.stem}: its code was edited too: run build.py without --text")
    keep_outputs(source)


def sync(source: Path) -> None:
    """Take over a source that differs from its notebook in prose, import lines and names alone, and say in which.

    Raises ValueError if it differs in more.
    """
    ran, code = codes(source)
    changes = renamed(ran, code)
    keep_outputs(source)
    for i, (old, new, names) in enumerate(zip(ran, code, changes, strict=True), 1):
        if old != new:
            said = ", ".join(f"{a} -> {b}" for a, b in sorted(names))
            print(f"{source.stem}, code cell {i}: {said or 'imports, comments or layout'}")
    if ran == code:
        print(f"{source.stem}: prose alone")


def sync_all(chosen: list[Path]) -> int:
    """`sync` each source that does not agree; the exit status, 1 if some could not be taken over."""
    left = 0
    for source in (s for s in chosen if not agrees(s)):
        try:
            sync(source)
        except ValueError as error:
            print(f"{source.stem} is left as it was: {error}", file=sys.stderr)
            left = 1
    return left


def codes(source: Path) -> tuple[list[str], list[str]]:
    """The code cells of a source's notebook, and those of the source."""
    both = nbformat.read(HERE / f"{source.stem}.ipynb", 4), read(source)
    ran, code = ([c.source for c in notebook.cells if c.cell_type == "code"] for notebook in both)
    return ran, code


def keep_outputs(source: Path) -> None:
    """Write the notebook anew with its source's cells: each code cell has the outputs of the one that was there."""
    path = HERE / f"{source.stem}.ipynb"
    notebook, edited = nbformat.read(path, 4), read(source)
    ran = iter([c for c in notebook.cells if c.cell_type == "code"])
    for cell in edited.cells:
        if cell.cell_type == "code":
            before = next(ran)
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
    notebook.cells = edited.cells
    write(notebook, path)


# --- student notebooks ---

BEGIN, END = "# BEGIN SOLUTION", "# END SOLUTION"
LINK = re.compile(r"\]\((?!https?:|#|[\w-]+\.ipynb\))([^)\s]+)\)")  # to a file that is no notebook beside it


def student(source: Path):
    """The student version of a lecture: each solution is replaced by a stub. Raises ValueError for an exercise that
    is not whole, or a solution that stands elsewhere too."""
    notebook, solved = read(source), []
    setup = next(cell for cell in notebook.cells if cell.source == SETUP)
    setup.source = SETUP.replace("import sys", "import os, sys").replace('".."', 'os.path.abspath("..")')
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":  # one folder deeper: what is no lecture lies one above
            cell.source = LINK.sub(r"](../\1)", cell.source)
        if "exercise" in cell.metadata:
            solved += [(cell.metadata["exercise"], line) for line in cut(notebook.cells, i, source.name)]
    rest = {line.strip() for cell in notebook.cells for line in cell.source.splitlines()}
    for exercise, line in solved:
        if len(line.strip()) > 20 and line.strip() in rest:
            raise ValueError(
                f"{source.name}: a line of exercise {exercise}'s solution stands elsewhere: {line.strip()}"
            )
    return notebook


def cut(cells: list, i: int, name: str) -> list[str]:
    """Replace the solution in cell i by a stub; the lines of the solution. Raises ValueError if it is not whole."""
    cell, lines = cells[i], cells[i].source.splitlines()
    exercise = cell.metadata["exercise"]
    marks = [k for k, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    if len(marks) != 2 or lines[marks[0]].strip() != BEGIN or marks[1] - marks[0] > 13:
        raise ValueError(
            f"{name}: exercise {exercise} needs one solution between {BEGIN} and {END}, of 12 lines at most"
        )
    if "<summary>Hint" not in cells[i - 1].source or "check." not in cells[i + 1].source:
        raise ValueError(f"{name}: exercise {exercise} needs a hint in the cell before it and a check in the one after")
    indent = lines[marks[0]][: len(lines[marks[0]]) - len(lines[marks[0]].lstrip())]
    stub = f'{indent}raise NotImplementedError("exercise {exercise}")'
    cell.source = "\n".join([*lines[: marks[0]], stub, *lines[marks[1] + 1 :]])
    return lines[marks[0] + 1 : marks[1]]


def student_path(source: Path) -> Path:
    return HERE / "student" / f"{source.stem}.ipynb"


def build_student(source: Path) -> None:
    """Write the student version of a lecture."""
    student_path(source).parent.mkdir(exist_ok=True)
    write(student(source), student_path(source))


def write(notebook, path: Path) -> None:
    """Write a notebook whole, with cell ids by number: a rebuild does not change what did not change."""
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"
        cell.metadata.pop("execution", None)
    with replacing(path) as temporary:
        nbformat.write(notebook, temporary)


# --- for teachers ---


def teach(options) -> None:
    """Write what --homework, --autograder and --nbgrader ask for. Raises ValueError."""
    ids = check.chosen(options.only) if options.only else list(check.EXERCISES)
    if options.homework:
        write(homework.homework([student(s) for s in sources()], ids), fresh(options.homework))
    if options.autograder:
        homework.autograder(fresh(options.autograder), ids if options.only else [])
    if options.nbgrader:
        for kind, make in (("source", read), ("release", student)):
            made = {source.stem: make(source) for source in sources("" if options.only else options.prefix)}
            if options.only:
                made = {"homework": homework.homework(list(made.values()), ids)}
            for name, notebook in made.items():
                write(homework.nbgrader(notebook), fresh(options.nbgrader / kind / name / f"{name}.ipynb"))


def fresh(path: Path) -> Path:
    """A path at which there is nothing yet, in a folder that there is. Raises ValueError."""
    if path.exists():
        raise ValueError(f"{path} is there already: delete it or name another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{path.parent} cannot be made: {error.strerror}") from error
    return path


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="?", default="")
    for name in ("--text", "--sync", "--student", "--check"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--only", default="")
    for name in ("--homework", "--autograder", "--nbgrader"):
        parser.add_argument(name, type=Path)
    return parser


def main() -> None:
    parser = arguments()
    options = parser.parse_args()
    chosen = sources(options.prefix)
    if not chosen:
        parser.error(f"no lecture starts with {options.prefix!r}: there are {', '.join(s.stem for s in sources())}")
    if options.homework or options.autograder or options.nbgrader:
        try:
            return teach(options)
        except ValueError as error:
            parser.error(str(error))
    if options.only:
        parser.error("--only needs --homework OUT.ipynb, --autograder OUT.zip or --nbgrader DIR")
    if options.check:
        stale = [s.stem for s in chosen if not agrees(s)]
        stale += [f"student/{s.stem}" for s in chosen if not same_cells(student_path(s), student(s))]
        sys.exit(f"not built from their source: {', '.join(stale)}" if stale else 0)
    if options.sync:
        sys.exit(sync_all(chosen))
    if options.student:
        for source in chosen:
            build_student(source)
        return
    os.environ.setdefault("MINIDIFF_RECORDS", str(HERE.parent / "build" / "records"))
    Path(os.environ["MINIDIFF_RECORDS"]).mkdir(parents=True, exist_ok=True)
    claims.write_ledger(claims.every_row())  # what claims say may have been edited
    for source in chosen:
        build_text(source) if options.text else build(source)


if __name__ == "__main__":
    main()
