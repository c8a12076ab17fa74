import type { Layout } from "../layout.ts";
import { frameHi, frameLo } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import { READ } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { VtdCapabilities } from "./capabilities.ts";
import { SCALABLE_CONTEXT, type VtdDevice } from "./context.ts";
import { SCT_7, SGN_10, type VtdFault } from "./faults.ts";
import { refuseEntry, refuseSource } from "./refusals.ts";
import type { VtdSecondStage } from "./second-stage.ts";

/** What the steps of a walk share: the reader of tables, the unit's setup, and its second stage. */
export interface VtdUnit {
  readonly tables: TableReader;
  readonly caps: VtdCapabilities;
  readonly second: VtdSecondStage;
}

/** 7.1.3, SGN.10 and SCT.7: a request's PASID, against what the unit takes and what its table holds. */
export function hasRoomFor(pasid: number, { caps }: VtdUnit, device: VtdDevice, out: WalkResult): boolean {
  if (pasid >= caps.pasidLimit) return refuseSource(device, out, SGN_10, device.fpd);
  return pasid < device.pasidLimit || refuseSource(device, out, SCT_7, device.fpd);
}

/** The second stage under a bound device's tables. */
export function useBoundStage(unit: VtdUnit, device: VtdDevice): void {
  const width = unit.caps.secondStageWidth(device.secondLevels);
  const legacyFaults = device.context === SCALABLE_CONTEXT ? 0 : 1;
  unit.second.use(device.secondRoot, device.secondLevels, width, legacyFaults, 0, 0, 0, device.fpd);
}

/** Reads a PASID structure, where `below` says so at a guest-physical address. */
export function fetchEntry(
  unit: VtdUnit,
  layout: Layout,
  frame: number,
  offset: number,
  below: boolean,
  fault: VtdFault,
  fpd: number,
  out: WalkResult,
): boolean {
  const { tables, second } = unit;
  let host = frame;
  if (below) {
    if (!second.translate(frameHi(frame), frameLo(frame) | offset, READ, FOR_CONTEXT, out)) return false;
    host = second.frame;
  }
  return tables.read(layout, host, offset) || refuseEntry(tables, out, fault, fpd);
}
