/** Translation requests and translated requests of devices with ATS (Intel VT-d 5.10, sections 4 and 7.1.3). */
import { INTERRUPT_END, INTERRUPT_FIRST } from "../interrupt-range.ts";
import { frameOf } from "../memory.ts";
import { exceeds } from "../page-tables/vtd-second-stage.ts";
import { TRANSLATION_REQUEST, UNTRANSLATED, type WalkRequest } from "../request.ts";
import type { WalkResult } from "../result.ts";
import { SCALABLE_CONTEXT, type VtdDevice } from "./context.ts";
import { LGN_1_2, LGN_4, SGN_4_1, SGN_8_3, type VtdFault } from "./faults.ts";
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

/** What a completion tells (nothing is mapped, or no right is granted) has no record. */
export function logsAts(at: number, { reason }: WalkResult): boolean {
  return at !== TRANSLATION_REQUEST || (reason !== "PTE_FETCH" && reason !== "PERMISSION");
}
