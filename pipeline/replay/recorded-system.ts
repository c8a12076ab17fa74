import { TraceMemory } from "../../parsers/memory/guest-memory.ts";
import { openSnapshot } from "../../parsers/memory/open-snapshot.ts";
import { fromInvRecord } from "../../parsers/trace/inv-record.ts";
import type { MemRecord, TraceNames } from "../../parsers/trace/records.ts";
import type { PlainRecord, RecordOf } from "../../parsers/trace/schema.ts";
import type { Invalidation } from "../../walkers/invalidation.ts";
import { type CacheBudgets, MemoryBudget } from "../caches/held/memory-budget.ts";
import { UnflushedWrites } from "../caches/history/unflushed-writes.ts";
import { VersionedMemory } from "../caches/history/versioned-memory.ts";
import { UnitCaches } from "../caches/unit-caches.ts";
import { IommuUnit } from "../iommus/iommu-unit.ts";
import { Iommus, type Problem } from "../iommus/iommus.ts";
import type { ReplayOptions } from "./options.ts";

/** What the memory limit goes to: cached translations, their tags, contexts, and past values of table entries; the rest is slack. */
const SHARE_OF_PAGES = 0.5;
const SHARE_OF_CONTEXTS = 0.125;
const SHARE_OF_CHANGES = 0.125;
const SHARE_OF_TAGS = 0.125;

/** An `inv` record, and whose caches it is about. */
interface NeutralInvalidation {
  readonly units: readonly IommuUnit[];
  readonly invalidation: Invalidation;
}

/** The system that a trace is of, as its records so far say: memory, registers, bindings. */
export class RecordedSystem {
  readonly memory = new TraceMemory();
  /** Guest memory as the walkers see it: as it is, and as it was. */
  readonly past: VersionedMemory;
  /** What processors have written and IOMMUs may not see yet. */
  readonly unflushed: UnflushedWrites;
  readonly iommus: Iommus;
  readonly #options: ReplayOptions;

  constructor(names: TraceNames, options: ReplayOptions) {
    const { caches, memoryLimit, iotlb } = options;
    this.#options = options;
    this.past = new VersionedMemory(this.memory, memoryLimit * SHARE_OF_CHANGES);
    if (caches) this.memory.watcher = this.past;
    this.unflushed = new UnflushedWrites(this.memory);
    const budgets: CacheBudgets = {
      pages: new MemoryBudget(memoryLimit * SHARE_OF_PAGES),
      contexts: new MemoryBudget(memoryLimit * SHARE_OF_CONTEXTS),
      tags: new MemoryBudget(memoryLimit * SHARE_OF_TAGS),
    };
    const newCaches = (unit: IommuUnit) => new UnitCaches(unit, this.past, budgets, iotlb, this.unflushed);
    this.iommus = new Iommus(this.past, names, caches ? newCaches : null, options.trace);
  }

  /** @returns why the record cannot be used, or null */
  write(record: MemRecord): Problem | null {
    this.past.byIommu = record.byIommu;
    this.past.asRead = record.asRead;
    if (this.unflushed.watching && !record.byIommu)
      this.unflushed.writing(record.addrHi, record.addrLo, (record.end - record.start) >>> 1, this.past.line);
    return this.memory.writeHex(record.bytes, record.start, record.end, record.addrHi, record.addrLo);
  }

  /**
   * Takes over what a record sets up. Commands, invalidations and logged faults set nothing up: they are only checked.
   * @returns why the record cannot be used, or null
   */
  take(record: PlainRecord): Problem | null {
    switch (record.type) {
      case "iommu":
        return this.#declare(record);
      case "reg":
        return this.iommus.setRegister(record);
      case "bind":
        return this.iommus.bind(record);
      case "unbind":
        return this.iommus.unbind(record);
      case "ram":
        return this.memory.ram(record.addr.hi, record.addr.lo, record.size.hi, record.size.lo);
      case "snapshot":
        return this.#load(record);
      case "flush":
        return this.#flush(record);
      case "cmd":
        return problemOf(this.iommus.named("cmd", record.iommu));
      case "inv":
        return problemOf(this.invalidation(record));
      case "fault":
        return problemOf(this.logger(record));
      default:
        return null;
    }
  }

  /** The IOMMU that logged a fault. */
  logger({ iommu, dev }: RecordOf<"fault">): IommuUnit | Problem {
    return this.iommus.of("fault", iommu, dev.canonical);
  }

  invalidation(record: RecordOf<"inv">): NeutralInvalidation | Problem {
    const { iommu } = record;
    const invalidation = fromInvRecord(record);
    if (typeof invalidation === "string") return { code: "schema", message: invalidation };
    if (iommu === undefined) return { units: this.iommus.units, invalidation };
    const unit = this.iommus.named("inv", iommu);
    return unit instanceof IommuUnit ? { units: [unit], invalidation } : unit;
  }

  close(): void {
    this.memory.close();
  }

  #declare(record: RecordOf<"iommu">): Problem | null {
    const problem = this.iommus.declare(record);
    if (this.#options.caches)
      this.unflushed.watching = this.iommus.units.some(({ coherence }) => coherence.because !== "");
    return problem;
  }

  /** The write buffer of an IOMMU is flushed. */
  flushBuffer({ coherence }: IommuUnit): void {
    if (coherence.buffered && this.unflushed.any) this.unflushed.flushAll();
  }

  /** Processors' caches are written back, or a write buffer is: then whatever has been written is seen. */
  #flush({ addr, size, iommu }: RecordOf<"flush">): Problem | null {
    const unit = iommu === undefined ? null : this.iommus.named("flush", iommu);
    if (unit !== null && !(unit instanceof IommuUnit)) return unit;
    this.unflushed.recordedLine ||= this.past.line;
    if (addr === undefined) this.unflushed.flushAll();
    else this.unflushed.flush(addr.hi, addr.lo, size?.hi ?? 0, size?.lo ?? 1);
    return null;
  }

  #load(record: RecordOf<"snapshot">): Problem | null {
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
    this.past.clear();
    this.unflushed.flushAll();
    for (const unit of this.iommus.units) unit.caches?.clear();
    return opened.ok ? null : { code: "io", message: `snapshot.path: ${opened.error}` };
  }
}

function problemOf(found: object): Problem | null {
  return "message" in found ? (found as Problem) : null;
}
