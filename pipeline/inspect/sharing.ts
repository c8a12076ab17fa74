import { FRAME_BYTES } from "../../walkers/memory.ts";
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { addressText } from "../../walkers/word64.ts";
import { Domains } from "./domains.ts";
import type { QuestionRecord, SharedMapping } from "./lookup-records.ts";
import { QuestionSink } from "./question-sink.ts";
import type { InspectedPasid } from "./records.ts";
import type { InputRange, InspectedSpace } from "./sink.ts";
import { tablesKey } from "./tables-key.ts";

/** Ranges that are kept to be compared: 40 bytes each. */
const MOST_RANGES = 1 << 22;
/** Steps of the sweep: tables can be made so that each range overlaps all others. */
const MOST_WORK = 1 << 27;
/** Mappings of one stretch that are named. */
const NAMED = 8;
const FIRST_CAPACITY = 1 << 10;

/**
 * Memory that several devices reach, by the same tables (`domain` records) or by others (`shared`), or one at several
 * input addresses.
 */
export class Sharing extends QuestionSink {
  /** What several devices reach by the same tables. */
  readonly #domains: Domains;
  /** Those that have ranges: one of all that have the same tables. */
  readonly #spaces: InspectedSpace[] = [];
  /** Devices of each of them, and of all that have the same tables. */
  readonly #devices: Set<string>[] = [];
  readonly #byTables = new Map<string, number>();
  /** Ranges beyond those that are kept. */
  #dropped = 0;
  #size = 0;
  // The ranges, in columns.
  #output = new Float64Array(FIRST_CAPACITY);
  #frames = new Float64Array(FIRST_CAPACITY);
  #input = new Float64Array(FIRST_CAPACITY);
  #space = new Int32Array(FIRST_CAPACITY);
  #perm = new Uint8Array(FIRST_CAPACITY);

  constructor(take: (record: QuestionRecord) => void) {
    super(take);
    this.#domains = new Domains((record) => {
      if (record.type === "domain" && record.devices > 1 && record.bytes > 0) this.answer(record);
    });
  }

  override space(space: InspectedSpace): void {
    this.#domains.space(space);
    const key = tablesKey(space);
    const known = this.#byTables.get(key);
    // The ranges of the same tables have been taken.
    this.satisfied = known !== undefined;
    const which = known ?? this.#spaces.length;
    if (known === undefined) {
      this.#byTables.set(key, which);
      this.#spaces.push(space);
      this.#devices.push(new Set());
    }
    this.#devices[which]!.add(`${space.iommu}\n${space.dev}`);
  }

  override range(range: InputRange): boolean {
    const { frame, frames, output, perm, pageShift } = range;
    this.#domains.range(range);
    // What passes through reaches everything: that is no mapping.
    if (pageShift === 0) return false;
    if (this.#size === MOST_RANGES) {
      this.#dropped++;
      return false;
    }
    if (this.#size === this.#output.length) this.#grow();
    const i = this.#size++;
    this.#output[i] = output;
    this.#frames[i] = frames;
    this.#input[i] = frame;
    this.#space[i] = this.#spaces.length - 1;
    this.#perm[i] = perm;
    return false;
  }

  override pasid(record: InspectedPasid): void {
    this.#domains.pasid(record);
  }

  #grow(): void {
    const twice = <T extends Float64Array | Int32Array | Uint8Array>(column: T): T => {
      const larger = new (column.constructor as new (length: number) => T)(column.length * 2);
      larger.set(column);
      return larger;
    };
    this.#output = twice(this.#output);
    this.#frames = twice(this.#frames);
    this.#input = twice(this.#input);
    this.#space = twice(this.#space);
    this.#perm = twice(this.#perm);
  }

  override summary(): void {
    this.#domains.summary();
    this.#sweep();
    if (this.#dropped === 0) return;
    const message = `${this.#dropped} ranges were not compared: there are too many, or too many that overlap`;
    this.answer({ type: "note", note: "limit", message });
  }

  /** Goes over memory once: the ranges that reach a stretch are those that have begun and not ended. */
  #sweep(): void {
    const output = this.#output;
    const order = Uint32Array.from({ length: this.#size }, (_, i) => i).sort(
      (a, b) => output[a]! - output[b]!,
    );
    let open: number[] = [];
    let from = 0;
    for (let next = 0, work = 0; next < order.length || open.length > 0; ) {
      work += open.length + 1;
      if (work > MOST_WORK) {
        this.#dropped += order.length - next;
        return;
      }
      const begins = next < order.length ? output[order[next]!]! : Number.POSITIVE_INFINITY;
      const ends = open.reduce((least, i) => Math.min(least, this.#end(i)), Number.POSITIVE_INFINITY);
      const at = Math.min(begins, ends);
      if (open.length > 1 && at > from) this.#tell(open, from, at - from);
      from = at;
      if (ends <= at) open = open.filter((i) => this.#end(i) > at);
      while (next < order.length && output[order[next]!]! === at) open.push(order[next++]!);
    }
  }

  #end(i: number): number {
    return this.#output[i]! + this.#frames[i]!;
  }

  #tell(open: readonly number[], frame: number, frames: number): void {
    const devices = new Set<string>();
    const writers = new Set<string>();
    const spaces = new Set<number>();
    let aliased = false;
    for (const i of open) {
      const space = this.#space[i]!;
      for (const device of this.#devices[space]!) {
        devices.add(device);
        if ((this.#perm[i]! & WRITE) !== 0) writers.add(device);
      }
      aliased ||= spaces.has(space);
      spaces.add(space);
    }
    this.answer({
      type: "shared",
      pa: addressText(frame),
      size: frames * FRAME_BYTES,
      mappings: open.slice(0, NAMED).map((i) => this.#mapping(i, frame)),
      count: open.length,
      devices: devices.size,
      aliased: aliased ? true : undefined,
      writers: writers.size,
    });
  }

  #mapping(i: number, frame: number): SharedMapping {
    const { iommu, dev, pasid } = this.#spaces[this.#space[i]!]!;
    const perm = this.#perm[i]!;
    const right = (bit: number, letter: string) => ((perm & bit) !== 0 ? letter : "-");
    return {
      iommu,
      dev,
      pasid,
      iova: addressText(this.#input[i]! + (frame - this.#output[i]!)),
      perm: right(READ, "r") + right(WRITE, "w") + right(EXECUTE, "x"),
    };
  }
}
