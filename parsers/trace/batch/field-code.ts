/**
 * Makes the code by which the batch machine reads fields (assembly/fields.ts), from the table that has them
 * (scanned-fields.ts) and their declaration: a chain of comparisons, each with a call of what reads such a value
 * (assembly/values.ts).
 */
import type { Fields, Plain } from "../field.ts";
import type { BatchPlace, ScannedFields } from "../scanned-fields.ts";

const WORD_BYTES = 8;
/** What assembly/values.ts has. */
const VALUES =
  "asText, behind, digitsTo, hexTo, integer32To, integer64To, nameTo, opaque, see, setBits, truth";

/** A condition in AssemblyScript: that a text stands at an address. The first word of what stands there is in `word`. */
function isThere(text: string, at: string): string {
  const words: string[] = [];
  for (let i = 0; i < text.length; i += WORD_BYTES) {
    const loaded = i === 0 ? "word" : `load<u64>(${at} + ${i})`;
    const length = Math.min(text.length - i, WORD_BYTES);
    const mask = `0x${(2n ** BigInt(8 * length) - 1n).toString(16)}`;
    const masked = length === WORD_BYTES ? loaded : `(${loaded} & ${mask})`;
    words.push(`${masked} === ${wordOf(text.slice(i, i + WORD_BYTES))}`);
  }
  return words.join(" && ");
}

/** The first bytes of a text as a little-endian word. */
function wordOf(text: string): string {
  const bytes = Buffer.alloc(WORD_BYTES);
  bytes.write(text, "latin1");
  return `0x${bytes.readBigUInt64LE().toString(16)}`;
}

/** A function that says whether a record of a type begins at an address, behind its brace, as nearly all are written. */
export function beginning(type: string): string {
  return [
    `export function ${type}Begins(at: usize): bool {`,
    "  const word = load<u64>(at);",
    `  return ${isThere(`"type":"${type}"`, "at")};`,
    "}",
  ].join("\n");
}

/** The call that reads a value at `p` into the record `r`. */
function reading(name: string, plain: Plain, place: BatchPlace): string {
  if (place === "asText") return "asText(p)";
  if ("call" in place) return `${place.call}(p, r)`;
  if ("bit" in place) return `truth(p, ${place.bit})`;
  if ("choices" in place) return `${name}Choice(p)`;
  if ("length" in place)
    return `${plain.kind === "hexBytes" ? "digitsTo" : "opaque"}(p, r + ${place.at}, r + ${place.length})`;
  const to = `r + ${place.at}`;
  switch (plain.kind) {
    case "hex64":
      return `hexTo(p, ${to})`;
    case "integer":
      return `${place.bytes === 4 ? "integer32To" : "integer64To"}(p, ${to}, ${Math.max(plain.least, 0)}, ${plain.most})`;
    case "device":
      return `nameTo(p, DEVICES_AT, ${to})`;
    case "name":
      return `nameTo(p, IOMMUS_AT, ${to})`;
    default:
      throw new Error(`${name}: the batch machine does not read values of the kind ${plain.kind}`);
  }
}

/** Sets the bits of a choice. */
function choice(name: string, { bits, choices }: Extract<BatchPlace, { bits: number }>): string[] {
  const cases = Object.entries(choices).flatMap(([text, set]) =>
    set === null
      ? []
      : [
          `  if (${isThere(`${text}"`, "p + 1")}) {`,
          `    setBits(${bits}, ${set});`,
          `    return p + ${text.length + 2};`,
          "  }",
        ],
  );
  return [
    `function ${name}Choice(p: usize): usize {`,
    "  if (load<u8>(p) !== QUOTE) return 0;",
    "  const word = load<u64>(p + 1);",
    ...cases,
    "  return 0;",
    "}",
  ];
}

/** The file of a function: its name with dashes. */
function fileOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/**
 * A function that reads a field of an object, from the opening quote of its name.
 * @param fields as they are declared
 */
export function fieldReader<R>(name: string, fields: Fields, scanned: ScannedFields<R>): string {
  // A record has a type, and cannot do without some of its fields; what is within a record does not count.
  const isRecord = "type" in fields;
  const required = Object.keys(fields).filter((field) => isRecord && fields[field]!.optional !== true);
  const helpers: string[] = [];
  const cases = Object.entries(scanned).flatMap(([field, one]) => {
    const place = one?.batch;
    if (place === undefined) return [];
    if (typeof place === "object" && "choices" in place) helpers.push(...choice(field, place));
    const given = typeof place === "object" && "given" in place ? (place.given ?? 0) : 0;
    const seen = 1 << required.indexOf(field);
    return [
      `  if (${isThere(`${field}"`, "at + 1")}) {`,
      `    const p = behind(at + ${field.length + 1});`,
      "    if (p === 0) return 0;",
      ...(required.includes(field) ? [`    see(${seen});`] : []),
      ...(given === 0 ? [] : [`    setBits(${given}, ${given});`]),
      `    return ${reading(field, fields[field]!.plain!, place)};`,
      "  }",
    ];
  });
  const calls = Object.values(scanned).flatMap((one) =>
    typeof one?.batch === "object" && "call" in one.batch ? [one.batch.call] : [],
  );
  const counted =
    required.length === 0
      ? []
      : [`export const ${name.toUpperCase()}_REQUIRED: u32 = ${2 ** required.length - 1};`];
  return [
    'import { DEVICES_AT, IOMMUS_AT } from "../layout";',
    'import { QUOTE } from "./text";',
    `import { ${VALUES} } from "./values";`,
    ...calls.map((call) => `import { ${call} } from "./${fileOf(call)}";`),
    ...counted,
    ...helpers,
    `export function ${name}Field(at: usize, r: usize): usize {`,
    "  const word = load<u64>(at + 1);",
    ...cases,
    "  return 0;",
    "}",
  ].join("\n");
}
