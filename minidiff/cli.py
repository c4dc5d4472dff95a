"""The command line, `python -m minidiff`. Bad input is one line on stderr and exit status 2."""

import json
import sys
import warnings
from dataclasses import dataclass, field, fields
from pathlib import Path

from simple_parsing import ArgumentParser, DashVariant
from simple_parsing import field as option

# what a command needs is imported when it runs, so that --help and a misspelt option answer at once


def _positive(name: str, value) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"--{name} must be more than 0, got {value}")


@dataclass
class Demo:
    """Train text-to-image on captioned shapes for some minutes, draw what prompts ask for, and check it."""

    out: Path = Path("demo")  # folder for the run and the pictures
    minutes: float = 3.8  # of training
    n: int = 500  # captions to check by
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda or mps

    def run(self):
        from .demo import demo

        _positive("minutes", self.minutes)
        _positive("n", self.n)
        demo(self.out, self.minutes, self.seed, self.device, self.n)


@dataclass
class Train:
    """Train a model into a run folder; kill it whenever you like, --resume goes on exactly."""

    data: str | None = None  # a name (an unknown one lists them), folder:PATH or npz:PATH
    model: str | None = None  # diffusion (default), gan, stacked_gan, vae or vq (autoencoders), ar (on a vq's tokens)
    autoencoder: Path | None = None  # a run of a vae, to diffuse in its latents, or of a vq, for ar
    net: str | None = None  # mlp (points), unet, cnn, encoder_decoder, ncsn, transformer, dit; of GANs: dcgan, style
    steps: int | None = None  # train until this many steps in all
    minutes: float | None = None  # or for this long from now, drawing samples not counted (the default: 3)
    out: Path | None = None  # the run folder; by default runs/DATA
    resume: bool = field(default=False)  # go on with the run at --out, if there is one already
    device: str = "auto"  # auto, cpu, cuda or mps
    seed: int | None = None  # of weights, batches and noise (default 0)
    schedule: str | None = None  # vp, ve, cosine, linear or edm (default vp)
    prediction: str | None = None  # x0, eps, v, score, flow or edm (default edm)
    times: str | None = None  # training times: uniform, logit_normal, lognormal (default) or noisy_lognormal (captions)
    width: int | None = None  # channels of the net
    batch: int | None = None  # batch size
    lr: float | None = None  # learning rate
    p_uncond: float | None = None  # how often the label is dropped (default 0.1)
    size: int | None = None  # resize the pictures of a folder, crop photos, or draw shapes, to this
    patch: int | None = None  # pixels that a U-Net or transformer takes together (default 4 for captions)
    way: str | None = None  # to read captions: cross, tokens or pooled (default cross)
    f: int | None = None  # by which an autoencoder divides the side: 1, 2, 4 (default) or 8
    dim: int | None = None  # channels of its latents (default 4, of a vq 8)
    codes: int | None = None  # in the codebook of a vq (default 256)
    text_encoder: str | None = None  # clip:PATH, a folder with CLIP; by default a small one is trained with the net
    save_every: float = 10.0  # seconds between checkpoints

    def run(self):
        from . import checkpoint, data
        from .runs import configure, load_data, open_run, train_run

        for name in ("steps", "minutes"):
            _positive(name, getattr(self, name))
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give --steps or --minutes, not both")
        self.data = self.data and self.data.rstrip("/")
        if self.data is None and (self.out is None or not self.resume):
            raise ValueError(f"--data is missing: choose from {', '.join(data.NAMES)}, folder:PATH or npz:PATH")
        self.out = self.out or Path("runs") / self.data.strip("/").replace(":", "-").replace("/", "-")
        choices = {f.name: getattr(self, f.name) for f in fields(checkpoint.Config) if hasattr(self, f.name)}
        if open_run(self.out, self.resume, may_start=self.data is not None):
            config = checkpoint.read_config(self.out)
            if self.autoencoder is not None:
                raise ValueError(f"{self.out} holds its autoencoder already: leave --autoencoder out")
            for name, value in choices.items():
                if value is not None and value != getattr(config, name):
                    raise ValueError(
                        f"{self.out} was made with {name} {getattr(config, name)}, not {value}: leave it out"
                    )
            dataset = load_data(config)
        else:
            choices.pop("data")
            config, dataset = configure(self.data, autoencoder=self.autoencoder, **choices)
        minutes = 3.0 if self.steps is None and self.minutes is None else self.minutes
        train_run(
            self.out, config, dataset, autoencoder=self.autoencoder,
            steps=self.steps, minutes=minutes, save_every=self.save_every, device=self.device,
        )  # fmt: skip


@dataclass
class Sample:
    """Draw samples from a run, as a picture (.png) or as arrays (.npz)."""

    run_folder: Path = option(positional=True)  # the folder that train wrote
    n: int = 64  # how many
    label: str | None = None  # a class by name or number, or none; by default each class in turn
    prompt: str | None = None  # what to draw, for a model of captions; by default eight captions of its data
    negative: str | None = None  # what to stay away from; takes the place of the empty prompt, and needs a --scale
    scale: float = 1.0  # guidance: 1 is off, 1.5 to 3 is usual
    sampler: str = "dpmpp_2m"  # ddim, euler, heun, dpmpp_2m or langevin
    steps: int = 20  # of the sampler
    temperature: float | None = None  # of an autoregressive model: below 1 the likely is likelier (default 1)
    top_k: int | None = None  # of an autoregressive model: draw from so many of the likeliest tokens (default all)
    seed: int = 0
    out: Path | None = None  # .png or .npz; by default RUN/sample.png
    device: str = "auto"  # auto, cpu, cuda or mps

    def run(self):
        import torch

        from . import checkpoint
        from .device import pick
        from .generate import check_output, generate, parse_label, write

        config = checkpoint.read_config(self.run_folder)
        out = self.out or self.run_folder / "sample.png"
        check_output(out)
        tokenizer, labels, negative = checkpoint.tokenizer(config), None, None
        if tokenizer is None and (self.prompt is not None or self.negative is not None):
            raise ValueError("--prompt and --negative need a model trained with captions, and this one was not")
        if self.negative is not None and self.scale == 1:
            raise ValueError("--negative does nothing without guidance: give a --scale above 1")
        if self.label is not None:
            labels = torch.full((self.n if self.n > 0 else 0,), parse_label(self.label, config.classes))
        elif config.classes:
            labels = torch.arange(max(self.n, 0)) % len(config.classes)
        elif tokenizer is None and self.scale != 1:
            raise ValueError("--scale needs a model trained with labels or captions, and this one has none")
        cond = labels
        if tokenizer is not None:
            asked = config.prompts if self.prompt is None else [self.prompt]
            rows = torch.arange(max(self.n, 0)) * len(asked) // max(self.n, 1)
            cond = tokenizer(asked, truncate=self.prompt is None)[rows]
            negative = None if self.negative is None else tokenizer([self.negative])[0]
            if self.prompt is None:
                print("no --prompt, so these, in order:", "; ".join(asked))
        model = checkpoint.load(self.run_folder, device=pick(self.device))
        x = generate(
            model, config.shape, self.n,
            cond=cond, scale=self.scale, negative=negative, sampler=self.sampler, steps=self.steps, seed=self.seed,
            temperature=self.temperature, top_k=self.top_k,
        )  # fmt: skip
        write(out, x, labels, columns=min(self.n, len(config.classes) or 8))
        steps = f"12 x {self.steps}" if self.sampler == "langevin" else self.steps
        how = f"{self.sampler}, {steps} steps, scale {self.scale:g}" if hasattr(model, "schedule") else config.model
        print(f"{self.n} samples, {how}, seed {self.seed}: {out}")


@dataclass
class Evaluate:
    """Measure a run: against the exact law of a toy, or against held-out real pictures; floors beside."""

    run_folder: Path = option(positional=True)  # the folder that train wrote
    n: int | None = None  # samples: by default 10,000 points or 1,000 pictures
    scale: float | None = None  # guidance, beside 1: by default 1 for points and 1.5 for pictures
    sampler: str = "dpmpp_2m"  # ddim, euler, heun, dpmpp_2m or langevin
    steps: int = 20  # of the sampler
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda or mps

    def run(self):
        from .evaluate import evaluate
        from .files import replacing

        _positive("n", self.n)
        report = evaluate(
            self.run_folder, n=self.n, scale=self.scale,
            sampler=self.sampler, steps=self.steps, seed=self.seed, device=self.device,
        )  # fmt: skip
        for name, value in report.items():
            numbers = value if isinstance(value, list) else [value]
            print(f"{name}: {' '.join(f'{v:.4f}' if isinstance(v, float) else str(v) for v in numbers)}")
        with replacing(self.run_folder / "evaluation.json") as f:
            f.write_text(json.dumps(report, indent=2) + "\n")


@dataclass
class Doctor:
    """Samples are noise? Overfit one batch, run the sampler on the exact denoiser, and tell which half is at fault."""

    data: str = "digits"  # a name, folder:PATH or npz:PATH
    net: str | None = None  # mlp or unet
    schedule: str | None = None  # vp, ve, cosine, linear or edm
    prediction: str | None = None  # x0, eps, v, score, flow or edm
    sampler: str = "dpmpp_2m"  # ddim, euler, heun or dpmpp_2m
    steps: int = 300  # of overfitting
    device: str = "auto"  # auto, cpu, cuda or mps

    def run(self):
        import torch

        from . import checkpoint
        from .denoise import TIMES
        from .device import pick, to_device
        from .doctor import examine
        from .generate import run_sampler
        from .runs import configure

        _positive("steps", self.steps)
        config, dataset = configure(self.data, net=self.net, schedule=self.schedule, prediction=self.prediction)
        device = pick(self.device)
        x0, labels = dataset.batch(4, torch.Generator().manual_seed(0))
        labels = labels.to(device) if config.classes else None

        def sampler(model, x, times):
            return run_sampler(model, x, self.sampler, len(times) - 1)

        model, times = checkpoint.new_model(config, device), TIMES[config.times]
        report = examine(model, to_device(x0, device), labels, sampler, self.steps, times=times)
        print(report)
        if not (report.model_ok and report.sampler_ok):
            sys.exit(1)


@dataclass
class Claims:
    """The ledger of the lecture's claims; with an ID, measure that claim anew and show both."""

    id: str | None = option(default=None, positional=True, nargs="?")  # say 1.1; without, list all
    write: bool = field(default=False)  # put what was measured into the ledger

    def run(self):
        from .claims import show

        show(self.id, self.write)


COMMANDS = {"demo": Demo, "train": Train, "sample": Sample, "evaluate": Evaluate, "doctor": Doctor, "claims": Claims}


class _Parser(ArgumentParser):
    def error(self, message):
        message = message.replace("options.", "").replace("run_folder", "RUN")  # a dataclass's name for an argument
        self.exit(2, f"minidiff: {message}; see {self.prog} --help\n")


def main(argv: list[str] | None = None) -> None:
    warnings.formatwarning = lambda message, *_, **__: f"minidiff: {message}\n"  # one line, as errors are
    parser = _Parser(prog="python -m minidiff", description="Diffusion models from scratch, in small.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name, cls in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=cls.__doc__,
            description=cls.__doc__,
            add_option_string_dash_variants=DashVariant.DASH,
        )
        sub.add_arguments(cls, "options")
    options = parser.parse_args(_valued(parser, sys.argv[1:] if argv is None else argv)).options
    try:
        options.run()
    except (ValueError, OSError) as error:
        sys.exit(_refuse(error))


def _valued(parser: _Parser, argv: list[str]) -> list[str]:
    """argv, if every option but the flags has a value: an optional one would pass for absent without it."""
    for name, after in zip(argv, [*argv[1:], "--"], strict=True):
        flag = "=" in name or name in ("--help", "--resume", "--noresume", "--write", "--nowrite")
        if name.startswith("--") and after.startswith("--") and not flag:
            parser.error(f"argument {name}: expected a value")
    return argv


def _refuse(error: Exception) -> int:
    print("minidiff:", " ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
    return 2
