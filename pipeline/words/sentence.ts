import {
  causesOf,
  FAULT_REASONS,
  type Fault,
  type FaultReason,
  hasCode,
  type Occurrence,
} from "../../walkers/fault.ts";
import { hex } from "../../walkers/word64.ts";

/** A text as a sentence: a capital first, a full stop last. */
export function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** "F_TRANSLATION (0x10)"; only the name where there is no code. */
export function faultTitle(fault: Fault): string {
  return hasCode(fault) ? `${fault.name} (${hex(fault.code)})` : fault.name;
}

/** All generic reasons that a code may stand for, the usual one first. */
export function reasonsOf(fault: Fault): readonly FaultReason[] {
  return [fault.reason, ...(fault.others ?? [])];
}

/**
 * What a fault means: sentence, source, generic reason, likely causes.
 * @param known what is known of one that has happened
 */
export function faultLines(
  fault: Fault,
  known: Occurrence = {},
  causes: readonly string[] = causesOf(fault, known),
): string[] {
  const lines = [
    `${sentence(fault.text)} [${fault.source}]`,
    ...(known.reasons ?? reasonsOf(fault)).map(
      (name, i) => `${i === 0 ? "" : "or "}${name}: ${FAULT_REASONS[name]}`,
    ),
  ];
  if (causes.length > 0) {
    lines.push("Likely causes:");
    for (const cause of causes) lines.push(`  - ${cause}`);
  }
  return lines;
}
