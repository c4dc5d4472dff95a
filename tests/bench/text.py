"""The three ways to read a caption, trained for 2,700 steps each: how each draws combinations of words it has seen, and
those it never has.

PYTHONPATH=lectures python tests/bench/text.py     some three minutes of training for each way on two CPU cores
It writes text.json and text.png to --out. Those beside it are of larger nets, whose cross-attention had no gate.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch
from experiments.lecture08 import TOKENIZER, WIDTHS, reader

from minidiff import data, plot
from minidiff.device import replacing
from minidiff.measure.nets import parameters
from minidiff.run.evaluate import prompt_accuracy
from minidiff.run.generate import generate

SCALES = (1.0, 2.0, 4.0)
SAMPLING = 12
PARTS = {"seen": "train", "new": "test"}


def measure(way: str, steps: int, n: int) -> tuple[dict, torch.Tensor]:
    """A row of the table, and pictures of eight captions of new combinations."""
    began = time.monotonic()
    model = reader(way, 0, steps, data.load("shapes:2:held_out"))
    row = {"parameters": parameters(model), "minutes": (time.monotonic() - began) / 60}
    for name, part in PARTS.items():
        asked_of = data.load("shapes:2:held_out", part)
        for scale in SCALES:
            found = prompt_accuracy(model, TOKENIZER, asked_of, n, shape=asked_of.shape, scale=scale, steps=SAMPLING)
            row[f"{name}, gamma {scale:g}"] = found
            print(way, name, f"gamma {scale:g}:", ", ".join(f"{k} {v:.3f}" for k, v in found.items()), flush=True)
    x = generate(model, 8, shape=(3, 16, 16), cond=TOKENIZER(new_captions(8)), scale=2.0, steps=SAMPLING)
    return row, x


def new_captions(n: int) -> list[str]:
    return data.load("shapes:2:held_out", "test").batch(n, torch.Generator().manual_seed(3))[1]


def draw(rows: dict, pictures: dict, path: Path, n: int, steps: int) -> None:
    """Left, the share of objects as asked by way; right, what the captions of new combinations became."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained", width_ratios=(1, 1.6))
    for i, name in enumerate(PARTS):
        values = [rows[way][f"{name}, gamma 2"]["object"] for way in rows]
        bars = left.bar([k + 0.38 * (i - 0.5) for k in range(len(rows))], values, 0.36, label=f"{name} combinations")
        left.bar_label(bars, [f"{100 * v:.0f}" for v in values])
    left.set_xticks(range(len(rows)), rows)
    left.set(ylim=(0, 1.25), ylabel="share", title=f"colour and shape as asked, {n} captions each")
    left.legend(frameon=False, loc="upper right")
    plot.grid(torch.cat(list(pictures.values())), 8, right, "new combinations, gamma 2", list(pictures))
    right.set_xlabel("\n".join(f"{i}: {caption}" for i, caption in enumerate(new_captions(8), 1)), fontsize=6)
    figure.suptitle(
        f"one and two objects, DiT, {steps} steps of 32, one seed, {SAMPLING} steps of dpmpp_2m", fontsize=9
    )
    plot.save(figure, path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2700)
    parser.add_argument("--n", type=int, default=500, help="captions of each kind")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    rows, pictures = {}, {}
    for way in WIDTHS:
        rows[way], pictures[way] = measure(way, args.steps, args.n)
    report = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "steps": args.steps,
              "n": args.n, "ways": rows}  # fmt: skip
    with replacing(args.out / "text.json") as f:
        f.write_text(json.dumps(report, indent=1) + "\n")
    draw(rows, pictures, args.out / "text.png", args.n, args.steps)


if __name__ == "__main__":
    main()
