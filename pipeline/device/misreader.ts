import type { Bug } from "../../walkers/fuzz/bug.ts";
import type { Layout } from "../../walkers/layout.ts";
import type { TableReader, WalkObserver } from "../../walkers/table-reader.ts";

type Misreadings = NonNullable<Bug["misreads"]>;

/** Largest structure of any vendor, in bytes. */
const MOST_BYTES = 64;

/**
 * Makes a walker read something else than what is in memory. It looks on as every entry is read, and puts a changed copy
 * in the place of what the reader has found.
 */
export class Misreader implements WalkObserver {
  readonly #tables: TableReader;
  readonly #always: Misreadings;
  readonly #late: Misreadings;
  readonly #copies: DataView[] = [];
  #next = 0;
  /** What is checked late is not seen. */
  blind = false;
  /** The structure that was read last. */
  last: Layout | null = null;

  constructor(tables: TableReader, bugs: readonly Bug[]) {
    this.#tables = tables;
    this.#always = bugs.flatMap(({ misreads = [] }) => misreads);
    this.#late = bugs.flatMap(({ late = [] }) => late);
  }

  /** There is anything that it changes. */
  get needed(): boolean {
    return this.#always.length + this.#late.length > 0;
  }

  /** Whether the structure read last has something that is checked late. */
  get late(): boolean {
    return this.#late.some(({ layout }) => layout === this.last);
  }

  entry(
    layout: Layout,
    _frame: number,
    _offset: number,
    view: DataView | null,
    at: number,
    _stage: number,
    level: number,
    littleEndian: boolean,
  ): void {
    this.last = layout;
    if (view === null) return;
    const mine = (m: Misreadings[number]) => m.layout === layout;
    const changes = [...this.#always.filter(mine), ...(this.blind ? this.#late.filter(mine) : [])];
    if (changes.length === 0) return;
    const copy = this.#copyOf(view, at, layout.bytes);
    for (const change of changes) change.change(copy, littleEndian, level);
    const tables = this.#tables;
    tables.view = copy;
    tables.at = 0;
    if (layout.bytes === 4) {
      tables.lo = copy.getInt32(0, littleEndian);
      return;
    }
    tables.lo = copy.getInt32(littleEndian ? 0 : 4, littleEndian);
    tables.hi = copy.getInt32(littleEndian ? 4 : 0, littleEndian);
  }

  /** A copy that outlives the entries read after it: a walk keeps to few of them. */
  #copyOf(view: DataView, at: number, bytes: number): DataView {
    this.#next = (this.#next + 1) % 16;
    this.#copies[this.#next] ??= new DataView(new ArrayBuffer(MOST_BYTES));
    const copy = this.#copies[this.#next]!;
    for (let i = 0; i < bytes; i++) copy.setUint8(i, view.getUint8(at + i));
    return copy;
  }
}
