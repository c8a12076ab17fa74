/** Where the memo's tables are looked at first: as assembly/answer.ts has it. */
import { ANSWER_SLOTS, CONTEXT_SLOTS } from "../../../parsers/trace/batch/layout.ts";

export function contextHash(iommu: number, device: number, pasid: number): number {
  const hash = Math.imul(device ^ Math.imul(iommu, 0x85eb_ca6b), 0x9e37_79b1) ^ Math.imul(pasid, 0xc2b2_ae35);
  return (hash ^ (hash >>> 15)) & (CONTEXT_SLOTS - 1);
}

/** @param group class and privilege */
export function answerHash(group: number, hi: number, lo: number): number {
  const hash =
    Math.imul((lo >>> 12) ^ Math.imul(hi, 0x85eb_ca6b), 0x9e37_79b1) ^ Math.imul(group, 0xc2b2_ae35);
  return (hash ^ (hash >>> 15)) & (ANSWER_SLOTS - 1);
}
