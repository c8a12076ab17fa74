import {
  MAX_TAILS,
  MEMO_SLOT_WORDS,
  TAIL_BYTES,
  TAIL_COUNT,
  TAIL_MATCHES,
  TAILS_AT,
} from "../../../parsers/trace/batch/layout.ts";
import { FAULT, OK } from "../../../walkers/result.ts";
import type { IommuUnit } from "../../iommus/iommu-unit.ts";
import { Outcome } from "../../iommus/outcome.ts";
import { firstSlots } from "./slots.ts";

/** What requests come to, but for where their bytes are: the same for many of them. */
export interface Tail {
  readonly unit: IommuUnit;
  /** Where it is a translation, its run is of the request at hand; and the verdict is. */
  readonly outcome: Outcome;
}

/** Told how often a tail was the answer, how often a right one, and to how many bytes. */
export type TailCounts = (tail: Tail, requests: number, matches: number, bytes: number) => void;

/** The tails of the memo's answers, by number. What they were the answer to is counted by them, and folded later. */
export class Tails {
  readonly all: Tail[] = [];
  readonly #byHash = new Map<number, number[]>();
  #words: Int32Array;
  /** The same, as numbers of 8 bytes. */
  #numbers: Float64Array;

  /** @param machine memory of a batch machine that counts there as well, or null */
  constructor(machine: ArrayBufferLike | null) {
    this.#words = firstSlots(machine, TAILS_AT, MAX_TAILS);
    this.#numbers = numbersOf(this.#words);
  }

  get isFull(): boolean {
    return this.all.length === MAX_TAILS;
  }

  /**
   * The number of what an outcome says beside its verdict and its run.
   * @param made told of one that is new
   */
  of(unit: IommuUnit, outcome: Outcome, made: (number: number, outcome: Outcome) => void): number {
    const hash = hashOf(outcome);
    const alike = this.#byHash.get(hash) ?? [];
    for (const number of alike) {
      const tail = this.all[number]!;
      if (tail.unit === unit && sameTail(tail.outcome, outcome)) return number;
    }
    const number = this.all.length;
    if (number * MEMO_SLOT_WORDS === this.#words.length) this.#grow();
    this.all.push({ unit, outcome: copyOf(outcome) });
    this.#byHash.set(hash, [...alike, number]);
    made(number, outcome);
    return number;
  }

  #grow(): void {
    const words = new Int32Array(2 * this.#words.length);
    words.set(this.#words);
    this.#words = words;
    this.#numbers = numbersOf(words);
  }

  /** One more request comes to this. @param bytes its length */
  count(number: number, matches: boolean, bytes: number): void {
    const words = this.#words;
    const at = number * MEMO_SLOT_WORDS;
    words[at + TAIL_COUNT]!++;
    if (matches) words[at + TAIL_MATCHES]!++;
    this.#numbers[(at + TAIL_BYTES) >>> 1]! += bytes;
  }

  /** Tells what was counted, and counts anew. */
  fold(told: TailCounts): void {
    const words = this.#words;
    this.all.forEach((tail, number) => {
      const at = number * MEMO_SLOT_WORDS;
      const count = words[at + TAIL_COUNT]!;
      if (count === 0) return;
      told(tail, count, words[at + TAIL_MATCHES]!, this.#numbers[(at + TAIL_BYTES) >>> 1]!);
      words[at + TAIL_COUNT] = 0;
      words[at + TAIL_MATCHES] = 0;
      this.#numbers[(at + TAIL_BYTES) >>> 1] = 0;
    });
  }

  /** Forgets all: they have been folded. */
  clear(): void {
    this.all.length = 0;
    this.#byHash.clear();
  }
}

function numbersOf({ buffer, byteOffset, byteLength }: Int32Array): Float64Array {
  return new Float64Array(buffer, byteOffset, byteLength / 8);
}

/** What makes outcomes of one status the same: everything but verdict and runs, which are the request's own. */
const TRANSLATION = ["pageShift", "perm", "domain", "asid", "passthrough"] as const;
const REFUSAL = [
  ...(["fault", "reason", "otherFault", "stage", "level", "faultClass"] as const),
  ...(["entryFrame", "entryOffset", "entryKnown", "entryHi", "entryLo"] as const),
  ...(["recorded", "hole", "hasFaultAddr", "faultHi", "faultLo", "flags"] as const),
];

export function sameTail(a: Outcome, b: Outcome): boolean {
  if (a.status !== b.status || a.model !== b.model || a.reads !== b.reads) return false;
  // A refusal has what its walk had found by then, too: statistics of domains are of translations alone.
  if (a.status === OK) return TRANSLATION.every((field) => a[field] === b[field]);
  return REFUSAL.every((field) => a[field] === b[field]);
}

function copyOf(from: Outcome): Outcome {
  const to = new Outcome();
  to.status = from.status;
  to.model = from.model;
  to.reads = from.reads;
  if (from.status === OK) {
    for (const field of TRANSLATION) copy(to, from, field);
    to.run(from.runFrame[0]!, from.runOffset[0]!, from.runBytes[0]!);
  } else for (const field of REFUSAL) copy(to, from, field);
  return to;
}

function copy<K extends keyof Outcome>(to: Outcome, from: Outcome, field: K): void {
  to[field] = from[field];
}

function hashOf(o: Outcome): number {
  const own =
    o.status === FAULT
      ? o.entryFrame * 4096 + o.entryOffset + o.fault!.code
      : Math.imul(o.domain, 0x9e37_79b1) ^ Math.imul(o.asid, 0x85eb_ca6b) ^ (o.pageShift << 5) ^ o.perm;
  return (own | 0) ^ (o.reads << 2) ^ o.status;
}
