"""Wrong answers to the exercises of lecture 08, each with the key of its message, and others that are right."""

_CLEAN = "''.join(c if c.isalnum() else ' ' for c in text.lower()).split()"


def _tokenise(
    row: str = "[words.index(w) + 2 if w in words else 1 for w in said]",
    said: str = _CLEAN,
    result: str = "torch.tensor(row + [0] * (length - len(row)))",
    guard: str = "if len(said) > length: raise ValueError('too long')",
) -> str:
    return f"""
import re, string
import torch
def tokenise(text, words, length):
    said = {said}
    {guard}
    row = {row}
    return {result}
"""


def _pool(line: str, before: str = "count = mask.sum(1, keepdim=True)") -> str:
    return f"import torch\ndef pool(words, mask):\n    {before}\n    return {line}\n"


_KEPT = "(words * mask[..., None])"
_HIDE = "scores = scores.masked_fill(~mask[:, None], float('-inf'))"


def _read(
    weights: str = "torch.softmax(scores, -1)",
    hide: str = _HIDE,
    scores: str = "queries @ keys.mT / queries.shape[-1] ** 0.5",
    result: str = "weights @ values",
    queries: str = "q(x)",
    halves: str = "keys, values = kv(words).chunk(2, -1)",
) -> str:
    return f"""
import torch
def read_words(x, words, mask, q, kv):
    queries = {queries}
    {halves}
    scores = {scores}
    {hide}
    weights = {weights}
    return {result}
"""


def _negative(line: str, before: str = "strong, weak = model(x_t, t, cond), model(x_t, t, away)") -> str:
    return f"""
import torch
from minidiff.denoise import Prediction
def negative(model, x_t, t, cond, away, scale):
    {before}
    return {line}
"""


def _each(formula: str) -> str:
    """A Prediction of a formula in s, w and u: under the condition, under what to avoid, under the null."""
    before = "strong, weak, null = (model(x_t, t, c) for c in (cond, away, None))"
    return _negative(f"Prediction(*({formula} for s, w, u in zip(strong, weak, null)))", before)


_MOST = "most = min(colours * (shapes - 2), shapes * (colours - 2))"
_GUARD = f"{_MOST}\n    if not 0 <= n <= most: raise ValueError(f'at most {{most}}')"
_MASK = "mask = torch.zeros(colours, shapes, dtype=torch.bool)"
_DIAGONAL = "k = torch.arange(n)\n    row, column = k % colours, (k + k // math.lcm(colours, shapes)) % shapes\n    "
_MIX = "a, b = (torch.randperm(m, generator=generator) for m in (colours, shapes))\n    "


def _hold(body: str, guard: str = _GUARD) -> str:
    return f"""
import math, random
import torch
def hold_out(colours, shapes, n, generator):
    {guard}
    {_MASK}
    {body}
    return mask
"""


_RIGHT_HOLD = _DIAGONAL + _MIX + "mask[a[row], b[column]] = True"

WRONG = {
    "tokenise": {
        "digit by digit": ("""
import re, torch
def tokenise(text, words, length):
    said = re.findall(r'[a-z]+|\\d', text.lower())
    if len(said) > length: raise ValueError('long')
    row = [words.index(w) + 2 if w in words else 1 for w in said]
    return torch.tensor(row + [0] * (length - len(row)), dtype=torch.long)
""", "digit by digit"),
        "a list of marks": ("""
import torch
def tokenise(text, words, length):
    text = text.lower()
    for c in '.,;:!?()"-': text = text.replace(c, ' ')
    said = text.split()
    if len(said) > length: raise ValueError('long')
    row = [words.index(w) + 2 if w in words else 1 for w in said]
    return torch.tensor(row + [0] * (length - len(row)), dtype=torch.long)
""", "punctuation kept"),
        "four marks": (_tokenise(said="''.join(' ' if c in '.,!()\"-' else c for c in text.lower()).split()"),
                       "punctuation kept"),
        "letters alone": (_tokenise(said="__import__('re').findall('[a-z]+', text.lower())"), "digits left out"),
        "empty strings": (
            _tokenise(said="__import__('re').split(r'\\W+', text.lower()) if text else []"), "empty strings"
        ),
        "part of a word": (
            _tokenise("[next((i for i, v in enumerate(words, 2) if w in v), 1) for w in said]"), "part of a word"
        ),
        "the beginning of a word": (
            _tokenise("[next((i for i, v in enumerate(words, 2) if v.startswith(w)), 1) for w in said]"),
            "part of a word",
        ),
        "from 0": (_tokenise("[words.index(w) if w in words else 1 for w in said]"), "from 0"),
        "from 1": (_tokenise("[words.index(w) + 1 if w in words else 0 for w in said]"), "from 1"),
        "unknown 0": (_tokenise("[words.index(w) + 2 if w in words else 0 for w in said]"), "unknown is 0"),
        "unknown skipped": (_tokenise("[words.index(w) + 2 for w in said if w in words]"), "unknown left out"),
        "unknown last": (_tokenise("[words.index(w) + 2 if w in words else len(words) + 2 for w in said]"),
                         "after the list"),
        "unknown raises": (_tokenise("[words.index(w) + 2 for w in said]"), "unknown raises"),
        "unknown by find": (_tokenise("[{w: i for i, w in enumerate(words, 2)}[w] for w in said]"), "unknown raises"),
        "as it stands": (_tokenise("[words.index(w) + 2 for w in said]", "text.split()"), "not in list"),
        "as it stands, by a dictionary": (
            _tokenise("[{w: i for i, w in enumerate(words, 2)}[w] for w in said]", "text.lower().split()"),
            "not in list",
        ),
        "punctuation alone": (
            _tokenise(said="[w.strip(string.punctuation) for w in text.lower().split()]"), "punctuation alone"
        ),
        "empty is a word": (_tokenise(said=f"({_CLEAN} or [''])"), "empty is unknown"),
        "minus 1": (_tokenise("[words.index(w) + 2 if w in words else -1 for w in said]"), "-1"),
        "case kept": (_tokenise(said=_CLEAN.replace(".lower()", "")), "case kept"),
        "upper case": (_tokenise(said=_CLEAN.replace("lower", "upper")), "all unknown"),
        "punctuation kept": (_tokenise(said="text.lower().split()"), "punctuation kept"),
        "punctuation at the end": (_tokenise(said="[w.rstrip('.,!?:;') for w in text.lower().split()]"),
                                   "punctuation kept"),
        "padded in front": (_tokenise(result="torch.tensor([0] * (length - len(row)) + row)"), "padded in front"),
        "padded with 1": (_tokenise(result="torch.tensor(row + [1] * (length - len(row)))"), "not padded with 0"),
        "split at one blank": (_tokenise(said=_CLEAN.replace(".split()", ".split(' ')")), "fitting text refused"),
        "known words counted": (
            _tokenise(guard="if sum(w in words for w in said) > length: raise ValueError('too long')\n    "
                      "said = said[:length]"),
            "unknown not counted",
        ),
        "cut silently": (_tokenise(guard="said = said[:length]"), "cut silently"),
        "too long a row": (_tokenise(guard="pass"), "cut silently"),
        "tensor error": (
            _tokenise(guard="out = torch.zeros(length, dtype=torch.long)",
                      result="out.index_copy_(0, torch.arange(len(row)), torch.tensor(row).long())"),
            "another error",
        ),
        "assert": (_tokenise(guard="assert len(said) <= length"), "another error"),
        "letters counted": (
            _tokenise(guard="if len(text) > length: raise ValueError('too long')"), "fitting text refused"
        ),
        "letters": (_tokenise(said="list(text.lower())"), "fitting text refused"),
        "blanks removed": (_tokenise(said="''.join(c for c in text.lower() if c.isalnum()).split()"), "not split"),
        "ends at an unknown word": (
            _tokenise("[]", result="torch.tensor((row + [0] * length)[:length])", guard="""
    row = []
    try:
        if len(said) > length: raise ValueError
        for w in said: row.append(words.index(w) + 2)
    except ValueError:
        row.append(1)
    return torch.tensor(row + [0] * (length - len(row)))
"""),
            "cut after the unknown",
        ),
        "whole numbers of 32 bits": (
            _tokenise(result="torch.tensor(row + [0] * (length - len(row)), dtype=torch.int32)"), "dtype"
        ),
        "too strict": (_tokenise(guard="if len(said) >= length: raise ValueError('too long')"), "too strict"),
        "sorted": (_tokenise("[sorted(words).index(w) + 2 if w in words else 1 for w in said]"), "sorted"),
        "by the text": (_tokenise("[said.index(w) + 2 if w in words else 1 for w in said]"), "by the text"),
        "a set": (_tokenise("sorted(words.index(w) + 2 if w in words else 1 for w in said)"), "words sorted"),
        "floats": (_tokenise(result="torch.tensor(row + [0.0] * (length - len(row)))"), "dtype"),
        "a list": (_tokenise(result="row + [0] * (length - len(row))"), "no tensor"),
        "a row": (_tokenise(result="torch.tensor(row + [0] * (length - len(row)))[None]"), "shape"),
        "not padded": (_tokenise(result="torch.tensor(row)"), "shape"),
        "split at blanks": (
            _tokenise(said="''.join(c for c in text.lower() if c.isalnum() or c == ' ').split(' ')"),
            "punctuation alone",
        ),
        "empty raises": (
            _tokenise(guard="if not said or len(said) > length: raise ValueError('no words')"), "empty raises"
        ),
    },
    "pool": {
        "from the first word to the last": ("""
import torch
def pool(words, mask):
    out = []
    for w, m in zip(words, mask):
        i = m.nonzero().flatten()
        out.append(w[i[0]:i[-1]+1].mean(0) if len(i) else 0 * w[0])
    return torch.stack(out)
""", "not word by word"),
        "counted where it is not 0": (
            _pool(f"{_KEPT}.sum(1) / ({_KEPT} != 0).sum(1).clamp(min=1)"), "zeros are not padding"
        ),
        "mean over L": (_pool(f"{_KEPT}.mean(1)"), "mean over all"),
        "a length": (
            _pool("torch.stack([w[:k].mean(0) if k else 0 * w[0] for w, k in zip(words, mask.sum(1))])"),
            "the first words",
        ),
        "in double": (
            _pool("(words * mask).sum(1) / mask.sum(1).clamp(min=1)", "mask = mask[..., None].double()"), "not float32"
        ),
        "squeezed": (_pool(f"({_KEPT}.sum(1) / count.clamp(min=1)).squeeze()"), "one text"),
        "NaN": (_pool(f"{_KEPT}.sum(1) / count"), "empty is NaN"),
        "padding in the sum": (_pool("words.sum(1) / count.clamp(min=1)"), "padding summed"),
        "against 0": (_pool(f"{_KEPT}.sum(1) / (count + 1)"), "one too many"),
        "longest": (_pool(f"{_KEPT}.sum(1) / count.max()"), "longest text"),
        "none at all": (
            _pool(f"{_KEPT}.sum(1) / count", "count = mask.sum(1, keepdim=True)\n    "
                  "if not mask.any(): return 0 * words[:, 0]"),
            "empty is NaN",
        ),
        "new zeros": (
            """
import torch
def pool(words, mask):
    out = torch.zeros(words.shape[0], words.shape[2])
    for i in range(len(words)):
        if mask[i].any(): out[i] = words[i, mask[i]].mean(0)
    return out
""",
            "dtype",
        ),
        "masked_select": (
            _pool("torch.stack([w[m].mean(0) for w, m in zip(words, mask)])"), "empty is NaN"
        ),
        "sum": (_pool(f"{_KEPT}.sum(1)"), "sum"),
        "root": (_pool(f"{_KEPT}.sum(1) / count.clamp(min=1) ** 0.5"), "root"),
        "inverted": (_pool("(words * ~mask[..., None]).sum(1) / (~mask).sum(1)[:, None].clamp(min=1)"), "inverted"),
        "mask ignored": (_pool("words.mean(1)"), "mask ignored"),
        "count along the width": (_pool(f"{_KEPT}.sum(1) / mask.sum(1).clamp(min=1)"), "divided by columns"),
        "mask along the width": (_pool("(words * mask[:, None]).sum(1) / count.clamp(min=1)"), "mask over channels"),
        "one mask": (_pool("(words * mask).sum(1) / count.clamp(min=1)"), "mask over words and channels"),
        "of the batch": (_pool(f"{_KEPT}.sum(1) / mask.sum()"), "all the batch's words"),
        "largest": (_pool("words.masked_fill(~mask[..., None], float('-inf')).amax(1)"), "largest"),
        "first": (_pool("words[:, 0]"), "first word"),
        "over channels": (_pool(f"{_KEPT}.mean(2)"), "over channels"),
        "channels summed": (_pool(f"{_KEPT}.sum(-1) / count"), "channels summed"),
        "over the batch": (_pool(f"{_KEPT}.sum(0) / count.clamp(min=1)"), "over the batch"),
        "one for all": (_pool("words[mask].mean(0).expand(len(words), -1)"), "one vector for all"),
        "nan_to_num": (_pool(f"({_KEPT}.sum(1) / count).nan_to_num()"), "gradient is NaN"),
        "where": (_pool(f"torch.where(count > 0, {_KEPT}.sum(1) / count, 0.0)"), "gradient is NaN"),
        "first if none": (
            _pool(f"torch.where(count > 0, {_KEPT}.sum(1) / count.clamp(min=1), words[:, 0])"), "empty is not 0"
        ),
        "detached": (_pool(f"{_KEPT}.sum(1).detach() / count.clamp(min=1)"), "no gradient"),
        "zeros of words": (
            _pool("words.sum(1) / (words != 0).any(2).sum(1, keepdim=True)", "words.mul_(mask[..., None])"),
            "changed its input",
        ),
        "keepdim": (_pool(f"{_KEPT}.sum(1, keepdim=True) / count[..., None].clamp(min=1)"), "shape"),
    },
    "read_words": {
        "x detached": ("""
import torch
def read_words(x, words, mask, q, kv):
    k, v = kv(words).chunk(2, -1)
    scores = q(x.detach()) @ k.mT / x.shape[-1] ** 0.5
    return torch.softmax(scores.masked_fill(~mask[:, None], -torch.inf), -1) @ v
""", "gradient"),
        "weights detached": ("""
import torch
def read_words(x, words, mask, q, kv):
    k, v = kv(words).chunk(2, -1)
    scores = q(x) @ k.mT / x.shape[-1] ** 0.5
    weights = torch.softmax(scores.masked_fill(~mask[:, None], -torch.inf), -1).detach()
    return weights @ v
""", "gradient"),
        "turned": (
            _read(queries="q(words)", halves="keys, values = kv(x).chunk(2, -1)", hide="pass"), "turned"
        ),
        "in double": (_read(result="(weights @ values).double()"), "not float32"),
        "squeezed": (_read(result="(weights @ values).squeeze()"), "one picture"),
        "+inf": (_read(hide="scores = scores.masked_fill(~mask[:, None], float('inf'))"), "-inf after the softmax"),
        "softmax over patches, no mask": (_read("torch.softmax(scores, 1)", hide="pass"), "softmax over patches"),
        "softmax over patches, -1e9": (
            _read("torch.softmax(scores, 1)", hide="scores = scores.masked_fill(~mask[:, None], -1e9)"),
            "softmax over patches",
        ),
        "softmax over the batch": (_read("torch.softmax(scores, 0)", hide="pass"), "softmax over the batch"),
        "scores times the root": (
            _read(scores="queries @ keys.mT * queries.shape[-1] ** 0.5"), "scores times the root"
        ),
        "weights divided": (
            _read("torch.softmax(scores, -1) / queries.shape[-1] ** 0.5", scores="queries @ keys.mT"), "weights divided"
        ),
        "the first mask": (
            _read(hide="scores = scores.masked_fill(~mask[:1, None], float('-inf'))"), "the first row's mask"
        ),
        "by turns": (_read(halves="keys, values = (kv(words)[..., i::2] for i in (0, 1))"), "interleaved"),
        "turned and masked": (
            _read(queries="q(words)", halves="keys, values = kv(x).chunk(2, -1)"), "turned"
        ),
        "words to words": (_read(queries="q(words)"), "words attend to words"),
        "mask on queries": (_read(hide="scores = scores.masked_fill(~mask[..., None], float('-inf'))"),
                            "mask on queries"),
        "mask on rows": (_read(hide="pass", result="weights @ values * mask[..., None]"), "mask on queries"),
        "mask multiplied": (_read("torch.softmax(scores, -1) * mask[:, None]", hide="pass"), "mask multiplied"),
        "scores multiplied": (_read(hide="scores = scores * mask[:, None]"), "scores multiplied"),
        "mask ignored": (_read(hide="pass"), "mask ignored"),
        "mask without an axis": (_read(hide="scores = scores.masked_fill(~mask, float('-inf'))"),
                                 "mask without an axis"),
        "weights alone": (_read(result="weights"), "weights"),
        "kv of x": (_read(halves="keys, values = kv(x).chunk(2, -1)"), "patches attend to patches"),
        "by the weight of q": (_read(queries="x @ q.weight.T"), "bias of q left out"),
        "by the weights": (
            _read(queries="x @ q.weight.T", halves="keys, values = (words @ kv.weight.T).chunk(2, -1)"), "bias left out"
        ),
        "divided twice": (
            _read("torch.softmax(scores / queries.shape[-1] ** 0.5, -1)"), "divided by W"
        ),
        "inverted": (_read(hide="scores = scores.masked_fill(mask[:, None], float('-inf'))",
                           result="weights.nan_to_num() @ values"), "inverted"),
        "softmax over patches": (
            _read("torch.softmax(scores, 1) * mask[:, None]", hide="pass"), "softmax over patches"
        ),
        "not scaled": (_read(scores="queries @ keys.mT"), "not scaled"),
        "divided by W": (_read(scores="queries @ keys.mT / queries.shape[-1]"), "divided by W"),
        "keys read": (_read(result="weights @ keys"), "keys read"),
        "halves exchanged": (_read(halves="values, keys = kv(words).chunk(2, -1)"), "halves exchanged"),
        "no softmax": (_read("scores.masked_fill(~mask[:, None], 0)", hide="pass"), "no softmax"),
        "residual": (_read(result="x + weights @ values"), "added to x"),
        "0 times -inf": (_read(hide="scores = scores + ~mask[:, None] * float('-inf')"), "0 times -inf"),
        "-inf, softmax over patches": (_read("torch.softmax(scores, 1)"), "softmax over patches"),
        "-inf at the end": (
            _read("torch.softmax(scores, -1).masked_fill(~mask[:, None], float('-inf'))", hide="pass"),
            "-inf after the softmax",
        ),
        "root of C": (_read(scores="queries @ keys.mT / words.shape[-1] ** 0.5"), "root of C"),
        "root of 2W": (_read(scores="queries @ keys.mT / kv(words).shape[-1] ** 0.5"), "root of 2W"),
        "root of M": (_read(scores="queries @ keys.mT / words.shape[1] ** 0.5"), "root of M"),
        "root of N": (_read(scores="queries @ keys.mT / x.shape[1] ** 0.5"), "root of N"),
        "words read": (_read(result="weights @ words"), "words read"),
        "x asks": (_read(queries="x"), "x asks"),
        "mask added": (_read(hide="scores = scores + mask[:, None]"), "mask added"),
        "words at padding 0": (
            _read(halves="keys, values = kv(words * mask[..., None]).chunk(2, -1)", hide="pass"), "words set to 0"
        ),
        "values at padding 0": (
            _read(halves="keys, values = (kv(words) * mask[..., None]).chunk(2, -1)", hide="pass"), "padding set to 0"
        ),
        "even": (_read("mask[:, None] / mask.sum(1)[:, None, None] + 0 * scores", hide="pass"), "even"),
        "little": (_read(hide="scores = scores.masked_fill(~mask[:, None], -10.0)"), "value"),
        "detached": (_read(halves="keys, values = kv(words.detach()).chunk(2, -1)"), "no gradient"),
        "pooled first": (
            _read(halves="keys, values = kv((words * mask[..., None]).sum(1, keepdim=True)).chunk(2, -1)", hide="pass"),
            "value",
        ),
    },
    "negative": {
        "the size of the scale": ("""
from minidiff.denoise import Prediction
def negative(model, x_t, t, cond, away, scale):
    a, b = model(x_t, t, away), model(x_t, t, cond)
    return Prediction(*(u + abs(scale) * (v - u) for u, v in zip(a, b)))
""", "value"),
        "the difference, from the difference": (_each("scale * s + (scale - 1) * w"), "weights"),
        "cond and too little of away": (_each("s + (scale - 1) * w"), "weights"),
        "cond less a push": (_each("s - (scale - 1) * w"), "weights"),
        "away and cond": (_each("w + scale * s"), "weights"),
        "one time for all": (
            _negative("Prediction((x_t - sigma * eps) / alpha, eps)",
                      "alpha, sigma = model.schedule(t[0])\n"
                      "    eps = (1 - scale) * model(x_t, t, away).eps + scale * model(x_t, t, cond).eps"),
            "a time each",
        ),
        "for points": (
            _negative("Prediction((x_t - sigma * eps) / alpha, eps)",
                      "alpha, sigma = (v[:, None] for v in model.schedule(t))\n"
                      "    eps = (1 - scale) * model(x_t, t, away).eps + scale * model(x_t, t, cond).eps"),
            "raised",
        ),
        "float64": (
            _negative("Prediction(*((w + scale * (s - w)).double() for s, w in zip(strong, weak)))"), "not float32"
        ),
        "no Prediction": (
            _negative("__import__('types').SimpleNamespace(x0=strong.x0, eps=strong.eps)"), "no prediction"
        ),
        "null and both": (_each("u + scale * (s - w)"), "null and away"),
        "zeros and both": (
            _negative("Prediction(*(u + scale * (s - w) for s, w, u in zip(strong, weak, null)))",
                      "strong, weak, null = (model(x_t, t, c) for c in (cond, away, 0 * cond))"),
            "class 0 and away",
        ),
        "away once, scaled cond": (_each("scale * s - w"), "away weighs 1"),
        "no scale below 1": (_negative("weak.lerp(strong, max(scale, 1))"), "not away at 0"),
        "null": (_each("u + scale * (s - u)"), "away ignored"),
        "zeros": (
            _negative("weak.lerp(strong, scale)",
                      "strong, weak = model(x_t, t, cond), model(x_t, t, 0 * cond)"),
            "class 0",
        ),
        "exchanged": (_negative("strong.lerp(weak, scale)"), "exchanged"),
        "w": (_each("s + scale * (s - w)"), "one too much"),
        "averaged": (_each("(1 - scale) * (u + w) / 2 + scale * s"), "cond and away averaged"),
        "subtracted": (_each("s - scale * w"), "subtracted"),
        "added": (_each("w + scale * (s + w)"), "added"),
        "off": (_negative("strong"), "not guided"),
        "scaled": (_each("scale * s"), "scaled alone"),
        "push alone": (_each("scale * (s - w)"), "the push alone"),
        "mean": (_negative("weak.lerp(strong, 0.5)"), "averaged"),
        "eps only": (_negative("Prediction(strong.x0, weak.eps + scale * (strong.eps - weak.eps))"), "x0 not guided"),
        "x0 only": (_negative("Prediction(weak.x0 + scale * (strong.x0 - weak.x0), strong.eps)"), "eps not guided"),
        "eps first": (
            _negative("Prediction(*(w + scale * (s - w) for s, w in zip(strong[::-1], weak[::-1])))"),
            "x0 and eps exchanged",
        ),
        "no alpha": (
            _negative("Prediction(x_t - model.schedule(t)[1][:, None] * eps, eps)",
                      "eps = (1 - scale) * model(x_t, t, away).eps + scale * model(x_t, t, cond).eps"),
            "alpha left out",
        ),
        "a mixed condition": (_negative("model(x_t, t, away + scale * (cond - away))", "pass"), "conditions mixed"),
        "wrong way": (_each("w + scale * (w - s)"), "wrong way"),
        "scale less 1": (_each("w + (scale - 1) * (s - w)"), "one too little"),
        "from cond": (_each("s - scale * (w - u)"), "from cond"),
        "away once": (_each("u + scale * (s - u) - (w - u)"), "away subtracted once"),
        "away once, null in the push": (_each("w + scale * (s - u)"), "away at the start alone"),
        "x0 is eps": (
            _negative("Prediction(*[weak.eps + scale * (strong.eps - weak.eps)] * 2)"), "x0 is eps"
        ),
        "a tensor": (_negative("weak.eps + scale * (strong.eps - weak.eps)"), "no prediction"),
        "a tuple": (_negative("tuple(weak.lerp(strong, scale))"), "no prediction"),
        "nothing": (_negative("None"), "no prediction"),
        "asks the null too": (
            _negative("weak.lerp(strong, scale)",
                      "strong, weak, null = (model(x_t, t, c) for c in (cond, away, None))"),
            "too many calls",
        ),
        "turned, exchanged names": (
            _negative("weak.lerp(strong, scale)", "weak, strong = model(x_t, t, cond), model(x_t, t, away)"),
            "exchanged",
        ),
        "never off": (_negative("weak.lerp(strong, max(scale, 1.5))"), "value"),
        "clamped": (_negative("weak.lerp(strong, min(scale, 2.0))"), "value"),
    },
    "hold_out": {
        "the shapes' bound forgotten": ("""
import math
import torch
def hold_out(colours, shapes, n, generator):
    if n and min(colours, shapes) < 3 or n > colours * (shapes - 2): raise ValueError('too many')
    mask, k = torch.zeros(colours, shapes, dtype=torch.bool), torch.arange(n)
    row, column = k % colours, (k + k // math.lcm(colours, shapes)) % shapes
    a, b = (torch.randperm(m, generator=generator) for m in (colours, shapes))
    mask[a[row], b[column]] = True
    return mask
""", "no ValueError"),
        "one of each colour up to the shorter side": (
            _hold("""for _ in range(20000):
        mask.zero_().view(-1)[torch.randperm(colours * shapes, generator=generator)[:n]] = True
        few = (~mask).sum(0).min() < 2 or (~mask).sum(1).min() < 2
        if not few and (n > min(colours, shapes) or mask.sum(1).max() <= 1): break"""),
            "two of a colour",
        ),
        "at random, into dead ends": (
            _hold("""for _ in range(n):
        free = ~mask & ((~mask).sum(1, keepdim=True) > 2) & ((~mask).sum(0) > 2)
        if n <= colours: free &= ~mask.any(1, keepdim=True)
        cells = free.nonzero()
        if not len(cells): raise ValueError
        mask[tuple(cells[torch.randint(len(cells), (), generator=generator)])] = True"""),
            "refuses what can be done",
        ),
        "half at most": (
            _hold(_RIGHT_HOLD, "if n > colours * shapes // 2: raise ValueError('too many')"), "refuses what can be done"
        ),
        "a row": (_hold("mask.view(-1)[:n] = True"), "a whole colour"),
        "a row that is drawn": (
            _hold("mask.view(-1)[:n] = True\n    mask = mask[torch.randperm(colours, generator=generator)]"),
            "a whole colour",
        ),
        "a column": (_hold("mask = (torch.arange(colours * shapes) < n).view(shapes, colours).mT"),
                     "a whole shape"),
        "off by one": (_hold(_RIGHT_HOLD + "\n    mask[tuple(mask.nonzero()[0])] = False"), "off by one"),
        "one more": (_hold(_RIGHT_HOLD + "\n    mask[tuple((~mask).nonzero()[0])] = True"), "off by one"),
        "inverted": (_hold(_RIGHT_HOLD + "\n    mask = ~mask"), "inverted"),
        "with replacement": (
            _hold("mask.view(-1)[torch.randint(colours * shapes, (n,), generator=generator)] = True"), "count"
        ),
        "shifted each round of the colours": (_hold(_RIGHT_HOLD.replace("math.lcm(colours, shapes)", "colours")),
                                              "count"),
        "shifted each round of the shapes": (_hold(_RIGHT_HOLD.replace("math.lcm(colours, shapes)", "shapes")),
                                             "count"),
        "shifted after the longer side": (
            _hold(_RIGHT_HOLD.replace("math.lcm(colours, shapes)", "max(colours, shapes)")), "count"
        ),
        "shifted where both are as many": (
            _hold(_RIGHT_HOLD.replace("k // math.lcm(colours, shapes)", "k // colours * (colours == shapes)")), "count"
        ),
        "shifted by two": (
            _hold(_RIGHT_HOLD.replace("k // math.lcm(colours, shapes)", "2 * (k // math.lcm(colours, shapes))")),
            "count",
        ),
        "shifted row by row": (
            _hold(_RIGHT_HOLD.replace("(k + k // math.lcm(colours, shapes))", "(k % colours + k // colours)")),
            "few partners",
        ),
        "by diagonals": (
            """
import torch
def hold_out(colours, shapes, n, generator):
    if n < 0 or n > shapes * (colours - 2) or n > colours * (shapes - 2): raise ValueError("too many")
    rows, columns = (torch.randperm(m, generator=generator).tolist() for m in (colours, shapes))
    cells = sorted(((j - i) % shapes, i, j) for i in range(colours) for j in range(shapes))
    held = {(rows[i], columns[j]) for _, i, j in cells[:n]}
    return torch.tensor([[(i, j) in held for j in range(shapes)] for i in range(colours)])
""",
            "few partners",
        ),
        "none refused": (_hold(_RIGHT_HOLD, f"{_MOST}\n    if not 0 < n <= most: raise ValueError(n)"),
                         "refuses what can be done"),
        "a diagonal that wraps": (
            _hold("k = torch.arange(n)\n    " + _MIX + "mask[a[k % colours], b[k % shapes]] = True"), "count"
        ),
        "a cell a colour": (
            _hold("for c in torch.randperm(colours, generator=generator)[:n]:\n        "
                  "mask[c, torch.randint(shapes, (1,), generator=generator)] = True"),
            "count",
        ),
        "colours alone": (
            _hold("""for cell in torch.randperm(colours * shapes, generator=generator).tolist():
        c, s = divmod(cell, shapes)
        if mask.sum() < n and mask[c].sum() < (1 if n <= colours else shapes - 2): mask[c, s] = True"""),
            "few partners",
        ),
        "guard of the rows": (
            _hold(_RIGHT_HOLD, "if n > colours * (shapes - 2): raise ValueError('too many')"), "no ValueError"
        ),
        "None": (_hold(_RIGHT_HOLD, f"{_MOST}\n    if n > most: return None"), "no ValueError"),
        "one a colour at most": (
            _hold(_RIGHT_HOLD, "if n > colours: raise ValueError('too many')"), "refuses what can be done"
        ),
        "the other way round": (_hold(_RIGHT_HOLD + "\n    mask = mask.mT"), "shape"),
        "any cells": (
            _hold("mask.view(-1)[torch.randperm(colours * shapes, generator=generator)[:n]] = True"),
            "few partners",
        ),
        "two of a colour": (
            _hold("""for _ in range(20000):
        mask.zero_().view(-1)[torch.randperm(colours * shapes, generator=generator)[:n]] = True
        if (~mask).sum(0).min() >= 2 and (~mask).sum(1).min() >= 2: break"""),
            "two of a colour",
        ),
        "the same for every seed": (_hold(_DIAGONAL + "mask[row, column] = True"), "one mask for every seed"),
        "torch's seed": (_hold(_RIGHT_HOLD.replace("generator=generator", "")), "not from the generator"),
        "its own seed": (
            _hold("generator = torch.Generator().manual_seed(0)\n    " + _RIGHT_HOLD), "one mask for every seed"
        ),
        "python's": (
            _hold(_DIAGONAL + "a, b = (torch.tensor(random.sample(range(m), m)) for m in (colours, shapes))\n    "
                  "mask[a[row], b[column]] = True"),
            "not from the generator",
        ),
        "no guard": (_hold(_RIGHT_HOLD, "pass"), "no ValueError"),
        "guard of the size": (
            _hold(_RIGHT_HOLD, "if n > colours * shapes: raise ValueError('too many')"), "no ValueError"
        ),
        "one partner is enough": (
            _hold(_RIGHT_HOLD, "if n > min(colours * (shapes - 1), shapes * (colours - 1)): raise ValueError('most')"),
            "no ValueError",
        ),
        "assert": (_hold(_RIGHT_HOLD, f"{_MOST}\n    assert n <= most"), "another error"),
        "no more than the shorter side": (
            _hold(_RIGHT_HOLD, "if n > min(colours, shapes): raise ValueError('too many')"), "refuses what can be done"
        ),
        "numbers": (_hold(_RIGHT_HOLD + "\n    mask = mask.long()"), "dtype"),
        "a list of pairs": (_hold(_RIGHT_HOLD + "\n    mask = mask.nonzero()"), "shape"),
        "flat": (_hold(_RIGHT_HOLD + "\n    mask = mask.flatten()"), "shape"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "tokenise": {
        "re": _tokenise(said=r"re.findall(r'\w+', text.lower())"),
        "strip": _tokenise(said="[s for w in text.lower().split() if (s := w.strip(string.punctuation))]"),
        "translate": _tokenise(said="text.lower().translate(str.maketrans('', '', string.punctuation)).split()"),
        "a dictionary": _tokenise("[{w: i for i, w in enumerate(words, 2)}.get(w, 1) for w in said]"),
        "filled in": """
import re
import torch
def tokenise(text, words, length):
    number = dict(zip(words, range(2, len(words) + 2)))
    out = torch.zeros(length, dtype=torch.int64)
    for place, word in enumerate(re.sub(r"[^a-z0-9 ]", " ", text.casefold()).split()):
        if place == length:
            raise ValueError(f"more than {length} words: {text}")
        out[place] = number.get(word, 1)
    return out
""",
    },
    "pool": {
        "a small number below": """
def pool(words, mask):
    return (words * mask[..., None]).sum(1) / (mask.sum(1, keepdim=True) + 1e-5)
""",
        "nanmean": _pool("words.masked_fill(~mask[..., None], float('nan')).nanmean(1).nan_to_num()"),
        "masked_fill": _pool("words.masked_fill(~mask[..., None], 0).sum(1) / count.clamp(min=1)"),
        "einsum": _pool("torch.einsum('bld,bl->bd', words, mask / count.clamp(min=1))", "mask = mask.to(words)\n    "
                        "count = mask.sum(1, keepdim=True)"),
        "a product": _pool("((mask / count.clamp(min=1)).to(words)[:, None] @ words)[:, 0]"),
        "a loop": _pool("torch.stack([w[m].mean(0) if m.any() else 0 * w[0] for w, m in zip(words, mask)])"),
        "small number": _pool(f"{_KEPT}.sum(1) / (count + 1e-8)"),
    },
    "read_words": {
        "torch": """
from torch.nn.functional import scaled_dot_product_attention as attend
def read_words(x, words, mask, q, kv):
    keys, values = kv(words).chunk(2, dim=-1)
    return attend(q(x), keys, values, attn_mask=mask[:, None, :])
""",
        "by what nn.Linear has": _read(
            scores="queries @ keys.mT / q.out_features ** 0.5",
            halves="w = kv.out_features // 2\n    keys, values = kv(words)[..., :w], kv(words)[..., w:]",
        ),
        "einsum": _read(scores="torch.einsum('bnw,bmw->bnm', queries, keys) * queries.shape[-1] ** -0.5"),
        "a large number": _read(hide="scores = scores + (~mask[:, None]) * -1e9"),
        "weights anew": _read("(e := torch.exp(scores - scores.amax(-1, keepdim=True)) * mask[:, None]) "
                              "/ e.sum(-1, keepdim=True)", hide="pass"),
        "a loop": """
import torch
def read_words(x, words, mask, q, kv):
    rows = []
    for patches, said, there in zip(x, words, mask):
        keys, values = kv(said[there]).chunk(2, -1)
        rows.append(torch.softmax(q(patches) @ keys.T / x.shape[-1] ** 0.5, -1) @ values)
    return torch.stack(rows)
""",
    },
    "negative": {
        "explicit": _negative("Prediction(*(w + scale * (s - w) for s, w in zip(strong, weak)))"),
        "weights": _negative("Prediction(*(scale * s - (scale - 1) * w for s, w in zip(strong, weak)))"),
        "one batched call, a time each": _negative(
            "Prediction(*(a.lerp(b, scale) for a, b in (v.chunk(2) for v in both)))",
            "both = model(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([away, cond]))",
        ),
        "in place": _negative(
            "weak", "strong, weak = model(x_t, t, cond), model(x_t, t, away)\n"
            "    for s, w in zip(strong, weak): w += scale * (s - w)",
        ),
        "through eps, a time each": _negative(
            "Prediction((x_t - sigma * eps) / alpha, eps)",
            "alpha, sigma = (v.reshape(-1, *[1] * (x_t.ndim - 1)) for v in model.schedule(t))\n"
            "    eps = (1 - scale) * model(x_t, t, away).eps + scale * model(x_t, t, cond).eps",
        ),
    },
    "hold_out": {
        "a thousand tries": _hold("""for _ in range(1000):
        mask.zero_().view(-1)[torch.randperm(colours * shapes, generator=generator)[:n]] = True
        few = (~mask).sum(0).min() < 2 or (~mask).sum(1).min() < 2
        if not few and (n > colours or mask.sum(1).max() <= 1): return mask
    raise ValueError("none found")""", "pass"),
        "rejection": """
import torch
def hold_out(colours, shapes, n, generator):
    if n > min(colours * (shapes - 2), shapes * (colours - 2)): raise ValueError("too many")
    while True:
        mask = torch.zeros(colours * shapes, dtype=torch.bool)
        mask[torch.randperm(colours * shapes, generator=generator)[:n]] = True
        mask = mask.view(colours, shapes)
        rows, columns = mask.sum(1), mask.sum(0)
        if rows.max() <= (1 if n <= colours else shapes - 2) and columns.max() <= colours - 2: return mask
""",
        "column by column": """
import torch
def hold_out(colours, shapes, n, generator):
    if n < 0 or n > shapes * (colours - 2) or n > colours * (shapes - 2): raise ValueError("too many")
    rows, columns = (torch.randperm(m, generator=generator).tolist() for m in (colours, shapes))
    mask = torch.zeros(colours, shapes, dtype=torch.bool)
    for _ in range(n):  # the colour that lost fewest, and of its shapes that which lost fewest
        c = min(rows, key=lambda i: int(mask[i].sum()))
        s = min((j for j in columns if not mask[c, j]), key=lambda j: int(mask[:, j].sum()))
        mask[c, s] = True
    return mask
""",
    },
}  # fmt: skip
