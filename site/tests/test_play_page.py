"""The playground as a page: by keyboard, without motion, dark, narrow; and its three densities."""

import pytest
from playground import HASH, TEXT, settled


def test_by_keyboard_alone(playground):
    page = playground(HASH)
    page.locator("#presets button").first.focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.id"))
    wanted = "run at another data cond n seed path sampler steps gamma low high net arrows paths shade wide"
    assert set(wanted.split()) <= reached
    page.locator("#presets button").nth(2).focus()
    page.keyboard.press("Enter")
    assert "in 1 step (1 call)" in settled(page)
    page.locator("#controls [name=sampler]").focus()
    page.keyboard.press("ArrowDown")
    assert "by euler in 1 step" in settled(page)


def test_motion_only_where_it_is_welcome(playground):
    page = playground(HASH)
    assert page.inner_text("#shown").startswith("Step 24 of 24")
    page.click("#run")
    page.click("#run")
    page.wait_for_timeout(300)
    assert page.inner_text("#shown").startswith("Step 1 of 24")  # one step at each press

    page = playground(HASH, reduced_motion="no-preference")
    page.wait_for_function("() => document.querySelector('#shown').textContent.startsWith('Step 24 of 24')")
    page.click("#run")
    assert page.inner_text("#run") == "Pause"
    page.wait_for_function("() => /^Step ([2-9]|1\\d|2[0-3]) of/.test(document.querySelector('#shown').textContent)")
    page.wait_for_function("() => document.querySelector('#run').textContent === 'Play'")
    assert page.inner_text("#shown").startswith("Step 24 of 24")


def test_dark_and_light_are_drawn_in_their_own_colours(playground):
    seen = set()
    for scheme in ("light", "dark"):
        page = playground(HASH, color_scheme=scheme)
        page.evaluate("scheme => { document.documentElement.dataset.theme = scheme }", scheme)
        page.wait_for_timeout(300)
        seen.add((page.evaluate("getComputedStyle(document.querySelector('#exact')).backgroundColor"),
                  page.locator("#exact").evaluate("c => c.toDataURL()")))  # fmt: skip
    assert len({ground for ground, _ in seen}) == len({picture for _, picture in seen}) == 2


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_fits_its_width(playground, width):
    page = playground("data=branches&sampler=heun&steps=4&n=250&net=1", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in page.locator(".play :is(canvas, button, select, input, output)").all():
        box = part.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= width)
    side = page.locator("#controls").bounding_box()["y"] < page.locator("#output").bounding_box()["y"]
    assert side == (width > 500)  # beside the pictures, or below them


def test_the_three_densities_follow_their_sliders(playground):
    page = playground(HASH)
    for gamma, wide in ((3, 2), (1, 2), (5, 3)):
        page.fill("#densities-controls [name=gamma]", str(gamma))
        page.fill("#densities-controls [name=wide]", str(wide))
        begins = f"Gamma {gamma}, V {wide}."
        page.wait_for_function("b => document.querySelector('#densities-output').textContent.startsWith(b)", arg=begins)
        text = page.inner_text("#densities-output")
        right = {"sharpened": 1 / (gamma - (gamma - 1) / wide), "ODE": wide ** (1 - gamma),
                 "SDE": (wide - wide ** (2 - 2 * gamma)) / ((2 * gamma - 1) * (wide - 1))}  # fmt: skip
        for name, value in right.items():
            derived, found = map(float, TEXT.findall(text.split(name + " ", 1)[1])[:2])
            assert derived == pytest.approx(value, rel=6e-4)
            assert found == pytest.approx(value, rel=0.12)  # 2000 squares: a deviation of 3.2%; steps add 3%
    page.fill("#densities-controls [name=gamma]", "many")
    assert "Gamma must be a number from 0 to 6, got many." in page.inner_text("#densities-wrong")
