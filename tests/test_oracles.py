import pytest
import torch

from minidiff.data.toys import EXACT, branches, eight_gaussians
from minidiff.oracles import EmpiricalDenoiser, GaussianMixture, MixtureDenoiser
from minidiff.samplers import ddim, last, start
from minidiff.schedules import VE, VP, Cosine

from .pretend import pretended

pytestmark = pytest.mark.usefixtures("float64")


def skewed():
    covariances = torch.tensor([[[0.5, 0.2], [0.2, 0.3]], [[0.1, 0.0], [0.0, 0.9]]])
    return GaussianMixture(torch.tensor([1.0, 3.0]), torch.tensor([[1.0, 0.0], [-1.0, 0.5]]), covariances)


def test_log_prob_against_torch(generator):
    mixture, x = skewed(), torch.randn(100, 2, generator=generator)
    parts = torch.distributions.MultivariateNormal(mixture.means, mixture.covariances)
    theirs = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mixture.weights), parts)
    torch.testing.assert_close(mixture.log_prob(x), theirs.log_prob(x))


@pytest.mark.parametrize("make", [skewed, *EXACT.values()])
def test_score_is_the_gradient(make, generator):
    mixture = make().to(torch.empty(0))
    x = mixture.diffuse(1.0, 0.1).sample(50, generator).requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_prob(x).sum(), x)
    torch.testing.assert_close(mixture.score(x.detach()), gradient, rtol=1e-6, atol=1e-6)


def test_samples_have_the_moments(generator):
    x, labels = skewed().sample_labelled(200_000, generator)
    assert (labels == 1).double().mean().item() == pytest.approx(0.75, abs=0.005)
    ours = x[labels == 0]
    torch.testing.assert_close(ours.mean(0), torch.tensor([1.0, 0.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(ours.T.cov(), skewed().covariances[0], atol=0.01, rtol=0)


@pytest.mark.parametrize("schedule", [VP(), VE(), Cosine()])
def test_denoiser_obeys_tweedie(schedule, generator):
    """x0 = (x_t + sigma^2 score_t) / alpha, with the score of the diffused mixture: another route to it."""
    model, t = MixtureDenoiser(skewed(), schedule), torch.tensor(0.4)
    alpha, sigma = schedule(t)
    x_t = torch.randn(100, 2, generator=generator)
    score = skewed().diffuse(alpha.item(), sigma.item()).score(x_t)
    torch.testing.assert_close(model(x_t, t).x0, (x_t + sigma**2 * score) / alpha)
    torch.testing.assert_close(model(x_t, t).eps, -sigma * score)
    torch.testing.assert_close(skewed().posterior_mean(x_t, alpha, sigma), model(x_t, t).x0)


def test_times_may_differ_by_row(generator):
    model, x = MixtureDenoiser(branches().to(torch.empty(0)), VP()), torch.randn(5, 2, generator=generator)
    t = torch.linspace(0.1, 0.9, 5)
    rows = torch.cat([model(x[i : i + 1], t[i]).x0 for i in range(5)])
    torch.testing.assert_close(model(x, t).x0, rows)


def test_equal_times_are_one_time(generator):
    model, x, labels = MixtureDenoiser(branches(), VP()), torch.randn(6, 2, generator=generator), torch.arange(6) % 2
    alike, apart = torch.full((6,), 0.4), torch.tensor([0.4, 0.4, 0.4, 0.4, 0.4, 0.9])
    for found, wanted in zip(model(x, alike, labels), model(x, apart, labels), strict=True):
        assert torch.allclose(found[:5], wanted[:5], rtol=1e-5, atol=1e-5) and not torch.allclose(found[5], wanted[5])
    assert model(x[:0], alike[:0]).x0.shape == (0, 2)


def test_conditions_restrict_the_mixture(generator):
    mixture = eight_gaussians().to(torch.empty(0))
    model, x, t = MixtureDenoiser(mixture, VP()), torch.randn(8, 2, generator=generator), torch.tensor(0.3)
    alone = MixtureDenoiser(mixture.given(3), VP())
    torch.testing.assert_close(model(x, t, torch.full((8,), 3)).x0, alone(x, t).x0)
    torch.testing.assert_close(model(x, t, torch.full((8,), model.null)).x0, model(x, t).x0)
    with pytest.raises(ValueError, match="label 9 is out of range"):
        mixture.given(9)


def test_empirical_is_a_mixture_of_points(generator):
    data = torch.randn(20, 2, generator=generator)
    labels = torch.arange(20) % 4
    points = GaussianMixture(torch.ones(20), data, torch.zeros(20, 2, 2), labels)
    ours, theirs = EmpiricalDenoiser(data, VP(), labels), MixtureDenoiser(points, VP())
    x, t = torch.randn(30, 2, generator=generator), torch.linspace(0.05, 0.95, 30)
    for cond in (None, torch.arange(30) % 5):
        torch.testing.assert_close(ours(x, t, cond).x0, theirs(x, t, cond).x0, atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(ours(x, t, cond).eps, theirs(x, t, cond).eps, atol=1e-9, rtol=1e-7)


def test_sampling_the_empirical_denoiser_memorises(generator):
    data = torch.randn(20, 3, 4, 4, generator=generator)
    model = EmpiricalDenoiser(data, VP())
    x = last(ddim(model, start(model, (50, 3, 4, 4), generator), VP().grid(30)))
    assert torch.cdist(x.flatten(1), data.flatten(1)).min(1).values.max() < 1e-3


def test_autocast_rounds_no_exact_model(generator):
    """Where bfloat16 is fast the package samples pictures under autocast: an exact model stays exact."""
    points, labels = torch.randn(20, 2, generator=generator), torch.arange(20) % 4
    mixture = GaussianMixture(torch.ones(20), points, 0.1 * torch.eye(2).expand(20, 2, 2), labels)
    x, t, cond = torch.randn(30, 2, generator=generator), torch.linspace(0.05, 0.95, 30), torch.arange(30) % 5
    for model in (EmpiricalDenoiser(points, VP(), labels), MixtureDenoiser(mixture, VP())):
        with torch.autocast("cpu", torch.bfloat16):
            cast = model(x, t, cond)
        assert torch.equal(cast.x0, model(x, t, cond).x0)
        assert torch.equal(cast.eps, model(x, t, cond).eps)


def test_a_call_in_float32_leaves_the_mixture_exact(generator):
    model, x, t = MixtureDenoiser(skewed(), VP()), torch.randn(5, 2, generator=generator), torch.tensor(0.3)
    before = model(x, t).x0
    assert model(x.float(), t).x0.dtype == torch.float32
    assert torch.equal(model(x, t).x0, before)


def test_a_mixture_made_on_a_device_is_there(monkeypatch):
    with pretended(monkeypatch) as device:
        mixture = GaussianMixture(
            *(v.to(device) for v in (torch.ones(2), torch.zeros(2, 2), torch.eye(2).expand(2, 2, 2)))
        )
        x, labels = mixture.sample_labelled(4)
        assert x.device == labels.device == mixture.given(1).means.device == device
        assert MixtureDenoiser(mixture, VP())(x, torch.tensor(0.3), torch.zeros(4)).x0.device == device


def test_bad_input():
    with pytest.raises(ValueError, match="needs weights"):
        GaussianMixture(torch.ones(3), torch.zeros(2, 2), torch.eye(2).expand(2, 2, 2))
    with pytest.raises(ValueError, match="negative eigenvalues"):
        GaussianMixture(torch.ones(1), torch.zeros(1, 2), -torch.eye(2)[None])
