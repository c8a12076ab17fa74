import type { IommuUnit } from "../iommus/iommu-unit.ts";

interface Held<T> {
  value: T | null;
  /** What it is where the IOMMU turns out to wait for its invalidations. */
  readonly other: T | null;
  /** Whose invalidations it depends on; null: none any more. */
  unit: IommuUnit | null;
}

/** Passes values on in order. From one on that may become another, they are held back until that is decided. */
export class HeldValues<T> {
  readonly #pass: (value: T) => void;
  #held: Held<T>[] = [];

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
    let free = 0;
    let all = true;
    for (const held of this.#held) {
      if (held.unit === unit) {
        if (waits) held.value = held.other;
        held.unit = null;
      }
      all &&= held.unit === null;
      if (all) free++;
    }
    const passed = this.#held;
    this.#held = passed.slice(free);
    for (let i = 0; i < free; i++) {
      const { value } = passed[i]!;
      if (value !== null) this.#pass(value);
    }
  }
}
