"""Training steps and sampling against other libraries, side by side in one run, at equal parameters and FLOPs.

pip install -e '.[bench]', then python tests/bench/speed.py (about half an hour on two cores); writes speed.json and
speed.png. Every net is measured as it is and compiled, in bfloat16 where the processor has it, channels last, in turns,
so that what else the machine does falls on all. The floor is the time that our step, not compiled, spends in its
convolutions and matrix products, as the profiler sees it: what would remain if all else were free. It needs no
measurement of its own, and so is a floor on every processor.
"""

import argparse
import json
import platform
import re
import statistics
import time
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import torch
from peers import TASKS
from torch import nn
from torch.nn.functional import mse_loss
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from minidiff import data, plot
from minidiff.denoise import Denoiser, lognormal_times
from minidiff.device import fast_bf16, replacing
from minidiff.run.generate import generate
from minidiff.schedules import VP

warnings.filterwarnings("ignore")
PARTS = ("training", "sampling", "losses")
BF16 = fast_bf16(torch.device("cpu"))
KINDS = {  # of work, by the names of operations in the profile
    "products": r"aten::(mkldnn_convolution|convolution_backward|thnn_conv2d|_slow_conv2d_\w+|mm|addmm|bmm|baddbmm)",
    "optimizer": r"Optimizer\.step.*|aten::_fused_adamw_",
    "normalisation": r"_GroupNorm(Backward)?|aten::native_(group|layer)_norm(_backward)?",
    "activations and softmax": r"aten::(silu|gelu|_softmax)(_backward|_backward_data)?",
    "copies and casts": r"aten::(copy_|cat|fill_)",
}


def autocast():
    return torch.autocast("cpu", torch.bfloat16, enabled=BF16)


def built(make):
    """(net, call), channels last, from one seed; weights that start at zero are drawn, so that no work is skipped."""
    torch.manual_seed(0)
    net, call = make()
    net.to(memory_format=torch.channels_last)
    for p in net.parameters():
        if p.requires_grad and not p.any():
            nn.init.normal_(p, std=0.02)
    return net, call


def size(make) -> tuple[float, float]:
    """Millions of parameters, GFLOPs of a forward pass on one picture."""
    net, call = built(make)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(torch.randn(1, 3, 32, 32), torch.rand(1))
    return sum(p.numel() for p in net.parameters() if p.requires_grad) / 1e6, counter.get_total_flops() / 1e9


def stepper(make, compiled: bool, batch: int):
    """A function that makes one training step: forward, squared error, backward, fused AdamW."""
    net, call = built(make)
    call = torch.compile(call, dynamic=False) if compiled else call
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    x = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    t = torch.rand(batch)

    def step():
        with autocast():
            loss = mse_loss(call(x, t).float(), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(steppers: dict, rounds: int) -> dict[str, float]:
    """The median time of a step of each, after two to warm up, taken in turns."""
    for step in steppers.values():
        step(), step()
    times = {name: [] for name in steppers}
    for _ in range(rounds):
        for name, step in steppers.items():
            times[name].append(seconds(step))
    return {name: statistics.median(v) for name, v in times.items()}


def shares(make, batch: int, steps: int = 3) -> dict[str, float]:
    """The share of each kind of work in the time of our training step, not compiled: what the profiler saw."""
    step = stepper(make, False, batch)
    step(), step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(steps):
            step()
    spent = dict.fromkeys([*KINDS, "the rest"], 0.0)
    for event in seen.events():
        spent[kind_of(event)] += event.self_cpu_time_total
    whole = sum(spent.values())
    return {kind: time / whole for kind, time in spent.items()}


def kind_of(event) -> str:
    """The kind of an operation or, if it has none, of the nearest one that it is part of: sums in a group norm's."""
    while event is not None:
        for kind, pattern in KINDS.items():
            if re.fullmatch(pattern, event.name):
                return kind
        event = event.cpu_parent
    return "the rest"


def training(task: str, batch: int, rounds: int) -> dict:
    """Images a second of each library, as it is and compiled, and of the floor."""
    sizes = {name: size(make) for name, make in TASKS[task].items()}
    steppers = {
        f"{name}{', compiled' * compiled}": stepper(make, compiled, batch)
        for name, make in TASKS[task].items()
        for compiled in (False, True)
    }
    rates = {name: batch / s for name, s in in_turns(steppers, rounds).items()}
    best = max(v for k, v in rates.items() if not k.startswith("minidiff"))
    ours = max(v for k, v in rates.items() if k.startswith("minidiff"))
    spent = shares(TASKS[task]["minidiff"], batch)
    bound = rates["minidiff"] / spent["products"]
    row = {"task": task, "batch": batch, "images_per_second": rates, "floor": bound, "shares": spent, "sizes": sizes}
    row |= {"over_best_peer": ours / best, "of_floor": ours / bound, "floor_over_best_peer": bound / best}
    print(f"\n{task}, batch {batch}: floor {bound:.1f} img/s, {bound / best:.2f} times the best peer")
    for name, rate in sorted(rates.items(), key=lambda kv: -kv[1]):
        parameters, gflops = sizes[name.split(",")[0]]
        print(f"  {name:26} {rate:6.1f} img/s  {rate / best:5.2f} of the best peer  {rate / bound:4.0%} of the floor  "
              f"{parameters:.2f}M, {gflops:.2f} GFLOP", flush=True)  # fmt: skip
    print("  our step, not compiled: " + ", ".join(f"{kind} {share:.0%}" for kind, share in spent.items()), flush=True)
    return row


def sampling(rounds: int, n: int = 64, calls: int = 20) -> dict:
    """Seconds for n pictures in `calls` network calls: our sampler and diffusers' DDIM pipeline, U-Nets as above."""
    from diffusers import DDIMPipeline, DDIMScheduler

    ours = Denoiser(built(TASKS["U-Net"]["minidiff"])[0], VP(), "edm").eval().requires_grad_(False)
    pipeline = DDIMPipeline(built(TASKS["U-Net"]["diffusers"])[0], DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)

    def theirs():
        pipeline(batch_size=n, num_inference_steps=calls, output_type="np")

    def theirs_cast():
        with autocast():
            theirs()

    work = {
        "minidiff": lambda: generate(ours, n, shape=(3, 32, 32), steps=calls),
        "diffusers, float32": theirs,
        "diffusers, autocast": theirs_cast,
    }
    times = {name: statistics.median(v) for name, v in _turns(work, rounds).items()}
    best = min(v for k, v in times.items() if k != "minidiff")
    print(f"\nsampling {n} pictures in {calls} calls")
    for name, s in sorted(times.items(), key=lambda kv: kv[1]):
        print(f"  {name:32} {s:6.2f} s  {best / s:.2f} times the best of diffusers", flush=True)
    return {"n": n, "calls": calls, "seconds": times, "over_best_peer": best / times["minidiff"]}


def _turns(work, rounds):
    times = {name: [] for name in work}
    for k in range(rounds + 1):
        for name, f in work.items():
            s = seconds(f)
            if k:  # the first warms up
                times[name].append(s)
    return times


def losses(task: str, steps: int, batch: int) -> dict:
    """Our loss in bfloat16 and in float32, equal seeds and batches, in ten means, and their largest difference."""
    photos, curves = data.load("photos"), {}
    for name in ("bfloat16", "float32"):
        model = Denoiser(built(TASKS[task]["minidiff"])[0], VP(), "edm", data.std(photos))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
        generator, curve = torch.Generator().manual_seed(0), []
        for _ in range(steps):
            x = photos.batch(batch, generator)[0].to(memory_format=torch.channels_last)
            t = lognormal_times(batch, model.schedule, generator)
            with torch.autocast("cpu", torch.bfloat16, enabled=name == "bfloat16"):
                loss = model.loss(x, t=t, generator=generator).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        curves[name] = torch.tensor(curve).view(10, -1).mean(1).tolist()
    worst = max(abs(a / b - 1) for a, b in zip(*curves.values(), strict=True))
    ends = ", ".join(f"{name} {curve[-1]:.4f}" for name, curve in curves.items())
    print(f"\n{task}: loss at the end of {steps} steps of {batch}: {ends}; tenths differ by at most {worst:.2%}")
    return {"task": task, "steps": steps, "batch": batch, "curves": curves, "largest_relative_difference": worst}


def draw(found: dict, path: Path) -> None:
    rows = found["training"]
    figure, axes = plt.subplots(-(-len(rows) // 2), 2, figsize=(11, 1.3 * len(rows) + 1), layout="constrained")
    for ax, row in zip(axes.flat, rows, strict=False):
        names = sorted(row["images_per_second"])
        colours = ["tab:red" if n.startswith("minidiff") else "tab:gray" for n in names]
        ax.barh(names, [row["images_per_second"][n] for n in names], color=colours)
        ax.axvline(row["floor"], color="k", linestyle=":")
        ax.set(title=f"{row['task']}, batch {row['batch']}\nours {row['over_best_peer']:.2f} x best peer, "
               f"{row['of_floor']:.0%} of floor", xlabel="images / s")  # fmt: skip
        ax.title.set_fontsize(9)
        ax.tick_params(labelsize=8)
    for ax in axes.flat[len(rows) :]:
        ax.set_axis_off()
    figure.suptitle(f"Training step, {found['precision']}, {found['device']}; dotted: the floor", fontsize=10)
    plot.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument(
        "--parts", nargs="+", default=list(PARTS), choices=PARTS, help="the others are kept as they were"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    path = options.out / "speed.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    has = torch.cpu.get_capabilities()
    best = next((name for name in ("amx_bf16", "avx512_bf16", "avx512_f", "avx2") if has.get(name)), platform.machine())
    found["device"] = f"{has.get('cpu_name')} with {best}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    found["precision"] = "bfloat16 autocast" if BF16 else "float32"
    for part in options.parts:
        if part == "training":
            found[part] = [training(t, b, options.rounds) for t in options.tasks for b in options.batches]
        elif part == "sampling":
            found[part] = sampling(options.rounds)
        else:
            found[part] = [losses(t, 500, 4) for t in options.tasks[:2]]
        with replacing(path) as temporary:  # after each part: the whole takes half an hour
            temporary.write_text(json.dumps(found, indent=1) + "\n")
    draw(found, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
