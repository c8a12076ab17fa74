import { IntervalTree } from "./interval-tree.ts";

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

/** What one mapping costs with all that it is found by: an estimate. */
const MAPPING_BYTES = 512;
/** As many are always kept. */
const FEW = 1024;
/** Of those that are kept, one in so many may have ended. */
const ENDED_SHARE = 4;

/** Mappings by address: those that stand, and the latest that have ended. */
export class MappingIndex {
  /** Mappings that have been forgotten for want of memory. */
  forgotten = 0;
  readonly #standing: Mappings;
  readonly #ended: Mappings;

  /** @param bytes that they may take */
  constructor(bytes: number) {
    const most = Math.max(Math.floor(bytes / MAPPING_BYTES), FEW);
    this.#standing = new Mappings(most - Math.floor(most / ENDED_SHARE));
    this.#ended = new Mappings(Math.floor(most / ENDED_SHARE));
  }

  add(mapping: SoftwareMapping): void {
    this.forgotten += this.#standing.add(mapping);
  }

  /** Ends a mapping. */
  end(mapping: SoftwareMapping, at: Moment): void {
    this.remove(mapping);
    mapping.ended = at;
    this.forgotten += this.#ended.add(mapping);
  }

  /** Takes a mapping that stands away, as if it had not been. */
  remove(mapping: SoftwareMapping): void {
    this.#standing.remove(mapping);
  }

  /** Every mapping of a device that stands and touches bytes `from` to `to` (exclusive), or comes close. */
  standing(dev: string, from: bigint, to: bigint): SoftwareMapping[] {
    return this.#standing.of(dev)?.touching(lowest(from), Number(to - 1n)) ?? [];
  }

  /**
   * The latest mappings that touch them, or come close: those that stand, then those that have ended.
   * @param dev whose; null: whoever they are for
   */
  latest(dev: string | null, from: bigint, to: bigint, most: number): SoftwareMapping[] {
    const first = lowest(from);
    const last = Number(to - 1n);
    return [this.#standing, this.#ended].flatMap((these) => these.of(dev)?.latest(first, last, most) ?? []);
  }
}

/** Mappings by device and address, and in the order of coming. */
class Mappings {
  readonly #most: number;
  readonly #all = new IntervalTree<SoftwareMapping>();
  readonly #byDevice = new Map<string, IntervalTree<SoftwareMapping>>();
  readonly #orders = new Map<SoftwareMapping, number>();
  /** In the order of coming, from `#oldest` on; those that are gone stand there until there are as many of them. */
  #queue: SoftwareMapping[] = [];
  #oldest = 0;
  #next = 1;

  constructor(most: number) {
    this.#most = most;
  }

  /** @param dev whose; null: all */
  of(dev: string | null): IntervalTree<SoftwareMapping> | undefined {
    return dev === null ? this.#all : this.#byDevice.get(dev);
  }

  /** @returns how many others were forgotten for it */
  add(mapping: SoftwareMapping): number {
    const order = this.#next++;
    const [first, last] = ends(mapping);
    let tree = this.#byDevice.get(mapping.dev);
    if (tree === undefined) {
      tree = new IntervalTree();
      this.#byDevice.set(mapping.dev, tree);
    }
    tree.insert(first, last, order, mapping);
    this.#all.insert(first, last, order, mapping);
    this.#orders.set(mapping, order);
    this.#queue.push(mapping);
    if (this.#queue.length > 2 * this.#orders.size + FEW) this.#tidy();
    if (this.#orders.size <= this.#most) return 0;
    this.remove(this.#first());
    return 1;
  }

  remove(mapping: SoftwareMapping): void {
    const order = this.#orders.get(mapping);
    if (order === undefined) return;
    const [first] = ends(mapping);
    const tree = this.#byDevice.get(mapping.dev)!;
    tree.remove(first, order);
    if (tree.isEmpty) this.#byDevice.delete(mapping.dev);
    this.#all.remove(first, order);
    this.#orders.delete(mapping);
  }

  #first(): SoftwareMapping {
    while (!this.#orders.has(this.#queue[this.#oldest]!)) this.#oldest++;
    return this.#queue[this.#oldest]!;
  }

  #tidy(): void {
    this.#queue = this.#queue.filter((mapping) => this.#orders.has(mapping));
    this.#oldest = 0;
  }
}

/** The first and the last byte, as a number has them: of two addresses the greater one is never the smaller number. */
function ends({ addr, size }: SoftwareMapping): readonly [number, number] {
  return [Number(addr), Number(addr + size - 1n)];
}

function lowest(from: bigint): number {
  return Math.max(Number(from), 0);
}
