import { Anchors } from "./anchors.ts";
import { EditScript, ONLY_A, ONLY_B, PAIR } from "./edit-script.ts";
import { sameRequest } from "./request-queue.ts";
import { ShortestEdit, type Stretch } from "./shortest-edit.ts";

/** So many matches in a row, and two streams are in step again. */
const IN_STEP = 16;
/** No number of matches is enough: a script must reach both ends. */
const TO_THE_END = Number.POSITIVE_INFINITY;
/** Edits that a first search may find, and a last one. */
const FEW_EDITS = 64;
const MANY_EDITS = 1024;
/** A chain of fewer anchors in a whole window may be chance. */
const FIRM_CHAIN = 8;

/**
 * Finds how two streams that have fallen out of step go on together. Most differences are small and close: a search
 * for the shortest edits finds them. What is larger is found by requests that stand once in each window.
 */
export class Resync {
  readonly script = new EditScript();
  readonly #few = new ShortestEdit(FEW_EDITS);
  #many: ShortestEdit | null = null;
  readonly #anchors = new Anchors();

  /**
   * Aligns the beginning of a stretch whose first requests differ.
   * @param whole the streams end with it
   * @param last there is no more to look at: something must be decided
   * @returns false where more requests are needed; else `script` says what becomes of one request at least
   */
  align(stretch: Stretch, whole: boolean, last: boolean): boolean {
    const { script } = this;
    script.clear();
    if (this.#few.search(stretch, IN_STEP, whole, script)) return true;
    if (!last) return false;
    const anchors = this.#anchors.find(stretch);
    if (anchors >= FIRM_CHAIN || (whole && anchors > 0)) this.#follow(stretch, whole);
    else if (!this.#thorough().search(stretch, IN_STEP, whole, script)) {
      if (anchors > 0) this.#follow(stretch, whole);
      else this.#giveUp(stretch, whole);
    }
    return true;
  }

  /** Aligns up to the last anchor; to the end where the streams end there. */
  #follow(stretch: Stretch, whole: boolean): void {
    const { count } = this.#anchors;
    const inA = this.#anchors.a.slice(0, count);
    const inB = this.#anchors.b.slice(0, count);
    let fromA = 0;
    let fromB = 0;
    for (let i = 0; i < count; i++) {
      this.#between(part(stretch, fromA, inA[i]!, fromB, inB[i]!));
      this.script.add(PAIR, 1);
      fromA = inA[i]! + 1;
      fromB = inB[i]! + 1;
    }
    if (whole) this.#between(part(stretch, fromA, stretch.countA, fromB, stretch.countB));
  }

  /** Aligns all of a stretch, both of whose ends are known to belong together. */
  #between(stretch: Stretch): void {
    const { script } = this;
    const { a, b, startA, startB } = stretch;
    let { countA, countB } = stretch;
    let front = 0;
    while (front < countA && front < countB && sameRequest(a, startA + front, b, startB + front)) front++;
    let back = 0;
    while (countA > front && countB > front && sameRequest(a, startA + countA - 1, b, startB + countB - 1)) {
      countA--;
      countB--;
      back++;
    }
    script.add(PAIR, front);
    this.#core(part(stretch, front, countA, front, countB));
    script.add(PAIR, back);
  }

  #core(stretch: Stretch): void {
    const { script } = this;
    const { countA, countB } = stretch;
    if (countA === 0 || countB === 0) {
      script.add(ONLY_A, countA);
      script.add(ONLY_B, countB);
      return;
    }
    if (this.#few.search(stretch, TO_THE_END, true, script)) return;
    if (this.#anchors.find(stretch) > 0) this.#follow(stretch, true);
    else if (this.#anchors.common === 0) {
      script.add(ONLY_A, countA);
      script.add(ONLY_B, countB);
    } else if (!this.#thorough().search(stretch, TO_THE_END, true, script)) script.giveUp(countA, countB);
  }

  /** No way to align: leaves half of the window behind, or all where it is all there is. */
  #giveUp(stretch: Stretch, whole: boolean): void {
    const { countA, countB } = stretch;
    if (whole && this.#anchors.common === 0) {
      this.script.add(ONLY_A, countA);
      this.script.add(ONLY_B, countB);
    } else if (whole) this.script.giveUp(countA, countB);
    else this.script.giveUp(Math.ceil(countA / 2), Math.ceil(countB / 2));
  }

  #thorough(): ShortestEdit {
    this.#many ??= new ShortestEdit(MANY_EDITS);
    return this.#many;
  }
}

function part(stretch: Stretch, fromA: number, toA: number, fromB: number, toB: number): Stretch {
  return {
    a: stretch.a,
    startA: stretch.startA + fromA,
    countA: toA - fromA,
    b: stretch.b,
    startB: stretch.startB + fromB,
    countB: toB - fromB,
  };
}
