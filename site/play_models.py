"""The playground's mixtures and small trained nets."""

import base64
import contextlib
import functools
import json
from pathlib import Path

import numpy as np
import torch

from minidiff.data import toys
from minidiff.denoise import Denoiser, lognormal_times
from minidiff.nets import build
from minidiff.oracles import GaussianMixture
from minidiff.schedules import SCHEDULES
from minidiff.train import new_state, train

HERE = Path(__file__).parent / "play"
WIDTHS = {"eight_gaussians": 16, "two_classes": 16, "branches": 32}


@contextlib.contextmanager
def float64():
    """Within it, new tensors have 64 bits."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def two_classes() -> GaussianMixture:
    """Two round Gaussians that overlap, a class each."""
    return GaussianMixture(
        torch.ones(2), torch.tensor([[-0.3, 0.0], [0.3, 0.0]]), 0.3**2 * torch.eye(2).repeat(2, 1, 1)
    )


@functools.cache
def mixture(name: str) -> GaussianMixture:
    with float64():
        return two_classes() if name == "two_classes" else toys.EXACT[name]()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(name: str, steps: int = 6000) -> Denoiser:
    with torch.random.fork_rng():
        gmm, path = mixture(name), SCHEDULES["vp"]()
        gmm = gmm.to(torch.zeros(1))
        classes, spread = int(gmm.labels.max()) + 1, gmm.sample(4096, seeded(0)).std().item()
        model = Denoiser(build("mlp", (2,), classes, width=WIDTHS[name]), path, "edm", round(spread, 3))
        state = new_state(model, 0)
        batches = (gmm.sample_labelled(512, state.generator) for _ in range(steps))
        *_, end = train(model, batches, steps, state=state, times=lognormal_times, p_uncond=0.2)
    return end.ema


def packed(model: Denoiser) -> dict:
    """A net as JSON: float16 in base64, but for the frequencies, which float16 would spoil."""
    weights = model.net.state_dict()
    frequencies = weights.pop("emb.noise.0.frequencies").tolist()
    numbers = torch.cat([v.flatten() for v in weights.values()]).half().numpy().astype("<f2").tobytes()
    shapes = {name: list(v.shape) for name, v in weights.items()}
    return {"sigma_data": model.sigma_data, "shapes": shapes, "frequencies": frequencies,
            "float16": base64.b64encode(numbers).decode()}  # fmt: skip


def unpacked(name: str, parts: dict, path) -> Denoiser:
    """A packed net, in float64, on a schedule."""
    shapes = {k: torch.Size(v) for k, v in parts["shapes"].items()}
    flat = torch.from_numpy(np.frombuffer(base64.b64decode(parts["float16"]), "<f2").astype(np.float64))
    pieces = flat.split([shape.numel() for shape in shapes.values()])
    weights = {k: piece.reshape(shape) for (k, shape), piece in zip(shapes.items(), pieces, strict=True)}
    weights["emb.noise.0.frequencies"] = torch.tensor(parts["frequencies"], dtype=torch.float64)
    empty = build("mlp", (2,), shapes["emb.label.weight"][0] - 1, width=WIDTHS[name]).double()
    empty.load_state_dict(weights)
    return Denoiser(empty, path, "edm", parts["sigma_data"]).eval().requires_grad_(False)


def net(name: str, path) -> Denoiser:
    """The net of nets.json."""
    return unpacked(name, json.loads((HERE / "nets.json").read_text())[name], path)
