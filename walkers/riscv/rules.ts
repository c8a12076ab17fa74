/**
 * Configuration checks of device and process contexts (RISC-V IOMMU 1.0, "Device-context configuration checks" and
 * "Process-context configuration checks"), in the specification's order. All report the same cause; which rule it was
 * is for the person who debugs it.
 */
import type { RiscvConfig } from "./config.ts";
import type { RiscvDevice } from "./context.ts";
import {
  MODE_BARE,
  MODE_SV32,
  MODE_SV39,
  MODE_SV48,
  MODE_SV57,
  MSIPTP_FLAT,
  MSIPTP_OFF,
  PDTP_BARE,
  PDTP_PD8,
  PDTP_PD17,
  PDTP_PD20,
} from "./layouts.ts";

/** Sentences to the rules' numbers; index 0 is "no rule is broken". */
export const DEVICE_RULES: readonly string[] = [
  "",
  "reserved bits or encodings are set",
  "capabilities.ATS is 0 and tc.EN_ATS, EN_PRI or PRPR is 1",
  "tc.T2GPA is 1 without tc.EN_ATS",
  "tc.EN_PRI is 1 without tc.EN_ATS",
  "tc.PRPR is 1 without tc.EN_PRI",
  "tc.T2GPA is 1 without capabilities.T2GPA",
  "tc.T2GPA is 1 and iohgatp.MODE is Bare",
  "tc.PDTV is 1 and pdtp.MODE is not supported",
  "tc.PDTV is 0 and iosatp.MODE is not a valid encoding",
  "tc.PDTV is 0, tc.SXL is 0 and iosatp.MODE is not supported",
  "tc.PDTV is 0, tc.SXL is 1 and iosatp.MODE is not supported",
  "tc.DPE is 1 without tc.PDTV",
  "iohgatp.MODE is not a valid encoding",
  "fctl.GXL is 0 and iohgatp.MODE is not supported",
  "fctl.GXL is 1 and iohgatp.MODE is not supported",
  "msiptp.MODE is neither Off nor Flat",
  "the second stage's root is not aligned to 16 KiB",
  "tc.SADE or tc.GADE is 1 without capabilities.AMO_HWAD",
  "capabilities.END is 0 and tc.SBE differs from fctl.BE",
  "tc.SXL is not a legal value",
  "tc.SBE is not a legal value",
  "ta.RCID or ta.MCID is wider than the IOMMU supports",
  "iohgatp.MODE is Bare and msiptp.MODE is not Off",
];

export const PROCESS_RULES: readonly string[] = [
  "",
  "reserved bits or encodings are set",
  "fsc.MODE is not a valid encoding",
  "tc.SXL is 0 and fsc.MODE is not supported",
  "tc.SXL is 1 and fsc.MODE is not supported",
];

/** Where a scheme stands: how many levels it has (0: Bare), or one of the two below. */
const INVALID_MODE = -1;
const UNSUPPORTED_MODE = -2;

/**
 * Levels of a first-stage scheme.
 * @returns 0 for Bare; negative where the encoding is invalid (-1) or the IOMMU lacks the scheme (-2)
 */
export function firstStageLevels(mode: number, sxl: number, c: RiscvConfig): number {
  if (mode === MODE_BARE) return 0;
  if (sxl !== 0) return mode !== MODE_SV32 ? INVALID_MODE : c.sv32 ? 2 : UNSUPPORTED_MODE;
  if (mode === MODE_SV39) return c.sv39 ? 3 : UNSUPPORTED_MODE;
  if (mode === MODE_SV48) return c.sv48 ? 4 : UNSUPPORTED_MODE;
  if (mode === MODE_SV57) return c.sv57 ? 5 : UNSUPPORTED_MODE;
  return INVALID_MODE;
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

function processDirectorySupported(mode: number, c: RiscvConfig): boolean {
  if (mode === PDTP_BARE) return true;
  if (mode === PDTP_PD8) return c.pd8 !== 0;
  if (mode === PDTP_PD17) return c.pd17 !== 0;
  return mode === PDTP_PD20 && c.pd20 !== 0;
}

/** @returns the first broken rule's number in DEVICE_RULES, or 0 */
export function brokenDeviceRule(d: RiscvDevice, c: RiscvConfig): number {
  return brokenControlRule(d, c) || brokenStageRule(d, c) || brokenEnvironmentRule(d, c);
}

/** Rules 1 to 7: reserved bits, ATS and page requests. */
function brokenControlRule(d: RiscvDevice, c: RiscvConfig): number {
  if (d.reserved) return 1;
  if (!c.ats && (d.enAts || d.enPri || d.prpr)) return 2;
  if (!d.enAts && d.t2gpa) return 3;
  if (!d.enAts && d.enPri) return 4;
  if (!d.enPri && d.prpr) return 5;
  if (!c.t2gpa && d.t2gpa) return 6;
  if (d.t2gpa && d.secondMode === MODE_BARE) return 7;
  return 0;
}

/** Rules 8 to 17: the process directory, the two stages and the MSI page table. */
function brokenStageRule(d: RiscvDevice, c: RiscvConfig): number {
  if (d.pdtv) {
    if (!processDirectorySupported(d.fscMode, c)) return 8;
  } else {
    const levels = firstStageLevels(d.fscMode, d.sxl, c);
    if (levels === INVALID_MODE) return 9;
    if (levels === UNSUPPORTED_MODE) return d.sxl ? 11 : 10;
    if (d.dpe) return 12;
  }
  const levels = secondStageLevels(d.secondMode, c);
  if (levels === INVALID_MODE) return 13;
  if (levels === UNSUPPORTED_MODE) return c.gxl ? 15 : 14;
  if (d.msiMode !== MSIPTP_OFF && d.msiMode !== MSIPTP_FLAT) return 16;
  if (levels !== 0 && d.secondFrame % 4 !== 0) return 17;
  return 0;
}

/**
 * Rules 18 to 22, and the one after them in the text. Rule 22 has nothing to compare with: how wide RCID and MCID are
 * is in no register, so all their 12 bits are taken as supported.
 */
function brokenEnvironmentRule(d: RiscvDevice, c: RiscvConfig): number {
  if (!c.amoHwad && (d.sade || d.gade)) return 18;
  if (!c.end && d.sbe !== c.be) return 19;
  if (c.gxl ? !d.sxl : d.sxl && !c.gxlWritable) return 20;
  if (!c.beWritable && d.sbe !== c.be) return 21;
  if (d.secondMode === MODE_BARE && d.msiMode !== MSIPTP_OFF) return 23;
  return 0;
}

/**
 * @param mode fsc.MODE of a process context
 * @param reserved whether reserved bits are set in it
 * @returns the first broken rule's number in PROCESS_RULES, or 0
 */
export function brokenProcessRule(mode: number, reserved: number, sxl: number, c: RiscvConfig): number {
  if (reserved) return 1;
  const levels = firstStageLevels(mode, sxl, c);
  if (levels === INVALID_MODE) return 2;
  if (levels === UNSUPPORTED_MODE) return sxl ? 4 : 3;
  return 0;
}
