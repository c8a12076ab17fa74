import type { Layout } from "../layout.ts";
import { frameHi, frameLo } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import { READ } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { VtdCapabilities } from "./capabilities.ts";
import { type EntrySource, SCALABLE_CONTEXT, type VtdDevice } from "./context.ts";
import type { VtdFault } from "./faults.ts";
import type { VtdSecondStage } from "./second-stage.ts";

/** What the steps of a walk share: the reader of tables, the unit's setup, and its second stage. */
export interface VtdUnit {
  readonly tables: TableReader;
  readonly caps: VtdCapabilities;
  readonly second: VtdSecondStage;
}

/**
 * Ends a walk with a fault that no table entry is to blame for.
 * @param fpd whether FPD was set in an entry on the way (VT-d 5.10, 7.1.1)
 */
export function refuse(out: WalkResult, fault: VtdFault, fpd: number): false {
  if (fpd !== 0 && fault.qualified) out.recorded = false;
  return out.fail(fault);
}

/** As `refuse`; the entry read last is to blame. */
export function refuseEntry(tables: TableReader, out: WalkResult, fault: VtdFault, fpd: number): false {
  tables.blame(out);
  return refuse(out, fault, fpd);
}

/** As `refuse`; an entry that was decoded in an earlier step is to blame. */
export function refuseSource(source: EntrySource, out: WalkResult, fault: VtdFault, fpd: number): false {
  if (source.entryFrame >= 0) {
    out.entryFrame = source.entryFrame;
    out.entryOffset = source.entryOffset;
    out.entryHi = source.entryHi;
    out.entryLo = source.entryLo;
    out.entryKnown = true;
  }
  return refuse(out, fault, fpd);
}

/** Remembers the entry read last as where a context comes from. */
export function noteSource(tables: TableReader, source: EntrySource): void {
  source.entryFrame = tables.frame;
  source.entryOffset = tables.offset;
  source.entryHi = tables.hi;
  source.entryLo = tables.lo;
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
