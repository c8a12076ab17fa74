import type { PlainRecord, RecordOf } from "../../parsers/trace/schema.ts";
import { ACCEPTED, type Invalidation, REJECTED } from "../../walkers/invalidation.ts";
import type { Analyses } from "../findings/analysis.ts";
import { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Problem } from "../iommus/iommus.ts";
import type { RecordedSystem } from "./recorded-system.ts";
import type { UndecidedVerdicts } from "./undecided-verdicts.ts";

/**
 * What records other than requests and single writes change: the recorded system takes it over, its caches lose what
 * invalidations cover, and the analyses are told.
 */
export class SystemChanges {
  readonly #system: RecordedSystem;
  readonly #analyses: Analyses;
  readonly #undecided: UndecidedVerdicts;
  readonly #fail: (line: number, problem: Problem | null) => void;

  /** @param fail told what is wrong with a record, or null */
  constructor(
    system: RecordedSystem,
    analyses: Analyses,
    undecided: UndecidedVerdicts,
    fail: (line: number, problem: Problem | null) => void,
  ) {
    this.#system = system;
    this.#analyses = analyses;
    this.#undecided = undecided;
    this.#fail = fail;
  }

  record(line: number, record: PlainRecord): void {
    switch (record.type) {
      case "iommu":
        this.#reconfiguring();
        this.#configure(line, record, record.id);
        break;
      case "reg":
        this.#reconfiguring();
        this.#registerWriting(line, record);
        this.#configure(line, record, record.iommu);
        this.#writeRegister(line, record);
        break;
      case "bind":
        this.#reconfiguring();
        this.#bind(line, record);
        break;
      case "unbind":
        this.#reconfiguring();
        this.#unbind(line, record);
        break;
      case "snapshot":
        for (const analysis of this.#analyses.replacing) analysis.replacing();
        this.#fail(line, this.#system.take(record));
        for (const analysis of this.#analyses.replaced) analysis.replaced(line);
        break;
      case "cmd":
        this.#before();
        this.#fail(line, this.#command(line, record));
        break;
      case "inv":
        this.#before();
        this.#fail(line, this.#invalidate(line, record));
        break;
      case "fault":
        this.#before();
        this.#fail(line, this.#logged(line, record));
        break;
      case "map":
        for (const analysis of this.#analyses.mapped) analysis.mapped(line, record);
        break;
      case "unmap":
        for (const analysis of this.#analyses.unmapped) analysis.unmapped(line, record);
        break;
      case "loss":
        for (const analysis of this.#analyses.lost) analysis.lost(line, record);
        break;
      default:
        this.#fail(line, this.#system.take(record));
    }
  }

  #reconfiguring(): void {
    for (const analysis of this.#analyses.reconfiguring) analysis.reconfiguring();
  }

  #registerWriting(line: number, record: RecordOf<"reg">): void {
    const unit = this.#system.iommus.named("reg", record.iommu);
    if (unit instanceof IommuUnit)
      for (const analysis of this.#analyses.registerWriting) analysis.registerWriting(line, unit, record);
  }

  #configure(line: number, record: RecordOf<"iommu"> | RecordOf<"reg">, id: string): void {
    this.#fail(line, this.#system.take(record));
    const unit = this.#system.iommus.named(record.type, id);
    if (unit instanceof IommuUnit)
      for (const analysis of this.#analyses.configured) analysis.configured(line, unit);
  }

  #bind(line: number, record: RecordOf<"bind">): void {
    const { iommus } = this.#system;
    const problem = this.#system.take(record);
    // Without a name it is the only one, and where there are several nothing was bound.
    const one = record.iommu !== undefined || iommus.units.length === 1;
    const unit = one ? iommus.of("bind", record.iommu, record.dev.canonical) : undefined;
    if (unit instanceof IommuUnit)
      for (const analysis of this.#analyses.bound) analysis.bound(line, unit, record);
    this.#fail(line, problem);
    for (const analysis of this.#analyses.rebound) analysis.rebound(line, record.dev.canonical);
  }

  #unbind(line: number, record: RecordOf<"unbind">): void {
    const { iommus } = this.#system;
    const device = record.dev.canonical;
    this.#fail(line, this.#system.take(record));
    const units = record.iommu === undefined ? iommus.units : [iommus.named("unbind", record.iommu)];
    for (const unit of units)
      if (unit instanceof IommuUnit)
        for (const analysis of this.#analyses.unbound) analysis.unbound(unit, device);
    for (const analysis of this.#analyses.rebound) analysis.rebound(line, device);
  }

  /** A register may ask for an invalidation: what is read of it tells when that is complete, and a trace has no reads. */
  #writeRegister(line: number, { iommu, name, value }: RecordOf<"reg">): void {
    const unit = this.#system.iommus.named("reg", iommu);
    if (!(unit instanceof IommuUnit)) return;
    if (unit.vendor.flushesBuffer?.(name, value)) this.#system.flushBuffer(unit);
    if (unit.caches !== null && unit.vendor.restart?.byWrite(name, value)) unit.caches.stoppedLine = 0;
    const words = unit.registerCommand(name, value);
    if (words === null) return;
    this.#before();
    const decoder = unit.commandsOf(name);
    const invalidation = decoder.invalidation(words);
    for (const analysis of this.#analyses.registerCommand) analysis.registerCommand(line, unit, name, words);
    const { caches } = unit;
    if (caches === null || invalidation === null) return;
    caches.invalidations.count(decoder.spec!.name);
    if (invalidation.status !== ACCEPTED) return;
    caches.invalidations.invalidateAtOnce(invalidation, this.#system.past.time);
    this.#invalidated(line, unit, invalidation);
  }

  /** A native command: what it invalidates takes effect at the next completion. */
  #command(line: number, record: RecordOf<"cmd">): Problem | null {
    const unit = this.#system.iommus.named("cmd", record.iommu);
    if (!(unit instanceof IommuUnit)) return unit;
    const { caches, commands } = unit;
    const invalidation = commands.invalidation(record.data);
    unit.state.queueUsed = true;
    for (const analysis of this.#analyses.command) analysis.command(line, unit, record);
    if (caches === null) return null;
    if (commands.status === REJECTED && unit.vendor.restart !== null && caches.stoppedLine === 0)
      caches.stoppedLine = line;
    if (invalidation !== null && commands.spec !== null) caches.invalidations.count(commands.spec.name);
    if (commands.completion) {
      if (caches.invalidations.undecided) this.#undecided.decide(unit, true);
      caches.invalidations.complete();
    } else if (invalidation !== null && invalidation.status === ACCEPTED)
      caches.invalidations.invalidate(invalidation, this.#system.past.time);
    else return null;
    this.#invalidated(line, unit, null);
    return null;
  }

  #invalidate(line: number, record: RecordOf<"inv">): Problem | null {
    const given = this.#system.invalidation(record);
    if ("code" in given) return given;
    const name = `inv ${record.cache} ${record.granularity}`;
    for (const unit of given.units) {
      // The neutral form has no completion of its own: it says what has happened.
      unit.caches?.invalidations.invalidated(given.invalidation, this.#system.past.time);
      unit.caches?.invalidations.count(name);
      this.#invalidated(line, unit, given.invalidation);
    }
    return null;
  }

  #invalidated(line: number, unit: IommuUnit, happened: Invalidation | null): void {
    this.#system.flushBuffer(unit);
    for (const analysis of this.#analyses.invalidated) analysis.invalidated(line, unit, happened);
  }

  /** A fault that the recorded system logged on its own. */
  #logged(line: number, record: RecordOf<"fault">): Problem | null {
    const unit = this.#system.logger(record);
    if (!(unit instanceof IommuUnit)) return unit;
    // What is not known of memory may explain it.
    if (!this.#system.memory.lost)
      for (const analysis of this.#analyses.logged) analysis.logged(line, record, unit);
    return null;
  }

  /** Comes to a record that uses tables. */
  #before(): void {
    for (const analysis of this.#analyses.before) analysis.before();
  }
}
