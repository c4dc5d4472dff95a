// Prompts as the numbers of their words, as minidiff/text.py does it.

const BREAKS = /[^\p{L}\p{N}\p{M}_'\-\u200c\u200d]+/u; // what is between words
const LETTER = /[\p{L}\p{N}]/u; // or a digit
const BLANK = /^[\t-\r\x1c-\x20\x85\p{Z}]*$/u; // what Python takes for white space

/** The words of a text, in lower case, without punctuation: letters with their marks, digits, and - ' _ among them. */
export const splitWords = (text) =>
  text.toLowerCase().normalize("NFC").split(BREAKS).filter((word) => LETTER.test(word));

/**
 * text -> { tokens, unknown }: a number for each word, `length` of them, where 0 is no word, 1 an unknown one, then
 * come `words` in their order. Throws a sentence for a text without a word, unless it is empty, and for a longer one.
 */
export function tokenizer({ words, length }) {
  const number = new Map(words.map((word, i) => [word, i + 2]));
  return (text) => {
    const row = splitWords(text);
    const shown = `“${[...text].slice(0, 60).join("")}”`;
    if (!BLANK.test(text) && row.length === 0) {
      throw new RangeError(`${shown} has no word in it: give some, or leave it empty for none.`);
    }
    if (row.length > length) {
      throw new RangeError(`${shown} has ${row.length} words: the limit of this model is ${length}.`);
    }
    const tokens = new Int32Array(length);
    row.forEach((word, i) => (tokens[i] = number.get(word) ?? 1));
    return { tokens, unknown: [...new Set(row)].filter((word) => !number.has(word)) };
  };
}
