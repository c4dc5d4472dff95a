"""The ledger of claims by slide, the map from slides to the course's sections, and what was contradicted."""

import json
import re
from pathlib import Path

from experiments import claims

from . import lectures

SLIDES = json.loads((Path(__file__).parents[1] / "slides.json").read_text(encoding="utf-8"))
REST = "Not on a slide: from papers, or our own questions"
SAID = {
    "supported": "the whole interval lies where the lecture's words hold",
    "undecided": "the interval lies on both sides",
    "contradicted": "the whole interval lies where they do not hold",
}


def slide_of(where: str) -> int | None:
    """The slide that a claim names, by its place in SLIDES; None if it is from elsewhere."""
    found = (i for i, slide in enumerate(SLIDES) if any(words in where for words in slide["where"]))
    return next(found, None)


def by_slide(rows: dict) -> dict[int | None, dict]:
    """The ledger's rows, grouped by slide in the slides' order, those from elsewhere last."""
    groups = {i: {} for i in [*range(len(SLIDES)), None]}
    for id, by_mode in rows.items():
        groups[slide_of(next(iter(by_mode.values()))["where"])][id] = by_mode
    return {i: group for i, group in groups.items() if group}


def anchor(slide: int | None) -> str:
    return "slide-none" if slide is None else f"slide-{slide + 1}"


def title(slide: int | None) -> str:
    return REST if slide is None else f"Slide {slide + 1}: {SLIDES[slide]['slide']}"


def claim_link(id: str) -> str:
    return f"[{id}](#claim-{id.replace('.', '-')})"


def marked(text: str) -> str:
    """Verdicts in bold as labels with their colour."""
    return re.sub(r"\*\*(supported|undecided|contradicted)\*\*", r"[\1]{.verdict .\1}", text)


def group(rows: dict) -> str:
    """A slide's table of claims, then each in full, as CLAIMS.md has them."""
    text = claims.markdown(rows)
    table, *each = text[text.index("\n| claim |") :].split("\n## ")
    table = re.sub(r"^\| (\d+\.\d+)", lambda m: f"| {claim_link(m[1])}", table, flags=re.M)
    lines, seen = [table.replace("| we predicted | |", "| we predicted | our prediction |")], set()
    for claim in each:
        head, body = claim.split("\n", 1)
        id = re.match(r"\d+\.\d+", head)[0]
        label = f"(claim-{id.replace('.', '-')})=\n" if id not in seen else ""
        seen.add(id)
        lecture = f"\n- Measured in [lecture {int(id.split('.')[0]):02d}]({lecture_page(id)})"
        lines.append(f"{label}### {head}\n{escaped(body.rstrip())}{lecture}\n")
    return marked("\n".join(lines))


def escaped(text: str) -> str:
    """What Markdown would take for formatting, but for the bold that is meant."""
    return re.sub(r"([_<$~\[\]])|(?<!\*)\*(?!\*)", lambda m: "\\" + m[0], text)


def lecture_page(id: str) -> str:
    number = f"{int(id.split('.')[0]):02d}"
    return next(f"/lectures/{name}.ipynb" for name in lectures.names() if name.startswith(number))


def counts(rows: dict) -> str:
    """How many claims have each verdict, one a line, on two cores."""
    verdicts = [by_mode["cpu"]["verdict"] for by_mode in rows.values()]
    return "\n".join(f"- {verdicts.count(v)} **{v}**: {meaning}." for v, meaning in SAID.items())


def ledger() -> str:
    """The page of all claims."""
    rows = claims.every_row()
    lines = [
        "# What the lecture claims, and what we measured",
        "",
        f"{len(rows)} claims, in the order of the lecture's slides. Each has an experiment that could refute it, and a "
        "prediction that was written down before the first run.",
        "",
        marked(counts(rows)),
        "",
        "Whether our own *prediction* of the size was met or missed, or is open, stands apart. Where an experiment was "
        "designed anew, the line *Before* has what the earlier one found, and why it was given up. To measure a claim "
        "anew: `python lectures/claims.py measure ID`.",
        "",
    ]
    for slide, its in by_slide(rows).items():
        lines += [f"({anchor(slide)})=", f"## {title(slide)}", "", group(its)]
    return "\n".join(lines)


def where_it_is(number: str, heading: str) -> str:
    """A link to a part of a lecture. Raises ValueError if there is none of that name."""
    lecture = next(name for name in lectures.names() if name.startswith(number))
    if heading not in lectures.headings(lecture):
        raise ValueError(f"slides.json: lecture {number} has no part {heading!r}")
    words = re.sub(r"^\d+\. ", "", heading)
    return f"[{number}: {words}](#{lectures.label(number, heading)})"


def slide_map() -> str:
    """The page that leads from each slide to the sections about it, and to its claims."""
    groups = by_slide(claims.every_row())
    lines = [
        "# From slide to section",
        "",
        f"The {len(SLIDES)} slides of the lecture, in order: where the course builds or tests what they say, and what "
        "came out. Errors on the slides are in the [errata](/errata.md).",
        "",
        "| slide | what it says | in the course | its claims |",
        "|---|---|---|---|",
    ]
    for i, slide in enumerate(SLIDES):
        found = [f"{claim_link(id)} [{r['cpu']['verdict']}]{{.verdict .{r['cpu']['verdict']}}}"
                 for id, r in groups.get(i, {}).items()]  # fmt: skip
        places = "<br>".join(where_it_is(*section) for section in slide["sections"])
        lines.append(f"| {i + 1}. **{slide['slide']}** | {slide['says']} | {places} | {'<br>'.join(found)} |")
    return "\n".join(lines) + "\n"


def contradicted() -> str:
    """A table of the claims that the data contradict, for the errata."""
    lines = ["| claim | statement | the number that decides | measured | the words hold |", "|---|---|---|---|---|"]
    for id, by_mode in claims.every_row().items():
        row = by_mode["cpu"]
        if row["verdict"] == "contradicted":
            cells = re.search(rf"^\| {re.escape(id)} \|(.*)$", claims.markdown({id: {"cpu": row}}), re.M)[1].split(
                " | "
            )
            lines.append(f"| {claim_link(id)} | {row['statement']} | {row['quantity']} | {cells[1]} | {cells[2]} |")
    return "\n".join(lines) + "\n"
