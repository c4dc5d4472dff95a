"""Build the course's site: `python site/build.py [--no-solutions] [OUT]`, by default into build/site.

Nothing is executed: lectures are shown with the outputs that are committed. In OUT lie, besides Sphinx's pages,

_static/mathjax     formulas; vendor/onnxruntime, what runs a model in the page: both from npm (site/package.json)
                    (vendor/onnxruntime is gzipped: a third of the size whatever serves it)
play/, prompt/      the modules of the interactive pages, site/play/*.mjs and site/prompt/*.mjs, and beside them what
                    WRITERS write: each is called with the folder it shall write into
"""

import argparse
import gzip
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
SOURCE = ROOT / "build" / "site-source"  # the pages as Sphinx reads them
MODULES = HERE / "node_modules"
RUNTIME = ["ort.wasm.min.mjs", "ort.jspi.min.mjs"]  # on the CPU alone, and on the GPU too where a browser can
RUNTIME += [f"ort-wasm-simd-threaded{kind}.{end}" for kind in ("", ".jspi") for end in ("mjs", "wasm")]
WRITERS = {"play.py": "play", "prompt/export.py": "prompt"}  # of numbers and weights, by the folder they write to


def packages() -> None:
    """Install the npm packages, as package-lock.json says, where they are not."""
    if not (MODULES / "mathjax").exists() or not (MODULES / "onnxruntime-web").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)


def compose() -> None:
    """Write the folder that Sphinx reads."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    for page in HERE.glob("*.md"):
        shutil.copy(page, SOURCE)
    for name in ("play", "prompt"):  # pages show their source
        shutil.copytree(HERE / name, SOURCE / name, ignore=lambda _, names: [n for n in names if not n.endswith(".mjs")])
    shutil.copytree(HERE / "_static", SOURCE / "_static")
    mathjax, wanted = MODULES / "mathjax" / "es5", SOURCE / "_static" / "mathjax"
    wanted.mkdir()
    shutil.copy(mathjax / "tex-chtml.js", wanted)
    shutil.copytree(mathjax / "output" / "chtml" / "fonts", wanted / "output" / "chtml" / "fonts")


def modules(out: Path) -> None:
    """Copy what the interactive pages load."""
    for name in ("play", "prompt"):
        for module in [*(HERE / name).glob("*.mjs"), *(HERE / name).glob("*.css")]:
            if ".test." not in module.name:
                (out / name).mkdir(exist_ok=True)
                shutil.copy(module, out / name)
    (out / "vendor" / "onnxruntime").mkdir(parents=True, exist_ok=True)
    for name in RUNTIME:
        source, target = MODULES / "onnxruntime-web" / "dist" / name, out / "vendor" / "onnxruntime" / name
        if name.endswith(".wasm"):
            target.with_name(name + ".gz").write_bytes(gzip.compress(source.read_bytes(), mtime=0))
        else:
            shutil.copy(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-solutions", action="store_true", help="leave the solutions out, for a class")
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "build" / "site")
    options = parser.parse_args()
    packages()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    writers = []
    for script, folder in WRITERS.items():
        if (HERE / script).exists():
            writers.append(subprocess.Popen([sys.executable, HERE / script, options.out / folder], cwd=ROOT))
    compose()
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-d", ROOT / "build" / "site-doctrees"]
    subprocess.run([*sphinx, "-c", HERE, SOURCE, options.out], check=True)
    modules(options.out)
    if any([writer.wait() for writer in writers]):
        sys.exit("numbers or weights of a page could not be written: see above")


if __name__ == "__main__":
    main()
