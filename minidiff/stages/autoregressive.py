"""An autoregressive prior over tokens, by a causal transformer: VQGAN's second stage (Esser et al. 2021)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..nets.fast import attend
from ..nets.layers import Attention, heads_of, split_heads
from .gan import required


class Causal(nn.Module):
    """Indices (B, H, W) below `codes`, row by row, each predicted from those before it and the condition.

    The sequence begins with what is given: a start vector, to which a label's is added, or the words of a text and
    then the start vector (as in DALL-E, Ramesh et al. 2021). Raises ValueError for fewer than two codes.
    """

    def __init__(self, shape, codes: int, classes=None, text=None, width: int = 128, depth: int = 6):
        super().__init__()
        if codes < 2:
            raise ValueError(f"a codebook needs at least 2 codes, got {codes}")
        self.shape, self.codes, self.text = tuple(shape), codes, text
        n = shape[0] * shape[1]
        self.start = nn.Parameter(torch.randn(width) / 4)
        self.label = nn.Embedding(classes, width) if classes else None
        self.words = nn.Linear(text.dim, width) if text else None
        self.embed = nn.Embedding(codes, width)
        self.places = nn.Parameter(torch.randn(n, width) / 4)
        self.blocks = nn.ModuleList(Block(width, heads_of(width, 32)) for _ in range(depth))
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, codes)

    def given(self, cond: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """What the sequence begins with (B, P, width), and which of it is there (B, P); the last is the start."""
        start = self.start.expand(n, 1, -1)
        if self.label is not None or self.words is not None:
            cond = required(cond, start, self.label)
        if self.label is not None:
            start = start + self.label(cond)[:, None]
        there = torch.ones(n, 1, dtype=torch.bool, device=start.device)
        if self.words is None:
            return start, there
        words = self.text(cond)
        return torch.cat([self.words(words.each), start], 1), torch.cat([words.there, there], 1)

    def forward(self, given: Tensor, there: Tensor, before: Tensor, cache=None) -> Tensor:
        """Logits (B, n + 1, codes) of the tokens after 0 to n of those before (B, n).

        With a `cache` (see `sample`) the keys and values of what came earlier are kept: only what is new is computed,
        and only the logits of the last are returned.
        """
        n, done = before.shape[1], 0
        h = torch.cat([given, self.embed(before) + self.places[:n]], 1)
        at, first = torch.arange(h.shape[1], device=h.device), given.shape[1] - 1
        if cache is not None:
            done, cache["done"], first = cache.get("done", 0), len(at), -1
        mask = at <= at[done:, None]  # each may see itself and what is before it
        mask = (mask & nn.functional.pad(there, (0, n), value=True)[:, None])[:, None]
        h = h[:, done:]
        for i, block in enumerate(self.blocks):
            h = block(h, mask, None if cache is None else cache.setdefault(i, {}))
        return self.leave(self.norm(h[:, first:]))

    def loss(self, x0: Tensor, cond: Tensor | None = None, *, generator=None) -> Tensor:
        """The cross-entropy of the indices x0 (B, H, W), in nats a token, (B,)."""
        tokens = x0.flatten(1).long()
        logits = self(*self.given(cond, len(x0)), tokens[:, :-1]).float()
        return cross_entropy(logits.transpose(1, 2), tokens, reduction="none").mean(1)

    @torch.no_grad()
    def sample(
        self, n: int, cond=None, generator=None, temperature: float = 1.0, top_k: int | None = None, cached=True
    ) -> Tensor:
        """n grids of indices (n, H, W), token by token, for the conditions cond (n,), (n, L) or None.

        temperature below 1 makes likely tokens likelier; with `top_k` only so many of the likeliest are drawn from.
        """
        if not temperature > 0:
            raise ValueError(f"the temperature must be more than 0, got {temperature}")
        if top_k is not None and not 1 <= top_k <= self.codes:
            raise ValueError(f"top_k must be between 1 and the {self.codes} codes, got {top_k}")
        given, there = self.given(cond, n)
        tokens = torch.zeros(n, 0, dtype=torch.long, device=given.device)
        cache = {} if cached else None
        for _ in range(self.shape[0] * self.shape[1]):
            logits = self(given, there, tokens, cache)[:, -1].float() / temperature
            if top_k is not None:
                least = logits.topk(top_k).values[:, -1:]
                logits = logits.masked_fill(logits < least, -torch.inf)
            tokens = torch.cat([tokens, pick(logits, generator)], 1)
        return tokens.view(n, *self.shape)


def pick(logits: Tensor, generator=None) -> Tensor:
    """An index (B, 1) drawn from softmax(logits (B, K)): where the cumulative probability passes a uniform draw."""
    where = generator.device if generator is not None else logits.device
    u = torch.rand(len(logits), 1, generator=generator, device=where).to(logits, non_blocking=logits.is_cuda)
    return (logits.softmax(1).cumsum(1) < u).sum(1, keepdim=True).clamp(max=logits.shape[1] - 1)


class Block(nn.Module):
    """Causal attention, then an MLP, each added to its input (GPT-2's order: the norms first)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm_in, self.attention = nn.LayerNorm(width), CausalAttention(width, heads)
        self.norm_out = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, mask: Tensor, cache: dict | None) -> Tensor:
        x = x + self.attention(self.norm_in(x), mask, cache)
        return x + self.mlp(self.norm_out(x))


class CausalAttention(Attention):
    """Self-attention of x (B, N, width) to what the mask (B, 1, N, M) allows: x, after what the cache holds."""

    def forward(self, x: Tensor, mask: Tensor, cache: dict | None = None) -> Tensor:
        q, k, v = split_heads(self.qkv(x), 3, self.heads)
        if cache is not None:
            k, v = (torch.cat([cache[name], new], 2) if name in cache else new for name, new in (("k", k), ("v", v)))
            cache["k"], cache["v"] = k, v
        return self.project(attend(q, k, v, mask).transpose(1, 2).reshape(x.shape))
