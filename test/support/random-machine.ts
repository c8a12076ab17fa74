/** What random machines are made of, whose walks are compared with those of a reference. */
import { EXECUTE, READ, WRITE } from "../../walkers/request.ts";
import { type Random, randomOf } from "./random-tables.ts";
import { TableMemory } from "./table-memory.ts";

export const KINDS = { r: READ, w: WRITE, rw: READ | WRITE, x: EXECUTE } as const;
export type Kind = keyof typeof KINDS;

const MEMORY_BITS = 26;

/** Random choices of one machine. */
export class Dice {
  readonly random: Random;
  /** Every other machine is one without mistakes in its registers and structures, so that more walks get far. */
  readonly calm: boolean;
  constructor(seed: number) {
    this.random = randomOf(seed);
    this.calm = seed % 2 === 0;
  }
  /** As `once`, but never for a calm machine: a mistake. */
  slip(n: number): boolean {
    return this.random(n) === 0 && !this.calm;
  }
  /** True once in n times. */
  once(n: number): boolean {
    return this.random(n) === 0;
  }
  pick<T>(values: readonly T[]): T {
    return values[this.random(values.length)]!;
  }
  bits(n: number): bigint {
    let value = 0n;
    for (let i = 0; i < n; i += 16) value = (value << 16n) | BigInt(this.random(0x1_0000));
    return value & ((1n << BigInt(n)) - 1n);
  }
  /** Mostly within memory. */
  address(): bigint {
    return this.slip(30) ? this.bits(52) : this.bits(MEMORY_BITS);
  }
}

/** Memory below 64 MiB: every frame comes to life, full of structures, when it is first looked at. */
export class RandomMemory extends TableMemory {
  readonly #dice: Dice;
  readonly #fill: (view: DataView, frame: number) => void;
  readonly #holes = new Set<number>();

  constructor(dice: Dice, fill: (view: DataView, frame: number) => void) {
    super();
    this.#dice = dice;
    this.#fill = fill;
  }

  override fetch(frame: number, offset: number, bytes: number): boolean {
    if (!this.frames.has(frame) && frame < 2 ** (MEMORY_BITS - 12) && !this.#holes.has(frame)) {
      if (this.#dice.once(300)) this.#holes.add(frame);
      else {
        this.ram(BigInt(frame) << 12n, 1n);
        this.#fill(this.frames.get(frame)!, frame);
      }
    }
    return super.fetch(frame, offset, bytes);
  }
}
