import { FRAME_BYTES, type GuestMemory } from "../../walkers/memory.ts";

/** Guest memory of a running machine, of which pages are brought in one after another: those that were asked for in vain. */
export class PageMemory implements GuestMemory {
  view: DataView = new DataView(new ArrayBuffer(0));
  at = 0;
  generation = 0;
  /** Pages that are here. */
  readonly pages = new Map<number, Uint8Array>();
  /** Frames that have been looked at since the last `begin`. */
  readonly touched = new Set<number>();
  /** Frames that were asked for, are memory, and are not here. */
  readonly missing = new Set<number>();
  readonly #isMemory: (frame: number) => boolean;
  readonly #read: ((frame: number) => Uint8Array | null) | null;

  /**
   * @param isMemory whether a frame is RAM: others are holes, and are not looked at, since reading a device changes it
   * @param read reads a page at once, where that can be done
   */
  constructor(
    isMemory: (frame: number) => boolean,
    read: ((frame: number) => Uint8Array | null) | null = null,
  ) {
    this.#isMemory = isMemory;
    this.#read = read;
  }

  fetch(frame: number, offset: number, _bytes: number): boolean {
    const page = this.page(frame);
    if (page === null) return false;
    this.view = new DataView(page.buffer, page.byteOffset, FRAME_BYTES);
    this.at = offset;
    return true;
  }

  /** A page; null where it is no memory, or not here. */
  page(frame: number): Uint8Array | null {
    let page = this.pages.get(frame) ?? null;
    if (page === null && this.#isMemory(frame)) {
      page = this.#read?.(frame) ?? null;
      if (page === null) this.missing.add(frame);
      else this.pages.set(frame, page);
    }
    if (page !== null) this.touched.add(frame);
    return page;
  }

  /** A page has been brought in. */
  bring(frame: number, bytes: Uint8Array): void {
    this.pages.set(frame, bytes);
    this.missing.delete(frame);
    this.generation++;
  }

  /** What is here may have changed: forgets it. */
  forget(): void {
    this.pages.clear();
    this.touched.clear();
    this.missing.clear();
    this.generation++;
  }
}
