import type { RangeWalk } from "./range-walk.ts";
import type {
  InspectedDevice,
  InspectedDevices,
  InspectedIommu,
  InspectedPasid,
  InspectionNote,
  InspectionSummary,
} from "./records.ts";

/** An address space before it is enumerated: its `pasid` record without the counts. */
export type InspectedSpace = Pick<
  InspectedPasid,
  "type" | "iommu" | "dev" | "pasid" | "translation" | "domain" | "asid" | "tables" | "fault"
>;

/** Contiguous pages of one size and with the same rights, contiguous in both address spaces. */
export type InputRange = Pick<
  RangeWalk,
  "frame" | "frames" | "output" | "perm" | "pageShift" | "pages" | "privileged"
>;

/** Takes what an inspection finds, in the order in which it is found. */
export interface InspectionSink {
  iommu(record: InspectedIommu): void;
  device(record: InspectedDevice): void;
  devices(record: InspectedDevices): void;
  /** Opens an address space: its ranges and notes follow, then its `pasid` record. */
  space(space: InspectedSpace): void;
  /**
   * A range of the address space at hand: `map`. Called for every range.
   * @returns whether enough is waiting to be written
   */
  range(range: InputRange): boolean;
  pasid(record: InspectedPasid): void;
  /** Nothing more is wanted of the address space at hand: its enumeration ends. */
  readonly satisfied?: boolean;
  note(record: InspectionNote): void;
  summary(record: InspectionSummary): void;
  /**
   * Writes what is waiting.
   * @param yielding lets others run, too: a long time has passed
   */
  pause(yielding?: boolean): Promise<void>;
}
