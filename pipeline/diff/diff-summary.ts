import { type Answer, answerLabel } from "./answer.ts";
import { DIFF_CLASSES, type DiffClass, type DiffRecord } from "./difference.ts";

/** Keys that a count distinguishes; those that come later are counted together. */
const MAX_KEYS = 4096;
const OTHERS = "others";

/** Counts by key, for any number of records. */
export class DiffTally {
  readonly counts = new Map<string, number>();

  add(key: string): void {
    const kept = this.counts.has(key) || this.counts.size < MAX_KEYS ? key : OTHERS;
    this.counts.set(kept, (this.counts.get(kept) ?? 0) + 1);
  }

  /** The most frequent first; of equal ones, in the order of the first occurrence. */
  byCount(): [key: string, count: number][] {
    return [...this.counts].sort(([, x], [, y]) => y - x);
  }

  record(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.byCount());
  }
}

/** Differences of one kind: class, and what the answers came to. */
export interface ChangeTally {
  readonly class: DiffClass;
  /** "0x58→0x50"; "" where the answers come to the same, or there is only one. */
  readonly transition: string;
  count: number;
  readonly example: DiffRecord;
}

/** Counts of the differences of a comparison. */
export class DiffCounts {
  /** Pairs whose answers were compared, and those that are the same. */
  compared = 0;
  same = 0;
  /** Pairs that differ and are not ignored. */
  differ = 0;
  /** Pairs of which one side has no answer. */
  unanswered = 0;
  first: DiffRecord | null = null;
  readonly byClass = new Map<DiffClass, number>();
  readonly byDevice = new DiffTally();
  readonly byPasid = new DiffTally();
  readonly byCode = new DiffTally();
  readonly #changes = new Map<string, ChangeTally>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  add(record: DiffRecord): void {
    this.#total++;
    this.first ??= record;
    this.byClass.set(record.class, (this.byClass.get(record.class) ?? 0) + 1);
    this.byDevice.add(record.dev);
    this.byPasid.add(record.pasid === undefined ? "none" : String(record.pasid));
    const transition = transitionOf(record);
    if (transition !== "") this.byCode.add(transition);
    this.#addChange(record, transition);
  }

  /** By class, from the coarsest; within one, the most frequent first. */
  changes(): ChangeTally[] {
    const rank = (change: ChangeTally) => DIFF_CLASSES.indexOf(change.class);
    return [...this.#changes.values()].sort((x, y) => rank(x) - rank(y) || y.count - x.count);
  }

  classCounts(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      DIFF_CLASSES.filter((name) => this.byClass.has(name)).map((name) => [name, this.byClass.get(name)!]),
    );
  }

  #addChange(record: DiffRecord, transition: string): void {
    const full = this.#changes.size >= MAX_KEYS;
    const key = `${record.class} ${transition}`;
    const known = this.#changes.get(key);
    if (known !== undefined) known.count++;
    else if (!full) this.#changes.set(key, { class: record.class, transition, count: 1, example: record });
  }
}

/** "0x58→0x50": what the answers of a difference come to, where that is not the same. */
function transitionOf({ a, b, class: diffClass }: DiffRecord): string {
  if (a?.result === undefined || b?.result === undefined || diffClass === "request") return "";
  const from = answerLabel(a as Answer);
  const to = answerLabel(b as Answer);
  return from === to ? "" : `${from}→${to}`;
}
