import { PASSING_SHIFT } from "../../walkers/interrupt-range.ts";
import { FRAME_BYTES, FRAME_SHIFT } from "../../walkers/memory.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { FAULT, OK, type WalkResult } from "../../walkers/result.ts";
import type { Outcome } from "./outcome.ts";

const PASSING_BYTES = 2 ** PASSING_SHIFT;
/** Pieces of one page that caches are told of: what these are, all are. */
const MOST_PIECES = 1 << 16;
/** Pages after one that faults that caches are told of: no device has more of a request under way. */
const MOST_PAGES_AFTER = 8;
const EVERY_PAGE = { holdNoPages: () => false };
const UNBOUNDED: Effort = { left: Number.POSITIVE_INFINITY };

/** Pages that may still be looked at. */
export interface Effort {
  left: number;
}

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
  /**
   * log2 of the pieces in which a page may be held, or be looked for by way of old entries, where memory has it as one: at
   * least that of a frame. A request is split by what may answer it, and not by memory's pages alone.
   */
  pieceShift(request: WalkRequest, walk: WalkResult): number;
}

/**
 * Walks a whole DMA request, page by page, and merges what the walks give into one outcome: the physical runs of
 * a request that succeeds, or the first fault; of one that is in part for interrupts, that, or the first fault of the rest.
 *
 * @param request device, PASID, access and the first byte's address; its address is moved along
 * @param bytes length of the request, 1 to 2^32 - 1; it does not wrap around the address space
 * @param caches told about every page's walk
 * @param time tick of the replay's clock
 * @param effort pages that may be walked, the walked ones taken off: where none is left, `out` is of no use
 * @returns whether `caches` may hold another answer for one of the pages
 */
export function walkRequest(
  walks: Walks,
  request: WalkRequest,
  bytes: number,
  out: Outcome,
  caches: CacheObserver | null = null,
  time = 0,
  effort: Effort = UNBOUNDED,
): boolean {
  let walk = walks.walk(request);
  let doubt = caches?.use(request, walk, time) ?? false;
  out.begin(walk);
  let left = bytes;
  if (walk.status === FAULT) {
    if (caches !== null) usePagesAfter(walks, request, left, caches, time);
    return doubt;
  }
  // Only where that spares many walks.
  const holder = bytes < PASSING_BYTES ? EVERY_PAGE : caches;
  let span = Math.min(left, bytesAlike(request, walk, holder));
  out.reads += walk.reads * (walksIn(request, walk, span) - 1);
  if (walk.status === OK) {
    out.run(walk.frame, walk.offset, span);
    if (sharesEntry(request, walk, span)) out.sharesEntry = true;
    if (caches !== null && usePieces(walks, request, walk, span, caches, time, effort)) doubt = true;
  }
  while (left > span && --effort.left > 0) {
    left -= span;
    advance(request, span);
    walk = walks.walk(request);
    if (caches?.use(request, walk, time)) doubt = true;
    span = Math.min(left, bytesAlike(request, walk, holder));
    out.next(walk, walksIn(request, walk, span));
    if (walk.status === FAULT) {
      // A fault on a later page is not at the request's own address.
      if (!out.hasFaultAddr) {
        out.hasFaultAddr = true;
        out.faultHi = request.addrHi;
        out.faultLo = request.addrLo;
      }
      if (caches !== null) usePagesAfter(walks, request, left, caches, time);
      return doubt;
    }
    // What is for interrupts has no place in memory.
    if (walk.status !== OK) continue;
    out.run(walk.frame, walk.offset, span);
    if (sharesEntry(request, walk, span)) out.sharesEntry = true;
    if (caches !== null && usePieces(walks, request, walk, span, caches, time, effort)) doubt = true;
  }
  return doubt;
}

/**
 * Tells of the pages after one that faults: an IOMMU is asked for each by itself and may have translated them, although
 * the request has its answer. The request and what walks it are left as they were at the fault.
 *
 * @param left bytes of the request from its address on
 */
function usePagesAfter(
  walks: Walks,
  request: WalkRequest,
  left: number,
  caches: CacheObserver,
  time: number,
): void {
  const { addrHi, addrLo } = request;
  let rest = left - bytesToEnd(request, FRAME_SHIFT);
  if (rest <= 0) return;
  advance(request, left - rest);
  for (let pages = 0; rest > 0 && pages < MOST_PAGES_AFTER; pages++) {
    caches.use(request, walks.walk(request), time);
    rest -= FRAME_BYTES;
    if (rest > 0) advance(request, FRAME_BYTES);
  }
  request.addrHi = addrHi;
  request.addrLo = addrLo;
  walks.walk(request);
}

/**
 * Tells of the rest of a page that was walked and told of, where caches may hold it in pieces.
 * @param walk of its first byte
 * @param span bytes of the request in it
 * @returns as `CacheObserver.use`, of any of them
 */
function usePieces(
  walks: Walks,
  request: WalkRequest,
  walk: WalkResult,
  span: number,
  caches: CacheObserver,
  time: number,
  effort: Effort,
): boolean {
  if (walk.pageShift <= FRAME_SHIFT || span <= bytesToEnd(request, FRAME_SHIFT)) return false;
  const { addrHi, addrLo } = request;
  const shift = caches.pieceShift(request, walk);
  let doubt = false;
  let piece = bytesToEnd(request, shift);
  for (let left = span, asked = 0; left > piece && asked < MOST_PIECES; asked++) {
    if (--effort.left <= 0) break;
    left -= piece;
    advance(request, piece);
    if (caches.use(request, walks.walk(request), time)) doubt = true;
    piece = 2 ** shift;
  }
  request.addrHi = addrHi;
  request.addrLo = addrLo;
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
  if (walk.status !== OK) return bytesToEnd(request, FRAME_SHIFT);
  if (!walk.passesAround || (caches !== null && !caches.holdNoPages(request)))
    return bytesToPageEnd(request, walk);
  return PASSING_BYTES - (request.addrLo & (PASSING_BYTES - 1));
}

/** Whether one of a page's entries was read for bytes of which another one speaks as well. */
function sharesEntry(request: WalkRequest, { repeated }: WalkResult, span: number): boolean {
  return repeated && span > bytesToEnd(request, FRAME_SHIFT);
}

/** Walks that one stands for over so many bytes: where nothing is translated, one for each frame. */
function walksIn(request: WalkRequest, walk: WalkResult, span: number): number {
  if (!walk.passesAround) return 1;
  return Math.ceil(((request.addrLo & (FRAME_BYTES - 1)) + span) / FRAME_BYTES);
}

/** Bytes from the request's address to the end of the page that this walk translated, all in one physical run. */
export function bytesToPageEnd(request: WalkRequest, walk: WalkResult): number {
  // Where nothing was translated, special address ranges may begin at any frame.
  return bytesToEnd(request, Math.max(walk.pageShift, FRAME_SHIFT));
}

/** Bytes from a request's address to the end of the aligned `2 ** shift` around it; of more than 4 GiB, to the end of these. */
export function bytesToEnd({ addrLo }: WalkRequest, shift: number): number {
  if (shift === FRAME_SHIFT) return FRAME_BYTES - (addrLo & (FRAME_BYTES - 1));
  const size = 2 ** Math.min(shift, 32);
  return size - ((addrLo >>> 0) % size);
}

/** Moves a request's address along. */
export function advance(request: WalkRequest, bytes: number): void {
  const lo = (request.addrLo >>> 0) + bytes;
  if (lo >= 0x1_0000_0000) request.addrHi = (request.addrHi + 1) | 0;
  request.addrLo = lo | 0;
}
