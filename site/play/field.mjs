// What is drawn behind the samples: densities and arrows on a grid, and marginals. The picture at time t reaches from
// -halfWidth to halfWidth in both directions; rows go from the top, y = halfWidth, down.

import { mixtureOf, modelOf } from "./run.mjs";
import { SCHEDULES } from "./sampling.mjs";

/** Half of the width of the window on x_t: it holds the data at t = 0 and most of the noise before. */
export const halfWidth = (schedule, t) => 1.3 * schedule.alpha(t) + 2.6 * schedule.sigma(t);

/** The centres of size x size squares. */
function centres(size, half) {
  const points = new Float64Array(2 * size * size);
  for (let i = 0; i < size * size; i++) {
    points[2 * i] = half * ((2 * (i % size) + 1) / size - 1);
    points[2 * i + 1] = half * (1 - (2 * Math.floor(i / size) + 1) / size);
  }
  return points;
}

/**
 * On the grid, the density at t of the samples' classes, each with the same weight, not normalised: the data's for gamma
 * 1, else sharpened, p(x) p(c|x)^gamma. Without a class it is the data's.
 */
export function density(state, t, gamma, size) {
  const [schedule, mixture] = [SCHEDULES[state.path](), mixtureOf(state)];
  const half = halfWidth(schedule, t);
  const points = centres(size, half);
  const alpha = schedule.alpha(t);
  const sigma = Math.hypot(schedule.sigma(t), half / size); // what is finer than half a square would be missed
  const [total, any] = [new Float64Array(size * size), mixture.logProb(points, alpha, sigma)];
  for (const label of shown(state, mixture)) {
    const labels = label === null ? null : new Int32Array(size * size).fill(label);
    const mine = labels ? mixture.logJoint(points, labels, alpha, sigma) : any;
    const logs = mine.map((v, i) => any[i] + gamma * (v - any[i]));
    const most = logs.reduce((a, b) => Math.max(a, b));
    const sum = logs.reduce((a, b) => a + Math.exp(b - most), 0);
    for (let i = 0; i < total.length; i++) total[i] += Math.exp(logs[i] - most) / sum;
  }
  return total;
}

const shown = ({ cond }, { classes }) =>
  cond === "none" ? [null] : cond === "each" ? [...Array(classes).keys()] : [Number(cond)];

/** Of a density on a grid: its sums over columns as a density of x. */
export function marginal(grid, size, half) {
  const columns = new Float64Array(size);
  for (const [i, v] of grid.entries()) columns[i % size] += v;
  const sum = columns.reduce((a, b) => a + b);
  return columns.map((v) => v / sum / ((2 * half) / size));
}

/** The shares of samples by x in `bins` bins of the window, as a density. */
export function histogram(x, bins, half) {
  const counts = new Float64Array(bins);
  for (let i = 0; i < x.length; i += 2) {
    const bin = Math.floor(((x[i] / half + 1) / 2) * bins);
    if (bin >= 0 && bin < bins) counts[bin] += 1;
  }
  return counts.map((c) => c / (x.length / 2) / ((2 * half) / bins));
}

/**
 * Where the score points at t, on a grid of size x size: { points, arrows }, arrows being sigma times the guided score
 * of the class, or without one class the score without condition.
 */
export async function arrows(state, t, size, nets = null) {
  const schedule = SCHEDULES[state.path]();
  const points = centres(size, halfWidth(schedule, t));
  const one = /^\d+$/.test(state.cond);
  const labels = one ? new Int32Array(size * size).fill(Number(state.cond)) : null;
  const { eps } = await modelOf(state, labels, nets)(points, Math.max(t, schedule.tMin));
  return { points, arrows: eps.map((v) => -v) };
}

