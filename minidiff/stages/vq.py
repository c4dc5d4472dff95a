"""Vector quantisation: latents from a finite codebook, so that a picture becomes a grid of integers."""

import torch
from torch import Tensor, nn

from ..denoise import device_of
from ..device import averaged, of_first_rank


class Codebook(nn.Module):
    """VQ-VAE's bottleneck: each vector of h (B, dim, H, W) becomes its nearest code (van den Oord et al. 2017,
    section 3.1).

    Gradients pass straight through. The codes follow the vectors assigned to them by moving averages (appendix A.1). A
    code that gets less than a thirtieth of an equal share is dead: it is moved onto a vector of the batch, as are all
    codes at the start. `commit` is the weight of the commitment loss.
    """

    def __init__(self, codes: int, dim: int, decay: float = 0.98, commit: float = 0.25):
        super().__init__()
        if codes < 2:
            raise ValueError(f"a codebook needs at least 2 codes, got {codes}")
        self.codes, self.decay, self.commit = codes, decay, commit
        self.register_buffer("vectors", torch.zeros(codes, dim))
        self.register_buffer("totals", torch.zeros(codes, dim))
        self.register_buffer("counts", torch.zeros(codes))

    def forward(self, h: Tensor, generator=None) -> tuple[Tensor, Tensor]:
        """The quantised vectors (B, dim, H, W) and the commitment loss (B,)."""
        h = h.float()
        flat = h.movedim(1, -1).flatten(0, -2)
        if self.training:
            self.revive(flat.detach(), generator)
        index = self.nearest(flat)
        if self.training:
            self.follow(flat.detach(), index)
        z = self.lookup(index.view(len(h), *h.shape[2:]))
        return h + (z - h).detach(), self.commit * (z.detach() - h).square().flatten(1).mean(1)

    def nearest(self, flat: Tensor) -> Tensor:
        """The index of the code nearest to each of flat (N, dim)."""
        with torch.autocast(flat.device.type, enabled=False):  # in bfloat16 codes that lie close are confused
            return (self.vectors.square().sum(1) - 2 * flat @ self.vectors.T).argmin(1)

    def code(self, h: Tensor) -> Tensor:
        """(B, dim, H, W) -> indices (B, H, W)."""
        return self.nearest(h.float().movedim(1, -1).flatten(0, -2)).view(len(h), *h.shape[2:])

    def lookup(self, index: Tensor) -> Tensor:
        """Indices (B, H, W) -> vectors (B, dim, H, W)."""
        return self.vectors[index].movedim(-1, 1)

    @torch.no_grad()
    def follow(self, flat: Tensor, index: Tensor) -> None:
        """Move each code towards the mean of the vectors, of all ranks, that it was nearest to."""
        counts = torch.zeros_like(self.counts).index_add_(0, index, torch.ones_like(flat[:, 0]))
        totals = torch.zeros_like(self.totals).index_add_(0, index, flat)
        counts, totals = averaged(counts), averaged(totals)
        self.counts.lerp_(counts, 1 - self.decay)
        self.totals.lerp_(totals, 1 - self.decay)
        self.vectors.copy_(self.totals / self.counts.clamp(min=1e-5)[:, None])

    @torch.no_grad()
    def revive(self, flat: Tensor, generator=None) -> None:
        """Put dead codes onto random vectors of the first rank's batch, with the share of an average code."""
        share = len(flat) / self.codes
        index = torch.randint(len(flat), (self.codes,), generator=generator, device=device_of(generator, flat))
        chosen = of_first_rank(flat[index.to(flat.device, non_blocking=flat.is_cuda)])
        dead = self.counts < share / 30  # not as an index, which would wait for a GPU
        self.counts.masked_fill_(dead, share)
        for held, new in ((self.vectors, chosen), (self.totals, share * chosen)):
            held.copy_(torch.where(dead[:, None], new, held))


def usage(index: Tensor, codes: int) -> tuple[float, float]:
    """The share of the codes that occur among the indices, and their perplexity as a share of the codes, 1 if all are
    equally frequent."""
    p = torch.bincount(index.flatten(), minlength=codes).double()
    p = p / p.sum()
    return (p > 0).double().mean().item(), (-torch.xlogy(p, p).sum()).exp().item() / codes
