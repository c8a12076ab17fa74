/** Context descriptors of a stream: one, or a table of them, in any format. */
import { addTargets, contextUses, type Mapped } from "../../fuzz/spaces.ts";
import type { World, WorldEntry } from "../../fuzz/world.ts";
import { REGIME_EL1, REGIME_EL2 } from "../../invalidation.ts";
import { Cd, L1Cd } from "../cd.ts";
import { S1DSS_BYPASS, S1DSS_SUBSTREAM0, S1FMT_LINEAR, STRW_EL2, Ste } from "../ste.ts";
import { cdSplit } from "../structures.ts";
import { type Guest, spaceOf } from "./guests.ts";
import type { ArmStage } from "./spaces.ts";

/** SubstreamIDs of a world are below this, so that linear tables stay small. */
const MOST_SSID_BITS = 7;
const TOP_BYTE = 0xffn << 56n;

/** Puts them into a table that the STE points to. @param path to it, and it */
export function addContexts(
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
