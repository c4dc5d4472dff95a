"""Where a path of the repository is on the site: links in what is taken over lead to pages, pictures and files."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
TAKEN = {  # pages that are files of the repository
    "teaching": "lectures/TEACHING.md",
    "measurements": "tests/bench/README.md",
    "model_shapes": "minidiff/pretrained/shapes/README.md",
    "model_cifar10": "minidiff/pretrained/cifar10/README.md",
    "datasets": "datasets/README.md",
}
PAGES = {path: name for name, path in TAKEN.items()} | {"README.md": "index", "lectures/CLAIMS.md": "ledger"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def page(path: str) -> str | None:
    """The page that shows a file or folder of the repository, if there is one."""
    if path in PAGES:
        return PAGES[path]
    if re.fullmatch(r"lectures/\d\d_\w+\.ipynb", path):
        return path.removesuffix(".ipynb")
    if found := re.fullmatch(r"minidiff/(\w+)(?:\.py|/[\w/]+\.py)?", path):
        return f"api/{found[1]}"
    return None


def rewritten(text: str, home: str, source: Path) -> str:
    """Markdown of the file `home` (a path in the repository) with its links as they are in the folder `source`, into
    which the pictures and files that it names are copied. Raises ValueError for a link that leads nowhere."""

    def replace(match) -> str:
        mark, words, target, anchor = match.groups()
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = (ROOT / home).parent.joinpath(target).resolve()
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
        if found := page(name):
            kind = "ipynb" if found.startswith("lectures/") else "md"
            return f"[{words}](/{found}.{kind}{anchor or ''})"
        if path.is_dir():
            return words
        if not name or not path.is_file():
            raise ValueError(f"{home}: the link {target} leads nowhere")
        copy = source / "files" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        return f"{mark}[{words}](/files/{name})"

    parts = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.S)  # code is left as it is
    return "".join(part if part.startswith("`") else LINK.sub(replace, part) for part in parts)
