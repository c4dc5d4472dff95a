// The three densities of lecture 07's counterexample on the page: sliders, histograms, what was derived.

import { drawBars, drawLine, palette, prepare } from "./draw.mjs";
import { histogram } from "./field.mjs";
import { guidedSamples, variance, variances } from "./gaussians.mjs";
import { $, numberControl, repaint, shown } from "./page.mjs";

const HALF = 4; // of the window
const BINS = 64;
const POINTS = 160;
const N = 2000;
const SEED = 7;
const PARTS = ["ODE", "SDE", "sharpened"];
const NUMBERS = {
  gamma: { label: "Guidance scale γ (1 is off)", least: 0, most: 6, step: 0.1, start: 3, called: "gamma" },
  wide: { label: "Variance V of all classes together", least: 1.1, most: 4, step: 0.1, start: 2, called: "the variance V" },
};

/** { values, wrong } of the texts of the form. */
function read(form) {
  const [values, wrong] = [{}, []];
  for (const [key, { called, least, most }] of Object.entries(NUMBERS)) {
    const text = form[key].value.trim();
    values[key] = text === "" ? NaN : Number(text.replace(",", "."));
    const fine = values[key] >= least && values[key] <= most;
    if (fine) form[key].removeAttribute("aria-invalid");
    else form[key].setAttribute("aria-invalid", "true");
    if (!fine) wrong.push(`${called} must be a number from ${least} to ${most}, got ${text.slice(0, 40) || "nothing"}`);
  }
  return { values, wrong };
}

const normal = (v) =>
  Float64Array.from({ length: POINTS }, (_, i) => {
    const x = HALF * ((2 * i + 1) / POINTS - 1);
    return Math.exp((-x * x) / (2 * v)) / Math.sqrt(2 * Math.PI * v);
  });

/** A histogram of 1-D samples, by way of the 2-D one. */
const bars = (x) => histogram(Float64Array.from({ length: 2 * x.length }, (_, i) => (i % 2 ? 0 : x[i / 2])), BINS, HALF);

export function densitiesPage() {
  const form = $("densities-controls");
  let [derived, samples, turn] = [null, null, 0];

  function paint() {
    if (!derived) return;
    const colours = palette($("densities"));
    const sharp = normal(derived.sharpened);
    for (const part of PARTS) {
      const surface = prepare($(part));
      if (!surface) return;
      const [line, found] = [normal(derived[part]), samples && bars(samples[part])];
      const most = 1.05 * Math.max(...line, ...sharp, ...(found ?? []));
      if (found) drawBars(surface, found, most, colours.series[0]);
      drawLine(surface, sharp, most, colours.series[1], [6, 4]);
      drawLine(surface, line, most, colours.ink);
    }
  }

  async function changed() {
    const { values, wrong } = read(form);
    $("densities-wrong").textContent = wrong.map((s) => `${s[0].toUpperCase()}${s.slice(1)}.`).join(" ");
    const mine = ++turn;
    if (wrong.length) {
      $("densities-output").textContent = "Nothing new is drawn: see the sentence above.";
      return;
    }
    [derived, samples] = [variances(values.gamma, values.wide), null];
    paint();
    await new Promise((resume) => setTimeout(resume, 120)); // while a slider moves the lines are enough
    if (mine !== turn) return;
    const found = await guidedSamples(values.gamma, values.wide, N, SEED);
    if (mine !== turn) return;
    samples = found;
    paint();
    $("densities-output").textContent = `Gamma ${values.gamma}, V ${values.wide}. Variance derived / of ${N} samples: ` +
      PARTS.map((part) => `${part} ${shown(derived[part])} / ${shown(variance(found[part]))}`).join("; ") + ".";
  }

  for (const [key, about] of Object.entries(NUMBERS)) {
    const box = form.querySelector(`[data-key="${key}"]`);
    box.id = `densities-${key}`;
    numberControl(box, { key, ...about }).set(about.start);
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", changed);
  repaint($("densities"), paint);
  changed();
}
