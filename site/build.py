"""Build the course's site: `python site/build.py [--no-solutions] [OUT]`, by default into build/site.

Nothing of the lectures is executed: they are shown with the outputs that are committed. In OUT lie, besides Sphinx's
pages,

_static/mathjax     formulas; vendor/onnxruntime, what runs a model in the page: both from npm (site/package.json). Its
                    WebAssembly is gzipped, a quarter of the size whatever serves it
play/, prompt/      the modules of the interactive pages, site/play/*.mjs and site/prompt/*.mjs, and beside them what
                    WRITERS write: each is called with the folder it shall write into

The text of the pages is in site/*.md; what is taken over from the rest of the repository is written by site/pages.
"""

import argparse
import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.resolve()
ROOT = HERE.parent
MODULES = HERE / "node_modules"
RUNTIME = ["ort.wasm.min.mjs", "ort.jspi.min.mjs"]  # on the CPU alone, and on the GPU too where a browser can
RUNTIME += [f"ort-wasm-simd-threaded{kind}.{end}" for kind in ("", ".jspi") for end in ("mjs", "wasm")]
WRITERS = {"play.py": "play", "prompt/export.py": "prompt"}  # of numbers and weights, by the folder they write to
MARK = ".nojekyll"  # in every site: Pages shall serve the files as they are
INTERACTIVE = ["playground", "prompt"]  # pages that are listed where they are there

sys.path[:0] = [str(ROOT / "lectures"), str(ROOT), str(HERE)]  # `build` is lectures/build.py


def packages() -> None:
    """Install the npm packages, as package-lock.json says, where they are not."""
    if not all((MODULES / name).exists() for name in ("mathjax", "onnxruntime-web", "axe-core")):
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)


def compose(source: Path, solutions: bool) -> None:
    """Write the folder that Sphinx reads: site/*.md, and what site/pages makes of the repository."""
    from pages import api, lectures, ledger, links, quiz  # they load the package: --help need not wait for it

    texts = {"slides.md": ledger.slide_map(), "ledger.md": ledger.ledger(), "quiz.md": quiz.page(solutions)}
    texts |= {"exercises.md": lectures.table(), "fragments/lectures.md": lectures.overview()} | api.pages()
    texts |= {"fragments/contradicted.md": ledger.contradicted(), "fragments/inpage.md": in_page()}
    texts["fragments/toctree.md"] = contents(lectures.names())
    for name, path in links.TAKEN.items():
        texts[f"{name}.md"] = links.rewritten((ROOT / path).read_text(encoding="utf-8"), path, source)
    for page in HERE.glob("*.md"):
        texts[page.name] = page.read_text(encoding="utf-8")
    for module in HERE.glob("prompt/*.mjs"):  # the page shows some of its source
        texts[f"prompt/{module.name}"] = module.read_text(encoding="utf-8")
    for name, text in texts.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    (source / "lectures").mkdir()
    for name in lectures.names():
        lectures.nbformat.write(lectures.page(name, solutions, source), source / "lectures" / f"{name}.ipynb")


def in_page() -> str:
    """What can be tried without installing anything: the pages that have something to try, as they introduce it."""
    lines = ["## Try it here, with nothing to install", ""]
    for name in [*INTERACTIVE, "quiz"]:
        path = HERE / f"{name}.md"
        if name == "quiz":
            lines.append("- [Quiz](/quiz.md). Questions over the whole course; a wrong answer gets a hint of its own.")
        elif path.exists():
            title, said = re.search(r"^# (.+)\n+((?:[^\n]+\n)+)", path.read_text(encoding="utf-8"), re.M).groups()
            sentence = re.split(r"(?<=[.:?!])\s", said.replace("\n", " ").strip())[0]
            lines.append(f"- [{title}](/{name}.md). {sentence}")
    return "\n".join(lines) + "\n"


def contents(lectures: list[str]) -> str:
    """The table of contents."""
    there = [name for name in INTERACTIVE if (HERE / f"{name}.md").exists()]
    parts = {
        "In the page": [*there, "quiz"],
        "Lectures": [f"lectures/{name}" for name in lectures] + ["exercises"],
        "The lecture's slides": ["slides", "The claims <ledger>", "errata"],
        "Look it up": ["cheatsheet", "glossary", "api/index"],
        "Measured": ["measurements", "Model: shapes <model_shapes>", "Model: CIFAR-10 <model_cifar10>", "datasets"],
        "For teachers": ["teaching"],
    }
    return "\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])
        for caption, pages in parts.items()
    )


def picture(source: Path) -> None:
    """Write the landing page's picture, small."""
    from PIL import Image, ImageChops

    (source / "files").mkdir(exist_ok=True)
    with Image.open(ROOT / "lectures" / "prompts.png") as opened:
        whole = opened.convert("RGB")
        drawn = ImageChops.invert(whole).getbbox()  # without the white around it
        whole.crop(drawn).save(source / "files" / "prompts.webp", quality=80, method=6)


def modules(out: Path) -> None:
    """Copy the notebooks to fill in, what sets formulas, and what the interactive pages load."""
    mathjax, there = MODULES / "mathjax" / "es5", out / "_static" / "mathjax"
    shutil.copytree(mathjax / "output" / "chtml" / "fonts", there / "output" / "chtml" / "fonts")
    shutil.copy(mathjax / "tex-chtml.js", there)
    shutil.copytree(ROOT / "lectures" / "student", out / "student", ignore=shutil.ignore_patterns(".*"))
    for name in ("play", "prompt"):
        for module in [*(HERE / name).glob("*.mjs"), *(HERE / name).glob("*.css")]:
            if ".test." not in module.name:
                (out / name).mkdir(exist_ok=True)
                shutil.copy(module, out / name)
    (out / "vendor" / "onnxruntime").mkdir(parents=True)
    for name in RUNTIME:
        source, target = MODULES / "onnxruntime-web" / "dist" / name, out / "vendor" / "onnxruntime" / name
        if name.endswith(".wasm"):
            target.with_name(name + ".gz").write_bytes(gzip.compress(source.read_bytes(), mtime=0))
        else:
            shutil.copy(source, target)


def emptied(out: Path) -> None:
    """An empty folder `out`. Raises ValueError if there is something else than a site that was built before."""
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / MARK).exists())):
        raise ValueError(f"{out} is there, and is no site of an earlier build: delete it or name another folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARK).touch()  # also where the build ends half-way


def build(out: Path, solutions: bool) -> None:
    """Write the site into the empty folder `out`. Raises CalledProcessError where a part of it fails."""
    from pages.finish import finish

    source = out.with_name(out.name + "-source")  # the pages as Sphinx reads them

    scripts = [(HERE / script, out / folder) for script, folder in WRITERS.items() if (HERE / script).exists()]
    writers = [subprocess.Popen([sys.executable, *map(str, script)], cwd=ROOT) for script in scripts]
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    compose(source, solutions)
    picture(source)
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", f"{source}-doctrees"]
    subprocess.run([*sphinx, "-c", str(HERE), str(source), str(out)], check=True)
    finish(out)
    modules(out)
    for writer in writers:
        if writer.wait():
            raise subprocess.CalledProcessError(writer.returncode, writer.args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-solutions", action="store_true", help="leave the solutions out, for a class")
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "site")
    options = parser.parse_args()
    packages()
    try:
        emptied(options.out)
        build(options.out.resolve(), not options.no_solutions)
    except ValueError as error:
        parser.error(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"the site was not built: {' '.join(map(str, error.cmd))} failed, see above")


if __name__ == "__main__":
    main()
