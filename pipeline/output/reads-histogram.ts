/** Reads per request up to here are counted in an array; larger ones (very long requests) in a map. */
const DENSE_READS = 512;
/** Of these, as many are looked for at first: of most IOMMUs there are no more. */
const FEW_READS = 32;

/** Reads per request as `stats` has them. */
export interface ReadsRecord {
  readonly total: number;
  readonly min: number;
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Requests by their number of reads: all that it takes to add up several of these. */
  readonly counts: Readonly<Record<string, number>>;
}

/** A histogram of reads per request: percentiles are exact. */
export class ReadsHistogram {
  #dense = new Float64Array(FEW_READS);
  readonly #sparse = new Map<number, number>();

  add(reads: number, requests: number): void {
    if (reads < this.#dense.length) this.#dense[reads]! += requests;
    else this.#addMany(reads, requests);
  }

  #addMany(reads: number, requests: number): void {
    if (reads < DENSE_READS) {
      const all = new Float64Array(DENSE_READS);
      all.set(this.#dense);
      this.#dense = all;
      all[reads]! += requests;
    } else this.#sparse.set(reads, (this.#sparse.get(reads) ?? 0) + requests);
  }

  /** Pairs of reads and requests, the fewest reads first. */
  #entries(): (readonly [reads: number, requests: number])[] {
    const dense = [...this.#dense].flatMap((requests, reads) =>
      requests > 0 ? [[reads, requests] as const] : [],
    );
    return [...dense, ...[...this.#sparse].sort(([a], [b]) => a - b)];
  }

  record(): ReadsRecord {
    const entries = this.#entries();
    if (entries.length === 0) return { total: 0, min: 0, mean: 0, p50: 0, p99: 0, max: 0, counts: {} };
    const count = entries.reduce((sum, [, requests]) => sum + requests, 0);
    const total = entries.reduce((sum, [reads, requests]) => sum + reads * requests, 0);
    return {
      total,
      min: entries[0]![0],
      mean: Math.round((total / count) * 1000) / 1000,
      p50: percentile(entries, count, 0.5),
      p99: percentile(entries, count, 0.99),
      max: entries.at(-1)![0],
      counts: Object.fromEntries(entries),
    };
  }
}

function percentile(
  entries: readonly (readonly [reads: number, requests: number])[],
  count: number,
  p: number,
): number {
  const rank = Math.max(1, Math.ceil(count * p));
  let seen = 0;
  for (const [reads, requests] of entries) {
    seen += requests;
    if (seen >= rank) return reads;
  }
  return entries.at(-1)![0];
}
