"""How many seconds the check of each exercise takes on a right answer, on one thread: python tests/bench/checks.py"""

import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_check import CELLS, defined  # noqa: E402

from minidiff import check  # noqa: E402

torch.set_num_threads(1)
for id, exercise in check.EXERCISES.items():
    answer = defined(CELLS[id].source, exercise.name)
    began = time.monotonic()
    verdict = check.verdict(id, answer)
    print(f"{id} {exercise.name:20} {time.monotonic() - began:.2f} {verdict.key}")
