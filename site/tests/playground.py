"""A playground in a browser, for the tests of it."""

import re

import pytest

DONE = "hash => document.querySelector('#output').dataset.hash === hash && !document.querySelector('#stage[aria-busy]')"
SMALL = {"n": 250, "data": "two_classes", "cond": "0", "gamma": 2}
HASH = "data=two_classes&cond=0&gamma=2&n=250"
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
    hash = page.evaluate("location.hash.slice(1)") if hash is None else hash
    page.wait_for_function(DONE, arg=hash, timeout=60_000)
    return page.inner_text("#output")
