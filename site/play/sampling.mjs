// Samplers: from noise to data along a falling grid of times, as minidiff/samplers.py and minidiff/guidance.py.
//
// A model is called as model(x, t) and returns (or promises) { x0, eps }, typed arrays as long as x. Each sampler is an
// async generator that yields { x, t, x0 } after each step: the new x, the time where it now is, and the x0 predicted
// on the way. If the times end at 0 the last step returns the denoised x0, so nothing is divided by sigma = 0.
// `normal(n)` gives n standard normal numbers; only samplers that draw noise need it.

import { SCHEDULES, checkTimes, during, grid, schedules } from "./schedules.mjs";

export { SCHEDULES, checkTimes, during, grid, schedules };

/** A typed array like x, of f(i). */
const fill = (x, f) => {
  const out = new x.constructor(x.length);
  for (let i = 0; i < out.length; i++) out[i] = f(i);
  return out;
};

/** The pairs (t, s) of each step. */
function pairs(times, schedule) {
  checkTimes(times, schedule);
  return times.slice(1).map((s, i) => [times[i], s]);
}

/** The x that a sampler starts from: sigma(tMax) times the noise. */
export const start = (schedule, noise) => fill(noise, (i) => schedule.sigma(Math.fround(schedule.tMax)) * noise[i]);

/** The last { x, t, x0 } of a sampler. */
export async function last(sampler) {
  let found;
  for await (found of sampler);
  return found;
}

/** DDIM (Song et al. 2021, equation 12); eta = 1 is DDPM's ancestral sampling. Order 1. */
export async function* ddim(model, x, times, schedule, { eta = 0, normal } = {}) {
  if (!(eta >= 0 && eta <= 1)) throw new RangeError(`eta must be between 0 (DDIM) and 1 (DDPM), got ${eta}`);
  for (const [t, s] of pairs(times, schedule)) {
    const { x0, eps } = await model(x, t);
    if (s === 0) {
      yield { x: x0, t: s, x0 };
      return;
    }
    const [alphaT, sigmaT, alphaS, sigmaS] = ends(schedule, t, s);
    const fresh = eta ** 2 * (1 - ((alphaT * sigmaS) / (alphaS * sigmaT)) ** 2); // share of sigmaS^2 drawn anew
    const [kept, drawn] = [sigmaS * Math.sqrt(1 - fresh), sigmaS * Math.sqrt(fresh)];
    const z = eta > 0 ? normal(x.length) : null;
    x = fill(x, (i) => alphaS * x0[i] + kept * eps[i] + (z ? drawn * z[i] : 0));
    yield { x, t: s, x0 };
  }
}

const ends = (schedule, t, s) => [schedule.alpha(t), schedule.sigma(t), schedule.alpha(s), schedule.sigma(s)];

/** Euler's method on dx/dt = velocity, the sampler of flow matching (Lipman et al. 2023). Order 1. */
export async function* euler(model, x, times, schedule) {
  for (const [t, s] of pairs(times, schedule)) {
    const { x0, eps } = await model(x, t);
    const [dAlpha, dSigma] = s === 0 ? [] : schedule.rates(t);
    const before = x;
    x = s === 0 ? x0 : fill(x, (i) => before[i] + (s - t) * (dAlpha * x0[i] + dSigma * eps[i]));
    yield { x, t: s, x0 };
  }
}

/**
 * EDM's sampler (Karras et al. 2022, algorithms 1 and 2): Heun's method on dy/dn = eps. Order 2.
 * churn > 0 adds noise before each step and removes it again: S_churn, with S_noise = noiseScale.
 */
export async function* heun(model, x, times, schedule, { churn = 0, noiseScale = 1, normal } = {}) {
  const steps = pairs(times, schedule);
  const gamma = Math.min(churn / steps.length, Math.SQRT2 - 1);
  for (let [t, s] of steps) {
    if (gamma > 0) [x, t] = churned(schedule, x, t, gamma, noiseScale, normal);
    const { x0, eps } = await model(x, t);
    if (s === 0) {
      yield { x: x0, t: s, x0 };
      return;
    }
    const [alphaT, sigmaT, alphaS, sigmaS] = ends(schedule, t, s);
    const [before, step] = [x, sigmaS / alphaS - sigmaT / alphaT];
    const ahead = fill(x, (i) => alphaS * (before[i] / alphaT + step * eps[i]));
    const there = (await model(ahead, s)).eps;
    x = fill(x, (i) => alphaS * (before[i] / alphaT + (step * (eps[i] + there[i])) / 2));
    yield { x, t: s, x0 };
  }
}

/** Raise the noise level sigma / alpha by the factor 1 + gamma: the x and t there. */
function churned(schedule, x, t, gamma, noiseScale, normal) {
  const [alpha, sigma] = [schedule.alpha(t), schedule.sigma(t)];
  const up = schedule.time(schedule.logSnr(t) - 2 * Math.log1p(gamma));
  const noise = (sigma / alpha) * Math.sqrt((1 + gamma) ** 2 - 1) * noiseScale;
  const z = normal(x.length);
  return [fill(x, (i) => schedule.alpha(up) * (x[i] / alpha + noise * z[i])), up];
}

/**
 * DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): one call a step, x0 extrapolated from the step before. Order 2.
 * The first step and the one to t = 0 are first order.
 */
export async function* dpmpp2m(model, x, times, schedule) {
  let x0Before, hBefore;
  for (const [t, s] of pairs(times, schedule)) {
    const { x0 } = await model(x, t);
    if (s === 0) {
      yield { x: x0, t: s, x0 };
      return;
    }
    const [, sigmaT, alphaS, sigmaS] = ends(schedule, t, s);
    const h = (schedule.logSnr(s) - schedule.logSnr(t)) / 2;
    const [before, old, ratio] = [x, x0Before, h / (2 * hBefore)];
    const ahead = (i) => (old ? x0[i] + (x0[i] - old[i]) * ratio : x0[i]);
    x = fill(x, (i) => (sigmaS / sigmaT) * before[i] - alphaS * Math.expm1(-h) * ahead(i));
    [x0Before, hBefore] = [x0, h];
    yield { x, t: s, x0 };
  }
}

/**
 * Annealed Langevin dynamics (Song and Ermon 2019, algorithm 1): `steps` moves at each time, yielded one by one. A
 * move at noise sigma is x + a / 2 * score + sqrt(a) * z with a = stepSize * sigma^2. A final t = 0 denoises once more.
 */
export async function* langevin(model, x, times, schedule, { steps = 100, stepSize = 0.2, normal } = {}) {
  checkTimes(times, schedule, 1);
  for (const [k, t] of times.entries()) {
    if (t === 0) {
      const { x0 } = await model(x, times[k - 1]);
      yield { x: x0, t, x0 };
      return;
    }
    const [alpha, sigma] = [schedule.alpha(t), schedule.sigma(t)];
    const rescale = k > 0 ? alpha / schedule.alpha(times[k - 1]) : 1;
    const [old, a] = [x, stepSize * sigma ** 2];
    x = fill(x, (i) => old[i] * rescale);
    for (let move = 0; move < steps; move++) {
      const { x0, eps } = await model(x, t);
      const [before, z] = [x, normal(x.length)];
      x = fill(x, (i) => before[i] - ((a / 2) * eps[i]) / sigma + Math.sqrt(a) * z[i]);
      yield { x, t, x0 };
    }
  }
}

export const SAMPLERS = { ddim, euler, heun, dpmpp_2m: dpmpp2m, langevin };

/**
 * A model that guides: weak + scale * (strong - weak) (Ho and Salimans 2022). scale 1 is the strong model alone, 0 the
 * weak one. Outside the times [low, high], both inclusive, guidance is off (Kynkaanniemi et al. 2024).
 */
export function guided(strong, weak, scale, [low, high] = [0, 1]) {
  checkScale(scale);
  return async (x, t) => {
    if (scale === 1 || !(t >= low && t <= high)) return strong(x, t);
    if (scale === 0) return weak(x, t);
    const [from, to] = [await weak(x, t), await strong(x, t)];
    const lerp = (a, b) => fill(a, (i) => a[i] + scale * (b[i] - a[i]));
    return { x0: lerp(from.x0, to.x0), eps: lerp(from.eps, to.eps) };
  };
}

/** Throw a sentence unless the guidance scale is a number of at least 0. */
export function checkScale(scale) {
  if (!(Number.isFinite(scale) && scale >= 0)) {
    throw new RangeError(`the guidance scale must be a number of at least 0 (1 is no guidance), got ${scale}`);
  }
}
