import { FAULT_REASONS, type Fault, type FaultReason, hasCode } from "../../walkers/fault.ts";
import { hex } from "../numbers.ts";

/** A text as a sentence: a capital first, a full stop last. */
export function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** "F_TRANSLATION (0x10)"; only the name where there is no code. */
export function faultTitle(fault: Fault): string {
  return hasCode(fault) ? `${fault.name} (${hex(fault.code)})` : fault.name;
}

/** What a fault means: sentence, source, generic reason, likely causes. */
export function faultLines(fault: Fault, reason: FaultReason = fault.reason): string[] {
  const lines = [`${sentence(fault.text)} [${fault.source}]`, `${reason}: ${FAULT_REASONS[reason]}`];
  if (fault.causes !== undefined && fault.causes.length > 0) {
    lines.push("Likely causes:");
    for (const cause of fault.causes) lines.push(`  - ${cause}`);
  }
  return lines;
}
