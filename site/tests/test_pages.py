"""Every page in a real browser, at the widths of a telephone, a tablet and a laptop."""

import gzip
import html.parser
import re
import urllib.parse
from pathlib import Path

import nbformat
import pytest
from pages import links

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = (360, 768, 1280)
WIRE = 500_000  # bytes of the landing page, as they travel
WHOLE = 40e6  # bytes of the site
TEXT = {".html", ".css", ".js", ".mjs", ".svg", ".json"}  # what servers compress


def names(site: Path) -> list[str]:
    """Every page, by its path."""
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if "_static" not in path.parts)


class Parts(html.parser.HTMLParser):
    """The anchors of a page, its links, and its pictures' tags."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links, self.images = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[k] for k in ("id", "name") if attrs.get(k)}
        self.links += [(tag, attrs[k]) for k in ("href", "src", "srcset") if attrs.get(k)]
        if tag == "img":
            self.images.append(attrs)


@pytest.fixture(scope="session")
def parts(site) -> dict[str, Parts]:
    return {name: Parts((site / name).read_text(encoding="utf-8")) for name in names(site)}


# --- what stands in the files ---


def test_every_part_of_the_course_has_its_page(site):
    there = set(names(site))
    lectures = {f"lectures/{p.stem}.html" for p in (links.ROOT / "lectures").glob("[0-9][0-9]_*.ipynb")}
    asked = ("index", "quiz", "ledger", "slides", "errata", "glossary", "cheatsheet", "exercises", "measurements",
             "teaching", "api/index")  # fmt: skip
    assert len(lectures) == 11 and lectures | {f"{name}.html" for name in asked} <= there


def test_links_and_anchors_lead_somewhere(site, parts):
    lost, seen = [], 0
    for name, page in parts.items():
        for tag, link in page.links:
            target = urllib.parse.urlsplit(link)
            if target.scheme:
                assert tag == "a" or target.scheme == "data", f"{name} loads {link}"
                continue
            seen += 1
            path = (site / name).parent / urllib.parse.unquote(target.path) if target.path else site / name
            other = parts.get(path.resolve().relative_to(site.resolve()).as_posix())
            if not path.is_file() or target.fragment and other and target.fragment not in other.ids:
                lost.append(f"{name}: {link}")
    assert not lost and seen > 5000


def test_pictures_say_what_is_drawn(parts):
    told = [(name, image.get("alt", "")) for name, page in parts.items() for image in page.images]
    assert len(told) > 80
    assert not [(name, alt) for name, alt in told if len(alt.split()) < 3 or re.search(r"^_|output|\.(png|jpg)$", alt)]


def test_figures_have_the_words_of_their_cells(parts):
    for path in (links.ROOT / "lectures").glob("[0-9][0-9]_*.ipynb"):
        cells = [c for c in nbformat.read(path, 4).cells if any("image" in "".join(o.get("data", {})) for o in
                 c.get("outputs", []))]  # fmt: skip
        shown = [image["alt"] for image in parts[f"lectures/{path.stem}.html"].images]
        assert cells and not [c.metadata["alt"] for c in cells if " ".join(c.metadata["alt"].split()) not in shown]


def test_tables_that_cells_show_are_tables(site):
    text = (site / "lectures" / "09_cifar10.html").read_text(encoding="utf-8")
    assert text.count("<table") >= 5 and "| ---" not in text and "| —" not in text


def test_it_is_light_enough_to_be_kept(site):
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) <= WHOLE


# --- in the browser ---


def watch(page, address: str) -> list[str]:
    """A list that fills with what goes wrong in a page."""
    wrong = []
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: wrong.append(f"elsewhere: {r.url}")
            if not r.url.startswith((address, "data:", "blob:")) else None)  # fmt: skip
    return wrong


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_open_without_error_request_elsewhere_or_sideways_scroll(browser, address, site, width):
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    wrong, found = watch(page, address), {}
    for name in names(site):
        page.goto(address + name)
        page.evaluate("() => window.MathJax?.startup?.promise")
        page.evaluate("() => document.querySelectorAll('details').forEach((part) => (part.open = true))")
        wide, seen = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        if wide > seen:
            wrong.append(f"{wide} pixels wide")
        if wrong:
            found[name] = list(wrong)
            wrong.clear()
    context.close()
    assert not found


@pytest.mark.parametrize("width, scheme", [(360, "light"), (1280, "dark"), (1280, "light")])
def test_axe_finds_nothing_serious(browser, address, site, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    found = {}
    for name in names(site):
        page.goto(address + name)
        page.evaluate("() => window.MathJax?.startup?.promise")
        page.evaluate("() => document.querySelectorAll('.bd-article details').forEach((part) => (part.open = true))")
        page.add_script_tag(path=AXE)
        results = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        for violation in results["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found[name, violation["id"]] = [node["html"][:150] for node in violation["nodes"][:3]]
    context.close()
    assert not found


def test_the_landing_page_is_light_and_loads_nothing_heavy(browser, address, site):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    loaded = []
    page.on("response", lambda response: loaded.append(response.url))
    page.goto(address + "index.html", wait_until="networkidle")
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    context.close()
    paths = {site / urllib.parse.urlsplit(url).path.lstrip("/") for url in loaded}
    sizes = {p.name: len(gzip.compress(p.read_bytes()) if p.suffix in TEXT else p.read_bytes()) for p in paths}
    assert "prompts.webp" in sizes and sum(sizes.values()) <= WIRE and max(sizes.values()) <= WIRE / 2, sizes
    assert not [name for name in sizes if re.search(r"tex-chtml|onnx|wasm|searchindex|fontawesome\.woff", name)]


def focused(page, selector: str):
    """Press Tab until what `selector` names has the focus."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


def test_the_quiz_works_by_keyboard(open_page):
    page = open_page("quiz.html")
    first, second = page.locator("form.question").nth(0), page.locator("form.question").nth(1)
    focused(page, "form[data-question='1'] input")
    page.keyboard.press("Space")
    focused(page, "form[data-question='1'] button")
    page.keyboard.press("Enter")
    assert "x and y are exchanged" in first.locator("output").inner_text()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert first.locator("output").inner_text() == "Right."
    focused(page, "form[data-question='2'] input")
    for typed, said in (("", "No answer yet"), ("many", "“many” is not a number"), ("4.096", "That is one side"),
                        ("5", "Not right"), ("16.8", "Right.")):  # fmt: skip
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        assert said in second.locator("output").inner_text()
    assert page.locator("#score").inner_text() == "2 right of 2 answered; there are 30 questions."


def test_folded_parts_open_by_keyboard(open_page):
    page = open_page("lectures/02_paths_and_samplers.html", 360)
    for kind in ("hint", "answer", "solution"):
        part = page.locator(f"details.{kind}").first
        assert not part.locator(":scope > :not(summary)").first.is_visible()
        part.locator("summary").focus()
        page.keyboard.press("Enter")
        assert part.locator(":scope > :not(summary)").first.is_visible()


def test_the_menu_opens_and_closes_by_keyboard(open_page):
    page = open_page("glossary.html", 360)
    menu = page.locator(".bd-sidebar-primary").get_by_role("link", name="Quiz", exact=True)
    assert not menu.is_visible()
    focused(page, "button.primary-toggle")
    page.keyboard.press("Enter")
    menu.wait_for(state="visible")
    page.keyboard.press("Escape")
    menu.wait_for(state="hidden")


def test_what_scrolls_by_itself_can_be_reached(open_page):
    page = open_page("ledger.html", 360)
    page.wait_for_load_state("load")
    wide = "document.querySelectorAll('.bd-article .pst-scrollable-table-container')"
    states = page.evaluate(f"() => [...{wide}].map((t) => [t.scrollWidth > t.clientWidth + 1, t.tabIndex])")
    assert len(states) > 10 and all(index == 0 for scrolls, index in states if scrolls)
    assert any(scrolls for scrolls, _ in states)


def test_animations_stand_still_for_who_wants_that(open_page):
    for motion, kind in (("reduce", "still.webp"), ("no-preference", "gif")):
        page = open_page("lectures/02_paths_and_samplers.html", reduced_motion=motion)
        picture = page.locator("picture img").first
        picture.scroll_into_view_if_needed()
        picture.evaluate("(image) => image.decode()")
        assert picture.evaluate("(image) => image.currentSrc").endswith(kind)


def test_dark_mode_is_dark(open_page):
    grounds = {}
    for scheme in ("light", "dark"):
        page = open_page("quiz.html", color_scheme=scheme)
        style = "getComputedStyle(document.documentElement).getPropertyValue('--mini-ground')"
        color = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        grounds[scheme] = page.evaluate(f"() => {style}").strip(), sum(map(int, re.findall(r"\d+", color)[:3]))
    assert grounds["light"][0] == "#ffffff" and grounds["light"][1] > 700
    assert grounds["dark"][0] != "#ffffff" and grounds["dark"][1] < 150


def test_the_cheat_sheet_prints_on_one_page(open_page):
    page = open_page("cheatsheet.html")
    assert page.locator(".sheet .box").count() == 10
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 702, "height": 1032})  # A4 without its margins
    for part in page.locator(".sheet mjx-container, .sheet table").all():  # nothing is cut off, or leaves its box
        box = part.locator("xpath=ancestor::div[contains(@class, 'box')]").bounding_box()
        assert part.bounding_box()["x"] + part.bounding_box()["width"] <= box["x"] + box["width"]
    pdf = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


def test_search_finds_a_term(open_page):
    page = open_page("search.html?q=classifier-free")
    page.locator("#search-results li a").first.wait_for()
    assert page.locator("#search-results li").count() > 2
