// Loads what draws a prompt, when it is asked for: onnxruntime-web, the network, and what is to be known of it.

import { decoder, network } from "./model.mjs";
import { tokenizer } from "./tokenizer.mjs";

const HERE = new URL(".", import.meta.url);
const RUNTIMES = new URL("../vendor/onnxruntime/", HERE);
const KINDS = { // webgpu needs WebAssembly that can wait (JSPI); both compute on the CPU too
  wasm: { module: "ort.wasm.min.mjs", binary: "ort-wasm-simd-threaded.wasm.gz" },
  webgpu: { module: "ort.jspi.min.mjs", binary: "ort-wasm-simd-threaded.jspi.wasm.gz" },
};

/** The bytes of a file, unpacked if it is gzipped. Throws a sentence that names the file. */
export async function bytes(url) {
  const name = new URL(url).pathname.split("/").pop();
  const response = await fetch(url).catch((error) => {
    throw new Error(`${name} could not be loaded (${error.message}): is there a connection?`);
  });
  if (!response.ok) throw new Error(`${name} could not be loaded: the server answered ${response.status}.`);
  const data = new Uint8Array(await response.arrayBuffer());
  if (data[0] !== 0x1f || data[1] !== 0x8b) return data; // the server has unpacked it
  return new Uint8Array(await new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** model.json: words, path, colours. It is small: the page reads it before anything is asked for. */
export const facts = async () => JSON.parse(new TextDecoder().decode(await bytes(new URL("model.json", HERE))));

/**
 * { net, decode, tokenize, meta, how }: `net` and `decode` compute on the GPU where there is one that is faster, else on
 * the CPU by WebAssembly; `how` says which. `backend` "wasm" or "webgpu" leaves no choice.
 */
export async function load(meta, backend = "auto") {
  if (typeof WebAssembly !== "object") {
    throw new Error("This browser has no WebAssembly, in which the network is computed: another one, or Python, draws.");
  }
  const gpu = backend === "webgpu" || (backend === "auto" && (await hasGpu()));
  const kind = KINDS[gpu ? "webgpu" : "wasm"];
  const [ort, binary, ...onnx] = await Promise.all([
    import(new URL(kind.module, RUNTIMES)).catch(() => {
      throw new Error(`${kind.module} could not be loaded: is there a connection?`);
    }),
    bytes(new URL(kind.binary, RUNTIMES)),
    bytes(new URL("model.onnx.gz", HERE)),
    bytes(new URL("decoder.onnx.gz", HERE)),
  ]);
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: binary.buffer }); // more need a cross-origin isolated page
  ort.env.logLevel = "error";
  const open = async (provider) => {
    const graphOptimizationLevel = provider === "wasm" ? "disabled" : "all"; // PyTorch has done it: to look again takes
    const options = { executionProviders: [provider], graphOptimizationLevel }; // longer than it saves
    const [net, decode] = await Promise.all(onnx.map((graph) => ort.InferenceSession.create(graph, options)));
    return { net: network(ort, net, meta.latents), decode: decoder(ort, decode, meta.latents) };
  };
  const known = { tokenize: tokenizer(meta), meta };
  if (backend === "webgpu") return { ...known, ...(await open("webgpu")), how: "WebGPU" };
  const onCpu = await open("wasm");
  const faster = gpu ? await fasterOnGpu(onCpu, open, meta).catch(() => null) : null;
  return { ...known, ...(faster ?? onCpu), how: faster ? "WebGPU" : "WebAssembly on one thread" };
}

/** Whether there is a GPU to compute on, and not one that the CPU plays. */
async function hasGpu() {
  if (!navigator.gpu || !WebAssembly.Suspending) return false;
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return Boolean(adapter) && !adapter.info?.isFallbackAdapter;
}

/** The network and the decoder on the GPU, if it says there what it says on the CPU, and sooner; else null. */
async function fasterOnGpu(onCpu, open, meta) {
  const onGpu = await open("webgpu");
  const x = Float32Array.from({ length: 2 * meta.latents.reduce((a, b) => a * b) }, (_, i) => Math.sin(i));
  const rows = [new Int32Array(meta.length), new Int32Array(meta.length).fill(2)];
  const timed = async ({ net, decode }) => {
    const drawn = async () => decode(await net(x, 0, rows));
    await drawn(); // the first call prepares
    const began = performance.now();
    return { out: await drawn(), took: performance.now() - began };
  };
  const [cpu, gpu] = [await timed(onCpu), await timed(onGpu)];
  const same = cpu.out.every((v, i) => Math.abs(v - gpu.out[i]) < 1e-3);
  return same && gpu.took < cpu.took ? onGpu : null;
}
