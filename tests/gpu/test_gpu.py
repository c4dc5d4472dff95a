"""Everything once on a GPU. Skipped without one; MINIDIFF_GPU_DEVICE=cpu runs the same on the CPU, to try the tests."""

import copy
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from minidiff import data
from minidiff.data.toys import eight_gaussians
from minidiff.demo import demo
from minidiff.denoise import Denoiser, score, velocity
from minidiff.device import autocast, fast_bf16, follower, to_device
from minidiff.guidance import ClassifierGuided, Guided
from minidiff.measure import classifier, metrics
from minidiff.measure.doctor import examine
from minidiff.measure.features import extract
from minidiff.nets import NETS, build
from minidiff.oracles import EmpiricalDenoiser, MixtureDenoiser
from minidiff.run import checkpoint, loop
from minidiff.run.evaluate import evaluate
from minidiff.run.generate import generate
from minidiff.run.loop import train_run
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure
from minidiff.samplers import SAMPLERS, last, start
from minidiff.schedules import SCHEDULES
from minidiff.text import TEXT_MODES, Tokenizer
from minidiff.train import new_state, train

DEVICE = torch.device(os.environ.get("MINIDIFF_GPU_DEVICE", "cuda"))
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="there is no CUDA GPU here"),
]
KINDS = {  # name -> (data, choices)
    "points": ("eight_gaussians", {}),
    "points by muon": ("eight_gaussians", {"optimizer": "muon"}),
    "U-Net": ("digits", {"width": 16}),
    "DiT": ("digits", {"net": "dit", "width": 32}),
    "CNN": ("digits", {"net": "cnn", "width": 16}),
    "encoder-decoder": ("digits", {"net": "encoder_decoder", "width": 16}),
    "NCSN": ("digits", {"net": "ncsn", "width": 16}),
    "transformer": ("digits", {"net": "transformer", "width": 32}),
    "captions, cross": ("shapes:1", {"width": 32}),
    "captions, tokens": ("shapes:1", {"width": 32, "text_mode": "tokens"}),
    "captions, pooled, U-Net": ("shapes:1", {"net": "unet", "width": 16, "text_mode": "pooled"}),
    "GAN of points": ("eight_gaussians", {"model": "gan", "width": 32}),
    "GAN": ("digits", {"model": "gan", "width": 16}),
    "style GAN": ("digits", {"model": "gan", "net": "style", "width": 16}),
    "stacked GAN": ("digits", {"model": "stacked_gan", "width": 16}),
    "VAE": ("digits", {"model": "vae", "f": 2, "width": 16}),
    "VQ": ("digits", {"model": "vq", "f": 2, "width": 16, "codes": 16}),
    "latent diffusion": ("digits", {"on": "VAE", "width": 16}),
    "autoregressive": ("digits", {"model": "ar", "on": "VQ", "width": 32}),
}
STEPS = 20


@pytest.fixture(autouse=True)
def float32_in_full():
    """What is compared with the CPU is not rounded to TF32."""
    cudnn, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = cudnn


@pytest.fixture(scope="module")
def first_stages(tmp_path_factory):
    """Trained autoencoders by kind, made when asked for."""
    made, folder = {}, tmp_path_factory.mktemp("first")

    def get(kind):
        if kind not in made:
            spec, choices = KINDS[kind]
            train_run(
                folder / kind,
                *configure(spec, batch=16, **choices),
                steps=2,
                device=str(DEVICE),
                compiled=False,
                progress=False,
            )
            made[kind] = folder / kind
        return made[kind]

    return get


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_trains_is_killed_resumes_samples_and_is_evaluated(kind, tmp_path, monkeypatch, quick_judge, first_stages):
    """A run that is killed at step 13 and resumed has the steps of one that is not; then all that can be done with it
    is done."""
    (spec, choices), run = KINDS[kind], tmp_path / "run"
    choices = dict(choices)
    autoencoder = first_stages(choices.pop("on")) if "on" in choices else None
    config, dataset = configure(spec, batch=16, autoencoder=autoencoder, **choices)
    options = {"steps": STEPS, "device": str(DEVICE), "progress": False, "autoencoder": autoencoder}
    options |= {"compiled": False, "save_every": 1e9}

    def killed(*args, **kwargs):
        for step in train(*args, **kwargs):
            if step.step == 13:
                raise Killed
            yield step

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(loop, "train", killed)
        train_run(run, config, dataset, **options)
    assert checkpoint.resume(run, DEVICE).state.step == 0  # the first save
    train_run(run, checkpoint.read_config(run), dataset, **options)
    resumed = checkpoint.resume(run, DEVICE)
    config, state, rows = resumed.config, resumed.state, resumed.rows
    assert state.step == STEPS and [step for step, _ in rows] == [20] and rows[0][1] < 1e3
    assert all(p.device.type == DEVICE.type for p in state.model.parameters())
    model = checkpoint.load(run, device=DEVICE)
    if config.model not in ("vae", "vq"):
        cond = torch.arange(6) % len(config.classes) if config.classes else None
        if config.text:
            cond = tokenizer_of(config)(config.text.prompts[:6], truncate=True)
        x = generate(model, 6, cond=cond, steps=3)
        assert x.shape == (6, *config.shape) and x.isfinite().all() and x.device.type == "cpu"
        if config.model == "diffusion":
            again = generate(model, 6, cond=cond, steps=3, scale=2.0, sampler="heun")
            assert again.isfinite().all() and not torch.equal(x, again)
    how = {"steps": 3} if config.model == "diffusion" else {}
    report = evaluate(run, n=64, few=True, device=str(DEVICE), **how)
    assert report["device"].startswith(DEVICE.type)


def test_a_real_kill(tmp_path):
    """SIGKILL in the middle; another process goes on to the end."""
    code = (
        "import sys; from pathlib import Path; from minidiff.run.recipes import configure\n"
        "from minidiff.run.loop import train_run\n"
        "train_run(Path(sys.argv[1]), *configure('digits', width=16, batch=16), steps=int(sys.argv[2]), "
        "device=sys.argv[3], compiled=False, save_every=0.01, progress=False)"
    )
    run = tmp_path / "run"

    def command(steps):
        return [sys.executable, "-c", code, str(run), str(steps), str(DEVICE)]

    process = subprocess.Popen(command(1_000_000))
    path, until = run / "loss.csv", time.monotonic() + 120
    while not (path.exists() and path.read_text().count("\n") > 2):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    step = checkpoint.resume(run, DEVICE).state.step
    subprocess.run(command(step + 20), check=True)
    assert checkpoint.resume(run, DEVICE).state.step == step + 20


def randomised(net):
    """The net with no weight at 0: layers that start at 0 would hide what is behind them."""
    generator = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator) / max(1, p[0].numel() if p.ndim > 1 else 10) ** 0.5
    return net.eval()


def every_net():
    tokenizer = Tokenizer(["red", "blue", "circle"], 4)
    for name in NETS:
        yield name, build(name, (2,) if name == "mlp" else (3, 16, 16), 5, width=32), torch.tensor([1, 5])
    for name in ("dit", "unet"):
        for mode in TEXT_MODES:
            net = build(name, (3, 16, 16), width=32, tokenizer=tokenizer, text_mode=mode)
            yield f"{name}, {mode}", net, torch.tensor([[2, 4, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name, net, cond", list(every_net()), ids=[name for name, *_ in every_net()])
def test_forward_is_the_cpus(name, net, cond, half):
    """In float32 to rounding (a few thousand sums of 1e-7 each), in bfloat16 to its 8 bits through some 20 layers."""
    if half and not fast_bf16(DEVICE):
        pytest.skip("no bfloat16 here")
    net, generator = randomised(net), torch.Generator().manual_seed(1)
    x, c_noise = (
        torch.randn(2, *((2,) if name == "mlp" else (3, 16, 16)), generator=generator),
        torch.tensor([-0.5, 0.3]),
    )
    with torch.no_grad():
        wanted = net(x, c_noise, cond)
        theirs = copy.deepcopy(net).to(DEVICE)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=half):
            found = theirs(to_device(x, DEVICE), c_noise.to(DEVICE), cond.to(DEVICE))
    error = (found.cpu().float() - wanted).norm() / wanted.norm()
    assert error < (0.1 if half else 1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_samplers_end_where_the_cpus_do(sampler, schedule):
    """On the exact model of a mixture, from the same noise."""
    model = MixtureDenoiser(eight_gaussians(), SCHEDULES[schedule]())
    found = []
    for device in ("cpu", DEVICE):
        x = start(model, (32, 2), torch.Generator().manual_seed(0), device)
        options = {"steps": 3, "generator": torch.Generator().manual_seed(1)} if sampler == "langevin" else {}
        found.append(
            last(SAMPLERS[sampler](model, x, model.schedule.grid(8), torch.arange(32, device=device) % 8, **options))
        )
    assert found[1].device.type == DEVICE.type
    # amplified by chaos near the borders of the modes for langevin alone, whose steps are the same
    assert (found[0] - found[1].cpu()).abs().median() < 1e-3


def test_guidance_and_measures_stay_on_the_device():
    mixture, generator = eight_gaussians(), torch.Generator().manual_seed(0)
    model = MixtureDenoiser(mixture, SCHEDULES["vp"]())
    x, cond, t = (
        torch.randn(16, 2, generator=generator).to(DEVICE),
        torch.arange(16, device=DEVICE) % 8,
        torch.tensor(0.4),
    )
    for guided in (
        Guided(model, 2.0), Guided(model, 2.0, negative=torch.tensor(3)), Guided(model, 2.0, interval=(0.1, 0.3)),
        Guided(model, 2.0, weak=MixtureDenoiser(mixture, model.schedule)),
        ClassifierGuided(model, lambda x, t: -(x[:, None] - mixture.means.to(x)).square().sum(2), 1.0),
    ):  # fmt: skip
        assert guided(x, t, cond).x0.device.type == DEVICE.type
    assert score(model, x, t).device.type == velocity(model, x, t).device.type == DEVICE.type
    assert EmpiricalDenoiser(x.cpu(), model.schedule, cond.cpu())(x, t, cond).x0.device.type == DEVICE.type
    times = model.schedule.grid(8)[:-1].flip(0)
    assert metrics.log_likelihood(model, x, times).device.type == DEVICE.type
    a, b = torch.randn(2, 64, 4, generator=generator).to(DEVICE)
    for distance in ("frechet_distance", "kernel_distance", "sliced_wasserstein", "precision_recall"):
        ours, theirs = getattr(metrics, distance)(a, b), getattr(metrics, distance)(a.cpu(), b.cpu())
        assert torch.tensor(ours).sub(torch.tensor(theirs)).abs().max() < 1e-3, distance


def test_same_seed_same_noise():
    """Starts are the CPU's to the bit; training noise repeats, and the losses with it, to rounding."""
    model = Denoiser(build("unet", (1, 8, 8), 10, width=16), SCHEDULES["vp"](), "edm").to(DEVICE)
    ours, theirs = (start(model, (4, 1, 8, 8), torch.Generator().manual_seed(3), d) for d in (DEVICE, "cpu"))
    # sigma at t_max is computed on either, to rounding
    assert torch.allclose(ours.cpu(), theirs, rtol=1e-6)
    draws = [torch.randn(5, generator=g, device=g.device) for g in
             (follower(torch.Generator().manual_seed(0), DEVICE) for _ in "ab")]  # fmt: skip
    assert torch.equal(*draws)
    losses = []
    for _ in "ab":
        digits, fresh = data.load("digits"), copy.deepcopy(model)
        state = new_state(fresh, 0)
        losses.append([float(s.loss) for s in train(fresh, data.batches(digits, 32, state.generators), 5, state=state)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.parametrize("spec, net, width", [("photos", "unet", 32), ("photos", "dit", 64), ("shapes:1", "dit", 32)])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_waits_for_nothing(spec, net, width, optimizer):
    """No step between two looks at the loss makes the CPU wait for the GPU."""
    if DEVICE.type != "cuda":
        pytest.skip("only a GPU is ever waited for")
    config, dataset = configure(spec, device=str(DEVICE), net=net, width=width, batch=16, optimizer=optimizer)
    state = new_state(checkpoint.new_model(config, DEVICE), 0, range(1), config.training.optimizer)
    dataset = dataset.to(DEVICE) if hasattr(dataset, "to") else dataset
    batches = data.batches(dataset, 16, state.generators, tokenizer_of(config), config.training.flip)
    steps = train(state.model, batches, 100, state=state, check_every=50)
    for _ in range(5):
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("net, width", [("unet", 32), ("dit", 64)])
def test_compiled_learns_the_same(net, width, tmp_path):
    """The losses of five compiled steps are those of five others, to bfloat16."""
    config, dataset = configure("digits", net=net, width=width, batch=32)
    rows = []
    for compiled in (False, True):
        out = tmp_path / str(compiled)
        train_run(out, config, dataset, steps=20, device=str(DEVICE), compiled=compiled, progress=False)
        rows.append(checkpoint.read_losses(out)[-1][1])
    assert rows[0] == pytest.approx(rows[1], rel=0.05)


class Inception(torch.nn.Module):
    """What torch-fidelity's has: uint8 pictures -> features (N, 2048) and logits (N, 1008)."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 1008)

    def forward(self, x):
        h = x.float().mean((2, 3))
        return h.repeat(1, 683)[:, :2048], self.head(h)


def test_what_inception_sees():
    seen, logits = extract(Inception().to(DEVICE), torch.zeros(5, 1, 8, 8))
    assert seen.shape == (5, 2048) and logits.shape == (5, 1008) and seen.device.type == "cpu"


def test_doctor():
    config, dataset = configure("eight_gaussians")
    x0, labels = dataset.batch(4, torch.Generator().manual_seed(0))
    report = examine(checkpoint.new_model(config, DEVICE), x0.to(DEVICE), labels.to(DEVICE), steps=300)
    assert report.model_ok and report.sampler_ok


def test_a_classifier_learns():
    digits = data.load("digits")
    net = classifier.fit(digits, steps=100, device=DEVICE)
    x, y = digits.batch(200, torch.Generator().manual_seed(0))
    assert (classifier.extract(net, x)[1].argmax(1) == y).float().mean() > 0.5


def test_demo(tmp_path):
    demo(tmp_path / "demo", minutes=0.05, device=str(DEVICE), n=20)
    assert {p.suffix for p in (tmp_path / "demo").iterdir()} >= {".png", ".gif", ".json"}


def test_autocast_is_bfloat16_where_it_is_native():
    x = torch.randn(2, 3, 8, 8, device=DEVICE)
    with autocast(DEVICE, x):
        y = torch.nn.Conv2d(3, 3, 3).to(DEVICE)(x)
    assert y.dtype == (torch.bfloat16 if fast_bf16(DEVICE) else torch.float32)
