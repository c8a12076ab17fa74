import type { CachedIommu } from "./history/cached-iommu.ts";

/**
 * What is held by who reads the specification otherwise (`IommuWalker.reading`), in caches for each reading that an answer
 * has shown: of the requests that have shown it. It explains answers, and has no part in what is counted or owed unasked.
 */
export class OtherReadings<C> {
  readonly #unit: CachedIommu;
  readonly #make: () => C;
  readonly #held: { readonly reading: number; readonly caches: C }[] = [];

  /** @param make gives caches that hold nothing yet, and take the invalidations of the first or the last ones made */
  constructor(unit: CachedIommu, make: (last: C | null) => C) {
    this.#unit = unit;
    this.#make = () => make(this.#held.at(-1)?.caches ?? null);
  }

  /** No answer has shown any. */
  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  /** @param walks walks the request that shows a reading, and notes in the caches that it is given what that has used */
  use(reading: number, walks: (caches: C) => void): void {
    let held = this.#held.find((one) => one.reading === reading);
    if (held === undefined) {
      held = { reading, caches: this.#make() };
      this.#held.push(held);
    }
    const { caches } = held;
    const { engine } = this.#unit;
    // What the engine remembers of devices is of one reading, and of these caches or of those.
    engine.drop();
    this.#reading(reading, () => walks(caches));
    engine.drop();
  }

  /**
   * @param ask asks caches, while the walker reads as they were filled
   * @param isLess tells an answer that is not looked for
   * @returns the first that is; null: there is none
   */
  ask(
    ask: (caches: C) => number,
    isLess: (answer: number) => boolean,
  ): { readonly answer: number; readonly caches: C } | null {
    for (const { reading, caches } of this.#held) {
      const answer = this.#reading(reading, () => ask(caches));
      if (!isLess(answer)) return { answer, caches };
    }
    return null;
  }

  each(act: (caches: C) => void): void {
    for (const { caches } of this.#held) act(caches);
  }

  clear(): void {
    this.#held.length = 0;
  }

  #reading<T>(reading: number, act: () => T): T {
    const { walker } = this.#unit;
    walker.reading = reading;
    const result = act();
    walker.reading = 0;
    return result;
  }
}
