/**
 * The last step of a walk: privilege and execution checks of the PASID entry, first stage, second stage, interrupt
 * address range (Intel VT-d 5.10, sections 3.6 to 3.9, 3.15 and 7.1.3).
 */
import { INTERRUPT_END, INTERRUPT_FIRST } from "../interrupt-range.ts";
import { FRAME_MASK, frameHi, frameLo, frameOf } from "../memory.ts";
import {
  ADDRESS_SIZE,
  FETCH_FAILED,
  FLAG_UPDATE,
  FOR_DATA,
  NOT_PRESENT,
  OUT_OF_RANGE,
  SECOND_STAGE_FAULT,
  WALKED,
} from "../page-tables/stage.ts";
import { exceeds } from "../page-tables/vtd-second-stage.ts";
import { X86Entry, type X8664Walk } from "../page-tables/x86-64.ts";
import { EXECUTE, NO_PASID, READ, type WalkRequest, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import {
  EXTENDED_CONTEXT,
  KIND_SECOND_STAGE,
  NESTED,
  PASS_THROUGH,
  type VtdDevice,
  type VtdPasidContext,
} from "./context.ts";
import {
  EXT_ERE,
  EXT_EXECUTE,
  EXT_SRE,
  LGN_1_3,
  LGN_2,
  LGN_4,
  SFS_1,
  SFS_2,
  SFS_3,
  SFS_4,
  SFS_6,
  SFS_7,
  SFS_8,
  SFS_9,
  SGN_1,
  SGN_2,
  SGN_3,
  SGN_4_2,
  SGN_6,
  SGN_8_1,
  SPT_5,
  SPT_6,
  type VtdFault,
} from "./faults.ts";
import { refuse, refuseEntry, refuseSource } from "./refusals.ts";
import type { VtdUnit } from "./unit.ts";

const A = X86Entry.mask.A.lo;
const EA = X86Entry.mask.EA.lo;
const XD = X86Entry.mask.XD.hi;
const ALL_RIGHTS = READ | WRITE | EXECUTE;

export interface TranslateUnit extends VtdUnit {
  readonly first: X8664Walk;
  /** Bits 63:32 that are reserved in first-stage entries whatever the PASID entry says. */
  readonly firstReservedHi: number;
}

/** The kind of access: execution is asked for only in requests with PASID (5.10, 9.4, RID_PASID). */
function accessOf(request: WalkRequest): number {
  return request.access === EXECUTE && request.pasid === NO_PASID ? READ : request.access;
}

export function translate(
  unit: TranslateUnit,
  request: WalkRequest,
  device: VtdDevice,
  process: VtdPasidContext,
  out: WalkResult,
): void {
  out.domain = process.domain;
  const access = accessOf(request);
  const privileged = request.pasid === NO_PASID ? device.ridPriv !== 0 : request.priv;
  const extended = device.context === EXTENDED_CONTEXT;
  if (access === EXECUTE && process.execute === 0) {
    refuseSource(process, out, extended ? EXT_ERE : SPT_5, process.fpd);
    return;
  }
  if (privileged && process.supervisor === 0) {
    refuseSource(process, out, extended ? EXT_SRE : SPT_6, process.fpd);
    return;
  }
  switch (process.kind) {
    case PASS_THROUGH:
      passThrough(unit, request, process, out);
      return;
    case KIND_SECOND_STAGE:
      secondStage(unit, request, access, process, out);
      return;
    default:
      firstStage(unit, request, access, privileged, process, out);
  }
}

/** 3.9: the address is checked against the host address width and is the output. */
function passThrough(unit: VtdUnit, request: WalkRequest, process: VtdPasidContext, out: WalkResult): void {
  if (exceeds(request.addrHi, request.addrLo, unit.caps.hostWidth)) {
    refuse(out, process.legacyFaults !== 0 ? LGN_1_3 : SGN_4_2, process.fpd);
    return;
  }
  const frame = frameOf(request.addrHi, request.addrLo);
  if (!reachesMemory(frame, process, out)) return;
  identity(request, out);
}

/** The output is the input. */
export function identity(request: WalkRequest, out: WalkResult): void {
  out.frame = frameOf(request.addrHi, request.addrLo);
  out.offset = request.addrLo & FRAME_MASK;
  out.perm = ALL_RIGHTS;
  out.passthrough = true;
  out.passesAround = true;
}

function useSecondStage(unit: VtdUnit, process: VtdPasidContext): void {
  const levels = process.secondLevels;
  unit.second.use(
    process.secondRoot,
    levels,
    unit.caps.secondStageWidth(levels),
    process.legacyFaults,
    process.secondExecute,
    process.secondFlags,
    process.unsnooped,
    process.fpd,
  );
}

/** 3.7: the second stage alone. */
function secondStage(
  unit: VtdUnit,
  request: WalkRequest,
  access: number,
  process: VtdPasidContext,
  out: WalkResult,
): void {
  const { second } = unit;
  useSecondStage(unit, process);
  if (!second.translateRequest(request.addrHi, request.addrLo, access, out)) return;
  if (!reachesMemory(second.frame, process, out)) return;
  out.frame = second.frame;
  out.offset = request.addrLo & FRAME_MASK;
  out.pageShift = second.pageShift;
  out.perm = second.perm & (process.execute !== 0 && request.pasid !== NO_PASID ? ALL_RIGHTS : READ | WRITE);
}

/** 3.6 and 3.8: the first stage, alone or nested. */
function firstStage(
  unit: TranslateUnit,
  request: WalkRequest,
  access: number,
  privileged: boolean,
  process: VtdPasidContext,
  out: WalkResult,
): void {
  const { tables, first, second, caps } = unit;
  const nested = process.kind === NESTED;
  first.reservedHi = unit.firstReservedHi | (process.executeDisableReserved !== 0 ? XD : 0);
  first.usedFlags = process.extendedAccessed !== 0 ? A | EA : A;
  // 3.10: a flag in an entry that is not snooped is not set: the request faults.
  first.updatesFlags = caps.updatesFlags && process.unsnooped === 0;
  first.frameLimit = Number.POSITIVE_INFINITY;
  if (nested) {
    useSecondStage(unit, process);
    first.frameLimit = caps.secondStageFrames(process.secondLevels);
  }
  const { addrHi, addrLo } = request;
  const levels = process.firstLevels;
  const status = first.walk(tables, process.firstRoot, levels, addrHi, addrLo, nested ? second : null, out);
  if (status !== WALKED) {
    firstStageFault(unit, status, levels, process, out);
    return;
  }
  const perm = firstStageRights(first, privileged, request.pasid !== NO_PASID, process);
  if (!permits(unit, access, privileged, perm, process, out)) return;
  if (!updatesDirty(unit, access, process, out)) return;

  let frame = first.frame;
  out.pageShift = first.pageShift;
  // Of what a read maps, a write is refused where its flag cannot be set.
  out.perm = canBeDirty(first) ? perm : perm & ~WRITE;
  if (nested) {
    out.ipaFrame = frame;
    out.firstShift = first.pageShift;
    const lo = frameLo(frame) | (addrLo & FRAME_MASK);
    if (!second.translate(frameHi(frame), lo, access, FOR_DATA, out)) return;
    frame = second.frame;
    out.pageShift = Math.min(first.pageShift, second.pageShift);
    out.perm &= second.perm;
  }
  if (!reachesMemory(frame, process, out)) return;
  out.frame = frame;
  out.offset = addrLo & FRAME_MASK;
  // G means something only in the extended mode, under PGE; scalable mode ignores it (9.7).
  out.global = process.global !== 0 && first.global;
}

/** 7.1.3, SFS and SGN.1: why a first-stage walk ended before its leaf. */
function firstStageFault(
  unit: TranslateUnit,
  status: number,
  levels: number,
  process: VtdPasidContext,
  out: WalkResult,
): void {
  const { tables, first, second } = unit;
  const top = first.level === levels;
  if (status === SECOND_STAGE_FAULT) {
    // The second stage cannot know which table it was asked for (SFS.6 and SFS.7).
    if (top && out.fault === SFS_7) out.fail(SFS_6);
    return;
  }
  out.stage = 1;
  if (status === OUT_OF_RANGE) {
    refuse(out, SGN_1, process.fpd);
    return;
  }
  out.level = first.level;
  let fault: VtdFault = SFS_3;
  if (status === FETCH_FAILED) fault = top ? SFS_4 : SFS_1;
  else if (status === NOT_PRESENT) fault = SFS_2;
  else if (status === ADDRESS_SIZE) fault = second.faults.tableRange;
  else if (status === FLAG_UPDATE) fault = updateFault(unit, process);
  refuseEntry(tables, out, fault, process.fpd);
}

/** A flag has to be set: either hardware does not do it, or the second stage forbids it. */
function updateFault(unit: TranslateUnit, process: VtdPasidContext): VtdFault {
  if (!unit.first.updatesFlags) return SFS_9;
  return process.legacyFaults !== 0 ? LGN_2 : SFS_8;
}

/** 3.6.1 (4.0 for execution): what the accumulated rights permit to a request of this privilege. */
function firstStageRights(
  first: X8664Walk,
  privileged: boolean,
  withPasid: boolean,
  process: VtdPasidContext,
): number {
  let perm = privileged || first.user ? READ : 0;
  if (privileged ? first.writable || process.writeProtect === 0 : first.writable && first.user) perm |= WRITE;
  if (!withPasid || process.execute === 0 || perm === 0) return perm;
  if (process.noExecute !== 0 && first.executeDisable) return perm;
  if (privileged && process.smep !== 0 && first.user) return perm;
  return perm | EXECUTE;
}

function permits(
  unit: TranslateUnit,
  access: number,
  privileged: boolean,
  perm: number,
  process: VtdPasidContext,
  out: WalkResult,
): boolean {
  if ((perm & access) === access) return true;
  const { tables, first } = unit;
  let fault: VtdFault;
  if (!privileged && !first.user) {
    fault = SGN_2;
    first.blame(tables, "US");
  } else if (access === EXECUTE) {
    fault = process.legacyFaults !== 0 ? EXT_EXECUTE : SGN_3;
    if (first.executeDisable) first.blame(tables, "XD");
  } else {
    fault = SGN_6;
    first.blame(tables, "RW");
  }
  out.stage = 1;
  out.level = first.level;
  return refuseEntry(tables, out, fault, process.fpd);
}

/** 3.6.2: a write sets the leaf's Dirty flag. */
function updatesDirty(
  unit: TranslateUnit,
  access: number,
  process: VtdPasidContext,
  out: WalkResult,
): boolean {
  const { tables, first } = unit;
  if ((access & WRITE) === 0 || canBeDirty(first)) return true;
  out.stage = 1;
  out.level = first.level;
  return refuseEntry(tables, out, updateFault(unit, process), process.fpd);
}

function canBeDirty({ dirty, leafUpdatable }: X8664Walk): boolean {
  return dirty || leafUpdatable;
}

/** 3.15: a request may not come out in the interrupt address range. */
function reachesMemory(frame: number, process: VtdPasidContext, out: WalkResult): boolean {
  if (frame < INTERRUPT_FIRST || frame >= INTERRUPT_END) return true;
  return refuse(out, process.legacyFaults !== 0 ? LGN_4 : SGN_8_1, process.fpd);
}
