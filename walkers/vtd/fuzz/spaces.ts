/** Address spaces of a VT-d unit: first and second stages of every width and page size, nested ones, pass-through. */
import { BuiltTables, type EntryFormat } from "../../fuzz/page-tables.ts";
import { levelShifts, type Mapped, mapPages, nearbyAddresses, ShiftedStage } from "../../fuzz/spaces.ts";
import type { World } from "../../fuzz/world.ts";
import { RADIX512 } from "../../page-tables/geometry.ts";
import { radix512Shift } from "../../page-tables/radix512.ts";
import { SecondStageEntry } from "../../page-tables/vtd-second-stage.ts";
import { X86Entry, x86InputBits } from "../../page-tables/x86-64.ts";
import { PGTT_FIRST_STAGE, PGTT_NESTED, PGTT_PASS_THROUGH, PGTT_SECOND_STAGE } from "../structures.ts";

/** Translation under one domain id. */
export interface Space {
  /** PGTT, whatever the mode. */
  readonly type: number;
  readonly domain: number;
  readonly second: BuiltTables | null;
  readonly secondLevels: number;
  readonly first: BuiltTables | null;
  readonly firstLevels: number;
  /** The second stage below a first one; null: there is none. */
  readonly under: Under | null;
  readonly mapped: readonly Mapped[];
}

interface Under {
  readonly second: BuiltTables;
  readonly secondLevels: number;
  /** Bits of an address that it translates. */
  readonly width: number;
  readonly stage: ShiftedStage;
}

const USUAL_LEVELS = 4;
const INDEX_BITS = RADIX512.bits;

export function makeSpaces(world: World, scalable: boolean): Space[] {
  const { random } = world;
  const ids = 2 ** (2 * world.field("cap", "ND") + 4);
  const types = scalable ? scalableTypes(world) : legacyTypes(world);
  const spaces: Space[] = [];
  for (let i = 2 + random.below(3); i > 0; i--) {
    const type = random.pick(types);
    const alike = spaces.filter((space) => space.type === type && space.first !== null);
    // What a first stage translates is told apart by PASIDs within a domain (6.2.1); the second stage below it is one.
    if (alike.length > 0 && random.oneIn(2)) spaces.push(beside(world, random.pick(alike)));
    else spaces.push(makeSpace(world, world.freshId("DID", ids), type));
  }
  return spaces;
}

/** Another first stage in the domain of a space. */
function beside(world: World, { type, domain, secondLevels, under }: Space): Space {
  const start = { type, domain, second: null, secondLevels, first: null, under: null };
  return firstStage(world, start, under);
}

function legacyTypes(world: World): number[] {
  const second = [PGTT_SECOND_STAGE, PGTT_SECOND_STAGE, PGTT_SECOND_STAGE, PGTT_SECOND_STAGE];
  return passesThrough(world) ? [...second, PGTT_PASS_THROUGH] : second;
}

function passesThrough(world: World): boolean {
  return world.has("ecap", "PT") && world.limits.untranslated;
}

function scalableTypes(world: World): number[] {
  const types: number[] = [];
  const first = world.has("ecap", "FSTS");
  const second = world.has("ecap", "SSTS");
  if (first) types.push(PGTT_FIRST_STAGE, PGTT_FIRST_STAGE);
  if (second) types.push(PGTT_SECOND_STAGE, PGTT_SECOND_STAGE);
  if (first && second && world.has("ecap", "NEST")) types.push(PGTT_NESTED, PGTT_NESTED);
  if (passesThrough(world) || types.length === 0) types.push(PGTT_PASS_THROUGH);
  return types;
}

function makeSpace(world: World, domain: number, type: number): Space {
  const none = { type, domain, second: null, secondLevels: widestLevels(world), first: null, under: null };
  if (type === PGTT_PASS_THROUGH) {
    const mapped = [{ iova: 0x1234_5000n, bytes: 0x1000n }];
    return { ...none, firstLevels: USUAL_LEVELS, mapped };
  }
  if (type === PGTT_SECOND_STAGE) return secondStage(world, none);
  return firstStage(world, none, type === PGTT_NESTED ? underOf(world) : null);
}

function underOf(world: World): Under {
  const tables = secondTables(world);
  return { ...tables, stage: new ShiftedStage(tables.second, tables.width, 12) };
}

/** Levels of second stages that CAP.SAGAW has. */
function levelsOf(world: World): number[] {
  const levels = [3, 4, 5].filter((n) => (world.field("cap", "SAGAW") & (1 << (n - 2))) !== 0);
  return levels.length > 0 ? levels : [USUAL_LEVELS];
}

export function widestLevels(world: World): number {
  return levelsOf(world).at(-1)!;
}

function hostWidth(world: World): number {
  return world.state.property("output_bits") ?? 52;
}

function secondTables(world: World): { second: BuiltTables; secondLevels: number; width: number } {
  const secondLevels = world.random.pick(levelsOf(world));
  const pages = world.field("cap", "SSLPS");
  const format: EntryFormat = {
    geometry: RADIX512,
    littleEndian: true,
    leafLevels: [1, ...((pages & 1) !== 0 ? [2] : []), ...((pages & 2) !== 0 ? [3] : [])],
    layout: () => SecondStageEntry,
    table: (address) => ({ R: 1, W: 1, A: 1, ADDR: address >> 12n }),
    leaf: (address, level) => ({
      R: 1,
      W: world.random.oneIn(6) ? 0 : 1,
      A: 1,
      D: 1,
      SNP: 0,
      ADDR: address >> 12n,
      PS: level > 1 ? 1 : 0,
    }),
  };
  const second = new BuiltTables(world, format, { level: secondLevels, indexBits: INDEX_BITS, stage: 2 });
  const width = Math.min(world.field("cap", "MGAW") + 1, radix512Shift(secondLevels + 1));
  return { second, secondLevels, width };
}

type Start = Pick<Space, "type" | "domain" | "first" | "second" | "secondLevels" | "under">;

function secondStage(world: World, start: Start): Space {
  const { second, secondLevels, width } = secondTables(world);
  const addresses = nearbyAddresses(world, width, levelShifts(12, INDEX_BITS, secondLevels));
  const mapped = mapPages(second, addresses, radix512Shift, hostWidth(world), null);
  return { ...start, second, secondLevels, firstLevels: USUAL_LEVELS, mapped };
}

function firstStage(world: World, start: Start, under: Under | null): Space {
  const below = under?.stage ?? null;
  const firstLevels = world.has("cap", "FS5LP") && world.random.oneIn(3) ? 5 : USUAL_LEVELS;
  const shape = { level: firstLevels, indexBits: INDEX_BITS, stage: 1 } as const;
  const first = new BuiltTables(world, firstFormat(world), shape, below);
  const signBit = x86InputBits(firstLevels) - 1;
  // The highest bit of an address is copied into all above it.
  const addresses = nearbyAddresses(world, signBit, levelShifts(12, INDEX_BITS, firstLevels)).map((iova) =>
    world.random.oneIn(4) ? BigInt.asUintN(64, iova | (-1n << BigInt(signBit))) : iova,
  );
  const width = Math.min(hostWidth(world), under?.width ?? 64);
  const mapped = mapPages(first, addresses, radix512Shift, width, below);
  return {
    ...start,
    second: under?.second ?? null,
    secondLevels: under?.secondLevels ?? start.secondLevels,
    first,
    firstLevels,
    under,
    mapped,
  };
}

function firstFormat(world: World): EntryFormat {
  const table = { P: 1, RW: 1, US: 1, A: 1, EA: 1 };
  return {
    geometry: RADIX512,
    littleEndian: true,
    leafLevels: world.has("cap", "FS1GP") ? [1, 2, 3] : [1, 2],
    layout: () => X86Entry,
    table: (address) => ({ ...table, ADDR: address >> 12n }),
    leaf: (address, level) => ({
      ...table,
      RW: world.random.oneIn(5) ? 0 : 1,
      D: 1,
      XD: 0,
      ADDR: address >> 12n,
      PS: level > 1 ? 1 : 0,
    }),
  };
}
