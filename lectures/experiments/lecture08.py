"""Claims of lecture 08, text to image: does the picture follow the caption, also for new combinations of words?

Three ways to condition on text are compared: cross-attention, tokens beside the patches, and one pooled vector.
"""

import functools

import torch

from minidiff import data
from minidiff.data.shapes.captions import LENGTH, vocabulary
from minidiff.denoise import Denoiser, noisy_lognormal_times
from minidiff.measure.nets import parameters
from minidiff.nets import build
from minidiff.run.evaluate import prompt_accuracy
from minidiff.schedules import VP
from minidiff.text import Tokenizer

from .claims import Claim
from .tools import Outcome, bench_results, device, fit, interval, ratio_interval, repeats, wide

WIDTHS = {"cross": 128, "tokens": 140, "pooled": 140}  # of equal parameters, to 2%
SCALES = (1.0, 2.0, 3.0, 5.0)
BEST = 2.0  # of them
STEPS = 600
TOKENIZER = Tokenizer(vocabulary(), LENGTH)


def reader(text_mode: str, seed: int, steps: int, shuffled: bool = False, most: int = 1) -> Denoiser:
    """A DiT conditioned on captions by `text_mode`, trained on pictures of up to `most` objects.

    Some combinations of colour and shape are held out. With `shuffled` the captions are those of other pictures.
    """
    train_set = data.load(f"shapes:{most}:held_out")

    def draw(generator):
        x, captions = train_set.batch(32, generator)
        return x, TOKENIZER(captions[1:] + captions[:1] if shuffled else captions)

    net = build(
        "dit",
        train_set.shape,
        width=wide(WIDTHS[text_mode]),
        seed=seed,
        patch=4,
        tokenizer=TOKENIZER,
        text_mode=text_mode,
    )
    model = Denoiser(net, VP(), "edm", data.std(train_set)).to(device(), memory_format=torch.channels_last)
    return fit(model, draw, steps, seed, lr=2e-3, times=noisy_lognormal_times)


@functools.cache
def readers(smoke: bool) -> dict[str, list[Denoiser]]:
    """Text mode -> a model a seed; "shuffled" has cross-attention and captions of other pictures."""
    seeds, steps = repeats(smoke), 2 if smoke else STEPS
    return {mode: [reader(mode, seed, steps) for seed in range(seeds)] for mode in WIDTHS} | {
        "shuffled": [reader("cross", seed, steps, True) for seed in range(seeds)]
    }


@functools.cache
def accuracies(smoke: bool) -> dict:
    """(text mode, "seen" or "new", scale) -> an accuracy by attribute a seed: of captions as in training, or of
    combinations of colour and shape that were held out.
    """
    n, calls, found = 8 if smoke else 300, 1 if smoke else 12, {}
    for mode, models in readers(smoke).items():
        for part, name in (("train", "seen"), ("test", "new")):
            for scale in SCALES if mode == "cross" and name == "seen" else (BEST,):
                dataset = data.load("shapes:1:held_out", part)
                options = {"shape": dataset.shape, "scale": scale, "steps": calls}
                found[mode, name, scale] = [
                    prompt_accuracy(m, TOKENIZER, dataset, n, seed=s, **options) for s, m in enumerate(models)
                ]
    return found


def four_minutes_each() -> dict:
    """What tests/bench/text.py measured: the three text modes on one and two objects, trained as long as the demo."""
    return bench_results("text")


def described(smoke: bool) -> str:
    return (
        f"captioned shapes 16x16, one object, DiT, {2 if smoke else STEPS} steps of 32, {8 if smoke else 300} captions"
        f" a seed, dpmpp_2m, {1 if smoke else 12} steps, read back by the checker"
    )


def _mean(rows, name="object") -> float:
    return sum(r[name] for r in rows) / len(rows)


def captions_are_followed(smoke: bool) -> Outcome:
    found = accuracies(smoke)
    rows = found["cross", "seen", BEST]
    mean, low, high = interval([r["object"] for r in rows])
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(rows), device=device(),
        notes="at gamma 2: " + ", ".join(f"{k} {_mean(rows, k):.3f}" for k in rows[0])
        + "; chance: object 1/24, colour 1/6, shape 1/4, size 1/2",
        detail={"found": found},
    )  # fmt: skip


def guidance_helps(smoke: bool) -> Outcome:
    found = accuracies(smoke)
    rows = zip(found["cross", "seen", BEST], found["cross", "seen", 1.0], strict=True)
    gains = [a["object"] - b["object"] for a, b in rows]
    mean, low, high = interval(gains)
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(gains), device=device(),
        notes="colour and shape by gamma: "
        + ", ".join(f"{s:g} {_mean(found['cross', 'seen', s]):.3f}" for s in SCALES),
    )  # fmt: skip


def shuffled_is_chance(smoke: bool) -> Outcome:
    rows = accuracies(smoke)["shuffled", "seen", BEST]
    mean, low, high = interval([r["object"] for r in rows])
    return Outcome(
        mean, low, high, data=described(smoke) + "; trained on the captions of other pictures", seeds=len(rows),
        device=device(),
        notes=", ".join(f"{k} {_mean(rows, k):.3f}" for k in rows[0]),
    )  # fmt: skip


def new_combinations(smoke: bool) -> Outcome:
    found = accuracies(smoke)
    pairs = {mode: list(zip(found[mode, "new", BEST], found[mode, "seen", BEST], strict=True)) for mode in WIDTHS}
    logs = [
        torch.tensor(max(new["object"], 1e-3) / max(seen["object"], 1e-3)).log().item() for new, seen in pairs["cross"]
    ]
    mean, low, high = ratio_interval(logs)
    return Outcome(
        mean, low, high, data=described(smoke) + "; four combinations held out", seeds=len(logs),
        device=device(),
        notes="colour and shape, new and seen: "
        + ", ".join(f"{w} {_mean([a for a, _ in p]):.3f} {_mean([b for _, b in p]):.3f}" for w, p in pairs.items())
        + "; shape alone, new: " + ", ".join(f"{w} {_mean([a for a, _ in p], 'shape'):.3f}" for w, p in pairs.items()),
    )  # fmt: skip


def compare_text_modes(smoke: bool) -> Outcome:
    found, models = accuracies(smoke), readers(smoke)
    by_mode = {w: [r["object"] for r in found[w, "seen", BEST]] for w in WIDTHS}
    gains = [a - b for a, b in zip(by_mode["cross"], by_mode["pooled"], strict=True)]
    mean, low, high = interval(gains)
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(gains), device=device(),
        notes="; ".join(
            f"{w} ({parameters(models[w][0]):,} parameters) "
            + ", ".join(f"{k} {_mean(found[w, 'seen', BEST], k):.3f}" for k in ("object", "size", "place"))
            for w in WIDTHS
        ),
    )  # fmt: skip


TRAINING = 'slide "Conditional diffusion"'
WHY = 'slide "Why do we need CFG?"'
INF = float("inf")
CLAIMS = [
    Claim("8.1", "A denoiser conditioned on text, trained with it from nothing, draws what the text says", TRAINING,
          "colour and shape both right in 8 of 10, after a minute", "share with colour and shape as asked, gamma 2",
          (0.8, INF),
          captions_are_followed),
    Claim("8.2", "Guidance makes pictures follow their captions", WHY, "5 points or more on colour and shape",
          "share at gamma 2 less that at 1", (0.05, INF), guidance_helps),
    Claim("8.3", "What is learned is from the captions: trained on others' captions it is at chance", "control",
          "1/24 to within .03", "share with colour and shape as asked", (1 / 24 - 0.03, 1 / 24 + 0.03),
          shuffled_is_chance),
    Claim("8.4", "Words that never met in training are drawn together as well",
          "not in the lecture: combinations held out of training",
          "nine tenths of the seen or more", "share for new combinations over that for seen ones", (0.9, INF),
          new_combinations),
    Claim("8.5", "Cross-attention takes text in better than a pooled vector",
          "not in the lecture: three ways to condition on text",
          "more is right", "share by cross-attention less that by the pooled vector", (1e-9, INF), compare_text_modes),
]  # fmt: skip
