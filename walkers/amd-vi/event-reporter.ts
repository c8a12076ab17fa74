import type { Fault, FaultReason } from "../fault.ts";
import { DENIED, FETCH_FAILED, NOT_PRESENT, OUT_OF_RANGE, type WalkStatus } from "../page-tables/stage.ts";
import { type WalkRequest, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import {
  FLAG_GN,
  FLAG_MASTER_ABORT,
  FLAG_PE,
  FLAG_PR,
  FLAG_RW,
  FLAG_RZ,
  FLAG_US,
  REQUEST_FLAGS,
} from "./events.ts";
import { IO_PAGE_FAULT, PAGE_TAB_HARDWARE_ERROR } from "./faults.ts";

/** Fills a result with the event that a request causes, flags included. */
export class EventReporter {
  readonly #tables: TableReader;
  /** EventLogEn: with the event log disabled nothing is recorded. */
  eventLog = 1;
  /** SA of the device at hand. */
  suppress = 0;
  /** Flags that the request itself decides: GN and RW. */
  #request = 0;
  /** US: meaningful in an IO_PAGE_FAULT of a guest-virtual address alone. */
  #user = 0;

  constructor(tables: TableReader) {
    this.#tables = tables;
  }

  /**
   * Starts on a request.
   * @param guest its address is a GVA
   * @param user it has user privilege
   * @param suppress SA of its device
   */
  begin(request: WalkRequest, guest: boolean, user: boolean, suppress: number): void {
    this.suppress = suppress;
    this.#request = (guest ? FLAG_GN : 0) | ((request.access & WRITE) !== 0 ? FLAG_RW : 0);
    this.#user = guest && user ? FLAG_US : 0;
  }

  /** Always returns false, as `WalkResult.fail` does. */
  fail(out: WalkResult, fault: Fault, flags: number, reason: FaultReason = fault.reason): false {
    out.fail(fault, reason);
    out.flags = flags | (this.#request & REQUEST_FLAGS[fault.code]!);
    if (this.eventLog === 0) out.recorded = false;
    return false;
  }

  /** IO_PAGE_FAULT: the only event that SA suppresses (2.2.2, table 7). */
  pageFault(out: WalkResult, flags: number, reason: FaultReason): false {
    this.fail(out, IO_PAGE_FAULT, flags | this.#user, reason);
    if (this.suppress !== 0) out.recorded = false;
    return false;
  }

  /** A table entry could not be read; `#tables` holds which. */
  unreadable(out: WalkResult, reason: FaultReason): false {
    this.#tables.blame(out);
    return this.fail(out, PAGE_TAB_HARDWARE_ERROR, FLAG_MASTER_ABORT, reason);
  }

  /**
   * A page-table walk failed.
   * @param status how; not SECOND_STAGE_FAULT, which has been reported
   * @param stage 1 guest tables, 2 host tables
   * @param level of the failing entry
   * @param root level of the root table
   * @param reservedBits with RESERVED: reserved bits rather than an invalid encoding
   */
  walkFault(
    out: WalkResult,
    status: WalkStatus,
    stage: number,
    level: number,
    root: number,
    reservedBits: boolean,
  ): false {
    out.stage = stage;
    if (status === OUT_OF_RANGE) return this.pageFault(out, FLAG_PR, "OOR_ADDRESS");
    out.level = level;
    if (status === FETCH_FAILED) return this.unreadable(out, level === root ? "PGD_FETCH" : "WALK_EABT");
    this.#tables.blame(out);
    if (status === NOT_PRESENT) return this.pageFault(out, 0, "PTE_FETCH");
    if (status === DENIED) return this.pageFault(out, FLAG_PR | FLAG_PE, "PERMISSION");
    return this.pageFault(out, FLAG_PR | (reservedBits ? FLAG_RZ : 0), "BAD_PTE");
  }

  /** The device table entry's own IR and IW deny the access: there is no page-table entry to blame. */
  denied(out: WalkResult): false {
    return this.pageFault(out, FLAG_PR | FLAG_PE, "PERMISSION");
  }
}
