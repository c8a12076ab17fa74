import { frameHi, frameLo } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { OK } from "../../walkers/result.ts";
import { hex, joined } from "../../walkers/word64.ts";
import type { StaleSource } from "../caches/history/stale-source.ts";
import { type VersionedMemory, WORD_BYTES } from "../caches/history/versioned-memory.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Iommus } from "../iommus/iommus.ts";
import type { Analysis } from "./analysis.ts";
import { CACHE_RULES } from "./cache-rules.ts";
import type { Findings } from "./findings.ts";
import type { OwedInvalidations } from "./owed-invalidations.ts";

/**
 * Sees where a page-table entry of the last level takes a new value while what it said two values ago may still be held:
 * it was made invalid in between, as the architecture asks, but was not invalidated, or nobody has waited for that. It
 * takes no request to be wrong. What was changed in one write is seen by the caches' model, where the page is used again.
 *
 * Cost: a look at every word of a `mem` record in a table of leaves, and only of IOMMUs whose architecture asks for it.
 */
export class RemadeEntries implements Analysis {
  readonly #findings: Findings;
  readonly #iommus: Iommus;
  readonly #owed: OwedInvalidations;
  readonly #past: VersionedMemory;

  constructor(findings: Findings, iommus: Iommus, owed: OwedInvalidations, past: VersionedMemory) {
    this.#findings = findings;
    this.#iommus = iommus;
    this.#owed = owed;
    this.#past = past;
  }

  written(line: number): void {
    for (const unit of this.#iommus.units) {
      const tables = unit.caches?.leafTables;
      if (unit.vendor.caching.brokenBeforeMade === undefined || !tables || tables.size === 0) continue;
      this.#past.changedNow((frame, offset) => {
        if (tables.has(frame)) this.#changed(line, unit, frame, offset);
      });
    }
  }

  #changed(line: number, unit: IommuUnit, frame: number, offset: number): void {
    const caches = unit.caches!;
    caches.leafTables.forEachPage(frame, offset, (request) => {
      if (caches.owesNothing(request)) return;
      caches.walkAgain(request);
      for (const source of caches.held(request, (walk) => walk.status === OK)) {
        const { cache, change } = source;
        if (cache !== "iotlb" || change === null || change.line === line) continue;
        if (change.frame !== frame || change.offset !== offset) continue;
        if (this.#remade(line, unit, request.clone(), source)) return;
      }
    });
  }

  /** @returns whether that is wrong */
  #remade(line: number, unit: IommuUnit, request: WalkRequest, source: StaleSource): boolean {
    const { frame, offset, oldHi, oldLo, line: broken } = source.change!;
    const caches = unit.caches!;
    const memory = this.#past;
    const structure = caches.structureAt(request, frame, offset);
    if (structure === null || structure.stage === 0 || !structure.littleEndian) return false;
    const now = caches.walkAgain(request);
    const translatesOtherwise = now.status === OK && now.frame !== source.answer.frame;
    const contexts = caches.contextsInUse;
    if (contexts === null || !memory.fetch(frame, offset, WORD_BYTES)) return false;
    const newHi = memory.view.getInt32(memory.at + 4, true);
    const newLo = memory.view.getInt32(memory.at, true);
    const { stage, level } = structure;
    const { caching } = unit.vendor;
    const why = caching.brokenBeforeMade!(
      unit.state,
      { stage, level, translatesOtherwise, oldHi, oldLo, newHi, newLo },
      contexts.device,
      contexts.process,
    );
    if (why === null) return false;
    if (!source.invalidationPending) {
      this.#owed.remade(line, unit, request, source, why);
      return true;
    }
    const entry = hex(joined(frameHi(frame), frameLo(frame) | offset));
    this.#findings.report(line, CACHE_RULES["break-before-make"], `${unit.id}\n${entry}:${broken}`, {
      iommu: unit.id,
      message: `the entry at ${entry} was changed in line ${broken} from ${hex(joined(oldHi, oldLo))}, and in line ${line} to ${hex(joined(newHi, newLo))}, before its invalidation was complete: ${why}`,
      changed_line: broken,
      entry_addr: entry,
      old: hex(joined(oldHi, oldLo)),
      new: hex(joined(newHi, newLo)),
    });
    return true;
  }
}
