/**
 * Device, context and PASID tables as the linter sees them: a tree of tables whose entries lead to tables. The
 * vendors' files beside this one say what is in an entry, where it leads, and what is wrong with it.
 */
import type { Layout } from "../layout.ts";
import type { IommuState } from "../registers.ts";
import type { Binding } from "../request.ts";
import type { Entry } from "./entry.ts";

/** Entries of one kind in one context: where entries above decide what a value means, the context is part of it. */
export interface EntryKind {
  readonly layout: Layout;
  readonly littleEndian: boolean;
  /** Bytes that the IOMMU reads at once: an entry that is valid may change within one such unit. */
  readonly unit: number;
  valid(view: DataView, at: number): boolean;
  /** Says what is wrong with a valid entry, which tags it has, and where it leads. */
  judge(entry: Entry): void;
  /** Units that an entry, as it is, makes the IOMMU look at (bit n: unit n); without it, all. */
  used?(view: DataView, at: number): number;
}

/** What the index of an entry stands for. */
type IdKind = "device" | "pasid";

/** A table: consecutive entries of one kind. */
export interface TableSpec {
  readonly kind: EntryKind;
  /** Identity of kind and context: two tables at one place with one `context` are the same table. */
  readonly context: string;
  /** Where it begins: a guest-physical frame where `resolve` is given. */
  readonly frame: number;
  readonly offset: number;
  readonly entries: number;
  readonly ids: IdKind;
  /** Id of the first entry's first, and how many ids one entry stands for. */
  readonly first: number;
  readonly span: number;
  /** Ids from here on cannot be looked up, but for the one in `also`. */
  readonly limit: number;
  readonly also?: number | undefined;
  /** Number of the device that this table serves; -1 where `ids` says it. */
  readonly device: number;
  /** Second stage that the table's addresses go through: host frame, or -1 where it faults. Absent: none. */
  readonly resolve?: ((frame: number) => number) | undefined;
}

/** A table that no entry points to: who does. */
export interface RootTable {
  readonly table: TableSpec;
  /** "RTADDR_REG", "bind". */
  readonly from: string;
  readonly field: string;
  readonly source: string;
}

/** The tables of one IOMMU model. */
export interface TableFormat {
  /** Registers that decide what the tables look like, by the trace's names; properties always do. */
  readonly registers: readonly string[];
  configure(state: IommuState): void;
  /** Tables that the registers point to; none while translation is off, or while the registers are not known. */
  roots(): RootTable[];
  /** The table of a bound device. */
  bound(binding: Binding, device: number): RootTable[];
}

/** A value that caches tag translations with, and what is translated under it. */
export interface Tag {
  /** Entries with the same key must have the same target. */
  readonly key: string;
  readonly target: string;
  /** "DID 5", "second-stage table 0x1000". */
  readonly name: string;
  readonly points: string;
  readonly field: string;
  readonly source: string;
}
