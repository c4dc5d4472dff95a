// The page: takes what the form asks for, draws it by model.mjs, shows it, and says in words what became of it.

import { asked, command, fromAddress, toAddress, unknownWords } from "./form.mjs";
import { facts, load } from "./load.mjs";
import { draw } from "./model.mjs";
import { figure, fill, paint, showStep } from "./show.mjs";
import { splitWords, tokenizer } from "./tokenizer.mjs";
import { Generator } from "../play/random.mjs";

const root = document.querySelector("#drawing");
const find = (selector) => root.querySelector(selector);
const fields = find("form").elements;
const PACE = 30; // milliseconds a step takes at least, so that one can watch it

let meta = facts(); // a promise of model.json
meta.catch(() => {}); // said when a drawing is asked for
let model; // a promise of what draws, once one was asked for
let figures = [];
let wanted = null; // what to draw next: a slider asks faster than pictures come
let busy = false;
let playing = 0; // counts what a slow replay must give way to

/** Put sentences, a line each, where they are seen and read aloud. */
function say(lines, bad = false) {
  const output = find("output");
  output.classList.toggle("bad", bad);
  output.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
}

function refuse(error) {
  say([error.message], true);
  unfold(error.field);
  error.field?.setAttribute("aria-invalid", "true");
  error.field?.focus();
}

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));

/** Draw what the form asks for, as soon as what is being drawn is left; with `watch` step by step. */
async function ask({ watch = true } = {}) {
  const pressed = performance.now();
  for (const field of root.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  try {
    meta = meta.catch(facts); // once more, if it could not be loaded
    wanted = { ...asked(fields, tokenizer(await meta)), pressed, watch: watch && !still() };
  } catch (error) {
    wanted = null;
    refuse(error);
  }
  if (busy) return;
  busy = true;
  while (wanted) await drawn(wanted).catch(refuse);
  busy = false;
}

/** The model; loaded when first asked for, and anew where that failed. */
async function loaded() {
  if (model) return { ...(await model), first: false };
  say(["Loading the network and what computes it, about 10 MB …"]);
  model = load(await meta, new URLSearchParams(location.search).get("backend") ?? "auto");
  try {
    return { ...(await model), first: true };
  } catch (error) {
    model = undefined;
    throw error;
  }
}

/** The noise that a picture's latents start from, the same as in Python. */
const noiseOf = (seed, { latents }) => new Generator(seed).normal32(latents.reduce((a, b) => a * b));

/** Draw a job, and leave it where another is wanted. */
async function drawn(job) {
  wanted = null;
  playing++;
  const known = await loaded();
  const began = performance.now();
  const one = noiseOf(job.seed, known.meta);
  const split = (x, size = x.length / job.prompts.length) => job.prompts.map((_, i) => x.subarray(i * size, (i + 1) * size));
  const noise = Float32Array.from({ length: one.length * job.prompts.length }, (_, i) => one[i % one.length]); // for both
  if (job.watch || String(job.prompts) !== String(figures.map(({ prompt }) => prompt))) arrange(job.prompts);
  if (job.watch) find(".pictures").scrollIntoView({ block: "nearest", behavior: "smooth" });
  const frames = [];
  let x = await known.decode(noise);
  for await (const step of draw(known, job.prompts, noise, job)) {
    frames.push({ x, x0: step.x0 });
    ({ x } = step);
    if (job.watch) split(x).forEach((picture, i) => paint(figures[i].big, picture));
    await pause(job.watch ? began + PACE * frames.length - performance.now() : 0); // other wishes may come in
    if (wanted) return;
  }
  figures.forEach((one, i) => {
    const path = frames.map((frame) => ({ x: split(frame.x)[i], x0: split(frame.x0)[i] }));
    fill(one, [...path, { x: split(x)[i] }], known.meta);
  });
  finish(frames.length);
  say(report(job, (performance.now() - began) / 1000));
  find(".how").textContent = details(job, known);
  find(".python").textContent = command(job);
  history.replaceState(null, "", toAddress(fields));
}

/** New figures for the prompts. */
function arrange(prompts) {
  figures = prompts.map((prompt) => figure(prompt, go));
  find(".pictures").replaceChildren(...figures.map(({ whole }) => whole));
  find(".after").hidden = true;
}

/** What lets one look at the steps. */
function finish(steps) {
  find("[name=step]").max = steps;
  find("[name=replay]").hidden = still();
  find(".after").hidden = false;
  go(steps);
}

/** What was drawn, in sentences. */
function report({ negative, scale, steps, seed, unknown }, seconds) {
  const away = negative && scale !== 1 ? ` away from “${negative}”` : "";
  return [
    ...(unknown.length ? [unknownWords(unknown)] : []),
    ...figures.map(({ prompt, words }) => `${prompt ? `“${prompt}”` : "No words"}: read back as ${words}.`),
    `Drawn in ${seconds.toFixed(2)} s: γ ${scale}${away}, ${count(steps, "step")} of dpmpp_2m, seed ${seed}.`,
  ];
}

/** How it was computed, and when it could be foreseen. */
function details({ prompts, scale, steps, pressed }, { first, how }) {
  const branches = prompts.length * (scale === 0 || scale === 1 ? 1 : 2);
  const loading = first ? ` The first picture came ${((performance.now() - pressed) / 1000).toFixed(2)} s after the button.` : "";
  const settled = figures.map((one) => one.settled).join(" and ");
  return `${count(steps, "call")} of the network for ${count(branches, "picture")} each, by ${how}.${loading} From step ` +
    `${settled} on, what the model expects reads as the end does. Above: the noisy picture before each step; below: what ` +
    "the model expects there.";
}

const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

/** Show the pictures after this many steps. */
function go(step) {
  find("[name=step]").value = step;
  find(".at").textContent = `${step} of ${find("[name=step]").max}`;
  for (const one of figures) showStep(one, step);
}

/** All steps once more, each long enough to look at. */
async function replay() {
  const [mine, steps] = [++playing, figures[0].frames.length - 1];
  for (let step = 0; step <= steps && mine === playing; step++) {
    go(step);
    await pause(Math.max(40, Math.min(400, 5000 / steps)));
  }
}

/** Beside the prompts: how many words they have, and which the model does not know. */
async function showWords() {
  const { words, length } = await meta;
  const rows = [fields.prompt, fields.second, fields.negative].map(({ value }) => splitWords(value));
  const unknown = [...new Set(rows.flat())].filter((word) => !words.includes(word));
  find("#prompt-words").textContent = unknown.length ? unknownWords(unknown) :
    `The model knows ${words.length} words; a prompt has at most ${length}, this one ${rows[0].length}.`;
}

/** Open what hides a field that is filled in, or one that is to be mended. */
function unfold(field) {
  const folded = find("details");
  if (fields.second.value || fields.negative.value || (field && folded.contains(field))) folded.open = true;
}

find("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
fields.another.addEventListener("click", () => {
  fields.seed.value = Math.floor(Math.random() * 1e6);
  ask();
});
fields.slider.addEventListener("input", () => {
  fields.gamma.value = fields.slider.value;
  if (model) ask({ watch: false }); // before the first picture nothing is loaded for a slider
});
fields.gamma.addEventListener("input", () => Number.isFinite(+fields.gamma.value) && (fields.slider.value = fields.gamma.value));
for (const name of ["prompt", "second", "negative"]) fields[name].addEventListener("input", () => showWords().catch(() => {}));
find(".examples").addEventListener("click", ({ target }) => {
  if (target.tagName !== "BUTTON") return;
  fields.prompt.value = target.textContent;
  for (const name of ["second", "negative", "gamma"]) {
    fields[name].value = target.dataset[name] ?? fields[name].defaultValue;
  }
  fields.slider.value = fields.gamma.value;
  unfold();
  showWords().catch(() => {});
  ask();
});
find("[name=step]").addEventListener("input", ({ target }) => {
  playing++;
  go(Number(target.value));
});
find("[name=replay]").addEventListener("click", replay);
/** Before anything is drawn: the noise that it will be drawn from, three of its channels as colours. */
async function begin() {
  const known = await meta;
  const { prompts, seed } = asked(fields, tokenizer(known));
  arrange(prompts);
  for (const one of figures) {
    paint(one.big, noiseOf(seed, known).subarray(0, 3 * known.latents[1] ** 2));
    one.big.ariaLabel = `The noise of seed ${seed}, from which a picture will be drawn`;
  }
}

fromAddress(fields, location.hash);
unfold();
fields.slider.value = fields.gamma.value;
showWords().catch(() => {});
begin().catch(() => {}); // what is wrong is said when a drawing is asked for
