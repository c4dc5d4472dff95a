import csv
import json
import sys

import pytest
import torch
from PIL import Image

from minidiff import checkpoint, compare, data, play
from minidiff.checkpoint import Config
from minidiff.cli import main
from minidiff.data.captions import LENGTH, vocabulary
from minidiff.denoise import Denoiser
from minidiff.evaluate import evaluate
from minidiff.nets import DiT, UNet, build
from minidiff.nets.layers import Attention, CrossAttention
from minidiff.recipes import configure
from minidiff.runs import train_run
from minidiff.schedules import VP
from minidiff.text import WAYS, ClipTokenizer, Tokenizer

TOKENIZER = Tokenizer(vocabulary(), LENGTH)
PROMPTS = ["a red circle above a big blue square", "a tiny golden box"]


def reader(name, way, generator):
    """A small net that reads, its zero layers filled so that everything shows in its output."""
    net = build(name, (3, 16, 16), width=32, patch=2, tokenizer=TOKENIZER, way=way).eval()
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.1, generator=generator)
    return net


@pytest.mark.parametrize("name", ["unet", "dit", "encoder_decoder", "transformer"])
@pytest.mark.parametrize("way", WAYS)
def test_nets_read_every_way(name, way, generator):
    net = reader(name, way, generator)
    x, c = torch.randn(2, 3, 16, 16, generator=generator), torch.zeros(2)
    tokens = TOKENIZER(PROMPTS)
    out = net(x, c, tokens)
    swapped = net(x, c, tokens.flip(0))
    assert out.shape == x.shape and (out - swapped).abs().max() > 1e-4
    order = TOKENIZER(["a blue circle above a big red square", PROMPTS[1]])  # the same words
    assert (net(x, c, order)[0] - out[0]).abs().max() > 1e-5
    torch.testing.assert_close(net(x, c, TOKENIZER(["", ""])), net(x, c))  # an empty prompt is the null
    assert net.null == 0
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.text.embed.parameters())


def test_words_that_are_not_there_are_not_read(generator, float64):
    x, words = torch.randn(2, 5, 16, generator=generator), torch.randn(2, 4, 8, generator=generator)
    there = torch.tensor([[True, True, False, False], [True, False, True, False]])
    other = torch.where(there[..., None], words, 100.0)
    for layer in (CrossAttention(16, 2, 8), Attention(16, 2, context=8)):
        torch.testing.assert_close(layer(x, words, there), layer(x, other, there))
        assert (layer(x, words, there) - layer(x, words, ~there)).abs().max() > 1e-3
    alone = Attention(16, 2)
    mask = torch.tensor([[True, True, True, False, False]] * 2)
    torch.testing.assert_close(alone(x, there=mask)[:, :3], alone(x[:, :3]))


@pytest.mark.parametrize("net", [UNet, DiT])
def test_nets_that_cannot_read(net):
    with pytest.raises(ValueError, match="no place for labels"):
        net(3, 16, text=TOKENIZER.encoder(), how="channel")
    with pytest.raises(ValueError, match="cannot read captions"):
        build("cnn", (3, 16, 16), tokenizer=TOKENIZER)


def test_dropped_captions_become_the_null(generator):
    seen = []

    class Spy(torch.nn.Module):
        null = 0

        def forward(self, x, c, cond):
            seen.append(cond)
            return x

    model = Denoiser(Spy(), VP())
    tokens = TOKENIZER(PROMPTS * 100)
    model.loss(torch.zeros(200, 2), tokens, p_uncond=0.3, generator=generator)
    dropped = (seen[0] == 0).all(1)
    assert 0.15 < dropped.float().mean() < 0.45
    assert torch.equal(seen[0][~dropped], tokens[~dropped])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("text") / "run"
    config, dataset = configure("shapes:2", width=16)
    train_run(out, config, dataset, steps=3, progress=False, device="cpu")
    return out


def test_a_run_keeps_its_words(run):
    config = checkpoint.read_config(run)
    assert config.words == vocabulary() and len(config.prompts) == 8 and config.way == "cross"
    assert (run / "samples" / "step_0000003.png").exists()
    assert checkpoint.tokenizer(config)(["red"]).shape == (1, LENGTH)
    assert checkpoint.load(run).null == 0


def test_sample_prompts(run, tmp_path, capsys):
    out = tmp_path / "x.png"
    main(["sample", str(run), "--prompt", "a red circle", "--negative", "a square", "--scale", "3", "--n", "4",
          "--steps", "2", "--out", str(out)])  # fmt: skip
    assert out.exists()
    main(["sample", str(run), "--n", "8", "--steps", "2", "--out", str(out)])
    assert checkpoint.read_config(run).prompts[0] in capsys.readouterr().out


def test_unknown_words_are_named_on_one_line(run, tmp_path):
    with pytest.warns(UserWarning, match="hexagon"):
        main(
            [
                "sample",
                str(run),
                "--prompt",
                "a red hexagon",
                "--n",
                "1",
                "--steps",
                "1",
                "--out",
                str(tmp_path / "x.png"),
            ]
        )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--prompt", "red " * 30], "limit of this model is 16"),
        (["--prompt", "a red circle", "--scale", "nan"], "scale"),
        (["--prompt", "a red circle", "--scale", "much"], "scale"),
        (["--prompt", "a red circle", "--negative", "blue"], "--scale"),
        (["--label", "3"], "without labels"),
    ],
)
def test_bad_prompts_are_refused(run, arguments, says, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["sample", str(run), "--n", "1", *arguments])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and says in lines[0]


def test_a_way_needs_captions():
    with pytest.raises(ValueError, match="no captions to read"):
        configure("digits", way="cross")
    with pytest.raises(ValueError, match="unknown way"):
        configure("shapes", way="sideways")


# --- a folder with captions.csv ---


def folder(path, rows, pictures):
    for i, name in enumerate(pictures):
        (path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (20 * i, 100, 0)).save(path / name)
    with open(path / "captions.csv", "w", newline="") as f:
        csv.writer(f).writerows([("file", "caption"), *rows])
    return f"folder:{path}"


NAMES = [f"{i}.png" for i in range(12)]
ROWS = [(name, f"picture number {i}, a green one") for i, name in enumerate(NAMES)]


def test_a_folder_with_captions_trains_and_samples(tmp_path):
    (tmp_path / "pictures").mkdir()
    spec = folder(tmp_path / "pictures", [*ROWS[:11], ("more/a.png", "Another, beneath")], [*NAMES[:11], "more/a.png"])
    dataset = data.load(spec)
    x, captions = dataset.batch(4, torch.Generator().manual_seed(0))
    assert x.shape == (4, 3, 16, 16) and all(isinstance(c, str) for c in captions)
    green = {f"picture number {i}, a green one": 20 * i for i in range(12)}
    for picture, caption in zip(x, captions, strict=True):  # each keeps its own
        if caption in green:
            assert picture[0].mean().item() == pytest.approx(green[caption] / 127.5 - 1, abs=0.02)
    config, _ = configure(spec, width=16)
    assert "number" in config.words and config.length == 6
    train_run(tmp_path / "run", config, dataset, steps=2, progress=False, device="cpu")
    main(["sample", str(tmp_path / "run"), "--prompt", "a green picture", "--n", "2", "--steps", "2"])


def test_a_folder_with_captions_is_evaluated_by_its_captions(tmp_path, quick_judge, monkeypatch):
    (tmp_path / "pictures").mkdir()
    names = [f"{i}.png" for i in range(120)]
    spec = folder(tmp_path / "pictures", [(name, f"number {i % 10}") for i, name in enumerate(names)], names)
    config, dataset = configure(spec, width=16)
    train_run(tmp_path / "run", config, dataset, steps=2, progress=False, device="cpu")
    drawn = []

    def draw(*args, **options):
        drawn.append((args[4], options["scale"]))
        return compare.draw(*args, **options)

    monkeypatch.setattr("minidiff.evaluate.draw", draw)
    report = evaluate(tmp_path / "run", n=24, few=True, steps=2, device="cpu")
    assert [scale for _, scale in drawn] == [1.0, 2.0] and "scale 2: recall" in report
    for cond, _ in drawn:
        assert cond.shape == (24, config.length) and (cond[:, 0] > 1).all()  # "number": a word it knows
        assert len(cond.unique(dim=0)) > 1


@pytest.mark.parametrize(
    ("rows", "pictures", "says"),
    [
        (ROWS, NAMES[:10], r"2 rows without a picture: 10.png, 11.png"),
        (ROWS[:11], NAMES, r"1 pictures without a row: 11.png"),
        ([*ROWS, ROWS[0]], NAMES, r"0.png is listed twice, the second time in line 14"),
        ([*ROWS[:11], ("11.png", "")], NAMES, r"line 13 lacks"),
        ([], NAMES, r"columns file and caption"),
    ],
)
def test_caption_files_that_do_not_fit_are_refused(tmp_path, rows, pictures, says):
    with pytest.raises(ValueError, match=says):
        data.load(folder(tmp_path, rows, pictures))


# --- CLIP, by Hugging Face's code, from a folder ---


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A tiny CLIP text model with random weights, saved with its tokenizer as the real ones are."""
    transformers = pytest.importorskip("transformers", reason="the extra [clip] is not installed")
    path = tmp_path_factory.mktemp("clip")
    words = [
        "<|startoftext|>",
        "<|endoftext|>",
        *"abcdefghijklmnopqrstuvwxyz",
        *(c + "</w>" for c in "abcdefghijklmnopqrstuvwxyz"),
    ]
    (path / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate([*words[2:], *words[:2]])}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(path / "vocab.json"), str(path / "merges.txt"), model_max_length=20)
    tokenizer.save_pretrained(path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.CLIPTextConfig(
            vocab_size=54, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=20, bos_token_id=52, eos_token_id=53, pad_token_id=53, projection_dim=32,
        )  # fmt: skip
        transformers.CLIPTextModel(config).save_pretrained(path)
    return path


def test_clip_conditions_a_run(clip, tmp_path):
    out = tmp_path / "run"
    main(["train", "--data", "shapes:1", "--width", "16", "--steps", "2", "--text-encoder", f"clip:{clip}",
          "--way", "tokens", "--out", str(out)])  # fmt: skip
    config = checkpoint.read_config(out)
    assert config.text_encoder == f"clip:{clip}" and config.words == []
    model = checkpoint.load(out)
    assert not any("clip" in k or "text_model" in k for k in model.state_dict())
    main(["sample", str(out), "--prompt", "a red cat", "--scale", "2", "--n", "2", "--steps", "2"])


def test_clip_null_is_the_empty_prompt(clip, generator):
    tokenizer = ClipTokenizer(str(clip))
    assert torch.equal(tokenizer([""])[0], tokenizer.null)
    net = build("unet", (3, 16, 16), width=16, patch=2, tokenizer=tokenizer, way="cross").eval()
    x, c = torch.randn(2, 3, 16, 16, generator=generator), torch.zeros(2)
    torch.testing.assert_close(net(x, c), net(x, c, tokenizer(["", ""])))
    words = tokenizer.encoder()(tokenizer(["a", "a b"]))
    assert words.there.sum(1).tolist() == [3, 4] and words.pooled.shape == (2, 32)
    with pytest.raises(ValueError, match="limit of this model is 20"):
        tokenizer(["a " * 30])


def test_clip_bad_folders(tmp_path):
    pytest.importorskip("transformers", reason="the extra [clip] is not installed")
    with pytest.raises(ValueError, match="no config.json"):
        ClipTokenizer(str(tmp_path))
    with pytest.raises(ValueError, match="give clip:PATH"):
        Config("shapes", (3, 16, 16), [], 0.5, "unet", 16, way="cross", text_encoder="t5")


def test_clip_without_transformers(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"\[clip\]"):
        ClipTokenizer(str(tmp_path / "other"))


def test_sliders_draw_and_say_what_is_wrong(run):
    """Each control draws anew; too long a prompt is said in the picture's place."""
    config = checkpoint.read_config(run)
    model, tokenizer = checkpoint.load(run), checkpoint.tokenizer(config)
    box = play.sliders(model, tokenizer, config.shape)
    *controls, picture, message = box.children
    controls = {w.description: w for w in controls}
    assert set(controls) == {"prompt", "negative", "scale", "steps", "seed"}
    for name, value in (("prompt", "a blue cross"), ("scale", 5.0), ("steps", 2), ("seed", 3), ("negative", "red")):
        before = picture.value
        controls[name].value = value
        assert picture.value[:4] == b"\x89PNG" and picture.value != before and message.value == ""
    controls["prompt"].value = "red " * 30
    assert "limit of this model is 16" in message.value


def test_evaluate_reports_attributes_and_chance(run, quick_judge):
    main(["evaluate", str(run), "--n", "20", "--few", "--steps", "2"])
    report = json.loads((run / "evaluation.json").read_text())
    for start in (
        "scale 1: shape as asked",
        "scale 2: relation as asked",
        "scale 2, judged by another's caption: colour",
        "scale 2: recall",
    ):
        assert 0 <= report[start] <= 1


def test_doctor_takes_captioned_data(capsys):
    with pytest.raises(SystemExit) as stopped:  # one step teaches nothing
        main(["doctor", "--data", "shapes:1", "--net", "unet", "--steps", "1"])
    assert stopped.value.code == 1 and "the MODEL is at fault" in capsys.readouterr().out
