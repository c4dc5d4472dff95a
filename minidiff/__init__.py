"""minidiff: diffusion models from scratch, to be read. The README has the map; start with schedules.py.

The modules here are the core, but for demo.py. They know nothing of nets, stages, data, measure and run, which may all
use them.
"""

import os

# Before torch is loaded: else, where other programs keep the cores busy, two threads wait for one another without
# yielding, and a step takes ten times as long instead of four (on a quiet machine it makes no difference).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
