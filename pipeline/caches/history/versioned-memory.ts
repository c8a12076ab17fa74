import type { WriteWatcher } from "../../../parsers/memory/guest-memory.ts";
import { FRAME_BYTES, type GuestMemory } from "../../../walkers/memory.ts";
import { ChangedWords, larger, NO_CHANGE } from "./changed-words.ts";
import { lineAt } from "./unflushed-writes.ts";

/** "as it is" in `VersionedMemory.asOf`. */
export const NOW = Number.POSITIVE_INFINITY;

/** Changes are kept of words of this size. */
export const WORD_BYTES = 8;
/** Bytes that one change takes over all arrays below. */
const CHANGE_BYTES = 8 + 8 + 4 * 4 + 1;
const FIRST_CAPACITY = 1 << 10;
/**
 * Changes of one word that are kept, the latest ones: a cache may hold a translation from before each of them, and of one page
 * some dozen translations are kept. So memory grows with the words that change, and not with how often they do.
 */
const MAX_CHANGES = 32;
/** Frames that are known to hold tables above the last level. */
const MAX_TABLES = 1 << 18;

/** Who made a change. */
const BY_SOFTWARE = 0;
const BY_IOMMU = 1;
const AS_READ = 2;

/** One 64-bit word of a table that changed. */
export interface Change {
  /** When: a tick of the replay's clock. What was read before this tick read the old value. */
  readonly time: number;
  /** Line of the `mem` record. */
  readonly line: number;
  readonly frame: number;
  /** Byte offset of the word in its frame. */
  readonly offset: number;
  readonly oldHi: number;
  readonly oldLo: number;
  /** It was changed again since. */
  readonly again: boolean;
  /** What stood there in between is not known: the new value was only read. */
  readonly asRead: boolean;
}

/** What a read of the past gave, and what has changed of it since. */
export class PastRead<T> {
  readonly value: T;
  /** Part of that past is forgotten: what was read may be wrong. */
  readonly forgotten: boolean;
  readonly #memory: VersionedMemory;
  readonly #time: number;
  readonly #latest: number;

  /** @param latest number of the latest change that it does not know of, or NO_CHANGE */
  constructor(value: T, memory: VersionedMemory, time: number, latest: number, forgotten: boolean) {
    this.value = value;
    this.forgotten = forgotten;
    this.#memory = memory;
    this.#time = time;
    this.#latest = latest;
  }

  /** Whether something of what was read has changed since. */
  get isOld(): boolean {
    return this.#latest !== NO_CHANGE;
  }

  /** The write that it does not know of; null where nothing has changed. To be asked before memory changes again. */
  missedChange(): Change | null {
    return this.#latest === NO_CHANGE ? null : this.#memory.changeSince(this.#time, this.#latest);
  }
}

/**
 * Guest memory with a past: walkers read it as it is, or as it was at an earlier tick. Only changes of frames
 * that a walk has read are kept, since only these can be what an IOMMU's caches still hold; of each word only the latest,
 * and of all together as many as there is room for.
 */
export class VersionedMemory implements GuestMemory, WriteWatcher {
  readonly #base: GuestMemory;
  readonly #maxBytes: number;
  readonly #words = new ChangedWords();
  // Changes by their number, the oldest first. Numbers hold until the next change.
  #capacity = FIRST_CAPACITY;
  #size = 0;
  #times = new Float64Array(FIRST_CAPACITY);
  #lines = new Float64Array(FIRST_CAPACITY);
  #wordOf = new Int32Array(FIRST_CAPACITY);
  #his = new Int32Array(FIRST_CAPACITY);
  #los = new Int32Array(FIRST_CAPACITY);
  /** Number of the change before this one of the same word, or NO_CHANGE. */
  #before = new Int32Array(FIRST_CAPACITY);
  /** Who made the change: software, the recorded IOMMU, or whoever it was before it was read. */
  #own = new Uint8Array(FIRST_CAPACITY);

  readonly #scratch = new DataView(new ArrayBuffer(FRAME_BYTES));
  view: DataView;
  at = 0;
  /** The tick that fetches see; NOW outside of `readAsOf`. */
  #asOf = NOW;
  /** Lines that fetches see instead of memory's; null: none. */
  #over: ReadonlyMap<number, Uint8Array> | null = null;
  /** Number of the latest change that the current read of the past has put back, or NO_CHANGE. */
  #putBack = NO_CHANGE;
  /** The current read of the past has met a word whose changes since then are not all kept. */
  #forgotten = false;
  /** The bytes that are being written come from the recorded IOMMU itself. */
  byIommu = false;
  /** They are as somebody read them: when they were written, and what stood there in between, is not known. */
  asRead = false;
  /** Tick and line of the record that is replayed: when a change is. */
  time = 0;
  line = 0;
  /** When the last change was: what was read later is still so. */
  lastChange = 0;
  /** How many there were. */
  changes = 0;
  /** When a table above the last level last changed, as far as such tables are known (`watchTable`). */
  lastStructural = 0;
  readonly #tables = new Set<number>();
  /** Too many tables are known: every change counts as one of them. */
  #anyTable = false;
  /** Changes of whatever words at or before this tick are forgotten: a read further back may be wrong. */
  #horizon = 0;

  /** @param maxBytes what the changes may take */
  constructor(base: GuestMemory, maxBytes: number) {
    this.#base = base;
    this.view = base.view;
    this.#maxBytes = maxBytes;
  }

  get generation(): number {
    return this.#base.generation;
  }

  changedAt(frame: number): number {
    return this.#base.changedAt?.(frame) ?? this.generation;
  }

  get bytes(): number {
    return this.#capacity * CHANGE_BYTES + this.#words.bytes;
  }

  fetch(frame: number, offset: number, bytes: number): boolean {
    const base = this.#base;
    if (!base.fetch(frame, offset, bytes)) return false;
    this.view = base.view;
    this.at = base.at;
    if (this.#asOf !== NOW) this.#turnBack(frame, offset, bytes);
    else if (this.#over !== null) this.#putOver(this.#over, frame, offset, bytes);
    return true;
  }

  /** The next record: later changes are later than all reads so far. */
  tick(line: number): void {
    this.time++;
    this.line = line;
  }

  /** So many records are over, of which none changes anything. */
  skip(records: number, line: number): void {
    this.time += records;
    this.line = line;
  }

  /**
   * Reads memory as it was at a tick.
   * @param read sees it so in all its fetches, until it calls `asNow`; it may not read a past of its own
   */
  readAsOf<T>(time: number, read: () => T): PastRead<T> {
    // What was read after the last change is as it was.
    this.#asOf = time >= this.lastChange ? NOW : time;
    this.#putBack = NO_CHANGE;
    this.#forgotten = time < this.#horizon;
    const value = read();
    this.#asOf = NOW;
    return new PastRead(value, this, time, this.#putBack, this.#forgotten);
  }

  /**
   * Reads memory with some lines (`lineAt`) as they are given.
   * @param read sees it so in all its fetches; it may not read a past of its own
   */
  readWith<T>(lines: ReadonlyMap<number, Uint8Array>, read: () => T): T {
    this.#over = lines;
    const value = read();
    this.#over = null;
    return value;
  }

  /** Within `readAsOf`: what follows sees memory as it is. */
  asNow(): void {
    this.#asOf = NOW;
  }

  /**
   * The write that a read of the past does not know of, of the word that was changed last: the one that took it from
   * what was read. A page that was unmapped and mapped anew was stale from the first of the two on. What the IOMMU
   * itself wrote (accessed and dirty bits) asks for no invalidation.
   * @param latest number of the latest change that was put back
   * @param time tick of the read
   */
  changeSince(time: number, latest: number): Change {
    const changes: number[] = [];
    for (let n = latest; n !== NO_CHANGE && this.#times[n]! > time; n = this.#before[n]!) changes.push(n);
    const word = this.#wordOf[latest]!;
    let left = latest;
    let readHi = 0;
    let readLo = 0;
    for (let i = changes.length - 1, known = false; i >= 0; i--) {
      const at = changes[i]!;
      const hi = this.#his[at]!;
      const lo = this.#los[at]!;
      if (known && (hi !== readHi || lo !== readLo)) continue;
      known = this.#own[at] !== BY_IOMMU;
      readHi = hi;
      readLo = lo;
      if (known) left = at;
    }
    return {
      time: this.#times[left]!,
      line: this.#lines[left]!,
      frame: this.#words.frame(word),
      offset: this.#words.offset(word),
      oldHi: this.#his[left]!,
      oldLo: this.#los[left]!,
      again: left !== changes[0],
      asRead: changes.some((at) => this.#own[at] === AS_READ),
    };
  }

  /**
   * Remembers the words of a frame that a write is about to change.
   *
   * @param view the frame's bytes as they still are, from byte `at` of it
   * @param source the bytes to be written, from byte `from` of it: they go to bytes `start` to `end` - 1 of the frame
   */
  changing(
    frame: number,
    view: DataView,
    at: number,
    source: Uint8Array,
    from: number,
    start: number,
    end: number,
  ): void {
    for (let offset = start - (start % WORD_BYTES); offset < end; offset += WORD_BYTES) {
      let differs = false;
      const to = Math.min(offset + WORD_BYTES, end);
      for (let b = Math.max(offset, start); b < to; b++)
        if (view.getUint8(at + b) !== source[from + b - start]) differs = true;
      if (differs)
        this.#add(frame, offset, view.getInt32(at + offset + 4, true), view.getInt32(at + offset, true));
    }
  }

  /** The latest changes of a word, as far as they are kept, the oldest first. @param most how many */
  latestChanges(frame: number, offset: number, most: number): Change[] {
    const changes: Change[] = [];
    const word = this.#words.find(frame, offset - (offset % WORD_BYTES));
    if (word === NO_CHANGE) return changes;
    for (let n = this.#words.latest[word]!; n !== NO_CHANGE && changes.length < most; n = this.#before[n]!)
      changes.unshift(this.changeSince(this.#times[n]! - 1, n));
    return changes;
  }

  /** Visits the words that the record at hand has changed. */
  changedNow(visit: (frame: number, offset: number) => void): void {
    let first = this.#size;
    while (first > 0 && this.#times[first - 1] === this.time) first--;
    for (let n = first; n < this.#size; n++) {
      const word = this.#wordOf[n]!;
      visit(this.#words.frame(word), this.#words.offset(word));
    }
  }

  /** Says that a frame holds table entries above the last level. */
  watchTable(frame: number): void {
    if (this.#anyTable) return;
    this.#tables.add(frame);
    if (this.#tables.size <= MAX_TABLES) return;
    this.#anyTable = true;
    this.#tables.clear();
  }

  /** Forgets the past: all memory was replaced. */
  clear(): void {
    this.#tables.clear();
    this.#anyTable = false;
    this.lastStructural = this.time;
    this.#words.clear();
    this.#size = 0;
    this.lastChange = this.time;
    this.#horizon = this.time;
  }

  #add(frame: number, offset: number, hi: number, lo: number): void {
    const { time } = this;
    if (this.#size === this.#capacity) this.#makeRoom();
    const words = this.#words;
    const word = words.of(frame, offset);
    const n = this.#size++;
    this.#times[n] = time;
    this.#lines[n] = this.line;
    this.#wordOf[n] = word;
    this.#his[n] = hi;
    this.#los[n] = lo;
    this.#own[n] = this.byIommu ? BY_IOMMU : this.asRead ? AS_READ : BY_SOFTWARE;
    this.#before[n] = words.latest[word]!;
    words.latest[word] = n;
    words.kept[word]!++;
    this.lastChange = time;
    this.changes++;
    if (this.#anyTable || this.#tables.has(frame)) this.lastStructural = time;
  }

  /** Replaces the fetched bytes by a copy with the words that changed since the tick that is read put back. */
  #turnBack(frame: number, offset: number, bytes: number): void {
    const words = this.#words;
    const scratch = this.#scratch;
    const asOf = this.#asOf;
    let copied = false;
    for (let at = offset - (offset % WORD_BYTES); at < offset + bytes; at += WORD_BYTES) {
      const word = words.find(frame, at);
      if (word === NO_CHANGE) continue;
      if (words.forgotten[word]! > asOf) this.#forgotten = true;
      const latest = words.latest[word]!;
      let first = NO_CHANGE;
      for (let n = latest; n !== NO_CHANGE && this.#times[n]! > asOf; n = this.#before[n]!) first = n;
      if (first === NO_CHANGE) continue;
      if (!copied) {
        copied = true;
        for (let b = 0; b < bytes; b++) scratch.setUint8(offset + b, this.view.getUint8(this.at + b));
      }
      // What stood there before the earliest change after that tick.
      scratch.setInt32(at, this.#los[first]!, true);
      scratch.setInt32(at + 4, this.#his[first]!, true);
      if (latest > this.#putBack) this.#putBack = latest;
    }
    if (copied) {
      this.view = scratch;
      this.at = offset;
    }
  }

  /** Replaces the fetched bytes by a copy with the lines given. */
  #putOver(lines: ReadonlyMap<number, Uint8Array>, frame: number, offset: number, bytes: number): void {
    const scratch = this.#scratch;
    let copied = false;
    for (let b = offset; b < offset + bytes; b++) {
      const line = lines.get(lineAt(frame, b));
      if (line === undefined) continue;
      if (!copied) {
        copied = true;
        for (let i = 0; i < bytes; i++) scratch.setUint8(offset + i, this.view.getUint8(this.at + i));
      }
      scratch.setUint8(b, line[b % line.length]!);
    }
    if (copied) {
      this.view = scratch;
      this.at = offset;
    }
  }

  /** No change more has room: those go of which their words have newer ones enough; else the oldest, if need be. */
  #makeRoom(): void {
    const capacity = this.#capacity;
    this.#drop(0);
    if (2 * this.#size <= capacity) return;
    if (2 * capacity * CHANGE_BYTES + this.#words.bytes <= this.#maxBytes) this.#grow();
    else if (4 * this.#size > 3 * capacity) this.#dropOldest(capacity / 4);
  }

  /** Forgets so many changes, the oldest, and words that have none left. */
  #dropOldest(count: number): void {
    this.#drop(count);
    const { renumbered, horizon } = this.#words.purge();
    for (let n = 0; n < this.#size; n++) this.#wordOf[n] = renumbered[this.#wordOf[n]!]!;
    this.#horizon = Math.max(this.#horizon, horizon);
  }

  /** Forgets the first changes, and of every word those that are more than are kept; the others get new numbers. */
  #drop(first: number): void {
    const words = this.#words;
    words.latest.fill(NO_CHANGE, 0, words.size);
    let size = 0;
    for (let n = 0; n < this.#size; n++) {
      const word = this.#wordOf[n]!;
      if (n < first || words.kept[word]! > MAX_CHANGES) {
        words.kept[word]!--;
        words.forgotten[word] = this.#times[n]!;
        continue;
      }
      this.#times[size] = this.#times[n]!;
      this.#lines[size] = this.#lines[n]!;
      this.#wordOf[size] = word;
      this.#his[size] = this.#his[n]!;
      this.#los[size] = this.#los[n]!;
      this.#own[size] = this.#own[n]!;
      this.#before[size] = words.latest[word]!;
      words.latest[word] = size++;
    }
    this.#size = size;
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    this.#times = larger(this.#times, new Float64Array(capacity));
    this.#lines = larger(this.#lines, new Float64Array(capacity));
    this.#wordOf = larger(this.#wordOf, new Int32Array(capacity));
    this.#his = larger(this.#his, new Int32Array(capacity));
    this.#los = larger(this.#los, new Int32Array(capacity));
    this.#before = larger(this.#before, new Int32Array(capacity));
    this.#own = larger(this.#own, new Uint8Array(capacity));
    this.#capacity = capacity;
  }
}
