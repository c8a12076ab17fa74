import { FRAME_BYTES, FRAME_SHIFT, frameHi, frameLo } from "../../walkers/memory.ts";
import type { AddressSpace, Region, StageTables } from "../../walkers/page-tables/address-space.ts";
import { entryBytes, entryShift, levelBelow, rootLevel } from "../../walkers/page-tables/geometry.ts";
import { EXECUTE, NO_PASID, READ, type WalkRequest, WRITE } from "../../walkers/request.ts";
import { FAULT, NO_LEVEL, OK, WalkResult } from "../../walkers/result.ts";
import type { IommuWalker } from "../../walkers/walker.ts";
import type { Budget } from "./budget.ts";
import type { ReadTrail } from "./read-trail.ts";

/** What the last `next` came to. */
export const END = 0;
/** A range of pages. */
export const PAGES = 1;
/** A range whose entries are there, and fault. */
export const FAULTY = 2;
/** Nothing yet: a chance to let others run. */
export const PAUSE = 3;
/** The budget is spent. */
export const SPENT = 4;
export type RangeKind = 0 | 1 | 2 | 3 | 4;

/** Walks between two pauses: some tens of milliseconds. */
const PAUSE_AFTER = 1 << 17;

/** Kinds of request to try one after another until one is not denied. */
const ACCESSES = [READ, WRITE, EXECUTE];

/**
 * Goes through the input addresses of one address space in ascending order and merges what the walker says of them
 * into ranges: pages that are contiguous in both address spaces, of one size, with the same rights; and addresses that
 * fault for the same reason, plain "not present" aside.
 *
 * There is no second reader of page tables here: every range is the walker's own word about its first address, and
 * holds for as many addresses as share the entry that decided it. So a step over addresses that are not mapped is as
 * large as the highest entry that is not present; equal entries beside it are stepped over at once.
 */
export class RangeWalk {
  // The range that `next` found: 4 KiB frames.
  frame = 0;
  frames = 0;
  /** Frame that the first one translates to. */
  output = 0;
  /** READ | WRITE | EXECUTE that the walk grants. */
  perm = 0;
  /** log2 of the bytes of each page; 0: not translated (an exclusion range). */
  pageShift = 0;
  /** Number of pages; those that a special range cuts in two count once. */
  pages = 0;
  /** The rights are those of privileged requests: others are refused. */
  privileged = false;
  /** After FAULTY: what the walker says of the first address. */
  readonly fault = new WalkResult();

  readonly #walker: IommuWalker;
  readonly #request: WalkRequest;
  readonly #device: object;
  readonly #process: object;
  readonly #space: AddressSpace;
  readonly #trail: ReadTrail;
  readonly #budget: Budget;

  /** First frame that has not been looked at. */
  #cursor: number;
  #region = 0;
  #boundary = 0;
  /** Start of the page counted last. */
  #page = -1;
  /** What PAUSE interrupted: a range that may go on. */
  #open: RangeKind = END;

  // The stretch at the cursor, while it is not yet part of a range.
  #held = false;
  #kind: RangeKind = END;
  #length = 0;
  #privileged = false;
  readonly #out = new WalkResult();
  /** The first of several refusals: why an unprivileged read is denied. */
  readonly #denial = new WalkResult();
  #refused = false;

  /**
   * @param request device, PASID and binding; its address and access are changed
   * @param device, process contexts that the walker has loaded for it
   * @param trail the observer of the walker's table reader
   * @param from first frame to look at
   */
  constructor(
    walker: IommuWalker,
    request: WalkRequest,
    device: object,
    process: object,
    space: AddressSpace,
    trail: ReadTrail,
    budget: Budget,
    from = 0,
  ) {
    this.#walker = walker;
    this.#request = request;
    this.#device = device;
    this.#process = process;
    this.#space = space;
    this.#trail = trail;
    this.#budget = budget;
    this.#cursor = from;
  }

  /** First frame that is in no range so far: where to go on after SPENT. */
  get position(): number {
    return this.#open === END ? this.#cursor : this.frame;
  }

  /** Finds the next range. After END or SPENT there is none. */
  next(): RangeKind {
    for (let walks = 0; ; walks++) {
      if (!this.#held) {
        const region = this.#enter();
        if (region === null) return this.#close(END);
        if (this.#budget.left <= 0) return this.#close(SPENT);
        if (walks === PAUSE_AFTER) return PAUSE;
        this.#look(region);
      }
      if (this.#open !== END && !this.#continues()) {
        this.#held = true;
        return this.#close(END);
      }
      this.#held = false;
      this.#take();
    }
  }

  /** The region that the cursor is in; null after the last one. */
  #enter(): Region | null {
    const { regions } = this.#space;
    for (;;) {
      const region = regions[this.#region];
      if (region === undefined) return null;
      if (this.#cursor < region.to) {
        if (this.#cursor < region.from) this.#cursor = region.from;
        return region;
      }
      this.#region++;
    }
  }

  /** The open range, complete; `otherwise` where there is none. */
  #close(otherwise: RangeKind): RangeKind {
    const kind = this.#open;
    this.#open = END;
    return kind === END ? otherwise : kind;
  }

  /** Whether the stretch at the cursor goes on with the open range. */
  #continues(): boolean {
    if (this.#kind !== this.#open || this.#cursor !== this.frame + this.frames) return false;
    const out = this.#out;
    if (this.#kind === FAULTY) {
      const now = this.#refused ? this.#denial : out;
      return (
        now.fault === this.fault.fault && now.reason === this.fault.reason && now.stage === this.fault.stage
      );
    }
    return (
      out.frame === this.output + this.frames &&
      out.perm === this.perm &&
      out.pageShift === this.pageShift &&
      this.#privileged === this.privileged
    );
  }

  /** Makes the stretch at the cursor part of the open range, or opens one with it. */
  #take(): void {
    const length = this.#length;
    const cursor = this.#cursor;
    this.#cursor = cursor + length;
    if (this.#kind === END) return;
    if (this.#open === END) this.#begin(cursor);
    this.frames += length;
    if (this.pageShift === 0) return;
    const page =
      this.pageShift === FRAME_SHIFT ? cursor : cursor - (cursor % 2 ** (this.pageShift - FRAME_SHIFT));
    if (page !== this.#page) this.pages++;
    this.#page = page;
  }

  #begin(frame: number): void {
    const out = this.#out;
    this.#open = this.#kind;
    this.frame = frame;
    this.frames = 0;
    this.pages = 0;
    this.output = out.frame;
    this.perm = out.perm;
    this.pageShift = this.#kind === PAGES ? out.pageShift : 0;
    this.privileged = this.#privileged;
    if (this.#kind === FAULTY) this.fault.copyFrom(this.#refused ? this.#denial : out);
  }

  /** Walks the address at the cursor, with every kind of request until one is not denied. */
  #look(region: Region): void {
    const frame = this.#cursor;
    const request = this.#request;
    request.addrHi = frameHi(frame);
    request.addrLo = frameLo(frame);
    request.access = READ;
    request.priv = false;
    let length = this.#room(frame, region);
    const out = this.#out;
    this.#walk();
    length = Math.min(length, this.#extent(frame, region));
    this.#refused = out.status === FAULT && out.reason === "PERMISSION";
    let decided = this.#trail.reads > 0;
    if (this.#refused) {
      this.#denial.copyFrom(out);
      const kinds = request.pasid === NO_PASID ? ACCESSES.length : 2 * ACCESSES.length;
      for (let k = 1; k < kinds && this.#refused; k++) {
        request.access = ACCESSES[k % ACCESSES.length]!;
        request.priv = k >= ACCESSES.length;
        this.#walk();
        length = Math.min(length, this.#extent(frame, region));
        decided ||= this.#trail.reads > 0;
        this.#refused = out.status !== OK;
      }
    }
    this.#privileged = request.priv;
    this.#length = length;
    if (out.status === OK) this.#kind = PAGES;
    // What no entry has decided is not an entry's fault; "not present" is nobody's.
    else this.#kind = out.status === FAULT && decided && this.#reason() !== "PTE_FETCH" ? FAULTY : END;
  }

  #reason(): string {
    return this.#refused ? this.#denial.reason : this.#out.reason;
  }

  #walk(): void {
    const walker = this.#walker;
    const out = this.#out;
    this.#budget.left--;
    this.#trail.clear();
    out.reset();
    if (walker.admit(this.#request, out) && walker.checkRequest(this.#request, this.#device, out))
      walker.translate(this.#request, this.#device, this.#process, out);
  }

  /** Frames up to the end of the region or the next boundary. */
  #room(frame: number, region: Region): number {
    const { boundaries } = this.#space;
    while (this.#boundary < boundaries.length && boundaries[this.#boundary]! <= frame) this.#boundary++;
    const boundary = boundaries[this.#boundary];
    return boundary !== undefined && boundary < region.to ? boundary - frame : region.to - frame;
  }

  /** Frames from this one on that share the outcome of the last walk, as far as tables decide it. */
  #extent(frame: number, region: Region): number {
    const out = this.#out;
    const trail = this.#trail;
    if (trail.reads === 0) return Number.POSITIVE_INFINITY;
    if (out.status === OK) return this.#reach(rest(frame, this.#leafShift(region)));
    if (out.status !== FAULT || out.stage === 0) return 1;
    const { first, second } = region;
    if (first === null || out.stage === 1) {
      if (out.stage === 1) return first === null ? 1 : this.#entries(frame, first, trail.firstLevel);
      return second === null ? 1 : this.#entries(frame, second, trail.secondLevel);
    }
    if (out.ipaFrame < 0) return rest(frame, fetchShift(first, trail.firstLevel));
    const page = rest(frame, Math.min(out.firstShift, entryShift(first.geometry, trail.firstLevel)));
    return second === null ? page : Math.min(page, this.#entries(out.ipaFrame, second, trail.secondLevel));
  }

  /** log2 of a page, or of what its leaf entries stand for where several make up a page: each may say something else. */
  #leafShift({ first, second }: Region): number {
    let shift = this.#out.pageShift;
    if (shift === FRAME_SHIFT) return shift;
    const { firstLevel, secondLevel } = this.#trail;
    if (first !== null && firstLevel !== NO_LEVEL)
      shift = Math.min(shift, entryShift(first.geometry, firstLevel));
    if (second !== null && secondLevel !== NO_LEVEL)
      shift = Math.min(shift, entryShift(second.geometry, secondLevel));
    return shift;
  }

  /**
   * Frames that the failing entry stands for, and with it the equal ones behind it. The entry read last counts where
   * that is a lower one: rights that a higher entry denies are looked at when the page has been found.
   */
  #entries(frame: number, tables: StageTables, read: number): number {
    const out = this.#out;
    if (out.level === NO_LEVEL) return 1;
    const { used } = tables;
    const denied = used !== undefined && out.entryKnown && out.reason === "PERMISSION";
    const failed = denied ? used(out.level, out.entryLo) : entryShift(tables.geometry, out.level);
    const shift = read === NO_LEVEL ? failed : Math.min(failed, entryShift(tables.geometry, read));
    const { narrow } = this.#space;
    if (narrow !== null && tables.stage === 2) return rest(frame, narrow(frame, shift));
    const one = rest(frame, shift);
    if (out.reason !== "PTE_FETCH" || !out.entryKnown) return one;
    return one + (this.#equalEntries(entryBytes(tables.geometry)) - 1) * 2 ** (shift - FRAME_SHIFT);
  }

  /** Entries from the failing one to the end of its 4 KiB frame that hold the same bytes, itself included. */
  #equalEntries(bytes: number): number {
    const { memory } = this.#walker.tables;
    const { entryFrame, entryOffset } = this.#out;
    const left = FRAME_BYTES - entryOffset;
    if (!memory.fetch(entryFrame, entryOffset, left)) return 1;
    const { view, at } = memory;
    const word = view.getInt32(at);
    const last = view.getInt32(at + bytes - 4);
    let n = bytes;
    while (n < left && view.getInt32(at + n) === word && view.getInt32(at + n + bytes - 4) === last)
      n += bytes;
    return n / bytes;
  }

  /** As many frames of a page as come out before the withheld ones. */
  #reach(frames: number): number {
    const { withheld } = this.#space;
    const { frame } = this.#out;
    if (withheld === null || frame > withheld[1] || frame + frames <= withheld[0]) return frames;
    return withheld[0] - frame;
  }
}

/** Frames from this one to the end of the naturally aligned block of 2^shift bytes around it. */
function rest(frame: number, shift: number): number {
  if (shift <= FRAME_SHIFT) return 1;
  const size = 2 ** (shift - FRAME_SHIFT);
  return size - (frame % size);
}

/**
 * log2 of the input addresses whose walk meets the same 4 KiB of a first-stage table.
 * @param above level of the last entry read on the way to it; NO_LEVEL: it is the root
 */
function fetchShift({ geometry, levels }: StageTables, above: number): number {
  const level = above === NO_LEVEL ? rootLevel(geometry, levels) : levelBelow(geometry, above);
  return entryShift(geometry, level) + FRAME_SHIFT - Math.log2(entryBytes(geometry));
}
