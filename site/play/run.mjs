// A state made into numbers: where the samples go, and how far their ends are from the data. Knows nothing of the page.

import { pairDistance, shadows, slicedWasserstein } from "./metrics.mjs";
import { MIXTURES, mixtureDenoiser } from "./mixtures.mjs";
import { MLP, netDenoiser } from "./net.mjs";
import { Generator } from "./random.mjs";
import { SAMPLERS, SCHEDULES, grid, guided, start } from "./sampling.mjs";
import { LEAST, MOST } from "./state.mjs";

const LEVELS = 12; // of noise, at each of which langevin moves
const made = new Map();

/** What is made once: mixtures, and nets from nets.json. */
const once = (key, make) => made.get(key) ?? made.set(key, make()).get(key);
export const mixtureOf = (state) => once(state.data, MIXTURES[state.data]);
const netOf = (state, nets) => once(`net ${state.data}`, () => new MLP(nets[state.data]));

/** The label of each sample; null for any class. */
export function labelsOf(state) {
  const { classes } = mixtureOf(state);
  if (state.cond === "none") return null;
  return Int32Array.from({ length: state.n }, (_, i) => (state.cond === "each" ? i % classes : Number(state.cond)));
}

/** The guided model of a state, for points of these labels: the exact one, or with `nets` the learned one. */
export function modelOf(state, labels, nets = null) {
  const schedule = SCHEDULES[state.path]();
  const of = (wanted) =>
    nets ? netDenoiser(netOf(state, nets), schedule, wanted) : mixtureDenoiser(mixtureOf(state), schedule, wanted);
  const time = (noise) => schedule.time(-2 * Math.log(noise));
  const interval = [state.low > LEAST ? time(state.low) : 0, state.high < MOST ? time(state.high) : 1];
  return labels ? guided(of(labels), of(null), state.gamma, interval) : of(null);
}

/**
 * The frames { x, t, x0 } of a state's samples, from noise to data, one by one; between them others may run. Of
 * langevin's moves there is a frame for each level.
 */
export async function* frames(state, nets = null) {
  const schedule = SCHEDULES[state.path]();
  const generator = new Generator(state.seed);
  const times = grid(schedule, state.sampler === "langevin" ? LEVELS : state.steps);
  const x = start(schedule, generator.normal(2 * state.n));
  yield { x, t: times[0], x0: null };
  const { steps, eta, churn } = state;
  const options = { steps, eta, churn, normal: (n) => generator.normal(n) };
  let move = 0;
  for await (const frame of SAMPLERS[state.sampler](modelOf(state, labelsOf(state), nets), x, times, schedule, options)) {
    if (state.sampler !== "langevin" || ++move % steps === 0 || frame.t === 0) yield frame;
  }
}

/** How many times the model is called for each sample; with guidance that is two answers each. */
export const callsOf = ({ sampler, steps }) =>
  ({ heun: 2 * steps - 1, langevin: steps * (LEVELS) + 1 })[sampler] ?? steps;

/** log p(x | c) of each point for its own label, or log p(x). */
function logDensity(state, labels, points) {
  const mixture = mixtureOf(state);
  if (!labels) return mixture.logProb(points);
  const shares = mixture.members.map((m) => m.reduce((sum, k) => sum + mixture.components[k].weight, 0));
  return mixture.logJoint(points, labels).map((v, i) => v - Math.log(shares[labels[i]]));
}

const spread = (points) => pairDistance(points, new Float64Array(points.length));

/**
 * What a state's samples are measured against: shadows of exact samples, twice, and of the sharpened density (null
 * without a class, or where it cannot be drawn); the log density that 99% of exact samples exceed.
 */
export function references(state, directions) {
  const [mixture, labels, generator] = [mixtureOf(state), labelsOf(state), new Generator(state.seed + 1000)];
  const [real, more] = [0, 1].map(() => mixture.sample(state.n, generator, labels).points);
  const sharp = labels && mixture.sampleSharpened(labels, state.gamma, new Generator(state.seed + 2000));
  const edge = logDensity(state, labels, real).sort()[Math.floor(state.n / 100)];
  const [ofReal, ofMore, ofSharp] = [real, more, sharp].map((points) => points && shadows(points, directions));
  return { state, labels, directions, edge, ofReal, ofMore, ofSharp, spread: spread(real) };
}

/**
 * Of where samples end: sliced Wasserstein distances, the share outside the 99% contour of the data, the root mean
 * square distance from the middle; and with the net's ends theirs, and how far each is from its partner.
 */
export function measures({ state, labels, directions, edge, ofReal, ofMore, ofSharp, spread: ofData }, ends, netEnds = null) {
  const mine = shadows(ends, directions);
  const outside = (points) => logDensity(state, labels, points).filter((v) => v < edge).length / state.n;
  return {
    exact: slicedWasserstein(mine, ofReal),
    floor: slicedWasserstein(ofMore, ofReal),
    outside: outside(ends),
    spread: spread(ends),
    spread_of_data: ofData,
    ...(ofSharp && { sharpened: slicedWasserstein(mine, ofSharp) }),
    ...(netEnds && {
      net: slicedWasserstein(shadows(netEnds, directions), ofReal),
      apart: pairDistance(ends, netEnds),
      outside_net: outside(netEnds),
    }),
  };
}
