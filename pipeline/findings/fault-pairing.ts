import type { DmaRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import type { FaultReason } from "../../walkers/fault.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { FAULT } from "../../walkers/result.ts";
import { hexHalves } from "../../walkers/word64.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import type { FindingPlace } from "../filter/replay-filter.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Route } from "../iommus/iommus.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { CodeAliases } from "../verdicts/comparison.ts";
import type { Analysis, Showing } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import { type FaultingRequest, FaultWindow, loggedWord, NO_CODE, requestWord } from "./fault-window.ts";
import type { Findings } from "./findings.ts";
import type { OwedInvalidations } from "./owed-invalidations.ts";

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
  readonly #window = new FaultWindow();
  /** Line of the latest request that an old entry may have answered in another way. */
  #answeredOtherwise = 0;
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
    const request = this.#enter(line, route, record, outcome.reason, code, null);
    const { observed } = record;
    if (this.#answeredOtherwise === line || (observed.present && observed.result !== FAULT))
      request.excused = true;
  }

  #enter(
    line: number,
    { device, unit }: Route,
    record: DmaRecord,
    reason: FaultReason,
    code: number,
    source: StaleSource | null,
  ): FaultingRequest {
    const request = this.#window.next();
    this.#leave(request);
    request.line = line;
    request.unit = unit;
    request.device = device;
    request.pasid = record.pasid;
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    request.len = record.len;
    request.access = record.accessGiven ? record.access : 0;
    request.seq = record.seq;
    request.reason = reason;
    request.code = code;
    request.source = source;
    request.witnessed = record.observed.present && record.observed.result === FAULT;
    request.logged = false;
    request.excused = source !== null;
    return request;
  }

  logged(line: number, record: RecordOf<"fault">, unit: IommuUnit): void {
    this.#loggers.add(unit);
    const cause = this.#causeOf(record, unit, false) ?? this.#causeOf(record, unit, true);
    if (cause !== null) {
      cause.logged = true;
      if (cause.source !== null) this.#owed.explains(line, unit, cause.source);
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
      message: `expected a request before it that faults like this, found ${other === null ? this.#none() : instead(other)}`,
      ...(other === null ? {} : { request_line: other.line }),
    });
  }

  /** A fault that stands for itself. */
  #report(line: number, record: RecordOf<"fault">, unit: IommuUnit): void {
    const { dev, pasid, addr, access, code, reason } = record;
    const kind = code === undefined ? (reason ?? "unknown") : hexHalves(code.hi, code.lo);
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
        message: `the log has a fault of code ${kind}, a ${loggedWord(access)}${where}; there are no requests in the trace that it could be compared with`,
      },
    );
  }

  /** @param stale by what an old entry gives, instead of by what memory does */
  #causeOf(record: RecordOf<"fault">, unit: IommuUnit, stale: boolean): FaultingRequest | null {
    return this.#cause(record, unit, stale, true) ?? this.#cause(record, unit, stale, false);
  }

  /** The oldest request that a record is about, and that nothing has logged yet. */
  #cause(record: RecordOf<"fault">, unit: IommuUnit, stale: boolean, bySeq: boolean): FaultingRequest | null {
    if (bySeq && record.seq === undefined) return null;
    const { size } = this.#window;
    for (let n = 0; n < size; n++) {
      const request = this.#window.byAge(n);
      if ((request.source !== null) !== stale || request.logged || !request.isOf(record, unit)) continue;
      if (bySeq && request.seq !== record.seq) continue;
      if (request.faultsLike(record, this.#aliases)) return request;
    }
    return null;
  }

  /** The latest request of the record's device, PASID and address: it faults in another way, or is logged already. */
  #other(record: RecordOf<"fault">, unit: IommuUnit): FaultingRequest | null {
    for (let n = this.#window.size - 1; n >= 0; n--) {
      const request = this.#window.byAge(n);
      if (request.isOf(record, unit)) return request;
    }
    return null;
  }

  #none(): string {
    const count = this.#window.size;
    if (count === 0) return "none that faults";
    const last =
      count === 1 ? "the last request that faults is not" : `none of the last ${count} that fault is`;
    return `none: ${last} of this device, PASID and address`;
  }

  /** The end of the trace: what has not been logged by now never was. */
  finish(): void {
    for (let n = 0; n < this.#window.size; n++) this.#leave(this.#window.byAge(n));
  }

  /** A request leaves the window: nobody logs it any more. */
  #leave(request: FaultingRequest): void {
    const { unit, code, excused, logged, witnessed } = request;
    request.unit = null;
    request.source = null;
    if (unit === null || code === NO_CODE || excused || logged || witnessed || !this.#loggers.has(unit))
      return;
    const { line, pasid, addrHi, addrLo, len, reason } = request;
    const device = this.#names.devices.get(request.device);
    const hex = `0x${code.toString(16)}`;
    this.#findings.report(line, CACHE_RULES["unlogged-fault"], `${unit.id}\n${device.text}\n${code}`, {
      iommu: unit.id,
      dev: device.text,
      pasid: pasid < 0 ? undefined : pasid,
      place: { addrHi, addrLo, len, fault: { code: hex, reason } },
      message: `the request faults with code ${hex}, which the log of this IOMMU does not have`,
    });
  }
}

/** What a request comes to that a record is not about. */
function instead({ line, access, code, reason, logged }: FaultingRequest): string {
  const fault =
    code === NO_CODE ? "faults without a record" : `faults with code 0x${code.toString(16)} (${reason})`;
  return `that the ${requestWord(access)} of line ${line} ${fault}${logged ? ", and is logged already" : ""}`;
}

/** What a logged fault is about. Many logs have the page alone. */
function placeOf({ addr, code, reason }: RecordOf<"fault">): FindingPlace {
  const fault = { code: code === undefined ? "" : hexHalves(code.hi, code.lo), reason: reason ?? "" };
  if (addr === undefined) return { addrHi: 0, addrLo: 0, len: 0, fault };
  return { addrHi: addr.hi, addrLo: addr.lo, len: addr.lo % FRAME_BYTES === 0 ? FRAME_BYTES : 1, fault };
}
