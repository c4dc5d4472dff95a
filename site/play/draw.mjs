// Pictures on a canvas. Everything is drawn in the window that field.halfWidth gives for the time t, so points at noise
// 80 and at the data fill the same square; straight paths stay straight in it.

const TRAILS = 40; // samples whose way is drawn

/** The page's colours, as they are now in this element: light or dark. */
export function palette(element) {
  const style = getComputedStyle(element);
  const of = (name) => style.getPropertyValue(name).trim();
  return { ink: of("--play-ink"), ground: of("--play-ground"), grid: of("--play-grid"), shade: of("--play-shade"),
           series: Array.from({ length: 8 }, (_, i) => of(`--play-${i + 1}`)) };
}

/** The canvas's 2-D context, its pixels those of the screen, and its size in CSS pixels; null without canvas. */
export function prepare(canvas) {
  const context = canvas.getContext?.("2d");
  if (!context) return null;
  const [ratio, width, height] = [window.devicePixelRatio || 1, canvas.clientWidth, canvas.clientHeight];
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** [red, green, blue] of any CSS colour, as the canvas paints it. */
function rgb(colour) {
  const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1);
  return pixel.getImageData(0, 0, 1, 1).data.subarray(0, 3);
}

/** A density on a size x size grid as a soft picture over the whole canvas. */
export function drawDensity({ context, width, height }, grid, size, colours) {
  const image = new ImageData(size, size);
  const [red, green, blue] = rgb(colours.shade);
  const most = grid.reduce((a, b) => Math.max(a, b));
  for (let i = 0; i < grid.length; i++) image.data.set([red, green, blue, 190 * Math.sqrt(grid[i] / most)], 4 * i);
  const small = document.createElement("canvas");
  Object.assign(small, { width: size, height: size });
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, width, height);
}

/** Arrows at points; one of the middling vectors is half as long as there is room for. */
export function drawArrows({ context, width, height }, points, vectors, half, size, colours) {
  const longest = (0.82 * width) / size;
  const norms = Float64Array.from({ length: vectors.length / 2 }, (_, i) => Math.hypot(vectors[2 * i], vectors[2 * i + 1]));
  const middling = norms.slice().sort()[norms.length >> 1] || 1;
  context.strokeStyle = colours.ink;
  context.globalAlpha = 0.45;
  context.lineWidth = 1;
  context.beginPath();
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [((points[i] / half + 1) / 2) * width, ((1 - points[i + 1] / half) / 2) * height];
    const [vx, vy] = [vectors[i], -vectors[i + 1]];
    const norm = norms[i / 2] || 1;
    const length = (longest * norm) / (norm + middling);
    const [dx, dy] = [(vx / norm) * length, (vy / norm) * length];
    context.moveTo(x - dx / 2, y - dy / 2);
    context.lineTo(x + dx / 2, y + dy / 2);
    for (const side of [-1, 1]) { // the head: two short lines back from the tip
      context.moveTo(x + dx / 2, y + dy / 2);
      context.lineTo(x + dx * 0.18 - side * dy * 0.2, y + dy * 0.18 + side * dx * 0.2);
    }
  }
  context.stroke();
  context.globalAlpha = 1;
}

/** Frames of points in units of their windows, so that they can be joined over time. */
export const inWindows = (frames, halves) =>
  frames.map(({ x }, k) => Float32Array.from(x, (v) => v / halves[k]));

/** Between frame floor(at) and the next. */
export function between(placed, at) {
  const [k, share] = [Math.min(Math.floor(at), placed.length - 1), at - Math.floor(at)];
  const [from, to] = [placed[k], placed[Math.min(k + 1, placed.length - 1)]];
  return share === 0 ? from : from.map((v, i) => v + share * (to[i] - v));
}

/** The ways of the first samples, up to the frame `at`. */
export function drawTrails({ context, width, height }, placed, at, labels, colours) {
  context.lineWidth = 1.1;
  context.globalAlpha = 0.55;
  const now = between(placed, at);
  for (let i = 0; i < Math.min(TRAILS, now.length / 2); i++) {
    context.strokeStyle = colours.series[labels ? labels[i] % 8 : 0];
    context.beginPath();
    for (let k = 0; k <= Math.floor(at); k++) lineTo(placed[k]);
    lineTo(now);
    context.stroke();
    function lineTo(points) {
      context.lineTo(((points[2 * i] + 1) / 2) * width, ((1 - points[2 * i + 1]) / 2) * height);
    }
  }
  context.globalAlpha = 1;
}

/** Points in units of the window. */
export function drawPoints({ context, width, height }, points, labels, colours) {
  const size = width < 300 ? 1.8 : 2.4;
  context.globalAlpha = 0.8;
  for (let i = 0; i < points.length / 2; i++) {
    context.fillStyle = colours.series[labels ? labels[i] % 8 : 0];
    context.fillRect(((points[2 * i] + 1) / 2) * width - size / 2, ((1 - points[2 * i + 1]) / 2) * height - size / 2, size, size);
  }
  context.globalAlpha = 1;
}

/** A bar of a round length in x's units, at the lower right: the window grows with the noise. */
export function drawScale({ context, width, height }, half, colours) {
  const length = 10 ** Math.floor(Math.log10(half));
  const pixels = (length / (2 * half)) * width;
  context.strokeStyle = context.fillStyle = colours.ink;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(width - 10 - pixels, height - 10);
  context.lineTo(width - 10, height - 10);
  context.stroke();
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "right";
  context.fillText(`length ${length}`, width - 10, height - 16);
}

/** Bars of a density, over the whole width. */
export function drawBars({ context, width, height }, values, most, colour) {
  context.fillStyle = colour;
  context.globalAlpha = 0.45;
  const bar = width / values.length;
  for (const [i, v] of values.entries()) {
    const high = (v / most) * (height - 6);
    context.fillRect(i * bar, height - high, Math.max(bar - 0.5, 0.5), high);
  }
  context.globalAlpha = 1;
}

/** A density as a line. */
export function drawLine({ context, width, height }, values, most, colour, dash = []) {
  context.strokeStyle = colour;
  context.lineWidth = 1.8;
  context.setLineDash(dash);
  context.beginPath();
  for (const [i, v] of values.entries()) {
    context.lineTo(((i + 0.5) / values.length) * width, height - 1 - (Math.min(v / most, 1.02)) * (height - 7));
  }
  context.stroke();
  context.setLineDash([]);
}
