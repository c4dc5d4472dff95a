// The JavaScript's numbers beside Python's in play.json (site/play.py), in float64: within 1e-10, absolute for numbers
// below 1 and relative above.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { guidedSamples, variance, variances } from "./gaussians.mjs";
import { MIXTURES, mixtureDenoiser } from "./mixtures.mjs";
import { MLP, netDenoiser } from "./net.mjs";
import { Generator } from "./random.mjs";
import { frames, measures, references } from "./run.mjs";
import { SCHEDULES, grid } from "./sampling.mjs";
import { DEFAULTS, fromHash, read, toHash } from "./state.mjs";

const json = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url)));
const [python, nets, directions, presets] = ["play", "nets", "directions", "presets"].map((name) => json(`${name}.json`));

function close(found, right, what, tolerance = 1e-10) {
  assert.equal(found.length, right.length, `${what}: as many numbers`);
  for (const [i, v] of right.entries()) {
    const off = Math.abs(found[i] - v) / Math.max(1, Math.abs(v));
    assert.ok(off <= tolerance, `${what}, number ${i}: ${found[i]}, Python has ${v}`);
  }
}

async function ends(state, withNets = null) {
  let x;
  for await (const frame of frames(state, withNets)) ({ x } = frame);
  return x;
}

test("grids are Python's, to the last bit of float32", () => {
  for (const [name, bySteps] of Object.entries(python.grids)) {
    for (const [steps, times] of Object.entries(bySteps)) assert.deepEqual(grid(SCHEDULES[name](), Number(steps)), times);
  }
});

test("a seed gives torch's noise", () => {
  for (const [seed, { normal, uniform, normal32 }] of Object.entries(python.noise)) {
    close(new Generator(Number(seed)).normal(40), normal, `normal of seed ${seed}`);
    close(new Generator(Number(seed)).uniform(5), uniform, `uniform of seed ${seed}`);
    close(new Generator(Number(seed)).normal32(40), normal32, `float32 of seed ${seed}`, 1e-6); // torch's own are rounded
  }
  assert.throws(() => new Generator(-1), /seed must be/);
  assert.throws(() => new Generator(0).normal(8), /fewer than 16/);
});

for (const [name, values] of Object.entries(python.values)) {
  const mixture = MIXTURES[name]();
  const points = Float64Array.from(python.points);
  const labels = Int32Array.from({ length: points.length / 2 }, (_, i) => i % 2);

  test(`${name}: densities, scores, predictions of the mixture and of the net, exact samples`, () => {
    close(mixture.logProb(points), values.log_prob, "log density");
    close(mixture.score(points), values.score, "score");
    const net = new MLP(nets[name]);
    for (const at of values.at) {
      const schedule = SCHEDULES.vp();
      const given = mixture.score(points, labels, schedule.alpha(at.t), schedule.sigma(at.t));
      close(given, at.score, `score at ${at.t}`);
      for (const [kind, of] of [["exact", mixtureDenoiser.bind(null, mixture)], ["learned", netDenoiser.bind(null, net)]]) {
        for (const [which, cond] of [["given", labels], ["any", null]]) {
          const found = of(schedule, cond)(points, at.t);
          const [x0, eps] = at[`${kind}, ${which}`];
          close(found.x0, x0, `x0, ${kind}, ${which}, t ${at.t}`);
          close(found.eps, eps, `eps, ${kind}, ${which}, t ${at.t}`);
        }
      }
    }
    const repeated = Int32Array.from({ length: 8 }, (_, i) => labels[i % labels.length]);
    close(mixture.sample(8, new Generator(5), repeated).points, values.samples, "samples");
    for (const [k, gamma] of python.sharpened.entries()) {
      close(mixture.logSharpened(points, labels, gamma), values.log_sharpened[k], `sharpened density, gamma ${gamma}`);
      const two = Int32Array.from({ length: 8 }, (_, i) => i % 2);
      close(mixture.sampleSharpened(two, gamma, new Generator(6)), values.sharpened_samples[k], "sharpened samples");
    }
  });
}

test("samples end where Python's do: every path, sampler and guidance, and the nets", async () => {
  assert.ok(python.runs.length > 150);
  for (const { state, learned, ends: right } of python.runs) {
    close(await ends({ ...DEFAULTS, ...state }, learned ? nets : null), right, JSON.stringify(state));
  }
});

const key = (state) => JSON.stringify(Object.entries(state).sort());
const measured = new Map(python.presets.map((row) => [key(row.state), row.measures]));

test("what the page says of each preset is what Python measures", async () => {
  for (const { state: wanted } of python.presets) {
    const { state, wrong } = read(wanted);
    assert.deepEqual(wrong, []);
    const netEnds = state.net ? await ends(state, nets) : null;
    const found = measures(references(state, directions), await ends(state), netEnds);
    const right = measured.get(key(wanted));
    assert.deepEqual(Object.keys(found).sort(), Object.keys(right).sort());
    for (const [name, v] of Object.entries(right)) close([found[name]], [v], `${name} of ${key(wanted)}`, 1e-8); // long runs
  }
});

test("what a preset says is so", () => {
  for (const { title, state, than = [], holds } of presets) {
    const value = (name) => {
      const [, other, measure] = /^(?:than(\d)\.)?(\w+)$/.exec(name);
      return measured.get(key(other === undefined ? state : than[other]))[measure];
    };
    assert.ok(holds.length > 0);
    for (const claim of holds) {
      const [, left, more, factor, right] = /^(\S+) ([<>]) ([\d.]+) \* (\S+)$/.exec(claim);
      const [found, bound] = [value(left), Number(factor) * value(right)];
      assert.ok(more === ">" ? found > bound : found < bound, `${title}: ${claim}: ${found}, ${bound}`);
    }
  }
});

test("the three densities: the formulas are lecture 07's, and samples follow them", async () => {
  for (const { gamma, wide, ...right } of python.variances) {
    const found = variances(gamma, wide);
    close(Object.keys(right).map((k) => found[k]), Object.values(right), `gamma ${gamma}, wide ${wide}`);
  }
  close([variances(0.5, 2).SDE], [variances(0.5 + 1e-7, 2).SDE], "the limit at gamma .5", 1e-5);
  const samples = await guidedSamples(3, 2, 4000, 1);
  for (const [name, right] of Object.entries(variances(3, 2))) { // 4000 squares: a deviation of 2.2%; steps add 2%
    assert.ok(Math.abs(variance(samples[name]) / right - 1) < 0.1, `${name}: ${variance(samples[name])}, derived ${right}`);
  }
});

test("a link holds the state; what is wrong in it is named", () => {
  const state = { ...DEFAULTS, data: "branches", cond: "1", gamma: 2.5, low: 0.02, net: 1 };
  assert.deepEqual(fromHash(`#${toHash(state)}`), { state, wrong: [] });
  const says = (hash, pattern) => assert.match(fromHash(hash).wrong.join("; "), pattern, hash);
  says("#gamma=abc", /gamma must be a number from 0 to 10 \(1 is no guidance\), got abc/);
  says("#gamma=", /gamma must be a number .* got nothing/);
  says("#gamma=Infinity", /gamma must be a number/);
  says("#steps=0", /steps must be a whole number from 1 to 100 \(24 is usual\), got 0/);
  says("#steps=2.5", /steps must be a whole number/);
  says("#steps=100000", /from 1 to 100/);
  says("#low=2&high=0.1", /interval must rise: its low end 2 is above its high end 0.1/);
  says("#seed=-1", /seed must be a whole number from 0 to 9999/);
  says("#cond=8", /class must be one of none, each, 0/);
  says("#data=two_classes&cond=5", /class must be one of none, each, 0, 1, got 5/);
  says("#data=cats", /data must be one of eight_gaussians, two_classes, branches, got cats/);
  says("#colour=red", /names colour, which this page does not have/);
  assert.equal(fromHash("#gamma=2,5").state.gamma, 2.5);
});
