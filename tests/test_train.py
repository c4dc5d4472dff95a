import itertools

import numpy as np
import pytest
import torch
from torch import nn

from minidiff import data
from minidiff.denoise import Denoiser
from minidiff.measure.report import score_error
from minidiff.nets import build
from minidiff.schedules import VP
from minidiff.train import new_state, rate, train, update_ema


def small(seed=0, shape=(2,), classes=8):
    torch.manual_seed(seed)
    return Denoiser(build("mlp" if len(shape) == 1 else "unet", shape, classes, width=32), VP(), "edm", 0.57)


def batches(state, name="eight_gaussians", size=64):
    return data.batches(data.load(name), size, state.generator)


def test_training_learns_the_score():
    """From 1 (the score of eps = 0) to little, but at the least noise, which takes longer: of five seeds the worst has
    .0008."""
    model = Denoiser(build("mlp", (2,), width=32), VP(), "eps")
    state = new_state(model)
    mixture = data.load("eight_gaussians").mixture
    unlabelled = ((x, None) for x, _ in batches(state, size=256))
    *_, step = train(model, unlabelled, 600, lr=3e-3, state=state)
    errors = score_error(step.ema, mixture, 500)
    assert step.step == 600 and sum(errors[:12]) / 12 < 0.01


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_n_and_n_more_is_two_n():
    """Training 10 and then 10 from the state is training 20, to the bit; another seed is another training."""
    results = []
    for stops, seed in (((20,), 0), ((10, 20), 0), ((20,), 1)):
        model = small()
        state = new_state(model, seed)
        for stop in stops:
            for _ in train(model, batches(state), stop, state=state):
                pass
        results.append(state)
    assert same(results[0].model, results[1].model) and same(results[0].ema, results[1].ema)
    assert not same(results[0].model, results[2].model)


def test_ema_is_a_weighted_mean_of_all_past_weights():
    """The power-function EMA gives step i of n the weight (i/n)^gamma, up to discretisation; it forgets the start."""
    ema, model = (nn.Linear(1, 1, bias=False) for _ in "ab")
    nn.init.constant_(ema.weight, 1e6)
    for step in range(1, 1001):
        nn.init.constant_(model.weight, float(step))
        update_ema(ema, model, step)
    # the mean of i under the density proportional to i^gamma is n (gamma + 1) / (gamma + 2)
    assert ema.weight.item() == pytest.approx(1000 * 7.94 / 8.94, rel=0.002)


def test_learning_rate():
    assert [rate(s, 10) for s in (0, 4, 9, 50, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert rate(399, 10) == pytest.approx(0.5)
    assert [rate(s, 0) for s in (0, 1, 1000)] == [1, 1, 1]
    with pytest.raises(ValueError, match="warmup is a number of steps, 0 or more, got -1"):
        rate(0, -1)


def test_the_optimizer_gets_the_learning_rate():
    model, found = small(), []
    state = new_state(model)
    for _ in train(model, batches(state), 4, lr=0.1, warmup=2, fall=lambda step: 0.5**step, state=state):
        found.append(state.optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([0.1 * f for f in (0.5 * 1, 1 / 2, 1 / 4, 1 / 8)])


def test_a_loss_that_is_not_finite_is_looked_for_now_and_then_and_named_by_its_own_step():
    model, seen = small(), []
    state = new_state(model)
    given = ((x * torch.nan if i == 2 else x, y) for i, (x, y) in enumerate(batches(state)))
    with pytest.raises(ValueError, match="the loss is nan at step 3"):
        seen += (step.step for step in train(model, given, 10, check_every=5, state=state))
    assert state.step == 4


def test_stops_at_the_first_loss_that_is_not_finite():
    model = small()
    state = new_state(model)
    good = batches(state)
    bad = ((torch.full((64, 2), torch.nan), y) for _, y in batches(state))
    for _ in train(model, good, 5, state=state):
        pass
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"the loss is nan at step 6, at log-SNR -?\d"):
        next(train(model, bad, 10, state=state))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_refuses_pictures_out_of_range():
    model = small(shape=(1, 8, 8), classes=None)
    with pytest.raises(ValueError, match=r"the first batch: float pictures must lie in \[-1, 1\], got 0 to 255"):
        next(train(model, itertools.repeat((torch.linspace(0, 255, 256).reshape(4, 1, 8, 8), None)), 5))


def test_refuses_the_state_of_another_model():
    with pytest.raises(ValueError, match="belongs to another model"):
        next(train(small(), iter([torch.zeros(4, 2)]), 1, state=new_state(small())))


def test_clips_the_gradient(monkeypatch):
    norms = []
    clip = nn.utils.clip_grad_norm_
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda p, most: norms.append(clip(p, most)) or norms[-1])
    model = small()
    state = new_state(model)
    for _ in train(model, batches(state), 2, clip=0.01, state=state):
        total = sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None).sqrt()
        assert total <= 0.0101
    assert len(norms) == 2 and norms[0] > 0.01


def test_batches_and_seeds_of_any_kind():
    """Arrays, float64, lists: trained on as the same numbers in tensors; numpy's seeds as Python's."""

    def weights(x0, labels, seed):
        model = Denoiser(build("mlp", (2,), 3, width=16, seed=seed), VP())
        for _ in train(model, [(x0, labels)] * 2, 2, state=new_state(model, seed)):
            pass
        return torch.cat([p.flatten() for p in model.parameters()])

    x0, labels = torch.linspace(-1, 1, 8).view(4, 2), torch.tensor([0, 1, 2, 1])
    wanted = weights(x0, labels, 3)
    for points, given, seed in (
        (x0.double(), labels.tolist(), np.int64(3)), (x0.numpy(), labels.numpy(), np.uint8(3)),
        (x0.tolist(), labels[:, None], 3),
    ):  # fmt: skip
        assert torch.equal(weights(points, given, seed), wanted)
    for seed in (0.5, "0", None, 2**64):
        with pytest.raises(ValueError, match="a seed is a whole number"):
            new_state(torch.nn.Linear(2, 2), seed)


def test_a_gradient_that_is_not_finite_stops_before_the_step():
    """Though the loss is: the root of 0."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def loss(self, x0, cond, generator=None):
            return (self.w.abs().sqrt() + x0.mean()).expand(len(x0))

    model = Model()
    with pytest.raises(ValueError, match="the gradient is not finite at step 1"):
        next(train(model, itertools.repeat(torch.zeros(4, 2)), 3, state=new_state(model)))
    assert model.w.item() == 0
