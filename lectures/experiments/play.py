"""Widgets for a notebook: type a prompt, move the guidance scale, and the picture is drawn anew.

`draw` makes the picture as a PNG, `sliders` puts widgets on it.
"""

import io

import matplotlib.pyplot as plt
import torch

from minidiff import plot
from minidiff.run.generate import generate


@torch.no_grad()
def draw(model, tokenizer, prompt, negative="", scale=2.0, steps=12, seed=0, n=8) -> bytes:
    """A PNG of n samples of the prompt."""
    negative_tokens = tokenizer([negative])[0] if negative else None
    cond = tokenizer([prompt]).expand(n, -1)
    x = generate(model, n, cond=cond, scale=scale, negative=negative_tokens, steps=steps, seed=seed)
    figure, ax = plt.subplots(figsize=(8, 1.5), layout="constrained")
    without = f', not "{negative}"' if negative else ""
    plot.grid(x, n, ax, f'"{prompt}"{without}, scale {scale:g}, {steps} steps')
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    plt.close(figure)
    return png.getvalue()


def sliders(model, tokenizer, prompt: str = "a big red circle"):
    """Widgets for prompt, negative prompt, scale, steps and seed, and the picture of `draw`, drawn anew at each change.

    They need a running kernel. Before them the first picture is shown: it is what a reader without a kernel has.
    """
    import ipywidgets as widgets
    from IPython.display import Image, display

    slow = {"continuous_update": False}
    controls = {
        "prompt": widgets.Text(prompt, description="prompt", **slow),
        "negative": widgets.Text("", description="negative", **slow),
        "scale": widgets.FloatSlider(2.0, min=0.0, max=8.0, step=0.5, description="scale", **slow),
        "steps": widgets.IntSlider(12, min=1, max=50, description="steps", **slow),
        "seed": widgets.IntSlider(0, min=0, max=20, description="seed", **slow),
    }
    first = draw(model, tokenizer, prompt)
    picture, message = widgets.Image(value=first), widgets.Label()

    def show(_):
        try:
            picture.value = draw(model, tokenizer, **{k: w.value for k, w in controls.items()})
            message.value = ""
        except ValueError as error:  # too long a prompt, say
            message.value = str(error)

    for control in controls.values():
        control.observe(show, "value")
    display(Image(first))
    return widgets.VBox([*controls.values(), picture, message])
