"""The ledger of claims: what the lecture says, what we predicted, what was measured, and the two verdicts.

The modules lecture00 to lecture09 hold the claims, each with the experiment that could refute it. A notebook calls
`measure(id)`. When it is built (lectures/build.py), what was measured goes into lectures/claims.json, and from there
into lectures/CLAIMS.md: so notebook and ledger cannot disagree. claims.json has a record by claim and by mode,
{"3.5": {"cpu": ..., "gpu": ...}}: that of a GPU, on larger data, stands beside the CPU's.
"""

import datetime
import hashlib
import importlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from minidiff import check
from minidiff.device import replacing

from .tools import Outcome, device, interval, mode, verdict

__all__ = ["Claim", "Outcome", "Record", "interval", "kept", "ledger", "measure", "mode", "registry", "verdict"]

LEDGER = Path(__file__).parents[1] / "claims.json"
NO_VERDICT = "a smoke run proves nothing"


@dataclass(frozen=True)
class Claim:
    """A statement of the lecture, and the experiment whose number decides it.

    `says` is the range of that number in which the lecture's own words hold, usually a sign; the data support it if the
    number's whole interval lies in there, contradict it if none of it does, and else leave it undecided. `predicted` is
    the size that we expected, written down before the first run; `why_anew` is why an earlier design was given up.
    """

    id: str
    statement: str
    where: str  # in the lecture
    prediction: str
    quantity: str  # what the number is
    predicted: tuple[float, float]
    experiment: Callable[[bool], Outcome]  # takes: is this a smoke run?
    says: tuple[float, float] | None = None  # by default as predicted
    why_anew: str = ""


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
    verdict: str  # of the data on what the lecture says
    notes: str
    data: str
    seeds: int
    device: str
    date: str
    says: tuple[float, float] | None = None
    met: str = ""  # was our prediction of the size
    why_anew: str = ""
    seconds: float = 0.0  # it took; claims that share what they train count it once
    history: list[dict] = field(default_factory=list, repr=False)
    detail: dict = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """The number that decides and the verdicts, as a lecture prints them; the rest is in CLAIMS.md."""
        number = f"{self.id}: {self.quantity}: {_number(asdict(self))}. {self.verdict.capitalize()}"
        if self.verdict == NO_VERDICT:
            return f"{number}."
        of = f"our prediction ({_range(self.predicted)}) {'is' if self.met == 'open' else 'was'} {self.met}"
        return f"{number}; {of if self.met else 'by an earlier design of the experiment'}."

    def short(self) -> str:
        """The number alone, where a lecture compares several."""
        return f"{self.id}: {self.quantity}: {self.value:.3g}"

    def full(self) -> str:
        """All of it."""
        return (
            f"{self.id} {self.statement}\n"
            f"  {self.quantity}: {self.value:.3g}, {_spread(asdict(self))}\n"
            f"  the lecture's words hold: {_range(self.says or self.predicted)}; verdict: {self.verdict}\n"
            f"  predicted: {_range(self.predicted)}; {self.met}\n"
            f"  {self.notes}\n  {self.data}; {self.seeds or 'no'} seeds; {self.device}; {self.date}"
        )


def registry() -> dict[str, Claim]:
    """Every claim by its id."""
    modules = [importlib.import_module(f".lecture{n:02d}", __package__) for n in range(10)]
    return {claim.id: claim for module in modules for claim in module.CLAIMS}


_measured: dict[str, Record] = {}


def measure(claim_id: str, write: bool | None = None) -> Record:
    """Run a claim's experiment now.

    `write` puts the record into the ledger, as that of this mode; by default in a build of the lectures. A smoke run is
    never written. A build keeps what it has measured in the folder $MINIDIFF_RECORDS, and takes it from there if it is
    of these very experiments. Raises ValueError for an unknown claim, and in gpu mode without a GPU.
    """
    claims = registry()
    if claim_id not in claims:
        raise ValueError(f"unknown claim {claim_id!r}: choose from {', '.join(claims)}")
    device()  # raises where the mode is gpu and there is none
    folder = os.environ.get("MINIDIFF_RECORDS") if mode() != "smoke" else None
    kept = folder and Path(folder) / f"{claim_id} {mode()} {_experiments()}.pt"
    record = torch.load(kept, weights_only=False) if kept and kept.exists() else _measure(claims[claim_id])
    record = Record(**judged(vars(record), claims[claim_id]))  # what it says may have been edited since
    if mode() == "smoke":
        record.verdict = NO_VERDICT
    if kept:
        with replacing(kept) as temporary:
            torch.save(record, temporary)
    _measured[claim_id] = record
    check.measured(claim_id, record.value)
    if (write or (write is None and folder)) and mode() != "smoke":
        _write(record)
    return record


def _measure(claim: Claim) -> Record:
    began = time.monotonic()
    with torch.random.fork_rng(devices=[]):  # what a lecture's cells draw does not depend on whether this one was kept
        found = claim.experiment(mode() == "smoke")
    assert found.low <= found.value <= found.high, f"{claim.id}: {found.value} is not in its interval"
    assert found.seeds >= 2 or found.low == found.high, f"{claim.id}: an interval needs two seeds"
    values = {
        "id": claim.id, "statement": claim.statement, "where": claim.where, "prediction": claim.prediction,
        "quantity": claim.quantity, "predicted": claim.predicted, "value": found.value,
        "interval": (found.low, found.high), "notes": found.notes, "data": found.data, "seeds": found.seeds,
        "device": device_name(found.device), "date": datetime.date.today().isoformat(), "why_anew": claim.why_anew,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    return Record(**judged(values, claim), detail=found.detail)


def _experiments() -> str:
    """A digest of the experiments' code."""
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(code).hexdigest()[:12]


def judged(row: dict, claim: Claim) -> dict:
    """A record's values with the claim's words of today and the two verdicts, by what it says and predicts."""
    low, high = row["interval"]
    says = claim.says or claim.predicted
    met = {"supported": "met", "contradicted": "missed", "undecided": "open"}[verdict(low, high, row["predicted"])]
    return row | {
        "statement": claim.statement, "quantity": claim.quantity,
        "says": says, "verdict": verdict(low, high, says), "met": met,
    }  # fmt: skip


def summary() -> None:
    """Print the verdicts on what this session has measured. Raises AssertionError if the ledger has another one."""
    known, minutes = ledger(), sum(record.seconds for record in _measured.values()) / 60
    print(f"the experiments took {minutes:.1f} minutes")
    for claim_id, record in _measured.items():
        print(f"{claim_id}: {record.verdict}")
        if mode() != "smoke" and claim_id in known:
            assert record.verdict == known[claim_id]["verdict"], (
                f"{claim_id}: the ledger says {known[claim_id]['verdict']}"
            )


def device_name(device: torch.device) -> str:
    """The GPU's name, or what kind of CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def every_row() -> dict[str, dict[str, dict]]:
    """The records by id and mode, as they stand in claims.json, judged by what the claims say today. One of an earlier
    design, that has not been measured anew in its mode, keeps the verdict it had."""
    rows, claims = json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else {}, registry()

    def today(row: dict, claim: Claim | None) -> dict:
        if claim is None or row.get("why_anew", "") != claim.why_anew:
            return {"says": row["predicted"], "met": ""} | row
        return judged(row, claim)

    return {k: {which: today(row, claims.get(k)) for which, row in by_mode.items()} for k, by_mode in rows.items()}


def ledger() -> dict[str, dict]:
    """The records by id that were measured in this mode; in smoke mode those of cpu mode."""
    which = "gpu" if mode() == "gpu" else "cpu"
    return {k: by_mode[which] for k, by_mode in every_row().items() if which in by_mode}


def kept(claim_id: str) -> Record:
    """What the ledger has on a claim that a lecture does not measure, as that takes minutes: in gpu mode the CPU's record
    where there is none of a GPU."""
    return Record(**(ledger().get(claim_id) or every_row()[claim_id]["cpu"]))


def _write(record: Record) -> None:
    rows = every_row()
    row = {k: v for k, v in asdict(record).items() if k != "detail"}
    by_mode = rows.get(record.id, {})
    if before := by_mode.get(mode()):
        row["history"] = before.get("history", [])
        if before.get("why_anew", "") != record.why_anew:
            old = {k: v for k, v in before.items() if k != "history"}
            row["history"] = [*row["history"], old | {"replaced": record.why_anew}]
    rows[record.id] = dict(sorted((by_mode | {mode(): row}).items()))
    write_ledger(rows)


def write_ledger(rows: dict[str, dict[str, dict]]) -> None:
    """Write claims.json and, from it, CLAIMS.md."""
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
        "Generated from `claims.json` by the build of the lectures; do not edit. The *verdict* is on the statement:",
        "a claim is *supported* if the whole 95% interval lies where its words hold (most are about a sign), *contradicted*",
        "if none of it does, else *undecided*. Apart from that stands whether our own prediction of the size, written down",
        "before the first run, was *met* or *missed*, or is *open* (the interval reaches beyond it). Measure one anew with",
        "`python lectures/claims.py measure ID`. On one machine all but times repeats with its seeds; on another processor sums are",
        "rounded otherwise, and what was trained ends elsewhere, within its interval. Until November 2026 the lectures from 03 on",
        "had one number less, and their claims with them.",
        "",
        "| claim | statement | measured | the words hold | verdict | we predicted | |",
        "|---|---|---|---|---|---|---|",
    ]
    each = [(r, _which(r, which)) for row in rows.values() for which, r in row.items()]
    for r, which in each:
        cells = [r["id"] + which, r["statement"], _number(r), _range(r["says"]), f"**{r['verdict']}**"]
        lines.append(f"| {' | '.join([*cells, _range(r['predicted']), r['met']])} |")
    for r, which in each:
        lines += [
            "",
            f"## {r['id']}{which} {r['statement']}",
            "",
            f"- Where: {r['where']}",
            f"- Number that decides: {r['quantity']}. **{r['value']:.4g}**, {_spread(r)}; the lecture's words hold: "
            f"{_range(r['says'])}. **{r['verdict']}**",
            f"- Predicted: {r['prediction']} ({_range(r['predicted'])}). {r['met']}",
            f"- Also: {r['notes']}",
            f"- Data: {r['data']}. Seeds: {r['seeds'] or 'none'}. Device: {r['device']}. Date: {r['date']}"
            + (f". Took {r['seconds']:.0f} s" if r.get("seconds") else ""),
        ]
        for old in r.get("history", []):
            lines.append(
                f"- Before ({old['date']}): {old['quantity']}, {_number(old)}, {old['verdict']}; {old['data']}. "
                f"Measured anew because {old['replaced']}"
            )
    return "\n".join(lines) + "\n"


def _which(row: dict, mode: str) -> str:
    """What a row says after the claim's id: its mode, and whether the design is another than today's."""
    claim = registry().get(row["id"])
    earlier = claim is not None and row.get("why_anew", "") != claim.why_anew
    return ("" if mode == "cpu" else f", {mode} mode") + (", an earlier design" if earlier else "")


def _number(row: dict) -> str:
    low, high = _ends(row)
    return f"{row['value']:.3g} " + (f"[{low}, {high}]" if row["seeds"] else "(exact)")


def _spread(row: dict) -> str:
    low, high = _ends(row)
    return f"95% interval {low} to {high}" if row["seeds"] else "exact, nothing is random"


def _ends(row: dict) -> list[str]:
    """The ends of the interval in three digits, in four where three would make one a bound of a range that it is not."""
    bounds = {*row["predicted"], *(row.get("says") or ())}
    return [f"{v:.4g}" if v not in bounds and float(f"{v:.3g}") in bounds else f"{v:.3g}" for v in row["interval"]]


def _range(predicted) -> str:
    low, high = predicted
    if high == float("inf"):
        return f"at least {low:.3g}"
    return f"at most {high:.3g}" if low == -float("inf") else f"{low:.3g} to {high:.3g}"


def chosen(which: str) -> list[str]:
    """The ids of "7.3", of a lecture ("7") or of "all". Raises ValueError if there is none."""
    ids = [k for k in registry() if which in ("all", k, k.split(".")[0])]
    if not ids:
        raise ValueError(f"unknown claim {which!r}: choose from {', '.join(registry())}, a lecture's number, or all")
    return ids


def show(which: str | None = None, write: bool = False) -> None:
    """Print the ledger; or measure a claim, a lecture's claims or all, print each beside this mode's record, and at the
    end the verdicts that changed."""
    if which is None:
        rows = every_row()
        for claim in rows.values():
            for name, r in claim.items():
                print(f"{r['id']}  {name}  {r['verdict']:<12}  {r['statement']}")
        print(f"{len(rows)} claims; measure one anew with: python lectures/claims.py measure ID")
        return
    changed = []
    for claim_id in chosen(which):
        before = ledger().get(claim_id)
        if before:
            print("in the ledger:\n" + Record(**before).full())
        print(f"measuring anew ({mode()} mode) ...", flush=True)
        record = measure(claim_id, write)
        print(record.full(), flush=True)
        if before and mode() != "smoke" and before["verdict"] != record.verdict:
            changed.append(f"{claim_id}: {before['verdict']} -> {record.verdict}")
    if which not in registry():
        print("\n".join(["verdicts that changed:", *changed]) if changed else "no verdict changed")
