/** Legacy mode: root table, context table (Intel VT-d 5.10, sections 3.4.2, 9.1 and 9.3). */
import type { WalkRequest } from "../request.ts";
import type { WalkResult } from "../result.ts";
import { faultOf } from "../tables/entry-rule.ts";
import {
  KIND_SECOND_STAGE,
  LEGACY_CONTEXT,
  PASS_THROUGH,
  type VtdDevice,
  type VtdPasidContext,
} from "./context.ts";
import { LCT_1, LCT_2, LRT_1, LRT_2 } from "./faults.ts";
import { noteSource, refuseEntry } from "./refusals.ts";
import { brokenContextRule, brokenReservedRule, CONTEXT_RULES, ROOT_RULES } from "./rules.ts";
import { ContextEntry, RootEntry, TT_DEVICE_TLB, TT_PASS_THROUGH } from "./structures.ts";
import type { VtdUnit } from "./unit.ts";

const rootPresent = RootEntry.reader("P");
const contextTable = RootEntry.reader("CTP");
const present = ContextEntry.reader("P");
const fpd = ContextEntry.reader("FPD");
const translationType = ContextEntry.reader("TT");
const secondStageTable = ContextEntry.reader("SSPTPTR");
const addressWidth = ContextEntry.reader("AW");
const domain = ContextEntry.reader("DID");

/** log2 of the entry sizes. */
const ROOT_SHIFT = Math.log2(RootEntry.bytes);
const CONTEXT_SHIFT = Math.log2(ContextEntry.bytes);

export function loadLegacyDevice(
  unit: VtdUnit,
  request: WalkRequest,
  device: VtdDevice,
  out: WalkResult,
): boolean {
  const { tables, caps } = unit;
  const bus = (request.device >>> 8) & 0xff;
  if (!tables.read(RootEntry, caps.rootFrame, bus << ROOT_SHIFT)) return refuseEntry(tables, out, LRT_1, 0);
  if (rootPresent(tables.view, tables.at) === 0) return refuseEntry(tables, out, LRT_2, 0);
  const brokenRoot = brokenReservedRule(tables.view, tables.at, caps.reserved.root);
  if (brokenRoot !== 0) return refuseEntry(tables, out, faultOf(ROOT_RULES, brokenRoot), 0);

  const function8 = request.device & 0xff;
  const table = contextTable(tables.view, tables.at);
  if (!tables.read(ContextEntry, table, function8 << CONTEXT_SHIFT))
    return refuseEntry(tables, out, LCT_1, 0);
  const { view, at } = tables;
  device.context = LEGACY_CONTEXT;
  device.bound = 0;
  // FPD counts whether the entry is present or not (9.3).
  device.fpd = fpd(view, at);
  if (present(view, at) === 0) return refuseEntry(tables, out, LCT_2, device.fpd);
  const broken = brokenContextRule(view, at, caps);
  if (broken !== 0) return refuseEntry(tables, out, faultOf(CONTEXT_RULES, broken), device.fpd);

  const type = translationType(view, at);
  device.kind = type === TT_PASS_THROUGH ? PASS_THROUGH : KIND_SECOND_STAGE;
  device.domain = domain(view, at);
  device.deviceTlb = type === TT_DEVICE_TLB ? 1 : 0;
  device.translatedPasid = 0;
  device.secondRoot = secondStageTable(view, at);
  device.secondLevels = 2 + addressWidth(view, at);
  device.ridPriv = 0;
  noteSource(tables, device);
  return true;
}

/** There are no PASIDs: the context entry says it all. Also the extended mode's requests without PASID. */
export function loadWithoutPasid(device: VtdDevice, process: VtdPasidContext): void {
  process.copySource(device);
  process.kind = device.kind;
  process.fpd = device.fpd;
  process.domain = device.domain;
  process.secondRoot = device.secondRoot;
  process.secondLevels = device.secondLevels;
  process.secondExecute = 0;
  process.secondFlags = 0;
  process.unsnooped = 0;
  process.supervisor = 0;
  process.execute = 0;
  process.global = 0;
  process.legacyFaults = 1;
}
