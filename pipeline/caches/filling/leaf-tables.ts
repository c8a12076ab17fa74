import { frameHi, frameLo, frameOf, framesIn } from "../../../walkers/memory.ts";
import type { LevelSizes } from "../../../walkers/page-tables/level-sizes.ts";
import { WalkRequest } from "../../../walkers/request.ts";
import type { PathEntry } from "../history/past-walks.ts";

/** Frames of tables that are known, and address spaces that share one. */
const MAX_FRAMES = 1 << 16;
const MAX_SHARING = 8;

/** How one address space uses a frame of a table whose entries map pages: what a request for one of them is. */
interface LeafTable {
  /** A request that went through an entry of it. */
  readonly request: WalkRequest;
  readonly entryOffset: number;
  readonly entryBytes: number;
  /** Number of that entry in its table, and how many there are. */
  readonly index: number;
  readonly entries: number;
  /** log2 of what an entry maps. */
  readonly shift: number;
}

/** Which addresses stand behind the last-level entries that walks went through: a change of one is a change of a page. */
export class LeafTables {
  readonly #byFrame = new Map<number, LeafTable[]>();
  /** Entries that lead to them, by frame and offset: the frame of the table that is behind. */
  readonly #parents = new Map<number, Map<number, number>>();
  readonly #asked = new WalkRequest();

  get size(): number {
    return this.#byFrame.size;
  }

  has(frame: number): boolean {
    return this.#byFrame.has(frame);
  }

  /** Whether entries lead to such tables from a frame. */
  hasParents(frame: number): boolean {
    return this.#parents.has(frame);
  }

  /** The frame of the table that a word of a frame has led to; -1: none that is known. */
  behind(frame: number, offset: number): number {
    return this.#parents.get(frame)?.get(offset) ?? -1;
  }

  clear(): void {
    this.#byFrame.clear();
    this.#parents.clear();
  }

  /**
   * @param step the first of `sizes` that maps more than the entry does
   * @param parent the entry that leads to the table; undefined: none does that is kept
   */
  add(
    request: WalkRequest,
    { frame, offset }: PathEntry,
    sizes: LevelSizes,
    step: number,
    parent: PathEntry | undefined,
  ): void {
    if (parent !== undefined) this.#adopt(parent, frame);
    let tables = this.#byFrame.get(frame);
    if (tables === undefined) {
      if (this.#byFrame.size >= MAX_FRAMES) return;
      tables = [];
      this.#byFrame.set(frame, tables);
    }
    const shift = sizes.shiftBelow(step);
    const entries = 2 ** (sizes.shift(step) - shift);
    const index = Math.floor(frameOf(request.addrHi, request.addrLo) / framesIn(shift)) % entries;
    if (tables.length >= MAX_SHARING || tables.some((t) => sameSpace(t.request, request))) return;
    const { entryBytes } = sizes;
    tables.push({ request: request.clone(), entryOffset: offset, entryBytes, index, entries, shift });
  }

  #adopt({ frame: from, offset }: PathEntry, frame: number): void {
    let parents = this.#parents.get(from);
    if (parents === undefined) {
      if (this.#parents.size >= MAX_FRAMES) return;
      parents = new Map();
      this.#parents.set(from, parents);
    }
    parents.set(offset, frame);
  }

  /**
   * The pages behind a word of a frame, one for every address space.
   * @param visit is given a request for the first byte of each that asks for no right, which is reused, and log2 of what
   *   the entry maps
   */
  forEachPage(frame: number, offset: number, visit: (request: WalkRequest, shift: number) => void): void {
    const tables = this.#byFrame.get(frame);
    if (tables === undefined) return;
    const asked = this.#asked;
    for (const table of tables) {
      const { request, entryOffset, entryBytes, index, entries, shift } = table;
      const distance = Math.floor((offset - entryOffset) / entryBytes);
      if (index + distance < 0 || index + distance >= entries) continue;
      const page = framesIn(shift);
      const at = frameOf(request.addrHi, request.addrLo);
      const first = at - (at % page) + distance * page;
      asked.copyFrom(request);
      asked.access = 0;
      asked.addrHi = frameHi(first);
      asked.addrLo = frameLo(first);
      visit(asked, shift);
    }
  }
}

function sameSpace(a: WalkRequest, b: WalkRequest): boolean {
  return a.device === b.device && a.pasid === b.pasid && a.binding === b.binding;
}
