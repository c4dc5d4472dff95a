// The playground: controls make a state, a state makes frames, frames are drawn.

import * as draw from "./draw.mjs";
import { halfWidth } from "./field.mjs";
import { densitiesPage } from "./densities.mjs";
import { $, breather, calm, load, numberControl, repaint } from "./page.mjs";
import { paintView } from "./paint.mjs";
import { frames, labelsOf, measures, references } from "./run.mjs";
import { place, said } from "./said.mjs";
import { SCHEDULES } from "./sampling.mjs";
import { DEFAULTS, LEAST, MOST, condsOf, fromHash, read, toHash } from "./state.mjs";

const SECONDS = 3; // of the film from noise to data

const NUMBERS = {
  steps: { label: "Steps", least: 1, most: 100, step: 1 },
  eta: { label: "Eta (0 DDIM, 1 DDPM)", least: 0, most: 1, step: 0.05 },
  churn: { label: "Churn (0 is none)", least: 0, most: 100, step: 5 },
  gamma: { label: "Scale γ (1 is off)", least: 0, most: 10, step: 0.25 },
  low: { label: "On from noise", least: LEAST, most: MOST, step: 0.01, log: true },
  high: { label: "Up to noise", least: LEAST, most: MOST, step: 0.01, log: true },
};

const form = $("controls");
const sliders = {};
let view = null; // what is drawn: { state, schedule, labels, exact, net, at, cache }
let turn = 0; // rises with each run: an older one then stops
let film = 0;
let nets = null;
let directions = null;
let known = { key: "", value: null }; // the references of the last run

// --- controls ---

/** The classes of the data to choose from; the chosen one stays, if it is still there. */
function offerClasses(data) {
  const [conds, names, chosen] = [condsOf(data), { none: "any", each: "all in turn" }, form.cond.value];
  form.cond.replaceChildren(...conds.map((c) => new Option(names[c] ?? `class ${c}`, c)));
  form.cond.value = conds.includes(chosen) ? chosen : DEFAULTS.cond;
}

function fill(state) {
  offerClasses(state.data);
  for (const [key, value] of Object.entries(state)) {
    if (sliders[key]) sliders[key].set(value);
    else if (form[key].type === "checkbox") form[key].checked = Boolean(value);
    else form[key].value = String(value);
  }
  fit(state);
}

/** Shows the controls that this sampler has. */
function fit({ sampler }) {
  form.querySelector('[data-key="eta"]').hidden = sampler !== "ddim";
  form.querySelector('[data-key="churn"]').hidden = sampler !== "heun";
}

function given() {
  const entries = Object.keys(DEFAULTS).map((key) => {
    const { type, checked, value } = form[key];
    return [key, type === "checkbox" ? Number(checked) : value];
  });
  return Object.fromEntries(entries);
}

function changed() {
  offerClasses(form.data.value);
  for (const button of $("presets").children) button.setAttribute("aria-pressed", "false");
  const { state, wrong } = read(given());
  fit(state);
  complain(wrong);
  if (wrong.length) return;
  history.replaceState(null, "", `#${toHash(state)}`);
  show(state);
}

/** Says what is wrong, and marks the texts that are. */
function complain(wrong) {
  $("wrong").textContent = wrong.map((sentence) => `${sentence[0].toUpperCase()}${sentence.slice(1)}.`).join(" ");
  for (const key of Object.keys(DEFAULTS)) {
    if (form[key].type !== "text") continue;
    const bad = wrong.length > 0 && read({ [key]: form[key].value }).wrong.length > 0;
    if (bad) form[key].setAttribute("aria-invalid", "true");
    else form[key].removeAttribute("aria-invalid");
  }
  if (wrong.length) {
    turn++; // what is on its way would belong to an older setting
    $("output").textContent = "Nothing new is drawn: see the sentence above.";
    $("stage").removeAttribute("aria-busy");
  }
}

// --- a run ---

/** All frames of a state, or null if a newer run has begun. */
async function all(state, withNets, mine) {
  const [found, rest] = [[], breather()];
  for await (const frame of frames(state, withNets)) {
    found.push(frame);
    await rest();
    if (mine !== turn) return null;
  }
  return found;
}

async function show(state, play = false) {
  const mine = ++turn;
  const since = performance.now();
  $("stage").setAttribute("aria-busy", "true");
  try {
    if (state.net && !nets) nets = await load("nets.json");
    const exact = await all(state, null, mine);
    const net = exact && state.net ? await all(state, nets, mine) : null;
    if (mine !== turn) return;
    const drawn = performance.now() - since;
    placeView(state, exact, net);
    if (play && !calm()) start();
    else moveTo(view.exact.length - 1);
    await new Promise((resume) => setTimeout(resume));
    if (mine !== turn) return;
    const found = measures(referencesOf(state), exact.at(-1).x, net?.at(-1).x);
    $("output").replaceChildren(...said(state, found).map(paragraph));
    Object.assign($("output").dataset, { hash: toHash(state), seconds: (drawn / 1000).toFixed(3) });
    $("stage").removeAttribute("aria-busy");
  } catch (error) {
    if (mine === turn) complain([error.message]);
  }
}

function paragraph(text) {
  const p = document.createElement("p");
  p.textContent = text;
  return p;
}

function referencesOf(state) {
  const { data, cond, n, seed, gamma } = state;
  const key = JSON.stringify([data, cond, n, seed, gamma]);
  if (known.key !== key) known = { key, value: references(state, directions) };
  return known.value;
}

function placeView(state, exact, net) {
  const schedule = SCHEDULES[state.path]();
  const halves = exact.map(({ t }) => halfWidth(schedule, t));
  if (view) view.open = false; // pictures of it that are still on their way are not wanted
  const placed = draw.inWindows(exact, halves);
  view = { state, schedule, halves, exact, placed, labels: labelsOf(state), at: exact.length - 1, cache: new Map(), open: true };
  view.net = net && draw.inWindows(net, halves);
  $("at").max = exact.length - 1;
  $("net-figure").hidden = !net;
}

// --- time ---

function moveTo(at) {
  view.at = Math.min(at, view.exact.length - 1);
  $("at").value = Math.round(view.at);
  const step = Math.round(view.at);
  const text = place(step, view.exact.length - 1, view.exact[step].t, view.schedule);
  $("shown").textContent = text;
  $("at").setAttribute("aria-valuetext", text);
  paint();
}

function stop() {
  cancelAnimationFrame(film);
  film = 0;
  $("run").textContent = "Play";
}

function start() {
  stop();
  $("run").textContent = "Pause";
  const [from, last] = [view.at >= view.exact.length - 1 ? 0 : view.at, view.exact.length - 1];
  const began = performance.now();
  const frame = (now) => {
    const at = from + ((now - began) / 1000 / SECONDS) * last;
    moveTo(Math.max(from, at));
    if (at < last) film = requestAnimationFrame(frame);
    else stop();
  };
  film = requestAnimationFrame(frame);
}

function toggle() {
  if (!view) return;
  if (film) stop();
  else if (calm()) moveTo(view.at >= view.exact.length - 1 ? 0 : view.at + 1); // a step at a time, if motion is unwelcome
  else start();
}

function paint() {
  if (view) paintView(view, nets);
}

// --- the page ---

function presets(list) {
  $("presets").replaceChildren(...list.map(({ title, state, look }) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: title });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      openPreset(read(state).state);
      button.setAttribute("aria-pressed", "true");
      $("look").textContent = look;
    });
    return button;
  }));
}

function openPreset(state) {
  fill(state);
  for (const button of $("presets").children) button.setAttribute("aria-pressed", "false");
  complain([]);
  history.replaceState(null, "", `#${toHash(state)}`);
  show(state, true);
}

function fromLink(play) {
  const { state, wrong } = fromHash(location.hash);
  fill(state);
  complain(wrong);
  show(state, play && !wrong.length); // what is wrong in the link is as by default
}

async function open() {
  for (const [key, about] of Object.entries(NUMBERS)) {
    sliders[key] = numberControl(form.querySelector(`[data-key="${key}"]`), { key, ...about });
  }
  if (!draw.prepare($("exact"))) {
    $("look").textContent = "This browser has no canvas, so nothing can be drawn; the numbers below are right all the same.";
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { stop(); changed(); });
  $("another").addEventListener("click", () => {
    form.seed.value = String((Number(form.seed.value) + 1) % 10000 || 0);
    changed();
  });
  $("at").addEventListener("input", () => { stop(); if (view) moveTo(Number($("at").value)); });
  $("run").addEventListener("click", toggle);
  window.addEventListener("hashchange", () => fromLink(false));
  repaint($("stage"), paint);
  try {
    const [list, found] = await Promise.all([load("presets.json"), load("directions.json")]);
    directions = found;
    presets(list);
    fromLink(true);
  } catch (error) {
    complain([error.message]);
  }
}

open();
densitiesPage();
