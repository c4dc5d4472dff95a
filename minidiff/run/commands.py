"""The commands of `python -m minidiff`: a dataclass each, whose fields are its options and whose run() does it."""

import sys
from dataclasses import dataclass, fields
from pathlib import Path

from ..grade.commands import Grade, Progress
from .options import add_option, add_options, check_positive, option, seed

# what a command needs is imported when it runs, so that --help and a misspelt option answer at once

DEVICES = "auto, cpu, cuda or mps"
SAMPLERS = "ddim, euler, heun, dpmpp_2m, unipc (the best in less than 10 steps) or langevin"


@dataclass
class Demo:
    """Train text-to-image on captioned shapes for some minutes, draw what prompts ask for, and check it."""

    out: Path = option(Path("demo"), "folder for the run and the pictures")
    minutes: float = option(4.0, "of training")
    n: int = option(500, "captions to check by")
    seed: int | None = option(None, "of weights, batches and noise (default 0)", read=seed)
    device: str = option("auto", DEVICES)

    def run(self):
        from ..demo import demo

        check_positive("--minutes", self.minutes)
        check_positive("--n", self.n)
        demo(self.out, self.minutes, self.seed, self.device, self.n)


@dataclass
class Train:
    """Train a model into a run folder; kill it whenever you like, --resume goes on exactly.

    What is not asked for is as a recipe has it, which suits the data and the machine: config.json says how. --steps is
    the total: 2000, then --resume --steps 4000, ends to the bit where 4000 ends, on one machine; not with a cooldown.
    If the data moved, --resume --data says where to; other pictures there are noticed.
    """

    data: str | None = option(None, "a name (an unknown one lists them), folder:PATH or npz:PATH")
    model: str | None = option(None, "diffusion (default), gan, stacked_gan, vae or vq (autoencoders), ar (of a vq)")
    autoencoder: Path | None = option(None, "a run of a vae, to diffuse in its latents, or of a vq, for ar")
    start_from: str | None = option(None, "a run, or a model that comes with minidiff: with its net, from its weights")
    net: str | None = option(
        None, "mlp (points), unet, cnn, ncsn, dit, ...; of GANs dcgan, style; by default what fits"
    )
    recipe: str | None = option(None, "unet-laptop, unet-8gb, dit-laptop, ...; by default what suits the machine")
    steps: int | None = option(None, "train until this many steps in all; by default for --minutes")
    minutes: float | None = option(None, "or for this long from now, the last drawing not counted (default 3)")
    out: Path | None = option(None, "the run folder; by default runs/DATA")
    resume: bool = option(False, "go on with the run at --out, if there is one already")
    device: str = option("auto", DEVICES)
    seed: int | None = option(None, "of weights, batches and noise (default 0)", read=seed)
    size: int | None = option(
        None,
        "resize a folder's pictures, crop photos, draw shapes to this (default: as a folder's first picture, or 32 if "
        "that has more than 64; photos 32, shapes 16)",
    )
    compiled: bool | None = option(
        None, "compile a diffusion model's net; by default where that saves time within --minutes"
    )
    save_every: float = option(10.0, "seconds between checkpoints")

    def __init__(self, **given):
        own = {f.name: given.pop(f.name, f.default) for f in fields(Train)}
        vars(self).update(own, asked=given)  # the rest are options of a config's sections and of its net

    @classmethod
    def add_options(cls, parser) -> None:
        """Its own, those of a config's sections, and the keywords of all nets' constructors."""
        from .config import SECTIONS, every_net_option

        add_options(parser, cls)
        for section in SECTIONS.values():
            add_options(parser, section, "; by default by data and net")
        for name, (kind, about) in every_net_option().items():
            add_option(parser, name, kind, None, about + "; by default by data and net")

    def run(self):
        from .. import data
        from . import parallel
        from .loop import train_run

        for name in ("steps", "minutes"):
            check_positive(f"--{name}", getattr(self, name))
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give --steps or --minutes, not both")
        if self.start_from is not None and self.autoencoder is not None:
            raise ValueError("the run to start from has its autoencoder: leave --autoencoder out")
        self.data = self.data and self.data.rstrip("/")
        if self.data is None and (self.out is None or not self.resume):
            raise ValueError(f"--data is missing: choose from {', '.join(data.NAMES)}")
        self.out = self.out or Path("runs") / self.data.strip("/").replace(":", "-").replace("/", "-")
        minutes = 3.0 if self.steps is None and self.minutes is None else self.minutes
        with parallel.joined(self.device):
            with parallel.first():
                config, dataset = self.configured()
            train_run(
                self.out, config, dataset, autoencoder=self.autoencoder,
                steps=self.steps, minutes=minutes, save_every=self.save_every, device=self.device,
                compiled=self.compiled,
            )  # fmt: skip

    def configured(self):
        """The config of the run at --out, if it is to go on, or of a new one; and its data."""
        from . import parallel
        from .folder import open_run, resumed_config
        from .recipes import RECIPES, configure, configure_from

        choices = {k: getattr(self, k) for k in ("model", "net", "recipe", "size", "seed")} | self.asked
        choices = {k: v for k, v in choices.items() if v is not None}
        if open_run(self.out, self.resume, may_start=self.data is not None):
            if self.autoencoder is not None:
                raise ValueError(f"{self.out} holds its autoencoder already: leave --autoencoder out")
            started = {} if self.start_from is None else {"start_from": self.start_from}
            return resumed_config(self.out, self.data, choices | started)
        if self.start_from is not None:
            return configure_from(self.data, self.start_from, **choices)
        config, dataset = configure(self.data, autoencoder=self.autoencoder, device=self.device, **choices)
        if config.recipe and parallel.rank() == 0:
            print(f"recipe {config.recipe}: {RECIPES[config.recipe].why}")
        return config, dataset


@dataclass
class Sample:
    """Draw samples from a run, or from a model that comes with minidiff, as a picture (.png) or as arrays (.npz)."""

    run_folder: Path | None = option(None, "the folder that train wrote", metavar="RUN")
    pretrained: str | None = option(None, "or a model that comes with minidiff (an unknown name lists them)")
    n: int = option(64, "how many")
    label: str | None = option(None, "a class by name or number, or none; by default each class in turn")
    prompt: str | None = option(None, "what to draw, for a model of captions; by default eight captions of its data")
    negative: str | None = option(None, "what to stay away from (default: no words at all); needs a --scale")
    scale: float = option(1.0, "guidance: 1 is off, 1.5 to 3 is usual")
    sampler: str = option("dpmpp_2m", SAMPLERS)
    steps: int = option(20, "of the sampler")
    temperature: float | None = option(None, "of an autoregressive model: below 1 the likely is likelier (default 1)")
    top_k: int | None = option(None, "of an autoregressive model: so many of the likeliest tokens (default all)")
    seed: int = option(0, "of the noise", read=seed)
    out: Path | None = option(None, ".png or .npz; by default RUN/sample.png, or NAME.png of a pretrained one")
    device: str = option("auto", DEVICES)

    def run(self):
        from ..device import pick
        from ..samplers import whole
        from . import checkpoint
        from .generate import check_output, columns_for, free, generate, write

        run = _run_of(self)
        config = checkpoint.read_config(run)
        out = self.out or (free(Path(f"{self.pretrained}.png")) if self.pretrained else run / "sample.png")
        check_output(out)
        whole("n", self.n)
        labels, options = self.conditions(config)
        for name in ("scale", "sampler", "steps", "seed", "temperature", "top_k"):
            options[name] = getattr(self, name)
        x = generate(checkpoint.load(run, device=pick(self.device)), self.n, **options)
        write(out, x, labels, columns_for(self.n, len(config.classes) if self.label is None else 0))
        steps = f"12 x {self.steps}" if self.sampler == "langevin" else self.steps
        how = f"{self.sampler}, {steps} steps, scale {self.scale:g}" if config.diffusion else config.model
        print(f"{self.n} samples, {how}, seed {self.seed}: {out}")

    def conditions(self, config):
        """The labels of the samples, or None, and the conditions that `generate` takes: labels, or tokens of prompts.
        Raises ValueError for what the model was not trained with."""
        import torch

        from .generate import check_scale, parse_label
        from .models import AUTOENCODERS, tokenizer_of

        if config.model in AUTOENCODERS:
            return None, {}  # and `generate` says that they draw nothing
        tokenizer, rows = tokenizer_of(config), torch.arange(self.n)
        if tokenizer is None and (self.prompt is not None or self.negative is not None):
            raise ValueError("--prompt and --negative need a model trained with captions, and this one was not")
        if self.negative is not None and self.scale == 1:
            raise ValueError("--negative does nothing without guidance: give a --scale above 1")
        labels = None
        if self.label is not None:
            labels = torch.full((self.n,), parse_label(self.label, config.classes))
        elif config.classes:
            labels = rows % len(config.classes)
        check_scale(config, self.scale)
        if tokenizer is None:
            return labels, {"cond": labels}
        asked = config.text.prompts if self.prompt is None else [self.prompt]
        cond = tokenizer(asked, truncate=self.prompt is None)[rows * len(asked) // self.n]
        if self.prompt is None:
            print("no --prompt, so these, in order:", "; ".join(asked))
        return labels, {"cond": cond, "negative": None if self.negative is None else tokenizer([self.negative])[0]}


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

    run_folder: Path | None = option(None, "the folder that train wrote", metavar="RUN")
    pretrained: str | None = option(None, "or a model that comes with minidiff")
    n: int | None = option(None, "samples: by default 10,000 points or 2,048 pictures")
    few: bool = option(False, "allow less than 2,048 pictures")
    features: str = option("classifier", "or inception, for an FID (pip install -e '.[fid]')")
    data: str | None = option(None, "compare with other data of the same shape and classes, say a copy of it")
    scale: float | None = option(None, "guidance, beside 1 (default: of pictures with labels 1.5, with captions 2)")
    sampler: str = option("dpmpp_2m", SAMPLERS)
    steps: int = option(20, "of the sampler")
    seed: int = option(0, "of the noise", read=seed)
    device: str = option("auto", DEVICES)
    out: Path | None = option(None, "the folder for the card; by default RUN, or NAME-evaluation of a pretrained one")

    def run(self):
        from .evaluate import evaluate, in_words, write_card

        check_positive("--n", self.n)
        run = _run_of(self)
        out = self.out or (Path(f"{self.pretrained}-evaluation") if self.pretrained else run)
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out} is a file: --out names the folder for the card")
        report = evaluate(
            run, n=self.n, scale=self.scale, sampler=self.sampler, steps=self.steps, seed=self.seed,
            device=self.device, features_of=self.features, spec=self.data, few=self.few, work=out / "evaluating",
        )  # fmt: skip
        print("\n".join(in_words(report)), flush=True)
        write_card(report, out)


@dataclass
class Doctor:
    """Samples are noise? Overfit one batch, run the sampler on the exact denoiser, and tell which half is at fault."""

    data: str = option("digits", "a name, folder:PATH or npz:PATH")
    net: str | None = option(None, "mlp, unet or another that train knows; by default what suits the data")
    schedule: str | None = option(None, "the path from data to noise (default vp)")
    prediction: str | None = option(None, "what the net puts out (default edm)")
    sampler: str = option("dpmpp_2m", SAMPLERS)
    steps: int = option(300, "of overfitting")
    device: str = option("auto", DEVICES)

    def run(self):
        import torch

        from ..denoise import TIMES
        from ..device import pick, to_device
        from ..measure.doctor import examine
        from ..samplers import check_sampling, run_sampler
        from . import checkpoint
        from .recipes import configure

        check_positive("--steps", self.steps)
        check_sampling(self.sampler, self.steps)
        asked = {"net": self.net, "schedule": self.schedule, "prediction": self.prediction}
        config, dataset = configure(self.data, device=self.device, **asked)
        device = pick(self.device)
        x0, labels = dataset.batch(4, torch.Generator().manual_seed(0))
        labels = labels.to(device) if config.classes else None

        def sampler(model, x, times):
            generator = torch.Generator().manual_seed(0)
            return run_sampler(model, x, self.sampler, len(times) - 1, generator=generator)

        model, times = checkpoint.new_model(config, device), TIMES[config.diffusion.times]
        report = examine(model, to_device(x0, device), labels, sampler, self.steps, times=times)
        print(report)
        if not (report.model_ok and report.sampler_ok):
            sys.exit(1)


COMMANDS = {"demo": Demo, "train": Train, "sample": Sample, "evaluate": Evaluate, "doctor": Doctor, "grade": Grade,
            "progress": Progress}  # fmt: skip
