/** What becomes of the next requests of two streams. */
export const PAIR = 0;
export const ONLY_A = 1;
export const ONLY_B = 2;
export type Step = typeof PAIR | typeof ONLY_A | typeof ONLY_B;

/** How two stretches of requests are aligned: runs of pairs and of requests that only one stream has, in order. */
export class EditScript {
  readonly steps: Step[] = [];
  readonly counts: number[] = [];
  /** Requests of A and of B that it covers. */
  coveredA = 0;
  coveredB = 0;
  /** Requests that are in one stream only because no affordable search found where they belong. */
  unalignedA = 0;
  unalignedB = 0;

  clear(): void {
    this.steps.length = 0;
    this.counts.length = 0;
    this.coveredA = 0;
    this.coveredB = 0;
    this.unalignedA = 0;
    this.unalignedB = 0;
  }

  add(step: Step, count: number): void {
    if (count === 0) return;
    if (step !== ONLY_B) this.coveredA += count;
    if (step !== ONLY_A) this.coveredB += count;
    const last = this.steps.length - 1;
    if (last >= 0 && this.steps[last] === step) this.counts[last]! += count;
    else {
      this.steps.push(step);
      this.counts.push(count);
    }
  }

  /** Stretches that were given up on. */
  giveUp(countA: number, countB: number): void {
    this.add(ONLY_A, countA);
    this.add(ONLY_B, countB);
    this.unalignedA += countA;
    this.unalignedB += countB;
  }
}
