"""Write the shipped model of captioned shapes for the page that draws prompts: `python site/prompt/export.py [FOLDER]`.

model.onnx.gz    the network alone, (x, c_noise, tokens) -> out, held to PyTorch's; the rest of the denoiser is in
                 model.mjs. The shipped weights were rounded to float16: half of their float32 bits are 0, so gzip
                 halves the file, and not one number changes.
decoder.onnx.gz  z -> picture: the network draws latents
model.json       what the page must know besides: words, the path, sigma_data, the colours and places of the pictures
"""

import gzip
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

import minidiff.pretrained
from minidiff.data.shapes.captions import PLACES, RELATIONS
from minidiff.data.shapes.scenes import BACKGROUND, COLOURS, EDGES, RADII, SHAPES, SIZES
from minidiff.device import replacing
from minidiff.run import checkpoint
from minidiff.run.models import tokenizer_of

RUN = Path(minidiff.pretrained.__file__).parent / "shapes"
LIMIT = 1e-4  # how far an exported network may be from PyTorch's, whose outputs are of size 1


class Network(nn.Module):
    """The network with tokens of 32 bits, which JavaScript can write without a BigInt each."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, c_noise, tokens):
        return self.net(x, c_noise, tokens.long())


class Decoder(nn.Module):
    """From latents to pictures."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, z):
        return self.model.decode(z)


def inputs(shape, tokenizer, n: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Random inputs of the network for n pictures: x, c_noise, tokens. The first row is the null condition."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *shape, generator=generator)
    c_noise = 1.5 * torch.rand(n, generator=generator) - 0.5
    tokens = torch.randint(2, len(tokenizer.words) + 2, (n, tokenizer.length), generator=generator, dtype=torch.int32)
    lengths = torch.linspace(0, tokenizer.length, n)[:, None]
    return x, c_noise, tokens * (torch.arange(tokenizer.length) < lengths)


def to_onnx(net: nn.Module, names: list[str], example: tuple) -> bytes:
    """The network, of inputs with these names, as an ONNX graph for any number of pictures."""
    shapes = dict.fromkeys(names, {0: torch.export.Dim.DYNAMIC})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        traced = torch.export.export(net.eval(), example, dynamic_shapes=shapes, strict=True)
        program = torch.onnx.export(traced, dynamo=True, verbose=False, input_names=names, output_names=["out"])
    return program.model_proto.SerializeToString()


@torch.no_grad()
def difference(net: nn.Module, data: bytes, examples: list[tuple]) -> float:
    """The largest difference between the exported network and PyTorch's on these inputs."""
    session, worst = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]), 0.0
    for given in examples:
        names = [i.name for i in session.get_inputs()]
        (found,) = session.run(["out"], {k: v.numpy() for k, v in zip(names, given, strict=True)})
        worst = max(worst, float(np.abs(found - net(*given).numpy()).max()))
    return worst


def meta(model, shape, tokenizer) -> dict:
    """What the page must know of the model besides its network."""
    return {
        "words": tokenizer.words,
        "length": tokenizer.length,
        "shape": list(shape),
        "latents": list(model.latent_shape),
        "schedule": type(model.schedule).__name__,
        "sigmaData": model.prior.sigma_data,
        "background": BACKGROUND,
        "colours": COLOURS,
        "shapes": SHAPES,
        "sizes": SIZES,
        "radii": RADII,
        "edges": EDGES,
        "places": [names[0] for names in PLACES],
        "relations": [names[0] for names in RELATIONS.values()],
    }


def export(folder: Path) -> float:
    """Write the files, and return the largest difference to PyTorch. Raises ValueError if that is more than LIMIT."""
    config, model = checkpoint.read_config(RUN), checkpoint.load(RUN)
    if (named := model.prior.prediction) != "edm":
        raise ValueError(f"the page knows the prediction edm alone, and {RUN} has {named}: see model.mjs")
    tokenizer, files = tokenizer_of(config), {}
    examples = [inputs(model.latent_shape, tokenizer, n, seed=n) for n in (2, 1, 8)]
    latents = [(x,) for x, _, _ in examples]
    parts = {
        "model": (Network(model.prior.net), ["x", "c_noise", "tokens"], examples),
        "decoder": (Decoder(model), ["z"], latents),
    }
    worst = 0.0
    for name, (net, names, given) in parts.items():
        files[name] = to_onnx(net, names, given[0])
        if not (off := difference(net, files[name], given)) < LIMIT:
            raise ValueError(f"the exported {name} is {off:.2g} away from PyTorch's, more than {LIMIT:g}")
        worst = max(worst, off)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        with replacing(folder / f"{name}.onnx.gz") as f:
            f.write_bytes(gzip.compress(data, mtime=0))
    with replacing(folder / "model.json") as f:
        f.write_text(json.dumps(meta(model, config.shape, tokenizer)) + "\n", encoding="utf-8")
    return worst


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    print(f"{target}: the exported network is {export(target):.1e} away from PyTorch's")
