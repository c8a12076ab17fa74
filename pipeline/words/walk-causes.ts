import { ACCESS_BITS, ADDRESS_TYPE_OF } from "../../parsers/trace/accesses.ts";
import { causesOf, type Fault, type Occurrence } from "../../walkers/fault.ts";
import { MODEL_OWNER } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { hex, joined } from "../../walkers/word64.ts";
import type { OutcomeRecord } from "../output/records.ts";
import type { InspectedRequest } from "../walk/walk-trace.ts";

/** What a walk knows of its fault. */
export function occurrenceOfWalk(outcome: OutcomeRecord, fault: Fault): Occurrence {
  const { reason, access, stage, at, pasid, flags, entry, model } = outcome;
  const { kindOfFlags } = VENDORS[MODEL_OWNER[model]].faultRecord;
  return {
    reasons: [reason!],
    access: ACCESS_BITS[access],
    stage,
    at: ADDRESS_TYPE_OF[at ?? "untranslated"],
    withPasid: pasid !== undefined,
    flags: flags === undefined ? undefined : Number(flags),
    kind: flags === undefined ? undefined : kindOfFlags?.(fault.code, Number(flags)),
    entryLo: entry === undefined ? undefined : Number(BigInt.asIntN(32, BigInt(entry))),
  };
}

/** "0x9 until line 5, 0x8 until line 3". */
export function oldValues(changes: InspectedRequest["changes"]): string {
  return changes
    .map(({ oldHi, oldLo, line }) => `${hex(joined(oldHi, oldLo))} until line ${line}`)
    .join(", ");
}

/** The likely causes of a fault; of a structure that served before and was changed, none that it was never set up. */
export function causesOfWalk(
  { outcome, changes }: Pick<InspectedRequest, "outcome" | "changes">,
  fault: Fault,
): readonly string[] {
  if (outcome.stage !== undefined || changes.length === 0)
    return causesOf(fault, occurrenceOfWalk(outcome, fault));
  return [
    `the entry was ${oldValues(changes)}: the device was still active when it was removed, or it is being replaced`,
  ];
}
