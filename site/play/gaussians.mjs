// Lecture 07's counterexample: x | c ~ N(0, 1) and x ~ N(0, wide). What guidance draws, and what it does not.

import { Generator } from "./random.mjs";
import { SCHEDULES, ddim, grid, guided, heun, langevin, last, start } from "./sampling.mjs";

const STEPS = { ode: 120, sde: 800, langevin: 200 };
const LEVEL = 0.07; // the noise at which Langevin moves: small, so that the sharpened density is that of the data

/** The variances of the sharpened density and of what guided sampling by ODE and by SDE draws (derived in lecture 07). */
export const variances = (gamma, wide) => ({
  sharpened: 1 / (gamma - (gamma - 1) / wide),
  ODE: wide ** (1 - gamma),
  SDE: Math.abs(2 * gamma - 1) < 1e-9
    ? Math.log(wide) * wide / (wide - 1) // the limit of the line below
    : (wide - wide ** (2 - 2 * gamma)) / ((2 * gamma - 1) * (wide - 1)),
});

/** The exact model of N(0, variance). */
const gaussian = (schedule, variance) => (x, t) => {
  const [alpha, sigma] = [schedule.alpha(t), schedule.sigma(t)];
  const total = alpha ** 2 * variance + sigma ** 2;
  return { x0: x.map((v) => (alpha * variance * v) / total), eps: x.map((v) => (sigma * v) / total) };
};

/** n guided samples by ODE, by SDE, and by the ODE followed by Langevin moves at one small noise. */
export async function guidedSamples(gamma, wide, n, seed) {
  const [schedule, generator] = [SCHEDULES.edm(), new Generator(seed)];
  const normal = (m) => generator.normal(m);
  const model = guided(gaussian(schedule, 1), gaussian(schedule, wide), gamma);
  const x = start(schedule, normal(n));
  const ODE = (await last(heun(model, x, grid(schedule, STEPS.ode), schedule))).x;
  const SDE = (await last(ddim(model, x, grid(schedule, STEPS.sde), schedule, { eta: 1, normal }))).x;
  const moves = { steps: STEPS.langevin, stepSize: 4, normal };
  const sharpened = (await last(langevin(model, ODE, [LEVEL / 80], schedule, moves))).x;
  return { sharpened, ODE, SDE };
}

/** The mean square. */
export const variance = (x) => x.reduce((sum, v) => sum + v * v, 0) / x.length;
