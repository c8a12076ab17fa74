import type { UnknownName } from "../../parsers/trace/unknown-names.ts";
import { FAULT, MSI, OK } from "../../walkers/result.ts";
import type { Severity } from "../../walkers/tables/rule.ts";
import type { Outcome, Verdict } from "../iommus/outcome.ts";
import { NumberSet } from "./number-set.ts";
import { ReadsHistogram } from "./reads-histogram.ts";

/** Record types of unknown meaning that are counted by name, and what of a name is kept. */
const MAX_UNKNOWN_TYPES = 1000;
const MAX_TYPE_LENGTH = 64;

/** Counters of one (IOMMU, table model) pair; `record` gives the contract's `stats` record. */
export class ModelStatistics {
  readonly iommu: string | undefined;
  readonly model: string;
  #requests = 0;
  #ok = 0;
  #faults = 0;
  #msi = 0;
  #bytes = 0;
  #latent = 0;
  readonly #devices = new NumberSet();
  readonly #pasids = new NumberSet();
  readonly #domains = new NumberSet();
  readonly #byReason = new Map<string, number>();
  readonly #byCode = new Map<number, number>();
  readonly #pageShifts = new Float64Array(64);
  readonly #reads = new ReadsHistogram();

  constructor(iommu: string | undefined, model: string) {
    this.iommu = iommu;
    this.model = model;
  }

  add(device: number, pasid: number, bytes: number, o: Outcome): void {
    if (o.latent) this.#latent++;
    this.#devices.add(device);
    if (pasid >= 0) this.#pasids.add(pasid);
    if (o.status === OK && o.domain >= 0) this.#domains.add(o.domain);
    this.addAlike(1, bytes, o);
  }

  /**
   * Counts requests that came to the same, and of whose device, PASID and domain others have been added.
   * @param bytes all their lengths
   */
  addAlike(requests: number, bytes: number, o: Outcome): void {
    this.#requests += requests;
    this.#bytes += bytes;
    this.#reads.add(o.reads, requests);
    if (o.status === OK) {
      this.#ok += requests;
      if (o.pageShift !== 0) this.#pageShifts[o.pageShift]! += requests;
    } else if (o.status === FAULT) {
      this.#faults += requests;
      this.#byReason.set(o.reason, (this.#byReason.get(o.reason) ?? 0) + requests);
      const code = o.fault!.code;
      if (code !== 0) this.#byCode.set(code, (this.#byCode.get(code) ?? 0) + requests);
    } else if (o.status === MSI) this.#msi += requests;
  }

  record() {
    const pageSizes: Record<string, number> = {};
    this.#pageShifts.forEach((count, shift) => {
      if (count > 0) pageSizes[2 ** shift] = count;
    });
    return {
      type: "stats" as const,
      ...(this.iommu === undefined ? {} : { iommu: this.iommu }),
      model: this.model,
      requests: this.#requests,
      ok: this.#ok,
      faults: this.#faults,
      msi: this.#msi,
      bytes: this.#bytes,
      devices: this.#devices.size,
      pasids: this.#pasids.size,
      domains: this.#domains.size,
      by_reason: Object.fromEntries([...this.#byReason].sort(([a], [b]) => (a < b ? -1 : 1))),
      by_code: Object.fromEntries(
        [...this.#byCode].sort(([a], [b]) => a - b).map(([code, count]) => [`0x${code.toString(16)}`, count]),
      ),
      page_sizes: pageSizes,
      reads: this.#reads.record(),
      ...(this.#latent > 0 ? { latent: this.#latent } : {}),
    };
  }
}

/** Counts of a whole replay; `record` gives the contract's `summary` record. */
export class Summary {
  lines = 0;
  /** `dma` and `mem` records, and verdicts `match`: those that nearly all are, so that they are not counted by name. */
  requests = 0;
  writes = 0;
  matches = 0;
  errors = 0;
  faults = 0;
  /** `stale` answers that no invalidation on its way to completion excuses. */
  owed = 0;
  /** Findings of what is wrong although no answer shows it. */
  latent = 0;
  /** Entries of the model of the caches that were dropped for want of memory: verdicts may be incomplete. */
  forgotten = 0;
  /** Requests that were walked: the others could not be used. */
  walked = 0;
  /** Requests that a filter has left out; -1: there is no filter. */
  filtered = -1;
  /** Requests that were answered many at once; -1: none could be. */
  batched = -1;
  /** Threads that worked on it; and what would have been quicker, but is not to be had here. */
  threads = 1;
  readonly missed: string[] = [];
  /** Names that nothing here knows. */
  unknownNames: readonly UnknownName[] = [];
  readonly records = new Map<string, number>();
  /** Records whose type the contract does not know. */
  readonly unknown = new Map<string, number>();
  /** Findings by rule. */
  readonly findings = new Map<string, number>();
  /** Findings by severity: what decides the exit status. */
  readonly severities = new Map<Severity, number>();
  readonly verdicts = new Map<Verdict, number>();

  static count<K>(map: Map<K, number>, key: K): void {
    map.set(key, (map.get(key) ?? 0) + 1);
  }

  countUnknown(type: string): void {
    const { unknown } = this;
    const name = type.length > MAX_TYPE_LENGTH ? `${type.slice(0, MAX_TYPE_LENGTH)}…` : type;
    Summary.count(unknown, unknown.size < MAX_UNKNOWN_TYPES || unknown.has(name) ? name : "…");
  }

  /** The end of the trace. */
  finish(lines: number, forgotten: number): void {
    this.lines = lines;
    this.forgotten = forgotten;
    if (this.requests > 0) this.records.set("dma", this.requests);
    if (this.writes > 0) this.records.set("mem", this.writes);
    if (this.matches > 0) this.verdicts.set("match", this.matches);
  }

  record() {
    const sorted = (map: Map<string, number>) =>
      Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
    return {
      type: "summary" as const,
      lines: this.lines,
      records: sorted(this.records),
      errors: this.errors,
      findings: sorted(this.findings),
      ...(this.latent > 0 ? { latent: this.latent } : {}),
      verdicts: sorted(this.verdicts),
      ...(this.unknown.size > 0 ? { unknown: sorted(this.unknown) } : {}),
      ...(this.unknownNames.length > 0
        ? { unknown_names: Object.fromEntries(this.unknownNames.map(({ name, count }) => [name, count])) }
        : {}),
      ...(this.filtered < 0 ? {} : { filtered: this.filtered }),
      ...(this.forgotten > 0 ? { forgotten: this.forgotten } : {}),
    };
  }
}

export type ModelCounters = ReturnType<ModelStatistics["record"]>;
export type ReplayCounters = ReturnType<Summary["record"]>;
