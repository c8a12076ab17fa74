import { frameHi, frameLo } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import { MAX_PASID_BITS, READ } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { DeviceContext, PasidContext } from "./context.ts";
import { Gcr3Entry } from "./device-table-entry.ts";
import type { EventReporter } from "./event-reporter.ts";
import type { HostStage } from "./host-stage.ts";

const V = Gcr3Entry.mask.V.lo;
const GCR3_HI = Gcr3Entry.mask.GCR3.hi;
/** Bits of a PASID that one level indexes. */
export const PASID_BITS_PER_LEVEL = 9;
const INDEX_MASK = (1 << PASID_BITS_PER_LEVEL) - 1;

/** Largest PASID plus one that a guest CR3 table of `glx` + 1 levels can hold. */
export function gcr3TableLimit(glx: number): number {
  return 2 ** Math.min(PASID_BITS_PER_LEVEL * (glx + 1), MAX_PASID_BITS);
}

/**
 * Finds the guest page tables of a PASID (2.2.6): a radix tree of GLX + 1 levels, nine bits of the PASID each.
 * Its entries hold GPAs; its root is one where GCR3TRPMode says so.
 *
 * @param host null where GPAs are SPAs (Mode 0)
 */
export function loadGcr3(
  tables: TableReader,
  events: EventReporter,
  device: DeviceContext,
  pasid: number,
  host: HostStage | null,
  process: PasidContext,
  out: WalkResult,
): boolean {
  let table = device.gcr3Root;
  let guestPhysical = device.gcr3RootGuest !== 0;
  for (let level = device.glx; level >= 0; level--) {
    const offset = ((pasid >>> (PASID_BITS_PER_LEVEL * level)) & INDEX_MASK) * Gcr3Entry.bytes;
    if (host !== null && guestPhysical) {
      if (!host.translate(frameHi(table), frameLo(table) | offset, READ, FOR_CONTEXT, out)) return false;
      table = host.frame;
    }
    if (!tables.read(Gcr3Entry, table, offset)) return events.unreadable(out, "PASID_FETCH");
    if ((tables.lo & V) === 0) {
      tables.blame(out);
      return events.pageFault(out, 0, "PASID_INVALID");
    }
    table = (tables.hi & GCR3_HI) * 0x10_0000 + (tables.lo >>> 12);
    guestPhysical = true;
  }
  process.root = table;
  return true;
}
