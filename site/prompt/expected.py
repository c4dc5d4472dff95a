"""What Python draws and reads, for the tests to hold the page to it: `python site/prompt/expected.py [FOLDER]`.

Writes expected.json: some drawings, each with prompt, options, starting noise and picture in float32; the tokens of
some texts; and what the checker reads in some pictures. Beside it goes the exported model. By default all goes into
site/prompt, where `node --test` looks for it.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from export import RUN, export

from minidiff.data.shapes import checker
from minidiff.data.shapes.dataset import Captioned
from minidiff.demo import PROMPTS
from minidiff.device import replacing
from minidiff.guidance import Guided
from minidiff.run import checkpoint
from minidiff.run.models import tokenizer_of
from minidiff.samplers import dpmpp_2m, last

DRAWINGS = [{"prompt": prompt, "seed": seed, "scale": 2.0, "steps": 12} for seed, prompt in enumerate(PROMPTS)] + [
    {"prompt": "a big red circle", "seed": 0, "scale": 1.0, "steps": 12},
    {"prompt": "a big red circle", "seed": 0, "scale": 0.0, "steps": 12},
    {"prompt": "a big circle", "seed": 3, "scale": 4.0, "steps": 12, "negative": "red"},
    {"prompt": "", "seed": 5, "scale": 2.0, "steps": 1},
    {"prompt": "a red square above a blue circle", "seed": 2**32 - 1, "scale": 3.5, "steps": 40},
]
TEXTS = (
    *PROMPTS, "", "   ", "A  BIG,red;CIRCLE!", "a blue-green circle's edge", "ÉMERAUDE, ﬁne İstanbul ΟΔΟΣ",
    "x² ⅷ ⑤ 一 ㊀ a_b '- -- a'b", "ک\u200cتاب हिन्दी", "tab\tline\nbreak\x1cunit\x85next\u3000wide",
    "unicorn unicorn on a big red dragon", "a " * 16,
)  # fmt: skip


def noise(seed: int, shape, n: int = 1) -> torch.Tensor:
    """The standard normal noise that `sample` starts n latents of this shape from."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def draw(model, tokenizer, prompts, eps, scale=2.0, steps=12, negative="") -> torch.Tensor:
    """A picture of each prompt from noise like its latents, in float32 as the page computes, not bfloat16."""
    schedule = model.schedule
    x = schedule(torch.tensor(schedule.t_max))[1] * eps
    guided = Guided(model, scale, negative=tokenizer([negative])[0] if negative else None)
    return model.decode(last(dpmpp_2m(guided, x, schedule.grid(steps), tokenizer(prompts))))


def readings(size: int, n: int = 60) -> list[dict]:
    """Pictures of up to three objects, the later ones the noisier, and what the checker reads in them."""
    generator = torch.Generator().manual_seed(0)
    pictures, _ = Captioned("shapes", size=size).batch(n, generator)
    level = torch.linspace(0, 0.5, n)[:, None, None, None]
    pictures = pictures + level * torch.randn(pictures.shape, generator=generator)
    return [
        {"picture": x.flatten().tolist(), "found": [one._asdict() for one in found]}
        for x, found in zip(pictures, checker.read(pictures), strict=True)
    ]


def expected() -> dict:
    """All of it, as it is written."""
    config, model = checkpoint.read_config(RUN), checkpoint.load(RUN)
    tokenizer, drawings = tokenizer_of(config), []
    for drawing in DRAWINGS:
        options = {k: v for k, v in drawing.items() if k not in ("prompt", "seed")}
        eps = noise(drawing["seed"], model.latent_shape)
        picture = draw(model, tokenizer, [drawing["prompt"]], eps, **options)
        drawings.append({**drawing, "noise": eps.flatten().tolist(), "picture": picture.flatten().tolist()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unknown words, which some of these are to have
        texts = [{"text": t, "tokens": tokenizer([t])[0].tolist()} for t in TEXTS]
    return {"drawings": drawings, "texts": texts, "readings": readings(config.size)}


def write(folder: Path) -> None:
    """expected.json in the folder."""
    with replacing(folder / "expected.json") as file:
        file.write_text(json.dumps(expected()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    export(target)
    write(target)
