import type { IommuModel, TableModel } from "./models.ts";
import type { VendorFields } from "./pasid-tables/vendor-fields.ts";
import type { IommuState } from "./registers.ts";
import type { Binding, WalkRequest } from "./request.ts";
import type { WalkResult } from "./result.ts";
import type { TableReader } from "./table-reader.ts";

/** `pasid_table_config` of a `bind` record, with its model resolved (never "host"). */
export interface PasidTableConfig extends VendorFields {
  readonly model: TableModel;
  readonly baseHi: number;
  readonly baseLo: number;
  /** Bounds the PASID of the bound device; undefined: what the format and the IOMMU allow. */
  readonly pasidBits?: number | undefined;
  readonly stage2?: Stage2Config | undefined;
}

/** Second stage of a bound device: the vendor's own format, from a root. */
export interface Stage2Config {
  /** `vtd-ss`, `vmsav8-64`, `amdv1` or `riscv-x4`. */
  readonly format: string;
  readonly rootHi: number;
  readonly rootLo: number;
  /** Number of levels (VT-d 3..5, AMD mode 1..6, RISC-V 3..5; Arm: from `t0sz` and `granule`). */
  readonly levels?: number | undefined;
  /** Arm: input size as 64 - T0SZ, and the granule in KiB (4, 16 or 64). */
  readonly t0sz?: number | undefined;
  readonly granule?: number | undefined;
  /** Domain id, VMID or GSCID of the second stage. */
  readonly domain?: number | undefined;
}

/**
 * One IOMMU's walker. A walk has five steps, kept apart so that what a cache may hold between them (a device
 * context, a PASID entry) can be kept and be given back:
 *
 * 1. `admit`: what the address alone decides, before any table is read (interrupt address range, translation
 *    disabled).
 * 2. `loadDevice`: the device's context. Depends on the device and on memory alone.
 * 3. `checkRequest`: what the context refuses for this kind of access.
 * 4. `loadPasidContext`: the PASID entry. Depends on the device, the PASID (or its absence) and memory alone.
 * 5. `translate`: everything else: access checks, page tables.
 *
 * A request that has been translated (ATS) ends at step 3, unless the context says that its address is one of the second
 * stage: then that is walked there.
 *
 * Each step but the last returns true to go on, false where `out` holds the final outcome. `out` has been reset
 * before step 1 and its `model`, `domain` and `asid` are the walker's to set. `reads` is the engine's business.
 *
 * @typeParam D decoded device context (context entry, STE, DTE, DC); an object with numeric fields, reused
 * @typeParam P decoded PASID entry (PASID entry, CD, GCR3 entry, PC)
 */
export interface IommuWalker<D extends object = object, P extends object = object> {
  readonly model: IommuModel;
  readonly tables: TableReader;
  /**
   * Where the specification can be read in several ways, or leaves it open: which is taken, 0 being the usual one. Set for
   * single walks, which nobody remembers. Absent: it is nowhere taken to be so.
   */
  reading?: number;
  /** How many there are beside the usual one. */
  readonly otherReadings?: number;

  /** Takes over registers and properties. Called at declaration and after every change. */
  configure(state: IommuState): void;

  /** Checks and compiles a binding; a string says what is wrong with it (the sentence of an `error` record). */
  bind(config: PasidTableConfig): Binding | string;

  newDevice(): D;
  newPasidContext(): P;

  admit(request: WalkRequest, out: WalkResult): boolean;
  loadDevice(request: WalkRequest, device: D, out: WalkResult): boolean;
  checkRequest(request: WalkRequest, device: D, out: WalkResult): boolean;
  loadPasidContext(request: WalkRequest, device: D, process: P, out: WalkResult): boolean;
  translate(request: WalkRequest, device: D, process: P, out: WalkResult): void;

  /**
   * Of a fault that an ATS translation request, or one that has been translated, has met: whether there may be a record of
   * it. Mostly the completion of a translation request tells the device that nothing is granted, and nobody else.
   * @param at TRANSLATION_REQUEST or TRANSLATED
   */
  logsAts(at: number, out: WalkResult): boolean;
}
