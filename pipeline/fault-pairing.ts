import type { DmaRecord, TraceNames } from "../parsers/trace/records.ts";
import type { RecordOf } from "../parsers/trace/schema.ts";
import { FAULT } from "../walkers/result.ts";
import { CACHE_RULES } from "./findings/cache-rules.ts";
import type { Findings } from "./findings/findings.ts";
import type { IommuUnit } from "./iommu-unit.ts";
import type { Outcome } from "./outcome.ts";

/** Requests that fault, and that a later `fault` record can still be about. A power of two. */
const KEPT = 1 << 12;
const NO_CODE = -1;

/**
 * Pairs `fault` records (a kernel log, an event queue) with the requests that caused them: the oldest request of the
 * same device and PASID whose bytes hold the logged address, that faults and has not been logged yet.
 */
export class FaultPairing {
  readonly #names: TraceNames;
  readonly #findings: Findings;
  // The latest requests, in a ring.
  readonly #lines = new Float64Array(KEPT);
  readonly #devices = new Int32Array(KEPT);
  readonly #pasids = new Int32Array(KEPT);
  readonly #addrHis = new Int32Array(KEPT);
  readonly #addrLos = new Int32Array(KEPT);
  readonly #lengths = new Float64Array(KEPT);
  /** Code of the fault that should be logged; NO_CODE where the request does not fault, or without a record. */
  readonly #codes = new Float64Array(KEPT);
  readonly #units: (IommuUnit | null)[] = new Array(KEPT).fill(null);
  readonly #logged = new Uint8Array(KEPT);
  #next = 0;
  /** IOMMUs that have logged anything. */
  readonly #loggers = new Set<IommuUnit>();
  paired = 0;
  unexplained = 0;

  constructor(names: TraceNames, findings: Findings) {
    this.#names = names;
    this.#findings = findings;
  }

  /** Notes a request that faults. */
  request(line: number, record: DmaRecord, device: number, unit: IommuUnit, outcome: Outcome): void {
    const slot = this.#next++ & (KEPT - 1);
    this.#leave(slot);
    this.#lines[slot] = line;
    this.#devices[slot] = device;
    this.#pasids[slot] = record.pasid;
    this.#addrHis[slot] = record.addrHi;
    this.#addrLos[slot] = record.addrLo;
    this.#lengths[slot] = record.len;
    this.#units[slot] = unit;
    this.#logged[slot] = 0;
    this.#codes[slot] = outcome.status === FAULT && outcome.recorded ? outcome.fault!.code : NO_CODE;
  }

  /** A fault was logged. */
  fault(line: number, record: RecordOf<"fault">, unit: IommuUnit): void {
    this.#loggers.add(unit);
    const code =
      record.code === undefined ? NO_CODE : (record.code.hi >>> 0) * 2 ** 32 + (record.code.lo >>> 0);
    let innocent = -1;
    for (let n = Math.max(0, this.#next - KEPT); n < this.#next; n++) {
      const slot = n & (KEPT - 1);
      if (!this.#concerns(slot, record, unit)) continue;
      if (this.#codes[slot] === NO_CODE || (code !== NO_CODE && this.#codes[slot] !== code)) {
        innocent = slot;
        continue;
      }
      if (this.#logged[slot] !== 0) continue;
      this.#logged[slot] = 1;
      this.paired++;
      return;
    }
    this.unexplained++;
    const walk = innocent < 0 ? NO_CODE : this.#codes[innocent]!;
    const instead =
      innocent < 0
        ? `none of the last ${Math.min(this.#next, KEPT)} requests that fault is of this device, PASID and address`
        : `the request of line ${this.#lines[innocent]} ${walk === NO_CODE ? "faults without a record" : `faults with code 0x${walk.toString(16)}`}`;
    this.#findings.report(line, CACHE_RULES["unexplained-fault"], "", {
      iommu: unit.id,
      dev: record.dev.text,
      pasid: record.pasid,
      message: `expected a request before it that faults like this; ${instead}`,
      ...(innocent < 0 ? {} : { request_line: this.#lines[innocent] }),
    });
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
    const first = pageOf(this.#addrHis[slot]!, this.#addrLos[slot]!);
    const bytes = (this.#addrLos[slot]! & 0xfff) + this.#lengths[slot]!;
    const page = pageOf(record.addr.hi, record.addr.lo);
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

function pageOf(hi: number, lo: number): number {
  return (hi >>> 0) * 0x10_0000 + (lo >>> 12);
}
