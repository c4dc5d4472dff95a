"""The commands of `python -m minidiff`: a dataclass each, whose fields are its options and whose run() does it."""

import json
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

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
    start_from: str | None = None  # a run, or a model that comes with minidiff: with its net, from its weights
    net: str | None = None  # mlp (points), unet, cnn, encoder_decoder, ncsn, transformer, dit; of GANs: dcgan, style
    steps: int | None = None  # train until this many steps in all
    minutes: float | None = None  # or for this long from now, the last drawing not counted (the default: 3)
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
    optimizer: str | None = None  # adamw or muon (default adamw, in a laptop's recipes muon)
    p_uncond: float | None = None  # how often the label is dropped (default 0.1)
    size: int | None = None  # resize the pictures of a folder, crop photos, or draw shapes, to this
    recipe: str | None = None  # unet-laptop, unet-8gb, unet-24gb, dit-laptop, ...; by default what suits the machine
    patch: int | None = None  # pixels that a U-Net or transformer takes together (default 4 for captions)
    depth: int | None = None  # blocks of a transformer, or of each level of a U-Net
    levels: int | None = None  # of a U-Net
    parts: int | None = None  # cut each batch into so many parts, one after the other (default 1, or the ranks)
    flip: bool | None = field(default=None)  # mirror half the pictures (by default with a recipe in pixels)
    cooldown: float | None = None  # share of the time, at the end, over which the learning rate falls to 0
    compiled: bool | None = field(default=None)  # compile the net; by default where it pays
    way: str | None = None  # to read captions: cross, tokens or pooled (default cross)
    f: int | None = None  # by which an autoencoder divides the side: 1, 2, 4 (default) or 8
    dim: int | None = None  # channels of its latents (default 4, of a vq 8)
    codes: int | None = None  # in the codebook of a vq (default 256)
    text_encoder: str | None = None  # clip:PATH, a folder with CLIP; by default a small one is trained with the net
    save_every: float = 10.0  # seconds between checkpoints

    def run(self):
        from . import data, parallel
        from .device import pick
        from .runs import train_run

        for name in ("steps", "minutes"):
            _positive(name, getattr(self, name))
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give --steps or --minutes, not both")
        if self.start_from is not None and self.autoencoder is not None:
            raise ValueError("the run to start from has its autoencoder: leave --autoencoder out")
        self.data = self.data and self.data.rstrip("/")
        if self.data is None and (self.out is None or not self.resume):
            raise ValueError(f"--data is missing: choose from {', '.join(data.NAMES)}, folder:PATH or npz:PATH")
        self.out = self.out or Path("runs") / self.data.strip("/").replace(":", "-").replace("/", "-")
        minutes = 3.0 if self.steps is None and self.minutes is None else self.minutes
        with parallel.joined(pick(self.device)):
            with parallel.first():
                config, dataset = self.configured()
            train_run(
                self.out, config, dataset, autoencoder=self.autoencoder,
                steps=self.steps, minutes=minutes, save_every=self.save_every, device=self.device,
                compiled=self.compiled,
            )  # fmt: skip

    def configured(self):
        """The config of the run at --out, if it is to go on, or of a new one; and its data."""
        from . import checkpoint, parallel
        from .recipes import RECIPES, configure, configure_from
        from .runs import load_data, open_run

        choices = {f.name: getattr(self, f.name) for f in fields(checkpoint.Config) if hasattr(self, f.name)}
        if open_run(self.out, self.resume, may_start=self.data is not None):
            config = checkpoint.read_config(self.out)
            if self.autoencoder is not None:
                raise ValueError(f"{self.out} holds its autoencoder already: leave --autoencoder out")
            if config.fingerprint is not None:  # by which load_data knows the data, wherever they are
                config.data = choices.pop("data") or config.data
            for name, value in choices.items():
                if value is not None and value != getattr(config, name):
                    raise ValueError(
                        f"{self.out} was made with {name} {getattr(config, name)}, not {value}: leave it out"
                    )
            dataset = load_data(config)
            return replace(config, fingerprint=dataset.fingerprint()), dataset
        choices.pop("data")
        if self.start_from is not None:
            return configure_from(self.data, **choices)
        config, dataset = configure(self.data, autoencoder=self.autoencoder, device=self.device, **choices)
        if config.recipe and parallel.rank() == 0:
            print(f"recipe {config.recipe}: {RECIPES[config.recipe].why}")
        return config, dataset


@dataclass
class Sample:
    """Draw samples from a run, or from a model that comes with minidiff, as a picture (.png) or as arrays (.npz)."""

    run_folder: Path | None = option(default=None, positional=True, nargs="?")  # the folder that train wrote
    pretrained: str | None = None  # or a model that comes with minidiff (an unknown name lists them)
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
    out: Path | None = None  # .png or .npz; by default RUN/sample.png, or NAME.png of a pretrained one
    device: str = "auto"  # auto, cpu, cuda or mps

    def run(self):
        import torch

        from . import checkpoint
        from .device import pick
        from .generate import check_output, generate, parse_label, write

        run = _run_of(self)
        config = checkpoint.read_config(run)
        out = self.out or (Path(f"{self.pretrained}.png") if self.pretrained else run / "sample.png")
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
        model = checkpoint.load(run, device=pick(self.device))
        x = generate(
            model, config.shape, self.n,
            cond=cond, scale=self.scale, negative=negative, sampler=self.sampler, steps=self.steps, seed=self.seed,
            temperature=self.temperature, top_k=self.top_k,
        )  # fmt: skip
        write(out, x, labels, columns=min(self.n, len(config.classes) or 8))
        steps = f"12 x {self.steps}" if self.sampler == "langevin" else self.steps
        how = f"{self.sampler}, {steps} steps, scale {self.scale:g}" if hasattr(model, "schedule") else config.model
        print(f"{self.n} samples, {how}, seed {self.seed}: {out}")


def _run_of(options) -> Path:
    """The run that was named, or the pretrained one."""
    from .pretrained import folder

    if (options.run_folder is None) == (options.pretrained is None):
        raise ValueError("give the folder of a run, or --pretrained and a name")
    return options.run_folder or folder(options.pretrained)


@dataclass
class Evaluate:
    """Measure a run: against the exact law of a toy, or against held-out real pictures; floors beside.

    Writes evaluation.json and the same as text, evaluation.txt, into the run.
    """

    run_folder: Path | None = option(default=None, positional=True, nargs="?")  # the folder that train wrote
    pretrained: str | None = None  # or a model that comes with minidiff
    n: int | None = None  # samples: by default 10,000 points or 2,048 pictures
    few: bool = field(default=False)  # allow less than 2,048 pictures
    features: str = "classifier"  # or inception, for an FID (pip install -e '.[fid]')
    data: str | None = None  # compare with other data of the same shape and classes, say a copy of it
    scale: float | None = None  # guidance, beside 1: by default 1 for points and 1.5 for pictures with labels
    sampler: str = "dpmpp_2m"  # ddim, euler, heun, dpmpp_2m or langevin
    steps: int = 20  # of the sampler
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda or mps
    out: Path | None = None  # the folder for the card; by default RUN, or NAME-evaluation of a pretrained one

    def run(self):
        from .evaluate import evaluate
        from .files import replacing

        _positive("n", self.n)
        run = _run_of(self)
        out = self.out or (Path(f"{self.pretrained}-evaluation") if self.pretrained else run)
        out.mkdir(parents=True, exist_ok=True)
        report = evaluate(
            run, n=self.n, scale=self.scale, sampler=self.sampler, steps=self.steps, seed=self.seed,
            device=self.device, features_of=self.features, spec=self.data, few=self.few, work=out / "evaluating",
        )  # fmt: skip
        lines = []
        for name, value in report.items():
            numbers = value if isinstance(value, list) else [value]
            lines.append(f"{name}: {' '.join(f'{v:.4f}' if isinstance(v, float) else str(v) for v in numbers)}")
        for name, text in (("json", json.dumps(report, indent=2)), ("txt", "\n".join(lines))):
            with replacing(out / f"evaluation.{name}") as f:
                f.write_text(text + "\n")
        print("\n".join(lines))


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
        from .recipes import configure

        _positive("steps", self.steps)
        choices = {"net": self.net, "schedule": self.schedule, "prediction": self.prediction}
        config, dataset = configure(self.data, device=self.device, **choices)
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
