import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { RecordOf } from "../../parsers/trace/schema.ts";
import { decodeCommand, formatCommand } from "../../walkers/commands/command.ts";
import { ACCEPTED, REJECTED } from "../../walkers/invalidation.ts";
import { frameHi, frameLo } from "../../walkers/memory.ts";
import type { Word64 } from "../../walkers/registers.ts";
import { UNTRANSLATED, type WalkRequest } from "../../walkers/request.ts";
import { addressText, hex, joined } from "../../walkers/word64.ts";
import type { DeviceUse } from "../caches/filling/device-tlbs.ts";
import type { TableFlaw } from "../caches/filling/live-changes.ts";
import type { UnflushedWrite } from "../caches/history/line-store.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import { startOf } from "../caches/history/unflushed-writes.ts";
import type { VersionedMemory } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Iommus, Route } from "../iommus/iommus.ts";
import type { Analysis, Showing } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";
import { staleChange } from "./stale-change.ts";

/** Turns what the model of the caches sees into findings that the author of a driver or an emulator acts on. */
export class CacheFindings implements Analysis {
  readonly #findings: Findings;
  readonly #iommus: Iommus;
  readonly #memory: VersionedMemory;

  constructor(findings: Findings, iommus: Iommus, memory: VersionedMemory) {
    this.#findings = findings;
    this.#iommus = iommus;
    this.#memory = memory;
  }

  /** What was invalidated was answered, since the invalidation stands behind a command that the IOMMU refuses. */
  behindStop(line: number, { unit, names }: Route, record: DmaRecord, stoppedLine: number): void {
    const { restart } = unit.vendor;
    this.#findings.report(line, CACHE_RULES["stopped-queue"], `${unit.id}\n${stoppedLine}`, {
      iommu: unit.id,
      dev: names.device,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      place: record,
      message: `the invalidation of what answered stands behind the command that the IOMMU refuses in line ${stoppedLine}: expected the queue to be restarted${restart === null ? "" : ` (${restart.text})`}, found nothing that does so`,
      issued_line: stoppedLine,
    });
  }

  /** What was changed after its invalidation was answered as it had been. */
  changedLater(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    staleSource: StaleSource,
  ): void {
    const change = staleSource.change!;
    const key = `${unit.id}\n${change.frame}:${change.offset}:${change.line}`;
    const { sentence, expected, fields } = staleChange(unit, this.#memory, request, staleSource)!;
    this.#findings.report(line, CACHE_RULES["invalidated-too-early"], key, {
      iommu: unit.id,
      dev: names.device,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      place: record,
      message: `${sentence}, and the invalidation that covers it came before that: the IOMMU may have read the old one again in between, and has answered from it${expected}${expected === "" ? "" : ` after line ${change.line}`}`,
      ...fields,
    });
  }

  /** An IOMMU whose walks are not coherent has answered, or could have, from what memory was before a write. */
  unflushed(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    { at, line: written }: UnflushedWrite,
    showing: Showing,
  ): void {
    const { frame, offset } = startOf(at);
    const address = addressText(frame, offset);
    const { because } = unit.coherence;
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    const name = unit.caches?.structureAt(request, frame, offset)?.name ?? "table entry";
    const shown = showing === "answered";
    const key = `${unit.id}\n${at}:${written}${shown ? "" : ":unseen"}`;
    const unseen = shown
      ? `what was observed is what memory at ${address} (${name}) gave before line ${written}: with ${because} the IOMMU need not see that write before a flush, and the trace has none of it`
      : `memory at ${address} (${name}) was written to in line ${written} and not flushed before this request: with ${because} the IOMMU need not see that write before a flush, and could answer as before it`;
    this.#findings.report(line, CACHE_RULES["missing-flush"], key, {
      iommu: unit.id,
      dev: names.device,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      place: record,
      message: unseen,
      ...(showing === "latent" ? { latent: true } : {}),
      changed_line: written,
      entry_addr: address,
    });
  }

  /** A device with ATS has used an entry that was changed, and may keep, or has used again, what that was. */
  staleDevice(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    { source, used, invalidated }: DeviceUse,
  ): void {
    const { change, invalidationPending } = source;
    if (change === null || (invalidationPending && !invalidated)) return;
    const key = `${unit.id}\n${change.frame}:${change.offset}:${change.line}\n${request.device}`;
    // The entry is about the request that was translated, which may have had a PASID that what came of it has not.
    request.at = UNTRANSLATED;
    request.pasid = source.space;
    const { sentence, expected, fields } = staleChange(unit, this.#memory, request, source)!;
    const address = hex(joined(record.addrHi, record.addrLo));
    const about = {
      iommu: unit.id,
      dev: names.device,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      place: record,
    };
    if (invalidated) {
      const { changed_line, entry_addr, old, new: now, cache } = fields;
      this.#findings.report(line, CACHE_RULES["invalidated-device-tlb-used"], key, {
        ...about,
        message: `${sentence}, and the device's TLB was invalidated since: expected the device to ask again, found a translated request to ${address}, which is what it was told before`,
        ...{ changed_line, entry_addr, old, new: now, cache },
      });
      return;
    }
    const what = used
      ? `has used the old one: a translated request to ${address}`
      : "may still hold the old one";
    this.#findings.report(line, CACHE_RULES["missing-device-tlb-invalidation"], key, {
      ...about,
      message: `${sentence} and no invalidation of the device's TLB covers it: the device, which has ATS enabled, ${what}${expected}`,
      ...fields,
    });
  }

  /** A page-table entry that was changed in one step, or a group of entries that are not alike. */
  flawed(
    line: number,
    { unit, names }: Route,
    record: DmaRecord,
    request: WalkRequest,
    flaw: TableFlaw,
  ): void {
    const about = {
      iommu: unit.id,
      dev: names.device,
      pasid: record.pasid < 0 ? undefined : record.pasid,
      place: record,
    };
    if (flaw.kind === "repeated") {
      const { first, text } = flaw.entry;
      this.#findings.report(line, CACHE_RULES["inconsistent-group"], `${unit.id}\n${first}`, {
        ...about,
        message: `${text}: a cache may hold any of them for all`,
        entry_addr: first,
      });
      return;
    }
    if (flaw.kind === "group") {
      const base = hex(joined(frameHi(flaw.first), frameLo(flaw.first)));
      this.#findings.report(
        line,
        CACHE_RULES["inconsistent-group"],
        `${unit.id}\n${request.device}:${record.pasid}:${base}`,
        {
          ...about,
          message: `${flaw.text}: the page of ${hex(joined(record.addrHi, record.addrLo))} is of the ${2 ** (flaw.shift - 10)} KiB from ${base} on, which a cache may hold as one translation`,
        },
      );
      return;
    }
    const { change, newHi, newLo, text } = flaw;
    const entry = hex(joined(frameHi(change.frame), frameLo(change.frame) | change.offset));
    this.#findings.report(line, CACHE_RULES["break-before-make"], `${unit.id}\n${entry}:${change.line}`, {
      ...about,
      message: `the entry at ${entry} was changed in line ${change.line} from ${hex(joined(change.oldHi, change.oldLo))} to ${hex(joined(newHi, newLo))} while it was valid: ${text}`,
      changed_line: change.line,
      entry_addr: entry,
      old: hex(joined(change.oldHi, change.oldLo)),
      new: hex(joined(newHi, newLo)),
    });
  }

  /** A command that the IOMMU refuses, or may refuse. */
  command(line: number, unit: IommuUnit, { data }: RecordOf<"cmd">): void {
    this.#refused(line, unit, unit.commands.status, data);
  }

  /** A register is changed in a state of the IOMMU in which it may not be. */
  registerWriting(line: number, unit: IommuUnit, { name, value }: RecordOf<"reg">): void {
    const why = unit.vendor.guardedWrite?.(unit.state, name, value) ?? null;
    if (why === null) return;
    this.#findings.report(line, CACHE_RULES["guarded-register"], "", {
      iommu: unit.id,
      message: `register ${name} is changed from ${hex(joined(unit.state.hi(name), unit.state.lo(name)))} to ${hex(joined(value.hi, value.lo))}: ${why}`,
      register: name,
    });
  }

  registerCommand(line: number, unit: IommuUnit, register: string, words: readonly Word64[]): void {
    this.#refused(line, unit, unit.commandsOf(register).status, words, register);
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
}
