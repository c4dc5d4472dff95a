"""What the pages are made of, without a browser: nothing of the course is missing, and a class sees no solution."""

import json
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from experiments import claims
from pages import api, finish, lectures, ledger, links, quiz
from PIL import Image

from minidiff import check

SITE = links.ROOT / "site"


# --- claims and slides ---


def test_every_claim_stands_in_the_ledger_once_with_its_history():
    text, rows = ledger.ledger(), claims.every_row()
    for id in rows:
        anchor = f"(claim-{id.replace('.', '-')})=\n### {id} "
        assert text.count(anchor) == 1
    before = sum(len(row.get("history", [])) for by_mode in rows.values() for row in by_mode.values())
    assert before > 15 and text.count("\n- Before (") == before
    found = [re.findall(rf"\[{v}\]{{\.verdict \.{v}}}", text) for v in ledger.SAID]
    measured = sum(map(len, rows.values()))
    assert sum(map(len, found)) == 2 * measured + len(ledger.SAID)  # in the table, in full; and once at the top


def test_claims_come_in_the_order_of_the_slides():
    groups = ledger.by_slide(claims.every_row())
    order = [i for i in groups if i is not None]
    assert order == sorted(order) and sum(map(len, groups.values())) == len(claims.every_row())
    for rows in groups[None].values():  # what names a slide is under that slide
        assert not rows["cpu"]["where"].startswith("slide")
    text = ledger.ledger()
    places = [text.index(f"\n## {ledger.title(i)}\n") for i in groups]
    assert places == sorted(places)


def test_every_slide_is_in_the_map_and_leads_somewhere():
    text, every = ledger.slide_map(), []
    for i, slide in enumerate(ledger.SLIDES, 1):
        assert f"| {i}. **{slide['slide']}** |" in text and slide["sections"] and slide["says"]
        every += slide["sections"]
    assert {number for number, _ in every} == {name[:2] for name in lectures.names()}
    with pytest.raises(ValueError, match="lecture 05 has no part 'Nothing'"):
        ledger.where_it_is("05", "Nothing")


def test_the_errata_have_all_that_is_contradicted():
    text, rows = ledger.contradicted(), claims.every_row()
    wrong = [id for id, row in rows.items() if row["cpu"]["verdict"] == "contradicted"]
    assert len(wrong) > 5 and re.findall(r"^\| \[(\d+\.\d+)\]", text, re.M) == wrong
    assert "fragments/contradicted.md" in (SITE / "errata.md").read_text(encoding="utf-8")


# --- lectures ---


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Each lecture's notebook with solutions and without."""
    folder = tmp_path_factory.mktemp("source")
    return {
        name: {with_them: lectures.page(name, with_them, folder) for with_them in (True, False)}
        for name in lectures.names()
    }


def test_solutions_are_folded_in_and_absent_for_a_class(pages):
    checked = 0
    for name, both in pages.items():
        whole = nbformat.read(links.ROOT / "lectures" / f"{name}.ipynb", 4)
        texts = {k: "\n".join(c.source for c in page.cells) for k, page in both.items()}
        for cell in whole.cells:
            if exercise := cell.metadata.get("exercise"):
                code = re.search(r"# BEGIN SOLUTION\n(.*?)\n *# END SOLUTION", cell.source, re.S)[1]
                summary = f"<summary>Solution of exercise {exercise}</summary>"
                assert summary in texts[True] and code in texts[True]
                assert summary not in texts[False] and code not in texts[False]
                for text in texts.values():  # the cell itself is the stub
                    assert f'raise NotImplementedError("exercise {exercise}")' in text
                assert code not in "\n".join(c.source for c in both[True].cells if c.cell_type == "code")
                checked += 1
    assert checked == len(check.EXERCISES)


def test_every_hint_and_answer_is_folded(pages):
    for name, both in pages.items():
        whole = "\n".join(c.source for c in nbformat.read(links.ROOT / "lectures" / f"{name}.ipynb", 4).cells)
        text = "\n".join(c.source for c in both[False].cells)
        assert text.count("<details class=") == whole.count("<details>") >= len(lectures.exercises(name[:2]))
        assert text.count("\n\n</details>") == whole.count("<details>")


def test_outputs_stay_as_they_are_committed(pages):
    """All but what needs a kernel to be of use, and the cell that says how to install."""
    for name, both in pages.items():
        whole = nbformat.read(links.ROOT / "lectures" / f"{name}.ipynb", 4)
        pictures = [o for c in whole.cells for o in c.get("outputs", []) if "image" in "".join(o.get("data", {}))]
        shown = [o for c in both[True].cells for o in c.get("outputs", []) if "image" in "".join(o.get("data", {}))]
        printed = [o.text for c in whole.cells for o in c.get("outputs", []) if o.output_type == "stream"]
        assert shown == pictures and printed == [
            o.text for c in both[True].cells for o in c.get("outputs", []) if o.output_type == "stream"
        ]
        assert not [c for c in both[True].cells if "git clone" in c.source]


def test_measured_claims_lead_to_the_ledger(pages):
    found = {
        id
        for both in pages.values()
        for c in both[True].cells
        for id in re.findall(r"\[claim (\d+\.\d+)\]\(#claim-", c.source)
    }
    assert len(found) > 0.8 * len(claims.every_row()) and found <= set(claims.every_row())


def test_every_exercise_is_in_the_table():
    text = lectures.table()
    assert re.findall(r"^\| \[(\d\d\.\d) ", text, re.M) == list(check.EXERCISES)
    assert all(text.count(f"(#exercise-{id.replace('.', '-')})") == 1 for id in check.EXERCISES)


# --- quiz ---


def test_the_quiz_has_every_question_and_its_hints():
    rows, text = quiz.data(True), quiz.page(True)
    assert len(rows) == len(quiz.QUESTIONS) == text.count("<fieldset>")
    for row, question in zip(rows, quiz.QUESTIONS, strict=True):
        assert row["wrong"] == question["wrong"] and row["right"] and row["lecture"] == question["lecture"]
    assert {n: rows[n - 1]["right"] for n in quiz.COMPUTED} == {n: [v] for n, v in quiz.computed().items()}


def test_right_answers_are_not_on_a_class_page():
    kept = re.search(r'id="questions">(.*?)</script>', quiz.page(False), re.S)[1]
    assert not any(row["right"] for row in json.loads(kept)) and all(row["wrong"] for row in json.loads(kept))


def test_an_answer_that_an_exercise_does_not_compute_is_refused(monkeypatch):
    monkeypatch.setitem(quiz.COMPUTED, 15, ("06.6", ("conv", 4), None))
    with pytest.raises(ValueError, match="question 15: exercise 06.6 computes 16.0"):
        quiz.data(True)


def test_the_form_judges_as_the_package_does(tmp_path):
    """Each right answer, each foreseen wrong one and some others, by quiz.mjs in node and by check.q in Python."""
    cases = []
    for n, question in enumerate(quiz.QUESTIONS, 1):
        right = ["", *question["right"]][-1] if question["kind"] != "choice" else question["right"][0]
        answers = [", ".join(map(str, right)) if isinstance(right, list) else str(right), *question["wrong"]]
        answers += ["123456", "1, 2", "3/8"] if question["kind"] != "choice" else []
        cases += [(n, answer, quiz.judged(n, answer)) for answer in answers]
    data = json.dumps({"rows": quiz.data(True), "cases": [case[:2] for case in cases]})
    script = f"import {{ judge }} from '{(SITE / '_static' / 'quiz.mjs').as_uri()}'; const {{ rows, cases }} = {data};"
    script += "console.log(JSON.stringify(cases.map(([n, answer]) => judge(rows[n - 1], answer))));"
    done = subprocess.run([shutil.which("node"), "--input-type=module", "-e", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (n, answer, (key, hint)), found in zip(cases, json.loads(done.stdout), strict=True):
        assert found["ok"] == (key == "right"), (n, answer, found)
        if key not in ("right", "other"):
            assert found["text"].startswith(hint), (n, answer, found)


# --- the package ---


def test_every_module_and_public_function_is_on_a_page():
    pages = api.pages()
    names = {p.stem if p.parent == api.PACKAGE else p.relative_to(api.PACKAGE).parts[0] for p in
             api.PACKAGE.rglob("*.py")} - {"__init__", "__main__", "pretrained"}  # fmt: skip
    assert {f"api/{name}.md" for name in names} | {"api/index.md"} == set(pages)
    assert pages["api/samplers.md"].count("\n## ") > 5 and "\n## dpmpp_2m\n" in pages["api/samplers.md"]
    assert "### Autoencoder\n" in pages["api/stages.md"] and "Source of Guided</summary>" in pages["api/guidance.md"]
    order = [pages["api/index.md"].index(f"[{name}]({name}.md)") for name in api.CORE]
    assert order == sorted(order)


def test_docstrings_are_taken_as_they_stand():
    assert api.plain("a * x0 + b * eps, x_t of <B>") == r"a \* x0 + b \* eps, x\_t of \<B\>"
    assert api.plain("see `a_b`: [0, 1]") == r"see `a_b`: \[0, 1\]"
    assert api.plain("one.\n\n    x = 1") == "one.\n\n```text\n    x = 1\n```"


def test_long_signatures_have_an_argument_a_line():
    import ast

    (node,) = ast.parse("def long_name(first: tuple[int, ...], second: dict[str, int], third=(1, 2), fourth: int = 5, "
                        "fifth: str = 'a, b') -> tuple[int, int]: pass").body  # fmt: skip
    lines = api.signature(node).splitlines()
    assert lines[1] == "    first: tuple[int, ...]," and lines[2] == "    second: dict[str, int],"
    assert ast.parse(f"def {api.signature(node)}: pass")


# --- links, pictures, the command ---


def test_links_lead_to_pages_files_and_pictures(tmp_path):
    text = "[a](CLAIMS.md) [b](../tests/bench/speed.py) ![c](prompts.png) [d](../minidiff/nets) [e](02_paths_and_samplers.ipynb) `[f](x)`"  # noqa: E501
    new = links.rewritten(text, "lectures/TEACHING.md", tmp_path)
    assert new == (
        "[a](/ledger.md) [b](/files/tests/bench/speed.py) ![c](/files/lectures/prompts.png) [d](/api/nets.md) "
        "[e](/lectures/02_paths_and_samplers.ipynb) `[f](x)`"
    )
    assert (tmp_path / "files" / "tests" / "bench" / "speed.py").is_file()
    with pytest.raises(ValueError, match="TEACHING.md: the link nowhere.md leads nowhere"):
        links.rewritten("[a](nowhere.md)", "lectures/TEACHING.md", tmp_path)


def test_pictures_are_made_lighter_without_loss(tmp_path):
    noise = Image.effect_noise((200, 150), 90).convert("RGB")
    noise.save(tmp_path / "big.png")
    Image.new("RGB", (10, 10)).save(tmp_path / "small.png")
    tag = finish.finished('<img alt="noise" src="big.png" style="width: 3px" />', tmp_path)
    assert tag == '<img width="200" height="150" loading="lazy" decoding="async" alt="noise" src="big.webp" />'
    assert Image.open(tmp_path / "big.webp").convert("RGB").tobytes() == noise.tobytes()
    assert 'src="small.png"' in finish.finished('<img src="small.png" />', tmp_path)


def test_an_animation_has_a_still_of_its_end(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    tag = finish.finished('<img alt="a" src="a.gif" />', tmp_path)
    assert 'media="(prefers-reduced-motion: reduce)" srcset="a.still.webp"' in tag and 'src="a.gif"' in tag
    red, _, blue = Image.open(tmp_path / "a.still.webp").convert("RGB").getpixel((4, 4))
    assert blue > 200 and red < 60


def test_a_folder_of_the_users_own_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    command = [sys.executable, SITE / "build.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "is no site of an earlier build" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_glossary_is_sorted_and_names_its_lectures():
    text = (SITE / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^(\S.*)\n  \S", text.split(":sorted:")[1], re.M)
    assert len(terms) > 60 and len(set(terms)) == len(terms)
    numbers = {n for found in re.findall(r"\((\d\d(?:, \d\d)*)\)", text) for n in found.split(", ")}
    assert numbers <= {name[:2] for name in lectures.names()} and len(numbers) > 8
