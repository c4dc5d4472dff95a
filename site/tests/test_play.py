"""The playground in a real browser: what it says after each control is what minidiff measures."""

import json
import sys
from pathlib import Path

import pytest
from playground import HASH, SMALL, numbers_after, settled

SITE = Path(__file__).parents[1]
sys.path.append(str(SITE))
import play  # noqa: E402


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
    assert f"{key}=" in page.evaluate("location.hash") or value == play.DEFAULTS[key]
    number = float(value) if key not in ("cond", "path", "sampler", "data") else value
    state = before | {key: int(number) if key in ("n", "seed", "steps", "net") else number}
    agrees(text, state)


def test_every_preset_sets_the_controls_and_says_pythons_numbers(playground):
    presets = json.loads((SITE / "play" / "presets.json").read_text())
    rows = json.loads((SITE / "play" / "play.json").read_text())["presets"]
    page = playground(HASH)
    for preset in presets:
        button = page.get_by_role("button", name=preset["title"])
        button.click()
        text = settled(page)
        right = next(row["measures"] for row in rows if row["state"] == preset["state"])
        assert numbers_after(text, "distance to the data:") == pytest.approx(right["exact"], rel=6e-4)
        assert page.inner_text("#look") == preset["look"]
        assert button.get_attribute("aria-pressed") == "true"
        for key, value in preset["state"].items():
            control = page.locator(f"#controls [name={key}]")
            shown = int(control.is_checked()) if key == "net" else control.input_value()
            assert str(shown) == str(value), key
    assert page.locator("#presets [aria-pressed=true]").count() == 1


def test_time_moves_the_picture_and_says_where_it_stands(playground):
    page = playground(HASH + "&net=1")
    at, picture = page.locator("#at"), "c => c.toDataURL()"
    end = page.locator("#exact").evaluate(picture)
    at.focus()
    page.keyboard.press("Home")
    times = play.SCHEDULES["vp"]().grid(24)
    for step in (0, 1, 2):
        noise = play.SCHEDULES["vp"]().log_snr(times[step].double()).neg().div(2).exp().item()
        said = page.inner_text("#shown")
        assert said.startswith(f"Step {step} of 24:")
        assert numbers_after(said, "t =") == pytest.approx(times[step].item(), rel=6e-4)
        assert numbers_after(said, "σ/α =") == pytest.approx(noise, rel=6e-4)
        page.keyboard.press("ArrowRight")
    assert page.locator("#exact").evaluate(picture) != end
    for canvas in ("#exact", "#learned", "#strip"):
        colours = page.locator(canvas).evaluate(
            "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
        )
        assert colours > 20, canvas


WRONG = [
    ("gamma", "abc", "Gamma must be a number from 0 to 10 (1 is no guidance), got abc."),
    ("gamma", "", "Gamma must be a number from 0 to 10 (1 is no guidance), got nothing."),
    ("steps", "0", "Steps must be a whole number from 1 to 100 (24 is usual), got 0."),
    ("steps", "1000000", "Steps must be a whole number from 1 to 100 (24 is usual), got 1000000."),
    ("seed", "1.5", "The seed must be a whole number from 0 to 9999 (each gives other noise), got 1.5."),
    ("high", "0.001", "The interval's high end must be a number from 0.002 to 80"),
]


@pytest.mark.parametrize("key, text, sentence", WRONG)
def test_bad_input_is_named_and_mended(playground, key, text, sentence):
    page = playground(HASH)
    control = page.locator(f"#controls [name={key}]")
    good = control.input_value()
    control.fill(text)
    assert sentence in page.inner_text("#wrong")
    assert "see the sentence above" in page.inner_text("#output")
    assert control.get_attribute("aria-invalid") == "true"
    control.fill(good)
    page.wait_for_function("() => document.querySelector('#output').textContent.includes('samples of two classes')")
    assert page.inner_text("#wrong") == "" and control.get_attribute("aria-invalid") is None


def test_an_interval_must_rise(playground):
    page = playground(HASH)
    page.fill("#controls [name=high]", "0.05")
    settled(page)
    page.fill("#controls [name=low]", "2")
    assert "interval must rise: its low end 2 is above its high end 0.05" in page.inner_text("#wrong")


def test_a_bad_link_is_named_and_the_rest_is_drawn(playground):
    page = playground("data=two_classes&gamma=abc&n=250", wait=False)
    text = settled(page, "data=two_classes&n=250")
    assert "Gamma must be a number" in page.inner_text("#wrong") and "gamma 1: no guidance" in text


def test_without_a_canvas_there_are_sentences_and_numbers(browser, address):
    context = browser.new_context(reduced_motion="reduce")
    context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}playground.html#{HASH}")
    agrees(settled(page), SMALL)
    assert "This browser has no canvas" in page.inner_text("#look")
    page.wait_for_function("() => document.querySelector('#densities-output').textContent.startsWith('Gamma')")
    assert errors == []
    context.close()


def test_files_that_do_not_come_are_named(browser, address):
    context = browser.new_context(reduced_motion="reduce")
    context.route("**/nets.json", lambda route: route.fulfill(status=404))
    page = context.new_page()
    page.goto(f"{address}playground.html#{HASH}")
    settled(page)
    page.locator("#controls [name=net]").check()
    page.wait_for_function("() => document.querySelector('#wrong').textContent")
    assert "Nets.json could not be loaded (the server answered 404)" in page.inner_text("#wrong")
    context.close()


def test_nothing_comes_from_elsewhere_and_the_nets_only_when_asked_for(open_page, address):
    page = open_page("index.html", reduced_motion="reduce")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}playground.html#{HASH}")
    settled(page)
    assert all(url.startswith((address, "data:")) for url in asked)
    assert not any("nets.json" in url for url in asked)
    page.locator("#controls [name=net]").check()
    settled(page)
    assert any("nets.json" in url for url in asked)
