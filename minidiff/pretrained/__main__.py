"""python -m minidiff.pretrained RUN NAME DATA HOW LIMITS: see `ship`."""

import sys
from pathlib import Path

from . import ship

print(ship(Path(sys.argv[1]), *sys.argv[2:]))
