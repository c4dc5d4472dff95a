"""Questions of the exercises in which a number is predicted, other ones for each student, with the right answers.

python lectures/variants.py NAMES.txt OUT.csv [--seed 0]

NAMES.txt has a student a line. In OUT.csv stands for each of them what to ask, as guided_variances(2.5), and what is right.
The same name and seed give the same questions: keep the seed to yourself, and take another one next year.
"""

import argparse
import csv
import hashlib
import random
from pathlib import Path

import jupytext

from minidiff import check
from minidiff.device import replacing

HERE = Path(__file__).parent
ASKED = {  # exercise -> the values of each argument
    "00.4": (["ddim", "euler", "heun", "dpmpp_2m"], range(6, 60), [1, 1.5, 2, 3, 5]),
    "03.2": (range(50, 5000),),
    "05.1": (range(17, 200), [3, 5, 7, 9]),
    "05.5": (["attention", "conv3x3", "mlp"], range(64, 2048, 16), range(32, 512, 8)),
    "06.6": (["conv", "attention"], [2, 4, 8, 16, 32]),
    "07.3": ([n / 10 for n in range(12, 60)],),
}


def solution(id: str):
    """The function of the exercise `id` that stands in its lecture."""
    (source,) = (HERE / "source").glob(f"{id[:2]}*.py")
    (cell,) = (c for c in jupytext.read(source).cells if c.metadata.get("exercise") == id)
    names = {}
    exec(cell.source, names)
    return names[check.EXERCISES[id].name]


def variant(name: str, seed: int, solutions: dict) -> list[str]:
    """Question and answer in turns, an exercise after the other, for the student of this name."""
    drawn = random.Random(hashlib.sha256(f"{seed}: {name}".encode()).digest())
    row = []
    for id, function in solutions.items():
        values = [drawn.choice(of) for of in ASKED[id]]
        found = function(*values)
        numbers = found if isinstance(found, tuple) else [found]
        row.append(f"{check.EXERCISES[id].name}({', '.join(map(repr, values))})")
        row.append(", ".join(str(n) if isinstance(n, int) else f"{n:.6g}" for n in numbers))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} is there already: delete it or name another")
    try:
        lines = options.names.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{options.names} cannot be read: {error}")
    names = [line.strip() for line in lines if line.strip()]
    if len(set(names)) < len(names) or not names:
        parser.error(f"{options.names} must have a student a line, each once")
    solutions = {id: solution(id) for id in ASKED}
    with replacing(options.out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["student", *(f"{id} {what}" for id in ASKED for what in ("question", "answer"))])
        table.writerows([name, *variant(name, options.seed, solutions)] for name in names)


if __name__ == "__main__":
    main()
