/**
 * Configuration checks of device and process contexts (RISC-V IOMMU 1.0, "Device-context configuration checks" and
 * "Process-context configuration checks"), in the specification's order. All of one structure report the same cause;
 * which rule it was is for the person who debugs it.
 */

import type { Reader } from "../layout.ts";
import { SV32_LEVELS } from "../page-tables/riscv-sv.ts";
import { type EntryRule, type EntryRules, entryRules } from "../tables/entry-rule.ts";
import type { TableRule } from "../tables/table-rules.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import { RELEASE_MSI_NEEDS_SECOND_STAGE, type RiscvConfig } from "./config.ts";
import type { RiscvDevice } from "./context.ts";
import { DDT_MISCONFIGURED, PDT_MISCONFIGURED } from "./faults.ts";
import {
  DdtEntry,
  DeviceContextLayout,
  MODE_BARE,
  MODE_SV32,
  MODE_SV39,
  MODE_SV48,
  MODE_SV57,
  MSIPTP_FLAT,
  MSIPTP_OFF,
  NON_LEAF_RESERVED,
  PDTP_BARE,
  PDTP_PD8,
  PDTP_PD17,
  PDTP_PD20,
  PdtEntry,
  ProcessContextLayout,
  reservedBitsSet,
} from "./layouts.ts";

const RESERVED = TABLE_RULES["reserved-entry-bits"];
const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CONFLICT = TABLE_RULES["conflicting-fields"];

type DeviceField = keyof typeof DeviceContextLayout.fields;

/** A rule by its number in the text. */
const device = (number: number, field: DeviceField | null, kind: TableRule, expected: string) => ({
  field,
  kind,
  expected,
  source: `RISC-V IOMMU 1.0, 2.1.4, rule ${number}`,
  fault: DDT_MISCONFIGURED,
});

export const DEVICE_RULES: EntryRules = entryRules(DeviceContextLayout, {
  1: device(1, null, RESERVED, "reserved bits or encodings are set"),
  2: device(2, "EN_ATS", UNSUPPORTED, "capabilities.ATS is 0 and tc.EN_ATS, EN_PRI or PRPR is 1"),
  3: device(3, "T2GPA", CONFLICT, "tc.T2GPA is 1 without tc.EN_ATS"),
  4: device(4, "EN_PRI", CONFLICT, "tc.EN_PRI is 1 without tc.EN_ATS"),
  5: device(5, "PRPR", CONFLICT, "tc.PRPR is 1 without tc.EN_PRI"),
  6: device(6, "T2GPA", UNSUPPORTED, "tc.T2GPA is 1 without capabilities.T2GPA"),
  7: device(7, "T2GPA", CONFLICT, "tc.T2GPA is 1 and iohgatp.MODE is Bare"),
  8: device(8, "fsc_MODE", UNSUPPORTED, "tc.PDTV is 1 and pdtp.MODE is not supported"),
  9: device(9, "fsc_MODE", ILLEGAL, "tc.PDTV is 0 and iosatp.MODE is not a valid encoding"),
  10: device(10, "fsc_MODE", UNSUPPORTED, "tc.PDTV is 0, tc.SXL is 0 and iosatp.MODE is not supported"),
  11: device(11, "fsc_MODE", UNSUPPORTED, "tc.PDTV is 0, tc.SXL is 1 and iosatp.MODE is not supported"),
  12: device(12, "DPE", CONFLICT, "tc.DPE is 1 without tc.PDTV"),
  13: device(13, "iohgatp_MODE", ILLEGAL, "iohgatp.MODE is not a valid encoding"),
  14: device(14, "iohgatp_MODE", UNSUPPORTED, "fctl.GXL is 0 and iohgatp.MODE is not supported"),
  15: device(15, "iohgatp_MODE", UNSUPPORTED, "fctl.GXL is 1 and iohgatp.MODE is not supported"),
  16: device(16, "msiptp_MODE", ILLEGAL, "msiptp.MODE is neither Off nor Flat"),
  17: device(17, "iohgatp_PPN", ILLEGAL, "the second stage's root is not aligned to 16 KiB"),
  18: device(18, "SADE", UNSUPPORTED, "tc.SADE or tc.GADE is 1 without capabilities.AMO_HWAD"),
  19: device(19, "SBE", UNSUPPORTED, "capabilities.END is 0 and tc.SBE differs from fctl.BE"),
  20: device(20, "SXL", UNSUPPORTED, "tc.SXL is not a legal value"),
  21: device(21, "SBE", UNSUPPORTED, "tc.SBE is not a legal value"),
  22: device(22, "RCID", UNSUPPORTED, "ta.RCID or ta.MCID is wider than the IOMMU supports"),
  23: device(23, "msiptp_MODE", CONFLICT, "iohgatp.MODE is Bare and msiptp.MODE is not Off"),
});

const process = (
  field: keyof typeof ProcessContextLayout.fields | null,
  kind: TableRule,
  expected: string,
) => ({ field, kind, expected, source: "RISC-V IOMMU 1.0, 2.2.4", fault: PDT_MISCONFIGURED });

/** What the rules of a process context are put into words with: how its fsc.MODE is read. */
export type ProcessContextReaders = { readonly mode: Reader };

export const PROCESS_RULES: EntryRules<ProcessContextReaders> = entryRules(ProcessContextLayout, {
  1: process(null, RESERVED, "reserved bits or encodings are set"),
  2: {
    ...process("fsc_MODE", ILLEGAL, "fsc.MODE is not a valid encoding"),
    found: (view, at, { mode }: ProcessContextReaders) => `a reserved mode (fsc.MODE is ${mode(view, at)})`,
  },
  3: process("fsc_MODE", UNSUPPORTED, "tc.SXL is 0 and fsc.MODE is not supported"),
  4: process("fsc_MODE", UNSUPPORTED, "tc.SXL is 1 and fsc.MODE is not supported"),
});

/** Step 6 of locating a device context, step 8 of locating a process context. */
const nonLeaf: Omit<EntryRule, "fault" | "source"> & { readonly field: null } = {
  field: null,
  kind: RESERVED,
  expected: "reserved bits are set",
};
export const DDT_ENTRY_RULES: EntryRules = entryRules(DdtEntry, {
  1: { ...nonLeaf, source: DdtEntry.source, fault: DDT_MISCONFIGURED },
});
export const PDT_ENTRY_RULES: EntryRules = entryRules(PdtEntry, {
  1: { ...nonLeaf, source: PdtEntry.source, fault: PDT_MISCONFIGURED },
});

/** Where a scheme stands: how many levels it has (0: Bare), or one of the two below. */
const INVALID_MODE = -1;
const UNSUPPORTED_MODE = -2;

/**
 * Levels of a first-stage scheme.
 * @returns 0 for Bare; negative where the encoding is invalid (-1) or the IOMMU lacks the scheme (-2)
 */
export function firstStageLevels(mode: number, sxl: number, c: RiscvConfig): number {
  const levels = schemeLevels(mode, sxl);
  if (levels <= 0) return levels;
  const supported = levels === SV32_LEVELS ? c.sv32 : levels === 3 ? c.sv39 : levels === 4 ? c.sv48 : c.sv57;
  return supported ? levels : UNSUPPORTED_MODE;
}

/** As `firstStageLevels`, whether the IOMMU has the scheme or not. */
export function schemeLevels(mode: number, sxl: number): number {
  if (mode === MODE_BARE) return 0;
  if (sxl !== 0) return mode === MODE_SV32 ? SV32_LEVELS : INVALID_MODE;
  if (mode === MODE_SV39) return 3;
  if (mode === MODE_SV48) return 4;
  return mode === MODE_SV57 ? 5 : INVALID_MODE;
}

/** Levels of a second-stage scheme, as `firstStageLevels`. */
export function secondStageLevels(mode: number, c: RiscvConfig): number {
  if (mode === MODE_BARE) return 0;
  if (c.gxl !== 0) return mode !== MODE_SV32 ? INVALID_MODE : c.sv32x4 ? 2 : UNSUPPORTED_MODE;
  if (mode === MODE_SV39) return c.sv39x4 ? 3 : UNSUPPORTED_MODE;
  if (mode === MODE_SV48) return c.sv48x4 ? 4 : UNSUPPORTED_MODE;
  if (mode === MODE_SV57) return c.sv57x4 ? 5 : UNSUPPORTED_MODE;
  return INVALID_MODE;
}

/** @param mode pdtp.MODE */
export function processDirectorySupported(mode: number, c: RiscvConfig): boolean {
  if (mode === PDTP_BARE) return true;
  if (mode === PDTP_PD8) return c.pd8 !== 0;
  if (mode === PDTP_PD17) return c.pd17 !== 0;
  return mode === PDTP_PD20 && c.pd20 !== 0;
}

/** @returns the first number above `after` of a rule in DEVICE_RULES that is broken, or 0 */
export function brokenDeviceRule(d: RiscvDevice, c: RiscvConfig, after = 0): number {
  return brokenControlRule(d, c, after) || brokenStageRule(d, c, after) || brokenEnvironmentRule(d, c, after);
}

/** Rules 1 to 7: reserved bits, ATS and page requests. */
function brokenControlRule(d: RiscvDevice, c: RiscvConfig, after: number): number {
  if (d.reserved && after < 1) return 1;
  if (!c.ats && (d.enAts || d.enPri || d.prpr) && after < 2) return 2;
  if (!d.enAts && d.t2gpa && after < 3) return 3;
  if (!d.enAts && d.enPri && after < 4) return 4;
  if (!d.enPri && d.prpr && after < 5) return 5;
  if (!c.t2gpa && d.t2gpa && after < 6) return 6;
  if (d.t2gpa && d.secondMode === MODE_BARE && after < 7) return 7;
  return 0;
}

/** Rules 8 to 17: the process directory, the two stages and the MSI page table. */
function brokenStageRule(d: RiscvDevice, c: RiscvConfig, after: number): number {
  if (d.pdtv && !processDirectorySupported(d.fscMode, c) && after < 8) return 8;
  const first = d.pdtv ? 0 : firstStageLevels(d.fscMode, d.sxl, c);
  if (first === INVALID_MODE && after < 9) return 9;
  if (first === UNSUPPORTED_MODE && !d.sxl && after < 10) return 10;
  if (first === UNSUPPORTED_MODE && d.sxl && after < 11) return 11;
  if (!d.pdtv && d.dpe && after < 12) return 12;
  const second = secondStageLevels(d.secondMode, c);
  if (second === INVALID_MODE && after < 13) return 13;
  if (second === UNSUPPORTED_MODE && !c.gxl && after < 14) return 14;
  if (second === UNSUPPORTED_MODE && c.gxl && after < 15) return 15;
  if (d.msiMode !== MSIPTP_OFF && d.msiMode !== MSIPTP_FLAT && after < 16) return 16;
  if (second !== 0 && d.secondFrame % 4 !== 0 && after < 17) return 17;
  return 0;
}

/**
 * Rules 18 to 22, and the one after them in the text of 20260222. Rule 22 has nothing to compare with: how wide RCID and MCID are
 * is in no register, so all their 12 bits are taken as supported.
 */
function brokenEnvironmentRule(d: RiscvDevice, c: RiscvConfig, after: number): number {
  if (!c.amoHwad && (d.sade || d.gade) && after < 18) return 18;
  if (!c.end && d.sbe !== c.be && after < 19) return 19;
  if ((c.gxl ? !d.sxl : d.sxl && !c.gxlWritable) && after < 20) return 20;
  if (!c.beWritable && d.sbe !== c.be && after < 21) return 21;
  const msiNeedsStage = c.release >= RELEASE_MSI_NEEDS_SECOND_STAGE;
  if (msiNeedsStage && d.secondMode === MODE_BARE && d.msiMode !== MSIPTP_OFF && after < 23) return 23;
  return 0;
}

/**
 * @param mode fsc.MODE of a process context
 * @param reserved whether reserved bits are set in it
 * @returns the first number above `after` of a rule in PROCESS_RULES that is broken, or 0
 */
export function brokenProcessRule(
  mode: number,
  reserved: number,
  sxl: number,
  c: RiscvConfig,
  after = 0,
): number {
  if (reserved && after < 1) return 1;
  const levels = firstStageLevels(mode, sxl, c);
  if (levels === INVALID_MODE && after < 2) return 2;
  if (levels === UNSUPPORTED_MODE && !sxl && after < 3) return 3;
  if (levels === UNSUPPORTED_MODE && sxl && after < 4) return 4;
  return 0;
}

/** Of a non-leaf entry of either directory, by DDT_ENTRY_RULES or PDT_ENTRY_RULES. */
export function brokenNonLeafRule(view: DataView, at: number, littleEndian: boolean, after = 0): number {
  return reservedBitsSet(NON_LEAF_RESERVED, view, at, littleEndian) && after < 1 ? 1 : 0;
}
