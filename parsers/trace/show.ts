/** Longest rendering of a found value in a message. */
const SHOWN = 40;
const MOST_NAMES = 8;

/** A value found in a trace, for a message: shortened, on one line, with no control character in it. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return `${value}`;
}

/** Names that were found, for a message: the first few. */
export function showNames(names: readonly string[]): string {
  if (names.length === 0) return "no field";
  return names
    .slice(0, MOST_NAMES)
    .map((name) => quote(name).slice(1, -1))
    .join(", ");
}

/** A string in quotes, of at most 40 characters in all. */
export function quote(text: string): string {
  let out = '"';
  for (const char of text) {
    const shown = escaped(char);
    if (out.length + shown.length + 1 > SHOWN) return `${shorten(out)}…"`;
    out += shown;
  }
  return `${out}"`;
}

/** Makes room for the ellipsis, without leaving half an escape. */
function shorten(out: string): string {
  if (out.length + 2 <= SHOWN) return out;
  const cut = /\\(u[0-9a-f]{4}|.)$/.exec(out);
  return out.slice(0, cut === null ? -1 : cut.index);
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const MOVES_LINES = /[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A line of text for a person: what would move a cursor, change a terminal or hide text is escaped as in JSON. */
export function printableLine(text: string): string {
  return text.replace(UNPRINTABLE, unicodeEscape);
}

/**
 * Lines of text for a person, or of JSON: as `printableLine`, but for newlines and tabs. JSON says the same as before:
 * there, such characters are in strings.
 */
export function printable(text: string): string {
  return text.replace(MOVES_LINES, unicodeEscape);
}

function unicodeEscape(char: string): string {
  let out = "";
  for (let i = 0; i < char.length; i++) out += `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return out;
}

/** One character as JSON writes it, and everything that moves a cursor or hides text as \u escapes. */
function escaped(char: string): string {
  if (char === '"' || char === "\\") return `\\${char}`;
  return printableLine(char);
}
