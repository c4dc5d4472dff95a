// Shows drawings: each a large picture, and under it a strip of its steps.

import { inWords, read } from "./checker.mjs";

const COLUMNS = 12; // of a strip, at most

/** A picture (3, size, size) in [-1, 1] onto a canvas with its own pixels; CSS enlarges it. */
export function paint(canvas, picture) {
  const n = picture.length / 3;
  canvas.width = canvas.height = Math.sqrt(n);
  const image = new ImageData(canvas.width, canvas.height);
  for (let p = 0; p < n; p++) {
    for (let c = 0; c < 3; c++) image.data[4 * p + c] = (picture[c * n + p] + 1) * 127.5; // it rounds and clamps
    image.data[4 * p + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

/** A figure for one drawing, with its place in the page: the large picture, the caption and the strip. */
export function figure(prompt, onStep) {
  const big = element("canvas", { className: "picture", role: "img", ariaLabel: "A picture in the making" });
  const strip = element("div", { className: "strip", role: "img", ariaLabel: "Its steps, in the making" });
  strip.addEventListener("click", ({ target }) => target.dataset.step && onStep(Number(target.dataset.step)));
  const caption = element("figcaption", { textContent: prompt ? `“${prompt}”` : "(no words)" });
  return { prompt, big, strip, caption, whole: element("figure", {}, big, caption, strip), frames: [] };
}

/**
 * Fill a figure with its frames: { x, x0 }, the noisy picture before each step and what the model expects there, and
 * at the end { x }, the picture. Sets `words`, what the checker reads in it, and `settled`, from which step on it
 * reads the same in what the model expects.
 */
export function fill(figure, frames, meta) {
  const steps = frames.length - 1;
  const words = frames.map(({ x0, x }) => inWords(read(x0 ?? x, meta), meta));
  let settled = steps;
  while (settled > 1 && words[settled - 2] === words[steps]) settled--;
  Object.assign(figure, { frames, settled, words: words[steps] });
  const columns = Math.min(COLUMNS, steps);
  const chosen = Array.from({ length: columns }, (_, k) => Math.round((k * (steps - 1)) / Math.max(1, columns - 1)));
  figure.strip.replaceChildren(...chosen.flatMap((k) => [cell(frames[k].x, k, "before"), cell(frames[k].x0, k, "expected at")]));
  figure.strip.ariaLabel = `Steps 1 to ${steps}. Above, the noisy picture before each step; below, what the model ` +
    `expects there. From step ${settled} on that reads: ${figure.words}.`;
}

function cell(picture, step, what) {
  const canvas = element("canvas", { title: `${what} step ${step + 1}` });
  canvas.dataset.step = step;
  paint(canvas, picture);
  return canvas;
}

/** Show in a filled figure how far the picture was after a number of steps. */
export function showStep({ big, strip, frames, words }, step) {
  paint(big, frames[step].x);
  big.ariaLabel = step === frames.length - 1 ? `Drawn: ${words}` : `The picture after ${step} steps, with noise left`;
  for (const canvas of strip.children) canvas.classList.toggle("here", Number(canvas.dataset.step) === step);
}
