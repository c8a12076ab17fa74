import { FRAME_BYTES } from "../../walkers/memory.ts";
import { type ByteMask, newByteMask } from "./byte-mask.ts";

/** Pages of the first slab; each further one is twice as large, up to `MAX_SLAB_PAGES`. */
const FIRST_SLAB_PAGES = 16;
const MAX_SLAB_PAGES = 256;

/** A frame with bytes of its own. What does not exist of it is zero in `bytes`. */
export interface Page {
  readonly view: DataView;
  readonly bytes: Buffer;
  /** Where the page begins in `view` and `bytes`. */
  readonly at: number;
  /** Which bytes exist; null: all. */
  mask: ByteMask | null;
  /** How many do not. */
  missing: number;
  /** State of RAM that the mask knows of. */
  ramVersion: number;
  /** The last generation in which it was fetched. */
  served: number;
  /** The generation in which one of its bytes changed last, or may have. */
  changed: number;
}

/** Pages by frame number, in slabs of memory that are shared by many. */
export class PageStore {
  readonly #pages = new Map<number, Page>();
  #slabPages = FIRST_SLAB_PAGES / 2;
  #view = new DataView(new ArrayBuffer(0));
  #bytes = Buffer.alloc(0);
  #next = 0;

  get size(): number {
    return this.#pages.size;
  }

  get(frame: number): Page | undefined {
    return this.#pages.get(frame);
  }

  /** A page of zeros for a frame that has none; all of its bytes exist. */
  create(frame: number): Page {
    if (this.#next === this.#bytes.length) this.#grow();
    const page: Page = {
      view: this.#view,
      bytes: this.#bytes,
      at: this.#next,
      mask: null,
      missing: 0,
      ramVersion: 0,
      served: 0,
      changed: 0,
    };
    this.#next += FRAME_BYTES;
    this.#pages.set(frame, page);
    return page;
  }

  /** As `create`, but none of the page's bytes exist yet. */
  createEmpty(frame: number): Page {
    const page = this.create(frame);
    page.mask = newByteMask();
    page.missing = FRAME_BYTES;
    return page;
  }

  /** Takes back the page that was created last. */
  undo(frame: number): void {
    this.#pages.delete(frame);
    this.#next -= FRAME_BYTES;
    this.#bytes.fill(0, this.#next, this.#next + FRAME_BYTES);
  }

  #grow(): void {
    this.#slabPages = Math.min(2 * this.#slabPages, MAX_SLAB_PAGES);
    const slab = new ArrayBuffer(this.#slabPages * FRAME_BYTES);
    this.#view = new DataView(slab);
    this.#bytes = Buffer.from(slab);
    this.#next = 0;
  }
}

/** Takes `added` bytes that now exist off a page's account. */
export function bytesAdded(page: Page, added: number): void {
  page.missing -= added;
  if (page.missing === 0) page.mask = null;
}
