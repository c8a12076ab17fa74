import { faultLines, faultTitle } from "../../pipeline/words/sentence.ts";
import { declarationLines, fieldsWithin, structureLines, table } from "../../pipeline/words/structure.ts";
import { type Fault, hasCode, type Occurrence } from "../../walkers/fault.ts";
import type { Layout } from "../../walkers/layout.ts";
import { hex } from "../../walkers/word64.ts";
import type { Prefix } from "../lookup.ts";
import type { ExplainOutput } from "./explain-output.ts";

export const EXPLAIN_TEXT: ExplainOutput = {
  faultText,
  allText,
  recordText,
  entryText,
  structuresText,
  declarationText,
};

const INDENT = "  ";

/** What one code means: one block per condition that shares it. */
function faultText(_model: string, title: string, faults: readonly Fault[]): string {
  return text(blocks(title, faults));
}

/** Every fault of a vendor, one a line. */
function allText(_model: string, title: string, faults: readonly Fault[]): string {
  const sorted = [...faults].sort((a, b) => a.code - b.code);
  return text([
    `${title}:`,
    ...table(sorted.map((f) => [hasCode(f) ? hex(f.code) : "-", f.name, f.reason, f.text])),
  ]);
}

/** A raw fault record: its fields, then what its code means. */
function recordText(
  _model: string,
  title: string,
  layout: Layout,
  record: DataView,
  code: number,
  faults: readonly Fault[],
  known: Occurrence,
): string {
  const meaning =
    faults.length > 0 ? blocks(title, faults, known) : [`${title}: no fault has the code ${hex(code)}`];
  return text([...entryLines(layout, record), "", ...meaning]);
}

/** A structure's raw words, field by field. */
function entryText(_model: string, layout: Layout, { view, given }: Prefix): string {
  return text(entryLines(layout, view, given));
}

/** What there is to decode, one a line. */
function structuresText(_model: string, layouts: readonly Layout[]): string {
  return text(table(layouts.map((layout) => [layout.name, `${layout.bytes} bytes`, layout.source])));
}

/** The fields of a structure. */
function declarationText(_model: string, layout: Layout): string {
  return text([
    `${layout.name}: ${layout.bytes} bytes  [${layout.source}]`,
    ...indented(declarationLines(layout)),
  ]);
}

function blocks(title: string, faults: readonly Fault[], known: Occurrence = {}): string[] {
  return faults.flatMap((fault, i) => [
    ...(i === 0 ? [] : [""]),
    `${title} ${faultTitle(fault)}`,
    ...indented(faultLines(fault, known)),
  ]);
}

function entryLines(layout: Layout, view: DataView, given = layout.bytes): string[] {
  const words = layout.words(view, 0).slice(0, Math.ceil(given / 8));
  const fields = fieldsWithin(layout.decode(view, 0), given * 8);
  const lines = structureLines(words, fields, layout.reservedSet(view, 0));
  if (given < layout.bytes) lines.push(missingText(layout, given));
  return [`${layout.name}  [${layout.source}]`, ...indented(lines)];
}

/** "not given: words 3 to 8 (bits 511:128), with SLPTPTR, …" */
function missingText(layout: Layout, given: number): string {
  const first = given / 8 + 1;
  const last = Math.ceil(layout.bytes / 8);
  const words = first === last ? `word ${first}` : `words ${first} to ${last}`;
  const zeros = new DataView(new ArrayBuffer(Math.max(layout.bytes, 8)));
  const all = layout.decode(zeros, 0);
  const shown = new Set(fieldsWithin(all, given * 8));
  const names = all.filter((field) => !shown.has(field)).map((field) => field.name);
  const holding = names.length === 0 ? "" : `, with ${names.join(", ")}`;
  return `not given: ${words} (bits ${layout.bytes * 8 - 1}:${given * 8})${holding}`;
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => INDENT + line);
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
