import sys
import types
from urllib.error import URLError

import numpy as np
import pytest
import torch

from minidiff import data
from minidiff.measure import features, metrics
from minidiff.run import checkpoint
from minidiff.run import evaluate as evaluation
from minidiff.run.evaluate import draw, evaluate
from minidiff.run.loop import train_run
from minidiff.run.recipes import configure


@pytest.fixture
def model():
    config, _ = configure("digits", width=16)
    model = checkpoint.new_model(config).eval().requires_grad_(False)
    for p in model.parameters():  # an untrained one says 0 whatever the label
        p.copy_(p + 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    return model


def test_drawing_goes_on_where_it_was_killed(model, tmp_path, monkeypatch):
    options = {"n": 25, "cond": torch.arange(25) % 10, "seed": 3, "steps": 2, "part": 10}
    whole = draw(tmp_path / "whole", model, **options)
    real, calls = evaluation.generate, []

    def killed(*args, **kwargs):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(evaluation, "generate", killed)
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "parts", model, **options)
    monkeypatch.setattr(evaluation, "generate", lambda *args, **kwargs: calls.append(args) or real(*args, **kwargs))
    assert torch.equal(draw(tmp_path / "parts", model, **options), whole) and len(calls) == 3
    assert len(draw(tmp_path / "parts", model, **options)) == 25 and len(calls) == 3
    other = draw(tmp_path / "parts", model, **options | {"cond": options["cond"].flip(0)})
    assert len(calls) == 6 and not torch.equal(other, whole)  # other labels are other pictures, not those kept
    assert (whole[:10] != whole[10:20]).any()  # nor is one part like another
    levels = (whole + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


class Inception(torch.nn.Module):
    """torch-fidelity's interface: uint8 pictures in three channels -> the features that were asked for by name."""

    width = 2048

    def __init__(self, name, features_list, feature_extractor_weights_path=None):
        super().__init__()
        assert features_list == ["2048", "logits_unbiased"]
        self.maps = torch.nn.Parameter(torch.randn(1008 + self.width, 192, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        assert x.dtype == torch.uint8 and x.shape[1] == 3
        small = torch.nn.functional.adaptive_avg_pool2d(x.float() / 255, 8).flatten(1)
        return tuple(v.detach() for v in torch.tanh(small @ self.maps.T).split([self.width, 1008], 1))


@pytest.fixture
def stand_in(monkeypatch):
    """A module in torch-fidelity's place, whether it is installed or not."""
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Inception
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    return module


def test_fid_is_with_inception_alone(stand_in, tmp_path, quick_judge, monkeypatch):
    monkeypatch.setattr(Inception, "width", 64)  # the distance of 2,048 features takes a minute
    config, dataset = configure("digits", width=16, batch=16)
    train_run(tmp_path / "run", config, dataset, steps=3, device="cpu", progress=False)
    options = {"n": 40, "few": True, "steps": 2, "device": "cpu"}
    report = evaluate(tmp_path / "run", features_of="inception", **options)
    assert report["scale 1: FID"] > report["floor (other real pictures): FID"] > 0
    assert {"scale 1: KID", "scale 1.5: Inception score"} <= set(report)
    assert report["compared with"] == "1438 training pictures" and "torch-fidelity" in report["features"]
    other = evaluate(tmp_path / "run", **options)
    assert not [k for k in other if "FID" in k.replace("(not FID)", "") or "KID" in k.replace("(not KID)", "")]


def test_features_of_inception(stand_in):
    """Grey pictures in three channels, and each row its own picture's."""
    digits = data.load("digits").at(torch.arange(5))
    seen, logits = features.extract(features.inception("cpu"), digits, batch=2)
    assert seen.shape == (5, 2048) and logits.shape == (5, 1008)
    again, _ = features.extract(features.inception("cpu"), digits.flip(0).expand(-1, 3, -1, -1))
    torch.testing.assert_close(again.flip(0), seen)


def test_inception_that_is_not_to_be_had(stand_in, monkeypatch):
    def offline(*args):
        raise URLError("Name or service not known")

    monkeypatch.setattr(stand_in, "FeatureExtractorInceptionV3", offline)
    with pytest.raises(ValueError, match="could not be loaded.*not known.*--features classifier"):
        features.inception("cpu")
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ValueError, match=r"pip install -e '.\[fid\]'"):
        features.inception("cpu")
    with pytest.raises(ValueError, match="unknown features 'vgg'"):
        features.features_for("vgg", data.load("digits"), "cpu")


# --- on the same features, against torch-fidelity where it is installed, and against NumPy ---


def two(n=600, m=500, dim=24):
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(dim, dim, generator=generator) / dim**0.5
    a = torch.randn(n, dim, generator=generator) @ mix
    return a, 0.8 * torch.randn(m, dim, generator=generator) @ mix + 0.3


def test_metrics_against_torch_fidelity():
    fidelity = pytest.importorskip("torch_fidelity", reason="pip install -e '.[fid]'")
    from torch_fidelity import metric_fid, metric_isc, metric_kid

    assert fidelity is not None
    a, b = two()
    theirs = metric_fid.fid_statistics_to_metric(
        *(metric_fid.fid_features_to_statistics(x.double()) for x in (a, b)), False
    )["frechet_inception_distance"]
    assert metrics.frechet_distance(a, b) == pytest.approx(theirs, rel=1e-4)
    few = a[:500]
    theirs = metric_kid.kid_features_to_metric(
        few.double(), b.double(), kid_subsets=1, kid_subset_size=500, verbose=False
    )["kernel_inception_distance_mean"]
    assert metrics.kernel_distance(few, b) == pytest.approx(theirs, rel=1e-4)
    theirs = metric_isc.isc_features_to_metric(a, splits=1)["inception_score_mean"]
    assert metrics.inception_score(a.softmax(1)) == pytest.approx(theirs, rel=1e-4)


def test_kernel_distance_and_score_against_numpy():
    a, b = two(60, 50)
    k = lambda x, y: (x.double().numpy() @ y.double().numpy().T / x.shape[1] + 1) ** 3  # noqa: E731
    within = [(k(x, x).sum() - np.trace(k(x, x))) / (len(x) * (len(x) - 1)) for x in (a, b)]
    assert metrics.kernel_distance(a, b) == pytest.approx(sum(within) - 2 * k(a, b).mean(), rel=1e-6)
    p = a.double().softmax(1).numpy()
    assert metrics.inception_score(a.double().softmax(1)) == pytest.approx(
        np.exp(np.mean(np.sum(p * (np.log(p) - np.log(p.mean(0))), 1))), rel=1e-6
    )


def test_precision_and_recall_against_nearest_neighbours():
    """Independent: radii and hits by scikit-learn's k-d tree."""
    from sklearn.neighbors import NearestNeighbors

    def covered(points, support, k):
        radius = NearestNeighbors(n_neighbors=k + 1).fit(support).kneighbors(support)[0][:, k]
        away, which = NearestNeighbors(n_neighbors=len(support)).fit(support).kneighbors(points)
        return (away <= radius[which]).any(1).mean()

    a, b = two(dim=6)
    for k in (3, 5):
        theirs = covered(b.numpy(), a.numpy(), k), covered(a.numpy(), b.numpy(), k)
        assert 0.05 < min(theirs) < max(theirs) < 0.99
        assert metrics.precision_recall(a, b, k) == pytest.approx(theirs, rel=1e-4)


def test_bits_of_the_exact_model(generator):
    """Pictures of one Gaussian: the entropy of a level of 2 / 255 under it, in closed form."""
    from minidiff.oracles import GaussianMixture, MixtureDenoiser
    from minidiff.schedules import VP

    std, dim = 0.3, 2
    law = GaussianMixture(torch.ones(1), torch.zeros(1, dim), std**2 * torch.eye(dim)[None])
    x = law.sample(400, generator).clamp(-1, 1)
    levels = ((x + 1) * 127.5).round().byte()
    schedule = VP()
    model, times = MixtureDenoiser(law, schedule), schedule.grid(100)[:-1].flip(0)
    bits = metrics.bits_per_dim(model, levels, times, None, generator)
    entropy = 0.5 * np.log2(2 * np.pi * np.e * std**2) + np.log2(127.5)
    assert bits.mean().item() == pytest.approx(entropy, abs=4 * bits.std().item() / 20 + 0.02)
    with pytest.raises(ValueError, match="256 levels"):
        metrics.bits_per_dim(model, x, times)
