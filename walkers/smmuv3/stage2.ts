import type { Fault, FaultReason } from "../fault.ts";
import { frameOf } from "../memory.ts";
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
import { Vmsav864Walk } from "../page-tables/vmsav8-64.ts";
import {
  isDevice,
  Stage2Descriptor,
  stage2AccessFlag,
  stage2Permissions,
} from "../page-tables/vmsav8-64-stage2.ts";
import { type FaultClass, NO_LEVEL, type WalkResult } from "../result.ts";
import type { TableReader } from "../table-reader.ts";
import { F_ACCESS, F_ADDR_SIZE, F_PERMISSION, F_TRANSLATION, F_WALK_EABT } from "./faults.ts";
import { frameLimitOf } from "./granule.ts";
import type { StreamContext } from "./stream-context.ts";

/** The fault of a walk that failed at a descriptor, in either stage; what kind of fault is the architecture's. */
export function walkFault(status: WalkStatus): Fault {
  if (status === FETCH_FAILED) return F_WALK_EABT;
  return status === ADDRESS_SIZE ? F_ADDR_SIZE : F_TRANSLATION;
}

/** Its generic reason: the reserved descriptor encodings are malformed, an unreadable root is told apart. */
export function walkReason(status: WalkStatus, atRoot: boolean): FaultReason {
  if (status === FETCH_FAILED) return atRoot ? "PGD_FETCH" : "WALK_EABT";
  if (status === ADDRESS_SIZE) return "OOR_ADDRESS";
  return status === NOT_PRESENT ? "PTE_FETCH" : "BAD_PTE";
}

/** Stage 2 of one SMMU: translates for transactions, stage 1 walks and CD fetches of the current stream. */
export class Stage2 implements SecondStage {
  frame = 0;
  pageShift = 0;
  groupShift = 0;
  perm = 0;

  /** The current stream; its stage 2 is enabled. */
  stream: StreamContext;
  /** Privilege of the current transaction, after STE.PRIVCFG. */
  privileged = false;
  /** The address that `translate` gets is not the transaction's own: stage 1 translated it. */
  translated = false;
  /** The events' EVENTQEN, and FEAT_XNX. */
  eventQueue = true;
  xnx = true;

  /** What fetches of stage 1 descriptors go through. */
  forTables: SecondStage = this;

  readonly #tables: TableReader;
  readonly #walk = new Vmsav864Walk(2, Stage2Descriptor);

  constructor(tables: TableReader, stream: StreamContext) {
    this.#tables = tables;
    this.stream = stream;
  }

  translate(hi: number, lo: number, access: number, purpose: number, out: WalkResult): boolean {
    const stream = this.stream;
    const base = stream.stage2;
    // 3.4, stage 2 check 1: the input range.
    if (frameOf(hi, lo) >= frameLimitOf(base.inputBits)) {
      this.#report(F_TRANSLATION, "OOR_ADDRESS", NO_LEVEL, hi, lo, purpose, out);
      return false;
    }
    const walk = this.#walk;
    const status = walk.walk(this.#tables, base, hi, lo, null, out);
    if (status !== WALKED) {
      const reason = walkReason(status, walk.level === base.startLevel);
      return this.#fail(walkFault(status), reason, hi, lo, purpose, out);
    }
    // The access flag comes before permissions (7.3.22). HA sets the flag; AFFD takes it as set.
    if (!stage2AccessFlag(walk) && !stream.s2ha && !stream.s2affd)
      return this.#fail(F_ACCESS, F_ACCESS.reason, hi, lo, purpose, out);
    this.perm = stage2Permissions(walk, stream.s2hd, this.xnx, this.privileged);
    if ((access & ~this.perm) !== 0)
      return this.#fail(F_PERMISSION, F_PERMISSION.reason, hi, lo, purpose, out);
    // S2PTW: descriptors of stage 1 and CDs may not lie in Device memory.
    if (purpose !== FOR_DATA && stream.s2ptw && isDevice(walk, stream.s2fwb))
      return this.#fail(F_PERMISSION, F_PERMISSION.reason, hi, lo, purpose, out);
    this.frame = walk.frame;
    this.pageShift = walk.pageShift;
    this.groupShift = walk.groupShift;
    return true;
  }

  #fail(fault: Fault, reason: FaultReason, hi: number, lo: number, purpose: number, out: WalkResult): false {
    this.#tables.blame(out);
    return this.#report(fault, reason, this.#walk.level, hi, lo, purpose, out);
  }

  #report(
    fault: Fault,
    reason: FaultReason,
    level: number,
    hi: number,
    lo: number,
    purpose: number,
    out: WalkResult,
  ): false {
    out.fail(fault, reason);
    out.stage = 2;
    out.level = level;
    out.faultClass = classOf(purpose);
    // 5.5: S2R suppresses the record of a Translation-related fault; one that stalls is always recorded.
    const suppressed = fault !== F_WALK_EABT && !this.stream.s2r && !this.stream.s2s;
    out.recorded = this.eventQueue && !suppressed;
    if (purpose !== FOR_DATA || this.translated) out.at(hi, lo);
    return false;
  }
}

/** CLASS of a stage 2 fault (7.3): the fetch of a CD, of a stage 1 descriptor, or the transaction's own address. */
function classOf(purpose: number): FaultClass {
  if (purpose === FOR_DATA) return "IN";
  return purpose === FOR_CONTEXT ? "CD" : "TT";
}
