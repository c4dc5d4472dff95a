"""The ledger of the lectures' claims.

python lectures/claims.py list                  all of them, with their verdicts
python lectures/claims.py measure ID            one anew, beside what the ledger has; or those of a lecture, or all
python lectures/claims.py measure ID --write    the same, put into the ledger
"""

from dataclasses import dataclass

from experiments.claims import show

from minidiff.run.cli import main
from minidiff.run.options import option


@dataclass
class List:
    """All claims, with their verdicts."""

    def run(self):
        show()


@dataclass
class Measure:
    """Measure claims anew, show what the ledger has beside, and which verdicts changed."""

    id: str | None = option(None, "a claim (1.1), a lecture (1) or all", metavar="ID")
    write: bool = option(False, "put what was measured into the ledger")

    def run(self):
        if self.id is None:
            raise ValueError("which claim? Give its ID; python lectures/claims.py list has them")
        show(self.id, self.write)


COMMANDS = {"list": List, "measure": Measure}

if __name__ == "__main__":
    main(commands=COMMANDS, prog="python lectures/claims.py")
