import type { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import { FRAME_BYTES, FRAME_SHIFT, frameOf } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { OK } from "../../walkers/result.ts";
import { type StaleAnswer, type StaleSource, staleAnswer } from "../caches/history/stale-source.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Iommus } from "../iommus/iommus.ts";
import type { Analysis } from "./analysis.ts";
import type { OwedInvalidations } from "./owed-invalidations.ts";
import { PeekedMemory } from "./tables/peeked-memory.ts";

/** Pages that are looked after at a time; past it the oldest are forgotten. */
const MAX_PAGES = 1 << 12;
const WORD_BYTES = 8;

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

/** Whole words of one frame, from an offset on. */
interface Words {
  readonly frame: number;
  readonly from: number;
  readonly words: Uint8Array;
}

/**
 * Sees where memory that a page was taken from is mapped elsewhere before the page is invalidated: whoever has it now
 * shares it with a device that may still reach it by the old translation. It takes no request to be wrong.
 *
 * Cost: a look-up by frame number per `mem` record, walks for the words of last-level tables that change; nothing for
 * requests.
 */
export class PageReuse implements Analysis {
  readonly #iommus: Iommus;
  readonly #owed: OwedInvalidations;
  readonly #memory: PeekedMemory;
  /** Words that are being written, as they were. */
  readonly #before: Words[] = [];
  /** By log2 of the size and frame number in that size. */
  readonly #open = new Map<number, OpenPage>();
  readonly #shifts = new Set<number>();

  constructor(iommus: Iommus, owed: OwedInvalidations, memory: TraceMemory) {
    this.#iommus = iommus;
    this.#owed = owed;
    this.#memory = new PeekedMemory(memory);
  }

  writing(addrHi: number, addrLo: number, bytes: number): void {
    const first = frameOf(addrHi, addrLo);
    const start = addrLo & (FRAME_BYTES - 1);
    const last = first + Math.floor((start + bytes - 1) / FRAME_BYTES);
    for (let frame = first; frame <= last; frame++) {
      if (!this.#iommus.units.some(({ caches }) => caches?.leafTables.has(frame))) continue;
      const from = frame === first ? start & -WORD_BYTES : 0;
      const end =
        frame === last
          ? (start + bytes - (last - first) * FRAME_BYTES + WORD_BYTES - 1) & -WORD_BYTES
          : FRAME_BYTES;
      const words = this.#read(frame, from, end - from);
      if (words !== null) this.#before.push({ frame, from, words: words.slice() });
    }
  }

  written(line: number): void {
    const before = this.#before;
    if (before.length === 0) return;
    for (const { frame, from, words } of before) {
      // What is found out about one word reads other memory.
      const now = this.#read(frame, from, words.length)?.slice();
      if (now === undefined) continue;
      for (let offset = 0; offset < words.length; offset += WORD_BYTES)
        if (differs(words, now, offset)) this.#changed(line, frame, from + offset);
    }
    before.length = 0;
  }

  replaced(): void {
    this.#open.clear();
  }

  #read(frame: number, offset: number, bytes: number): Uint8Array | null {
    const memory = this.#memory;
    if (!memory.fetch(frame, offset, bytes)) return null;
    return new Uint8Array(memory.view.buffer, memory.view.byteOffset + memory.at, bytes);
  }

  #changed(line: number, frame: number, offset: number): void {
    for (const unit of this.#iommus.units)
      unit.caches?.leafTables.forEachPage(frame, offset, (request, shift) => {
        this.#pageChanged(line, unit, request, shift);
      });
  }

  #pageChanged(line: number, unit: IommuUnit, request: WalkRequest, entryShift: number): void {
    const caches = unit.caches!;
    const now = staleAnswer(caches.walkAgain(request));
    const mapped = now.pageShift !== 0 ? now.frame : -1;
    const was = caches.uninvalidated(request, (walk) => walk.status === OK && walk.frame !== mapped);
    if (mapped >= 0) this.#given(line, unit, request, now, Math.min(now.pageShift, entryShift));
    for (const source of was) {
      const { answer, change } = source;
      if (source.cache !== "iotlb" || change?.line !== line || answer.pageShift === 0) continue;
      const shift = Math.max(Math.min(answer.pageShift, entryShift), FRAME_SHIFT);
      this.#leave({ unit, request, source, frame: answer.frame, shift, line });
    }
  }

  #leave(page: OpenPage): void {
    this.#shifts.add(page.shift);
    this.#open.set(keyOf(page.shift, page.frame), page);
    if (this.#open.size <= MAX_PAGES) return;
    for (const oldest of this.#open.keys()) {
      this.#open.delete(oldest);
      return;
    }
  }

  /** Memory is mapped from now on: it may be what another page was taken from. */
  #given(line: number, unit: IommuUnit, request: WalkRequest, now: StaleAnswer, shift: number): void {
    const { frame } = now;
    for (const size of this.#shifts) {
      const step = 2 ** (size - FRAME_SHIFT);
      const count = Math.min(Math.max(2 ** (shift - size), 1), MAX_PAGES);
      for (let n = 0, at = frame - (frame % step); n < count; n++, at += step) {
        const page = this.#open.get(keyOf(size, at));
        if (page === undefined || page.line === line) continue;
        this.#open.delete(keyOf(size, at));
        if (!page.source.valid() || isSame(page, unit, request, now)) continue;
        this.#owed.reused(line, page.unit, page.request, page.source, unit, request);
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

/** Exact in a double: a frame number has at most 44 bits (addresses of 56), a size's log2 six. */
function keyOf(shift: number, frame: number): number {
  return frame * 64 + shift;
}

function differs(a: Uint8Array, b: Uint8Array, offset: number): boolean {
  for (let i = offset; i < offset + WORD_BYTES; i++) if (a[i] !== b[i]) return true;
  return false;
}
