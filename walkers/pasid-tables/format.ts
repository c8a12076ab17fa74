import type { HostLimits } from "../host.ts";
import type { IommuModel, TableModel } from "../models.ts";
import { entryShift, RADIX512 } from "../page-tables/geometry.ts";
import type { IommuState } from "../registers.ts";
import type { BindFindings } from "./bind-findings.ts";
import type { VendorFields } from "./vendor-fields.ts";

/** An IOMMU that a table is to be bound to. */
export interface BindHost {
  readonly model: IommuModel;
  readonly limits: HostLimits;
  readonly state: IommuState;
}

/** The second stage that a table's addresses go through. */
export interface ParentStage {
  readonly format?: string;
  readonly root?: bigint;
  readonly levels?: number;
  readonly t0sz?: number;
}

/** A model of PASID table, as it is bound. */
export interface PasidTableFormat {
  /**
   * Checks the fields that only this model has, and makes of them what its tables look like.
   * @param pasidBits of the configuration
   */
  layout(fields: VendorFields, pasidBits: number | undefined, out: BindFindings): PasidTableLayout;
  /** The fields of the largest table. */
  readonly largest: VendorFields;
}

/** What PASID tables of one model and of certain fields look like, and what an IOMMU must have to walk them. */
export interface PasidTableLayout {
  /** Most PASID bits that the format indexes. */
  readonly reach: number;
  /** The table at the base pointer, for this many PASID bits. */
  shape(pasidBits: number): TableShape;
  /** The context of a device with such a table at address 0, as the tables of its vendor take it (`TableTree.pasids`). */
  context(pasidBits: number, host: BindHost): object;
  /** What an IOMMU of the right model may lack of what these tables need. */
  checkFormat?(host: BindHost, out: BindFindings): void;
  /** Whether the other fields are any that this IOMMU takes. */
  checkFields?(use: TableUse, host: BindHost, out: BindFindings): void;
  /** Whether this IOMMU has such a second stage. */
  checkSecondStage?(parent: ParentStage, host: BindHost, out: BindFindings): void;
  /** Bits of the addresses that a second stage takes; undefined where it does not say. */
  secondInputBits(parent: ParentStage): number | undefined;
}

/** A PASID table of a known format, as it would be put under a device. */
export interface TableUse {
  readonly model: TableModel;
  readonly layout: PasidTableLayout;
  readonly base: bigint;
  /** Undefined: as many as the format and the host have. */
  readonly pasidBits: number | undefined;
  /** A second stage lies under it. */
  readonly nested: boolean;
  readonly parent: ParentStage | undefined;
  /** What its address and its size are called. */
  readonly baseName: string;
  readonly pasidBitsName: "pasid_bits" | "S1CDMax";
}

/** Where the table at the base pointer must lie, and how large it is. */
export interface TableShape {
  /** What the base pointer points to. */
  readonly what: string;
  readonly bytes: number;
  readonly alignment: number;
}

/**
 * Bits of an address that page tables of so many levels take.
 * @param extra bits that the index of the root has more
 */
export function radixInputBits(levels: number | undefined, extra = 0): number | undefined {
  return levels === undefined ? undefined : entryShift(RADIX512, levels + 1) + extra;
}
