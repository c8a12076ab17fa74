/**
 * Page tables of random entries, written as raw words by the specifications' bit numbers: tables that point to each
 * other and to themselves, leaves at every level, entries with reserved bits, gaps.
 */

import { putWord } from "./riscv-builder.ts";
import type { TableMemory } from "./table-memory.ts";

export type Random = (n: number) => number;

/** Integers from 0 to n - 1, the same for the same seed. */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return (n) => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

export interface EntryWords {
  readonly bytes: 4 | 8;
  /** An entry that points to the table at an address. */
  table(address: bigint, random: Random): bigint;
  /** A leaf that maps an address. */
  leaf(address: bigint, random: Random): bigint;
  /** A 4 KiB page, and a larger one, with all rights. */
  page(address: bigint): bigint;
  block(address: bigint): bigint;
}

const RW_RIGHTS = [3n, 3n, 1n, 2n];

export const X86: EntryWords = {
  bytes: 8,
  page: (address) => address | 7n,
  block: (address) => address | 0x87n,
  table: (address, random) => address | [7n, 7n, 7n, 5n, 3n, 0x27n][random(6)]!,
  leaf: (address, random) =>
    address |
    [7n, 7n, 5n, 3n, 0x67n][random(5)]! |
    (random(3) === 0 ? 0n : 0x80n) |
    (random(8) === 0 ? 1n << 63n : 0n),
};

export const VTD_SECOND: EntryWords = {
  bytes: 8,
  page: (address) => address | 3n,
  block: (address) => address | 0x83n,
  table: (address, random) => address | RW_RIGHTS[random(4)]!,
  leaf: (address, random) => address | RW_RIGHTS[random(4)]! | (random(3) === 0 ? 0n : 0x80n),
};

/** Next Level 1 to 5 of tables; 0, or 7 with a size in the address, of pages. */
export const AMD_V1: EntryWords = {
  bytes: 8,
  page: (address) => address | 1n | (3n << 61n),
  block: (address) => address | 1n | (3n << 61n),
  table: (address, random) =>
    address | 1n | (BigInt(1 + random(4)) << 9n) | ((RW_RIGHTS[random(6) % 4]! as bigint) << 61n),
  leaf: (address, random) => {
    const sized = random(3) === 0;
    const low = sized ? 0x7000n | (7n << 9n) : 0n;
    return (sized ? address & ~0xffffn : address) | low | 1n | (RW_RIGHTS[random(4)]! << 61n);
  },
};

export const RISCV: EntryWords = {
  bytes: 8,
  page: (address) => ((address >> 12n) << 10n) | 0xdfn,
  block: (address) => ((address >> 12n) << 10n) | 0xdfn,
  table: (address) => ((address >> 12n) << 10n) | 1n,
  leaf: (address, random) =>
    ((address >> 12n) << 10n) | [0xdfn, 0xdfn, 0xd3n, 0xd9n, 0x5fn, 0x9fn, 0xcfn][random(7)]!,
};

export const RISCV32: EntryWords = { ...RISCV, bytes: 4 };

/** AF, AP[2:1] and UXN in stage 1; S2AP in stage 2. */
export const ARM: EntryWords = {
  bytes: 8,
  page: (address) => address | 0x4c3n,
  block: (address) => address | 0x4c1n,
  table: (address) => address | 3n,
  leaf: (address, random) =>
    address |
    [1n, 3n, 3n][random(3)]! |
    (random(8) === 0 ? 0n : 0x400n) |
    (BigInt([1, 3, 3, 1, 0, 2][random(6)]!) << 6n) |
    (random(4) === 0 ? 1n << 54n : 0n),
};

/**
 * Fills tables with runs of entries: pointers to any of the tables, pages one after another, pages of larger
 * alignment, words that mean little.
 *
 * @param tables their addresses
 * @param tableBytes of each
 * @param limit addresses that leaves map are below
 */
export function fillRandomly(
  memory: TableMemory,
  format: EntryWords,
  tables: readonly bigint[],
  tableBytes: number,
  limit: bigint,
  random: Random,
): void {
  const entries = tableBytes / format.bytes;
  for (const table of tables) {
    for (let at = 0n; at < BigInt(tableBytes); at += 4096n) memory.ram(table + at, 1n);
    const root = table === tables[0];
    for (let runs = (root ? 4 : 2) + random(5); runs > 0; runs--) {
      // The first and the last entries more often than others: there ranges of neighbouring tables meet.
      const start = [0, entries - 4, random(entries), random(entries), random(8)][random(5)]!;
      const count = 1 + random(random(4) === 0 ? 40 : 5);
      const kind = root && runs < 4 ? 0 : random(8);
      const page = (BigInt(random(2 ** 20)) * (limit >> 12n)) >> 20n;
      const junk = BigInt(random(2 ** 30)) << BigInt(random(34));
      for (let i = 0; i < count && start + i < entries; i++) {
        const n = BigInt(i);
        let word: bigint;
        if (kind < 3) word = format.table(tables[random(tables.length)]!, random);
        else if (kind < 5) word = format.leaf((page + n) << 12n, once(random, kind));
        else if (kind < 7) word = format.leaf(((page & ~0x1ffn) + 512n * n) << 12n, once(random, kind));
        else word = junk;
        putWord(memory, table + BigInt((start + i) * format.bytes), format.bytes, word, false);
      }
    }
  }
}

/** Mostly the same choices along a run, so that its pages can be merged. */
function once(random: Random, salt: number): Random {
  if (random(4) === 0) return random;
  return (n) => (salt * 5) % n;
}
