"""The quiz as a form: quiz.json in the page, read by _static/quiz.mjs."""

import html
import json

import variants

from minidiff.check.lecture10 import QUESTIONS, judged

COMPUTED = {  # question -> the exercise whose solution computes its answer, and with which arguments
    8: ("07.3", (3,), 0),
    9: ("07.3", (3,), 1),
    10: ("00.4", ("ddim", 1, 3), None),
    12: ("05.1", (32, 3), None),
    15: ("06.6", ("conv", 8), None),
    22: ("03.2", (3072,), None),
    27: ("00.4", ("heun", 10, 1), None),
}


def computed() -> dict[int, float]:
    """The answers that exercises' solutions give. Raises ValueError where quiz.json says otherwise."""
    found = {}
    for n, (exercise, values, part) in COMPUTED.items():
        answer = variants.solution(exercise)(*values)
        found[n] = float(answer if part is None else answer[part])
        if judged(n, found[n])[0] != "right":
            raise ValueError(f"question {n}: exercise {exercise} computes {found[n]}, and quiz.json has another answer")
    return found


def data(solutions: bool) -> list[dict]:
    """What the page judges answers by. Without solutions the right ones are left out."""
    answers = computed()
    rows = []
    for n, question in enumerate(QUESTIONS, 1):
        right = [answers[n]] if n in answers else question["right"]
        kind, wrong = question["kind"], question["wrong"]
        rows.append({"kind": kind, "right": right if solutions else [], "wrong": wrong, "lecture": question["lecture"]})
    return rows


def field(n: int, question: dict) -> str:
    """The inputs of a question."""
    if question["kind"] == "choice":
        rows = (
            f'<label><input type="radio" name="q{n}" value="{letter}"> ({letter}) {html.escape(text)}</label>'
            for letter, text in question["options"].items()
        )
        return "".join(rows)
    words = "Your number" if question["kind"] == "number" else "Your numbers, as 1, 2"
    return f'<label>{words}: <input type="text" name="q{n}" autocomplete="off" size="14"></label>'


def page(solutions: bool) -> str:
    """The page of the quiz."""
    forms = [
        f'<form class="question" data-question="{n}"><fieldset>'
        f"<legend>{n}. {html.escape(question['question'])}</legend>"
        f"{field(n, question)}</fieldset>"
        f'<button type="submit" aria-label="Check question {n}">Check</button><output></output></form>'
        for n, question in enumerate(QUESTIONS, 1)
    ]
    kept = json.dumps(data(solutions), ensure_ascii=False).replace("<", "\\u003c")
    about = "" if solutions else " The right answers are not in this page: it only knows the usual mistakes."
    return "\n".join([
        "# Quiz",
        "",
        f"{len(QUESTIONS)} questions over the whole course. Numbers are judged to 1%; fractions as 8/7 are read too. "
        f"Nothing is sent anywhere, and nothing is kept.{about}",
        "",
        '<p class="score"><output id="score">No question answered yet.</output></p>',
        "<noscript><p>The form needs JavaScript. Without it: <code>check.q(1, \"b\")</code> in Python.</p></noscript>",
        *forms,
        f'<script type="application/json" id="questions">{kept}</script>',
        '<script type="module" src="_static/quiz.mjs"></script>',
        "",
    ])  # fmt: skip
