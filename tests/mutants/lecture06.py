"""Answers to the exercises of lecture 06 that are wrong, each with the key of its message; others that are right."""


def _scale(line: str) -> str:
    return f"import torch\ndef latent_scale(z, std=0.5):\n    return {line}\n"


def _kl(line: str) -> str:
    return f"import torch\ndef kl(mean, log_var):\n    return {line}\n"


_TERMS = "(mean**2 + log_var.exp() - 1 - log_var).flatten(1).sum(1) / 2"


def _quantise(index: str = "torch.cdist(rows, codes).argmin(1)", end: str = "h + (z - h).detach()") -> str:
    return f"""
import torch
def quantise(h, codes):
    rows = h.movedim(1, -1).reshape(-1, h.shape[1])
    index = {index}
    index = index.view(len(h), *h.shape[2:])
    z = codes[index].movedim(-1, 1)
    return {end}, index
"""


def _nll(inputs: str = "torch.cat([first, tokens[:, :-1]], 1)", logits: str = "net(inputs)",
         end: str = "cross_entropy(logits.transpose(1, 2), tokens, reduction='none').sum(1)") -> str:  # fmt: skip
    return f"""
import torch
from torch.nn.functional import cross_entropy
def causal_nll(net, tokens, start):
    first = torch.full_like(tokens[:, :1], start)
    inputs = {inputs}
    logits = {logits}
    return {end}
"""


_GATHER = "-logits.{}.gather(2, tokens[..., None])[..., 0].sum(1)"


def _sample(x: str = "sigma * torch.randn(n, *shape, generator=generator)", times: str = "prior.schedule.grid(steps)",
            end: str = "decode(x / scale)", before: str = "") -> str:  # fmt: skip
    return f"""
import torch
def sample_latents(prior, decode, scale, n, shape, steps, generator):
    {before}
    times = {times}
    sigma = prior.schedule(times[0])[1]
    x = {x}
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = prior(x, t)
        alpha, sigma = prior.schedule(s)
        x = alpha * x0 + sigma * eps
    return {end}
"""


def _cheaper(line: str) -> str:
    return f"def cheaper(kind, f):\n    return {line}\n"


WRONG = {
    "latent_scale": {
        "spread within the samples": ("""
def latent_scale(z, std=0.5):
    return (std / z.flatten(1).var(1).mean().sqrt()).item()
""", "value"),
        "of the first batch": ("""
def latent_scale(z, std=0.5):
    return std / z[:128].std().item()
""", "value"),
        "pasted": (_scale("0.18215"), "pasted"),
        "variance": (_scale("std / z.var().item()"), "variance"),
        "times": (_scale("std * z.std().item()"), "times"),
        "the deviation": (_scale("z.std().item()"), "deviation itself"),
        "turned": (_scale("z.std().item() / std"), "turned"),
        "to one": (_scale("1 / z.std().item()"), "unit"),
        "half for any": (_scale("0.5 / z.std().item()"), "default for any"),
        "mean of the channels' scales": (_scale("(std / z.std((0, 2, 3))).mean().item()"), "mean of channels"),
        "mean of the channels' deviations": (_scale("std / z.std((0, 2, 3)).mean().item()"), "mean of deviations"),
        "a scale a channel": (_scale("std / z.std((0, 2, 3))"), "a scale a channel"),
        "mean of the samples' deviations": (_scale("std / z.flatten(1).std(1).mean().item()"), "mean of samples"),
        "root mean square": (_scale("std / z.square().mean().sqrt().item()"), "root mean square"),
        "40 x 3 x 64 numbers": (_scale("std / ((z - z.mean()).square().sum() / 7680).sqrt().item()"), "value"),
        "absolute": (_scale("std / (z - z.mean()).abs().mean().item()"), "absolute"),
        "largest": (_scale("std / z.abs().max().item()"), "largest"),
        "scaled latents": (_scale("std * z / z.std()"), "a scale a channel"),
        "text": (_scale("str(std / z.std().item())"), "no number"),
    },
    "kl": {
        "log_var clamped as in latent diffusion": (
            _kl(_TERMS.replace("log_var", "log_var.clamp(-30, 20)")), "value"
        ),
        "a small number in the logarithm": (
            _kl("(mean**2 + log_var.exp() - 1 - torch.log(log_var.exp() + 1e-10)).flatten(1).sum(1) / 2"), "value"
        ),
        "log_var kept small": (_kl(_TERMS.replace("log_var", "log_var.clamp(-10, 10)")), "value"),
        "squeezed": (_kl(f"({_TERMS}).squeeze()"), "one alone"),
        "a part detached": (_kl(_TERMS.replace("log_var.exp()", "log_var.detach().exp()")), "wrong gradient"),
        "all detached": (_kl(f"({_TERMS}).detach()"), "no gradient"),
        "sign": (_kl("-" + _TERMS), "negative"),
        "the bound's form": (_kl("(1 + log_var - mean**2 - log_var.exp()).flatten(1).sum(1) / 2"), "negative"),
        "not halved": (_kl(_TERMS.removesuffix(" / 2")), "not halved"),
        "mean over the batch": (_kl(f"({_TERMS}).mean()"), "one number for all"),
        "sum over all": (_kl(f"({_TERMS}).sum()"), "one number for all"),
        "mean over latents": (_kl(_TERMS.replace("sum(1)", "mean(1)")), "mean over latents"),
        "not summed": (_kl("(mean**2 + log_var.exp() - 1 - log_var) / 2"), "not summed"),
        "channels only": (_kl("((mean**2 + log_var.exp() - 1 - log_var) / 2).sum(1)"), "shape"),
        "log deviation": (_kl(_TERMS.replace("log_var", "(2 * log_var)")), "log deviation"),
        "variance squared": (_kl(_TERMS.replace("log_var.exp()", "(2 * log_var).exp()")), "variance squared"),
        "deviation": (_kl(_TERMS.replace("log_var.exp()", "(log_var / 2).exp()")), "deviation"),
        "as the variance": (_kl("(mean**2 + log_var - 1 - log_var.log()).flatten(1).sum(1) / 2"), "variance"),
        "no 1": (_kl(_TERMS.replace(" - 1", "")), "no 1"),
        "plus": (_kl(_TERMS.replace("- log_var", "+ log_var")), "plus log_var"),
        "no log_var": (_kl(_TERMS.replace(" - log_var", "")), "no log_var"),
        "no mean": (_kl(_TERMS.replace("mean**2 + ", "")), "no mean"),
        "mean not squared": (_kl(_TERMS.replace("mean**2", "mean")), "mean not squared"),
        "other way round": (
            _kl("((mean**2 + 1) / log_var.exp() - 1 + log_var).flatten(1).sum(1) / 2"),
            "other way round",
        ),
        "bits": (_kl(_TERMS + " / 0.6931471805599453"), "bits"),
        "in place": (
            "def kl(mean, log_var):\n    return (mean.square_() + log_var.exp() - 1 - log_var).flatten(1).sum(1) / 2\n",
            "changed its input",
        ),
        "single": (_kl(f"({_TERMS}).float()"), "dtype"),
    },
    "quantise": {
        "rows of unit deviation": (
            _quantise("torch.cdist((rows - rows.mean(0)) / rows.std(0), codes).argmin(1)"),
            "value",
        ),
        "rows about 0": (_quantise("torch.cdist(rows - rows.mean(0), codes).argmin(1)"), "value"),
        "squeezed": (
            _quantise("torch.cdist(rows, codes).argmin(1)").replace("z = codes[index]", "z = codes[index.squeeze(0)]"),
            "one alone",
        ),
        "float64": (_quantise(end="(h + (z - h).detach()).double()"), "not float32"),
        "farthest": (_quantise("torch.cdist(rows, codes).argmax(1)"), "farthest"),
        "dot product": (_quantise("(rows @ codes.T).argmax(1)"), "dot product"),
        "least dot product": (_quantise("(rows @ codes.T).argmin(1)"), "least dot product"),
        "angle": (_quantise("(rows @ torch.nn.functional.normalize(codes, dim=1).T).argmax(1)"), "angle"),
        "no length": (_quantise("(-2 * rows @ codes.T).argmin(1)"), "dot product"),
        "no factor of 2": (_quantise("(codes.square().sum(1) - rows @ codes.T).argmin(1)"), "no factor of 2"),
        "absolute": (_quantise("torch.cdist(rows, codes, p=1).argmin(1)"), "absolute differences"),
        "rows mixed up": (
            _quantise().replace("h.movedim(1, -1).reshape(-1, h.shape[1])", "h.reshape(-1, h.shape[1])"),
            "rows mixed up",
        ),
        "no straight-through": (_quantise(end="z"), "no gradient"),
        "all detached": (_quantise(end="(h + (z - h)).detach()"), "no gradient"),
        "h detached": (_quantise(end="h.detach() + (z - h).detach()"), "no gradient"),
        "to the codes alone": (_quantise(end="h.detach() + (z - h.detach())"), "no gradient"),
        "wrong side": (_quantise(end="z + (h - z).detach()"), "h itself"),
        "identity": (_quantise(end="h"), "h itself"),
        "difference": (_quantise(end="(z - h).detach()"), "residual"),
        "half detached": (_quantise(end="h + z - h.detach()"), "gradient to the codes"),
        "twice": (_quantise(end="2 * h + (z - 2 * h).detach()"), "doubled"),
        "channels last": (_quantise().replace(".movedim(-1, 1)", ""), "raised"),
        "channels last, no pass": (_quantise(end="z").replace(".movedim(-1, 1)", ""), "channels last"),
        "reshaped": (_quantise().replace(".movedim(-1, 1)", ".reshape(h.shape)"), "channels last"),
        "z alone": (_quantise().replace("(z - h).detach(), index", "(z - h).detach()"), "no pair"),
        "flat index": (
            _quantise().replace("return h + (z - h).detach(), index", "return h + (z - h).detach(), index.flatten()"),
            "shape",
        ),
        "index as floats": (
            _quantise().replace("return h + (z - h).detach(), index", "return h + (z - h).detach(), index.double()"),
            "index is no whole number",
        ),
        "one picture's code": (
            _quantise("torch.cdist(rows, codes).argmin(1)[: rows.shape[0] // len(h)].repeat(len(h))"),
            "value",
        ),
    },
    "causal_nll": {
        "half of the gradient": (
            _nll(end="(logits.logsumexp(2).detach() - logits.gather(2, tokens[..., None])[..., 0]).sum(1)"),
            "value",
        ),
        "a product of probabilities": (
            _nll(end=_GATHER.format("softmax(2)").replace("sum(1)", "prod(1).log()")),
            "not finite",
        ),
        "a probability kept from 0": (
            _nll(end="-logits.softmax(2).clamp(1e-6, 1).log().gather(2, tokens[..., None])[..., 0].sum(1)"), "capped"
        ),
        "squeezed": (_nll(end="-logits.log_softmax(2).gather(2, tokens[..., None]).squeeze().sum(-1)"), "one alone"),
        "mean times the codes": (
            _nll(end="cross_entropy(logits.transpose(1, 2), tokens, reduction='none').mean(1) * logits.shape[2]"),
            "value",
        ),
        "start ignored": (
            _nll(end="cross_entropy(logits.transpose(1, 2), tokens, reduction='none', ignore_index=start).sum(1)"),
            "value",
        ),
        "detached": (_nll(logits="net(inputs).detach()"), "no gradient"),
        "no shift": (_nll("tokens"), "sees the answer"),
        "no shift, no first": (
            _nll("tokens", end="cross_entropy(logits[:, 1:].transpose(1, 2), tokens[:, 1:], reduction='none').sum(1)"),
            "sees the answer, first dropped",
        ),
        "shifted the other way": (_nll("torch.cat([tokens[:, 1:], first], 1)"), "shifted the other way"),
        "start at the end": (
            _nll("torch.cat([tokens, first], 1)", "net(inputs)[:, 1:]"),
            "shifted the other way",
        ),
        "first dropped": (
            _nll("tokens[:, :-1]",
                 end="cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction='none').sum(1)"),
            "first dropped",
        ),
        "rolled": (_nll("tokens.roll(1, 1)"), "starts from the last"),
        "zero first": (_nll("torch.cat([0 * first, tokens[:, :-1]], 1)"), "starts from 0"),
        "mean": (_nll(end="cross_entropy(logits.transpose(1, 2), tokens, reduction='none').mean(1)"), "mean"),
        "mean of all": (_nll(end="cross_entropy(logits.transpose(1, 2), tokens)"), "one number for all"),
        "sum of all": (
            _nll(end="cross_entropy(logits.transpose(1, 2), tokens, reduction='sum')"),
            "one number for all",
        ),
        "not summed": (_nll(end="cross_entropy(logits.transpose(1, 2), tokens, reduction='none')"), "not summed"),
        "sign": (_nll(end="-cross_entropy(logits.transpose(1, 2), tokens, reduction='none').sum(1)"), "sign"),
        "bits": (
            _nll(end="cross_entropy(logits.transpose(1, 2), tokens, reduction='none').sum(1) / 0.6931471805599453"),
            "bits",
        ),
        "raw logits": (_nll(end=_GATHER.format("add(0)")), "not normalised"),
        "probabilities": (_nll(end=_GATHER.format("softmax(2)")), "probabilities"),
        "softmax twice": (
            _nll(end="cross_entropy(logits.softmax(2).transpose(1, 2), tokens, reduction='none').sum(1)"),
            "softmax twice",
        ),
        "softmax over places": (_nll(end=_GATHER.format("log_softmax(1)")), "softmax over places"),
        "wrong axis": (_nll(end="cross_entropy(logits, tokens, reduction='none').sum(1)"), "wrong axis"),
        "one at a time": (
            _nll(logits="torch.cat([net(inputs[:, i : i + 1]) for i in range(inputs.shape[1])], 1)"),
            "many calls",
        ),
        "one by one": (
            _nll(logits="torch.stack([net(inputs[:, : i + 1])[:, -1] for i in range(inputs.shape[1])], 1)"),
            "many calls",
        ),
        "floats": (_nll("torch.cat([first, tokens[:, :-1]], 1).double()"), "inputs"),
    },
    "sample_latents": {
        "half of them twice": (_sample(end="decode(torch.cat([x[: n // 2], x[: n - n // 2]]) / scale)"), "copies"),
        "x0 cut to two": (_sample().replace("alpha * x0", "alpha * x0.clamp(-2, 2)"), "cut"),
        "uniform noise": (
            _sample("sigma * (2 * torch.rand(n, *shape, generator=generator) - 1) * 3**0.5"),
            "not normal",
        ),
        "80 alpha at the start": (
            _sample("80 * prior.schedule(times[0])[0] * torch.randn(n, *shape, generator=generator)"),
            "starts at another level",
        ),
        "a seed of its own": (_sample(before="generator.manual_seed(generator.initial_seed())"), "reseeded"),
        "twice the steps": (_sample(times="prior.schedule.grid(2 * steps)"), "other number of steps"),
        "begins late": (_sample(times="prior.schedule.grid(steps + 1)[1:]"), "starts late"),
        "one step less": (_sample(times="prior.schedule.grid(steps)[:-1]"), "other number of steps"),
        "alpha forgotten": (_sample().replace("alpha * x0", "x0"), "alpha"),
        "old alpha": (_sample().replace("alpha * x0", "prior.schedule(t)[0] * x0"), "alpha"),
        "a start of 80": (_sample("80 * torch.randn(n, *shape, generator=generator)"), "starts at another level"),
        "from N(0, I)": (_sample("torch.randn(n, *shape, generator=generator)"), "starts too quietly"),
        "variance": (_sample("sigma**0.5 * torch.randn(n, *shape, generator=generator)"), "starts at another level"),
        "half as loud": (_sample("sigma * torch.rand(n, *shape, generator=generator)"), "starts at another level"),
        "upwards": (_sample(times="prior.schedule.grid(steps).flip(0)"), "upwards"),
        "times the scale": (_sample(end="decode(x * scale)"), "times the scale"),
        "scale forgotten": (_sample(end="decode(x)"), "scale forgotten"),
        "all three": (
            _sample("torch.randn(n, *shape, generator=generator)", "prior.schedule.grid(steps).flip(0)",
                    "decode(x * scale)"),
            "upwards",
        ),
        "first and third": (
            _sample("torch.randn(n, *shape, generator=generator)", end="decode(x * scale)"),
            "starts too quietly",
        ),
        "a fixed number of steps": (_sample(times="prior.schedule.grid(40)"), "other number of steps"),
        "one step": (_sample(times="prior.schedule.grid(1)"), "other number of steps"),
        "stops early": (_sample(times="prior.schedule.grid(steps)[:-1]"), "other number of steps"),
        "stops at noise": (_sample(times="torch.linspace(1.0, 0.01, steps + 1)"), "too wide"),
        "scaled pictures": (_sample(end="decode(x) / scale"), "pictures scaled"),
        "scaled back": (_sample(end="decode(x / scale) * scale"), "pictures scaled"),
        "x0 alone": (_sample().replace("alpha * x0 + sigma * eps", "alpha * x0"), "forgets"),
        "x0 alone, float32": (_sample().replace("alpha * x0 + sigma * eps", "alpha.float() * x0.float()"), "forgets"),
        "not decoded": (_sample(end="x / scale"), "not decoded"),
        "no generator": (_sample("sigma * torch.randn(n, *shape)"), "generator not used"),
        "seeded itself": (
            _sample(before="generator = torch.Generator().manual_seed(0)"),
            "generator not used",
        ),
        "no prior": (_sample("torch.randn(n, *shape, generator=generator)", "prior.schedule.grid(steps)[:1]"),
                     "prior not asked"),
        "flat": (_sample("sigma * torch.randn(n, shape[0], generator=generator)"), "shape"),
        "nothing": (_sample(end="None"), "no tensor"),
    },
    "cheaper": {
        "a table up to 16": ("""
def cheaper(kind, f):
    return {1: 1, 2: 4, 4: 16, 8: 64, 16: 256}[f] ** (2 if kind == "attention" else 1)
""", "raised"),
        "a table": (_cheaper("{1: 1, 2: 4, 4: 16, 8: 64}.get(f, 64) ** (2 if kind == 'attention' else 1)"), "value"),
        "side": (_cheaper("f"), "side only"),
        "positions for both": (_cheaper("f**2"), "linear"),
        "squared for both": (_cheaper("f**4"), "squared twice"),
        "exchanged": (_cheaper("f**4 if kind == 'conv' else f**2"), "squared twice"),
        "cubed": (_cheaper("f**2 if kind == 'conv' else f**3"), "cubed"),
        "volume": (_cheaper("f**3 if kind == 'conv' else f**6"), "cubed"),
        "doubled": (_cheaper("2 * f if kind == 'conv' else f**4"), "doubled"),
        "turned": (_cheaper("f**-2 if kind == 'conv' else f**-4"), "turned"),
        "attention by the side": (_cheaper("f**2 if kind == 'conv' else f"), "side only"),
        "for 8 alone": (_cheaper("64 if kind == 'conv' else 4096"), "value"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "latent_scale": {
        "numpy": "import numpy as np\ndef latent_scale(z, std=0.5):\n    return std / np.std(z.numpy())\n",
        "a tensor": _scale("std / z.std()"),
        "by hand": _scale("std / ((z - z.mean()) ** 2).mean() ** 0.5"),
    },
    "kl": {
        "over axes": _kl("0.5 * (mean * mean + log_var.exp() - 1 - log_var).sum(tuple(range(1, mean.ndim)))"),
        "torch.distributions": """
from torch.distributions import Normal, kl_divergence
def kl(mean, log_var):
    each = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(mean * 0, mean * 0 + 1))
    return each.flatten(1).sum(1)
""",
    },
    "quantise": {
        "cdist": _quantise(),
        "expanded squares": _quantise("(codes.square().sum(1) - 2 * rows @ codes.T).argmin(1)"),
        "differences": _quantise("(rows[:, None] - codes).square().sum(2).argmin(1)"),
        "one-hot": _quantise().replace(
            "codes[index]", "(torch.nn.functional.one_hot(index, len(codes)).to(codes) @ codes)"
        ),
        "autograd.Function": """
import torch
class Nearest(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, z):
        return z.clone()
    @staticmethod
    def backward(ctx, grad):
        return grad, None
def quantise(h, codes):
    index = torch.cdist(h.flatten(2).transpose(1, 2).contiguous(), codes).argmin(2).view(h.shape[0], *h.shape[2:])
    return Nearest.apply(h, codes[index].permute(0, 3, 1, 2)), index
""",
    },
    "causal_nll": {
        "gather": _nll(end=_GATHER.format("log_softmax(2)")),
        "logsumexp": _nll(
            end="(logits.logsumexp(2) - logits.gather(2, tokens[..., None])[..., 0]).sum(1)"
        ),
        "reads the last too": _nll("torch.cat([first, tokens], 1)", "net(inputs)[:, :-1]"),
        "distributions": _nll(end="-torch.distributions.Categorical(logits=logits).log_prob(tokens).sum(1)"),
    },
    "sample_latents": {
        "decoded in batches": _sample(end="torch.cat([decode(z / scale) for z in x.split(256)])"),
        "ddim": _sample(),
        "in place": _sample().replace("x = alpha * x0", "x[:] = alpha * x0"),
        "in place, on what the prior says": _sample().replace("x = alpha * x0 + sigma * eps",
                                                              "x = x0.mul_(alpha).add_(eps.mul_(sigma))"),
        "the package's solver": """
from minidiff.samplers import dpmpp_2m, last, start
def sample_latents(prior, decode, scale, n, shape, steps, generator):
    z = last(dpmpp_2m(prior, start(prior, (n, *shape), generator), prior.schedule.grid(steps)))
    return decode(z / scale)
""",
        "heun": """
from minidiff.samplers import heun, last, start
def sample_latents(prior, decode, scale, n, shape, steps, generator):
    return decode(last(heun(prior, start(prior, (n, *shape), generator), prior.schedule.grid(steps))) / scale)
""",
        "fresh noise": """
from minidiff.samplers import ddim, last, start
def sample_latents(prior, decode, scale, n, shape, steps, generator):
    x = start(prior, (n, *shape), generator)
    return decode(last(ddim(prior, x, prior.schedule.grid(steps), eta=0.3, generator=generator)) / scale)
""",
    },
    "cheaper": {
        "a table": _cheaper("{'conv': f * f, 'attention': f * f * f * f}[kind]"),
        "by positions": _cheaper("(4096**2 // (4096 // f) ** 2) ** (1 if kind == 'conv' else 2)"),
    },
}  # fmt: skip
