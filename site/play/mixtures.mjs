// Exact mixtures of Gaussians in the plane, as minidiff/oracles.py and minidiff/data/toys.py. Points are Float64Arrays
// x, y, x, y, ...; labels say for each point which class it must be of, or are null for any.

const LOG_2PI = Math.log(2 * Math.PI);
const ROW = 6; // numbers of a component
const NEGLIGIBLE = 40; // nats below the largest component: exp(-40) is lost in the rounding of a float64 sum
const EXP = Float64Array.from({ length: 64 * NEGLIGIBLE + 1 }, (_, i) => Math.exp(-i / 64));

/** exp(v) for v from -NEGLIGIBLE to 0, to rounding: a table and a short series, as Math.exp takes half of the time. */
function expOf(v) {
  const i = (-64 * v) | 0;
  const r = v + i / 64; // between -1 / 64 and 0
  return EXP[i] * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r / 720))))));
}

/** Components { weight, mean: [x, y], axis: [x, y] of length 1, variances: [along it, across it], label }. */
export class GaussianMixture {
  constructor(components) {
    const total = components.reduce((sum, c) => sum + c.weight, 0);
    this.components = components.map((c) => ({ ...c, weight: c.weight / total }));
    this.classes = 1 + Math.max(...components.map((c) => c.label));
    this.members = Array.from({ length: this.classes }, (_, k) =>
      Int32Array.from([...components.keys()].filter((i) => components[i].label === k)));
    this.all = Int32Array.from(components.keys());
    this.logits = new Float64Array(components.length);
  }

  /** Of x_t = alpha x0 + sigma eps a row for each component: its mean, its inverse covariance, its constant. */
  #diffused(alpha, sigma) {
    const rows = new Float64Array(ROW * this.components.length);
    for (const [k, { weight, mean, axis: [ux, uy], variances }] of this.components.entries()) {
      const [v1, v2] = variances.map((v) => alpha ** 2 * v + sigma ** 2);
      const inverse = [ux * ux / v1 + uy * uy / v2, ux * uy * (1 / v1 - 1 / v2), uy * uy / v1 + ux * ux / v2];
      const constant = Math.log(weight) - 0.5 * (Math.log(v1) + Math.log(v2)) - LOG_2PI;
      rows.set([alpha * mean[0], alpha * mean[1], ...inverse, constant], ROW * k);
    }
    return rows;
  }

  /** The logits of `members` at (x, y), weight times density, into this.logits; returns the largest. */
  #weigh(rows, members, x, y) {
    const { logits } = this;
    let most = -Infinity;
    for (let m = 0; m < members.length; m++) { // an inner loop: plain indices are several times as fast as iterators
      const r = ROW * members[m];
      const dx = x - rows[r];
      const dy = y - rows[r + 1];
      const square = dx * (rows[r + 2] * dx + 2 * rows[r + 3] * dy) + rows[r + 4] * dy * dy;
      const logit = rows[r + 5] - 0.5 * square;
      logits[m] = logit;
      if (logit > most) most = logit;
    }
    return most;
  }

  /** E[x0 | x_t] and E[eps | x_t] as { x0, eps }; alpha above 0, alpha and sigma not both 0. */
  denoise(points, alpha, sigma, labels = null) {
    const back = this.score(points, labels, alpha, sigma);
    return { // Tweedie: eps = -sigma score, and x_t = alpha x0 + sigma eps
      x0: back.map((v, i) => (points[i] + sigma ** 2 * v) / alpha),
      eps: back.map((v) => -sigma * v),
    };
  }

  /** grad log p of each point under noise, of its label's class or of all: (alpha, sigma) = (1, 0) is the data. */
  score(points, labels = null, alpha = 1, sigma = 0) {
    const rows = this.#diffused(alpha, sigma);
    const found = new Float64Array(points.length);
    for (let i = 0; i < points.length; i += 2) {
      this.#scoreOf(rows, labels ? this.members[labels[i / 2]] : this.all, points[i], points[i + 1], found, i);
    }
    return found;
  }

  #scoreOf(rows, members, x, y, found, i) {
    const { logits } = this;
    const most = this.#weigh(rows, members, x, y);
    let total = 0;
    let backX = 0;
    let backY = 0;
    for (let m = 0; m < members.length; m++) {
      const below = logits[m] - most;
      if (below < -NEGLIGIBLE) continue;
      const r = ROW * members[m];
      const w = expOf(below);
      const dx = x - rows[r];
      const dy = y - rows[r + 1];
      total += w;
      backX += w * (rows[r + 2] * dx + rows[r + 3] * dy);
      backY += w * (rows[r + 3] * dx + rows[r + 4] * dy);
    }
    found[i] = -backX / total;
    found[i + 1] = -backY / total;
  }

  /** log p(x_t, c) in nats of each point with its own label c, or without labels log p(x_t). */
  logJoint(points, labels = null, alpha = 1, sigma = 0) {
    const rows = this.#diffused(alpha, sigma);
    return Float64Array.from({ length: points.length / 2 }, (_, i) => {
      const members = labels ? this.members[labels[i]] : this.all;
      return this.#logSum(rows, members, points[2 * i], points[2 * i + 1]);
    });
  }

  /** log density in nats of each point under noise: (alpha, sigma) = (1, 0) is the data. */
  logProb(points, alpha = 1, sigma = 0) {
    return this.logJoint(points, null, alpha, sigma);
  }

  #logSum(rows, members, x, y) {
    const most = this.#weigh(rows, members, x, y);
    let total = 0;
    for (let m = 0; m < members.length; m++) {
      const below = this.logits[m] - most;
      if (below > -NEGLIGIBLE) total += expOf(below);
    }
    return most + Math.log(total);
  }

  /** log p(c | x_t) of each point for its own label c. */
  logClass(points, labels, alpha = 1, sigma = 0) {
    const any = this.logProb(points, alpha, sigma);
    return this.logJoint(points, labels, alpha, sigma).map((v, i) => v - any[i]);
  }

  /**
   * log of p(x) p(c | x)^gamma for each point's label c, not normalised, under noise: at each level of noise the guided
   * score is its slope.
   */
  logSharpened(points, labels, gamma, alpha = 1, sigma = 0) {
    const any = this.logProb(points, alpha, sigma);
    return this.logJoint(points, labels, alpha, sigma).map((v, i) => any[i] + gamma * (v - any[i]));
  }

  /** A sample of each label, or n of any class, as { points, labels }. */
  sample(n, generator, labels = null) {
    const [picks, z] = [generator.uniform(n), generator.normal(2 * n)];
    const [points, found] = [new Float64Array(2 * n), new Int32Array(n)];
    for (let i = 0; i < n; i++) {
      const c = this.components[this.#pick(picks[i], labels ? this.members[labels[i]] : this.all)];
      const [a, b, d] = factor(c);
      points[2 * i] = c.mean[0] + a * z[2 * i];
      points[2 * i + 1] = c.mean[1] + b * z[2 * i] + d * z[2 * i + 1];
      found[i] = c.label;
    }
    return { points, labels: found };
  }

  /** The first of `members` whose summed share of their weight is above u. */
  #pick(u, members) {
    const { components } = this;
    const total = members.reduce((sum, k) => sum + components[k].weight, 0);
    let [m, sum] = [0, components[members[0]].weight];
    while (sum <= u * total && m < members.length - 1) sum += components[members[++m]].weight;
    return members[m];
  }

  /**
   * A sample of p(x) p(c | x)^gamma for each label c, exact, by rejection: from gamma = 1 on p(x | c) is drawn and kept
   * with probability p(c | x)^(gamma - 1), below it p(x) with probability p(c | x)^gamma.
   */
  sampleSharpened(labels, gamma, generator, rounds = 2000) {
    const [n, points] = [labels.length, new Float64Array(2 * labels.length)];
    let waiting = [...labels.keys()];
    for (let round = 0; round < rounds && waiting.length; round++) {
      const drawn = this.sample(n, generator, gamma >= 1 ? labels : null).points;
      const u = generator.uniform(n);
      const chance = this.logClass(drawn, labels);
      waiting = waiting.filter((i) => {
        const kept = Math.log(u[i]) < chance[i] * (gamma >= 1 ? gamma - 1 : gamma);
        if (kept) points.set(drawn.subarray(2 * i, 2 * i + 2), 2 * i);
        return !kept;
      });
    }
    return waiting.length ? null : points;
  }
}

/** The lower triangle [a, b, d] of Cholesky's factor of a component's covariance. */
function factor({ axis: [ux, uy], variances: [v1, v2] }) {
  const [xx, xy, yy] = [v1 * ux * ux + v2 * uy * uy, (v1 - v2) * ux * uy, v1 * uy * uy + v2 * ux * ux];
  const a = Math.sqrt(xx);
  return [a, xy / a, Math.sqrt(yy - (xy / a) ** 2)];
}

const isotropic = (means, std, label) =>
  new GaussianMixture(means.map((mean, i) => (
    { weight: 1, mean, axis: [1, 0], variances: [std ** 2, std ** 2], label: label ?? i })));

/** Eight modes on a circle of radius 0.8, a class each. */
const eight_gaussians = () =>
  isotropic(Array.from({ length: 8 }, (_, i) => [0.8 * Math.cos((i * Math.PI) / 4), 0.8 * Math.sin((i * Math.PI) / 4)]), 0.05);

/** Two round Gaussians that overlap, a class each. */
const two_classes = () => isotropic([[-0.3, 0], [0.3, 0]], 0.3);

/** Two trees that fork `depth` - 1 times into ever finer twigs, a class each (after Karras et al. 2024, figure 1). */
const branches = (depth = 5) =>
  new GaussianMixture([Math.PI, 0].flatMap((angle, label) => grow([0, 0], angle, 0.4, 0.04, depth, 1, label)));

/** A branch as four long Gaussians in a row, and two thinner branches from its tip. */
function grow(root, angle, length, thickness, depth, weight, label) {
  const axis = [Math.cos(angle), Math.sin(angle)];
  const at = (far) => root.map((r, i) => r + axis[i] * far);
  const variances = [(length / 8) ** 2, (thickness / 2) ** 2];
  const parts = [0, 1, 2, 3].map((i) => ({ weight: weight / 4, mean: at((length * (i + 0.5)) / 4), axis, variances, label }));
  const turns = depth > 1 ? [-0.5, 0.5] : [];
  const finer = (turn) => grow(at(length), angle + turn, 0.7 * length, 0.6 * thickness, depth - 1, weight / 2, label);
  return [...parts, ...turns.flatMap(finer)];
}

export const MIXTURES = { eight_gaussians, two_classes, branches };

/** The model that a perfect network trained on the mixture would be, for points that must be of these labels. */
export const mixtureDenoiser = (mixture, schedule, labels = null) => (x, t) =>
  mixture.denoise(x, schedule.alpha(t), schedule.sigma(t), labels);
