/** Address spaces: what is mapped in page tables, and who uses it. */
import type { Below, BuiltTables, Tags } from "./page-tables.ts";
import type { EntryUse, Target, World, WorldEntry } from "./world.ts";

/** Pages of a second stage that one page or table of the first is mapped by, whole: a table of 64 KiB has 16. */
const MOST_PAGES = 16n;

/** Input addresses that a page is mapped at. */
export interface Mapped {
  readonly iova: bigint;
  readonly bytes: bigint;
  /** Bits of an address in it that make no difference; absent: all do. */
  readonly ignored?: bigint;
}

/**
 * A few addresses that share tables at some levels and not at others. One may be that of another space: what a cache has
 * of the one must not answer for the other.
 * @param width bits of an input address
 * @param levelShifts log2 of what an entry of each level maps, the smallest pages first
 */
export function nearbyAddresses(world: World, width: number, levelShifts: readonly number[]): bigint[] {
  const { random } = world;
  const shifts = levelShifts.filter((shift) => shift < width);
  const known = world.addresses.length > 0 && random.oneIn(2) ? random.pick(world.addresses) : null;
  const start = known === null ? random.bits(width) : BigInt.asUintN(width, known);
  const base = (start >> BigInt(shifts[0]!)) << BigInt(shifts[0]!);
  world.addresses.push(base);
  const out = [base];
  for (let i = 3 + random.below(4); i > 0; i--) {
    const shift = random.pick(shifts);
    const index = 1n + random.bits(9);
    out.push(BigInt.asUintN(width, base ^ (index << BigInt(shift))));
  }
  return out;
}

/** log2 of what entries map, level by level from the smallest pages on. */
export function levelShifts(pageShift: number, bits: number, levels: number): number[] {
  return Array.from({ length: levels }, (_, i) => pageShift + bits * i);
}

/**
 * Maps pages of several sizes, mostly the smallest.
 * @param shiftOf log2 of a page of a level
 * @param width bits of an output address
 */
export function mapPages(
  tables: BuiltTables,
  addresses: readonly bigint[],
  shiftOf: (level: number) => number,
  width: number,
  below: Below | null,
): Mapped[] {
  const { world, format } = tables;
  const mapped: Mapped[] = [];
  for (const address of addresses) {
    const level = world.random.oneIn(3) ? world.random.pick(format.leafLevels) : format.leafLevels[0]!;
    const shift = shiftOf(level);
    const iova = (address >> BigInt(shift)) << BigInt(shift);
    const page = world.page(shift, width);
    if (tables.map(iova, below?.toIntermediate(page, shift) ?? page, level))
      mapped.push({ iova: BigInt.asUintN(64, iova), bytes: 1n << BigInt(shift) });
  }
  return mapped;
}

/** A second stage whose intermediate addresses differ from the host's by one bit, so that a stage left out shows. */
export class ShiftedStage implements Below {
  readonly #tables: BuiltTables;
  readonly #offset: bigint;
  readonly #width: number;
  readonly #pageShift: number;

  /**
   * @param width bits of an intermediate address
   * @param pageShift log2 of the smallest pages of the second stage
   */
  constructor(tables: BuiltTables, width: number, pageShift: number) {
    this.#tables = tables;
    this.#width = width;
    this.#pageShift = pageShift;
    const bits = [30, 31, 33, 36].filter((bit) => bit < width);
    this.#offset = bits.length === 0 ? 0n : 1n << BigInt(tables.world.random.pick(bits));
  }

  toIntermediate(host: bigint, shift: number): bigint {
    const page = BigInt(this.#pageShift);
    const from = BigInt.asUintN(this.#width, host ^ this.#offset);
    const pages = 1n << BigInt(Math.max(shift - this.#pageShift, 0));
    const [level] = this.#tables.format.leafLevels;
    // Of a large page, where it begins and where it ends.
    const all =
      pages <= MOST_PAGES ? Array.from({ length: Number(pages) }, (_, i) => BigInt(i)) : [0n, 1n, pages - 1n];
    for (const index of all) {
      const at = index << page;
      this.#tables.map(((from >> page) << page) + at, ((host >> page) << page) + at, level!);
    }
    return from;
  }
}

/** What caches have of a context or a PASID entry, and of what was translated through it. */
export function contextUses(tags: Tags, cache: "context" | "pasid", stage: number): EntryUse[] {
  const common = { ...tags, stage, level: 0, table: false, above: false, whole: true, frame: 0, shift: 64 };
  return [
    { ...common, cache },
    { ...common, cache: "iotlb" },
  ];
}

/** Adds targets for all that a space maps, and notes them in the structures that lead there. */
export function addTargets(
  world: World,
  device: number,
  pasid: number | undefined,
  mapped: readonly Mapped[],
  path: readonly WorldEntry[],
): ReadonlyMap<bigint, Target> {
  const targets = new Map<bigint, Target>();
  for (const { iova, ...rest } of mapped) {
    const target = { device, pasid, address: iova, ...rest };
    targets.set(iova, target);
    world.targets.push(target);
    for (const entry of path) entry.targets.push(target);
  }
  return targets;
}

/**
 * Devices of a world: of those that the limits allow, or any.
 * @param end ids from here on have no place in the world's tables
 * @param any a number of the vendor's choice
 */
export function chooseDevices(world: World, most: number, end: number, any: () => number): number[] {
  const { random, limits } = world;
  const allowed = limits.devices.filter((id) => id < end);
  if (allowed.length === 0 && limits.devices.length > 0) return [];
  const count = 1 + random.below(Math.min(most, allowed.length || most));
  const devices = new Set<number>();
  for (let tries = 0; devices.size < count && tries < 64; tries++)
    devices.add(allowed.length > 0 ? random.pick(allowed) : any());
  return [...devices];
}
