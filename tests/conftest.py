import os

import pytest
import torch

from minidiff import classifier

os.environ.setdefault("MPLBACKEND", "agg")
# For nets this small a second thread gains nothing, and beside another busy process each waits for the other: a suite
# of minutes takes half an hour. Set OMP_NUM_THREADS to test with more; processes that tests start inherit it.
torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))


@pytest.fixture(autouse=True, scope="session")
def own_data_folder(tmp_path_factory):
    """Caches made by the tests do not mix with the user's."""
    os.environ["MINIDIFF_DATA"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def seeded():
    """Weights drawn from the global state are the same in any order of tests."""
    torch.manual_seed(0)


def quick_classifiers(patch, folder):
    """Classifiers of 60 steps, kept apart from the others'."""
    fit = classifier.fit
    patch.setenv("MINIDIFF_DATA", str(folder))
    patch.setattr(classifier, "fit", lambda train, **options: fit(train, **options | {"steps": 60}))


@pytest.fixture
def quick_judge(monkeypatch, tmp_path):
    quick_classifiers(monkeypatch, tmp_path / "data")


@pytest.fixture(scope="module")
def quick_teachers(tmp_path_factory):
    """The same for all tests of a file: an autoencoder and a stacked GAN learn from a classifier."""
    with pytest.MonkeyPatch.context() as patch:
        quick_classifiers(patch, tmp_path_factory.mktemp("data"))
        yield


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
