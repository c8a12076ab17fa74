/** By what the memo's tables find where to look first: as assembly/answer.ts has it, which takes the low bits. */

export function contextHash(iommu: number, device: number, pasid: number): number {
  const hash = Math.imul(device ^ Math.imul(iommu, 0x85eb_ca6b), 0x9e37_79b1) ^ Math.imul(pasid, 0xc2b2_ae35);
  return hash ^ (hash >>> 15);
}

/** @param group class and privilege */
export function answerHash(group: number, hi: number, lo: number): number {
  const hash =
    Math.imul((lo >>> 12) ^ Math.imul(hi, 0x85eb_ca6b), 0x9e37_79b1) ^ Math.imul(group, 0xc2b2_ae35);
  return hash ^ (hash >>> 15);
}
