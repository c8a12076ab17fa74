import {
  DENIED,
  FETCH_FAILED,
  FLAG_UPDATE,
  FOR_CONTEXT,
  FOR_DATA,
  FOR_TABLE,
  NOT_PRESENT,
  OUT_OF_RANGE,
  RESERVED,
  type SecondStage,
  WALKED,
  type WalkStatus,
} from "../page-tables/stage.ts";
import { SecondStageWalk } from "../page-tables/vtd-second-stage.ts";
import { EXECUTE, READ, WRITE } from "../request.ts";
import type { WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import type { VtdCapabilities } from "./capabilities.ts";
import {
  EXT_EXECUTE,
  LCT_4_3,
  LGN_1_1,
  LGN_2,
  LGN_3,
  LSS_1,
  LSS_2,
  SFS_5,
  SFS_7,
  SFS_8,
  SGN_3,
  SGN_5,
  SGN_6,
  SGN_7,
  SSS_1,
  SSS_2,
  SSS_3,
  SSS_4,
  SSS_5,
  type VtdFault,
} from "./faults.ts";
import { refuse } from "./refusals.ts";

/** The faults of second-stage conditions, which legacy and scalable mode number differently. */
interface StageFaults {
  readonly topFetch: VtdFault;
  readonly fetch: VtdFault;
  readonly reserved: VtdFault;
  readonly range: VtdFault;
  readonly write: VtdFault;
  readonly read: VtdFault;
  readonly execute: VtdFault;
  /** Neither reading nor writing; null: as the access that was asked for. */
  readonly nothing: VtdFault | null;
  /** Reading, and setting a flag of, a first-stage entry. */
  readonly tableRead: VtdFault;
  readonly tableWrite: VtdFault;
  /** A first-stage entry's own address is out of range. */
  readonly tableRange: VtdFault;
}

const LEGACY: StageFaults = {
  topFetch: LCT_4_3,
  fetch: LSS_1,
  reserved: LSS_2,
  range: LGN_1_1,
  write: LGN_2,
  read: LGN_3,
  execute: EXT_EXECUTE,
  nothing: null,
  tableRead: LGN_3,
  tableWrite: LGN_2,
  tableRange: LGN_1_1,
};

const SCALABLE: StageFaults = {
  topFetch: SSS_4,
  fetch: SSS_1,
  reserved: SSS_3,
  range: SGN_5,
  write: SGN_6,
  read: SGN_7,
  execute: SGN_3,
  nothing: SSS_2,
  tableRead: SFS_7,
  tableWrite: SFS_8,
  tableRange: SFS_5,
};

/**
 * The second stage of one walk (VT-d 5.10, sections 3.7 and 3.8): alone, or under a first stage or a PASID
 * table. Set up by `use` before the first translation.
 */
export class VtdSecondStage implements SecondStage {
  frame = 0;
  pageShift = 0;
  perm = 0;
  faults: StageFaults = LEGACY;

  readonly #tables: TableReader;
  readonly #walk = new SecondStageWalk();
  #root = 0;
  #levels = 3;
  #width = 0;
  #fpd = 0;
  /** Hardware sets flags at all. */
  #updatesFlags = true;
  /** Reading a first-stage table counts as writing, because of accessed and dirty flags. */
  #tableAccess = READ;

  constructor(tables: TableReader) {
    this.#tables = tables;
  }

  configure(caps: VtdCapabilities, reservedHi: number): void {
    const walk = this.#walk;
    walk.reservedHi = reservedHi;
    walk.largePages = caps.largePages;
    walk.snoopControl = caps.snoopControl;
    walk.ioRights = caps.ioRights;
    this.#updatesFlags = caps.updatesFlags;
  }

  /**
   * @param root frame of the top table
   * @param levels 3, 4 or 5
   * @param width input addresses have this many bits
   * @param legacyFaults report conditions as legacy mode does
   * @param execute X decides on execution
   * @param flags accessed and dirty flags are in use
   * @param unsnooped walks do not snoop caches: flags that have to be set cannot be (3.10)
   * @param fpd whether FPD was set on the way
   */
  use(
    root: number,
    levels: number,
    width: number,
    legacyFaults: number,
    execute: number,
    flags: number,
    unsnooped: number,
    fpd: number,
  ): void {
    this.#root = root;
    this.#levels = levels;
    this.#width = width;
    this.faults = legacyFaults !== 0 ? LEGACY : SCALABLE;
    this.#walk.executeEnable = execute !== 0;
    this.#walk.accessedDirty = flags !== 0;
    this.#walk.updatesFlags = this.#updatesFlags && unsnooped === 0;
    // VT-d 5.10, 3.8.1: with SSADE, a first-stage table has to be writable to be read.
    this.#tableAccess = flags !== 0 ? READ | WRITE : READ;
    this.#fpd = fpd;
  }

  /** Translates the request's own address. */
  translateRequest(hi: number, lo: number, access: number, out: WalkResult): boolean {
    return this.#translate(hi, lo, access, FOR_DATA, true, out);
  }

  translate(hi: number, lo: number, access: number, purpose: number, out: WalkResult): boolean {
    return this.#translate(hi, lo, access, purpose, false, out);
  }

  #translate(
    hi: number,
    lo: number,
    access: number,
    purpose: number,
    own: boolean,
    out: WalkResult,
  ): boolean {
    const walk = this.#walk;
    const tables = this.#tables;
    const needs = purpose === FOR_TABLE ? this.#tableAccess : access === EXECUTE ? READ | EXECUTE : access;
    const write = (needs & WRITE) !== 0;
    let status = walk.walk(tables, this.#root, this.#levels, this.#width, hi, lo, write);
    if (status === WALKED) {
      this.frame = walk.frame;
      this.pageShift = walk.pageShift;
      this.perm = walk.perm;
      if ((walk.perm & needs) === needs) return true;
      status = DENIED;
    }
    if (!own) out.at(hi, lo);
    out.stage = 2;
    const fault = this.#faultOf(status, needs, purpose);
    // An address out of range meets no entry.
    if (status !== OUT_OF_RANGE) {
      out.level = walk.level;
      tables.blame(out);
    }
    refuse(out, fault, this.#fpd);
    if (status === RESERVED || status === FETCH_FAILED) this.#denied(needs, purpose, out);
    if (status === NOT_PRESENT) out.reason = "PTE_FETCH";
    else if (status === DENIED) out.reason = "PERMISSION";
    if (purpose === FOR_CONTEXT) out.reason = "PASID_FETCH";
    else if (purpose === FOR_TABLE && (status === NOT_PRESENT || status === DENIED))
      out.reason = fault.reason;
    return false;
  }

  /**
   * An entry has reserved bits set or cannot be read, and it or one above it denies the access: nothing orders the two
   * conditions. QEMU and VirtualBox look at the rights of each entry first.
   */
  #denied(needs: number, purpose: number, out: WalkResult): void {
    if ((this.#walk.perm & needs) === needs) return;
    const denial = this.#denial(needs, purpose, RESERVED);
    if (denial !== out.fault) out.otherFault = denial;
  }

  #faultOf(status: WalkStatus, needs: number, purpose: number): VtdFault {
    const faults = this.faults;
    const walk = this.#walk;
    switch (status) {
      case OUT_OF_RANGE:
        return purpose === FOR_TABLE ? faults.tableRange : faults.range;
      case FETCH_FAILED:
        return walk.level === this.#levels ? faults.topFetch : faults.fetch;
      case RESERVED:
        return faults.reserved;
      case FLAG_UPDATE:
        return SSS_5;
      default:
        return this.#denial(needs, purpose, status);
    }
  }

  /** Which right is missing: writing is looked at first, as an atomic request is a write that also reads. */
  #denial(needs: number, purpose: number, status: WalkStatus): VtdFault {
    const faults = this.faults;
    const walk = this.#walk;
    // A walk that ended at an entry without rights has accumulated none.
    const missing = needs & ~walk.perm;
    const right = missing & WRITE ? WRITE : missing & READ ? READ : EXECUTE;
    if (status === DENIED) walk.blame(this.#tables, right);
    if ((walk.perm & (READ | WRITE)) === 0 && faults.nothing !== null) return faults.nothing;
    if (purpose === FOR_TABLE) return (missing & READ) !== 0 ? faults.tableRead : faults.tableWrite;
    return right === WRITE ? faults.write : right === READ ? faults.read : faults.execute;
  }
}
