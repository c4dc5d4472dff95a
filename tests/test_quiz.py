"""The quiz: its right answers are what the package computes, its questions stand in the lecture; and predictions."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from experiments import lecture09
from torch import nn

from minidiff import check, samplers
from minidiff.check import intervals
from minidiff.check.lecture10 import DATA, QUESTIONS, judged
from minidiff.guidance import Guided
from minidiff.measure.metrics import frechet_distance
from minidiff.nets.layers import adain
from minidiff.oracles import GaussianMixture, MixtureDenoiser
from minidiff.schedules import EDM, Cosine

SOURCE = Path(__file__).parents[1] / "lectures" / "source" / "10_quiz_and_capstone.py"


def right(n: int, answer) -> bool:
    return judged(n, answer)[0] == "right"


def gaussian(variance: float) -> GaussianMixture:
    return GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.full((1, 1, 1), variance)).to(
        torch.zeros(0).double()
    )


def receptive_field(layers: int) -> int:
    net = nn.Sequential(*[nn.Conv1d(1, 1, 3, padding=1, bias=False) for _ in range(layers)])
    for layer in net:
        nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, 99, requires_grad=True)
    return int((torch.autograd.grad(net(x)[0, 0, 49], x)[0] != 0).sum())


def sharpened_variance(gamma: float) -> float:
    """Of p_cond^gamma p_uncond^(1 - gamma), by a sum over a grid."""
    x = torch.linspace(-20, 20, 4001, dtype=torch.float64)[:, None]
    log_p = gamma * gaussian(1.0).log_prob(x) + (1 - gamma) * gaussian(2.0).log_prob(x)
    return (torch.softmax(log_p, 0) * x[:, 0] ** 2).sum().item()


def ode_variance(gamma: float) -> float:
    """Of what the guided ODE makes of a point, squared: by fine steps of Euler's method, with exact scores."""
    x, start, path = torch.tensor([[1e3]], dtype=torch.float64), 1e3, EDM()
    models = [MixtureDenoiser(gaussian(v), path) for v in (2.0, 1.0)]
    sigmas = torch.logspace(3, -4, 4000, dtype=torch.float64)
    for sigma, lower in zip(sigmas[:-1], sigmas[1:], strict=True):
        out, known = (m.mixture.denoise(x, torch.ones(1), sigma.reshape(1)).eps for m in models)
        x = x - (sigma - lower) * (out + gamma * (known - out))
    return (x.item() / start) ** 2 * start**2


def test_right_answers_are_what_the_package_computes():
    assert right(2, torch.empty(4096, 4096, device="meta").numel() / 1e6)
    assert right(8, sharpened_variance(3)) and right(9, ode_variance(3))
    fields = {layers: receptive_field(layers) for layers in (1, 5, 16)}
    assert right(11, "2L + 1") and all(seen == 2 * layers + 1 for layers, seen in fields.items())
    assert right(12, 16) and receptive_field(15) < 32 <= fields[16]
    tokens = {p: nn.functional.unfold(torch.zeros(1, 1, 64, 64), p, stride=p).shape[-1] for p in (1, 2, 4)}
    assert right(13, tokens[2]) and right(14, (tokens[2] / tokens[4]) ** 2) and right(15, 4096**2 / 512**2)
    row = next(r for r in lecture09.published("ncsn_cifar10") if r["model"] == "NCSN")
    assert right(18, (float(row["FID"]), float(row["inception score"])))
    noise = torch.randn(20_000, 3072, generator=torch.Generator().manual_seed(0))
    assert right(22, 1 / math.sqrt(2 * 3072))
    assert noise.square().mean(1).sqrt().std().item() == pytest.approx(1 / math.sqrt(2 * 3072), rel=0.03)
    t = Cosine().time(torch.zeros(1, dtype=torch.float64))  # alpha = sigma
    alpha, sigma = Cosine()(t)
    x0, eps = torch.randn(2, 100_000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = (gaussian(1.0).denoise(alpha * x0 + sigma * eps, alpha, sigma).eps - eps).square().mean().item()
    assert right(23, 0.5) and loss == pytest.approx(0.5, abs=0.01)


def test_the_score_from_a_denoiser_is_as_the_quiz_says():
    x, sigma = torch.randn(5, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64), torch.tensor(0.7)
    denoised = gaussian(2.0).posterior_mean(x, torch.ones(1), sigma)
    assert torch.allclose((denoised - x) / sigma**2, gaussian(2.0).diffuse(1.0, 0.7).score(x))
    assert right(16, "(D - x) / sigma^2") and right(16, "c")


class Counting:
    """A model that counts its network evaluations for one picture."""

    def __init__(self, model):
        self.model, self.schedule, self.null, self.count = model, model.schedule, model.null, 0

    def __call__(self, x, t, cond=None):
        self.count += len(x)
        return self.model(x, t, cond)


def test_what_samplers_cost_and_how_their_errors_fall():
    modes = torch.tensor([[-1.0], [1.0]])
    two = GaussianMixture(torch.ones(2) / 2, modes, torch.full((2, 1, 1), 0.3), labels=torch.tensor([0, 1]))
    exact = MixtureDenoiser(two.to(torch.zeros(0).double()), Cosine())
    x = torch.randn(1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t, s = Cosine().grid(11)[3:5]
    once, model = Counting(exact), Counting(exact)
    samplers.last(samplers.ddim(Guided(once, 3.0), x, torch.stack([t, s]), torch.tensor([1])))
    samplers.last(samplers.heun(model, x, Cosine().grid(10)))
    assert right(10, once.count) and right(27, model.count)
    grids = {n: torch.linspace(0.9, 0.1, n + 1, dtype=torch.float64) for n in (40, 80, 1280)}
    ends = {n: samplers.last(samplers.heun(exact, x, times)) for n, times in grids.items()}
    ratio = ((ends[40] - ends[1280]) / (ends[80] - ends[1280])).item()
    assert ratio == pytest.approx(4, rel=0.1) and right(26, 4) and right(24, "b")
    away = Guided(Counting(exact), 1.5, negative=torch.tensor([0]))(x, t, torch.tensor([1])).eps
    s0, s1 = (exact(x, t, torch.tensor([c])).eps for c in (0, 1))  # the negative prompt's, the prompt's
    assert torch.allclose(away, s0 + 1.5 * (s1 - s0)) and right(29, "the score with 'red'")


def test_chains_tokens_and_distances():
    exact, chains = MixtureDenoiser(gaussian(0.75), EDM()), torch.zeros(40_000, 1, dtype=torch.float64)
    level = EDM().time(torch.tensor([-2 * math.log(0.5)], dtype=torch.float64))  # variance 0.75 + 0.5^2 is 1
    moved = samplers.langevin(exact, chains, level, steps=40, step_size=2.0, generator=torch.Generator().manual_seed(0))
    assert samplers.last(moved).var().item() == pytest.approx(8 / 7, rel=0.03) and right(25, 8 / 7)
    assert right(28, 8 * 8 * math.log2(512))
    a, b = (m + torch.tensor([[-s], [s]], dtype=torch.float64) / 2**0.5 for m, s in ((0, 1), (1, 2)))
    assert right(30, frechet_distance(a, b))
    x, y = torch.randn(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(adain(x, y).mean((2, 3)), y.mean((2, 3)), atol=1e-5) and right(1, "b")


def test_every_question_is_whole():
    lectures = {question["lecture"] for question in QUESTIONS}
    assert len(QUESTIONS) >= 30 and lectures == {f"{n:02d}" for n in range(1, 10)}
    for question in QUESTIONS:
        first, options = question["right"][0], question.get("options")
        assert question["kind"] == ("choice" if options else "numbers" if isinstance(first, list) else "number")
        assert not options or {*question["wrong"], first} == set(options)


@pytest.mark.parametrize("n", range(1, len(QUESTIONS) + 1))
def test_each_foreseen_wrong_answer_has_a_hint_of_its_own(n):
    question = QUESTIONS[n - 1]
    hints = {judged(n, wrong) for wrong in question["wrong"]}
    assert len(hints) == len(question["wrong"]) >= 2 and not any(key == "right" for key, _ in hints)
    assert all(right(n, answer) for answer in question["right"])
    assert not any(
        right(n, thing) for thing in (None, "", [], {}, "no", float("nan"), float("inf"), object(), True, "1/0")
    )


def test_the_questions_stand_in_the_lecture_and_experiments_too():
    text = SOURCE.read_text(encoding="utf-8")
    for n, question in enumerate(QUESTIONS, 1):
        assert f"{n}. {question['question']}" in text
        assert all(f"({k}) {v}" in text for k, v in question.get("options", {}).items())
    assert all(f"{n}. {claim}" in text for n, claim in DATA["claims"].items())
    assert all(f"- {k}: {v}" in text for k, v in DATA["experiments"].items())


def test_one_answer_at_a_time(capsys):
    assert check.q(8, "1/2").ok and check.q(8, torch.tensor(0.5)).points == 1
    wrong = check.q(8, 0.25)
    assert not wrong.ok and wrong.key == "0.25" and wrong.answer is None
    assert capsys.readouterr().out.startswith(
        "Question 8: right\nQuestion 8: right\nQuestion 8: That is what the guided ODE"
    )
    for n in (0, 31, "8", 1.5):
        with pytest.raises(ValueError, match="there is no question"):
            check.q(n, 1)


def test_a_part_of_the_quiz_has_a_part_of_the_points():
    found = check.verdict("quiz", {1: "b", 2: 16.8, 3: "a"})
    assert (found.points, found.ok, found.key) == (2, False, "3: a")
    assert "2 of 30 points" in found.text and "no answer yet: 4, 5" in found.text


def test_predictions_come_first_and_are_counted(capsys, monkeypatch):
    monkeypatch.setattr(intervals, "_predicted", {})
    monkeypatch.setattr(intervals, "_measured", {})
    assert check.calibration() is None
    for i in range(10):
        check.predict(f"7.{i}", 0.0, 1.0 if i < 9 else 0.1)
    for wrong in ((1, 1), (2, 1), (0, math.inf), (math.nan, 1), ("a", "b")):
        with pytest.raises(ValueError, match="claim 7.1: "):
            check.predict("7.1", *wrong)
    for i in range(10):
        check.measured(f"7.{i}", 0.5)
    with pytest.raises(ValueError, match="claim 7.3 was measured already: 0.5"):
        check.predict("7.3", 0, 2)
    check.predict("7.3", 0, 1)  # as it was: the cell has run twice
    assert check.calibration() == 0.9
    assert capsys.readouterr().out.endswith("9 of 10 held: your intervals are too wide for 50%\n")


@pytest.mark.parametrize(
    ("n", "answer", "key"),
    [
        (7, "3, -2", "right"), (7, "(3,-2)", "right"), (7, "[3, -2]", "right"), (7, np.array([3, -2]), "right"),
        (7, torch.tensor([3, -2]), "right"), (7, "2,-2", "2, -2"), (8, "1 / 2", "right"), (8, np.float32(0.5), "right"),
        (8, "half", "other"), (7, "3 and -2", "right"), (7, "3; -2", "right"), (8, [0.5], "right"), (1, ["b"], "right"),
        (25, "1 1/7", "right"), (11, "3**L", "d"), (16, "(D - x) / sigma**2", "right"),
        (30, torch.Tensor, "other"),
    ],
)  # fmt: skip
def test_numbers_are_read_in_the_usual_notations(n, answer, key):
    assert judged(n, answer)[0] == key


def test_what_is_no_number_is_said_to_be_none():
    assert "cannot be read as a number" in judged(8, "half")[1] and "cannot" not in judged(7, "(3,-5)")[1]
    assert "give a tuple" in judged(7, {3, -2})[1]
    assert "cannot be read as a number" in judged(30, 10**5000)[1]
    assert "'1,143', read as 1143, is not right" in judged(25, "1,143")[1]  # a comma for thousands, not for tenths


def test_questions_are_asked_by_their_number():
    assert check.q(np.int64(2), 16.777216).ok == check.q(2, 16.777216).ok
    with pytest.raises(ValueError, match="there is no question '3'"):
        check.q("3", "a")
    with pytest.raises(ValueError, match="there is no question 31"):
        check.q(31, "a")


def test_what_was_measured_is_not_predicted_by_another_spelling(monkeypatch):
    monkeypatch.setattr(intervals, "_measured", {"7.4": 1.0})
    with pytest.raises(ValueError, match="claim 7.4 was measured already"):
        check.predict(7.4, 0.5, 1.5)
