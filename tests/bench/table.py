"""A file of measurements that grows: demo.json and recipe.json, a row for each variant."""

import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch

from minidiff.device import pick, replacing


def fill(path: Path, what: str, floor: float, names: list[str], wanted: list[str], measure: Callable) -> dict:
    """What `path` holds, with the rows `wanted`, or all of `names` that it lacks, by measure(name) -> dict.

    It is written after each row. `what` says how it was measured. Raises ValueError if `path` was in another way.
    """
    found = json.loads(path.read_text()) if path.exists() else {"what": what, "rows": {}}
    if found["what"] != what:
        raise ValueError(f"{path} was measured in another way ({found['what']}): move it, or choose another --out")
    found |= {
        "device": f"{pick()} ({platform.machine()}, {torch.get_num_threads()} threads), torch {torch.__version__}",
        "floor": floor,
    }
    for name in wanted or [name for name in names if name not in found["rows"]]:
        found["rows"][name] = measure(name)
        print(name, json.dumps(found["rows"][name]), flush=True)
        with replacing(path) as f:
            f.write_text(json.dumps(found, indent=1) + "\n")
    return found
