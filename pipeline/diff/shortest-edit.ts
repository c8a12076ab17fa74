/**
 * The greedy search for a shortest edit script (E. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986):
 * for 0, 1, 2, … edits, how far each diagonal gets. A match run long enough to be trusted may end it early, so
 * that streams that differ in one place only cost a look at that place.
 */
import { type EditScript, ONLY_A, ONLY_B, PAIR } from "./edit-script.ts";
import { type RequestQueue, sameRequest } from "./request-queue.ts";

/** Requests of two streams that lie between two places: their column indexes and numbers. */
export interface Stretch {
  readonly a: RequestQueue;
  readonly startA: number;
  readonly countA: number;
  readonly b: RequestQueue;
  readonly startB: number;
  readonly countB: number;
}

export class ShortestEdit {
  readonly maxEdits: number;
  /** Furthest position in A by diagonal; diagonal k is at maxEdits + k + 1. */
  readonly #furthest: Int32Array;
  /** `#furthest` after every number of edits d, its 2d+1 diagonals from offset d². */
  readonly #history: Int32Array;
  /** The edits of a script as it is traced back: 1 in A, 0 in B, and the position in A after each one. */
  readonly #edit: Uint8Array;
  readonly #position: Int32Array;

  constructor(maxEdits: number) {
    this.maxEdits = maxEdits;
    this.#furthest = new Int32Array(2 * maxEdits + 3);
    this.#history = new Int32Array((maxEdits + 1) * (maxEdits + 1));
    this.#edit = new Uint8Array(maxEdits);
    this.#position = new Int32Array(maxEdits);
  }

  /**
   * Aligns a stretch from its start.
   * @param run so many matches in a row, after the edits, end the search there
   * @param atEnd so does the end of both sides
   * @returns whether it ended: then `script` has grown; else it is as before
   */
  search(stretch: Stretch, run: number, atEnd: boolean, script: EditScript): boolean {
    const { a, startA, countA: n, b, startB, countB: m } = stretch;
    const v = this.#furthest;
    const history = this.#history;
    const zero = this.maxEdits + 1;
    v[zero + 1] = 0;
    const most = Math.min(this.maxEdits, n + m);
    for (let d = 0; d <= most; d++) {
      for (let k = -d; k <= d; k += 2) {
        const down = k === -d || (k !== d && v[zero + k - 1]! < v[zero + k + 1]!);
        let x = down ? v[zero + k + 1]! : v[zero + k - 1]! + 1;
        const from = x;
        let y = x - k;
        while (x < n && y < m && sameRequest(a, startA + x, b, startB + y)) {
          x++;
          y++;
        }
        v[zero + k] = x;
        history[d * d + d + k] = x;
        if (x - from >= run || (atEnd && x === n && y === m)) {
          this.#trace(d, k, script);
          return true;
        }
      }
    }
    return false;
  }

  /** Follows the path that ends on diagonal `last` with `edits` edits back to its start, and writes it forwards. */
  #trace(edits: number, last: number, script: EditScript): void {
    const history = this.#history;
    let k = last;
    const end = history[edits * edits + edits + last]!;
    for (let d = edits; d > 0; d--) {
      const before = (d - 1) * (d - 1) + d - 1;
      const down = k === -d || (k !== d && this.#at(before, d - 1, k - 1) < this.#at(before, d - 1, k + 1));
      const x = down ? this.#at(before, d - 1, k + 1) : this.#at(before, d - 1, k - 1) + 1;
      this.#edit[d - 1] = down ? 0 : 1;
      this.#position[d - 1] = x;
      k += down ? 1 : -1;
    }
    let x = 0;
    for (let d = 0; d < edits; d++) {
      const inA = this.#edit[d]!;
      const after = this.#position[d]!;
      script.add(PAIR, after - inA - x);
      script.add(inA === 1 ? ONLY_A : ONLY_B, 1);
      x = after;
    }
    script.add(PAIR, end - x);
  }

  /** Furthest position on diagonal k after d edits, where it was reached. */
  #at(row: number, d: number, k: number): number {
    return k < -d || k > d ? -1 : this.#history[row + k]!;
  }
}
