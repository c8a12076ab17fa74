/** Page tables of a RISC-V IOMMU: every scheme of both stages, in either byte order. */
import { type Below, BuiltTables, type EntryFormat } from "../../fuzz/page-tables.ts";
import { levelShifts, type Mapped, mapPages, nearbyAddresses } from "../../fuzz/spaces.ts";
import type { World } from "../../fuzz/world.ts";
import { entryShift } from "../../page-tables/geometry.ts";
import {
  guestBits,
  SV32_LEVELS,
  Sv32Entry,
  SvEntry,
  svGeometry,
  svInputBits,
} from "../../page-tables/riscv-sv.ts";
import { PPN_ADDRESS_BITS } from "../layouts.ts";

/** A second stage's root is four tables. */
const X4_BITS = 2;
/** A NAPOT entry stands for 16 pages; what its PPN ends in, and the mark of such a page in the address given to `leaf`. */
const NAPOT_PAGES = 16;
const NAPOT_PPN = 0x8n;
const NAPOT_MARK = 1n;
/** Levels whose tables have pages of up to 1 GiB. */
const LEAF_LEVELS = [1, 2, 3];

export interface SvStage {
  readonly tables: BuiltTables;
  readonly levels: number;
  readonly mapped: readonly Mapped[];
}

/** Bits of physical addresses: of 4-byte entries, those that PPNs of 22 bits reach. */
function svOutputBits(world: World, levels: number): number {
  const pas = world.state.property("output_bits") ?? world.field("capabilities", "PAS");
  return Math.min(pas, levels === SV32_LEVELS ? 34 : PPN_ADDRESS_BITS);
}

function formatOf(
  levels: number,
  littleEndian: boolean,
  leaf: () => Readonly<Record<string, number>>,
): EntryFormat {
  const layout = levels === SV32_LEVELS ? Sv32Entry : SvEntry;
  return {
    geometry: svGeometry(levels),
    littleEndian,
    leafLevels: LEAF_LEVELS.slice(0, levels),
    layout: () => layout,
    table: (address) => ({ V: 1, PPN: address >> 12n }),
    leaf: (address) => ({
      ...{ V: 1, R: 1, W: 1, X: 1, A: 1, D: 1, ...(levels === SV32_LEVELS ? {} : { PBMT: 0 }) },
      ...leaf(),
      PPN: address >> 12n,
      ...((address & NAPOT_MARK) !== 0n ? { N: 1 } : {}),
    }),
  };
}

/** @param bigEndian tc.SBE */
export function firstSvStage(
  world: World,
  levels: number,
  bigEndian: boolean,
  below: Below | null,
  width: number,
): SvStage {
  const { random } = world;
  const geometry = svGeometry(levels);
  const leaf = () => ({ U: random.oneIn(6) ? 0 : 1, G: random.oneIn(8) ? 1 : 0 });
  const format = formatOf(levels, !bigEndian, leaf);
  const tables = new BuiltTables(world, format, { level: levels, indexBits: geometry.bits, stage: 1 }, below);
  const sv32 = levels === SV32_LEVELS;
  // The highest bit of an address is copied into all above it, but where addresses have 32 bits.
  const sign = svInputBits(levels) - (sv32 ? 0 : 1);
  const addresses = nearbyAddresses(world, sign, levelShifts(12, geometry.bits, levels)).map((iova) =>
    !sv32 && random.oneIn(4) ? BigInt.asUintN(64, iova | (-1n << BigInt(sign))) : iova,
  );
  const shiftOf = (level: number) => entryShift(geometry, level);
  const mapped = mapPages(tables, addresses, shiftOf, Math.min(width, svOutputBits(world, levels)), below);
  if (!sv32 && below === null && random.oneIn(2)) mapped.push(...napotPage(world, tables, sign));
  return { tables, levels, mapped };
}

/** A page of 64 KiB: all of its entries say so. */
function napotPage(world: World, tables: BuiltTables, width: number): Mapped[] {
  const iova = (world.random.bits(width) >> 16n) << 16n;
  const page = world.page(16, svOutputBits(world, tables.shape.level)) | (NAPOT_PPN << 12n) | NAPOT_MARK;
  const parts = Array.from({ length: NAPOT_PAGES }, (_, i) => iova + (BigInt(i) << 12n));
  return parts.map((part) => tables.map(part, page, 1)).every((done) => done)
    ? [{ iova, bytes: 1n << 16n }]
    : [];
}

/**
 * @param alone requests go to what it maps
 * @param most bits of a guest-physical address
 */
export function secondSvStage(
  world: World,
  levels: number,
  bigEndian: boolean,
  alone: boolean,
  most: number,
): SvStage {
  const geometry = svGeometry(levels);
  const format = formatOf(levels, !bigEndian, () => ({ U: 1 }));
  const shape = { level: levels, indexBits: geometry.bits + X4_BITS, stage: 2 } as const;
  const tables = new BuiltTables(world, format, shape);
  if (!alone) return { tables, levels, mapped: [] };
  const width = Math.min(guestBits(levels), most);
  const addresses = nearbyAddresses(world, width, levelShifts(12, geometry.bits, levels));
  const shiftOf = (level: number) => entryShift(geometry, level);
  return { tables, levels, mapped: mapPages(tables, addresses, shiftOf, svOutputBits(world, levels), null) };
}
