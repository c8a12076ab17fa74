import type { OwedCommand } from "../advice.ts";
import type { Fault } from "../fault.ts";
import type { Layout } from "../layout.ts";
import type { EntryRules } from "../tables/entry-rule.ts";
import type { Bug } from "./bug.ts";
import type { EmulatorDriver } from "./emulator.ts";
import type { FieldValues, RegisterLayouts, World } from "./world.ts";

/** The numbered rules of one structure. */
interface StructureRules {
  readonly layout: Layout;
  readonly rules: EntryRules<never>;
}

/** What looking for mistakes of an IOMMU needs to know of a vendor; stands in `walkers/<vendor>/fuzz/`. */
export interface VendorFuzzing {
  /** Registers that worlds set, by their names in traces. */
  readonly registers: RegisterLayouts;
  /** Those of them that say what the IOMMU can do. */
  readonly capabilities: readonly string[];
  /** Structures that worlds have in memory. */
  readonly structures: readonly Layout[];
  readonly rules: readonly StructureRules[];
  /** Addresses that are not as others: worth asking for, and pointing to. */
  readonly landmarks: readonly bigint[];
  /** Faults that a walk of an untranslated request can end in. */
  readonly faults: readonly Fault[];
  /**
   * Makes a sound world: registers, tables and targets, of any shape that the vendor has and the limits allow.
   * Nothing in it is wrong; that is made so afterwards.
   */
  build(world: World): void;
  /**
   * Whether it is not defined what an entry means beside its neighbours: a page of several entries that need not be alike.
   * Absent: there is no such thing.
   */
  ambiguous?(layout: Layout, view: DataView, littleEndian: boolean): boolean;
  /**
   * What who knows only the usual meaning of an entry's fields takes one for that says something rarer: values of its fields.
   * Absent, or null: there is nothing rare in it.
   */
  usual?(layout: Layout, view: DataView, level: number): FieldValues | null;
  /** Operands of the command that completes others, where some are needed; default: none. */
  completion?(world: World): OwedCommand;
  /** Drives a new machine of an emulator that has an IOMMU of this vendor. */
  emulator?(): EmulatorDriver;
  /** Mistakes that only an IOMMU of this vendor can make: each can show in an answer that its specification forbids. */
  readonly bugs: readonly Bug[];
  /** Mistakes of caches that an IOMMU of this vendor cannot make, by name, each with the reason. */
  readonly immune?: Readonly<Record<string, string>>;
}
