// The playground's pictures of one view: what is slow to compute is kept for each step.

import * as draw from "./draw.mjs";
import { arrows, density, histogram, marginal } from "./field.mjs";
import { $ } from "./page.mjs";

const GRID = 72; // squares of the shading along a side
const ARROWS = 19;
const BINS = 48;

/** What is slow to compute, once for each step. */
function cached(view, name, step, make) {
  const key = `${name} ${step}`;
  if (!view.cache.has(key)) view.cache.set(key, make());
  return view.cache.get(key);
}

/** Draws a view { state, exact, placed, net, halves, labels, at, cache }: both panels and the marginals below them. */
export function paintView(view, nets) {
  const colours = draw.palette($("play"));
  const step = Math.round(view.at);
  panel(view, $("exact"), view.placed, step, colours, null, nets);
  if (view.net) panel(view, $("learned"), view.net, step, colours, nets, nets);
  strip(view, step, colours);
}

function shading(view, kind, step) {
  const { state, exact } = view;
  return cached(view, kind, step, () => density(state, exact[step].t, kind === "data" ? 1 : state.gamma, GRID));
}

function panel(view, canvas, placed, step, colours, withNets, nets) {
  const surface = draw.prepare(canvas);
  if (!surface) return;
  const { state, exact, halves, labels, at } = view;
  if (state.shade !== "none") draw.drawDensity(surface, shading(view, state.shade, step), GRID, colours);
  if (state.arrows) field(view, surface, step, colours, withNets, nets);
  if (state.paths) draw.drawTrails(surface, placed, at, labels, colours);
  draw.drawPoints(surface, draw.between(placed, at), labels, colours);
  draw.drawScale(surface, halves[step], colours);
  canvas.dataset.drawn = String(exact[step].x.length / 2);
}

/** The arrows of a step, if they are known; else they are computed, and drawn with the next picture. */
function field(view, surface, step, colours, withNets, nets) {
  const found = cached(view, withNets ? "net arrows" : "arrows", step, () => {
    const held = {};
    arrows(view.state, view.exact[step].t, ARROWS, withNets).then((value) => {
      held.value = value;
      requestAnimationFrame(() => view.open && paintView(view, nets));
    });
    return held;
  });
  if (found.value) draw.drawArrows(surface, found.value.points, found.value.arrows, view.halves[step], ARROWS, colours);
}

function strip(view, step, colours) {
  const surface = draw.prepare($("strip"));
  if (!surface) return;
  const { state, exact, halves } = view;
  const half = halves[step];
  const line = (kind) => cached(view, `${kind} line`, step, () => marginal(shading(view, kind, step), GRID, half));
  const bars = cached(view, "bars", step, () => histogram(exact[step].x, BINS, half));
  const dashed = state.cond !== "none" && state.gamma !== 1 ? line("sharpened") : null;
  const most = Math.max(...line("data"), ...bars, ...(dashed ?? []));
  draw.drawBars(surface, bars, most, colours.series[0]);
  draw.drawLine(surface, line("data"), most, colours.ink);
  if (dashed) draw.drawLine(surface, dashed, most, colours.series[1], [6, 4]);
}
