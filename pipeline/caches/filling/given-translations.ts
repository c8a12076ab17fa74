import { frameHi, frameLo, frameOf, framesIn } from "../../../walkers/memory.ts";
import { UNTRANSLATED, WalkRequest } from "../../../walkers/request.ts";
import { OK, type WalkResult } from "../../../walkers/result.ts";
import type { TagSet } from "../held/tag-sets.ts";

/** Pages of all devices that are remembered; past it all are forgotten. */
const MOST_PAGES = 1 << 14;
/** Input addresses of one page: the latest. */
const MOST_PLACES = 8;

/** An input address that has led a device to some page, and the tags that its translation has in the device. */
interface Given {
  readonly request: WalkRequest;
  readonly set: TagSet;
  /** Number of the page's first 4 KiB, before and after. */
  readonly input: number;
  readonly output: number;
}

/** By a page's number, what led there. */
type Pages = Map<number, Given[]>;

/** What devices with ATS were told of memory: by a physical page, the input addresses that led there. */
export class GivenTranslations {
  /** By device, and log2 of the page's size. */
  readonly #devices = new Map<number, Map<number, Pages>>();
  #count = 0;
  readonly #asked = new WalkRequest();

  /** Notes a walk of a device's request. */
  note(request: WalkRequest, { status, frame, pageShift }: WalkResult, set: TagSet): void {
    if (status !== OK || pageShift === 0) return;
    const pages = this.#pagesOf(request.device, pageShift);
    const size = framesIn(pageShift);
    const number = Math.floor(frame / size);
    let places = pages.get(number);
    if (places === undefined) {
      if (++this.#count > MOST_PAGES) {
        this.clear();
        return;
      }
      places = [];
      pages.set(number, places);
    }
    const at = frameOf(request.addrHi, request.addrLo);
    const input = at - (at % size);
    if (places.some((place) => place.set === set && place.input === input)) return;
    places.push({ request: request.clone(), set, input, output: number * size });
    if (places.length > MOST_PLACES) places.shift();
  }

  #pagesOf(device: number, shift: number): Pages {
    let sizes = this.#devices.get(device);
    if (sizes === undefined) {
      sizes = new Map();
      this.#devices.set(device, sizes);
    }
    let pages = sizes.get(shift);
    if (pages === undefined) {
      pages = new Map();
      sizes.set(shift, pages);
    }
    return pages;
  }

  /**
   * Requests that have led a device to a frame.
   * @param visit is given an ordinary request for it, which is reused, and the tags of its translation
   */
  forEach(device: number, frame: number, visit: (request: WalkRequest, set: TagSet) => void): void {
    const asked = this.#asked;
    for (const [shift, pages] of this.#devices.get(device) ?? [])
      for (const { request, set, input, output } of pages.get(Math.floor(frame / framesIn(shift))) ?? []) {
        asked.copyFrom(request);
        asked.at = UNTRANSLATED;
        asked.addrHi = frameHi(input + frame - output);
        asked.addrLo = frameLo(input + frame - output);
        visit(asked, set);
      }
  }

  clear(): void {
    this.#devices.clear();
    this.#count = 0;
  }
}
