import { FAULT, WalkResult } from "./result.ts";
import { hashOf } from "./translation-cache.ts";

/** Slots, powers of two: with the first result, since a trace may declare very many IOMMUs, and at most. */
const FIRST_SLOTS = 1 << 4;
const MAX_SLOTS = 1 << 12;
const GROWTH = 8;

/** The one slot of every cache that has no result yet; nothing is kept in it. */
const NONE = new Int32Array(1);

/**
 * Results of walks that fault in a page table, by context, page and kind of access; direct-mapped. Kept are only those
 * that every address of the page shares and that come from entries which were read: memory that appears where there
 * was none changes no generation.
 */
export class FaultCache {
  #mask = 0;
  #ids = NONE;
  #pageHi = NONE;
  #pageLo = NONE;
  #results: (WalkResult | undefined)[] = [];
  /** Results kept since the last growth. */
  #kept = 0;

  /**
   * @param id of the context, from 1
   * @param pageLo low half of the page's address, kind of access in the bits below 12
   */
  find(id: number, pageHi: number, pageLo: number): WalkResult | null {
    const slot = hashOf(id, pageHi, pageLo) & this.#mask;
    if (this.#pageLo[slot] !== pageLo || this.#ids[slot] !== id || this.#pageHi[slot] !== pageHi) return null;
    return this.#results[slot]!;
  }

  /** Keeps a result, if it is one to be kept. */
  keep(id: number, pageHi: number, pageLo: number, from: WalkResult): void {
    if (from.status !== FAULT || from.hole || from.hasFaultAddr) return;
    if (this.#ids === NONE) this.#grow(FIRST_SLOTS);
    else if (++this.#kept > this.#mask && this.#mask < MAX_SLOTS - 1) this.#grow((this.#mask + 1) * GROWTH);
    const slot = hashOf(id, pageHi, pageLo) & this.#mask;
    const kept = this.#results[slot] ?? new WalkResult();
    kept.copyFrom(from);
    this.#results[slot] = kept;
    this.#ids[slot] = id;
    this.#pageHi[slot] = pageHi;
    this.#pageLo[slot] = pageLo;
  }

  /** Forgets everything. */
  clear(): void {
    this.#ids.fill(0);
  }

  /** What was kept is forgotten: its slots would be others. */
  #grow(most: number): void {
    const slots = Math.min(most, MAX_SLOTS);
    this.#mask = slots - 1;
    this.#ids = new Int32Array(slots);
    this.#pageHi = new Int32Array(slots);
    this.#pageLo = new Int32Array(slots);
    this.#results = new Array(slots).fill(undefined);
    this.#kept = 0;
  }
}
