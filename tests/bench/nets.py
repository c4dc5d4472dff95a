"""Every net on the digits for the same minutes: denoising error by noise level, on held-out digits.

PYTHONPATH=lectures python tests/bench/nets.py     two minutes a net; writes nets.json and nets.png beside this file
PYTHONPATH=lectures python tests/bench/nets.py --minutes .1 --out FOLDER
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
from experiments.matched import matched
from experiments.tools import denoising_error

from minidiff import data, plot
from minidiff.denoise import Denoiser, lognormal_times
from minidiff.device import replacing
from minidiff.measure.nets import flops, parameters
from minidiff.nets import NETS
from minidiff.oracles import EmpiricalDenoiser
from minidiff.schedules import VP
from minidiff.train import new_state, train

BUDGET = 400_000  # parameters
LEVELS = torch.logspace(-1.7, 1, 19)


def one(name: str, minutes: float, seed: int = 0) -> dict:
    """Train the net `name` on the digits and measure it; a picture is a row of numbers for the MLP."""
    digits, held_out = data.load("digits"), data.load("digits", "test")
    shape = (64,) if name == "mlp" else digits.shape
    net = matched([name], BUDGET, shape, classes=10, seed=seed)[name]
    model = Denoiser(net, VP(), "edm", data.std(digits)).to(memory_format=torch.channels_last)
    state = new_state(model, seed)
    batches = ((x.reshape(-1, *shape), y) for x, y in data.batches(digits, 64, state.generator))
    began = time.monotonic()
    steps = train(model, batches, 10**9, lr=1e-3, times=lognormal_times, state=state)
    step = next(steps)
    while time.monotonic() - began < 60 * minutes:
        step = next(steps)
    x0, labels = held_out.batch(len(held_out), torch.Generator().manual_seed(1))
    errors = denoising_error(step.ema, x0.reshape(-1, *shape), LEVELS, labels, torch.Generator().manual_seed(2))
    return {
        "steps": step.step,
        "parameters": parameters(net),
        "mflops": flops(net, shape) / 1e6,
        "errors": errors.tolist(),
    }


def nearest_training_digit() -> list[float]:
    """The error of the exact denoiser of the training digits: what learning them by heart gives on held-out ones."""
    digits, held_out = data.load("digits"), data.load("digits", "test")
    x0, _ = held_out.batch(len(held_out), torch.Generator().manual_seed(1))
    train_x, _ = digits.batch(len(digits), torch.Generator().manual_seed(3))
    model = EmpiricalDenoiser(train_x, VP())
    return denoising_error(model, x0, LEVELS, generator=torch.Generator().manual_seed(2)).tolist()


def draw(found: dict, path: Path) -> None:
    figure, (ax, ratio) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    unet = found["nets"]["unet"]["errors"]
    for name, row in found["nets"].items():
        ax.loglog(found["levels"], row["errors"], "o-", ms=3, label=f"{name} ({row['steps']:,} steps)")
        ratio.semilogx(found["levels"], [a / b for a, b in zip(row["errors"], unet, strict=True)], "o-", ms=3)
    ax.loglog(found["levels"], found["by_heart"], "k:", label="training digits by heart, without labels")
    ax.loglog(found["levels"], [s**2 for s in found["levels"]], color="0.8", label="no denoising: sigma squared")
    ax.set(xlabel="noise level sigma / alpha", ylabel="mean squared error of x0, held-out digits", ylim=(1e-4, 1))
    ratio.set(xlabel="noise level sigma / alpha", ylabel="error, in the U-Net's", ylim=(0.75, 1.6))
    figure.suptitle(f"{found['minutes']:g} minutes each, about {BUDGET:,} parameters, batch 64, EMA, one seed")
    ax.legend(fontsize=8)
    plot.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    found = {
        "data": "digits, 8x8, held-out part, with labels",
        "device": f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)",
        "minutes": options.minutes,
        "levels": LEVELS.tolist(),
        "by_heart": nearest_training_digit(),
        "nets": {},
    }
    for name in NETS:
        found["nets"][name] = one(name, options.minutes)
        print(name, found["nets"][name], flush=True)
    with replacing(options.out / "nets.json") as path:
        path.write_text(json.dumps(found, indent=1) + "\n")
    draw(found, options.out / "nets.png")


if __name__ == "__main__":
    main()
