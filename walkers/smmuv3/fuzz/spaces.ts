/** Translation tables of an SMMU: both stages, every granule, input size and start level. */
import { type Below, BuiltTables, type EntryFormat } from "../../fuzz/page-tables.ts";
import { levelShifts, type Mapped, mapPages, nearbyAddresses, ShiftedStage } from "../../fuzz/spaces.ts";
import type { World } from "../../fuzz/world.ts";
import type { Layout } from "../../layout.ts";
import { entryShift } from "../../page-tables/geometry.ts";
import {
  FINAL_LEVEL,
  GRANULE_4K,
  GRANULE_16K,
  GRANULE_64K,
  granuleGeometry,
  startLevelOf,
} from "../../page-tables/vmsav8-64.ts";
import { Stage1Descriptor } from "../../page-tables/vmsav8-64-stage1.ts";
import { Stage2Descriptor, stage2Consistent, stage2StartLevel } from "../../page-tables/vmsav8-64-stage2.ts";

/** Sizes that addresses, 64 - TxSZ bits of them, often have, and some that they rarely have. */
const INPUT_BITS = [48, 48, 39, 36, 42, 47, 40, 32, 30, 25];
/** Descriptors have no more than these address bits without FEAT_LPA and FEAT_LPA2. */
const USUAL_ADDRESS_BITS = 48;
const NAMES: Readonly<Record<number, string>> = {
  [GRANULE_4K]: "GRAN4K",
  [GRANULE_16K]: "GRAN16K",
  [GRANULE_64K]: "GRAN64K",
};
const OAS_BITS = [32, 36, 40, 42, 44, 48, 52, 56];
/** Encodings of S2SL0. */
const START_LEVELS = 4;

export function armOutputBits(world: World): number {
  return Math.min(OAS_BITS[world.field("idr5", "OAS")]!, USUAL_ADDRESS_BITS);
}

/** log2 of a granule that the SMMU has; of 4 KiB where it has none. */
function anyGranule(world: World): number {
  const granules = Object.entries(NAMES).filter(([, field]) => world.has("idr5", field));
  return granules.length === 0 ? GRANULE_4K : Number(world.random.pick(granules)[0]);
}

/** One half of a stage 1, or a stage 2. */
export interface ArmStage {
  readonly tables: BuiltTables;
  readonly granule: number;
  readonly inputBits: number;
  readonly mapped: readonly Mapped[];
}

/** @param table fields of descriptors of tables @param leaf and of those that map */
function format(layout: Layout, granule: number, start: number, table: Fields, leaf: Fields): EntryFormat {
  const blocks = granule === GRANULE_4K ? [FINAL_LEVEL, 2, 1] : [FINAL_LEVEL, 2];
  return {
    geometry: granuleGeometry(granule),
    littleEndian: true,
    leafLevels: blocks.filter((level) => level >= start),
    layout: () => layout,
    table: (address) => ({ VALID: 1, TYPE: 1, ADDR: address >> 12n, ...table() }),
    leaf: (address, level) => ({
      ...leaf(),
      VALID: 1,
      TYPE: level === FINAL_LEVEL ? 1 : 0,
      AF: 1,
      SH: 3,
      ADDR: address >> 12n,
    }),
  };
}

type Fields = () => Readonly<Record<string, number>>;

/** Rights that a descriptor of a stage 1 table leaves to all below it: mostly all. */
function tableRights({ random }: World): Readonly<Record<string, number>> {
  const rarely = (most: number) => (random.oneIn(10) ? 1 + random.below(most) : 0);
  return { APTABLE: rarely(3), UXNTABLE: rarely(1), PXNTABLE: rarely(1) };
}

function pageTables(
  world: World,
  layout: Layout,
  granule: number,
  inputBits: number,
  level: number,
  leaf: Fields,
  below: Below | null,
): BuiltTables {
  const indexBits = inputBits - entryShift(granuleGeometry(granule), level);
  const stage = layout === Stage1Descriptor ? 1 : 2;
  const shape = { level, indexBits, stage } as const;
  const table = () => (stage === 1 ? tableRights(world) : {});
  return new BuiltTables(world, format(layout, granule, level, table, leaf), shape, below);
}

function shiftsOf(granule: number, inputBits: number, level: number): number[] {
  const { bits } = granuleGeometry(granule);
  return levelShifts(granule, bits, FINAL_LEVEL - level + 1).filter((shift) => shift < inputBits);
}

/**
 * Tables of one half of a stage 1.
 * @param upper it is the half of addresses whose high bits are ones
 */
export function firstArmStage(world: World, upper: boolean, below: Below | null, width: number): ArmStage {
  const { random } = world;
  const granule = anyGranule(world);
  const inputBits = random.pick(INPUT_BITS);
  const level = startLevelOf(granule, inputBits);
  // What is global mostly is so as a whole, as that of a kernel.
  const most = random.oneIn(4) ? 0 : 1;
  const leaf = () => ({ ATTRINDX: 0, PXN: 0, UXN: 0, DBM: 0, AP: 1, NG: random.oneIn(6) ? 1 - most : most });
  const tables = pageTables(world, Stage1Descriptor, granule, inputBits, level, leaf, below);
  const ones = upper ? -1n << BigInt(inputBits) : 0n;
  const addresses = nearbyAddresses(world, inputBits, shiftsOf(granule, inputBits, level)).map((iova) =>
    BigInt.asUintN(64, iova | ones),
  );
  const shiftOf = (at: number) => entryShift(granuleGeometry(granule), at);
  return { tables, granule, inputBits, mapped: mapPages(tables, addresses, shiftOf, width, below) };
}

/** @param alone its addresses are those of requests: some are mapped */
export function secondArmStage(world: World, alone: boolean): ArmStage & { readonly sl0: number } {
  const { random } = world;
  const granule = anyGranule(world);
  const oas = armOutputBits(world);
  const shapes = INPUT_BITS.filter((bits) => bits <= oas).flatMap((bits) =>
    startLevels(world, granule, bits),
  );
  const shape = random.pick(shapes);
  const leaf = () => ({
    ...{ S2AP: random.oneIn(8) ? 1 + random.below(2) : 3, XN: random.oneIn(8) ? 1 + random.below(3) : 0 },
    ...{ MEMATTR: random.oneIn(4) ? 1 : 0xf, DBM: 0 },
  });
  const { inputBits, level, sl0 } = shape;
  const tables = pageTables(world, Stage2Descriptor, granule, inputBits, level, leaf, null);
  const shiftOf = (at: number) => entryShift(granuleGeometry(granule), at);
  const addresses = alone ? nearbyAddresses(world, inputBits, shiftsOf(granule, inputBits, level)) : [];
  return { tables, granule, inputBits, sl0, mapped: mapPages(tables, addresses, shiftOf, oas, null) };
}

/** Start levels, and how S2SL0 says them, that fit an input size. */
function startLevels(world: World, granule: number, inputBits: number) {
  const stt = world.has("idr3", "STT");
  const oas = OAS_BITS[world.field("idr5", "OAS")]!;
  return Array.from({ length: START_LEVELS }, (_, sl0) => ({
    inputBits,
    sl0,
    level: stage2StartLevel(granule, sl0, false, oas, stt),
  })).filter(({ level }) => !Number.isNaN(level) && stage2Consistent(granule, inputBits, level));
}

export function shiftedBy({ tables, inputBits, granule }: ArmStage): Below {
  return new ShiftedStage(tables, inputBits, granule);
}
