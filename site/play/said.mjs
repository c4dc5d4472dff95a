// What the page says in words and numbers of a run. Knows nothing of the page.

import { shown } from "./page.mjs";
import { callsOf } from "./run.mjs";
import { LEAST, MOST } from "./state.mjs";

const NAMES = { eight_gaussians: "eight Gaussians", two_classes: "two classes", branches: "branches" };

/** Sentences of a run's state and of its measures. */
export function said(state, found) {
  return [drawn(state), ...distance(state, found), ...blur(state, found)];
}

function drawn({ data, cond, n, sampler, path, steps, gamma, low, high, eta, churn }) {
  const classes = { none: "any class", each: "all classes in turn" }[cond] ?? `class ${cond}`;
  const noise = sampler === "ddim" && eta > 0 ? `, eta ${eta}` : sampler === "heun" && churn > 0 ? `, churn ${churn}` : "";
  const whole = low <= LEAST && high >= MOST;
  const guided = cond === "none" ? "guidance needs a class" : gamma === 1 ? "gamma 1: no guidance" : `gamma ${gamma}`;
  const interval = cond === "none" || gamma === 1 || whole ? "" : ` at noise ${low} to ${high}`;
  const calls = callsOf({ sampler, steps });
  const grid = sampler === "langevin" ? `${steps} moves at each of 12 levels` : `${steps} ${steps === 1 ? "step" : "steps"}`;
  return `${n} samples of ${NAMES[data]}, ${classes}, by ${sampler}${noise} in ${grid} (${calls} ${calls === 1 ? "call" : "calls"}) ` +
    `on the ${path} path; ${guided}${interval}.`;
}

function distance({ cond, gamma }, { exact, floor, sharpened }) {
  const toData = `Sliced Wasserstein distance to the data: ${shown(exact)} (floor, two exact sets: ${shown(floor)}).`;
  if (cond === "none" || gamma === 1) return [toData];
  if (sharpened === undefined) return [toData, "The sharpened density was too rare here to draw from."];
  return [toData, `To the sharpened density: ${shown(sharpened)}.`];
}

function blur(_, { outside, spread, net, apart, outside_net }) {
  const percent = (v) => `${(100 * v).toFixed(1)}%`;
  const mine = `Outside the data's 99% contour: ${percent(outside)}; root mean square from the middle: ${shown(spread)}.`;
  if (net === undefined) return [mine];
  return [mine, `The net, from the same noise: distance ${shown(net)}, outside ${percent(outside_net)}; its samples end ` +
    `${shown(apart)} from the exact score's, root mean square.`];
}

/** Where the window stands. */
export function place(step, steps, t, schedule) {
  const noise = t === 0 ? 0 : schedule.sigma(t) / schedule.alpha(t);
  return `Step ${step} of ${steps}: t = ${shown(t)}, noise σ/α = ${shown(noise)}.`;
}
