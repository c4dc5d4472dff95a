"""A classifier of noisy pictures: its gradient guides a denoiser (ADM-G, Dhariwal and Nichol 2021, section 4).

`fit_noisy` trains one at the noise levels of a schedule; minidiff.guidance.ClassifierGuided samples with it.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu

from minidiff.data import std
from minidiff.data.images import Images
from minidiff.denoise import normal_like
from minidiff.device import autocast, to_device
from minidiff.measure.classifier import shift
from minidiff.nets.cnn import Block
from minidiff.nets.layers import Embedding
from minidiff.schedules import expand


class NoisyClassifier(nn.Module):
    """x_t (B, C, H, W) and its time t -> logits (B, classes), on the path of any schedule.

    The downward half of a U-Net, modulated by the noise level, then the mean over the picture (section 4.1).
    """

    def __init__(self, channels: int, size: int, classes: int, schedule, sigma_data: float, width: int = 32):
        super().__init__()
        self.schedule, self.sigma_data = schedule, sigma_data
        self.emb = Embedding(4 * width)
        self.enter, now, blocks = nn.Conv2d(channels, width, 3, padding=1), width, []
        for level in range(max(1, size.bit_length() - 3)):
            out = width * min(4, 2**level)
            blocks += [
                Block(now, out, 4 * width, attention=size >> level <= 8),
                Block(out, out, 4 * width, resample="down"),
            ]
            now = out
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(now, classes)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.schedule(torch.as_tensor(t).to(x_t))
        h = x_t / expand(torch.sqrt(alpha**2 * self.sigma_data**2 + sigma**2), x_t)
        emb = silu(self.emb((torch.log(sigma / alpha) / 4).expand(len(x_t)), None))
        h = self.enter(h)
        for block in self.blocks:
            h = block(h, emb)
        return self.head(silu(h).mean((2, 3))).float()


def fit_noisy(train: Images, schedule, steps: int = 1000, batch: int = 128, seed: int = 0, device="cpu", **options):
    """A NoisyClassifier trained on `train`, its noise levels sigma / alpha log-uniform from .02 to 20.

    The same seed gives the same classifier. `options` are NoisyClassifier's.
    """
    generator = torch.Generator().manual_seed(seed)
    spread = std(train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = NoisyClassifier(*train.shape[:2], len(train.classes), schedule, spread, **options)
    net = net.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        x, y = train.batch(batch, generator)
        noise = torch.exp(math.log(0.02) + math.log(1000) * torch.rand(batch, generator=generator))
        t = schedule.time(-2 * noise.log())
        alpha, sigma = (expand(v, x) for v in schedule(t))
        x_t = to_device(alpha * shift(x, generator) + sigma * normal_like(x, generator), net.head.weight.device)
        with autocast(x_t.device, x_t):
            loss = cross_entropy(net(x_t, t.to(x_t)), y.to(x_t.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    return net.eval().requires_grad_(False)
