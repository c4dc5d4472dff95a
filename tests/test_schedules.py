import math

import pytest
import torch

from minidiff.schedules import EDM, SCHEDULES, VE, VP, Cosine, Linear

EVERY = [cls() for cls in SCHEDULES.values()]


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_time_inverts_log_snr(schedule):
    t = torch.linspace(0.001, schedule.t_max, 500, dtype=torch.float64)
    torch.testing.assert_close(schedule.time(schedule.log_snr(t)), t, rtol=1e-9, atol=1e-12)
    t32 = t.float()
    torch.testing.assert_close(schedule.time(schedule.log_snr(t32)), t32, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_rates_are_the_derivatives(schedule):
    t = torch.linspace(0.01, 0.98, 100, dtype=torch.float64).requires_grad_()
    for i, rate in enumerate(schedule.rates(t)):
        value = schedule(t)[i]
        slope = torch.autograd.grad(value.sum(), t)[0] if value.requires_grad else torch.zeros_like(t)
        torch.testing.assert_close(rate, slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_starts_at_data_and_only_gets_noisier(schedule):
    alpha, sigma = schedule(torch.tensor(0.0))
    assert alpha == 1 and sigma == 0
    log_snr = schedule.log_snr(torch.linspace(1e-3, schedule.t_max, 1000, dtype=torch.float64))
    assert (log_snr.diff() < 0).all()
    assert log_snr[-1] < -7  # sampling starts from next to pure noise


@pytest.mark.parametrize("schedule", [VP(), Cosine()])
def test_variance_preserving(schedule):
    alpha, sigma = schedule(torch.linspace(0, 1, 100, dtype=torch.float64))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(100, dtype=torch.float64))


def test_known_values():
    # beta from 0.1 to 20: the integral of beta over [0, 1] is 10.05
    assert VP()(torch.tensor(1.0, dtype=torch.float64))[0].log().item() == pytest.approx(-10.05 / 2)
    assert VE()(torch.tensor(1.0))[1].item() == pytest.approx(50, rel=1e-6)
    assert EDM()(torch.tensor(0.25))[1].item() == 20
    assert [v.item() for v in Linear()(torch.tensor(0.25))] == [0.75, 0.25]


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 20, 1000])
def test_grid(schedule, steps):
    times = schedule.grid(steps)
    assert times.shape == (steps + 1,) and times.dtype == torch.float32
    assert times[0].item() == pytest.approx(schedule.t_max, rel=1e-6) and times[-1] == 0
    assert (times.diff() < 0).all()


def test_grid_visits_the_same_noise_on_every_path():
    levels = [s.log_snr(s.grid(20)[:-1].double()) for s in (VP(), Cosine(), Linear(), EDM())]
    for other in levels[1:]:
        torch.testing.assert_close(other, levels[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("schedule", [VP(), Cosine(), Linear(), EDM()], ids=repr)
def test_on_a_grid_the_seventh_root_of_the_noise_falls_evenly(schedule):
    alpha, sigma = schedule(schedule.grid(20)[:-1].double())
    falls = ((sigma / alpha) ** (1 / 7)).diff()
    torch.testing.assert_close(falls, falls.mean().expand_as(falls), rtol=1e-3, atol=0)  # t: float32


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_a_grid_of_equal_ratios(schedule):
    alpha, sigma = schedule(schedule.grid(5, math.inf, (16.0, 1.0))[:-1].double())
    torch.testing.assert_close(
        sigma / alpha, torch.tensor([16.0, 8, 4, 2, 1]).double(), rtol=1e-4, atol=0
    )  # t: float32


@pytest.mark.parametrize("noise", [(1.0, 1.0), (0.1, 20.0), (20.0, 0.0), (float("nan"), 0.1)])
def test_a_grid_falls(noise):
    with pytest.raises(ValueError, match="from more to less"):
        VP().grid(5, noise=noise)


def test_grid_refuses_no_steps():
    with pytest.raises(ValueError, match="at least 1 step"):
        VP().grid(0)
    for rho in (0, -7, float("nan")):
        with pytest.raises(ValueError, match="rho must be more than 0"):
            VP().grid(10, rho)
