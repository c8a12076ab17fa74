/** Worlds of an AMD IOMMU: host tables of every mode, guest CR3 tables of every depth, nested or not. */

import type { Below, BuiltTables } from "../../fuzz/page-tables.ts";
import { addTargets, chooseDevices, contextUses, type Mapped, ShiftedStage } from "../../fuzz/spaces.ts";
import type { World, WorldEntry } from "../../fuzz/world.ts";
import { REGIME_EL1 } from "../../invalidation.ts";
import { amdV1InputBits } from "../../page-tables/amd-v1.ts";
import { DeviceTableEntry, Gcr3Entry } from "../device-table-entry.ts";
import { gcr3TableLimit, PASID_BITS_PER_LEVEL } from "../gcr3-table.ts";
import { guestTables, hostTables, hostWidth } from "./spaces.ts";

/** EFR.HATS and EFR.GATS. */
const HOST_LEVELS = [4, 5, 6, 0];
const ENTRIES_PER_FRAME = 128;
/** Bits of an address that passes. */
const HOST_WIDTH = 52;

/** A domain's host tables. */
interface Domain {
  readonly id: number;
  /** 0: GPAs are SPAs. */
  readonly mode: number;
  readonly host: { readonly tables: BuiltTables; readonly mapped: readonly Mapped[] } | null;
  readonly below: Below | null;
  readonly guest: boolean;
}

export function buildAmdWorld(world: World): void {
  setRegisters(world);
  const { random } = world;
  const frames = random.pick([1, 2, 8, 64]);
  const table = world.alloc(4096 * frames);
  // Entries may stand beyond the table's end.
  const declared = random.oneIn(8) ? 1 : frames;
  world.register("dev_tab_base", { SIZE: declared - 1, DEVTABBASE: table >> 12n });
  const domains = [makeDomain(world), makeDomain(world)];
  const entries = ENTRIES_PER_FRAME * frames;
  for (const device of chooseDevices(world, 3, entries, () => random.below(entries))) {
    const index = random.below(domains.length);
    addDevice(world, table, device, domains[index]!);
    // What is translated under a domain and a PASID is the same for all: devices with guest tables have their own.
    if (domains[index]!.guest) domains[index] = makeDomain(world);
  }
}

function setRegisters(world: World): void {
  const { random } = world;
  const lacks = (n: number) => (random.oneIn(n) ? 0 : 1);
  const control = { IOMMUEN: 1, EVENTLOGEN: 1, CMDBUFEN: 1, COHERENT: 1, GTEN: lacks(6) };
  world.register("control", { ...control, GCR3TRPMODE: random.below(2), EPHEN: random.below(2) });
  const efr = {
    ...{
      NXSUP: lacks(4),
      GTSUP: lacks(8),
      USSUP: lacks(4),
      IASUP: 1,
      GIOSUP: lacks(4),
      EPHSUP: random.below(2),
    },
    ...{ HATS: random.pick([2, 2, 1, 0]), GATS: random.pick([1, 1, 0]), GLXSUP: random.pick([2, 2, 1, 0]) },
    PASMAX: random.pick([19, 19, 15, 8]),
  };
  world.register("efr", efr);
  world.register("efr2", { GCR3TRPMODESUP: random.below(2), HTRANGEIGNORE: random.below(2) });
  if (!world.isFixed("efr")) world.state.props.set("output_bits", random.pick([52, 48, 48, 40]));
}

function makeDomain(world: World): Domain {
  const { random } = world;
  const id = world.freshId("DomainID", 2 ** 16);
  const levels = HOST_LEVELS[world.field("efr", "HATS")]!;
  const guests = world.has("efr", "GTSUP") && world.has("control", "GTEN") && world.limits.pasid;
  const guest = guests && !random.oneIn(3);
  const mode = levels === 0 || (guest && random.oneIn(3)) ? 0 : 1 + random.below(levels);
  // A guest's addresses need more than two levels.
  const used = guest && mode > 0 ? Math.max(mode, Math.min(4, levels)) : mode;
  const host = used === 0 ? null : hostTables(world, used, !guest);
  const width = Math.min(amdV1InputBits(used), 52);
  const below = guest && host !== null ? new ShiftedStage(host.tables, width, 12) : null;
  return { id, mode: used, host, below, guest };
}

function addDevice(world: World, table: bigint, device: number, domain: Domain): void {
  const { random } = world;
  const giov = domain.guest && world.has("efr", "GIOSUP") && random.oneIn(2);
  const glx = domain.guest ? random.below(world.field("efr", "GLXSUP") + 1) : 0;
  const levels = world.has("efr", "GATS") && random.oneIn(3) ? 5 : 4;
  const gcr3 = domain.guest ? world.alloc(4096) : 0n;
  const rootIsGuests = world.has("control", "GCR3TRPMODE") && world.has("efr2", "GCR3TRPMODESUP");
  const pointer = rootIsGuests ? (domain.below?.toIntermediate(gcr3, 12) ?? gcr3) : gcr3;
  const entry = world.put(DeviceTableEntry, table + BigInt(DeviceTableEntry.bytes * device), {
    ...{ V: 1, TV: 1, MODE: domain.mode, HPTROOT: (domain.host?.tables.root ?? 0n) >> 12n },
    ...{ GV: domain.guest ? 1 : 0, GLX: glx, GIOV: giov ? 1 : 0, GCR3TRP: pointer >> 12n },
    ...{ GUESTPAGINGMODE: domain.guest ? levels - 4 : 0, IR: 1, IW: 1, DOMAINID: domain.id },
    ...(world.withAts ? { I: random.below(2) } : {}),
    ...{ SA: random.oneIn(6) ? 1 : 0, SYSMGT: random.below(4), IOCTL: random.below(3) },
  });
  const tags = {
    ...{ device, pasid: -1, domain: domain.id, space: -1, regime: REGIME_EL1 },
    nested: domain.below !== null,
  };
  entry.uses.push(...contextUses(tags, "context", 2));
  const mapped = domain.host === null ? [passingPage(world)] : domain.host.mapped;
  // Without PASID the host's tables alone translate, unless GIOV says otherwise.
  const host = addTargets(world, device, undefined, giov ? [] : mapped, [entry]);
  if (!domain.guest) {
    domain.host?.tables.usedBy(tags, (iova) => host.get(iova));
    return;
  }
  const limit = Math.min(gcr3TableLimit(glx), 2 ** (world.field("efr", "PASMAX") + 1));
  for (const pasid of new Set([0, random.below(limit), random.below(Math.min(limit, 8))]))
    addPasid(world, device, pasid, giov && pasid === 0, glx, gcr3, levels, domain, entry);
}

/** Where nothing is translated: memory, so that it shows where a request has gone. */
function passingPage(world: World): Mapped {
  return { iova: world.page(12, HOST_WIDTH), bytes: 0x1000n };
}

/** @param rid requests without PASID use it as well */
function addPasid(
  world: World,
  device: number,
  pasid: number,
  rid: boolean,
  glx: number,
  gcr3: bigint,
  levels: number,
  domain: Domain,
  dte: WorldEntry,
): void {
  const path = [dte];
  let table = gcr3;
  for (let level = glx; level > 0; level--) {
    const at = table + BigInt(Gcr3Entry.bytes * indexOf(pasid, level));
    const next = nextOf(world, at);
    path.push(world.put(Gcr3Entry, at, { V: 1, GCR3: pointerTo(domain, next) }));
    table = next;
  }
  const at = table + BigInt(Gcr3Entry.bytes * indexOf(pasid, 0));
  if (world.entryAt(at) !== undefined) return;
  const width = Math.min(
    hostWidth(world),
    domain.below === null ? 64 : Math.min(amdV1InputBits(domain.mode), 52),
  );
  const guest = guestTables(world, levels, domain.below, width);
  const entry = world.put(Gcr3Entry, at, { V: 1, GCR3: guest.tables.rootPointer >> 12n });
  path.push(entry);
  const nested = domain.below !== null;
  const tags = { device, pasid, domain: domain.id, space: pasid, regime: REGIME_EL1, nested };
  for (const upper of path.slice(1)) upper.uses.push(...contextUses(tags, "pasid", 1));
  for (const asked of rid ? [undefined, pasid] : [pasid]) {
    const targets = addTargets(world, device, asked, guest.mapped, path);
    guest.tables.usedBy(tags, (iova) => targets.get(iova));
    const [first] = targets.values();
    if (nested) domain.host!.tables.usedBy(tags, () => first);
  }
}

function indexOf(pasid: number, level: number): number {
  return (pasid >>> (PASID_BITS_PER_LEVEL * level)) & (2 ** PASID_BITS_PER_LEVEL - 1);
}

function pointerTo(domain: Domain, table: bigint): bigint {
  return (domain.below?.toIntermediate(table, 12) ?? table) >> 12n;
}

/** Host addresses of the tables that entries of guest CR3 tables point to: these hold guest-physical ones. */
const TABLES = new WeakMap<World, Map<bigint, bigint>>();

function nextOf(world: World, at: bigint): bigint {
  const tables = TABLES.get(world) ?? new Map<bigint, bigint>();
  TABLES.set(world, tables);
  const next = tables.get(at) ?? world.alloc(4096);
  tables.set(at, next);
  return next;
}
