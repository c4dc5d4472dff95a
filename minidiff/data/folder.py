"""A folder of pictures of yours, in class folders or with captions.csv, as one data set in memory."""

import csv
import hashlib
import os
import posixpath
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from unicodedata import category, normalize

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from ..device import cached
from ..text import split_words
from .dataset import data_folder
from .images import Images, split
from .picture import SUFFIXES, read

FORM = 2  # of the cache; another one when files are read otherwise than before


def load(spec: str, part: str, size: int | None) -> Images:
    """folder:PATH, with pictures in class folders, PATH/class/*.jpg, or straight in PATH (no labels), or with captions.

    A folder in a class folder is of that class. captions.csv in PATH, with the columns file (relative to PATH) and
    caption, a row a picture, gives captions instead of classes. If PATH has train/ and perhaps test/, and no other,
    those are the parts; else, or without test/, 10% are held out. Each picture is cropped to its middle square and
    resized to `size`: by default the first picture's size, to a multiple of 4, if that is at most 64, else 32.

    Warns of what is left out. Raises ValueError, with the file's name, for what is ambiguous or cannot be read.
    """
    if size is not None and size < 4:
        raise ValueError(f"size must be at least 4, got {size}")
    root = Path(os.path.expanduser(spec.partition(":")[2]))
    if not os.path.isdir(root):
        what = "is not a folder" if os.path.exists(root) else "does not exist"
        raise ValueError(f"folder {root} {what}: --data folder:PATH needs PATH/class/picture files")
    train, test = _parts(root)
    where = test if test and part == "test" else train
    pictures, others = _pictures(where)
    # classes, or that there are captions, are as in train/
    labels, classes, captions = None, [], None
    captioned, listed = (train / "captions.csv").is_file(), where / "captions.csv"
    if captioned != listed.is_file():
        raise ValueError(f"captions.csv is in only one of {train} and {where}: put one into each, or remove it")
    if captioned:
        others = [p for p in others if (p.parent, p.name.lower()) != (where, listed.name)]  # it may be Captions.CSV
        captions = _captions(listed, pictures)
        pictures = {name: pictures[name] for name in captions}
    elif classes := list(_class_folders(train)):
        labels = _labels(where, pictures, classes)
    _warn_left_out(where, others)
    stored = _read_cached(where, list(pictures.values()), size)
    if where == test and (channels := load(spec, "train", size).shape[0]) != stored.shape[1]:
        if channels == 1:
            raise ValueError(f"{test} has pictures in colour, and those of {train} are all grey: make them alike")
        stored = stored.expand(-1, channels, -1, -1)
    images = Images(spec, stored, labels, classes, captions and list(captions.values()))
    if test:  # mixed: else the first would be of one class
        return images.keep(torch.randperm(len(images), generator=torch.Generator().manual_seed(0)))
    return split(images, part, 0.1)


def _parts(root: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the test pictures; the latter may be missing."""
    folders = {p.name.lower(): p for p in _entries(root) if p.is_dir()}
    if "train" not in folders:
        return root, None
    train, test = folders["train"], folders.get("test")
    others = [p for p in _entries(root) if p not in (train, test)]
    if beside := [p.name for p in others if p.is_dir() or _is_picture(p) or p.name == "captions.csv"]:
        raise ValueError(
            f"folder {root} has {train.name}/ beside {_few(beside)}: beside train/ only test/ is read. Move the rest "
            "into them or away; if train is one of the classes, rename it"
        )
    _warn_left_out(root, others)
    return train, test


def _pictures(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """name -> path of each picture in a folder and in all folders in it, sorted; and the paths of other files."""
    found = [(p, _is_picture(p)) for p in _files(folder)]
    pictures = _by_name(folder, (p for p, is_picture in found if is_picture))
    if not pictures:
        raise ValueError(f"folder {folder} has no pictures in it: expected PATH/class/picture ({' '.join(SUFFIXES)})")
    return pictures, [p for p, is_picture in found if not is_picture]


def _by_name(folder: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """name -> path. Names are relative to the folder and composed (NFC), as two systems write the same letter in two
    ways."""
    found = {}
    for p in paths:
        name = normalize("NFC", p.relative_to(folder).as_posix())
        if name in found:
            raise ValueError(f"{p}: there are two of this name, which differ in how letters are encoded: rename one")
        found[name] = p
    return found


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files in a folder and in the folders in it. A link to one of the folders above counts as a file."""
    above = (*above, folder.resolve())
    for p in _entries(folder):
        if p.is_dir() and not any(a.is_relative_to(p.resolve()) for a in above):
            yield from _files(p, above)
        else:
            yield p


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without what is hidden or put everywhere by the system."""
    names = sorted(os.listdir(folder))
    return [folder / n for n in names if not n.startswith(".") and n.lower() not in ("thumbs.db", "desktop.ini")]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and os.path.isfile(path)


def _few(names: list[str]) -> str:
    return ", ".join(name if len(name) < 80 else name[:77] + "..." for name in names[:5]) + ", ..." * (len(names) > 5)


def _warn_left_out(root: Path, others: list[Path]) -> None:
    if others:
        names = sorted(p.relative_to(root).as_posix() for p in others)
        warnings.warn(f"{root}: left out {len(names)} that are no picture files: {_few(names)}", stacklevel=3)


def _class_folders(root: Path) -> dict[str, Path]:
    """class -> its folder."""
    return _by_name(root, filter(Path.is_dir, _entries(root)))


def _labels(root: Path, pictures: dict[str, Path], classes: list[str]) -> Tensor:
    """The number of each picture's class, that of the folder in root that it is in."""
    if any("/" not in name for name in pictures):
        raise ValueError(f"folder {root} has pictures beside class folders: move them into one, or the folders away")
    found = [name.split("/")[0] for name in pictures]
    filled, number = set(found), {name: i for i, name in enumerate(classes)}
    for name, p in _class_folders(root).items():
        if any(category(c) in ("Cc", "Cs") for c in name):
            raise ValueError(f"folder {str(p)!a}: a class needs a name without control characters: rename it")
        if name not in number:
            raise ValueError(f"folder {p} is of a class that is not in train/: add it there or remove it here")
        if name not in filled:
            raise ValueError(f"folder {p} has no pictures in it: fill it or remove it")
    return torch.tensor([number[name] for name in found])


def _captions(listed: Path, pictures: dict[str, Path]) -> dict[str, str]:
    """file -> caption, in the order of captions.csv, each a name in `pictures`. Raises ValueError naming rows without a
    picture, pictures without a row, rows given twice, captions without a word."""
    captions = {}
    for line, name, caption in _rows(listed):
        if not name or not caption:
            raise ValueError(f"{listed}: line {line} lacks its file or its caption")
        name = posixpath.normpath(normalize("NFC", name).replace("\\", "/"))
        if name in captions:
            raise ValueError(f"{listed}: {_few([name])} is listed twice, the second time in line {line}")
        if not split_words(caption):
            raise ValueError(f"{listed}: line {line}: {_few([name])} has a caption without a word, {caption[:60]!r}")
        captions[name] = caption
    for a, b, what in ((captions, pictures, "rows without a picture"), (pictures, captions, "pictures without a row")):
        if names := sorted(set(a) - set(b)):
            raise ValueError(f"{listed}: {len(names)} {what}: {_few(names)}")
    return captions


def _rows(listed: Path) -> Iterator[tuple[int, str, str]]:
    """(number of the line, file, caption) of each row of a captions.csv; blank rows are passed over."""
    rows, line = [], 1
    with open(listed, newline="", encoding="utf-8-sig") as f:
        reader = csv.reader(f, strict=True)
        try:
            for row in reader:
                rows.append((line, [v.strip() for v in row]))
                line = reader.line_num + 1
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{listed}: cannot be read as CSV in UTF-8 (line {line}: {error})") from None
    rows = [(line, row) for line, row in rows if any(row)]
    columns = [v.lower() for v in rows[0][1]] if rows else []
    if columns.count("file") != 1 or columns.count("caption") != 1 or len(rows) == 1:
        raise ValueError(
            f"{listed}: expected a first line naming the columns file and caption, once each, and a row a picture; "
            f"found {_few(columns) or 'nothing'}"
        )
    if others := [c for c in columns if c not in ("file", "caption", "")]:
        warnings.warn(f"{listed}: left out the columns {_few(others)}", stacklevel=3)
    for line, row in rows[1:]:
        cells = list(zip_longest(columns, row, fillvalue=""))
        if any(value and not column for column, value in cells):
            raise ValueError(f'{listed}: line {line} has a field too many: put "quotes" about text with commas')
        yield line, dict(cells)["file"], " ".join(dict(cells)["caption"].split())


def _read_cached(root: Path, files: list[Path], size: int | None) -> Tensor:
    """The pictures of the files; from the cache while neither their names, sizes nor times have changed."""
    digest = hashlib.sha256(repr((FORM, size)).encode())
    for f in files:
        stat = f.stat()
        digest.update(os.fsencode(f.resolve()) + f"|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    cache = data_folder() / f"folder-{digest.hexdigest()[:16]}.npy"
    return torch.from_numpy(cached(cache, np.load, lambda: _read_pictures(root, files, size), np.save))


def _read_pictures(root: Path, files: list[Path], size: int | None) -> np.ndarray:
    """uint8 (N, C, size, size); C is 1 if every picture is grey, else 3."""
    loaded, grey, notes = [], True, Counter()
    for f in tqdm(files, desc="reading pictures", leave=False, disable=None if len(files) >= 1000 else True):
        image, said = read(f)
        notes.update(said)
        grey = grey and image.mode == "L"
        if size is None:
            size = max(4, min(image.size) // 4 * 4) if min(image.size) <= 64 else 32
        loaded.append(np.asarray(ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS)))
    for what, n in notes.items():
        warnings.warn(f"{root}: {n} of {len(files)} pictures {what}", stacklevel=2)
    pictures = np.stack(loaded).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pictures[:, :1] if grey else pictures)
