/** Worlds of a VT-d unit: legacy and scalable mode, devices on several buses, shared domains. */
import { addTargets, chooseDevices, contextUses } from "../../fuzz/spaces.ts";
import type { FieldValues, World, WorldEntry } from "../../fuzz/world.ts";
import { REGIME_EL1 } from "../../invalidation.ts";
import { TTM_LEGACY, TTM_SCALABLE } from "../registers.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  PGTT_FIRST_STAGE,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
  TT_DEVICE_TLB,
  TT_PASS_THROUGH,
} from "../structures.ts";
import { makeSpaces, type Space, widestLevels } from "./spaces.ts";

/** PASIDs of the first PASID tables, and those of one. */
const FEW_PASIDS = 2 ** 7;
const TABLE_PASIDS = 2 ** 6;
const UPPER_HALF = 0x80;

export function buildVtdWorld(world: World): void {
  setCapabilities(world);
  const { random } = world;
  const scalable = world.has("ecap", "SMTS") && !random.oneIn(3);
  const root = world.alloc(4096);
  world.register("rtaddr", { RTA: root >> 12n, TTM: scalable ? TTM_SCALABLE : TTM_LEGACY });
  world.register("gsts", { TES: 1, QIES: 1, RTPS: 1 });
  const spaces = makeSpaces(world, scalable);
  const buses = [0, random.oneIn(2) ? 0 : random.below(256)];
  const anywhere = () =>
    (random.pick(buses) << 8) | (random.below(32) << 3) | (random.oneIn(3) ? random.below(8) : 0);
  const tagged = new Map<string, Space>();
  for (const device of chooseDevices(world, 3, 2 ** 16, anywhere))
    if (scalable) addScalableDevice(world, root, device, spaces, tagged);
    else addLegacyDevice(world, root, device, random.pick(spaces));
}

/** Most worlds have nearly everything. */
function setCapabilities(world: World): void {
  const { random } = world;
  const lacks = (n: number) => (random.oneIn(n) ? 0 : 1);
  const cap = {
    ...{ AFL: 0, RWBF: 0, PLMR: 0, PHMR: 0 },
    CM: random.below(2),
    ND: random.pick([6, 6, 4, 2]),
    SAGAW: random.pick([0xe, 0xe, 0xe, 0x6, 0x4, 0x2]),
    MGAW: random.pick([56, 56, 47, 47, 38, 51]),
    SSLPS: random.pick([3, 3, 1, 0]),
    FS1GP: lacks(4),
    FS5LP: lacks(4),
    MAMV: random.pick([63, 18, 9]),
  };
  world.register("cap", cap, true);
  const ecap = {
    ...{ ECS: 0, DIS: 0, MTS: 0, HPTS: 0, PTRS: world.withAts ? random.below(2) : 0, SSIRWS: 0 },
    PSS: random.pick([19, 19, 15, 9, 7]),
    ERS: random.below(2),
    SMPWCS: random.below(2),
    ...{ SRS: lacks(4), SSADS: lacks(3), NEST: lacks(5), PT: lacks(5), SC: lacks(3), DT: lacks(4) },
    ...{ PASID: lacks(12), RPS: lacks(4), SSTS: lacks(12), FSTS: lacks(12), SMTS: lacks(9), EAFS: lacks(3) },
  };
  world.register("ecap", ecap, true);
  if (!world.isFixed("cap")) world.state.props.set("output_bits", random.pick([52, 46, 46, 42, 39]));
}

function addLegacyDevice(world: World, root: bigint, device: number, space: Space): void {
  const rootAt = root + BigInt(RootEntry.bytes * (device >> 8));
  const table = world.tableOf(rootAt, "CTP");
  const rootEntry = world.put(RootEntry, rootAt, { P: 1, CTP: table >> 12n });
  const through = space.type === PGTT_PASS_THROUGH;
  const context = world.put(ContextEntry, table + BigInt(ContextEntry.bytes * (device & 0xff)), {
    P: 1,
    FPD: world.random.oneIn(8) ? 1 : 0,
    TT: through ? TT_PASS_THROUGH : mayUseAts(world) ? TT_DEVICE_TLB : 0,
    SSPTPTR: (space.second?.root ?? 0n) >> 12n,
    AW: (through ? widestLevels(world) : space.secondLevels) - 2,
    DID: space.domain,
  });
  const tags = {
    ...{ device, pasid: -1, domain: space.domain, space: -1, regime: REGIME_EL1 },
    nested: false,
  };
  context.uses.push(...contextUses(tags, "context", 2));
  const targets = addTargets(world, device, undefined, space.mapped, [rootEntry, context]);
  space.second?.usedBy(tags, (iova) => targets.get(iova));
}

/** @param tagged which space a domain and a PASID have */
function addScalableDevice(
  world: World,
  root: bigint,
  device: number,
  spaces: readonly Space[],
  tagged: Map<string, Space>,
): void {
  const { random } = world;
  const half = (device & UPPER_HALF) !== 0 ? "U" : "L";
  const rootAt = root + BigInt(ScalableRootEntry.bytes * (device >> 8));
  const table = world.tableOf(rootAt, `${half}CTP`);
  const rootEntry = world.put(ScalableRootEntry, rootAt, { [`${half}P`]: 1, [`${half}CTP`]: table >> 12n });

  const withPasid = world.has("ecap", "PASID") && world.limits.pasid;
  const pdts = random.pick([0, 0, 1, 7]);
  const limit = Math.min(FEW_PASIDS * TABLE_PASIDS * 2 ** pdts, 2 ** (world.field("ecap", "PSS") + 1));
  const ridPasid =
    world.has("ecap", "RPS") && random.oneIn(2) ? random.below(Math.min(limit, FEW_PASIDS)) : 0;
  const pasids = new Set([ridPasid]);
  while (withPasid && pasids.size < 3) pasids.add(random.below(random.oneIn(2) ? FEW_PASIDS : limit));
  const directory = world.alloc(PasidDirectoryEntry.bytes * FEW_PASIDS * 2 ** pdts);
  const context = world.put(ScalableContextEntry, table + BigInt(32 * (device & (UPPER_HALF - 1))), {
    P: 1,
    FPD: random.oneIn(8) ? 1 : 0,
    ...atsFields(world, withPasid),
    PASIDE: withPasid ? 1 : 0,
    PDTS: pdts,
    PASIDDIRPTR: directory >> 12n,
    RID_PASID: ridPasid,
    RID_PRIV: world.has("ecap", "RPRIVS") && random.oneIn(4) ? 1 : 0,
  });
  for (const pasid of pasids) {
    const path = [rootEntry, context];
    const space = spaceOf(pasid, random.pick(spaces), tagged);
    addPasid(world, directory, device, pasid, pasid === ridPasid, withPasid, space, path);
  }
}

/** 6.2.1: what a domain and a PASID tag is the same for all devices. The space that they have already, or the one drawn. */
function spaceOf(pasid: number, drawn: Space, tagged: Map<string, Space>): Space {
  const tag = `${drawn.domain} ${pasid}`;
  const space = tagged.get(tag) ?? drawn;
  tagged.set(tag, space);
  return space;
}

function mayUseAts(world: World): boolean {
  return world.withAts && world.has("ecap", "DT") && world.random.oneIn(2);
}

function atsFields(world: World, withPasid: boolean): FieldValues {
  const { random } = world;
  if (!world.withAts) return { DTE: world.has("ecap", "DT") && random.oneIn(4) ? 1 : 0 };
  const pasids = withPasid && world.has("ecap", "PTRS") && random.oneIn(2);
  return { DTE: mayUseAts(world) ? 1 : 0, EPTR: pasids ? 1 : 0 };
}

/** @param rid it is that of requests without PASID */
function addPasid(
  world: World,
  directory: bigint,
  device: number,
  pasid: number,
  rid: boolean,
  withPasid: boolean,
  space: Space,
  above: readonly WorldEntry[],
): void {
  const directoryAt = directory + BigInt(PasidDirectoryEntry.bytes * Math.floor(pasid / TABLE_PASIDS));
  const table = world.tableOf(directoryAt, "SMPTBLPTR");
  const directoryEntry = world.put(PasidDirectoryEntry, directoryAt, { P: 1, SMPTBLPTR: table >> 12n });
  const at = table + BigInt(PasidEntry.bytes * (pasid % TABLE_PASIDS));
  const entry = world.put(PasidEntry, at, pasidFields(world, space));
  const nested = space.type === PGTT_NESTED;
  const tags = { device, pasid, domain: space.domain, space: pasid, regime: REGIME_EL1, nested };
  const stage = space.first === null ? 2 : 1;
  for (const upper of above) upper.uses.push(...contextUses(tags, "context", stage));
  directoryEntry.uses.push(...contextUses(tags, "pasid", stage));
  entry.uses.push(...contextUses(tags, "pasid", stage));
  const path = [...above, directoryEntry, entry];
  const asked = [...(rid ? [undefined] : []), ...(withPasid ? [pasid] : [])];
  for (const requested of asked) {
    const targets = addTargets(world, device, requested, space.mapped, path);
    space.first?.usedBy(tags, (iova) => targets.get(iova));
    // Under a first stage, its targets meet all of the second.
    const first = [...targets.values()][0];
    space.second?.usedBy(tags, (iova) => (nested ? first : targets.get(iova)));
  }
}

function pasidFields(world: World, { type, domain, first, second, secondLevels, firstLevels }: Space) {
  const { random } = world;
  const withFirst = type === PGTT_FIRST_STAGE || type === PGTT_NESTED;
  return {
    P: 1,
    FPD: random.oneIn(8) ? 1 : 0,
    AW: secondLevels - 2,
    PGTT: type,
    SSPTPTR: (second?.root ?? 0n) >> 12n,
    DID: domain,
    PWSNP: world.has("ecap", "SMPWCS") ? 1 : 0,
    SRE: withFirst && world.has("ecap", "SRS") ? random.below(2) : 0,
    ERE: withFirst && world.has("ecap", "ERS") ? random.below(2) : 0,
    WPE: withFirst ? random.below(2) : 0,
    FSPM: withFirst ? firstLevels - 4 : 0,
    FSPTPTR: (first?.rootPointer ?? 0n) >> 12n,
  };
}
