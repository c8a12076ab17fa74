import type { TableReader } from "../table-reader.ts";

const LEVELS = 6;

/**
 * The entries of one page-table walk that withhold a right, so that a permission fault, which is found out only
 * when all rights have been accumulated, can name the entry that denied the access.
 */
export class EntryTrail {
  readonly #frame = new Float64Array(LEVELS);
  readonly #offset = new Int32Array(LEVELS);
  readonly #hi = new Int32Array(LEVELS);
  readonly #lo = new Int32Array(LEVELS);
  /** Bit n: an entry of level n is kept. */
  #kept = 0;

  clear(): void {
    this.#kept = 0;
  }

  /** Keeps the entry that `tables` read last. */
  keep(level: number, tables: TableReader): void {
    this.#kept |= 1 << level;
    this.#frame[level] = tables.frame;
    this.#offset[level] = tables.offset;
    this.#hi[level] = tables.hi;
    this.#lo[level] = tables.lo;
  }

  /**
   * Finds the first kept entry of the walk (the highest level) in which none of some bits is set, or any of
   * others, and makes it the entry that `tables.blame` reports.
   * @returns its level, or 0 where there is none
   */
  find(tables: TableReader, clearHi: number, clearLo: number, setHi: number): number {
    for (let level = LEVELS - 1; level > 0; level--) {
      if ((this.#kept & (1 << level)) === 0) continue;
      const hi = this.#hi[level]!;
      const lo = this.#lo[level]!;
      const missing = (clearHi | clearLo) !== 0 && ((hi & clearHi) | (lo & clearLo)) === 0;
      if (!missing && (hi & setHi) === 0) continue;
      tables.frame = this.#frame[level]!;
      tables.offset = this.#offset[level]!;
      tables.hi = hi;
      tables.lo = lo;
      tables.hole = false;
      return level;
    }
    return 0;
  }
}
