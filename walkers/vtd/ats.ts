/** Translation requests and translated requests of devices with ATS (Intel VT-d 5.10, sections 4 and 7.1.3). */
import { INTERRUPT_END, INTERRUPT_FIRST } from "../interrupt-range.ts";
import { frameOf } from "../memory.ts";
import { exceeds } from "../page-tables/vtd-second-stage.ts";
import { TRANSLATION_REQUEST, UNTRANSLATED, type WalkRequest } from "../request.ts";
import type { WalkResult } from "../result.ts";
import { SCALABLE_CONTEXT, type VtdDevice } from "./context.ts";
import {
  EXT_ERE,
  EXT_EXECUTE,
  EXT_SRE,
  LGN_1_1,
  LGN_1_2,
  LGN_2,
  LGN_3,
  LGN_4,
  SFS_1,
  SFS_2,
  SFS_3,
  SFS_4,
  SFS_5,
  SFS_6,
  SFS_7,
  SFS_8,
  SFS_9,
  SGN_1,
  SGN_2,
  SGN_3,
  SGN_4_1,
  SGN_4_2,
  SGN_5,
  SGN_6,
  SGN_7,
  SGN_8_3,
  SPD_2,
  SPT_2,
  SPT_5,
  SPT_6,
  SSS_2,
  type VtdFault,
} from "./faults.ts";
import { refuse, refuseSource } from "./refusals.ts";
import { identity } from "./translate.ts";
import type { VtdUnit } from "./unit.ts";

/** Whether the context entry lets a device make requests of ATS; of a bound one its host has seen to that. */
export function admitsAts(
  request: WalkRequest,
  device: VtdDevice,
  fault: VtdFault,
  out: WalkResult,
): boolean {
  if (request.at === UNTRANSLATED || device.bound !== 0 || device.deviceTlb !== 0) return true;
  return refuseSource(device, out, fault, device.fpd);
}

/** A translated request passes: only where it leads is looked at. */
export function passTranslated(
  unit: VtdUnit,
  request: WalkRequest,
  device: VtdDevice,
  out: WalkResult,
): void {
  const scalable = device.context === SCALABLE_CONTEXT;
  if (exceeds(request.addrHi, request.addrLo, unit.caps.hostWidth)) {
    refuse(out, scalable ? SGN_4_1 : LGN_1_2, device.fpd);
    return;
  }
  const frame = frameOf(request.addrHi, request.addrLo);
  if (frame >= INTERRUPT_FIRST && frame < INTERRUPT_END) refuse(out, scalable ? SGN_8_3 : LGN_4, device.fpd);
  else identity(request, out);
}

/**
 * 7.1.2, and the columns of translation requests in Table 30: what is told by a successful completion that grants less than
 * was asked for, or nothing, is no fault for software. Extended mode: VT-d 2.5, 7.2.2.
 */
const RECOVERABLE: ReadonlySet<unknown> = new Set<VtdFault>([
  ...[LGN_1_1, LGN_2, LGN_3],
  ...[SPD_2, SPT_2, SPT_5, SPT_6],
  ...[SFS_1, SFS_2, SFS_3, SFS_4, SFS_5, SFS_6, SFS_7, SFS_8, SFS_9],
  ...[SSS_2, SGN_1, SGN_2, SGN_3, SGN_4_2, SGN_5, SGN_6, SGN_7],
  ...[EXT_EXECUTE, EXT_ERE, EXT_SRE],
]);

/** Whether a fault of a request of ATS is recorded. */
export function logsAts(at: number, { fault }: WalkResult): boolean {
  return at !== TRANSLATION_REQUEST || !RECOVERABLE.has(fault);
}
