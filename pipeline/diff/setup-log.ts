/**
 * What a trace set up before and between its requests. Two recordings of one workload have the same tables; where
 * they do not, answers differ for that reason, and whoever reads the differences must know.
 */
import type { MemRecord } from "../../parsers/trace/records.ts";
import type { PlainRecord } from "../../parsers/trace/schema.ts";

/** Kinds of set-up, each compared record by record, in order. */
const SETUPS = ["memory", "registers", "bindings", "invalidations"] as const;
export type Setup = (typeof SETUPS)[number];

const SETUP_OF: Partial<Record<PlainRecord["type"], Setup>> = {
  ram: "memory",
  snapshot: "memory",
  iommu: "registers",
  reg: "registers",
  bind: "bindings",
  unbind: "bindings",
  cmd: "invalidations",
  inv: "invalidations",
};

/** Records of one kind that may wait for their counterparts; a stream further ahead is compared no more. */
const MAX_WAITING = 1 << 20;

/** Records of one kind in one stream that have not met their counterparts: their hashes and lines. */
class Waiting {
  hashes = new Int32Array(64);
  lines = new Float64Array(64);
  head = 0;
  tail = 0;

  push(hash: number, line: number): void {
    if (this.tail === this.hashes.length) {
      const from = this.head;
      const size = (this.tail - from) * 2 > this.hashes.length ? this.hashes.length * 2 : this.hashes.length;
      const hashes = new Int32Array(size);
      const lines = new Float64Array(size);
      hashes.set(this.hashes.subarray(from, this.tail));
      lines.set(this.lines.subarray(from, this.tail));
      this.hashes = hashes;
      this.lines = lines;
      this.tail -= from;
      this.head = 0;
    }
    this.hashes[this.tail] = hash;
    this.lines[this.tail++] = line;
  }

  get size(): number {
    return this.tail - this.head;
  }
}

/** Where two traces' set-ups first differ: lines of the first records that are not the same; null: one has no more. */
export interface SetupDifference {
  readonly setup: Setup;
  readonly lineA: number | null;
  readonly lineB: number | null;
}

/** One stream's set-up records as they come. */
export class SetupLog {
  readonly waiting: Readonly<Record<Setup, Waiting>> = {
    memory: new Waiting(),
    registers: new Waiting(),
    bindings: new Waiting(),
    invalidations: new Waiting(),
  };

  mem(line: number, record: MemRecord): void {
    // What the recorded IOMMU wrote itself is an answer, not a set-up.
    if (record.byIommu) return;
    let hash = Math.imul(record.addrHi, 0x85eb_ca6b) ^ Math.imul(record.addrLo, 0xc2b2_ae35);
    const { bytes, end } = record;
    // Upper and lower case of a hex digit differ in this bit only.
    for (let p = record.start; p < end; p++) hash = Math.imul(hash ^ (bytes[p]! | 0x20), 0x0100_0193);
    this.waiting.memory.push(hash, line);
  }

  record(line: number, record: PlainRecord): void {
    const setup = SETUP_OF[record.type];
    if (setup === undefined) return;
    const text = JSON.stringify(record, (_, value) => (value instanceof Map ? [...value].sort() : value));
    let hash = 0;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
    this.waiting[setup].push(hash, line);
  }
}

/** Compares the set-ups of two traces while they are read. */
export class SetupComparison {
  readonly #a: SetupLog;
  readonly #b: SetupLog;
  /** Kinds that still are compared. */
  readonly #open = new Set<Setup>(SETUPS);
  readonly #found: SetupDifference[] = [];

  constructor(a: SetupLog, b: SetupLog) {
    this.#a = a;
    this.#b = b;
  }

  /** Compares what both sides have. To be called now and then, so that nothing piles up. */
  advance(): void {
    for (const setup of SETUPS) {
      const a = this.#a.waiting[setup];
      const b = this.#b.waiting[setup];
      if (this.#open.has(setup)) this.#compare(setup, a, b);
      if (!this.#open.has(setup)) {
        a.head = a.tail;
        b.head = b.tail;
      }
    }
  }

  /** At the end of both streams: where each kind first differs. */
  finish(): readonly SetupDifference[] {
    this.advance();
    for (const setup of this.#open) {
      const a = this.#a.waiting[setup];
      const b = this.#b.waiting[setup];
      if (a.size > 0 || b.size > 0) this.#found.push({ setup, lineA: firstLine(a), lineB: firstLine(b) });
    }
    return this.#found.sort((x, y) => SETUPS.indexOf(x.setup) - SETUPS.indexOf(y.setup));
  }

  #compare(setup: Setup, a: Waiting, b: Waiting): void {
    while (a.size > 0 && b.size > 0) {
      if (a.hashes[a.head] !== b.hashes[b.head]) {
        this.#found.push({ setup, lineA: firstLine(a), lineB: firstLine(b) });
        this.#open.delete(setup);
        return;
      }
      a.head++;
      b.head++;
    }
    if (a.size > MAX_WAITING || b.size > MAX_WAITING) this.#open.delete(setup);
  }
}

function firstLine(waiting: Waiting): number | null {
  return waiting.size > 0 ? waiting.lines[waiting.head]! : null;
}
