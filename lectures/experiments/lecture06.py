"""Claims of lecture 06, several stages: how small may an autoencoder make pictures, and which prior suits its latents?

What do latents save at 4096 x 4096? Claim 6.1, on a toy, is in sheet.py, 6.4 in latents.py, 6.6 in stacks.py.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from minidiff.measure.nets import flops
from minidiff.nets import DiT, UNet
from minidiff.run.generate import from_noise
from minidiff.stages.autoencoder import Decoder
from minidiff.stages.vq import Codebook

from .claims import Claim
from .compressed import FACTORS, PRIORS, compressed, described
from .latents import not_a_simple_gaussian
from .sheet import two_against_one
from .stacks import stacked_against_one
from .tools import Outcome, bench_results, device, ratio_interval

# --- how small ---


def _means(found, name) -> str:
    return " ".join(f"{sum(v) / len(v):.2f}" for f in FACTORS if (v := found.get((name, f))))


def _outcome(smoke: bool, logs: list[float]) -> Outcome:
    mean, low, high = ratio_interval(logs)
    found = compressed(smoke)
    return Outcome(
        mean, low, high, data=described(smoke), seeds=len(logs), device=device(),
        notes=f"Frechet distance at f = 1, 2, 4, 8 (autoregressive 2): reconstruction {_means(found, 'floor')}; "
        + "; ".join(f"{name} {_means(found, name)}" for name in PRIORS)
        + f"; real against real {found['again']:.2f}",
        detail={"found": found},
    )  # fmt: skip


def _logs(numerator, denominator) -> list[float]:
    return [torch.tensor(max(a, 1e-6) / max(b, 1e-6)).log().item() for a, b in zip(numerator, denominator, strict=True)]


def best_in_the_middle(smoke: bool) -> Outcome:
    found = compressed(smoke)
    ends, middle = (
        [min(pair) for pair in zip(*(found["diffusion", f] for f in fs), strict=True)] for fs in ((1, 8), (2, 4))
    )
    return _outcome(smoke, _logs(ends, middle))


def above_the_floor(smoke: bool) -> Outcome:
    found = compressed(smoke)
    by_f = [_logs(found["diffusion", f], found["floor", f]) for f in FACTORS]
    return _outcome(smoke, [min(row) for row in zip(*by_f, strict=True)])


# --- 4096 x 4096 in numbers ---

SIDE, CALLS = 4096, 50


def cost_of_4096(smoke: bool) -> Outcome:
    """FLOPs of one picture: 50 calls in pixels, or 50 at an eighth of the side and one of a decoder."""
    nets = {
        "U-Net": lambda c, n: UNet(c, n, None, 128, (1, 2, 2, 4), attention_at=()),
        "transformer": lambda c, n: DiT(c, n, None, 384, 12, patch=1),
        "DiT, patch 2": lambda c, n: DiT(c, n, None, 384, 12, patch=2),
    }
    with torch.device("meta"):
        once = flops(Decoder(3, 4, 8, 64), (4, SIDE // 8, SIDE // 8), others=())
        found = {
            name: (
                CALLS * flops(make(3, SIDE), (3, SIDE, SIDE)),
                CALLS * flops(make(4, SIDE // 8), (4, SIDE // 8, SIDE // 8)),
            )
            for name, make in nets.items()
        }
    ratio = found["U-Net"][0] / (found["U-Net"][1] + once)
    return Outcome(
        ratio, ratio, ratio, data="analytic counter, forward passes", seeds=0,
        notes=f"{SIDE}^2 = {SIDE**2:,} pixels; PFLOP a picture of {CALLS} calls, in pixels and in latents: "
        + "; ".join(f"{k} {a / 1e15:.3g} and {b / 1e15:.3g}" for k, (a, b) in found.items())
        + f"; the decoder, once, {once / 1e15:.3g}",
        detail={"found": found, "decoder": once},
    )  # fmt: skip


def eight_minutes_each(name: str) -> dict:
    """What tests/bench/stages.py measured on the data called `name`."""
    return bench_results(f"stages_{name}")


# --- what exercises ask for, by the package ---


def latent_scale(z: Tensor, std: float = 0.5) -> float:
    return std * z.var().rsqrt().item()


def quantise(h: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    book = Codebook(*codes.shape).to(h.device).eval()
    book.vectors = codes.detach()
    return book(h)[0], book.code(h)


def causal_nll(net, tokens: Tensor, start: int) -> Tensor:
    logits = net(pad(tokens, (1, 0), value=start))
    return -torch.distributions.Categorical(logits=logits[:, :-1]).log_prob(tokens).sum(1)


def sample_latents(prior, decode, scale: float, n: int, shape, steps: int, generator) -> Tensor:
    return decode(from_noise(prior, shape, n, generator=generator, sampler="ddim", steps=steps) / scale)


STAGES = 'slide "Multi-Stage Generative Models"'
COSTLY = 'slide "Directly generating..."'
SIZE = "not in the lecture: how small the first stage may make pictures"
INF = float("inf")
CLAIMS = [
    Claim("6.1", "Modelling p(x) in one stage is harder than in two", STAGES,
          "two stages come a fifth closer or more at equal FLOPs", "sliced Wasserstein, one stage over two", (1.2, INF),
          two_against_one, says=(1.0, INF)),
    Claim("6.2", "The best autoencoder makes pictures neither as they are nor very small", SIZE,
          "the distance is U-shaped in f", "Frechet distance of diffusion, better of f = 1, 8 over better of f = 2, 4",
          (1.0, INF), best_in_the_middle, says=(1.0, INF)),
    Claim("6.3", "No second stage comes below its autoencoder's reconstructions", SIZE,
          "at least the floor", "Frechet distance of diffusion over that of reconstructions, least of the factors",
          (1.0, INF), above_the_floor, says=(1.0, INF)),
    Claim("6.4", "Latents have a non-trivial distribution, not a simple Gaussian", STAGES,
          "held-out latents are likelier under a diffusion by a tenth of a nat each, or more",
          "held-out log-likelihood in nats a latent, diffusion at its plateau minus one full Gaussian",
          (0.1, INF), not_a_simple_gaussian, says=(0.0, INF),
          why_anew="a diffusion of 400 steps decided, which had not yet learned what a fitted Gaussian says; and "
          "distances of decoded pictures also measure the decoder. All claims together took more than an hour: now "
          "training ends five looks at the error after the best, of 40 in all, and not 1,000 steps after it."),
    Claim("6.5", "Directly generating high-resolution images is very costly; latents are not", COSTLY,
          "64 times fewer positions, less what the decoder costs",
          "FLOPs at 4096^2, U-Net in pixels over latents at f = 8",
          (32.0, 64.0), cost_of_4096, says=(2.0, INF)),
    Claim("6.6", "A stack of two GANs is better than one GAN", 'slide "Stacked GANs"',
          "a fifth closer or more at equal training FLOPs",
          "Frechet distance, one GAN over the stack", (1.2, INF), stacked_against_one, says=(1.0, INF),
          why_anew="both failed on 8x8 digits without classes, with unequal gradient penalties, and equal time was that "
          "of one machine; and both failed at 32x32 with nets twice as wide, for which 200 steps were too few. With three "
          "seeds the interval was wide and, in one run that is not kept, had 1 in it; five took "
          "eight of the sixty minutes that all claims together have: now four."),
]  # fmt: skip
