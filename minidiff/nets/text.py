"""Encoders of text: tokens (B, L) -> Words, what a net reads of them.

There are two: a small transformer that is trained with the net, and CLIP's text model, loaded from a folder and left
as it is. Each belongs to a tokenizer, `minidiff.text.Tokenizer` or `ClipTokenizer`. An encoder has `dim`, the width of
its vectors, `length`, the number of tokens, and `null`, the token or tokens of the null condition.
"""

import copy
import functools
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..device import out_of_memory
from ..text import check_length
from .layers import Attention, TransformerBlock


class Words(NamedTuple):
    """Encoded texts: a vector for each word, a mask that is false at padding, and one vector for the whole text."""

    each: Tensor  # (B, L, dim)
    mask: Tensor  # (B, L)
    pooled: Tensor  # (B, dim)


class TextEncoder(nn.Module):
    """Tokens (B, length), 0 for padding -> Words, (B, length + 1) of them, of width `dim`.

    A start token and the words go through a convolution and `depth` transformer blocks. The convolution shows each
    word its neighbours from the first step: which object lies where is then learned in half of the steps. The pooled
    vector is the output of the start token plus the sum of the words' embeddings over the root of the number of tokens:
    from the sum a net learns in a third of the steps which words occur, from the token in which order.
    """

    def __init__(self, vocabulary: int, length: int, dim: int = 128, depth: int = 1, heads: int = 4):
        super().__init__()
        self.dim, self.length, self.null = dim, length, 0
        self.embed = nn.Embedding(vocabulary, dim)
        self.start = nn.Parameter(torch.randn(dim))
        self.positions = nn.Parameter(torch.randn(length + 1, dim) / 4)
        self.neighbours = nn.Conv1d(dim, dim, 3, padding=1)
        self.blocks = nn.ModuleList(
            TransformerBlock(Attention(dim, heads), dim, 2 * dim, nn.SiLU()) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Words:
        words = self.embed(tokens) * (tokens != 0)[..., None]
        x = torch.cat([self.start.expand(len(tokens), 1, -1), words], 1) + self.positions
        mask = torch.cat([torch.ones_like(tokens[:, :1]), tokens], 1) != 0
        x = x + silu(self.neighbours(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x, mask=mask)
        x = self.norm(x)
        return Words(x, mask, x[:, 0] + words.sum(1) / mask.sum(1, keepdim=True) ** 0.5)


def encoder_for(tokenizer) -> nn.Module:
    """A new encoder for the tokens of a Tokenizer or a ClipTokenizer."""
    if isinstance(tokenizer, ClipTokenizer):
        return ClipEncoder(tokenizer.path, tokenizer.null)
    return TextEncoder(len(tokenizer.words) + 2, tokenizer.length)


class ClipTokenizer:
    """CLIP's tokenizer, from the folder of a model in the format of Hugging Face: texts -> tokens (B, length).

    The null condition is the empty text. Raises ValueError for a longer text, unless `truncate` cuts it.
    """

    def __init__(self, path: str):
        self.path, (self.tokenizer, model) = path, load_clip(path)
        self.length = min(self.tokenizer.model_max_length, model.config.max_position_embeddings)
        self.null = self([""])[0]

    def __call__(self, texts: list[str], truncate: bool = False) -> Tensor:
        texts = [texts] if isinstance(texts, str) else texts
        if not truncate:
            check_length(texts, self.tokenizer(list(texts))["input_ids"], self.length, "tokens")
        options = {"padding": "max_length", "truncation": True, "max_length": self.length, "return_tensors": "pt"}
        return self.tokenizer(list(texts), **options)["input_ids"]


class ClipEncoder(nn.Module):
    """Tokens of a ClipTokenizer -> Words, by CLIP's text model (Radford et al. 2021), which is not trained further.

    It has no parameters: the weights of a run do not contain CLIP's, which are read from `path` again.
    """

    def __init__(self, path: str, null: Tensor):
        super().__init__()
        self.path, self.dim, self.length = path, load_clip(path)[1].config.hidden_size, len(null)
        self.register_buffer("null", null, persistent=False)

    @torch.no_grad()
    def forward(self, tokens: Tensor) -> Words:
        tokenizer, model = load_clip(self.path)
        if tokens.is_meta:  # only its shapes are asked for: the one that is shared keeps its numbers
            model = copy.deepcopy(model)
        model = model.to(tokens.device)
        out = model(input_ids=tokens)
        # what comes after the first end is padding; the config of OpenAI's models has another number for it
        end = (tokens == tokenizer.eos_token_id).int().argmax(1)
        mask = torch.arange(tokens.shape[1], device=tokens.device) <= end[:, None]
        return Words(out.last_hidden_state, mask, out.pooler_output)


@functools.cache
def load_clip(path: str):
    """(tokenizer, text model) of a folder, through Hugging Face transformers; loaded once."""
    try:
        from transformers import AutoTokenizer, CLIPTextModel
    except ImportError:
        raise ValueError("--text-encoder clip:PATH needs transformers: pip install -e '.[clip]'") from None
    if not (Path(path) / "config.json").is_file():
        raise ValueError(f"{path} is not the folder of a CLIP text model: it has no config.json")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = CLIPTextModel.from_pretrained(path, local_files_only=True)
    except Exception as error:  # transformers raises many kinds for files it cannot use
        if out_of_memory(error):
            raise
        raise ValueError(f"{path}: transformers cannot load CLIP from it ({str(error).splitlines()[0]})") from None
    return tokenizer, model.eval().requires_grad_(False)
