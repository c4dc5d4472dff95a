"""The best picture per minute: where the laptop's recipe began, diffusion in the latents of an autoencoder with EDM's
target and batches of 64, and one choice of it changed at a time, each trained equally long. What gained is the recipe
now.

python tests/bench/recipe.py --data folder:PATH --minutes 5 [NAME ...]      some 6 minutes a name on two CPU cores

The minutes are FIRST of an autoencoder, the same one for all that agree on it, and the rest of diffusion; what is in
pixels has them all. Without names it runs what is missing. recipe.json and recipe.png go to --out; a later call adds
to them.
"""

import argparse
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import table
import torch

from minidiff import data, plot
from minidiff.device import pick
from minidiff.measure import classifier
from minidiff.measure.nets import parameters
from minidiff.measure.report import distances
from minidiff.run import checkpoint
from minidiff.run.evaluate import draw
from minidiff.run.loop import train_run
from minidiff.run.recipes import configure

STEPS = 10
FIRST = 1.0  # minutes
SIXTEEN = {"f": 4, "dim": 16, "optimizer": "muon", "lr": 1.6e-2, "batch": 16, "cooldown": 0.7, "critic": False}
BASE = {"schedule": "vp", "prediction": "edm", "times": "lognormal", "batch": 64}
FLOW = {"schedule": "linear", "prediction": "flow", "times": "logit_normal"}
VARIANTS = {  # name -> what differs from the base; "first" is the autoencoder's choices, None for pixels
    "base": {},
    "AdamW": {"optimizer": "adamw"},
    "AdamW, lr 1e-3": {"optimizer": "adamw", "lr": 1e-3},
    "lr 6e-3": {"lr": 6e-3},
    "batch 32": {"batch": 32},
    "width 128": {"width": 128},
    "noisier times": {"times": "noisy_lognormal"},
    "no cooldown": {"cooldown": 0.0},
    "v, cosine path": {"schedule": "cosine", "prediction": "v"},
    "flow, linear path": FLOW,
    "flow, batch 32": FLOW | {"batch": 32},
    "flow, batch 16": FLOW | {"batch": 16},
    "DiT": {"net": "dit", "width": 256, "depth": 8, "patch": 2, "lr": 2e-3, "optimizer": "muon", "cooldown": 0.3},
    "f = 4": {"first": {"f": 4, "dim": 8}, "width": 192, "levels": 2, "lr": 2e-3, "optimizer": "muon", "cooldown": 0.3},
    "f = 4, 16 channels": {
        "first": SIXTEEN,
        "net": "unet",
        "width": 160,
        "levels": 1,
        "lr": 2e-3,
        "optimizer": "muon",
        "cooldown": 0.3,
    },
    "pixels": {"first": None},
    "pixels, AdamW": {"first": None, "optimizer": "adamw", "lr": 1e-3},
}


def autoencoder(options, choices: dict) -> Path:
    """The run of an autoencoder, trained unless it was: the same one, of seed 0, for all seeds."""
    out = options.runs / "-".join(["first", *(f"{k}{v}" for k, v in sorted(choices.items()))])
    if not (out / "done").exists():
        config, dataset = configure(options.data, model="vae", **choices)
        train_run(out, config, dataset, minutes=FIRST, save_every=120)
        (out / "done").touch()
    return out


def measure(options, name: str, real, judge) -> dict:
    """One variant: trained unless it was, sampled, compared with held-out pictures."""
    run = options.runs / f"{name.replace(' ', '_').replace(',', '')}-{options.seed}"
    choices = BASE | VARIANTS[name] | {"seed": options.seed}
    first = choices.pop("first", {"f": 2})
    minutes = options.minutes - (0 if first is None else FIRST)
    if not (run / "done").exists():
        first = None if first is None else autoencoder(options, first)
        config, dataset = configure(options.data, autoencoder=first, device="cpu", **choices)
        train_run(run, config, dataset, autoencoder=first, minutes=minutes, save_every=120, compiled=False)
        (run / "done").touch()
    config, model = checkpoint.read_config(run), checkpoint.load(run, device=pick())
    labels = torch.arange(options.n) % len(config.classes)
    x = draw(run / "drawn", model, options.n, labels, steps=STEPS)
    found, logits = classifier.extract(judge, x)
    frechet, precision, recall = distances(real, found, labels, options.n)
    row = {"frechet": frechet, "precision": precision, "recall": recall}
    row |= {"recognised": (logits.argmax(1) == labels).float().mean().item(), "parameters": parameters(model)}
    steps = checkpoint.read_losses(run)[-1][0]
    return row | {"steps": steps, "images a second": steps * config.training.batch / (60 * minutes)}


def show(found: dict, path: Path) -> None:
    rows = sorted(found["rows"].items(), key=lambda kv: -kv[1]["frechet"])
    figure, ax = plt.subplots(figsize=(8, 0.32 * len(rows) + 1.2), layout="constrained")
    colours = ["tab:red" if name == "base" else "tab:gray" for name, _ in rows]
    ax.barh([name for name, _ in rows], [row["frechet"] for _, row in rows], color=colours)
    ax.axvline(found["floor"], color="k", linestyle=":")
    ax.set(xlabel="Fréchet distance, classifier features (not FID); dotted: real to real")
    plot.log_axes(ax, (1, 2, 5, 10, 20, 50, 100, 200))
    figure.suptitle(textwrap.fill(found["what"], 110), fontsize=8)
    plot.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of " + ", ".join(VARIANTS))
    parser.add_argument("--data", required=True)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--n", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    dataset, held_out = data.load(options.data), data.load(options.data, "test")
    judge = classifier.for_data(dataset, pick())
    real = classifier.extract(judge, held_out.at(torch.arange(len(held_out))))[0]
    again = classifier.extract(judge, dataset.at(torch.arange(options.n)))[0]
    path = options.out / "recipe.json"
    what = (
        f"CIFAR-10 (JPEG copy), {options.minutes:g} minutes of training each (of latents: {FIRST:g} of them an "
        f"autoencoder's), not compiled; {options.n} samples by label, dpmpp_2m, {STEPS} calls, no guidance; to "
        f"{len(held_out)} held-out pictures"
    )
    floor = distances(real, again, torch.zeros(len(again)), len(again))[0]
    seed = f", seed {options.seed}" if options.seed else ""
    names, wanted = ([name + seed for name in some] for some in (VARIANTS, options.names))
    row = lambda name: measure(options, name.removesuffix(seed), real, judge)  # noqa: E731
    show(table.fill(path, what, floor, names, wanted, row), path.with_suffix(".png"))


if __name__ == "__main__":
    main()
