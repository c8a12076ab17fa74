/** VMIDs and ASIDs of a world, with what they stand for: each may be that of several streams. */
import type { Below } from "../../fuzz/page-tables.ts";
import type { FieldValues, World } from "../../fuzz/world.ts";
import { GRANULE_4K, GRANULE_16K } from "../../page-tables/vmsav8-64.ts";
import { CONFIG_NESTED } from "../ste.ts";
import { type ArmStage, armOutputBits, firstArmStage, secondArmStage, shiftedBy } from "./spaces.ts";

export const CONFIG_STAGE2 = 6;
const TG0 = (granule: number) => (granule === GRANULE_4K ? 0 : granule === GRANULE_16K ? 2 : 1);
const TG1 = (granule: number) => (granule === GRANULE_4K ? 2 : granule === GRANULE_16K ? 1 : 3);

/** A VMID, and the second stage under it where there is one: of one stream, or of several. */
export interface Guest {
  readonly config: number;
  readonly vmid: number;
  readonly stage: (ArmStage & { readonly sl0: number }) | null;
  readonly below: Below | null;
  /** Fields of its second stage: equal in all STEs that have it. */
  readonly second: FieldValues;
  readonly spaces: AsidSpace[];
}

/** What context descriptors of one ASID have in common. */
export interface AsidSpace {
  readonly el2: boolean;
  readonly asid: number;
  readonly low: ArmStage;
  readonly high: ArmStage | null;
  readonly fields: FieldValues;
}

/** A guest that an earlier stream of the same configuration has, or a new one. */
export function guestOf(world: World, guests: Guest[], config: number): Guest {
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

function secondFields(world: World, stage: ArmStage & { readonly sl0: number }): FieldValues {
  const { random } = world;
  const stallOnly = world.field("idr0", "STALL_MODEL") === 2;
  return {
    ...{ S2T0SZ: 64 - stage.inputBits, S2SL0: stage.sl0, S2TG: TG0(stage.granule), S2AA64: 1 },
    ...{ S2PS: world.field("idr5", "OAS"), S2TTB: stage.tables.root, S2R: lessOften(world) },
    ...{ S2AFFD: random.below(2), S2PTW: random.oneIn(4) ? 1 : 0, S2S: stallOnly ? 1 : 0 },
  };
}

function lessOften(world: World): number {
  return world.random.oneIn(4) ? 0 : 1;
}

/** The address space of an earlier context descriptor under the VMID, or a new one. */
export function spaceOf(world: World, guest: Guest, el2: boolean): AsidSpace {
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
