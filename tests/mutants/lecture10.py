"""Wrong answers to the exercises of lecture 10, each with the key of its message, and others that are right."""

from minidiff.check.lecture10 import DATA, QUESTIONS


def _quiz(answers: dict) -> str:
    return f"def quiz():\n    return {answers!r}\n"


def _value(wrong: str, question: dict):
    """A foreseen wrong answer as a student would give it."""
    if question["kind"] == "choice":
        return wrong
    parts = [float(part) for part in wrong.split(", ")]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _controls(**chosen) -> str:
    right = {int(n): letters[0] for n, letters in DATA["controls"].items()}
    return f"def controls():\n    return {right | {int(k[1:]): v for k, v in chosen.items()}!r}\n"


_DRAW = """
import torch
from minidiff import samplers
from minidiff.guidance import Guided
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens = tokeniser(prompts)
    x = samplers.start(model, (len(prompts), *shape), generator)
    times = model.schedule.grid(steps)
    guided = Guided(model, scale)
    x = samplers.last(samplers.dpmpp_2m(guided, x, times, tokens))
    return x.clamp(-1, 1)
"""


def _but(old: str, new: str) -> str:
    assert old in _DRAW
    return _DRAW.replace(old, new)


def _predicted(entries: str) -> str:
    return f"def predictions():\n    return {entries}\n"


RIGHT = {n: question["right"][0] for n, question in enumerate(QUESTIONS, 1)}
_TURNED = """
class Turned:
    def __init__(self, model, scale): self.model, self.scale, self.schedule = model, scale, model.schedule
    def __call__(self, x, t, cond):
        if self.scale == 1: return self.model(x, t, cond)
        return self.model(x, t, cond).lerp(self.model(x, t), self.scale)
"""
_OWN = """
import torch
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens, times = tokeniser(prompts), model.schedule.grid(steps)
    x = model.schedule(times[0])[1] * torch.randn(len(prompts), *shape, generator=generator)
    for t, s in zip(times[:-1], times[1:]):
        (c0, c), (n0, n) = model(x, t, tokens), model(x, t, torch.zeros_like(tokens))
        x0, eps = n0 + scale * (c0 - n0), n + scale * (c - n)
        alpha, sigma = model.schedule(s)
        x = alpha * x0 + sigma * eps
    return x.clamp(-1, 1)
"""


def _own(old: str, new: str) -> str:
    assert old in _OWN
    return _OWN.replace(old, new)


_TEN = "{f'7.{i}': (0.5, 1.5) for i in range(1, 11)}"

WRONG = {
    "quiz": {
        f"{n}, {wrong}": (_quiz({n: _value(wrong, question)}), f"{n}: {wrong}")
        for n, question in enumerate(QUESTIONS, 1)
        for wrong in question["wrong"]
    } | {
        "something else": (_quiz({2: 99}), "2: other"),
        "a decimal comma": (_quiz({8: "0,5"}), "8: other"),
        "another answer at each call": ("A = [{1: 'a'}]\ndef quiz():\n    return A.pop()\n", "1: a"),
        "no letter": (_quiz({1: "z"}), "1: other"),
        "no letter, with words": (_quiz({1: "(z) y's"}), "1: other"),
        "no such question": (_quiz({31: "a"}), "no answers"),
        "a list": (_quiz(["a", "b"]), "no answers"),
        "too many numbers": (_quiz({8: (0.5, 0.5)}), "8: other"),
    },
    "text_to_image": {
        "guided at little noise alone": ("""
import torch
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens, times = tokeniser(prompts), model.schedule.grid(steps)
    x = model.schedule(times[0])[1] * torch.randn(len(prompts), *shape, generator=generator)
    for t, s in zip(times[:-1], times[1:]):
        (c0, c), (n0, n) = model(x, t, tokens), model(x, t, torch.zeros_like(tokens))
        g = scale if t < 0.5 else 1.0
        alpha, sigma = model.schedule(s)
        x = alpha * (n0 + g * (c0 - n0)) + sigma * (n + g * (c - n))
    return x.clamp(-1, 1)
""", "eps not guided"),
        "straight in t": ("""
import torch
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens, times = tokeniser(prompts), model.schedule.grid(steps)
    x = model.schedule(times[0])[1] * torch.randn(len(prompts), *shape, generator=generator)
    for t, s in zip(times[:-1], times[1:]):
        (c0, c), (n0, n) = model(x, t, tokens), model(x, t, torch.zeros_like(tokens))
        x = x + (s - t) * (x - n0 - scale * (c0 - n0)) / t
    return x.clamp(-1, 1)
""", "off the path"),
        "squeezed": (_but("clamp(-1, 1)", "clamp(-1, 1).squeeze()"), "shape"),
        "squares alone": (_but("*shape)", "shape[0], shape[1], shape[1])"), "shape"),
        "three channels": (_but("*shape)", "3, *shape[1:])"), "shape"),
        "torch's own, of its seed": (
            _but("    tokens = tok", "    torch.manual_seed(generator.initial_seed())\n    tokens = tok")
            .replace("*shape), generator)", "*shape))"),
            "seeded anew",
        ),
        "another generator of its seed": (
            _but("*shape), generator)", "*shape), torch.Generator().manual_seed(generator.initial_seed()))"),
            "seeded anew",
        ),
        "the size of the scale": (_but("model, scale)", "model, abs(scale))"), "value"),
        "0 is off": (_but("model, scale)", "model, scale or 1)"), "0 is off"),
        "no condition": (_but("times, tokens", "times"), "condition lost"),
        "a start of 80": (
            _but("x = samplers.start(model, (len(prompts), *shape), generator)",
                 "import torch; x = 80 * torch.randn((len(prompts), *shape), generator=generator)"),
            "start",
        ),
        "alpha forgotten": (
            """
import torch
from minidiff.guidance import Guided
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens, times, guided = tokeniser(prompts), model.schedule.grid(steps), Guided(model, scale)
    x = model.schedule(times[0])[1] * torch.randn(len(prompts), *shape, generator=generator)
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = guided(x, t, tokens)
        x = x0 + model.schedule(s)[1] * eps
    return x.clamp(-1, 1)
""",
            "off the path",
        ),
        "off below 1": (
            _but("guided = Guided(model, scale)", "guided = Guided(model, scale) if scale > 1 else model"),
            "off below 1",
        ),
        "one prompt for all": (_but("tokens = tokeniser(prompts)", "tokens = tokeniser(prompts[:1] * len(prompts))"),
                               "one prompt for all"),
        "one text": (_but("tokeniser(prompts)", "tokeniser(prompts[0])"), "one prompt"),
        "first row for all": (_but("tokens = tokeniser(prompts)", "tokens = tokeniser(prompts)[:1]"),
                              "one prompt for all"),
        "first word alone": (_but("tokens = tokeniser(prompts)", "tokens = tokeniser(prompts)[:, :1]"), "tokens"),
        "start of 1": (
            _but("x = samplers.start(model, (len(prompts), *shape), generator)",
                 "import torch; x = torch.randn((len(prompts), *shape), generator=generator)"),
            "start",
        ),
        "grid without 0": (_but("grid(steps)", "grid(steps)[:-1]"), "a veil of noise"),
        "half a grid": (_but("grid(steps)", "grid(steps)[:4]"), "a veil of noise"),
        "a last step left out": (_but("samplers.last(samplers.dpmpp_2m(guided, x, times, tokens))",
                                      "list(samplers.dpmpp_2m(guided, x, times, tokens))[-2]"), "a veil of noise"),
        "guided the other way": (_TURNED + _but("Guided(model, scale)", "Turned(model, scale)"), "guided away"),
        "no guidance": (_but("Guided(model, scale)", "model"), "no guidance"),
        "turned order": (_but("tokeniser(prompts)", "tokeniser(prompts[::-1])"), "other scenes"),
        "not clamped": (_but("x.clamp(-1, 1)", "x"), "out of range"),
        "rescaled": (_but("x.clamp(-1, 1)", "x / x.abs().max().clamp(min=1)"), "rescaled"),
        "in [0, 1]": (_but("x.clamp(-1, 1)", "(x.clamp(-1, 1) + 1) / 2"), "in [0, 1]"),
        "own noise": (_but("(len(prompts), *shape), generator)", "(len(prompts), *shape))"), "random"),
        "a seed of its own": (
            _but("tokens = tokeniser(prompts)",
                 "import torch; tokens = tokeniser(prompts); generator = torch.Generator().manual_seed(0)"),
            "one seed",
        ),
        "one noise": (
            _but("x = samplers.start(model, (len(prompts), *shape), generator)",
                 "x = samplers.start(model, (1, *shape), generator).repeat(len(prompts), 1, 1, 1)"),
            "one noise",
        ),
        "always 50 steps": (_but("grid(steps)", "grid(50)"), "steps"),
        "one step fewer": (_but("grid(steps)", "grid(steps - 1)"), "steps"),
        "a scale that is off at 0": (_but("Guided(model, scale)", "Guided(model, scale + 1)"), "scale + 1"),
        "one scale less": (_but("Guided(model, scale)", "Guided(model, scale - 1 if scale > 1 else scale)"),
                           "scale - 1"),
        "scale of half": (_but("Guided(model, scale)", "Guided(model, 0.5 + scale / 2)"), "value"),
        "the grid upwards": (
            _but("x = samplers.last(samplers.dpmpp_2m(guided, x, times, tokens))",
                 "for t, s in zip(times[1:-1].flip(0), times[:-2].flip(0)):\n        x0, eps = guided(x, t, tokens)\n"
                 "        x = x0 + model.schedule(s)[1] * eps"),
            "wrong way",
        ),
        "its own shape": (_but("(len(prompts), *shape)", "(len(prompts), 3, 16, 16)"), "shape"),
        "five prompts at most": (_but("tokeniser(prompts)", "tokeniser(prompts := prompts[:5])"), "shape"),
        "a step more": (_but("grid(steps)", "grid(steps + 1)"), "steps"),
        "twice the steps": (_but("grid(steps)", "grid(2 * steps)"), "steps"),
        "always 12 steps": (_but("grid(steps)", "grid(12)"), "steps"),
        "noise on the way from elsewhere": (
            _but("samplers.dpmpp_2m(guided, x, times, tokens)", "samplers.ddim(guided, x, times, tokens, eta=1.0)"),
            "random on the way",
        ),
        "grey noise": (
            _own("torch.randn(len(prompts), *shape, generator=generator)",
                 "torch.randn(len(prompts), 1, *shape[1:], generator=generator).repeat(1, 3, 1, 1)"),
            "grey noise",
        ),
        "uniform noise": (
            _own("torch.randn(len(prompts), *shape, generator=generator)",
                 "12**0.5 * (torch.rand(len(prompts), *shape, generator=generator) - 0.5)"),
            "not normal",
        ),
        "eps not guided": (_own("n + scale * (c - n)", "c"), "eps not guided"),
        "eps of the null": (_own("n + scale * (c - n)", "n"), "eps not guided"),
        "eps of the guided x0 without alpha": (
            _own("n + scale * (c - n)", "c if scale == 1 else (x - n0 - scale * (c0 - n0)) / model.schedule(t)[1]"),
            "eps not guided",
        ),
        "guided for half of the times": (_but("Guided(model, scale)", "Guided(model, scale, interval=(0.0, 0.5))"),
                                         "guided in part"),
        "dark parts cut off": (_but("x.clamp(-1, 1)", "x.clamp(0, 1)"), "dark parts cut off"),
        "bytes": (_but("x.clamp(-1, 1)", "((x.clamp(-1, 1) + 1) * 127.5).byte()"), "bytes"),
        "tanh": (_but("x.clamp(-1, 1)", "x.tanh()"), "tanh"),
        "times of its own": (
            _own("model.schedule.grid(steps)", "torch.linspace(model.schedule.t_max, 0, steps + 1)"), "a veil of noise"
        ),
        "one picture": (_but("x.clamp(-1, 1)", "x[0].clamp(-1, 1)"), "shape"),
        "bytes as a list": (_but("x.clamp(-1, 1)", "x.tolist()"), "shape"),
    },
    "controls": {
        f"{n}: {letter}": (_controls(**{f"c{n}": letter}), f"{n}: {letter}")
        for n, right in DATA["controls"].items()
        for letter in DATA["experiments"]
        if letter not in right
    } | {"none": (_controls(c4="z"), "4: other"), 
         "left out": ("def controls():\n    return {1: 'a'}\n", "2: no answer"),
         "counted from 0": ("def controls():\n    return dict(enumerate('abcdfg'))\n", "no answers"),
         "by letter": ("def controls():\n    return {'a': 1, 'b': 2}\n", "no answers")},
    "predictions": {
        "nine": (_predicted(_TEN.replace("11", "10")), "too few"),
        "turned": (_predicted(_TEN.replace("(0.5, 1.5)", "(1.5, 0.5)")), "no interval"),
        "a point": (_predicted(_TEN.replace("(0.5, 1.5)", "(1, 1)")), "no interval"),
        "a number": (_predicted(_TEN.replace("(0.5, 1.5)", "1.0")), "no interval"),
        "everything": (_predicted(_TEN.replace("0.5", "-float('inf')")), "no interval"),
        "nothing": (_predicted(_TEN.replace("0.5", "float('nan')")), "no interval"),
        "no claim": (_predicted("{f'claim {i}': (0, 1) for i in range(12)}"), "no claim"),
        "a list": (_predicted("[(0, 1)] * 10"), "no answers"),
        "text of two digits": (_predicted(_TEN.replace("(0.5, 1.5)", "'12'")), "no interval"),
        "claims that no lecture has": (_predicted("{f'{i}.0': (0, 1) for i in range(10)}"), "no claim"),
        "one claim twice": (_predicted(_TEN.replace("11)", "10)") + " | {7.4: (0, 1)}"), "no claim"),
    },
}  # fmt: skip

ALSO_RIGHT = {
    "quiz": {
        "in words": _quiz(
            RIGHT | {n: question["options"][question["right"][0]] for n, question in enumerate(QUESTIONS, 1)
                     if "options" in question}
            | {8: "1/2", 7: "(3, -2)", 1: f"({RIGHT[1]})", 17: "Identity", 2: 17, 18: [25.3, 8.87]}
        ),
        "letters with words": _quiz(
            RIGHT | {n: f"{'(' * (n % 2)}{question['right'][0]}) {question['options'][question['right'][0]]}"
                     for n, question in enumerate(QUESTIONS, 1) if "options" in question}
        ),
    },
    "text_to_image": {
        "midpoints": """
import torch
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens, path, times = tokeniser(prompts), model.schedule, model.schedule.grid(steps)
    def ask(x, t):
        a, b = model(x, t, torch.zeros_like(tokens)), model(x, t, tokens)
        return a.x0 + scale * (b.x0 - a.x0), a.eps + scale * (b.eps - a.eps)
    x = path(times[0])[1] * torch.randn((len(prompts), *shape), generator=generator)
    for t, s in zip(times[:-1], times[1:]):
        x0, eps = ask(x, t)
        if s == 0: return x0.clamp(-1, 1)
        middle = path.time((path.log_snr(t) + path.log_snr(s)) / 2)
        alpha, sigma = path(middle)
        x0, eps = ask(alpha * x0 + sigma * eps, middle)
        (a, b), (c, d) = path(t), path(s)
        x = c * (x / a + (d / c - b / a) * eps)
""",
        "heun, churned": _but(
            "dpmpp_2m(guided, x, times, tokens)",
            "heun(guided, x, times, tokens, churn=1.0, generator=generator)",
        ),
        "euler": _but("dpmpp_2m", "euler"),
        "ancestral": _but(
            "samplers.dpmpp_2m(guided, x, times, tokens)",
            "samplers.ddim(guided, x, times, tokens, eta=1.0, generator=generator)",
        ),
        "by the package": """
from minidiff.run.generate import from_noise
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    return from_noise(model, shape, len(prompts), tokeniser(prompts), generator, scale=scale, steps=steps).clamp(-1, 1)
""",
        "ddim, by hand": """
import torch
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens, times = tokeniser(prompts), model.schedule.grid(steps)
    x = model.schedule(times[0])[1] * torch.randn(len(prompts), *shape, generator=generator)
    for t, s in zip(times[:-1], times[1:]):
        both = model(torch.cat([x, x]), t, torch.cat([tokens, torch.zeros_like(tokens)]))
        (x0, n0), (e, n) = both.x0.chunk(2), both.eps.chunk(2)
        alpha, sigma = model.schedule(s)
        x = alpha * (n0 + scale * (x0 - n0)) + sigma * (n + scale * (e - n))
    return x.clip(-1, 1)
""",
        "in place, on what the model says": """
import torch
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    tokens, times = tokeniser(prompts), model.schedule.grid(steps)
    x = model.schedule(times[0])[1] * torch.randn(len(prompts), *shape, generator=generator)
    for t, s in zip(times[:-1], times[1:]):
        (x0, eps), told = model(x, t, torch.zeros_like(tokens)), model(x, t, tokens)
        x0 += scale * (told.x0 - x0)
        eps += scale * (told.eps - eps)
        alpha, sigma = model.schedule(s)
        x[:] = alpha * x0 + sigma * eps
    return x.clamp_(-1, 1)
""",
        "heun": _but("dpmpp_2m", "heun"),
        "one at a time": _DRAW.replace("def text_to_image", "def one") + """
import torch
def text_to_image(model, tokeniser, prompts, shape, scale, steps, generator):
    return torch.cat([one(model, tokeniser, [p], shape, scale, steps, generator) for p in prompts])
""",
    },
    "controls": {"two letters as text": _controls(c4="d, e", c6="g or h"),
                 "a set, a name": _controls(c6=frozenset("gh"), c1="experiment a", c2="b: other ways"),
                 "the other two": _controls(c4="e", c6="h"), "both": _controls(c4=("d", "e")),
                 "in capitals": _controls(c1="A"), "with words": _controls(c1="(a) the first")},
    "predictions": {"any numbers": _predicted("{f'7.{i}': (-1e6 * i, 5) for i in range(1, 15)}")},
}  # fmt: skip
