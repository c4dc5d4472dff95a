import os
import re
import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin, features

from minidiff import data
from minidiff.data import Images, images, picture, toys
from minidiff.data import folder as folder_module


@pytest.mark.parametrize("name", [*toys.EXACT, *toys.SAMPLED])
def test_toys(name, generator):
    toy = data.load(name)
    x, labels = toy.batch(4000, generator)
    assert x.shape == (4000, 2) and x.dtype == torch.float32 and labels.dtype == torch.int64
    assert x.abs().max() < 1.3 and 0.3 < x.std() < 0.7
    assert set(labels.tolist()) == set(range(len(toy.classes)))
    again, _ = toy.batch(4000, torch.Generator().manual_seed(0))
    assert torch.equal(x, again)


def test_classes_of_exact_toys_have_their_own_density(generator):
    mixture = toys.branches()
    x, labels = mixture.sample_labelled(2000, generator)
    logs = torch.stack([mixture.given(i).log_prob(x) for i in (0, 1)], 1)
    assert (logs.argmax(1) == labels).float().mean() > 0.95


def test_checkerboard_leaves_the_white_squares_empty(generator):
    x, _ = toys.checkerboard(5000, generator)
    row, column = ((x + 1) * 2).long().T
    assert ((row + column) % 2 == 0).all()
    assert len(set(zip(row.tolist(), column.tolist(), strict=True))) == 8


def test_a_new_data_set_costs_one_entry(monkeypatch):
    """What can be asked for, and what is refused, follows from the entry."""
    line = torch.linspace(-1, 1, 9)[:, None].expand(9, 2)

    class Line(data.Data):
        name, shape, classes = "line", (2,), ()

        def batch(self, n, generator=None):
            return line[torch.randint(9, (n,), generator=generator)], None

    monkeypatch.setitem(data.SOURCES, "line", data.Source(lambda spec, part, size: Line()))
    loaded = data.load("line")
    assert data.std(loaded) > 0.5 and not loaded.captioned and loaded.mixture is None
    assert loaded.to("cpu") is loaded and loaded.fingerprint() is None and data.size_for("line", (2,)) is None
    x, cond = next(data.batches(loaded, 3))
    assert x.shape == (3, 2) and cond is None
    refuse("unknown data 'line:3'", data.load, "line:3")
    refuse("leave out the size for line", data.load, "line", "train", 8)


def test_fixed_pictures_are_the_same_every_time():
    digits, shapes = data.load("digits"), data.load("shapes:1")
    for dataset in (digits, shapes):
        assert dataset.some(700).shape == (700, *dataset.shape)
        assert torch.equal(dataset.some(700), dataset.some(700))
    assert not torch.equal(shapes.some(9, 1), shapes.some(9, 2))
    x, labels = (torch.cat(v) for v in zip(*digits.parts(), strict=True))
    assert torch.equal(x, digits.at(torch.arange(len(digits)))) and torch.equal(labels, digits.labels)
    (x, said), (y, more) = shapes.parts(700)
    assert (len(x), len(y)) == (500, 200) and torch.equal(torch.cat([x, y]), shapes.some(700, seed=0))
    assert all(isinstance(c, str) for c in said + more)


def test_digits():
    train, test = data.load("digits"), data.load("digits", "test")
    assert train.shape == (1, 8, 8) and len(train) + len(test) == 1797 and len(test) == 359
    x, labels = train.batch(64, torch.Generator().manual_seed(0))
    assert x.min() == -1 and x.max() == 1 and labels.max() == 9
    ours, theirs = ({p.numpy().tobytes() for p in part.pictures} for part in (train, test))
    assert not ours & theirs  # nothing held out is trained on


def test_photos():
    train, test = data.load("photos"), data.load("photos", "test", 16)
    assert train.shape == (3, 32, 32) and test.shape == (3, 16, 16) and (len(train), len(test)) == (20_000, 2000)
    assert train.classes == ["temple", "flower"] and torch.equal(train.pictures, data.load("photos").pictures)
    with pytest.raises(ValueError, match="4 to 64 pixels, not 65"):
        data.load("photos", size=65)


def test_held_out_photos_are_from_elsewhere(monkeypatch):
    """With photographs whose brightness is their column, no brightness is both in a training and a held-out crop."""
    ramp = np.broadcast_to((np.arange(640) * 255 // 640).astype(np.uint8)[None, :, None], (427, 640, 3))
    fake = type("Bunch", (), {"images": [ramp, ramp]})
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: fake)
    ours, theirs = (set(data.load("photos", part).pictures.unique().tolist()) for part in ("train", "test"))
    assert not ours & theirs and len(ours) > 150 and len(theirs) > 50


def folder(root, sizes=((10, 10), (12, 16)), n=12, classes=("cat", "dog"), mode="RGB"):
    rng = np.random.default_rng(0)
    for c in classes:
        (root / c).mkdir(parents=True)
        for i in range(n):
            width, height = sizes[i % len(sizes)]
            shape = (height, width, 3) if mode == "RGB" else (height, width)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / c / f"{i:02}.png")
    return root


def test_folder(tmp_path):
    root = folder(tmp_path / "pets", sizes=((12, 12), (12, 16)))
    train, test = (data.load(f"folder:{root}", part) for part in ("train", "test"))
    assert train.shape == (3, 12, 12) and (len(train), len(test)) == (22, 2)
    assert train.classes == ["cat", "dog"] and train.pictures.dtype == torch.uint8
    with Image.open(root / "cat" / "00.png") as picture:
        first = np.asarray(picture).transpose(2, 0, 1)
    assert any((first == p.numpy()).all() for p in torch.cat([train.pictures, test.pictures]))
    assert data.load(f"folder:{root}", size=8).shape == (3, 8, 8)


def test_folder_is_cached_until_a_picture_changes(tmp_path, monkeypatch):
    root = folder(tmp_path / "pets")
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "cache"))
    once = data.load(f"folder:{root}")
    with monkeypatch.context() as m:
        m.setattr("minidiff.data.folder._read_pictures", None)  # a second reading would fail
        assert torch.equal(data.load(f"folder:{root}").pictures, once.pictures)
    Image.new("RGB", (10, 10), "red").save(root / "cat" / "00.png")
    both = torch.cat([data.load(f"folder:{root}", part).pictures for part in ("train", "test")])
    assert any((p[0] == 255).all() and (p[1:] == 0).all() for p in both)


def test_folder_of_grey_pictures_and_given_splits(tmp_path):
    folder(tmp_path / "train", mode="L")
    folder(tmp_path / "test", n=3, mode="L")
    train, test = (data.load(f"folder:{tmp_path}", part) for part in ("train", "test"))
    assert train.shape == (1, 8, 8) and (len(train), len(test)) == (24, 6)
    assert 0 < train.labels[:12].sum() < 12  # mixed: a part of it is of both classes


def test_grey_and_coloured_parts_of_a_folder(tmp_path):
    """Grey test pictures count as coloured where those of train are; the reverse is refused."""
    folder(tmp_path / "x" / "train", mode="RGB")
    folder(tmp_path / "x" / "test", n=3, mode="L")
    assert (
        data.load(f"folder:{tmp_path / 'x'}", "test").shape == data.load(f"folder:{tmp_path / 'x'}").shape == (3, 8, 8)
    )
    folder(tmp_path / "y" / "train", mode="L")
    folder(tmp_path / "y" / "test", n=3, mode="RGB")
    refuse("in colour, and those of .* are all grey", data.load, f"folder:{tmp_path / 'y'}", "test")


def test_captions_in_capitals_where_case_does_not_count(tmp_path, monkeypatch):
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    listed = tmp_path / "Captions.CSV"
    listed.write_text("file,caption\n" + "".join(f"{i}.png,picture {i}\n" for i in range(12)), encoding="utf-8")
    is_file, opened = Path.is_file, open
    found = {tmp_path / "captions.csv": listed}
    monkeypatch.setattr(Path, "is_file", lambda p: is_file(found.get(p, p)))
    monkeypatch.setattr("builtins.open", lambda p, *args, **options: opened(found.get(p, p), *args, **options))
    assert data.load(f"folder:{tmp_path}").captioned


def test_folder_without_classes_has_no_labels(tmp_path):
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    assert data.load(f"folder:{tmp_path}").batch(4)[1] is None


def test_pictures_are_turned_as_their_camera_was(tmp_path):
    picture = Image.new("RGB", (8, 8), "black")
    picture.paste("white", (0, 0, 8, 4))  # white above
    turned = Image.Exif()
    turned[0x0112] = 6  # "turn me by 90 degrees clockwise"
    for i in range(12):
        picture.save(tmp_path / f"{i}.jpg", exif=turned, quality=95)
    x = data.load(f"folder:{tmp_path}").pictures
    assert x[..., 5:].float().mean() > 200 and x[..., :3].float().mean() < 50  # white to the right


def test_odd_sizes_become_multiples_of_four(tmp_path):
    assert data.load(f"folder:{folder(tmp_path / 'pets', sizes=((50, 50),))}").shape == (3, 48, 48)


def test_npz_round_trip(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=pictures, labels=np.arange(20) % 3)
    loaded = data.load(f"npz:{tmp_path / 'x.npz'}")
    assert loaded.shape == (3, 8, 8) and len(loaded) == 18 and loaded.classes == ["0", "1", "2"]


def refuse(words, call, *args):
    with pytest.raises(ValueError, match=words):
        call(*args)


def test_bad_folders(tmp_path):
    refuse("does not exist", data.load, f"folder:{tmp_path / 'nowhere'}")
    refuse("has no pictures", data.load, f"folder:{tmp_path}")
    root = folder(tmp_path / "pets")
    (root / "emu").mkdir()
    refuse("emu has no pictures", data.load, f"folder:{root}")
    (root / "emu").rmdir()
    whole = (root / "dog" / "03.png").read_bytes()
    (root / "dog" / "03.png").write_bytes(whole[: len(whole) // 2])
    refuse(r"dog/03\.png: cannot be read", data.load, f"folder:{root}")
    (root / "dog" / "03.png").write_text("no picture", encoding="utf-8")
    refuse(r"dog/03\.png: cannot be read", data.load, f"folder:{root}")
    (root / "dog" / "03.png").unlink()
    Image.fromarray(np.full((8, 8), 200.0, np.float32)).save(root / "dog" / "03.tiff")
    refuse("has F pixels", data.load, f"folder:{root}")

    (root / "dog" / "03.tiff").rename(root / "03.png")
    refuse("has pictures beside class folders", data.load, f"folder:{root}")
    np.savez(tmp_path / "flat.npz", images=np.zeros((20, 8, 8, 1), np.uint8))
    refuse("nothing to learn", data.std, data.load(f"npz:{tmp_path / 'flat.npz'}"))


def test_bad_arrays(tmp_path):
    labels = torch.zeros(4, dtype=torch.long)
    refuse(
        r"must lie in \[-1, 1\], got 0 to 255",
        Images,
        "x",
        torch.linspace(0, 255, 256).reshape(4, 1, 8, 8),
        labels,
        ["a"],
    )
    refuse("got nan", Images, "x", torch.full((4, 1, 8, 8), torch.nan), labels, ["a"])
    refuse("move the channels", Images, "x", torch.zeros(4, 8, 8, 3), labels, ["a"])
    refuse("uint8 or floats", Images, "x", torch.zeros(4, 1, 8, 8, dtype=torch.int32), labels, ["a"])
    refuse("labels must be 0 to 0", Images, "x", torch.zeros(4, 1, 8, 8), labels + 1, ["a"])
    refuse("4 pictures, but labels", Images, "x", torch.zeros(4, 1, 8, 8), labels[:3], ["a"])
    np.savez(tmp_path / "floats.npz", images=np.random.default_rng(0).uniform(0, 255, (20, 8, 8, 1)))
    refuse(r"must lie in \[-1, 1\]", data.load, f"npz:{tmp_path / 'floats.npz'}")
    (tmp_path / "bad.npz").write_text("no", encoding="utf-8")
    refuse("not a readable", data.load, f"npz:{tmp_path / 'bad.npz'}")
    refuse("unknown data 'imagenet'", data.load, "imagenet")
    refuse("leave out the size for digits", data.load, "digits", "train", 16)


def test_a_download_without_a_network_names_what_works_without(monkeypatch):
    import torchvision

    def offline(*_args, **_kwargs):
        raise OSError("name or service not known")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", offline)
    refuse("could not be downloaded.*use digits", data.load, "cifar10")


@pytest.mark.parametrize("name, size, shape", [("cifar10", 32, (3, 32, 32)), ("mnist", 28, (1, 28, 28))])
def test_torchvision_layouts(name, size, shape, monkeypatch):
    """The pictures of torchvision's classes, (N, H, W, C) arrays or (N, H, W) tensors, end up channels first."""
    import torchvision

    class Stand:
        def __init__(self, root, train, download):
            raw = np.zeros((5, size, size, 3), np.uint8)
            raw[:, 0, :, 0] = 9
            self.data = raw if name == "cifar10" else torch.from_numpy(raw[..., 0])
            self.targets, self.classes = [0, 1, 2, 0, 1], ["a", "b", "c"]

    monkeypatch.setattr(torchvision.datasets, images.TORCHVISION[name], Stand)
    loaded = data.load(name)
    assert loaded.shape == shape and (loaded.pictures[:, 0, 0] == 9).all() and (loaded.pictures[:, 0, 1] == 0).all()


def several(root, save, n=12):
    """n files by save(path without suffix), and the data set of their folder."""
    root.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        save(root / f"{i:02}")
    return data.load(f"folder:{root}")


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth, colour, row, *chunks):
    """An 8 x 8 PNG of eight equal rows, with further chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def see_through(mode):
    """A picture, its left half transparent with a grey hidden under it, its right half black, and how to save it."""
    grey = {"RGB": (85, 85, 85), "RGBA": (85, 85, 85, 0), "LA": (85, 0), "PA": (85, 0)}.get(mode, 85)
    black = {"RGB": (0, 0, 0), "RGBA": (0, 0, 0, 255), "LA": (0, 255), "PA": (0, 255)}.get(mode, 0)
    picture = Image.new(mode, (8, 8), black)
    if mode in ("P", "PA"):
        picture.putpalette([v for i in range(256) for v in (i, i, i)])
    picture.paste(1 if mode == "1" else grey, (0, 0, 4, 8))
    return picture, {} if mode in ("RGBA", "LA", "PA") else {"transparency": 1 if mode == "1" else grey}


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", "png"), ("RGBA", "tif"), ("LA", "png"), ("LA", "tif"), ("PA", "tif"), ("P", "png"), ("P", "gif"),
     ("L", "png"), ("L", "gif"), ("RGB", "png"), ("1", "png")],
)  # fmt: skip
def test_what_is_transparent_is_white(tmp_path, mode, suffix):
    picture, options = see_through(mode)
    with pytest.warns(UserWarning, match="12 of 12 pictures have transparent parts") as said:
        x = several(tmp_path / mode, lambda p: picture.save(p.with_suffix(f".{suffix}"), **options)).pictures
    assert (x[..., :4] == 255).all() and (x[..., 4:] == 0).all() and len(said) == 1
    assert x.shape[1] == (1 if mode in ("L", "LA", "1") and suffix != "gif" else 3)


@pytest.mark.parametrize(
    ("depth", "colour", "row", "clear"),
    [
        (2, 0, b"\x55\x00", b"\0\1"),
        (4, 0, b"\x55\x55\0\0", b"\0\5"),
        (16, 2, b"\x55\x66" * 12 + bytes(24), b"\x55\x66" * 3),
        (8, 0, b"\x55" * 4 + bytes(4), b"\0\x55"),
    ],
)
def test_a_transparent_colour_is_of_the_depth_of_its_file(tmp_path, depth, colour, row, clear):
    whole = png(depth, colour, row, chunk(b"tRNS", clear))
    with pytest.warns(UserWarning, match="laid on white"):
        x = several(tmp_path / "in", lambda p: p.with_suffix(".png").write_bytes(whole)).pictures
    assert (x[..., :4] == 255).all() and (x[..., 4:] == 0).all()


@pytest.mark.parametrize("mode", ["La", "RGBa", "RGBA", "LA", "PA"])
def test_modes_with_alpha_are_laid_on_white(mode):
    """Premultiplied ones as well, which few files hold."""
    flat, said = picture._flat(Image.new(mode, (4, 4)))
    assert flat.getextrema() in ((255, 255), ((255, 255),) * 3) and said
    opaque, said = picture._flat(Image.new("RGBA", (4, 4), "red").convert("RGBa" if mode == "RGBa" else "RGBA"))
    assert opaque.getpixel((0, 0)) == (255, 0, 0) and not said


def test_hidden_colours_do_not_count_and_opaque_pictures_pass_without_a_word(tmp_path):
    def save(colour, alpha):
        return lambda p: Image.new("RGBA", (8, 8), (*colour, alpha)).save(p.with_suffix(".png"))

    with pytest.warns(UserWarning, match="laid on white"):
        a, b = (several(tmp_path / str(c[0]), save(c, 0)).pictures for c in ((0, 0, 0), (200, 9, 9)))
    assert torch.equal(a, b)
    assert several(tmp_path / "opaque", save((1, 2, 3), 255)).pictures[0, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("mode", "suffix"), [("I;16", "png"), ("I;16", "tif"), ("I;16B", "tif"), ("I", "tif"), ("F", "tif"), ("I", "pgm")]
)
def test_pixels_of_more_than_8_bits_are_refused_by_name(tmp_path, mode, suffix):
    Image.new(mode, (8, 8)).save(tmp_path / f"0.{suffix}")
    refuse(rf"0\.{suffix}: has [IF].* pixels", data.load, f"folder:{tmp_path}")


def test_colours_of_16_bits_are_read_as_8(tmp_path):
    row = struct.pack(">HHH", 0x1234, 0xABCD, 0xFFFF) * 8
    x = several(tmp_path / "in", lambda p: p.with_suffix(".png").write_bytes(png(16, 2, row))).pictures
    assert x[0, :, 0, 0].tolist() == [0x12, 0xAB, 0xFF]


def test_of_several_frames_the_first_is_taken_and_it_is_said(tmp_path):
    frames = [Image.new("L", (8, 8), v) for v in (0, 128)]
    with pytest.warns(UserWarning, match="12 of 12 pictures have several frames"):
        x = several(tmp_path / "in", lambda p: frames[0].save(p.with_suffix(".gif"), save_all=True,
                                                              append_images=frames[1:])).pictures  # fmt: skip
    assert (x == 0).all()
    for p in (tmp_path / "in").iterdir():
        p.write_bytes(p.read_bytes()[:-20])  # in the second
    assert (data.load(f"folder:{tmp_path / 'in'}").pictures == 0).all()


@pytest.mark.parametrize(
    "error",
    [AttributeError("no"), struct.error("no"), TypeError("no"), ValueError("no"), KeyError("no"), IndexError("no"),
     MemoryError(), RecursionError("no"), zlib.error("no"), SyntaxError("no"), OSError("no"), NotImplementedError(),
     Image.DecompressionBombError("no"), Image.DecompressionBombWarning("no"), UserWarning("no")],
    ids=lambda e: type(e).__name__,
)  # fmt: skip
def test_whatever_the_picture_library_throws_is_one_line(tmp_path, monkeypatch, error):
    root = folder(tmp_path / "pets")

    def broken(*_):
        raise error

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(ValueError, match=r"cat/00\.png: cannot be read as a picture \(.+\)") as raised:
        data.load(f"folder:{root}")
    assert "\n" not in str(raised.value)


def test_a_picture_that_would_fill_the_memory_is_named(tmp_path):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    refuse(r"bomb\.png: cannot be read.*pixels", data.load, f"folder:{tmp_path}")


def exif(*entries):
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


TURN = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)  # by 90 degrees clockwise
MISTYPED = [struct.pack("<HHI", 0x11A, 2, 4) + b"72\0\0", struct.pack("<HHIHH", 0x128, 3, 1, 3, 0)]


@pytest.mark.parametrize(
    ("metadata", "turned"),
    [(exif(TURN, MISTYPED[0]), True), (exif(TURN, *MISTYPED), True), (exif(*MISTYPED), False), (b"Exif\0\0", False),
     (b"Exif\0\0II*\0\xff\xff\xff\xff", False), (b"Exif\0\0junk", False), (exif(TURN)[:20], False),
     (exif(struct.pack("<HHI", 0x112, 2, 4) + b"six\0"), False)],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_broken_metadata_never_costs_a_good_picture(tmp_path, metadata, turned, suffix):
    plain = Image.new("RGB", (8, 8), "black")
    plain.paste("white", (0, 0, 8, 4))

    def save(path):
        path = path.with_suffix(f".{suffix}")
        if suffix == "webp":
            return plain.save(path, lossless=True, exif=metadata)
        plain.save(path, quality=95)
        raw = path.read_bytes()
        segment = b"\xff\xe1" + struct.pack(">H", len(metadata) + 2) + metadata
        at, segment = (2, segment) if suffix == "jpg" else (33, chunk(b"eXIf", metadata[6:]))
        path.write_bytes(raw[:at] + segment + raw[at:])

    x = several(tmp_path / "in", save).pictures.float()
    bright, dark = (x[..., 5:], x[..., :3]) if turned else (x[..., :3, :], x[..., 5:, :])
    assert bright.mean() > 200 and dark.mean() < 50


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))],
        [chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(3_000_000)))],
        [chunk(b"tEXt", b"a\0b")[:-1] + b"?"],
        [chunk(b"iCCP", b"a\0\0not compressed")],
        [chunk(b"pHYs", b"?")],
        [chunk(b"gAMA", b"?"), chunk(b"cHRM", b"??"), chunk(b"sRGB", b""), chunk(b"zTXt", b"a\0\7")],
    ],
)
def test_broken_chunks_beside_the_pixels_never_cost_a_good_picture(tmp_path, chunks):
    whole = png(8, 2, bytes((1, 2, 3)) * 8, *chunks)
    x = several(tmp_path / "in", lambda p: p.with_suffix(".png").write_bytes(whole)).pictures
    assert x[0, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "tags",
    [{282: (2, "72"), 283: (2, "72"), 296: (3, 3)}, {700: (3, 5)}, {296: (2, "cm")}, {34675: (2, "x")},
     {34665: (2, "x")}, {34665: (4, 10**9)}, {305: (3, 7)}, {700: (3, 5), 274: (3, 6)}],
)  # fmt: skip
def test_broken_tags_of_a_tiff_never_cost_a_good_picture(tmp_path, tags):
    kept = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, (kind, value) in tags.items():
        kept.tagtype[tag], kept[tag] = kind, value
    plain = Image.new("RGB", (8, 8), "black")
    plain.paste("white", (0, 0, 8, 4))
    x = several(tmp_path / "in", lambda p: plain.save(p.with_suffix(".tif"), tiffinfo=kept)).pictures
    bright, dark = (x[..., 4:], x[..., :4]) if 274 in tags else (x[..., :4, :], x[..., 4:, :])
    assert (bright == 255).all() and (dark == 0).all()


@pytest.mark.parametrize(
    ("kind", "segment"),
    [(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"), (0xE2, b"ICC_PROFILE\0"), (0xE2, b"MPF\0junk"),
     (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0"), (0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10a"),
     (0xFE, b"\xff")],
)  # fmt: skip
def test_broken_segments_of_a_jpeg_never_cost_a_good_picture(tmp_path, kind, segment):
    def save(path):
        path = path.with_suffix(".jpg")
        Image.new("RGB", (8, 8), "white").save(path)
        raw = path.read_bytes()
        path.write_bytes(raw[:2] + bytes((0xFF, kind)) + struct.pack(">H", len(segment) + 2) + segment + raw[2:])

    assert (several(tmp_path / "in", save).pictures > 250).all()


# --- which files of a folder are read ---


def test_pictures_in_folders_of_a_class_folder_are_of_the_class(tmp_path):
    root = folder(tmp_path, sizes=((8, 8),), classes=("cat", "cat/young", "dog"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / ".elsewhere")  # hidden
    both = [data.load(f"folder:{root}", part) for part in ("train", "test")]
    assert both[0].classes == ["cat", "dog"]
    assert torch.cat([b.labels for b in both]).bincount().tolist() == [24, 12]


@pytest.mark.parametrize("suffix", ["JPE", "jfif", "avif", "dib", "pnm", "pbm", "apng", "TIFF", "Jpeg", "webp"])
def test_every_usual_suffix_is_read(tmp_path, suffix):
    if suffix == "avif" and ("avif" not in features.modules or not features.check("avif")):
        pytest.skip("this Pillow cannot read AVIF")
    form = {"jpe": "JPEG", "jfif": "JPEG", "pnm": "PPM", "pbm": "PPM", "apng": "PNG"}.get(suffix.lower(), suffix)
    mode = "1" if suffix == "pbm" else "RGB"
    assert len(several(tmp_path / "in", lambda p: Image.new(mode, (8, 8)).save(f"{p}.{suffix}", form.upper()))) == 11


def test_what_is_left_out_is_counted_and_said(tmp_path):
    root = folder(tmp_path / "pets", sizes=((8, 8),))
    (root / "cat" / "notes.txt").write_text("x", encoding="utf-8")
    (root / "cat" / "phone.heic").write_text("x", encoding="utf-8")
    (root / "dog" / "99.png").symlink_to("nowhere")
    (root / "dog" / "again").symlink_to(root)  # a circle
    (root / "README.md").write_text("x", encoding="utf-8")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._00.png"):  # what systems put everywhere
        (root / "cat" / name).write_text("x", encoding="utf-8")
    (root / "cat" / "00").mkdir()
    (root / "cat" / "01.png.d").mkdir()
    said = r"left out 5 that are no picture files: README\.md, cat/notes\.txt, cat/phone\.heic, dog/99\.png, dog/again$"
    with pytest.warns(UserWarning, match=said):
        assert len(data.load(f"folder:{root}")) == 22


def test_a_folder_named_as_a_picture_is_a_class(tmp_path):
    assert data.load(f"folder:{folder(tmp_path, classes=('a.png', 'b.png'))}").classes == ["a.png", "b.png"]


@pytest.mark.parametrize("beside", ["bus", "bus/deep", "val", "Train", "Test.2", "0.png", "captions.csv"])
def test_beside_train_nothing_is_left_out_in_silence(tmp_path, beside):
    folder(tmp_path, classes=("train", "test"))
    other = tmp_path / beside
    if "." in beside and beside != "Test.2":
        other.write_bytes((tmp_path / "train" / "00.png").read_bytes())
    else:
        if other.exists():
            pytest.skip("this file system does not tell Train from train")
        other.mkdir(parents=True)
    name = re.escape(beside.split("/")[0])
    refuse(rf"{tmp_path.name} has train/ beside {name}|[tT]rain/ beside [tT]rain", data.load, f"folder:{tmp_path}")


def test_what_else_lies_beside_train_is_said(tmp_path):
    folder(tmp_path, sizes=((8, 8),), classes=("Train", "TEST"))  # a file system may not tell them apart
    (tmp_path / "LICENSE").write_text("x", encoding="utf-8")
    for part in ("train", "test"):
        with pytest.warns(UserWarning, match="left out 1 that are no picture files: LICENSE"):
            assert len(data.load(f"folder:{tmp_path}", part)) == 12


def test_the_classes_of_test_are_those_of_train(tmp_path):
    folder(tmp_path / "train", classes=("cat", "dog", "emu"))
    folder(tmp_path / "test", classes=("emu", "dog"))
    test = data.load(f"folder:{tmp_path}", "test")
    assert test.classes == ["cat", "dog", "emu"] and set(test.labels.tolist()) == {1, 2}
    folder(tmp_path / "test", classes=("fox",))
    refuse("fox is of a class that is not in train/", data.load, f"folder:{tmp_path}", "test")


def test_captions_are_in_both_parts_or_in_none(tmp_path):
    folder(tmp_path, classes=("train", "test"))
    (tmp_path / "train" / "captions.csv").write_text(
        "file,caption\n" + "".join(f"{i:02}.png,x\n" for i in range(12)), encoding="utf-8"
    )
    assert data.load(f"folder:{tmp_path}").captioned
    refuse("captions.csv is in only one of", data.load, f"folder:{tmp_path}", "test")


@pytest.mark.parametrize("spec", ["folder:", "folder", "npz:", "npz", ""])
def test_a_path_that_is_missing_is_asked_for(tmp_path, monkeypatch, spec):
    folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    refuse("Give folder:PATH|Give npz:PATH|unknown data ''", data.load, spec)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path / "pets")
    np.savez(tmp_path / "x.npz", images=np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8))
    assert len(data.load("folder:~/pets")) == 22 and len(data.load("npz:~/x.npz")) == 18
    refuse("does not exist", data.load, "folder:~nobody-of-this-name/pets")
    refuse("not a readable", data.load, "npz:~nobody-of-this-name/x.npz")


@pytest.mark.usefixtures("names_in_any_script")
def test_names_that_look_the_same_are_refused(tmp_path):
    root = folder(tmp_path / "pets", classes=("caf\u00e9", "dog"))
    assert data.load(f"folder:{root}").classes == ["caf\u00e9", "dog"]
    (root / "caf\u00e9").rename(root / "cafe\u0301")
    assert data.load(f"folder:{root}").classes == ["caf\u00e9", "dog"]  # the same, as another system writes it
    try:
        folder(root, classes=("caf\u00e9",))
    except FileExistsError:
        pytest.skip("this file system takes the two for one")
    refuse("two of this name", data.load, f"folder:{root}")


@pytest.mark.usefixtures("names_in_any_script")
def test_odd_names_of_classes(tmp_path):
    names = ["$5_$", "a b", "\u0906\u0917", "100%", "\U0001f534", "{x}", "-"]
    assert data.load(f"folder:{folder(tmp_path / 'odd', n=2, classes=names)}").classes == sorted(names)
    for i, bad in enumerate(("new\nline", "bell\a", os.fsdecode(b"\xff"))):
        try:
            root = folder(tmp_path / str(i), classes=(bad, "dog"))
        except OSError:
            continue  # this file system has no such names
        refuse("needs a name without control characters", data.load, f"folder:{root}")


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """The tests may run as a user who may read everything."""
    root, usual = folder(tmp_path / "pets"), os.listdir

    def listdir(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(os, "listdir", listdir)
    refuse("pets/dog: Permission denied", data.load, f"folder:{root}")


def test_a_file_that_goes_or_changes_while_it_is_listed(tmp_path, monkeypatch):
    root, listed = folder(tmp_path / "pets"), folder_module._labels

    def meanwhile(change):
        def labels(*args):
            change(root / "dog" / "05.png")
            return listed(*args)

        monkeypatch.setattr(folder_module, "_labels", labels)

    meanwhile(lambda p: p.unlink())
    refuse(r"dog/05\.png: No such file", data.load, f"folder:{root}")
    Image.new("RGB", (8, 8)).save(root / "dog" / "05.png")
    meanwhile(lambda p: p.write_bytes(b""))
    refuse(r"dog/05\.png: cannot be read as a picture", data.load, f"folder:{root}")


def test_a_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDIFF_DATA", str(tmp_path / "cache"))
    root = folder(tmp_path / "pets")
    once = data.load(f"folder:{root}").pictures
    (cache,) = (tmp_path / "cache").iterdir()
    for damage in (b"", b"no", cache.read_bytes()[:-1]):
        cache.write_bytes(damage)
        assert torch.equal(data.load(f"folder:{root}").pictures, once)


def test_the_only_picture_of_a_class_is_not_held_out(tmp_path):
    labels = np.full(20, 1)
    labels[torch.randperm(20, generator=torch.Generator().manual_seed(0))[0]] = 5  # the first to be held out
    np.savez(
        tmp_path / "x.npz", images=np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8), labels=labels
    )
    train, test = (data.load(f"npz:{tmp_path / 'x.npz'}", part) for part in ("train", "test"))
    assert train.labels.unique().tolist() == [0, 1] and (len(train), len(test)) == (19, 1)


# --- arrays ---


def arrays(path, images=None, **more):
    noise = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.savez(path, images=noise if images is None else images, **more)
    return f"npz:{path}"


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.arange(20) % 4 + 1, ["1", "2", "3", "4"]),
        (np.arange(20) % 2 * 1000 + 7, ["7", "1007"]),
        (np.arange(20) % 2 * 1000.0 + 7, ["7", "1007"]),
        (np.arange(20).astype(np.float16) % 3, ["0", "1", "2"]),
        (np.arange(20) % 2 == 0, ["0", "1"]),
        (np.arange(20)[:, None] % 3, ["0", "1", "2"]),
        (np.arange(20).astype(np.uint64) % 2 + 2**63, [str(2**63), str(2**63 + 1)]),
        (np.array(["dog", "cat"] * 10), ["cat", "dog"]),
        (np.arange(20).astype(">i4") % 2, ["0", "1"]),
        (np.arange(20) % 2 - 1, ["-1", "0"]),
    ],
)
def test_classes_are_the_labels_that_occur(tmp_path, labels, classes):
    train, test = (data.load(arrays(tmp_path / "x.npz", labels=labels), part) for part in ("train", "test"))
    assert train.classes == test.classes == classes and set(train.labels.tolist()) == set(range(len(classes)))
    assert train.labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.linspace(0, 1, 20 * 64).reshape(20, 8, 8), r"from -1 to 1, got 0 to 1: x \* 2 - 1"),
        (np.linspace(0.2, 0.9, 20 * 64, dtype=np.float16).reshape(20, 8, 8), r"from -1 to 1, got 0.2 to 0.9"),
        (np.eye(8, dtype=np.uint8)[None].repeat(20, 0), "0 to 255, got 0 to 1"),
        (np.linspace(-1e300, 1, 20 * 64).reshape(20, 8, 8), r"in \[-1, 1\], got -inf"),
        (np.full((20, 8, 8), np.nan), "got nan"),
        (np.full((20, 8, 8), np.inf), "got inf"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no pictures in it"),
        (np.zeros((20, 0, 8, 3), np.uint8), "no pictures in it"),
        (np.zeros((20, 8, 8), np.int64), "must be uint8 or floats.*int64"),
        (np.zeros((20, 8, 8), np.uint16), "must be uint8 or floats.*uint16"),
        (np.zeros((20, 8, 8), bool), "must be uint8 or floats.*bool"),
        (np.zeros((20, 8, 8), complex), "must be uint8 or floats.*complex"),
        (np.full((20, 8, 8), "a"), "must be uint8 or floats.*U1"),
        (np.full((20, 8, 8), None), "not a readable .npz.*[Oo]bject"),
        (np.zeros((20, 8, 12), np.uint8), "must be square, got 8 x 12"),
        (np.zeros((8, 8, 3), np.uint8), r"must be \(N, H, W, C\).*\(8, 8, 3\)"),
        (np.zeros((20, 3, 8, 8), np.uint8), r"must be \(N, H, W, C\)"),
        (np.zeros((20, 8, 8, 4), np.uint8), r"must be \(N, H, W, C\)"),
        (np.zeros(20, np.uint8), r"must be \(N, H, W, C\)"),
        (np.uint8(3), r"must be \(N, H, W, C\)"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(tmp_path, images, says):
    refuse(
        rf"x\.npz: .*{says}", data.load, arrays(tmp_path / "x.npz", images, labels=np.zeros(len(np.atleast_1d(images))))
    )


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.linspace(0, 1, 20), "labels must be .* with fractions"),
        (np.full(20, np.nan), "labels must be"),
        (np.full(20, 1e30), "labels must be"),
        (np.full(20, np.inf), "labels must be"),
        (np.eye(20), r"labels must be .*\(20, 20\)"),
        (np.zeros(19, int), "20 pictures, but labels"),
        (np.zeros(0, int), "20 pictures, but labels"),
        (np.int64(3), "labels must be"),
        (np.full(20, 1j), "labels must be .*complex"),
        (np.full(20, None), "not a readable .npz.*[Oo]bject"),
        (np.full(20, np.datetime64("2020-01-01")), "labels must be"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, labels, says):
    refuse(rf"x\.npz: .*{says}", data.load, arrays(tmp_path / "x.npz", labels=labels))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.longdouble])
def test_floats_of_every_kind_are_read(tmp_path, dtype):
    images = np.linspace(-1, 1, 20 * 64).reshape(20, 8, 8).astype(dtype)
    loaded = data.load(arrays(tmp_path / "x.npz", images, other=np.array([None])))  # what else is there is not read
    assert loaded.pictures.dtype == torch.float32 and loaded.shape == (1, 8, 8)


def test_files_that_are_no_arrays(tmp_path):
    np.save(tmp_path / "x.npz", np.zeros(3))
    (tmp_path / "x.npz.npy").rename(tmp_path / "x.npz")
    refuse(r"x\.npz: not a readable", data.load, f"npz:{tmp_path / 'x.npz'}")
    refuse("not a readable .npz .*directory", data.load, f"npz:{tmp_path}")
    np.savez(tmp_path / "x.npz", samples=np.zeros(3))
    refuse("needs an array named images, has samples", data.load, f"npz:{tmp_path / 'x.npz'}")
    refuse("train and test, not 'val'", data.load, "digits", "val")
    refuse(r"x\.npz is not a folder", data.load, f"folder:{tmp_path / 'x.npz'}")
    refuse("too few to hold one out, each being", data.load, arrays(tmp_path / "x.npz", labels=np.arange(20)))
    refuse("4 pictures, but 3 captions", Images, "x", torch.zeros(4, 1, 8, 8), None, [], ["a"] * 3)


def test_other_captions_are_other_data(tmp_path):
    """What is computed of a data set, and kept under its fingerprint, may hold its captions."""
    pictures = torch.arange(4 * 64, dtype=torch.uint8).reshape(4, 1, 8, 8)
    a, b = (Images("x", pictures, None, [], [word] * 4) for word in ("cat", "dog"))
    assert a.fingerprint() != b.fingerprint()


def test_class_folders_of_one_name_in_two_encodings_are_refused(tmp_path):
    for form in ("NFC", "NFD"):
        folder = tmp_path / "pets" / unicodedata.normalize(form, "\u00e9")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(folder / f"{form}.png")
    if len(list((tmp_path / "pets").iterdir())) == 1:
        pytest.skip("this file system takes both for one")
    with pytest.raises(ValueError, match="differ in how letters are encoded"):
        data.load(f"folder:{tmp_path / 'pets'}")
