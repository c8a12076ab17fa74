import { ACCESS_BITS, type Access } from "../../parsers/trace/accesses.ts";
import type { DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { FaultReason } from "../../walkers/fault.ts";
import { frameOf } from "../../walkers/memory.ts";
import { EXECUTE, READ, type WalkRequest, WRITE } from "../../walkers/request.ts";
import { FAULT } from "../../walkers/result.ts";
import { hexHalves } from "../../walkers/word64.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { FindingPlace } from "../filter/replay-filter.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import { type CodeAliases, isAlias } from "../verdicts/comparison.ts";
import type { Analysis, Showing } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";
import type { OwedInvalidations } from "./owed-invalidations.ts";

/** Requests that fault, and that a later `fault` record can still be about. A power of two. */
const KEPT = 1 << 12;
const NO_CODE = -1;
const PAGE_BYTES = 4096;

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
  readonly #owed: OwedInvalidations;
  readonly #aliases: CodeAliases;
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
  /** What was observed of the request is a fault: whoever recorded it knew. */
  readonly #witnessed = new Uint8Array(KEPT);
  readonly #logged = new Uint8Array(KEPT);
  /** The old entry that gives the fault, where memory does not; null: memory does. */
  readonly #sources: (StaleSource | null)[] = new Array(KEPT).fill(null);
  /** That nothing logs the fault says nothing: the recorded system may have answered from an old entry, or has. */
  readonly #excused = new Uint8Array(KEPT);
  /** Line of the latest request that an old entry may have answered in another way. */
  #answeredOtherwise = 0;
  #next = 0;
  /** IOMMUs that have logged anything. */
  readonly #loggers = new Set<IommuUnit>();
  /** Units that the trace has requests of, and the latest of them. */
  readonly #asked = new Set<IommuUnit>();
  #lastAsked: IommuUnit | null = null;

  /**
   * @param owed told about faults that an old entry explains
   * @param aliases codes that stand for another in the log
   */
  constructor(names: TraceNames, findings: Findings, owed: OwedInvalidations, aliases: CodeAliases) {
    this.#names = names;
    this.#findings = findings;
    this.#owed = owed;
    this.#aliases = aliases;
  }

  /** An old entry may have answered a request, or has: with a fault, the log may have that one. */
  stale(
    line: number,
    route: Route,
    record: DmaRecord,
    _request: WalkRequest,
    staleSource: StaleSource,
    showing: Showing,
  ): void {
    if (showing === "latent") return;
    const { fault, recorded, reason } = staleSource.answer;
    if (fault === null) this.#answeredOtherwise = line;
    else if (recorded) this.#enter(line, route, record, reason, fault.code, staleSource);
  }

  request(_line: number, { unit }: Route): void {
    if (unit === this.#lastAsked) return;
    this.#lastAsked = unit;
    this.#asked.add(unit);
  }

  /** Somebody logs faults: one that leaves the window without is missing. */
  heedful(): boolean {
    return this.#loggers.size > 0;
  }

  /** Notes a request that faults. */
  faulted(line: number, route: Route, record: DmaRecord, outcome: Outcome): void {
    const code = outcome.status === FAULT && outcome.recorded ? outcome.fault!.code : NO_CODE;
    const slot = this.#enter(line, route, record, outcome.reason, code, null);
    const { observed } = record;
    if (this.#answeredOtherwise === line || (observed.present && observed.result !== FAULT))
      this.#excused[slot] = 1;
  }

  /** @returns its place in the ring */
  #enter(
    line: number,
    { device, unit }: Route,
    record: DmaRecord,
    reason: FaultReason,
    code: number,
    source: StaleSource | null,
  ): number {
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
    this.#reasons[slot] = reason;
    this.#units[slot] = unit;
    this.#logged[slot] = 0;
    this.#witnessed[slot] = record.observed.present && record.observed.result === FAULT ? 1 : 0;
    this.#codes[slot] = code;
    this.#sources[slot] = source;
    this.#excused[slot] = source === null ? 0 : 1;
    return slot;
  }

  logged(line: number, record: RecordOf<"fault">, unit: IommuUnit): void {
    this.#loggers.add(unit);
    const slot = this.#causeOf(record, unit, false) ?? this.#causeOf(record, unit, true);
    if (slot !== null) {
      this.#logged[slot] = 1;
      const source = this.#sources[slot] ?? null;
      if (source !== null) this.#owed.explains(line, unit, source);
      return;
    }
    // Of a unit without requests nobody has recorded any: that they do not explain the fault says nothing.
    if (!this.#asked.has(unit)) {
      this.#report(line, record, unit);
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
      place: placeOf(record),
      message: `expected a request before it that faults like this, found ${other === null ? this.#none() : this.#instead(other)}`,
      ...(other === null ? {} : { request_line: this.#lines[other] }),
    });
  }

  /** A fault that stands for itself. */
  #report(line: number, record: RecordOf<"fault">, unit: IommuUnit): void {
    const { dev, pasid, addr, access, code, reason } = record;
    const kind = code === undefined ? (reason ?? "unknown") : hexHalves(code.hi, code.lo);
    const what = access === undefined ? "request" : ACCESS_WORDS[ACCESS_BITS[access]]!;
    const where = addr === undefined ? "" : ` at ${hexHalves(addr.hi, addr.lo)}`;
    this.#findings.report(
      line,
      CACHE_RULES["logged-fault"],
      `${unit.id}\n${dev.canonical}\n${kind}\n${access}`,
      {
        iommu: unit.id,
        dev: dev.text,
        pasid,
        place: placeOf(record),
        message: `the log has a fault of code ${kind}, a ${what}${where}; there are no requests in the trace that it could be compared with`,
      },
    );
  }

  /** @param stale by what an old entry gives, instead of by what memory does */
  #causeOf(record: RecordOf<"fault">, unit: IommuUnit, stale: boolean): number | null {
    return this.#cause(record, unit, stale, true) ?? this.#cause(record, unit, stale, false);
  }

  /** The oldest request that a record is about, and that nothing has logged yet. */
  #cause(record: RecordOf<"fault">, unit: IommuUnit, stale: boolean, bySeq: boolean): number | null {
    if (bySeq && record.seq === undefined) return null;
    for (let n = Math.max(0, this.#next - KEPT); n < this.#next; n++) {
      const slot = n & (KEPT - 1);
      if ((this.#sources[slot] !== null) !== stale || this.#logged[slot] !== 0) continue;
      if (!this.#concerns(slot, record, unit)) continue;
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
    const logged = code === undefined ? NO_CODE : (code.hi >>> 0) * 2 ** 32 + (code.lo >>> 0);
    const own = this.#codes[slot]!;
    if (code !== undefined && own !== logged && !isAlias(this.#aliases, own, logged)) return false;
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
    this.#sources[slot] = null;
    if (code === NO_CODE || this.#excused[slot] !== 0 || !this.#loggers.has(unit)) return;
    if (this.#logged[slot] !== 0 || this.#witnessed[slot] !== 0) return;
    const device = this.#names.devices.get(this.#devices[slot]!);
    this.#findings.report(
      this.#lines[slot]!,
      CACHE_RULES["unlogged-fault"],
      `${unit.id}\n${device.text}\n${code}`,
      {
        iommu: unit.id,
        dev: device.text,
        pasid: this.#pasids[slot]! < 0 ? undefined : this.#pasids[slot],
        place: {
          addrHi: this.#addrHis[slot]!,
          addrLo: this.#addrLos[slot]!,
          len: this.#lengths[slot]!,
          fault: { code: `0x${code.toString(16)}`, reason: this.#reasons[slot]! },
        },
        message: `the request faults with code 0x${code.toString(16)}, which the log of this IOMMU does not have`,
      },
    );
  }
}

/** What a logged fault is about. Many logs have the page alone. */
function placeOf({ addr, code, reason }: RecordOf<"fault">): FindingPlace {
  const fault = { code: code === undefined ? "" : hexHalves(code.hi, code.lo), reason: reason ?? "" };
  if (addr === undefined) return { addrHi: 0, addrLo: 0, len: 0, fault };
  return { addrHi: addr.hi, addrLo: addr.lo, len: addr.lo % PAGE_BYTES === 0 ? PAGE_BYTES : 1, fault };
}
