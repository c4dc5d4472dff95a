"""A folder of your pictures, in class folders or with captions.csv, as one data set in memory."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..files import data_folder, replacing
from .images import Images, split

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}


def from_folder(path: str, part: str = "train", size: int | None = None) -> Images:
    """Pictures in class folders, PATH/class/*.jpg, or straight in PATH (then without labels), or with captions.

    captions.csv in PATH, with the columns file (relative to PATH) and caption, a row a picture, makes text-to-image
    data of the pictures it lists, whatever their folders. If PATH has train/ (and test/), those are the splits; else,
    or without test/, 10% are held out. Each picture is cropped to its middle square and resized to `size`, by default
    the first picture's own size, to a multiple of 4, if that is at most 64, else 32; the result is cached as one
    uint8 file until a picture changes.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ValueError(f"folder {path} does not exist: --data folder:PATH needs PATH/class/picture files")
    ours = (root / "train").is_dir()
    if ours:
        root = root / part if (root / part).is_dir() else root / "train"
    listed = root / "captions.csv"
    if listed.is_file():
        captions = _read_captions(listed)
        pictures = _read_cached([(root / name, 0) for name in captions], size)
        images = Images(f"folder:{path}", pictures, None, [], list(captions.values()))
        return _part(images, ours, root, part)
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if folders and any(_is_picture(p) for p in root.iterdir()):
        raise ValueError(f"folder {root} has pictures beside class folders: move them into one, or the folders away")
    files = [(f, i) for i, p in enumerate(folders or [root]) for f in sorted(p.iterdir()) if _is_picture(f)]
    if not files:
        raise ValueError(
            f"folder {root} has no pictures in it: expected PATH/class/picture ({', '.join(sorted(SUFFIXES))})"
        )
    for i, p in enumerate(folders):
        if not any(label == i for _, label in files):
            raise ValueError(f"folder {p} has no pictures in it: fill it or remove it")
    pictures = _read_cached(files, size)
    labels = torch.tensor([label for _, label in files]) if folders else None
    images = Images(f"folder:{path}", pictures, labels, [p.name for p in folders])
    return _part(images, ours, root, part)


def _part(images: Images, ours: bool, root: Path, part: str) -> Images:
    """The part asked for: split off, or all of the folder of its name, mixed: else the first would be of one class."""
    if ours and root.name == part and (root.parent / "test").is_dir():
        return images.keep(torch.randperm(len(images), generator=torch.Generator().manual_seed(0)))
    return split(images, part, 0.1)


def _read_captions(listed: Path) -> dict[str, str]:
    """file -> caption. Raises ValueError naming pictures without a row, rows without a picture, rows given twice."""
    root, captions = listed.parent, {}
    try:
        with open(listed, newline="", encoding="utf-8-sig") as f:
            rows = list(csv.DictReader(f))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{listed}: cannot be read as CSV in UTF-8 ({error})") from None
    if not rows or not {"file", "caption"} <= set(rows[0]):
        raise ValueError(f"{listed}: expected a first line naming the columns file and caption, and a row a picture")
    for number, row in enumerate(rows, 2):
        name, caption = (row["file"] or "").strip().replace("\\", "/"), (row["caption"] or "").strip()
        if not name or not caption:
            raise ValueError(f"{listed}: line {number} lacks its file or its caption")
        if name in captions:
            raise ValueError(f"{listed}: {name} is listed twice, the second time in line {number}")
        captions[name] = caption
    there = {p.relative_to(root).as_posix() for p in root.rglob("*") if _is_picture(p)}
    for names, what in (
        (sorted(set(captions) - there), "rows without a picture"),
        (sorted(there - set(captions)), "pictures without a row"),
    ):
        if names:
            raise ValueError(f"{listed}: {len(names)} {what}: {', '.join(names[:5])}{', ...' if names[5:] else ''}")
    return captions


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read_cached(files: list[tuple[Path, int]], size: int | None) -> Tensor:
    digest = hashlib.sha256(repr(size).encode())
    for f, _ in files:
        stat = f.stat()
        digest.update(f"{f.resolve()}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    cache = data_folder() / f"folder-{digest.hexdigest()[:16]}.npy"
    if cache.exists():
        return torch.from_numpy(np.load(cache))
    pictures = _read_pictures([f for f, _ in files], size)
    with replacing(cache) as temporary:
        np.save(temporary, pictures)
    return torch.from_numpy(pictures)


def _read_pictures(files: list[Path], size: int | None) -> np.ndarray:
    """uint8 (N, C, size, size); C is 1 if every picture is grey, else 3."""
    from PIL import Image, ImageOps

    loaded, grey = [], True
    for f in tqdm(files, desc="reading pictures", leave=False, disable=len(files) < 1000):
        try:
            with Image.open(f) as image:
                image.load()
                image = ImageOps.exif_transpose(image)  # a phone writes the turn beside the pixels
                if image.mode in ("F", "I", "I;16"):
                    raise ValueError(f"{f}: has {image.mode} pixels, not 8 bits a channel: convert it to 8 bits")
                grey = grey and image.mode in ("L", "1", "LA")
                if size is None:
                    size = max(4, min(image.size) // 4 * 4) if min(image.size) <= 64 else 32
                square = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS)
                loaded.append(np.asarray(square))
        except (OSError, SyntaxError) as error:  # PIL's words for a truncated or foreign file
            raise ValueError(f"{f}: cannot be read as a picture ({error}): repair or remove it") from None
    pictures = np.stack(loaded).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(pictures[:, :1] if grey else pictures)
