import { IOMMUS } from "../../walkers/models.ts";
import { Names } from "./names.ts";

/** A device as one spelling in a trace names it. */
export interface Device {
  /** Number of this spelling: what `DmaRecord.dev` holds. */
  readonly index: number;
  /** As spelt in the trace. */
  readonly text: string;
  /**
   * Number of the first spelling of the same device: "00:03.0", "0000:00:03.0" and "devid:0x18" share it. Use it
   * as the device's identity.
   */
  readonly canonical: number;
  /** PCI segment; 0 for names that have none. */
  readonly segment: number;
  /** Requester id (16 bits), StreamID (32), DeviceID (16) or device_id (24): what a walker is asked for. */
  readonly id: number;
}

/** What a device name may look like; the words of error messages, docs and JSON Schema. */
export const DEVICE_NAME = {
  expected: '"[ssss:]bb:dd.f", "sid:<n>", "did:<n>" or "devid:<n>"',
  pattern:
    "^(([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]|(sid|did|devid):(0[xX][0-9a-fA-F]+|[0-9]+))$",
} as const;

/** Width of the number behind each prefix: an SMMU's StreamID, RISC-V's device_id, AMD's DeviceID. */
const PREFIX_BITS: Readonly<Record<string, number>> = Object.fromEntries(
  Object.values(IOMMUS).map(({ device }) => [device.prefix, device.bits]),
);

const PCI = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;
const NUMBERED = /^(sid|did|devid):(0[xX][0-9a-fA-F]+|[0-9]+)$/;
const PCI_LIKE = /^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]$/i;

/** What is wrong with a device name: not one at all, or a number in it is too large. */
export type DeviceProblem = "syntax" | "range";

/** The devices that a trace names. A device is parsed once per spelling. */
export class Devices {
  readonly #names = new Names();
  readonly #devices: Device[] = [];
  /** First spellings, by a hash of segment and id: the number of the device + 1, or 0. Half of the slots are free. */
  #slots = new Int32Array(64);
  /** Those that found no slot within MOST_PROBES, by `keyOf`: their numbers were made to collide. */
  readonly #crowded = new Map<string, number>();
  #firsts = 0;

  get size(): number {
    return this.#devices.length;
  }

  get(index: number): Device {
    const device = this.#devices[index];
    if (device === undefined) throw new RangeError(`no device has number ${index}; there are ${this.size}`);
    return device;
  }

  /**
   * Number of the device that bytes `start` to `end` (exclusive) name.
   * @returns -1 where they are not seen before: `parse` knows whether they name a device
   */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.#names.find(bytes, start, end);
  }

  /** As `find`, for a name of which `isShort` (names.ts) holds. */
  findShort(view: DataView, start: number, length: number): number {
    return this.#names.findShort(view, start, length);
  }

  /** The device of this name, added if it is new; or what is wrong with the name. */
  parse(text: string): Device | DeviceProblem {
    const known = this.#names.findText(text);
    if (known >= 0) return this.get(known);
    const parsed = parseDevice(text);
    if (typeof parsed === "string") return parsed;
    const index = this.#names.internText(text);
    const { segment, id } = parsed;
    const slot = this.#slot(this.#slots, segment, id);
    const first = slot < 0 ? (this.#crowded.get(keyOf(segment, id)) ?? -1) : this.#slots[slot]! - 1;
    const device: Device = { index, text, canonical: first < 0 ? index : first, segment, id };
    this.#devices.push(device);
    if (first < 0) {
      if (slot < 0) this.#crowded.set(keyOf(segment, id), index);
      else this.#slots[slot] = index + 1;
      if (++this.#firsts * 2 > this.#slots.length) this.#grow();
    }
    return device;
  }

  /** The slot of a device, or the free one where it belongs; -1 where there is none within MOST_PROBES. */
  #slot(slots: Int32Array, segment: number, id: number): number {
    const mask = slots.length - 1;
    const hash = Math.imul(id ^ Math.imul(segment, 0x85eb_ca6b), 0x9e37_79b1);
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (let probes = MOST_PROBES; probes > 0; probes--, slot = (slot + 1) & mask) {
      const index = slots[slot]! - 1;
      if (index < 0) return slot;
      const known = this.#devices[index]!;
      if (known.id === id && known.segment === segment) return slot;
    }
    return -1;
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 4);
    for (const { index, canonical, segment, id } of this.#devices)
      if (index === canonical) {
        const slot = this.#slot(slots, segment, id);
        if (slot < 0) this.#crowded.set(keyOf(segment, id), index);
        else slots[slot] = index + 1;
      }
    this.#slots = slots;
  }
}

/** Slots that are looked at for a device. */
const MOST_PROBES = 256;

function keyOf(segment: number, id: number): string {
  return `${segment}:${id}`;
}

function parseDevice(text: string): { segment: number; id: number } | DeviceProblem {
  const pci = PCI.exec(text);
  if (pci !== null) {
    const bus = Number.parseInt(pci[2]!, 16);
    const slot = Number.parseInt(pci[3]!, 16);
    return {
      segment: Number.parseInt(pci[1] ?? "0", 16),
      id: (bus << 8) | (slot << 3) | Number(pci[4]),
    };
  }
  const numbered = NUMBERED.exec(text);
  if (numbered === null) return PCI_LIKE.test(text) ? "range" : "syntax";
  const id = Number(numbered[2]);
  return id < 2 ** PREFIX_BITS[numbered[1]!]! ? { segment: 0, id } : "range";
}
