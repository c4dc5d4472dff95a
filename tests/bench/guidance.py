"""What guidance buys and costs on pictures: precision, recall and Frechet distance against the scale, for
classifier-free guidance, the same within an interval of noise, and autoguidance by a worse net.

python tests/bench/guidance.py --data folder:PATH     trains 20 + 4 minutes, then samples; PATH/class/*.jpg
It keeps the two models in --runs and writes guidance.json, guidance.png and guidance_samples.png to --out.
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
from safetensors.torch import load_file, save_file

from minidiff import data, plot
from minidiff.denoise import Denoiser, lognormal_times
from minidiff.device import autocast, pick, replacing, to_device
from minidiff.guidance import Guided
from minidiff.measure import classifier
from minidiff.measure.report import distances
from minidiff.nets import UNet
from minidiff.samplers import dpmpp_2m, last, start
from minidiff.schedules import VP
from minidiff.train import new_state, train

SCALES = (1.25, 1.5, 2.0, 3.0, 5.0)
STEPS = 12
INTERVAL = (0.3, 3.0)  # of sigma / alpha: the middle, where guidance helps (Kynkaanniemi et al. 2024)


def trained(path: Path, dataset, width: int, minutes: float, device) -> Denoiser:
    """The EMA of a U-Net trained for so many minutes; read from `path` if it is there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(*dataset.shape[:2], len(dataset.classes), width, (1, 2), attention_at=(8,), patch=2)
    model = Denoiser(net, VP(), "edm", data.std(dataset)).to(device, memory_format=torch.channels_last)
    if path.exists():
        model.load_state_dict(load_file(path))
        return model.eval().requires_grad_(False)
    state = new_state(model, 0)
    batches = data.batches(dataset, 64, state.generator)
    began = time.monotonic()
    for step in train(model, batches, 10**9, lr=1e-3, times=lognormal_times, state=state):
        if step.step % 200 == 0:
            print(f"{path.stem}: step {step.step}, loss {step.loss:.4f}, {time.monotonic() - began:.0f} s", flush=True)
        if time.monotonic() - began > 60 * minutes:
            break
    with replacing(path) as f:
        save_file({k: v.contiguous() for k, v in step.ema.state_dict().items()}, f, {"step": str(step.step)})
    return step.ema.eval()


@torch.no_grad()
def samples(model, labels, shape, device, batch: int = 250):
    """As many pictures as labels, from the same noise for every model."""
    x, parts = start(model, (len(labels), *shape), torch.Generator().manual_seed(1)), []
    for i in range(0, len(labels), batch):
        part = to_device(x[i : i + batch], device)
        with autocast(device, part):
            parts.append(
                last(dpmpp_2m(model, part, model.schedule.grid(STEPS), labels[i : i + batch].to(device))).cpu()
            )
    return torch.cat(parts).clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--runs", type=Path, default=Path("runs/guidance"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    device, dataset, held_out = pick(), data.load(options.data), data.load(options.data, "test")
    strong = trained(options.runs / "strong.safetensors", dataset, 96, options.minutes, device)
    weak = trained(options.runs / "weak.safetensors", dataset, 48, options.minutes / 5, device)
    judge = classifier.for_data(dataset, device=device)
    real, logits = classifier.extract(judge, held_out.at(torch.arange(len(held_out)))[: 2 * options.n])
    labels = torch.arange(options.n) % len(dataset.classes)
    interval = tuple(strong.schedule.time(-2 * torch.tensor(INTERVAL).log()).tolist())
    ways = {
        "classifier-free": lambda scale: Guided(strong, scale),
        "within an interval": lambda scale: Guided(strong, scale, interval=interval),
        "autoguidance": lambda scale: Guided(strong, scale, weak=weak),
    }
    rows, pictures = [], {}
    for way, scale in [("off", 1.0), *((way, scale) for way in ways for scale in SCALES)]:
        began = time.monotonic()
        x = samples(ways.get(way, lambda scale: strong)(scale), labels, dataset.shape, device)
        features, found = classifier.extract(judge, x)
        frechet, precision, recall = distances(real, features, labels, options.n)
        right = (found.argmax(1) == labels).float().mean().item()
        rows.append({"way": way, "scale": scale, "frechet": frechet, "precision": precision, "recall": recall,
                     "recognised": right, "seconds": round(time.monotonic() - began, 1)})  # fmt: skip
        print(rows[-1], flush=True)
        pictures[way, scale] = x[: 4 * len(dataset.classes)]
    fresh = torch.Generator().manual_seed(2)
    x, floor_labels = dataset.batch(2 * options.n, fresh)
    floor = distances(real, classifier.extract(judge, x)[0], floor_labels, options.n)
    right = (logits.argmax(1) == held_out.labels[: len(logits)]).float().mean().item()
    report = {
        "data": f"{len(dataset)} pictures of {dataset.shape}; {len(real)} held out",
        "what": f"{options.n} samples, dpmpp_2m, {STEPS} steps, EMA, seed 1, features of a classifier trained here "
        f"(right on {right:.1%} of the held-out), not FID; strong: U-Net 96 wide, {options.minutes:g} minutes; weak: "
        f"48 wide, {options.minutes / 5:g} minutes; interval {INTERVAL} of sigma / alpha",
        "device": f"{device} ({platform.machine()}, {torch.get_num_threads()} threads), torch {torch.__version__}",
        "floor": dict(zip(("frechet", "precision", "recall"), floor, strict=True)),
        "rows": rows,
    }  # fmt: skip
    with replacing(options.out / "guidance.json") as f:
        f.write_text(json.dumps(report, indent=1) + "\n")
    draw(report, options.out / "guidance.png")
    chosen = [("off", 1.0), ("classifier-free", 2.0), ("classifier-free", 5.0), ("autoguidance", 2.0)]
    figure, axes = plt.subplots(1, 4, figsize=(13, 4.4), layout="constrained")
    for ax, (way, scale) in zip(axes, chosen, strict=True):
        plot.grid(pictures[way, scale].view(4, -1, *dataset.shape).transpose(0, 1).flatten(0, 1), 4, ax,
                  f"{way}, {scale:g}", dataset.classes if ax is axes[0] else None)  # fmt: skip
    plot.save(figure, options.out / "guidance_samples.png")


def draw(report: dict, path: Path) -> None:
    """Precision, recall and distance against the scale, and precision against recall, which all ways share."""
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.4), layout="constrained")
    off, floor = report["rows"][0], report["floor"]
    for way in dict.fromkeys(r["way"] for r in report["rows"][1:]):
        mine = [off] + [r for r in report["rows"] if r["way"] == way]
        for ax, name in zip(axes, ("precision", "recall", "frechet"), strict=False):
            ax.plot([r["scale"] for r in mine], [r[name] for r in mine], "o-", label=way)
        axes[3].plot([r["recall"] for r in mine], [r["precision"] for r in mine], "o-", label=way)
    for ax, name in zip(axes, ("precision", "recall", "frechet"), strict=False):
        ax.axhline(floor[name], color="k", linestyle=":", label="real pictures")
        ax.set(xlabel="guidance scale", ylabel=name.replace("frechet", "Frechet distance (not FID)"))
    axes[3].plot(floor["recall"], floor["precision"], "k*", label="real pictures")
    axes[3].set(xlabel="recall", ylabel="precision")
    axes[0].legend(frameon=False)
    plot.save(figure, path)


if __name__ == "__main__":
    main()
