"""An autoregressive prior over tokens, by a causal transformer: VQGAN's second stage (Esser et al. 2021)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..denoise import device_of
from ..nets.fast import attend
from ..nets.layers import Attention, TransformerBlock, heads_of, split_heads
from .gan import required_condition


class Causal(nn.Module):
    """Indices (B, H, W) below `codes`, row by row, each predicted from those before it and the condition.

    Before the indices comes a prefix: a start vector, to which a label's is added, or the words of a text and then the
    start vector (as in DALL-E, Ramesh et al. 2021). Raises ValueError for fewer than two codes.
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
        self.blocks = nn.ModuleList(
            TransformerBlock(CausalAttention(width, heads_of(width, 32)), width, 4 * width, nn.GELU(approximate="tanh"))
            for _ in range(depth)
        )
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, codes)

    def given(self, cond, x: Tensor) -> Tensor:
        """The condition as the model takes it, for each of x."""
        return required_condition(cond, x, self.label, self.text)

    def prefix(self, cond: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """The prefix (n, P, width), whose last vector is the start, and its mask (n, P), false at padding."""
        start = self.start.expand(n, 1, -1)
        if self.label is not None or self.text is not None:
            cond = self.given(cond, start)
        if self.label is not None:
            start = start + self.label(cond)[:, None]
        mask = torch.ones(n, 1, dtype=torch.bool, device=start.device)
        if self.words is None:
            return start, mask
        words = self.text(cond)
        return torch.cat([self.words(words.each), start], 1), torch.cat([words.mask, mask], 1)

    def forward(self, prefix: Tensor, prefix_mask: Tensor, tokens: Tensor, cache: dict | None = None) -> Tensor:
        """Logits (B, n + 1, codes): for the token after the prefix, and after each of the `tokens` (B, n).

        With a `cache`, at first empty, the keys and values are kept in it from call to call: only what is new is
        computed, and only the last logits are returned.
        """
        n = tokens.shape[1]
        done, first = 0, prefix.shape[1] - 1  # what the cache has, and whose logits are returned
        h = torch.cat([prefix, self.embed(tokens) + self.places[:n]], 1)
        at = torch.arange(h.shape[1], device=h.device)
        if cache is not None:
            done, cache["done"], first = cache.get("done", 0), len(at), -1
        mask = at <= at[done:, None]  # each attends to itself and to what is before it
        mask = (mask & nn.functional.pad(prefix_mask, (0, n), value=True)[:, None])[:, None]
        h = h[:, done:]
        for i, block in enumerate(self.blocks):
            h = block(h, mask, None if cache is None else cache.setdefault(i, {}))
        return self.leave(self.norm(h[:, first:]))

    def loss(self, x0: Tensor, cond: Tensor | None = None, *, generator=None) -> Tensor:
        """The cross-entropy of the indices x0 (B, H, W), in nats a token, (B,)."""
        tokens = x0.flatten(1).long()
        logits = self(*self.prefix(cond, len(x0)), tokens[:, :-1]).float()
        return cross_entropy(logits.transpose(1, 2), tokens, reduction="none").mean(1)

    @torch.no_grad()
    def sample(
        self, n: int, cond=None, generator=None, temperature: float = 1.0, top_k: int | None = None, cached=True
    ) -> Tensor:
        """n grids of indices (n, H, W), token by token, for the conditions cond (n,), (n, L) or None.

        A `temperature` below 1 makes likely tokens likelier; with `top_k` only so many of the likeliest can be drawn.
        `cached` is faster and draws the same.
        """
        if not temperature > 0:
            raise ValueError(f"the temperature must be more than 0, got {temperature}")
        if top_k is not None and not 1 <= top_k <= self.codes:
            raise ValueError(f"top_k must be between 1 and the {self.codes} codes, got {top_k}")
        prefix, mask = self.prefix(cond, n)
        tokens = torch.zeros(n, 0, dtype=torch.long, device=prefix.device)
        cache = {} if cached else None
        for _ in range(self.shape[0] * self.shape[1]):
            logits = self(prefix, mask, tokens, cache)[:, -1].float() / temperature
            if top_k is not None:
                least = logits.topk(top_k).values[:, -1:]
                logits = logits.masked_fill(logits < least, -torch.inf)
            tokens = torch.cat([tokens, pick(logits, generator)], 1)
        return tokens.view(n, *self.shape)


def pick(logits: Tensor, generator=None) -> Tensor:
    """An index (B, 1) drawn from softmax(logits (B, K)): where the cumulative probability passes a uniform draw."""
    u = torch.rand(len(logits), 1, generator=generator, device=device_of(generator, logits))
    u = u.to(logits, non_blocking=logits.is_cuda)
    return (logits.softmax(1).cumsum(1) <= u).sum(1, keepdim=True).clamp(max=logits.shape[1] - 1)


class CausalAttention(Attention):
    """Self-attention of x (B, N, width), where mask (B, 1, N, M) is true, to what the cache holds and then x itself."""

    def forward(self, x: Tensor, mask: Tensor, cache: dict | None = None) -> Tensor:
        q, k, v = split_heads(self.qkv(x), 3, self.heads)
        if cache is not None:
            k, v = (torch.cat([cache[name], new], 2) if name in cache else new for name, new in (("k", k), ("v", v)))
            cache["k"], cache["v"] = k, v
        return self.project(attend(q, k, v, mask).transpose(1, 2).reshape(x.shape))
