import math

import pytest
import torch
from scipy import linalg

from minidiff import metrics
from minidiff.data.toys import eight_gaussians, grid_25
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.schedules import VP, Cosine


def correlated(n, dim, generator, shift=0.0):
    mix = torch.randn(dim, dim, generator=generator) / dim**0.5
    return torch.randn(n, dim, generator=generator) @ mix + shift


def test_wasserstein_of_a_shift_is_its_length(generator):
    x = torch.randn(200, 2, generator=generator)
    shift = torch.tensor([0.3, -0.4])
    assert metrics.wasserstein2(x, x[torch.randperm(200, generator=generator)] + shift) == pytest.approx(0.5, rel=1e-4)
    # along a direction v the shift is v.s, and E (v.s)^2 = |s|^2 / 2 in the plane
    assert metrics.sliced_wasserstein(x, x + shift, 4096) == pytest.approx(0.5 / math.sqrt(2), rel=0.03)


def test_wasserstein_finds_the_best_assignment():
    a, b = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[2.1], [0.1], [1.1]])
    assert metrics.wasserstein2(a, b) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("n, m, dim", [(500, 700, 8), (20, 30, 64)])
def test_frechet_against_the_matrix_square_root(n, m, dim, generator):
    """The textbook formula, with scipy's matrix square root: also where there are fewer samples than dimensions."""
    a, b = correlated(n, dim, generator), correlated(m, dim, generator, 0.3)
    cov_a, cov_b = (x.double().T.cov().numpy() for x in (a, b))
    jitter = 1e-9 * torch.eye(dim).numpy()
    root = linalg.sqrtm((cov_a + jitter) @ (cov_b + jitter)).real
    expected = (a.double().mean(0) - b.double().mean(0)).square().sum().item() + (cov_a + cov_b - 2 * root).trace()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)


def test_frechet_of_gaussians_in_closed_form(generator):
    """N(0, 1) and N(m, s^2) in D dimensions: D (m^2 + (1 - s)^2)."""
    a, b = torch.randn(100_000, 4, generator=generator), 0.5 + 2 * torch.randn(100_000, 4, generator=generator)
    assert metrics.frechet_distance(a, b) == pytest.approx(4 * (0.25 + 1), rel=0.02)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_unbiased(generator):
    same = [metrics.kernel_distance(*(torch.randn(50, 4, generator=generator) for _ in "ab")) for _ in range(300)]
    mean, error = torch.tensor(same).mean().item(), torch.tensor(same).std().item() / 300**0.5
    assert abs(mean) < 4 * error
    far = metrics.kernel_distance(torch.randn(50, 4, generator=generator), 1 + torch.randn(50, 4, generator=generator))
    assert far > 20 * error


def test_kernel_distance_by_hand():
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    # kernel (xy + 1)^3: within a 27, within b 1, across 1, 8, 1, 27
    assert metrics.kernel_distance(a, b) == pytest.approx(27 + 1 - 2 * (1 + 8 + 1 + 27) / 4)


def test_inception_score():
    assert metrics.inception_score(torch.eye(10)) == pytest.approx(10)
    assert metrics.inception_score(torch.full((5, 10), 0.1)) == pytest.approx(1)
    with pytest.raises(ValueError, match="sum to 1"):
        metrics.inception_score(torch.randn(5, 10))


def test_precision_recall_tell_missing_modes_from_outliers(generator):
    mixture = eight_gaussians()
    real = mixture.sample(1000, generator)
    precision, recall = metrics.precision_recall(real, mixture.given(0).sample(1000, generator))
    assert precision > 0.9 and recall < 0.2
    outliers = torch.cat([mixture.sample(500, generator), 5 + torch.rand(500, 2, generator=generator) * 100])
    precision, recall = metrics.precision_recall(real, outliers)
    assert precision == pytest.approx(0.5, abs=0.06) and recall > 0.9


def test_precision_recall_against_a_loop(generator):
    real, fake = torch.randn(40, 3, generator=generator), torch.randn(30, 3, generator=generator) * 1.5

    def covered(points, support, k=3):
        hits = 0
        for p in points:
            for s in support:
                radius = sorted((s - o).norm().item() for o in support)[k]
                if (p - s).norm().item() <= radius:
                    hits += 1
                    break
        return hits / len(points)

    assert metrics.precision_recall(real, fake) == pytest.approx((covered(fake, real), covered(real, fake)))


@pytest.mark.parametrize("schedule", [VP(), Cosine()])
@pytest.mark.parametrize("probes", [None, 64])
def test_likelihood_of_the_exact_model(schedule, probes, generator):
    covariance = torch.tensor([[0.3, 0.1], [0.1, 0.2]], dtype=torch.float64)
    mixture = GaussianMixture(
        torch.ones(2), torch.tensor([[0.5, 0.0], [-0.5, 0.3]]), covariance.expand(2, 2, 2).float()
    )
    mixture = mixture.to(covariance)
    x = mixture.sample(20, generator)
    times = schedule.grid(100)[:-1].flip(0)
    ours = metrics.log_likelihood(MixtureDenoiser(mixture, schedule), x, times, probes=probes, generator=generator)
    torch.testing.assert_close(ours, mixture.log_prob(x), atol=0.02 if probes is None else 0.5, rtol=0)


def test_numpy_arrays_are_welcome(generator):
    a, b = torch.randn(30, 2, generator=generator), torch.randn(30, 2, generator=generator) + 1
    for call in (
        metrics.wasserstein2, metrics.sliced_wasserstein, metrics.frechet_distance, metrics.kernel_distance,
        metrics.precision_recall,
    ):  # fmt: skip
        assert call(a.numpy(), b.numpy()) == call(a, b)


def test_bad_input():
    a = torch.zeros(5, 2)
    for call in (metrics.wasserstein2, metrics.sliced_wasserstein):
        with pytest.raises(ValueError, match="equally many"):
            call(a, torch.zeros(6, 2))
    for call in (metrics.frechet_distance, metrics.kernel_distance, metrics.precision_recall):
        with pytest.raises(ValueError, match=r"\(N, D\)"):
            call(a, torch.zeros(5, 3))
    with pytest.raises(ValueError, match="more than 3"):
        metrics.precision_recall(a[:3], a)


def test_modes_covered(generator):
    mixture = grid_25()
    x = mixture.sample(4000, generator)
    covered, near = metrics.modes_covered(x, mixture)
    assert covered == 25 and near == pytest.approx(1 - math.exp(-4.5), abs=0.006)  # of a Gaussian in the plane
    one = x[torch.cdist(x, mixture.means).argmin(1) == 7]
    assert metrics.modes_covered(one, mixture)[0] == 1
    assert metrics.modes_covered(x + 0.2, mixture) == (0, 0.0)  # half way between the modes
