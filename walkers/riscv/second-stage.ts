/**
 * The second stage (G-stage) of one request: guest physical to supervisor physical addresses, for the data, for the
 * first stage's own entries and for the process directory (Privileged specification, "Two-Stage Address Translation";
 * RISC-V IOMMU 1.0, "Process to locate the Process-context").
 */
import type { FaultReason } from "../fault.ts";
import {
  guestBits,
  SV_A,
  SV_D,
  SV_R,
  SV_U,
  SV_W,
  SV_X,
  SV32_LEVELS,
  SvWalk,
} from "../page-tables/riscv-sv.ts";
import {
  ADDRESS_SIZE,
  FETCH_FAILED,
  FOR_CONTEXT,
  FOR_DATA,
  NOT_PRESENT,
  type SecondStage,
  WALKED,
  type WalkStatus,
} from "../page-tables/stage.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { RiscvDevice } from "./context.ts";
import { accessFault, guestPageFault, PDT_LOAD_ACCESS_FAULT } from "./faults.ts";

/** Bits 1:0 of iotval2 (RISC-V IOMMU 1.0, Fault/Event-Queue): an implicit access, and that access was a write. */
const IMPLICIT = 1;
const IMPLICIT_WRITE = 3;

/** Reason of a page fault by how the walk of a table ended. */
export function svWalkReason(status: WalkStatus): FaultReason {
  return status === NOT_PRESENT ? "PTE_FETCH" : "BAD_PTE";
}

/** Reason of an access fault: the root, or a table below it. */
export function fetchReason(level: number, levels: number): FaultReason {
  return level === levels ? "PGD_FETCH" : "WALK_EABT";
}

/** READ, WRITE and EXECUTE bits of an entry's R, W and X. */
export function rightsOf(leaf: number): number {
  return (
    ((leaf & SV_R) !== 0 ? READ : 0) | ((leaf & SV_W) !== 0 ? WRITE : 0) | ((leaf & SV_X) !== 0 ? EXECUTE : 0)
  );
}

/**
 * Bits of the guest physical addresses that a device's second stage translates: 34 for Sv32x4, and for any scheme
 * where SXL is 1 (RISC-V IOMMU 1.0, Translation control); else 41, 50 or 59.
 */
export function guestAddressBits(device: RiscvDevice): number {
  return guestBits(device.sxl !== 0 ? SV32_LEVELS : device.secondLevels);
}

export class RiscvSecondStage implements SecondStage {
  readonly table = new SvWalk(2);
  readonly #tables: TableReader;
  frame = 0;
  pageShift = 0;
  perm = 0;
  #root = 0;
  #levels = 0;
  #hardwareUpdates = false;
  /** The high half's bits from this one up must be zero in a guest physical address. */
  #widthHi = 0;
  /** The request's own access, which names the fault, whatever access led to it. */
  #original = READ;
  /** The data's guest physical address is not the request's address. */
  #nested = false;
  /** The last address translated. */
  #hi = 0;
  #lo = 0;

  constructor(tables: TableReader) {
    this.#tables = tables;
  }

  /**
   * Takes up a request.
   * @param nested there is a first stage, so that the guest physical address is worth reporting
   */
  begin(device: RiscvDevice, original: number, nested: boolean): void {
    this.#root = device.secondFrame;
    this.#levels = device.secondLevels;
    this.#hardwareUpdates = device.gade !== 0;
    this.#widthHi = guestAddressBits(device) - 32;
    this.#original = original;
    this.#nested = nested;
  }

  translate(hi: number, lo: number, access: number, purpose: number, out: WalkResult): boolean {
    this.#hi = hi;
    this.#lo = lo;
    // Privileged specification, Two-Stage Address Translation: address bits above the scheme's must be zero.
    if (hi >>> this.#widthHi !== 0) return this.#refuse(out, purpose, "OOR_ADDRESS", false);
    const table = this.table;
    const status = table.walk(this.#tables, this.#root, this.#levels, hi, lo, null, out);
    if (status !== WALKED) {
      if (status === FETCH_FAILED || status === ADDRESS_SIZE) return this.#unreadable(out, purpose);
      return this.#refuse(out, purpose, svWalkReason(status), true);
    }
    const leaf = table.leaf;
    // Every access is a user access here.
    if ((leaf & SV_U) === 0) return this.#refuse(out, purpose, "PERMISSION", true);
    const rights = rightsOf(leaf);
    if ((access & ~rights) !== 0) return this.#refuse(out, purpose, "PERMISSION", true);
    const dirty = (leaf & SV_D) !== 0 || this.#hardwareUpdates;
    if ((leaf & SV_A) === 0 && !this.#hardwareUpdates) return this.#refuse(out, purpose, "ACCESS", true);
    if ((access & WRITE) !== 0 && !dirty) return this.#refuse(out, purpose, "PERMISSION", true);
    this.frame = table.frame;
    this.pageShift = table.pageShift;
    this.perm = dirty ? rights : rights & ~WRITE;
    return true;
  }

  /**
   * The page last translated holds a first-stage entry whose A or D bit hardware must set, and may not be written.
   * "Permissions and the need to set A and/or D bits at the G-stage level are checked as though for an implicit load
   * or store": this one is the store.
   */
  refuseUpdate(out: WalkResult): void {
    this.#refuse(out, FOR_DATA, "PERMISSION", true);
    out.flags = IMPLICIT_WRITE;
  }

  /** A guest-page fault: of the original access, at the guest physical address (iotval2). */
  #refuse(out: WalkResult, purpose: number, reason: FaultReason, atEntry: boolean): false {
    if (atEntry) this.table.blame(out);
    out.stage = 2;
    out.flags = purpose === FOR_DATA ? 0 : IMPLICIT;
    if (this.#nested || purpose !== FOR_DATA) out.at(this.#hi, this.#lo);
    return out.fail(guestPageFault(this.#original), reason);
  }

  /** An access fault: of the original access, but of the process directory where that was being read. */
  #unreadable(out: WalkResult, purpose: number): false {
    this.table.blame(out);
    if (this.#nested || purpose !== FOR_DATA) out.at(this.#hi, this.#lo);
    if (purpose === FOR_CONTEXT) return out.fail(PDT_LOAD_ACCESS_FAULT);
    return out.fail(accessFault(this.#original), fetchReason(this.table.level, this.#levels));
  }
}
