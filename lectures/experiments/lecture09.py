"""Claims of lecture 09, CIFAR-10: are the lecture's tables those of the papers?

How many calls do the samples of the pretrained model need, and are they copies of training pictures?
"""

import csv
import functools
import itertools
import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from minidiff import data
from minidiff.denoise import Denoiser
from minidiff.measure import classifier
from minidiff.nets import build
from minidiff.run import checkpoint, pretrained
from minidiff.run.generate import generate
from minidiff.schedules import VP, expand

from .claims import Claim, mode
from .tools import (
    Outcome,
    bench_results,
    cifar10,
    device,
    fit,
    in_parallel,
    named,
    patch,
    pictures,
    ratio_interval,
    repeats,
    share_interval,
    wide,
)

PUBLISHED = Path(__file__).parents[2] / "datasets" / "published"
SLIDE = {  # "ImageNet 512x512", the columns as the slide names them
    "BigGAN-deep": {"inception score": 8.43, "FID": 8.13},
    "ADM": {"inception score": 23.24, "FID": 10.19},
    "ADM-G (25 steps)": {"inception score": 8.41, "FID": 9.67},
    "ADM-G": {"inception score": 7.72, "FID": 6.57},
}
CALLS = (2, 5, 10, 20, 50)
SAMPLERS = ("ddim", "heun", "dpmpp_2m")
PICTURES = 16  # of each seed, to compare samplers


def published(name: str) -> list[dict[str, str]]:
    """The rows of datasets/published/`name`.csv."""
    with open(PUBLISHED / f"{name}.csv", newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def columns(smoke: bool) -> Outcome:
    """In which of the paper's columns the slide's numbers stand."""
    rows = {row["model"]: row for row in published("adm_imagenet512")}
    said = {(model, column): value for model, row in SLIDE.items() for column, value in row.items()}
    found = {
        key: [c for c in ("FID", "sFID", "inception score") if float(rows[key[0]][c] or "nan") == value]
        for key, value in said.items()
    }
    right = sum(key[1] in where for key, where in found.items()) / len(said)
    columns = {
        c: sorted({w for k, where in found.items() if k[1] == c for w in where}) for c in ("inception score", "FID")
    }
    notes = "; ".join(f"the slide's {c} column is the paper's {' and '.join(where)}" for c, where in columns.items())
    return Outcome(right, right, right, "Dhariwal and Nichol 2021, table 5", 0, notes, detail={"found": found})


def twenty_minutes_each() -> dict:
    """What tests/bench/quality.py measured: our recipe and other libraries' U-Nets, equally long."""
    return bench_results("quality")


def distances_measured() -> dict:
    """What tests/bench/cifar10.py measured: a model's distances by sampler, calls and guidance."""
    return bench_results("cifar10")


def study() -> dict[str, dict[str, float]]:
    """Distances by choice, of this recipe (tests/bench/recipe.py) and of the demo (tests/bench/demo.py): with all
    choices, and with one changed at a time; each the least first."""
    recipe = {name: row["frechet"] for name, row in bench_results("recipe")["rows"].items()}
    demo = {name: row["unipc"]["frechet"] for name, row in bench_results("demo")["rows"].items()}
    ordered = (dict(sorted(rows.items(), key=lambda row: row[1])) for rows in (recipe, demo))
    return dict(zip(("CIFAR-10, five minutes", "the demo's shapes, four minutes"), ordered, strict=True))


def on_a_gpu() -> dict:
    """What tests/gpu/measure.py measured on an H100: the recipe `unet-minutes` from nothing, and speeds."""
    return json.loads((Path(__file__).parents[2] / "tests" / "gpu" / "h100.json").read_text(encoding="utf-8"))


# --- the sampler's steps, on the model that comes with minidiff ---


@functools.cache
def model():
    """The CIFAR-10 model that comes with minidiff, and its config."""
    run = pretrained.folder("cifar10")
    return checkpoint.load(run).to(device()), checkpoint.read_config(run)


def steps_of(sampler: str, calls: int) -> int:
    """Steps that take `calls` network calls, or one less: heun's take two each, its last one."""
    return (calls + 1) // 2 if sampler == "heun" else calls


def drawn(n: int, seed: int = 0, calls: int = 10, sampler: str = "dpmpp_2m", **options) -> Tensor:
    """n pictures, as many of each class, from the noise of `seed`: pictures of one seed belong together. Smoke takes a
    tenth of the calls."""
    net, config = model()
    calls = -(-calls // 10) if mode() == "smoke" else calls
    steps = steps_of(sampler, calls)
    labels = torch.arange(n) % len(config.classes)
    return generate(net, n, cond=labels, sampler=sampler, steps=steps, seed=seed, **options)


@functools.cache
def unfinished(smoke: bool) -> dict:
    """(sampler, calls) -> the root mean square distance of its pictures from those of 200 steps of dpmpp_2m from the
    same noise, a seed."""
    seeds, (n, most) = repeats(smoke), (4, 60) if smoke else (PICTURES, 200)
    kinds = list(itertools.product(SAMPLERS, CALLS))
    found = in_parallel(lambda seed, kind: drawn(n, seed, kind[1], kind[0]), range(seeds), [("dpmpp_2m", most), *kinds])
    away = {kind: [] for kind in kinds}
    for seed in range(seeds):
        limit, *rest = found[seed * (1 + len(kinds)) : (seed + 1) * (1 + len(kinds))]
        for kind, x in zip(kinds, rest, strict=True):
            away[kind].append((x - limit).square().mean().sqrt().item())
    return away


def ten_calls(smoke: bool) -> Outcome:
    found = unfinished(smoke)
    logs = [(torch.tensor(a) / b).log().item() for a, b in zip(found["dpmpp_2m", 10], found["ddim", 50], strict=True)]
    value, low, high = ratio_interval(logs)
    means = {key: sum(v) / len(v) for key, v in found.items()}
    notes = "root mean square distance from 200 steps at 10 calls: " + ", ".join(
        f"{s} {means[s, 10]:.3f}" for s in SAMPLERS
    )
    return Outcome(
        value, low, high, f"{PICTURES} samples a seed of the model that comes with minidiff", len(logs), notes, device(),
        {"found": found},
    )  # fmt: skip


# --- what exercises ask for, by the package ---


def eps_loss(net, pictures: Tensor, t: Tensor, eps: Tensor, schedule) -> Tensor:
    """The loss without its four mistakes."""
    x0, noise = pictures.float() / 127.5 - 1, [expand(v, eps) for v in schedule(t)]
    return mse_loss(net(noise[0] * x0 + noise[1] * eps, t), eps, reduction="none").mean((1, 2, 3))


def median_ratio(samples: Tensor, train: Tensor, held_out: Tensor) -> float:
    away = [torch.cdist(x, train).amin(1).median() for x in (samples, held_out)]
    return (away[0] / away[1]).item()


# --- samples and training pictures ---


@functools.cache
def photographs(smoke: bool):
    """(training, held-out pictures): CIFAR-10, or what $MINIDIFF_CIFAR10 names; in a smoke run crops of two
    photographs."""
    spec = "photos" if smoke else cifar10()
    return data.load(spec), data.load(spec, "test")


def standing_out(x: Tensor, train: Tensor, k: int = 50) -> Tensor:
    """How much nearer the nearest training picture is than the next: its distance over the mean of those of the 2nd to
    the k-th, (N,). x (N, D), train (M, D). A copy is near 0; a plain picture, to which everything is near, near 1."""
    away = torch.cdist(x, train).topk(k, largest=False).values
    return away[:, 0] / away[:, 1:].mean(1)


def suspects(samples: Tensor, train: Tensor, fresh: Tensor, k: int = 50) -> float:
    """The share of samples that stand out more than 95 in 100 pictures do that were never seen: by chance .05."""
    limit = standing_out(fresh, train, k).quantile(0.05)
    return (standing_out(samples, train, k) < limit).float().mean().item()


def draw_from(kept: Tensor, batch: int):
    """draw(generator) -> a batch of these pictures, for tools.fit."""
    return lambda generator: kept[torch.randint(len(kept), (batch,), generator=generator)]


@functools.cache
def control(smoke: bool) -> dict[int, float]:
    """Training pictures -> share of suspects among the samples of a net trained on as few, and on many: digits, equally
    long, so that each of the few is seen 512 times; in gpu mode CIFAR-10, of which 500 are few, seen 1,536 times."""
    train, held_out = pictures("digits")
    everything, fresh = (p.at(torch.arange(len(p))).float() for p in (train, held_out))
    few, batch, steps = (500, 256, 3000) if mode() == "gpu" else (50, 64, 4 if smoke else 400)

    def share(n):
        kept = everything[:n]
        net = build("unet", train.shape, width=wide(32), patch=patch(train), seed=0)
        net = fit(Denoiser(net, VP(), "edm", 0.5).to(device()), draw_from(kept, batch), steps, 0, lr=2e-3)
        x = generate(net, 20 if smoke else 200, shape=train.shape, steps=3 if smoke else 20)
        return suspects(x.flatten(1), kept.flatten(1), fresh.flatten(1), 20)

    sizes = few, len(everything) if mode() == "gpu" else 500
    return dict(zip(sizes, in_parallel(share, sizes), strict=True))


@functools.cache
def copies(smoke: bool) -> Outcome:
    """How many samples stand as near to one training picture as few fresh pictures do? Guided samples, which are the
    likeliest to be copies; beside them a net that memorises."""
    train, held_out = photographs(smoke)
    n, seeds = 10 if smoke else 150, repeats(smoke)
    judge = classifier.fit(train, steps=2, device=device()) if smoke else classifier.for_data(train, device())
    known, fresh = (
        classifier.extract(judge, part.at(torch.arange(min(len(part), 200 if smoke else 50_000))))[0]
        for part in (train, held_out)
    )
    halves = in_parallel(lambda seed: drawn(n, seed, scale=2.0), range(2 * seeds))  # an even number, for two cores
    samples = [torch.cat(halves[2 * seed : 2 * seed + 2]) for seed in range(seeds)]
    shares = [suspects(classifier.extract(judge, x)[0], known, fresh) for x in samples]
    x = samples[-1]
    value, low, high = share_interval(shares)
    features = classifier.extract(judge, x)[0]
    worst = standing_out(features, known).argsort()[:8]
    which = torch.cdist(features[worst], known).topk(3, largest=False).indices
    shown = torch.cat([x[worst, None], train.at(which.flatten()).view(8, 3, *x.shape[1:])], 1).flatten(0, 1)
    checked = ", ".join(f"{share:.2f} on {k}" for k, share in control(smoke).items())
    return Outcome(
        value, low, high, "CIFAR-10 (JPEG copy, quality 75)" if train.name.startswith("folder") else train.name, seeds,
        f"by seed {', '.join(f'{s:.3f}' for s in shares)}; by chance .05. The control, nets trained equally long: "
        f"{checked} {named(pictures('digits')[0])}",
        device(), {"shown": shown, "control": control(smoke)},
    )  # fmt: skip


CLAIMS = [
    Claim(
        "9.1", "ImageNet 512x512: the columns are inception score and FID", "slide 'Diffusion models beat GANs'",
        "The paper has the slide's numbers under FID and sFID: nothing is where the slide says",
        "share of the slide's eight numbers that are in the paper's column of that name", (0.0, 0.0), columns, (1.0, 1.0),
    ),
    Claim(
        "9.2", "A second-order sampler is nearer its limit after 10 calls than DDIM after 50",
        "not in the lecture: what the papers' samplers are for",
        "The error falls as 1 / steps^2 against 1 / steps: at ten calls less than at fifty of DDIM",
        "distance from the limit, dpmpp_2m with 10 calls over ddim with 50", (0.0, 1.0), ten_calls, (0.0, 1.0),
        "all claims together took more than an hour on two cores: now 16 pictures a seed, and not 40",
    ),
    Claim(
        "9.3", "Samples are not copies of training pictures", "not in the lecture: a sceptic's question",
        "As few samples as fresh pictures stand out by the nearness of one training picture, 2 to 8 in 100; of a net that "
        "has memorised its data, more than half",
        "share of guided samples that stand nearer to one training picture than 95 in 100 held-out pictures do",
        (0.02, 0.08), copies, (-float("inf"), 0.1),
        "a median of distances cannot see copies that are fewer than half, is small for plain pictures without any "
        "copying, and had no control that memorises; and all claims together took more than an hour: now 300 samples a "
        "seed and not 500, and half the steps for the control, on half as many digits",
    ),
]  # fmt: skip
