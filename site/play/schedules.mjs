// Noise schedules: the path x_t = alpha x0 + sigma eps from data (t = 0) to noise (t = 1), as minidiff/schedules.py.
// A schedule has alpha(t), sigma(t), rates(t) = [d alpha / dt, d sigma / dt], logSnr(t), its inverse time(logSnr), and
// tMin and tMax, between which sampling goes.

const NOISE_RANGE = [0.002, 80]; // of sigma / alpha, visited in sampling (Karras et al. 2022, table 1)

function schedule(name, { alpha, sigma, rates, time }) {
  const logSnr = (t) => 2 * (Math.log(alpha(t)) - Math.log(sigma(t)));
  const [tMin, tMax] = NOISE_RANGE.map((noise) => Math.min(1, time(-2 * Math.log(noise))));
  return { name, alpha, sigma, rates, logSnr, time, tMin, tMax };
}

/** log(1 + exp(x)) without overflow. */
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Variance preserving, DDPM's limit: alpha^2 + sigma^2 = 1 (Song et al. 2021, "Score-Based", appendix C). */
function VP(betaMin = 0.1, betaMax = 20) {
  const integral = (t) => betaMin * t + ((betaMax - betaMin) / 2) * t ** 2;
  const alpha = (t) => Math.exp(-integral(t) / 2);
  const sigma = (t) => Math.sqrt(-Math.expm1(-integral(t))); // expm1: sigma stays exact where it is small
  return schedule("vp", {
    alpha,
    sigma,
    rates: (t) => {
      const beta = betaMin + (betaMax - betaMin) * t;
      return [(-beta * alpha(t)) / 2, (beta * alpha(t) ** 2) / (2 * sigma(t))];
    },
    time: (logSnr) => {
      const b = softplus(-logSnr);
      return (2 * b) / (betaMin + Math.sqrt(betaMin ** 2 + 2 * (betaMax - betaMin) * b));
    },
  });
}

/** Variance exploding: alpha = 1, geometric sigma, the noise added since t = 0 (Song et al. 2021). */
function VE(sigmaMin = 0.01, sigmaMax = 50) {
  const rate = 2 * Math.log(sigmaMax / sigmaMin);
  const sigma = (t) => sigmaMin * Math.sqrt(Math.expm1(rate * t));
  return schedule("ve", {
    alpha: () => 1,
    sigma,
    rates: (t) => [0, (sigmaMin ** 2 * rate * Math.exp(rate * t)) / (2 * sigma(t))],
    time: (logSnr) => Math.log1p(Math.exp(-logSnr) / sigmaMin ** 2) / rate,
  });
}

/** alpha = cos(pi t / 2), sigma = sin(pi t / 2) (Nichol and Dhariwal 2021, equation 17, without the offset). */
function Cosine() {
  const alpha = (t) => Math.sin((Math.PI / 2) * (1 - t)); // exactly 0 at t = 1
  const sigma = (t) => Math.sin((Math.PI / 2) * t);
  return schedule("cosine", {
    alpha,
    sigma,
    rates: (t) => [(-Math.PI / 2) * sigma(t), (Math.PI / 2) * alpha(t)],
    time: (logSnr) => (2 / Math.PI) * Math.atan(Math.exp(-logSnr / 2)),
  });
}

/** alpha = 1 - t, sigma = t: the straight path of flow matching (Liu et al. 2022; Lipman et al. 2023). */
function Linear() {
  return schedule("linear", {
    alpha: (t) => 1 - t,
    sigma: (t) => t,
    rates: () => [-1, 1],
    time: (logSnr) => 1 / (1 + Math.exp(logSnr / 2)),
  });
}

/** alpha = 1, sigma = sigmaMax t: EDM's clock, in which sigma itself is the time (Karras et al. 2022). */
function EDM(sigmaMax = 80) {
  return schedule("edm", {
    alpha: () => 1,
    sigma: (t) => sigmaMax * t,
    rates: () => [0, sigmaMax],
    time: (logSnr) => Math.exp(-logSnr / 2) / sigmaMax,
  });
}

export const schedules = { VP, VE, Cosine, Linear, EDM };
export const SCHEDULES = { vp: VP, ve: VE, cosine: Cosine, linear: Linear, edm: EDM };

/**
 * steps + 1 times, from tMax down to 0, each rounded to float32 as in Python.
 * (sigma / alpha)^(1 / rho) falls evenly (Karras et al. 2022, equation 5), whichever the path.
 */
export function grid(schedule, steps, rho = 7) {
  if (!Number.isInteger(steps) || steps < 1) throw new RangeError(`a sampling grid needs at least 1 step, got ${steps}`);
  if (!(rho > 0)) throw new RangeError(`rho must be more than 0 (7 is usual), got ${rho}`);
  const [high, low] = [schedule.tMax, schedule.tMin].map((t) => Math.exp(-schedule.logSnr(t) / (2 * rho)));
  const times = Array.from({ length: steps }, (_, i) => {
    const noise = steps === 1 ? high : high + ((low - high) * i) / (steps - 1);
    return Math.fround(schedule.time(-2 * rho * Math.log(noise)));
  });
  return [...times, 0];
}

/**
 * The interval [low, high] of times that holds the steps first to last of a grid, counted from 0, and no other: for
 * guidance within an interval.
 */
export function during(times, first, last) {
  const between = [1, ...times.slice(1).map((s, i) => (times[i] + s) / 2)];
  return [between[last + 1], between[first]];
}

/** Throw unless times are at least `least` numbers that fall strictly within [0, 1], with data and noise at each. */
export function checkTimes(times, schedule, least = 2) {
  if (times.length < least) throw new RangeError(`times must have at least ${least} entries, got ${times.length}`);
  for (const [i, t] of times.entries()) {
    if (!(t >= 0 && t <= 1)) throw new RangeError(`times must lie between 0 (data) and 1 (noise), got ${t}`);
    if (t > 0 && !Number.isFinite(schedule.logSnr(t))) {
      throw new RangeError(`${schedule.name} has no data left, or no noise, at t = ${t}: start at ${schedule.tMax}`);
    }
    if (i > 0 && !(t < times[i - 1])) throw new RangeError("times must fall strictly from noise to data: see grid");
  }
  if (times[0] === 0) throw new RangeError("times must fall from noise (t <= 1) to data (t >= 0): see grid");
}
