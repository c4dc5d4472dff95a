"""Checks of lecture 08: words to numbers, texts to vectors, cross-attention, negative prompts, what is held out."""

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from ..denoise import Prediction
from ..oracles import GaussianMixture, MixtureDenoiser
from ..schedules import VP
from .exercise import Exercise, Wrong, alone_in_float32, close, is_tensor, kind, refuses, same, stays_float32

tokenise = Exercise("08.1", "tokenise", 2, 10, "lecture 08, part 2")
pool = Exercise("08.2", "pool", 1, 10, "lecture 08, part 3")
read_words = Exercise("08.3", "read_words", 2, 15, "lecture 08, part 4")
negative = Exercise("08.4", "negative", 2, 10, "lecture 08, part 5")
hold_out = Exercise("08.5", "hold_out", 2, 20, "lecture 08, part 6")


# --- 08.1 ---

PUNCTUATION = str.maketrans("", "", ".,;:!?()\"'-[]{}<>&*_/")


def _vocabulary(given) -> list[str]:
    """Made-up words in an order that is not the alphabet's."""
    words = ["red", "circle", "zebra", "a", "big", "lamp", "under", "quiet"]
    return [words[i] for i in torch.randperm(len(words), generator=given.generator).tolist()]


def _numbered(text: str, words: list[str], length: int, first: int = 2, unknown: int = 1) -> list[int]:
    row = [words.index(w) + first if w in words else unknown for w in text.lower().translate(PUNCTUATION).split()]
    return row + [0] * (length - len(row))


def _as_parts(text: str, words: list[str], length: int) -> dict:
    """What is found where a word of the text may be a part of one of the list."""
    row = [next((i for i, v in enumerate(words, 2) if w in v), 1) for w in text.lower().translate(PUNCTUATION).split()]
    told = "A word was found as a part of another, as 'a' is of 'lamp': look it up whole."
    return {"part of a word": (row + [0] * (length - len(row)), told)}


def _tokens(found, wanted: list[int], slips: dict, text: str) -> None:
    """Raise Wrong unless `found` are the numbers `wanted`; slips: key -> (numbers, what to tell)."""
    what = f"tokens of {text!r}"
    if not isinstance(found, Tensor):
        raise Wrong("no tensor", f"The {what} must be a tensor ({len(wanted)},); you return {kind(found)}.")
    if tuple(found.shape) != (len(wanted),):
        raise Wrong("shape", f"The {what} must have shape ({len(wanted)},); yours have {tuple(found.shape)}.")
    if found.dtype != torch.long:
        raise Wrong("dtype", f"The {what} are {found.dtype}: an embedding takes whole numbers, torch.long.")
    if found.tolist() == wanted:
        return
    for key, (numbers, message) in slips.items():
        if found.tolist() == numbers:
            raise Wrong(key, message)
    raise Wrong("value", f"The {what} are {found.tolist()}; {wanted} are right.")


@tokenise.part("known words: their place in the list, counted from 2, then zeros")
def _(answer, given):
    words, length, order = _vocabulary(given), 7, []
    while sorted(order) == order or max(order) < 5 or [sorted(words).index(words[i]) for i in order] == order:
        order = torch.randperm(len(words), generator=given.generator).tolist()[:4]
    said = [words[i] for i in order]
    text = " ".join(said)
    wanted = _numbered(text, words, length)
    row, none = wanted[:4], [0] * 3
    slips = {
        "from 0": (
            [i - 2 for i in row] + none,
            f"{words[0]!r}, the first of the list, got 0, which says 'no word'.",
        ),
        "from 1": ([i - 1 for i in row] + none, f"{words[0]!r} got 1, the number of an unknown word: count from 2."),
        "padded in front": (none + row, "The zeros stand in front: the words come first, zeros after them."),
        "not padded with 0": (row + [1] * 3, "The rest is filled with 1, the number of an unknown word: 0 is no word."),
        "sorted": (
            [sorted(words).index(w) + 2 for w in said] + none,
            "You sort the list: a word's number is its place in the list as it was given.",
        ),
        "by the text": ([2, 3, 4, 5] + none, "The numbers count the words of the text: look each up in the list."),
        "backwards": (row[::-1] + none, "The words are there in reverse order."),
        "words sorted": (sorted(row) + none, "The words have lost their order: keep that of the text."),
        "all unknown": ([1] * 4 + none, "Every word is unknown to you: look it up in the list `words`."),
        **_as_parts(text, words, length),
        "not split": ([1] + [0] * 6, "The text became one unknown word: split it at blanks, before they are removed."),
    }
    _tokens(_fitting(answer, text, words, length), wanted, slips, text)


def _fitting(answer, text: str, words: list[str], length: int):
    """What comes back for a text that fits. Raises Wrong if it is refused."""
    try:
        return answer(text, list(words), length)
    except (ValueError, KeyError) as error:
        if isinstance(error, KeyError) or "not in list" in str(error):
            said = f"{text!r} ended in {type(error).__name__}: {error}. "
            raise Wrong("not in list", said + "Look a word up in lower case and without punctuation, and only if the "
                        "list has it: others are 1.") from None  # fmt: skip
        count = len(text.translate(PUNCTUATION).split())
        raise Wrong(
            "fitting text refused",
            f"{text!r} has {count} words, length is {length}, and it ended in ValueError: {error}. Count and look up "
            "words, not letters; are there empty strings among your words?",
        ) from None


@tokenise.part("case and punctuation are ignored")
def _(answer, given):
    words = _vocabulary(given)[::-1]
    for text, key, message in (
        ("Red CIRCLE", "case kept", "'Red CIRCLE' must give the numbers of 'red circle': make the text lower case."),
        ('(red), circle! "A" lamp.', "punctuation kept",
         "'circle!' was not found in the list: take the punctuation off, before and after a word."),
        ("red? circle; lamp:", "punctuation kept",
         "'red?', 'circle;' and 'lamp:' were not all found: every mark goes, whatever is neither letter nor digit."),
        ("a red - circle .", "punctuation alone",
         "'-' and '.' that stand alone are no words: once their punctuation is off nothing is left of them."),
        ("[red] 'circle' *a* {lamp}", "punctuation kept",
         "'[red]', \"'circle'\", '*a*' or '{lamp}' kept a mark: whatever is neither letter nor digit goes."),
    ):  # fmt: skip
        found, right = _fitting(answer, text, words, 6), _numbered(text, words, 6)
        if isinstance(found, Tensor) and found.shape == (6,) and found.tolist() != right:
            if text[0] == "(" and found.tolist() == [1, *right[:4], 1]:
                message = "Before '(red)' and after 'lamp.' stands a 1: the empty strings of re.split are no words."
                raise Wrong("empty strings", message)
            if all(f in (r, 1) for f, r in zip(found.tolist(), right, strict=True)):
                raise Wrong(key, message)
            if all(f in (r, 0) for f, r in zip(found.tolist(), right, strict=True)):
                raise Wrong(key, message)
            if [i for i in found.tolist() if i > 1] == [i for i in right if i]:
                raise Wrong(key, message)
        _tokens(found, right, _as_parts(text, words, 6), text)


@tokenise.part("an unknown word is 1")
def _(answer, given):
    words, text = _vocabulary(given), "a red aubergine under a lamp"
    wanted = _numbered(text, words, 8)
    skipped = [i for i in wanted if i > 1] + [0, 0, 0]
    ended = "The text ends at 'aubergine': put a 1 there and go on with the next word."
    slips = {
        "unknown is 0": ([i * (i != 1) for i in wanted], "'aubergine' became 0: to the model it is not there. Unknown "
                         "words are 1."),
        "unknown left out": (skipped, "'aubergine' was left out, and the words after it moved up: put a 1 there."),
        "cut at the unknown": (wanted[:2] + [0] * 6, ended),
        "cut after the unknown": (wanted[:3] + [0] * 5, ended),
        **_as_parts(text, words, 8),
        "-1": ([-1 if i == 1 else i for i in wanted], "'aubergine' became -1, which no embedding has: it is 1."),
        "after the list": (
            [len(words) + 2 if i == 1 else i for i in wanted],
            "'aubergine' got a number after the last word's: an unknown word is 1.",
        ),
    }  # fmt: skip
    try:
        found = answer(text, list(words), 8)
    except (ValueError, KeyError, IndexError) as error:
        said = f"{type(error).__name__}: {error}"
        raise Wrong("unknown raises", f"'aubergine' is not in the list, and ended in {said}. It is 1.") from None
    _tokens(found, wanted, slips, text)
    text = "cir a lam"  # beginnings of words
    _tokens(answer(text, list(words), 4), _numbered(text, words, 4), _as_parts(text, words, 4), text)
    wanted = _numbered("a 10 red", words, 4)
    slips = {"digits left out": ([wanted[0], wanted[2], 0, 0], "'10' was left out: a digit is no punctuation, so it "
                                 "is an unknown word, 1."),
             "digit by digit": ([wanted[0], 1, 1, wanted[2]], "'10' became two words: it is one.")}  # fmt: skip
    _tokens(answer("a 10 red", list(words), 4), wanted, slips, "a 10 red")


@tokenise.part("the empty text is all zeros")
def _(answer, given):
    words = _vocabulary(given)
    slips = {"empty is unknown": ([1, 0, 0, 0], "The empty text has no word: all zeros. ''.split(' ') gives ['']; "
                                  "''.split() gives nothing.")}  # fmt: skip
    try:
        found = answer("", list(words), 4)
    except (ValueError, IndexError, RuntimeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise Wrong("empty raises", f"The empty text ended in {said}. It is the null condition: all zeros.") from None
    _tokens(found, [0] * 4, slips, "")


@tokenise.part("a text of `length` words fits, a longer one is a ValueError")
def _(answer, given):
    words = _vocabulary(given)
    try:
        found = answer("a big red circle", list(words), 4)
    except ValueError:
        raise Wrong("too strict", "Four words do fit into a length of 4: refuse only more.") from None
    _tokens(found, _numbered("a big red circle", words, 4), {}, "a big red circle")
    try:
        answer("a red - circle", list(words), 3)
    except ValueError:
        raise Wrong("marks counted", "'a red - circle' has three words, and was refused where 3 fit: '-' is none. Take "
                    "the punctuation off before you count.") from None  # fmt: skip
    refused, found = refuses(lambda: answer("a big red circle under", list(words), 4), "Five words into a length of 4")
    if refused:
        if refuses(lambda: answer("a big puce circle under", list(words), 4), "Five words into a length of 4")[0]:
            return
        raise Wrong("unknown not counted", "'a big puce circle under' has five words, one of them unknown, and passed "
                    "where 4 fit: an unknown word takes a place too.")  # fmt: skip
    size = tuple(found.shape) if isinstance(found, Tensor) else found
    if isinstance(found, Exception):
        raise Wrong(
            "returned, not raised", f"Five words into a length of 4 returned a {type(found).__name__}: raise it."
        )
    raise Wrong(
        "cut silently",
        f"Five words into a length of 4 gave {size}: a prompt that is cut says something else. Raise ValueError.",
    )


# --- 08.2 ---


def _pooled_wrongly(words, mask, kept) -> dict:
    """What slips would give of words and mask (n, n, n) and (n, n): key -> (value, what to tell)."""
    n, total, count = len(words), kept.sum(1), mask.sum(1).double()
    return {
        "mean over all": (kept.mean(1), "Padding counts in the mean: divide by the words that are there, not by L."),
        "mask ignored": (words.mean(1), "The mask is ignored: padding is in the mean."),
        "padding summed": (
            words.sum(1) / count[:, None],
            "You divide by the right number, but padding is in the sum: multiply the words by the mask.",
        ),
        "one too many": (
            total / (count + 1)[:, None],
            "You divide by one word too many. Against 0 / 0 clamp the number: count.clamp(min=1).",
        ),
        "longest text": (total / count.max(), "You divide by the words of the longest text: count each row's."),
        "sum": (total, "That is the sum: divide by the number of words, or long prompts weigh more."),
        "root": (total / count.sqrt()[:, None], "You divide by the root of the number of words: a mean divides by it."),
        "inverted": (
            (words * ~mask[..., None]).sum(1) / (n - count).clamp(min=1)[:, None],
            "The mask is inverted: it is true where a word is.",
        ),
        "divided by columns": (total / count, "The number of words (B,) lined up with the channels: make it (B, 1)."),
        "mask over channels": (
            (words * mask[:, None]).sum(1) / count[:, None],
            "The mask (B, L) lined up with the channels: give it a last axis, (B, L, 1).",
        ),
        "mask over words and channels": (
            (words * mask).sum(1) / count[:, None],
            "The mask (B, L) lined up with words and channels, one mask for the whole batch: make it (B, L, 1).",
        ),
        "all the batch's words": (total / count.sum(), "You divide by the words of the whole batch: count each row's."),
        "the first words": (
            (words * (torch.arange(n) < mask.sum(1, keepdim=True))[..., None]).sum(1) / count[:, None],
            "You take the first words, as many as the mask counts: take those where it is true.",
        ),
    }


def _not_the_mean(words, mask, kept) -> dict:
    """The same for what is no mean of a text's words."""
    n = len(words)
    return {
        "largest": (words.masked_fill(~mask[..., None], -torch.inf).amax(1), "That is the largest, not the mean."),
        "first word": (words[:, 0], "That is the first word alone."),
        "over channels": (kept.mean(2), "The mean goes over the channels: it goes over the words, axis 1."),
        "channels summed": (
            kept.sum(2) / mask.sum(1, keepdim=True),
            "The sum goes over the channels: it goes over the words, axis 1.",
        ),
        "over the batch": (
            kept.sum(0) / mask.sum(1, keepdim=True),
            "The sum goes over the texts of the batch: it goes over the words of each, axis 1.",
        ),
        "one vector for all": (
            (kept.sum((0, 1)) / mask.sum()).expand(n, n),
            "All texts got one vector: the mean goes over the words of each, not over the batch.",
        ),
    }


@pool.part("the mean of the words where the mask is true")
def _(answer, given):
    n = 4  # B = L = D: every wrong axis fits
    words, mask = (
        given.normal(n, n, n),
        torch.arange(n) >= torch.tensor([[1], [2], [3], [1]]),
    )  # words may stand anywhere
    mask = mask[torch.randperm(n, generator=given.generator)]
    kept = words * mask[..., None]
    wanted = kept.sum(1) / mask.sum(1, keepdim=True)
    slips = _pooled_wrongly(words, mask, kept) | _not_the_mean(words, mask, kept)
    same(answer(words, mask), wanted, slips, "the pooled vector", 2e-5)  # so count + 1e-5 below passes, for any seed


@pool.part("one text alone, and float32, as in training")
def _(answer, given):
    words = given.normal(1, 3, 2).float()
    words[0, 2] = 0  # a vector, too
    found = answer(words, torch.tensor([[True, False, True]]))
    stays_float32(found, "the pooled vector")
    if tuple(found.shape) != (1, 2):
        raise Wrong("one text", f"For one text, words (1, 3, 2), (1, 2) must come back; yours is {tuple(found.shape)}.")
    if close(found, words.sum(1) / 3, 1e-5):
        raise Wrong("not word by word", "The mask is true, false, true, and you took the word in the middle too: take "
                    "those where it is true, one by one.")  # fmt: skip
    if not close(found, words[:, 0] / 2, 2e-5):
        raise Wrong("zeros are not padding", "Of two words that are there one has the vector 0, and the mean is half "
                    "of the other: count where the mask is true, not where numbers differ from 0.")  # fmt: skip


@pool.part("padding changes nothing, whatever stands in it")
def _(answer, given):
    words, mask = given.normal(3, 5, 2), torch.arange(5) < torch.tensor([[1], [3], [4]])
    first = answer(words, mask)
    more = torch.cat([words.masked_fill(~mask[..., None], 1e6), torch.full((3, 2, 2), -1e6, dtype=torch.float64)], 1)
    found = answer(more, torch.cat([mask, torch.zeros(3, 2, dtype=torch.bool)], 1))
    is_tensor(found, (3, 2), "the pooled vector")
    if not close(found, first, 1e-5):
        raise Wrong(
            "padding leaks", f"With 1e6 in the padding the pooled vector moved by {(found - first).abs().max():.3g}."
        )


@pool.part("no word at all: exactly 0, and a gradient without NaN")
def _(answer, given):
    words, mask = given.normal(3, 4, 2).requires_grad_(), torch.arange(4) < torch.tensor([[2], [0], [4]])
    found = answer(words, mask)
    if isinstance(found, Tensor) and found.shape == (3, 2) and found[1].isnan().any():
        raise Wrong("empty is NaN", "The empty prompt became NaN: 0 / 0. It is the null condition and must work.")
    is_tensor(found, (3, 2), "the pooled vector")
    if (found[1] != 0).any():
        raise Wrong("empty is not 0", f"The empty prompt became {found[1].tolist()}: it must be 0.")
    if not found.requires_grad:
        raise Wrong("no gradient", "No gradient reaches the words: leave out detach, no_grad, numpy and new tensors.")
    (gradient,) = torch.autograd.grad(found.sum(), words)
    if not gradient.isfinite().all():
        raise Wrong(
            "gradient is NaN",
            "The vector is right, but its gradient at the empty prompt is NaN: one dropped caption would ruin the "
            "weights. Divide by count.clamp(min=1) in place of mending the 0 / 0 afterwards.",
        )
    share = mask / mask.sum(1, keepdim=True).clamp(min=1)
    same(gradient, share[..., None].expand(3, 4, 2).double(), {}, "the gradient by the words", 1e-5)


# --- 08.3 ---


class Projection:
    """A linear map that an answer may call, as nn.Linear, and what it was called on. Its bias is not 0."""

    def __init__(self, width: int, out: int, given):
        self.in_features, self.out_features = width, out
        self.weight, self.bias, self.calls = given.normal(out, width) / width**0.5, given.normal(out), []

    def __call__(self, x: Tensor) -> Tensor:
        self.calls.append(x)
        return linear(x, self.weight, self.bias)


def _attended(x, words, mask, q, kv) -> tuple[Tensor, dict]:
    """What cross-attention gives, by torch's routine, and what slips would: key -> (value, what to tell)."""
    queries, (keys, values) = q(x), kv(words).chunk(2, -1)
    slips = _masked_wrongly(queries, keys, values, mask[:, None]) | _weighed_wrongly(x, queries, keys, values, mask)
    slips |= _other_roots(queries, keys, values, words, mask)
    if x.shape == words.shape:
        slips |= _turned(x, words, mask, q, kv) | _lined_up_wrongly(x, words, mask, q, kv)
    return scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None]), slips


def _masked_wrongly(queries, keys, values, seen) -> dict:
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5
    return {
        "mask ignored": (
            torch.softmax(scores, -1) @ values,
            "Padding is read like words: put -inf where the mask is false, before the softmax.",
        ),
        "mask multiplied": (
            (torch.softmax(scores, -1) * seen) @ values,
            "The mask is multiplied after the softmax: padding has taken its share, and the weights no longer add up "
            "to 1. Put -inf there before the softmax.",
        ),
        "scores multiplied": (
            torch.softmax(scores * seen, -1) @ values,
            "A score times 0 is 0, not -inf: exp(0) = 1, and padding is still read.",
        ),
        "inverted": (
            torch.softmax(scores.masked_fill(seen, -torch.inf), -1).nan_to_num() @ values,
            "The mask is inverted: it is true where a word is.",
        ),
        "mask added": (
            torch.softmax(scores + seen, -1) @ values,
            "The mask is added as 0 and 1: padding is still read. What is added there must be -inf.",
        ),
        "padding set to 0": (
            torch.softmax(scores * seen, -1) * seen @ values,
            "Keys and values of padding are 0, but exp(0) = 1: padding still takes its share of the softmax. Put -inf "
            "in its scores.",
        ),
    }


def _weighed_wrongly(x, queries, keys, values, mask) -> dict:
    seen, root = mask[:, None], queries.shape[-1] ** 0.5
    scores = queries @ keys.mT / root
    hidden = scores.masked_fill(~seen, -torch.inf)
    exchanged = (queries @ values.mT / root).masked_fill(~seen, -torch.inf)
    pairs = (torch.cat([keys, values], -1)).unflatten(-1, (-1, 2))
    found = {
        "scores times the root": torch.softmax(hidden * root**2, -1) @ values,
        "weights divided": torch.softmax(hidden * root, -1) / root @ values,
        "the first row's mask": scaled_dot_product_attention(queries, keys, values, attn_mask=seen[:1]),
        "interleaved": scaled_dot_product_attention(queries, pairs[..., 0], pairs[..., 1], attn_mask=seen),
        "softmax over patches#1": torch.softmax(scores, 1) @ values,
        "softmax over patches#2": torch.softmax(scores.masked_fill(~seen, -1e9), 1) @ values,
        "softmax over the batch#1": torch.softmax(scores, 0) @ values,
        "softmax over the batch#2": torch.softmax(scores.masked_fill(~seen, -1e9), 0) @ values,
        "not scaled": torch.softmax(hidden * root, -1) @ values,
        "divided by W": torch.softmax(hidden / root, -1) @ values,
        "softmax over patches": torch.softmax(scores, 1) * seen @ values,
        "keys read": torch.softmax(hidden, -1) @ keys,
        "x asks": scaled_dot_product_attention(x, keys, values, attn_mask=seen),
        "halves exchanged": torch.softmax(exchanged, -1) @ keys,
        "no softmax": scores * seen @ values,
        "added to x": x + scaled_dot_product_attention(queries, keys, values, attn_mask=seen),
        "even": (values * mask[..., None]).sum(1, keepdim=True).expand(x.shape) / mask.sum(1)[:, None, None],
    }
    return {key: (value, _WEIGHED[key.partition("#")[0]]) for key, value in found.items()}


_WEIGHED = {
    "not scaled": "The scores are not divided by the root of W: with wide vectors the softmax takes one word alone.",
    "divided by W": "The scores are divided by W; it is its root. (F.scaled_dot_product_attention divides by itself.)",
    "softmax over patches": "The softmax goes over the patches: each patch shares its attention among the *words*, the "
    "last axis.",
    "scores times the root": "The scores are multiplied by the root of W: divide by it.",
    "weights divided": "The root of W divides the weights: it divides the scores, before the softmax.",
    "the first row's mask": "The first text's mask is used for all.",
    "interleaved": "Keys and values are taken by turns: the first half of kv(words) are the keys.",
    "softmax over the batch": "The softmax goes over the batch: it goes over the words, the last axis.",
    "keys read": "What is read are the keys: weights times values.",
    "x asks": "x itself is compared with the keys: the queries are q(x).",
    "halves exchanged": "Keys and values are exchanged: the first half of kv(words) are the keys.",
    "no softmax": "No softmax: the scores become weights that add up to 1 by it.",
    "added to x": "x is added: return what is read from the words alone; the block adds it.",
    "even": "Every patch reads every word alike: the weights must depend on the patch, through q(x).",
}


def _other_roots(queries, keys, values, words, mask) -> dict:
    """The scores divided by the root of another size than the queries' width."""
    width, found = queries.shape[-1], {}
    sizes = {"2W": 2 * width, "C": words.shape[-1], "M": words.shape[1], "N": queries.shape[1]}
    for name, size in sizes.items():
        if size != width:
            read = scaled_dot_product_attention(queries, keys, values, attn_mask=mask[:, None], scale=size**-0.5)
            message = f"The scores are divided by the root of {name} = {size}; the width of q(x) is W = {width}."
            found[f"root of {name}"] = read, message
    return found


def _turned(x, words, mask, q, kv) -> dict:
    """Where patches and words have one shape: each in the other's place."""
    (keys, values), (of_x, read) = kv(words).chunk(2, -1), kv(x).chunk(2, -1)
    back, seen = q(words) @ of_x.mT / x.shape[-1] ** 0.5, mask[:, None]
    scores = q(x) @ keys.mT / x.shape[-1] ** 0.5
    told = "Each *word* attends to the patches: queries come from the picture, keys and values from the words."
    return {
        "turned#0": (torch.softmax(back, -1) @ read, told),
        "turned#1": (torch.softmax(back.masked_fill(~seen, -torch.inf), -1) @ read, told),
        "mask on queries": (
            torch.softmax(scores, -1) @ values * mask[..., None],
            "The mask goes over the words, the last axis of the scores, not the patches.",
        ),
        "words read": (
            scaled_dot_product_attention(q(x), keys, words, attn_mask=seen),
            "The words themselves are read: read their values, the second half of kv(words).",
        ),
        "words set to 0": (
            scaled_dot_product_attention(q(x), *kv(words * mask[..., None]).chunk(2, -1)),
            "Words at padding are set to 0, but they still have keys and values, and are read: put -inf in the scores.",
        ),
        "words attend to words": (
            scaled_dot_product_attention(q(words), keys, values, attn_mask=seen),
            "The queries come from the words: then the picture is not looked at. Take q(x).",
        ),
    }


def _lined_up_wrongly(x, words, mask, q, kv) -> dict:
    """Where the batch, patches, words and widths are as many: what goes wrong without a word."""
    queries, (keys, values), root = q(x), kv(words).chunk(2, -1), x.shape[-1] ** 0.5
    scores = queries @ keys.mT / root
    without = x @ q.weight.T, (words @ kv.weight.T).chunk(2, -1)
    return {
        "mask without an axis": (
            torch.softmax(scores.masked_fill(~mask, -torch.inf), -1) @ values,
            "The mask (B, M) lined up with patches and words, one mask for the whole batch: make it (B, 1, M).",
        ),
        "weights": (
            torch.softmax(scores.masked_fill(~mask[:, None], -torch.inf), -1),
            "Those are the weights: what is read are the values, weights @ values.",
        ),
        "patches attend to patches": (
            scaled_dot_product_attention(queries, *kv(x).chunk(2, -1), attn_mask=mask[:, None]),
            "Keys and values come from the patches: they come from the words, kv(words).",
        ),
        "bias left out": (
            scaled_dot_product_attention(without[0], *without[1], attn_mask=mask[:, None]),
            "The biases of q and kv are left out: call them, q(x) and kv(words).",
        ),
        "bias of q left out": (
            scaled_dot_product_attention(without[0], keys, values, attn_mask=mask[:, None]),
            "The bias of q is left out: call it, q(x).",
        ),
    }


def _some_words(given, b: int, n: int, w: int, m: int, c: int):
    """Patches, words, and a mask with at least one word and one padding in each row; two projections."""
    count = given.whole(1, m, b)
    count[0], count[1] = 1, m - 1
    return given.normal(b, n, w), given.normal(b, m, c), torch.arange(m) < count[:, None], Projection(
        w, w, given
    ), Projection(c, 2 * w, given)  # fmt: skip


@read_words.part("as torch's attention, where every wrong axis fits")
def _(answer, given):
    x, words, mask, q, kv = _some_words(given, 5, 5, 5, 5, 5)
    wanted, slips = _attended(x, words, mask, q, kv)
    found = answer(x, words, mask, q, kv)
    if isinstance(found, Tensor) and found.shape == x.shape and not found.isfinite().all():
        _not_finite(answer, found, x, words, mask, q, kv)
    try:
        same(found, wanted, slips, "what the patches read")
    except Wrong as wrong:
        raise Wrong(wrong.key.partition("#")[0], wrong.message) from None


def _not_finite(answer, found, x, words, mask, q, kv) -> None:
    """Raise Wrong with the reason of NaN or infinity, if it is a typical one; it is tried again without padding."""
    if (found.isnan().all(2) == ~mask).all():
        raise Wrong("mask on queries", "NaN where the mask is false: it goes over the words, the last axis of the "
                    "scores, not over the patches.")  # fmt: skip
    full = torch.ones_like(mask)
    whole, (wanted, slips) = answer(x, words, full, q, kv), _attended(x, words, full, q, kv)
    if isinstance(whole, Tensor) and whole.isnan().all():
        raise Wrong("0 times -inf", "NaN, also where every word is there: 0 times -inf is NaN. Use "
                    "scores.masked_fill(..., -inf).")  # fmt: skip
    if close(whole, slips["softmax over patches"][0]):
        raise Wrong("softmax over patches", "NaN: " + slips["softmax over patches"][1] + " Over the patches all scores "
                    "of padding are -inf.")  # fmt: skip
    if close(whole, wanted):
        raise Wrong("-inf after the softmax", "NaN or infinity, but right where every word is there: what hides a "
                    "word is -inf, and it stands in the scores, before the softmax.")  # fmt: skip


@read_words.part("other shapes: 6 patches of width 4, 3 words of width 7")
def _(answer, given):
    x, words, mask, q, kv = _some_words(given, 2, 6, 4, 3, 7)
    wanted, slips = _attended(x, words, mask, q, kv)
    same(answer(x, words, mask, q, kv), wanted, slips, "what the patches read")


@read_words.part("one picture alone, and float32, as in training")
def _(answer, given):
    x, words, q, kv = given.normal(1, 6, 4), given.normal(1, 3, 7), Projection(4, 4, given), Projection(7, 8, given)
    for projection in (q, kv):
        projection.weight, projection.bias = projection.weight.float(), projection.bias.float()
    found = answer(x.float(), words.float(), torch.tensor([[True, True, False]]), q, kv)
    stays_float32(found, "what the patches read")
    if tuple(found.shape) != (1, 6, 4):
        raise Wrong("one picture", f"For x (1, 6, 4), (1, 6, 4) must come back; yours is {tuple(found.shape)}.")


@read_words.part("one word: every patch reads its value; padding has no influence, nor gradient")
def _(answer, given):
    x, words, _, q, kv = _some_words(given, 2, 6, 4, 3, 7)
    mask, words = torch.tensor([[False, True, False]] * 2), words.requires_grad_()
    found = answer(x, words, mask, q, kv)
    same(found, kv(words)[:, 1:2, 4:].expand(2, 6, 4).detach(), {}, "what the patches read of one word")
    if not found.requires_grad:
        raise Wrong("no gradient", "No gradient reaches the words: leave out detach and no_grad.")
    (gradient,) = torch.autograd.grad(found.square().sum(), words)
    if (leak := gradient[:, ::2].abs().max().item()) > 1e-10:
        raise Wrong("padding leaks", f"Padding leaks: gradient {leak:.2g} to a word that is not there.")


@read_words.part("gradients reach patches and words, through queries, keys and values")
def _(answer, given):
    x, words, mask, q, kv = _some_words(given, 2, 6, 4, 3, 7)
    x, words = x.requires_grad_(), words.requires_grad_()

    def gradients(read):
        return torch.autograd.grad(read.square().sum(), (x, words), allow_unused=True)

    found, wanted = gradients(answer(x, words, mask, q, kv)), gradients(_attended(x, words, mask, q, kv)[0])
    for mine, right, what in zip(found, wanted, ("patches", "words"), strict=True):
        if mine is None or not close(mine, right, 1e-7):
            raise Wrong("gradient", f"What is read is right, and its gradient by the {what} is not: are queries, keys "
                        "or weights detached, or computed under no_grad?")  # fmt: skip


# --- 08.4 ---


class Recorded(MixtureDenoiser):
    """The exact model of four classes, and whether it was asked for other ones."""

    def __init__(self, given):
        means, spread = 2 * given.normal(8, 2), given.uniform(0.2, 0.6, 8, 2)
        mixture = GaussianMixture(given.uniform(0.5, 1.5, 8), means, torch.diag_embed(spread**2), torch.arange(8) % 4)
        super().__init__(mixture, VP())
        self.mixed = False  # whether it was asked for what is no class

    def __call__(self, x_t, t, cond=None):
        if isinstance(cond, Tensor):
            self.mixed |= cond.is_floating_point() or bool(((cond < 0) | (cond > self.null)).any())
        return super().__call__(x_t, t, cond)

    def log_gradient(self, x, t, cond) -> Tensor:
        """grad log p_t(x | cond), by autograd on the density, row by row."""
        alpha, sigma = self.schedule(t)
        noisy, rows = self.mixture.diffuse(alpha, sigma), []
        for point, label in zip(x, cond.tolist(), strict=True):
            point = point[None].clone().requires_grad_()
            of = noisy if label == self.null else noisy.given(label)
            rows.append(torch.autograd.grad(of.log_prob(point).sum(), point)[0])
        return torch.cat(rows)


T = torch.tensor(0.4, dtype=torch.float64)


def _at_t(answer, model, x: Tensor, *rest):
    """What comes back at time T, for each of x."""
    return answer(model, x, T.repeat(len(x)), *rest)


def _both(found, shape) -> Prediction:
    if not (isinstance(found, tuple) and hasattr(found, "x0") and hasattr(found, "eps")):
        raise Wrong("no prediction", f"Samplers take a Prediction(x0, eps); you return {kind(found)}.")
    is_tensor(found.eps, shape, "eps")
    is_tensor(found.x0, shape, "x0")
    return found


def _mixed(strong: Tensor, weak: Tensor, null: Tensor, scale: float) -> dict:
    """What slips would give: key -> (value, what to tell)."""
    return {
        "null and away": (null + scale * (strong - weak), "You start from the null and push away from `away` too: "
                          "`away` takes the null's place, at both."),
        "away ignored": (null + scale * (strong - null), "That is guidance from the null: `away` has no effect."),
        "exchanged": (strong + scale * (weak - strong), "Exchanged: it draws what it should avoid."),
        "one too much": (strong + scale * (strong - weak), "The scale is counted from 0 here: scale 1 must be the "
                         "model itself, so start from `away`, not from `cond`."),
        "cond and away averaged": (
            (1 - scale) * (null + weak) / 2 + scale * strong,
            "The null and `away` are averaged: `away` takes the null's place.",
        ),
        "both pushed": (
            null + scale * (strong - null) - scale * (weak - null) / 2, "Two pushes are mixed: there is one, from "
            "`away` to `cond`.",
        ),
        "subtracted": (strong - scale * weak, "The weights must add up to 1: scale and 1 - scale."),
        "away weighs 1": (scale * strong - weak, "The weights must add up to 1: scale and 1 - scale."),
        "one too little": (weak + (scale - 1) * (strong - weak), "Scale 2 gives the model itself: scale 1 must, so "
                           "scale the difference by `scale`, not by scale - 1."),
        "wrong way": (weak - scale * (strong - weak), "The sign is wrong: it moves from `away` further away from "
                      "`cond`. The difference is strong - weak."),
        "from cond": (strong + scale * (null - weak), "You start from `cond` and push from `away` to the null: the one "
                      "push goes from `away` to `cond`, and starts at `away`."),
        "away subtracted once": (null + scale * (strong - null) - (weak - null), "That is guidance from the null, less "
                                 "one push to `away`: there is one push, from `away` to `cond`."),
        "away at the start alone": (weak + scale * (strong - null), "You start from `away` but push from the null: "
                                    "`away` takes its place at both."),
        "scaled alone": (scale * strong, "The prediction is only multiplied: `away` is not in it."),
        "added": (weak + scale * (strong + weak), "`away` is added: the difference strong - weak is what is scaled."),
        "not guided": (strong, "That is the model under `cond`: the scale has no effect."),
        "the push alone": (scale * (strong - weak), "That is the push alone: it is added to the prediction of `away`."),
        "averaged": ((strong + weak) / 2, "That is the mean of the two: the scale has no effect."),
    }  # fmt: skip


def _weighed(found: Tensor, strong: Tensor, weak: Tensor) -> dict:
    """A slip, if what was found is a mixture of the two whose weights do not add up to 1."""
    both = torch.stack([strong.flatten(), weak.flatten()], 1)
    weights = torch.linalg.lstsq(both, found.flatten()[:, None]).solution
    if abs(weights.sum() - 1) < 1e-3 or not close(both @ weights, found.reshape(-1, 1), 1e-6):
        return {}
    a, b = weights[:, 0].tolist()
    return {"weights": (found, f"cond weighs {a:.3g} and away {b:.3g}: the weights must add up to 1, scale and 1 - "
                        "scale.")}  # fmt: skip


@negative.part("four classes, exact: scale times the score of cond, less (scale - 1) times that of away")
def _(answer, given):
    model, x = Recorded(given), given.normal(6, 2)
    cond = given.whole(0, 4, 6)
    away, scale = (cond + given.whole(1, 4, 6)) % 4, 2.6  # where no two slips agree, as some do at 2 or 3
    alpha, sigma = model.schedule(T)
    score = scale * model.log_gradient(x, T, cond) - (scale - 1) * model.log_gradient(x, T, away)
    strong, weak, null = (MixtureDenoiser.__call__(model, x, T, c) for c in (cond, away, None))
    try:
        found = _both(_at_t(answer, model, x, cond, away, scale), (6, 2))
    except ValueError:
        if not model.mixed:
            raise
        message = "The model was asked for a mixture of cond and away: ask it for each, and mix its two predictions."
        raise Wrong("conditions mixed", message) from None
    eps, x0 = -sigma * score, (x + sigma**2 * score) / alpha
    if close(found.x0, x0, 1e-7) and close(found.eps, strong.eps, 1e-7):
        raise Wrong("eps not guided", "x0 is guided and eps is not: a sampler uses both.")
    zero = MixtureDenoiser.__call__(model, x, T, torch.zeros_like(cond)).eps
    slips = {"class 0": (zero + scale * (strong.eps - zero), "`away` is not used: you start from class 0, zeros. "
                         "Zeros are the null of prompts alone."),
             "class 0 and away": (zero + scale * (strong.eps - weak.eps), "You start from zeros, here class 0, and "
                                  "push from `away`: `away` takes the null's place, at both.")}  # fmt: skip
    slips |= {"x0 and eps exchanged": (x0, "x0 stands where eps must be: Prediction takes x0 first, then eps.")}
    slips |= _mixed(strong.eps, weak.eps, null.eps, scale)
    if not any(close(found.eps, value, 1e-6) for value, _ in slips.values()):
        slips |= _weighed(found.eps, strong.eps, weak.eps)
    same(found.eps, eps, slips, "eps", 1e-7)
    slips = {
        "x0 not guided": (strong.x0, "eps is guided and x0 is not: a sampler uses both."),
        "x0 is eps": (eps, "x0 and eps are the same numbers: guide each by its own two predictions."),
        "alpha left out": (x - sigma * eps, "x0 is not divided by alpha: x_t = alpha x0 + sigma eps. Or guide the two "
                           "x0 as you guide eps."),
    } | _mixed(strong.x0, weak.x0, null.x0, scale)  # fmt: skip
    same(found.x0, x0, slips, "x0", 1e-7)


@negative.part("scale 1 and 0, and the null as what to avoid, which is classifier-free guidance")
def _(answer, given):
    model, x = Recorded(given), given.normal(4, 2)
    cond, away = torch.tensor([0, 1, 2, 3]), torch.tensor([1, 2, 3, 0])
    for scale, other in ((1.0, away), (0.0, away), (-0.5, away), (2.0, torch.full((4,), model.null))):
        score = scale * model.log_gradient(x, T, cond) - (scale - 1) * model.log_gradient(x, T, other)
        found = _both(_at_t(answer, model, x, cond, other, scale), (4, 2))
        under = MixtureDenoiser.__call__(model, x, T, cond).eps
        slips = {"not away at 0": (under, "Scale 0 is the model under `away`, and yours is the model under `cond`: the "
                                   "scale may be less than 1.")} if scale == 0 else {}  # fmt: skip
        same(found.eps, -model.schedule(T)[1] * score, slips, f"eps at scale {scale:g}", 1e-7)


@negative.part("prompts of several tokens, and no more calls than two")
def _(answer, given):
    cond, away = given.whole(0, 9, 3, 5), given.whole(0, 9, 3, 5)

    class Tokens:
        schedule, null, rows = VP(), torch.zeros(5, dtype=torch.long), 0

        def __call__(self, x_t, t, cond=None):
            self.rows += len(x_t)
            c = torch.zeros(len(x_t), 1) if cond is None else cond.double().mean(1, keepdim=True)
            return Prediction.from_x0(x_t + c, x_t, *self.schedule(t))

    model, x = Tokens(), given.normal(3, 2)
    found = _both(_at_t(answer, model, x, cond, away, 2.5), (3, 2))
    ends = 2.5 * cond.double().mean(1, keepdim=True) - 1.5 * away.double().mean(1, keepdim=True)
    same(found.x0, x + ends, {}, "x0", 1e-7)
    if model.rows > 6:
        raise Wrong("too many calls", f"{model.rows} rows went through the model for 3 samples: two each are enough.")


@negative.part("pictures, a time for each; one alone, float32 as in training")
def _(answer, given):
    class Pictures:
        """Any function of x, t and the condition, and what a path would make of it."""

        schedule, null = VP(), 9

        def __call__(self, x_t, t, cond=None):
            alpha, sigma = self.schedule(t.expand(len(x_t)))
            x0 = torch.sin(x_t) + (t.expand(len(x_t)) * cond).reshape(-1, 1, 1, 1)
            return Prediction.from_x0(x0, x_t, *(v.reshape(-1, 1, 1, 1) for v in (alpha, sigma)))

    model, x, t = Pictures(), given.normal(3, 2, 4, 4), given.uniform(0.2, 0.8, 3)
    cond, away = given.whole(0, 9, 3), given.whole(0, 9, 3)
    found = _both(answer(model, x, t, cond, away, 1.7), x.shape)
    strong, weak = model(x, t, cond), model(x, t, away)
    for name in ("x0", "eps"):
        of = (1 - 1.7) * getattr(weak, name) + 1.7 * getattr(strong, name)
        if not close(getattr(found, name), of, 1e-7):
            raise Wrong("a time each", f"{name} of pictures (3, 2, 4, 4) at three times is wrong: t is (B,), a time "
                        "for each, and alpha and sigma of it go over all pixels.")  # fmt: skip
    found = answer(model, x[:1].float(), t[:1].float(), cond[:1], away[:1], 1.7)
    alone_in_float32(found.x0, (1, 2, 4, 4), "x0")
    alone_in_float32(found.eps, (1, 2, 4, 4), "eps")


# --- 08.5 ---

GRIDS = (  # colours, shapes, how many
    (6, 4, 4), (5, 5, 5), (3, 6, 3), (4, 4, 8), (6, 4, 9), (3, 3, 3), (6, 4, 5), (6, 4, 6), (5, 5, 13), (5, 6, 6),
    (4, 6, 12), (4, 5, 6), (4, 8, 9), (6, 6, 19),
)  # fmt: skip


def _held(answer, colours: int, shapes: int, n: int, seed: int) -> Tensor:
    """A mask of an answer, of the right shape and type."""
    try:
        found = answer(colours, shapes, n, torch.Generator().manual_seed(seed))
    except ValueError as error:
        message = f"{n} of {colours} x {shapes} can be held out, two partners left for each; yours ended in ValueError"
        said = f" ({error})" if str(error) else ""
        ask = "If it chooses at random, it may run into a dead end: the hint has a way without."
        raise Wrong("refuses what can be done", f"{message}{said}. {ask}") from None
    if not isinstance(found, Tensor):
        raise Wrong("no tensor", f"The mask must be a tensor ({colours}, {shapes}); you return {kind(found)}.")
    if tuple(found.shape) != (colours, shapes):
        raise Wrong("shape", f"The mask must have shape ({colours}, {shapes}); yours has {tuple(found.shape)}.")
    if found.dtype != torch.bool:
        raise Wrong("dtype", f"The mask is {found.dtype}; make it torch.bool, so that ~mask is what is trained on.")
    return found


def _masks(answer, given, each: int = 12) -> list[tuple[Tensor, int]]:
    """Masks of every grid for several seeds, and how many each should hold out."""
    seeds = given.whole(0, 10**6, each).tolist()
    return [(_held(answer, *grid, seed), grid[2]) for grid in GRIDS for seed in seeds]


@hold_out.part("exactly n combinations are held out")
def _(answer, given):
    masks = _masks(answer, given)
    held = [int(mask.sum()) for mask, _ in masks]
    if all(count == mask.numel() - n for count, (mask, n) in zip(held, masks, strict=True)):
        raise Wrong("inverted", "The mask is true for what is kept: true means held out.")
    off = {count - n for count, (_, n) in zip(held, masks, strict=True)}
    if off in ({1}, {-1}):
        raise Wrong("off by one", f"{held[0]} are held out where {masks[0][1]} were asked for, and so everywhere.")
    for count, (mask, n) in zip(held, masks, strict=True):
        if count != n:
            message = f"{count} of {len(mask)} x {mask.shape[1]} are held out where {n} were asked for."
            raise Wrong("count", f"{message} Is a cell drawn twice (after how many is a diagonal back at its first?), "
                        "are there too few to draw from, or does a random choice run into a dead end?")  # fmt: skip


@hold_out.part("every colour and every shape keeps two partners at least")
def _(answer, given):
    kept = [~mask for mask, _ in _masks(answer, given)]
    for axis, what in ((1, "colour"), (0, "shape")):
        least = [int(mask.sum(axis).min()) for mask in kept]
        if sum(n == 0 for n in least) > len(kept) / 4:
            message = f"All of one {what} is held out: its pictures then fail because that {what} was never seen."
            raise Wrong(f"a whole {what}", message)
    for axis, what, other in ((1, "colour", "shape"), (0, "shape", "colour")):
        if (least := min(int(mask.sum(axis).min()) for mask in kept)) < 2:
            left = f"A {what} is left with {least} of the {other}s"
            message = f"{left}: leave it two, or the net cannot tell the {what} from its {other}."
            raise Wrong("few partners", message)


@hold_out.part("at most one of each colour, while n is no more than the colours")
def _(answer, given):
    for mask, n in _masks(answer, given):
        if n <= len(mask) and (most := int(mask.sum(1).max())) > 1:
            raise Wrong(
                "two of a colour",
                f"{most} combinations of one colour are held out, though {n} of {len(mask)} colours would do: spread "
                "them.",
            )


@hold_out.part("by the generator: other seeds give other masks, the same seed the same")
def _(answer, given):
    masks = [_held(answer, 6, 4, 4, seed) for seed in range(10)]
    if any(not torch.equal(mask, _held(answer, 6, 4, 4, seed)) for seed, mask in enumerate(masks)):
        raise Wrong("not from the generator", "The same seed gave two masks: draw with generator=generator.")
    if all(torch.equal(mask, masks[0]) for mask in masks):
        message = "Ten seeds gave one mask: what you find may then hold for it alone. Draw with generator=generator."
        raise Wrong("one mask for every seed", message)
    if not torch.stack(masks).any(0).sum() > 12:
        raise Wrong("few cells", "Over ten seeds half of the cells are never held out: mix both colours and shapes.")


@hold_out.part("none at all can be held out; what cannot be done is a ValueError")
def _(answer, given):
    if _held(answer, 6, 4, 0, 0).any():
        raise Wrong("count", "Where 0 are asked for, some are held out.")
    for colours, shapes, n in ((4, 4, 9), (3, 3, 4), (6, 2, 1), (2, 5, 1), (6, 4, 25), (6, 4, 13), (4, 6, 13)):
        generator = torch.Generator().manual_seed(0)
        if refuses(lambda: answer(colours, shapes, n, generator), f"{n} of {colours} x {shapes}")[0]:  # noqa: B023
            continue
        raise Wrong(
            "no ValueError",
            f"{n} of {colours} x {shapes} cannot be held out with two partners left for each: raise ValueError. How "
            "many can a colour lose at most, how many can a shape, and how many colours and shapes are there?",
        )
