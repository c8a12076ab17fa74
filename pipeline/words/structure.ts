import { bitRange, type DecodedField, type Layout } from "../../walkers/layout.ts";
import { hex } from "../../walkers/word64.ts";
import { paint } from "./paint.ts";

/** Width that lists of names are wrapped at. */
const COLUMNS = 100;
const WORDS_PER_LINE = 4;

/**
 * A structure for a person: its words, then a table of the fields that are set or whose value has a name, then
 * the names of those that are zero.
 */
export function structureLines(
  words: readonly bigint[],
  fields: readonly DecodedField[],
  reservedSet: readonly number[],
): string[] {
  return [...wordLines(words), ...fieldLines(fields), ...reservedLines(reservedSet)];
}

/** The fields that lie within the first bits of a structure. */
export function fieldsWithin(fields: readonly DecodedField[], bits: number): DecodedField[] {
  return fields.filter((field) => field.bits.split(",").every((part) => Number(part.split(":")[0]) < bits));
}

function wordLines(words: readonly bigint[]): string[] {
  const lines: string[] = [];
  for (let i = 0; i < words.length; i += WORDS_PER_LINE)
    lines.push(
      words
        .slice(i, i + WORDS_PER_LINE)
        .map(hex)
        .join(" "),
    );
  return lines;
}

function fieldLines(fields: readonly DecodedField[]): string[] {
  const shown = fields.filter((field) => field.value !== 0n || isNamed(field));
  const zero = fields.filter((field) => !shown.includes(field)).map((field) => field.name);
  const rows = shown.map((field) => [field.name, field.bits, valueText(field), field.doc]);
  const lines = table(rows).map((line, i) => paintBits(line, rows[i]!));
  if (zero.length > 0) lines.push(...wrapped("zero: ", zero).map((line) => paint("faint", line)));
  return lines;
}

/** Marks the name and the bits of a field, at the beginning of its line. */
function paintBits(line: string, [name, bits]: readonly string[]): string {
  const at = line.indexOf(bits!, name!.length);
  const end = at + bits!.length;
  return `${paint("strong", name!)}${line.slice(name!.length, at)}${paint("accent", bits!)}${line.slice(end)}`;
}

/** A zero that means something: an enumerator, not an address. */
export function isNamed(field: DecodedField): boolean {
  return field.text !== "" && !field.text.startsWith("0x");
}

/** "3 (nested)", "0x1f", or a whole address. */
export function valueText(field: DecodedField): string {
  if (field.text.startsWith("0x")) return field.text;
  const value = field.value < 10n ? field.value.toString() : hex(field.value);
  return field.text === "" ? value : `${value} (${field.text})`;
}

/** "reserved bits set: 62:60, 51". */
function reservedLines(set: readonly number[]): string[] {
  return set.length === 0
    ? []
    : wrapped("reserved bits set: ", bitRanges(set)).map((line) => paint("bad", line));
}

/** Bit numbers in ascending order as ranges, the highest first: "62:60", "51". */
export function bitRanges(set: readonly number[]): string[] {
  const ranges: string[] = [];
  for (let i = set.length - 1; i >= 0; ) {
    let low = i;
    while (low > 0 && set[low - 1] === set[low]! - 1) low--;
    ranges.push(low === i ? `${set[i]}` : `${set[i]}:${set[low]}`);
    i = low - 1;
  }
  return ranges;
}

/** Rows as columns, each as wide as its widest cell; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}

/** A list after a label, on as many lines as it takes. */
export function wrapped(label: string, items: readonly string[]): string[] {
  const lines: string[] = [];
  let line = label;
  items.forEach((item, i) => {
    const text = i === items.length - 1 ? item : `${item},`;
    if (line.length + text.length > COLUMNS && line.trim() !== label.trim()) {
      lines.push(line.trimEnd());
      line = " ".repeat(label.length);
    }
    line += `${text} `;
  });
  lines.push(line.trimEnd());
  return lines;
}

/** All fields of a declaration, with their enumerators. */
export function declarationLines(layout: Layout): string[] {
  const rows: string[][] = [];
  for (const name of layout.names()) {
    const field = layout.fields[name]!;
    if (field.kind === "ignored") continue;
    const needs = field.needs === undefined ? "" : ` (with ${field.needs})`;
    rows.push([name, bitRange(field), `${field.doc}${needs}`]);
    for (const [value, text] of Object.entries(field.values ?? {}))
      rows.push(["", "", `  ${value}: ${text}`]);
  }
  return table(rows);
}
