"""What a trained CIFAR-10 model does: distance to real pictures by sampler and number of calls, by guidance, and by
which steps are guided.

PYTHONPATH=lectures python tests/bench/cifar10.py --data folder:PATH [--run RUN]       some 45 minutes on two CPU cores

The model is the one that comes with minidiff, unless a run is given. cifar10.json and cifar10.png go to --out;
samples drawn are kept in --work, so that a killed call goes on.
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
from experiments.lecture09 import steps_of
from torch import Tensor
from window import during

from minidiff import data, plot
from minidiff.device import pick, replacing
from minidiff.measure import classifier
from minidiff.measure.report import distances
from minidiff.run import checkpoint, pretrained
from minidiff.run.evaluate import draw

CALLS = (2, 5, 10, 15, 20, 50)
SAMPLERS = ("ddim", "heun", "dpmpp_2m")
WINDOW = 7, 3  # steps, and how many of them, in a row, are guided: ten calls
SCALES = (1.0, 1.25, 1.5, 2.0, 3.0, 5.0)


def measured(real: Tensor, judge, x: Tensor, labels: Tensor) -> dict[str, float]:
    found, logits = classifier.extract(judge, x)
    row = dict(zip(("frechet", "precision", "recall"), distances(real, found, labels, len(x)), strict=True))
    return row | {"recognised": (logits.argmax(1) == labels).float().mean().item()}


def show(found: dict, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for name, rows in found["samplers"].items():
        axes[0].plot([r["calls"] for r in rows], [r["frechet"] for r in rows], "o-", label=name)
    axes[0].set(xlabel="network calls", ylabel="Fréchet distance (not FID)")
    plot.log_axes(axes[0], CALLS, (30, 50, 100, 200, 500))
    scales = [r["scale"] for r in found["guidance"]]
    axes[1].plot(scales, [r["frechet"] / found["guidance"][0]["frechet"] for r in found["guidance"]], "o-",
                 label="Fréchet distance, over its value at 1")  # fmt: skip
    for key in ("precision", "recall", "recognised"):
        axes[1].plot(scales, [r[key] for r in found["guidance"]], "o-", label=key)
    axes[1].set(xlabel="guidance scale (1 is off)", ylim=(0, None))
    for ax in axes:
        ax.legend(frameon=False, fontsize=8)
    figure.suptitle(textwrap.fill(found["what"], 150), fontsize=8)
    plot.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--n", type=int, default=2048)
    parser.add_argument("--work", type=Path, default=Path("runs/cifar10-drawn"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    run, n = options.run or pretrained.folder("cifar10"), options.n
    config, model = checkpoint.read_config(run), checkpoint.load(run, device=pick())
    train, held_out = data.load(options.data), data.load(options.data, "test")
    judge = classifier.for_data(train, pick())
    real = classifier.extract(judge, held_out.at(torch.arange(len(held_out))))[0]
    labels = torch.arange(n) % len(config.classes)

    def drawn(**how):
        return draw(options.work, model, n, labels, **how)

    found = {
        "what": f"CIFAR-10 (JPEG copy), {run.name}, {checkpoint.trained_for(run)}: {n} samples by label, seed 0, EMA; "
        f"to {len(held_out)} held-out pictures in the features of a classifier trained here; guidance in 10 steps of "
        "dpmpp_2m, 20 calls if guided",
        "device": f"{pick()} ({platform.machine()}, {torch.get_num_threads()} threads), torch {torch.__version__}",
        "floor": measured(real, judge, train.at(torch.arange(n)), train.labels[:n]),
        "samplers": {name: [] for name in SAMPLERS},
        "guidance": [],
        "windows": [],
    }
    for name in SAMPLERS:
        for calls in CALLS:
            steps = steps_of(name, calls)
            row = {"asked": calls, "calls": 2 * steps - 1 if name == "heun" else steps}
            row |= measured(real, judge, drawn(sampler=name, steps=steps), labels)
            found["samplers"][name].append(row)
            print(name, {k: round(v, 3) for k, v in row.items()}, flush=True)
    for scale in SCALES:
        found["guidance"].append(
            {"scale": scale} | measured(real, judge, drawn(sampler="dpmpp_2m", scale=scale, steps=10), labels)
        )
        print("guidance", {k: round(v, 3) for k, v in found["guidance"][-1].items()}, flush=True)
    grid = model.schedule.grid(WINDOW[0])
    for first in range(WINDOW[0] - WINDOW[1] + 1):
        when = during(grid, first, first + WINDOW[1] - 1)
        x = drawn(sampler="dpmpp_2m", scale=2.0, steps=WINDOW[0], interval=when)
        found["windows"].append({"first": first + 1, "interval": when} | measured(real, judge, x, labels))
        print("window", found["windows"][-1], flush=True)
    found["ten and fifty"] = {
        str(calls): [
            measured(real, judge, drawn(sampler="dpmpp_2m", steps=calls, seed=seed), labels)["frechet"]
            for seed in range(3)
        ]
        for calls in (10, 50)
    }
    print(found["ten and fifty"])
    with replacing(options.out / "cifar10.json") as f:
        f.write_text(json.dumps(found, indent=1) + "\n")
    show(found, options.out / "cifar10.png")


if __name__ == "__main__":
    main()
