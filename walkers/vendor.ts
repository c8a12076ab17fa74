import type { Advise, AdviseRoot } from "./advice.ts";
import type { Caching } from "./caching.ts";
import type { Coherence } from "./coherence.ts";
import type { CommandSet } from "./commands/command-set.ts";
import type { RegisterCommand } from "./commands/register-command.ts";
import type { Fault } from "./fault.ts";
import type { FaultRecordFormat } from "./fault-record.ts";
import type { VendorFuzzing } from "./fuzz/vendor-fuzzing.ts";
import type { HostInterface } from "./host.ts";
import type { Layout } from "./layout.ts";
import type { GuestMemory } from "./memory.ts";
import type { IommuModel, TableModel } from "./models.ts";
import type { PasidTableFormat } from "./pasid-tables/format.ts";
import type { HwptStructure } from "./pasid-tables/hwpt.ts";
import type { RegisterNames } from "./register-names.ts";
import type { IommuState, Word64 } from "./registers.ts";
import type { Enumeration } from "./tables/enumeration.ts";
import type { TableTree } from "./tables/tree.ts";
import type { IommuWalker } from "./walker.ts";

/** What lets a queue go on that has stopped at a command. */
interface QueueRestart {
  /** What is to be written, as a finding says it. */
  readonly text: string;
  /** Whether a write of a register does it. */
  byWrite(name: string, value: Word64): boolean;
}

/**
 * Everything that the rest asks an IOMMU model for. registry.ts has one per model; what stands behind it in
 * `walkers/<vendor>/` nobody else imports.
 *
 * @typeParam D device context of its walker
 * @typeParam P PASID entry of its walker
 */
export interface Vendor<D extends object = object, P extends object = object> {
  readonly model: IommuModel;
  /** What the specification calls the tags of a translation that outcomes have as `domain` and `asid`. */
  readonly tagNames: { readonly domain: string; readonly asid: string };

  readonly registerNames: RegisterNames;
  /** Every structure and register that it declares. */
  readonly layouts: readonly Layout[];
  /** Every fault that the specification defines. */
  readonly faults: readonly Fault[];
  /** What it writes into its fault log. */
  readonly faultRecord: FaultRecordFormat;

  walker(memory: GuestMemory): IommuWalker<D, P>;
  /** Its device, context and PASID tables. */
  tables(memory: GuestMemory): TableTree<D>;
  /** What enumerating needs to know of its contexts besides. */
  enumeration(walker: IommuWalker<D, P>): Enumeration<D, P>;

  /** What a host says of it, and what follows for the tables that it can walk. */
  readonly host: HostInterface;

  /** The models of PASID table that it walks, as they are bound. */
  readonly pasidTables: Readonly<Partial<Record<TableModel, PasidTableFormat>>>;
  /** What iommufd passes for it instead of a table's configuration; null: nothing is defined. */
  readonly hwpt: HwptStructure | null;

  /** Its invalidation commands; null: they are not known. */
  readonly commands: CommandSet | null;
  /** How software restarts a queue that has stopped at a command which the IOMMU refuses; null: it does not stop. */
  readonly restart: QueueRestart | null;
  /** Registers that ask for an invalidation when they are written, by their names in traces. */
  readonly registerCommands: Readonly<Record<string, RegisterCommand>>;
  /** What a write of a register does beside giving it a value; undefined: nothing. */
  readonly writeRegister?: (state: IommuState, name: string, value: Word64) => void;
  /**
   * Why a register may not be given a value in the state that the IOMMU is in, where what becomes of it is not defined; null:
   * it may. Absent: nothing is known.
   */
  readonly guardedWrite?: (state: IommuState, name: string, value: Word64) => string | null;
  /** Which of them is owed for a stale cache entry; null where it is not known. */
  readonly advice: Advise | null;
  /** And those that are owed where a register that says where tables are has changed. */
  readonly rootAdvice: AdviseRoot | null;
  /** Whether its walks see what processors have written. */
  coherence(state: IommuState): Coherence;
  /** Whether a write of a register flushes the write buffer; undefined: none does. */
  readonly flushesBuffer?: (name: string, value: Word64) => boolean;
  /** How it tags, keeps and drops what it caches. */
  readonly caching: Caching<D, P>;
  /** What looking for an IOMMU's mistakes needs to know: loaded by those that look. */
  fuzzing(): Promise<VendorFuzzing>;
}
