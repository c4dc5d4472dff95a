// Reads the form: what is to be drawn, or a sentence that says what is wrong with a field.

/** The number that a field holds. Throws a sentence, with the field, unless `right` is true of it. */
function number(field, right, what) {
  const text = field.value.trim();
  const value = text === "" ? NaN : Number(text);
  if (right(value)) return value;
  throw Object.assign(new RangeError(`${what}, not “${text}”.`), { field });
}

const whole = (low, high) => (v) => Number.isInteger(v) && v >= low && v <= high;
const SEEDS = 2 ** 32 - 1;

/** { prompts, negative, scale, steps, seed, unknown }, where unknown are the words that the model never saw. */
export function asked(fields, tokenize) {
  const unknown = new Set();
  for (const field of [fields.prompt, fields.second, fields.negative]) {
    try {
      for (const word of tokenize(field.value).unknown) unknown.add(word);
    } catch (error) {
      throw Object.assign(error, { field });
    }
  }
  const [prompt, second, negative] = ["prompt", "second", "negative"].map((name) => fields[name].value.trim());
  return {
    prompts: second ? [prompt, second] : [prompt],
    negative,
    scale: number(fields.gamma, (v) => Number.isFinite(v) && v >= 0, "γ must be a number of at least 0 (1 is no guidance)"),
    steps: number(fields.steps, whole(1, 1000), "Steps must be a whole number from 1 to 1000"),
    seed: number(fields.seed, whole(0, SEEDS), `The seed must be a whole number from 0 to ${SEEDS}`),
    unknown: [...unknown],
  };
}

export const unknownWords = (unknown) =>
  `Words this model never saw: ${unknown.join(", ")}. ${unknown.length > 1 ? "They mean" : "It means"} nothing to it.`;

const NAMES = ["prompt", "second", "negative", "gamma", "steps", "seed"];

/** The fields as the end of an address, and back. */
export const toAddress = (fields) =>
  `#${new URLSearchParams(NAMES.flatMap((name) => (fields[name].value ? [[name, fields[name].value]] : [])))}`;

export function fromAddress(fields, hash) {
  const given = new URLSearchParams(hash.slice(1));
  if (!given.has("prompt")) return; // an anchor of the page
  for (const name of NAMES) if (given.has(name) || name !== "prompt") fields[name].value = given.get(name) ?? fields[name].defaultValue;
}

const quoted = (text) => `'${text.replaceAll("'", `'"'"'`)}'`;

/** The command that draws the first of the pictures in Python. */
export function command({ prompts, negative, scale, steps, seed }) {
  const away = negative && scale !== 1 ? ` --negative ${quoted(negative)}` : "";
  const how = `--scale ${scale} --steps ${steps} --seed ${seed} --n 1`;
  return `python -m minidiff sample --pretrained shapes --prompt ${quoted(prompts[0])}${away} ${how}`;
}
