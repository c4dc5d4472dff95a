// The trained model in the browser, from a prompt and noise to a picture: what minidiff/denoise.py, guidance.py and
// run/generate.py do in Python. `net(x, cNoise, rows)` is the network itself, which draws latents, and `decode(z)` makes
// pictures of them; those of n pictures lie one behind the other.

import { checkScale, dpmpp2m, grid, schedules, start } from "../play/sampling.mjs";

const map = (x, f) => Float32Array.from(x, f);

/** The model of latents that have `rows` of tokens, one each: model(x, t) promises { x0, eps }, both like x. */
export function denoiser(net, rows, schedule, sigmaData) {
  return async (x, t) => {
    const [alpha, sigma] = [schedule.alpha(t), schedule.sigma(t)];
    const norm = Math.hypot(alpha * sigmaData, sigma); // the standard deviation of x
    const out = await net(map(x, (v) => v / norm), Math.log(sigma / alpha) / 4, rows);
    const [a, b] = [sigma / (sigmaData * norm), (-alpha * sigmaData) / norm]; // out estimates a x0 + b eps,
    const det = alpha * b - sigma * a; // and x is alpha x0 + sigma eps: two equations for x0 and eps
    return {
      x0: map(x, (v, i) => (b * v - sigma * out[i]) / det),
      eps: map(x, (v, i) => (alpha * out[i] - a * v) / det),
    };
  };
}

/** weak + scale * (strong - weak), both branches in one call. `model(rows)` is the denoiser of latents with rows. */
export function guided(model, rows, away, scale) {
  checkScale(scale);
  if (scale === 1) return model(rows); // nothing but what was asked for: one branch
  if (scale === 0) return model(away);
  const both = model([...away, ...rows]);
  return async (x, t) => {
    const twice = new Float32Array(2 * x.length);
    twice.set(x);
    twice.set(x, x.length);
    const { x0, eps } = await both(twice, t);
    const lerp = (h) => map(x, (_, i) => h[i] + scale * (h[i + x.length] - h[i]));
    return { x0: lerp(x0), eps: lerp(eps) };
  };
}

/**
 * Draws a picture of each prompt, an async generator of dpmpp_2m's steps { x, t, x0 }, decoded. `noise` holds standard
 * normal numbers, as many as the latents have; `negative` is a prompt to move away from, by default the empty one.
 */
export async function* draw({ net, decode, tokenize, meta }, prompts, noise, { negative = "", scale = 2, steps = 12 } = {}) {
  const schedule = schedules[meta.schedule]();
  const rows = prompts.map((prompt) => tokenize(prompt).tokens);
  const away = prompts.map(() => tokenize(negative).tokens);
  const model = (of) => denoiser(net, of, schedule, meta.sigmaData);
  const path = dpmpp2m(guided(model, rows, away, scale), start(schedule, noise), grid(schedule, steps), schedule);
  for await (const step of path) yield { ...step, x: await decode(step.x), x0: await decode(step.x0) };
}

/** The network of an ONNX session: x (n, ...latents), one noise level for all, and n rows of tokens -> an array like x. */
export function network(ort, session, latents) {
  return async (x, cNoise, rows) => {
    const n = rows.length;
    const tokens = Int32Array.from(rows.flatMap((row) => [...row]));
    const { out } = await session.run({
      x: new ort.Tensor("float32", x, [n, ...latents]),
      c_noise: new ort.Tensor("float32", new Float32Array(n).fill(cNoise), [n]),
      tokens: new ort.Tensor("int32", tokens, [n, rows[0].length]),
    });
    return out.data;
  };
}

/** The decoder of an ONNX session: latents (n, ...latents) -> pictures. */
export function decoder(ort, session, latents) {
  const one = latents.reduce((a, b) => a * b);
  return async (z) => (await session.run({ z: new ort.Tensor("float32", z, [z.length / one, ...latents]) })).out.data;
}
