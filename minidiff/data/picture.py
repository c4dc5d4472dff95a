"""One picture file, whatever it holds: 8 bits of grey or of red, green and blue on white ground, or a ValueError."""

import io
import struct
import warnings
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
TRANSPARENT = "have transparent parts: they are laid on white"
ANIMATED = "have several frames: the first is taken"
PNG = b"\x89PNG\r\n\x1a\n"
# tags of a TIFF that say nothing of its pixels: texts, makers, dates, resolutions, profiles, EXIF, places
METADATA = {270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377, 34665, 34675, 34853}


def read(path: Path) -> tuple[Image.Image, list[str]]:
    """The picture in a file, of mode L or RGB, turned as its camera was; and what is to be said of it, TRANSPARENT or
    ANIMATED. Raises ValueError with the file's name for whatever is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's do not name the file, and are about what is not used
            raw = path.read_bytes()
            try:
                image = _load(raw)
            except Exception:  # Pillow refuses a good picture for broken texts beside it
                image = _load(_bare(raw))
            if image.mode[0] not in "IF":
                with suppress(Exception):  # EXIF that cannot be read turns nothing
                    ImageOps.exif_transpose(image, in_place=True)
                flat, transparent = _flat(image)
                notes = [TRANSPARENT] if transparent else []
                with suppress(Exception):  # most have no frames; these may be broken, while the first is read
                    if image.is_animated and image.format != "MPO":  # a phone's JPEG, with the same picture twice
                        notes.append(ANIMATED)
                return flat, notes
    except Exception as error:  # of a broken file Pillow raises anything: AttributeError, struct.error, ...
        why = {UnidentifiedImageError: "its format is unknown", MemoryError: "it needs more memory than there is"}
        why = why.get(type(error)) or " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path}: cannot be read as a picture ({why}): repair or remove it") from None
    raise ValueError(f"{path}: has {image.mode} pixels, not 8 bits a channel: convert it to 8 bits")


def _load(raw: bytes) -> Image.Image:
    """The picture as Pillow reads it."""
    image = Image.open(io.BytesIO(raw))
    image.load()
    clear = image.info.get("transparency")
    if raw.startswith(PNG) and clear is not None and image.mode in ("1", "L", "RGB"):
        # Pillow brings the pixels to 8 bits, but not the colour that is transparent
        depth, clear = raw[24], clear if image.mode == "RGB" else [clear]
        clear = [min(255, v >> 8 if depth == 16 else v * 255 // (2**depth - 1)) for v in clear]
        image.info["transparency"] = tuple(clear) if image.mode == "RGB" else clear[0]
    return image


def _flat(image: Image.Image) -> tuple[Image.Image, bool]:
    """The picture on white ground, and whether any of that shows."""
    transparent, mode = False, "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        transparent = image.getextrema()[3][0] < 255
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode), transparent


def _bare(raw: bytes) -> bytes:
    """A PNG or TIFF without its texts, profiles and the like; other files as they are."""
    if raw.startswith(PNG):
        kept, i = [PNG], len(PNG)
        while i + 8 <= len(raw):
            size, kind = struct.unpack_from(">I4s", raw, i)
            if kind[:1].isupper() or kind in (b"tRNS", b"eXIf"):  # readers need those that begin with a capital letter
                kept.append(raw[i : i + 12 + size])
            i += 12 + size
        return b"".join(kept)
    if not raw.startswith((b"II*\0", b"MM\0*")):
        return raw
    out, order = bytearray(raw), "<" if raw.startswith(b"I") else ">"
    (at,) = struct.unpack_from(order + "I", raw, 4)
    (entries,) = struct.unpack_from(order + "H", raw, at)
    for i in range(at + 2, at + 2 + 12 * entries, 12):
        if struct.unpack_from(order + "H", raw, i)[0] in METADATA:
            struct.pack_into(order + "H", out, i, 65000)  # a tag that nobody reads
    return bytes(out)
