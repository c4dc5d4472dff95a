import pytest
import torch

from minidiff.data.toys import eight_gaussians
from minidiff.score_matching import denoising, exact_trace, explicit, hutchinson_trace, implicit, sliced

pytestmark = pytest.mark.usefixtures("float64")


W = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.0, 0.3], [0.2, 0.1, 2.0]], dtype=torch.float64)


def field(x, w=W):
    return torch.tanh(x @ w) * x.square().sum(1, keepdim=True)


def averaged(fn, x, n, generator):
    """`sliced` along n directions of each x."""
    return torch.stack([sliced(fn, x, generator) for _ in range(n)]).mean(0)


def jacobian(x):
    return torch.stack([torch.autograd.functional.jacobian(lambda y: field(y[None])[0], row) for row in x])


def test_exact_trace(generator):
    x = torch.randn(10, 3, generator=generator)
    out, trace = exact_trace(field, x)
    torch.testing.assert_close(out, field(x))
    torch.testing.assert_close(trace, jacobian(x).diagonal(dim1=1, dim2=2).sum(1))


def test_hutchinson_has_the_exact_mean(generator):
    x = torch.randn(4, 3, generator=generator)
    with torch.no_grad():
        _, exact = exact_trace(field, x)
        each = hutchinson_trace(field, x.repeat(20_000, 1), generator)[1].view(-1, 4)
    torch.testing.assert_close(each.mean(0), exact, rtol=0.02, atol=0.05)
    assert (each[0] - exact).abs().max() > 0.05  # it is an estimate


def noisy():
    return eight_gaussians().to(torch.empty(0)).diffuse(1.0, 0.4)


def test_losses_differ_by_a_constant(generator):
    """(loss - explicit) is the same for two different scores, whatever the loss; and it is not 0."""
    clean, sigma = eight_gaussians().to(torch.empty(0)).sample(200_000, generator), 0.4
    state = generator.get_state()
    x = clean + sigma * torch.randn(clean.shape, generator=generator)

    def offsets(fn):
        base = explicit(fn, x, noisy().score(x)).mean()
        same_noise = torch.Generator().set_state(state)
        others = implicit(fn, x), averaged(fn, x, 4, generator), denoising(fn, clean, sigma, same_noise)
        return torch.stack([(loss.mean() - base).detach() for loss in others])

    first, second = offsets(lambda x: -2 * x), offsets(lambda x: torch.sin(3 * x) - x)
    torch.testing.assert_close(first, second, rtol=0, atol=0.06)
    assert (first.abs() > 0.3).all()


def test_sliced_and_hutchinson_agree_with_implicit(generator):
    x = torch.randn(50_000, 3, generator=generator)
    exact = implicit(field, x).mean()
    s, trace = hutchinson_trace(field, x, generator)
    torch.testing.assert_close((trace + s.square().sum(1) / 2).mean(), exact, rtol=0.03, atol=0.05)
    torch.testing.assert_close(averaged(field, x, 8, generator).mean(), exact, rtol=0.05, atol=0.2)


@pytest.mark.parametrize("loss", ["implicit", "sliced", "denoising"])
def test_gradients_reach_the_parameters(loss, generator):
    """Each loss trains s(x) = -w x to w = 1 / variance by its gradient alone."""
    x, w = 0.5 * torch.randn(4000, 2, generator=generator), torch.tensor(1.0, requires_grad=True)
    fn = lambda y: -w * y + 0 * y**2  # noqa: E731
    losses = {
        "implicit": lambda: implicit(fn, x),
        "sliced": lambda: averaged(fn, x, 4, generator),
        "denoising": lambda: denoising(fn, x, 0.01, generator),
    }
    # a quadratic in w: two gradients give its minimiser, but denoising at little noise is all variance
    if loss == "denoising":
        x = torch.zeros_like(x)
        losses["denoising"] = lambda: denoising(fn, x, 0.5, generator)
    slope = [torch.autograd.grad(losses[loss]().mean(), w)[0]]
    w.data += 1
    slope.append(torch.autograd.grad(losses[loss]().mean(), w)[0])
    minimiser = 1 - slope[0] / (slope[1] - slope[0])
    assert minimiser.item() == pytest.approx(4.0, rel=0.1)
