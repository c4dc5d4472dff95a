"""The site, built once for all tests, a server of it, and a browser: CHROMIUM in the environment, Debian's, or
playwright's own."""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from playground import playground  # noqa: F401

SITE = Path(__file__).parents[1]
sys.path.append(str(SITE))  # for `pages`; `build` stays lectures/build.py


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the built site: SITE in the environment, or built now."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"]).resolve()
    out = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run([sys.executable, SITE / "build.py", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served, with a slash at the end."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def open_page(browser, address):
    """A function that opens a page of the site, "quiz.html", and waits until its formulas are set."""
    contexts = []

    def opened(name: str, width: int = 1280, height: int = 900, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        contexts[-1].set_default_timeout(120_000)  # a busy machine is no fault of the page
        page = contexts[-1].new_page()
        page.goto(address + name)
        page.evaluate("() => window.MathJax?.startup?.promise")
        return page

    yield opened
    for context in contexts:
        context.close()
