import csv
import json
import sys
import unicodedata
from types import SimpleNamespace

import pytest
import torch
from experiments import play
from PIL import Image

from minidiff import data
from minidiff.data import Images
from minidiff.data.shapes.captions import LENGTH, vocabulary
from minidiff.denoise import Denoiser
from minidiff.nets import DiT, UNet, build
from minidiff.nets import text as encoders
from minidiff.nets.layers import Attention, CrossAttention
from minidiff.nets.text import ClipTokenizer, encoder_for
from minidiff.run import checkpoint, generate
from minidiff.run import evaluate as evaluation
from minidiff.run.cli import main
from minidiff.run.config import Text
from minidiff.run.evaluate import evaluate
from minidiff.run.loop import train_run
from minidiff.run.models import tokenizer_of
from minidiff.run.recipes import configure
from minidiff.schedules import VP
from minidiff.text import TEXT_MODES, Tokenizer, split_words, vocabulary_of

TOKENIZER = Tokenizer(vocabulary(), LENGTH)
PROMPTS = ["a red circle above a big blue square", "a tiny golden box"]


def reader(name, mode, generator):
    """A small net that reads, its zero layers filled so that everything shows in its output."""
    net = build(name, (3, 16, 16), width=32, patch=2, tokenizer=TOKENIZER, text_mode=mode).eval()
    for p in net.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.1, generator=generator)
    return net


@pytest.mark.parametrize("name", ["unet", "dit", "encoder_decoder", "transformer"])
@pytest.mark.parametrize("mode", TEXT_MODES)
def test_nets_read_in_every_mode(name, mode, generator):
    net = reader(name, mode, generator)
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


def test_padding_is_not_read(generator, float64):
    x, words = torch.randn(2, 5, 16, generator=generator), torch.randn(2, 4, 8, generator=generator)
    mask = torch.tensor([[True, True, False, False], [True, False, True, False]])
    other = torch.where(mask[..., None], words, 100.0)
    for layer in (CrossAttention(16, 2, 8), Attention(16, 2, context=8)):
        torch.testing.assert_close(layer(x, words, mask), layer(x, other, mask))
        assert (layer(x, words, mask) - layer(x, words, ~mask)).abs().max() > 1e-3
    alone = Attention(16, 2)
    mask = torch.tensor([[True, True, True, False, False]] * 2)
    torch.testing.assert_close(alone(x, mask=mask)[:, :3], alone(x[:, :3]))


@pytest.mark.parametrize("net", [UNet, DiT])
def test_nets_that_cannot_read(net):
    with pytest.raises(ValueError, match="no place for labels"):
        net(3, 16, text=encoder_for(TOKENIZER), conditioning="channel")
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
    assert config.text.words == vocabulary() and len(config.text.prompts) == 8 and config.text.text_mode == "cross"
    assert (run / "samples" / "step_0000003.png").exists()
    assert tokenizer_of(config)(["red"]).shape == (1, LENGTH)
    assert checkpoint.load(run).null == 0


def test_sample_prompts(run, tmp_path, capsys):
    out = tmp_path / "x.png"
    main(["sample", str(run), "--prompt", "a red circle", "--negative", "a square", "--scale", "3", "--n", "4",
          "--steps", "2", "--out", str(out)])  # fmt: skip
    assert out.exists()
    main(["sample", str(run), "--n", "8", "--steps", "2", "--out", str(out)])
    assert checkpoint.read_config(run).text.prompts[0] in capsys.readouterr().out


def test_without_a_prompt_the_runs_eight_are_drawn_in_order(run, tmp_path, monkeypatch):
    given, config = [], checkpoint.read_config(run)
    monkeypatch.setattr(generate, "generate", lambda _, n, *, cond, **__: given.append(cond) or torch.zeros(n, 3, 4, 4))
    main(["sample", str(run), "--n", "16", "--out", str(tmp_path / "x.png")])
    assert torch.equal(given[0], tokenizer_of(config)(config.text.prompts).repeat_interleave(2, 0))


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


def test_a_text_mode_needs_captions():
    with pytest.raises(ValueError, match="no captions to read"):
        configure("digits", text_mode="cross")
    with pytest.raises(ValueError, match="unknown text mode"):
        configure("shapes", text_mode="sideways")


# --- a folder with captions.csv ---


def folder(path, rows, pictures):
    for i, name in enumerate(pictures):
        (path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (20 * i, 100, 0)).save(path / name)
    with open(path / "captions.csv", "w", newline="", encoding="utf-8") as f:
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
    assert "number" in config.text.words and config.text.length == 6
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
        drawn.append((options["cond"], options["scale"]))
        return draw_as_before(*args, **options)

    draw_as_before = evaluation.draw
    monkeypatch.setattr(evaluation, "draw", draw)
    report = evaluate(tmp_path / "run", n=24, few=True, steps=2, device="cpu")
    assert [scale for _, scale in drawn] == [1.0, 2.0] and "scale 2: recall" in report
    for cond, _ in drawn:
        assert cond.shape == (24, config.text.length) and (cond[:, 0] > 1).all()  # "number": a word it knows
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


def write_captions(path, text, names=NAMES):
    """A folder of pictures with a captions.csv of this text, or of these bytes."""
    path.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(path / name)
    (path / "captions.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return f"folder:{path}"


def told(spec):
    """The red of each picture -> its caption, of both parts."""
    parts = [data.load(spec, part) for part in ("train", "test")]
    return {int(p[0, 0, 0]): c for d in parts for p, c in zip(d.pictures, d.captions, strict=True)}


PLAIN = "".join(f"{i}.png,cat {i}\n" for i in range(12))
SAME = {20 * i: f"cat {i}" for i in range(12)}


@pytest.mark.parametrize(
    "text",
    [
        "file,caption\n" + PLAIN,
        "file, caption\n" + PLAIN,
        " File ,CAPTION\n" + PLAIN.replace(",", " ,  "),
        "\ufefffile,caption\n" + PLAIN,
        "caption,file\n" + "".join(f"cat {i},{i}.png\n" for i in range(12)),
        "file,caption\r\n" + PLAIN.replace("\n", "\r\n"),
        "file,caption\r" + PLAIN.replace("\n", "\r"),
        "\n\nfile,caption\n\n" + PLAIN.replace("\n", "\n\n") + "\n,\n",
        "file,caption\n" + PLAIN.strip(),
        '"file","caption"\n' + "".join(f'"{i}.png","cat\n {i}"\n' for i in range(12)),
        "file,caption\n" + "".join(f"./{i}.png,cat {i}\n" for i in range(12)),
        "file,caption\n" + "".join(f".\\{i}.png,cat {i}\n" for i in range(12)),
        "file,caption\n" + "".join(f"more/../{i}.png,cat {i}\n" for i in range(12)),
        "file,caption,\n" + PLAIN.replace("\n", ",\n"),  # as spreadsheets write it
        "file,caption\n" + PLAIN.replace("\n", ",,\n"),
    ],
)
def test_captions_are_read_however_they_are_written(tmp_path, text):
    assert told(write_captions(tmp_path, text)) == SAME


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,caption\n0.png,a red cat, sleeping\n", r"captions\.csv: line 2 has a field too many"),
        ("file,caption\n\n\n0.png,a cat\n\n1.png,a red cat, sleeping\n", "line 6 has a field too many"),
        ('file,caption\n0.png,"a\ncat"\n1.png,a red cat, sleeping\n', "line 4 has a field too many"),
        ("file,caption,\n0.png,a red cat, sleeping\n", "line 2 has a field too many"),
        ("file,caption,caption\n0.png,a,b\n", "columns file and caption, once each.*found file, caption, caption"),
        ("file,File,caption\n0.png,0.png,b\n", "once each"),
        ("file;caption\n0.png;a cat\n", "once each.*found file;caption"),
        ("0.png,a cat\n", "once each.*found 0.png, a cat"),
        ("", "columns file and caption"),
        ("\n\n", "columns file and caption"),
        ("file,caption\n0.png\n", "line 2 lacks its file or its caption"),
        ("file,caption\n,a cat\n", "line 2 lacks"),
        ("file,caption\n0.png,a\n./0.png,b\n", "0.png is listed twice, the second time in line 3"),
        ("file,caption\n../0.png,a\n", r"1 rows without a picture: \.\./0\.png"),
        ('file,caption\n"0\n.png",a\n', r"1 rows without a picture: 0 \.png"),
        ("file,caption\n" + "0" * 999 + ",a\n", r"1 rows without a picture: 0{77}\.\.\.$"),
        ("file,caption\n0.PNG,a\n", r"1 rows without a picture: 0\.PNG"),
        ("file,caption\n0.png,\U0001f534\n", "line 2: 0.png has a caption without a word"),
        ("file,caption\n0.png,...!\n", "line 2: 0.png has a caption without a word"),
        ("file,caption\n\n0.png,- '_\n", "line 3: 0.png has a caption without a word"),
        ('file,caption\n0.png,"a cat\n', r"captions\.csv: cannot be read as CSV in UTF-8 \(line 2"),
        ('file,caption\n0.png,"a" cat\n', r"cannot be read as CSV in UTF-8 \(line 2"),
        ("file,caption\n0.png," + "a" * 200_000 + "\n", r"cannot be read as CSV in UTF-8 \(line 2"),
        ("file,caption\n0.png,un caf\u00e9\n".encode("latin-1"), "cannot be read as CSV in UTF-8"),
        ("file,caption\n0.png,a cat\n".encode("utf-16"), "cannot be read as CSV in UTF-8"),
    ],
)
def test_captions_that_are_unclear_are_refused_by_line(tmp_path, text, says):
    with pytest.raises(ValueError, match=says) as raised:
        data.load(write_captions(tmp_path, text))
    assert str(tmp_path / "captions.csv") in str(raised.value) and "\n" not in str(raised.value)


def test_columns_that_are_not_read_are_said(tmp_path):
    text = "file,caption,Artist\n" + PLAIN.replace("\n", ",me\n")
    with pytest.warns(UserWarning, match=r"captions\.csv: left out the columns artist"):
        assert told(write_captions(tmp_path, text)) == SAME


@pytest.mark.usefixtures("names_in_any_script")
def test_names_and_words_are_the_same_in_both_ways_to_write_a_letter(tmp_path):
    names = ["caf\u00e9.png" if i else "cafe\u0301 1.png" for i in range(2)] + NAMES[2:]
    rows = [(name, "un caf\u00e9" if i % 2 else "un cafe\u0301") for i, name in enumerate(names)]
    rows[:2] = [("cafe\u0301.png", "un cafe\u0301"), ("caf\u00e9 1.png", "un caf\u00e9")]
    loaded = data.load(write_captions(tmp_path, "file,caption\n" + "".join(f"{a},{b}\n" for a, b in rows), names))
    assert loaded.vocabulary() == (["caf\u00e9", "un"], 2)
    tokens = Tokenizer(*loaded.vocabulary())(["Cafe\u0301", "CAF\u00c9"])
    assert torch.equal(tokens[0], tokens[1]) and tokens[0, 0] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u090f\u0915 \u0932\u093e\u0932 \u092c\u093f\u0932\u094d\u0932\u0940", 3),  # Hindi
        ("\u0e41\u0e21\u0e27\u0e2a\u0e35\u0e41\u0e14\u0e07", 1),  # Thai
        ("\u0645\u064e\u0643\u0652\u062a\u064e\u0628\u064e\u0629 \u0643", 2),  # Arabic with its vowels
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", 1),  # Persian, joined by a non-joiner
        ("\u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd", 1),  # Tamil
        ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", 1),  # Hebrew with its points
        ("\u0130stanbul \u0130", 2),  # its small letter is an i and a mark
        ("Vie\u0323\u0302t Nam", 2),
        ("don't well-known a_b", 3),
        ("a cat - \u2764\ufe0f 1\ufe0f\u20e3, 'red'!", 4),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f ... -- ' \u0301", 0),
    ],
)
def test_words_are_whole_in_every_script(text, words):
    found = split_words(text)
    assert len(found) == words and found == split_words(unicodedata.normalize("NFD", text))
    assert all(any(map(str.isalnum, word)) for word in found)


def test_text_without_a_word_is_not_the_empty_prompt():
    for text in ("\U0001f534", "!", "-"):
        for truncate in (False, True):
            with pytest.raises(ValueError, match="has no word in it"):
                TOKENIZER(["a red circle", text], truncate=truncate)
    assert not TOKENIZER(["", " \n"]).any()


def test_one_long_caption_does_not_slow_every_batch():
    captions = ["a red cat"] * 11 + ["long " * 500]
    with pytest.warns(UserWarning, match="1 of 12 captions are cut to 16 words") as said:
        words, length = vocabulary_of(captions)
    assert length == 16 and len(said) == 1
    assert Tokenizer(words, length)(captions, truncate=True).shape == (12, 16)
    with pytest.warns(UserWarning, match="20 of 20 captions are cut to 64 words"):
        assert vocabulary_of(["long " * 500] * 20)[1] == 64
    with pytest.warns(UserWarning, match="1 of 100 captions are cut to 40 words"):
        assert vocabulary_of(["word " * 20] * 99 + ["word " * 41])[1] == 40
    assert vocabulary_of(["word " * 20] * 99 + ["word " * 40])[1] == 40  # none is cut, none is warned of
    assert vocabulary_of(["a " * n for n in range(1, 17)])[1] == 16
    assert vocabulary_of(["a red cat"])[1] == 3
    with pytest.warns(UserWarning, match="cut"):
        assert "late" not in vocabulary_of(["a red cat"] * 11 + ["long " * 500 + "late"])[0]


def test_many_words_are_said_once_and_not_in_every_batch():
    captions = [f"word{i} cat" for i in range(5000)]
    with pytest.warns(UserWarning, match="of 5001 words the 4000 most frequent are told apart") as said:
        words, length = vocabulary_of(captions)
    assert len(said) == 1 and len(words) == 4000 and words[0] == "cat"
    pictures = torch.zeros(5000, 1, 4, 4, dtype=torch.uint8)
    material = Images("x", pictures, None, [], captions)
    tokens = [next(data.batches(material, 64, None, Tokenizer(words, length)))[1] for _ in range(3)]  # warns of nothing
    assert any((t == 1).any() for t in tokens)


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
    (path / "vocab.json").write_text(
        json.dumps({w: i for i, w in enumerate([*words[2:], *words[:2]])}), encoding="utf-8"
    )
    (path / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
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
          "--text-mode", "tokens", "--out", str(out)])  # fmt: skip
    config = checkpoint.read_config(out)
    assert config.text.text_encoder == f"clip:{clip}" and config.text.words == []
    model = checkpoint.load(out)
    assert not any("clip" in k or "text_model" in k for k in model.state_dict())
    main(["sample", str(out), "--prompt", "a red cat", "--scale", "2", "--n", "2", "--steps", "2"])


def test_clip_null_is_the_empty_prompt(clip, generator):
    tokenizer = ClipTokenizer(str(clip))
    assert torch.equal(tokenizer([""])[0], tokenizer.null)
    net = build("unet", (3, 16, 16), width=16, patch=2, tokenizer=tokenizer, text_mode="cross").eval()
    x, c = torch.randn(2, 3, 16, 16, generator=generator), torch.zeros(2)
    torch.testing.assert_close(net(x, c), net(x, c, tokenizer(["", ""])))
    words = encoder_for(tokenizer)(tokenizer(["a", "a b"]))
    assert words.mask.sum(1).tolist() == [3, 4] and words.pooled.shape == (2, 32)
    with pytest.raises(ValueError, match="limit of this model is 20"):
        tokenizer(["a " * 30])


def test_a_clip_encoder_knows_its_length(monkeypatch):
    """Without transformers: what `generate` asks of an encoder."""
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=8))
    monkeypatch.setattr(encoders, "load_clip", lambda path: (None, model))
    encoder = encoders.ClipEncoder("somewhere", torch.tensor([5, 6, 6]))
    reader = Denoiser(UNet(3, 16, None, 16, text=encoder), VP())
    assert reader.given([[5, 1, 6], [5, 6, 6]], torch.empty(2)).shape == (2, 3)
    with pytest.raises(ValueError, match="reads 3 tokens a caption, and got 2"):
        generate.generate(reader, 2, shape=(3, 16, 16), cond=[[5, 6]])


def test_clips_padding_is_told_by_the_tokenizer(monkeypatch):
    """The config of OpenAI's models says that the end is token 2, which it is not."""

    class Model:
        config = SimpleNamespace(hidden_size=8, eos_token_id=2)

        def to(self, device):
            return self

        def __call__(self, input_ids):
            return SimpleNamespace(last_hidden_state=torch.zeros(*input_ids.shape, 8), pooler_output=torch.zeros(2, 8))

    monkeypatch.setattr(encoders, "load_clip", lambda path: (SimpleNamespace(eos_token_id=53), Model()))
    encoder = encoders.ClipEncoder("somewhere", torch.tensor([52, 53, 53, 53]))
    assert encoder(torch.tensor([[52, 53, 53, 53], [52, 7, 8, 53]])).mask.sum(1).tolist() == [2, 4]


def test_a_lone_text_is_one_text():
    tokenizer = Tokenizer(["red", "cube"], 4)
    assert torch.equal(tokenizer("red cube"), tokenizer(["red cube"]))


def test_clip_bad_folders(tmp_path):
    pytest.importorskip("transformers", reason="the extra [clip] is not installed")
    with pytest.raises(ValueError, match="no config.json"):
        ClipTokenizer(str(tmp_path))
    with pytest.raises(ValueError, match="give clip:PATH"):
        Text(text_encoder="t5")


def test_clip_without_transformers(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"\[clip\]"):
        ClipTokenizer(str(tmp_path / "other"))


def test_sliders_draw_and_say_what_is_wrong(run, monkeypatch):
    """Each control draws anew, by what it says; too long a prompt is said in the picture's place."""
    drawn = []
    monkeypatch.setattr(play, "generate", lambda *a, **given: drawn.append(given) or generate.generate(*a, **given))
    config = checkpoint.read_config(run)
    model, tokenizer = checkpoint.load(run), tokenizer_of(config)
    box = play.sliders(model, tokenizer)
    *controls, picture, message = box.children
    controls = {w.description: w for w in controls}
    assert set(controls) == {"prompt", "negative", "scale", "steps", "seed"}
    for name, value in (("prompt", "a blue cross"), ("scale", 5.0), ("steps", 2), ("seed", 3), ("negative", "red")):
        before = picture.value
        controls[name].value = value
        assert picture.value[:4] == b"\x89PNG" and picture.value != before and message.value == ""
    given = drawn[-1]
    assert (given["scale"], given["steps"], given["seed"]) == (5.0, 2, 3)
    for tokens, words in ((given["cond"][-1], "a blue cross"), (given["negative"], "red")):
        assert torch.equal(tokens, tokenizer([words])[0])
    controls["prompt"].value = "red " * 30
    assert "limit of this model is 16" in message.value


def test_evaluate_reports_attributes_and_chance(run, quick_judge):
    main(["evaluate", str(run), "--n", "20", "--few", "--steps", "2"])
    report = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
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
