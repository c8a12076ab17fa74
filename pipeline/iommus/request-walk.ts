import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { OK, type WalkResult } from "../../walkers/result.ts";
import type { Outcome } from "./outcome.ts";

/** What walks a request of one page: an engine, or who takes down what an engine reads. */
export interface Walks {
  walk(request: WalkRequest): WalkResult;
}

/** Who keeps track of what the recorded IOMMU's caches may hold after a walk. */
export interface CacheObserver {
  /** @returns whether they may hold another answer than this walk's */
  use(request: WalkRequest, walk: WalkResult, time: number): boolean;
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
  let span = Math.min(left, bytesToPageEnd(request, walk));
  out.run(walk.frame, walk.offset, span);
  while (left > span) {
    left -= span;
    advance(request, span);
    walk = walks.walk(request);
    if (caches?.use(request, walk, time)) doubt = true;
    out.next(walk);
    if (walk.status !== OK) {
      // A fault on a later page is not at the request's own address.
      if (!out.hasFaultAddr) {
        out.hasFaultAddr = true;
        out.faultHi = request.addrHi;
        out.faultLo = request.addrLo;
      }
      return doubt;
    }
    span = Math.min(left, bytesToPageEnd(request, walk));
    out.run(walk.frame, walk.offset, span);
  }
  return doubt;
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
