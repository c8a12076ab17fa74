import type { RepeatedLeaf } from "../../../walkers/caching.ts";
import { highHalf, lowHalf } from "../../../walkers/entry-halves.ts";
import { FRAME_BYTES, frameHi, frameLo } from "../../../walkers/memory.ts";
import { hex, joined } from "../../../walkers/word64.ts";
import type { CachedIommu } from "../history/cached-iommu.ts";
import type { VersionedMemory } from "../history/versioned-memory.ts";

/** Entries of 8 bytes. */
const ENTRY_BYTES = 8;

/** A leaf that stands in several entries beside each other, as a walk has met it in one of them. */
interface Leaf {
  readonly name: string;
  readonly frame: number;
  /** Byte offset of the first of the entries in its frame, and how many there are. */
  readonly offset: number;
  readonly count: number;
  /** Which of them the walk has read. */
  readonly index: number;
  readonly littleEndian: boolean;
  readonly rule: RepeatedLeaf;
}

/** An entry among those of a leaf that says another thing than the one that was used. */
export interface UnlikeEntry {
  /** Address of the first entry, as hex. */
  readonly first: string;
  readonly text: string;
}

/** Leaves that say of themselves that they stand in several entries, any of which a cache may take for all of them. */
export class RepeatedLeaves {
  readonly #unit: CachedIommu;
  readonly #memory: VersionedMemory;

  constructor(unit: CachedIommu, memory: VersionedMemory) {
    this.#unit = unit;
    this.#memory = memory;
  }

  /** Those that a walk of memory as it is goes through, of either stage. */
  of(translate: () => unknown): readonly Leaf[] {
    const { tables } = this.#unit.walker;
    const rule = this.#unit.vendor.caching.repeatedLeaf;
    if (rule === undefined) return [];
    const leaves: Leaf[] = [];
    tables.observer = {
      entry(layout, frame, offset, view, at, stage, level, littleEndian) {
        const { name, bytes } = layout;
        if (stage === 0 || view === null || bytes !== ENTRY_BYTES) return;
        const lo = lowHalf(layout, view, at, littleEndian);
        const hi = highHalf(layout, view, at, littleEndian);
        const log2 = rule.entries(stage, level, hi, lo);
        if (log2 === 0) return;
        const count = 2 ** log2;
        const index = (offset / ENTRY_BYTES) % count;
        leaves.push({ name, frame, offset: offset - index * ENTRY_BYTES, count, index, littleEndian, rule });
      },
    };
    translate();
    tables.observer = null;
    return leaves;
  }

  /** Whether any of a leaf's entries said another thing at a tick than it does now. */
  changedSince(leaf: Leaf, time: number): boolean {
    const then = this.#memory.readAsOf(time, () => this.#words(leaf)).value;
    const now = this.#words(leaf);
    if (then === null || now === null) return then !== now;
    for (let i = 0; i < leaf.count; i++)
      if (!leaf.rule.same(then[2 * i]!, then[2 * i + 1]!, now[2 * i]!, now[2 * i + 1]!)) return true;
    return false;
  }

  /** The first of a leaf's entries that is valid and contradicts the one that was used; null: none does. */
  unlike(leaf: Leaf): UnlikeEntry | null {
    const words = this.#words(leaf);
    if (words === null) return null;
    const { name, count, index, frame, offset, rule } = leaf;
    const [hi, lo] = [words[2 * index]!, words[2 * index + 1]!];
    for (let i = 0; i < count; i++) {
      const [otherHi, otherLo] = [words[2 * i]!, words[2 * i + 1]!];
      const why = rule.contradiction(hi, lo, otherHi, otherLo, i);
      if (why === null) continue;
      const address = (n: number) => hex(joined(frameHi(frame), frameLo(frame) | (offset + n * ENTRY_BYTES)));
      return {
        first: address(0),
        text: `${name} at ${address(index)} (${hex(joined(hi, lo))}) says that the ${count} entries from ${address(0)} on hold one page, and the one at ${address(i)} (${hex(joined(otherHi, otherLo))}) ${why}`,
      };
    }
    return null;
  }

  /** High and low half of each of a leaf's entries; null where they are not all in memory. */
  #words({ frame, offset, count, littleEndian }: Leaf): Int32Array | null {
    const memory = this.#memory;
    const bytes = count * ENTRY_BYTES;
    if (offset + bytes > FRAME_BYTES || !memory.fetch(frame, offset, bytes)) return null;
    const { view, at } = memory;
    const words = new Int32Array(2 * count);
    for (let i = 0; i < count; i++) {
      const entry = at + i * ENTRY_BYTES;
      words[2 * i] = view.getInt32(littleEndian ? entry + 4 : entry, littleEndian);
      words[2 * i + 1] = view.getInt32(littleEndian ? entry : entry + 4, littleEndian);
    }
    return words;
  }
}
