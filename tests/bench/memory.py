"""What a training step of each recipe needs in memory: computed, and on a CUDA GPU measured beside.

python tests/bench/memory.py       a minute on two CPU cores; writes memory.json beside itself
"""

import json
from pathlib import Path

import torch

from minidiff import data
from minidiff.device import pick, replacing
from minidiff.measure.nets import parameters, training_memory
from minidiff.run import checkpoint
from minidiff.run.recipes import RECIPES, configure
from minidiff.train import new_state, train


def measured(config, dataset) -> float | None:
    """GiB at the peak of three steps on a GPU; None without one."""
    device = pick()
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    state = new_state(checkpoint.new_model(config, device), 0, range(config.parts), config.optimizer)
    batches = data.batches(dataset, config.batch // config.parts, state.generators)
    list(train(state.model, batches, 3, state=state))
    return torch.cuda.max_memory_allocated() / 2**30


def main() -> None:
    rows = {}
    for name in (n for n in RECIPES if not n.startswith("latents")):
        config, dataset = configure("photos", recipe=name)  # as large as CIFAR-10's pictures, with two classes
        model = checkpoint.new_model(config)
        found = training_memory(model, config.shape, config.batch, config.parts, 0, config.optimizer)
        row = {k: v / 2**30 for k, v in found.items()} | {"GiB, computed": sum(found.values()) / 2**30}
        row |= {"GiB, measured": measured(config, dataset), "parameters": parameters(model), "batch": config.batch}
        rows[name] = row | {"parts": config.parts}
        print(name, {k: round(v, 3) if isinstance(v, float) else v for k, v in rows[name].items()}, flush=True)
    with replacing(Path(__file__).with_suffix(".json")) as f:
        f.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
