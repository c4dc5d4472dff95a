"""Claim 6.6: a stack of two GANs and one GAN of 32x32 pictures of six classes, with equal training FLOPs.

The pictures are single shapes, their classes the colours (in gpu mode CIFAR-10). The stack's lower generator and its
critic are those of the one GAN, with the same losses and rates, at which the one neither diverges nor draws one picture
a class: with a penalty R1 of 1 or less it did. Its steps are as many as it takes to draw shapes that one knows.
"""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from minidiff import data
from minidiff.data.shapes import scenes
from minidiff.measure import classifier
from minidiff.measure.classifier import extract
from minidiff.measure.metrics import frechet_distance, precision_recall
from minidiff.run.generate import generate
from minidiff.stages import GAN, StackedGAN

from .tools import Outcome, device, in_parallel, mode, named, pictures, ratio_interval, repeats, seeded, wide
from .tools import fit as fit_model

BATCH, WIDTH, SIZE, R1 = 32, 16, 32, 10.0
CLASSES = len(scenes.COLOURS)


class Shapes:
    """Pictures (3, 32, 32) of one shape about the middle, drawn afresh; its colour is the label."""

    shape, classes = (3, SIZE, SIZE), CLASSES
    name = "single shapes, drawn afresh"

    def batch(self, n: int, generator) -> tuple[Tensor, Tensor]:
        drawn = scenes.draw(n, generator, 1)
        drawn = drawn._replace(centre=0.35 + 0.3 * torch.rand(drawn.centre.shape, generator=generator))
        return scenes.render(drawn, SIZE), drawn.colour[:, 0]


class Counted(TorchDispatchMode):
    """Adds up the FLOPs of every operation under it. torch's FlopCounterMode fails on gradients of gradients."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def training_flops(model, shape, classes: int, batch: int = BATCH) -> int:
    """Of one step, forward and backward."""
    x, label = torch.zeros(batch, *shape, device=device()), torch.arange(batch, device=device()) % classes
    with Counted() as counted:
        model.loss(x, label).mean().backward()
    model.zero_grad(set_to_none=True)
    return counted.total


def judges(smoke: bool):
    """What is drawn from, (n, generator) -> pictures and labels; 1,000 real ones; the judge, and the stack's encoder."""
    if mode() == "gpu":
        train_set, held_out = pictures("digits")
        nets = [classifier.for_data(train_set, device(), seed) for seed in (0, 1)]
        return train_set, held_out.at(torch.arange(len(held_out))), *nets
    shapes = data.load("shapes:1", size=SIZE)
    nets = [classifier.fit(shapes, steps=2 if smoke else 200, seed=seed) for seed in (0, 1)]
    return Shapes(), Shapes().batch(40 if smoke else 1000, torch.Generator().manual_seed(10**6))[0], *nets


def pair(shape, classes: int, seed: int = 0, encoder=None, spread: float = 1.0) -> dict:
    """The stack, with its encoder, and the one GAN, untrained."""
    encoder = encoder or seeded(lambda: classifier.Classifier(*shape[:2], classes), 0)
    models = {
        "stacked": seeded(lambda: StackedGAN(shape, classes, width=wide(WIDTH), r1=R1), seed),
        "one": seeded(lambda: GAN(shape, classes, width=wide(WIDTH), r1=R1), seed),
    }
    models["stacked"].use(encoder.requires_grad_(False).to(device()), spread)
    return {k: m.to(device()) for k, m in models.items()}


def costs(shape=Shapes.shape, classes: int = CLASSES) -> dict[str, int]:
    """FLOPs of a training step of each."""
    return {name: training_flops(m, shape, classes) for name, m in pair(shape, classes).items()}


def stacked_against_one(smoke: bool) -> Outcome:
    source, real_pictures, judge, teacher = judges(smoke)
    classes, n = source.classes if isinstance(source.classes, int) else len(source.classes), len(real_pictures)
    label, spread = torch.arange(n) % classes, extract(teacher, real_pictures)[0].std().item()
    cost = costs(source.shape, classes)
    steps = {"stacked": 2 if smoke else 4000 if mode() == "gpu" else 400}
    steps["one"] = round(cost["stacked"] / cost["one"] * steps["stacked"])
    real = extract(judge, real_pictures)[0]

    def drawn(seed, name):
        model = pair(source.shape, classes, seed, teacher, spread)[name]
        model = fit_model(model, lambda g: source.batch(BATCH, g), steps[name], seed)
        x = generate(model, n, cond=label, seed=seed).clamp(-1, 1)
        features = extract(judge, x)[0]
        return (frechet_distance(features, real), *precision_recall(real, features)), x[:24]

    found = in_parallel(drawn, range(repeats(smoke, 4)), steps)
    rows = {name: [row for row, _ in found[i::2]] for i, name in enumerate(steps)}
    shown = {name: x for name, (_, x) in zip(steps, found, strict=False)}
    again = frechet_distance(extract(judge, source.batch(n, torch.Generator().manual_seed(7))[0])[0], real)
    logs = [torch.tensor(b[0] / a[0]).log().item() for a, b in zip(rows["stacked"], rows["one"], strict=True)]
    means = {k: torch.tensor(v).mean(0).tolist() for k, v in rows.items()}
    return Outcome(
        *ratio_interval(logs),
        data=f"{source.name if mode() != 'gpu' else named(source)} at {SIZE}x{SIZE}, {classes} classes; {steps['stacked']} "
        f"steps of {BATCH} for the stack, {steps['one']} for the one: equal FLOPs; {n} samples; features of a classifier "
        "that is not the stack's encoder",
        seeds=len(logs), device=device(),
        notes="Frechet distance, precision, recall: "
        + "; ".join(f"{k} {a:.1f}, {b:.2f}, {c:.2f}" for k, (a, b, c) in means.items())
        + f"; real against real {again:.1f}",
        detail={"rows": rows, "pictures": shown, "flops": cost},
    )  # fmt: skip
