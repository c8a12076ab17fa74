/** What SMMUv3 command rules need to know of an SMMU: identification and control registers (Arm IHI 0070, 6.3). */

import type { Problems } from "../commands/command-set.ts";
import type { IommuState } from "../registers.ts";
import { Cr0, Cr2, Idr0, Idr1, Idr3, Idr5 } from "./registers.ts";

/** Unknown: whatever refuses nothing. */
export class Smmuv3CommandCaps {
  s1p = true;
  s2p = true;
  hyp = true;
  ats = true;
  pri = true;
  stall = true;
  mpam = true;
  dpt = true;
  ril = true;
  ds = true;
  d128 = true;
  asidBits = 16;
  vmidBits = 16;
  sidBits = 32;
  ssidBits = 20;
  /** CR2.E2H: 0, 1, or -1 where it is not known. */
  e2h = -1;
  /** Low bits of the VMID that do not matter (CR0.VMW). */
  vmidMask = 0;
}

/** IDR0.STALL_MODEL: only the terminate model. */
const TERMINATE_ONLY = 1;

export function readCaps(state: IommuState): Smmuv3CommandCaps {
  const caps = new Smmuv3CommandCaps();
  caps.s1p = state.capability("idr0", Idr0, "S1P", 1) !== 0;
  caps.s2p = state.capability("idr0", Idr0, "S2P", 1) !== 0;
  caps.hyp = state.capability("idr0", Idr0, "HYP", 1) !== 0;
  caps.ats = state.capability("idr0", Idr0, "ATS", 1) !== 0;
  caps.pri = state.capability("idr0", Idr0, "PRI", 1) !== 0;
  caps.stall = state.capability("idr0", Idr0, "STALL_MODEL", 0) !== TERMINATE_ONLY;
  caps.mpam = state.capability("idr3", Idr3, "MPAM", 1) !== 0;
  caps.dpt = state.capability("idr3", Idr3, "DPT", 1) !== 0;
  caps.ril = state.capability("idr3", Idr3, "RIL", 1) !== 0;
  caps.ds = state.capability("idr5", Idr5, "DS", 1) !== 0;
  caps.d128 = state.capability("idr5", Idr5, "D128", 1) !== 0;
  caps.asidBits = state.property("asid_bits") ?? (state.field("idr0", Idr0, "ASID16", 1) !== 0 ? 16 : 8);
  caps.vmidBits = state.capability("idr0", Idr0, "VMID16", 1) !== 0 ? 16 : 8;
  caps.sidBits = state.capability("idr1", Idr1, "SIDSIZE", caps.sidBits);
  caps.ssidBits = state.property("ssid_bits") ?? state.field("idr1", Idr1, "SSIDSIZE", caps.ssidBits);
  caps.e2h = state.field("cr2", Cr2, "E2H", -1);
  // VMW n: the n lowest bits of a VMID do not take part in a match (6.3.9). A VMID is reserved without stage 2.
  caps.vmidMask = 2 ** state.field("cr0", Cr0, "VMW", 0) - 1;
  return caps;
}

/** Refuses a command that needs a feature. */
export function requires(present: boolean, feature: string, problems: Problems, source: string): void {
  if (!present) problems.illegal("", `expected an SMMU with ${feature}, found one without`, source);
}
