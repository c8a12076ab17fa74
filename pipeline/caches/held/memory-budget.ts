/** Bytes that several may take from together. */
export class MemoryBudget {
  readonly limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get free(): number {
    return this.limit - this.#taken;
  }

  /** Takes bytes; they may be more than there are. */
  take(bytes: number): void {
    this.#taken += bytes;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}

/** What the caches of all IOMMUs of a replay may take. */
export interface CacheBudgets {
  /** For cached translations. */
  readonly pages: MemoryBudget;
  /** For device contexts and PASID entries. */
  readonly contexts: MemoryBudget;
  /** For the sets of translations with one tag: there may be as many as PASIDs. */
  readonly tags: MemoryBudget;
}
