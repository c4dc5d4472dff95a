"""A training step mixes no devices, whichever the model: tried on a device that is only pretended."""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from minidiff import device
from minidiff.denoise import score, velocity
from minidiff.device import fast_bf16, share_of_cores, threads_for_free_cores
from minidiff.nets import build
from minidiff.run import checkpoint
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure

from .pretend import pretended

KINDS = {
    "points": ("eight_gaussians", {}),
    "unet": ("digits", {"width": 16}),
    "dit": ("digits", {"net": "dit", "width": 32}),
    "cnn": ("digits", {"net": "cnn", "width": 16}),
    "encoder_decoder": ("digits", {"net": "encoder_decoder", "width": 16}),
    "ncsn": ("digits", {"net": "ncsn", "width": 16}),
    "transformer": ("digits", {"net": "transformer", "width": 32}),
    "cross": ("shapes:1", {"width": 32}),
    "tokens": ("shapes:1", {"width": 32, "text_mode": "tokens"}),
    "pooled": ("shapes:1", {"net": "unet", "width": 16, "text_mode": "pooled"}),
    "gan of points": ("eight_gaussians", {"model": "gan", "width": 32}),
    "gan": ("digits", {"model": "gan", "width": 16}),
    "style": ("digits", {"model": "gan", "net": "style", "width": 16}),
    "vae": ("digits", {"model": "vae", "width": 16, "f": 2}),
    "vq": ("digits", {"model": "vq", "width": 16, "f": 2, "codes": 16}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_is_where_its_model_is(kind, monkeypatch, generator):
    spec, choices = KINDS[kind]
    config, dataset = configure(spec, batch=4, device="cpu", **choices)
    x0, cond = dataset.batch(4, generator)
    if tokenizer := tokenizer_of(config):
        cond = tokenizer(cond)
    model = checkpoint.new_model(config)
    with pretended(monkeypatch) as device:
        model, x0, cond = model.to(device), x0.to(device), cond.to(device)
        loss = model.loss(x0, cond, generator=generator)
        loss.mean().backward()
        assert loss.device == device and all(p.grad is None or p.grad.device == device for p in model.parameters())
        if config.model == "diffusion":
            for t in (torch.rand(4).to(device), torch.tensor(0.5)):
                assert model(x0, t, cond).x0.device == model(x0, t).eps.device == device
                assert score(model, x0, t, cond).device == velocity(model, x0, t, cond).device == device


def test_first_weights_leave_every_generator_as_it_was(monkeypatch):
    reseeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    before = torch.random.get_rng_state()
    build("mlp", (2,), seed=3)
    assert not reseeded and torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("here, first", [("cuda mps", "cuda"), ("cuda", "cuda"), ("mps", "mps"), ("", "cpu")])
def test_auto_is_a_gpu_where_there_is_one(here, first, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in here)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in here)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: SimpleNamespace(item=lambda: 0))  # none is really here
    assert device.pick() == device.pick("auto") == torch.device(first)


@pytest.mark.parametrize(
    "limit, has, fast",
    [
        (None, {"avx512_bf16": True}, True),
        (None, {"amx_bf16": True}, True),
        (None, {"avx512_bf16": False}, False),
        ("AVX2", {"avx512_bf16": True, "amx_bf16": True}, False),
        ("avx512_core_vnni", {"avx512_bf16": True}, False),
        ("avx2_vnni_2", {"avx512_bf16": True, "amx_bf16": True}, False),
        ("AVX512_CORE_FP16", {"avx512_bf16": True}, True),
        ("AVX10_1_512", {"avx512_bf16": True}, True),
        ("AVX10_1_512_AMX", {"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, True),
        ("AVX512_CORE_BF16", {"avx512_bf16": True}, True),
        ("AVX512_CORE_AMX", {"amx_bf16": True}, True),
        ("AVX512_CORE_AMX", {}, False),
        ("DEFAULT", {"avx512_bf16": True}, True),
        (None, {"avx512_bf16": True, "cpu_name": "AMD EPYC 9R14"}, True),
        (None, {"avx512_bf16": True, "cpu_name": "Intel Xeon"}, False),
        (None, {"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, True),
        ("AVX512_CORE_BF16", {"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, False),
        ("AVX512_CORE_AMX", {"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, True),
        (None, {"bf16": True}, True),
    ],
)
def test_bfloat16_is_used_where_it_is_faster_than_float32(limit, has, fast, monkeypatch):
    """oneDNN emulates what it is told to do without: a demo then made 5 pictures a second. Intel's AVX512-BF16 halves
    the speed of a product."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert fast_bf16(torch.device("cpu")) is fast


@pytest.mark.parametrize(
    "share, had, threads",
    [(1.0, 2, 2), (0.97, 2, 2), (0.52, 2, 1), (0.3, 2, 1), (0.01, 2, 1), (0.75, 4, 3), (1.0, 1, 1)],
)
def test_as_many_threads_as_cores_are_free(share, had, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(had)
    try:
        with threads_for_free_cores(lambda: share):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == had
    finally:
        torch.set_num_threads(before)


def test_the_share_of_the_cores(monkeypatch):
    """By clocks of its own: of one second on two cores one second of one core was this process's."""
    wall = itertools.count(0, 0.25)
    used = iter([3.0, 4.0])
    monkeypatch.setattr(device.time, "monotonic", lambda: next(wall))
    monkeypatch.setattr(device.time, "process_time", lambda: next(used))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert share_of_cores(0.75) == 1.0 / (1.0 * 2)


@pytest.mark.parametrize(
    "given, patience",
    [({}, "30000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_threads_yield_on_a_busy_machine_unless_told_otherwise(given, patience):
    """It is set before torch, which reads it once, is loaded."""
    code = "import os, sys, minidiff; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], env=clean | given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [patience, "False"]
