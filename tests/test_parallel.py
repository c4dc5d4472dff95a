"""Two processes on the CPU, started by torchrun as a user would."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from minidiff import data
from minidiff.run import checkpoint
from minidiff.run.loop import train_run
from minidiff.run.recipes import configure
from minidiff.stages.vq import Codebook
from minidiff.train import new_state, train

# points are computed in float32 on every machine, pictures in bfloat16 where that is native
DATA = ["--data", "eight_gaussians", "--width", "16", "--batch", "16", "--device", "cpu"]

# What one rank does, all with one start of torchrun: three steps of the global batch, for the gradient that the
# optimizer was given last; codes that follow vectors; going on with a run, and a new one, what it says kept apart.
RANK = """
import contextlib, os, runpy, sys, torch
from pathlib import Path
from minidiff import data, device
from minidiff.run import checkpoint, parallel
from minidiff.run.cli import main
from minidiff.run.recipes import configure
from minidiff.stages.vq import Codebook
from minidiff.train import train
device.fast_bf16 = lambda _: False
config, dataset = configure("digits", width=16, batch=16, parts=2)
out, run, *new = sys.argv[1:]


def threads(when):
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]  # of Linux
    Path(f"{out}/threads-{when}-{os.environ['RANK']}").write_text(" ".join(names))


with parallel.joined("cpu"):
    state = checkpoint.start(None, config).state
    list(train(state.model, data.batches(dataset, 8, state.generators), 3, clip=1e9, state=state))
    if parallel.rank() == 0:
        torch.save([p.grad for p in state.model.parameters()] + list(state.model.parameters()), out + "/two.pt")
    book = Codebook(8, 2)
    book.vectors.copy_(torch.arange(16.0).reshape(8, 2))
    x = torch.rand(2, 40, 2, generator=torch.Generator().manual_seed(0)) * 16
    book.follow(x[parallel.rank()], book.nearest(x[parallel.rank()]))
    revived = Codebook(8, 2)
    revived.revive(x[parallel.rank()], torch.Generator().manual_seed(parallel.rank()))
    torch.save([x, book.counts, revived.vectors], f"{out}/codes-{parallel.rank()}.pt")
    main(["train", "--resume", "--out", run, "--steps", "6", "--device", "cpu"])
    sys.argv[1:] = new
    with open(f"{out}/said-{parallel.rank()}", "w") as said, contextlib.redirect_stdout(said):
        runpy.run_module("minidiff", run_name="__main__")
    threads("joined")
threads("left")
"""


def torchrun(*arguments, ranks=2):
    """A process group of two ranks of one thread; the pytest process's own settings do not leak in."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", *arguments]
    return subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def step_of(run):
    """The step of the last weights that were saved whole; 0 before."""
    path = run / "model.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, "pt") as f:
        return int(f.metadata()["step"])


def finished(process):
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """The folder in which two ranks left what RANK does, and in it a run of one, at step 3, that they went on with."""
    folder = tmp_path_factory.mktemp("ranks")
    config, dataset = configure("eight_gaussians", width=16, batch=16)
    train_run(folder / "run", config, dataset, steps=3, device="cpu", progress=False)
    (folder / "rank.py").write_text(RANK, encoding="utf-8")
    new = ["train", *DATA, "--out", str(folder / "new"), "--steps", "4"]
    finished(torchrun(str(folder / "rank.py"), str(folder), str(folder / "run"), *new))
    return folder


def test_gradients_of_two_ranks_are_those_of_one(two_ranks, monkeypatch):
    monkeypatch.setattr("minidiff.device.fast_bf16", lambda _: False)
    config, dataset = configure("digits", width=16, batch=16, parts=2)
    state = checkpoint.start(None, config).state
    list(train(state.model, data.batches(dataset, 8, state.generators), 3, clip=1e9, state=state))
    ours = [p.grad for p in state.model.parameters()] + list(state.model.parameters())
    theirs = torch.load(two_ranks / "two.pt")
    largest = max(g.abs().max().item() for g in ours[: len(ours) // 2])
    assert largest > 0.01
    # sums in another order: about 100 eps of the largest; and where a gradient is nothing else, Adam makes of it a part
    # of its three steps, of 6e-5 in all
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * largest if i < len(ours) // 2 else 1e-5)


def test_two_ranks_train_what_one_does_and_one_goes_on(two_ranks, tmp_path):
    """4 steps by two ranks, 4 more by one: the weights of 8 steps by one, whose batch has two parts."""
    two, one = two_ranks / "new", tmp_path / "one"
    out = "".join((two_ranks / f"said-{rank}").read_text(encoding="utf-8") for rank in (0, 1))
    assert out.count("points/s") == 1 and "each of 2 ranks" in out  # the first rank speaks
    assert checkpoint.read_config(two).training.parts == 2
    config, dataset = configure("eight_gaussians", width=16, batch=16, parts=2)
    train_run(two, checkpoint.read_config(two), dataset, steps=8, device="cpu", progress=False)
    train_run(one, config, dataset, steps=8, device="cpu", progress=False)
    a, b = (load_file(run / "model.safetensors") for run in (one, two))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=2e-5)


def test_a_run_of_one_goes_on_with_two_ranks(two_ranks):
    run = checkpoint.resume(two_ranks / "run")
    assert run.config.training.parts == 2 and run.state.step == 6
    first, second = (g.get_state() for g in run.state.generators)
    assert not torch.equal(first, second)


NAMED = """
import os, sys
from pathlib import Path
from minidiff.run.cli import main
Path(sys.argv[1], "rank" + os.environ["RANK"]).write_text(str(os.getpid()))
main(sys.argv[2:])
"""


def test_a_killed_rank_ends_the_other_with_a_message(tmp_path):
    run = tmp_path / "run"
    (tmp_path / "named.py").write_text(NAMED, encoding="utf-8")
    train = ["train", *DATA, "--out", str(run), "--save-every", "0.1", "--minutes", "60", "--no-compiled"]
    process = torchrun(str(tmp_path / "named.py"), str(tmp_path), *train)
    while step_of(run) == 0:  # it saves before the first step too
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    ranks = [int((tmp_path / f"rank{i}").read_text(encoding="utf-8")) for i in (0, 1)]
    os.kill(ranks[1], signal.SIGKILL)
    _, err = process.communicate(timeout=600)
    assert process.returncode != 0 and "minidiff: another rank has ended" in err
    for pid in ranks:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    last = checkpoint.resume(run)  # the last checkpoint is whole
    steps = last.state.step + 2
    train_run(run, last.config, data.load("eight_gaussians"), steps=steps, device="cpu", progress=False)


def test_parts_are_an_average(generator):
    """A batch in two parts has the mean of the gradients that each has alone."""
    config, dataset = configure("digits", width=16, batch=8, parts=2)
    gradients = []
    for parts in ((0,), (1,), (0, 1)):
        state = new_state(checkpoint.new_model(config), 0, parts)
        list(train(state.model, data.batches(dataset, 4, state.generators), 1, clip=1e9, state=state))
        gradients.append(torch.cat([p.grad.flatten() for p in state.model.parameters()]))
    first, second, both = gradients
    torch.testing.assert_close((first + second) / 2, both, rtol=1e-4, atol=1e-6)
    assert (first - second).norm() > 0.1 * both.norm()


def test_codes_follow_the_vectors_of_all_ranks(two_ranks):
    (x, first, codes), (_, second, others) = (torch.load(two_ranks / f"codes-{rank}.pt") for rank in (0, 1))
    book = Codebook(8, 2)
    book.vectors.copy_(torch.arange(16.0).reshape(8, 2))
    both = x.flatten(0, 1)
    book.follow(both, book.nearest(both))
    torch.testing.assert_close(first, book.counts / 2)  # a rank's mean is of half as many
    torch.testing.assert_close(second, first)
    assert torch.equal(codes, others)  # dead codes are put onto the first rank's vectors
    assert all((code == x[0]).all(1).any() for code in codes)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="only Linux lists a process's threads as files")
def test_no_thread_of_the_connection_is_left(two_ranks):
    """At its end it is closed: a thread of it that is still there when Python ends can abort it."""
    for rank in (0, 1):
        assert "gloo" in (two_ranks / f"threads-joined-{rank}").read_text(encoding="utf-8")
        assert "gloo" not in (two_ranks / f"threads-left-{rank}").read_text(encoding="utf-8")


def test_bad_parts():
    with pytest.raises(ValueError, match="cannot be cut into 3 equal parts"):
        configure("digits", batch=16, parts=3)
