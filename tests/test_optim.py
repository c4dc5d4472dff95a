"""Muon: what it does to a gradient, to which weights, and that it can be resumed."""

import pytest
import torch
from torch import nn

from minidiff.nets import build
from minidiff.optim import Muon, hidden, new_optimizer, orthogonal
from minidiff.run.loop import train_run
from minidiff.run.recipes import configure
from minidiff.stages.autoregressive import Causal
from minidiff.text import Tokenizer


@pytest.mark.parametrize("fast", [True, False])  # where bfloat16 is emulated, float32 is ten times as fast
@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_all_directions_are_equally_long(shape, fast, generator, monkeypatch):
    """Singular values from 1 to 100 come out near 1, along the same singular vectors."""
    monkeypatch.setattr("minidiff.optim.fast_bf16", lambda device: fast)
    u, _, vt = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    values = torch.logspace(0, 2, min(shape))
    found = orthogonal(u * values @ vt)
    inside = u.T @ found @ vt.T
    assert ((inside.diagonal() > 0.6) & (inside.diagonal() < 1.3)).all()
    assert (inside - inside.diagonal().diag()).abs().max() < 0.1


@pytest.mark.parametrize("shape", [(8, 72), (40, 8), (2, 16, 16)])
def test_float32_computes_the_same_polynomial_from_the_gram_matrix(shape, generator, monkeypatch):
    """The steps of Newton and Schulz, written out in float64, on singular values from 1 to 10,000 and a few of 0."""
    monkeypatch.setattr("minidiff.optim.fast_bf16", lambda device: False)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    s = torch.logspace(0, 4, s.shape[-1], dtype=torch.float64).masked_fill(torch.arange(s.shape[-1]) < 2, 0)
    x = u * s @ vt
    s = s / s.norm()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    assert (orthogonal(x) - u * s @ vt).abs().max() < 2e-3  # rounding grows 12-fold a step near 0


def test_a_step_is_of_the_learning_rate(generator):
    """The root mean square of a matrix's update is about lr / 5, whatever its shape and its gradient's size."""
    conv = nn.Conv2d(16, 24, 3)
    before = conv.weight.detach().clone()
    groups = [{"params": [conv.weight], "muon": True}, {"params": [conv.bias], "muon": False}]
    optimizer = Muon(groups, lr=0.01, weight_decay=0.0)
    conv.weight.grad = 1e-4 * torch.randn(conv.weight.shape, generator=generator)
    conv.bias.grad = torch.ones(24)
    bias = conv.bias.detach().clone()
    optimizer.step()
    assert (conv.weight - before).square().mean().sqrt().item() == pytest.approx(0.002, rel=0.2)
    torch.testing.assert_close(conv.bias, bias - 0.01, rtol=0, atol=1e-6)  # Adam's first step


def test_steps_have_momentum(generator):
    """The second of two is not what it would be without the first; 19 in 20 parts of the mean are the first's."""
    first, second = torch.randn(2, 8, 8, generator=generator)
    moved = []
    for gradients in ((first, second), (second,)):
        w = nn.Parameter(torch.zeros(8, 8))
        optimizer = Muon([{"params": [w], "muon": True}], lr=1.0)
        for w.grad in gradients:
            before = w.detach().clone()
            optimizer.step()
        moved.append(w.detach() - before)
    assert (moved[0] - moved[1]).norm() > 0.1 * moved[1].norm()


def test_a_gradient_of_low_rank_moves_all_it_has():
    """Where Adam and gradient descent would follow the large direction, Muon takes both alike."""
    w = nn.Parameter(torch.zeros(4, 4))
    w.grad = torch.diag(torch.tensor([1.0, 0.05, 0.0, 0.0]))
    Muon([{"params": [w], "muon": True}], lr=1.0).step()
    moved = -w.detach().diagonal()
    assert moved[1] > 0.6 * moved[0] > 0 and moved[2:].abs().max() == 0


@pytest.mark.parametrize("net", ["unet", "dit", "words"])
def test_the_ends_are_adams(net):
    if net == "words":
        model = build("dit", (4, 8, 8), width=32, tokenizer=Tokenizer(["a", "red", "cross"], 5), text_mode="tokens")
    else:
        model = build(net, (4, 8, 8), 10, width=32)
    inside = {id(p) for p in hidden(model)}
    names = {name: id(p) in inside for name, p in model.named_parameters()}
    ends = ("enter", "leave", "emb", "text", "words")
    assert not any(muon for name, muon in names.items() if name.split(".")[0] in ends)
    assert not any(muon for name, muon in names.items() if name.endswith("bias"))
    groups = new_optimizer(model, "muon").param_groups
    assert sum(len(g["params"]) for g in groups) == len(names)
    others = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("text."))
    assert sum(p.numel() for p in groups[0]["params"]) > 0.8 * others


def test_tables_are_adams():
    """Of the tokens, places and labels of an autoregressive prior."""
    model = Causal((4, 4), 16, classes=10, width=32)
    names = {name for name, p in model.named_parameters() if any(p is q for q in hidden(model))}
    tables = {name for name, _ in model.named_parameters() if name.split(".")[0] in ("embed", "places", "label")}
    assert len(tables) == 3 and not names & tables and len(names) > 4


def test_unknown():
    with pytest.raises(ValueError, match="unknown optimizer 'sgd': choose from adamw, muon"):
        new_optimizer(nn.Linear(1, 1), "sgd")
    with pytest.raises(ValueError, match="unknown optimizer 'sgd': choose from adamw, muon"):
        configure("digits", optimizer="sgd")


def test_models_with_critics_are_adams():
    """Their ends have other names."""
    for choices in ({"model": "gan"}, {"model": "vq"}, {"model": "vae", "f": 4}):
        with pytest.raises(ValueError, match="muon is not for models that learn from a critic"):
            configure("digits", optimizer="muon", **choices)
    for choices in ({"f": 2}, {"f": 4, "critic": False}):
        configure("digits", optimizer="muon", model="vae", **choices)


def test_n_and_n_more_steps_are_2n(tmp_path):
    config, dataset = configure("digits", width=16, batch=16, optimizer="muon")
    for name, stops in (("once", (6,)), ("twice", (3, 6))):
        for steps in stops:
            train_run(tmp_path / name, config, dataset, steps=steps, device="cpu", progress=False)
    once, twice = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("once", "twice"))
    assert all(torch.equal(once["model"][k], twice["model"][k]) for k in once["model"])
