/**
 * Places where two stretches surely belong together: requests that stand once in each, in the longest chain that has
 * the same order in both (the idea of patience diff). Found in one pass over a hash table, whatever lies between them.
 */
import { type RequestQueue, sameRequest } from "./request-queue.ts";
import type { Stretch } from "./shortest-edit.ts";

const FREE = -1;
const SEVERAL = -2;

export class Anchors {
  /** After `find`: positions in A and in B, from the start of the stretch, rising in both. */
  a = new Int32Array(0);
  b = new Int32Array(0);
  count = 0;
  /** After `find`: requests of B that are in A too, however often. */
  common = 0;
  #slots = 0;
  /** By slot of the hash table: a request of A that represents all that are the same, or FREE. */
  #owner = new Int32Array(0);
  /** By slot: the position of the only such request, FREE or SEVERAL. */
  #onceA = new Int32Array(0);
  #onceB = new Int32Array(0);
  /** Unique common requests in A's order: their positions. */
  #candidateA = new Int32Array(0);
  #candidateB = new Int32Array(0);
  /** By length: the candidate that ends the chain of this length with the lowest position in B; and its predecessors. */
  #tails = new Int32Array(0);
  #before = new Int32Array(0);

  /** @returns how many there are */
  find(stretch: Stretch): number {
    this.#prepare(stretch.countA);
    this.#enterA(stretch);
    this.#enterB(stretch);
    return this.#chain(this.#candidates(stretch));
  }

  #prepare(count: number): void {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(16, count * 2)));
    if (slots > this.#owner.length) {
      this.#owner = new Int32Array(slots);
      this.#onceA = new Int32Array(slots);
      this.#onceB = new Int32Array(slots);
      this.#candidateA = new Int32Array(slots);
      this.#candidateB = new Int32Array(slots);
      this.#tails = new Int32Array(slots);
      this.#before = new Int32Array(slots);
      this.a = new Int32Array(slots);
      this.b = new Int32Array(slots);
    }
    // A smaller stretch uses the first part of the tables only.
    this.#slots = slots;
    this.#owner.fill(FREE, 0, slots);
    this.#onceA.fill(FREE, 0, slots);
    this.#onceB.fill(FREE, 0, slots);
  }

  /** Slot of request `i` of a queue: of those of A that are the same, or a free one. */
  #slot(stretch: Stretch, queue: RequestQueue, i: number): number {
    const mask = this.#slots - 1;
    for (let slot = queue.hash[i]! & mask; ; slot = (slot + 1) & mask) {
      const owner = this.#owner[slot]!;
      if (owner === FREE || sameRequest(stretch.a, stretch.startA + owner, queue, i)) return slot;
    }
  }

  #enterA(stretch: Stretch): void {
    for (let i = 0; i < stretch.countA; i++) {
      const slot = this.#slot(stretch, stretch.a, stretch.startA + i);
      if (this.#owner[slot] === FREE) {
        this.#owner[slot] = i;
        this.#onceA[slot] = i;
      } else this.#onceA[slot] = SEVERAL;
    }
  }

  #enterB(stretch: Stretch): void {
    this.common = 0;
    for (let j = 0; j < stretch.countB; j++) {
      const slot = this.#slot(stretch, stretch.b, stretch.startB + j);
      if (this.#owner[slot] === FREE) continue;
      this.common++;
      this.#onceB[slot] = this.#onceB[slot] === FREE ? j : SEVERAL;
    }
  }

  #candidates(stretch: Stretch): number {
    let count = 0;
    for (let i = 0; i < stretch.countA; i++) {
      const slot = this.#slot(stretch, stretch.a, stretch.startA + i);
      if (this.#onceA[slot] !== i || this.#onceB[slot]! < 0) continue;
      this.#candidateA[count] = i;
      this.#candidateB[count] = this.#onceB[slot]!;
      count++;
    }
    return count;
  }

  /** The longest chain of candidates that rises in B too. */
  #chain(candidates: number): number {
    const tails = this.#tails;
    const inB = this.#candidateB;
    let length = 0;
    for (let c = 0; c < candidates; c++) {
      let low = 0;
      let high = length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (inB[tails[middle]!]! < inB[c]!) low = middle + 1;
        else high = middle;
      }
      this.#before[c] = low > 0 ? tails[low - 1]! : -1;
      tails[low] = c;
      if (low === length) length++;
    }
    let c = length > 0 ? tails[length - 1]! : -1;
    for (let i = length - 1; i >= 0; i--) {
      this.a[i] = this.#candidateA[c]!;
      this.b[i] = inB[c]!;
      c = this.#before[c]!;
    }
    this.count = length;
    return length;
  }
}
