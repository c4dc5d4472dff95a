// The random numbers of torch.Generator on a CPU: a seed gives the noise here that it gives in Python.

const N = 624;

export class Generator {
  /** The Mersenne Twister of torch.Generator().manual_seed(seed) (Matsumoto and Nishimura 1998); seed below 2^32. */
  constructor(seed) {
    if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)) {
      throw new RangeError(`the seed must be a whole number from 0 to ${2 ** 32 - 1}, got ${seed}`);
    }
    this.state = new Uint32Array(N);
    this.state[0] = seed;
    for (let i = 1; i < N; i++) {
      const before = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, before) + i;
    }
    this.next = N;
  }

  /** A whole number of 32 bits. */
  bits() {
    if (this.next === N) this.#twist();
    let y = this.state[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist() {
    const s = this.state;
    for (let i = 0; i < N; i++) {
      const y = (s[i] & 0x80000000) | (s[(i + 1) % N] & 0x7fffffff);
      s[i] = s[(i + 397) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }

  /** torch.rand(n, dtype=torch.float64): n numbers in [0, 1) of 53 bits. */
  uniform(n) {
    const one = () => ((this.bits() & 0x1fffff) * 2 ** 32 + this.bits()) * 2 ** -53;
    return Float64Array.from({ length: n }, one);
  }

  /** torch.randn(n, dtype=torch.float64), for n of at least 16. */
  normal(n) {
    return this.#normal(n, (m) => this.uniform(m));
  }

  /** torch.randn(n), float32, to a few units in the last place, for n of at least 16. */
  normal32(n) {
    const one = () => (this.bits() & 0xffffff) * 2 ** -24;
    return Float32Array.from(this.#normal(n, (m) => Float64Array.from({ length: m }, one)));
  }

  /** Box and Muller's transform as torch does it: in blocks of 16, the first 8 the radii, the last 8 the angles. */
  #normal(n, uniform) {
    if (!(n >= 16)) throw new RangeError(`torch draws fewer than 16 normal numbers in another way: got ${n}`);
    const z = uniform(n);
    const blocks = Array.from({ length: Math.floor(n / 16) }, (_, i) => 16 * i);
    for (const from of blocks) boxMuller(z, from);
    if (n % 16) {
      z.set(uniform(16), n - 16); // the last 16 are drawn anew
      boxMuller(z, n - 16);
    }
    return z;
  }
}

function boxMuller(z, from) {
  for (let i = from; i < from + 8; i++) {
    const [radius, angle] = [Math.sqrt(-2 * Math.log(1 - z[i])), 2 * Math.PI * z[i + 8]];
    z[i] = radius * Math.cos(angle);
    z[i + 8] = radius * Math.sin(angle);
  }
}
