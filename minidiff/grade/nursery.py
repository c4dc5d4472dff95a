"""Where the processes of answers come from: a process that has imported torch and the package, but no check, and forks.

It runs no line of a student's. What it forks shuts itself in (isolate.py) and then runs one answer (worker.py).
"""

import gc
import itertools
import json
import os
import pkgutil
import random
import signal
import socket
import sys
import tempfile
from functools import partial

import numpy as np
import torch

from . import isolate
from .worker import Answer, OwnVersion

_HIDDEN = ("lectures", "experiments", "tests", "mutants", "minidiff.check", "minidiff.grade")
_LOUD = {"antigravity", "this", "idlelib", "lib2to3", "test", "tkinter", "turtle", "turtledemo"}  # they show something
_USUAL = (
    "scipy.stats", "scipy.linalg", "scipy.integrate", "scipy.optimize", "scipy.special",
    "torch.fx.experimental.symbolic_shapes",
)  # fmt: skip
# exercise -> what the package has of it
OWN = {
    "00.2": ("minidiff.oracles.GaussianMixture.posterior_mean", "minidiff.oracles.GaussianMixture.denoise"),
    "00.3": ("minidiff.measure.metrics.modes_covered",),
    "01.1": ("minidiff.oracles.GaussianMixture.score",),
    "01.2": ("minidiff.score_matching.implicit", "minidiff.score_matching.exact_trace"),
    "01.3": ("minidiff.score_matching.sliced",),
    "01.4": ("minidiff.score_matching.denoising",),
    "01.6": ("minidiff.samplers.langevin",),
    "02.3": tuple(f"minidiff.schedules.{name}.time" for name in ("VP", "VE", "Cosine", "Linear", "EDM")),
    "02.4": ("minidiff.samplers.ddim",),
    "02.5": ("minidiff.samplers.heun",),
    "02.6": ("minidiff.samplers.dpmpp_2m",),
    "04.1": ("minidiff.nets.layers.adain",),
    "05.3": ("minidiff.nets.fast.attend",),
    "05.5": ("minidiff.measure.nets.flops",),
    "06.3": ("minidiff.stages.vq.Codebook.forward", "minidiff.stages.vq.Codebook.nearest"),
    "07.1": ("minidiff.guidance.Guided.__call__",),
    "07.4": ("minidiff.guidance.Guided.__call__",),
    "07.5": ("minidiff.guidance.ClassifierGuided.__call__",),
    "07.6": ("minidiff.measure.metrics.precision_recall",),
    "08.1": ("minidiff.text.Tokenizer.__call__",),
    "08.3": ("minidiff.nets.layers.CrossAttention.forward",),
    "08.4": ("minidiff.guidance.Guided.__call__",),
    "09.1": ("minidiff.train.update_ema",),
    "09.2": ("minidiff.measure.metrics.frechet_distance",),
    "09.4": ("minidiff.denoise.Denoiser.loss",),
}


def warm() -> None:
    """Import what answers may import, so that each need not: another user may have no right to read it.

    Of the standard library that is all, for much of it is imported late and by itself, as the encoding of a host name;
    of the package all but what is hidden.
    """
    torch.set_num_threads(1)
    for name in sorted(sys.stdlib_module_names - _LOUD):
        if not name.startswith("_"):
            _import_all(name)
    _import_all("minidiff")
    for name in {*_USUAL, *itertools.chain(*OWN.values())}:
        pkgutil.resolve_name(name)
    x = torch.ones(2)
    with tempfile.TemporaryDirectory() as os.environ["TORCHINDUCTOR_CACHE_DIR"]:  # torch makes it with its first `grad`
        torch.func.vmap(torch.square)(x), torch.func.jvp(torch.square, (x,), (x,)), torch.func.grad(torch.sum)(x)
    del os.environ["TORCHINDUCTOR_CACHE_DIR"]
    settle()


def _import_all(name: str) -> None:
    """A module and what is in it, as far as this system has it."""
    try:
        module = pkgutil.resolve_name(name)
    except Exception:
        return
    for inner in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        if not inner.name.endswith(("__main__", "tests")) and not inner.name.startswith(_HIDDEN):
            _import_all(inner.name)


def settle() -> None:
    """Have the collector pass over all there is now: what it looks at, each fork copies."""
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> None:
    """Fork a process for each order that comes: the descriptor of its socket, and how it is to be confined."""
    isolate.dies_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what has ended is gone at once
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 2**16, 1)
        if not data:
            return
        order = json.loads(data)
        life = partial(_live, descriptors[0], order)
        if order["alone"]:
            isolate.start_alone(order["folder"], order["user"], life)
        else:
            isolate.start(order["folder"], life)
        os.close(descriptors[0])


def _live(descriptor: int, order: dict) -> None:
    """The life of an answer's process."""
    os.setsid()
    _bare(descriptor)
    _forbid(order["id"])
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    sock = socket.socket(fileno=3)
    isolate.confine(order["seconds"], order["memory"], order["user"], order["alone"])
    Answer(sock).serve_all()


def _bare(descriptor: int) -> None:
    """No descriptors but the socket, as number 3, and nothing where input comes from and output goes; no environment,
    and no way to modules that are none of an answer's."""
    os.dup2(descriptor, 3)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(4, 2**16)
    os.environ.clear()
    os.environ.update(HOME=os.getcwd(), TMPDIR=os.getcwd(), OMP_NUM_THREADS="1", MPLBACKEND="agg")
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115
    sys.meta_path.insert(0, Hidden())
    for name in [n for n in sys.modules if n.startswith(_HIDDEN)]:
        del sys.modules[name]


class Hidden:
    """Finds no module that holds checks or solutions."""

    def find_spec(self, name: str, path=None, target=None):
        if any(name == hidden or name.startswith(hidden + ".") for hidden in _HIDDEN):
            raise ModuleNotFoundError(f"there is no module {name!r} for answers", name=name)


def _forbid(id: str) -> None:
    """What the package has of an exercise raises, by whatever name it is known."""
    for name in OWN.get(id, ()):
        function = pkgutil.resolve_name(name)
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        function.__globals__["OwnVersion"] = OwnVersion
        function.__code__ = _refuse.__code__


def _refuse(*args, **options):
    raise OwnVersion("The package's own version is no answer: write it yourself.")
