import type { Fault, FaultReason } from "./fault.ts";
import { TABLE_MODELS, type TableModel } from "./models.ts";

/** Stands where nothing is walked yet. */
const SOME_MODEL = TABLE_MODELS[0]!;

/** Kinds of outcome of one walk. */
export const OK = 0;
export const FAULT = 1;
/** An interrupt-range write: not translated as memory. */
export const MSI = 2;

/** "not at a page-table level" in `WalkResult.level` (Arm has a level -1). */
export const NO_LEVEL = 127;

export type FaultClass = "" | "CD" | "TT" | "IN";

/**
 * The outcome of one walk. One object is reused for every walk: read what you need before the next one.
 * Fields that do not apply keep the value that `reset` gives them.
 */
export class WalkResult {
  status = OK;
  /** Which table format was walked. */
  model: TableModel = SOME_MODEL;
  /** Memory reads that this walk makes when nothing is cached. */
  reads = 0;

  /** The specification can be read in another way, by which the answer is another (`IommuWalker.reading`). */
  disputed = false;

  // ── OK ──
  /** Output address: 4 KiB frame number and byte offset in it. */
  frame = 0;
  offset = 0;
  /** log2 of the bytes that one TLB entry of this translation maps; 0 where no stage translated. */
  pageShift = 0;
  /**
   * log2 of the bytes that one TLB entry may map where the page's entry belongs to a group of like entries beside it
   * (Arm's Contiguous bit); 0: the page alone.
   */
  groupShift = 0;
  /** A leaf says that it stands in several entries beside each other, of which a cache may take any (NAPOT, AMD's page sizes). */
  repeated = false;
  /** READ | WRITE | EXECUTE that the whole walk grants this kind of request. */
  perm = 0;
  /** VT-d DID, AMD DomainID, Arm VMID, RISC-V GSCID; -1 where there is none. */
  domain = -1;
  /** Arm ASID, RISC-V PSCID; -1 where there is none. */
  asid = -1;
  /** No stage translated. */
  passthrough = false;
  /** All addresses of the aligned `2 ** PASSING_SHIFT` bytes around this one pass as it does. */
  passesAround = false;
  /** The translation is global: not tagged by ASID or PASID. */
  global = false;
  /**
   * Where both stages translated: frame of the first stage's output (a guest-physical address), and log2 of the
   * first stage's page. -1 and 0 otherwise.
   */
  ipaFrame = -1;
  firstShift = 0;

  // ── FAULT ──
  fault: Fault | null = null;
  /** Usually `fault.reason`; a walker may be more precise than the native code is. */
  reason: FaultReason = "UNKNOWN";
  /**
   * Another fault that is as right: two conditions meet, and the specification does not say which of them is reported.
   */
  otherFault: Fault | null = null;
  /** 1 or 2 where a page table faulted, else 0. */
  stage = 0;
  level = NO_LEVEL;
  faultClass: FaultClass = "";
  /** Where the failing entry is (frame -1: no entry) and its 64-bit value, if it could be read. */
  entryFrame = -1;
  entryOffset = 0;
  entryHi = 0;
  entryLo = 0;
  entryKnown = false;
  /** False where the specification says that this fault writes no record. */
  recorded = true;
  /** The fetch left all recorded memory. */
  hole = false;
  /** The faulting input address where it is not the request's own (a stage-2 fault's input address). */
  hasFaultAddr = false;
  faultHi = 0;
  faultLo = 0;
  /** Flag bits of the native fault record, where its specification has them (AMD event flags); -1: none. */
  flags = -1;

  /** @param model that is walked, where it is known before the walker says it */
  reset(model: TableModel = SOME_MODEL): void {
    this.status = OK;
    this.model = model;
    this.reads = 0;
    this.disputed = false;
    this.frame = 0;
    this.offset = 0;
    this.pageShift = 0;
    this.groupShift = 0;
    this.repeated = false;
    this.perm = 0;
    this.domain = -1;
    this.asid = -1;
    this.passthrough = false;
    this.passesAround = false;
    this.global = false;
    this.ipaFrame = -1;
    this.firstShift = 0;
    this.fault = null;
    this.reason = "UNKNOWN";
    this.otherFault = null;
    this.stage = 0;
    this.level = NO_LEVEL;
    this.faultClass = "";
    this.entryFrame = -1;
    this.entryOffset = 0;
    this.entryHi = 0;
    this.entryLo = 0;
    this.entryKnown = false;
    this.recorded = true;
    this.hole = false;
    this.hasFaultAddr = false;
    this.faultHi = 0;
    this.faultLo = 0;
    this.flags = -1;
  }

  /** Turns this result into a fault with no failing entry. Always returns false, so that callers can return it. */
  fail(fault: Fault, reason: FaultReason = fault.reason): false {
    this.status = FAULT;
    this.fault = fault;
    this.reason = reason;
    return false;
  }

  /** Records the input address of a fault that is not at the request's own address. */
  at(hi: number, lo: number): void {
    this.hasFaultAddr = true;
    this.faultHi = hi;
    this.faultLo = lo;
  }

  copyFrom(r: WalkResult): void {
    this.status = r.status;
    this.model = r.model;
    this.reads = r.reads;
    this.disputed = r.disputed;
    this.frame = r.frame;
    this.offset = r.offset;
    this.pageShift = r.pageShift;
    this.groupShift = r.groupShift;
    this.repeated = r.repeated;
    this.perm = r.perm;
    this.domain = r.domain;
    this.asid = r.asid;
    this.passthrough = r.passthrough;
    this.passesAround = r.passesAround;
    this.global = r.global;
    this.ipaFrame = r.ipaFrame;
    this.firstShift = r.firstShift;
    this.fault = r.fault;
    this.reason = r.reason;
    this.otherFault = r.otherFault;
    this.stage = r.stage;
    this.level = r.level;
    this.faultClass = r.faultClass;
    this.entryFrame = r.entryFrame;
    this.entryOffset = r.entryOffset;
    this.entryHi = r.entryHi;
    this.entryLo = r.entryLo;
    this.entryKnown = r.entryKnown;
    this.recorded = r.recorded;
    this.hole = r.hole;
    this.hasFaultAddr = r.hasFaultAddr;
    this.faultHi = r.faultHi;
    this.faultLo = r.faultLo;
    this.flags = r.flags;
  }
}
