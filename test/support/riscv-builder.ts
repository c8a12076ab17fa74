/**
 * Builds RISC-V page tables and directories in memory from the specifications' numbers alone: nothing here uses the
 * walker's layouts, so that a field that has slid there is noticed.
 */
import type { TableMemory } from "./table-memory.ts";

export interface Scheme {
  readonly name: string;
  /** iosatp.MODE; iohgatp.MODE of its x4 form. */
  readonly mode: bigint;
  readonly levels: number;
  /** Bits of the table index at each level. */
  readonly indexBits: number;
  readonly entryBytes: 4 | 8;
  /** tc.SXL (fctl.GXL) with which the mode means this scheme. */
  readonly narrow: boolean;
}

export const SV32: Scheme = { name: "Sv32", mode: 8n, levels: 2, indexBits: 10, entryBytes: 4, narrow: true };
export const SV39: Scheme = { name: "Sv39", mode: 8n, levels: 3, indexBits: 9, entryBytes: 8, narrow: false };
export const SV48: Scheme = { name: "Sv48", mode: 9n, levels: 4, indexBits: 9, entryBytes: 8, narrow: false };
export const SV57: Scheme = {
  name: "Sv57",
  mode: 10n,
  levels: 5,
  indexBits: 9,
  entryBytes: 8,
  narrow: false,
};
export const SCHEMES: readonly Scheme[] = [SV32, SV39, SV48, SV57];

/** Page-table entry bits. */
export const V = 1n << 0n;
export const R = 1n << 1n;
export const W = 1n << 2n;
export const X = 1n << 3n;
export const U = 1n << 4n;
export const G = 1n << 5n;
export const A = 1n << 6n;
export const D = 1n << 7n;
export const N = 1n << 63n;
export const RWX = R | W | X;
/** A user page with all rights that hardware need not update. */
export const FULL = V | RWX | U | A | D;

/** log2 of the page size at a level (1 is the leaf level of 4 KiB pages). */
export function pageShift(scheme: Scheme, level: number): number {
  return 12 + scheme.indexBits * (level - 1);
}

export function putWord(
  memory: TableMemory,
  address: bigint,
  bytes: 4 | 8,
  value: bigint,
  big: boolean,
): void {
  const word = new DataView(new ArrayBuffer(bytes));
  if (bytes === 8) word.setBigUint64(0, BigInt.asUintN(64, value), !big);
  else word.setUint32(0, Number(BigInt.asUintN(32, value)), !big);
  memory.write(address, new Uint8Array(word.buffer));
}

function getWord(memory: TableMemory, address: bigint, bytes: 4 | 8, big: boolean): bigint {
  memory.ram(address, 1n);
  const view = memory.frames.get(Number(address >> 12n))!;
  const at = Number(address & 0xfffn);
  return bytes === 8 ? view.getBigUint64(at, !big) : BigInt(view.getUint32(at, !big));
}

export interface TableOptions {
  readonly x4?: boolean;
  readonly big?: boolean;
  /** Gives a zeroed range, aligned to its size, as an address that entries hold. */
  readonly allocate: (bytes: number) => bigint;
  /** Physical address of such an address, where it is a guest's. */
  readonly where?: (address: bigint) => bigint;
}

export class RiscvTable {
  readonly scheme: Scheme;
  readonly root: bigint;
  readonly #memory: TableMemory;
  readonly #options: TableOptions;

  constructor(memory: TableMemory, scheme: Scheme, options: TableOptions) {
    this.scheme = scheme;
    this.#memory = memory;
    this.#options = options;
    this.root = options.allocate(options.x4 ? 16384 : 4096);
  }

  /** Address of the entry for `va` at a level, making the tables above; null where a page is in the way. */
  entry(va: bigint, level: number): bigint | null {
    const { scheme } = this;
    let table = this.root;
    for (let l = scheme.levels; ; l--) {
      const bits = scheme.indexBits + (this.#options.x4 && l === scheme.levels ? 2 : 0);
      const index = (va >> BigInt(pageShift(scheme, l))) & ((1n << BigInt(bits)) - 1n);
      const address = table + index * BigInt(scheme.entryBytes);
      if (l === level) return address;
      let pointer = this.read(address);
      if ((pointer & V) === 0n) {
        pointer = ((this.#options.allocate(4096) >> 12n) << 10n) | V;
        this.write(address, pointer);
      }
      if ((pointer & RWX) !== 0n) return null;
      table = ((pointer >> 10n) & ((1n << 44n) - 1n)) << 12n;
    }
  }

  /** Sets the entry for `va` at a level; false where it is taken. */
  set(va: bigint, level: number, value: bigint): boolean {
    const address = this.entry(va, level);
    if (address === null || (this.read(address) & V) !== 0n) return false;
    this.write(address, value);
    return true;
  }

  /** Maps one page of a level's size. */
  map(va: bigint, pa: bigint, level = 1, flags = FULL): boolean {
    return this.set(va, level, leaf(pa, flags));
  }

  /** Maps the 64 KiB around `va` by 16 equal NAPOT entries. */
  mapNapot(va: bigint, pa: bigint, flags = FULL): boolean {
    const base = va & ~0xffffn;
    for (let i = 0n; i < 16n; i++) {
      const at = this.entry(base + i * 4096n, 1);
      if (at === null || (this.read(at) & V) !== 0n) return false;
    }
    for (let i = 0n; i < 16n; i++) this.set(base + i * 4096n, 1, N | leaf((pa & ~0xffffn) | 0x8000n, flags));
    return true;
  }

  read(address: bigint): bigint {
    return getWord(this.#memory, this.#where(address), this.scheme.entryBytes, this.#options.big === true);
  }

  write(address: bigint, value: bigint): void {
    putWord(this.#memory, this.#where(address), this.scheme.entryBytes, value, this.#options.big === true);
  }

  #where(address: bigint): bigint {
    return this.#options.where?.(address) ?? address;
  }
}

export function leaf(pa: bigint, flags: bigint): bigint {
  return ((pa >> 12n) << 10n) | flags;
}

/** Doublewords of a device context, by the specification's names; what is left out is 0. */
export interface DeviceWords {
  readonly tc?: bigint;
  readonly iohgatp?: bigint;
  readonly ta?: bigint;
  readonly fsc?: bigint;
  readonly msiptp?: bigint;
  readonly mask?: bigint;
  readonly pattern?: bigint;
  readonly last?: bigint;
}

/** tc bits. */
export const TC_V = 1n << 0n;
export const EN_ATS = 1n << 1n;
export const EN_PRI = 1n << 2n;
export const T2GPA = 1n << 3n;
export const DTF = 1n << 4n;
export const PDTV = 1n << 5n;
export const PRPR = 1n << 6n;
export const GADE = 1n << 7n;
export const SADE = 1n << 8n;
export const DPE = 1n << 9n;
export const SBE = 1n << 10n;
export const SXL = 1n << 11n;

/** A root pointer with MODE in bits 63:60 and PPN in bits 43:0: iosatp, pdtp, msiptp, iohgatp without GSCID. */
export function pointer(mode: bigint, address: bigint): bigint {
  return (mode << 60n) | (address >> 12n);
}

export function deviceWords(d: DeviceWords): bigint[] {
  return [d.tc, d.iohgatp, d.ta, d.fsc, d.msiptp, d.mask, d.pattern, d.last].map((word) => word ?? 0n);
}
