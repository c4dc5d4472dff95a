// Small helpers of the pages: sliders that go with a text, sentences for what is wrong, what the reader prefers.

export const $ = (id) => document.getElementById(id);

/** A number for people: 4 significant digits. */
export const shown = (v) => (v === 0 ? "0" : Number(v.toPrecision(4)).toString());

/** Whether the reader's system asks for less motion. */
export const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Fills `box` with a label, a text to type a number and a slider for it; `log` makes the slider logarithmic. */
export function numberControl(box, { key, label, least, most, step, log = false }) {
  const [on, off] = log ? [Math.log10, (v) => Number((10 ** v).toPrecision(2))] : [Number, Number];
  box.innerHTML = `<label for="${box.id || key}-text">${label}</label>
    <input id="${box.id || key}-text" name="${key}" type="text" inputmode="decimal" autocomplete="off">
    <input id="${box.id || key}-slider" type="range" aria-label="${label}" min="${on(least)}" max="${on(most)}" step="${step}">`;
  const [text, slider] = box.querySelectorAll("input");
  slider.addEventListener("input", () => {
    text.value = String(Math.min(most, Math.max(least, off(Number(slider.value)))));
    text.dispatchEvent(new Event("input", { bubbles: true }));
  });
  text.addEventListener("input", () => {
    const value = Number(text.value.replace(",", "."));
    if (text.value.trim() && value >= least && value <= most) slider.value = on(value);
  });
  const describe = () => slider.setAttribute("aria-valuetext", text.value);
  text.addEventListener("input", describe);
  return {
    set(value) {
      text.value = String(value);
      slider.value = on(value);
      describe();
    },
  };
}

/** Calls `paint` now and whenever the size, the theme or the screen's pixels change. */
export function repaint(element, paint) {
  new ResizeObserver(paint).observe(element);
  new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["data-theme", "data-mode", "class"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

/** Gives the browser time for other things if this turn has taken more than 12 ms. */
export function breather() {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < 12) return;
    await new Promise((resume) => setTimeout(resume));
    since = performance.now();
  };
}

/** A JSON file beside this module, or an error that says so in a sentence. */
export async function load(name) {
  try {
    const answer = await fetch(new URL(name, import.meta.url));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    return await answer.json();
  } catch (error) {
    throw new Error(`${name} could not be loaded (${error.message}): open this page from a web server, or try again`);
  }
}
