"""The page of prompts in a browser: it draws Python's pictures, says what was drawn, and has a sentence for what is
wrong. Its modules are held to Python by site/prompt/prompt.test.mjs, which the first test runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

PROMPT = Path(__file__).parents[1] / "prompt"
sys.path.append(str(PROMPT))

import expected  # noqa: E402
import measure  # noqa: E402

from minidiff.plot import to_uint8  # noqa: E402
from minidiff.run import checkpoint  # noqa: E402
from minidiff.run.models import tokenizer_of  # noqa: E402

PIXELS = """() => [...document.querySelectorAll("#drawing .picture")].map((canvas) =>
  [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""
LIMIT = 120_000  # milliseconds to wait on a slow machine


@pytest.fixture(scope="module")
def python():
    """A function that draws by Python what the page draws: uint8 (n, H, W, 3)."""
    config, model = checkpoint.read_config(expected.RUN), checkpoint.load(expected.RUN)

    def pictures(*prompts, seed=0, **options):
        eps = expected.noise(seed, model.latent_shape).expand(len(prompts), -1, -1, -1)
        return to_uint8(expected.draw(model, tokenizer_of(config), list(prompts), eps, **options))

    return pictures


@pytest.fixture
def page(open_page):
    """The page, ready. Fails the test if the browser complains."""
    complaints = []
    page = open_page("prompt.html")
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.wait_for_selector("#drawing .pictures canvas")
    yield page
    assert complaints == []


def said(page) -> str:
    return page.inner_text("#drawing output")


def fill(page, **fields) -> None:
    """Fill in fields of the form, the folded ones too."""
    page.evaluate("() => { document.querySelector('#drawing details').open = true; }")
    for name, value in fields.items():
        page.fill(f"#drawing [name={name}]", value)


def press(page, wait: str = "Drawn in") -> str:
    """Press the button; what is said once it contains `wait`."""
    page.click("#drawing .main")
    return until(page, wait)


def drag(page, gamma: str) -> None:
    """Set the slider of the guidance."""
    page.evaluate(
        "(value) => { const slider = document.querySelector('[name=slider]'); slider.value = value;"
        " slider.dispatchEvent(new Event('input')); }",
        gamma,
    )


def until(page, text: str) -> str:
    page.wait_for_function(
        "(text) => document.querySelector('#drawing output').innerText.includes(text)", arg=text, timeout=LIMIT
    )
    return said(page)


def pixels(page) -> torch.Tensor:
    """What the large pictures show, (n, H, W, 3)."""
    shown = torch.tensor(page.evaluate(PIXELS), dtype=torch.int16)
    side = round((shown.shape[1] / 4) ** 0.5)
    return shown.view(len(shown), side, side, 4)[..., :3]


def same(page, pictures) -> bool:
    """Whether the page shows these pictures, but for a rounding."""
    return bool(((pixels(page) - torch.from_numpy(pictures).to(torch.int16)).abs() <= 1).all())


def test_the_modules_have_pythons_numbers(site, tmp_path):
    expected.write(tmp_path)
    for name in ("model.json", "model.onnx.gz", "decoder.onnx.gz"):
        (tmp_path / name).symlink_to(site / "prompt" / name)
    command = ["node", "--test", str(PROMPT / "prompt.test.mjs")]
    done = subprocess.run(command, env=os.environ | {"PROMPT": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# tests (?!0$)", done.stdout, re.M), done.stdout


def test_nothing_heavy_is_loaded_before_it_is_asked_for(open_page, address):
    page = open_page("index.html")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address + "prompt.html")
    page.wait_for_selector("#drawing .pictures canvas")
    assert not [url for url in asked if "onnx" in url]
    press(page)
    heavy = [url for url in asked if url.endswith(".gz")]
    assert [url.rsplit("/", 1)[1] for url in sorted(heavy)] == ["model.onnx.gz", "ort-wasm-simd-threaded.wasm.gz"]
    assert all(url.startswith(address) for url in asked)
    fill(page, seed="1")
    press(page, "seed 1.")
    assert len([url for url in asked if url.endswith(".gz")]) == 2  # once


def test_it_draws_pythons_pictures_and_says_what(page, python):
    assert "Nothing is drawn yet" in said(page)
    fill(page, prompt="a red square above a blue circle", seed="2")
    found = press(page)
    assert "“a red square above a blue circle”: read back as a" in found
    assert re.search(r"Drawn in \d+\.\d\d s: γ 2, 12 steps of dpmpp_2m, seed 2\.", found)
    assert same(page, python("a red square above a blue circle", seed=2))
    label = page.get_attribute("#drawing .picture", "aria-label")
    assert re.fullmatch(r"Drawn: a (small|big) red square above a (small|big) blue circle", label)
    assert "--prompt 'a red square above a blue circle' --scale 2 --steps 12 --seed 2" in page.inner_text(".python")
    assert "WebAssembly on one thread" in page.inner_text("#drawing .how")


def test_dragging_gamma_draws_anew_from_the_same_noise(page, python):
    drag(page, "4")
    assert "Nothing is drawn yet" in said(page)  # and so nothing was loaded
    assert page.input_value("[name=gamma]") == "4"
    press(page, "γ 4")
    assert same(page, python("a big red circle", scale=4.0))
    for gamma in ("0", "1", "6.5"):
        drag(page, gamma)
        until(page, f"γ {gamma},")
        assert same(page, python("a big red circle", scale=float(gamma))), gamma


def test_two_prompts_from_one_noise_and_a_negative_prompt(page, python):
    fill(page, prompt="a big circle", second="a small cross", negative="red", gamma="3", steps="6", seed="5")
    found = press(page)
    assert "γ 3 away from “red”, 6 steps of dpmpp_2m, seed 5" in found
    assert same(page, python("a big circle", "a small cross", negative="red", scale=3.0, steps=6, seed=5))
    assert page.locator("#drawing figcaption").all_inner_texts() == ["“a big circle”", "“a small cross”"]
    fill(page, second="")
    press(page, "“a big circle”")
    page.wait_for_function("() => document.querySelectorAll('#drawing figure').length === 1")


def test_each_step_can_be_looked_at(page, python):
    press(page)
    assert page.locator("#drawing .strip canvas").count() == 24
    step = page.locator("#drawing [name=step]")
    assert page.inner_text("#drawing .at") == "12 of 12"
    step.press("ArrowLeft")
    assert page.inner_text("#drawing .at") == "11 of 12"
    assert page.get_attribute("#drawing .picture", "aria-label") == "The picture after 11 steps, with noise left"
    step.press("Home")
    model = checkpoint.load(expected.RUN)
    assert same(page, to_uint8(model.decode(expected.noise(0, model.latent_shape)).detach()))
    step.press("End")
    assert same(page, python("a big red circle"))
    page.locator("#drawing .strip canvas").nth(6).click()
    assert page.inner_text("#drawing .at") == "3 of 12"


@pytest.mark.parametrize(
    "field, value, sentence",
    [
        ("gamma", "much", "γ must be a number of at least 0 (1 is no guidance), not “much”."),
        ("gamma", "", "γ must be a number of at least 0"),
        ("gamma", "-1", "γ must be a number of at least 0"),
        ("steps", "0", "Steps must be a whole number from 1 to 1000, not “0”."),
        ("steps", "2.5", "Steps must be a whole number"),
        ("seed", "-1", "The seed must be a whole number from 0 to 4294967295, not “-1”."),
        ("prompt", "a " * 17, "has 17 words: the limit of this model is 16."),
        ("prompt", "?!", "“?!” has no word in it"),
        ("second", "...", "“...” has no word in it"),
        ("negative", "a " * 20, "has 20 words: the limit of this model is 16."),
    ],
)
def test_a_wrong_field_gets_a_sentence(page, field, value, sentence):
    fill(page, **{field: value})
    assert sentence in press(page, sentence)
    assert page.evaluate("() => document.activeElement.name") == field
    assert page.get_attribute(f"#drawing [name={field}]", "aria-invalid") == "true"
    fill(page, prompt="a ball", second="", negative="", gamma="2", steps="1", seed="0")
    press(page)
    assert page.locator("#drawing [aria-invalid]").count() == 0


def test_unknown_words_are_named(page):
    fill(page, prompt="a unicorn on a red dragon", negative="unicorn sky")
    sentence = "Words this model never saw: unicorn, dragon, sky. They mean nothing to it."
    assert page.inner_text("#prompt-words") == sentence
    assert sentence in press(page)
    assert page.locator("#drawing .picture").count() == 1


@pytest.mark.parametrize("name", ["model.json", "model.onnx.gz", "ort-wasm-simd-threaded.wasm.gz", "ort.wasm.min.mjs"])
def test_a_missing_file_is_named_and_one_may_try_again(open_page, address, name):
    page = open_page("index.html")
    page.route(f"**/{name}", lambda route: route.fulfill(status=404))
    page.goto(address + "prompt.html")
    assert f"{name} could not be loaded" in press(page, name)
    page.unroute(f"**/{name}")
    if not name.endswith(".mjs"):  # a browser remembers a module that it could not load until the page is loaded anew
        press(page)
        assert page.locator("#drawing .picture").count() == 1


def test_a_browser_without_webassembly_says_so(open_page, address):
    page = open_page("index.html")
    page.add_init_script("delete globalThis.WebAssembly;")
    page.goto(address + "prompt.html")
    assert "This browser has no WebAssembly" in press(page, "WebAssembly")


def test_by_keyboard_alone(page):
    page.focus("#drawing [name=prompt]")
    page.keyboard.press("Control+A")
    page.keyboard.type("a green box")
    page.keyboard.press("Enter")
    assert "“a green box”" in until(page, "Drawn in")
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.name || document.activeElement.textContent"))
    assert {"Draw", "a big green cross", "slider", "gamma", "steps", "seed", "another", "step", "replay"} <= reached
    seed = page.input_value("[name=seed]")
    page.focus("#drawing [name=another]")
    page.keyboard.press("Enter")
    page.wait_for_function("(seed) => document.querySelector('[name=seed]').value !== seed", arg=seed)
    until(page, f"seed {page.input_value('[name=seed]')}.")


def test_reduced_motion_shows_the_end_alone(open_page):
    page = open_page("prompt.html", reduced_motion="reduce")
    page.wait_for_selector("#drawing .pictures canvas")
    page.evaluate("""() => {
      window.painted = 0;
      const put = CanvasRenderingContext2D.prototype.putImageData;
      CanvasRenderingContext2D.prototype.putImageData = function (...given) {
        window.painted += this.canvas.className === "picture";
        return put.apply(this, given);
      };
    }""")
    press(page)
    assert page.evaluate("window.painted") == 1
    assert page.locator("#drawing [name=replay]").is_hidden()


def test_an_address_brings_the_fields_and_an_example_fills_them(page, python):
    page.click("#drawing .examples button[data-second]")
    until(page, "Drawn in")
    assert page.locator("#drawing .picture").count() == 2
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_function("() => document.querySelectorAll('#drawing .picture').length === 2")
    for name in ("prompt", "second", "gamma", "steps", "seed"):
        assert other.input_value(f"[name={name}]") == page.input_value(f"[name={name}]")
    page.click("#drawing .examples button[data-negative]")
    until(page, "γ 4 away from “a big red circle”")
    assert same(page, python("a red circle", negative="a big red circle", scale=4.0))


@pytest.mark.parametrize("width, scheme", [(360, "dark"), (1280, "light")])
def test_what_is_drawn_is_accessible_and_fits(open_page, width, scheme):
    page = open_page("prompt.html", width, color_scheme=scheme, reduced_motion="reduce")
    fill(page, prompt="a big red unicorn", second="a small cross", steps="3")
    press(page)
    page.add_script_tag(path=PROMPT.parent / "node_modules" / "axe-core" / "axe.min.js")
    found = page.evaluate("() => axe.run('#drawing', { resultTypes: ['violations'] })")["violations"]
    assert not [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for label in page.evaluate("() => [...document.querySelectorAll('#drawing [role=img]')].map((e) => e.ariaLabel)"):
        assert label.startswith(("Drawn: ", "Steps 1 to 3."))


@pytest.mark.slow
def test_200_captions_are_read_as_pythons_are(browser, address):
    page = browser.new_page()
    page.goto(address + "index.html")
    found = measure.compare(page, 200)
    assert found["largest difference"] < 1e-3
    assert found["browser"] == pytest.approx(found["python"], abs=0.005)  # one in 200 lies at the edge of a reading
    assert found["browser"]["colour"] > 0.9 and found["browser"]["object"] > 0.85
    page.close()


@pytest.mark.slow
def test_webgpu_draws_the_same(browser, address):
    """On a GPU that the CPU plays, as every machine can: slow, and so the page does not choose it by itself."""
    flags = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with_gpu = browser.browser_type.launch(executable_path=program, args=flags)
    page = with_gpu.new_page()
    page.goto(address + "prompt.html")
    if not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
        with_gpu.close()
        pytest.skip("this chromium offers no WebGPU adapter")
    config, model = checkpoint.read_config(expected.RUN), checkpoint.load(expected.RUN)
    captions, _, eps = measure.questions(2)
    ours, _ = measure.in_browser(page, captions, eps, steps=4, backend="webgpu")
    with_gpu.close()
    assert (ours - expected.draw(model, tokenizer_of(config), captions, eps, steps=4)).abs().max() < 1e-3
