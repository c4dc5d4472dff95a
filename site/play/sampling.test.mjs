// What must hold of any right sampler, from closed forms; play.test.mjs holds the numbers to Python's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SAMPLERS, SCHEDULES, checkTimes, during, grid, guided, last, start } from "./sampling.mjs";

/** The exact model of N(mean, variance) in each dimension. */
const gaussian = (schedule, variance, mean = 0) => (x, t) => {
  const [alpha, sigma] = [schedule.alpha(t), schedule.sigma(t)];
  const total = alpha ** 2 * variance + sigma ** 2;
  const away = x.map((v) => (v - alpha * mean) / total);
  return { x0: away.map((a) => mean + alpha * variance * a), eps: away.map((a) => sigma * a) };
};
const close = (found, right, tolerance, what) =>
  assert.ok(Math.abs(found - right) <= tolerance, `${what}: ${found}, must be ${right} within ${tolerance}`);

for (const [name, Schedule] of Object.entries(SCHEDULES)) {
  const schedule = Schedule();

  test(`${name}: time inverts logSnr, rates are slopes, the grid falls from tMax through tMin to 0`, () => {
    for (const t of [0.01, 0.2, 0.5, 0.9]) {
      close(schedule.time(schedule.logSnr(t)), t, 1e-12, "time");
      const h = 1e-6;
      const slope = (f) => (f(t + h) - f(t - h)) / (2 * h);
      const [dAlpha, dSigma] = schedule.rates(t);
      close(dAlpha, slope(schedule.alpha), 1e-6, "d alpha / dt");
      close(dSigma / schedule.sigma(t), slope(schedule.sigma) / schedule.sigma(t), 1e-6, "d sigma / dt");
    }
    const times = grid(schedule, 10);
    assert.equal(times.length, 11);
    close(times[0], schedule.tMax, 1e-7, "first");
    close(times[9], schedule.tMin, 1e-7, "last but one");
    assert.equal(times[10], 0);
    checkTimes(times, schedule);
    assert.deepEqual(times, times.map(Math.fround));
  });

  test(`${name}: any step of ddim, heun and dpmpp_2m is exact where the data is one point`, async () => {
    const model = gaussian(schedule, 0, 0.7);
    for (const sampler of ["ddim", "heun", "dpmpp_2m"]) {
      const times = grid(schedule, 3).slice(0, 3);
      const x = start(schedule, Float64Array.of(0.3, -1.2));
      const eps = model(x, times[0]).eps;
      const end = await last(SAMPLERS[sampler](model, x, times, schedule));
      for (const i of [0, 1]) {
        const right = schedule.alpha(times[2]) * 0.7 + schedule.sigma(times[2]) * eps[i];
        close(end.x[i], right, 1e-11, sampler);
      }
      assert.equal(end.t, times[2]);
    }
  });

  test(`${name}: the order of convergence on a Gaussian`, async () => {
    const [variance, model] = [0.25, gaussian(schedule, 0.25)];
    const off = async (sampler, steps) => {
      const x = start(schedule, Float64Array.of(1));
      const t = Math.fround(schedule.tMax);
      const right = x[0] * Math.sqrt(variance / (schedule.alpha(t) ** 2 * variance + schedule.sigma(t) ** 2));
      const from = grid(schedule, steps);
      return Math.abs((await last(SAMPLERS[sampler](model, x, from, schedule))).x[0] - right);
    };
    for (const [sampler, order, steps] of [["ddim", 1, 20], ["euler", 1, 400], ["heun", 2, 20], ["dpmpp_2m", 2, 20]]) {
      const found = Math.log2((await off(sampler, steps)) / (await off(sampler, 2 * steps)));
      assert.ok(Math.abs(found - order) < 0.5, `${sampler}: order ${found}, must be ${order}`);
    }
  });
}

test("fresh noise: ddim with eta 1, heun with churn and langevin keep a Gaussian's variance", async () => {
  const schedule = SCHEDULES.edm();
  const model = gaussian(schedule, 0.25);
  let seed = 1;
  const uniform = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const normal = (n) =>
    Float64Array.from({ length: n }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  const n = 4000;
  const variance = (x) => x.reduce((sum, v) => sum + v * v, 0) / n;
  const from = start(schedule, normal(n));
  const level = [0.1 / 80];
  const runs = {
    "ddim, eta 1": SAMPLERS.ddim(model, from, grid(schedule, 200), schedule, { eta: 1, normal }),
    "heun, churn": SAMPLERS.heun(model, from, grid(schedule, 60), schedule, { churn: 20, normal }),
    langevin: SAMPLERS.langevin(model, normal(n), level, schedule, { steps: 300, stepSize: 2, normal }),
  };
  for (const [name, run] of Object.entries(runs)) {
    const right = name === "langevin" ? 0.26 : 0.25; // langevin stays at its level
    close(variance((await last(run)).x) / right, 1, 0.12, name); // 4000 squares: a deviation of 2%; steps add bias
  }
});

test("guidance: off at 1, the weak model at 0, beyond the strong one above 1, within the interval only", async () => {
  const calls = { weak: 0, strong: 0 };
  const constant = (name, value) => (x) => {
    calls[name]++;
    return { x0: x.map(() => value), eps: x.map(() => -value) };
  };
  const [strong, weak, x] = [constant("strong", 3), constant("weak", 1), Float64Array.of(0)];
  const at = async (scale, t = 0.5, interval) => (await guided(strong, weak, scale, interval)(x, t)).x0[0];
  assert.deepEqual([await at(1), calls.weak], [3, 0]);
  assert.deepEqual([await at(0), calls.strong], [1, 1]);
  assert.equal(await at(2.5), 1 + 2.5 * 2);
  assert.deepEqual([await at(4, 0.5, [0.5, 0.6]), await at(4, 0.7, [0.5, 0.6])], [9, 3]);
  const times = grid(SCHEDULES.linear(), 6);
  const [low, high] = during(times, 2, 3);
  assert.deepEqual(times.map((t) => t >= low && t <= high), [false, false, true, true, false, false, false]);
});

test("bad input is refused by a sentence", async () => {
  const schedule = SCHEDULES.cosine();
  for (const steps of [0, -1, 2.5, NaN, undefined]) assert.throws(() => grid(schedule, steps), /at least 1 step, got/);
  for (const scale of [NaN, Infinity, -1, "2"]) assert.throws(() => guided(null, null, scale), /guidance scale must be/);
  const run = (times) => last(SAMPLERS.ddim(gaussian(schedule, 1), Float64Array.of(1), times, schedule));
  await assert.rejects(run([0.5]), /at least 2 entries/);
  await assert.rejects(run([0.5, 0.7]), /fall strictly/);
  await assert.rejects(run([1, 0.5]), /no data left, or no noise, at t = 1/);
  await assert.rejects(run([1.5, 0.5]), /between 0 \(data\) and 1/);
  await assert.rejects(last(SAMPLERS.ddim(null, Float64Array.of(1), [0.5, 0], schedule, { eta: 2 })), /eta must be/);
});
