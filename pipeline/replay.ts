import { fromInvRecord } from "../parsers/commands/inv-record.ts";
import { ACCEPTED } from "../parsers/commands/invalidation.ts";
import { GuestMemory } from "../parsers/memory/guest-memory.ts";
import { openSnapshot } from "../parsers/memory/open-snapshot.ts";
import type { ErrorCode, TraceHandler } from "../parsers/trace/reader.ts";
import type { DmaRecord, MemRecord, TraceNames } from "../parsers/trace/records.ts";
import type { PlainRecord, RecordOf } from "../parsers/trace/schema.ts";
import { printable, printableLine } from "../parsers/trace/show.ts";
import { WalkRequest } from "../walkers/request.ts";
import { FAULT } from "../walkers/result.ts";
import type { ByteWriter } from "./byte-writer.ts";
import { type CacheBudgets, MemoryBudget } from "./caches/memory-budget.ts";
import { UnitCaches } from "./caches/unit-caches.ts";
import { VersionedMemory } from "./caches/versioned-memory.ts";
import { FaultPairing } from "./fault-pairing.ts";
import { BindingFindings } from "./findings/bind-findings.ts";
import { CacheFindings } from "./findings/cache-findings.ts";
import { Findings } from "./findings/findings.ts";
import { TableFindings } from "./findings/table-findings.ts";
import { HeldVerdicts } from "./held-verdicts.ts";
import { IommuUnit } from "./iommu-unit.ts";
import { aim, Iommus, type Problem } from "./iommus.ts";
import { Judge } from "./judge.ts";
import type { ReplayOptions } from "./options.ts";
import { Outcome } from "./outcome.ts";
import { OutcomeWriter } from "./outcome-writer.ts";
import { walkRequest } from "./request-walk.ts";
import { selects } from "./selection.ts";
import { type ModelStatistics, Summary } from "./statistics.ts";
import { Comparison } from "./verdict.ts";

/** What the memory limit goes to: cached translations, contexts, and past values of table entries; the rest is slack. */
const SHARE_OF_PAGES = 0.5;
const SHARE_OF_CONTEXTS = 0.125;
const SHARE_OF_CHANGES = 0.125;
/** Record types of unknown meaning that are counted by name, and what of a name is kept. */
const MAX_UNKNOWN_TYPES = 1000;
const MAX_TYPE_LENGTH = 64;
/** One past the largest low half of an address. */
const LOW_HALVES = 2 ** 32;

/**
 * Replays the records of one trace: keeps what memory, registers and bindings are now, walks every request, and
 * writes the output records. Feed it through `readTrace`, then call `finish`.
 */
export class Replay implements TraceHandler {
  readonly summary = new Summary();
  readonly memory = new GuestMemory();
  readonly iommus: Iommus;
  readonly #out: ByteWriter;
  readonly #outcomes: OutcomeWriter;
  readonly #held: HeldVerdicts;
  readonly #options: ReplayOptions;
  readonly #judge: Judge;
  readonly #findings: Findings;
  /** Findings about caches and commands, and about logged faults; null where nobody wants findings. */
  readonly #cacheFindings: CacheFindings | null;
  readonly #pairing: FaultPairing | null;
  readonly #bindings: BindingFindings | null;
  readonly #tables: TableFindings | null;
  /** Guest memory as the walkers see it: as it is, and as it was. */
  readonly #past: VersionedMemory;
  readonly #budgets: CacheBudgets;
  readonly #request = new WalkRequest();
  readonly #outcome = new Outcome();
  #dmaRecords = 0;
  /** Requests whose verdict is `match`: nearly all, so that they are not counted by name. */
  #matches = 0;
  #memRecords = 0;
  #lastStatistics: ModelStatistics | null = null;
  #lastUnit: IommuUnit | null = null;

  constructor(names: TraceNames, out: ByteWriter, options: ReplayOptions) {
    const { caches, memoryLimit } = options;
    this.#past = new VersionedMemory(this.memory, memoryLimit * SHARE_OF_CHANGES);
    this.#budgets = {
      pages: new MemoryBudget(memoryLimit * SHARE_OF_PAGES),
      contexts: new MemoryBudget(memoryLimit * SHARE_OF_CONTEXTS),
    };
    if (caches) this.memory.watcher = this.#past;
    this.iommus = new Iommus(this.#past, names, caches ? this.#newCaches : null);
    this.#out = out;
    this.#outcomes = new OutcomeWriter(out);
    this.#options = options;
    this.#held = new HeldVerdicts(out, this.summary, options.only);
    const wanted = options.findings && options.only.findings;
    this.#findings = new Findings(this.summary, wanted ? (finding) => this.#write(finding) : null);
    this.#cacheFindings = options.findings ? new CacheFindings(this.#findings, names, this.#past) : null;
    this.#pairing = options.findings ? new FaultPairing(names, this.#findings) : null;
    this.#bindings = options.findings ? new BindingFindings(this.#findings, this.memory) : null;
    this.#tables = options.findings
      ? new TableFindings(this.#findings, names, this.memory, () => this.iommus.units)
      : null;
    this.#judge = new Judge(new Comparison(names, options.compare, options.paGranularity));
  }

  readonly #newCaches = (unit: IommuUnit): UnitCaches =>
    new UnitCaches(unit, this.#past, this.#budgets, this.#options.iotlb);

  /** Requests replayed so far. */
  get requests(): number {
    return this.#dmaRecords;
  }

  dma(line: number, record: DmaRecord): void {
    this.#dmaRecords++;
    this.#judgeTables();
    this.#past.tick(line);
    const route = this.iommus.route(record);
    if ("code" in route) {
      this.#fail(line, route);
      return;
    }
    if (record.addrHi === -1 && (record.addrLo >>> 0) + record.len > LOW_HALVES) {
      this.error(
        line,
        "range",
        "dma.len: expected a request that ends below 2^64, found one that wraps around",
      );
      return;
    }
    const request = this.#request;
    aim(request, route, record);
    const outcome = this.#outcome;
    const { caches } = route.unit;
    const doubt = walkRequest(route.unit.engine, request, record.len, outcome, caches, this.#past.time);
    // A fetch that failed may be a hole, or a snapshot's file that cannot be read any more: the latter is said once.
    let unread = false;
    if (outcome.status === FAULT && outcome.hole) {
      unread = this.memory.isUnread(outcome.entryFrame);
      this.#fail(line, this.memory.takeError());
    }
    if (unread) outcome.verdict = record.observed.present ? "unknown" : "";
    else this.#judge.judge(record, request, outcome, caches, doubt);
    if (outcome.verdict !== "") this.#noteVerdict(line, record, request, route.unit, outcome);
    if (caches !== null && caches.deviceCulprit !== null) this.#noteDevice(line, record, request, route.unit);
    if (outcome.status === FAULT && !unread)
      this.#pairing?.request(line, record, route.device, route.unit, outcome);
    this.#count(route.unit, route.device, record, outcome);
    if (this.#held.concerns(route.unit, outcome))
      this.#held.write(route.unit, line, route.names, record, outcome, this.#outcomes);
    else if (selects(this.#options.only, outcome)) this.#outcomes.write(line, route.names, record, outcome);
  }

  mem(line: number, record: MemRecord): void {
    this.#memRecords++;
    this.#past.tick(line);
    const { bytes, start, end, addrHi, addrLo } = record;
    const count = (end - start) >>> 1;
    const tables = this.#tables?.concerns(addrHi, addrLo, count) ? this.#tables : null;
    tables?.writing(addrHi, addrLo, count);
    this.#past.byIommu = record.byIommu;
    this.#fail(line, this.memory.writeHex(bytes, start, end, addrHi, addrLo));
    tables?.written(line);
  }

  record(line: number, record: PlainRecord): void {
    Summary.count(this.summary.records, record.type);
    this.#past.tick(line);
    switch (record.type) {
      case "iommu":
        this.#fail(line, this.iommus.declare(record));
        this.#configured(line, this.iommus.named("iommu", record.id));
        break;
      case "reg":
        this.#fail(line, this.iommus.setRegister(record));
        this.#configured(line, this.iommus.named("reg", record.iommu));
        break;
      case "bind":
        this.#bind(line, record);
        break;
      case "unbind":
        this.#unbind(line, record);
        break;
      case "ram":
        this.#fail(line, this.memory.ram(record.addr.hi, record.addr.lo, record.size.hi, record.size.lo));
        break;
      case "snapshot":
        this.#tables?.settle();
        this.#fail(line, this.#loadSnapshot(record));
        this.#tables?.replaced(line);
        break;
      case "cmd":
        this.#judgeTables();
        this.#fail(line, this.#command(line, record));
        break;
      case "inv":
        this.#judgeTables();
        this.#fail(line, this.#invalidate(line, record));
        break;
      case "fault":
        this.#judgeTables();
        this.#fail(line, this.#logged(line, record));
        break;
      case "mark":
        if (this.#options.only.marks) this.#write({ type: "mark", line, label: record.label });
        break;
    }
  }

  unknown(_line: number, type: string): void {
    const { unknown } = this.summary;
    const name = type.length > MAX_TYPE_LENGTH ? `${type.slice(0, MAX_TYPE_LENGTH)}…` : type;
    Summary.count(unknown, unknown.size < MAX_UNKNOWN_TYPES || unknown.has(name) ? name : "…");
  }

  error(line: number, code: ErrorCode, message: string): void {
    this.summary.errors++;
    this.#write({ type: "error", line, code, message: printableLine(message) });
  }

  /**
   * Writes `stats` and `summary`. Nothing may be replayed after it.
   * @param lines lines of the whole input
   */
  finish(lines: number): void {
    const { summary } = this;
    summary.lines = lines;
    this.#held.finish();
    this.#tables?.finish();
    this.#pairing?.finish();
    for (const unit of this.iommus.units) {
      const pending = unit.caches?.pending ?? 0;
      if (pending > 0) this.#cacheFindings?.neverCompleted(lines, unit, unit.caches!.pendingLine, pending);
    }
    for (const unit of this.iommus.units) summary.forgotten += unit.caches?.forgotten ?? 0;
    if (summary.forgotten > 0) this.#cacheFindings?.forgotten(lines, summary.forgotten);
    if (this.#dmaRecords > 0) summary.records.set("dma", this.#dmaRecords);
    if (this.#memRecords > 0) summary.records.set("mem", this.#memRecords);
    if (this.#matches > 0) summary.verdicts.set("match", this.#matches);
    if (!this.#options.stats) return;
    const { trace } = this.#options;
    const label = trace === undefined ? {} : { trace };
    for (const unit of this.iommus.units)
      unit.allStatistics.forEach((statistics, i) => {
        // The caches are those of the IOMMU: they stand once, whatever table formats it walked.
        const caches = i === 0 ? unit.caches?.statistics() : undefined;
        this.#write({ ...statistics.record(), ...caches, ...label });
      });
    this.#write({ ...summary.record(), ...label });
  }

  #configured(line: number, unit: IommuUnit | Problem): void {
    if (unit instanceof IommuUnit) this.#tables?.configured(line, unit);
  }

  #bind(line: number, record: RecordOf<"bind">): void {
    const problem = this.iommus.bind(record);
    // Without a name it is the only one, and where there are several nothing was bound.
    const one = record.iommu !== undefined || this.iommus.units.length === 1;
    const unit = one ? this.iommus.of("bind", record.iommu, record.dev.canonical) : undefined;
    if (unit instanceof IommuUnit) this.#bindings?.bound(line, unit, record);
    this.#fail(line, problem);
    this.#tables?.rebound(line, record.dev.canonical);
  }

  #unbind(line: number, record: RecordOf<"unbind">): void {
    this.#fail(line, this.iommus.unbind(record));
    const units =
      record.iommu === undefined ? this.iommus.units : [this.iommus.named("unbind", record.iommu)];
    for (const unit of units)
      if (unit instanceof IommuUnit) this.#bindings?.unbound(unit, record.dev.canonical);
    this.#tables?.rebound(line, record.dev.canonical);
  }

  /** Before a record that uses tables: what is wrong with them is said first. */
  #judgeTables(): void {
    if (this.#tables?.pending) this.#tables.use();
  }

  #noteVerdict(
    line: number,
    record: DmaRecord,
    request: WalkRequest,
    unit: IommuUnit,
    outcome: Outcome,
  ): void {
    if (outcome.verdict === "match") {
      this.#matches++;
      return;
    }
    Summary.count(this.summary.verdicts, outcome.verdict);
    const { culprit } = this.#judge;
    if (outcome.verdict === "stale" && culprit?.excused !== true) this.summary.owed++;
    if (culprit === null || culprit.excused || this.#cacheFindings === null) return;
    if (outcome.verdict === "stale" || outcome.verdict === "hazard")
      this.#cacheFindings.staleUse(line, record, request, unit, culprit);
  }

  #noteDevice(line: number, record: DmaRecord, request: WalkRequest, unit: IommuUnit): void {
    const caches = unit.caches!;
    this.#cacheFindings?.staleDevice(line, record, request, unit, caches.deviceCulprit!);
    caches.deviceCulprit = null;
  }

  #count(unit: IommuUnit, device: number, record: DmaRecord, outcome: Outcome): void {
    if (outcome.status === FAULT) this.summary.faults++;
    let statistics = this.#lastStatistics;
    if (statistics === null || this.#lastUnit !== unit || statistics.model !== outcome.model) {
      statistics = unit.statistics(outcome.model);
      this.#lastStatistics = statistics;
      this.#lastUnit = unit;
    }
    statistics.add(device, record.pasid, record.len, outcome);
  }

  /** A native command: what it invalidates takes effect at the next completion. */
  #command(line: number, record: RecordOf<"cmd">): Problem | null {
    const unit = this.iommus.named("cmd", record.iommu);
    if (!(unit instanceof IommuUnit)) return unit;
    const { caches, commands } = unit;
    const invalidation = commands.invalidation(record.data);
    if (commands.status !== ACCEPTED) this.#cacheFindings?.badCommand(line, unit, record);
    if (caches === null) return null;
    if (invalidation !== null && commands.spec !== null) caches.count(commands.spec.name);
    if (commands.completion) {
      if (caches.undecided) this.#held.decide(unit, true);
      caches.complete();
    } else if (invalidation !== null && invalidation.status === ACCEPTED)
      caches.invalidate(invalidation, this.#past.time);
    else return null;
    this.#cacheFindings?.invalidated(line, unit);
    return null;
  }

  #invalidate(line: number, record: RecordOf<"inv">): Problem | null {
    const units = record.iommu === undefined ? this.iommus.units : [this.iommus.named("inv", record.iommu)];
    const invalidation = fromInvRecord(record);
    if (typeof invalidation === "string") return { code: "schema", message: invalidation };
    for (const unit of units) {
      if (!(unit instanceof IommuUnit)) return unit;
      // The neutral form has no completion of its own: it says what has happened.
      unit.caches?.invalidated(invalidation, this.#past.time);
      unit.caches?.count(`inv ${record.cache} ${record.granularity}`);
      this.#cacheFindings?.invalidated(line, unit);
    }
    return null;
  }

  /** A fault that the recorded system logged on its own. */
  #logged(line: number, record: RecordOf<"fault">): Problem | null {
    const unit = this.iommus.of("fault", record.iommu, record.dev.canonical);
    if (!(unit instanceof IommuUnit)) return unit;
    // What is not known of memory may explain it.
    if (!this.memory.lost) this.#pairing?.fault(line, record, unit);
    return null;
  }

  #loadSnapshot(record: RecordOf<"snapshot">): Problem | null {
    const { directory, allowPaths, snapshotCacheBytes } = this.#options;
    const opened = openSnapshot(record.path, directory, {
      allow: allowPaths,
      cacheBytes: snapshotCacheBytes,
      format: record.format ?? "auto",
      baseHi: record.base?.hi ?? 0,
      baseLo: record.base?.lo ?? 0,
    });
    // Without the file nothing is known of memory from here on but what is written: no verdict without the rest.
    if (opened.ok) this.memory.replace(opened.image);
    else this.memory.lose();
    this.#past.clear();
    for (const unit of this.iommus.units) unit.caches?.clear();
    return opened.ok ? null : { code: "io", message: `snapshot.path: ${opened.error}` };
  }

  #fail(line: number, problem: Problem | null): void {
    if (problem !== null) this.error(line, problem.code, problem.message);
  }

  #write(record: object): void {
    this.#out.text(`${printable(JSON.stringify(record))}\n`);
  }
}
