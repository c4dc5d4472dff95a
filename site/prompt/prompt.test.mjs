// Holds the modules of the page to Python. First run python site/prompt/expected.py
import assert from "node:assert/strict";
import fs from "node:fs";
import { before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { inWords, read } from "./checker.mjs";
import { asked, command, fromAddress, toAddress, unknownWords } from "./form.mjs";
import { decoder, denoiser, draw, guided, network } from "./model.mjs";
import { splitWords, tokenizer } from "./tokenizer.mjs";
import { Generator } from "../play/random.mjs";
import { last } from "../play/sampling.mjs";
import * as ort from "../node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const folder = process.env.PROMPT ?? import.meta.dirname; // where it wrote
const file = (name) => {
  assert.ok(fs.existsSync(`${folder}/${name}`), `${folder}/${name} is missing: first run python site/prompt/expected.py`);
  return fs.readFileSync(`${folder}/${name}`);
};
let meta, expected, known;

before(async () => {
  meta = JSON.parse(file("model.json"));
  expected = JSON.parse(file("expected.json"));
  ort.env.wasm.numThreads = 1;
  const open = (name) => ort.InferenceSession.create(gunzipSync(file(`${name}.onnx.gz`)), { executionProviders: ["wasm"] });
  const [net, decode] = [network(ort, await open("model"), meta.latents), decoder(ort, await open("decoder"), meta.latents)];
  known = { net, decode, tokenize: tokenizer(meta), meta };
});

const off = (a, b) => {
  assert.equal(a.length, b.length);
  return a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);
};

test("tokens are Python's, exactly, and unknown words are named", () => {
  for (const { text, tokens } of expected.texts) {
    const found = known.tokenize(text);
    assert.deepEqual([...found.tokens], tokens, JSON.stringify(text));
    assert.equal(found.unknown.length > 0, tokens.includes(1), JSON.stringify(text));
  }
  assert.deepEqual(known.tokenize("unicorn on a red dragon, unicorn").unknown, ["unicorn", "dragon"]);
  assert.deepEqual(splitWords("A big-ish, (RED) circle!"), ["a", "big-ish", "red", "circle"]);
});

test("a text without a word, and one that is too long, are refused with the limit", () => {
  assert.throws(() => known.tokenize(" ?! "), /“ \?! ” has no word in it: give some, or leave it empty for none\./);
  const long = "a ".repeat(meta.length + 1);
  assert.throws(() => known.tokenize(long), new RegExp(`has ${meta.length + 1} words: the limit of this model is ${meta.length}`));
});

test("pictures are Python's to 1e-3, from noise that is Python's", async () => {
  for (const { prompt, seed, noise, picture, ...options } of expected.drawings) {
    const own = new Generator(seed).normal32(noise.length);
    assert.ok(off(own, noise) < 1e-5, `noise of seed ${seed}`);
    const { x } = await last(draw(known, [prompt], Float32Array.from(noise), options));
    assert.ok(off(x, picture) < 1e-3, `“${prompt}”: ${off(x, picture)} from Python's`);
  }
});

test("two pictures at once are the two by themselves", async () => {
  const [one, two] = expected.drawings;
  const both = Float32Array.from([...one.noise, ...two.noise]);
  const { x } = await last(draw(known, [one.prompt, two.prompt], both, { scale: one.scale, steps: one.steps }));
  assert.ok(off(x, [...one.picture, ...two.picture]) < 1e-3);
});

test("x0 and eps of the denoiser make x again, and turn a right output into the right x0", async () => {
  const schedule = { alpha: () => 0.6, sigma: () => 0.8 };
  const [x0, eps] = [[0.5, -1], [0.25, 2]];
  const x = Float32Array.from(x0, (v, i) => 0.6 * v + 0.8 * eps[i]);
  const norm = Math.hypot(0.6 * 0.5, 0.8);
  const [a, b] = [0.8 / (0.5 * norm), (-0.6 * 0.5) / norm]; // the target of Karras et al. 2022 at sigma_data = 0.5
  const seen = [];
  const net = (...input) => seen.push(input) && x0.map((v, i) => a * v + b * eps[i]);
  const found = await denoiser(net, ["row"], schedule, 0.5)(x, 0.3);
  assert.ok(off(found.x0, x0) < 1e-6 && off(found.eps, eps) < 1e-6);
  assert.ok(off(seen[0][0], [...x].map((v) => v / norm)) < 1e-6);
  assert.ok(Math.abs(seen[0][1] - Math.log(0.8 / 0.6) / 4) < 1e-9);
  assert.deepEqual(seen[0][2], ["row"]);
});

test("guidance: one branch at 0 and 1, else both in one call, the weak one first", async () => {
  const calls = [];
  const model = (rows) => (x) => {
    calls.push(rows);
    const say = Float32Array.from(x, (_, i) => (rows[Math.floor((i * rows.length) / x.length)] === "cond" ? 3 : 1));
    return { x0: say, eps: say };
  };
  const at = async (scale) => [...(await guided(model, ["cond"], ["away"], scale)(new Float32Array(2), 0.5)).x0];
  assert.deepEqual([await at(1), await at(0), await at(4)], [[3, 3], [1, 1], [9, 9]]);
  assert.deepEqual(calls, [["cond"], ["away"], ["away", "cond"]]);
  await assert.rejects(at(NaN), /guidance scale must be a number/);
});

test("the checker reads what Python's does", () => {
  for (const [k, { picture, found }] of expected.readings.entries()) {
    const own = read(picture, meta);
    const kinds = (all) => all.map(({ colour, shape, big }) => [colour, shape, big]);
    assert.deepEqual(kinds(own), kinds(found), `picture ${k}`);
    own.forEach(({ centre }, i) => assert.ok(off(centre, found[i].centre) < 1e-3, `centre of ${i} in picture ${k}`));
  }
  assert.ok(expected.readings.some(({ found }) => found.length === 3));
  const [red, blue] = [{ colour: 0, shape: 1, big: 1, centre: [0.8, 0.5] }, { colour: 2, shape: 0, big: 0, centre: [0.2, 0.5] }];
  assert.equal(inWords([], meta), "no object");
  assert.equal(inWords([blue, red], meta), "a small blue circle left of a big red square");
  assert.equal(inWords([red, blue], meta), "a small blue circle left of a big red square");
  assert.equal(inWords([{ ...red, centre: [0.5, 0.8] }, { ...blue, centre: [0.5, 0.2] }], meta),
    "a small blue circle above a big red square");
  assert.equal(inWords([red], meta), "a big red square on the right");
});

const fields = (given) => Object.fromEntries(
  Object.entries({ prompt: "a red ball", second: "", negative: "", gamma: "2", steps: "12", seed: "0", ...given })
    .map(([name, value]) => [name, { name, value, defaultValue: value }]));

test("the form: what it asks for, and a sentence for each wrong field", () => {
  const tokenize = tokenizer(meta);
  const right = asked(fields({ second: " a box ", negative: "blue", gamma: " 1.5 ", steps: "1" }), tokenize);
  assert.deepEqual(right, { prompts: ["a red ball", "a box"], negative: "blue", scale: 1.5, steps: 1, seed: 0, unknown: [] });
  const wrong = [
    ["gamma", "much", /γ must be a number of at least 0 \(1 is no guidance\), not “much”/], ["gamma", "", /not “”/],
    ["gamma", "-1", /γ must/], ["gamma", "Infinity", /γ must/], ["steps", "0", /Steps must be a whole number from 1 to 1000, not “0”/],
    ["steps", "2.5", /Steps/], ["steps", "1001", /Steps/], ["seed", "-1", /seed must be a whole number from 0 to 4294967295/],
    ["seed", "x", /seed/], ["prompt", "a ".repeat(17), /17 words: the limit of this model is 16/],
    ["second", "?", /no word/], ["negative", "?", /no word/],
  ];
  for (const [name, value, sentence] of wrong) {
    assert.throws(() => asked(fields({ [name]: value }), tokenize), (error) => sentence.test(error.message) && error.field.name === name);
  }
  assert.deepEqual(asked(fields({ prompt: "a unicorn", negative: "dragon" }), tokenize).unknown, ["unicorn", "dragon"]);
  assert.match(unknownWords(["unicorn"]), /Words this model never saw: unicorn\. It means nothing/);
});

test("an address gives the fields back; other anchors change nothing", () => {
  const from = fields({ prompt: "a red & blue ball", second: "a box", gamma: "3", seed: "7" });
  const to = fields({ prompt: "other", negative: "" });
  fromAddress(to, toAddress(from));
  for (const name of Object.keys(from)) assert.equal(to[name].value, from[name].value, name);
  const same = fields({ prompt: "kept" });
  fromAddress(same, "#how-it-works");
  assert.equal(same.prompt.value, "kept");
});

test("the command quotes for a shell", () => {
  const job = { prompts: ["a circle's $edge"], negative: "", scale: 2, steps: 12, seed: 3 };
  assert.equal(command(job), "python -m minidiff sample --pretrained shapes --prompt " +
    `'a circle'"'"'s $edge' --scale 2 --steps 12 --seed 3 --n 1`);
  assert.match(command({ ...job, negative: "red" }), / --negative 'red' /);
});
