"""Does a change compute the same? The hashes of each kind of run, in two checkouts, as a table.

python tests/same.py OLD NEW [KIND ...]     OLD and NEW are the roots of two checkouts; about ten minutes on two cores

Each kind is trained for 50 steps and sampled from, four samples, by the command line: so nothing is compared but what a
user gets. Weights are known by their values, not by their names. Only equal machines compute equally.
"""

import csv
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

SMALL = ["--batch", "8", "--steps", "50", "--seed", "3", "--device", "cpu"]
RECIPE = ["--data", "photos", "--batch", "4", "--steps", "50", "--seed", "3", "--device", "cpu"]
KINDS = {  # name -> arguments of train; RUN/x is the run of the kind x
    "points": ["--data", "eight_gaussians", *SMALL],
    "digits, U-Net": ["--data", "digits", "--width", "16", *SMALL],
    "digits, DiT": ["--data", "digits", "--net", "dit", "--width", "32", "--depth", "2", "--prediction", "v", *SMALL],
    "digits, muon": ["--data", "digits", "--optimizer", "muon", "--parts", "2", "--schedule", "linear", *SMALL],
    "captions": ["--data", "shapes:2", "--width", "32", "--depth", "2", *SMALL],
    "captions, U-Net": ["--data", "shapes:2:held_out", "--net", "unet", "--width", "16", *SMALL],
    "photos, by the recipe": RECIPE,
    "photos, DiT": ["--net", "dit", *RECIPE],
    "vae": ["--data", "digits", "--model", "vae", "--f", "2", "--width", "16", *SMALL],
    "vae with a critic": ["--data", "digits", "--model", "vae", "--width", "16", *SMALL],
    "vq": ["--data", "digits", "--model", "vq", "--f", "2", "--codes", "32", "--width", "16", *SMALL],
    "ar": ["--data", "digits", "--model", "ar", "--autoencoder", "RUN/vq", "--width", "32", *SMALL],
    "latent diffusion": ["--data", "digits", "--autoencoder", "RUN/vae", "--width", "16", *SMALL],
    "gan": ["--data", "digits", "--model", "gan", "--width", "16", *SMALL],
    "gan of points": ["--data", "rings", "--model", "gan", *SMALL],
    "gan of styles, captions": ["--data", "shapes:1", "--model", "gan", "--net", "style", "--width", "16", *SMALL],
    "stacked gan": ["--data", "digits", "--model", "stacked_gan", "--width", "16", *SMALL],
}
GUIDED = ("digits, U-Net", "captions", "latent diffusion")  # sampled with guidance, too
DRAWN = 4


def digest(*arrays) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()[:10]


def minidiff(checkout: Path, folder: Path, *argv: str) -> None:
    env = os.environ | {"PYTHONPATH": str(checkout), "MINIDIFF_DATA": str(folder / "data"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "minidiff", *argv], cwd=folder, env=env, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{checkout}: {' '.join(argv)}\n{done.stderr}")


def hashes(checkout: Path, folder: Path, kind: str) -> dict[str, str]:
    """What -> hash, of one kind in one checkout; its run is left in `folder`."""
    run = folder / kind.replace(", ", "-").replace(" ", "-")
    arguments = [a.replace("RUN", str(folder)) for a in KINDS[kind]]
    minidiff(checkout, folder, "train", *arguments, "--out", str(run), "--save-every", "1000")
    weights = {k: v for k, v in load_file(run / "ema.safetensors").items()}
    with open(run / "loss.csv", newline="", encoding="utf-8") as f:
        losses = [row["loss"] for row in csv.DictReader(f)]
    found = {
        "weights": digest(*sorted(weights.values(), key=lambda v: (v.shape, v.tobytes()))),
        "losses": hashlib.sha256(repr(losses).encode()).hexdigest()[:10],
    }
    drawing = ["sample", str(run), "--n", str(DRAWN), "--seed", "5", "--steps", "6", "--device", "cpu"]
    for name, more in {"samples": [], "guided": ["--scale", "2"]}.items():
        if "--model" in KINDS[kind] and KINDS[kind][KINDS[kind].index("--model") + 1] in ("vae", "vq"):
            break  # an autoencoder draws nothing by itself
        if name == "guided" and kind not in GUIDED:
            break
        minidiff(checkout, folder, *drawing, *more, "--out", str(run / f"{name}.npz"))
        drawn = np.load(run / f"{name}.npz")
        found[name] = digest(drawn["images" if "images" in drawn else "samples"])
    return found


def main(old: str, new: str, *chosen: str) -> None:
    if unknown := set(chosen) - set(KINDS):
        sys.exit(f"unknown kind {sorted(unknown)[0]!r}: choose from {', '.join(KINDS)}")
    different = 0
    print("| kind of run | " + " | ".join(("weights", "losses", "samples", "guided")) + " |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        for kind in chosen or KINDS:
            was, now = (hashes(Path(root).resolve(), Path(f), kind) for root, f in ((old, a), (new, b)))
            different += was != now
            cells = [
                "" if k not in was else was[k] if was[k] == now[k] else f"**{was[k]}, now {now[k]}**"
                for k in ("weights", "losses", "samples", "guided")
            ]
            print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    sys.exit(f"{different} kinds differ" if different else 0)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
