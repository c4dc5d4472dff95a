"""The demo's choices: its two stages, and one choice of them changed at a time, each trained as long as the demo.

python tests/bench/demo.py [NAME ...]      some 5 minutes a name on two CPU cores

A row has what a checker finds of what 2,048 captions ask for, and the Fréchet distance to real pictures. Without names
it runs what is missing. demo.json and demo.png go to --out; a later call adds to them.
"""

import argparse
import textwrap
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import table

from minidiff import data, demo, plot
from minidiff.data.shapes import checker
from minidiff.device import pick
from minidiff.measure import metrics
from minidiff.measure.features import features_for
from minidiff.measure.report import questions
from minidiff.run import checkpoint
from minidiff.run.evaluate import draw
from minidiff.run.loop import train_run
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure

MINUTES, N, SCALE = 4.0, 2048, 2.0
SAMPLERS = ("unipc", "dpmpp_2m")  # of 12 calls each; unipc is the demo's
VARIANTS = {  # name -> what differs; "first" is what differs in the autoencoder, None for pixels
    "demo": {},
    "Muon": {"optimizer": "muon", "lr": 5e-3, "batch": 64},
    "autoencoder by AdamW": {"first": {"optimizer": "adamw", "lr": 2e-3, "batch": 32}},
    "pixels": {"first": None, "patch": 4},
    "no cooldown": {"cooldown": 0.0},
    "pixels, larger patches": {"first": None, "patch": 8},
    "autoencoder of two objects": {"first": {"data": demo.DATA}},
    "lr 4e-3": {"lr": 4e-3},
}


def autoencoder(options, choices: dict) -> Path:
    """The run of an autoencoder, trained unless it was."""
    out = options.runs / "-".join(["first", *(f"{k}{v}" for k, v in sorted(choices.items()))]).replace(":", "")
    if not (out / "done").exists():
        choices = demo.AUTOENCODER | choices
        config, dataset = configure(choices.pop("data", "shapes"), demo.SIZE, model="vae", **choices)
        train_run(out, config, dataset, minutes=demo.FIRST * MINUTES, save_every=120)
        (out / "done").touch()
    return out


def measure(options, name: str, real, features) -> dict:
    """One variant: trained unless it was, sampled, read back and compared with real pictures."""
    run, choices = options.runs / name.replace(" ", "_").replace(",", ""), demo.LATENTS | VARIANTS[name]
    first = choices.pop("first", {})
    minutes = MINUTES * (1 if first is None else 1 - demo.FIRST)
    if not (run / "done").exists():
        first = None if first is None else autoencoder(options, first)
        size = demo.SIZE if first is None else None
        config, dataset = configure(demo.DATA, size, autoencoder=first, device="cpu", **choices)
        train_run(run, config, dataset, autoencoder=first, minutes=minutes, save_every=120)
        (run / "done").touch()
    config, model = checkpoint.read_config(run), checkpoint.load(run, device=pick())
    captions, asked = questions(data.load(demo.DATA, size=demo.SIZE), N)
    steps, row = checkpoint.read_losses(run)[-1][0], {}
    for sampler in SAMPLERS:
        how = demo.HOW | {"sampler": sampler, "scale": SCALE}
        x = draw(run / "drawn", model, N, tokenizer_of(config)(captions), **how)
        row[sampler] = {"frechet": metrics.frechet_distance(features.compute(x)[0], real), **checker.accuracy(asked, x)}
    return row | {"steps": steps, "images a second": steps * config.training.batch / (60 * minutes)}


def show(found: dict, path: Path) -> None:
    """Two panels: distance, and the shapes that are not as asked."""
    rows = sorted(found["rows"].items(), key=lambda kv: -kv[1]["unipc"]["frechet"])
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.32 * len(rows) + 1.4), sharey=True, layout="constrained")
    colours = ["tab:red" if name == "demo" else "tab:gray" for name, _ in rows]
    for ax, values, label in (
        (axes[0], [row["unipc"]["frechet"] for _, row in rows], "Fréchet distance (not FID); dotted: real to real"),
        (axes[1], [100 * (1 - row["unipc"]["shape"]) for _, row in rows], "shapes not as asked, in %"),
    ):
        ax.barh([name for name, _ in rows], values, color=colours)
        ax.set(xlabel=label)
    axes[0].axvline(found["floor"], color="k", linestyle=":")
    figure.suptitle(textwrap.fill(found["what"], 130), fontsize=8)
    plot.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of " + ", ".join(VARIANTS))
    parser.add_argument("--runs", type=Path, default=Path("runs/demo"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    dataset = data.load(demo.DATA, size=demo.SIZE)
    features = features_for("classifier", dataset, pick())
    real, other = (features.compute(dataset.some(N, seed))[0] for seed in (20_000, 30_000))
    path = options.out / "demo.json"
    what = (
        f"captioned shapes, one or two, {demo.SIZE} x {demo.SIZE}; {MINUTES:g} minutes of training each (of latents: "
        f"{60 * demo.FIRST * MINUTES:g} s of them the autoencoder's), one seed; {N} captions, "
        f"{demo.HOW['steps']} calls of unipc, guidance {SCALE:g}; features of a classifier trained on real pictures"
    )
    floor = metrics.frechet_distance(other, real)
    row = partial(measure, options, real=real, features=features)
    show(table.fill(path, what, floor, list(VARIANTS), options.names, row), path.with_suffix(".png"))


if __name__ == "__main__":
    main()
