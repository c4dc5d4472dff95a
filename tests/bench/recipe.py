"""The best picture per minute: one choice of the laptop's recipe for pixels ("recipe") changed at a time, and diffusion
in latents, each trained equally long.

python tests/bench/recipe.py --data folder:PATH --minutes 6 [NAME ...]      some 7 minutes a name on two CPU cores

Without names it runs what is missing of all. recipe.json and recipe.png go to --out; a later call adds to them.
"""

import argparse
import json
import platform
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch

from minidiff import checkpoint, classifier, data, plot
from minidiff.compare import distances, draw
from minidiff.device import pick
from minidiff.files import replacing
from minidiff.nets.measures import parameters
from minidiff.recipes import configure
from minidiff.runs import train_run

STEPS = 10
VARIANTS = {  # name -> what differs from the recipe
    "recipe": {},
    "batch 32": {"batch": 32},
    "batch 128": {"batch": 128},
    "width 64": {"width": 64},
    "width 128": {"width": 128},
    "patch 1, width 48": {"patch": 1, "width": 48, "levels": 3},
    "patch 4, width 128": {"patch": 4, "width": 128, "levels": 1},
    "3 levels": {"levels": 3},
    "2 blocks a level": {"depth": 2},
    "lr 5e-4": {"lr": 5e-4},
    "lr 2e-3": {"lr": 2e-3},
    "lr 4e-3": {"lr": 4e-3},
    "no cooldown": {"cooldown": 0.0},
    "no flips": {"flip": False},
    "v, cosine path": {"schedule": "cosine", "prediction": "v"},
    "flow, linear path": {"schedule": "linear", "prediction": "flow", "times": "logit_normal"},
    "eps, VP path": {"prediction": "eps", "times": "uniform"},
    "uniform times": {"times": "uniform"},
    "noisier times": {"times": "noisy_lognormal"},
    "DiT": {"net": "dit"},
    "latents, f = 2": {"first": {"f": 2}, "width": 96, "levels": 2, "lr": 1e-3, "cooldown": 0.3},
    "latents, f = 4": {"first": {"f": 4, "dim": 8}, "width": 192, "levels": 2, "lr": 1e-3, "cooldown": 0.3},
    "latents, batch 32": {"first": {"f": 2}, "width": 96, "levels": 2, "lr": 1e-3, "cooldown": 0.3, "batch": 32},
    "latents, batch 16": {"first": {"f": 2}, "width": 96, "levels": 2, "lr": 1e-3, "cooldown": 0.3, "batch": 16},
    "latents, DiT": {"first": {"f": 2}, "net": "dit", "width": 256, "patch": 2, "lr": 1e-3, "cooldown": 0.3},
}
FIRST = 0.25  # an autoencoder's share of the minutes


def measure(options, name: str, real, judge) -> dict:
    """One variant: trained unless it was, sampled, compared with held-out pictures."""
    run = options.runs / name.replace(" ", "_").replace(",", "")
    if not (run / "done").exists():
        choices, minutes, first = VARIANTS[name] | {"seed": options.seed}, options.minutes, None
        if vae := choices.pop("first", None):
            first, minutes = run.with_name(run.name + "-first"), (1 - FIRST) * options.minutes
            if not (first / "done").exists():
                config, dataset = configure(options.data, model="vae", **vae)
                train_run(first, config, dataset, minutes=FIRST * options.minutes, save_every=120)
                (first / "done").touch()
        config, dataset = configure(options.data, autoencoder=first, device="cpu", **choices)
        train_run(run, config, dataset, autoencoder=first, minutes=minutes, save_every=120, compiled=options.compiled)
        (run / "done").touch()
    config, model = checkpoint.read_config(run), checkpoint.load(run, device=pick())
    labels = torch.arange(options.n) % len(config.classes)
    x = draw(run / "drawn", model, config.shape, options.n, labels, steps=STEPS)
    found, logits = classifier.judge(judge, x)
    frechet, precision, recall = distances(real, found, labels, options.n)
    row = {"frechet": frechet, "precision": precision, "recall": recall}
    row |= {"recognised": (logits.argmax(1) == labels).float().mean().item(), "parameters": parameters(model)}
    steps = checkpoint.read_losses(run)[-1][0]
    return row | {"steps": steps, "images a second": steps * config.batch / (60 * options.minutes)}


def show(found: dict, path: Path) -> None:
    rows = sorted(found["rows"].items(), key=lambda kv: -kv[1]["frechet"])
    figure, ax = plt.subplots(figsize=(8, 0.32 * len(rows) + 1.2), layout="constrained")
    colours = ["tab:red" if name == "recipe" else "tab:gray" for name, _ in rows]
    ax.barh([name for name, _ in rows], [row["frechet"] for _, row in rows], color=colours)
    ax.axvline(found["floor"], color="k", linestyle=":")
    ax.set(xlabel="Fréchet distance, classifier features (not FID); dotted: real to real", xscale="log")
    figure.suptitle(textwrap.fill(found["what"], 110), fontsize=8)
    plot.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of " + ", ".join(VARIANTS))
    parser.add_argument("--data", required=True)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--n", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    dataset, held_out = data.load(options.data), data.load(options.data, "test")
    judge = classifier.for_data(dataset, pick())
    real = classifier.judge(judge, held_out.at(torch.arange(len(held_out))))[0]
    again = classifier.judge(judge, dataset.at(torch.arange(options.n)))[0]
    path = options.out / "recipe.json"
    found = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    found |= {
        "what": f"CIFAR-10 (JPEG copy), {options.minutes:g} minutes of training each, seed {options.seed}; {options.n} "
        f"samples by label, dpmpp_2m, {STEPS} calls, no guidance; to {len(held_out)} held-out pictures",
        "device": f"{pick()} ({platform.machine()}, {torch.get_num_threads()} threads), torch {torch.__version__}",
        "floor": distances(real, again, torch.zeros(len(again)), len(again))[0],
    }
    for name in options.names or [v for v in VARIANTS if v not in found["rows"]]:
        found["rows"][name] = measure(options, name, real, judge)
        print(name, {k: round(v, 3) for k, v in found["rows"][name].items()}, flush=True)
        with replacing(path) as f:
            f.write_text(json.dumps(found, indent=1) + "\n")
    show(found, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
