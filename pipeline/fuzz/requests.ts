import type { Random } from "../../walkers/fuzz/random.ts";
import type { FuzzedAddressType, Target, World, WorldRecord } from "../../walkers/fuzz/world.ts";
import { deviceName, IOMMUS } from "../../walkers/models.ts";
import { MAX_PASID_BITS } from "../../walkers/request.ts";
import { hex } from "../../walkers/word64.ts";

const TOP = 2n ** 64n;
const PAGE = 4096;

/** Makes requests of a world's devices: to what is mapped, to its borders, to what is not. */
export class Requests {
  readonly #world: World;
  readonly #random: Random;
  #seq = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  /** The number of a further request. */
  number(): number {
    return ++this.#seq;
  }

  /** @param given whose addresses; undefined: any */
  next(given?: Target): WorldRecord {
    const random = this.#random;
    const { limits } = this.#world;
    const target = given ?? this.#anyTarget();
    const address = this.#address(target);
    const pasid = this.#pasid(target);
    const access = random.pick(limits.accesses);
    const priv = limits.priv && random.oneIn(3);
    const len = this.#length(address);
    return this.#record(this.#device(target), pasid, address, len, access, priv, this.#addressType());
  }

  /** One that a driver would have its device make: a byte that is mapped, and the access that is granted most often. */
  plain(target: Target): WorldRecord {
    const { model, limits } = this.#world;
    const { device, pasid } = target;
    const address = this.#inside(target);
    const at = this.#addressType();
    return this.#record(deviceName(model, device), pasid, address, 1, limits.accesses[0]!, false, at);
  }

  /** Another access to the page of a request. */
  otherwise({ access, priv, ...request }: WorldRecord): WorldRecord {
    const random = this.#random;
    const { limits } = this.#world;
    const others = limits.accesses.filter((other) => other !== access);
    const toggled = others.length === 0 || (limits.priv && random.oneIn(3));
    return {
      ...request,
      seq: this.number(),
      access: toggled ? access : random.pick(others),
      ...((priv === true) !== (toggled && limits.priv) ? { priv: true } : {}),
    };
  }

  /** The same request of another device or PASID, whose space it means something else in, or the same. */
  elsewhere({ pasid, ...request }: WorldRecord): WorldRecord {
    const other = this.#anyTarget();
    return {
      ...request,
      seq: this.number(),
      dev: deviceName(this.#world.model, other.device),
      ...(other.pasid === undefined ? {} : { pasid: other.pasid }),
    };
  }

  /** A byte of what is mapped, said in any of the ways that mean it. */
  #inside({ address, bytes, ignored = 0n }: Target): bigint {
    const random = this.#random;
    const inside = address + (random.bits(52) % bytes);
    return ignored !== 0n && random.oneIn(2) ? inside ^ (random.bits(64) & ignored) : inside;
  }

  #record(
    dev: string,
    pasid: number | undefined,
    address: bigint,
    len: number,
    access: string,
    priv: boolean,
    at: FuzzedAddressType,
  ): WorldRecord {
    return {
      type: "dma",
      seq: this.number(),
      iommu: "iommu0",
      dev,
      ...(pasid === undefined ? {} : { pasid }),
      addr: hex(address),
      len,
      access,
      ...(priv ? { priv } : {}),
      ...(at === "untranslated" ? {} : { at }),
    };
  }

  #addressType(): FuzzedAddressType {
    const { addressTypes } = this.#world.limits;
    return addressTypes.length > 1 && this.#random.oneIn(4)
      ? this.#random.pick(addressTypes)
      : addressTypes[0]!;
  }

  #anyTarget(): Target {
    const { targets } = this.#world;
    if (targets.length > 0) return this.#random.pick(targets);
    return { device: this.#world.limits.devices[0] ?? 8, pasid: undefined, address: 0x1000n, bytes: 0x1000n };
  }

  #address(target: Target): bigint {
    const random = this.#random;
    const { landmarks } = this.#world;
    const { address, bytes } = target;
    const inside = this.#inside(target);
    let asked: bigint;
    switch (random.below(12)) {
      case 0:
        asked = address;
        break;
      case 1:
        asked = address + bytes - 1n;
        break;
      case 2:
        asked = address + bytes;
        break;
      case 3:
        asked = address - 1n;
        break;
      case 4:
        asked = inside ^ (1n << BigInt(12 + random.below(52)));
        break;
      case 5:
        asked = landmarks.length > 0 && random.oneIn(4) ? random.pick(landmarks) + random.bits(12) : inside;
        break;
      case 6:
        // What another space maps there is none of this one's.
        asked = this.#anyTarget().address;
        break;
      default:
        asked = inside;
    }
    return BigInt.asUintN(64, asked);
  }

  #pasid(target: Target): number | undefined {
    const random = this.#random;
    const { limits } = this.#world;
    if (!limits.pasid) return undefined;
    if (!random.oneIn(12)) return target.pasid;
    const other = random.pick([
      undefined,
      0,
      random.below(2 ** MAX_PASID_BITS),
      (target.pasid ?? 0) ^ (1 << random.below(MAX_PASID_BITS)),
    ]);
    return other !== undefined && other < limits.leastPasid ? limits.leastPasid : other;
  }

  #device(target: Target): string {
    const random = this.#random;
    const { model, limits } = this.#world;
    let id = target.device;
    if (random.oneIn(24))
      id =
        limits.devices.length > 0
          ? random.pick(limits.devices)
          : (id ^ (1 << random.below(IOMMUS[model].device.bits - 1))) >>> 0;
    return deviceName(model, id);
  }

  #length(address: bigint): number {
    const random = this.#random;
    const most = Math.min(this.#world.limits.len, Number(min(TOP - address, 2n ** 32n)));
    const length = random.oneIn(8) ? random.pick([PAGE, 2 * PAGE, 64, 2]) : random.pick([1, 1, 4, 8]);
    return Math.max(1, Math.min(length, most));
  }
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
