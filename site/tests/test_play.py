"""The playground in a real browser: what it says after each control is what minidiff measures."""

import re
import sys
from pathlib import Path

import pytest

SITE = Path(__file__).parents[1]
sys.path.append(str(SITE))
import play  # noqa: E402

DONE = "hash => document.querySelector('#output').dataset.hash === hash && !document.querySelector('#stage[aria-busy]')"
TEXT = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def numbers_after(text: str, words: str) -> float:
    """The first number after these words."""
    assert words in text, f"{words!r} is not said in {text!r}"
    return float(TEXT.search(text.split(words, 1)[1])[0])


@pytest.fixture
def playground(open_page):
    """A function that opens the playground at a link's hash, still, and waits for its numbers; it fails the test if the
    browser complains."""
    complaints = []

    def opened(hash: str = "", width: int = 1280, wait: bool = True, **options):
        page = open_page("playground.html#" + hash, width, **{"reduced_motion": "reduce"} | options)
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if wait:
            settled(page, hash)
        return page

    yield opened
    assert complaints == []


def settled(page, hash: str | None = None) -> str:
    """The output once it is that of this hash, by default of the address."""
    page.wait_for_function(DONE, arg=page.url.partition("#")[2] if hash is None else hash, timeout=60_000)
    return page.inner_text("#output")


def agrees(text: str, state: dict) -> None:
    """The numbers in the text are those that Python measures, to the digits that are shown."""
    found = play.measures(state)
    said = {"exact": "distance to the data:", "floor": "two exact sets:", "spread": "from the middle:"}
    if "sharpened" in found and state.get("gamma", 1) != 1:
        said["sharpened"] = "To the sharpened density:"
    if state.get("net"):
        said |= {"net": "from the same noise: distance", "apart": "its samples end"}
    for name, words in said.items():
        assert numbers_after(text, words) == pytest.approx(found[name], rel=6e-4), name  # 4 digits are shown
    shares = {"outside": "99% contour:"} | ({"outside_net": ", outside"} if state.get("net") else {})
    for name, words in shares.items():
        assert numbers_after(text, words) == pytest.approx(100 * found[name], abs=0.051), name


SMALL = {"n": 250, "data": "two_classes", "cond": "0", "gamma": 2}
HASH = "data=two_classes&cond=0&gamma=2&n=250"
MOVES = [
    ("steps", "9"), ("gamma", "3.5"), ("low", "0.1"), ("high", "5"), ("seed", "11"), ("churn", "10"),
    ("eta", "0.5"), ("path", "linear"), ("sampler", "euler"), ("sampler", "langevin"), ("cond", "1"), ("n", "500"),
    ("net", "1"), ("data", "eight_gaussians"),
]  # fmt: skip
NEEDS = {"churn": {"sampler": "heun"}, "eta": {"sampler": "ddim"}}


@pytest.mark.parametrize("key, value", MOVES)
def test_the_output_after_each_control_is_what_python_measures(playground, key, value):
    """Each control alone, by what a reader moves: the slider for numbers that have one, by keyboard."""
    before = SMALL | NEEDS.get(key, {}) | ({"steps": 3} if value == "langevin" else {})
    order = ("data", "cond", "sampler", "steps", "gamma", "n")
    page = playground("&".join(f"{k}={before[k]}" for k in order if k in before))
    control = page.locator(f"#controls [name={key}]")
    if key == "net":
        control.check()
    elif control.evaluate("c => c.tagName") == "SELECT":
        control.select_option(value)
    elif key == "seed":
        control.fill(value)
    else:
        slider = page.locator(f"#{key}-slider")
        slider.press("ArrowRight" if key != "high" else "ArrowLeft")  # then to its place, as a drag does
        slider.evaluate("(s, v) => { s.value = s.min < 0 ? Math.log10(v) : v; s.dispatchEvent(new Event('input')) }",
                        float(value))  # fmt: skip
        assert float(page.input_value(f"#controls [name={key}]")) == float(value)
    text = settled(page)
    assert f"{key}=" in page.url
    number = float(value) if key not in ("cond", "path", "sampler", "data") else value
    state = before | {key: int(number) if key in ("n", "seed", "steps", "net") else number}
    agrees(text, state)
