"""Turn lectures/source/NN_topic.py (py:percent, what authors edit) into lectures/NN_topic.ipynb, executed.

python lectures/build.py            execute every lecture and write its claims into the ledger
python lectures/build.py 01         only those whose name starts so
python lectures/build.py --text     only prose was edited: take it over and keep the outputs
python lectures/build.py --check    say which notebooks do not agree with their source (exit status 1)
"""

import argparse
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from minidiff.device import replacing

HERE = Path(__file__).parent


def sources(prefix: str = "") -> list[Path]:
    """The lectures' sources whose names start with `prefix`."""
    return sorted((HERE / "source").glob(f"{prefix}*.py"))


def cells(notebook) -> list[tuple[str, str]]:
    """What source and notebook must share: each cell's type and text."""
    return [(c.cell_type, c.source.strip()) for c in notebook.cells]


def agrees(source: Path) -> bool:
    """Whether the notebook of a source exists and has the same cells."""
    built = HERE / f"{source.stem}.ipynb"
    return built.exists() and cells(nbformat.read(built, 4)) == cells(jupytext.read(source))


def build(source: Path) -> None:
    """Execute a source and write its notebook, outputs included."""
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata.pop("jupytext", None)
    began = time.monotonic()
    NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(HERE)}}).execute()
    write(notebook, HERE / f"{source.stem}.ipynb")
    print(f"{source.stem}: {time.monotonic() - began:.0f} s")


def build_text(source: Path) -> None:
    """Take over the prose of a source whose code its notebook has executed already."""
    path = HERE / f"{source.stem}.ipynb"
    notebook, edited = nbformat.read(path, 4), jupytext.read(source)
    ran = [c for c in notebook.cells if c.cell_type == "code"]
    code = [c for c in edited.cells if c.cell_type == "code"]
    if [c.source for c in ran] != [c.source for c in code]:
        sys.exit(f"{source.stem}: its code was edited too: run build.py without --text")
    outputs = iter(ran)
    notebook.cells = [next(outputs) if c.cell_type == "code" else c for c in edited.cells]
    write(notebook, path)


def write(notebook, path: Path) -> None:
    """Write a notebook whole, with cell ids by number: a rebuild does not change what did not change."""
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"
        cell.metadata.pop("execution", None)
    with replacing(path) as temporary:
        nbformat.write(notebook, temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", nargs="?", default="")
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    chosen = sources(options.prefix)
    if not chosen:
        parser.error(f"no lecture starts with {options.prefix!r}: there are {', '.join(s.stem for s in sources())}")
    if options.check:
        stale = [s.stem for s in chosen if not agrees(s)]
        sys.exit(f"not built from their source: {', '.join(stale)}" if stale else 0)
    os.environ["MINIDIFF_RECORD"] = "1"
    for source in chosen:
        build_text(source) if options.text else build(source)


if __name__ == "__main__":
    main()
