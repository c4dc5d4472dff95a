import itertools
import math
import weakref

import pytest
import torch
from experiments.noisy import NoisyClassifier
from scipy import linalg

from minidiff.data.toys import eight_gaussians, grid_25
from minidiff.denoise import Denoiser
from minidiff.guidance import ClassifierGuided
from minidiff.measure import metrics
from minidiff.nets import build
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.samplers import SAMPLERS
from minidiff.schedules import VP, Cosine


def correlated(n, dim, generator, shift=0.0):
    mix = torch.randn(dim, dim, generator=generator) / dim**0.5
    return torch.randn(n, dim, generator=generator) @ mix + shift


def test_wasserstein_of_a_shift_is_its_length(generator):
    x = torch.randn(200, 2, generator=generator)
    shift = torch.tensor([0.3, -0.4])
    # along a direction v the shift is v.s, and E (v.s)^2 = |s|^2 / 2 in the plane
    assert metrics.sliced_wasserstein(x, x + shift, 4096) == pytest.approx(0.5 / math.sqrt(2), rel=0.03)


def test_wasserstein_finds_the_best_assignment():
    a, b = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[2.1], [0.1], [1.1]])
    assert metrics.sliced_wasserstein(a, b) == pytest.approx(0.1, rel=1e-4)  # on a line there is one direction


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
@pytest.mark.parametrize("exact", [True, False])
def test_likelihood_of_the_exact_model(schedule, exact, generator):
    covariance = torch.tensor([[0.3, 0.1], [0.1, 0.2]], dtype=torch.float64)
    mixture = GaussianMixture(
        torch.ones(2), torch.tensor([[0.5, 0.0], [-0.5, 0.3]]), covariance.expand(2, 2, 2).float()
    )
    mixture = mixture.to(covariance)
    x, often = mixture.sample(20, generator), 1 if exact else 64
    times, model = schedule.grid(100 if exact else 40)[:-1].flip(0), MixtureDenoiser(mixture, schedule)
    ours = metrics.log_likelihood(model, x.repeat(often, 1), times, exact=exact, generator=generator)
    ours = ours.view(often, -1).mean(0)
    torch.testing.assert_close(ours, mixture.log_prob(x), atol=0.02 if exact else 0.5, rtol=0)


def small_denoiser(shape, net, **options):
    """Its weights want gradients, and its output is not 0, as an untrained one's is."""
    model = Denoiser(build(net, shape, width=16, **options), VP(), "edm")
    torch.nn.init.normal_(model.net.leave.weight, generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture
def graphs():
    """A function that counts the tensors which graphs of autograd keep at this moment."""
    alive = weakref.WeakSet()

    class Kept:
        def __init__(self, x):
            self.x = x.detach()  # with its graph an output would keep itself alive
            alive.add(self)

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.x):
        yield lambda: len(alive)


@pytest.mark.parametrize("measure", ["exact", "estimate", "bits"])
def test_likelihood_keeps_no_graph_from_step_to_step(measure, graphs, generator):
    times = VP().grid(6)[:-1].flip(0)
    shape, net = ((1, 8, 8), "unet") if measure == "bits" else ((2,), "mlp")
    model, seen = small_denoiser(shape, net), []
    model.net.register_forward_pre_hook(lambda *_: seen.append(graphs()))
    x = torch.randn(3, *shape, generator=generator)
    if measure == "bits":
        pictures = torch.randint(256, (3, *shape), generator=generator, dtype=torch.uint8)
        found = metrics.bits_per_dim(model, pictures, times, generator=generator)
    else:
        found = metrics.log_likelihood(model, x, times, exact=measure == "exact", generator=generator)
    assert len(seen) == 10 and len(set(seen)) == 1  # before each call only what its own input was made of
    assert graphs() == 0 and not found.requires_grad
    model(x.requires_grad_(), times[0]).x0.sum()
    assert torch.is_grad_enabled() and found.isfinite().all()


def test_no_graph_is_kept_while_sampling_by_a_classifiers_gradient(graphs, generator):
    model, seen = small_denoiser((1, 8, 8), "unet", classes=3), []
    judge = NoisyClassifier(1, 8, 3, VP(), 0.5, width=16)  # its weights want gradients as well
    model.net.register_forward_pre_hook(lambda *_: seen.append(graphs()))
    for sampler in SAMPLERS.values():
        x = torch.randn(2, 1, 8, 8, generator=generator, requires_grad=True)
        path = sampler(ClassifierGuided(model, judge), x, VP().grid(2), torch.tensor([0, 2]))
        assert not any(y.requires_grad for y in itertools.islice(path, 4))
    assert len(seen) >= 11 and set(seen) == {0}


PAIRED = (metrics.sliced_wasserstein, metrics.frechet_distance, metrics.kernel_distance, metrics.precision_recall)


@pytest.mark.parametrize("call", PAIRED)
def test_numbers_of_any_kind_are_welcome(call, generator):
    """Arrays, lists, whole numbers and mixtures of types: what is measured is the numbers."""
    a, b = (torch.randint(-9, 9, (30, 2), generator=generator) for _ in "ab")
    wanted = call(a.double(), b.double())
    for one, other in (
        (a.numpy(), b.numpy()), (a.tolist(), b.tolist()), (a, b.float()), (a.double(), b.float()), (a.half(), b),
        (a.float().requires_grad_(), b.bfloat16()), (a.to(torch.int8), b.double().numpy()),
    ):  # fmt: skip
        assert call(one, other) == wanted


@pytest.mark.parametrize("call", PAIRED)
def test_numbers_that_cannot_be_compared(call, generator):
    a, b = torch.randn(2, 30, 2, generator=generator)
    for bad in (math.nan, math.inf):
        broken = b.clone()
        broken[3, 1] = bad
        for pair in ((a, broken), (broken, a)):
            with pytest.raises(ValueError, match="1 of 60 numbers to be compared are not finite"):
                call(*pair)
    for pair in ((a[:, 0], b[:, 0]), (a[None], b[None]), (a[:0], b[:0]), (a[:, :0], b[:, :0]), (1.0, 2.0)):
        with pytest.raises(ValueError, match=r"\(N, D\)"):
            call(*pair)
    with pytest.raises(ValueError, match="expected numbers"):
        call(a, [["x", "y"]] * 30)


def test_other_measures_of_numbers_of_any_kind(generator):
    mixture, x = eight_gaussians(), eight_gaussians().sample(500, generator)
    assert metrics.modes_covered(x.double().numpy(), mixture) == metrics.modes_covered(x, mixture)
    assert metrics.inception_score(torch.eye(4, dtype=torch.int64).tolist()) == pytest.approx(4)
    pictures = torch.rand(2, 3, 4, 4, generator=generator)
    assert metrics.psnr(pictures, pictures.double().numpy() + 0.2) == pytest.approx(20, abs=1e-4)
    for call, words in (
        (lambda: metrics.modes_covered(x * math.nan, mixture), "not finite"),
        (lambda: metrics.modes_covered(x[:, :1], mixture), r"\(N, 2\)"),
        (lambda: metrics.inception_score(torch.tensor([[1.5, -0.5]])), "sum to 1"),
        (lambda: metrics.inception_score(torch.full((3, 2), math.nan)), "not finite"),
        (lambda: metrics.inception_score(torch.zeros(0, 10)), "sum to 1"),
        (lambda: metrics.psnr(pictures.to(torch.uint8), pictures), "expected floats"),
        (lambda: metrics.psnr(pictures[0], pictures[0]), "N, C, H, W"),
        (lambda: metrics.psnr(pictures / 0, pictures), "not finite"),
        (lambda: metrics.precision_recall(x, x, k=0), "k = 1"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize(
    "times, words",
    [
        (VP().grid(5), "rise from data to noise"),
        (VP().grid(5).flip(0), "all above 0"),
        ([0.1, 0.1, 0.5], "rise"),
        ([0.1, 0.5, 1.5], "got 1.5"),
        ([0.1, math.nan], "got nan"),
        ([0.5], "at least 2"),
    ],
    ids=["falling", "from 0", "equal", "beyond 1", "nan", "one"],
)
def test_times_of_a_likelihood_that_are_refused(times, words):
    model, pictures = MixtureDenoiser(eight_gaussians(), VP()), torch.zeros(4, 2, dtype=torch.uint8)
    for call in (
        lambda: metrics.log_likelihood(model, torch.zeros(4, 2), times),
        lambda: metrics.bits_per_dim(model, pictures, times),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_bad_input():
    a = torch.zeros(5, 2)
    with pytest.raises(ValueError, match="equally many"):
        metrics.sliced_wasserstein(a, torch.zeros(6, 2))
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
