"""A folder of your pictures, in class folders or with captions.csv, as one data set in memory."""

import csv
import hashlib
import os
import posixpath
import warnings
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from unicodedata import category, normalize

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from ..device import data_folder, replacing
from ..text import split_words
from .images import Images, split
from .picture import SUFFIXES, read

FORM = 2  # of the cache; another one when files are read otherwise than before


def from_folder(path: str, part: str = "train", size: int | None = None) -> Images:
    """Pictures in class folders, PATH/class/*.jpg, or straight in PATH (then without labels), or with captions.

    captions.csv in PATH, with the columns file (relative to PATH) and caption, a row a picture, makes text-to-image
    data of the pictures it lists, whatever their folders. If PATH has train/ (and test/), and no other, those are the
    splits; else, or without test/, 10% are held out. A folder in a class folder is of that class. Each picture is
    cropped to its middle square and resized to `size`, by default the first picture's own size, to a multiple of 4, if
    that is at most 64, else 32; the result is cached as one uint8 file until a picture changes.

    Warns of what is left out. Raises ValueError, with the file's name, for what is ambiguous or cannot be read.
    """
    if not path:
        raise ValueError("which folder? Give folder:PATH, with PATH/class/picture files in it")
    if size is not None and size < 4:
        raise ValueError(f"size must be at least 4, got {size}")
    root = Path(os.path.expanduser(path))
    if not os.path.isdir(root):
        what = "is not a folder" if os.path.exists(root) else "does not exist"
        raise ValueError(f"folder {path} {what}: --data folder:PATH needs PATH/class/picture files")
    try:
        train, test = _splits(root)
        images = _read(f"folder:{path}", train, test if test and part == "test" else train, size)
    except OSError as error:  # it may not be read, or is gone since it was listed
        raise ValueError(f"{error.filename or path}: {error.strerror or error}") from None
    if test:  # mixed: else the first would be of one class
        return images.keep(torch.randperm(len(images), generator=torch.Generator().manual_seed(0)))
    return split(images, part, 0.1)


def _read(name: str, train: Path, where: Path, size: int | None) -> Images:
    """The pictures in `where`, train/ or test/, with the labels that those in train/ have, or with captions as they."""
    pictures, others = _walk(where)
    if not pictures:
        raise ValueError(f"folder {where} has no pictures in it: expected PATH/class/picture ({' '.join(SUFFIXES)})")
    captioned = [(p / "captions.csv").is_file() for p in (train, where)]
    if captioned[0] != captioned[1]:
        raise ValueError(f"captions.csv is in only one of {train} and {where}: put one into each, or remove it")
    labels, classes, captions = None, [], None
    if captioned[0]:
        others.remove(where / "captions.csv")
        pictures, captions = _read_captions(where / "captions.csv", pictures)
    elif folders := _class_folders(train):
        labels, classes = _labels(where, pictures, folders), list(folders)
    _say_left_out(where, others)
    return Images(name, _read_cached(where, pictures, size), labels, classes, captions)


def _splits(root: Path) -> tuple[Path, Path | None]:
    """The folders of the training and, where there is one, of the test pictures."""
    there = sorted(p for p in root.iterdir() if not _hidden(p.name))
    folders = {p.name.lower(): p for p in there if p.is_dir()}
    if "train" not in folders:
        return root, None
    train, test = folders["train"], folders.get("test")
    others = [p for p in there if p not in (train, test)]
    if beside := [p.name for p in others if p.is_dir() or _is_picture(p) or p.name == "captions.csv"]:
        raise ValueError(
            f"folder {root} has {train.name}/ beside {_few(beside)}: beside train/ only test/ is read. Move the rest "
            "into them or away; if train is one of the classes, rename it"
        )
    _say_left_out(root, others)
    return train, test


def _walk(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures in a folder and in the folders in it, and what else is there; hidden files are not."""

    def fail(error):
        raise error

    pictures, others = [], []
    for where, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        here = Path(where)
        loops = [f for f in folders if here.resolve().is_relative_to((here / f).resolve())]
        folders[:] = [f for f in folders if not _hidden(f) and f not in loops]
        for p in (here / name for name in names + loops if not _hidden(name)):
            (pictures if _is_picture(p) else others).append(p)
    return sorted(pictures), others


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not _hidden(path.name) and os.path.isfile(path)


def _few(names: list[str]) -> str:
    return ", ".join(name if len(name) < 80 else name[:77] + "..." for name in names[:5]) + ", ..." * (len(names) > 5)


def _say_left_out(root: Path, others: list[Path]) -> None:
    if others:
        names = sorted(p.relative_to(root).as_posix() for p in others)
        warnings.warn(f"{root}: left out {len(names)} that are no picture files: {_few(names)}", stacklevel=3)


def _by_name(paths: list[Path], root: Path) -> dict[str, Path]:
    """name -> path, names relative to root and composed (NFC), as two systems write the same letter in two ways."""
    found = {}
    for p in paths:
        name = normalize("NFC", p.relative_to(root).as_posix())
        if name in found:
            raise ValueError(f"{p}: there are two of this name, which differ in how letters are encoded: rename one")
        found[name] = p
    return found


def _class_folders(root: Path) -> dict[str, Path]:
    """class -> its folder, sorted."""
    folders = _by_name(sorted(p for p in root.iterdir() if p.is_dir() and not _hidden(p.name)), root)
    for name, p in folders.items():
        if any(category(c) in ("Cc", "Cs") for c in name):
            raise ValueError(f"folder {str(p)!a}: a class needs a name without control characters: rename it")
    return folders


def _labels(root: Path, pictures: list[Path], classes: dict[str, Path]) -> Tensor:
    """The number of each picture's class. Raises ValueError for pictures or folders of none, and for empty folders."""
    if any(p.parent == root for p in pictures):
        raise ValueError(f"folder {root} has pictures beside class folders: move them into one, or the folders away")
    number = {name: i for i, name in enumerate(classes)}
    names = [normalize("NFC", p.relative_to(root).parts[0]) for p in pictures]
    filled = set(names)
    for name, p in _class_folders(root).items():
        if name not in classes:
            raise ValueError(f"folder {p} is of a class that is not in train/: add it there or remove it here")
        if name not in filled:
            raise ValueError(f"folder {p} has no pictures in it: fill it or remove it")
    return torch.tensor([number[name] for name in names])


def _read_captions(listed: Path, pictures: list[Path]) -> tuple[list[Path], list[str]]:
    """The pictures in the order of the file, and their captions. Raises ValueError naming pictures without a row, rows
    without a picture, rows given twice, captions without a word."""
    there, captions = _by_name(pictures, listed.parent), {}
    for number, name, caption in _rows(listed):
        if not name or not caption:
            raise ValueError(f"{listed}: line {number} lacks its file or its caption")
        name = posixpath.normpath(normalize("NFC", name).replace("\\", "/"))
        if name in captions:
            raise ValueError(f"{listed}: {_few([name])} is listed twice, the second time in line {number}")
        if not split_words(caption):
            raise ValueError(f"{listed}: line {number}: {_few([name])} has a caption without a word, {caption[:60]!r}")
        captions[name] = caption
    for names, what in (
        (sorted(set(captions) - set(there)), "rows without a picture"),
        (sorted(set(there) - set(captions)), "pictures without a row"),
    ):
        if names:
            raise ValueError(f"{listed}: {len(names)} {what}: {_few(names)}")
    return [there[name] for name in captions], list(captions.values())


def _rows(listed: Path):
    """(number of the line, file, caption) of each row of a captions.csv that is not blank."""
    expected = f"{listed}: expected a first line naming the columns file and caption, once each, and a row a picture"
    columns, last, rows = None, 0, 0
    with open(listed, newline="", encoding="utf-8-sig") as f:
        reader = csv.reader(f, strict=True)
        try:
            for row in reader:
                number, last, row = last + 1, reader.line_num, [v.strip() for v in row]
                if not any(row):
                    continue
                if columns is None:
                    columns = [v.lower() for v in row]
                    if columns.count("file") != 1 or columns.count("caption") != 1:
                        raise ValueError(f"{expected}; found {_few(row)}")
                    if others := [c for c in columns if c not in ("file", "caption", "")]:
                        warnings.warn(f"{listed}: left out the columns {_few(others)}", stacklevel=3)
                    continue
                if any(value and not column for value, column in zip_longest(row, columns, fillvalue="")):
                    raise ValueError(
                        f'{listed}: line {number} has a field too many: put "quotes" about text with commas'
                    )
                rows, found = rows + 1, dict(zip(columns, row, strict=False))
                yield number, found.get("file"), " ".join(found.get("caption", "").split())
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{listed}: cannot be read as CSV in UTF-8 (line {last + 1}: {error})") from None
    if not rows:
        raise ValueError(expected)


def _read_cached(root: Path, files: list[Path], size: int | None) -> Tensor:
    digest = hashlib.sha256(repr((FORM, size)).encode())
    for f in files:
        stat = f.stat()
        digest.update(os.fsencode(f.resolve()) + f"|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    cache = data_folder() / f"folder-{digest.hexdigest()[:16]}.npy"
    try:
        return torch.from_numpy(np.load(cache))
    except (OSError, ValueError, EOFError):  # there is none, or a damaged one
        pictures = _read_pictures(root, files, size)
    with replacing(cache) as temporary:
        np.save(temporary, pictures)
    return torch.from_numpy(pictures)


def _read_pictures(root: Path, files: list[Path], size: int | None) -> np.ndarray:
    """uint8 (N, C, size, size); C is 1 if every picture is grey, else 3."""
    loaded, grey, said = [], True, Counter()
    for f in tqdm(files, desc="reading pictures", leave=False, disable=None if len(files) >= 1000 else True):
        picture, notes = read(f)
        said.update(notes)
        grey = grey and picture.mode == "L"
        if size is None:
            size = max(4, min(picture.size) // 4 * 4) if min(picture.size) <= 64 else 32
        loaded.append(np.asarray(ImageOps.fit(picture.convert("RGB"), (size, size), Image.Resampling.LANCZOS)))
    for what, n in said.items():
        warnings.warn(f"{root}: {n} of {len(files)} pictures {what}", stacklevel=2)
    pictures = np.stack(loaded).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pictures[:, :1] if grey else pictures)
