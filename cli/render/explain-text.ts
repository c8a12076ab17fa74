import { type Fault, hasCode, type Occurrence } from "../../walkers/fault.ts";
import type { Layout } from "../../walkers/layout.ts";
import { hex } from "../../walkers/word64.ts";
import type { ExplainOutput } from "./explain-output.ts";
import { faultLines, faultTitle } from "./sentence.ts";
import { declarationLines, structureLines, table } from "./structure.ts";

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
function entryText(_model: string, layout: Layout, words: DataView): string {
  return text(entryLines(layout, words));
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

function entryLines(layout: Layout, view: DataView): string[] {
  const fields = structureLines(layout.words(view, 0), layout.decode(view, 0), layout.reservedSet(view, 0));
  return [`${layout.name}  [${layout.source}]`, ...indented(fields)];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => INDENT + line);
}

function text(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
