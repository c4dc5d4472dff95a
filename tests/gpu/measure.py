"""What a GPU makes of this course: see run.sh, which calls this.

Six parts, each written to OUT/results.json as it ends, so that a run that is cut still tells:
tests      tests/gpu on the device, while the pictures are unpacked and the nets compiled
speed      images a second and peak memory of each recipe at its batch, plain and compiled, as a share of the rate of a
           bfloat16 matrix product measured in the same run
small      the shipped CIFAR-10 model trained on for three minutes (OUT/small.safetensors, float16)
large      the recipe unet-minutes, from nothing, for the time that is left
lectures   lectures executed in gpu mode, all at once: OUT/NN_topic.ipynb, and their claims in OUT/claims.json
claims     the lectures' claims on pictures in gpu mode, several at a time, into OUT/claims.json
           These two go on beside the tests, and for as long as they take where no other part is asked for.
The pictures are CIFAR-10's JPEG copy; distances are in the features of a classifier trained here, not FID.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from minidiff import data, plot
from minidiff.device import fast_bf16, replacing, tuned
from minidiff.measure import classifier, metrics
from minidiff.measure.features import features_for
from minidiff.measure.nets import flops, parameters
from minidiff.run import checkpoint, pretrained
from minidiff.run.config import laid_over
from minidiff.run.generate import generate
from minidiff.run.loop import compile_net, train_run
from minidiff.run.recipes import RECIPES, configure, configure_from
from minidiff.stages.latent import Latents
from minidiff.train import new_state, train

HERE = Path(__file__).parent
SMALL = {"batch": 512, "lr": 2e-3, "cooldown": 0.4, "seed": 3}
SAMPLES = 2500
CLAIMS = (  # those of a row share what they train; each row is a process
    "9.2 9.3", "7.10 7.11 7.12 7.14 7.16", "7.15", "5.3 5.4", "2.6", "3.5 3.6", "3.7", "3.8", "4.2", "4.3", "4.4",
    "4.5", "4.6", "4.7", "6.2 6.3 6.4", "6.6", "8.1 8.2 8.3 8.4", "8.5",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--cifar", default="")
    parser.add_argument("--seconds", type=float, default=530)
    parser.add_argument("--parts", default="tests,speed,small,large")
    parser.add_argument("--claims", default=",".join(CLAIMS), help="the rows of part claims")
    parser.add_argument("--lectures", default="05,07,09", help="of part lectures")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training in part small")
    parser.add_argument("--compiled", help="the recipes to measure compiled as well; by default all")
    parser.add_argument("--warm", help="only compile this recipe's net, for the cache")
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.warm:
        return print(options.warm, speed_of(options.warm, device, compiled=True, seconds=0))
    work = options.out.parent / "work"
    for folder in (options.out, work):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MINIDIFF_DATA", str(work / "cache"))
    results = Results(options.out, options.seconds)
    results["machine"] = machine(device)
    parts = set(options.parts.split(",")) - (set() if options.cifar else {"small", "large"})
    compiled = options.compiled.split(",") if options.compiled else names(device)
    pictures = unpack(options.cifar, work)
    waiting = in_the_background(pictures, parts, compiled) if device.type == "cuda" else []
    measured = {f"lecture {n}": ["lectures/build.py", n] for n in options.lectures.split(",") if "lectures" in parts}
    measured |= {ids: ["-c", MEASURE, *ids.split()] for ids in options.claims.split(",") if "claims" in parts}
    if measured and waiting:
        waiting[0].wait()  # what it puts into the cache, all would else make for themselves
    os.environ["LOKY_MAX_CPU_COUNT"] = str(max(1, os.cpu_count() // max(1, len(measured))))  # processes of each
    measuring = {name: in_a_copy(name, command, pictures, work, device) for name, command in measured.items()}
    if "tests" in parts:
        most = 200 if device.type == "cuda" else 1e9
        results["tests"] = run_tests(options.out / "tests.txt", device, min(most, results.left() / 2))
    for process in waiting:
        try:
            process.wait(results.left() / 4)
        except subprocess.TimeoutExpired:
            process.kill()
    if measuring:
        alone = not parts & {"speed", "small", "large"} or device.type == "cpu"
        until = time.monotonic() + (results.left() - 5 if alone else 0)
        results["claims"] = claims_measured(measuring, options.out, work, until)
    if "speed" in parts:
        results["matrix product, TFLOP/s"] = matrix_rate(device)
        for name in names(device):
            results[f"{name}, plain"] = speed_of(name, device, False)
            if name in compiled and device.type == "cuda":
                results[f"{name}, compiled"] = speed_of(name, device, True)
    if {"small", "large"} & parts:
        judge = Judge(pictures, device)
        results["floor"] = judge.floor
    minutes = options.minutes if device.type == "cuda" else 0.2
    if "small" in parts:
        train_small(results, judge, pictures, work / "small", device, minutes)
    if "large" in parts:
        minutes = (results.left() - 40) / 60 if device.type == "cuda" else minutes
        train_large(results, judge, pictures, work / "large", device, minutes)


class Results(dict):
    """What was found so far, written to results.json at each entry."""

    def __init__(self, out: Path, seconds: float):
        super().__init__()
        self.out, self.until, self.began = out, time.monotonic() + seconds, time.monotonic()

    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        super().__setitem__("seconds", round(time.monotonic() - self.began, 1))
        with replacing(self.out / "results.json") as f:
            f.write_text(json.dumps(self, indent=1) + "\n")
        print(f"[{self['seconds']:.0f} s] {name}: {json.dumps(value)[:1000]}", flush=True)


def in_the_background(pictures: str, parts: set[str], compiled: list[str]) -> list[subprocess.Popen]:
    """For the caches: pictures read and their classifier trained, and nets compiled."""
    imports = "from minidiff import data; from minidiff.measure import classifier"
    code = f"{imports}; classifier.for_data(data.load({pictures!r}), 'cuda')"
    commands = [["-c", code]] if {"small", "large", "lectures", "claims"} & parts else []
    warm = compiled if "speed" in parts else ["small", "unet-minutes"] if {"small", "large"} & parts else []
    commands += [[__file__, "-", "--warm", name] for name in warm]
    return [subprocess.Popen([sys.executable, *command]) for command in commands]


MEASURE = """
import sys, time
from experiments import claims
for claim in sys.argv[1:]:
    began = time.monotonic()
    print(claims.measure(claim, write=True).full(), f"{time.monotonic() - began:.0f} s", flush=True)
"""


def in_a_copy(name: str, command: list[str], pictures: str, work: Path, device) -> subprocess.Popen:
    """A process of Python in a copy of the lectures and of what they read, with a ledger of its own."""
    copy = work / name
    for folder in ("lectures", "datasets", "tests"):
        shutil.copytree(HERE.parents[1] / folder, copy / folder, dirs_exist_ok=True)
    mode = "gpu" if device.type == "cuda" else "smoke"
    told = {"MINIDIFF_MODE": mode, "MINIDIFF_CIFAR10": pictures, "MINIDIFF_RECORDS": str(work / "records")}
    (work / "records").mkdir(exist_ok=True)
    told["PYTHONPATH"] = os.pathsep.join([str(copy / "lectures"), os.environ.get("PYTHONPATH", "")])
    told["MPLBACKEND"] = ""  # a notebook has its own
    with open(copy / "log.txt", "w") as log:
        return subprocess.Popen([sys.executable, *command], cwd=copy, stdout=log, stderr=log, env=os.environ | told)


def claims_measured(processes: dict, out: Path, work: Path, until: float) -> dict:
    """The exit status of each process, "cut" if it had not ended. What was measured goes into claims.json, notebooks
    beside it."""
    status, ledger, logs = {}, {}, []
    before = json.loads((HERE.parents[1] / "lectures" / "claims.json").read_text(encoding="utf-8"))
    for name, process in processes.items():
        try:
            status[name] = process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            status[name] = "cut"
        lectures = work / name / "lectures"
        rows = {k: v["gpu"] for k, v in json.loads((lectures / "claims.json").read_text("utf-8")).items() if "gpu" in v}
        ledger |= {k: row for k, row in rows.items() if row != before.get(k, {}).get("gpu")}
        logs.append(f"--- {name}: {status[name]}\n" + (work / name / "log.txt").read_text(encoding="utf-8"))
        if name.startswith("lecture") and status[name] == 0:
            (notebook,) = lectures.glob(f"{name.split()[1]}_*.ipynb")
            shutil.copy(notebook, out)
    (out / "claims.json").write_text(json.dumps(ledger, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "claims.txt").write_text("\n".join(logs), encoding="utf-8")
    return status


def train_small(results: Results, judge, pictures: str, run: Path, device, minutes: float) -> None:
    """The shipped model trained on; its weights are kept."""
    few = {} if device.type == "cuda" else {"batch": 8}
    config, dataset = configure_from(pictures, "cifar10", **SMALL | few)
    before = checkpoint.load(pretrained.folder("cifar10"), device=device)
    results["shipped"] = judge.card(before, config, results.out / "shipped.png")
    train_run(run, config, dataset, minutes=minutes, device=str(device), save_every=60)
    model = checkpoint.load(run, device=device)
    results["small"] = trained(run) | judge.card(model, config, results.out / "small.png")
    weights = {k: v.half() for k, v in load_file(run / "ema.safetensors").items()}
    save_file(weights, results.out / "small.safetensors")
    results["small, loss"] = checkpoint.read_losses(run)


def train_large(results: Results, judge, pictures: str, run: Path, device, minutes: float) -> None:
    """The recipe for minutes on a GPU, from nothing."""
    few = {} if device.type == "cuda" else {"batch": 8, "width": 32}
    config, dataset = configure(pictures, recipe="unet-minutes", device=str(device), **few)
    train_run(run, config, dataset, minutes=minutes, device=str(device), save_every=60)
    model = checkpoint.load(run, device=device)
    results["large"] = trained(run) | judge.card(model, config, results.out / "large.png")
    results["large, loss"] = checkpoint.read_losses(run)


def machine(device) -> dict:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "torch": torch.__version__, "python": sys.version.split()[0], "bf16": fast_bf16(device)}


def names(device) -> list[str]:
    """The recipes that are measured."""
    if device.type != "cuda":
        return ["unet-laptop", "small"]
    return [*(name for name in RECIPES if not name.endswith("laptop")), "small"]


def unpack(tar: str, work: Path) -> str:
    """The name of the pictures as a data set."""
    if not tar:
        return "digits"  # nothing is trained on them
    (work / "pictures").mkdir(exist_ok=True)
    subprocess.run(["tar", "xzf", tar, "-C", work / "pictures"], check=True)
    (folder,) = (p for p in [work / "pictures", *(work / "pictures").iterdir()] if (p / "frog").is_dir())
    return f"folder:{folder}"


def run_tests(log: Path, device, seconds: float) -> dict:
    """pytest on tests/gpu, several at a time where pytest-xdist is there."""
    many = ["-n", "8"] if _has("xdist") and device.type == "cuda" else []
    command = [sys.executable, "-m", "pytest", str(HERE), "-m", "gpu", "-W", "default", "-o", "addopts="]
    with open(log, "w") as f:
        try:
            told = {"stdout": f, "stderr": subprocess.STDOUT, "env": os.environ | {"MINIDIFF_GPU_DEVICE": str(device)}}
            code = subprocess.run(
                [*command, *many, "-v", "--durations=10", "--tb=short"], timeout=seconds, **told
            ).returncode
        except subprocess.TimeoutExpired:
            code = "cut"
    lines = log.read_text().splitlines()
    return {"exit status": code, "said": [li for li in lines if li.startswith(("FAILED", "ERROR"))] + lines[-1:]}


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def matrix_rate(device, side: int | None = None, seconds: float = 1.0) -> float:
    """TFLOP/s of products of two bfloat16 matrices of normal numbers."""
    side = side or (8192 if device.type == "cuda" else 1024)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    products = iter(lambda: a @ b, None)
    took(products, 20, device)
    n, spent = 0, 0.0
    while spent < seconds:
        n, spent = n + 10, spent + took(products, 10, device)
    return round(2 * side**3 * n / spent / 1e12, 2)


def speed_of(name: str, device, compiled: bool, seconds: float = 1.5) -> dict:
    """Images a second of training by a recipe, at its batch, and what it needs at the peak."""
    config, dataset = subject(name, device)
    model = checkpoint.new_model(config, device)
    chosen = config.training
    state = new_state(model, 0, range(chosen.parts), chosen.optimizer)
    net = getattr(model, "prior", model).net
    found = {"batch": chosen.batch, "parameters": parameters(net)}
    cost = 3 * flops(net, dataset.shape) / 1e12
    if compiled:
        compile_net(model)
    batches = data.batches(dataset.to(device), chosen.batch // chosen.parts, state.generators, flip=chosen.flip)
    steps = train(model, batches, 10**9, lr=1e-4, state=state, check=None, check_every=20)
    with tuned(device):
        found["seconds of the first step"] = round(took(steps, 1, device), 1)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        took(steps, 5 if seconds else 0, device)
        n, spent, each = 0, 0.0, 20 if device.type == "cuda" else 1
        while spent < seconds:
            n, spent = n + each, spent + took(steps, each, device)
    rate = n * config.training.batch / max(spent, 1e-9)
    found |= {"images a second": round(rate), "TFLOP/s": round(cost * rate, 1)}
    if device.type == "cuda":
        found["GiB at the peak"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


def took(steps, n: int, device) -> float:
    """The seconds of n steps."""
    began = time.monotonic()
    for _ in range(n):
        next(steps)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic() - began


def subject(name: str, device):
    """A config and data like CIFAR-10's: of a recipe, or of what part "small" trains. What is compiled is then the same
    net as in the trainings, to the number of its labels."""
    small, labels = {} if device.type == "cuda" else {"batch": 8}, torch.arange(4096) % 10
    like = checkpoint.read_config(pretrained.folder("cifar10"))
    if name == "small":
        config = laid_over(like, SMALL | small)
        latents = torch.randn(4096, *checkpoint.new_model(config).latent_shape)
        return config, Latents("random", latents, labels, config.classes)
    config, photos = configure("photos", recipe=name, device=str(device), **small)
    return replace(config, classes=like.classes), replace(photos.keep(torch.arange(4096)), labels=labels,
                                                          classes=like.classes)  # fmt: skip


class Judge:
    """Distances to the held-out pictures, in the features of a classifier trained on the others."""

    def __init__(self, pictures: str, device):
        if device.type == "cpu":  # where the script is only tried
            fit = classifier.fit
            classifier.fit = lambda train, **options: fit(train, **options | {"steps": 30})
        train_part, held_out = data.load(pictures), data.load(pictures, "test")
        self.n = SAMPLES if device.type == "cuda" else 40
        self.features = features_for("classifier", train_part, device)
        self.real = self.features.compute(held_out.at(torch.arange(len(held_out))))[0]
        other = torch.randperm(len(train_part), generator=torch.Generator().manual_seed(0))[: self.n]
        self.floor = round(metrics.frechet_distance(self.features.compute(train_part.at(other))[0], self.real), 3)

    def card(self, model, config, path: Path) -> dict:
        """The distance at 10, 20 and 36 calls of dpmpp_2m, and with guidance; a picture of both."""
        found, labels = {"samples": self.n}, torch.arange(self.n) % len(config.classes)
        for steps, scale in ((10, 1.0), (20, 1.0), (36, 1.0), (10, 1.5), (10, 2.0)):
            began = time.monotonic()
            x = generate(model, self.n, cond=labels, steps=steps, scale=scale, seed=1, batch=500)
            seen, logits = self.features.compute(rounded(x))
            found[f"{steps} steps, scale {scale:g}"] = {
                "distance": round(metrics.frechet_distance(seen, self.real), 2),
                "recognised": round((logits.argmax(1) == labels).float().mean().item(), 3),
                "samples a second": round(self.n / (time.monotonic() - began)),
            }
        rows = torch.arange(100) // 10 % len(config.classes)
        shown = [generate(model, 100, cond=rows, steps=20, scale=s, seed=2) for s in (1.0, 2.0)]
        figure, axes = plot.plt.subplots(1, 2, figsize=(11, 5.8), layout="constrained")
        for ax, x, title in zip(axes, shown, ("no guidance", "guidance 2"), strict=True):
            plot.grid(x, 10, ax, title, config.classes if ax is axes[0] else None)
        plot.save(figure, path, dpi=150)
        return found


def rounded(x: torch.Tensor) -> torch.Tensor:
    """Rounded to the 256 levels of a file."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def trained(run: Path) -> dict:
    config, rows = checkpoint.read_config(run), checkpoint.read_losses(run)
    return {"steps": rows[-1][0] if rows else 0, "batch": config.training.batch, "net": config.net,
            "last loss": rows[-1][1] if rows else None}  # fmt: skip


if __name__ == "__main__":
    main()
