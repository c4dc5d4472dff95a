"""The parts of the lectures' experiments whose answer is known."""

import os
import time
from types import SimpleNamespace

import pytest
import torch
from experiments import (
    blind,
    conditioning,
    distant,
    divergences,
    latents,
    lecture03,
    lecture04,
    lecture07,
    lecture08,
    moving,
    stacks,
    tools,
)
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from minidiff import data
from minidiff.data.toys import eight_gaussians
from minidiff.denoise import Denoiser
from minidiff.measure.nets import parameters
from minidiff.nets import DiT
from minidiff.nets.text import TextEncoder
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.samplers import ddim, last
from minidiff.schedules import Linear


@pytest.mark.parametrize("prediction", ["eps", "v", "flow", "x0"])
def test_embedded_told_is_the_exact_denoiser(prediction, generator):
    """In the plane it is the mixture's own; in more dimensions the plane is unchanged and the rest is noise alone."""
    x_t, t = torch.randn(50, 2, generator=generator), torch.tensor(0.4)
    exact = MixtureDenoiser(eight_gaussians(), Linear())(x_t, t)
    for dim in (2, 10):
        rest = torch.randn(50, dim - 2, generator=generator)
        x0, eps = tools.Embedded(dim, prediction)(torch.cat([x_t, rest], 1), t)
        torch.testing.assert_close(x0[:, :2], exact.x0, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(eps[:, 2:], rest / 0.4, rtol=1e-4, atol=1e-4)
        assert x0[:, 2:].abs().max() < 1e-4 if dim > 2 else True


def test_embedded_with_a_spread_is_a_mixture_in_all_dimensions(generator):
    """The same eight Gaussians as a GaussianMixture in five dimensions; blind, the mean over its levels."""
    plane = eight_gaussians()
    means = torch.cat([plane.means, torch.zeros(8, 3)], 1)
    whole = GaussianMixture(torch.ones(8), means, 0.05**2 * torch.eye(5).expand(8, 5, 5))
    x_t, model = torch.randn(20, 5, generator=generator), tools.Embedded(5, "flow", blind=True, spread=0.05)
    found = tools.Embedded(5, "flow", spread=0.05)(x_t, torch.tensor(0.4))
    exact = MixtureDenoiser(whole, Linear())
    for a, b in zip(found, exact(x_t, torch.tensor(0.4)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    log_p = torch.stack([whole.diffuse(1 - t, t).log_prob(x_t) for t in model.times])
    flow = torch.stack([p.eps - p.x0 for p in (exact(x_t, t) for t in model.times)])
    mean = (torch.softmax(log_p, 0)[..., None] * flow).sum(0)
    blind = model(x_t, torch.tensor(0.7))
    torch.testing.assert_close(blind.eps - blind.x0, mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("target, times", [("flow", 1.0), ("v", 4.81), ("x0", 0.0)])
def test_what_becomes_of_a_misread_level(target, times, generator):
    """In many dimensions, started 1% too long at t = .9: x0 loses it, flow keeps it, v multiplies it (by e^(pi/2) from
    t = 1, by a little less from .9)."""
    model = tools.Embedded(2000, target, blind=True, levels=4000)
    x = torch.randn(1, 2000, generator=generator)
    x = 0.9 * 1.01 * x / x.square().mean().sqrt()
    x[:, :2] = torch.tensor([0.8, 0.0])  # on its way to a mode
    grid = torch.cat([torch.linspace(0.9**0.25, 0.01**0.25, 150) ** 4, torch.zeros(1)])
    left = last(ddim(model, x, grid))[:, 2:].square().mean().sqrt().item() / (0.9 * 0.01)
    assert left == pytest.approx(times, rel=0.15, abs=0.1)


def test_told_and_blind_nets_have_about_equal_parameters():
    """To 2%."""
    for dim, width in ((2, 128), (64, 256), (192, 512)):
        blind_net, told = (blind.Net(dim, which, width) for which in (False, True))
        assert 1 < parameters(told) / parameters(blind_net) < 1.02
    one = blind.Net(2, False)
    assert one(torch.ones(3, 2), torch.zeros(3)).equal(one(torch.ones(3, 2), torch.ones(3)))


def test_a_raw_denoiser_gives_no_level_away(generator):
    """A blind net under Raw says the same at every time; under Denoiser, which scales its input, it does not."""
    net, x = blind.Net(2, False), torch.randn(4, 2, generator=generator)
    early, late = torch.tensor(0.2), torch.tensor(0.8)
    raw, scaled = blind.Raw(net, Linear(), "flow"), Denoiser(net, Linear(), "flow")
    assert raw.output(x, early).equal(raw.output(x, late)) and not scaled.output(x, early).equal(scaled.output(x, late))


def test_embedded_posterior_by_simulation(generator):
    """Among many draws of (t, x_t), those near one point come from the times that the posterior names."""
    model = tools.Embedded(2, levels=200)
    t = model.times[torch.randint(200, (400_000,), generator=generator)]
    x0 = model.sample(len(t), generator)
    x_t = (1 - t)[:, None] * x0 + t[:, None] * torch.randn(x0.shape, generator=generator)
    point = torch.tensor([[0.2, 0.1]])
    near = (x_t - point).norm(dim=1) < 0.05
    weights = model.posterior(point)[:, 0]
    mean = (weights * model.times).sum()
    assert near.sum() > 500 and t[near].mean() == pytest.approx(mean.item(), abs=0.03)


def test_blind_embedded_averages_over_the_posterior():
    """The blind field depends on the time it is asked at only through the 2x2 system: its target is one for all."""
    told, blind = tools.Embedded(8, "x0"), tools.Embedded(8, "x0", blind=True)
    x_t = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(blind(x_t, torch.tensor(0.2)).x0, blind(x_t, torch.tensor(0.8)).x0, rtol=1e-4, atol=1e-5)
    weights = blind.posterior(x_t)
    mean = sum(w[:, None] * told(x_t, t).x0 for w, t in zip(weights, blind.times, strict=True))
    torch.testing.assert_close(blind(x_t, torch.tensor(0.5)).x0, mean, rtol=1e-3, atol=1e-4)


def test_half_and_half_has_its_map(generator):
    x0 = torch.zeros(4000, 1, 8, 8)
    x, eps, noise_map = conditioning.half_and_half(x0, torch.full((4000,), 0.5), generator, 2.0)
    torch.testing.assert_close(x, noise_map * eps)
    assert set(noise_map.unique().tolist()) == {0.5, 1.0}
    assert ((noise_map == 1.0).flatten(1).sum(1) == 32).all()
    assert noise_map[:, 0, 0, 0].mean() == pytest.approx(0.75, abs=0.02)  # either half, either side
    assert conditioning.half_and_half(x0, torch.full((4000,), 0.5), generator, 1.0)[2].unique().tolist() == [0.5]


def test_conditionings_have_about_equal_parameters():
    """To half a per cent, as lecture 04 says."""
    sizes = {
        c: parameters(DiT(1, 8, None, 64, 4, conditioning=c, mlp_ratio=r)) for c, r in conditioning.MLP_RATIOS.items()
    }
    assert max(sizes.values()) / min(sizes.values()) < 1.005


def test_mmse_by_simulation(generator):
    """The error of the best guess of a random sign s from s + noise of variance 1 / m, which is tanh(m x)."""
    for m in (0.5, 1.0, 4.0):
        s = 2.0 * torch.randint(2, (400_000,), generator=generator) - 1
        x = s + torch.randn(s.shape, generator=generator) / m**0.5
        assert (torch.tanh(m * x) - s).square().mean().item() == pytest.approx(distant.mmse(m), abs=0.005)


def test_pairs_agree(generator):
    x, sign = distant.pairs(500, generator)
    left, right = (x[(slice(None), 0, *place)].mean((1, 2)) for place in distant.PATCHES)
    assert torch.equal(left, sign) and torch.equal(right, sign) and 0.4 < (sign > 0).float().mean() < 0.6
    assert (x != 0).sum() == 500 * 8


def test_noise_level_in_statistics_is_easier_to_read_where_noise_is_loud():
    x = data.load("photos").batch(800, torch.Generator().manual_seed(0))[0].mean(1, keepdim=True)
    assert lecture04.r_squared(x, 0, least=0.2) > lecture04.r_squared(x, 0) > 0.5


def test_bands_cover_their_levels(generator):
    schedule = Linear()
    t = lecture03.band_times(torch.tensor(0.1), torch.tensor(1.0))(1000, schedule, generator)
    alpha, sigma = schedule(t)
    level = sigma / alpha
    assert 0.099 < level.min() < 0.11 and 0.9 < level.max() < 1.01
    assert level.log10().mean() == pytest.approx(-0.5, abs=0.05)


def test_verdict_of_a_ratio():
    mean, low, high = tools.ratio_interval([0.0, 0.1, -0.1])
    assert mean == pytest.approx(1.0) and low * high == pytest.approx(1.0)  # symmetric in the logarithm


def test_interval_of_a_share_ends_where_shares_do():
    """Of 1, 1 and .9 the 95% interval would reach 1.11, and a claim "at least .75" be undecided."""
    mean, low, high = tools.share_interval([1.0, 1.0, 0.9])
    assert (mean, low) == pytest.approx(tools.interval([1.0, 1.0, 0.9])[:2]) and high == 1.0
    assert tools.share_interval([0.0, 0.1])[1] == 0.0
    assert tools.share_interval([0.4, 0.5, 0.6]) == tools.interval([0.4, 0.5, 0.6])


def test_laws_of_guidance_by_hand():
    """At gamma 3, N(0, 1) in N(0, 2): .5, .25 and .3875; at gamma 1 all are the conditional itself."""
    at_3, at_1 = (lecture07.laws(gamma, *lecture07.ONE) for gamma in (3.0, 1.0))
    assert [round(v.item(), 4) for v in at_3.values()] == [0.5, 0.25, 0.3875]
    assert all(v.item() == pytest.approx(1.0) for v in at_1.values())


def test_guided_samples_follow_the_laws():
    """In 8 dimensions, to the error of 4,000 samples and of the coarse steps."""
    found, laws = lecture07.guided_samples(2.0, *lecture07.EIGHT, n=4000, seed=0), lecture07.laws(2.0, *lecture07.EIGHT)
    for way, x in found.items():
        assert (x.square().mean(0) / laws[way]).mean().item() == pytest.approx(1, abs=0.05), way


def test_fits_by_divergence():
    """Forward KL has the data's moments, 0 and 4.25; reverse KL sits on one mode."""
    forward, reverse = (divergences.fitted(which) for which in ("forward", "reverse"))
    step = divergences.STEP
    assert (forward * divergences.LINE**2).sum().item() * step == pytest.approx(4.25, abs=0.01)
    assert abs((reverse * divergences.LINE).sum().item() * step) == pytest.approx(2, abs=0.05)


def test_ways_to_read_have_about_equal_parameters():
    sizes = [parameters(lecture08.network(way, 0)) for way in lecture08.WIDTHS]
    assert max(sizes) / min(sizes) < 1.02


def test_the_bound_on_a_likelihood_is_exact_for_the_exact_model(generator):
    """One Gaussian with directions of little and of much variance, 6,000 draws: to a hundredth of a nat a latent."""
    spread = torch.tensor([0.02, 0.1, 0.5, 0.9])
    mixture = GaussianMixture(torch.ones(1), 0.3 * torch.ones(1, 4), torch.diag(spread**2)[None])

    class Exact(torch.nn.Module):
        schedule = Linear()

        def __init__(self):
            super().__init__()
            self.where = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x_t, t):
            return MixtureDenoiser(mixture, self.schedule)(x_t, t)

    z = mixture.sample(6000, generator)
    assert latents.nats(Exact(), z) / 4 == pytest.approx(mixture.log_prob(z).mean().item() / 4, abs=0.01)


def test_flops_of_a_step_are_those_of_forward_and_backward_passes():
    """A linear layer: 2 n a b forward, and twice that backward, but once where its input needs no gradient."""
    layer = torch.nn.Linear(5, 7)
    with stacks.Counted() as counted:
        layer(torch.zeros(3, 5)).sum().backward()
    assert counted.total == 2 * (2 * 3 * 5 * 7)
    with stacks.Counted() as counted:
        layer(torch.zeros(3, 5, requires_grad=True)).sum().backward()
    assert counted.total == 3 * (2 * 3 * 5 * 7)


def test_combinations_that_are_kept_from_training():
    for held in lecture08.HELD:
        masks = [lecture08.combinations(held, seed) for seed in range(5)]
        for mask in masks:
            assert mask.sum() == held and not torch.equal(mask, lecture08.combinations(held, 7))
            assert all(count.max() - count.min() <= 1 for count in (mask.sum(0), mask.sum(1)))


def test_clips_move_as_their_captions_say():
    x, captions = moving.clips(50, torch.Generator().manual_seed(0))
    found = moving.followed(x, captions)
    assert found["colour"] == found["direction"] == 1 and found["jump, pixels"] < 0.2
    turned = moving.followed(x.flip(2), captions)  # backwards in time
    assert turned["colour"] == 1 and turned["direction"] == 0
    assert moving.followed(x[:, :, torch.randperm(16)], captions)["jump, pixels"] > 1


@pytest.mark.parametrize("apart", [False, True])
def test_frames_see_each_other_unless_kept_apart(apart):
    torch.manual_seed(0)
    net = moving.SpacetimeDiT(TextEncoder(20, 5, 32), width=32, depth=1, apart=apart)
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    x = torch.randn(1, 3, 16, 16, 16, requires_grad=True)
    gradient = torch.autograd.grad(net(x, torch.zeros(1), torch.ones(1, 5).long())[:, :, 0].sum(), x)[0]
    assert gradient[:, :, 0].abs().max() > 0
    assert (gradient[:, :, -1].abs().max() == 0) == apart


@pytest.fixture
def processes(monkeypatch):
    """cpu mode on a machine with two cores."""
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # not what the processes are to have
        monkeypatch.setenv(name, "2")
    monkeypatch.setattr(tools, "cpu_count", lambda: 2)
    yield
    get_reusable_executor(2).shutdown()


def test_processes_share_the_calls(processes):
    """With closures, one thread each, the results in the order of the lists, and those of a generator as here."""
    here, shift = os.getpid(), torch.tensor(1.0)

    def one(seed, name):
        time.sleep(0.2 * (seed == 0))  # the first calls end last
        x = shift + torch.randn(3, generator=torch.Generator().manual_seed(seed))
        return (seed, name, os.getpid() != here, torch.get_num_threads()), x

    rows, found = zip(*tools.in_parallel(one, range(3), "ab"), strict=True)
    assert list(rows) == [(seed, name, True, 1) for seed in range(3) for name in "ab"]
    assert torch.equal(torch.stack(found[::2]), torch.stack([one(seed, "a")[1] for seed in range(3)]))


def test_what_fails_in_a_process_fails_here(processes):
    """And the calls after it have processes again."""

    def fails(seed):
        if seed == 2:
            raise ValueError(f"seed {seed} cannot be")

    with pytest.raises(ValueError, match="seed 2 cannot be"):
        tools.in_parallel(fails, range(4))
    with pytest.raises(TerminatedWorkerError):
        tools.in_parallel(lambda seed: os._exit(1), range(2))
    assert tools.in_parallel(abs, (-1, 2)) == [1, 2]


@pytest.mark.parametrize("least", [1.1, 1.3, 1.9, 2.6])
def test_place_of_least_finds_a_parabola_s(least):
    grid = torch.tensor([0.5, 1.0, 1.5, 2.0, 3.0, 5.0], dtype=torch.float64)
    assert tools.place_of_least(grid, 3 * (grid - least) ** 2 + 0.7) == pytest.approx(least)


@pytest.mark.parametrize(("values", "least"), [([1, 2, 3], 1), ([3, 2, 1], 4), ([3, 1, 2], 2.7), ([2, 2, 2], 1)])
def test_place_of_least_of_three(values, least):
    """At an end it is the end; within, where 3 - 2 (x - 1) + (x - 1)(x - 2) 5/6 has no slope: 2 x - 3 = 12/5."""
    assert tools.place_of_least(torch.tensor([1.0, 2.0, 4.0]), torch.tensor(values)) == pytest.approx(least)


def test_a_smoke_run_has_one_process(processes, monkeypatch):
    """So what a call changes is changed here."""
    monkeypatch.setenv("MINIDIFF_MODE", "smoke")
    seen = []
    tools.in_parallel(lambda *call: seen.append((*call, os.getpid())), range(2), "ab")
    assert seen == [(seed, name, os.getpid()) for seed in range(2) for name in "ab"]


@pytest.mark.parametrize(("gib", "calls", "most"), [(6, 20, 1), (24, 20, 3), (24, 2, 2), (140, 20, 16), (140, 5, 5)])
def test_processes_share_a_gpu_as_long_as_its_memory_lasts(gib, calls, most, monkeypatch):
    monkeypatch.setenv("MINIDIFF_MODE", "gpu")
    monkeypatch.setattr(tools, "cpu_count", lambda: 16)
    monkeypatch.setattr(tools, "pick", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=gib * 2**30))
    assert tools.processes(calls) == most
    monkeypatch.setenv("MINIDIFF_MODE", "cpu")
    assert tools.processes(calls) == min(16, calls)
