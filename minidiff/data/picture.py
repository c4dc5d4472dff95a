"""One picture file, whatever it holds: 8 bits of grey or of red, green and blue on white ground, or a ValueError."""

import io
import struct
import warnings
from contextlib import suppress
from pathlib import Path

from PIL import Image, UnidentifiedImageError

SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
TRANSPARENT = "have transparent parts: they are laid on white"
ANIMATED = "have several frames: the first is taken"
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
BESIDE = {270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377, 34665, 34675, 34853}
TURNS = dict(enumerate(  # what undoes each number that a camera writes beside the pixels
    (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
     Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90), 2,
))  # fmt: skip


def read(path: Path) -> tuple[Image.Image, list[str]]:
    """The picture in a file, of mode L or RGB, turned as its camera was; and what is to be said of it, TRANSPARENT or
    ANIMATED. Raises ValueError with the file's name for whatever is wrong with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's, which do not name the file, are about what is not used
            raw = Path(path).read_bytes()
            image = _open(raw)
            if image.mode[0] not in "IF":
                flat, transparent = _flat(_turned(image))
                return flat, [TRANSPARENT] * transparent + [ANIMATED] * _moves(raw)
    except Exception as error:  # of a broken file the library raises anything: AttributeError, struct.error, ...
        why = {UnidentifiedImageError: "its format is unknown", MemoryError: "it needs more memory than there is"}
        why = why.get(type(error)) or " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path}: cannot be read as a picture ({why}): repair or remove it") from None
    raise ValueError(f"{path}: has {image.mode} pixels, not 8 bits a channel: convert it to 8 bits")


def _open(raw: bytes) -> Image.Image:
    """The picture in the bytes of a file, without what is beside the pixels if that cannot be read."""
    try:
        return _load(raw)
    except Exception:
        bare, exif = _bare(raw)
        image = _load(bare)
        image.info |= {"exif": exif} if exif else {}
        return image


def _load(raw: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(raw))
    image.load()
    clear = image.info.get("transparency")
    if raw.startswith(PNG) and clear is not None and image.mode in ("L", "RGB") and (depth := raw[24]) != 8:
        # the library brings the pixels to 8 bits, but not the colour that is transparent
        scaled = [
            v >> 8 if depth == 16 else v * 255 // (2**depth - 1) for v in ([clear] if image.mode == "L" else clear)
        ]
        image.info["transparency"] = scaled[0] if image.mode == "L" else tuple(scaled)
    if image.mode == "1" and clear == 1:  # white, which is 255 in the pixels, and here from Pillow 13 on
        image.info["transparency"] = 255
    return image


def _moves(raw: bytes) -> bool:
    """Whether there are several frames; but a phone's JPEG with a second picture has the first twice."""
    with suppress(Exception):  # they may be broken, while the first is read
        return not raw.startswith(JPEG) and getattr(Image.open(io.BytesIO(raw)), "is_animated", False)
    return False


def _bare(raw: bytes) -> tuple[bytes, bytes]:
    """A PNG, JPEG or TIFF without its texts, profiles and the like, any of which may be broken; and its EXIF."""
    i, exif = 8 if raw.startswith(PNG) else 2, b""
    kept = [raw[:i]]
    if raw.startswith(PNG):
        while i + 8 <= len(raw):
            size, kind = struct.unpack(">I4s", raw[i : i + 8])
            if kind == b"eXIf":
                exif = raw[i + 8 : i + 8 + size]
            elif kind[:1].isupper() or kind == b"tRNS":
                kept.append(raw[i : i + 12 + size])
            i += 12 + size
        return b"".join(kept), exif
    if not raw.startswith(JPEG):
        return _bare_tiff(raw), exif
    while raw[i : i + 1] == b"\xff" and raw[i + 1 : i + 2] != b"\xda" and i + 4 <= len(raw):
        end = i + 2 + int.from_bytes(raw[i + 2 : i + 4], "big")
        if raw[i + 4 : i + 10] == b"Exif\0\0":
            exif = raw[i + 4 : end]
        elif not 0xE1 <= raw[i + 1] <= 0xED and raw[i + 1] != 0xFE:  # application segments but JFIF's and Adobe's
            kept.append(raw[i:end])
        i = end
    return b"".join([*kept, raw[i:]]), exif


def _bare_tiff(raw: bytes) -> bytes:
    """A TIFF with the tags in BESIDE, none of the pixels, renamed to one that nobody reads; other files as they are."""
    if not raw.startswith((b"II*\0", b"MM\0*")):
        return raw
    out, order = bytearray(raw), "<" if raw.startswith(b"I") else ">"
    (at,) = struct.unpack_from(order + "I", raw, 4)
    (entries,) = struct.unpack_from(order + "H", raw, at)
    for i in range(at + 2, at + 2 + 12 * entries, 12):
        if struct.unpack_from(order + "H", raw, i)[0] in BESIDE:
            struct.pack_into(order + "H", out, i, 65000)
    return bytes(out)


def _turned(image: Image.Image) -> Image.Image:
    try:
        turn = TURNS.get(image.getexif().get(0x0112))
    except Exception:  # EXIF that cannot be read turns nothing
        return image
    return image if turn is None else image.transpose(turn)


def _flat(image: Image.Image) -> tuple[Image.Image, bool]:
    """On white ground, and whether any of that shows."""
    transparent, mode = False, "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        transparent = image.getextrema()[3][0] < 255
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode), transparent
