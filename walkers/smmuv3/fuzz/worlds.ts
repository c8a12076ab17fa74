/** Worlds of an SMMUv3: linear and 2-level stream tables, every configuration, substreams, shared VMIDs and ASIDs. */
import { addTargets, chooseDevices, contextUses, type Mapped } from "../../fuzz/spaces.ts";
import type { FieldValues, World, WorldEntry } from "../../fuzz/world.ts";
import { REGIME_EL1 } from "../../invalidation.ts";
import {
  CONFIG_BYPASS,
  CONFIG_NESTED,
  CONFIG_STAGE1,
  EATS_FULL,
  EATS_SPLIT_STAGE,
  L1Std,
  STRW_EL1,
  STRW_EL2,
  Ste,
} from "../ste.ts";
import { addContexts } from "./contexts.ts";
import { CONFIG_STAGE2, type Guest, guestOf } from "./guests.ts";

const ANY_ADDRESS: readonly Mapped[] = [{ iova: 0x1234_5000n, bytes: 0x1000n }];

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
  const guest = guestOf(world, streams.guests, config);
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
