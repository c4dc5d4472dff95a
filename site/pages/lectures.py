"""The lectures' notebooks as pages: with their committed outputs, hints and solutions folded."""

import copy
import re
from pathlib import Path

import build as notebooks  # lectures/build.py
import nbformat

from minidiff import check

from .links import ROOT, rewritten

LECTURES = ROOT / "lectures"
TEACHING = LECTURES / "TEACHING.md"
KINDS = {
    "F": "fill in an equation",
    "A": "write an algorithm",
    "P": "predict a number",
    "D": "mend broken code",
    "E": "design an experiment",
}
DETAILS = re.compile(r"<details>\s*<summary>(.*?)</summary>\s*(.*?)\s*</details>", re.S)
HEADING = re.compile(r"^(##+) (.+)$", re.M)


def names() -> list[str]:
    """The lectures, as "02_paths_and_samplers"."""
    return [path.stem for path in sorted(LECTURES.glob("[0-9][0-9]_*.ipynb"))]


def label(lecture: str, heading: str) -> str:
    """The anchor of a heading in a lecture, given by its two digits."""
    if found := re.match(r"Exercise (\d\d)\.(\d)", heading):
        return f"exercise-{found[1]}-{found[2]}"
    return f"lecture-{lecture}-" + re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def folded(kind: str, summary: str, body: str) -> str:
    return f'\n<details class="{kind}"><summary>{summary}</summary>\n\n{body}\n\n</details>\n'


def prose(text: str, lecture: str, source: Path) -> str:
    """A text cell: its folded parts as Markdown, its headings with anchors, its links to pages."""

    def unfold(match) -> str:
        return folded("hint" if match[1] == "Hint" else "answer", match[1], match[2])

    text = rewritten(DETAILS.sub(unfold, text), f"lectures/{lecture}.ipynb", source)
    return HEADING.sub(lambda found: f"({label(lecture[:2], found[2])})=\n{found[0]}", text)


def measured(code: str) -> list[str]:
    """The claims that a cell measures or shows."""
    found = re.findall(r"(?:measure\(|ledger\(\)\[)\"(\d+\.\d+)\"", code)
    for several in re.findall(r"map\(claims\.measure, \(([^)]*)\)\)", code):
        found += re.findall(r"\d+\.\d+", several)
    return found


def outputs(cell) -> list:
    """What a cell shows without a kernel: sliders would need one."""
    shown = [o for o in cell.outputs if "application/vnd.jupyter.widget-view+json" not in o.get("data", {})]
    return [o for o in shown if set(o.get("data", {"text": ""})) != {"text/plain"}] if len(cell.outputs) > 1 else shown


def page(lecture: str, solutions: bool, source: Path):
    """A lecture as a notebook that Sphinx shows. `source` is the folder that takes its pictures."""
    notebook = nbformat.read(LECTURES / f"{lecture}.ipynb", 4)
    cells, name = [], f"{lecture}.ipynb"
    whole = copy.deepcopy(notebook.cells)
    for i, cell in enumerate(notebook.cells):
        if cell.source == notebooks.SETUP:
            continue
        if cell.cell_type == "markdown":
            cell.source = prose(cell.source, lecture, source)
            cells.append(cell)
            continue
        cell.outputs = outputs(cell)
        if alt := cell.metadata.get("alt"):
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
        cells.append(cell)
        if exercise := cell.metadata.get("exercise"):
            notebooks.cut(notebook.cells, i, name)
            if solutions:
                cells.append(nbformat.v4.new_markdown_cell(solution(exercise, whole[i].source)))
        if claims := measured(cell.source):
            cell.metadata["tags"] = ["claim"]  # its lines are prose: course.css wraps them
            cells.append(nbformat.v4.new_markdown_cell(in_the_ledger(claims)))
    cells.insert(1, nbformat.v4.new_markdown_cell(head(lecture)))
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": notebook.metadata["kernelspec"]})


def solution(exercise: str, code: str) -> str:
    marks = (notebooks.BEGIN, notebooks.END)
    lines = [line for line in code.splitlines() if line.strip() not in marks]
    return folded("solution", f"Solution of exercise {exercise}", "```python\n" + "\n".join(lines) + "\n```")


def in_the_ledger(claims: list[str]) -> str:
    links = [f"[claim {id}](#claim-{id.replace('.', '-')})" for id in dict.fromkeys(claims)]
    return f"{{.ledger-link}}\nIn the ledger: {', '.join(links)}"


def exercises(lecture: str) -> list:
    """The exercises of a lecture, given by its two digits."""
    return [e for e in check.EXERCISES.values() if e.id.startswith(lecture)]


def head(lecture: str) -> str:
    """The line under a lecture's title."""
    its = exercises(lecture[:2])
    link = f'<a href="../student/{lecture}.ipynb" download>Download the notebook to fill in</a>'
    return (
        f"{{.lecture-head}}\n{len(its)} exercises, {sum(e.minutes for e in its)} minutes, "
        f"{sum(e.points for e in its)} points. {link}, or read on: hints and solutions are folded."
    )


def headings(lecture: str) -> list[str]:
    """The headings of a lecture's parts and exercises."""
    cells = nbformat.read(LECTURES / f"{lecture}.ipynb", 4).cells
    return [h for c in cells if c.cell_type == "markdown" for _, h in HEADING.findall(c.source)]


def overview() -> str:
    """The list of lectures for the landing page, as the README says what each asks."""
    said = dict(
        re.findall(r"^- \[\d\d [^\]]*\]\(lectures/(\w+)\.ipynb\): (.+)$", (ROOT / "README.md").read_text(), re.M)
    )
    rows = []
    for lecture in names():
        its, title = exercises(lecture[:2]), re.sub(r"^# Lecture (\d\d): ", "", first_line(lecture))
        rows.append(
            f"1. [{title[0].upper()}{title[1:]}](/lectures/{lecture}.ipynb)\\\n   {said[lecture]}\\\n   "
            f"*{len(its)} exercises, {sum(e.minutes for e in its)} minutes*"
        )
    return "{.lectures}\n" + "\n".join(rows).replace("1. ", "0. ", 1)


def first_line(lecture: str) -> str:
    return nbformat.read(LECTURES / f"{lecture}.ipynb", 4).cells[0].source.splitlines()[0]


def table() -> str:
    """The page of all exercises."""
    kinds = dict(re.findall(r"^\| (\d\d\.\d) \| \w+ \| ([FAPDE]) \|", TEACHING.read_text(encoding="utf-8"), re.M))
    every = check.EXERCISES.values()
    lines = [
        "# Exercises",
        "",
        f"{len(every)} exercises, {sum(e.points for e in every)} points. Each has a hint, and a check that names the "
        "likeliest mistake. To solve them open the student notebooks (`jupyter lab lectures/student`): "
        "`check.NAME(answer)` looks at your answer.",
        "",
        "| exercise | what you do | minutes | points |",
        "|---|---|---|---|",
    ]
    titles = {}
    for lecture in names():
        titles |= dict(re.findall(r"Exercise (\d\d\.\d): (.*?) \(", "\n".join(headings(lecture))))
    for e in every:
        link = f"[{e.id} {titles[e.id]}](#exercise-{e.id.replace('.', '-')})"
        lines.append(f"| {link}, `{e.name}` | {KINDS[kinds[e.id]]} | {e.minutes} | {e.points} |")
    return "\n".join(lines) + "\n"
