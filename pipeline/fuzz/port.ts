import type { Limits, WorldRecord } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { DeviceAnswer } from "../device/answer.ts";

/** What a device says of itself. */
export interface DeviceIdentity {
  /** For people: "qemu 11.1.2, intel-iommu". */
  readonly name: string;
  readonly model: IommuModel;
  readonly limits: Limits;
}

/** How a device failed to answer. */
export type FailureKind = "start" | "died" | "hung" | "nonsense";

/** The device under test did not answer as a device must. What it was told is kept by who told it. */
export class DeviceFailure extends Error {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** A device under test. */
export interface DevicePort {
  readonly identity: DeviceIdentity;
  /**
   * Resets it, tells it the records, and takes its answers.
   * @returns what was observed of each `dma` record, in their order; undefined: the device cannot make such a request
   * @throws DeviceFailure; the device can be asked again after it, unless its kind is "start"
   */
  run(records: readonly WorldRecord[]): Promise<readonly (DeviceAnswer | undefined)[]>;
  close(): Promise<void>;
}
