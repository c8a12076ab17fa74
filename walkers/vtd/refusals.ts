/** How a walk ends with a fault (Intel VT-d 5.10, 7.1): whether it is recorded, and which entry is to blame. */
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { EntrySource } from "./context.ts";
import type { VtdFault } from "./faults.ts";

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
