"""What a training step of each recipe needs in memory: computed, and on a CUDA GPU measured beside.

python tests/bench/memory.py       a minute on two CPU cores; writes memory.json beside itself
"""

import json
from pathlib import Path

import torch
from torch import nn

from minidiff import data
from minidiff.device import autocast, pick, replacing
from minidiff.measure.nets import parameters
from minidiff.optim import hidden
from minidiff.run import checkpoint
from minidiff.run.recipes import RECIPES, configure
from minidiff.train import new_state, train


def training_memory(
    model: nn.Module, shape: tuple[int, ...], batch: int, parts: int = 1, cond=None, optimizer: str = "adamw"
) -> dict[str, int]:
    """The bytes that a training step needs, computed: what is kept for each weight (itself, its gradient, AdamW's two
    moments or Muon's one, and the moving average, in float32) and the activations that autograd keeps of one part of
    the batch.

    Measured on one and on two pictures where the model is (on a CPU attention keeps its matrices): the rest is
    proportional. Workspaces and fragmentation come on top, some 10 to 20%. cond is a label or tokens of one picture.
    """

    def kept(n: int) -> int:
        sizes, generator = {}, torch.Generator().manual_seed(0)

        def note(x):
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        x = torch.zeros(n, *shape, device=next(model.parameters()).device)
        given = None if cond is None else torch.as_tensor(cond).expand(n, *torch.as_tensor(cond).shape).clone()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x), autocast(x.device, x):
            loss = model.loss(x, given, generator=generator)
        weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        total = sum(size for at, size in sizes.items() if at not in weights)
        del loss
        return total

    one, two = kept(1), kept(2)
    spared = sum(p.numel() for p in hidden(model)) if optimizer == "muon" else 0
    return {
        "weights, gradients, optimizer, moving average": 4 * (5 * parameters(model) - spared),
        "activations": one + (batch // parts - 1) * (two - one),
    }


def measured(config, dataset) -> float | None:
    """GiB at the peak of three steps on a GPU; None without one."""
    device = pick()
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    state = new_state(checkpoint.new_model(config, device), 0, range(config.training.parts), config.training.optimizer)
    batches = data.batches(dataset, config.training.batch // config.training.parts, state.generators)
    list(train(state.model, batches, 3, state=state))
    return torch.cuda.max_memory_allocated() / 2**30


def main() -> None:
    rows = {}
    for name in (n for n in RECIPES if not n.startswith("latents")):
        config, dataset = configure("photos", recipe=name)  # as large as CIFAR-10's pictures, with two classes
        model, chosen = checkpoint.new_model(config), config.training
        found = training_memory(model, config.shape, chosen.batch, chosen.parts, 0, chosen.optimizer)
        row = {k: v / 2**30 for k, v in found.items()} | {"GiB, computed": sum(found.values()) / 2**30}
        row |= {"GiB, measured": measured(config, dataset), "parameters": parameters(model), "batch": chosen.batch}
        rows[name] = row | {"parts": chosen.parts}
        print(name, {k: round(v, 3) if isinstance(v, float) else v for k, v in rows[name].items()}, flush=True)
    with replacing(Path(__file__).with_suffix(".json")) as f:
        f.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
