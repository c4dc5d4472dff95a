"""What users give, checked: names, numbers, and conditions: labels, and texts as the numbers of their words.

Labels are a LongTensor (B,), tokens (B, length); an empty prompt is the null condition. The encoders, which make
vectors of tokens, are in nets/text.py.
"""

import functools
import unicodedata
import warnings
from collections import Counter

import torch
from torch import Tensor

INNER = "_'-\u200c\u200d"  # of a word; the last two join the letters of Indian and Persian ones, or do not
# in which a net takes in the encoded text; the last two have the pooled as well
TEXT_MODES = ("pooled", "tokens", "cross")


def one_of(what: str, value, known) -> None:
    """Raise ValueError unless the value is known."""
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}: choose from {', '.join(known)}")


def tensor_of(x, what: str = "expected numbers") -> Tensor:
    """x, a tensor, an array or lists, as a tensor. Raises ValueError that begins with `what` for anything else."""
    try:
        return torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what} ({error})") from None


def numbers(x) -> Tensor:
    """x as a tensor of floats: an array or a list is welcome.

    Raises ValueError for whole numbers: pictures of 256 levels are not what a model works on.
    """
    x = tensor_of(x)
    if not x.is_floating_point():
        raise ValueError(f"expected floats, pictures in [-1, 1], got {x.dtype}: convert them first")
    return x


def condition(
    cond, x: Tensor, most: int | None = None, tokens: bool | None = False, length: int | None = None
) -> Tensor | None:
    """The condition for each of x (B, ...), where x is: labels (B,) of 0 to `most`, or tokens (B, L), L `length`; if
    `tokens` is None its shape says which.

    A list, an array, one for all, and labels (B, 1) are welcome. Raises ValueError for anything else. Labels that are
    on a GPU already are not looked at, as that would wait for it.
    """
    if cond is None:
        return None
    cond = whole_numbers(cond)
    tokens = cond.ndim == 2 if tokens is None else tokens
    what, ndim = ("tokens (B, L)", 2) if tokens else ("labels (B,)", 1)
    if not tokens and cond.ndim == 2 and cond.shape[1] == 1:
        cond = cond[:, 0]
    cond = cond[None] if cond.ndim == ndim - 1 else cond
    if cond.ndim != ndim or len(cond) not in (1, len(x)):
        raise ValueError(f"expected {what} for {len(x)} samples, got shape {tuple(cond.shape)}")
    if length is not None and cond.shape[1] != length:
        raise ValueError(f"this model reads {length} tokens a caption, and got {cond.shape[1]}")
    if cond.device.type == "cpu" and not tokens:
        check_labels(cond, most)
    return cond.to(x.device, non_blocking=x.is_cuda).expand(len(x), *cond.shape[1:])


def whole_numbers(cond) -> Tensor:
    """Labels or tokens as a tensor of whole numbers, or ValueError."""
    cond = tensor_of(cond, "expected labels or tokens, whole numbers")
    if cond.is_complex() or (cond.is_floating_point() and (cond % 1 != 0).any()):
        raise ValueError(f"expected labels or tokens, whole numbers, got {str(cond.tolist())[:60]}")
    return cond.long()


def check_labels(cond: Tensor, most: int | None, but: str = "") -> None:
    """Raise ValueError unless labels lie between 0 and `most`, if that is given. On a GPU it waits."""
    if bad := [] if most is None or cond.is_meta else cond[(cond < 0) | (cond > most)].tolist():
        raise ValueError(f"label {bad[0]} is out of range: this model's labels are 0 to {most}{but}")


class Tokenizer:
    """Texts to numbers, a word each, (B, length): 0 is no word, 1 an unknown one, then `words` in their order.

    Case and punctuation are ignored. Warns of unknown words; a text of more than `length` words, or one that is not
    empty but has none, is a ValueError. With `truncate` long texts are cut, and unknown words become 1 without a
    warning: vocabulary_of has warned of both.
    """

    def __init__(self, words: list[str], length: int):
        self.words, self.length, self.null = list(words), length, 0
        self.number = {word: i for i, word in enumerate(words, 2)}

    def __call__(self, texts: list[str], truncate: bool = False) -> Tensor:
        texts = [texts] if isinstance(texts, str) else texts
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
