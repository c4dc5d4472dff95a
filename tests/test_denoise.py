import math

import pytest
import torch
from torch import nn

from minidiff.data.toys import eight_gaussians
from minidiff.denoise import (
    PREDICTIONS,
    TIMES,
    WEIGHTINGS,
    Denoiser,
    coefficients,
    score,
    velocity,
)
from minidiff.guidance import ClassifierGuided, Guided
from minidiff.nets import build
from minidiff.oracles import EmpiricalDenoiser, GaussianMixture, MixtureDenoiser
from minidiff.schedules import SCHEDULES, VE, VP, Cosine, Linear, expand
from minidiff.text import Tokenizer

EVERY = [cls() for cls in SCHEDULES.values()]


class Answer(nn.Module):
    """A net that returns a tensor given beforehand and remembers how it was called."""

    null = 10

    def forward(self, x, c_noise, cond):
        self.called = x, c_noise, cond
        return self.out


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_round_trip(prediction, schedule, generator):
    """The net's perfect output gives back x0 and eps."""
    x0, eps = torch.randn(2, 64, 3, 4, 4, dtype=torch.float64, generator=generator)
    t = torch.linspace(0.02, min(0.98, schedule.t_max), 64, dtype=torch.float64)
    model = Denoiser(Answer(), schedule, prediction)
    a, b = coefficients(prediction, schedule, t)
    model.net.out = expand(a, x0) * x0 + expand(b, x0) * eps
    alpha, sigma = schedule(t)
    x_t = expand(alpha, x0) * x0 + expand(sigma, x0) * eps
    ours = model(x_t, t)
    torch.testing.assert_close(ours.x0, x0, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(ours.eps, eps, rtol=1e-7, atol=1e-7)
    x_in, c_noise, _ = model.net.called
    assert 0.5 < x_in.std() < 2
    torch.testing.assert_close(c_noise, torch.log(sigma / alpha) / 4)


def test_edm_on_vp_with_unit_data_is_minus_v():
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    for ours, v in zip(coefficients("edm", VP(), t, 1.0), coefficients("v", VP(), t), strict=True):
        torch.testing.assert_close(ours, -v)


@pytest.mark.parametrize("prediction", ["x0", "eps", "edm"])
def test_a_net_does_not_notice_the_schedule(prediction, generator):
    """Trained for one path, read on another: the same x0 at the same signal-to-noise ratio."""
    net = build("mlp", (2,), width=32).double()
    nn.init.normal_(net.leave.weight, generator=generator)
    y, log_snr = torch.randn(50, 2, dtype=torch.float64, generator=generator), torch.linspace(-6, 6, 50).double()
    found = []
    for schedule in (VP(), VE(), Cosine(), Linear()):
        t = schedule.time(log_snr)
        found.append(Denoiser(net, schedule, prediction)(expand(schedule(t)[0], y) * y, t).x0)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_score_and_velocity_of_the_exact_model(schedule, generator):
    mixture = eight_gaussians(std=0.2).to(torch.empty(0, dtype=torch.float64))
    model, t = MixtureDenoiser(mixture, schedule), torch.tensor(0.3, dtype=torch.float64)
    alpha, sigma = (v.item() for v in schedule(t))
    x = mixture.diffuse(alpha, sigma).sample(100, generator)
    torch.testing.assert_close(score(model, x, t), mixture.diffuse(alpha, sigma).score(x))
    # dx/dt = f x - g^2 / 2 score, with f = alpha'/alpha and g^2 = d sigma^2/dt - 2 f sigma^2
    d_alpha, d_sigma = (v.item() for v in schedule.rates(t))
    drift = d_alpha / alpha
    g2 = 2 * sigma * d_sigma - 2 * drift * sigma**2
    torch.testing.assert_close(velocity(model, x, t), drift * x - g2 / 2 * score(model, x, t))


def test_the_exact_answer_has_the_least_loss(generator):
    """The loss of an output that is off by a constant is larger by that constant squared."""
    x0 = torch.randn(256, 2, generator=generator)
    model = Denoiser(Answer(), VP(), "eps")
    t = torch.full((256,), 0.5)
    model.net.out = torch.zeros(256, 2)
    eps = torch.randn(256, 2, generator=torch.Generator().manual_seed(7))
    loss = model.loss(x0, t=t, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(loss, eps.square().mean(1))
    model.net.out = eps + 0.5
    loss = model.loss(x0, t=t, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(loss, torch.full((256,), 0.25))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_weighted_losses_agree_across_predictions(prediction, generator):
    """With a weight, the loss is weight * |x0 - guess|^2 whatever the net predicts."""
    x0 = torch.randn(64, 2, generator=generator, dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 64, dtype=torch.float64)
    model = Denoiser(Answer(), Cosine(), prediction)
    eps = torch.randn(64, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    a, b = (expand(v, x0) for v in coefficients(prediction, Cosine(), t))
    alpha, sigma = (expand(v, x0) for v in Cosine()(t))
    guess = x0 + 0.1
    guess_eps = (alpha * x0 + sigma * eps - alpha * guess) / sigma
    model.net.out = a * guess + b * guess_eps
    loss = model.loss(x0, t=t, weight=WEIGHTINGS["snr"], generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(loss, Cosine().log_snr(t).exp() * 0.01)


def test_weightings():
    log_snr = torch.linspace(-6, 6, 100, dtype=torch.float64)
    snr = log_snr.exp()
    weights = {name: weight(log_snr) for name, weight in WEIGHTINGS.items() if weight is not None}
    assert len(weights) == 5
    torch.testing.assert_close(weights["uniform"], torch.ones_like(snr))
    torch.testing.assert_close(weights["snr"], snr)
    torch.testing.assert_close(weights["min_snr"], torch.minimum(snr, torch.full_like(snr, 5)))
    sigma = (-log_snr / 2).exp()
    torch.testing.assert_close(weights["edm"], (sigma**2 + 0.25) / (0.5 * sigma) ** 2)
    torch.testing.assert_close(weights["sigmoid"], snr / (1 + (log_snr - 2).exp()))


def test_dropped_labels(generator):
    model = Denoiser(Answer(), VP())
    model.net.out = torch.zeros(4000, 2)
    labels = torch.arange(4000) % 10
    model.loss(torch.zeros(4000, 2), labels, p_uncond=0.25, generator=generator)
    seen = model.net.called[2]
    assert (seen == 10).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert (seen[seen != 10] == labels[seen != 10]).all()
    model.loss(torch.zeros(4000, 2), labels, p_uncond=0.0)
    assert (model.net.called[2] == labels).all()


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("schedule", EVERY, ids=SCHEDULES)
def test_training_times_stay_in_range(times, schedule, generator):
    t = times(5000, schedule, generator)
    assert t.shape == (5000,) and t.min() >= schedule.t_min * 0.999 and t.max() <= schedule.t_max
    again = times(5000, schedule, torch.Generator().manual_seed(0))
    assert (t == again).all()


def log_noise(t):
    return -VP().log_snr(t) / 2


@pytest.mark.parametrize("name, of, mean, std", [
    ("uniform", lambda t: t / VP().t_max, 0.5, 12**-0.5), ("logit_normal", torch.logit, 0.0, 1.0),
    ("lognormal", log_noise, -1.2, 1.2), ("noisy_lognormal", log_noise, 0.1, 1.3),
])  # fmt: skip
def test_training_times_have_their_law(name, of, mean, std, generator):
    """Of 20,000 the standard error of a mean is .01 at most."""
    found = of(TIMES[name](20_000, VP(), generator))
    assert found.mean().item() == pytest.approx(mean, abs=0.03)
    assert found.std().item() == pytest.approx(std, abs=0.03)


def conditional(seed=0):
    """A Denoiser of points of three classes, its output not 0 as an untrained one's is."""
    model = Denoiser(build("mlp", (2,), 3, width=16), VP(), "edm")
    nn.init.normal_(model.net.leave.weight, generator=torch.Generator().manual_seed(seed))
    return model


def models_of_labels():
    """Every Model that takes labels: 0 to 2, and 3 for none."""
    model, x = conditional(), torch.linspace(-1, 1, 12).view(6, 2)
    mixture = GaussianMixture(torch.ones(3), torch.eye(3, 2), 0.1 * torch.eye(2).expand(3, 2, 2))
    oracle = MixtureDenoiser(mixture, VP())
    return {
        "denoiser": model,
        "mixture": oracle,
        "empirical": EmpiricalDenoiser(x, VP(), torch.tensor([0, 0, 1, 1, 2, 2])),
        "guided": Guided(model, 2.0),
        "negative": Guided(model, 2.0, negative=1),
        "autoguided": Guided(model, 2.0, weak=conditional(1)),
        "by a classifier": ClassifierGuided(oracle, lambda x, t: x @ torch.eye(2, 3).to(x), 2.0),
    }


@pytest.mark.parametrize("name", models_of_labels())
def test_labels_and_points_of_any_kind(name, generator):
    """Arrays, lists, columns, small integers, one for all: each means the same as labels (B,), int64."""
    model, x, t = models_of_labels()[name], torch.randn(4, 2, generator=generator), torch.tensor(0.5)
    labels = torch.tensor([0, 1, 2, 1])
    wanted = model(x, t, labels)
    for same in (labels.numpy(), labels.tolist(), tuple(labels.tolist()), labels[:, None], labels.int(),
                 labels.to(torch.uint8), labels.float(), labels.numpy().astype("int16")[:, None]):  # fmt: skip
        torch.testing.assert_close(model(x, t, same), wanted)
    torch.testing.assert_close(model(x, t, 1), model(x, t, torch.ones(4, dtype=torch.long)))
    torch.testing.assert_close(model(x.numpy(), 0.5, labels), wanted)
    double = model(x.double(), t, labels)
    assert double.x0.dtype == double.eps.dtype == torch.float64
    torch.testing.assert_close(double.x0.float(), wanted.x0, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", models_of_labels())
@pytest.mark.parametrize(
    "labels",
    [[0.5, 1.0, 2.0, 1.0], [0.0, 1.0, math.nan, math.inf], torch.eye(4, 3), [0, 1], [[0, 1]] * 4,
     [0, 1, 2, -1], [0, 1, 2, 9],
     ["a", "b", "c", "d"], [0, 1, None, 2], torch.zeros(4, 2, 1, dtype=torch.long)],
    ids=["halves", "not finite", "one-hot", "too few", "pairs", "negative", "too large", "words", "None", "pictures"],
)  # fmt: skip
def test_labels_that_are_refused(name, labels):
    with pytest.raises(ValueError, match="labels|label .* is out of range|whole numbers"):
        models_of_labels()[name](torch.zeros(4, 2), torch.tensor(0.5), labels)


def test_points_that_are_refused():
    model = conditional()
    for x in (torch.zeros(4, 2, dtype=torch.uint8), [[1, 2]], "points", torch.zeros(4, 2, dtype=torch.complex64)):
        for call in (lambda x: model(x, 0.5), model.loss, lambda x: score(model, x, 0.5)):
            with pytest.raises(ValueError, match="expected"):
                call(x)


def test_loss_of_numbers_of_any_kind(generator):
    model, x0, labels = conditional(), torch.randn(4, 2, generator=generator), torch.tensor([0, 1, 2, 1])
    t = torch.tensor([0.2, 0.4, 0.6, 0.8])
    wanted = model.loss(x0, labels, t=t, p_uncond=0.5, generator=generator.manual_seed(0))
    for x, cond, times in ((x0.numpy(), labels.numpy(), t.numpy()), (x0.tolist(), labels.tolist(), t.double()),
                           (x0, labels[:, None], t)):  # fmt: skip
        found = model.loss(x, cond, t=times, p_uncond=0.5, generator=generator.manual_seed(0))
        torch.testing.assert_close(found, wanted)
    assert model.loss(x0.double(), labels).dtype == torch.float64
    with pytest.raises(ValueError, match="label 7 is out of range: this model's labels are 0 to 3"):
        model.loss(x0, [0, 1, 7, 2])


def test_tokens_of_any_kind(generator):
    net = build("dit", (1, 4, 4), width=16, depth=1, tokenizer=Tokenizer(["red", "cube"], 1), text_mode="cross")
    model, x = Denoiser(net, VP()), torch.randn(3, 1, 4, 4, generator=generator)
    nn.init.normal_(net.leave.weight, generator=generator)
    tokens = torch.tensor([[2], [3], [0]])  # of one word: not to be taken for labels (B, 1)
    wanted = model(x, 0.5, tokens)
    torch.testing.assert_close(model(x, 0.5, tokens.tolist()), wanted)
    torch.testing.assert_close(model(x, 0.5, tokens.short().numpy()), wanted)
    torch.testing.assert_close(model(x, 0.5, [2]), model(x, 0.5, tokens[[0, 0, 0]]))
    for bad in (tokens + 0.5, tokens[:2], [["red"]] * 3):
        with pytest.raises(ValueError, match="expected .*tokens"):
            model(x, 0.5, bad)


def test_bad_input():
    net = build("mlp", (2,), width=32)
    with pytest.raises(ValueError, match="unknown prediction 'noise'"):
        Denoiser(net, VP(), "noise")
    with pytest.raises(ValueError, match="sigma_data"):
        Denoiser(net, VP(), sigma_data=0)
    with pytest.raises(ValueError, match="unconditional net"):
        Denoiser(net, VP())(torch.zeros(3, 2), torch.tensor(0.5), torch.zeros(3, dtype=torch.long))
