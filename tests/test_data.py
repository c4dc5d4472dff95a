import numpy as np
import pytest
import torch
from PIL import Image

from minidiff import data
from minidiff.data import Images, images, toys


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
    (root / "dog" / "03.png").write_text("no picture")
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
    (tmp_path / "bad.npz").write_text("no")
    refuse("not a readable", data.load, f"npz:{tmp_path / 'bad.npz'}")
    refuse("unknown data 'imagenet'", data.load, "imagenet")
    refuse("only a folder", data.load, "digits", "train", 16)


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

    monkeypatch.setattr(torchvision.datasets, images.TORCHVISION[name][0], Stand)
    loaded = data.load(name)
    assert loaded.shape == shape and (loaded.pictures[:, 0, 0] == 9).all() and (loaded.pictures[:, 0, 1] == 0).all()
