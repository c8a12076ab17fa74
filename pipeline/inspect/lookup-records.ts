/** What the questions to an inspection are answered with, as objects: the NDJSON output of `inspect --covers` and so on. */
import type { TranslationKind } from "../../walkers/page-tables/address-space.ts";
import type { InspectedIommu, InspectedPasid, InspectedTable, InspectionNote } from "./records.ts";

/** A range of input addresses, and where it leads. */
export interface MappingRecord {
  readonly iova: string;
  readonly pa: string;
  /** Bytes. */
  readonly size: number;
  readonly perm: string;
  /** Bytes of each page; absent where nothing is translated. */
  readonly page?: number;
}

/** Whether one address space has an input address. */
export interface CoversRecord {
  readonly type: "covers";
  readonly iommu?: string | undefined;
  readonly dev: string;
  readonly pasid?: number | undefined;
  readonly addr: string;
  readonly mapped: boolean;
  /** mapped: where it leads. */
  readonly pa?: string | undefined;
  /** The range that it is in; absent where nothing is translated, or nothing is mapped. */
  readonly range?: MappingRecord | undefined;
  /** not mapped: the ranges before and behind it, and the fault of a context, or of entries that are there. */
  readonly before?: MappingRecord | undefined;
  readonly after?: MappingRecord | undefined;
  readonly fault?: InspectedPasid["fault"];
}

/** What `inspect --pa` comes to. */
export interface LookupRecord {
  readonly type: "lookup";
  readonly pa: string;
  /** Bytes asked about. */
  readonly size: number;
  /** Ranges that lead there, devices that they are of, and those of them that may write. */
  readonly mappings: number;
  readonly devices: number;
  readonly writers: number;
  /** Devices that reach all memory, since nothing is translated for them. */
  readonly passthrough: number;
  readonly complete: boolean;
}

/** Address spaces behind one IOMMU that have the same tables. */
export interface DomainRecord {
  readonly type: "domain";
  readonly iommu?: string | undefined;
  readonly domain?: number | undefined;
  readonly asid?: number | undefined;
  readonly translation: TranslationKind | "blocked";
  readonly tables: readonly InspectedTable[];
  /** Who uses them: the first ones, and how many there are. */
  readonly users: readonly { readonly dev: string; readonly pasid?: number }[];
  readonly count: number;
  /** Devices among them. */
  readonly devices: number;
  /** Bytes mapped, and those of them that may be written. */
  readonly bytes: number;
  readonly writable: number;
}

/** Memory that is mapped more than once. */
export interface SharedRecord {
  readonly type: "shared";
  readonly pa: string;
  /** Bytes. */
  readonly size: number;
  /** Every range that leads there: the first of them, and how many there are. */
  readonly mappings: readonly SharedMapping[];
  readonly count: number;
  /** Devices that reach it: also those that share the tables of one that is named. */
  readonly devices: number;
  readonly aliased?: true | undefined;
  /** Devices that may write it. */
  readonly writers: number;
}

export interface SharedMapping {
  readonly iommu?: string | undefined;
  readonly dev: string;
  readonly pasid?: number | undefined;
  readonly iova: string;
  readonly perm: string;
}

/** What a question is answered with. */
export type QuestionRecord =
  | InspectedIommu
  | InspectionNote
  | CoversRecord
  | LookupRecord
  | DomainRecord
  | SharedRecord;
