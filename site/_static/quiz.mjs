// The quiz's form: judges answers as minidiff.check.q does, from the questions that stand in the page.

/** A number given as such or as a fraction, "8/7"; NaN if it is none. */
export function number(text) {
  const plain = text.replaceAll(",", "").trim();
  const fraction = /^([+-]?\d+)\/(\d+)$/.exec(plain);
  if (fraction) return Number(fraction[2]) ? Number(fraction[1]) / Number(fraction[2]) : NaN;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
}

const list = (value) => (Array.isArray(value) ? value : [value]).map(Number);

/** The numbers of an answer: one, or several with a comma and a space between them. */
export function numbers(text, kind) {
  if (kind === "number") return [number(text)];
  return text.replace(/[()]/g, "").split(/,\s*/).map(number);
}

/** Whether the numbers are as many and agree to 1%. */
const equal = (found, wanted) =>
  found.length === wanted.length && found.every((v, i) => Math.abs(v - wanted[i]) <= 0.01 * Math.abs(wanted[i]));

/** { ok, text }: whether an answer to a question is right, and what to say of it. ok is null where nobody can say. */
export function judge(question, answer) {
  const see = ` See lecture ${question.lecture}.`;
  const right = { ok: true, text: "Right." };
  const unknown = { ok: null, text: "None of the usual mistakes. Whether it is right is not in this page." };
  if (answer.trim() === "") return { ok: false, text: "No answer yet." };
  if (question.kind === "choice") {
    if (question.right.includes(answer)) return right;
    if (answer in question.wrong) return { ok: false, text: question.wrong[answer] + see };
    return unknown;
  }
  const found = numbers(answer, question.kind);
  const wanted = question.kind === "number" ? "a number, as 16.8 or 8/7" : "two numbers, as 1, 2";
  if (found.some(Number.isNaN) || (question.kind === "numbers" && found.length !== 2)) {
    return { ok: false, text: `“${answer.slice(0, 40)}” is not ${wanted}.` };
  }
  if (question.right.some((value) => equal(found, list(value)))) return right;
  for (const [value, hint] of Object.entries(question.wrong)) {
    if (equal(found, numbers(value, question.kind))) return { ok: false, text: hint + see };
  }
  return question.right.length ? { ok: false, text: `Not right. Numbers are compared to 1%.${see}` } : unknown;
}

function start() {
  const questions = JSON.parse(document.getElementById("questions").textContent);
  const verdicts = new Map();
  for (const form of document.querySelectorAll("form.question")) {
    const n = Number(form.dataset.question);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const { ok, text } = judge(questions[n - 1], String(new FormData(form).get(`q${n}`) ?? ""));
      const output = form.querySelector("output");
      output.textContent = text;
      output.className = ok === null ? "open" : ok ? "right" : "wrong";
      verdicts.set(n, ok);
      const right = [...verdicts.values()].filter((v) => v === true).length;
      document.getElementById("score").textContent =
        `${right} right of ${verdicts.size} answered; there are ${questions.length} questions.`;
    });
  }
}

if (typeof document !== "undefined" && document.getElementById("questions")) start();
