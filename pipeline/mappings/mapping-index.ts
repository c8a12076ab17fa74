/** What software mapped at some time. Addresses and sizes are bytes. */
export interface SoftwareMapping {
  /** "ssss:bb:dd.f", or "" where the source does not say for whom. */
  readonly dev: string;
  readonly addr: bigint;
  readonly size: bigint;
  readonly pa: bigint | undefined;
  /** What the device may do; undefined where the source does not say. */
  readonly access: "r" | "w" | "rw" | undefined;
  readonly made: Moment;
  /** When it was undone; null while it stands. */
  ended: Moment | null;
}

/** When something happened in a trace. */
export interface Moment {
  readonly line: number;
  /** Seconds, undefined where there is no time or no number. */
  readonly seconds: number | undefined;
}

/** Mappings are found by the 2 MiB that they lie in. */
const BUCKET_BITS = 21n;
/** A mapping of more of them is looked at every time. */
const MAX_BUCKETS = 64n;
/** Mappings that stand, and that have ended: past these, the oldest are forgotten. */
const MAX_LIVE = 1 << 18;
const MAX_ENDED = 1 << 16;

/** Mappings by address: those that stand, and the latest that have ended. */
export class MappingIndex {
  /** Mappings that have been forgotten for want of room. */
  forgotten = 0;
  readonly #buckets = new Map<bigint, Set<SoftwareMapping>>();
  readonly #large = new Set<SoftwareMapping>();
  /** In the order of making, and of ending. */
  readonly #live = new Set<SoftwareMapping>();
  readonly #ended = new Set<SoftwareMapping>();

  add(mapping: SoftwareMapping): void {
    this.#live.add(mapping);
    this.#index(mapping);
    if (this.#live.size > MAX_LIVE) this.#forget(this.#live);
  }

  /** Ends a mapping. */
  end(mapping: SoftwareMapping, at: Moment): void {
    mapping.ended = at;
    this.#live.delete(mapping);
    this.#ended.add(mapping);
    if (this.#ended.size > MAX_ENDED) this.#forget(this.#ended);
  }

  /** Takes a mapping away, as if it had not been. */
  remove(mapping: SoftwareMapping): void {
    this.#live.delete(mapping);
    this.#ended.delete(mapping);
    for (const bucket of bucketsOf(mapping)) {
      const set = this.#buckets.get(bucket);
      set?.delete(mapping);
      if (set?.size === 0) this.#buckets.delete(bucket);
    }
    this.#large.delete(mapping);
  }

  /** Every mapping, standing or ended, that may touch bytes `from` to `to` (exclusive): more than do. */
  *near(from: bigint, to: bigint): Generator<SoftwareMapping> {
    const seen = new Set<SoftwareMapping>();
    const last = (to - 1n) >> BUCKET_BITS;
    const first = from < 0n ? 0n : from >> BUCKET_BITS;
    if (last - first >= MAX_BUCKETS) {
      yield* this.#live;
      yield* this.#ended;
      return;
    }
    for (let bucket = first; bucket <= last; bucket++)
      for (const mapping of this.#buckets.get(bucket) ?? [])
        if (!seen.has(mapping)) {
          seen.add(mapping);
          yield mapping;
        }
    yield* this.#large;
  }

  #index(mapping: SoftwareMapping): void {
    const buckets = bucketsOf(mapping);
    if (buckets.length === 0) this.#large.add(mapping);
    for (const bucket of buckets) {
      const set = this.#buckets.get(bucket);
      if (set === undefined) this.#buckets.set(bucket, new Set([mapping]));
      else set.add(mapping);
    }
  }

  #forget(oldestFirst: Set<SoftwareMapping>): void {
    this.remove(oldestFirst.values().next().value!);
    this.forgotten++;
  }
}

/** None for one that is too large for them. */
function bucketsOf({ addr, size }: SoftwareMapping): bigint[] {
  const first = addr >> BUCKET_BITS;
  const last = (addr + size - 1n) >> BUCKET_BITS;
  if (last - first >= MAX_BUCKETS) return [];
  const buckets: bigint[] = [];
  for (let bucket = first; bucket <= last; bucket++) buckets.push(bucket);
  return buckets;
}
