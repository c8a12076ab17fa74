import { setImmediate } from "node:timers/promises";
import type { RangeWalk } from "../inspect/range-walk.ts";
import type {
  InspectedDevice,
  InspectedDevices,
  InspectedIommu,
  InspectedPasid,
  InspectionNote,
  InspectionSummary,
} from "../inspect/records.ts";
import type { InspectedSpace, InspectionSink } from "../inspect/sink.ts";
import { type MapStretch, RangeDigest } from "./range-digest.ts";

/** The address space of one device and PASID, as the tables are at the end. */
export interface SpaceMap {
  readonly space: InspectedPasid;
  readonly stretches: readonly MapStretch[];
  /** Entries that are there, and fault; the first few. */
  readonly notes: readonly InspectionNote[];
}

export interface DeviceMap {
  readonly device: InspectedDevice;
  readonly spaces: SpaceMap[];
  /** Spaces beyond those. */
  more: number;
}

export interface UnitMap {
  readonly iommu: InspectedIommu;
  readonly devices: DeviceMap[];
  /** Devices beyond those. */
  moreDevices: number;
  /** Devices without tables. */
  readonly plain: InspectedDevices[];
  /** Of devices and contexts. */
  readonly notes: InspectionNote[];
}

/** What is kept of the tables; the rest is counted. */
export interface MapLimits {
  readonly devices: number;
  readonly spaces: number;
  /** Of all address spaces together. */
  readonly stretches: number;
  /** Of one address space. */
  readonly stretchesOfSpace: number;
}

/** Notes of one address space, and of one IOMMU. */
const MOST_NOTES = 20;
const MOST_PLAIN = 100;
/** Stretches of an address space when there is no room for more. */
const FEWEST_STRETCHES = 4;

/** Keeps what an inspection finds, in bounded memory. */
export class AddressMaps implements InspectionSink {
  readonly units: UnitMap[] = [];
  total: InspectionSummary | undefined;
  readonly #limits: MapLimits;
  /** Whether anybody has asked for addresses of a space: those have room first. */
  readonly #used: (space: InspectedSpace) => boolean;
  #stretches: number;
  #spaces: number;
  #devices: number;
  #digest: RangeDigest | null = null;
  #notes: InspectionNote[] = [];
  #inSpace = false;

  constructor(limits: MapLimits, used: (space: InspectedSpace) => boolean) {
    this.#limits = limits;
    this.#used = used;
    this.#stretches = limits.stretches;
    this.#spaces = limits.spaces;
    this.#devices = limits.devices;
  }

  iommu(iommu: InspectedIommu): void {
    this.units.push({ iommu, devices: [], moreDevices: 0, plain: [], notes: [] });
  }

  device(device: InspectedDevice): void {
    const unit = this.#unit;
    if (this.#devices-- > 0) unit.devices.push({ device, spaces: [], more: 0 });
    else unit.moreDevices++;
  }

  devices(devices: InspectedDevices): void {
    const { plain } = this.#unit;
    if (plain.length < MOST_PLAIN) plain.push(devices);
  }

  space(space: InspectedSpace): void {
    this.#inSpace = true;
    this.#notes = [];
    const room = this.#used(space) ? this.#stretches : this.#stretches / 4;
    const most = Math.min(this.#limits.stretchesOfSpace, Math.floor(room / 2));
    this.#digest = this.#spaces > 0 ? new RangeDigest(Math.max(most, FEWEST_STRETCHES)) : null;
  }

  range(range: RangeWalk): boolean {
    this.#digest?.add(range);
    return false;
  }

  pasid(space: InspectedPasid): void {
    this.#inSpace = false;
    const { devices, moreDevices } = this.#unit;
    const device = devices.at(-1);
    if (device === undefined || moreDevices > 0) return;
    if (this.#digest === null) {
      device.more++;
      return;
    }
    const stretches = this.#digest.stretches();
    this.#spaces--;
    this.#stretches -= stretches.length;
    device.spaces.push({ space, stretches, notes: this.#notes });
  }

  note(note: InspectionNote): void {
    const notes = this.#inSpace ? this.#notes : this.#unit.notes;
    if (notes.length < MOST_NOTES) notes.push(note);
  }

  summary(summary: InspectionSummary): void {
    this.total = summary;
  }

  async pause(yielding = true): Promise<void> {
    if (yielding) await setImmediate();
  }

  get #unit(): UnitMap {
    return this.units.at(-1)!;
  }
}
