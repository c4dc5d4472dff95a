"""The ledger of claims: what the lecture says, what we predicted, what was measured, and the verdict.

The modules lecture00 to lecture09 hold the claims, each with the experiment that could refute it. A notebook calls
`measure(id)`. When it is built (lectures/build.py), what was measured goes into lectures/claims.json, and from there
into lectures/CLAIMS.md: so notebook and ledger cannot disagree. claims.json has a record by claim and by mode,
{"3.5": {"cpu": ..., "gpu": ...}}: that of a GPU, on larger data, stands beside the CPU's.
"""

import datetime
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from minidiff.device import replacing

from .tools import Outcome, device, interval, mode, verdict

__all__ = ["Claim", "Outcome", "Record", "interval", "ledger", "measure", "mode", "registry", "verdict"]

LEDGER = Path(__file__).parents[1] / "claims.json"


@dataclass(frozen=True)
class Claim:
    """A statement, and the experiment whose number decides it.

    The claim is supported if the number's whole interval lies in `predicted`, contradicted if none of it does, and
    else it depends. `prediction` was written before the first run.
    """

    id: str
    statement: str
    where: str  # in the lecture
    prediction: str
    quantity: str  # what the number is
    predicted: tuple[float, float]
    experiment: Callable[[bool], Outcome]  # takes: is this a smoke run?


@dataclass
class Record:
    """One measurement of a claim, as it stands in the ledger."""

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


def registry() -> dict[str, Claim]:
    """Every claim by its id."""
    from . import lecture00, lecture01, lecture03, lecture04, lecture05, lecture06, lecture07, lecture08, lecture09

    modules = (lecture00, lecture01, lecture03, lecture04, lecture05, lecture06, lecture07, lecture08, lecture09)
    return {claim.id: claim for module in modules for claim in module.CLAIMS}


def measure(claim_id: str, write: bool | None = None) -> Record:
    """Run a claim's experiment now.

    `write` puts the record into the ledger, as that of this mode; by default if $MINIDIFF_RECORD is set. A smoke run is
    never written. Raises ValueError for an unknown claim, and in gpu mode without a GPU.
    """
    claims = registry()
    if claim_id not in claims:
        raise ValueError(f"unknown claim {claim_id!r}: choose from {', '.join(claims)}")
    device()  # raises where the mode is gpu and there is none
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
        device_name(found.device),
        datetime.date.today().isoformat(),
        found.detail,
    )
    if (write or (write is None and os.environ.get("MINIDIFF_RECORD"))) and mode() != "smoke":
        _write(record)
    return record


def device_name(device: torch.device) -> str:
    """The GPU's name, or what kind of CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def every_row() -> dict[str, dict[str, dict]]:
    """The records by id and mode, as they stand in claims.json; in its older form they are all of cpu mode."""
    rows = json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else {}
    return {k: {"cpu": row} if "id" in row else row for k, row in rows.items()}


def ledger() -> dict[str, dict]:
    """The records by id that were measured in this mode; in smoke mode those of cpu mode."""
    which = "gpu" if mode() == "gpu" else "cpu"
    return {k: by_mode[which] for k, by_mode in every_row().items() if which in by_mode}


def _write(record: Record) -> None:
    rows = every_row()
    row = {k: v for k, v in asdict(record).items() if k != "detail"}
    rows[record.id] = dict(sorted((rows.get(record.id, {}) | {mode(): row}).items()))
    rows = dict(sorted(rows.items(), key=lambda row: [int(n) for n in row[0].split(".")]))
    with replacing(LEDGER) as f:
        f.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with replacing(LEDGER.with_name("CLAIMS.md")) as f:
        f.write_text(markdown(rows), encoding="utf-8")


def markdown(rows: dict[str, dict[str, dict]]) -> str:
    """The text of CLAIMS.md: a table of verdicts, then each claim in full. `rows` are as every_row gives them."""
    lines = [
        "# What the lecture claims, and what we measured",
        "",
        "Generated from `claims.json` by the build of the lectures; do not edit. A claim is *supported* if the whole",
        "95% interval lies in the predicted range, *contradicted* if none of it does, else it *depends*. Measure one",
        "anew with `python lectures/claims.py measure ID`; times differ between machines, the rest repeats with its "
        "seeds. Until November 2026 the lectures from 03 on had one number less, and their claims with them.",
        "",
        "| claim | statement | measured | predicted | verdict |",
        "|---|---|---|---|---|",
    ]
    each = [(r, "" if which == "cpu" else f", {which} mode") for row in rows.values() for which, r in row.items()]
    for r, which in each:
        low, high = r["interval"]
        number = f"{r['value']:.3g} " + (f"[{low:.3g}, {high:.3g}]" if r["seeds"] else "(exact)")
        cells = r["id"] + which, r["statement"], number, _range(r["predicted"]), f"**{r['verdict']}**"
        lines.append(f"| {' | '.join(cells)} |")
    for r, which in each:
        lines += [
            "",
            f"## {r['id']}{which} {r['statement']}",
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


def show(claim_id: str | None = None, write: bool = False) -> None:
    """Print the ledger; with an id, this mode's record and then the same measured anew."""
    if claim_id is None:
        rows = every_row()
        for claim in rows.values():
            for which, r in claim.items():
                print(f"{r['id']}  {which}  {r['verdict']:<12}  {r['statement']}")
        print(f"{len(rows)} claims; measure one anew with: python lectures/claims.py measure ID")
        return
    if found := ledger().get(claim_id):
        print("in the ledger:\n" + str(Record(**found)))
    if claim_id in registry():
        print(f"measuring anew ({mode()} mode) ...", flush=True)
    print(measure(claim_id, write))
