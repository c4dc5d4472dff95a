"""The causal transformer: a proper distribution, sampled the same with a cache and without."""

import itertools

import pytest
import torch

from minidiff.nets.text import encoder_for
from minidiff.stages.autoregressive import Causal, pick
from minidiff.text import Tokenizer

pytestmark = pytest.mark.usefixtures("float64")  # with a cache sums are taken in another order; tokens must not change


def small(shape=(3, 3), codes=8, **options):
    torch.manual_seed(0)
    return Causal(shape, codes, width=32, depth=2, **options).eval()


def test_no_position_sees_what_comes_after_it(generator):
    net = small(classes=2)
    tokens = torch.randint(8, (2, 9), generator=generator)
    prefix, mask = net.prefix(torch.tensor([0, 1]), 2)
    before = net(prefix, mask, tokens)
    for i in range(9):
        changed = tokens.clone()
        changed[:, i] = (changed[:, i] + 1) % 8
        after = net(prefix, mask, changed)
        torch.testing.assert_close(before[:, : i + 1], after[:, : i + 1])
        assert not torch.allclose(before[:, i + 1], after[:, i + 1])


def test_probabilities_of_all_grids_sum_to_one():
    """Two codes on 2 x 2: sixteen grids."""
    net = small((2, 2), 2)
    grids = torch.tensor(list(itertools.product((0, 1), repeat=4))).view(16, 2, 2)
    log_p = -4 * net.loss(grids)
    assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    drawn = net.sample(4000, generator=torch.Generator().manual_seed(1)).flatten(1)
    numbers = (drawn * torch.tensor([8, 4, 2, 1])).sum(1)
    share = torch.bincount(numbers, minlength=16) / 4000
    torch.testing.assert_close(share, log_p.exp().detach().to(share), atol=0.03, rtol=0)


@pytest.mark.parametrize("text", [False, True])
def test_cached_and_uncached_draw_the_same_tokens(text):
    tokenizer = Tokenizer(["red", "blue", "circle"], 4)
    net = small((4, 4), text=encoder_for(tokenizer)) if text else small((4, 4), classes=3)
    cond = tokenizer(["red circle", "blue", ""]) if text else torch.arange(3)
    a, b = (net.sample(3, cond, torch.Generator().manual_seed(0), cached=c) for c in (True, False))
    assert torch.equal(a, b) and a.shape == (3, 4, 4)
    c = net.sample(3, cond, torch.Generator().manual_seed(0), temperature=0.7, top_k=3, cached=True)
    d = net.sample(3, cond, torch.Generator().manual_seed(0), temperature=0.7, top_k=3, cached=False)
    assert torch.equal(c, d) and not torch.equal(a, c)


def test_top_k_of_one_is_the_likeliest(generator):
    net = small(classes=2)
    tokens = net.sample(2, torch.tensor([0, 1]), generator, top_k=1).flatten(1)
    logits = net(*net.prefix(torch.tensor([0, 1]), 2), tokens[:, :-1])
    assert torch.equal(logits.argmax(2), tokens)


def test_padding_does_not_count():
    """The null words after a text are padding: another length of it gives the same logits."""
    tokenizer = Tokenizer(["red", "blue"], 3)
    net = small(text=encoder_for(tokenizer))
    cond = tokenizer(["red"])
    prefix, mask = net.prefix(cond, 1)
    garbage = torch.where(mask[..., None], prefix, torch.full_like(prefix, 7.0))
    tokens = torch.zeros(1, 4, dtype=torch.long)
    torch.testing.assert_close(net(prefix, mask, tokens), net(garbage, mask, tokens))


def test_pick_draws_with_the_probabilities(generator):
    logits = torch.tensor([0.1, 0.2, 0.7]).log().expand(20_000, 3)
    share = torch.bincount(pick(logits, generator)[:, 0], minlength=3) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.1, 0.2, 0.7]), atol=0.015, rtol=0)


def test_bad_input(generator):
    with pytest.raises(ValueError, match="at least 2 codes, got 1"):
        Causal((2, 2), 1)
    net = small(classes=2)
    with pytest.raises(ValueError, match="no null condition"):
        net.sample(1, None, generator)
    with pytest.raises(ValueError, match="temperature must be more than 0"):
        net.sample(1, torch.tensor([0]), generator, temperature=0)
    with pytest.raises(ValueError, match="between 1 and the 8 codes, got 9"):
        net.sample(1, torch.tensor([0]), generator, top_k=9)


def test_what_is_masked_is_never_drawn(monkeypatch):
    """Not even by a uniform draw of exactly 0."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(*shape))
    assert pick(torch.tensor([[-torch.inf, 0.0, 0.0]])).item() == 1
