// What the controls say: a state, its reading from a link's hash, and what is wrong with it in a sentence.

import { MIXTURES } from "./mixtures.mjs";
import { SAMPLERS, SCHEDULES } from "./sampling.mjs";

export const LEAST = 0.002; // noise, sigma / alpha: where an interval of guidance begins and ends at most
export const MOST = 80;
const SIZES = [250, 500, 1000, 2000];

export const DEFAULTS = {
  data: "eight_gaussians",
  cond: "each",
  path: "vp",
  sampler: "dpmpp_2m",
  steps: 24,
  eta: 0,
  churn: 0,
  gamma: 1,
  low: LEAST,
  high: MOST,
  seed: 0,
  n: 1000,
  net: 0,
  shade: "data",
  arrows: 1,
  paths: 1,
};

/** Controls that choose among words, or among numbers. */
const CHOICES = {
  data: Object.keys(MIXTURES),
  path: Object.keys(SCHEDULES),
  sampler: Object.keys(SAMPLERS),
  n: SIZES,
  net: [0, 1],
  shade: ["none", "data", "sharpened"],
  arrows: [0, 1],
  paths: [0, 1],
};

/** Controls that take a number: what to call it, the least, the most, whether it must be whole, what is usual. */
export const NUMBERS = {
  steps: ["steps", 1, 100, true, "24 is usual"],
  eta: ["eta", 0, 1, false, "0 is DDIM, 1 DDPM"],
  churn: ["churn", 0, 100, false, "0 adds no noise"],
  gamma: ["gamma", 0, 10, false, "1 is no guidance"],
  low: ["the interval's low end", LEAST, MOST, false, "it is a noise level sigma / alpha"],
  high: ["the interval's high end", LEAST, MOST, false, "it is a noise level sigma / alpha"],
  seed: ["the seed", 0, 9999, true, "each gives other noise"],
};

/** A number as a person writes it: a comma is welcome for the point. Text that is none gives NaN. */
const asNumber = (text) => (String(text).trim() === "" ? NaN : Number(String(text).trim().replace(",", ".")));

function wrongNumber(key, text) {
  const [name, least, most, whole, usual] = NUMBERS[key];
  const value = asNumber(text);
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return null;
  const shown = String(text).slice(0, 40) || "nothing";
  return `${name} must be a ${whole ? "whole " : ""}number from ${least} to ${most} (${usual}), got ${shown}`;
}

/**
 * The state that these texts or numbers by key mean, and a sentence for each thing that is wrong: { state, wrong }. What
 * is missing is as in DEFAULTS; so is what is wrong.
 */
export function read(given) {
  const [state, wrong] = [{ ...DEFAULTS }, []];
  for (const [key, value] of Object.entries(given)) {
    if (NUMBERS[key]) {
      const sentence = wrongNumber(key, value);
      if (sentence) wrong.push(sentence);
      else state[key] = asNumber(value);
    } else if (CHOICES[key]) {
      const found = CHOICES[key].find((choice) => String(choice) === String(value));
      if (found === undefined) wrong.push(`${key} must be one of ${CHOICES[key].join(", ")}, got ${String(value).slice(0, 40)}`);
      else state[key] = found;
    } else if (key !== "cond") {
      wrong.push(`the link names ${key.slice(0, 40)}, which this page does not have`);
    }
  }
  const conds = condsOf(state.data);
  if (given.cond !== undefined) {
    if (conds.includes(String(given.cond))) state.cond = String(given.cond);
    else wrong.push(`the class must be one of ${conds.join(", ")}, got ${String(given.cond).slice(0, 40)}`);
  }
  if (state.low > state.high) {
    wrong.push(`the interval must rise: its low end ${state.low} is above its high end ${state.high}`);
    Object.assign(state, { low: DEFAULTS.low, high: DEFAULTS.high });
  }
  return { state, wrong };
}

const classes = Object.fromEntries(Object.entries(MIXTURES).map(([name, mixture]) => [name, mixture().classes]));

/** The choices of class: any ("none"), all in turn ("each"), or one. */
export const condsOf = (data) => ["none", "each", ...Array.from({ length: classes[data] }, (_, k) => String(k))];

/** The hash of a link that holds what differs from DEFAULTS. */
export const toHash = (state) =>
  new URLSearchParams(Object.entries(state).filter(([key, value]) => value !== DEFAULTS[key])).toString();

/** { state, wrong } of a link's hash. */
export const fromHash = (hash) => read(Object.fromEntries(new URLSearchParams(hash.replace(/^#/, ""))));
