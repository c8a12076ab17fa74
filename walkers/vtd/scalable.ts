/**
 * Scalable mode: root table, context table, PASID directory, PASID table (Intel VT-d 5.10, sections 3.4.3, 9.2,
 * 9.4, 9.5 and 9.6). A bound device starts at its PASID directory.
 */
import { NO_PASID, TRANSLATED, type WalkRequest } from "../request.ts";
import type { WalkResult } from "../result.ts";
import { faultOf } from "../tables/entry-rule.ts";
import { admitsAts } from "./ats.ts";
import type { VtdCapabilities } from "./capabilities.ts";
import {
  KIND_FIRST_STAGE,
  KIND_SECOND_STAGE,
  NESTED,
  PASS_THROUGH,
  SCALABLE_CONTEXT,
  type VtdDevice,
  type VtdPasidContext,
} from "./context.ts";
import {
  SCT_1,
  SCT_2,
  SCT_5,
  SCT_6,
  SCT_9,
  SCT_10,
  SPD_1,
  SPD_2,
  SPT_1,
  SPT_2,
  SRT_1,
  SRT_2,
} from "./faults.ts";
import { noteSource, refuseEntry, refuseSource } from "./refusals.ts";
import { type RootFaults, rootHalf } from "./root-halves.ts";
import {
  brokenReservedRule,
  brokenScalableContextRule,
  EPTR_WITHOUT_PASIDE,
  ridPasidOf,
  SCALABLE_CONTEXT_RULES,
  SCALABLE_ROOT_RULES,
} from "./rules.ts";
import { brokenPasidRule, PASID_DIRECTORY_RULES, PASID_RULES } from "./rules-pasid.ts";
import { directoryPasids, PASID_TABLE_BITS } from "./sizes.ts";
import { PasidDirectoryEntry, PasidEntry, ScalableContextEntry, ScalableRootEntry } from "./structures.ts";
import { fetchEntry, hasRoomFor, useBoundStage, type VtdUnit } from "./unit.ts";

const contextPresent = ScalableContextEntry.reader("P");
const contextFpd = ScalableContextEntry.reader("FPD");
const deviceTlbEnable = ScalableContextEntry.reader("DTE");
const translatedPasidEnable = ScalableContextEntry.reader("EPTR");
const pasidEnable = ScalableContextEntry.reader("PASIDE");
const directorySize = ScalableContextEntry.reader("PDTS");
const directoryTable = ScalableContextEntry.reader("PASIDDIRPTR");
const ridPriv = ScalableContextEntry.reader("RID_PRIV");

const directoryPresent = PasidDirectoryEntry.reader("P");
const directoryFpd = PasidDirectoryEntry.reader("FPD");
const pasidTable = PasidDirectoryEntry.reader("SMPTBLPTR");

const pasidPresent = PasidEntry.reader("P");
const pasidFpd = PasidEntry.reader("FPD");
const addressWidth = PasidEntry.reader("AW");
const secondExecute = PasidEntry.reader("SSEE");
const translationType = PasidEntry.reader("PGTT");
const secondFlags = PasidEntry.reader("SSADE");
const secondTable = PasidEntry.reader("SSPTPTR");
const domain = PasidEntry.reader("DID");
const pageWalkSnoop = PasidEntry.reader("PWSNP");
const supervisor = PasidEntry.reader("SRE");
const execute = PasidEntry.reader("ERE");
const pagingMode = PasidEntry.reader("FSPM");
const writeProtect = PasidEntry.reader("WPE");
const noExecute = PasidEntry.reader("NXE");
const smep = PasidEntry.reader("SMEP");
const extendedAccessed = PasidEntry.reader("EAFE");
const firstTable = PasidEntry.reader("FSPTPTR");

const CONTEXT_SHIFT = Math.log2(ScalableContextEntry.bytes);
const DIRECTORY_SHIFT = Math.log2(PasidDirectoryEntry.bytes);
const PASID_SHIFT = Math.log2(PasidEntry.bytes);
/** Entries of a PASID directory in one 4 KiB frame. */
const DIRECTORY_FRAME_BITS = 9;

const ROOT_FAULTS: RootFaults = { fetch: SRT_1, notPresent: SRT_2, rules: SCALABLE_ROOT_RULES };

export function loadScalableDevice(
  unit: VtdUnit,
  request: WalkRequest,
  device: VtdDevice,
  out: WalkResult,
): boolean {
  const { tables, caps } = unit;
  const table = rootHalf(unit, request, ScalableRootEntry, caps.reserved.scalableRoot, ROOT_FAULTS, out);
  if (table < 0) return false;
  const function7 = request.device & 0x7f;
  if (!tables.read(ScalableContextEntry, table, function7 << CONTEXT_SHIFT))
    return refuseEntry(tables, out, SCT_1, 0);
  const { view, at } = tables;
  // FPD counts whether the entry is present or not (9.4).
  device.fpd = contextFpd(view, at);
  if (contextPresent(view, at) === 0) return refuseEntry(tables, out, SCT_2, device.fpd);
  const broken = brokenScalableContextRule(view, at, caps);
  device.translatedPasidWithoutPasid = broken === EPTR_WITHOUT_PASIDE ? 1 : 0;
  if (broken !== 0 && broken !== EPTR_WITHOUT_PASIDE)
    return refuseEntry(tables, out, faultOf(SCALABLE_CONTEXT_RULES, broken), device.fpd);
  decodeScalableContext(view, at, caps, device);
  noteSource(tables, device);
  return true;
}

export function decodeScalableContext(
  view: DataView,
  at: number,
  caps: VtdCapabilities,
  device: VtdDevice,
): void {
  device.context = SCALABLE_CONTEXT;
  device.bound = 0;
  device.pasidLimit = directoryPasids(directorySize(view, at));
  device.ridPasid = ridPasidOf(view, at, caps);
  // 9.4: without ECAP.RPRIVS, requests without PASID are unprivileged.
  device.ridPriv = caps.ridPriv ? ridPriv(view, at) : 0;
  device.pasidEnabled = pasidEnable(view, at);
  device.pasidFrame = directoryTable(view, at);
  device.domain = -1;
  device.deviceTlb = deviceTlbEnable(view, at);
  device.translatedPasid = translatedPasidEnable(view, at);
  device.secondLevels = 0;
}

/** 7.1.3, SCT.4.3 and SCT.6: what the context entry refuses whatever the PASID is. */
export function checkScalableRequest(request: WalkRequest, device: VtdDevice, out: WalkResult): boolean {
  if (request.pasid === NO_PASID && device.translatedPasidWithoutPasid !== 0)
    return refuseSource(device, out, faultOf(SCALABLE_CONTEXT_RULES, EPTR_WITHOUT_PASIDE), device.fpd);
  if (!admitsAts(request, device, SCT_5, out)) return false;
  if (request.pasid === NO_PASID) return true;
  if (request.at === TRANSLATED && device.translatedPasid === 0)
    return refuseSource(device, out, SCT_10, device.fpd);
  return device.pasidEnabled !== 0 || refuseSource(device, out, SCT_6, device.fpd);
}

export function loadScalablePasid(
  unit: VtdUnit,
  request: WalkRequest,
  device: VtdDevice,
  process: VtdPasidContext,
  out: WalkResult,
): boolean {
  const { tables, caps } = unit;
  const pasid = request.pasid === NO_PASID ? device.ridPasid : request.pasid;
  if (request.pasid !== NO_PASID && !acceptsPasid(pasid, unit, device, out)) return false;

  const below = device.bound !== 0 && device.secondLevels !== 0;
  if (below) useBoundStage(unit, device);
  const index = pasid >>> PASID_TABLE_BITS;
  const directory = device.pasidFrame + (index >>> DIRECTORY_FRAME_BITS);
  const offset = (index & ((1 << DIRECTORY_FRAME_BITS) - 1)) << DIRECTORY_SHIFT;
  if (!fetchEntry(unit, PasidDirectoryEntry, directory, offset, below, SPD_1, device.fpd, out)) return false;
  process.fpd = device.fpd | directoryFpd(tables.view, tables.at);
  if (directoryPresent(tables.view, tables.at) === 0) return refuseEntry(tables, out, SPD_2, process.fpd);
  const brokenDirectory = brokenReservedRule(tables.view, tables.at, caps.reserved.pasidDirectory);
  if (brokenDirectory !== 0)
    return refuseEntry(tables, out, faultOf(PASID_DIRECTORY_RULES, brokenDirectory), process.fpd);

  const entry = (pasid & ((1 << PASID_TABLE_BITS) - 1)) << PASID_SHIFT;
  const table = pasidTable(tables.view, tables.at);
  if (!fetchEntry(unit, PasidEntry, table, entry, below, SPT_1, process.fpd, out)) return false;
  process.fpd |= pasidFpd(tables.view, tables.at);
  if (pasidPresent(tables.view, tables.at) === 0) return refuseEntry(tables, out, SPT_2, process.fpd);
  const broken = brokenPasidRule(tables.view, tables.at, caps, below ? device.secondLevels : 0);
  if (broken !== 0) return refuseEntry(tables, out, faultOf(PASID_RULES, broken), process.fpd);
  decodePasidEntry(caps, tables.view, tables.at, device, process);
  noteSource(tables, process);
  return true;
}

/** 7.1.3, SGN.10, SCT.7 and SCT.9: the PASID of a request that has one. */
function acceptsPasid(pasid: number, unit: VtdUnit, device: VtdDevice, out: WalkResult): boolean {
  if (!hasRoomFor(pasid, unit, device, out)) return false;
  // A binding has no context entry whose RID_PASID could be taken.
  if (device.bound === 0 && pasid === device.ridPasid) return refuseSource(device, out, SCT_9, device.fpd);
  return true;
}

function decodePasidEntry(
  caps: VtdCapabilities,
  view: DataView,
  at: number,
  device: VtdDevice,
  process: VtdPasidContext,
): void {
  process.kind = translationType(view, at);
  process.domain = domain(view, at);
  process.secondRoot = secondTable(view, at);
  process.secondLevels = 2 + addressWidth(view, at);
  process.secondExecute = caps.executeRequests ? secondExecute(view, at) : 0;
  process.secondFlags = secondFlags(view, at);
  process.unsnooped = caps.snoopsOnRequest ? pageWalkSnoop(view, at) ^ 1 : 0;
  process.firstRoot = firstTable(view, at);
  process.firstLevels = 4 + pagingMode(view, at);
  process.supervisor = supervisor(view, at);
  process.execute = caps.executeRequests ? execute(view, at) : 0;
  process.writeProtect = writeProtect(view, at);
  process.noExecute = noExecute(view, at);
  process.smep = smep(view, at);
  process.extendedAccessed = extendedAccessed(view, at);
  process.global = 0;
  process.legacyFaults = 0;
  process.executeDisableReserved = 0;
  if (device.bound === 0 || device.secondLevels === 0) return;
  // Under a bound device's second stage, its first stage is nested and its pass-through is second stage alone.
  if (process.kind === KIND_SECOND_STAGE || process.kind === NESTED) return;
  if (process.kind === KIND_FIRST_STAGE) process.kind = NESTED;
  else if (process.kind === PASS_THROUGH) process.kind = KIND_SECOND_STAGE;
  process.secondRoot = device.secondRoot;
  process.secondLevels = device.secondLevels;
  process.secondExecute = 0;
  process.secondFlags = 0;
}
