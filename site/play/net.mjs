// A trained network as a model: minidiff/nets/mlp.py inside minidiff/denoise.py's Denoiser, prediction "edm".

/** The weights of page.json: a layer's numbers are float16 in base64, in the order of Python's state_dict. */
export function unpacked({ shapes, float16, frequencies }) {
  const bytes = Uint8Array.from(atob(float16), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  const weights = { "emb.noise.0.frequencies": Float64Array.from(frequencies) };
  for (const [name, shape] of Object.entries(shapes)) {
    const size = shape.reduce((a, b) => a * b);
    weights[name] = Float64Array.from({ length: size }, (_, i) => half(view.getUint16(2 * (at + i), true)));
    at += size;
  }
  return weights;
}

/** The number of 16 bits: sign, 5 bits of exponent, 10 of fraction. */
function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

const silu = (v) => v / (1 + Math.exp(-v));

/** out[j] = bias[j] + sum over i of weight[j, i] x[i]. */
function linear({ weight, bias }, x, out) {
  const width = x.length;
  for (let j = 0, w = 0; j < out.length; j++) {
    let a = bias[j]; // two sums, so that one addition need not wait for the other
    let b = 0;
    for (let i = 0; i < width; i += 2, w += 2) {
      a += weight[w] * x[i];
      b += weight[w + 1] * x[i + 1];
    }
    out[j] = a + b;
  }
  return out;
}

export class MLP {
  constructor(packed) {
    const weights = unpacked(packed);
    const layer = (name) => ({ weight: weights[`${name}.weight`], bias: weights[`${name}.bias`] });
    const depth = Object.keys(packed.shapes).filter((name) => name.endsWith("inner.bias")).length;
    this.frequencies = [...weights["emb.noise.0.frequencies"]];
    this.noise = [layer("emb.noise.1"), layer("emb.noise.3")];
    this.labels = weights["emb.label.weight"];
    [this.enter, this.leave] = [layer("enter"), layer("leave")];
    this.blocks = Array.from({ length: depth }, (_, b) => ({
      modulation: layer(`blocks.${b}.norm.modulation`),
      inner: layer(`blocks.${b}.inner`),
      outer: layer(`blocks.${b}.outer`),
    }));
    this.width = packed.shapes["enter.bias"][0];
    this.null = packed.shapes["emb.label.weight"][0] - 1;
    this.sigmaData = packed.sigma_data;
  }

  /** [shift, scale] of each block for this noise level and label: what is the same for all points. */
  modulation(cNoise, label) {
    const { noise, labels, blocks, width } = this;
    const angles = this.frequencies.map((f) => f * cNoise);
    const features = Float64Array.from([...angles.map(Math.cos), ...angles.map(Math.sin)]);
    const hidden = linear(noise[0], features, new Float64Array(width)).map(silu);
    const emb = linear(noise[1], hidden, new Float64Array(width));
    const mine = emb.map((v, i) => silu(v + labels[label * width + i]));
    return blocks.map(({ modulation }) => {
      const both = linear(modulation, mine, new Float64Array(2 * width));
      return [both.subarray(0, width), both.subarray(width)];
    });
  }

  /** A function (x, y, out) that writes the network's output for one point. */
  at(modulation) {
    const { enter, blocks, leave, width } = this;
    const [h, normed, step] = [0, 1, 2].map(() => new Float64Array(width));
    const [inner, point] = [new Float64Array(2 * width), new Float64Array(2)];
    return (x, y, out) => {
      point[0] = x;
      point[1] = y;
      linear(enter, point, h);
      for (let b = 0; b < blocks.length; b++) {
        normalise(h, modulation[b][0], modulation[b][1], normed);
        linear(blocks[b].inner, normed, inner);
        for (let i = 0; i < inner.length; i++) inner[i] = silu(inner[i]);
        linear(blocks[b].outer, inner, step);
        for (let i = 0; i < width; i++) h[i] += step[i];
      }
      for (let i = 0; i < width; i++) h[i] = silu(h[i]);
      linear(leave, h, out);
    };
  }

  /** The x0 and eps that the network predicts at this noise for points of these labels, or of any class. */
  denoise(points, alpha, sigma, labels = null) {
    const [x0, eps] = [new Float64Array(points.length), new Float64Array(points.length)];
    const norm = Math.sqrt((alpha * this.sigmaData) ** 2 + sigma ** 2);
    const levels = new Map(); // label -> the network for it
    const net = (label) => {
      if (!levels.has(label)) levels.set(label, this.at(this.modulation(Math.log(sigma / alpha) / 4, label)));
      return levels.get(label);
    };
    const out = new Float64Array(2);
    const data = this.sigmaData ** 2 * alpha;
    for (let i = 0; i < points.length; i += 2) {
      net(labels ? labels[i / 2] : this.null)(points[i] / norm, points[i + 1] / norm, out);
      for (const j of [0, 1]) {
        const share = points[i + j] / norm ** 2;
        x0[i + j] = data * share + (sigma * this.sigmaData * out[j]) / norm;
        eps[i + j] = sigma * share - (alpha * this.sigmaData * out[j]) / norm;
      }
    }
    return { x0, eps };
  }
}

/** A layer norm without weights of its own, times 1 + scale, plus shift. */
function normalise(h, shift, scale, out) {
  const n = h.length;
  let mean = 0;
  let square = 0;
  for (let i = 0; i < n; i++) mean += h[i] / n;
  for (let i = 0; i < n; i++) square += (h[i] - mean) ** 2 / n;
  const factor = 1 / Math.sqrt(square + 1e-5);
  for (let i = 0; i < n; i++) out[i] = (h[i] - mean) * factor * (1 + scale[i]) + shift[i];
}

/** The network as a model for samplers on any schedule, for points that must be of these labels. */
export const netDenoiser = (net, schedule, labels = null) => (x, t) =>
  net.denoise(x, schedule.alpha(t), schedule.sigma(t), labels);
