import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import { decodeCommand, formatCommand } from "../../walkers/commands/command.ts";
import { ACCEPTED, REJECTED } from "../../walkers/invalidation.ts";
import type { Word64 } from "../../walkers/registers.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { NO_LEVEL } from "../../walkers/result.ts";
import { addressText, hex, joined } from "../../walkers/word64.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import { startOf, type UnflushedWrite } from "../caches/history/unflushed-writes.ts";
import type { VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Iommus, Route } from "../iommus/iommus.ts";
import type { FindingRecord } from "../output/records.ts";
import type { Analysis } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";
import { type OwedCommandText, owedCommand, owedForRoot } from "./owed-command.ts";

/** Changed entries of which it is remembered who used them; past it the oldest are forgotten. */
const MAX_OPEN = 1 << 10;

/** An entry that was changed, and that requests have used since without an invalidation in between. */
interface OpenEntry {
  readonly unit: IommuUnit;
  readonly staleSource: StaleSource;
  readonly dev: string;
  readonly pasid: number;
  readonly firstLine: number;
  requests: number;
}

/** Turns what the model of the caches sees into findings that the author of a driver or an emulator acts on. */
export class CacheFindings implements Analysis {
  readonly #findings: Findings;
  readonly #iommus: Iommus;
  readonly #memory: VersionedMemory;
  readonly #open = new Map<string, OpenEntry>();

  constructor(findings: Findings, iommus: Iommus, memory: VersionedMemory) {
    this.#findings = findings;
    this.#iommus = iommus;
    this.#memory = memory;
  }

  /** A request was, or could have been, answered from an entry that nothing has invalidated. */
  stale(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    staleSource: StaleSource,
  ): void {
    const { change, root } = staleSource;
    if (change === null && root === null) return;
    const what = change === null ? root!.register : `${change.frame}:${change.offset}`;
    const key = `${unit.id}\n${what}:${(change ?? root!).line}`;
    const open = this.#open.get(key);
    if (open !== undefined) {
      open.requests++;
      return;
    }
    const dev = names.device;
    this.#open.set(key, { unit, staleSource, dev, pasid: record.pasid, firstLine: line, requests: 1 });
    if (this.#open.size > MAX_OPEN) {
      const [oldest] = this.#open.keys();
      this.#open.delete(oldest!);
    }
    if (change === null) this.#reportRoot(line, key, dev, record, request, unit, staleSource);
    else this.#reportMissing(line, key, dev, record, request, unit, staleSource);
  }

  /** An IOMMU whose walks are not coherent has answered from what memory was before a write. */
  unflushed(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    { at, line: written }: UnflushedWrite,
  ): void {
    const { frame, offset } = startOf(at);
    const address = addressText(frame, offset);
    const { because } = unit.vendor.coherence(unit.state);
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    const name = unit.caches?.structureAt(request, frame, offset)?.name ?? "table entry";
    this.#findings.report(line, CACHE_RULES["missing-flush"], `${unit.id}\n${at}:${written}`, {
      iommu: unit.id,
      dev: names.device,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      message: `what was observed is what memory at ${address} (${name}) gave before line ${written}: with ${because} the IOMMU need not see that write before a flush, and the trace has none of it`,
      changed_line: written,
      entry_addr: address,
    });
  }

  /** A device with ATS has used an entry that was changed, and nothing has invalidated what it keeps by itself. */
  staleDevice(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    staleSource: StaleSource,
  ): void {
    const { change, invalidationPending } = staleSource;
    if (change === null || invalidationPending) return;
    const key = `${unit.id}\n${change.frame}:${change.offset}:${change.line}\n${request.device}`;
    this.#reportMissing(line, key, names.device, record, request, unit, staleSource);
  }

  #reportMissing(
    line: number,
    key: string,
    dev: string,
    record: DmaRecord,
    request: WalkRequest,
    unit: IommuUnit,
    staleSource: StaleSource,
  ): void {
    const change = staleSource.change!;
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    const structure = unit.caches?.structureAt(request, change.frame, change.offset) ?? null;
    const command = owedCommand(unit.vendor, unit.state, request, staleSource, change, structure);
    const inDevice = staleSource.cache === "devtlb";
    const address = addressText(change.frame, change.offset);
    const old = hex(joined(change.oldHi, change.oldLo));
    const now = this.#wordAt(change.frame, change.offset);
    const what = structure === null ? "table entry" : structure.name;
    const level = structure === null || structure.level === NO_LEVEL ? "" : ` (level ${structure.level})`;
    const rule = CACHE_RULES[inDevice ? "missing-device-tlb-invalidation" : "missing-invalidation"];
    const holder = inDevice ? `the device, which has ATS enabled,` : "a cache";
    this.#findings.report(line, rule, key, {
      iommu: unit.id,
      dev,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      message: `${what}${level} at ${address} was changed in line ${change.line} from ${old} ${change.again ? `(it is ${now} now)` : `to ${now}`} and ${uncovered(staleSource)}: ${holder} may still hold the old one${staleSource.left ? "s" : ""}${command === null ? "" : `. Expected ${command.text}`}`,
      changed_line: change.line,
      entry_addr: address,
      old,
      new: now,
      cache: staleSource.cache,
      ...commandFields(command),
    });
  }

  /** A register that says where tables are was changed, and what the old tables said is still in use. */
  #reportRoot(
    line: number,
    key: string,
    dev: string,
    record: DmaRecord,
    request: WalkRequest,
    unit: IommuUnit,
    staleSource: StaleSource,
  ): void {
    const { register, line: changed, old, now } = staleSource.root!;
    const owed = owedForRoot(unit.vendor, unit.state, request, staleSource);
    const [first] = owed;
    const from = hex(joined(old.hi, old.lo));
    const to = hex(joined(now.hi, now.lo));
    const expected = first === undefined ? "" : `. Expected ${owed.map(({ text }) => text).join(", then ")}`;
    this.#findings.report(line, CACHE_RULES["missing-invalidation"], key, {
      iommu: unit.id,
      dev,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      message: `register ${register} was changed in line ${changed} from ${from} to ${to} and no invalidation covers what was cached of the old tables${expected}`,
      changed_line: changed,
      register,
      old: from,
      new: to,
      cache: staleSource.cache,
      ...commandFields(first),
    });
  }

  /** Entries that requests have used although they were changed: an invalidation that comes now comes late. */
  invalidated(line: number, unit: IommuUnit): void {
    if (this.#open.size === 0) return;
    for (const [key, open] of this.#open) {
      if (open.unit !== unit || open.staleSource.valid()) continue;
      this.#open.delete(key);
      const { change, root } = open.staleSource;
      const changed = (change ?? root!).line;
      const what =
        change === null
          ? `what was cached before register ${root!.register} was changed in line ${changed}`
          : `the entry at ${addressText(change.frame, change.offset)}, changed in line ${changed},`;
      this.#findings.report(line, CACHE_RULES["late-invalidation"], key, {
        iommu: unit.id,
        dev: open.dev,
        pasid: open.pasid < 0 ? undefined : open.pasid,
        message: `${what} is invalidated only now: ${open.requests} request${open.requests === 1 ? "" : "s"} from line ${open.firstLine} on could see the old one`,
        changed_line: changed,
        first_line: open.firstLine,
        requests: open.requests,
      });
    }
  }

  /** A command that the IOMMU refuses, or may refuse. */
  command(line: number, unit: IommuUnit, { data }: RecordOf<"cmd">): void {
    this.#refused(line, unit, unit.commands.status, data);
  }

  registerCommand(line: number, unit: IommuUnit, register: string, words: readonly Word64[]): void {
    this.#refused(line, unit, unit.registerCommands.get(register)!.status, words, register);
  }

  #refused(line: number, unit: IommuUnit, status: number, data: readonly Word64[], register?: string): void {
    if (status === ACCEPTED) return;
    const command = decodeCommand(unit.model, data, unit.state, register);
    const refused = status === REJECTED;
    const rule = CACHE_RULES[refused ? "bad-command" : "reserved-command-bits"];
    const problem = command.problems[0];
    const field = problem?.field ? `${problem.field}: ` : "";
    const words = data.map((w) => hex(joined(w.hi, w.lo)));
    this.#findings.report(line, rule, `${unit.id}\n${problem?.message}`, {
      iommu: unit.id,
      message: `${formatCommand(command)}: ${field}${problem?.message ?? "not as the specification has it"}`,
      data: words,
      ...(problem === undefined ? {} : { source: problem.source }),
    });
  }

  finish(lines: number): void {
    for (const unit of this.#iommus.units) {
      const pending = unit.caches?.pending ?? 0;
      if (pending > 0) this.#neverCompleted(lines, unit, unit.caches!.pendingLine, pending);
    }
    const { forgotten } = this.#iommus;
    if (forgotten > 0) this.#forgotten(lines, forgotten);
  }

  /** The trace ends while an invalidation waits for its completion. */
  #neverCompleted(line: number, unit: IommuUnit, issued: number, count: number): void {
    const completion =
      unit.commands.set.specs.find((spec) => spec.completion)?.name ?? "a command that waits";
    this.#findings.report(line, CACHE_RULES["missing-completion"], `${unit.id}\n${issued}`, {
      iommu: unit.id,
      message: `${count} invalidation${count === 1 ? "" : "s"} from line ${issued} on: expected a completion (${completion}) after them, found none to the end of the trace`,
      issued_line: issued,
    });
  }

  /** What caches may hold took more memory than there was. */
  #forgotten(line: number, count: number): void {
    this.#findings.report(line, CACHE_RULES["memory-limit"], "", {
      message: `${count} cached entries were dropped for want of memory: a stale answer may show as a mismatch, and a hazard not at all. Expected a larger --memory-limit`,
      forgotten: count,
    });
  }

  #wordAt(frame: number, offset: number): string {
    const memory = this.#memory;
    if (!memory.fetch(frame, offset, 8)) return "a hole";
    return hex(memory.view.getBigUint64(memory.at, true));
  }
}

/** The fields about the command that was owed. */
function commandFields(command: OwedCommandText | null | undefined): Partial<FindingRecord> {
  if (!command) return {};
  const { text, words, register } = command;
  return {
    command: text,
    data: words.map((w) => hex(joined(w.hi, w.lo))),
    ...(register === undefined ? {} : { command_register: register }),
  };
}

/** What no invalidation covers. */
function uncovered({ cache, left }: StaleSource): string {
  if (left) return "invalidated, but not the translations that came from it";
  return `no invalidation${cache === "devtlb" ? " of the device's TLB" : ""} covers it`;
}
