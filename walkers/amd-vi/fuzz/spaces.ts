/** Page tables of AMD-Vi: the host's of version 1, with every level and page size, and the guest's of version 2. */
import { type Below, BuiltTables, type EntryFormat } from "../../fuzz/page-tables.ts";
import { levelShifts, type Mapped, mapPages, nearbyAddresses } from "../../fuzz/spaces.ts";
import type { World } from "../../fuzz/world.ts";
import { AmdV1Directory, AmdV1Entry, amdV1InputBits } from "../../page-tables/amd-v1.ts";
import { RADIX512 } from "../../page-tables/geometry.ts";
import { radix512Shift } from "../../page-tables/radix512.ts";
import { X86Entry, x86InputBits } from "../../page-tables/x86-64.ts";

const INDEX_BITS = RADIX512.bits;
/** Next Level of a page whose size its address encodes, and the mark of such a page in the address given to `leaf`. */
const SIZED = 7;
const SIZED_MARK = 1n;
const PAGE_SHIFT = 12;
/** Levels whose tables have pages: 4 KiB, 2 MiB, 1 GiB. */
const LEAF_LEVELS = [1, 2, 3];

export function hostWidth(world: World): number {
  return world.state.property("output_bits") ?? 52;
}

const HOST: EntryFormat = {
  geometry: RADIX512,
  littleEndian: true,
  leafLevels: LEAF_LEVELS,
  layout: (_level, leaf) => (leaf ? AmdV1Entry : AmdV1Directory),
  table: (address, level) => ({ PR: 1, NEXT_LEVEL: level - 1, ADDR: address >> 12n, IR: 1, IW: 1 }),
  leaf: (address) => ({
    PR: 1,
    NEXT_LEVEL: (address & SIZED_MARK) !== 0n ? SIZED : 0,
    ADDR: address >> 12n,
    IR: 1,
    IW: 1,
  }),
};

/** Levels that no table is of: entries of `from` point to tables of `to` (2.2.3). */
interface Skip {
  readonly from: number;
  readonly to: number;
}

function skippedLevels({ random }: World, mode: number): Skip {
  const from = 3 + random.below(mode - 2);
  return { from, to: 1 + random.below(from - 2) };
}

/** Bits of an address that the skipped levels would resolve: they have to be zero. */
function skippedBits(skip: Skip | null): bigint {
  if (skip === null) return 0n;
  return (1n << BigInt(radix512Shift(skip.from))) - (1n << BigInt(radix512Shift(skip.to + 1)));
}

function formatOf(mode: number, skip: Skip | null): EntryFormat {
  const leafLevels = LEAF_LEVELS.filter((level) => level <= mode);
  if (skip === null) return { ...HOST, leafLevels };
  const { from, to } = skip;
  const next = (level: number) => (level === from ? to : level - 1);
  return {
    ...HOST,
    leafLevels: leafLevels.filter((level) => level <= to || level >= from),
    next,
    table: (address, level) => ({ ...HOST.table(address, level), NEXT_LEVEL: next(level) }),
  };
}

/** Tables of a mode, 1 to 6. @param alone requests go to what they map */
export function hostTables(
  world: World,
  mode: number,
  alone: boolean,
): { tables: BuiltTables; mapped: Mapped[] } {
  const skip = alone && mode > 2 && world.random.oneIn(3) ? skippedLevels(world, mode) : null;
  const format = formatOf(mode, skip);
  const tables = new BuiltTables(world, format, { level: mode, indexBits: INDEX_BITS, stage: 2 });
  if (!alone) return { tables, mapped: [] };
  const width = amdV1InputBits(mode);
  const addresses = nearbyAddresses(world, width, levelShifts(PAGE_SHIFT, INDEX_BITS, mode));
  // Where it is not translated after all, it shows that a request for memory has gone there.
  if (world.random.oneIn(3)) addresses.push(BigInt.asUintN(width, world.page(PAGE_SHIFT, width)));
  const unskipped = addresses.map((address) => address & ~skippedBits(skip));
  const mapped = mapPages(tables, unskipped, radix512Shift, hostWidth(world), null);
  if (world.random.oneIn(2)) mapped.push(...sizedPage(world, tables, width, skippedBits(skip)));
  return { tables, mapped };
}

/** A page of 8 to 64 KiB: every entry of the level that it covers says so. */
function sizedPage(world: World, tables: BuiltTables, width: number, skipped: bigint): Mapped[] {
  const { random } = world;
  const shift = PAGE_SHIFT + 1 + random.below(4);
  const align = (address: bigint) => (address >> BigInt(shift)) << BigInt(shift);
  const iova = align(random.bits(width)) & ~skipped;
  // 2.2.3: the address bits below the page's size are ones, up to a zero that is the highest of them.
  const size = (1n << BigInt(shift - 1)) - (1n << BigInt(PAGE_SHIFT));
  const page = world.page(shift, hostWidth(world)) | size | SIZED_MARK;
  const parts = Array.from({ length: 2 ** (shift - PAGE_SHIFT) }, (_, i) => iova + (BigInt(i) << 12n));
  const whole = parts.map((part) => tables.map(part, page, 1)).every((done) => done);
  return whole ? [{ iova, bytes: 1n << BigInt(shift) }] : [];
}

const GUEST_FLAGS = { P: 1, RW: 1, US: 1, A: 1 };

function guestFormat({ random }: World): EntryFormat {
  return {
    geometry: RADIX512,
    littleEndian: true,
    leafLevels: LEAF_LEVELS,
    layout: () => X86Entry,
    table: (address) => ({ ...GUEST_FLAGS, ADDR: address >> 12n }),
    leaf: (address, level) => ({
      ...GUEST_FLAGS,
      ...{ RW: random.oneIn(6) ? 0 : 1, XD: random.oneIn(6) ? 1 : 0, US: random.oneIn(8) ? 0 : 1 },
      ...{ D: 1, G: random.oneIn(6) ? 1 : 0, ADDR: address >> 12n, PS: level > 1 ? 1 : 0 },
    }),
  };
}

/** @param levels 4 or 5 */
export function guestTables(
  world: World,
  levels: number,
  below: Below | null,
  width: number,
): { tables: BuiltTables; mapped: Mapped[] } {
  const shape = { level: levels, indexBits: INDEX_BITS, stage: 1 } as const;
  const tables = new BuiltTables(world, guestFormat(world), shape, below);
  const sign = x86InputBits(levels) - 1;
  const addresses = nearbyAddresses(world, sign, levelShifts(PAGE_SHIFT, INDEX_BITS, levels)).map((iova) =>
    world.random.oneIn(4) ? BigInt.asUintN(64, iova | (-1n << BigInt(sign))) : iova,
  );
  return { tables, mapped: mapPages(tables, addresses, radix512Shift, width, below) };
}
