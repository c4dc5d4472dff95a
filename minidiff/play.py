"""Sliders for a notebook: type a prompt, move the guidance scale, see the picture."""

import matplotlib.pyplot as plt
import torch

from . import plot
from .generate import generate


def draw(
    model,
    tokenizer,
    shape,
    prompt: str,
    negative: str = "",
    scale: float = 3.0,
    steps: int = 12,
    seed: int = 0,
    n: int = 8,
):
    """A figure of n samples of the prompt."""
    away = tokenizer([negative])[0] if negative else None
    cond = tokenizer([prompt]).expand(n, -1)
    x = generate(model, shape, n, cond=cond, scale=scale, negative=away, steps=steps, seed=seed)
    figure, ax = plt.subplots(figsize=(8, 1.6), layout="constrained")
    plot.grid(
        x, n, ax, f'"{prompt}"' + (f', not "{negative}"' if negative else "") + f", scale {scale:g}, {steps} steps"
    )
    return figure


def sliders(model, tokenizer, shape, prompt: str = "a big red circle"):
    """Widgets for prompt, negative prompt, scale, steps and seed over `draw`; drawn anew when one is let go.

    They need a running kernel: on a page that is only read the picture stays as it was when the notebook ran.
    """
    import ipywidgets as widgets
    from IPython.display import display

    slow = {"continuous_update": False}
    controls = {
        "prompt": widgets.Text(prompt, description="prompt", **slow),
        "negative": widgets.Text("", description="negative", **slow),
        "scale": widgets.FloatSlider(3.0, min=0.0, max=8.0, step=0.5, description="scale", **slow),
        "steps": widgets.IntSlider(12, min=1, max=50, description="steps", **slow),
        "seed": widgets.IntSlider(0, min=0, max=20, description="seed", **slow),
    }
    picture = widgets.Output()

    def show(_=None):
        try:
            with torch.no_grad():
                figure = draw(model, tokenizer, shape, **{k: w.value for k, w in controls.items()})
        except ValueError as error:  # too long a prompt, say
            picture.outputs = ()
            picture.append_stdout(str(error))
            return
        plt.close(figure)
        picture.outputs = ()
        picture.append_display_data(figure)

    for control in controls.values():
        control.observe(show, "value")
    display(draw(model, tokenizer, shape, prompt))
    plt.close()
    return widgets.VBox([*controls.values(), picture])
