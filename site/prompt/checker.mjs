// Reads a picture back, as minidiff/data/shapes/checker.py: what is where in it. It knows nothing of the prompt, so the
// words that it finds are an honest alternative text. `meta` is model.json; a picture is 3 channels of size x size.

/** For each object { colour, shape, big, centre }, from the left to the right: indices as in meta, centre in [0, 1]. */
export function read(picture, meta) {
  const [channels, size] = meta.shape;
  const n = size * size;
  const x = Array.from({ length: channels }, (_, c) =>
    Array.from({ length: n }, (_, p) => Math.min(1, Math.max(-1, picture[c * n + p])) - meta.background));
  const rays = Object.values(meta.colours).map((colour) => colour.map((v) => v - meta.background));
  const found = [];
  for (const piece of pieces(x, size)) {
    const covers = rays.map((ray) => amounts(x, piece, ray)); // how much of each pixel is this colour, were it that
    const missed = rays.map((ray, k) =>
      sum(piece, (p) => sum(x.keys(), (c) => (x[c][p] - covers[k].get(p) * ray[c]) ** 2)));
    const colour = missed.indexOf(Math.min(...missed));
    const cover = covers[colour];
    const area = sum(cover.values(), (v) => v);
    if (area <= Math.PI * (0.7 * meta.radii[0][0] * size) ** 2) continue; // a speck
    const middle = (of) => sum(cover, ([p, v]) => (v * (of(p) + 0.5)) / size) / area;
    const centre = [middle((p) => p % size), middle((p) => Math.floor(p / size))];
    const radius = Math.sqrt(area / Math.PI) / size;
    const off = meta.shapes.map((_, shape) =>
      sum(Array(n).keys(), (p) => (drawn(shape, radius, centre, size, p) - (cover.get(p) ?? 0)) ** 2));
    const big = Number(radius > (meta.radii[0][1] + meta.radii[1][0]) / 2);
    found.push({ colour, shape: off.indexOf(Math.min(...off)), big, centre }); // the shape whose drawing is nearest
  }
  return found.sort((a, b) => a.centre[0] - b.centre[0] || a.centre[1] - b.centre[1]);
}

const sum = (values, f) => [...values].reduce((total, v) => total + f(v), 0);

/** The pixels of each object: what is clearly foreground and hangs together, and the edge nearest to it. */
function pieces(x, size) {
  const strong = (p) => Math.hypot(...x.map((channel) => channel[p])) > 0.8;
  const around = (p, moves) => moves.map(([dx, dy]) => [(p % size) + dx, Math.floor(p / size) + dy])
    .filter(([column, row]) => Math.min(column, row) >= 0 && Math.max(column, row) < size)
    .map(([column, row]) => row * size + column);
  const sides = [[-1, 0], [0, -1], [0, 1], [1, 0]]; // of two that are as near, scipy takes the first of these
  const corners = [[-1, -1], [-1, 1], [1, -1], [1, 1]];
  const label = new Int16Array(size * size);
  const found = [];
  for (let p = 0; p < label.length; p++) {
    if (label[p] || !strong(p)) continue;
    const piece = [p];
    label[p] = found.push(piece);
    for (const q of piece) { // it grows while it is walked through
      for (const next of around(q, sides)) {
        if (!label[next] && strong(next)) {
          label[next] = label[p];
          piece.push(next);
        }
      }
    }
  }
  label.forEach((own, p) => {
    const nearest = own ? undefined : [...around(p, sides), ...around(p, corners)].find((q) => label[q]);
    if (nearest !== undefined) found[label[nearest] - 1].push(p);
  });
  return found;
}

/** Pixel -> how much of it the colour covers, in [0, 1], for the pixels of a piece. */
function amounts(x, piece, ray) {
  const length = sum(ray, (v) => v * v);
  const at = (p) => sum(ray.keys(), (c) => x[c][p] * ray[c]) / length;
  return new Map(piece.map((p) => [p, Math.min(1, Math.max(0, at(p)))]));
}

/** How much of pixel p a shape covers, from its signed distance in pixels (minidiff/data/shapes/scenes.py). */
function drawn(shape, radius, centre, size, p) {
  const x = (((p % size) + 0.5) / size - centre[0]) / radius;
  const y = ((Math.floor(p / size) + 0.5) / size - centre[1]) / radius;
  const [ax, ay, arm] = [Math.abs(x), Math.abs(y), Math.sqrt(Math.PI / 5)];
  const side = Math.sqrt((4 * Math.PI) / Math.sqrt(3));
  const distance = [
    () => Math.hypot(x, y) - 1,
    () => Math.max(ax, ay) - Math.sqrt(Math.PI) / 2,
    () => Math.max((Math.sqrt(3) * ax - y) / 2, y) - side / Math.sqrt(12),
    () => Math.min(Math.max(ax - arm / 2, ay - 1.5 * arm), Math.max(ay - arm / 2, ax - 1.5 * arm)),
  ][shape]();
  return Math.min(1, Math.max(0, 0.5 - distance * radius * size));
}

/** What `read` found, in words. */
export function inWords(found, meta) {
  const name = ({ big, colour, shape }) =>
    `a ${meta.sizes[big]} ${Object.keys(meta.colours)[colour]} ${meta.shapes[shape]}`;
  if (found.length === 0) return "no object";
  if (found.length !== 2) return found.map((one) => `${name(one)} ${meta.places[placeOf(one, meta)]}`).join(", ");
  const relation = relationOf(...found); // a right one is of the other the left one
  const [first, second] = relation % 2 ? [found[1], found[0]] : found;
  return `${name(first)} ${meta.relations[relation - (relation % 2)]} ${name(second)}`;
}

const placeOf = ({ centre: [x, y] }, { edges }) =>
  3 * edges.filter((edge) => y > edge).length + edges.filter((edge) => x > edge).length;

/** How the first lies from the second, along the axis where they are further apart: an index into meta.relations. */
function relationOf({ centre: [x, y] }, { centre: [u, v] }) {
  return Math.abs(x - u) > Math.abs(y - v) ? Number(x > u) : 2 + Number(y > v);
}
