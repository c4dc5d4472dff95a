"""Checks of lecture 06: latents and their scale, the two bottlenecks, a prior over tokens, what latents save."""

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..oracles import GaussianMixture, MixtureDenoiser
from ..schedules import EDM, VE, VP, Linear
from .exercise import Exercise, Wrong, alone_in_float32, close, is_tensor, same, stays_float32

latent_scale = Exercise("06.1", "latent_scale", 1, 4, "lecture 06, part 2")
kl = Exercise("06.2", "kl", 1, 8, "lecture 06, part 2")
quantise = Exercise("06.3", "quantise", 2, 18, "lecture 06, part 5")
causal_nll = Exercise("06.4", "causal_nll", 3, 20, "lecture 06, part 5")
sample_latents = Exercise("06.5", "sample_latents", 2, 20, "lecture 06, part 3")
cheaper = Exercise("06.6", "cheaper", 1, 5, "lecture 06, part 8")


def _one_a_sample(found, n: int, what: str) -> None:
    """Raise Wrong if one number came back for a whole batch of n."""
    if isinstance(found, int | float) or (isinstance(found, Tensor) and found.ndim == 0):
        raise Wrong("one number for all", f"You return one number: {what} each of the {n} samples its own, ({n},).")


# --- 06.1 ---


def _latents(given, n: int, c: int) -> Tensor:
    """Latents (n, c, 8, 8) whose channels and samples differ in deviation and in mean."""
    channels, samples = given.uniform(0.5, 4, c)[:, None, None], given.uniform(0.5, 2, n)[:, None, None, None]
    means = given.uniform(2, 4, c)[:, None, None] + 2 * given.normal(n)[:, None, None, None]
    return samples * channels * given.normal(n, c, 8, 8) + means


def _scales(answer, given, n: int, c: int, **options) -> None:
    z, std = _latents(given, n, c), options.get("std", 0.5)
    own, by_channel, by_sample = z.std(), z.std((0, 2, 3)), z.flatten(1).std(1)
    slips = {
        "pasted": (0.18215, ".18215 is Stable Diffusion's autoencoder. Yours has its own deviation: measure it."),
        "default for any": (0.5 / own, "You make the deviation .5; the argument std asks for another."),
        "variance": (std / own**2, "You divide by the variance: the deviation is its root."),
        "deviation itself": (own, "That is the deviation of z; the scale is what z is to be multiplied by."),
        "turned": (own / std, "Turned: z times this would have a deviation of own^2 / std. Divide std by it."),
        "times": (own * std, "You scale by the deviation; divide by it."),
        "unit": (1 / own, "z times this has a deviation of 1: the target is the argument std."),
        "root mean square": (
            std / z.square().mean().sqrt(),
            "That is by the root mean square, in which the mean takes part. A deviation is measured from the mean.",
        ),
        "mean of channels": (
            (std / by_channel).mean(),
            "You average a scale for each channel. One number for all: the deviation over the whole tensor.",
        ),
        "mean of deviations": (
            std / by_channel.mean(),
            "You average the deviations of the channels. One number for all: the deviation over the whole tensor.",
        ),
        "mean of samples": (
            std / by_sample.mean(),
            "You average the deviations of the samples. One number for all: the deviation over the whole tensor.",
        ),
        "absolute": (std / (z - z.mean()).abs().mean(), "That is the mean absolute deviation, not the standard one."),
        "largest": (std / z.abs().max(), "You divide by the largest latent, which depends on how many there are."),
    }
    found = answer(z, **options)
    if isinstance(found, Tensor) and found.numel() > 1:
        raise Wrong("a scale a channel", f"{found.numel()} scales come back: one number for all latents is asked.")
    same(found, std / own.item(), slips, "the scale", 2e-4)  # a deviation over N or N - 1


@latent_scale.part("channels of unequal deviation, with means that are not 0")
def _(answer, given):
    _scales(answer, given, 40, 3)


@latent_scale.part("another target, another size")
def _(answer, given):
    _scales(answer, given, 300, 4, std=1.3)


# --- 06.2 ---


def total(terms: Tensor) -> Tensor:
    """Of each sample, (B,)."""
    return terms.flatten(1).sum(1)


def _divergence(answer, mean: Tensor, log_var: Tensor) -> None:
    normal = torch.distributions.Normal
    each = torch.distributions.kl_divergence(normal(mean, (log_var / 2).exp()), normal(0 * mean, 1 + 0 * mean))
    right, var = total(each), log_var.exp()
    slips = {
        "negative": (-right, f"{-right[0]:.4g} is negative: the terms are (mean^2 + e^log_var - 1 - log_var) / 2."),
        "not halved": (2 * right, "Twice too much: the terms are halved."),
        "mean over latents": (total(each) / each[0].numel(), "You average over the latents: nats a sample are a sum."),
        "log deviation": (
            total(mean**2 + var**2 - 1 - 2 * log_var) / 2,
            "log_var is taken for the logarithm of the deviation: e^log_var is the variance already.",
        ),
        "variance squared": (total(mean**2 + var**2 - 1 - log_var) / 2, "e^log_var is the variance: no square."),
        "deviation": (
            total(mean**2 + var.sqrt() - 1 - log_var) / 2,
            "The deviation, e^(log_var / 2), stands where the variance belongs.",
        ),
        "variance": (
            total(mean**2 + log_var - 1 - log_var.log()) / 2,
            "log_var is taken for the variance: it is the variance's logarithm.",
        ),
        "no 1": (total(mean**2 + var - log_var) / 2, "The 1 is left out: with mean 0 and variance 1 it must be 0."),
        "plus log_var": (total(mean**2 + var - 1 + log_var) / 2, "log_var is subtracted, not added."),
        "no log_var": (total(mean**2 + var - 1) / 2, "log_var itself is missing: it keeps the variance from 0."),
        "no mean": (total(var - 1 - log_var) / 2, "The means are left out: mean^2 is part of each term."),
        "mean not squared": (total(mean + var - 1 - log_var) / 2, "The mean enters by its square."),
        "other way round": (
            total((mean**2 + 1) / var - 1 + log_var) / 2,
            "That is KL(N(0, I) || q). Asked is KL(q || N(0, I)).",
        ),
        "bits": (right / math.log(2), "That is in bits; nats are asked."),
    }
    found = answer(mean, log_var)
    _one_a_sample(found, len(mean), "asked is for")
    if isinstance(found, Tensor) and found.shape == mean.shape and mean.ndim > 1:
        raise Wrong("not summed", "You return a term for each latent: sum over all but the batch.")
    same(found, right, slips, "the divergence")


@kl.part("latents of pictures, variances above 1")
def _(answer, given):
    _divergence(answer, given.normal(5, 3, 4, 4), given.uniform(0.3, 1.5, 5, 3, 4, 4))


@kl.part("vectors, variances of any size")
def _(answer, given):
    log_var = 2 * given.normal(4, 4)
    log_var[0, 1], log_var[1, 2] = -14, 11
    _divergence(answer, given.normal(4, 4), log_var)
    for size in (-40, 25):  # alone: a large one would hide what is wrong with a small one
        _divergence(answer, given.normal(2, 4), torch.full((2, 4), size, dtype=torch.float64))
    found = answer(given.normal(1, 3).float(), given.normal(1, 3).float())
    alone_in_float32(found, (1,), "the divergence")


@kl.part("its gradients, as it is part of a loss")
def _(answer, given):
    mean, log_var = given.normal(4, 3).requires_grad_(), given.normal(4, 3).requires_grad_()
    found = answer(mean, log_var)
    if not isinstance(found, Tensor) or not found.requires_grad:
        raise Wrong("no gradient", "No gradient comes back: leave out detach and no_grad.")
    by_mean, by_log_var = torch.autograd.grad(found.sum(), (mean, log_var), allow_unused=True)
    for name, found, wanted in (("mean", by_mean, mean), ("log_var", by_log_var, (log_var.exp() - 1) / 2)):
        if found is None or not close(found, wanted.detach(), 1e-6):
            raise Wrong("wrong gradient", f"The gradient by {name} is not that of the divergence: is a part detached?")


@kl.part("0 where q is N(0, I), more elsewhere")
def _(answer, given):
    zero = torch.zeros(2, 6, dtype=torch.float64)
    same(answer(zero, zero) + 1.0, torch.ones(2, dtype=torch.float64), {}, "the divergence of N(0, I) from itself, + 1")
    near = answer(0.1 * given.normal(50, 2), 0.1 * given.normal(50, 2))
    if (near < 0).any():
        raise Wrong("negative", f"{near.min():.3g} is negative, and no divergence is.")


# --- 06.3 ---


def _grids(given, *shape: int, codes: int = 7) -> tuple[Tensor, Tensor]:
    """Vectors h (B, D, H, W) and codes (K, D) of very unequal lengths, not about 0."""
    centre = given.normal(shape[1])
    h = given.normal(*shape) + centre[:, None, None]
    return h, given.normal(codes, shape[1]) * given.uniform(0.3, 2.5, codes)[:, None] + centre


def _nearest(h: Tensor, codes: Tensor) -> Tensor:
    """The index of the nearest code at every place, by a loop."""
    index = torch.zeros(len(h), *h.shape[2:], dtype=torch.long)
    for place in torch.cartesian_prod(*(torch.arange(n) for n in index.shape)).tolist():
        b, i, j = place
        distances = [sum((a - c) ** 2 for a, c in zip(h[b, :, i, j].tolist(), code, strict=True))
                     for code in codes.tolist()]  # fmt: skip
        index[b, i, j] = distances.index(min(distances))
    return index


def _pair(answer, h: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """The answer's vectors and indices, of the right shapes."""
    found = answer(h, codes)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong("no pair", "Two tensors must come back, the vectors and the indices: return z, index.")
    z, index = found
    if not isinstance(index, Tensor) or index.is_floating_point() or index.is_complex():
        kind = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise Wrong("index is no whole number", f"The indices must be a tensor of whole numbers, yours is {kind}.")
    if isinstance(z, Tensor) and z.shape == (len(h), *h.shape[2:], h.shape[1]) and z.shape != h.shape:
        raise Wrong("channels last", f"z has shape {tuple(z.shape)}: move the channels back to axis 1.")
    is_tensor(z, h.shape, "z")
    is_tensor(index.double(), (len(h), *h.shape[2:]), "index")
    return z, index


@quantise.part("shapes")
def _(answer, given):
    _pair(answer, *_grids(given, 2, 3, 4, 5))


@quantise.part("the nearest code at every place")
def _(answer, given):
    h, codes = _grids(given, 3, 4, 4, 4)
    rows, badly = h.movedim(1, -1), h.reshape(3, 4, 4, 4)  # vectors in rows, and what reshaping alone makes of h
    away = (rows[..., None, :] - codes).square().sum(-1)
    unit = codes / codes.norm(dim=1, keepdim=True)
    slips = {
        "farthest": (away.argmax(-1), "You take the farthest code: argmin, not argmax."),
        "dot product": ((rows @ codes.T).argmax(-1), "Nearest by dot product: long codes win. Use distances."),
        "angle": ((rows @ unit.T).argmax(-1), "Nearest by angle: the lengths count as well. Use distances."),
        "least dot product": ((rows @ codes.T).argmin(-1), "The least dot product is no distance: |h - c|^2 is."),
        "no factor of 2": (
            (codes.square().sum(1) - rows @ codes.T).argmin(-1),
            "The 2 is missing: |h - c|^2 = |h|^2 - 2 h.c + |c|^2.",
        ),
        "absolute differences": (
            (rows[..., None, :] - codes).abs().sum(-1).argmin(-1),
            "You add up absolute differences; the distance asked for is the square root of squares.",
        ),
        "rows mixed up": (
            (badly.reshape(-1, 4)[:, None] - codes).square().sum(-1).argmin(1).view(3, 4, 4),
            "A reshape alone mixes channels with places: a vector is h[b, :, i, j]. Move axis 1 to the end first.",
        ),
    }
    index = _pair(answer, h, codes)[1].double()
    same(index, _nearest(h, codes).double(), {k: (v.double(), said) for k, (v, said) in slips.items()}, "index")


@quantise.part("z is the code")
def _(answer, given):
    h, codes = _grids(given, 3, 4, 4, 4)
    chosen = codes[_nearest(h, codes)]
    slips = {
        "h itself": (h, "z is h: the detach is on the wrong side. The value must be the code's: h + (z - h).detach()."),
        "channels last": (chosen, "The channels stand last: move them with movedim(-1, 1); a reshape moves no axis."),
        "residual": (chosen.movedim(-1, 1) - h, "That is z - h, the difference: h must be added to it."),
    }
    same(_pair(answer, h, codes)[0], chosen.movedim(-1, 1), slips, "z", 1e-12)


@quantise.part("the gradient passes straight through")
def _(answer, given):
    h, codes = _grids(given, 2, 3, 4, 2)
    h, codes, w = h.requires_grad_(), codes.requires_grad_(), given.normal(2, 3, 4, 2)
    z = _pair(answer, h, codes)[0]
    to_h = to_codes = None
    if z.requires_grad:
        to_h, to_codes = torch.autograd.grad((z * w).sum(), (h, codes), allow_unused=True)
    if to_h is None or not to_h.any():
        raise Wrong("no gradient", "z is right but no gradient reaches the encoder: h + (z - h).detach().")
    same(to_h, w, {"doubled": (2 * w, "The gradient counts twice.")}, "the gradient by h of the sum of z w")
    if to_codes is not None and to_codes.any():
        raise Wrong("gradient to the codes", "The codes get a gradient as well: detach all of z - h.")


@quantise.part("one vector alone, float32, as in training")
def _(answer, given):
    h, codes = _grids(given, 1, 3, 1, 1)
    z, index = answer(h.float(), codes.float())
    alone_in_float32(z, h.shape, "z")
    if tuple(index.shape) != (1, 1, 1):
        raise Wrong(
            "one alone", f"Of one place in one picture the index must be (1, 1, 1); yours is {tuple(index.shape)}."
        )


# --- 06.4 ---


class Chain:
    """A causal net that is exactly a Markov chain: what follows depends on the input at its place. Its logits are log
    probabilities plus a number for each input, and it keeps what it was called with."""

    def __init__(self, log_p: Tensor, shift: Tensor):
        self.logits, self.inputs = log_p + shift[:, None], []

    def __call__(self, inputs: Tensor) -> Tensor:
        if not isinstance(inputs, Tensor) or inputs.is_floating_point() or inputs.ndim != 2:
            raise Wrong("inputs", "net reads whole numbers (B, N): torch.cat of a column of `start` and the tokens.")
        self.inputs.append(inputs.clone())
        return self.of(inputs)

    def of(self, inputs: Tensor) -> Tensor:
        return self.logits[inputs]


class Memory(Chain):
    """What follows depends on the sum of all the inputs so far."""

    def of(self, inputs: Tensor) -> Tensor:
        return self.logits[inputs.cumsum(1) % len(self.logits)]


K = 5  # tokens; the start has the number 5. As many places as tokens, so that a wrong axis fits


def _chain(given, kind=Chain) -> tuple[Chain, Tensor]:
    return kind(2 * given.normal(K + 1, K).log_softmax(1), given.normal(K + 1)), given.whole(0, K, 4, K)


def _nll(answer, net, tokens: Tensor) -> Tensor:
    """The answer's, one for each row."""
    found = answer(net, tokens, K)
    _one_a_sample(found, len(tokens), "asked is for")
    if isinstance(found, Tensor) and found.shape == tokens.shape:
        raise Wrong("not summed", "You return a number for each token: the total of each row is asked.")
    is_tensor(found, tokens.shape[:1], "the negative log-likelihood")
    return found


def _before(tokens: Tensor, start: int = K) -> Tensor:
    return torch.cat([torch.full_like(tokens[:, :1], start), tokens[:, :-1]], 1)


def _cost(logits: Tensor, tokens: Tensor) -> Tensor:
    """-log of the probabilities of tokens (B, N) under logits (B, N, K), summed."""
    return -logits.log_softmax(2).gather(2, tokens[..., None])[..., 0].sum(1)


@causal_nll.part("a Markov chain, whose likelihood is known")
def _(answer, given):
    net, tokens = _chain(given)
    log_p, path = net.logits.log_softmax(1), torch.cat([torch.full((4, 1), K), tokens], 1)
    right = -torch.stack([sum(log_p[a, b] for a, b in zip(row, row[1:], strict=False)) for row in path])
    read = "The net reads the token that it is asked for. Shift: it reads start, t_0, ..., t_(N-2)."
    seen, turned = net.of(tokens), net.of(torch.cat([tokens[:, 1:], torch.full((4, 1), K)], 1))
    slips = {
        "sees the answer": (_cost(seen, tokens), read),
        "sees the answer, first dropped": (_cost(seen[:, 1:], tokens[:, 1:]), read),
        "shifted the other way": (
            _cost(turned, tokens),
            "Shifted the other way: the net reads the *next* token. It must read the ones before: start goes first.",
        ),
        "first dropped": (
            right + log_p[K, tokens[:, 0]],
            f"The first token is never asked for: {K} terms, not {K - 1}. `start` stands before it.",
        ),
        "starts from 0": (_cost(net.of(_before(tokens, 0)), tokens), "The first input is 0, not `start`."),
        "starts from the last": (
            _cost(net.of(tokens.roll(1, 1)), tokens),
            "The first input is the last token: rolled round. `start` goes first.",
        ),
        "mean": (right / K, "You average over the tokens: the total is asked."),
        "sign": (-right, "That is the log-likelihood: its negative is asked."),
        "bits": (right / math.log(2), "That is in bits; nats are asked."),
    }
    slips |= _softmax_slips(net.of(_before(tokens)), tokens)
    same(_nll(answer, net, tokens), right, slips, "the negative log-likelihood")


def _softmax_slips(logits: Tensor, tokens: Tensor) -> dict:
    """What comes out where the right logits are turned into probabilities in a wrong way."""

    def total(numbers):
        return -numbers.gather(2, tokens[..., None])[..., 0].sum(1)

    return {
        "not normalised": (
            total(logits),
            "Logits are not log-probabilities yet: log_softmax over the last axis, or cross_entropy.",
        ),
        "softmax twice": (total(logits.softmax(2).log_softmax(2)), "The softmax is taken twice: cross_entropy takes "
                          "logits."),
        "probabilities": (total(logits.softmax(2)), "You add up probabilities, not their logarithms."),
        "wrong axis": (
            cross_entropy(logits, tokens, reduction="none").sum(1),
            "cross_entropy takes the classes from axis 1, and yours are in axis 2: transpose the logits.",
        ),
        "softmax over places": (
            total(logits.log_softmax(1)),
            "The softmax is over places: it goes over the K tokens, the last axis.",
        ),
    }  # fmt: skip


@causal_nll.part("what the net reads")
def _(answer, given):
    net, tokens = _chain(given)
    _nll(answer, net, tokens)
    whole = _before(tokens)
    if len(net.inputs) != 1:
        raise Wrong("many calls", f"The net was called {len(net.inputs)} times: one call gives all places at once.")
    read = net.inputs[0]
    if read.shape[1] < K or not torch.equal(read[:, :K], whole):
        raise Wrong("inputs", f"The net read {read[0].tolist()} for tokens {tokens[0].tolist()} and start {K}.")


@causal_nll.part("a net with a memory of all that came before")
def _(answer, given):
    net, tokens = _chain(given, Memory)
    same(_nll(answer, net, tokens), _cost(net.of(_before(tokens)), tokens), {}, "the negative log-likelihood")


@causal_nll.part("3 sequences of 7 tokens, a start that is a token too, and gradients")
def _(answer, given):
    logits, tokens = given.normal(K, K).requires_grad_(), given.whole(0, K, 3, 7)
    found = answer(lambda inputs: logits[inputs], tokens, 2)
    inputs = torch.cat([torch.full((3, 1), 2), tokens[:, :-1]], 1)
    log_p = logits.log_softmax(1)
    wanted = -torch.stack([log_p[i, t].sum() for i, t in zip(inputs, tokens, strict=True)])
    same(found, wanted.detach(), {}, "the negative log-likelihood of 7 tokens, start 2")
    if not found.requires_grad:
        raise Wrong("no gradient", "No gradient reaches the net: it is a training loss. Leave out detach and no_grad.")
    (slope,), (right,) = (torch.autograd.grad(v.sum(), logits) for v in (found, wanted))
    same(slope, right, {}, "the gradient by the logits", 1e-6)


@causal_nll.part("a net that repeats its input is never right about a sequence that always changes")
def _(answer, given):
    echo = Chain(40 * torch.eye(K + 1, K, dtype=torch.float64), torch.zeros(K + 1, dtype=torch.float64))
    tokens = (given.whole(0, K, 4, 1) + torch.arange(K)) % K
    found = _nll(answer, echo, tokens)
    if found.min() < 40:
        raise Wrong("sees the answer", f"{found.min():.2g} with a net that repeats its input: it saw the answer.")
    capped = (
        "The net is wrong about every token, by 40 nats each: is a probability kept from 0, or a logit from its size?"
    )
    if not close(found, wanted := _cost(echo.of(_before(tokens)), tokens)):
        raise Wrong("capped", f"{found[0]:.4g} where {wanted[0]:.4g} is right. {capped}")


@causal_nll.part("64 tokens of 64, float32 as in training")
def _(answer, given):
    logits, tokens = 4 * given.normal(65, 64), given.whole(0, 64, 2, 64)
    wanted = _cost(logits[_before(tokens, 64)], tokens)
    found = answer(lambda inputs: logits.float()[inputs], tokens, 64)
    stays_float32(found, "the result")
    if not found.isfinite().all():
        raise Wrong("not finite", f"{wanted[0]:.1f} nats of 64 tokens came out as {found[0].item()}: a product of so "
                    "many probabilities is 0. Add up logarithms, by log_softmax or cross_entropy.")  # fmt: skip
    same(found.double(), wanted, {}, "the negative log-likelihood of 64 tokens", 1e-4)


@causal_nll.part("one sequence alone, float32, as in training")
def _(answer, given):
    logits = given.normal(K + 1, K).float()
    alone_in_float32(answer(lambda inputs: logits[inputs], given.whole(0, K, 1, 3), K), (1,), "the result")


# --- 06.5 ---

SHAPE = (2, 1, 2)


class Known:
    """The exact model of Gaussian latents of SHAPE, on a path. Keeps the times of its calls and the first x."""

    def __init__(self, given, schedule=None, away: float = 0.0):
        a = given.normal(4, 4) / 4
        self.mean, self.cov = 0.6 * given.normal(4) + away, a @ a.T + 0.1 * torch.eye(4, dtype=torch.float64)
        self.schedule, self.times, self.first = schedule or EDM(), [], None
        self.exact = MixtureDenoiser(
            GaussianMixture(torch.ones(1, dtype=torch.float64), self.mean[None], self.cov[None]), self.schedule
        )

    def __call__(self, x_t, t, cond=None):
        if not isinstance(x_t, Tensor) or x_t.shape[1:] != SHAPE:
            raise Wrong("shape", f"The prior takes latents (n, {', '.join(map(str, SHAPE))}).")
        self.first = x_t.detach().clone() if self.first is None else self.first  # it may be written into
        self.times.append(float(torch.as_tensor(t).reshape(-1)[0]))
        found = self.exact(x_t.double().flatten(1), torch.as_tensor(t).double())
        return type(found)(*(v.view(x_t.shape).to(x_t) for v in found))


def _drawn(answer, given, n: int = 4000, steps: int = 150, schedule=None, away: float = 0.0):
    """(pictures (n, 6) as drawn, the prior, the decoder's matrix and offset, the scale)."""
    prior, matrix, offset, scale = (
        Known(given, schedule, away),
        given.normal(6, 4),
        given.normal(6),
        given.uniform(1.5, 2.5, 1).item(),
    )

    def decode(z):
        if z.ndim != 4 or tuple(z.shape[1:]) != SHAPE:
            raise Wrong("shape", f"decode takes latents (n, {', '.join(map(str, SHAPE))}).")
        return (z.double().flatten(1) @ matrix.T + offset).view(len(z), 3, 1, 2)

    x = answer(prior, decode, scale, n, SHAPE, steps, torch.Generator().manual_seed(int(given.whole(0, 1000, 1))))
    if isinstance(x, Tensor) and tuple(x.shape) == (n, *SHAPE):
        raise Wrong("not decoded", "These are latents: decode makes pictures of them.")
    if not isinstance(x, Tensor):
        raise Wrong("no tensor", f"Pictures must come back, {(n, 3, 1, 2)}; you return {type(x).__name__}.")
    if tuple(x.shape) != (n, 3, 1, 2):
        raise Wrong("shape", f"{n} pictures must come back, {(n, 3, 1, 2)}; yours are {tuple(x.shape)}.")
    return x, prior, matrix, offset, scale


@sample_latents.part("from noise to data, in so many steps")
def _(answer, given):
    _, prior, *_ = _drawn(answer, given, 8, 12)
    levels, times = len(set(prior.times) - {0.0}), torch.tensor(prior.times)
    if not levels:
        raise Wrong("prior not asked", "The prior is never called: the latents must come from it.")
    if (times.diff() > 1e-6).any() and times[0] < times[-1]:
        raise Wrong("upwards", f"The times of your calls rise, from {times[0]:.2g} to {times[-1]:.2g}: the walk goes "
                    "from noise, t = 1, down to data, t = 0.")  # fmt: skip
    if levels != 12:
        raise Wrong("other number of steps", f"The prior is asked at {levels} noise levels with steps = 12: the grid "
                    "has 12 steps, and the last goes to 0.")  # fmt: skip
    if times[0] < 0.9 * prior.schedule.t_max:
        raise Wrong("starts late", f"The first call is at t = {times[0]:.2g}: the grid begins at pure noise, "
                    f"{prior.schedule.t_max:.2g}.")  # fmt: skip


@sample_latents.part("the start is as loud as the prior was promised")
def _(answer, given):
    for schedule in (EDM(), VP(), VE(), Linear()):
        _starts_as_promised(_drawn(answer, given, steps=12, schedule=schedule)[1])


def _starts_as_promised(prior: Known) -> None:
    sigma, found = prior.schedule(torch.tensor(prior.times[0]))[1].item(), prior.first.double().std().item()
    if found / sigma < 0.05:
        raise Wrong("starts too quietly", f"x has a deviation of {found:.3g} at the first call, and the prior was "
                    f"promised {sigma:.3g}: all samples end near the mean. Start at sigma times noise.")  # fmt: skip
    if abs(found / sigma - 1) > 4 / math.sqrt(2 * prior.first.numel()) + 0.01:  # alpha is .007 there, not 0
        raise Wrong("starts at another level", f"x has a deviation of {found:.4g} at the first call, where the path "
                    f"says {sigma:.4g}.")  # fmt: skip
    z = prior.first.double() / found
    if abs(z.pow(4).mean() - 3) > 0.5:  # of 16,000 normal numbers it is 3, give or take .04; of uniform ones 1.8
        raise Wrong("not normal", "The first x has the right deviation, but is not normal: torch.randn's noise.")


@sample_latents.part("the pictures' mean and covariance, of 4,000")
def _(answer, given):
    _as_the_prior(*_drawn(answer, given))


@sample_latents.part("latents far from 0")
def _(answer, given):
    x, prior, matrix, offset, scale = _drawn(answer, given, away=6.0)
    off = x.detach().double().flatten(1).mean(0) - (matrix @ prior.mean / scale + offset)
    if (off.abs() > 0.3 * (matrix @ prior.cov @ matrix.T).diagonal().sqrt() / scale).any():
        raise Wrong("cut", f"Right where latents lie about 0, and off by {off.abs().max():.2g} where they lie about 6: "
                    "they have no range to be clamped to.")  # fmt: skip


@sample_latents.part("the same on VP's path, where alpha falls")
def _(answer, given):
    try:
        _as_the_prior(*_drawn(answer, given, schedule=VP()))
    except Wrong as wrong:
        raise Wrong("alpha", "Right where alpha is 1, and wrong where it falls: x is alpha x0 + sigma eps, with alpha "
                    f"and sigma of the new time. {wrong.message}") from None  # fmt: skip


def _as_the_prior(x: Tensor, prior: Known, matrix: Tensor, offset: Tensor, scale: float) -> None:
    x = x.detach().double().flatten(1)
    if not x.isfinite().all():
        raise Wrong("not finite", "There is NaN or infinity among the pictures.")
    at = {k: (matrix @ prior.mean * k + offset, k**2 * matrix @ prior.cov @ matrix.T) for k in (1 / scale, scale, 1)}
    found, wanted = (x.mean(0), x.T.cov()), at[1 / scale]
    ratio = (found[1].trace() / wanted[1].trace()).item()
    if ratio < 0.05:
        raise Wrong("forgets", f"All pictures end as nearly one, with {ratio:.2g} of the variance: does a step "
                    "lose the noise that x had? It is alpha x0 + sigma eps.")  # fmt: skip
    if (others := len(x.unique(dim=0))) < len(x):
        raise Wrong("copies", f"{len(x)} pictures, and only {others} different ones: draw each by itself.")
    if _agree(found, wanted):
        return
    if _agree(found, at[scale]):
        raise Wrong("times the scale", f"Covariance {ratio:.3g} times too large: latents were multiplied by scale for "
                    "training; divide before decoding.")  # fmt: skip
    if _agree(found, at[1]):
        raise Wrong("scale forgotten", f"Covariance {ratio:.3g} times too large: the decoder knows latents as the "
                    "encoder made them. Divide by scale before decoding.")  # fmt: skip
    for k in (scale, 1 / scale):
        for mean, cov in at.values():
            if _agree(found, (k * mean, k**2 * cov)):
                raise Wrong("pictures scaled", "The pictures are scaled: scale is of the latents. Divide them by it "
                            "before decode, and leave what comes out of it as it is.")  # fmt: skip
    if ratio > 1.5:
        raise Wrong("too wide", f"Covariance {ratio:.3g} times too large: is there noise left? The last step goes to "
                    "t = 0.")  # fmt: skip
    raise Wrong("statistics", f"The covariance's trace is {ratio:.3g} of what it must be, the mean off by "
                f"{(found[0] - wanted[0]).abs().max():.2g}.")  # fmt: skip


def _agree(found, wanted, n: int = 4000) -> bool:
    """Whether a mean and covariance of n samples are those wanted: 4 standard errors, and what 150 steps of
    the plainest sampler are off: 2% of a deviation, 4% of a variance."""
    var = wanted[1].diagonal()
    mean_error = 4 * (var / n).sqrt() + 0.02 * var.sqrt()
    cov_error = 4 * ((var[:, None] * var + wanted[1] ** 2) / n).sqrt() + 0.04 * (var[:, None] * var).sqrt()
    return bool(((found[0] - wanted[0]).abs() < mean_error).all() and ((found[1] - wanted[1]).abs() < cov_error).all())


@sample_latents.part("the same generator, the same pictures")
def _(answer, given):
    seed = int(given.whole(1, 1000, 1))
    prior = Known(given)

    def drawn(seed):
        return answer(prior, lambda z: z / 1, 2.0, 3, SHAPE, 4, torch.Generator().manual_seed(seed))

    first, again, other = drawn(seed), drawn(seed), drawn(seed + 1)
    if not close(first, again, 1e-6):
        raise Wrong("generator not used", "The same seed gives other pictures: draw the noise from `generator`.")
    if close(first, other, 1e-6):
        raise Wrong("generator not used", "Another seed gives the same pictures: draw the noise from `generator`.")
    generator = torch.Generator().manual_seed(seed)
    first, more = (answer(prior, lambda z: z / 1, 2.0, 3, SHAPE, 4, generator) for _ in "12")
    if close(first, more, 1e-6):
        raise Wrong("reseeded", "Two calls with one generator give the same pictures: draw from it as it is, so "
                    "that it moves on; neither its seed nor a copy.")  # fmt: skip
    if isinstance(first, Tensor) and first.is_floating_point():
        stays_float32(first, "what decode gives")


# --- 06.6 ---


def _operations(kind: str, side: int, width: int = 4) -> int:
    """Of one layer on side x side positions: a 3x3 convolution, or attention's two products. As many as the numbers it
    computes, times the products that are added up for each, times 2."""
    if kind == "conv":
        out = torch.conv2d(torch.ones(1, width, side, side), torch.ones(width, width, 3, 3), padding=1)
        return 2 * out.numel() * 9 * width
    q = k = torch.ones(side**2, width)
    return 2 * 2 * (q @ k.T).numel() * width  # the scores, and the weighted sum of the values


def _saved(answer, kind: str, f: int, slips: dict) -> None:
    right = _operations(kind, 32) / _operations(kind, 32 // f)
    usual = {
        "turned": (1 / right, "You say how many times *dearer*: by which factor latents cost less, so more than 1."),
        "side only": (f, f"{f} times along each side: {f**2} times fewer positions."),
    }
    same(answer(kind, f), right, usual | slips, f'cheaper("{kind}", {f})')


@cheaper.part("convolutions")
def _(answer, given):
    for f in (8, 2, 4, 1, 16, 32):
        slips = {
            "squared twice": (f**4, "A convolution's cost is linear in positions: f^2, not f^4."),
            "cubed": (f**3, "A picture has two sides: f^2."),
            "doubled": (2 * f, "A square has f * f, not 2 f."),
        }
        _saved(answer, "conv", f, slips)


@cheaper.part("attention")
def _(answer, given):
    for f in (8, 2, 4, 1, 16, 32):
        message = f"Attention is quadratic in positions: {f**2}^2."
        _saved(answer, "attention", f, {"linear": (f**2, message), "cubed": (f**3, message)})
