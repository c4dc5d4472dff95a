"""Text as a condition: sentences to word numbers, and word numbers to vectors.

A net that reads text has one of two encoders: a small transformer trained with it, whose vocabulary is that of its
captions, or CLIP's, loaded from a folder and left as it is. Tokens are a LongTensor (B, length); an empty prompt is
the null condition.
"""

import copy
import functools
import unicodedata
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from .nets.layers import Attention

INNER = "_'-\u200c\u200d"  # of a word; the last two join the letters of Indian and Persian ones, or do not
WAYS = ("pooled", "tokens", "cross")  # in which a net takes in the encoded text; the last two have the pooled as well


class Words(NamedTuple):
    """Encoded text: a vector for each word (B, L, dim), which of them are there (B, L), and one for all (B, dim)."""

    each: Tensor
    there: Tensor
    pooled: Tensor


class Tokenizer:
    """Texts to numbers, a word each, (B, length): 0 is no word, 1 an unknown one, then `words` in their order.

    Case and punctuation are ignored. Warns of unknown words; a text of more than `length` words, or one that is not
    empty but has none, is a ValueError. With `truncate`, for the captions of data, of which vocabulary_of told, long
    ones are cut and unknown words are passed over.
    """

    def __init__(self, words: list[str], length: int):
        self.words, self.length, self.null = list(words), length, 0
        self.number = {word: i for i, word in enumerate(words, 2)}

    def __call__(self, texts: list[str], truncate: bool = False) -> Tensor:
        rows = [split_words(text) for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if text.strip() and not row:
                raise ValueError(f"{text[:60]!r} has no word in it: give some, or an empty text for none")
        if not truncate:
            check_length(texts, rows, self.length, "words")
            if unknown := dict.fromkeys(w for row in rows for w in row if w not in self.number):
                warnings.warn(f"words this model never saw: {', '.join(unknown)}", stacklevel=2)
        rows = [row[: self.length] for row in rows]
        out = torch.zeros(len(texts), self.length, dtype=torch.long)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor([self.number.get(w, 1) for w in row], dtype=torch.long)
        return out

    def encoder(self) -> "TextEncoder":
        return TextEncoder(len(self.words) + 2, self.length)


def check_length(texts: list[str], rows: list[list], length: int, what: str) -> None:
    """Raise ValueError for the first text whose row is longer than `length`."""
    for text, row in zip(texts, rows, strict=True):
        if len(row) > length:
            raise ValueError(f"{text[:60]!r} has {len(row)} {what}: the limit of this model is {length}")


def split_words(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation: letters with their marks, digits, and - ' _ among
    them."""
    words = "".join(map(_in_words, unicodedata.normalize("NFC", text.lower()))).split()
    return [word for word in words if any(map(str.isalnum, word))]


@functools.cache
def _in_words(c: str) -> str:
    return c if c.isalnum() or c in INNER or unicodedata.category(c)[0] == "M" else " "


def vocabulary_of(captions: list[str], most: int = 4000) -> tuple[list[str], int]:
    """The `most` frequent words of captions, in that order, and how many words of a caption are read.

    As every caption costs what the longest does, they are cut to twice what nine in ten of them have, but to 16 words
    at least and 64 at most. Warns of captions that are cut, and of words that are left out.
    """
    rows = [split_words(c) for c in captions]
    lengths = sorted(map(len, rows))
    length = min(lengths[-1], max(16, min(64, 2 * lengths[-1 - len(lengths) // 10])))
    if cut := sum(n > length for n in lengths):
        warnings.warn(f"{cut} of {len(rows)} captions are cut to {length} words", stacklevel=2)
    counts = Counter(w for row in rows for w in row[:length])
    if len(counts) > most:
        warnings.warn(f"of {len(counts)} words the {most} most frequent are told apart", stacklevel=2)
    return sorted(counts, key=lambda w: (-counts[w], w))[:most], length


class TextEncoder(nn.Module):
    """Tokens (B, length) -> Words of width `dim`: a convolution and `depth` transformer blocks over a start token and
    the words.

    With the convolution each word knows its neighbours from the first step ("red" whose it is): which object lies
    where is then learned in half of the steps. The pooled vector is what the start token becomes, plus the sum of the
    words' embeddings over the root of their number: that a word is there is learned from the sum in a third of the
    steps, and where it stands from the token. The words that are not there are masked.
    """

    def __init__(self, vocabulary: int, length: int, dim: int = 128, depth: int = 1, heads: int = 4):
        super().__init__()
        self.dim, self.length, self.null = dim, length, 0
        self.embed = nn.Embedding(vocabulary, dim)
        self.start = nn.Parameter(torch.randn(dim))
        self.positions = nn.Parameter(torch.randn(length + 1, dim) / 4)
        self.neighbours = nn.Conv1d(dim, dim, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Words:
        words = self.embed(tokens) * (tokens != 0)[..., None]
        x = torch.cat([self.start.expand(len(tokens), 1, -1), words], 1) + self.positions
        there = torch.cat([torch.ones_like(tokens[:, :1]), tokens], 1) != 0
        x = x + silu(self.neighbours(x.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x, there)
        x = self.norm(x)
        return Words(x, there, x[:, 0] + words.sum(1) / there.sum(1, keepdim=True) ** 0.5)


class _Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm_in, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.norm_out = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, dim))

    def forward(self, x, there):
        x = x + self.attention(self.norm_in(x), there=there)
        return x + self.mlp(self.norm_out(x))


class ClipTokenizer:
    """CLIP's tokenizer, from the folder of a model in the format of Hugging Face; an empty prompt is the null."""

    def __init__(self, path: str):
        self.path, (self.tokenizer, model) = path, load_clip(path)
        self.length = min(self.tokenizer.model_max_length, model.config.max_position_embeddings)
        self.null = self([""])[0]

    def __call__(self, texts: list[str], truncate: bool = False) -> Tensor:
        if not truncate:
            check_length(texts, self.tokenizer(list(texts))["input_ids"], self.length, "tokens")
        options = {"padding": "max_length", "truncation": True, "max_length": self.length, "return_tensors": "pt"}
        return self.tokenizer(list(texts), **options)["input_ids"]

    def encoder(self) -> "ClipEncoder":
        return ClipEncoder(self.path, self.null)


class ClipEncoder(nn.Module):
    """Tokens of a ClipTokenizer -> Words, by CLIP's text model (Radford et al. 2021), frozen: only what reads it
    learns.

    It has no parameters of its own, so a run's weights do not contain CLIP's; it is read from `path` again.
    """

    def __init__(self, path: str, null: Tensor):
        super().__init__()
        self.path, self.dim = path, load_clip(path)[1].config.hidden_size
        self.register_buffer("null", null, persistent=False)

    @torch.no_grad()
    def forward(self, tokens: Tensor) -> Words:
        model = load_clip(self.path)[1]
        if tokens.is_meta:  # only its shapes are asked for: the one that is shared keeps its numbers
            model = copy.deepcopy(model)
        model = model.to(tokens.device)
        out = model(input_ids=tokens)
        end = (tokens == model.config.eos_token_id).int().argmax(1)  # what comes after the first end is padding
        there = torch.arange(tokens.shape[1], device=tokens.device) <= end[:, None]
        return Words(out.last_hidden_state, there, out.pooler_output)


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
        raise ValueError(f"{path}: transformers cannot load CLIP from it ({str(error).splitlines()[0]})") from None
    return tokenizer, model.eval().requires_grad_(False)
