import itertools
import math

import numpy as np
import pytest
import torch

from minidiff.data.toys import eight_gaussians
from minidiff.measure.metrics import sliced_wasserstein
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.samplers import SAMPLERS, ddim, dpmpp_2m, euler, heun, langevin, last, run_sampler, start, unipc
from minidiff.schedules import EDM, SCHEDULES, VE, VP, Cosine, Linear

EVERY = [cls() for cls in SCHEDULES.values()]
MEAN, VARIANCE = torch.tensor([0.3, -0.2], dtype=torch.float64), torch.tensor([0.25, 0.04], dtype=torch.float64)


def gaussian(schedule):
    return MixtureDenoiser(GaussianMixture(torch.ones(1).double(), MEAN[None], torch.diag(VARIANCE)[None]), schedule)


def flow(schedule, x, t, s):
    """The probability flow of a Gaussian from t to s: standardise at t, undo it at s."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    ratio = torch.sqrt((alpha_s**2 * VARIANCE + sigma_s**2) / (alpha_t**2 * VARIANCE + sigma_t**2))
    return alpha_s * MEAN + (x - alpha_t * MEAN) * ratio


@pytest.mark.parametrize("schedule", [VP(), Cosine(), Linear(), EDM(), VE()], ids=repr)
@pytest.mark.parametrize("sampler, order", [(ddim, 1), (euler, 1), (heun, 2), (dpmpp_2m, 2), (unipc, 3)])
def test_order_of_convergence(sampler, order, schedule, generator):
    errors = []
    for steps in (160, 640):
        times = torch.linspace(0.9, 0.1, steps + 1, dtype=torch.float64)
        x = schedule(times[0])[1] * torch.randn(64, 2, dtype=torch.float64, generator=generator.manual_seed(0))
        exact = flow(schedule, x, times[0], times[-1])
        errors.append((last(sampler(gaussian(schedule), x, times)) - exact).abs().max().item())
    assert math.log(errors[0] / errors[1], 4) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_the_exact_model_gives_the_law(name, schedule, generator):
    mixture = eight_gaussians()
    model = MixtureDenoiser(mixture, schedule)
    if name == "langevin":
        chain = langevin(model, start(model, (2000, 2), generator), schedule.grid(12), steps=20, generator=generator)
    else:
        steps = {"euler": 500, "ddim": 60}.get(name, 40)  # euler pays for every bend of the path
        chain = SAMPLERS[name](model, start(model, (2000, 2), generator), schedule.grid(steps))
    x = last(chain)
    real, again = mixture.sample(2000, generator), mixture.sample(2000, generator)
    assert torch.isfinite(x).all()
    # the modes' shares are drawn at random, which is most of the floor (about 0.06 at this n)
    assert sliced_wasserstein(x, real) < max(2 * sliced_wasserstein(real, again), 0.12)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ancestral_sampling_keeps_the_variance(eta, generator):
    """Noise removed and noise added balance: the sampled Gaussian has the right spread."""
    model = gaussian(VP())
    x = start(model, (20_000, 2), generator).double()
    x = last(ddim(model, x, VP().grid(1000), eta=eta, generator=generator))
    torch.testing.assert_close(x.var(0), VARIANCE, rtol=0.05, atol=0)
    torch.testing.assert_close(x.mean(0), MEAN, rtol=0.05, atol=0.01)
    # and it is drawn at all: from equal points one step has the variance of what is fresh (standard error 1%)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = (VP()(torch.tensor(t).double()) for t in (0.5, 0.4))
    x = last(ddim(model, torch.ones(20_000, 2).double(), [0.5, 0.4], eta=eta, generator=generator))
    fresh = eta**2 * (sigma_s**2 - (alpha_t * sigma_s**2 / (alpha_s * sigma_t)) ** 2)
    torch.testing.assert_close(x.var(0), fresh.expand(2), rtol=0.05, atol=0)


def test_churn_keeps_the_variance(generator):
    model = gaussian(EDM())
    x = start(model, (20_000, 2), generator).double()
    x = last(heun(model, x, EDM().grid(240), churn=40, generator=generator))
    torch.testing.assert_close(x.var(0), VARIANCE, rtol=0.05, atol=0)
    # one step from equal points at t: noise up to (1 + churn) t, then a step that is linear in x, for a Gaussian
    t, s, churn = 0.01, 0.005, 0.3
    x = last(heun(model, torch.ones(20_000, 2).double(), [t, s], churn=churn, generator=generator))
    zero, one = (last(heun(model, torch.full((1, 2), v).double(), [(1 + churn) * t, s])) for v in (0.0, 1.0))
    added = ((1 + churn) ** 2 - 1) * (EDM().sigma_max * t) ** 2
    torch.testing.assert_close(x.var(0), (one - zero)[0] ** 2 * added, rtol=0.05, atol=0)


def test_langevin_step_is_ncsns(generator):
    """x + a / 2 * score + sqrt(a) z with a = step_size * sigma^2."""
    model, t = gaussian(VE()), torch.tensor([0.5], dtype=torch.float64)
    x = torch.ones(3, 2, dtype=torch.float64)
    moved = next(langevin(model, x, t, steps=1, step_size=0.1, generator=torch.Generator().manual_seed(1)))
    z = torch.randn(3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigma = VE()(t)[1]
    target = (MEAN - x) / (VARIANCE + sigma**2)
    torch.testing.assert_close(moved, x + 0.05 * sigma**2 * target + math.sqrt(0.1) * sigma * z)


class Counted:
    def __init__(self, model):
        self.model, self.schedule, self.calls = model, model.schedule, 0

    def __call__(self, x, t, cond=None):
        assert torch.as_tensor(self.schedule(t)[1]).min() > 0
        self.calls += 1
        return self.model(x, t, cond)


@pytest.mark.parametrize("name, calls", [("ddim", 10), ("euler", 10), ("heun", 19), ("dpmpp_2m", 10), ("unipc", 10)])
def test_calls_and_yields(name, calls, generator):
    model = Counted(MixtureDenoiser(eight_gaussians(), Cosine()))
    path = list(SAMPLERS[name](model, start(model, (4, 2), generator), Cosine().grid(10)))
    assert model.calls == calls and len(path) == 10


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_unipc_needs_few_calls(schedule, generator):
    """From one noise, six calls of it end a quarter as far from the ODE's end as six of the others: of most, as a few
    samples between two modes go either way."""
    ring = eight_gaussians()
    ring = GaussianMixture(ring.weights.double(), ring.means.double(), ring.covariances.double())
    model = MixtureDenoiser(ring, schedule)
    x = start(model, (200, 2), generator).double()
    exact = last(dpmpp_2m(model, x, schedule.grid(500).double()))
    ends = {name: last(run_sampler(model, x, name, 6)) for name in ("ddim", "dpmpp_2m", "unipc")}
    away = {name: (end - exact).norm(dim=1).median().item() for name, end in ends.items()}
    assert away["unipc"] < min(away["ddim"], away["dpmpp_2m"]) / 4, away


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_returns_x0(name, generator):
    model = MixtureDenoiser(eight_gaussians(), Linear())
    x = start(model, (4, 2), generator)
    options = {"steps": 0} if name == "langevin" else {}
    one = last(SAMPLERS[name](model, x, Linear().grid(1), **options))
    torch.testing.assert_close(one, model(x, Linear().grid(1)[0]).x0)


@pytest.mark.parametrize(
    "times, words",
    [
        ([1.5, 0.5, 0.0], "between 0 .data. and 1 .noise., got 1.5"),
        ([0.5, 0.2, -0.1], "got -0.1"),
        ([float("nan"), 0.5, 0.0], "got nan"),
        ([0.9, float("nan"), 0.0], "got nan"),
        ([float("inf"), 0.5, 0.0], "got inf"),
        (torch.arange(999, -1, -111), "got 999"),
        (np.linspace(1000, 0, 5), "got 1000"),
        ([0.0, 0.5, 0.9], "must fall"),
        ([0.9, 0.5, 0.7, 0.1], "must fall"),
        ([0.9, 0.5, 0.5, 0.1], "two of them are equal"),
        ([0.5, 0.0, 0.0], "two of them are equal"),
        ([0.0], "at least 2|must fall"),
        ([], "at least"),
        (0.5, "vector"),
        ([[0.9, 0.1]], "vector"),
        (["late", "early"], "vector of numbers"),
        (None, "vector of numbers"),
    ],
    ids=str,
)
def test_times_that_are_refused(times, words):
    for sampler, schedule in itertools.product(SAMPLERS.values(), EVERY):
        with pytest.raises(ValueError, match=words):
            last(sampler(MixtureDenoiser(eight_gaussians(), schedule), torch.zeros(4, 2), times))


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
@pytest.mark.parametrize("times", [[1, 0], [1.0, 0.5, 0.0], [1.0, 0.5]], ids=str)
def test_pure_noise_is_a_time_only_where_the_path_has_data_left(schedule, times, generator):
    model, x = MixtureDenoiser(eight_gaussians(), schedule), torch.randn(4, 2, generator=generator)
    for name, sampler in SAMPLERS.items():
        options = {"steps": 1} if name == "langevin" else {}
        if isinstance(schedule, Cosine | Linear):  # alpha(1) = 0
            with pytest.raises(ValueError, match=f"start at its t_max, {schedule.t_max:.4g}"):
                last(sampler(model, x, times, **options))
        else:
            assert last(sampler(model, x, times, **options)).isfinite().all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_times_and_x_of_any_kind_of_number(name, generator):
    """A list, an array, float64 times: the same as a tensor like x. float64 x stays float64."""
    model = MixtureDenoiser(eight_gaussians(), VP())
    x, times = start(model, (4, 2), generator).double(), [0.75, 0.5, 0.25]

    def run(x, times):
        return last(SAMPLERS[name](model, x, times, generator=generator.manual_seed(0))
                    if name == "langevin" else SAMPLERS[name](model, x, times))  # fmt: skip

    wanted = run(x, torch.tensor(times).double())
    assert wanted.dtype == torch.float64
    for same in (times, np.array(times), torch.tensor(times), torch.tensor(times, requires_grad=True)):
        assert torch.equal(run(x, same), wanted)
    assert torch.equal(run(x.numpy(), times), wanted)
    with pytest.raises(ValueError, match="expected floats"):
        run(torch.zeros(4, 2, dtype=torch.uint8), times)


def test_no_times_and_no_eta_beyond_1():
    with pytest.raises(ValueError, match="eta must be between"):
        last(ddim(MixtureDenoiser(eight_gaussians(), VP()), torch.zeros(4, 2), [0.5, 0.1], eta=2.0))
    with pytest.raises(ValueError, match="no step"):
        last(iter(()))
