import type { PageWalk, WalkStep } from "../../pipeline/walk/page-walk.ts";
import type { InspectedRequest } from "../../pipeline/walk/walk-trace.ts";
import type { DecodedField } from "../../walkers/layout.ts";
import { hex } from "../../walkers/word64.ts";

/**
 * A walk as NDJSON: a `step` record for every structure in the order of the reads, then the `outcome` record. A
 * step of a second-stage walk says in `for` which step's address it finds: that step's `index`, or null for the
 * last walk of a page (the first stage's output, or a fetch that never came about).
 */
export function walkJson(_trace: string, inspected: InspectedRequest): string {
  const records: object[] = [];
  for (const page of inspected.pages) {
    for (const step of page.steps) {
      for (const through of step.through) records.push(stepRecord(page, through, step.index));
      records.push(stepRecord(page, step, undefined));
    }
    for (const step of page.last) records.push(stepRecord(page, step, null));
  }
  records.push(inspected.outcome);
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}

function stepRecord(page: PageWalk, step: WalkStep, purpose: number | null | undefined): object {
  return {
    type: "step",
    index: step.index,
    page: hex(page.address),
    ...(step.stage === 0 ? {} : { stage: step.stage }),
    ...(step.level === undefined ? {} : { level: step.level }),
    ...(purpose === undefined ? {} : { for: purpose }),
    structure: step.layout.name,
    source: step.layout.source,
    addr: hex(step.address),
    ...(step.littleEndian ? {} : { big_endian: true }),
    ...(step.words === null
      ? { hole: true }
      : {
          words: step.words.map(hex),
          fields: decodedFields(step.fields),
          ...(step.reservedSet.length > 0 ? { reserved_set: step.reservedSet } : {}),
        }),
  };
}

/** Fields by name: the value in hex, and what it means where that has a name. */
export function decodedFields(fields: readonly DecodedField[]): object {
  return Object.fromEntries(fields.map((field) => [field.name, fieldValue(field)]));
}

function fieldValue(field: DecodedField): object {
  const value = hex(field.value);
  if (field.text === "") return { value };
  return field.text.startsWith("0x") ? { value, address: field.text } : { value, name: field.text };
}
