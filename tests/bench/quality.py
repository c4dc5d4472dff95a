"""Time to quality: our laptop's recipe, diffusion in the latents of an autoencoder, and other libraries' U-Nets, each
trained equally long from nothing on the same pictures, sampled with the same number of network calls, and compared in
the same features.

pip install -e '.[bench]', then
python tests/bench/quality.py --data folder:PATH --minutes 20       some four hours on two CPU cores

The others' nets are those of speed.py, half as large again as ours, each with its library's noise schedule, target and
learning rate, in our loop: gradient clipping, 100 steps of warm-up (for what is some 1,800 steps long), and a moving
average whose width is a tenth of the training. Which batch suits a peer is tried first: from 16 it is halved, then
doubled, while --trial minutes then end at a lower loss of its own on held-out pictures. After that twice its library's
learning rate is tried. All are sampled by dpmpp_2m on the same grid of noise levels: fewer calls do more than by their
own samplers. A guided step takes two calls, so that ten calls are five steps, or seven of which three are guided
(Kynkaanniemi et al. 2024); which three was chosen on minidiff's pretrained model. The others' x0 is once left as it is
and once clipped, as two of their own samplers do.
The classifier that distances are measured by knows the labels, which ours is given and the others are not: so each row
is also measured by one that knows no label, only by how many quarter turns a picture was turned. As the others have no
labels, ours is trained a second time, without: there what guides it is a net of half its width that was trained for
7.5% of its minutes (Karras et al. 2024).
quality.json and quality.jpg go to --out, ours.json and ours.jpg with --only ours, trials.json what the trials found,
the runs to --runs: a later call goes on with what is missing.
"""

import argparse
import json
import math
import platform
import shutil
import time
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import peers
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from window import during

from minidiff import data, plot
from minidiff.denoise import Prediction, normal_like
from minidiff.device import autocast, fast_bf16, pick, replacing, to_device
from minidiff.guidance import Guided
from minidiff.measure import classifier
from minidiff.measure.nets import fingerprint, parameters
from minidiff.measure.report import distances
from minidiff.run import checkpoint
from minidiff.run.evaluate import draw
from minidiff.run.generate import from_noise
from minidiff.run.loop import compiling_helps, train_run
from minidiff.run.recipes import configure
from minidiff.schedules import VP, expand
from minidiff.stages.latent import latents_of
from minidiff.train import new_state, train

BATCH = 16  # where the search for a peer's begins
RATES = (1.0, 2.0)  # times the library's learning rate
FIRST = 0.05  # our autoencoder's share of the minutes
WEAK = 0.075  # that of the net that guides ours without labels
CALLS = 10
WITHIN = 7, 3, 5  # steps, and the first and the last that are guided, counted from 0: ten calls
SCALE = {"labels": 2.0, "weak": 3.0}  # of guidance; the weak net's was chosen on the one run without labels
PART = 50  # samples at a time: on two cores the others' nets are up to twice as slow with 250


class Peer(nn.Module):
    """Another library's net, which predicts eps or v at the noise levels of a table `log_snr` (1000,), as a Model.

    call(net, x_t, place): place is the number in the table, or with `by_sigma` the noise sigma / alpha. It is given the
    net, not bound to one: a copy, the moving average, calls its own.
    """

    schedule = VP()  # to sample by; in training it draws the levels of its table

    cosine = False  # whether the learning rate falls to 0 as half a cosine
    weighted = False  # whether the loss is multiplied by snr / (snr + 1)

    def __init__(self, call, net, log_snr: Tensor, target: str, lr: float, betas=(0.9, 0.999), by_sigma=False):
        super().__init__()
        self.net, self.call, self.target, self.lr, self.betas, self.by_sigma = net, call, target, lr, betas, by_sigma
        self.register_buffer("log_snr", log_snr.float())

    def output(self, x_t: Tensor, number: Tensor) -> Tensor:
        low = number.floor().long().clamp(max=len(self.log_snr) - 2)
        log_snr = torch.lerp(self.log_snr[low], self.log_snr[low + 1], number - low)
        return self.call(self.net, x_t, torch.exp(-log_snr / 2) if self.by_sigma else number).float()

    def loss(self, x0: Tensor, cond=None, generator=None, **_) -> Tensor:
        number = torch.randint(len(self.log_snr), (len(x0),), generator=generator).to(x0.device)
        log_snr, eps = self.log_snr[number], normal_like(x0, generator)
        alpha, sigma = (expand(torch.sigmoid(s * log_snr).sqrt(), x0) for s in (1, -1))
        target = eps if self.target == "eps" else alpha * eps - sigma * x0
        loss = (self.output(alpha * x0 + sigma * eps, number.float()) - target).square().flatten(1).mean(1)
        return loss * torch.sigmoid(log_snr) if self.weighted else loss

    def forward(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        log_snr, (alpha, sigma) = self.schedule.log_snr(t), self.schedule(t)
        after = torch.searchsorted(-self.log_snr, -log_snr.reshape(1)).clamp(1, len(self.log_snr) - 1)
        high, low = self.log_snr[after - 1], self.log_snr[after]
        number = (after - ((log_snr - low) / (high - low)).clamp(0, 1)).expand(len(x_t))
        out = self.output(x_t, number).to(x_t.dtype)
        if self.target == "v":
            return Prediction(alpha * x_t - sigma * out, sigma * x_t + alpha * out)
        return Prediction((x_t - sigma * out) / alpha, out)


class Clipped(nn.Module):
    """A Model whose x0 stays in [-1, 1], as in two of the others' own samplers: at much noise a small error of
    eps is a large one of x0."""

    def __init__(self, model: Peer):
        super().__init__()
        self.model, self.schedule = model, model.schedule
        self.register_buffer("most", torch.ones(()))

    def forward(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        x0 = self.model(x_t, t, cond).x0.clamp(-self.most, self.most)
        alpha, sigma = self.schedule(t)
        return Prediction(x0, (x_t - alpha * x0) / sigma)


def plainly(net: nn.Module, x_t: Tensor, place: Tensor) -> Tensor:
    return net(x_t, place)


def ddpm_log_snr(betas: Tensor) -> Tensor:
    return torch.logit(torch.cumprod(1 - betas.double(), 0))


def diffusers() -> Peer:
    """Its unconditional training example: eps, 1000 linear betas, AdamW (.95, .999) at 1e-4, falling as a cosine."""
    from diffusers import DDPMScheduler

    net, _ = peers.diffusers_unet()
    table = ddpm_log_snr(DDPMScheduler(num_train_timesteps=1000).betas)
    peer = Peer(lambda net, x, k: net(x, k).sample, net, table, "eps", 1e-4, (0.95, 0.999))
    peer.cosine = True
    return peer


def lucidrains() -> Peer:
    """Its GaussianDiffusion's defaults: v, weighted by snr / (snr + 1), a sigmoid schedule; its README's learning rate,
    8e-5."""
    from denoising_diffusion_pytorch import GaussianDiffusion

    net, _ = peers.lucidrains_unet()
    diffusion = GaussianDiffusion(net, image_size=32)
    peer = Peer(
        plainly, net, ddpm_log_snr(diffusion.betas), diffusion.objective.removeprefix("pred_"), 8e-5, (0.9, 0.99)
    )
    peer.weighted = True
    return peer


def smalldiffusion() -> Peer:
    """Its U-Net example: eps, DDPM's betas as sigmas, a scaled input, AdamW at 7e-4."""
    from smalldiffusion import ScheduleDDPM

    net, _ = peers.smalldiffusion_unet()
    return Peer(plainly, net, -2 * ScheduleDDPM(1000).sigmas.double().log(), "eps", 7e-4, by_sigma=True)


PEERS = {"smalldiffusion": smalldiffusion, "diffusers": diffusers, "lucidrains": lucidrains}


def made(name: str) -> Peer:
    torch.manual_seed(0)
    peer = PEERS[name]()
    return peer.to(pick(), memory_format=torch.channels_last)


def fit(peer: Peer, dataset, batch: int, rate: float, minutes: float):
    """Train for `minutes`, from the first batch on, at `rate` times its library's learning rate; its moving average and
    the number of steps. Compiled, which is faster for all of them (speed.py), where it is for ours."""
    state, began = new_state(peer, 0), time.monotonic()
    if compiling_helps(pick(), minutes):
        peer.net.compile(dynamic=False)

    def share() -> float:
        return (time.monotonic() - began) / (60 * minutes)

    fall = (lambda _: (1 + math.cos(math.pi * min(1.0, share()))) / 2) if peer.cosine else None
    batches = data.batches(dataset, batch, state.generator, flip=True)
    for step in train(peer, ((x, None) for x, _ in batches), 2**62, lr=rate * peer.lr, fall=fall, state=state):  # noqa: B007
        if share() >= 1:
            break
    return step.ema, step.step


def device_name() -> str:
    kind = "bfloat16" if fast_bf16(pick()) else "float32"
    return f"{pick()} ({platform.machine()}, {torch.get_num_threads()} threads, {kind}), torch {torch.__version__}"


def trial(name: str, options, dataset, held_out) -> tuple[int, float]:
    """The batch that leaves the peer's loss on held-out pictures lowest after the trial's minutes, and with that the
    better of RATES."""
    path = options.out / "trials.json"
    every = json.loads(path.read_text()) if path.exists() else {}
    found = every.setdefault(name, {})
    x = to_device(held_out.at(torch.arange(512)), pick())

    def tried(batch: int, rate: float) -> float:
        key = f"batch {batch}, learning rate x {rate:g}, {options.trial:g} minutes, {device_name()}"
        if key not in found:
            ema, steps = fit(made(name), dataset, batch, rate, options.trial)
            with torch.no_grad(), autocast(x.device, x):
                loss = ema.loss(x, generator=torch.Generator().manual_seed(0)).mean().item()
            found[key] = {"loss": loss, "steps": steps}
            print(f"{name}, {key}: loss {loss:.4f}, {steps} steps", flush=True)
            with replacing(path) as f:
                f.write_text(json.dumps(every, indent=1) + "\n")
        return found[key]["loss"]

    batch = BATCH
    for factor in (0.5, 2):
        while (other := int(batch * factor)) >= 1 and tried(other, 1.0) < tried(batch, 1.0):
            batch = other
    return batch, min(RATES, key=lambda rate: tried(batch, rate))


def peer_model(name: str, options, dataset, held_out) -> tuple[nn.Module, dict]:
    (batch, rate), path = trial(name, options, dataset, held_out), options.runs / f"{name}.safetensors"
    peer = made(name)
    about = {"batch": batch, "lr": rate * peer.lr, "parameters": parameters(peer)}
    if not path.exists():
        ema, steps = fit(peer, dataset, batch, rate, options.minutes)
        with replacing(path) as f:
            save_file({k: v.contiguous() for k, v in ema.state_dict().items()}, f)
        path.with_suffix(".json").write_text(json.dumps({"steps": steps}))
    peer.load_state_dict(load_file(path))
    about |= json.loads(path.with_suffix(".json").read_text())
    return peer.eval().requires_grad_(False), about


class Autoguided(nn.Module):
    """A latent diffusion model guided by a weaker one within an interval of times, as a model that has its shape."""

    def __init__(self, model: nn.Module, weak: nn.Module, scale: float, interval: tuple[float, float]):
        super().__init__()
        self.model, self.weak, self.schedule = model, weak, model.schedule
        self.register_buffer("how", torch.tensor([scale, *interval]))  # `draw` knows a model again by its state

    def forward(self, x_t: Tensor, t: Tensor, cond=None) -> Prediction:
        scale, *interval = self.how.tolist()
        return Guided(self.model, scale, weak=self.weak, interval=interval)(x_t, t, cond)

    def sample(self, n: int, cond=None, generator=None, **options) -> Tensor:
        z = from_noise(self, self.model.latent_shape, n, cond, generator, **options)
        with autocast(z.device, z):
            return self.model.decode(z)


def our_autoencoder(options, dataset) -> float:
    """Train it, and encode the data set; the minutes that this took."""
    first = options.runs / "minidiff-vae"
    if not (first / "done").exists():
        shutil.rmtree(first, ignore_errors=True)  # of a call that was killed: its minutes were not counted to the end
        began = time.monotonic()
        config, _ = configure(options.data, model="vae", f=2)
        train_run(first, config, dataset, minutes=FIRST * options.minutes, save_every=120)
        latents_of(checkpoint.load(first, device=pick()), dataset)  # cached
        (first / "done").write_text(str((time.monotonic() - began) / 60))
    return float((first / "done").read_text())


def our_model(name: str, options, dataset, minutes: float, **choices) -> tuple[nn.Module, dict]:
    """The laptop's recipe in the latents of our autoencoder, one choice or none of it changed."""
    run, first = options.runs / name, options.runs / "minidiff-vae"
    if not (run / "done").exists():
        shutil.rmtree(run, ignore_errors=True)
        config, _ = configure(options.data, autoencoder=first, **choices)
        train_run(run, config, dataset, autoencoder=first, minutes=minutes, save_every=120)
        (run / "done").touch()
    config, model = checkpoint.read_config(run), checkpoint.load(run, device=pick())
    steps = checkpoint.read_losses(run)[-1][0]
    chosen = config.training
    return model, {"batch": chosen.batch, "lr": chosen.lr, "parameters": parameters(model), "steps": steps}


def window(model) -> tuple[float, float]:
    """The times at which a model is guided, on its own grid."""
    steps, first, last = WITHIN
    return during(model.schedule.grid(steps), first, last)


def our_models(options, dataset) -> dict[str, tuple[nn.Module, dict]]:
    """With labels, and without: there by itself, and guided within its window. Each has all minutes together."""
    left = options.minutes - our_autoencoder(options, dataset)
    models = {"minidiff": our_model("minidiff", options, dataset, left)}
    width, minutes = checkpoint.read_config(options.runs / "minidiff").net["width"] // 2, WEAK * options.minutes
    weak, _ = our_model("minidiff-weak", options, dataset, minutes, p_uncond=1.0, width=width)
    strong, about = our_model("minidiff-unlabelled", options, dataset, left - minutes, p_uncond=1.0)
    about["parameters of the weak net"] = parameters(weak)
    guided = Autoguided(strong, weak, SCALE["weak"], window(strong)).eval()
    return models | {"without labels": (strong, about), "autoguided": (guided, about)}


def without_labels(dataset):
    """The same pictures: a classifier of them tells by how many quarter turns each was turned."""
    return replace(dataset, labels=None, classes=[])


def measured(judges, real: Tensor, found: Tensor) -> dict[str, float]:
    """Pictures against real ones, by the features of both classifiers."""
    by_label, by_turn = (
        distances(*(classifier.extract(judge, x)[0] for x in (real, found)), torch.zeros(len(found)), len(found))
        for judge in judges
    )
    return dict(zip(("frechet", "precision", "recall"), by_label, strict=True)) | {"frechet by turns": by_turn[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--trial", type=float, default=5)
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--only", choices=("trials", "ours"), help="the peers' trials alone, or ours")
    parser.add_argument("--runs", type=Path, default=Path("runs/quality"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    dataset, held_out = data.load(options.data), data.load(options.data, "test")
    judges = [classifier.for_data(d, pick()) for d in (dataset, without_labels(dataset))]  # before any clock starts
    if options.only == "trials":
        print({name: trial(name, options, dataset, held_out) for name in PEERS})
        return
    models, compared = our_models(options, dataset), () if options.only else PEERS
    models |= {name: peer_model(name, options, dataset, held_out) for name in compared}
    models |= {f"{name}, clipped": (Clipped(models[name][0]), models[name][1]) for name in compared}
    others = [name for name in models if name.split(",")[0] in compared]
    labels, scale = torch.arange(options.n) % len(dataset.classes), SCALE["labels"]
    steps, first, last = WITHIN
    within = {"scale": scale, "steps": steps, "interval": window(models["minidiff"][0])}
    some = f"in {last - first + 1} of {steps} steps"
    sampled = {  # name -> model, labels, how: ten calls each
        "minidiff": ("minidiff", labels, {"steps": CALLS}),
        f"minidiff, guidance {scale:g}": ("minidiff", labels, {"scale": scale, "steps": CALLS // 2}),
        f"minidiff, guidance {scale:g} {some}": ("minidiff", labels, within),
        "minidiff, labels unused": ("minidiff", None, {"steps": CALLS}),
        "minidiff, without labels": ("without labels", None, {"steps": CALLS}),
        f"minidiff, without labels, autoguidance {SCALE['weak']:g} {some}": ("autoguided", None, {"steps": steps}),
    } | {name: (name, None, {"steps": CALLS, "shape": dataset.shape}) for name in others}
    real, again = held_out.at(torch.arange(len(held_out))), dataset.at(torch.arange(options.n))
    report = {
        "what": f"CIFAR-10 (JPEG copy), {options.minutes:g} minutes of training each from nothing, seed 0; {options.n} "
        f"samples, dpmpp_2m, {CALLS} calls, EMA, no guidance where not said; to {len(held_out)} held-out "
        "pictures in the features of a classifier trained here (not FID), and of one that saw no labels",
        "device": device_name(),
        "classifiers": [fingerprint(judge) for judge in judges],  # by one of other weights they differ by a sixth
        "floor": measured(judges, real, again),
        "rows": {},
    }  # fmt: skip
    pictures = {"real": real[:64]}
    for label, (name, cond, how) in sampled.items():
        model, about = models[name]
        x = draw(options.runs / "drawn", model, options.n, cond, part=PART, **how)
        report["rows"][label], pictures[label] = measured(judges, real, x) | about, x[:64]
        print(label, report["rows"][label], flush=True)
    if others:
        best = min(report["rows"][name]["frechet"] for name in others)
        report["best peer over ours"] = {k: best / v["frechet"] for k, v in report["rows"].items() if k not in others}
    name = options.only or "quality"
    with replacing(options.out / f"{name}.json") as f:
        f.write_text(json.dumps(report, indent=1) + "\n")
    columns = math.ceil(len(pictures) / 2)
    figure, axes = plt.subplots(2, columns, figsize=(3.4 * columns, 8.2), layout="constrained")
    for ax in axes.flat[len(pictures) :]:
        ax.set_axis_off()
    for ax, (label, x) in zip(axes.flat, pictures.items(), strict=False):
        row = report["rows"].get(label, report["floor"])
        plot.grid(x, 8, ax, f"{label}\nFréchet {row['frechet']:.1f}")
    figure.suptitle(report["what"], fontsize=8, wrap=True)
    plot.save(figure, options.out / f"{name}.jpg", dpi=80)


if __name__ == "__main__":
    main()
