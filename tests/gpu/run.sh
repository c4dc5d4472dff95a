#!/usr/bin/env bash
# Everything that wants a GPU, in one command of at most nine minutes on a bare machine: tests, speeds, memory, two trainings.
#   CIFAR=path/of/cifar10-train-jpeg.tar.gz tests/gpu/run.sh OUT
# Needs Python with torch, torchvision, numpy, scipy, scikit-learn, matplotlib, tqdm, safetensors and pytest, and for
# `--parts lectures` nbclient, ipykernel and jupytext too; installs nothing.
# `--device cpu` after OUT tries the script itself without a GPU, in seconds for minutes.
set -uo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" TORCHINDUCTOR_COMPILE_THREADS=4 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 MPLBACKEND=agg
exec python3 tests/gpu/measure.py "$@" --cifar "${CIFAR:-}"
