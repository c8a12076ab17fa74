/** What `explain-text.ts` says, as NDJSON. */

import { reasonsOf } from "../../pipeline/words/sentence.ts";
import { fieldsWithin } from "../../pipeline/words/structure.ts";
import { causesOf, FAULT_REASONS, type Fault, hasCode, type Occurrence } from "../../walkers/fault.ts";
import { bitRange, type Layout } from "../../walkers/layout.ts";
import { hex } from "../../walkers/word64.ts";
import type { Prefix } from "../lookup.ts";
import type { ExplainOutput } from "./explain-output.ts";
import { decodedFields } from "./walk-json.ts";

export const EXPLAIN_JSON: ExplainOutput = {
  faultText,
  allText,
  recordText,
  entryText,
  structuresText,
  declarationText,
};

function faultText(model: string, _title: string, faults: readonly Fault[]): string {
  return lines(faults.map((fault) => faultRecord(model, fault)));
}

function allText(model: string, _title: string, faults: readonly Fault[]): string {
  const sorted = [...faults].sort((a, b) => a.code - b.code);
  return lines(sorted.map((fault) => faultRecord(model, fault)));
}

function recordText(
  model: string,
  _title: string,
  layout: Layout,
  record: DataView,
  code: number,
  faults: readonly Fault[],
  known: Occurrence,
): string {
  const entry = { ...entryRecord(model, "fault-record", layout, record), code: hex(code) };
  return lines([entry, ...faults.map((fault) => faultRecord(model, fault, known))]);
}

function entryText(model: string, layout: Layout, { view, given }: Prefix): string {
  return lines([entryRecord(model, "entry", layout, view, given)]);
}

function structuresText(model: string, layouts: readonly Layout[]): string {
  return layouts.map((layout) => declarationText(model, layout)).join("");
}

function declarationText(model: string, layout: Layout): string {
  const fields = layout.names().map((name) => {
    const field = layout.fields[name]!;
    const { kind, doc, needs, values } = field;
    return [name, { bits: bitRange(field), kind, doc, ...(needs && { needs }), ...(values && { values }) }];
  });
  const { name, source, bytes } = layout;
  return lines([
    { type: "structure", vendor: model, name, source, bytes, fields: Object.fromEntries(fields) },
  ]);
}

function faultRecord(model: string, fault: Fault, known: Occurrence = {}): object {
  const [reason, ...others] = known.reasons ?? reasonsOf(fault);
  return {
    type: "fault",
    vendor: model,
    ...(hasCode(fault) ? { code: hex(fault.code) } : {}),
    name: fault.name,
    reason,
    reason_text: FAULT_REASONS[reason!],
    ...(others.length > 0 ? { other_reasons: others } : {}),
    text: fault.text,
    source: fault.source,
    causes: causesOf(fault, known),
  };
}

function entryRecord(
  model: string,
  type: string,
  layout: Layout,
  view: DataView,
  given = layout.bytes,
): object {
  const reserved = layout.reservedSet(view, 0);
  return {
    type,
    vendor: model,
    structure: layout.name,
    source: layout.source,
    words: layout
      .words(view, 0)
      .slice(0, Math.ceil(given / 8))
      .map(hex),
    ...(given < layout.bytes ? { missing_bits: `${layout.bytes * 8 - 1}:${given * 8}` } : {}),
    fields: decodedFields(fieldsWithin(layout.decode(view, 0), given * 8)),
    ...(reserved.length > 0 ? { reserved_set: reserved } : {}),
  };
}

function lines(records: readonly object[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}
