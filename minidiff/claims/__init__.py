"""The ledger of claims: what the lecture says, what we predicted, what was measured, and the verdict.

A lecture's module (lecture01, ...) holds its claims, each with the experiment that could refute it. Its notebook
calls `measure(id)`; building the notebooks (lectures/build.py) writes what was measured into lectures/claims.json
and from it lectures/CLAIMS.md, so that notebook and ledger cannot disagree.
"""

import datetime
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ..files import replacing
from .tools import Outcome, interval, verdict

LEDGER = Path(__file__).parents[2] / "lectures" / "claims.json"


@dataclass(frozen=True)
class Claim:
    """A statement, and the number that decides it: supported if its whole interval lies in `predicted`, contradicted
    if none of it does, else it depends. `prediction` was written before the first run."""

    id: str
    statement: str
    where: str  # in the lecture
    prediction: str
    quantity: str  # what the number is
    predicted: tuple[float, float]
    experiment: Callable[[bool], Outcome]  # takes: is this a smoke run?


@dataclass
class Record:
    """One line of the ledger."""

    id: str
    statement: str
    where: str
    prediction: str
    quantity: str
    predicted: tuple[float, float]
    value: float
    interval: tuple[float, float]
    verdict: str
    notes: str
    data: str
    seeds: int
    device: str
    date: str
    detail: dict = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return (
            f"{self.id} {self.statement}\n"
            f"  {self.quantity}: {self.value:.3g}, {_spread(asdict(self))}\n"
            f"  predicted {_range(self.predicted)}; verdict: {self.verdict}\n"
            f"  {self.notes}\n  {self.data}; {self.seeds or 'no'} seeds; {self.device}; {self.date}"
        )


__all__ = ["Claim", "Outcome", "Record", "interval", "ledger", "measure", "mode", "registry", "verdict"]


def mode() -> str:
    """smoke, cpu or gpu: $MINIDIFF_MODE, by default gpu if there is one. Smoke runs in seconds and proves nothing.

    In gpu mode experiments that train sizeable networks use the GPU; those in the plane run on the CPU in any mode.
    """
    default = "gpu" if torch.cuda.is_available() else "cpu"
    chosen = os.environ.get("MINIDIFF_MODE", default)
    if chosen not in ("smoke", "cpu", "gpu"):
        raise ValueError(f"MINIDIFF_MODE must be smoke, cpu or gpu, got {chosen!r}")
    return chosen


def registry() -> dict[str, Claim]:
    """Every claim by its id."""
    from . import lecture00, lecture01, lecture02, lecture03, lecture04, lecture05, lecture06, lecture07, lecture08

    modules = (lecture00, lecture01, lecture02, lecture03, lecture04, lecture05, lecture06, lecture07, lecture08)
    return {claim.id: claim for module in modules for claim in module.CLAIMS}


def measure(claim_id: str, write: bool | None = None) -> Record:
    """Run a claim's experiment now. `write` puts the record into the ledger (by default if $MINIDIFF_RECORD is set);
    a smoke run is never written."""
    claims = registry()
    if claim_id not in claims:
        raise ValueError(f"unknown claim {claim_id!r}: choose from {', '.join(claims)}")
    claim = claims[claim_id]
    found = claim.experiment(mode() == "smoke")
    record = Record(
        claim.id,
        claim.statement,
        claim.where,
        claim.prediction,
        claim.quantity,
        claim.predicted,
        found.value,
        (found.low, found.high),
        verdict(found.low, found.high, claim.predicted),
        found.notes,
        found.data,
        found.seeds,
        f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)",
        datetime.date.today().isoformat(),
        found.detail,
    )
    if (write or (write is None and os.environ.get("MINIDIFF_RECORD"))) and mode() != "smoke":
        _write(record)
    return record


def ledger() -> dict[str, dict]:
    """The records by id, as they stand in claims.json."""
    return json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else {}


def _write(record: Record) -> None:
    rows = ledger() | {record.id: {k: v for k, v in asdict(record).items() if k != "detail"}}
    rows = dict(sorted(rows.items(), key=lambda row: [int(n) for n in row[0].split(".")]))
    with replacing(LEDGER) as f:
        f.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(LEDGER.with_name("CLAIMS.md")) as f:
        f.write_text(markdown(rows), encoding="utf-8")


def markdown(rows: dict[str, dict]) -> str:
    """CLAIMS.md: a table of verdicts, then each claim in full."""
    lines = [
        "# What the lecture claims, and what we measured",
        "",
        "Generated from `claims.json` by the build of the lectures; do not edit. A claim is *supported* if the whole",
        "95% interval lies in the predicted range, *contradicted* if none of it does, else it *depends*. Measure one",
        "anew with `python -m minidiff claims ID`; times differ between machines, the rest repeats with its seeds.",
        "",
        "| claim | statement | measured | predicted | verdict |",
        "|---|---|---|---|---|",
    ]
    for r in rows.values():
        low, high = r["interval"]
        number = f"{r['value']:.3g} " + (f"[{low:.3g}, {high:.3g}]" if r["seeds"] else "(exact)")
        lines.append(f"| {r['id']} | {r['statement']} | {number} | {_range(r['predicted'])} | **{r['verdict']}** |")
    for r in rows.values():
        lines += [
            "",
            f"## {r['id']} {r['statement']}",
            "",
            f"- Where: {r['where']}",
            f"- Predicted: {r['prediction']}",
            f"- Number that decides: {r['quantity']}. **{r['value']:.4g}**, {_spread(r)}, "
            f"predicted {_range(r['predicted'])}: **{r['verdict']}**",
            f"- Also: {r['notes']}",
            f"- Data: {r['data']}. Seeds: {r['seeds'] or 'none'}. Device: {r['device']}. Date: {r['date']}",
        ]
    return "\n".join(lines) + "\n"


def _spread(row: dict) -> str:
    low, high = row["interval"]
    return f"95% interval {low:.3g} to {high:.3g}" if row["seeds"] else "exact, nothing is random"


def _range(predicted) -> str:
    low, high = predicted
    if high == float("inf"):
        return f"at least {low:g}"
    return f"at most {high:g}" if low == -float("inf") else f"{low:g} to {high:g}"


def show(claim_id: str | None, write: bool) -> None:
    """Print the ledger; with an id, the record and then the same measured anew. Raises ValueError where neither the
    ledger nor what the claims compare with is: outside the repository."""
    if not LEDGER.is_file():
        raise ValueError(
            "the ledger of claims is not in the installed package: clone minidiff's repository, run it there"
        )
    rows = ledger()
    if claim_id is None:
        for r in rows.values():
            print(f"{r['id']}  {r['verdict']:<12}  {r['statement']}")
        print(f"{len(rows)} claims; measure one anew with: python -m minidiff claims ID")
        return
    if claim_id in rows:
        print("in the ledger:\n" + str(Record(**rows[claim_id])))
    if claim_id in registry():
        print(f"measuring anew ({mode()} mode) ...", flush=True)
    print(measure(claim_id, write))
