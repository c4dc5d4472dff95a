"""Pictures drawn as training goes, to see what a run has learned so far."""

import matplotlib.pyplot as plt
import torch

from .. import plot
from ..stages.autoencoder import reconstruct
from .generate import generate
from .models import AUTOENCODERS, tokenizer_of


def draw_samples(run, dataset=None) -> None:
    """samples/step_N.png: 64 samples of the raw weights and of their moving average, from the same noise; of an
    autoencoder, pictures and what it makes of them."""
    config, state = run.config, run.state
    (run.out / "samples").mkdir(exist_ok=True)
    n = 64 if len(config.shape) == 3 else 2000
    cond = torch.arange(n) % len(config.classes) if config.classes else None
    if config.text is not None:  # a row each
        cond = tokenizer_of(config)(config.text.prompts, truncate=True).repeat_interleave(8, 0)
    figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
    for ax, name, model in ((axes[0], "raw weights", state.model), (axes[1], "moving average (EMA)", state.ema)):
        model.eval()
        if config.model in AUTOENCODERS:
            x, _ = dataset.batch(32, torch.Generator().manual_seed(0))
            x = torch.stack([x.cpu(), reconstruct(model, x)[0]], 1).flatten(0, 1)
        else:
            with torch.compiler.set_stance("force_eager"):  # compiled anew for one drawing it would take longer
                x = generate(model, n, cond=cond, steps=10)
        plot.grid(x, 8, ax, name) if x.ndim == 4 else plot.points(x, cond, ax, name)
    state.model.train()
    usual = "dpmpp_2m, 10 calls, no guidance" if config.diffusion is not None else config.model
    how = "pictures and their reconstructions, in turn" if config.model in AUTOENCODERS else usual
    figure.suptitle(plot.plain(f"{config.data}, step {state.step}, {how}"))
    plot.save(figure, run.out / "samples" / f"step_{state.step:07d}.png")
