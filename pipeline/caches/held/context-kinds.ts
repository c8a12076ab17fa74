/** Two contexts that translate together, as their walker decoded them. */
interface DecodedPair {
  readonly device: { readonly context: object };
  readonly process: { readonly context: object };
}

/** Pairs that translate alike. */
class Kind<T extends DecodedPair> {
  readonly id: number;
  readonly hash: number;
  readonly members = new Set<T>();

  constructor(id: number, hash: number) {
    this.id = id;
    this.hash = hash;
  }

  get first(): T | undefined {
    return this.members.values().next().value;
  }
}

/** Pairs that are gone whose kind is remembered; the oldest are forgotten first. */
const MAX_GONE = 1 << 16;

/**
 * Tells which pairs of a device context and a PASID entry decode alike, and so translate every address the same way:
 * devices that share their tables have equal pairs, each from entries of its own. What one of them has left in a cache
 * that tells no devices apart is there for all of them, and stays when that one goes.
 */
export class ContextKinds<T extends DecodedPair> {
  /** Fields that say where an entry stands and what its words were: two that differ in these alone are of one kind. */
  readonly #places: ReadonlySet<string>;
  readonly #byHash = new Map<number, Kind<T>[]>();
  readonly #byId = new Map<number, Kind<T>>();
  /** Kinds of pairs that are gone, by the pair's number. */
  readonly #gone = new Map<number, number>();
  #nextId = 1;

  constructor(places: Iterable<string>) {
    this.#places = new Set(places);
  }

  /** @returns the number of the kind that a pair is of, from 1 */
  of(pair: DecodedPair): number {
    const hash = this.#hash(pair.process.context, this.#hash(pair.device.context, 0));
    const kinds = this.#byHash.get(hash) ?? [];
    let kind = kinds.find(({ first }) => first !== undefined && this.#alike(first, pair));
    if (kind === undefined) {
      kind = new Kind<T>(this.#nextId++, hash);
      this.#byHash.set(hash, [...kinds, kind]);
      this.#byId.set(kind.id, kind);
    }
    return kind.id;
  }

  enter(kind: number, pair: T): void {
    this.#byId.get(kind)!.members.add(pair);
  }

  /** A pair is forgotten. */
  leave(kindId: number, pair: T, id: number): void {
    const kind = this.#byId.get(kindId)!;
    kind.members.delete(pair);
    if (kind.members.size > 0) {
      this.#gone.set(id, kindId);
      if (this.#gone.size <= MAX_GONE) return;
      const [oldest] = this.#gone.keys();
      this.#gone.delete(oldest!);
      return;
    }
    this.#byId.delete(kindId);
    const others = this.#byHash.get(kind.hash)!.filter((other) => other !== kind);
    if (others.length > 0) this.#byHash.set(kind.hash, others);
    else this.#byHash.delete(kind.hash);
  }

  /** A pair that decodes like one that is gone. */
  heirOf(id: number): T | undefined {
    const kind = this.#gone.get(id);
    return kind === undefined ? undefined : this.#byId.get(kind)?.first;
  }

  #alike(a: DecodedPair, b: DecodedPair): boolean {
    return (
      sameValues(a.device.context, b.device.context, this.#places) &&
      sameValues(a.process.context, b.process.context, this.#places)
    );
  }

  #hash(context: object, from: number): number {
    let hash = from;
    for (const [key, value] of Object.entries(context)) {
      if (this.#places.has(key)) continue;
      if (typeof value === "object" && value !== null) hash = this.#hash(value, hash);
      else {
        const number = Number(value);
        hash = mix(mix(hash, number | 0), Math.floor(number / 2 ** 32) | 0);
      }
    }
    return hash;
  }
}

function mix(hash: number, word: number): number {
  const h = Math.imul(hash ^ word, 0x9e37_79b1);
  return h ^ (h >>> 15);
}

const NOTHING: ReadonlySet<string> = new Set();

/**
 * Whether two decoded contexts say the same: they hold numbers, flags and objects of such.
 * @param except fields that may differ
 */
export function sameValues(a: object, b: object, except: ReadonlySet<string> = NOTHING): boolean {
  if (a === b) return true;
  if (a.constructor !== b.constructor) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key of Object.keys(left)) {
    if (except.has(key)) continue;
    const x = left[key];
    const y = right[key];
    if (typeof x === "object" && x !== null) {
      if (typeof y !== "object" || y === null || !sameValues(x, y, except)) return false;
    } else if (!Object.is(x, y)) return false;
  }
  return true;
}
