import type { AnswerStream } from "./answer-stream.ts";
import { ONLY_A, PAIR } from "./edit-script.ts";
import { type RequestQueue, sameRequest } from "./request-queue.ts";
import { Resync } from "./resync.ts";

/** How requests of two streams find each other. */
export const ALIGNMENTS = ["auto", "seq", "content"] as const;
export type Alignment = (typeof ALIGNMENTS)[number];
/** How they found each other. */
export const ALIGNED_BY = ["seq", "content"] as const;
export type AlignedBy = (typeof ALIGNED_BY)[number];

/** Requests of each stream that are looked at, at most, to get back into step. */
export const DEFAULT_WINDOW = 65_536;
export const MIN_WINDOW = 64;
export const MAX_WINDOW = 2 ** 22;

/** What the aligner finds, in order. `i` and `j` are column indexes of the streams' queues. */
export interface AlignmentSink {
  pair(i: number, j: number): void;
  /** The same `seq`, but not the same request. */
  request(i: number, j: number): void;
  onlyA(i: number): void;
  onlyB(j: number): void;
}

/** The streams cannot be aligned as was asked. */
export class AlignmentError extends Error {}

/** From where on, and why, `seq` was not followed. */
export interface LeftSeq {
  readonly lineA: number | null;
  readonly lineB: number | null;
  readonly reason: string;
}

/** What was not aligned for want of a window large enough, or of an affordable search. */
export interface Unaligned {
  stretches: number;
  a: number;
  b: number;
  /** Lines of the first such requests. */
  lineA: number;
  lineB: number;
}

/** A first look at a difference; each further look is so many times larger. */
const FIRST_LOOK = 256;
const LOOK_FACTOR = 8;
/** Requests that say whether `seq` can be trusted, how many pairs that takes, and for how many more it holds. */
const TRUST_LOOK = 1024;
const TRUST_PAIRS = 16;
const TRUST_LASTS = 256;

/**
 * Aligns two streams in one pass. Where every request has a `seq` and these rise, equal ones belong together; where
 * they do not rise, or most of the equal ones are different requests, requests are aligned by what they ask for.
 */
export class Aligner {
  readonly unaligned: Unaligned = { stretches: 0, a: 0, b: 0, lineA: 0, lineB: 0 };
  /** How the streams were aligned last. */
  by: AlignedBy;
  leftSeq: LeftSeq | null = null;
  readonly #a: AnswerStream;
  readonly #b: AnswerStream;
  readonly #sink: AlignmentSink;
  readonly #alignment: Alignment;
  readonly #window: number;
  readonly #maxText: number;
  readonly #resync = new Resync();
  /** The last section and `seq` of each side. */
  #sectionA = 0;
  #sectionB = 0;
  #seqA = Number.NEGATIVE_INFINITY;
  #seqB = Number.NEGATIVE_INFINITY;
  /** Requests until it is looked again whether `seq` can be trusted. */
  #trust = 0;

  constructor(
    a: AnswerStream,
    b: AnswerStream,
    sink: AlignmentSink,
    options: {
      readonly alignment: Alignment;
      readonly window: number;
      /** Bytes of answers that may wait in each stream: past them, the window is what is there. */
      readonly maxTextBytes: number;
    },
  ) {
    this.#a = a;
    this.#b = b;
    this.#sink = sink;
    this.#alignment = options.alignment;
    this.#window = options.window;
    this.#maxText = options.maxTextBytes;
    this.by = options.alignment === "content" ? "content" : "seq";
  }

  /**
   * Aligns both streams to their ends.
   * @param turn called now and then: output can be drained
   * @throws AlignmentError where `seq` is asked for and does not rise
   */
  async run(turn: () => Promise<void>): Promise<void> {
    const a = this.#a.queue;
    const b = this.#b.queue;
    for (;;) {
      await this.#fill(1);
      await turn();
      if (a.size > 0 && b.size > 0) {
        if (this.by === "seq") await this.#bySeq(a, b);
        else await this.#byContent(a, b);
      } else if (a.size > 0) this.#onlyA(a, a.size);
      else if (b.size > 0) this.#onlyB(b, b.size);
      else return;
    }
  }

  /** Reads until each stream has so many requests waiting, has ended, or has as much text as may wait. */
  async #fill(count: number): Promise<void> {
    for (;;) {
      const needA = this.#wants(this.#a, count);
      const needB = this.#wants(this.#b, count);
      if (!needA && !needB) return;
      await Promise.all([needA ? this.#a.more() : null, needB ? this.#b.more() : null]);
    }
  }

  #wants({ queue, ended }: AnswerStream, count: number): boolean {
    return !ended && (queue.size === 0 || (queue.size < count && queue.textBytes < this.#maxText));
  }

  async #bySeq(a: RequestQueue, b: RequestQueue): Promise<void> {
    while (a.size > 0 && b.size > 0) {
      const i = a.head;
      const j = b.head;
      const seqA = a.seq[i]!;
      const seqB = b.seq[j]!;
      const sectionA = a.section[i]!;
      const sectionB = b.section[j]!;
      const fault =
        seqFault("first", seqA, seqA > this.#seqA || sectionA > this.#sectionA) ??
        seqFault("second", seqB, seqB > this.#seqB || sectionB > this.#sectionB);
      if (fault !== null) {
        this.#leaveSeq(a, b, fault);
        return;
      }
      const order = sectionA === sectionB ? seqA - seqB : sectionA - sectionB;
      const same = order === 0 && sameRequest(a, i, b, j);
      if (!same && this.#trust <= 0 && this.#alignment === "auto") {
        await this.#fill(TRUST_LOOK);
        if (!seqTrusted(a, b)) {
          this.#leaveSeq(a, b, "most requests of equal seq are not the same request");
          return;
        }
        // The columns may have been moved.
        this.#trust = TRUST_LASTS;
        continue;
      }
      this.#trust--;
      if (order <= 0) {
        this.#seqA = seqA;
        this.#sectionA = sectionA;
      }
      if (order >= 0) {
        this.#seqB = seqB;
        this.#sectionB = sectionB;
      }
      if (same) this.#sink.pair(i, j);
      else if (order === 0) this.#sink.request(i, j);
      else if (order < 0) this.#sink.onlyA(i);
      else this.#sink.onlyB(j);
      if (order <= 0) a.drop(1);
      if (order >= 0) b.drop(1);
    }
  }

  #leaveSeq(a: RequestQueue, b: RequestQueue, reason: string): void {
    if (this.#alignment === "seq")
      throw new AlignmentError(
        `expected a seq that rises in both streams, found at line ${a.line[a.head]} of the first and ${b.line[b.head]} of the second: ${reason}`,
      );
    this.by = "content";
    const never = this.#seqA === Number.NEGATIVE_INFINITY && this.#seqB === Number.NEGATIVE_INFINITY;
    // Streams without seq never had one to leave.
    if (never && Number.isNaN(a.seq[a.head]) && Number.isNaN(b.seq[b.head])) return;
    this.leftSeq = { lineA: a.line[a.head]!, lineB: b.line[b.head]!, reason };
  }

  async #byContent(a: RequestQueue, b: RequestQueue): Promise<void> {
    const pairs = Math.min(a.size, b.size);
    let n = 0;
    while (n < pairs && sameRequest(a, a.head + n, b, b.head + n)) {
      this.#sink.pair(a.head + n, b.head + n);
      n++;
    }
    a.drop(n);
    b.drop(n);
    if (n === pairs) return;
    for (let look = FIRST_LOOK; ; look *= LOOK_FACTOR) {
      const limit = Math.min(look, this.#window);
      await this.#fill(limit + 1);
      const whole = this.#a.ended && this.#b.ended && a.size <= limit && b.size <= limit;
      // Of a stream that has not ended there are fewer where its text is as much as may wait.
      const full = limit === this.#window || (!whole && a.size <= limit && b.size <= limit);
      const stretch = {
        a,
        startA: a.head,
        countA: Math.min(a.size, limit),
        b,
        startB: b.head,
        countB: Math.min(b.size, limit),
      };
      if (this.#resync.align(stretch, whole, whole || full)) break;
    }
    this.#follow(a, b);
  }

  #follow(a: RequestQueue, b: RequestQueue): void {
    const { script } = this.#resync;
    if (script.unalignedA + script.unalignedB > 0) this.#noteUnaligned(a, b);
    for (const [k, step] of script.steps.entries()) {
      const count = script.counts[k]!;
      if (step === PAIR) {
        for (let n = 0; n < count; n++) this.#sink.pair(a.head + n, b.head + n);
        a.drop(count);
        b.drop(count);
      } else if (step === ONLY_A) this.#onlyA(a, count);
      else this.#onlyB(b, count);
    }
  }

  #noteUnaligned(a: RequestQueue, b: RequestQueue): void {
    const { unaligned } = this;
    const { script } = this.#resync;
    if (unaligned.stretches === 0) {
      unaligned.lineA = a.line[a.head]!;
      unaligned.lineB = b.line[b.head]!;
    }
    unaligned.stretches++;
    unaligned.a += script.unalignedA;
    unaligned.b += script.unalignedB;
  }

  #onlyA(a: RequestQueue, count: number): void {
    for (let n = 0; n < count; n++) this.#sink.onlyA(a.head + n);
    a.drop(count);
  }

  #onlyB(b: RequestQueue, count: number): void {
    for (let n = 0; n < count; n++) this.#sink.onlyB(b.head + n);
    b.drop(count);
  }
}

/** Why a request cannot be aligned by its `seq`, or null. */
function seqFault(stream: string, seq: number, rises: boolean): string | null {
  if (Number.isNaN(seq)) return `the ${stream} stream has a request without seq`;
  return rises ? null : `seq of the ${stream} stream does not rise`;
}

/** Whether requests of equal `seq` are the same requests, by the next ones of both streams. */
function seqTrusted(a: RequestQueue, b: RequestQueue): boolean {
  const endA = Math.min(a.tail, a.head + TRUST_LOOK);
  const endB = Math.min(b.tail, b.head + TRUST_LOOK);
  let joined = 0;
  let same = 0;
  for (let i = a.head, j = b.head; i < endA && j < endB; ) {
    const order = a.section[i] === b.section[j] ? a.seq[i]! - b.seq[j]! : a.section[i]! - b.section[j]!;
    // NaN: no seq, which another check is for.
    if (Number.isNaN(order)) break;
    if (order === 0) {
      joined++;
      if (sameRequest(a, i, b, j)) same++;
    }
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  return joined < TRUST_PAIRS || same * 2 >= joined;
}
