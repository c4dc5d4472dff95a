"""The playground's numbers from Python: `python site/play.py` writes play.json and directions.json into site/play.

They are grids, noise, exact scores and densities, what the nets say, where samplers end, and distances, all in float64
by the package's own oracles and samplers; the tests of the page hold its JavaScript to them. It takes a minute or two,
so they are committed: with a FOLDER, as the build calls it, they are only copied there. `--train` first trains the
small nets of nets.json anew, in some two minutes; another machine's nets differ in the last digits.
"""

import argparse
import itertools
import json
import shutil
import sys
from pathlib import Path

import torch
from play_models import HERE, WIDTHS, mixture, net, packed, seeded, trained

from minidiff.denoise import score
from minidiff.device import replacing
from minidiff.guidance import Guided
from minidiff.measure.metrics import sliced_wasserstein
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.samplers import ddim, dpmpp_2m, euler, heun, langevin, last
from minidiff.schedules import SCHEDULES

LEAST, MOST = 0.002, 80.0  # of the interval of noise: at its ends guidance is on to the end of the path
LEVELS = 12  # of noise, for langevin
DEFAULTS = {
    "data": "eight_gaussians", "cond": "each", "path": "vp", "sampler": "dpmpp_2m", "steps": 24, "eta": 0.0,
    "churn": 0.0, "gamma": 1.0, "low": LEAST, "high": MOST, "seed": 0, "n": 1000, "net": 0, "shade": "data",
}  # fmt: skip


def normal(n: int, generator) -> torch.Tensor:
    return torch.randn(n, 2, generator=generator, dtype=torch.float64)


# --- exact samples, as mixtures.mjs draws them ---


def exact_samples(gmm: GaussianMixture, n: int, generator, labels=None) -> torch.Tensor:
    """A sample of each of labels (n,), or n of any class."""
    u, z = torch.rand(n, generator=generator, dtype=torch.float64), normal(n, generator)
    mine = gmm.weights.expand(n, -1)
    if labels is not None:
        mine = mine * (gmm.labels == labels[:, None])
    sums = mine.cumsum(1)
    k = (sums <= u[:, None] * sums[:, -1:]).sum(1).clamp(max=len(gmm.weights) - 1)
    return gmm.means[k] + (torch.linalg.cholesky(gmm.covariances)[k] @ z[..., None])[..., 0]


def log_class(gmm: GaussianMixture, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """log p(c | x) for each x (N, 2) and its label c."""
    share = torch.stack([gmm.weights[gmm.labels == c].sum() for c in range(int(gmm.labels.max()) + 1)])
    each = torch.stack([gmm.given(c).log_prob(x) + share[c].log() for c in range(len(share))], 1)
    return each.log_softmax(1).gather(1, labels[:, None])[:, 0]


def sharpened_samples(gmm: GaussianMixture, labels, gamma: float, generator) -> torch.Tensor:
    """A sample of p(x) p(c | x)^gamma for each label c, by rejection: see sampleSharpened in mixtures.mjs."""
    found, waiting = torch.zeros(len(labels), 2, dtype=torch.float64), torch.ones(len(labels), dtype=torch.bool)
    while waiting.any():
        x = exact_samples(gmm, len(labels), generator, labels if gamma >= 1 else None)
        u = torch.rand(len(labels), generator=generator, dtype=torch.float64)
        kept = waiting & (u.log() < log_class(gmm, x, labels) * (gamma - 1 if gamma >= 1 else gamma))
        found[kept], waiting = x[kept], waiting & ~kept
    return found


# --- a run of the page ---


def labels_of(state: dict) -> torch.Tensor | None:
    """The label of each sample; None for any."""
    classes = int(mixture(state["data"]).labels.max()) + 1
    if state["cond"] == "none":
        return None
    return (
        torch.arange(state["n"]) % classes if state["cond"] == "each" else torch.full((state["n"],), int(state["cond"]))
    )


def guided_model(state: dict, learned: bool):
    path = SCHEDULES[state["path"]]()
    model = net(state["data"], path) if learned else MixtureDenoiser(mixture(state["data"]), path)
    noise = torch.tensor([state["low"], state["high"]], dtype=torch.float64)
    low, high = path.time(-2 * noise.log()).tolist()
    ends = (low if state["low"] > LEAST else 0.0, high if state["high"] < MOST else 1.0)
    return Guided(model, state["gamma"], interval=ends)


def run(state: dict, learned: bool = False) -> torch.Tensor:
    """Where the samples of a state end, (n, 2), float64."""
    state = DEFAULTS | state
    model, generator = guided_model(state, learned), seeded(state["seed"])
    steps, name = state["steps"], state["sampler"]
    times = model.schedule.grid(LEVELS if name == "langevin" else steps).double()
    x = model.schedule(times[0])[1] * normal(state["n"], generator)
    start = model, x, times, labels_of(state)
    draws = {
        "ddim": lambda: ddim(*start, eta=state["eta"], generator=generator),
        "euler": lambda: euler(*start),
        "heun": lambda: heun(*start, churn=state["churn"], generator=generator),
        "dpmpp_2m": lambda: dpmpp_2m(*start),
        "langevin": lambda: langevin(*start, steps=steps, generator=generator),
    }
    return last(draws[name]())


def log_density(gmm: GaussianMixture, x: torch.Tensor, labels) -> torch.Tensor:
    """log p(x | c) for each x (N, 2) and its label c, or log p(x)."""
    if labels is None:
        return gmm.log_prob(x)
    each = torch.stack([gmm.given(c).log_prob(x) for c in range(int(gmm.labels.max()) + 1)], 1)
    return each.gather(1, labels[:, None])[:, 0]


def measures(state: dict) -> dict[str, float]:
    """What the page says of a run: see `measures` in run.mjs."""
    state = DEFAULTS | state
    gmm, labels, n = mixture(state["data"]), labels_of(state), state["n"]
    generator, ends = seeded(state["seed"] + 1000), run(state)
    real, more = (exact_samples(gmm, n, generator, labels) for _ in range(2))
    edge = log_density(gmm, real, labels).sort().values[n // 100]
    found = {
        "exact": sliced_wasserstein(ends, real),
        "floor": sliced_wasserstein(more, real),
        "outside": (log_density(gmm, ends, labels) < edge).double().mean().item(),
        "spread": ends.square().sum(1).mean().sqrt().item(),
        "spread_of_data": real.square().sum(1).mean().sqrt().item(),
    }
    if state["net"]:
        by_net = run(state, learned=True)
        found["net"] = sliced_wasserstein(by_net, real)
        found["apart"] = (ends - by_net).square().sum(1).mean().sqrt().item()
        found["outside_net"] = (log_density(gmm, by_net, labels) < edge).double().mean().item()
    if labels is not None:
        sharp = sharpened_samples(gmm, labels, state["gamma"], seeded(state["seed"] + 2000))
        found["sharpened"] = sliced_wasserstein(ends, sharp)
    return found


# --- what is written ---

SAMPLERS = (
    {"sampler": "ddim"},
    {"sampler": "ddim", "eta": 1.0},
    {"sampler": "euler"},
    {"sampler": "heun"},
    {"sampler": "heun", "churn": 20.0},
    {"sampler": "dpmpp_2m"},
    {"sampler": "langevin", "steps": 2},
)
GUIDANCES = ({"gamma": 0.0}, {"gamma": 1.0}, {"gamma": 3.0}, {"gamma": 3.0, "low": 0.05, "high": 2.0})
POINTS = torch.tensor([[0.0, 0.0], [0.5, -0.25], [-0.8, 0.1], [1.5, 1.0], [-0.41, -0.43]], dtype=torch.float64)
SHARPENED = (0.5, 1.0, 3.0)


def directions() -> list[list[float]]:
    """Those of minidiff's sliced_wasserstein."""
    drawn = torch.randn(2, 256, generator=seeded(0)).double()
    return (drawn / drawn.norm(dim=0)).T.tolist()


def runs() -> list[dict]:
    """States, and where their first samples end: every path, sampler and guidance, and the nets."""
    few = {"n": 8, "steps": 6, "seed": 3}
    every = itertools.product(WIDTHS, SCHEDULES, SAMPLERS, GUIDANCES[-1:])
    on_one = itertools.product(WIDTHS, ["linear"], SAMPLERS, GUIDANCES[:-1])
    states = [{"data": data, "path": path} | few | sampler | guidance
              for data, path, sampler, guidance in (*every, *on_one)]  # fmt: skip
    found = [{"state": state, "learned": False, "ends": run(state).flatten().tolist()} for state in states]
    for data in WIDTHS:
        for path in SCHEDULES:
            state = {"data": data, "path": path, "sampler": "heun", "gamma": 2.0} | few
            found.append({"state": state, "learned": True, "ends": run(state, learned=True).flatten().tolist()})
    return found


def values(name: str) -> dict:
    """Of a mixture at POINTS: exact predictions at two noise levels, score, densities, and what its net predicts."""
    gmm, path = mixture(name), SCHEDULES["vp"]()
    labels, model, learned = torch.arange(len(POINTS)) % 2, MixtureDenoiser(mixture(name), path), net(name, path)
    found = {"log_prob": gmm.log_prob(POINTS).tolist(), "score": gmm.score(POINTS).flatten().tolist(), "at": [],
             "log_sharpened": [(gmm.log_prob(POINTS) + g * log_class(gmm, POINTS, labels)).tolist() for g in SHARPENED],
             "samples": exact_samples(gmm, 8, seeded(5), labels.repeat(2)[:8]).flatten().tolist(),
             "sharpened_samples": [sharpened_samples(gmm, torch.arange(8) % 2, g, seeded(6)).flatten().tolist()
                                   for g in SHARPENED]}  # fmt: skip
    for t in (0.1, 0.6):
        t = torch.tensor(t, dtype=torch.float64)
        row = {"t": t.item(), "score": score(model, POINTS, t, labels).flatten().tolist()}
        for kind, asked in (("exact", model), ("learned", learned)):
            for which, cond in (("given", labels), ("any", None)):
                row[f"{kind}, {which}"] = [v.flatten().tolist() for v in asked(POINTS, t, cond)]
        found["at"].append(row)
    return found


def grids() -> dict:
    return {name: {n: schedule().grid(n).tolist() for n in (1, 2, 12)} for name, schedule in SCHEDULES.items()}


def noise() -> dict:
    """The first of what some seeds draw."""
    return {
        seed: {
            "normal": normal(20, seeded(seed)).flatten().tolist(),
            "uniform": torch.rand(5, generator=seeded(seed), dtype=torch.float64).tolist(),
            "normal32": torch.randn(40, generator=seeded(seed)).tolist(),
        }
        for seed in (0, 1, 9999)
    }


def numbers() -> dict:
    """All of play.json."""
    return {
        "grids": grids(),
        "noise": noise(),
        "points": POINTS.flatten().tolist(),
        "sharpened": SHARPENED,
        "values": {name: values(name) for name in WIDTHS},
        "runs": runs(),
        "presets": [{"state": state, "measures": measures(state)} for state in presets()],
        "variances": variances(),
    }


def presets() -> list[dict]:
    """The states of the page's presets, and what each is compared with."""
    found = json.loads((HERE / "presets.json").read_text())
    return [state for preset in found for state in (preset["state"], *preset.get("than", []))]


def variances() -> list[dict]:
    """Lecture 07's three, of N(0, 1) among N(0, wide)."""
    sys.path.insert(0, str(HERE.parents[1] / "lectures"))
    from experiments.lecture07 import laws

    one = torch.ones(1, dtype=torch.float64)
    return [{"gamma": gamma, "wide": wide} | {k: v.item() for k, v in laws(gamma, one, wide * one).items()}
            for gamma in (1.0, 2.0, 3.0, 5.0) for wide in (1.5, 2.0, 4.0)]  # fmt: skip


def write(path: Path, value) -> None:
    with replacing(path) as temporary:
        Path(temporary).write_text(json.dumps(value, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true", help="train the nets anew, and write nets.json")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE, help="where to copy what is committed")
    options = parser.parse_args()
    if options.train:
        write(HERE / "nets.json", {name: packed(trained(name)) for name in WIDTHS})
    if options.folder.resolve() != HERE.resolve():
        options.folder.mkdir(parents=True, exist_ok=True)
        for name in ("nets", "presets", "directions", "play"):
            shutil.copy(HERE / f"{name}.json", options.folder)
        return
    write(HERE / "directions.json", directions())
    write(HERE / "play.json", numbers())


if __name__ == "__main__":
    main()
