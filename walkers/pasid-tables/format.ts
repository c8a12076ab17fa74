import type { HostLimits } from "../host.ts";
import type { Layout } from "../layout.ts";
import { FRAME_SHIFT } from "../memory.ts";
import type { IommuModel, TableModel } from "../models.ts";
import { PAGE_TABLE_FORMATS, type PageTableFormat } from "../page-tables/formats.ts";
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
  /** Its levels from the base pointer on, for this many PASID bits. */
  levels(pasidBits: number): readonly TableLevel[];
  /** What an IOMMU of the right model may lack of what these tables need. */
  checkFormat?(host: BindHost, out: BindFindings): void;
  /** Whether the other fields are any that this IOMMU takes. */
  checkFields?(use: TableUse, host: BindHost, out: BindFindings): void;
  /** Whether this IOMMU has such a second stage. */
  checkSecondStage?(parent: ParentStage, host: BindHost, out: BindFindings): void;
  /** Bits of the addresses that a second stage takes; undefined where it does not say. */
  secondInputBits(parent: ParentStage): number | undefined;
  /** How this IOMMU reads their entries. */
  entries(host: BindHost): EntryFormat;
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

/** One level of a table: how an entry is told to be present, and where it leads. */
export interface TableLevel {
  readonly layout: Layout;
  /** The field that says so. */
  readonly present: string;
  /** PASID bits that the levels below this one index. */
  readonly below: number;
  /** The next table; undefined at the level of PASIDs. */
  readonly next?: { readonly field: string; readonly bytes: number; readonly what: string };
}

/** The entries of PASIDs, as one IOMMU reads them. */
export interface EntryFormat {
  readonly littleEndian: boolean;
  /** The smallest page table that they can point to. */
  readonly rootBytes: number;
  /** Reads a present entry at byte `at` of `view`. */
  read(view: DataView, at: number): EntryFacts;
}

/** What the entry of a PASID says of the page tables under it. */
interface EntryFacts {
  /** Formats that the IOMMU cannot walk: "VMSAv8-32 LPAE (AA64 is 0)". */
  readonly unsupported: readonly string[];
  /** Where its page tables begin. */
  readonly roots: readonly bigint[];
}

/** A format with what says that an entry uses it, where the IOMMU lacks it. */
export function formatLacking(host: BindHost, format: PageTableFormat, because: string): string[] {
  return host.limits.formats.has(format) ? [] : [`${PAGE_TABLE_FORMATS[format]} (${because})`];
}

/** The byte address that a field of an entry holds as a frame number, or as address bits in place. */
export function addressIn<F extends string>(
  layout: Layout<F>,
  name: F,
  view: DataView,
  at: number,
  littleEndian = true,
): bigint {
  const field = layout.fields[name];
  const shift = field.kind === "address" ? field.parts[0]![1] % 64 : FRAME_SHIFT;
  return layout.extract(name, view, at, littleEndian) << BigInt(shift);
}

/** The level of PASIDs. */
export function leafLevel(layout: Layout, present: string): TableLevel {
  return { layout, present, below: 0 };
}

/** Bits that an index of a table of 512 entries has. */
const INDEX_BITS = 9;

/**
 * Bits of an address that page tables of so many levels take.
 * @param extra bits that the index of the root has more
 */
export function radixInputBits(levels: number | undefined, extra = 0): number | undefined {
  return levels === undefined ? undefined : FRAME_SHIFT + INDEX_BITS * levels + extra;
}

/**
 * Levels of tables of 512 entries of the same kind.
 * @param lowest PASID bits that the levels below them index
 */
export function radixLevels(count: number, level: Omit<TableLevel, "below">, lowest: number): TableLevel[] {
  return Array.from({ length: count }, (_, i) => ({
    ...level,
    below: lowest + (count - 1 - i) * INDEX_BITS,
  }));
}
