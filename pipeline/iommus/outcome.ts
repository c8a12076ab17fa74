import type { Fault, FaultReason } from "../../walkers/fault.ts";
import { TABLE_MODELS } from "../../walkers/models.ts";
import { type FaultClass, NO_LEVEL, OK, type WalkResult } from "../../walkers/result.ts";

/** How an outcome compares with what was observed; the names of the trace contract. */
export const VERDICTS = [
  "match",
  "stale",
  "stale-after-invalidation",
  "unflushed",
  "mismatch",
  "hazard",
  "unknown",
  "not-modelled",
] as const;
/** A name of `VERDICTS`. */
export type Verdict = (typeof VERDICTS)[number];

/** What differs first in a mismatch, from the coarsest to the finest. */
export const DIFFERENCES = ["result", "pa", "code", "record"] as const;
/** A name of `DIFFERENCES`. */
export type Difference = (typeof DIFFERENCES)[number];

/**
 * What a whole DMA request comes to: the walks of all its pages, merged. Reused from record to record.
 */
export class Outcome {
  status = OK;
  model = TABLE_MODELS[0]!;
  reads = 0;
  /** As in WalkResult, of any page. */
  disputed = false;
  /** A page that stands in several entries was taken from one of them for bytes that others have as well (`WalkResult.repeated`). */
  sharesEntry = false;
  /** By another reading of the specification, as right: OK, FAULT or MSI; -1: it is the same, or none is known. */
  otherStatus = -1;

  // ── ok: the physical runs, in order; one unless the request crosses pages into several ──
  runs = 0;
  readonly runFrame: number[] = [];
  readonly runOffset: number[] = [];
  readonly runBytes: number[] = [];
  /** log2 of the smallest page of the request; 0 where nothing was translated. */
  pageShift = 0;
  /** Rights that all pages grant. */
  perm = 0;
  domain = -1;
  asid = -1;
  passthrough = false;

  // ── fault: as in WalkResult ──
  fault: Fault | null = null;
  reason: FaultReason = "UNKNOWN";
  otherFault: Fault | null = null;
  stage = 0;
  level = NO_LEVEL;
  faultClass: FaultClass = "";
  entryFrame = -1;
  entryOffset = 0;
  entryKnown = false;
  entryHi = 0;
  entryLo = 0;
  recorded = true;
  hole = false;
  hasFaultAddr = false;
  faultHi = 0;
  faultLo = 0;
  flags = -1;

  verdict: Verdict | "" = "";
  difference: Difference | "" = "";
  /** The answer is right, and an old entry that nothing has invalidated could have given another. */
  latent = false;
  /** Line of the write that a stale answer does not know of; 0 where there is none, or it is not known. */
  changedLine = 0;

  /** Starts a request: the first page's walk. */
  begin(walk: WalkResult): void {
    this.status = walk.status;
    this.model = walk.model;
    this.reads = walk.reads;
    this.disputed = walk.disputed;
    this.sharesEntry = false;
    this.otherStatus = -1;
    this.runs = 0;
    this.pageShift = walk.pageShift;
    this.perm = walk.perm;
    this.domain = walk.domain;
    this.asid = walk.asid;
    this.passthrough = walk.passthrough;
    this.verdict = "";
    this.difference = "";
    this.latent = false;
    this.changedLine = 0;
    if (walk.status !== OK) this.#take(walk);
  }

  /** Adds a later page's walk. @param pages so many of which are alike */
  next(walk: WalkResult, pages = 1): void {
    this.reads += walk.reads * pages;
    this.disputed ||= walk.disputed;
    if (walk.status !== OK) {
      this.status = walk.status;
      this.#take(walk);
      return;
    }
    if (this.pageShift === 0 || (walk.pageShift !== 0 && walk.pageShift < this.pageShift))
      this.pageShift = walk.pageShift;
    this.perm &= walk.perm;
    this.passthrough &&= walk.passthrough;
  }

  /** Adds a physical run, merged into the one before where they touch. */
  run(frame: number, offset: number, bytes: number): void {
    const last = this.runs - 1;
    if (last >= 0) {
      const end = this.runOffset[last]! + this.runBytes[last]!;
      // Both ends in bytes from the last run's frame: exact, since a request is shorter than 2^32 bytes.
      if ((frame - this.runFrame[last]!) * 4096 + offset === end) {
        this.runBytes[last]! += bytes;
        return;
      }
    }
    this.runFrame[this.runs] = frame;
    this.runOffset[this.runs] = offset;
    this.runBytes[this.runs] = bytes;
    this.runs++;
  }

  #take(walk: WalkResult): void {
    this.fault = walk.fault;
    this.reason = walk.reason;
    this.otherFault = walk.otherFault;
    this.stage = walk.stage;
    this.level = walk.level;
    this.faultClass = walk.faultClass;
    this.entryFrame = walk.entryFrame;
    this.entryOffset = walk.entryOffset;
    this.entryKnown = walk.entryKnown;
    this.entryHi = walk.entryHi;
    this.entryLo = walk.entryLo;
    this.recorded = walk.recorded;
    this.hole = walk.hole;
    this.hasFaultAddr = walk.hasFaultAddr;
    this.faultHi = walk.faultHi;
    this.faultLo = walk.faultLo;
    this.flags = walk.flags;
  }
}
