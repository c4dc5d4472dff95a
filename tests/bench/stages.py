"""The lecture's multi-stage systems beside pixel diffusion, each trained equally long from nothing: distances,
precision, recall, what captions ask for, and the time a picture takes.

python tests/bench/stages.py --data shapes:2 --size 64 --name shapes64      some 35 minutes on two CPU cores
python tests/bench/stages.py --data folder:PATH --name cifar10              PATH/class/*.jpg
A second stage's time includes its autoencoder's. The runs are kept in --runs: a second call goes on with what is
missing; stages_NAME.json and stages_NAME.jpg go to --out.
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

from minidiff import data, plot
from minidiff.data.shapes import checker
from minidiff.device import pick, replacing
from minidiff.measure import classifier
from minidiff.measure.metrics import frechet_distance
from minidiff.measure.nets import parameters
from minidiff.measure.report import distances, questions
from minidiff.run import checkpoint
from minidiff.run.evaluate import evaluate_autoencoder
from minidiff.run.folder import load_data
from minidiff.run.generate import generate
from minidiff.run.loop import train_run
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure
from minidiff.stages import Causal
from minidiff.stages.autoencoder import reconstruct

STEPS = 12
MEASURES = ("frechet", "precision", "recall")
SCALE = {True: 2.0, False: 1.5}  # of guidance, with captions or with labels
FIRST = {"vae": 0.3, "vq": 0.3}  # the autoencoders' share of the minutes
SYSTEMS = {  # name -> model, and the autoencoder it stands on
    "stacked GAN": ("stacked_gan", None),
    "VQ + autoregressive": ("ar", "vq"),
    "latent diffusion": ("diffusion", "vae"),
    "pixel diffusion": ("diffusion", None),
}
SHAPES = {"vq": {"f": 8}, "vae": {"f": 4}}
PICTURES = {
    "vq": {"f": 4},
    "vae": {"f": 2},
    "latent diffusion": {"width": 96},
    "pixel diffusion": {"width": 96, "patch": 2},
}


def train(folder: Path, options, name: str, model: str, minutes: float, first: Path | None = None) -> Path:
    """The run of one model, unless it is there already."""
    out = folder / name.replace(" ", "_")
    if not (out / "done").exists():
        own = (SHAPES if options.data.startswith("shapes") else PICTURES).get(name, {})
        config, dataset = configure(options.data, options.size, first, model=model, **own)
        train_run(out, config, dataset, autoencoder=first, minutes=minutes, save_every=120)
        (out / "done").touch()
    return out


def autoencoder_row(run: Path, n: int, judge, real) -> dict:
    """Reconstructions of held-out pictures: PSNR, codes in use, and the floor for what is built on it."""
    config = checkpoint.read_config(run)
    model, held_out = checkpoint.load(run, device=pick()), load_data(config, "test")
    report = evaluate_autoencoder(model, config, load_data(config), held_out, n=n)
    x = held_out.some(n, 40_000)
    features = classifier.extract(judge, reconstruct(model, x)[0])[0]
    return report | dict(zip(MEASURES, distances(real, features, torch.zeros(len(x)), len(x)), strict=True))


def without_labels(dataset):
    """The pictures alone: a classifier of them learns by how many quarter turns each was turned."""
    return data.Images(dataset.name, dataset.pictures, None, [])


def system_row(run: Path, n: int, scale: float, judge, real, second=None) -> tuple[dict, torch.Tensor]:
    """n samples of one run at one scale, measured, and the first of them; by a `second` judge, too, if there is one."""
    config, model = checkpoint.read_config(run), checkpoint.load(run, device=pick())
    dataset, row, began = load_data(config, "test"), {"scale": scale}, time.monotonic()
    if dataset.captioned:
        captions, asked = questions(dataset, n)
        x = generate(model, n, cond=tokenizer_of(config)(captions), scale=scale, steps=STEPS)
        row |= {"seconds a picture": (time.monotonic() - began) / n} | checker.accuracy(asked, x)
        labels = torch.zeros(n)
    else:
        labels = torch.arange(n) % len(config.classes)
        x = generate(model, n, cond=labels, scale=scale, steps=STEPS)
        row |= {"seconds a picture": (time.monotonic() - began) / n}
    features, logits = classifier.extract(judge, x.clamp(-1, 1))
    if not dataset.captioned:
        row["recognised"] = (logits.argmax(1) == labels).float().mean().item()
    row |= dict(zip(MEASURES, distances(real, features, labels, n), strict=True))
    if second is not None:
        net, real = second
        row["frechet by turns"] = frechet_distance(classifier.extract(net, x.clamp(-1, 1))[0], real)
    return row | {"parameters": parameters(model), "steps": last_step(run)}, x[:64].clamp(-1, 1)


def cache_speed(n: int = 16, side: int = 16) -> dict:
    """How much faster the autoregressive sampler is with its cache, and whether it draws the same tokens."""
    prior, took, drawn = Causal((side, side), 256).eval(), [], []
    for cached in (True, False):
        began = time.monotonic()
        drawn.append(prior.sample(n, generator=torch.Generator().manual_seed(0), cached=cached))
        took.append(time.monotonic() - began)
    return {"what": f"{side**2} tokens, {n} grids, width 128, 6 blocks, float32", "same tokens": torch.equal(*drawn),
            "seconds": took, "times faster": took[1] / took[0]}  # fmt: skip


def last_step(run: Path) -> int:
    return checkpoint.read_losses(run)[-1][0]


def draw(report: dict, pictures: dict, path: Path) -> None:
    columns = -(-len(pictures) // 2)
    figure, axes = plt.subplots(2, columns, figsize=(3.3 * columns, 7.4), layout="constrained")
    for ax in axes.flat[len(pictures) :]:
        ax.axis("off")
    for ax, (name, x) in zip(axes.flat, pictures.items(), strict=False):
        found = report["systems"].get(name)
        plot.grid(x, 8, ax, name + (f"\nFréchet {found['frechet']:.1f}" if found else ""))
    figure.suptitle(report["what"], fontsize=8)
    plot.save(figure, path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--size", type=int)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--runs", type=Path, default=Path("runs/stages"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    folder, minutes = options.runs / options.name, options.minutes
    folder.mkdir(parents=True, exist_ok=True)
    dataset = data.load(options.data, "train", options.size)
    # the judge, and the teacher of perceptual loss and stacked GAN: both before any clock starts
    judge, _ = (classifier.for_data(dataset, pick(), seed=seed) for seed in (0, 1))
    held_out = data.load(options.data, "test", options.size)
    real = classifier.extract(judge, held_out.some(2 * options.n, 20_000))[0]
    again = classifier.extract(judge, dataset.some(options.n, 30_000))[0]
    second, floor = None, {}
    if not dataset.captioned:  # what is trained through a classifier of labels is near by its lights: a second opinion
        net = classifier.for_data(without_labels(dataset), pick())
        features = [
            classifier.extract(net, part.some(n, 20_000))[0]
            for part, n in ((held_out, 2 * options.n), (dataset, options.n))
        ]
        second, floor = (net, features[0]), {"frechet by turns": frechet_distance(*features)}
    firsts = {name: train(folder, options, name, name, FIRST[name] * minutes) for name in FIRST}
    rows, pictures = {}, {"real": held_out.some(options.n, 20_000)[:64]}
    scales = (1.0, SCALE[dataset.captioned])
    for name, (model, first) in SYSTEMS.items():
        took = FIRST[first] * minutes if first else 0.0
        run = train(folder, options, name, model, minutes - took, firsts.get(first))
        for scale in scales if model == "diffusion" else (1.0,):
            label = name + (f", guidance {scale:g}" if scale != 1 else "")
            rows[label], pictures[label] = system_row(run, options.n, scale, judge, real, second)
            print(label, {k: round(v, 4) for k, v in rows[label].items()}, flush=True)
    report = {
        "data": f"{options.name} {dataset.shape}",
        "what": f"{options.name}, {minutes:g} minutes of training each, autoencoders' included (one seed); {options.n} "
        f"samples, dpmpp_2m, {STEPS} calls where diffusion; features of a classifier trained here, not FID",
        "device": f"{pick()} ({platform.machine()}, {torch.get_num_threads()} threads), torch {torch.__version__}",
        "floor": floor
        | dict(zip(MEASURES, distances(real, again, torch.zeros(len(again)), len(again)), strict=True)),
        "autoencoders": {name: autoencoder_row(run, options.n, judge, real) for name, run in firsts.items()},
        "systems": rows,
        "cache": cache_speed(),
    }  # fmt: skip
    print(report["floor"], report["autoencoders"], sep="\n")
    with replacing(options.out / f"stages_{options.name}.json") as f:
        f.write_text(json.dumps(report, indent=1) + "\n")
    draw(report, pictures, options.out / f"stages_{options.name}.jpg")


if __name__ == "__main__":
    main()
