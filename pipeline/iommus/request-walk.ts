import { PASSING_SHIFT } from "../../walkers/interrupt-range.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { OK, type WalkResult } from "../../walkers/result.ts";
import type { Outcome } from "./outcome.ts";

const PASSING_BYTES = 2 ** PASSING_SHIFT;
const EVERY_PAGE = { holdNoPages: () => false };

/** What walks a request of one page: an engine, or who takes down what an engine reads. */
export interface Walks {
  walk(request: WalkRequest): WalkResult;
}

/** Who keeps track of what the recorded IOMMU's caches may hold after a walk. */
export interface CacheObserver {
  /** @returns whether they may hold another answer than this walk's */
  use(request: WalkRequest, walk: WalkResult, time: number): boolean;
  /** Whether nothing is held of single pages of the contexts that a request was walked through last: they are all alike. */
  holdNoPages(request: WalkRequest): boolean;
}

/**
 * Walks a whole DMA request, page by page, and merges what the walks give into one outcome: the physical runs of
 * a request that succeeds, or the first fault.
 *
 * @param request device, PASID, access and the first byte's address; its address is moved along
 * @param bytes length of the request, 1 to 2^32 - 1; it does not wrap around the address space
 * @param caches told about every page's walk
 * @param time tick of the replay's clock
 * @returns whether `caches` may hold another answer for one of the pages
 */
export function walkRequest(
  walks: Walks,
  request: WalkRequest,
  bytes: number,
  out: Outcome,
  caches: CacheObserver | null = null,
  time = 0,
): boolean {
  let walk = walks.walk(request);
  let doubt = caches?.use(request, walk, time) ?? false;
  out.begin(walk);
  if (walk.status !== OK) return doubt;
  let left = bytes;
  // Only where that spares many walks.
  const holder = bytes < PASSING_BYTES ? EVERY_PAGE : caches;
  let span = Math.min(left, bytesAlike(request, walk, holder));
  out.reads += walk.reads * (walksIn(request, walk, span) - 1);
  out.run(walk.frame, walk.offset, span);
  while (left > span) {
    left -= span;
    advance(request, span);
    walk = walks.walk(request);
    if (caches?.use(request, walk, time)) doubt = true;
    span = Math.min(left, bytesAlike(request, walk, holder));
    out.next(walk, walksIn(request, walk, span));
    if (walk.status !== OK) {
      // A fault on a later page is not at the request's own address.
      if (!out.hasFaultAddr) {
        out.hasFaultAddr = true;
        out.faultHi = request.addrHi;
        out.faultLo = request.addrLo;
      }
      return doubt;
    }
    out.run(walk.frame, walk.offset, span);
  }
  return doubt;
}

/**
 * Bytes from the request's address on for which this walk stands: to the end of the page, or where nothing is translated
 * over many of them, so that the length of a request is no measure of the work.
 */
function bytesAlike(
  request: WalkRequest,
  walk: WalkResult,
  caches: Pick<CacheObserver, "holdNoPages"> | null,
): number {
  if (!walk.passesAround || (caches !== null && !caches.holdNoPages(request)))
    return bytesToPageEnd(request, walk);
  return PASSING_BYTES - (request.addrLo & (PASSING_BYTES - 1));
}

/** Walks that one stands for over so many bytes: where nothing is translated, one for each frame. */
function walksIn(request: WalkRequest, walk: WalkResult, span: number): number {
  if (!walk.passesAround) return 1;
  return Math.ceil(((request.addrLo & (FRAME_BYTES - 1)) + span) / FRAME_BYTES);
}

/** Bytes from the request's address to the end of the page that this walk translated, all in one physical run. */
export function bytesToPageEnd(request: WalkRequest, walk: WalkResult): number {
  const shift = walk.pageShift;
  // Where nothing was translated, special address ranges may begin at any frame.
  if (shift <= 12) return FRAME_BYTES - (request.addrLo & (FRAME_BYTES - 1));
  const size = 2 ** Math.min(shift, 32);
  return size - ((request.addrLo >>> 0) % size);
}

/** Moves a request's address along. */
export function advance(request: WalkRequest, bytes: number): void {
  const lo = (request.addrLo >>> 0) + bytes;
  if (lo >= 0x1_0000_0000) request.addrHi = (request.addrHi + 1) | 0;
  request.addrLo = lo | 0;
}
