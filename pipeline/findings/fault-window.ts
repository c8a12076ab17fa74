import { ACCESS_BITS, type Access } from "../../parsers/trace/accesses.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { FaultReason } from "../../walkers/fault.ts";
import { FRAME_BYTES, FRAME_MASK, frameOf } from "../../walkers/memory.ts";
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import { type CodeAliases, isAlias } from "../verdicts/comparison.ts";

/** Requests that fault, and that a later `fault` record can still be about. A power of two. */
const KEPT = 1 << 12;
/** The request does not fault, or without a record. */
export const NO_CODE = -1;

/** The requests that a log may mean by each kind of access: most do not tell a read for execute from a read. */
const LOGGED_AS: Readonly<Record<Access, number>> = {
  r: READ | EXECUTE,
  w: WRITE,
  rw: WRITE,
  x: EXECUTE,
};
const ACCESS_WORDS: Readonly<Record<number, string>> = {
  [READ]: "read",
  [WRITE]: "write",
  [READ | WRITE]: "atomic request",
  [EXECUTE]: "read for execute",
};

/** What a request of a kind of access is called. @param bits 0: the trace does not say */
export function requestWord(bits: number): string {
  return ACCESS_WORDS[bits] ?? "request";
}

/** The same of a fault record. */
export function loggedWord(access: Access | undefined): string {
  return requestWord(access === undefined ? 0 : ACCESS_BITS[access]);
}

/** A request that faults, or that an old entry may have answered with a fault. */
export class FaultingRequest {
  line = 0;
  /** Null: nobody logs it any more. */
  unit: IommuUnit | null = null;
  device = 0;
  pasid = 0;
  addrHi = 0;
  addrLo = 0;
  /** In bytes. */
  len = 0;
  /** As bits; 0 where the trace does not say. */
  access = 0;
  seq = 0;
  reason: FaultReason = "UNKNOWN";
  /** Of the fault that should be logged, or NO_CODE. */
  code = NO_CODE;
  /** The old entry that gives the fault, where memory does not; null: memory does. */
  source: StaleSource | null = null;
  /** What was observed of the request is a fault: whoever recorded it knew. */
  witnessed = false;
  logged = false;
  /** That nothing logs the fault says nothing: the recorded system may have answered from an old entry, or has. */
  excused = false;

  /** Whether a record is about its device, PASID and address. */
  isOf(record: RecordOf<"fault">, unit: IommuUnit): boolean {
    if (this.unit !== unit || this.device !== record.dev.canonical) return false;
    if (record.pasid !== undefined && this.pasid !== record.pasid) return false;
    if (record.addr === undefined) return true;
    // Logs give addresses to the page: the request's pages are what counts.
    const first = frameOf(this.addrHi, this.addrLo);
    const bytes = (this.addrLo & FRAME_MASK) + this.len;
    const page = frameOf(record.addr.hi, record.addr.lo);
    return page >= first && page < first + Math.ceil(bytes / FRAME_BYTES);
  }

  /** Whether it faults as a record says: by code, where the record has one; else by reason. */
  faultsLike({ code, reason, access }: RecordOf<"fault">, aliases: CodeAliases): boolean {
    if (this.code === NO_CODE) return false;
    const logged = code === undefined ? NO_CODE : (code.hi >>> 0) * 2 ** 32 + (code.lo >>> 0);
    if (code !== undefined && this.code !== logged && !isAlias(aliases, this.code, logged)) return false;
    if (code === undefined && reason !== undefined && reason !== this.reason) return false;
    return access === undefined || this.access === 0 || (this.access & LOGGED_AS[access]) !== 0;
  }
}

/** The latest requests that fault: the places of the oldest serve again. */
export class FaultWindow {
  readonly #ring: FaultingRequest[] = [];
  #entered = 0;

  /** How many there are. */
  get size(): number {
    return this.#ring.length;
  }

  /** One of them by age: 0 is the oldest. */
  byAge(n: number): FaultingRequest {
    return this.#ring[(this.#entered - this.#ring.length + n) & (KEPT - 1)]!;
  }

  /** A place for one more: where all are taken, that of the oldest, as it still is. */
  next(): FaultingRequest {
    const place = this.#entered++ & (KEPT - 1);
    this.#ring[place] ??= new FaultingRequest();
    return this.#ring[place];
  }
}
