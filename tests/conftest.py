import contextlib
import functools
import os
import signal
import sys
from pathlib import Path

import matplotlib
import pytest
import torch

from minidiff import plot
from minidiff.measure import classifier
from minidiff.run import progress

# The user's own settings of figures would change what is drawn, and another backend may want a screen.
matplotlib.rcdefaults()
matplotlib.use("agg")
plot.style()
os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(Path(matplotlib.get_data_path()) / "matplotlibrc")}
# What a teacher sets for lectures would have tests measure in another mode, and write into the ledger.
for name in ("MINIDIFF_MODE", "MINIDIFF_RECORDS", "MINIDIFF_CIFAR10"):
    os.environ.pop(name, None)
# For nets this small a second thread gains nothing, and beside another busy process each waits for the other: a suite
# of minutes takes half an hour. Set OMP_NUM_THREADS to test with more; processes that tests start inherit it.
torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True, scope="session")
def own_data_folder(tmp_path_factory):
    """Caches made by the tests do not mix with the user's. Compiled nets neither: what torch keeps does not say for
    which vectors of the processor it was made, and is wrong under ATEN_CPU_CAPABILITY=avx2."""
    os.environ["MINIDIFF_DATA"] = str(tmp_path_factory.mktemp("data"))
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(autouse=True, scope="module")
def auto_is_the_cpu(request):
    """On every machine, so that tests compute the same: a GPU's are in tests/gpu."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name != "gpu":
            for there in (torch.cuda, torch.backends.mps):
                patch.setattr(there, "is_available", functools.cache(lambda: False))  # torch unwraps one of them
        yield


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
def answers_here(monkeypatch):
    """Grading runs answers in this process."""
    import here

    from minidiff.grade import grade, progress

    here.Workers.judged.clear()
    for module in (grade, progress):
        monkeypatch.setattr(module, "Workers", here.Workers)


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
def names_in_any_script():
    """Of files, which a machine of another code page does not have."""
    if sys.getfilesystemencoding() != "utf-8":
        pytest.skip("this system's names of files are not UTF-8")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pytest_collection_modifyitems(items):
    """The longest tests come first, so that no core waits for one of them at the end."""
    items.sort(key=lambda item: not item.name.startswith("test_notebook_runs"))
