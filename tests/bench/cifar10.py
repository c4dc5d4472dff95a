"""What a trained CIFAR-10 model does: distance by sampler and number of calls, by guidance; and whether its samples are
copies of training pictures.

python tests/bench/cifar10.py --data folder:PATH [--run RUN]       some 45 minutes on two CPU cores

The model is the one that comes with minidiff, unless a run is given. cifar10.json, cifar10.png and
cifar10_neighbours.png go to --out; samples drawn are kept in --work, so that a killed call goes on.
"""

import argparse
import json
import platform
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from minidiff import checkpoint, classifier, data, plot, pretrained
from minidiff.compare import distances, draw
from minidiff.device import pick
from minidiff.files import replacing

CALLS = (2, 5, 10, 15, 20, 50)
SAMPLERS = ("ddim", "heun", "dpmpp_2m")
SCALES = (1.0, 1.25, 1.5, 2.0, 3.0, 5.0)


def steps_for(sampler: str, calls: int) -> int:
    """Steps that take `calls` network calls, or one less: heun's take two each, its last one."""
    return (calls + 1) // 2 if sampler == "heun" else calls


def measured(real: Tensor, judge, x: Tensor, labels: Tensor) -> dict[str, float]:
    found, logits = classifier.judge(judge, x)
    row = dict(zip(("frechet", "precision", "recall"), distances(real, found, labels, len(x)), strict=True))
    return row | {"recognised": (logits.argmax(1) == labels).float().mean().item()}


def nearest(x: Tensor, others: Tensor, judge) -> tuple[Tensor, Tensor]:
    """For each of x the distance, in the judge's features, to the nearest of the others, and which one that is."""
    mine, theirs = classifier.judge(judge, x)[0], classifier.judge(judge, others)[0]
    return torch.cdist(mine, theirs).min(1)


def neighbours(x: Tensor, train, held_out, judge, path: Path) -> dict:
    """Are samples nearer to training pictures than fresh real ones are? Draws a sample and its three nearest, a row."""
    everything = train.at(torch.arange(len(train)))
    fresh = held_out.at(torch.arange(min(len(held_out), len(x))))
    rows = {}
    for name, pictures in (("samples", x), ("held-out pictures", fresh)):
        away, _ = nearest(pictures, everything, judge)
        pixels = torch.cdist(pictures.flatten(1), everything.flatten(1)).min(1).values
        rows[name] = {
            "median distance to the nearest training picture, features": away.median().item(),
            "least": away.min().item(),
            "median, pixels (root mean square)": pixels.median().item() / x[0].numel() ** 0.5,
            "least, pixels": pixels.min().item() / x[0].numel() ** 0.5,
        }
    few = x[:12]
    features, theirs = classifier.judge(judge, few)[0], classifier.judge(judge, everything)[0]
    which = torch.cdist(features, theirs).topk(3, largest=False).indices
    sheet = torch.cat([few[:, None], everything[which]], 1).flatten(0, 1)
    figure, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
    plot.grid(sheet, 12, ax, "a sample, then its three nearest training pictures (classifier features); three a row")
    plot.save(figure, path, dpi=120)
    return rows


def show(found: dict, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for name, rows in found["samplers"].items():
        axes[0].plot([r["calls"] for r in rows], [r["frechet"] for r in rows], "o-", label=name)
    axes[0].set(xscale="log", yscale="log", xlabel="network calls", ylabel="Fréchet distance (not FID)")
    axes[0].minorticks_off()
    axes[0].set_xticks(CALLS, [str(c) for c in CALLS])
    scales = [r["scale"] for r in found["guidance"]]
    axes[1].plot(scales, [r["frechet"] / found["guidance"][0]["frechet"] for r in found["guidance"]], "o-",
                 label="Fréchet distance, over its value at 1")  # fmt: skip
    for key in ("precision", "recall", "recognised"):
        axes[1].plot(scales, [r[key] for r in found["guidance"]], "o-", label=key)
    axes[1].set(xlabel="guidance scale (1 is off)", ylim=(0, None))
    for ax in axes:
        ax.legend(frameon=False, fontsize=8)
    figure.suptitle(found["what"], fontsize=8)
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
    real = classifier.judge(judge, held_out.at(torch.arange(len(held_out))))[0]
    labels = torch.arange(n) % len(config.classes)

    def drawn(**how):
        return draw(options.work, model, config.shape, n, labels, **how)

    found = {
        "what": f"CIFAR-10 (JPEG copy), {run.name}: {n} samples by label, seed 0, EMA; to {len(held_out)} held-out "
        "pictures in the features of a classifier trained here; guidance at 10 calls of dpmpp_2m",
        "device": f"{pick()} ({platform.machine()}, {torch.get_num_threads()} threads), torch {torch.__version__}",
        "floor": measured(real, judge, train.at(torch.arange(n)), train.labels[:n]),
        "samplers": {name: [] for name in SAMPLERS},
        "guidance": [],
    }
    for name in SAMPLERS:
        for calls in CALLS:
            steps = steps_for(name, calls)
            row = {"calls": 2 * steps - 1 if name == "heun" else steps}
            row |= measured(real, judge, drawn(sampler=name, steps=steps), labels)
            found["samplers"][name].append(row)
            print(name, {k: round(v, 3) for k, v in row.items()}, flush=True)
    for scale in SCALES:
        found["guidance"].append({"scale": scale} | measured(real, judge, drawn(scale=scale, steps=10), labels))
        print("guidance", {k: round(v, 3) for k, v in found["guidance"][-1].items()}, flush=True)
    x = drawn(steps=10)
    found["neighbours"] = neighbours(x[:1000], train, held_out, judge, options.out / "cifar10_neighbours.png")
    print(found["neighbours"])
    with replacing(options.out / "cifar10.json") as f:
        f.write_text(json.dumps(found, indent=1) + "\n")
    show(found, options.out / "cifar10.png")


if __name__ == "__main__":
    main()
