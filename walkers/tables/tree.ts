/**
 * Device, context and PASID tables: what is in an entry, what makes the IOMMU refuse it, and where it leads. Said once
 * per structure, for all that look at tables: the walker, the linter, `inspect` and `bind-check`.
 *
 * - Rules: `walkers/<vendor>/rules*.ts` has per structure its `EntryRules` (entry-rule.ts) by number, in the order in
 *   which the specification checks them, and one function `broken…Rule(…, after = 0)`: a chain of
 *   `if (condition && after < n) return n`, which returns the first broken rule with a number above `after`, or 0. No
 *   closures and no lists, and `after` last: it is on the hot path, where entries are sound.
 *   A condition says whether its own rule is broken and supposes nothing of the rules before it.
 * - The walker asks once and fails with the rule's `fault` (`faultOf`). The linter (judge.ts) goes on from number to
 *   number until 0 and reports each. An undefined value and a value that the IOMMU lacks are two rules, also where the
 *   fault is the same; a sentence that depends on capabilities or on the entry is a function in `expected`.
 * - Reserved bits are one rule, with `field` null; which bits they are is the kind's `reserved`: the very words that the
 *   walker tests. What a field `needs` is declared with the field, in its layout.
 * - The tree: `walkers/<vendor>/tables.ts` says for each structure an `EntryKind`: layout, how it may change
 *   while it is used (`updates`), `valid`, `rules`, the kind that its tables are of (`below`), and `points`: where a sound entry leads.
 *   How many ids a structure decides on, how large a table is, and through what an id is reached follows from it.
 * - What is no reason to refuse an entry is no rule: bits that are only ignored (`ignored`), fields without effect and
 *   what is not modelled (`notes`), pointers that leave memory and tags used twice (of `points`).
 * - Where a device's PASID structures are is said by its decoded context alone (`pasids`), wherever that comes from: an
 *   entry, a binding, or a table that is to be bound.
 */
import type { Layout } from "../layout.ts";
import type { PageTableFormat } from "../page-tables/formats.ts";
import type { IommuState } from "../registers.ts";
import type { Binding } from "../request.ts";
import type { RuleBook } from "./entry-rule.ts";
import type { TableRule } from "./table-rules.ts";
import type { EntryUpdates } from "./updates.ts";

/** What the index of an entry stands for. */
export type IdKind = "device" | "pasid";

/** Reserved bits that make the IOMMU refuse an entry. */
export interface ReservedBits {
  /** 32-bit words, as `Layout.reserved` gives them, of an entry. */
  words(view: DataView, at: number): Uint32Array;
  /** Fields that hold addresses: their reserved bits are beyond the width that `width` names. */
  readonly addresses: readonly string[];
  readonly width: string;
}

/** A valid entry while it is judged (`Entry` of entry.ts), as what is said of its kind sees it. */
export interface JudgedEntry {
  readonly table: TableSpec;
  readonly view: DataView;
  readonly at: number;
  /** First id (device or PASID) that it stands for. */
  readonly first: number;
  /** The device that it is about, or that its table serves; -1 where it is about several. */
  readonly device: number;
  /** A field as its bits have it: an address without its low zeros. */
  value(field: string): bigint;
  /** A field that holds an address, with its low zeros. */
  address(field: string): bigint;
  /**
   * Complains about a field.
   * @param text what was expected; the field's name and value are put before it
   * @param source default: the layout's
   */
  complain(rule: TableRule, field: string, text: string, source?: string): void;
}

/** Entries of one kind in one context: where entries above decide what a value means, the context is part of it. */
export interface EntryKind {
  readonly layout: Layout;
  readonly littleEndian: boolean;
  readonly ids: IdKind;
  /** Ids that one entry stands for. */
  readonly span: number;
  /** Most entries of a table that an entry of the kind above points to. */
  readonly entries: number;
  /** What the tables are of that entries point to, where these have ids of the same sort. */
  readonly below?: EntryKind;
  /** "PASID table": what a table of them is called, where an entry points to it. */
  readonly title?: string;
  readonly updates: EntryUpdates;
  valid(view: DataView, at: number): boolean;
  readonly rules?: RuleBook;
  readonly reserved?: ReservedBits;
  /** 32-bit words of reserved bits that the IOMMU does not check. */
  readonly ignored?: Uint32Array;
  /** Complains about what does not make the IOMMU refuse a valid entry. */
  notes?(entry: JudgedEntry): void;
  /** Where an entry leads, if no rule of it is broken. */
  points?(entry: JudgedEntry): readonly Pointer[];
}

/** Addresses that the IOMMU can put out. */
export interface Reach {
  /** First frame number beyond them. */
  readonly frames: number;
  /** "48 bits". */
  readonly width: string;
}

/** Page tables that an entry asks for, whether the IOMMU has them or not. */
export interface PageTables {
  readonly format: PageTableFormat;
  /** What says so: "PGTT is 1, FSPM 0". */
  readonly because: string;
  /** Bytes of the smallest root that they have. */
  readonly rootBytes: number;
}

/** Where a field of an entry leads. */
export interface Pointer {
  readonly field: string;
  readonly frame: number;
  /** Where it begins in its frame. */
  readonly offset?: number;
  /** What the IOMMU aligns the address to, ignoring low bits of the field: "64 bytes"; absent: it takes all of it. */
  readonly aligned?: string;
  /** null: whether it is in memory is not looked at, since it goes through a second stage of the entry's own. */
  readonly reach: Reach | null;
  /** Second stage that the address goes through, which has a reach of its own: host frame, or -1 where it faults. */
  readonly resolve?: Resolver | undefined;
  /** The table that is there; absent: page tables. */
  readonly table?: TableSpec | undefined;
  /** Which page tables, where the entry itself says it. */
  readonly tables?: PageTables;
  /** What translations that come from there are cached under; made where it is asked for: most are looked through without. */
  readonly tag?: (() => Tag) | undefined;
}

/** A second stage: the host frame of a guest frame, -1 where it faults. */
export type Resolver = (frame: number) => number;

/** A table: consecutive entries of one kind. */
export interface TableSpec {
  readonly kind: EntryKind;
  /** Identity of kind and context: two tables at one place with one `context` are the same table. */
  readonly context: string;
  /** Where it begins: a guest-physical frame where `resolve` is given. */
  readonly frame: number;
  readonly offset: number;
  readonly entries: number;
  /** First id of its first entry. */
  readonly first: number;
  /** Ids from here on cannot be looked up, but for the one in `also`. */
  readonly limit: number;
  readonly also?: number | undefined;
  /** Number of the device that this table serves; -1 where `ids` of its kind says it. */
  readonly device: number;
  readonly resolve?: Resolver | undefined;
}

/** A table that no entry points to: who does. */
export interface RootTable {
  readonly table: TableSpec;
  /** "RTADDR_REG", "bind". */
  readonly from: string;
  readonly field: string;
  readonly source: string;
  /** What the table is called as a whole: "2-level device directory". */
  readonly title: string;
}

/**
 * The tables of one IOMMU.
 * @typeParam D device context of the vendor's walker
 */
export interface TableTree<D = unknown> {
  /** Registers that decide what the tables look like, by the trace's names; properties always do. */
  readonly registers: readonly string[];
  configure(state: IommuState): void;
  /** Tables that the registers point to; none while translation is off, or while the registers are not known. */
  roots(): RootTable[];
  /** The table of a bound device. */
  bound(binding: Binding, device: number): RootTable[];
  /** The PASID structures of a device by its context; null: it has none. */
  pasids(context: D, device: number): RootTable | null;
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

/** The table that an entry points to: of the kind below, for the ids that the entry stands for. */
export function tableBelow(entry: JudgedEntry, frame: number, offset = 0): TableSpec {
  const { table } = entry;
  const kind = table.kind.below!;
  return { ...table, kind, frame, offset, entries: kind.entries, first: entry.first };
}

/**
 * log2 of the ids that one structure on the way to an id decides on: those that the table has which an entry of it
 * points to; of the last structure it is 0.
 */
export function steps(root: EntryKind): number[] {
  const steps: number[] = [];
  for (let { below } = root; below !== undefined; { below } = below)
    steps.push(Math.log2(below.entries * below.span));
  return [...steps, 0];
}
