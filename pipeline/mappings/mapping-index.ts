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
/** So many of these are looked at: past them, the oldest are forgotten. */
const MAX_LARGE = 1 << 10;
/** Mappings that stand, and that have ended: past these, the oldest are forgotten. */
const MAX_LIVE = 1 << 18;
const MAX_ENDED = 1 << 16;

/** Mappings by address: those that stand, and the latest that have ended. */
export class MappingIndex {
  /** Mappings that have been forgotten for want of room. */
  forgotten = 0;
  readonly #live = new Mappings(MAX_LIVE);
  readonly #ended = new Mappings(MAX_ENDED);

  add(mapping: SoftwareMapping): void {
    this.forgotten += this.#live.add(mapping);
  }

  /** Ends a mapping. */
  end(mapping: SoftwareMapping, at: Moment): void {
    mapping.ended = at;
    this.#live.remove(mapping);
    this.forgotten += this.#ended.add(mapping);
  }

  /** Takes a mapping that stands away, as if it had not been. */
  remove(mapping: SoftwareMapping): void {
    this.#live.remove(mapping);
  }

  /** Every mapping that stands and may touch bytes `from` to `to` (exclusive): more than do. */
  standingNear(from: bigint, to: bigint): Iterable<SoftwareMapping> {
    return this.#live.near(from, to);
  }

  /** Every mapping, standing or ended, that may touch them. */
  *near(from: bigint, to: bigint): Generator<SoftwareMapping> {
    yield* this.#live.near(from, to);
    yield* this.#ended.near(from, to);
  }
}

class Mappings {
  readonly #most: number;
  /** In the order of making, or of ending. */
  readonly #all = new Set<SoftwareMapping>();
  readonly #large = new Set<SoftwareMapping>();
  readonly #buckets = new Map<bigint, Set<SoftwareMapping>>();

  constructor(most: number) {
    this.#most = most;
  }

  /** @returns how many others were forgotten for it */
  add(mapping: SoftwareMapping): number {
    const buckets = bucketsOf(mapping);
    this.#all.add(mapping);
    if (buckets.length === 0) this.#large.add(mapping);
    for (const bucket of buckets) {
      const set = this.#buckets.get(bucket);
      if (set === undefined) this.#buckets.set(bucket, new Set([mapping]));
      else set.add(mapping);
    }
    return this.#bound(this.#all, this.#most) + this.#bound(this.#large, MAX_LARGE);
  }

  #bound(oldestFirst: Set<SoftwareMapping>, most: number): number {
    if (oldestFirst.size <= most) return 0;
    this.remove(oldestFirst.values().next().value!);
    return 1;
  }

  remove(mapping: SoftwareMapping): void {
    if (!this.#all.delete(mapping) || this.#large.delete(mapping)) return;
    for (const bucket of bucketsOf(mapping)) {
      const set = this.#buckets.get(bucket);
      set?.delete(mapping);
      if (set?.size === 0) this.#buckets.delete(bucket);
    }
  }

  /** Those that may touch bytes `from` to `to` (exclusive): more than do. */
  *near(from: bigint, to: bigint): Generator<SoftwareMapping> {
    const last = (to - 1n) >> BUCKET_BITS;
    const first = from < 0n ? 0n : from >> BUCKET_BITS;
    if (last - first >= MAX_BUCKETS) {
      yield* this.#all;
      return;
    }
    const seen = new Set<SoftwareMapping>();
    for (let bucket = first; bucket <= last; bucket++)
      for (const mapping of this.#buckets.get(bucket) ?? [])
        if (!seen.has(mapping)) {
          seen.add(mapping);
          yield mapping;
        }
    yield* this.#large;
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
