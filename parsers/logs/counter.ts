/** Kinds that are counted by name. */
const MAX_KINDS = 500;

/** Counts by kind, of which there may be any number: past a limit, the others count together. */
export class Counter {
  readonly counts = new Map<string, number>();

  add(kind: string, count = 1): void {
    const known = this.counts.get(kind);
    const name = known === undefined && this.counts.size >= MAX_KINDS ? "others" : kind;
    this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  get total(): number {
    let total = 0;
    for (const count of this.counts.values()) total += count;
    return total;
  }

  /** The most frequent first. */
  sorted(): [kind: string, count: number][] {
    return [...this.counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  }
}
