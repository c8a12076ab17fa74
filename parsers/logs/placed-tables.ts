import { hexOfBig, type TableBuilder } from "./table-builder.ts";

/** Bits that a table of 512 entries of eight bytes resolves, and those below a page. */
const INDEX_BITS = 9n;
const PAGE_BITS = 12n;
const INDEX_MASK = 0x1ffn;
/** Tables of one tree, and leaves of it that are remembered: past that, it takes no more. */
const MAX_TABLES = 1 << 18;
const MAX_LEAVES = 1 << 20;

/**
 * A page table of which a log shows the leaf entries alone: the tables above them stand at free addresses, because no log
 * gives theirs, and their entries grant everything, because the leaf of the log is what the IOMMU went by.
 */
export class PlacedTables {
  /** Address of the top table. */
  readonly root: bigint;
  readonly #tables: TableBuilder;
  readonly levels: number;
  /** Bits of an entry that leads to a table of a level, beside its address. */
  readonly #pointer: (level: number) => bigint;
  /** Addresses of the placed tables, by level and the address bits that lead there. */
  readonly #placed = new Map<string, bigint>();
  /** The last value of each leaf that is present, by its address. */
  readonly #leaves = new Map<string, string>();

  /**
   * @param root address of the top table
   * @param levels 1 is the leaf level of a 4 KiB page
   * @param pointer bits of an entry that leads to a table of a level, beside its address
   */
  constructor(tables: TableBuilder, root: bigint, levels: number, pointer: (level: number) => bigint) {
    this.#tables = tables;
    this.root = root;
    this.levels = levels;
    this.#pointer = pointer;
  }

  /**
   * A leaf entry as the log shows it.
   * @param value 0x and hex digits
   * @returns false where there is no room for it
   */
  leaf(iova: bigint, level: number, value: string, assumed = ""): boolean {
    if (level >= this.levels || this.#placed.size >= MAX_TABLES || this.#leaves.size >= MAX_LEAVES)
      return false;
    const at = hexOfBig(this.#entry(iova, level));
    this.#leaves.set(at, value);
    this.#tables.word(at, value, assumed);
    return true;
  }

  /** The translation of an address is gone: whatever leaf there was is not present any more. */
  clear(iova: bigint): void {
    for (let level = 1; level < this.levels; level++) {
      const table = this.#placed.get(keyOf(level, iova));
      if (table === undefined) continue;
      const at = hexOfBig(table + 8n * indexOf(iova, level));
      if (this.#leaves.delete(at)) this.#tables.word(at, "0x0", '["data"]');
    }
  }

  /** The leaf that was seen last for an address, or undefined. */
  lastLeaf(iova: bigint): string | undefined {
    for (let level = 1; level < this.levels; level++) {
      const table = this.#placed.get(keyOf(level, iova));
      const leaf = table && this.#leaves.get(hexOfBig(table + 8n * indexOf(iova, level)));
      if (leaf) return leaf;
    }
    return undefined;
  }

  /** Address of the entry of a level for an address; the tables above are there afterwards. */
  #entry(iova: bigint, level: number): bigint {
    let table = this.root;
    for (let at = this.levels; at > level; at--) {
      const entry = table + 8n * indexOf(iova, at);
      const key = keyOf(at - 1, iova);
      let next = this.#placed.get(key);
      if (next === undefined) {
        next = this.#tables.place();
        this.#placed.set(key, next);
        this.#tables.word(hexOfBig(entry), hexOfBig(next | this.#pointer(at - 1)), '["addr","data"]');
      }
      table = next;
    }
    return table + 8n * indexOf(iova, level);
  }
}

function indexOf(iova: bigint, level: number): bigint {
  return (iova >> (PAGE_BITS + INDEX_BITS * BigInt(level - 1))) & INDEX_MASK;
}

/** Names the table of a level that leads to an address. */
function keyOf(level: number, iova: bigint): string {
  return `${level}/${(iova >> (PAGE_BITS + INDEX_BITS * BigInt(level))).toString(36)}`;
}
