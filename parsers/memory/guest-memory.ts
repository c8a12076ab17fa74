import {
  FRAME_BYTES,
  FRAME_MASK,
  FRAMES,
  frameOf,
  type GuestMemory as WalkerMemory,
} from "../../walkers/memory.ts";
import { hex, joined } from "../../walkers/word64.ts";
import { addBytes, type ByteMask, countBytes, hasBytes } from "./byte-mask.ts";
import { HexDecoder } from "./hex.ts";
import {
  ABSENT,
  BYTES,
  FAILED,
  type FrameKind,
  type MemoryError,
  type MemoryImage,
  PIECES,
  ZERO,
} from "./memory-image.ts";
import { bytesAdded, type Page, PageStore } from "./page-store.ts";
import { EVERYTHING, NOTHING, RangeSet } from "./range-set.ts";
import { SmallWrites } from "./small-writes.ts";

/** Slots of the front cache: a power of two. */
const FRONT_SLOTS = 1 << 12;
/** Frames remembered as served before the generation is changed instead: bounds memory. */
const MAX_SERVED = 1 << 17;
/** Frames remembered as fetched, for the watcher; past it every frame counts as one: it costs time, not memory. */
const MAX_WATCHED = 1 << 20;
/** From this many bytes on, a call into native code beats a loop. */
const NATIVE_COPY = 96;

/** All untouched RAM. */
const ZERO_VIEW = new DataView(new ArrayBuffer(FRAME_BYTES));
/** Stands for no page where one is looked at at every fetch. */
const NO_PAGE: Page = {
  view: ZERO_VIEW,
  bytes: Buffer.alloc(0),
  at: 0,
  mask: null,
  missing: 0,
  ramVersion: 0,
  served: 0,
  changed: 0,
};

/** Who wants to know what written bytes replace: only for frames that have ever been fetched. */
export interface WriteWatcher {
  /**
   * Called before bytes are written.
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
  ): void;
}

/**
 * Guest memory as a trace builds it up: RAM that is zero until written (`ram`), a file that replaces everything
 * before it (`replace`), and written bytes (`write`, `writeHex`). A byte exists where any of them says so; written
 * bytes stand above the file's, and the file's above RAM's zeros, whatever the order of the records. All
 * addresses are 64 bits as two 32-bit halves (int32 or uint32); a range may end at 2^64 exactly.
 *
 * A fetch goes through a direct-mapped front cache of frames; behind it are the written pages, then the file,
 * then RAM. Untouched RAM is one shared zero page.
 */
export class TraceMemory implements WalkerMemory {
  view: DataView = ZERO_VIEW;
  at = 0;
  /**
   * Starts at 1 and changes when a byte that `fetch` could have served since the last change becomes another
   * one, appears or vanishes. Writes to frames that were not fetched, and writes of what is there already, leave
   * it.
   */
  generation = 1;

  readonly #ram = new RangeSet();
  /** Changes when RAM grows: pages that exist in part look again. */
  #ramVersion = 0;
  #pages = new PageStore();
  /** What will be pages when somebody looks at them. */
  readonly #small = new SmallWrites();
  #image: MemoryImage | null = null;
  #evictions = 0;
  /** A snapshot replaced all memory, and its file could not be read: only what was written since is known. */
  #lost = false;
  /** Frames of pages whose other bytes could not be read from the file. */
  readonly #unread = new Set<number>();

  /** Frames without a page that were fetched under this generation, whether they were there or not. */
  readonly #served = new Set<number>();
  /** A fetch failed under this generation. */
  #missed = false;

  // The front cache. An entry is valid while its stamp is the epoch, so that one increment drops them all. That of a frame
  // without a page has to be renewed in every generation: only pages know when they were fetched last.
  readonly #frames = new Float64Array(FRONT_SLOTS).fill(-1);
  readonly #stamps = new Float64Array(FRONT_SLOTS);
  /** The generation in which it was entered. */
  readonly #servedIn = new Float64Array(FRONT_SLOTS);
  readonly #ats = new Int32Array(FRONT_SLOTS);
  readonly #views: DataView[] = new Array(FRONT_SLOTS).fill(ZERO_VIEW);
  readonly #masks: (ByteMask | null)[] = new Array(FRONT_SLOTS).fill(null);
  /** Of frames that have none: NO_PAGE. */
  readonly #frontPages: Page[] = new Array(FRONT_SLOTS).fill(NO_PAGE);
  #epoch = 1;
  /** The generation in which any frame may have become another: memory was replaced, or has grown. */
  #allChanged = 0;

  /** What `#findBase` found. */
  #baseView: DataView = ZERO_VIEW;
  #baseAt = 0;
  /** The page written last: records often go on where the one before ended. */
  #lastFrame = -1;
  #lastPage: Page | undefined;
  readonly #hex = new HexDecoder();

  /** Told what is about to change in frames that were ever fetched; set before the first fetch. */
  watcher: WriteWatcher | null = null;
  readonly #watched = new Set<number>();
  #watchesAll = false;

  /** Pages written to, or pieced together: what the trace itself costs in memory, in units of 4 KiB. */
  get pages(): number {
    return this.#pages.size;
  }

  fetch(frame: number, offset: number, bytes: number): boolean {
    if (offset + bytes > FRAME_BYTES)
      throw new RangeError(`fetch of ${bytes} bytes at offset ${offset} crosses a frame`);
    const slot = slotOf(frame);
    if (this.#frames[slot] === frame && this.#stamps[slot] === this.#epoch) {
      const mask = this.#masks[slot]!;
      const page = this.#frontPages[slot]!;
      if (
        (page !== NO_PAGE || this.#servedIn[slot] === this.generation) &&
        (mask === null || hasBytes(mask, offset, offset + bytes))
      ) {
        page.served = this.generation;
        this.view = this.#views[slot]!;
        this.at = this.#ats[slot]! + offset;
        return true;
      }
    }
    return this.#fetchSlowly(frame, offset, bytes);
  }

  changedAt(frame: number): number {
    const slot = slotOf(frame);
    let page: Page | undefined = this.#frontPages[slot]!;
    if (page === NO_PAGE || this.#frames[slot] !== frame || this.#stamps[slot] !== this.#epoch)
      page = this.#pageOf(frame);
    if (page === undefined) {
      this.#serve(frame);
      return this.#allChanged;
    }
    page.served = this.generation;
    return Math.max(page.changed, this.#allChanged);
  }

  /**
   * As `fetch`, for a look that is not the IOMMU's: the frame is not watched, and `generation` does not depend on
   * what was seen.
   */
  peek(frame: number, offset: number, bytes: number): boolean {
    let page = this.#pageOf(frame);
    if (page === undefined) {
      const kind = this.#findBase(frame);
      if (kind === BYTES) {
        this.view = this.#baseView;
        this.at = this.#baseAt + offset;
        return true;
      }
      if (kind !== PIECES) return false;
      page = this.#pages.get(frame)!;
    }
    if (page.mask !== null && page.ramVersion !== this.#ramVersion) this.#growWithRam(frame, page);
    if (page.mask !== null && !hasBytes(page.mask, offset, offset + bytes)) return false;
    this.view = page.view;
    this.at = page.at + offset;
    return true;
  }

  /**
   * RAM exists at `size` bytes from an address on; bytes that exist already stay as they are. Size 0 is
   * nothing.
   * @returns null, or why not: the range goes beyond 2^64
   */
  ram(addrHi: number, addrLo: number, sizeHi: number, sizeLo: number): MemoryError | null {
    const frame = frameOf(addrHi, addrLo);
    const offset = addrLo & FRAME_MASK;
    const endOffset = offset + (sizeLo & FRAME_MASK);
    const endFrame = frame + frameOf(sizeHi, sizeLo) + (endOffset >> 12);
    const inFrame = endOffset & FRAME_MASK;
    if (endFrame > FRAMES || (endFrame === FRAMES && inFrame !== 0))
      return beyond("ram", addrHi, addrLo, hex64(sizeHi, sizeLo));
    if (this.#ram.add(frame, offset, endFrame, inFrame)) {
      this.#ramVersion++;
      // RAM only fills holes: it can change nothing but a fetch that failed.
      if (this.#missed) this.#changed();
      this.#allChanged = this.generation;
    }
    return null;
  }

  /**
   * Writes bytes `from` to `to` - 1 of `bytes` to memory; they exist from then on, and only they.
   * @returns null, or why not: the range goes beyond 2^64
   */
  write(
    addrHi: number,
    addrLo: number,
    bytes: Uint8Array,
    from = 0,
    to: number = bytes.length,
  ): MemoryError | null {
    const count = to - from;
    const frame = frameOf(addrHi, addrLo);
    const offset = addrLo & FRAME_MASK;
    if (frame + Math.ceil((offset + count) / FRAME_BYTES) > FRAMES)
      return beyond("mem", addrHi, addrLo, `${count}`);
    let at = frame;
    let start = offset;
    for (let i = from; i < to; ) {
      const end = Math.min(start + (to - i), FRAME_BYTES);
      this.#writePage(at, start, end, bytes, i);
      i += end - start;
      start = 0;
      at++;
    }
    return null;
  }

  /**
   * As `write`, from hex digits (two per byte, either case) that stand as ASCII in `text` from `start` to
   * `end` - 1. Nothing is written where there is something wrong with them.
   * @returns null, or why not: the range goes beyond 2^64, an odd number of digits, or something else than one
   */
  writeHex(text: Uint8Array, start: number, end: number, addrHi: number, addrLo: number): MemoryError | null {
    const hex = this.#hex;
    if (!hex.decode(text, start, end)) return { code: "schema", message: `mem data: ${hex.problem}` };
    return this.write(addrHi, addrLo, hex.bytes, 0, hex.count);
  }

  /**
   * A snapshot replaces all earlier memory: RAM, written bytes and the snapshot before it, which is closed.
   * Null leaves nothing at all.
   */
  replace(image: MemoryImage | null): void {
    this.#image?.close();
    this.#image = image;
    this.#lost = false;
    this.#unread.clear();
    this.#evictions = image === null ? 0 : image.evictions;
    this.#pages = new PageStore();
    this.#small.clear();
    this.#ram.clear();
    this.#ramVersion++;
    this.#watched.clear();
    this.#watchesAll = false;
    this.#lastFrame = -1;
    this.#lastPage = undefined;
    this.view = ZERO_VIEW;
    this.at = 0;
    this.#baseView = ZERO_VIEW;
    // The front cache must not hold on to the old file's buffers.
    this.#views.fill(ZERO_VIEW);
    this.#masks.fill(null);
    this.#frontPages.fill(NO_PAGE);
    this.#epoch++;
    this.#changed();
    this.#allChanged = this.generation;
  }

  /** A snapshot replaces all earlier memory, but its file cannot be read: nothing is known of what it held. */
  lose(): void {
    this.replace(null);
    this.#lost = true;
  }

  /** Whether nothing is known of memory but what was written since the last snapshot. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Whether a fetch of a frame failed for want of the snapshot: what is not there may well be in it. */
  isUnread(frame: number): boolean {
    if (this.#lost || this.#unread.has(frame)) return true;
    return this.#pages.get(frame) === undefined && this.#findBase(frame) === FAILED;
  }

  /** What went wrong in reading the snapshot since this was last asked; the fetches in question failed. */
  takeError(): MemoryError | null {
    return this.#image === null ? null : this.#image.takeError();
  }

  /** Closes the snapshot's file. The memory is not to be used after it. */
  close(): void {
    this.replace(null);
  }

  #fetchSlowly(frame: number, offset: number, bytes: number): boolean {
    let page = this.#pageOf(frame);
    if (this.watcher !== null && !this.#watchesAll) this.#watch(frame);
    if (page === undefined) {
      this.#serve(frame);
      const kind = this.#findBase(frame);
      if (kind === ABSENT || kind === FAILED) {
        this.#missed = true;
        return false;
      }
      if (kind === BYTES) {
        this.#keep(frame, this.#baseView, this.#baseAt, null, NO_PAGE);
        this.view = this.#baseView;
        this.at = this.#baseAt + offset;
        return true;
      }
      page = this.#pages.get(frame)!;
    }
    page.served = this.generation;
    if (page.mask !== null) {
      if (page.ramVersion !== this.#ramVersion) this.#growWithRam(frame, page);
      if (page.mask !== null && !hasBytes(page.mask, offset, offset + bytes)) {
        this.#missed = true;
        return false;
      }
    }
    this.#keep(frame, page.view, page.at, page.mask, page);
    this.view = page.view;
    this.at = page.at + offset;
    return true;
  }

  /** Enters a frame into the front cache. */
  #keep(frame: number, view: DataView, at: number, mask: ByteMask | null, page: Page): void {
    const slot = slotOf(frame);
    this.#frames[slot] = frame;
    this.#frontPages[slot] = page;
    this.#servedIn[slot] = this.generation;
    this.#stamps[slot] = this.#epoch;
    this.#views[slot] = view;
    this.#ats[slot] = at;
    this.#masks[slot] = mask;
  }

  /**
   * What the file and RAM have of a frame that has no page: BYTES (in `#baseView` and `#baseAt`), PIECES (now a
   * page), ABSENT or FAILED.
   */
  #findBase(frame: number): FrameKind {
    if (this.#lost) return FAILED;
    const image = this.#image;
    const kind = image === null ? ABSENT : this.#findInImage(image, frame);
    if (kind === BYTES || kind === FAILED) return kind;
    const ram = this.#ram.coverage(frame);
    if (kind === ZERO || (kind === ABSENT && ram === EVERYTHING)) {
      this.#baseView = ZERO_VIEW;
      this.#baseAt = 0;
      return BYTES;
    }
    if (kind === ABSENT && ram === NOTHING) return ABSENT;
    return this.#piece(frame, kind === PIECES ? image : null) ? PIECES : FAILED;
  }

  #findInImage(image: MemoryImage, frame: number): FrameKind {
    const kind = image.find(frame);
    this.#noteEvictions(image);
    if (kind === BYTES) {
      this.#baseView = image.view;
      this.#baseAt = image.at;
    }
    return kind;
  }

  /** Makes a page of a frame that is there in part, or in several pieces. */
  #piece(frame: number, image: MemoryImage | null): boolean {
    const page = this.#pages.createEmpty(frame);
    const mask = page.mask!;
    if (image !== null) {
      const read = image.compose(frame, page.bytes, page.at, mask);
      this.#noteEvictions(image);
      if (!read) {
        this.#pages.undo(frame);
        return false;
      }
      bytesAdded(page, countBytes(mask));
    }
    this.#growWithRam(frame, page);
    return true;
  }

  /** Bytes of the page that RAM has, and the page did not know of yet, exist and are zero. */
  #growWithRam(frame: number, page: Page): void {
    page.ramVersion = this.#ramVersion;
    // What a file would have had there is not RAM's zeros.
    if (this.#lost || this.#unread.has(frame)) return;
    if (page.mask !== null) bytesAdded(page, this.#ram.markBytes(frame, page.mask));
  }

  #noteEvictions(image: MemoryImage): void {
    if (image.evictions === this.#evictions) return;
    this.#evictions = image.evictions;
    this.#epoch++;
  }

  /** Writes bytes `at` and following of `source` to bytes `from` to `to` - 1 of a frame. */
  #writePage(frame: number, from: number, to: number, source: Uint8Array, at: number): void {
    let page = this.#lastFrame === frame ? this.#lastPage : this.#pages.get(frame);
    if (page === undefined) {
      if (this.#isUnseen(frame) && this.#small.add(frame, from, to, source, at)) return;
      page = this.#pageOf(frame) ?? this.#pageToWrite(frame, from, to);
    }
    this.#lastFrame = frame;
    this.#lastPage = page;
    if (this.watcher !== null && this.#isWatched(frame))
      this.watcher.changing(frame, page.view, page.at, source, at, from, to);
    this.#store(frame, page, from, to, source, at);
  }

  /** The page of a frame that was written to. */
  #pageOf(frame: number): Page | undefined {
    const page = this.#pages.get(frame);
    if (page !== undefined || this.#small.size === 0 || !this.#small.has(frame)) return page;
    let made: Page | undefined;
    this.#small.take(frame, (from, to, source, at) => {
      made ??= this.#pageToWrite(frame, from, to);
      this.#store(frame, made, from, to, source, at);
    });
    return made;
  }

  /** Whether nobody has ever fetched anything of a frame, nor waits for it to come into being. */
  #isUnseen(frame: number): boolean {
    return !this.#served.has(frame) && (this.watcher === null || !this.#isWatched(frame));
  }

  #store(frame: number, page: Page, from: number, to: number, source: Uint8Array, at: number): void {
    let differs = false;
    if (page.mask !== null) {
      if (page.ramVersion !== this.#ramVersion) this.#growWithRam(frame, page);
      if (page.mask !== null) {
        const added = addBytes(page.mask, from, to);
        differs = added !== 0;
        bytesAdded(page, added);
      }
    }
    const bytes = page.bytes;
    const start = page.at + from;
    const count = to - from;
    if (count < NATIVE_COPY) {
      let difference = 0;
      for (let i = 0; i < count; i++) {
        const byte = source[at + i]!;
        difference |= bytes[start + i]! ^ byte;
        bytes[start + i] = byte;
      }
      differs ||= difference !== 0;
    } else {
      const piece = source.subarray(at, at + count);
      differs ||=
        page.served === this.generation && bytes.compare(piece, 0, count, start, start + count) !== 0;
      bytes.set(piece, start);
    }
    if (page.served === this.generation) {
      if (!differs) return;
      this.#changed();
    } else if (!differs && count < NATIVE_COPY) return;
    page.changed = this.generation;
  }

  /** A page for a frame that has none, with what the file and RAM have of it. */
  #pageToWrite(frame: number, from: number, to: number): Page {
    const served = this.#served.has(frame) ? this.generation : 0;
    const whole = from === 0 && to === FRAME_BYTES && served === 0 && !this.#isWatched(frame);
    const kind = whole ? ZERO : this.#findBase(frame);
    let page: Page;
    if (kind === PIECES) page = this.#pages.get(frame)!;
    else if (kind === BYTES) {
      page = this.#pages.create(frame);
      const view = this.#baseView;
      if (view !== ZERO_VIEW)
        page.bytes.set(new Uint8Array(view.buffer, view.byteOffset + this.#baseAt, FRAME_BYTES), page.at);
    } else if (whole) page = this.#pages.create(frame);
    else page = this.#pages.createEmpty(frame);
    if (kind === FAILED && !this.#lost) this.#unread.add(frame);
    page.served = served;
    // The front cache has the frame without a page.
    const slot = slotOf(frame);
    if (this.#frames[slot] === frame) this.#frames[slot] = -1;
    return page;
  }

  #watch(frame: number): void {
    this.#watched.add(frame);
    if (this.#watched.size <= MAX_WATCHED) return;
    this.#watchesAll = true;
    this.#watched.clear();
  }

  #isWatched(frame: number): boolean {
    return this.#watchesAll || this.#watched.has(frame);
  }

  #serve(frame: number): void {
    if (this.#served.size >= MAX_SERVED) this.#changed();
    this.#served.add(frame);
  }

  #changed(): void {
    this.generation++;
    if (this.#served.size !== 0) this.#served.clear();
    this.#missed = false;
  }
}

/** Slot of a frame in the front cache; tables that lie a power of two apart do not share one. */
function slotOf(frame: number): number {
  const low = frame | 0;
  return (low ^ (low >>> 9) ^ (low >>> 18)) & (FRONT_SLOTS - 1);
}

function beyond(record: string, addrHi: number, addrLo: number, size: string): MemoryError {
  const message = `${record} at ${hex64(addrHi, addrLo)}: expected it to end at 2^64 at most, found size ${size}`;
  return { code: "range", message };
}

/** An unsigned 64-bit number as the trace writes it. */
function hex64(hi: number, lo: number): string {
  return hex(joined(hi, lo));
}
