/** Page tables of any format, built entry by entry in a world. */
import type { StaleEntry } from "../advice.ts";
import type { Layout } from "../layout.ts";
import { entryBytes, entryShift, type LevelGeometry, levelBelow } from "../page-tables/geometry.ts";
import type { Target, World, WorldEntry } from "./world.ts";

type Values = Readonly<Record<string, number | bigint>>;

/** Users of an entry that are noted: one near the root has very many. */
const MOST_USES = 24;

/** How one format writes its entries. */
export interface EntryFormat {
  readonly geometry: LevelGeometry;
  readonly littleEndian: boolean;
  /** Levels that may have leaves, the smallest pages first. */
  readonly leafLevels: readonly number[];
  layout(level: number, leaf: boolean): Layout;
  /** The level of the tables that entries of a level point to. Absent: the one below, always. */
  next?(level: number): number;
  /** A sound entry that points to a table. @param address of the table, as the entry has it */
  table(address: bigint, level: number): Values;
  /** A sound entry that maps a page with all rights. */
  leaf(address: bigint, level: number): Values;
}

/** Who uses a tree of page tables: what it is tagged with. */
export type Tags = Pick<StaleEntry, "device" | "pasid" | "domain" | "space" | "regime" | "nested">;

/** Where the addresses in its entries lead: the second stage below, which maps what is asked of it. */
export interface Below {
  /** The intermediate address of a host address, mapped for it. @param shift log2 of the bytes that are needed there */
  toIntermediate(host: bigint, shift: number): bigint;
}

export interface RootShape {
  readonly level: number;
  /** log2 of the root table's entries, where it has others than those below. */
  readonly indexBits: number;
  readonly stage: 1 | 2;
}

export class BuiltTables {
  readonly world: World;
  readonly format: EntryFormat;
  readonly root: bigint;
  readonly shape: RootShape;
  readonly #below: Below | null;
  /** Tables by the host address of the entry that points to them, and what they are in entries. */
  readonly #tables = new Map<bigint, bigint>();
  readonly #leaves = new Set<bigint>();
  /** The entries on the way to each address mapped. */
  readonly #paths: { readonly iova: bigint; readonly path: readonly Placed[] }[] = [];

  constructor(world: World, format: EntryFormat, shape: RootShape, below: Below | null = null) {
    this.world = world;
    this.format = format;
    this.shape = shape;
    this.#below = below;
    this.root = world.alloc(entryBytes(format.geometry) * 2 ** shape.indexBits);
  }

  /** The root as what points to it has it. */
  get rootPointer(): bigint {
    const shift = Math.log2(entryBytes(this.format.geometry)) + this.shape.indexBits;
    return (
      this.#below?.toIntermediate(this.root, Math.max(shift, this.format.geometry.pageShift)) ?? this.root
    );
  }

  /**
   * Maps a page, unless a larger one lies over it or a table in its place.
   * @param page as the leaf has it
   * @param level of the leaf
   */
  map(iova: bigint, page: bigint, level: number): boolean {
    const { geometry } = this.format;
    const path: Placed[] = [];
    let table = this.root;
    for (let at = this.shape.level; ; at = this.format.next?.(at) ?? levelBelow(geometry, at)) {
      const bits = at === this.shape.level ? this.shape.indexBits : geometry.bits;
      const index = (iova >> BigInt(entryShift(geometry, at))) & ((1n << BigInt(bits)) - 1n);
      const address = table + index * BigInt(entryBytes(geometry));
      if (at === level) {
        if (this.#tables.has(address) || this.#leaves.has(address)) return false;
        this.#leaves.add(address);
        path.push({ entry: this.#put(address, at, true, page), level: at, table: false });
        this.#paths.push({ iova, path });
        return true;
      }
      if (this.#leaves.has(address)) return false;
      path.push({ entry: this.#tableAt(address, at), level: at, table: true });
      table = this.#tables.get(address)!;
    }
  }

  #tableAt(address: bigint, level: number): WorldEntry {
    const { geometry } = this.format;
    const known = this.world.entryAt(address);
    if (known !== undefined && this.#tables.has(address)) return known;
    const table = this.world.alloc(2 ** geometry.pageShift);
    this.#tables.set(address, table);
    return this.#put(address, level, false, this.#below?.toIntermediate(table, geometry.pageShift) ?? table);
  }

  #put(address: bigint, level: number, leaf: boolean, value: bigint): WorldEntry {
    const { format } = this;
    const values = leaf ? format.leaf(value, level) : format.table(value, level);
    return this.world.put(format.layout(level, leaf), address, values, format.littleEndian);
  }

  /** Says who uses what is mapped: for each address the request that meets it, and how its entries are tagged. */
  usedBy(tags: Tags, targetOf: (iova: bigint) => Target | undefined): void {
    for (const { iova, path } of this.#paths) {
      const target = targetOf(iova);
      for (const { entry, level, table } of path) {
        if (target !== undefined && entry.targets.length < MOST_USES) entry.targets.push(target);
        if (entry.uses.length >= MOST_USES) continue;
        entry.uses.push({
          ...tags,
          cache: table ? "paging-structures" : "iotlb",
          stage: this.shape.stage,
          level,
          table,
          above: false,
          whole: false,
          frame: Number((iova & 0xffff_ffff_ffff_ffffn) >> 12n),
          shift: entryShift(this.format.geometry, level),
        });
      }
    }
  }

  get mapped(): readonly bigint[] {
    return this.#paths.map(({ iova }) => iova);
  }
}

interface Placed {
  readonly entry: WorldEntry;
  readonly level: number;
  readonly table: boolean;
}
