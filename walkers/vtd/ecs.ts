/**
 * The extended mode of VT-d revisions 2.0 to 2.5: extended root and context entries, and a flat table of 8-byte
 * PASID entries (VT-d 2.4, sections 3.4, 3.6, 3.8, 9.2, 9.4, 9.5). Requests without PASID undergo the second
 * level alone, or none; requests with PASID the first level, nested in the second where NESTE says so, and then
 * the PASID entry is fetched through it too (3.8).
 *
 * Fault reasons: root and context tables and the second level have those of legacy mode, which the revisions 2.x
 * gave them, and execution and privilege their own (18h to 1Ah). Conditions of the PASID table and of the first
 * level are reported by the reasons that revision 3.0 gave the same conditions.
 */
import { NO_PASID, type WalkRequest } from "../request.ts";
import type { WalkResult } from "../result.ts";
import { faultOf } from "../tables/entry-rule.ts";
import {
  EXTENDED_CONTEXT,
  KIND_FIRST_STAGE,
  KIND_SECOND_STAGE,
  NESTED,
  PASS_THROUGH,
  type VtdDevice,
  type VtdPasidContext,
} from "./context.ts";
import {
  allowsDeviceTlb,
  EXT_HOST,
  EXT_HOST_DEVICE_TLB,
  EXT_PASS_THROUGH,
  ExtendedContextEntry,
  ExtendedPasidEntry,
  ExtendedRootEntry,
} from "./ecs-structures.ts";
import { LCT_1, LCT_2, LRT_1, LRT_2, SCT_6, SPT_1, SPT_2 } from "./faults.ts";
import { loadWithoutPasid } from "./legacy.ts";
import { noteSource, refuseEntry, refuseSource } from "./refusals.ts";
import { type RootFaults, rootHalf } from "./root-halves.ts";
import { brokenExtendedContextRule, EXTENDED_CONTEXT_RULES, EXTENDED_ROOT_RULES } from "./rules.ts";
import { brokenExtendedPasidRule, EXTENDED_PASID_RULES } from "./rules-pasid.ts";
import { tablePasids } from "./sizes.ts";
import { fetchEntry, hasRoomFor, useBoundStage, type VtdUnit } from "./unit.ts";

const present = ExtendedContextEntry.reader("P");
const fpd = ExtendedContextEntry.reader("FPD");
const translationType = ExtendedContextEntry.reader("T");
const nestingEnable = ExtendedContextEntry.reader("NESTE");
const pasidEnable = ExtendedContextEntry.reader("PASIDE");
const secondTable = ExtendedContextEntry.reader("SLPTPTR");
const addressWidth = ExtendedContextEntry.reader("AW");
const globalEnable = ExtendedContextEntry.reader("PGE");
const noExecute = ExtendedContextEntry.reader("NXE");
const writeProtect = ExtendedContextEntry.reader("WPE");
const domain = ExtendedContextEntry.reader("DID");
const smep = ExtendedContextEntry.reader("SMEP");
const extendedAccessed = ExtendedContextEntry.reader("EAFE");
const execute = ExtendedContextEntry.reader("ERE");
const secondExecute = ExtendedContextEntry.reader("SLEE");
const tableSize = ExtendedContextEntry.reader("PTS");
const pasidTable = ExtendedContextEntry.reader("PASIDPTR");

const pasidPresent = ExtendedPasidEntry.reader("P");
const pagingMode = ExtendedPasidEntry.reader("FLPM");
const supervisor = ExtendedPasidEntry.reader("SRE");
const firstTable = ExtendedPasidEntry.reader("FLPTPTR");

const CONTEXT_SHIFT = Math.log2(ExtendedContextEntry.bytes);
const PASID_SHIFT = Math.log2(ExtendedPasidEntry.bytes);
/** PASID entries in one 4 KiB frame. */
const TABLE_FRAME_BITS = 9;

const ROOT_FAULTS: RootFaults = { fetch: LRT_1, notPresent: LRT_2, rules: EXTENDED_ROOT_RULES };

export function loadExtendedDevice(
  unit: VtdUnit,
  request: WalkRequest,
  device: VtdDevice,
  out: WalkResult,
): boolean {
  const { tables, caps } = unit;
  const table = rootHalf(unit, request, ExtendedRootEntry, caps.reserved.extendedRoot, ROOT_FAULTS, out);
  if (table < 0) return false;
  const function7 = request.device & 0x7f;
  if (!tables.read(ExtendedContextEntry, table, function7 << CONTEXT_SHIFT))
    return refuseEntry(tables, out, LCT_1, 0);
  const { view, at } = tables;
  device.fpd = fpd(view, at);
  if (present(view, at) === 0) return refuseEntry(tables, out, LCT_2, device.fpd);
  const broken = brokenExtendedContextRule(view, at, caps);
  if (broken !== 0) return refuseEntry(tables, out, faultOf(EXTENDED_CONTEXT_RULES, broken), device.fpd);
  decodeExtendedContext(view, at, device);
  noteSource(tables, device);
  return true;
}

export function decodeExtendedContext(view: DataView, at: number, device: VtdDevice): void {
  const type = translationType(view, at);
  device.context = EXTENDED_CONTEXT;
  device.bound = 0;
  device.kind = type === EXT_HOST || type === EXT_HOST_DEVICE_TLB ? KIND_SECOND_STAGE : PASS_THROUGH;
  // Plain pass-through blocks requests with PASID, whatever PASIDE says.
  device.pasidEnabled = type === EXT_PASS_THROUGH ? 0 : pasidEnable(view, at);
  device.domain = domain(view, at);
  device.deviceTlb = allowsDeviceTlb(type) ? 1 : 0;
  device.translatedPasid = 0;
  device.secondRoot = secondTable(view, at);
  device.secondLevels = 2 + addressWidth(view, at);
  device.pasidFrame = pasidTable(view, at);
  device.pasidLimit = tablePasids(tableSize(view, at));
  device.ridPriv = 0;
  device.nested = nestingEnable(view, at);
  device.global = globalEnable(view, at);
  device.noExecute = noExecute(view, at);
  device.writeProtect = writeProtect(view, at);
  device.smep = smep(view, at);
  device.execute = execute(view, at);
  device.extendedAccessed = extendedAccessed(view, at);
  device.secondExecute = secondExecute(view, at);
}

/** Requests with PASID: blocked by T or PASIDE. */
export function checkExtendedRequest(request: WalkRequest, device: VtdDevice, out: WalkResult): boolean {
  return (
    request.pasid === NO_PASID || device.pasidEnabled !== 0 || refuseSource(device, out, SCT_6, device.fpd)
  );
}

export function loadExtendedPasid(
  unit: VtdUnit,
  request: WalkRequest,
  device: VtdDevice,
  process: VtdPasidContext,
  out: WalkResult,
): boolean {
  if (request.pasid === NO_PASID) {
    loadWithoutPasid(device, process);
    return true;
  }
  const { tables, caps } = unit;
  const pasid = request.pasid;
  if (!hasRoomFor(pasid, unit, device, out)) return false;

  const nested = device.nested !== 0;
  if (nested) useBoundStage(unit, device);
  const frame = device.pasidFrame + (pasid >>> TABLE_FRAME_BITS);
  const offset = (pasid & ((1 << TABLE_FRAME_BITS) - 1)) << PASID_SHIFT;
  if (!fetchEntry(unit, ExtendedPasidEntry, frame, offset, nested, SPT_1, device.fpd, out)) return false;
  const { view, at } = tables;
  if (pasidPresent(view, at) === 0) return refuseEntry(tables, out, SPT_2, device.fpd);
  const broken = brokenExtendedPasidRule(view, at, caps);
  if (broken !== 0) return refuseEntry(tables, out, faultOf(EXTENDED_PASID_RULES, broken), device.fpd);

  process.kind = nested ? NESTED : KIND_FIRST_STAGE;
  process.fpd = device.fpd;
  process.domain = device.domain;
  process.secondRoot = device.secondRoot;
  process.secondLevels = device.secondLevels;
  process.secondExecute = device.secondExecute;
  process.secondFlags = 0;
  process.unsnooped = 0;
  process.firstRoot = firstTable(view, at);
  process.firstLevels = 4 + pagingMode(view, at);
  process.supervisor = supervisor(view, at);
  process.execute = device.execute;
  process.writeProtect = device.writeProtect;
  process.noExecute = device.noExecute;
  process.smep = device.smep;
  process.extendedAccessed = device.extendedAccessed;
  process.global = device.global;
  process.legacyFaults = 1;
  // 2.4, 3.6: XD is reserved unless NXE is set; revision 4.1 made it ignored.
  process.executeDisableReserved = device.noExecute ^ 1;
  noteSource(tables, process);
  return true;
}
