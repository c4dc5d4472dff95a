"""What Sphinx does not do to its pages: lighter pictures, with their sizes, loaded when they are seen; animations that
stand still for who wants that; and nothing loaded or kept that is not used."""

import re
import shutil
from pathlib import Path

from PIL import Image

LARGE = 20_000  # bytes from which a picture is made lighter


def still(animation: Path) -> Path:
    """The last frame of an animation as a picture beside it."""
    path = animation.with_suffix(".still.webp")
    with Image.open(animation) as picture:
        picture.seek(picture.n_frames - 1)
        picture.convert("RGB").save(path, quality=85)
    return path


def finished(tag: str, folder: Path) -> str:
    """A picture's tag with width, height and late loading; an animation stands still for who wants no motion."""
    name = re.search(r'src="([^"]+)"', tag)[1]
    path = folder / name
    if not path.exists() or path.suffix == ".svg":
        return tag
    with Image.open(path) as picture:
        width, height = picture.size
    tag = re.sub(r' style="[^"]*"| (?:width|height)="[^"]*"', "", tag)
    wide = f'class="wide" style="--own: {width}px" ' if width > 600 and width > 2 * height else ""  # panels in a row
    wide = "" if "class=" in tag else wide
    tag = tag.replace("<img ", f'<img width="{width}" height="{height}" loading="lazy" decoding="async" {wide}', 1)
    if path.suffix != ".gif":
        return tag.replace(path.name, lighter(path).name)
    stopped = name.removesuffix(path.name) + still(path).name
    return f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{stopped}">{tag}</picture>'


def lighter(picture: Path) -> Path:
    """A large PNG as WebP, which loses nothing; the picture's path from now on."""
    path = picture.with_suffix(".webp")
    if picture.suffix != ".png" or not path.exists() and picture.stat().st_size < LARGE:
        return picture
    if not path.exists():
        with Image.open(picture) as opened:
            opened.save(path, lossless=True, quality=20, method=1)
    return path


def unused(static: Path) -> None:
    """Remove what no page asks for: maps for debuggers, and the theme's icons, which course.css draws."""
    for path in [*static.rglob("*.map"), *static.rglob("fontawesome*.LICENSE.txt")]:
        path.unlink()
    shutil.rmtree(static / "vendor" / "fontawesome", ignore_errors=True)
    style = static / "styles" / "pydata-sphinx-theme.css"
    rule = r"(?<=[}])(?:\.fa-[\w-]+(?::+before|:+after)?,?)+\{[^{}]*\}"
    font = r"@font-face\{[^{}]*fontawesome[^{}]*\}"
    text = style.read_text(encoding="utf-8")
    style.write_text(re.sub(rule, "", re.sub(font, "", text, flags=re.I)), encoding="utf-8")


def named(text: str) -> str:
    """A page whose search button is called what it shows, and whose fold in the contents has a name."""
    text = re.sub(r'(<button class="btn search-button-field[^>]*?) aria-label="[^"]*"', r"\1", text)
    return text.replace('<summary><span class="toctree', '<summary aria-label="Pages of it"><span class="toctree')


def finish(out: Path) -> None:
    """Rewrite the pages that Sphinx wrote to `out`."""
    unused(out / "_static")
    for page in out.rglob("*.html"):
        text = named(page.read_text(encoding="utf-8"))
        text = re.sub(r"<img [^>]*>", lambda match, page=page: finished(match[0], page.parent), text)
        text = re.sub(r"<thead>(?:\s|</?(?:tr|th|p)[^>]*>)*</thead>", "", text)  # a table without headings
        if page.name != "search.html":  # the index of all words is for who searches
            text = re.sub(
                r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>', "", text
            )
        page.write_text(text, encoding="utf-8")
    for picture in out.rglob("*.webp"):
        picture.with_suffix(".png").unlink(missing_ok=True)
