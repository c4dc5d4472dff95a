"""Style transfer by AdaIN (Huang and Belongie 2017), on the features of a small autoencoder that is trained here.

The style of a picture is the mean and deviation of each feature channel, and AdaIN replaces them by another picture's.
Also style mixing (Karras et al. 2019): coarse layers of a StyleGenerator with one style, fine ones with another.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, mse_loss

from minidiff.data import Images
from minidiff.device import to_device
from minidiff.nets.cnn import resize
from minidiff.nets.layers import adain
from minidiff.stages.gan import StyleGenerator


class StyleAutoencoder(nn.Module):
    """Pictures (B, C, H, W) in [-1, 1], H and W multiples of 4 -> features (B, 2 width, H / 4, W / 4) -> pictures."""

    def __init__(self, channels: int = 3, width: int = 32):
        super().__init__()
        self.down = nn.ModuleList(
            [
                nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect"),
                nn.Conv2d(width, 2 * width, 3, padding=1, stride=2, padding_mode="reflect"),
                nn.Conv2d(2 * width, 2 * width, 3, padding=1, stride=2, padding_mode="reflect"),
            ]
        )
        self.up = nn.ModuleList(
            [
                nn.Conv2d(2 * width, 2 * width, 3, padding=1, padding_mode="reflect"),
                nn.Conv2d(2 * width, width, 3, padding=1, padding_mode="reflect"),
            ]
        )
        self.leave = nn.Conv2d(width, channels, 3, padding=1, padding_mode="reflect")

    def layers(self, x: Tensor) -> list[Tensor]:
        """The features after each convolution."""
        found = []
        for conv in self.down:
            x = conv(x).relu()
            found.append(x)
        return found

    def encode(self, x: Tensor) -> Tensor:
        return self.layers(x)[-1]

    def decode(self, features: Tensor) -> Tensor:
        for conv in self.up:
            features = resize(conv(features).relu(), "up")
        return self.leave(features)


def statistics(features: Tensor) -> Tensor:
    """The mean and standard deviation of each channel: (B, C, H, W) -> (B, 2C)."""
    return torch.cat([features.mean((2, 3)), features.std((2, 3), correction=0)], 1)


def train_autoencoder(
    images: Images, steps: int = 600, batch: int = 16, seed: int = 0, strength: float = 3.0, device="cpu"
):
    """First half: reconstruct. Then the encoder stays as it is, and the decoder learns to turn AdaIN's features into a
    picture with those features (content) and the style's statistics in every layer (equations 11 to 13 of the paper).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = StyleAutoencoder(images.shape[0])
    net = net.to(device, memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.0)
    for step in range(steps):
        x = to_device(images.batch(batch, generator)[0], torch.device(device))
        loss = mse_loss(net.decode(net.encode(x)), x)
        if step >= steps // 2:
            net.down.requires_grad_(False)
            style = net.layers(x.flip(0))  # the batch in reverse order: each picture gets another's style
            mixed = adain(net.encode(x), style[-1])
            found = net.layers(net.decode(mixed))
            loss = loss + mse_loss(found[-1], mixed)
            for ours, wanted in zip(found, style, strict=True):
                loss = loss + strength * mse_loss(statistics(ours), statistics(wanted))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def transfer(net: StyleAutoencoder, content: Tensor, style: Tensor, strength: float = 1.0) -> Tensor:
    """Pictures (B, C, H, W) with the layout of `content` and the style of `style`; strength 0 only reconstructs."""
    features = net.encode(content)
    return net.decode(torch.lerp(features, adain(features, net.encode(style)), strength)).clamp(-1, 1)


def mix(net: StyleGenerator, coarse: Tensor, fine: Tensor, cut: int) -> Tensor:
    """Pictures whose first `cut` layers have the styles of the noise `coarse` (B, NOISE), the others those of `fine`."""
    styles = [net.mapping(z / z.square().mean(1, keepdim=True).sqrt()) for z in (coarse, fine)]
    h = net.constant.expand(len(coarse), -1, -1, -1)
    for i, (conv, modulated) in enumerate(zip(net.convs, net.styles, strict=True)):
        h = leaky_relu(modulated(conv(resize(h, "up") if i else h), styles[i >= cut]), 0.2)
    return net.leave(h)


def colour_and_layout(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of pictures (B, C, H, W): each channel's mean (B, C), and the grey picture on a 4 x 4 grid, without its mean and
    of length 1, (B, 16)."""
    layout = nn.functional.adaptive_avg_pool2d(x.mean(1), 4).flatten(1)
    return x.mean((2, 3)), nn.functional.normalize(layout - layout.mean(1, keepdim=True))
