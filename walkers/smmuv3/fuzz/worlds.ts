/** Worlds of an SMMUv3: linear and 2-level stream tables, every configuration, substreams, shared VMIDs and ASIDs. */
import type { Below } from "../../fuzz/page-tables.ts";
import { addTargets, chooseDevices, contextUses, type Mapped } from "../../fuzz/spaces.ts";
import type { FieldValues, World, WorldEntry } from "../../fuzz/world.ts";
import { REGIME_EL1, REGIME_EL2 } from "../../invalidation.ts";
import { GRANULE_4K, GRANULE_16K } from "../../page-tables/vmsav8-64.ts";
import { Cd, L1Cd } from "../cd.ts";
import {
  CONFIG_BYPASS,
  CONFIG_NESTED,
  CONFIG_STAGE1,
  EATS_FULL,
  EATS_SPLIT_STAGE,
  L1Std,
  S1DSS_BYPASS,
  S1DSS_SUBSTREAM0,
  S1FMT_LINEAR,
  STRW_EL1,
  STRW_EL2,
  Ste,
} from "../ste.ts";
import { cdSplit } from "../structures.ts";
import { type ArmStage, armOutputBits, firstArmStage, secondArmStage, shiftedBy } from "./spaces.ts";

const CONFIG_STAGE2 = 6;
const TG0 = (granule: number) => (granule === GRANULE_4K ? 0 : granule === GRANULE_16K ? 2 : 1);
const TG1 = (granule: number) => (granule === GRANULE_4K ? 2 : granule === GRANULE_16K ? 1 : 3);
/** SubstreamIDs of a world are below this, so that linear tables stay small. */
const MOST_SSID_BITS = 7;
const TOP_BYTE = 0xffn << 56n;
const ANY_ADDRESS: readonly Mapped[] = [{ iova: 0x1234_5000n, bytes: 0x1000n }];

/** A VMID, and the second stage under it where there is one: of one stream, or of several. */
interface Guest {
  readonly config: number;
  readonly vmid: number;
  readonly stage: (ArmStage & { readonly sl0: number }) | null;
  readonly below: Below | null;
  /** Fields of its second stage: equal in all STEs that have it. */
  readonly second: FieldValues;
  readonly spaces: Space[];
}

/** What context descriptors of one ASID have in common. */
interface Space {
  readonly el2: boolean;
  readonly asid: number;
  readonly low: ArmStage;
  readonly high: ArmStage | null;
  readonly fields: FieldValues;
}

export function buildSmmuWorld(world: World): void {
  setRegisters(world);
  const { random } = world;
  const twoLevel = world.has("idr0", "ST_LEVEL") && random.oneIn(2);
  const split = random.pick([6, 8, 10]);
  const log2size = twoLevel ? 16 : random.pick([6, 8, 10]);
  const table = world.alloc(twoLevel ? 8 * 2 ** (log2size - split) : Ste.bytes * 2 ** log2size);
  world.register("strtab_base", { ADDR: table >> 6n, RA: 0 });
  world.register("strtab_base_cfg", {
    LOG2SIZE: log2size,
    SPLIT: twoLevel ? split : 0,
    FMT: twoLevel ? 1 : 0,
  });
  const sids = 2 ** Math.min(log2size, world.field("idr1", "SIDSIZE"));
  const streams: Streams = { table, split: twoLevel ? split : 0, guests: [] };
  const configs = configsOf(world);
  for (const sid of chooseDevices(world, 3, sids, () => random.below(random.oneIn(2) ? 64 : sids)))
    addStream(world, streams, sid, random.pick(configs));
}

interface Streams {
  readonly table: bigint;
  /** 0: linear. */
  readonly split: number;
  /** Those of the streams so far. */
  readonly guests: Guest[];
}

function setRegisters(world: World): void {
  const { random } = world;
  const lacks = (n: number) => (random.oneIn(n) ? 0 : 1);
  const idr0 = {
    ...{ S1P: 1, S2P: lacks(10), TTF: 2, COHACC: 1, HTTU: random.pick([0, 1, 2, 3]), HYP: lacks(3) },
    ...{ ATS: lacks(3), NS1ATS: random.below(2), ASID16: lacks(3), VMID16: lacks(3), CD2L: lacks(5) },
    ...{ TTENDIAN: random.pick([0, 2, 2]), STALL_MODEL: random.pick([0, 1, 1]), TERM_MODEL: random.below(2) },
    ST_LEVEL: lacks(6),
  };
  world.register("idr0", idr0);
  const idr1 = { SIDSIZE: 16, SSIDSIZE: random.pick([20, 20, 8, 5, 0]) };
  world.register("idr1", { ...idr1, ATTR_PERMS_OVR: lacks(3), ATTR_TYPES_OVR: lacks(3) });
  const idr3 = { HAD: 1, XNX: lacks(3), FWB: lacks(3), STT: lacks(3), RIL: lacks(3) };
  world.register("idr3", { ...idr3, BBML: random.below(3), E0PD: lacks(3), EPAN: lacks(3) });
  const oas = random.pick([5, 5, 4, 2, 6]);
  const granules = { GRAN4K: lacks(8), GRAN16K: lacks(5), GRAN64K: lacks(5) };
  world.register("idr5", { OAS: oas, ...granules, DS: oas === 6 ? random.below(2) : 0 });
  world.register("aidr", { ArchMajorRev: 0, ArchMinorRev: random.pick([1, 2, 3]) });
  const checks = world.withAts ? { ATSCHK: random.below(2) } : {};
  world.register("cr0", { SMMUEN: 1, EVENTQEN: 1, CMDQEN: 1, ...checks });
  world.register("cr2", { RECINVSID: random.below(2), E2H: random.below(2) });
  world.register("gbpa", { ABORT: random.below(2) });
}

function configsOf(world: World): number[] {
  const configs = [CONFIG_BYPASS, CONFIG_STAGE1, CONFIG_STAGE1, CONFIG_STAGE1];
  if (world.has("idr0", "S2P"))
    configs.push(CONFIG_STAGE2, CONFIG_STAGE2, CONFIG_NESTED, CONFIG_NESTED, CONFIG_NESTED);
  return configs;
}

/** A guest that an earlier stream of the same configuration has, or a new one. */
function guestOf(world: World, { guests }: Streams, config: number): Guest {
  const { random } = world;
  const alike = guests.filter((guest) => guest.config === config);
  if (alike.length > 0 && random.oneIn(2)) return random.pick(alike);
  const vmid = world.freshId("VMID", world.has("idr0", "VMID16") ? 2 ** 16 : 2 ** 8);
  const nested = config === CONFIG_NESTED;
  const stage = nested || config === CONFIG_STAGE2 ? secondArmStage(world, !nested) : null;
  const below = nested ? shiftedBy(stage!) : null;
  const second = stage === null ? {} : secondFields(world, stage);
  const guest = { config, vmid, stage, below, second, spaces: [] };
  guests.push(guest);
  return guest;
}

function addStream(world: World, streams: Streams, sid: number, config: number): void {
  const { table, split } = streams;
  const path: WorldEntry[] = [];
  let at = table + BigInt(Ste.bytes * sid);
  if (split !== 0) {
    const l1At = table + BigInt(L1Std.bytes * Math.floor(sid / 2 ** split));
    const array = world.entryAt(l1At) ? world.read(l1At, "L2Ptr") << 6n : world.alloc(Ste.bytes * 2 ** split);
    path.push(world.put(L1Std, l1At, { Span: split + 1, L2Ptr: array }));
    at = array + BigInt(Ste.bytes * (sid % 2 ** split));
  }
  const nested = config === CONFIG_NESTED;
  const guest = guestOf(world, streams, config);
  const { vmid, stage } = guest;
  const ste = world.put(Ste, at, steFields(world, config, guest));
  path.push(ste);
  const domain = world.has("idr0", "S2P") ? vmid : -1;
  const tags = { device: sid, pasid: -1, domain, space: -1, regime: REGIME_EL1, nested };
  ste.uses.push(...contextUses(tags, "context", 2));
  if (config === CONFIG_STAGE1 || nested) {
    addContexts(world, sid, guest, ste, path);
    return;
  }
  const targets = addTargets(world, sid, undefined, stage?.mapped ?? ANY_ADDRESS, path);
  stage?.tables.usedBy(tags, (iova) => targets.get(iova));
}

function secondFields(world: World, stage: ArmStage & { readonly sl0: number }): FieldValues {
  const { random } = world;
  const stallOnly = world.field("idr0", "STALL_MODEL") === 2;
  return {
    ...{ S2T0SZ: 64 - stage.inputBits, S2SL0: stage.sl0, S2TG: TG0(stage.granule), S2AA64: 1 },
    ...{ S2PS: world.field("idr5", "OAS"), S2TTB: stage.tables.root, S2R: lessOften(world) },
    ...{ S2AFFD: random.below(2), S2PTW: random.oneIn(4) ? 1 : 0, S2S: stallOnly ? 1 : 0 },
  };
}

function steFields(world: World, config: number, { vmid, second }: Guest): FieldValues {
  const { random } = world;
  const hypervisor = config === CONFIG_STAGE1 && world.has("idr0", "HYP") && random.oneIn(6);
  return {
    ...{ V: 1, Config: config, SHCFG: 1, S2VMID: vmid, STRW: hypervisor ? STRW_EL2 : STRW_EL1 },
    PRIVCFG: world.has("idr1", "ATTR_PERMS_OVR") && random.oneIn(4) ? random.pick([2, 3]) : 0,
    ...second,
    ...(world.withAts && world.has("idr0", "ATS") ? { EATS: eats(world, config) } : {}),
  };
}

/** Full ATS where anything translates; split-stage ATS where both stages do. */
function eats(world: World, config: number): number {
  const { random } = world;
  if (config === CONFIG_BYPASS || world.field("idr0", "STALL_MODEL") === 2) return 0;
  const split = config === CONFIG_NESTED && !world.has("idr0", "NS1ATS");
  return random.pick(split ? [0, EATS_FULL, EATS_SPLIT_STAGE] : [0, EATS_FULL]);
}

function lessOften(world: World): number {
  return world.random.oneIn(4) ? 0 : 1;
}

/** Context descriptors of a stream: one, or a table of them. */
function addContexts(
  world: World,
  sid: number,
  guest: Guest,
  ste: WorldEntry,
  path: readonly WorldEntry[],
): void {
  const { random } = world;
  const most = Math.min(world.field("idr1", "SSIDSIZE"), MOST_SSID_BITS);
  const cdmax = world.limits.pasid && most > 0 && random.below(4) !== 0 ? 1 + random.below(most) : 0;
  const format = cdmax > 0 && world.has("idr0", "CD2L") ? random.below(3) : S1FMT_LINEAR;
  const split = cdSplit(format);
  const entries = format === S1FMT_LINEAR ? 2 ** cdmax : 2 ** Math.max(cdmax - split, 0);
  const bytes = entries * (format === S1FMT_LINEAR ? Cd.bytes : L1Cd.bytes);
  const table = world.alloc(bytes);
  const toStream = (address: bigint, size: number) =>
    guest.below?.toIntermediate(address, Math.max(12, Math.ceil(Math.log2(size)))) ?? address;
  const pointer = toStream(table, bytes);
  const dss = random.pick([0, S1DSS_BYPASS, S1DSS_SUBSTREAM0, S1DSS_SUBSTREAM0]);
  const values = { S1Fmt: format, S1ContextPtr: pointer, S1CDMax: cdmax, S1DSS: cdmax > 0 ? dss : 0 };
  world.put(Ste, ste.address, values);
  const el2 = world.read(ste.address, "STRW") === BigInt(STRW_EL2);
  const ssids = new Set([0, random.below(2 ** cdmax), random.below(2 ** cdmax)]);
  for (const ssid of ssids) {
    const above = [...path];
    let at = table + BigInt(Cd.bytes * ssid);
    if (format !== S1FMT_LINEAR) {
      const l1At = table + BigInt(L1Cd.bytes * Math.floor(ssid / 2 ** split));
      let leaf = world.entryAt(l1At) === undefined ? 0n : leaves(world).get(l1At)!;
      if (leaf === 0n) {
        leaf = world.alloc(Cd.bytes * 2 ** split);
        leaves(world).set(l1At, leaf);
      }
      above.push(world.put(L1Cd, l1At, { V: 1, L2Ptr: toStream(leaf, Cd.bytes * 2 ** split) }));
      at = leaf + BigInt(Cd.bytes * (ssid % 2 ** split));
    }
    const asked =
      cdmax === 0 ? [undefined] : ssid === 0 && dss === S1DSS_SUBSTREAM0 ? [undefined, 0] : [ssid];
    addContext(world, sid, ssid, asked, at, guest, el2, above);
  }
}

/** Host addresses of leaf tables of context descriptors, by their level 1 descriptors: these hold intermediate ones. */
const LEAVES = new WeakMap<World, Map<bigint, bigint>>();
function leaves(world: World): Map<bigint, bigint> {
  const known = LEAVES.get(world) ?? new Map<bigint, bigint>();
  LEAVES.set(world, known);
  return known;
}

/** The address space of an earlier context descriptor under the VMID, or a new one. */
function spaceOf(world: World, guest: Guest, el2: boolean): Space {
  const { random } = world;
  const alike = guest.spaces.filter((space) => space.el2 === el2);
  if (alike.length > 0 && random.oneIn(4)) return random.pick(alike);
  const asids = world.has("idr0", "ASID16") ? 2 ** 16 : 2 ** 8;
  const domain = world.has("idr0", "S2P") && !el2 ? guest.vmid : -1;
  const asid = world.freshId(`ASID of ${domain}`, asids);
  const width = Math.min(armOutputBits(world), guest.stage?.inputBits ?? 64);
  const low = firstArmStage(world, false, guest.below, width);
  const high = !el2 && random.oneIn(3) ? firstArmStage(world, true, guest.below, width) : null;
  const space = { el2, asid, low, high, fields: cdFields(world, asid, low, high) };
  guest.spaces.push(space);
  return space;
}

function addContext(
  world: World,
  sid: number,
  ssid: number,
  asked: readonly (number | undefined)[],
  at: bigint,
  guest: Guest,
  el2: boolean,
  above: readonly WorldEntry[],
): void {
  const regime = el2 ? REGIME_EL2 : REGIME_EL1;
  const domain = world.has("idr0", "S2P") && !el2 ? guest.vmid : -1;
  const { asid, low, high, fields } = spaceOf(world, guest, el2);
  const nested = guest.stage !== null;
  const entry = world.put(Cd, at, fields);
  const tags = { device: sid, pasid: ssid, domain, space: el2 ? -1 : asid, regime, nested };
  entry.uses.push(...contextUses(tags, "pasid", 1));
  for (const upper of above) upper.uses.push(...contextUses(tags, "context", 1));
  const mapped = [
    ...taggedWith(low, world.read(at, "TBI0")),
    ...(high === null ? [] : taggedWith(high, world.read(at, "TBI1"))),
  ];
  for (const pasid of asked) {
    const targets = addTargets(world, sid, pasid, mapped, [...above, entry]);
    for (const half of [low, high])
      half?.tables.usedBy(tags, (iova) => targets.get(BigInt.asUintN(64, iova)));
    const first = [...targets.values()][0];
    guest.stage?.tables.usedBy(tags, () => first);
  }
}

/** With CD.TBI0 or TBI1, the top byte of an address may be anything (3.4.1). */
function taggedWith({ mapped }: ArmStage, tbi: bigint): readonly Mapped[] {
  return tbi === 0n ? mapped : mapped.map((page) => ({ ...page, ignored: TOP_BYTE }));
}

/** CD.IPS: mostly all that the SMMU has, and sometimes less than its pages need. */
function outputSize(world: World): number {
  const most = world.field("idr5", "OAS");
  return world.random.oneIn(6) ? world.random.below(most + 1) : most;
}

function cdFields(world: World, asid: number, low: ArmStage, high: ArmStage | null): FieldValues {
  const { random } = world;
  const rarely = (n: number) => (random.oneIn(n) ? 1 : 0);
  const upper =
    high === null
      ? { EPD1: 1 }
      : { T1SZ: 64 - high.inputBits, TG1: TG1(high.granule), TTB1: high.tables.rootPointer, TBI1: rarely(4) };
  return {
    ...{ V: 1, AA64: 1, A: 1, R: random.oneIn(4) ? 0 : 1, ASID: asid, IPS: outputSize(world) },
    ...{ T0SZ: 64 - low.inputBits, TG0: TG0(low.granule), TTB0: low.tables.rootPointer, TBI0: rarely(4) },
    ...{ S: world.field("idr0", "STALL_MODEL") === 2 ? 1 : 0, AFFD: random.below(2), ASET: 1 },
    ...{
      EPD0: high === null ? 0 : rarely(6),
      E0PD0: 0,
      DS: 0,
      ENDI: 0,
      HA: 0,
      HD: 0,
      WXN: rarely(4),
      PAN: rarely(4),
      HAD0: rarely(4),
      HAD1: rarely(4),
    },
    ...upper,
  };
}
