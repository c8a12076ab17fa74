import type { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import { FRAME_BYTES, FRAME_SHIFT, frameOf, framesIn } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { OK } from "../../walkers/result.ts";
import { hex, joined } from "../../walkers/word64.ts";
import { type StaleAnswer, type StaleSource, staleAnswer } from "../caches/history/stale-source.ts";
import type { VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Iommus } from "../iommus/iommus.ts";
import type { Analysis } from "./analysis.ts";
import type { OwedInvalidations } from "./owed-invalidations.ts";

/** Pages that are looked after at a time; past it the oldest are forgotten. */
const MAX_PAGES = 1 << 12;
const WORD_BYTES = 8;

/** Of these, the latest that an invalidation has left are looked at again at the next one. */
const MAX_LATEST = 64;

/** Pages that were taken away and are not looked at yet. */
const MAX_TAKEN = 1 << 9;

/** A page that an entry mapped, and that a cache may still map: nothing has invalidated it since the entry changed. */
interface OpenPage {
  readonly unit: IommuUnit;
  readonly request: WalkRequest;
  readonly source: StaleSource;
  /** Where it is: the first frame, and log2 of its size. */
  readonly frame: number;
  readonly shift: number;
  /** Line of the change. */
  readonly line: number;
}

/** A last-level entry that has become zero, which maps nothing; what it mapped is looked at where somebody has use for it. */
interface TakenEntry {
  readonly unit: IommuUnit;
  readonly frame: number;
  readonly offset: number;
  /** When it was changed: line and tick. */
  readonly line: number;
  readonly time: number;
}

/**
 * Sees where memory that a page was taken from is mapped elsewhere before the page is invalidated, by a table or, as the
 * trace tells, by software: whoever has it now shares it with a device that may still reach it by the old translation. It
 * takes no request to be wrong.
 *
 * Cost: a look-up by frame number per `mem` record, a look at the pages that are new at an invalidation, and walks for the
 * words of last-level tables that change; but none for a page that nobody can hold, nor, where it is only taken away, before
 * other memory is mapped: most often the invalidation comes first. Nothing for requests.
 */
export class PageReuse implements Analysis {
  readonly #iommus: Iommus;
  readonly #owed: OwedInvalidations;
  readonly #memory: TraceMemory;
  readonly #past: VersionedMemory;
  /** Frames of last-level tables that are being written to, and of which that is known which was there. */
  readonly #frames: number[] = [];
  /** By log2 of the size, by the frame number in that size. */
  readonly #open = new Map<number, Map<number, OpenPage>>();
  #size = 0;
  /** Those since the last invalidation. */
  #latest: OpenPage[] = [];
  /** The oldest first. Memory is, for each of them, as it was when it was taken away, but for other last-level entries. */
  #taken: TakenEntry[] = [];

  constructor(iommus: Iommus, owed: OwedInvalidations, memory: TraceMemory, past: VersionedMemory) {
    this.#iommus = iommus;
    this.#owed = owed;
    this.#memory = memory;
    this.#past = past;
  }

  writing(addrHi: number, addrLo: number, bytes: number): void {
    this.#frames.length = 0;
    const first = frameOf(addrHi, addrLo);
    const start = addrLo & (FRAME_BYTES - 1);
    const last = first + Math.floor((start + bytes - 1) / FRAME_BYTES);
    for (let frame = first; frame <= last; frame++) {
      if (!this.#isLeafTable(frame)) {
        this.#lookAtTaken();
        continue;
      }
      const from = frame === first ? start & -WORD_BYTES : 0;
      const end =
        frame === last
          ? (start + bytes - (last - first) * FRAME_BYTES + WORD_BYTES - 1) & -WORD_BYTES
          : FRAME_BYTES;
      if (this.#memory.peek(frame, from, end - from)) this.#frames.push(frame);
      if (this.#taken.some((entry) => entry.frame === frame && entry.offset >= from && entry.offset < end))
        this.#lookAtTaken();
    }
  }

  /** Whether last-level entries stand in a frame, or entries that lead to tables of such. */
  #isLeafTable(frame: number): boolean {
    for (const { caches } of this.#iommus.units)
      if (caches?.leafTables.has(frame) || caches?.leafTables.hasParents(frame)) return true;
    return false;
  }

  written(line: number): void {
    if (this.#frames.length === 0) return;
    this.#past.changedNow((frame, offset) => {
      if (this.#frames.includes(frame)) this.#changed(line, frame, offset);
    });
  }

  /** Software has mapped memory: what it writes into tables for that need not have been recorded. */
  mapped(line: number, record: RecordOf<"map">): void {
    const { pa, addr, size } = record;
    if (pa === undefined) return;
    this.#lookAtTaken();
    if (this.#size === 0) return;
    const first = frameOf(pa.hi, pa.lo);
    const offset = pa.lo & (FRAME_BYTES - 1);
    const frames = Math.ceil((offset + size.hi * 2 ** 32 + (size.lo >>> 0)) / FRAME_BYTES);
    const moved = frameOf(addr.hi, addr.lo) - first;
    for (const page of [...this.#within(first, frames)]) {
      if (page.line === line || !page.source.valid()) continue;
      const { request, source, unit } = page;
      const there = frameOf(request.addrHi, request.addrLo) - source.answer.frame === moved;
      if (there && (record.dev === undefined || record.dev.id === request.device)) continue;
      this.#close(page);
      const whose = record.dev === undefined ? "" : ` of ${record.dev.text}`;
      const heir = `${hex(joined(addr.hi, addr.lo))}${whose}`;
      this.#owed.reused(line, unit, request, source, heir);
    }
  }

  /** The pages that have one of so many frames. */
  *#within(first: number, frames: number): Iterable<OpenPage> {
    for (const [size, pages] of this.#open) {
      const from = numberIn(size, first);
      const to = numberIn(size, first + frames - 1);
      if (to - from < pages.size) {
        for (let number = from; number <= to; number++) {
          const page = pages.get(number);
          if (page !== undefined) yield page;
        }
      } else for (const [number, page] of pages) if (number >= from && number <= to) yield page;
    }
  }

  replaced(): void {
    this.#open.clear();
    this.#size = 0;
    this.#latest = [];
    this.#taken.length = 0;
  }

  reconfiguring(): void {
    this.#lookAtTaken();
  }

  /** What has been invalidated is nobody's any more; most pages are, at once. */
  invalidated(): void {
    if (this.#taken.length > 0) this.#taken = this.#taken.filter((entry) => this.#mayBeHeld(entry));
    if (this.#latest.length === 0) return;
    const open = this.#latest.filter((page) => page.source.valid() || !this.#close(page));
    // An invalidation may have been issued, and not completed.
    this.#latest = open.slice(-MAX_LATEST);
  }

  #changed(line: number, frame: number, offset: number): void {
    const empty = this.#isZero(frame, offset);
    if (!empty) this.#lookAtTaken();
    for (const unit of this.#iommus.units) {
      if (unit.caches?.leafTables.hasParents(frame)) this.#unlinked(unit, line, frame, offset);
      if (!unit.caches?.leafTables.has(frame)) continue;
      const entry: TakenEntry = { unit, frame, offset, line, time: this.#past.time };
      if (!empty) this.#entryChanged(entry);
      else if (this.#mayBeHeld(entry)) {
        if (this.#taken.length === MAX_TAKEN) this.#lookAtTaken();
        this.#taken.push(entry);
      }
    }
  }

  /** An entry that led to a table of last-level entries does no longer: what these mapped has been taken away with it. */
  #unlinked(unit: IommuUnit, line: number, from: number, at: number): void {
    const frame = unit.caches!.leafTables.behind(from, at);
    if (frame < 0) return;
    for (let offset = 0; offset < FRAME_BYTES; offset += WORD_BYTES) {
      const entry: TakenEntry = { unit, frame, offset, line, time: this.#past.time };
      if (this.#mayBeHeld(entry)) this.#entryChanged(entry);
    }
  }

  /** Whether a word of memory is zero: in every format, an entry that is not valid. */
  #isZero(frame: number, offset: number): boolean {
    const memory = this.#memory;
    if (!memory.peek(frame, offset, WORD_BYTES)) return false;
    const { view, at } = memory;
    return view.getInt32(at, true) === 0 && view.getInt32(at + 4, true) === 0;
  }

  /** Whether a page behind an entry may be held that nothing has invalidated. */
  #mayBeHeld({ unit, frame, offset }: TakenEntry): boolean {
    let held = false;
    const caches = unit.caches!;
    caches.leafTables.forEachPage(frame, offset, (request) => {
      if (!held) held = !caches.owesNothing(request);
    });
    return held;
  }

  /** Looks at what entries mapped that have been taken away, before that can no longer be told, or is needed. */
  #lookAtTaken(): void {
    if (this.#taken.length === 0) return;
    const taken = this.#taken;
    this.#taken = [];
    for (const entry of taken) this.#entryChanged(entry);
  }

  #entryChanged(entry: TakenEntry): void {
    const { unit, frame, offset } = entry;
    unit.caches!.leafTables.forEachPage(frame, offset, (request, shift) => {
      this.#pageChanged(entry, request, shift);
    });
  }

  #pageChanged(entry: TakenEntry, request: WalkRequest, entryShift: number): void {
    const { unit, line } = entry;
    const caches = unit.caches!;
    // Nobody can hold what it mapped before, and what it maps now was taken from nobody.
    const nothing = caches.owesNothing(request);
    if (nothing && this.#size === 0) return;
    const now = staleAnswer(caches.walkAgain(request));
    const mapped = now.pageShift !== 0 ? now.frame : -1;
    if (mapped >= 0) this.#given(line, unit, request, now, Math.min(now.pageShift, entryShift));
    if (nothing) return;
    const was = caches.uninvalidated(
      request,
      (walk) => walk.status === OK && walk.frame !== mapped,
      entry.time,
    );
    for (const source of was) {
      const { answer, change } = source;
      if (source.cache !== "iotlb" || change?.line !== line || answer.pageShift === 0) continue;
      const shift = Math.max(Math.min(answer.pageShift, entryShift), FRAME_SHIFT);
      this.#leave({ unit, request: request.clone(), source, frame: answer.frame, shift, line });
    }
  }

  #leave(page: OpenPage): void {
    let pages = this.#open.get(page.shift);
    if (pages === undefined) {
      pages = new Map();
      this.#open.set(page.shift, pages);
    }
    const frame = numberIn(page.shift, page.frame);
    if (!pages.has(frame)) this.#size++;
    pages.set(frame, page);
    if (this.#latest.length < MAX_PAGES) this.#latest.push(page);
    if (this.#size > MAX_PAGES) this.#forgetOldest();
  }

  /** Half of each size at once: one by one, each would step over all that have gone before it. */
  #forgetOldest(): void {
    this.#size = 0;
    for (const pages of this.#open.values()) {
      let gone = pages.size / 2;
      for (const frame of pages.keys()) {
        if (gone-- <= 0) break;
        pages.delete(frame);
      }
      this.#size += pages.size;
    }
  }

  /** @returns true: it is no longer looked after */
  #close(page: OpenPage): true {
    const pages = this.#open.get(page.shift);
    const frame = numberIn(page.shift, page.frame);
    if (pages?.get(frame) === page) {
      pages.delete(frame);
      this.#size--;
    }
    return true;
  }

  /** Memory is mapped from now on: it may be what another page was taken from. */
  #given(line: number, unit: IommuUnit, request: WalkRequest, now: StaleAnswer, shift: number): void {
    const { frame } = now;
    for (const [size, pages] of this.#open) {
      if (pages.size === 0) continue;
      const first = numberIn(size, frame);
      const end = first + Math.min(Math.max(2 ** (shift - size), 1), MAX_PAGES);
      for (let at = first; at < end; at++) {
        const page = pages.get(at);
        if (page === undefined || page.line === line) continue;
        this.#close(page);
        if (!page.source.valid() || isSame(page, unit, request, now)) continue;
        this.#owed.reused(line, page.unit, page.request, page.source, this.#owed.placeOf(unit, request));
      }
    }
  }
}

/** It was mapped again where it was: for the same device, or for all of the same address space. */
function isSame(page: OpenPage, unit: IommuUnit, request: WalkRequest, now: StaleAnswer): boolean {
  const { request: old, source } = page;
  const { answer } = source;
  if (unit !== page.unit || answer.domain !== now.domain || answer.asid !== now.asid) return false;
  const moved = frameOf(request.addrHi, request.addrLo) - frameOf(old.addrHi, old.addrLo);
  return moved === now.frame - answer.frame;
}

/** Number of a page of a size that begins at a frame. */
function numberIn(shift: number, frame: number): number {
  return Math.floor(frame / framesIn(shift));
}
