import type { DmaRecord } from "../../parsers/trace/records.ts";
import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import { ByteWriter } from "../output/byte-writer.ts";
import { OutcomeWriter, type RequestNames } from "../output/outcome-writer.ts";
import { type Selection, selects } from "../output/selection.ts";
import { Summary } from "../output/statistics.ts";

/** Output held back before it is decided without waiting any longer. */
const MOST_BYTES = 1 << 24;

interface Held {
  readonly unit: IommuUnit;
  readonly start: number;
  readonly end: number;
  /** The record as it is where the IOMMU turns out to wait for its invalidations; empty where it is not selected. */
  readonly bytes: Uint8Array;
}

/**
 * Verdicts that depend on what the trace has not said yet. Before the first completion of an IOMMU it is open whether
 * its invalidations act at once, because it never completes any, or not before they are complete. An old answer after
 * an invalidation is `stale-after-invalidation` in the first case and `stale` in the second. Output from there on is
 * held back until it is known, at the latest at the end of the trace.
 */
export class HeldVerdicts {
  readonly #out: ByteWriter;
  readonly #summary: Summary;
  readonly #only: Selection;
  readonly #scratch = new ByteWriter(1 << 12);
  readonly #alternatives = new OutcomeWriter(this.#scratch);
  #held: Held[] = [];

  constructor(out: ByteWriter, summary: Summary, only: Selection) {
    this.#out = out;
    this.#summary = summary;
    this.#only = only;
  }

  /** Whether a verdict must wait. */
  concerns(unit: IommuUnit, outcome: Outcome): boolean {
    return outcome.verdict === "stale-after-invalidation" && unit.caches !== null && unit.caches.undecided;
  }

  /** Writes an outcome that may change. */
  write(
    unit: IommuUnit,
    line: number,
    names: RequestNames,
    record: DmaRecord,
    outcome: Outcome,
    outcomes: OutcomeWriter,
  ): void {
    const out = this.#out;
    out.hold();
    const start = out.total;
    if (selects(this.#only, outcome)) outcomes.write(line, names, record, outcome);
    const end = out.total;
    outcome.verdict = "stale";
    if (selects(this.#only, outcome)) this.#alternatives.write(line, names, record, outcome);
    const bytes = new Uint8Array(this.#scratch.take());
    outcome.verdict = "stale-after-invalidation";
    this.#held.push({ unit, start, end, bytes });
    if (out.held > MOST_BYTES) this.finish();
  }

  /** It is known now whether an IOMMU waits for its invalidations. */
  decide(unit: IommuUnit, waits: boolean): void {
    unit.caches?.decide();
    if (this.#held.length === 0) return;
    const others: Held[] = [];
    const edits: Held[] = [];
    let moved = 0;
    for (const held of this.#held) {
      if (held.unit !== unit) others.push({ ...held, start: held.start + moved, end: held.end + moved });
      else if (waits) {
        edits.push(held);
        moved += held.bytes.length - (held.end - held.start);
        this.#recount();
      }
    }
    const out = this.#out;
    if (edits.length > 0) out.rewrite(edits);
    out.release(others[0]?.start);
    this.#held = others;
  }

  #recount(): void {
    const { verdicts } = this.#summary;
    Summary.count(verdicts, "stale");
    const left = verdicts.get("stale-after-invalidation")! - 1;
    if (left === 0) verdicts.delete("stale-after-invalidation");
    else verdicts.set("stale-after-invalidation", left);
  }

  /** The end of the trace: who has completed nothing by now never does. */
  finish(): void {
    for (const unit of this.#units()) this.decide(unit, false);
  }

  #units(): Set<IommuUnit> {
    return new Set(this.#held.map((held) => held.unit));
  }
}
