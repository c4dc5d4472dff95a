"""A model that comes with minidiff, of a run that `evaluate` has measured: its weights in half the size, and a card.

python tests/bench/ship.py RUN NAME DATA HOW LIMITS [UNSEEN]     see `ship`
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from safetensors.torch import load_file, save_file

from minidiff.device import replacing
from minidiff.run import checkpoint, pretrained

LIMIT = 10_000_000  # bytes
UNSEEN = "combinations kept from another net of this recipe"


def ship(run: Path, name: str, data: str, how: str, limits: str, unseen: str | None = None) -> Path:
    """Copy the moving average of a run into this package, as float16, with its losses, its evaluation and a card.

    `data` is the name that the data has on every machine, `how` says in words on what and how long it was trained,
    `limits` what it cannot do; `unseen` the evaluation.json of a run by the same recipe on shapes:2:held_out, whose
    shares as asked stand in the card too. Raises ValueError if it is larger than 10 MB, or was not evaluated.
    """
    config, out = checkpoint.read_config(run), pretrained.HERE / name
    if not (run / "evaluation.json").exists():
        raise ValueError(f"{run} has no evaluation.json: run evaluate on it first")
    weights = load_file(run / "ema.safetensors")
    if (size := sum(2 * v.numel() for v in weights.values())) > LIMIT:
        raise ValueError(f"{run}: {size / 1e6:.1f} MB of weights are more than the {LIMIT / 1e6:g} that may be shipped")
    if not data.startswith("shapes"):  # those have one name everywhere
        there = {"data": data, "size": None, "fingerprint": None}
        first = config.autoencoder and replace(config.autoencoder, **there)
        config = replace(config, **there, autoencoder=first)
    measured = json.loads((run / "evaluation.json").read_text(encoding="utf-8")) | {"run": name, "data": data}
    if unseen is not None:
        found = json.loads(Path(unseen).read_text(encoding="utf-8"))
        measured |= {f"{UNSEEN}, {k}": v for k, v in found.items() if k.endswith("as asked")}
    losses = (run / "loss.csv").read_text(encoding="utf-8")
    out.mkdir(exist_ok=True)
    half = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in weights.items()}
    with replacing(out / "ema.safetensors") as f:
        save_file(half, f)
    for file, text in (
        ("loss.csv", losses),
        ("config.json", json.dumps(asdict(config), indent=2)),
        ("evaluation.json", json.dumps(measured, indent=2)),
        ("README.md", card(name, how, limits, measured)),
    ):
        with replacing(out / file) as f:
            f.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    return out


def card(name: str, how: str, limits: str, measured: dict) -> str:
    """The model card, in Markdown: its numbers are those of `evaluate`."""
    rows = "\n".join(f"| {k} | {f'{v:.4g}' if isinstance(v, float) else v} |" for k, v in measured.items())
    return (
        f"# {name}\n\n`python -m minidiff sample --pretrained {name}`\n\n**Trained on** {how}\n\n"
        f"**Limits.** {limits}\n\nMeasured by `evaluate` before the weights were rounded to float16:\n\n"
        f"| | |\n|---|---|\n{rows}\n\nThe weights are under this repository's licence."
    )


if __name__ == "__main__":
    print(ship(Path(sys.argv[1]), *sys.argv[2:]))
