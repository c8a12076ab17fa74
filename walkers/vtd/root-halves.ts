/**
 * Root entries in two halves, each with the context table of half a bus: scalable mode (Intel VT-d 5.10, 9.2) and the
 * extended mode of revisions 2.x (VT-d 2.4, 9.2), which differ in what their fields are called and in their faults.
 */
import type { Layout } from "../layout.ts";
import type { WalkRequest } from "../request.ts";
import type { WalkResult } from "../result.ts";
import { faultOf } from "../tables/entry-rule.ts";
import type { VtdFault } from "./faults.ts";
import { refuseEntry } from "./refusals.ts";
import { brokenRootHalvesRule, type VtdRules } from "./rules.ts";
import { ScalableRootEntry } from "./structures.ts";
import type { VtdUnit } from "./unit.ts";

const lowerPresent = ScalableRootEntry.reader("LP");
const lowerTable = ScalableRootEntry.reader("LCTP");
const upperPresent = ScalableRootEntry.reader("UP");
const upperTable = ScalableRootEntry.reader("UCTP");

const ROOT_SHIFT = Math.log2(ScalableRootEntry.bytes);

/** The root entry's faults, which the extended mode numbers as legacy mode does. */
export interface RootFaults {
  readonly fetch: VtdFault;
  readonly notPresent: VtdFault;
  readonly rules: VtdRules;
}

/**
 * Reads a scalable-mode (or extended) root entry.
 * @returns frame number of the context table for the device's half of the bus, or -1 with `out` filled
 */
export function rootHalf(
  unit: VtdUnit,
  request: WalkRequest,
  layout: Layout,
  reserved: Uint32Array,
  faults: RootFaults,
  out: WalkResult,
): number {
  const { tables, caps } = unit;
  const bus = (request.device >>> 8) & 0xff;
  if (!tables.read(layout, caps.rootFrame, bus << ROOT_SHIFT)) {
    refuseEntry(tables, out, faults.fetch, 0);
    return -1;
  }
  const { view, at } = tables;
  const upper = (request.device & 0x80) !== 0;
  if ((upper ? upperPresent(view, at) : lowerPresent(view, at)) === 0) {
    refuseEntry(tables, out, faults.notPresent, 0);
    return -1;
  }
  const broken = brokenRootHalvesRule(view, at, reserved);
  if (broken !== 0) {
    refuseEntry(tables, out, faultOf(faults.rules, broken), 0);
    return -1;
  }
  return upper ? upperTable(view, at) : lowerTable(view, at);
}
