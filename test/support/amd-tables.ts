/**
 * Writes v1, x86-64 and guest CR3 tables from the specifications' bit numbers, with nothing of the walker's: the
 * properties check that what is built here is walked back.
 */
import { type AmdIommu, P, PAGE, PR, PS } from "./amd-iommu.ts";

/** Where a table's words are written: system-physical, or guest-physical with an address to write at. */
export interface TableSpace {
  /** A fresh table's address as entries name it. */
  table(): bigint;
  /** The system-physical address of a byte of a table. */
  physical(address: bigint): bigint;
}

export function systemSpace(iommu: AmdIommu): TableSpace {
  return { table: () => iommu.table(), physical: (address) => address };
}

/** Guest-physical tables at addresses of their own, mapped one by one into host tables. */
export function guestSpace(iommu: AmdIommu, host: V1Tables, firstGpa: bigint): TableSpace {
  const frames = new Map<bigint, bigint>();
  let next = firstGpa;
  return {
    table() {
      const gpa = next;
      // Not contiguous, so that a walk that forgets to translate goes elsewhere.
      next += 3n * PAGE;
      const spa = iommu.table();
      frames.set(gpa / PAGE, spa);
      host.map(gpa, spa, 12);
      return gpa;
    },
    physical: (address) => frames.get(address / PAGE)! + (address % PAGE),
  };
}

const V1_READ_WRITE = 3n << 61n;

/** v1 host tables (AMD 48882, 2.2.3). */
export class V1Tables {
  readonly root: bigint;
  readonly mode: number;
  readonly #iommu: AmdIommu;
  /** Tables made so far: address of an entry to the table it points to, and that table's level. */
  readonly #tables = new Map<bigint, { table: bigint; level: number }>();

  constructor(iommu: AmdIommu, mode: number) {
    this.#iommu = iommu;
    this.mode = mode;
    this.root = iommu.table();
  }

  /** Index of an address at a level: nine bits each, from bit 12; seven at level 6. */
  static index(level: number, address: bigint): bigint {
    return (address >> BigInt(12 + 9 * (level - 1))) & (level === 6 ? 0x7fn : 0x1ffn);
  }

  /** The entry that maps an address at a level, after making the tables on the way, from `skip` skipping levels. */
  entryAt(level: number, address: bigint, skip: readonly number[] = []): bigint {
    let table = this.root;
    let at = this.mode;
    while (at > level) {
      let next = at - 1;
      while (next > level && skip.includes(next)) next--;
      const entry = table + V1Tables.index(at, address) * 8n;
      let known = this.#tables.get(entry);
      if (known === undefined) {
        known = { table: this.#iommu.table(), level: next };
        this.#tables.set(entry, known);
        this.#iommu.memory.write64(entry, known.table | (BigInt(next) << 9n) | V1_READ_WRITE | PR);
      }
      table = known.table;
      at = known.level;
    }
    return table + V1Tables.index(level, address) * 8n;
  }

  /**
   * Maps a page of 2^shift bytes. A size between two levels' own is written into every entry that the page covers,
   * with Next Level 7 and its size in the address: all ones below the top bit of the page offset, which is zero.
   */
  map(
    address: bigint,
    page: bigint,
    shift: number,
    perm = V1_READ_WRITE,
    skip: readonly number[] = [],
  ): void {
    const level = Math.floor((shift - 12) / 9) + 1;
    const own = 12 + 9 * (level - 1);
    const size = 1n << BigInt(shift);
    const base = address & -size;
    let word = (page & -size) | perm | PR;
    if (shift > own) word |= (7n << 9n) | ((size / 2n - 1n) & ~0xfffn);
    const first = this.entryAt(level, base, skip);
    for (let i = 0n; i < 1n << BigInt(shift - own); i++) this.#iommu.memory.write64(first + i * 8n, word);
  }
}

/** x86-64 guest tables, 4 or 5 levels (AMD64 APM volume 2, 5.3 and 5.4). */
export class GuestTables {
  readonly root: bigint;
  readonly levels: 4 | 5;
  readonly #iommu: AmdIommu;
  readonly #space: TableSpace;
  readonly #tables = new Map<bigint, bigint>();

  constructor(iommu: AmdIommu, space: TableSpace, levels: 4 | 5) {
    this.#iommu = iommu;
    this.#space = space;
    this.levels = levels;
    this.root = space.table();
  }

  /** Address (in its space) of the entry for an address at a level, after making the tables on the way. */
  entryAt(level: number, address: bigint, rights: bigint): bigint {
    let table = this.root;
    for (let at = this.levels as number; at > level; at--) {
      const entry = table + ((address >> BigInt(12 + 9 * (at - 1))) & 0x1ffn) * 8n;
      let next = this.#tables.get(entry);
      if (next === undefined) {
        next = this.#space.table();
        this.#tables.set(entry, next);
        this.#iommu.memory.write64(this.#space.physical(entry), next | rights | P);
      }
      table = next;
    }
    return table + ((address >> BigInt(12 + 9 * (level - 1))) & 0x1ffn) * 8n;
  }

  /** System-physical address of that entry. */
  physicalEntry(level: number, address: bigint): bigint {
    return this.#space.physical(this.entryAt(level, address, 6n));
  }

  /** Maps a page of 2^shift bytes, shift 12, 21 or 30. `upper`: rights in the entries above the leaf. */
  map(address: bigint, page: bigint, shift: 12 | 21 | 30, rights: bigint, upper = 6n): void {
    const level = (shift - 12) / 9 + 1;
    const entry = this.entryAt(level, address, upper);
    this.#iommu.memory.write64(
      this.#space.physical(entry),
      (page & -(1n << BigInt(shift))) | rights | (level > 1 ? PS : 0n) | P,
    );
  }
}

/** A guest CR3 table of GLX + 1 levels, nine PASID bits each. */
export class Gcr3Tables {
  readonly root: bigint;
  readonly glx: number;
  readonly #iommu: AmdIommu;
  readonly #space: TableSpace;
  readonly #tables = new Map<bigint, bigint>();

  constructor(iommu: AmdIommu, space: TableSpace, glx: number) {
    this.#iommu = iommu;
    this.#space = space;
    this.glx = glx;
    this.root = space.table();
  }

  /** System-physical address of a PASID's entry at a level, 0 being the one that holds the guest's CR3. */
  entryAt(level: number, pasid: number): bigint {
    let table = this.root;
    for (let at = this.glx; ; at--) {
      const entry = table + BigInt((pasid >> (9 * at)) & 511) * 8n;
      if (at === level) return this.#space.physical(entry);
      let next = this.#tables.get(entry);
      if (next === undefined) {
        next = this.#space.table();
        this.#tables.set(entry, next);
        this.#iommu.memory.write64(this.#space.physical(entry), next | 1n);
      }
      table = next;
    }
  }

  set(pasid: number, guest: GuestTables): void {
    this.#iommu.memory.write64(this.entryAt(0, pasid), guest.root | 1n);
  }
}
