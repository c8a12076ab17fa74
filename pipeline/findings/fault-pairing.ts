import type { Access } from "../../parsers/trace/accesses.ts";
import type { DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { FaultReason } from "../../walkers/fault.ts";
import { frameOf } from "../../walkers/memory.ts";
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { FAULT } from "../../walkers/result.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { Analysis } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";

/** Requests that fault, and that a later `fault` record can still be about. A power of two. */
const KEPT = 1 << 12;
const NO_CODE = -1;

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

/**
 * Pairs `fault` records (a kernel log, an event queue) with the requests that caused them: the oldest request of the
 * same device, PASID and kind of access whose bytes hold the logged address, that faults so and has not been logged
 * yet; where one of them has the record's `seq`, that one.
 */
export class FaultPairing implements Analysis {
  readonly #names: TraceNames;
  readonly #findings: Findings;
  // The latest requests, in a ring.
  readonly #lines = new Float64Array(KEPT);
  readonly #devices = new Int32Array(KEPT);
  readonly #pasids = new Int32Array(KEPT);
  readonly #addrHis = new Int32Array(KEPT);
  readonly #addrLos = new Int32Array(KEPT);
  readonly #lengths = new Float64Array(KEPT);
  /** As bits; 0 where the trace does not say. */
  readonly #accesses = new Uint8Array(KEPT);
  readonly #seqs = new Float64Array(KEPT);
  readonly #reasons: FaultReason[] = new Array(KEPT).fill("UNKNOWN");
  /** Code of the fault that should be logged; NO_CODE where the request does not fault, or without a record. */
  readonly #codes = new Float64Array(KEPT);
  readonly #units: (IommuUnit | null)[] = new Array(KEPT).fill(null);
  readonly #logged = new Uint8Array(KEPT);
  #next = 0;
  /** IOMMUs that have logged anything. */
  readonly #loggers = new Set<IommuUnit>();

  constructor(names: TraceNames, findings: Findings) {
    this.#names = names;
    this.#findings = findings;
  }

  /** Notes a request that faults. */
  faulted(line: number, { device, unit }: Route, record: DmaRecord, outcome: Outcome): void {
    const slot = this.#next++ & (KEPT - 1);
    this.#leave(slot);
    this.#lines[slot] = line;
    this.#devices[slot] = device;
    this.#pasids[slot] = record.pasid;
    this.#addrHis[slot] = record.addrHi;
    this.#addrLos[slot] = record.addrLo;
    this.#lengths[slot] = record.len;
    this.#accesses[slot] = record.accessGiven ? record.access : 0;
    this.#seqs[slot] = record.seq;
    this.#reasons[slot] = outcome.reason;
    this.#units[slot] = unit;
    this.#logged[slot] = 0;
    this.#codes[slot] = outcome.status === FAULT && outcome.recorded ? outcome.fault!.code : NO_CODE;
  }

  logged(line: number, record: RecordOf<"fault">, unit: IommuUnit): void {
    this.#loggers.add(unit);
    const slot = this.#cause(record, unit, true) ?? this.#cause(record, unit, false);
    if (slot !== null) {
      this.#logged[slot] = 1;
      return;
    }
    const { ofInterrupts } = unit.vendor.faultRecord;
    // A fault of an interrupt: no request of a trace is one.
    if (record.code !== undefined && ofInterrupts?.(record.code.lo >>> 0, -1, false)) return;
    const other = this.#other(record, unit);
    this.#findings.report(line, CACHE_RULES["unexplained-fault"], "", {
      iommu: unit.id,
      dev: record.dev.text,
      pasid: record.pasid,
      message: `expected a request before it that faults like this, found ${other === null ? this.#none() : this.#instead(other)}`,
      ...(other === null ? {} : { request_line: this.#lines[other] }),
    });
  }

  /** The oldest request that a record is about, and that nothing has logged yet. */
  #cause(record: RecordOf<"fault">, unit: IommuUnit, bySeq: boolean): number | null {
    if (bySeq && record.seq === undefined) return null;
    for (let n = Math.max(0, this.#next - KEPT); n < this.#next; n++) {
      const slot = n & (KEPT - 1);
      if (this.#logged[slot] !== 0 || !this.#concerns(slot, record, unit)) continue;
      if (bySeq && this.#seqs[slot] !== record.seq) continue;
      if (this.#faultsLike(slot, record)) return slot;
    }
    return null;
  }

  /** The latest request of the record's device, PASID and address: it faults in another way, or is logged already. */
  #other(record: RecordOf<"fault">, unit: IommuUnit): number | null {
    for (let n = this.#next - 1; n >= Math.max(0, this.#next - KEPT); n--) {
      const slot = n & (KEPT - 1);
      if (this.#concerns(slot, record, unit)) return slot;
    }
    return null;
  }

  #none(): string {
    if (this.#next === 0) return "none that faults";
    const count = Math.min(this.#next, KEPT);
    const last =
      count === 1 ? "the last request that faults is not" : `none of the last ${count} that fault is`;
    return `none: ${last} of this device, PASID and address`;
  }

  #instead(slot: number): string {
    const code = this.#codes[slot]!;
    const fault =
      code === NO_CODE
        ? "faults without a record"
        : `faults with code 0x${code.toString(16)} (${this.#reasons[slot]})`;
    const logged = this.#logged[slot] === 0 ? "" : ", and is logged already";
    const kind = this.#accesses[slot] === 0 ? "request" : ACCESS_WORDS[this.#accesses[slot]!];
    return `that the ${kind} of line ${this.#lines[slot]} ${fault}${logged}`;
  }

  /** By code, where the record has one; else by reason. */
  #faultsLike(slot: number, record: RecordOf<"fault">): boolean {
    if (this.#codes[slot] === NO_CODE) return false;
    const { code, reason, access } = record;
    if (code !== undefined && this.#codes[slot] !== (code.hi >>> 0) * 2 ** 32 + (code.lo >>> 0)) return false;
    if (code === undefined && reason !== undefined && reason !== this.#reasons[slot]) return false;
    const asked = this.#accesses[slot]!;
    return access === undefined || asked === 0 || (asked & LOGGED_AS[access]) !== 0;
  }

  /** The end of the trace: what has not been logged by now never was. */
  finish(): void {
    for (let slot = 0; slot < KEPT; slot++) this.#leave(slot);
  }

  #concerns(slot: number, record: RecordOf<"fault">, unit: IommuUnit): boolean {
    if (this.#units[slot] !== unit || this.#devices[slot] !== record.dev.canonical) return false;
    if (record.pasid !== undefined && this.#pasids[slot] !== record.pasid) return false;
    if (record.addr === undefined) return true;
    // Logs give addresses to the page: the request's pages are what counts.
    const first = frameOf(this.#addrHis[slot]!, this.#addrLos[slot]!);
    const bytes = (this.#addrLos[slot]! & 0xfff) + this.#lengths[slot]!;
    const page = frameOf(record.addr.hi, record.addr.lo);
    return page >= first && page < first + Math.ceil(bytes / 4096);
  }

  /** A request leaves the window: nobody logs it any more. */
  #leave(slot: number): void {
    const unit = this.#units[slot];
    if (unit === null || unit === undefined) return;
    this.#units[slot] = null;
    const code = this.#codes[slot]!;
    if (code === NO_CODE || this.#logged[slot] !== 0 || !this.#loggers.has(unit)) return;
    const device = this.#names.devices.get(this.#devices[slot]!);
    this.#findings.report(
      this.#lines[slot]!,
      CACHE_RULES["unlogged-fault"],
      `${unit.id}\n${device.text}\n${code}`,
      {
        iommu: unit.id,
        dev: device.text,
        pasid: this.#pasids[slot]! < 0 ? undefined : this.#pasids[slot],
        message: `the request faults with code 0x${code.toString(16)}, which the log of this IOMMU does not have`,
      },
    );
  }
}
