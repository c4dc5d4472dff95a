"""How the page of prompts fares in a browser: `python site/prompt/measure.py ADDRESS`, where the built site is served.

Prints seconds from the button to the first picture and for later ones, how far 20 pictures are from Python's, and how
often the checker reads in 200 pictures what their captions ask for, the browser's beside Python's.
"""

import json
import os
import shutil
import sys
import warnings

import torch
from expected import draw, noise
from export import RUN

from minidiff.data.shapes import checker
from minidiff.data.shapes.dataset import Captioned
from minidiff.run import checkpoint
from minidiff.run.models import tokenizer_of

DRAW = """async ([prompts, noise, options]) => {
  const modules = ["prompt/load.mjs", "prompt/model.mjs", "play/sampling.mjs"];
  const [{ facts, load }, { draw }, { last }] =
    await Promise.all(modules.map((name) => import(new URL(name, document.baseURI))));
  window.known ??= await load(await facts(), options.backend);
  const began = performance.now();
  const { x } = await last(draw(window.known, prompts, Float32Array.from(noise), options));
  return { x: [...x], seconds: (performance.now() - began) / 1000 };
}"""


def in_browser(page, prompts: list[str], eps: torch.Tensor, batch: int = 20, **options) -> tuple[torch.Tensor, float]:
    """The page's own modules draw prompts from eps like the latents (n, ...): the pictures, and seconds a batch."""
    shape, found, seconds = checkpoint.read_config(RUN).shape, [], []
    for i in range(0, len(prompts), batch):
        some = eps[i : i + batch]
        drawn = page.evaluate(DRAW, [prompts[i : i + batch], some.flatten().tolist(), options])
        found.append(torch.tensor(drawn["x"]).view(len(some), *shape))
        seconds.append(drawn["seconds"])
    return torch.cat(found), min(seconds)


def questions(n: int, data: str = "shapes:2", part: str = "train", seed: int = 1000):
    """n captions, what they ask for, and noise for each."""
    _, captions, asked = Captioned(data, part).asked(n, torch.Generator().manual_seed(seed))
    return captions, asked, noise(seed, checkpoint.load(RUN).latent_shape, n)


def compare(page, n: int, *args, **options) -> dict:
    """n captions drawn in the browser and by Python from the same noise: how far apart, and what the checker reads."""
    config, model = checkpoint.read_config(RUN), checkpoint.load(RUN)
    captions, asked, eps = questions(n, *args)
    ours, _ = in_browser(page, captions, eps, **options)
    theirs = draw(model, tokenizer_of(config), captions, eps)
    return {
        "largest difference": (ours - theirs).abs().max().item(),
        "browser": checker.accuracy(asked, ours),
        "python": checker.accuracy(asked, theirs),
    }


def first_picture(browser, address: str) -> dict:
    """Seconds from the button to the first picture in a new profile, and of a later one, as the page does it."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address + "prompt.html")
    page.wait_for_selector("#drawing .pictures canvas")
    press = "() => { document.querySelector('#drawing .main').click(); return performance.now(); }"
    began = page.evaluate(press)
    page.wait_for_function("() => !document.querySelector('#drawing .after').hidden", polling="raf", timeout=120_000)
    first = page.evaluate("(began) => performance.now() - began", began) / 1000
    later = []
    for seed in range(1, 6):
        page.fill("[name=seed]", str(seed))
        page.evaluate(press)
        page.wait_for_function(f"() => document.querySelector('#drawing output').innerText.includes('seed {seed}.')")
        later.append(float(page.inner_text("#drawing output").split("Drawn in ")[1].split(" s")[0]))
    context.close()
    return {"first": first, "later, step by step": min(later)}


def measure(browser, address: str, tries: int = 5) -> dict:
    """All of it."""
    times = [first_picture(browser, address) for _ in range(tries)]
    page = browser.new_page()
    page.goto(address + "index.html")
    captions, _, eps = questions(20)
    single = [in_browser(page, [c], e[None])[1] for c, e in zip(captions, eps, strict=True)]
    return {
        "first picture, seconds after the button": min(t["first"] for t in times),
        "later, step by step, seconds a picture": min(t["later, step by step"] for t in times),
        "computing alone, seconds a picture": min(single),
        "20 prompts": compare(page, 20),
        "200 captions": compare(page, 200),
        "200 captions of the combinations in held_out.csv": compare(page, 200, "shapes:2:held_out", "test"),
    }


if __name__ == "__main__":
    from playwright.sync_api import sync_playwright

    warnings.simplefilter("ignore")
    with sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        print(json.dumps(measure(chromium, sys.argv[1].rstrip("/") + "/"), indent=1))
