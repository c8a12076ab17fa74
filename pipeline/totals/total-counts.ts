import type { TotalRecord } from "../output/records.ts";
import type { ReplayCounters } from "../output/statistics.ts";

/** Adds up what several replays come to. */
export class TotalCounts {
  #traces = 0;
  #failed = 0;
  #missing = 0;
  #lines = 0;
  #errors = 0;
  readonly #records = new Map<string, number>();
  readonly #findings = new Map<string, number>();
  readonly #verdicts = new Map<string, number>();
  readonly #unknown = new Map<string, number>();
  readonly #unknownNames = new Map<string, number>();
  /** Of a field that is left out where there is nothing to count. */
  readonly #seldom = new Map<"latent" | "filtered" | "forgotten", number>();

  add(summary: Omit<ReplayCounters, "type">): void {
    this.#traces++;
    this.#addCounters(summary);
  }

  /** Adds what others have added up. */
  addTotal(total: Omit<TotalRecord, "type">): void {
    this.#traces += total.traces;
    this.#failed += total.failed ?? 0;
    this.#missing += total.missing ?? 0;
    this.#addCounters(total);
  }

  /** A trace could not be replayed. */
  fail(): void {
    this.#failed++;
  }

  /** @param missing traces that should be among them, and are not; as far as it is known, where it is not given */
  record(missing = this.#missing): TotalRecord {
    const { latent, ...rest } = Object.fromEntries(this.#seldom) as Partial<
      Record<"latent" | "filtered" | "forgotten", number>
    >;
    return {
      type: "total",
      traces: this.#traces,
      ...(this.#failed === 0 ? {} : { failed: this.#failed }),
      ...(missing === 0 ? {} : { missing }),
      lines: this.#lines,
      records: sorted(this.#records),
      errors: this.#errors,
      findings: sorted(this.#findings),
      ...(latent === undefined ? {} : { latent }),
      verdicts: sorted(this.#verdicts),
      ...(this.#unknown.size === 0 ? {} : { unknown: sorted(this.#unknown) }),
      ...(this.#unknownNames.size === 0 ? {} : { unknown_names: sorted(this.#unknownNames) }),
      ...rest,
    };
  }

  #addCounters(summary: Omit<ReplayCounters, "type">): void {
    this.#lines += summary.lines;
    this.#errors += summary.errors;
    addAll(this.#records, summary.records);
    addAll(this.#findings, summary.findings);
    addAll(this.#verdicts, summary.verdicts);
    addAll(this.#unknown, summary.unknown);
    addAll(this.#unknownNames, summary.unknown_names);
    for (const name of ["latent", "filtered", "forgotten"] as const)
      if (summary[name] !== undefined) this.#seldom.set(name, (this.#seldom.get(name) ?? 0) + summary[name]);
  }
}

function addAll(sums: Map<string, number>, counts: Readonly<Record<string, number>> = {}): void {
  for (const [name, count] of Object.entries(counts)) sums.set(name, (sums.get(name) ?? 0) + count);
}

function sorted(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}
