"""Whatever comes in as data, a good data set comes out, or one line with the name of what is wrong."""

import csv
import io
import os
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import data
from minidiff.data.picture import SUFFIXES
from minidiff.text import Tokenizer, split_words, vocabulary_of

hypothesis = pytest.importorskip("hypothesis", reason="the extra [dev] is not installed")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as arrays  # noqa: E402

pytestmark = pytest.mark.slow
MANY = int(os.environ.get("MINIDIFF_FUZZ", 400))  # examples of each test
bounded = settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck), derandomize=MANY == 400)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@contextmanager
def place():
    """A folder for one example, with a cache of its own; what is left out is said elsewhere."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("MINIDIFF_DATA", f"{name}/cache")
        warnings.simplefilter("ignore", UserWarning)
        root = Path(name) / "in"
        root.mkdir()
        yield root


def good_or_one_line(spec, path, part="train"):
    """The data set, seen to be good; None if it was refused by one line that names the path."""
    try:
        found = data.load(spec, part)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 1500, str(error)
        return None
    x, cond = found.batch(5, torch.Generator().manual_seed(0))
    assert x.shape == (5, *found.shape) and x.dtype == torch.float32 and len(found) > 0
    assert x.isfinite().all() and x.abs().max() <= 1.001
    if found.captioned:
        words, length = found.vocabulary()
        tokens = Tokenizer(words, length)(cond, truncate=True)
        assert tokens.shape == (5, length) and (tokens[:, 0] > 0).all()
    elif found.classes:
        assert len(set(found.classes)) == len(found.classes) and cond.min() >= 0 and cond.max() < len(found.classes)
        if part == "train":  # each class that can be asked for was seen
            assert set(found.labels.tolist()) == set(range(len(found.classes)))
    else:
        assert cond is None
    return found


def encoded(mode, form, **options):
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 4), dtype=np.uint8)
    picture = Image.fromarray(noise, "RGBA").convert("RGB" if mode in ("P", "1", "CMYK", "YCbCr", "I;16") else mode)
    picture = picture.convert("L").convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
    picture.save(out, form, **options)
    return out.getvalue()


def seeds():
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x0131] = 6, 72.0, "a camera"
    turned = {"exif": exif.tobytes()}
    return [
        encoded("RGB", "PNG", **turned), encoded("RGBA", "PNG"), encoded("LA", "PNG"), encoded("I;16", "PNG"),
        encoded("P", "PNG", transparency=3), encoded("1", "PNG", transparency=1), encoded("RGB", "JPEG", **turned),
        encoded("CMYK", "JPEG"), encoded("L", "JPEG", progressive=True), encoded("P", "GIF", transparency=1),
        encoded("RGBA", "WEBP", **turned), encoded("RGB", "BMP"), encoded("RGB", "PPM"), encoded("1", "PPM"),
        encoded("RGB", "TIFF", **turned), encoded("LA", "TIFF"), encoded("CMYK", "TIFF"), encoded("YCbCr", "TIFF"),
        encoded("RGB", "TIFF", compression="tiff_lzw"), encoded("RGB", "TIFF", compression="jpeg"),
    ]  # fmt: skip


@st.composite
def broken(draw, whole):
    """Bytes of a file with some changed, cut off, put in or repeated."""
    raw = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, min(len(raw), draw(st.sampled_from((40, 300, 10**6)))) - 1)))
        match draw(st.sampled_from(("set", "set", "flip", "cut", "insert", "repeat"))):
            case "set":
                raw[at : at + 1] = draw(st.sampled_from((b"\0", b"\1", b"\x7f", b"\xff", b"\xff\xff\xff\xff")))
            case "flip" if raw:
                raw[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del raw[at : at + draw(st.sampled_from((1, 4, 10**6)))]
            case "insert":
                raw[at:at] = draw(st.binary(max_size=8))
            case "repeat":
                raw[at:at] = raw[at : at + draw(st.integers(1, 40))]
    return bytes(raw)


@bounded
@given(broken(seeds()), st.sampled_from(SUFFIXES))
def test_picture_files(raw, suffix):
    with place() as root:
        Image.new("RGB", (8, 8)).save(root / "0.png")
        (root / f"1{suffix}").write_bytes(raw)
        good_or_one_line(f"folder:{root}", root / f"1{suffix}")


@bounded
@given(st.binary(max_size=200), st.sampled_from(SUFFIXES))
def test_files_that_are_no_pictures(raw, suffix):
    with place() as root:
        (root / f"0{suffix}").write_bytes(raw)
        assert good_or_one_line(f"folder:{root}", root) is None


NAMES = st.one_of(
    st.sampled_from(["train", "test", "Train", "cat", "dog", "caf\u00e9", "cafe\u0301", ".hidden", "__MACOSX", "0.png",
                     "1.jpg", "a.JPE", "b.txt", "captions.csv", "Thumbs.db", "._0.png", "a b", "$5_$", "-", "\u202eo"]),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
)  # fmt: skip
KINDS = st.sampled_from(["picture", "picture", "picture", "empty", "folder", "broken link", "loop", "text"])


@bounded
@given(
    st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), KINDS), max_size=12), st.sampled_from(["train", "test"])
)
def test_folders(entries, part):
    with place() as root:
        for names, kind in entries:
            path = root.joinpath(*names)
            if kind == "picture" and len(names) > 1:  # more often than by chance
                path = path.with_name(path.name.replace(".", "") + ".png")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                match kind:
                    case "picture":
                        Image.new("RGB", (8, 8), "red").save(path, "PNG")
                    case "empty":
                        path.touch()
                    case "text":
                        path.write_text("file,caption\n0.png,a cat\n", encoding="utf-8")
                    case "folder":
                        path.mkdir()
                    case "broken link":
                        path.symlink_to("nowhere")
                    case "loop":
                        path.symlink_to(root)
            except (OSError, ValueError):
                continue  # no such name, or it is there already
        found = good_or_one_line(f"folder:{root}", root, part)
        if found is not None and not found.captioned and part == "train":
            there = {p for p in root.rglob("*.png") if p.is_file() and p.stat().st_size and not p.name.startswith(".")}
            assert len(found) <= max(1, len(there)) + len(entries)


CELLS = st.one_of(
    TEXT, st.sampled_from(["0.png", "1.png", "./1.png", "a cat", "\U0001f534", "", " ", '"', "a, b", "x\ny"])
)


@bounded
@given(
    st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6),
    st.sampled_from(["file,caption", " File, caption ", "caption,file,x", "file,caption,", "file,caption,caption", ""]),
    st.booleans(),
)
def test_captions(rows, head, proper):
    with place() as root:
        for i in range(3):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(root / f"{i}.png")
        out = io.StringIO()
        if proper:
            csv.writer(out).writerows([["0.png", "a"], ["1.png", "b"], *rows])
        text = head + "\n" + (out.getvalue() if proper else "\n".join(",".join(row) for row in rows))
        (root / "captions.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
        good_or_one_line(f"folder:{root}", root / "captions.csv")


@bounded
@given(st.lists(TEXT.filter(split_words), min_size=3, max_size=8))
def test_captions_that_are_properly_written_are_read(captions):
    with place() as root:
        for i in range(len(captions)):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(root / f"{i}.png")
        with open(root / "captions.csv", "w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([("file", "caption"), *((f"{i}.png", c) for i, c in enumerate(captions))])
        try:
            parts = [data.load(f"folder:{root}", part) for part in ("train", "test")]
        except ValueError as error:  # older Pythons cannot read a zero
            assert "\0" in "".join(captions), error
            return
        read = {int(p[0, 0, 0]): c for d in parts for p, c in zip(d.pictures, d.captions, strict=True)}
        assert [split_words(read[i]) for i in range(len(captions))] == [split_words(c) for c in captions]


@bounded
@given(st.lists(TEXT, min_size=1, max_size=6))
def test_texts(texts):
    rows = [split_words(t) for t in texts]
    assert all(w and w.split() == [w] and any(map(str.isalnum, w)) for row in rows for w in row)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        words, length = vocabulary_of(texts)
        tokenizer = Tokenizer(words, max(1, length))
        try:
            tokens = tokenizer(texts)
        except ValueError as error:
            assert any(t.strip() and not row for t, row in zip(texts, rows, strict=True)), error
            return
    assert (tokens > 1).sum().item() == sum(map(len, rows)) and (tokens != 1).all()


DTYPES = st.one_of(
    st.sampled_from(["u1", "u1", "f4", "f2", ">f8", "i8", "u2", "?", "c8", "U3", "S3", "M8[s]"]).map(np.dtype),
    arrays.scalar_dtypes(),
)
SHAPES = st.one_of(
    st.sampled_from([(6, 4, 4, 3), (6, 4, 4), (6, 4, 4, 1), (0, 4, 4, 3), (6, 3, 4, 4), (6,), (6, 1), (), (4, 4, 3)]),
    arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6),
)


@bounded
@given(
    arrays.arrays(DTYPES, SHAPES),
    st.one_of(st.none(), arrays.arrays(DTYPES, st.one_of(st.just((6,)), SHAPES))),
    st.booleans(),
    st.sampled_from(["train", "test"]),
)
def test_arrays(images, labels, spread, part):
    if spread and images.dtype.kind == "f" and images.size:  # mostly into the range
        with np.errstate(all="ignore"):
            images = (np.arange(images.size) % 9 / 4.5 - 1).reshape(images.shape).astype(images.dtype)
    with place() as root:
        path = root / "x.npz"
        np.savez(path, images=images, **({} if labels is None else {"labels": labels}))
        found = good_or_one_line(f"npz:{path}", path, part)
        if found is not None and labels is not None and labels.dtype.kind in "iu":
            assert set(found.classes) == {str(v) for v in labels.flatten()}


@bounded
@given(st.data(), st.sampled_from([np.savez, np.savez_compressed]))
def test_broken_archives(draw, save):
    out = io.BytesIO()
    save(out, images=np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4), labels=np.arange(6) % 2)
    raw = draw.draw(broken([out.getvalue()]))
    with place() as root:
        path = root / "x.npz"
        path.write_bytes(raw)
        good_or_one_line(f"npz:{path}", path)


@bounded
@given(TEXT)
def test_specs(spec):
    if spec.split(":")[0] in data.NAMES:
        return
    with place() as root:
        for one in (spec, f"folder:{root}/{spec}", f"npz:{root}/{spec}", f"folder:~{spec}-", f"shapes:x{spec}"):
            with pytest.raises(ValueError):
                data.load(one)
