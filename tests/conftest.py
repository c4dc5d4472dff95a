import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from minidiff.measure import classifier
from minidiff.run import progress

os.environ.setdefault("MPLBACKEND", "agg")
# For nets this small a second thread gains nothing, and beside another busy process each waits for the other: a suite
# of minutes takes half an hour. Set OMP_NUM_THREADS to test with more; processes that tests start inherit it.
torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True, scope="session")
def own_data_folder(tmp_path_factory):
    """Caches made by the tests do not mix with the user's."""
    os.environ["MINIDIFF_DATA"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """What a shell starts in the background ignores Ctrl-C, and so do its children: tests of Ctrl-C would wait for
    ever."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def sketches():
    """What training draws of its samples takes 2 steps and not 10: tests ask whether it is drawn, not how well."""
    draw = progress.generate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "generate", lambda *args, **options: draw(*args, **options | {"steps": 2}))
        yield


@pytest.fixture(autouse=True)
def seeded():
    """Weights drawn from the global state are the same in any order of tests."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def quick_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quick")


def quick_classifiers(patch, folder):
    """Classifiers of 60 steps, each trained once for all tests and kept apart from the others'."""
    fit = classifier.fit
    patch.setenv("MINIDIFF_DATA", str(folder))
    patch.setattr(classifier, "fit", lambda train, **options: fit(train, **options | {"steps": 60}))


@pytest.fixture
def quick_judge(monkeypatch, quick_folder):
    quick_classifiers(monkeypatch, quick_folder)


@pytest.fixture(scope="module")
def quick_teachers(quick_folder):
    """The same for the fixtures of a file: an autoencoder and a stacked GAN learn from a classifier."""
    with pytest.MonkeyPatch.context() as patch:
        quick_classifiers(patch, quick_folder)
        yield


@pytest.fixture
def no_file_beyond():
    """`with no_file_beyond(size):` files may not grow beyond so many bytes, as little as if the disk were full there.
    For the body alone: pytest's own output may be a longer file, and it writes before fixtures end."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limit(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pytest_collection_modifyitems(items):
    """What waits for the notebooks comes last: until then both cores have work."""
    items.sort(key=lambda item: item.name.startswith("test_notebook_runs"))


def pytest_collection_finish(session):
    """The lectures' notebooks that test_lectures asks for run beside all other tests, one after the other, on another
    core: half of the suite's time is else one core's."""
    asked = [item for item in session.items if item.name.startswith("test_notebook_runs")]
    if not asked or session.config.option.collectonly:
        return
    chosen, folder = [item.callspec.params["source"].stem for item in asked], Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600",
               "-p", "no:cacheprovider", "-W", "default", f"--junitxml={folder / 'cells.xml'}",
               *(f"{stem}.ipynb" for stem in chosen)]  # fmt: skip
    environment = os.environ | {"MINIDIFF_MODE": "smoke", "MINIDIFF_DATA": str(folder / "data")}
    with open(folder / "said.txt", "w", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, cwd=asked[0].path.parents[1] / "lectures", env=environment, stdout=said, stderr=said
        )
    session.config.notebooks = process, chosen, folder


def pytest_unconfigure(config):
    """Nothing is left running or lying about."""
    if hasattr(config, "notebooks"):
        process, _, folder = config.notebooks
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
