import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from minidiff import data, denoise
from minidiff.device import out_of_memory
from minidiff.nets import NETS
from minidiff.run import checkpoint, evaluate, loop, progress
from minidiff.run.cli import main
from minidiff.run.folder import locked
from minidiff.run.generate import generate
from minidiff.run.loop import train_run
from minidiff.run.recipes import configure
from minidiff.train import rate
from tests.test_cli import refused, snapshot


def small(optimizer="adamw"):
    return configure("eight_gaussians", width=16, batch=8, optimizer=optimizer)


def test_a_run_holds_what_it_should(tmp_path):
    config, dataset = configure("digits", width=16, batch=4)
    run = tmp_path / "run"
    train_run(run, config, dataset, steps=45, save_every=1e9, device="cpu", progress=False)  # drawn at the end alone
    assert {p.name for p in run.iterdir()} == {
        "config.json", "state.pt", "model.safetensors", "ema.safetensors", "loss.csv", "samples"
    }  # fmt: skip
    assert [p.name for p in (run / "samples").iterdir()] == ["step_0000045.png"]
    assert [step for step, _ in checkpoint.read_losses(run)] == [20, 40]
    assert checkpoint.read_config(run) == config
    raw, ema = checkpoint.load(run, ema=False), checkpoint.load(run)
    assert not ema.training
    differs = [not torch.equal(a, b) for a, b in zip(raw.parameters(), ema.parameters(), strict=True)]
    assert any(differs)
    saved = torch.load(run / "state.pt", weights_only=True)
    for model, name in ((raw, "model"), (ema, "ema")):
        assert all(torch.equal(value, saved[name][key]) for key, value in model.state_dict().items()), name


@pytest.mark.parametrize("net", [n for n in NETS if n != "mlp"])
def test_every_net_of_pictures_is_a_run(net, tmp_path):
    config, dataset = configure("digits", net=net, width=16, batch=8)
    train_run(tmp_path, config, dataset, steps=2, device="cpu", progress=False)
    trained = checkpoint.load(tmp_path, ema=False)
    fresh = checkpoint.new_model(config)
    assert not all(torch.equal(a, b) for a, b in zip(trained.parameters(), fresh.parameters(), strict=True))
    assert generate(trained, 3, cond=torch.tensor([1, 2, 10]), scale=2.0, steps=2).shape == (3, 1, 8, 8)


def test_resuming_is_not_stopping(tmp_path):
    """12 steps, then 12 more from the files, are 24 steps: weights, EMA and losses, a mean of 20, to the bit."""
    config, dataset = configure("digits", width=16, batch=16)
    options = {"device": "cpu", "progress": False}
    train_run(tmp_path / "whole", config, dataset, steps=24, **options)
    train_run(tmp_path / "halves", config, dataset, steps=12, **options)
    train_run(tmp_path / "halves", config, dataset, steps=24, **options)
    for name in ("model.safetensors", "ema.safetensors", "loss.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halves" / name).read_bytes(), name


class Evil:
    """As a pickle it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_bad_runs(tmp_path):
    config, dataset = configure("eight_gaussians", width=32, batch=32)
    run = tmp_path / "run"
    train_run(run, config, dataset, steps=3, device="cpu", progress=False)

    def refuse(words, call, *args, **kwargs):
        with pytest.raises(ValueError, match=words):
            call(*args, **kwargs)

    refuse("beyond --steps 2", train_run, run, config, dataset, steps=2, progress=False)
    good = {name: (run / name).read_bytes() for name in ("config.json", "ema.safetensors", "state.pt")}
    raw = json.loads(good["config.json"])
    for change, words in (
        ({"heads": 3}, "unknown key 'heads'"),
        ({"net": raw["net"] | {"name": "resnet"}}, "unknown net 'resnet'"),
        ({"net": "mlp"}, "wrong type: net is 'mlp'"),
        ({"diffusion": None}, "a model of kind diffusion needs its section diffusion"),
        ({"training": None}, "wrong type: training is None"),
        ({"diffusion": "much"}, "wrong type: diffusion is 'much'"),
        ({"classes": "abc"}, "wrong type: classes is 'abc'"),
        ({"model": "ar", "net": {"name": "causal"}}, "a model of kind ar needs its section autoencoder"),
        ({"net": raw["net"] | {"width": "big"}}, "wrong type"),
        ({"diffusion": raw["diffusion"] | {"schedule": "sine"}}, "unknown schedule 'sine'"),
        ({"diffusion": raw["diffusion"] | {"p_uncond": 2.0}}, "probability"),
        ({"training": raw["training"] | {"lr": -1.0}}, "lr must be at least"),
        ({"training": {"batch": 8.5}}, "wrong type: batch is 8.5"),
        ({"version": 3}, "of version 3"),
    ):
        (run / "config.json").write_text(json.dumps(raw | change), encoding="utf-8")
        refuse(words, checkpoint.read_config, run)
    (run / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if k != "shape"}), encoding="utf-8")
    refuse("lacks the key 'shape'", checkpoint.read_config, run)
    (run / "config.json").write_text("{", encoding="utf-8")
    refuse("is not JSON", checkpoint.read_config, run)
    (run / "config.json").write_bytes(good["config.json"])
    for part in (good["ema.safetensors"][:1000], b"", b"foreign"):
        (run / "ema.safetensors").write_bytes(part)
        refuse("does not hold this run's weights", checkpoint.load, run)
    for part in (good["state.pt"][:1000], b"", b"foreign"):
        (run / "state.pt").write_bytes(part)
        refuse("is damaged", checkpoint.resume, run)
    torch.save({"step": Evil(tmp_path / "evil")}, run / "state.pt")
    refuse("is damaged", checkpoint.resume, run)
    assert not (tmp_path / "evil").exists()
    (run / "config.json").write_text(json.dumps(raw | {"net": raw["net"] | {"width": 64}}), encoding="utf-8")
    (run / "ema.safetensors").write_bytes(good["ema.safetensors"])
    refuse("does not hold this run's weights", checkpoint.load, run)


def test_initial_weights_depend_on_the_seed_alone():
    config, _ = configure("eight_gaussians", width=32)
    torch.manual_seed(1)
    first = checkpoint.new_model(config)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = checkpoint.new_model(config)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    torch.manual_seed(1)
    checkpoint.new_model(config)
    assert torch.equal(torch.get_rng_state(), state)  # and the global state is left alone


def test_weights_are_plain_safetensors(tmp_path):
    config, dataset = configure("eight_gaussians", width=32)
    train_run(tmp_path / "run", config, dataset, steps=2, device="cpu", progress=False)
    weights = load_file(tmp_path / "run" / "ema.safetensors")
    assert weights["net.enter.weight"].shape == (32, 2)
    assert os.path.getsize(tmp_path / "run" / "ema.safetensors") < 1_000_000


@pytest.mark.parametrize("name", ["spirals", "digits"])
def test_configure_finds_what_suits_the_data(name):
    config, dataset = configure(name)
    assert config.net["name"] == ("mlp" if name == "spirals" else "unet") and config.classes == dataset.classes
    assert config.diffusion.sigma_data == pytest.approx(data.std(dataset), abs=1e-4)


def clock(monkeypatch):
    """loop's time, in seconds: a list whose entry is what it is now."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_saving_takes_a_twentieth_of_the_time_and_pictures_are_drawn_ever_less(monkeypatch):
    now = clock(monkeypatch)
    timer = loop.Clock(None, 2.0, save_every=10.0)

    def due_after(seconds):
        now[0] += seconds
        return timer.read()[1]

    def saving(seconds):
        monkeypatch.setattr(checkpoint, "save", lambda _: due_after(seconds))
        return timer.save(None)

    assert timer.read() == (0.0, False)
    assert not due_after(9) and due_after(1) and timer.read()[0] == 10 / 120
    drawn = [saving(3.0)]
    assert not due_after(59) and due_after(1)
    drawn += [saving(0.25) for _ in range(16)]
    assert [i for i, drawing in enumerate(drawn, 1) if drawing] == [1, 4, 16]
    assert not due_after(9) and due_after(1)


def test_a_run_by_minutes_cools_down_and_logs_the_mean_of_20_losses(tmp_path, monkeypatch):
    """By a clock that is a second later after each step."""
    now, factors, losses, real = clock(monkeypatch), [], [], loop.train
    config, dataset = configure("eight_gaussians", width=16, batch=8, cooldown=0.5)

    def spy(model, batches, steps, *, state, lr, **options):
        for step in real(model, batches, steps, state=state, lr=lr, **options):
            factors.append(state.optimizer.param_groups[0]["lr"] / lr / rate(step.step - 1, 100))
            losses.append(step.loss.item())
            now[0] += 1
            yield step

    monkeypatch.setattr(loop, "train", spy)
    train_run(tmp_path, config, dataset, minutes=0.75, save_every=1e9, device="cpu", progress=False)
    assert factors == pytest.approx([min(1.0, 2 * (1 - i / 45)) for i in range(45)])
    rows = checkpoint.read_losses(tmp_path)
    assert rows == [(20, pytest.approx(sum(losses[:20]) / 20)), (40, pytest.approx(sum(losses[20:40]) / 20))]


def test_compiling_helps_where_it_saves_more_than_it_takes(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(loop.shutil, "which", lambda name: name == "g++")
    monkeypatch.setattr(loop.importlib.util, "find_spec", lambda name: name == "triton")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    found = [loop.compiling_helps(*case) for case in ((cpu, 15), (cpu, 14), (cpu, None), (gpu, 5), (gpu, 4))]
    assert found == [True, False, False, True, False]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (6, 1))
    assert not loop.compiling_helps(gpu, 60)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(loop.importlib.util, "find_spec", lambda name: None)
    assert not loop.compiling_helps(gpu, 60)
    monkeypatch.setattr(loop.shutil, "which", lambda name: None)
    assert not loop.compiling_helps(cpu, 60)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 25 steps, and its config and data; not to be changed."""
    out, (config, dataset) = tmp_path_factory.mktemp("finished") / "run", small()
    train_run(out, config, dataset, steps=25, device="cpu", progress=False)
    return out, config, dataset


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of that run."""
    return Path(shutil.copytree(finished[0], tmp_path / "copy"))


RESUME = ["train", "--resume", "--device", "cpu", "--steps"]
WEIGHTS = ["model.safetensors", "ema.safetensors"]


@pytest.mark.parametrize("there", [WEIGHTS, WEIGHTS[1:], ["loss.csv"], ["samples"], [*WEIGHTS, "loss.csv", "samples"]])
def test_a_run_without_its_state_is_not_begun_anew(there, copied, capsys):
    """A model that was copied, or a copy that was cut: training from nothing would replace it."""
    for path in copied.iterdir():
        if path.name not in ("config.json", *there):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(capsys, [*RESUME, 30, "--out", copied], "no state.pt to go on from: copy that too, or begin", copied)


def test_weights_of_a_later_state_are_not_replaced(copied, capsys, finished):
    _, config, dataset = finished
    later = copied.with_name("later")
    shutil.copytree(copied, later)
    train_run(later, config, dataset, steps=30, device="cpu", progress=False)
    shutil.copy(later / "ema.safetensors", copied)
    refused(capsys, [*RESUME, 40, "--out", copied], "is of step 30, state.pt of step 25", copied)


def test_files_that_are_not_a_run_are_not_replaced(copied, capsys, finished):
    _, config, dataset = finished
    (copied / "config.json").unlink()
    refused(capsys, [*RESUME, 30, "--data", "eight_gaussians", "--out", copied], "is not a run", copied)
    before = snapshot(copied)
    with pytest.raises(ValueError, match="is not a run"):
        train_run(copied, config, dataset, steps=1, progress=False)
    assert snapshot(copied) == before


@pytest.mark.parametrize(
    "name, text", [("config.json", '{"data": "eig'), ("loss.csv", "step,loss\n20"), ("loss.csv", "")]
)
def test_half_a_file_is_not_gone_on_from(name, text, copied, capsys):
    (copied / name).write_text(text, encoding="utf-8")
    refused(capsys, [*RESUME, 30, "--out", copied], str(copied / name), copied)


def test_a_config_of_another_model_is_refused(finished):
    out, config, dataset = finished
    before = snapshot(out)
    other, _ = configure("eight_gaussians", width=24, batch=8)
    with pytest.raises(ValueError, match="was made with width 16, not 24"):
        train_run(out, other, dataset, steps=30, progress=False)
    assert snapshot(out) == before


def test_two_trainings_in_one_folder(copied, capsys, finished):
    with locked(copied):
        refused(capsys, [*RESUME, 30, "--out", copied], "another process trains in", copied)
        with pytest.raises(ValueError, match="another process trains in"):
            train_run(copied, *finished[1:], steps=30, progress=False)
    train_run(copied, *finished[1:], steps=26, device="cpu", progress=False)


def test_nothing_left_to_do_is_said(copied, capsys):
    main([*RESUME, "25", "--out", str(copied)])
    said = capsys.readouterr().out
    assert "at step 25 already, so nothing was left to do" in said and "nan" not in said


def test_durations_that_are_none(tmp_path):
    config, dataset = small()
    for name, value in (("steps", 0), ("minutes", 0), ("minutes", float("nan")), ("save_every", -1)):
        with pytest.raises(ValueError, match=f"{name} must be more than 0"):
            train_run(tmp_path / "run", config, dataset, **{name: value}, progress=False)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    MemoryError(),
    OSError(12, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
@pytest.mark.parametrize("place", ["reading the state", "the weights", "a step", "drawing"])
def test_out_of_memory_is_said_and_costs_nothing(place, error, copied, capsys, monkeypatch):
    def fail(*_, **__):
        raise error

    command = [*RESUME, 30, "--out", copied]
    if place == "the weights":
        monkeypatch.setattr(checkpoint, "load_file", fail)
        command = ["sample", copied, "--n", 2, "--device", "cpu"]
    elif place == "reading the state":
        monkeypatch.setattr(torch, "load", fail)
    elif place == "drawing":
        monkeypatch.setattr(progress, "generate", fail)
    else:
        monkeypatch.setattr(denoise.Denoiser, "loss", fail)
    refused(capsys, command, "out of memory (")
    monkeypatch.undo()
    assert checkpoint.resume(copied).state.step == (30 if place == "drawing" else 25)


def test_demo_does_not_train_what_is_not_its_own(copied, capsys):
    out = copied.with_name("run").parent
    copied.rename(out / "run")
    refused(capsys, ["demo", "--out", out, "--minutes", 0.01], "is a run on eight_gaussians, not one of demo's", out)


def test_what_others_write_into_a_run_is_not_deleted(copied, finished):
    for name in (".tmp-7-sample.png", ".tmp-7-state.pt"):
        (copied / name).write_text("half", encoding="utf-8")
    train_run(copied, *finished[1:], steps=26, device="cpu", progress=False)
    assert [p.name for p in copied.glob(".tmp-*")] == [".tmp-7-sample.png"]


def test_how_long_it_was_trained(copied):
    """By the weights' file, or by loss.csv, where that does not tell."""
    assert checkpoint.trained_for(copied) == "25 steps of 8"
    save_file(load_file(copied / "ema.safetensors"), copied / "ema.safetensors")
    assert checkpoint.trained_for(copied) == "20 steps of 8"


def test_the_first_rank_decides_when_to_save(monkeypatch):
    clock = loop.Clock(None, 1.0, 1e-9)
    assert clock.read()[1]
    monkeypatch.setattr(loop.parallel, "rank", lambda: 1)
    assert not clock.read()[1]


def test_what_cannot_be_compiled_is_refused(tmp_path, capsys, monkeypatch):
    train = ["train", "--data", "rings", "--steps", 1, "--device", "cpu", "--compiled", "--out", tmp_path / "run"]
    refused(capsys, [*train, "--model", "gan"], "only a diffusion model's net is compiled, and this is a gan")
    monkeypatch.setattr(loop.shutil, "which", lambda _: None)
    refused(capsys, train, "needs a C++ compiler")


@pytest.mark.parametrize("saved", [True, False])
def test_out_of_memory_names_what_there_is_to_go_on_from(saved, tmp_path):
    if saved:
        (tmp_path / "ema.safetensors").touch()
    with pytest.raises(MemoryError) as error, loop._enough_memory(tmp_path):
        raise MemoryError
    assert ("--start-from" in str(error.value)) == saved


def test_more_than_any_memory(tmp_path, finished):
    """Beyond all addresses, so that no machine has it."""
    with pytest.raises(MemoryError, match="smaller --batch, or cut it with --parts"):
        train_run(tmp_path / "run", *configure("eight_gaussians", batch=10**15), steps=2, device="cpu")
    with pytest.raises((MemoryError, RuntimeError)) as error:
        generate(checkpoint.load(finished[0]), 10**15)
    assert out_of_memory(error.value)


def test_a_full_disk_leaves_the_last_checkpoint(copied, no_file_beyond, capsys):
    good = snapshot(copied)
    with no_file_beyond((copied / "state.pt").stat().st_size // 2):
        refused(capsys, [*RESUME, 30, "--out", copied], "state.pt could not be written (")
    assert snapshot(copied) == good


def folder_of(path, n=12, captions=False):
    """n pictures in two class folders, or with captions."""
    noise = torch.Generator().manual_seed(0)
    for i in range(n):
        into = path if captions else path / "ab"[i % 2]
        into.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(256, (8, 8, 3), generator=noise, dtype=torch.uint8).numpy()
        Image.fromarray(pixels).save(into / f"{i:03}.png")
    if captions:
        rows = "".join(f"{i:03}.png,picture {i}\n" for i in range(n))
        (path / "captions.csv").write_text("file,caption\n" + rows, encoding="utf-8")
    return f"folder:{path}"


def trained_on(spec, out):
    small = ["--width", "16", "--batch", "4", "--steps", "2", "--device", "cpu"]
    main(["train", "--data", spec, *small, "--out", str(out)])
    return spec, out


def add_pictures(path):
    for i in range(117):
        shutil.copy(path / "a" / "000.png", path / "b" / f"more{i}.png")


def change_label(path):
    (path / "a" / "000.png").rename(path / "b" / "000.png")


def change_picture(path):
    shutil.copy(path / "a" / "000.png", path / "a" / "002.png")


def change_caption(path):
    listed = path / "captions.csv"
    listed.write_text(
        listed.read_text(encoding="utf-8").replace("picture 3\n", "another\n").replace("picture 4\n", "another\n"),
        encoding="utf-8",
    )


@pytest.mark.parametrize("change", [add_pictures, change_label, change_picture, change_caption])
def test_data_that_are_others_are_noticed(change, tmp_path, capsys):
    spec = folder_of(tmp_path / "data", captions=change is change_caption)
    spec, out = trained_on(spec, tmp_path / "run")
    change(tmp_path / "data")
    for given in ([], ["--data", spec]):
        refused(capsys, [*RESUME, 4, *given, "--out", out], "are others: bring those back, or begin", out)


def test_data_that_moved_are_the_same(tmp_path, capsys):
    """By another path, and as a file of another kind; then that is where the run finds them."""
    spec, out = trained_on(folder_of(tmp_path / "data"), tmp_path / "run")
    (tmp_path / "data").rename(tmp_path / "moved")
    refused(capsys, [*RESUME, 4, "--out", out], "does not exist: if it has moved, say where to by --data folder:", out)
    moved = f"folder:{tmp_path / 'moved'}/"
    main([*RESUME, "4", "--data", moved, "--out", str(out)])
    assert checkpoint.read_config(out).data == moved.rstrip("/")
    main([*RESUME, "6", "--out", str(out)])
    refused(capsys, [*RESUME, 8, "--data", "digits", "--out", out], "is not what the run was trained on", out)


def test_a_run_from_before_fingerprints_goes_on(copied, tmp_path, capsys):
    spec, out = trained_on(folder_of(tmp_path / "data"), tmp_path / "run")
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    known = config.pop("fingerprint")
    (out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    other = folder_of(tmp_path / "other")
    refused(capsys, [*RESUME, 4, "--data", other, "--out", out], f"was made with data {spec}", out)
    main([*RESUME, "4", "--out", str(out)])
    assert checkpoint.read_config(out).fingerprint == known
    refused(capsys, [*RESUME, 30, "--data", "spirals", "--out", copied], "was made with data eight_gaussians", copied)


def test_evaluate_measures_by_other_data_if_they_are_named(tmp_path, monkeypatch):
    spec, out = trained_on(folder_of(tmp_path / "data"), tmp_path / "run")
    change_picture(tmp_path / "data")
    monkeypatch.setattr(evaluate, "evaluate_pictures", lambda *_, **__: {"measured": 1})
    with pytest.raises(ValueError, match="are others"):
        evaluate.evaluate(out, device="cpu")
    assert evaluate.evaluate(out, device="cpu", spec=spec)["measured"] == 1
