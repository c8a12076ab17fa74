import type { IommuUnit } from "../iommus/iommu-unit.ts";

interface Held<T> {
  readonly value: T | null;
  /** What it is where the IOMMU turns out to wait for its invalidations. */
  readonly other: T | null;
  /** Whose invalidations it depends on; null: nobody's. */
  readonly unit: IommuUnit | null;
}

/** Passes values on in order. From one on that may become another, they are held back until that is decided. */
export class HeldValues<T> {
  readonly #pass: (value: T) => void;
  readonly #held: Held<T>[] = [];
  /** Whether the IOMMUs that are decided wait for their invalidations: of those that something held may depend on. */
  readonly #waits = new Map<IommuUnit, boolean>();

  constructor(pass: (value: T) => void) {
    this.#pass = pass;
  }

  /** Nothing is held: what is put is passed on at once. */
  get isEmpty(): boolean {
    return this.#held.length === 0;
  }

  put(value: T): void {
    if (this.#held.length === 0) this.#pass(value);
    else this.#held.push({ value, other: null, unit: null });
  }

  /** Puts a value that is not decided yet, and what it may become; null: nothing. */
  putUndecided(unit: IommuUnit, value: T | null, other: T | null): void {
    this.#held.push({ value, other, unit });
  }

  decided(unit: IommuUnit, waits: boolean): void {
    if (this.#held.length === 0) return;
    this.#waits.set(unit, waits);
    let free = 0;
    while (free < this.#held.length && this.#isDecided(this.#held[free]!)) free++;
    const passed = this.#held.splice(0, free).map((held) => this.#valueOf(held));
    if (this.#held.length === 0) this.#waits.clear();
    for (const value of passed) if (value !== null) this.#pass(value);
  }

  #isDecided({ unit }: Held<T>): boolean {
    return unit === null || this.#waits.has(unit);
  }

  #valueOf({ unit, value, other }: Held<T>): T | null {
    return unit !== null && this.#waits.get(unit) === true ? other : value;
  }
}
