/** Numbers that look random and are the same for the same seed, whatever the machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** The next 32 bits (mulberry32). */
  word(): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  }

  /** 0 to n - 1. @param n up to 2^32 */
  below(n: number): number {
    return Math.floor((this.word() / 2 ** 32) * n);
  }

  /** Happens once in so many times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** An unsigned number of so many bits. */
  bits(width: number): bigint {
    const value = (BigInt(this.word()) << 32n) | BigInt(this.word());
    return BigInt.asUintN(Math.min(width, 64), value);
  }

  /** Another sequence, that depends on this one's seed and position alone. */
  fork(): Random {
    return new Random(this.word());
  }
}
