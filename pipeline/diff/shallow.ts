/** Levels of nesting that an answer is compared by; what is deeper is compared as text. */
const MAX_DEPTH = 32;

/**
 * The text of a JSON value, in which what is nested deeper than MAX_DEPTH stands as the string of its own text: whoever
 * works on the value may recurse.
 * @param text well-formed JSON
 */
export function shallow(text: string): string {
  let out = "";
  let depth = 0;
  /** What has been copied to `out`; where the deep value under way begins. */
  let copied = 0;
  let deep = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (inString) {
      if (char === "\\") i++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "[" || char === "{") {
      if (++depth === MAX_DEPTH + 1) deep = i;
    } else if ((char === "]" || char === "}") && depth-- === MAX_DEPTH + 1) {
      out += text.slice(copied, deep) + JSON.stringify(text.slice(deep, i + 1));
      copied = i + 1;
    }
  }
  return copied === 0 ? text : out + text.slice(copied);
}
