import type { DmaRecord, ObservedRecord } from "../../parsers/trace/records.ts";
import { FRAME_SHIFT } from "../../walkers/memory.ts";
import { MODEL_OWNER } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { WalkRequest } from "../../walkers/request.ts";
import { FAULT, MSI, OK, type WalkResult } from "../../walkers/result.ts";
import { INVALIDATED, UNEXPLAINED, VALID } from "../caches/answers/explanation.ts";
import type { UnflushedWrite } from "../caches/history/line-store.ts";
import { sameAnswer } from "../caches/history/past-walks.ts";
import { mayBeHeld, type StaleSource, sameProblem } from "../caches/history/stale-source.ts";
import type { UnitCaches } from "../caches/unit-caches.ts";
import { DIFFERENCES, type Difference, Outcome, type Verdict } from "../iommus/outcome.ts";
import { advance, bytesToEnd, bytesToPageEnd, type Effort } from "../iommus/request-walk.ts";
import type { Comparison } from "./comparison.ts";
import type { OtherOutcome } from "./other-reading.ts";

/** As an answer from a cache (`VALID`, `INVALIDATED`): memory before a write that nothing has flushed gives it. */
const UNFLUSHED = 3;
const VERDICT_OF: Readonly<Record<number, Verdict>> = {
  [VALID]: "stale",
  [INVALIDATED]: "stale-after-invalidation",
  [UNFLUSHED]: "unflushed",
};

/** Pages of one request that caches are asked about where they may hold something else: what these are, all are. */
const MOST_PAGES = 1 << 16;
/** What it takes to look for a cached answer of a page, in walks, about. */
const WALKS_TO_EXPLAIN = 8;
const NOTHING: readonly StaleSource[] = [];

/**
 * Decides on the verdict of a request: whether what the recorded system did is the walk of memory as it is now, what
 * a cache may still have held, what it no longer may, or nothing that explains it.
 */
export class Judge {
  readonly #comparison: Comparison;
  /** As deep, but for what is finer than each: for the cached answer that comes nearest. */
  readonly #coarser: readonly Comparison[];
  /** One page of an answer, in the shape that comparisons take. */
  readonly #page = new Outcome();
  /** What the last answer came from, where a cache gave it or comes nearest; or the first hazard. */
  staleSource: StaleSource | null = null;
  /** The answer was invalidated, by what stands behind a command at which the queue has stopped. */
  behindStop = false;
  /** The answer was invalidated, but the change that it does not show came later: it may have been read again until then. */
  changedLater = false;
  /** Which reading of the specification the answer shows (`IommuWalker.reading`); 0: none but the usual one. */
  shownReading = 0;
  /** The write that the IOMMU need not have seen. */
  unflushed: UnflushedWrite | null = null;
  /** One that it need not have seen either, though its answer does not show that. */
  unseen: UnflushedWrite | null = null;
  /** Entries that could have answered differently, and that nothing has invalidated: whether one has or not. */
  owed: readonly StaleSource[] = NOTHING;

  #effort: Effort = { left: 0 };

  constructor(comparison: Comparison) {
    this.#comparison = comparison;
    this.#coarser = comparison.coarser();
  }

  /**
   * Sets `verdict` and `difference` of an outcome.
   *
   * @param request as walked last; moved along its pages
   * @param caches what the IOMMU's caches may hold; null where nobody keeps track
   * @param mayDiffer a cache may hold something else than the walk gave
   * @param others what other readings of the specification give
   * @param effort walks that its questions may take, about, those that they take taken off: where none is left, there is no verdict
   */
  judge(
    record: DmaRecord,
    request: WalkRequest,
    outcome: Outcome,
    caches: UnitCaches | null,
    mayDiffer: boolean,
    others: readonly OtherOutcome[],
    effort: Effort,
  ): void {
    this.#effort = effort;
    this.staleSource = null;
    this.unflushed = null;
    this.behindStop = false;
    this.changedLater = false;
    this.shownReading = 0;
    this.owed = mayDiffer && caches !== null ? this.#owed(record, request, caches) : NOTHING;
    const { observed } = record;
    this.unseen = caches?.flushesRecorded ? this.#unseen(record, request, caches) : null;
    if (!observed.present) {
      if (this.owed.length === 0) return;
      this.staleSource = this.owed[0]!;
      outcome.verdict = "hazard";
      outcome.changedLine = this.#changedLine();
      return;
    }
    outcome.difference = this.#comparison.difference(outcome, observed);
    if (outcome.difference !== "")
      for (const other of others)
        if (this.#comparison.difference(other.outcome, observed) === "") {
          outcome.difference = "";
          this.shownReading ||= other.reading;
        }
    outcome.verdict = outcome.difference === "" ? "match" : "mismatch";
    if (outcome.difference === "") outcome.latent = this.owed.length > 0;
    else if (ofInterrupts(outcome, observed)) {
      outcome.verdict = "not-modelled";
      outcome.difference = "";
    } else if (caches !== null) this.#ask(record, request, outcome, caches);
  }

  /** The write without which the request's first page would be answered otherwise, and that is known not to have been flushed. */
  #unseen(record: DmaRecord, request: WalkRequest, caches: UnitCaches): UnflushedWrite | null {
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    const now = caches.walkAgain(request);
    return caches.unflushedAnswer(request, (walk) => !sameAnswer(walk, now), true, this.#effort);
  }

  /** Memory does not give the answer: a cache may, or may come nearer to it. */
  #ask(record: DmaRecord, request: WalkRequest, outcome: Outcome, caches: UnitCaches): void {
    const { verdict, invalidated } = this.#fromCaches(record, request, caches, this.#comparison);
    if (verdict === "mismatch") {
      this.#askNearest(record, request, outcome, caches);
      return;
    }
    outcome.verdict = verdict;
    outcome.difference = "";
    if (verdict === "unflushed") {
      outcome.changedLine = this.unflushed!.line;
      return;
    }
    outcome.changedLine = this.#changedLine();
    if (invalidated) {
      const { behindStop, invalidationPending } = this.staleSource!;
      this.behindStop = behindStop;
      this.changedLater = verdict === "stale" && !behindStop && !invalidationPending;
    } else this.owed = withSource(this.owed, this.staleSource);
  }

  /** What a cache may still hold does not give it either, but may come nearer than memory: what differs first from that. */
  #askNearest(record: DmaRecord, request: WalkRequest, outcome: Outcome, caches: UnitCaches): void {
    const memory = outcome.difference as Difference;
    for (const comparison of this.#coarser) {
      if (comparison.depth < DIFFERENCES.indexOf(memory)) break;
      const { verdict, invalidated } = this.#fromCaches(record, request, caches, comparison);
      if (verdict !== "stale") continue;
      outcome.difference = DIFFERENCES[comparison.depth + 1]!;
      outcome.changedLine = this.#changedLine();
      if (!invalidated) this.owed = withSource(this.owed, this.staleSource);
      return;
    }
    this.staleSource = null;
  }

  /**
   * Explains an answer. What an invalidation has covered may be held all the same, if the invalidation stands behind a
   * command at which the queue has stopped, or the change came later.
   * @returns `invalidated`: one has covered it, whether that took effect or not
   */
  #fromCaches(
    record: DmaRecord,
    request: WalkRequest,
    caches: UnitCaches,
    comparison: Comparison,
  ): { readonly verdict: Verdict; readonly invalidated: boolean } {
    const verdict = this.#explain(record, request, caches, comparison);
    if (verdict !== "stale-after-invalidation") return { verdict, invalidated: false };
    return { verdict: mayBeHeld(this.staleSource!) ? "stale" : verdict, invalidated: true };
  }

  /**
   * Whether a right answer shows that a queue which had stopped has been restarted: an entry that was invalidated would
   * have answered otherwise.
   * @param request as walked last; left at the first page
   */
  showsRestart(record: DmaRecord, request: WalkRequest, caches: UnitCaches): boolean {
    if (this.owed.length > 0) return false;
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    const now = caches.walkAgain(request);
    return caches.heldOnce(request, (walk) => !sameAnswer(walk, now));
  }

  /** The request needs memory of a snapshot that could not be read: there is no verdict on it. */
  abstain(record: DmaRecord, outcome: Outcome): void {
    this.staleSource = null;
    this.shownReading = 0;
    this.unseen = null;
    this.owed = NOTHING;
    outcome.verdict = record.observed.present ? "unknown" : "";
  }

  #changedLine(): number {
    const source = this.staleSource;
    return source?.change?.line ?? source?.root?.line ?? 0;
  }

  /** What on any of the request's pages could be answered otherwise, from a cache that nothing has invalidated. */
  #owed(record: DmaRecord, request: WalkRequest, caches: UnitCaches): readonly StaleSource[] {
    const owed: StaleSource[] = [];
    let asked = 0;
    this.#pages(record, request, caches, false, (now) => {
      // Where a page faults, the request has its answer: whatever a cache has of those after it changes nothing.
      const goesOn = now.status === FAULT ? false : null;
      if (caches.isAsMemory(request)) return goesOn;
      this.#effort.left -= WALKS_TO_EXPLAIN;
      owed.push(...caches.uninvalidated(request, (walk) => !sameAnswer(walk, now)));
      return ++asked < MOST_PAGES ? goesOn : false;
    });
    return owed;
  }

  /** An observed answer is explained page by page: each may come from a cache or not. */
  #explain(record: DmaRecord, request: WalkRequest, caches: UnitCaches, comparison: Comparison): Verdict {
    this.staleSource = null;
    this.unflushed = null;
    const { observed } = record;
    let worst = observed.result === OK ? VALID : UNEXPLAINED;
    let first = true;
    let fromCaches = 0;
    let source: StaleSource | null = null;
    // Each page is asked for by itself: where nothing is recorded of one, what was recorded is of another.
    const goesOn = (walk: WalkResult) => walk.status === OK || (observed.recorded > 0 && !walk.recorded);
    const explained = this.#pages(record, request, caches, true, (now) => {
      const whole = first;
      first = false;
      const accept = (walk: WalkResult) => this.#accepts(walk, observed, whole, comparison);
      const asMemory = accept(now);
      const depth = asMemory ? VALID : this.#explainPage(request, caches, accept);
      if (observed.result === OK) {
        if (depth === UNEXPLAINED) return false;
        worst = Math.max(worst, depth);
        source = this.staleSource;
        return asMemory || ++fromCaches < MOST_PAGES ? null : true;
      }
      // One page that faults as observed explains a request that faulted: the page that does so most lawfully.
      if (depth !== UNEXPLAINED && (worst === UNEXPLAINED || depth < worst)) {
        worst = depth;
        source = this.staleSource;
      }
      if (worst === VALID) return true;
      // Of this page there is no fault; it may be of a later one.
      if (goesOn(now)) return null;
      const passed = this.#explainPage(request, caches, goesOn) !== UNEXPLAINED;
      return passed && ++fromCaches < MOST_PAGES ? null : false;
    });
    const holds = worst !== UNEXPLAINED && (explained !== false || observed.result !== OK);
    this.staleSource = holds ? source : null;
    return holds ? VERDICT_OF[worst]! : "mismatch";
  }

  /** Without flushes in the trace, what an invalidation has covered comes before what memory may have said. */
  #explainPage(request: WalkRequest, caches: UnitCaches, accept: (walk: WalkResult) => boolean): number {
    const asked = !caches.isAsMemory(request);
    if (asked) this.#effort.left -= WALKS_TO_EXPLAIN;
    const depth = asked ? caches.explain(request, accept) : UNEXPLAINED;
    if (depth === UNEXPLAINED || (depth === INVALIDATED && caches.flushesRecorded)) {
      const write = caches.unflushedAnswer(request, accept, false, this.#effort);
      if (write !== null) {
        this.unflushed ??= write;
        return UNFLUSHED;
      }
    }
    if (depth !== UNEXPLAINED) this.staleSource = caches.staleSource;
    return depth;
  }

  /** Whether one page's walk is what was observed; only the first page's address can be compared. */
  #accepts(walk: WalkResult, observed: ObservedRecord, first: boolean, comparison: Comparison): boolean {
    if (!first && walk.status === OK) return observed.result === OK;
    const page = this.#page;
    page.begin(walk);
    if (walk.status === OK) page.run(walk.frame, walk.offset, 1);
    return comparison.difference(page, observed) === "";
  }

  /** Bytes from a request's address on of which memory and the caches say one thing. */
  #bytesAlike(
    request: WalkRequest,
    now: WalkResult,
    caches: UnitCaches,
    left: number,
    invalidated: boolean,
  ): number {
    const inFrame = bytesToEnd(request, FRAME_SHIFT);
    if (left <= inFrame || now.pageShift <= FRAME_SHIFT) return bytesToPageEnd(request, now);
    return bytesToEnd(request, caches.pieceShift(request, now, invalidated));
  }

  /**
   * Visits the pages of a request, or the pieces that they may be held in, until `visit` returns an answer other than null,
   * or they are too many.
   * @param invalidated also those that they may have been held in
   */
  #pages(
    record: DmaRecord,
    request: WalkRequest,
    caches: UnitCaches,
    invalidated: boolean,
    visit: (now: WalkResult) => boolean | null,
  ): boolean | null {
    request.addrHi = record.addrHi;
    request.addrLo = record.addrLo;
    let left = record.len;
    for (;;) {
      const now = caches.walkAgain(request);
      const span = Math.min(left, this.#bytesAlike(request, now, caches, left, invalidated));
      const answer = visit(now);
      if (answer !== null) return answer;
      left -= span;
      if (left === 0 || --this.#effort.left <= 0) return null;
      advance(request, span);
    }
  }
}

/** Whether what was observed is a fault of interrupt remapping, whose tables are not walked. */
function ofInterrupts(outcome: Outcome, observed: ObservedRecord): boolean {
  if (observed.result !== FAULT || !observed.hasCode) return false;
  const { faultRecord } = VENDORS[MODEL_OWNER[outcome.model]];
  const code = faultRecord.loggedCode?.(observed.code) ?? observed.code;
  return faultRecord.ofInterrupts?.(code, observed.flags, outcome.status === MSI) ?? false;
}

/** Adds what gave an answer to what is owed, unless it is known, or an invalidation of it is on its way. */
function withSource(owed: readonly StaleSource[], source: StaleSource | null): readonly StaleSource[] {
  if (source === null || source.invalidationPending) return owed;
  return owed.some((other) => sameProblem(other, source)) ? owed : [source, ...owed];
}
