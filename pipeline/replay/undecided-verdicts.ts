import type { IommuUnit } from "../iommus/iommu-unit.ts";
import type { Outcome } from "../iommus/outcome.ts";
import type { ReplaySink } from "../output/sink.ts";
import type { Summary } from "../output/statistics.ts";

/** Records, and physical runs in them, from a verdict on that is not decided, until it is decided without waiting on. */
const MOST_HELD = 1 << 16;

/**
 * Verdicts that depend on what the trace has not said yet. Before the first completion of an IOMMU it is open whether
 * its invalidations act at once, because it never completes any, or not before they are complete. An old answer after
 * an invalidation is `stale-after-invalidation` in the first case and `stale` in the second. What a replay says from
 * there on is held back by its sink until it is known, at the latest at the end of the trace.
 */
export class UndecidedVerdicts {
  readonly #summary: Summary;
  readonly #sink: ReplaySink;
  /** Undecided verdicts of each IOMMU that has any. */
  readonly #counts = new Map<IommuUnit, number>();
  /** What has been held since the first of them. */
  #held = 0;
  /** There are any. */
  waiting = false;

  constructor(summary: Summary, sink: ReplaySink) {
    this.#summary = summary;
    this.#sink = sink;
  }

  /** Whether a verdict must wait. */
  concerns(unit: IommuUnit, outcome: Outcome): boolean {
    return (
      outcome.verdict === "stale-after-invalidation" &&
      unit.caches !== null &&
      unit.caches.invalidations.undecided
    );
  }

  /** One more is held. @param counted the summary counts it: no filter has left it out */
  add(unit: IommuUnit, counted: boolean): void {
    this.waiting = true;
    this.#counts.set(unit, (this.#counts.get(unit) ?? 0) + (counted ? 1 : 0));
  }

  /** So many more records, or runs, are held: there is an end to it. */
  hold(count: number): void {
    this.#held += count;
    if (this.#held > MOST_HELD) this.finish();
  }

  /** It is known now whether an IOMMU waits for its invalidations. */
  decide(unit: IommuUnit, waits: boolean): void {
    unit.caches?.invalidations.decide();
    const count = this.#counts.get(unit);
    if (count === undefined) return;
    this.#counts.delete(unit);
    if (this.#counts.size === 0) {
      this.waiting = false;
      this.#held = 0;
    }
    if (waits && count > 0) this.#recount(count);
    this.#sink.decided(unit, waits);
  }

  #recount(count: number): void {
    const { verdicts } = this.#summary;
    verdicts.set("stale", (verdicts.get("stale") ?? 0) + count);
    const left = verdicts.get("stale-after-invalidation")! - count;
    if (left === 0) verdicts.delete("stale-after-invalidation");
    else verdicts.set("stale-after-invalidation", left);
  }

  /** The end of the trace: who has completed nothing by now never does. */
  finish(): void {
    for (const unit of [...this.#counts.keys()]) this.decide(unit, false);
  }
}
