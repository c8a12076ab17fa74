/**
 * Builds VMSAv8-64 tables bit by bit (Arm ARM DDI 0487, D8.2.8 to D8.3.1) with bigint arithmetic, independently of
 * the walkers' layouts.
 */
import type { TableMemory } from "./table-memory.ts";

export interface Shape {
  /** log2 of the granule: 12, 14 or 16. */
  granule: number;
  /** 64 - TxSZ. */
  inputBits: number;
  startLevel: number;
  /** 52-bit addresses with 4 and 16 KiB granules (LPA2). */
  ds?: boolean;
  /** 52-bit addresses with 64 KiB (LPA). */
  lpa?: boolean;
  bigEndian?: boolean;
}

/** Bytes that one descriptor at a level maps. */
export function spanOf(shape: Shape, level: number): bigint {
  let bytes = 1n << BigInt(shape.granule);
  for (let l = 3; l > level; l--) bytes *= 1n << BigInt(shape.granule - 3);
  return bytes;
}

/** Bytes of the initial table, concatenated tables together. */
export function rootBytes(shape: Shape): bigint {
  return (8n << BigInt(shape.inputBits)) / spanOf(shape, shape.startLevel);
}

/** Puts an address into a descriptor's address field. */
function addressField(shape: Shape, address: bigint): bigint {
  const high = address >> 48n;
  const field = address & 0xffff_ffff_f000n;
  if (high === 0n) return field;
  if (shape.granule === 16) {
    if (!shape.lpa) throw new Error("a 52-bit address needs LPA");
    return field | (high << 12n);
  }
  if (!shape.ds) throw new Error("a 52-bit address needs DS");
  return field | ((high >> 2n) << 8n) | ((high & 3n) << 48n);
}

export class ArmTables {
  readonly memory: TableMemory;
  readonly shape: Shape;
  readonly root: bigint;
  readonly #allocate: (bytes: bigint) => bigint;
  /** Where in memory a table address is (through a stage 2). */
  readonly #place: (address: bigint) => bigint;
  /** Attributes that new table descriptors get. */
  tableAttributes = 0n;
  readonly #tables = new Map<bigint, bigint>();

  constructor(
    memory: TableMemory,
    shape: Shape,
    allocate: (bytes: bigint) => bigint,
    place: (address: bigint) => bigint = (a) => a,
  ) {
    this.memory = memory;
    this.shape = shape;
    this.#allocate = allocate;
    this.#place = place;
    const bytes = rootBytes(shape);
    this.root = allocate(bytes < 64n ? 64n : bytes);
    for (let a = 0n; a < bytes; a += 4096n) memory.ram(place(this.root + a), 1n);
  }

  /** Address of the descriptor of an input address at a level; tables above it are made. */
  entry(input: bigint, level: number): bigint {
    const ia = input & ((1n << BigInt(this.shape.inputBits)) - 1n);
    let table = this.root;
    for (let l = this.shape.startLevel; ; l++) {
      const per = 1n << BigInt(this.shape.granule - 3);
      let index = ia / spanOf(this.shape, l);
      if (l !== this.shape.startLevel) index %= per;
      const at = table + index * 8n;
      if (l === level) return at;
      let next = this.#tables.get(at);
      if (next === undefined) {
        const bytes = 1n << BigInt(this.shape.granule);
        next = this.#allocate(bytes);
        for (let a = 0n; a < bytes; a += 4096n) this.memory.ram(this.#place(next + a), 1n);
        this.#tables.set(at, next);
        this.write(at, addressField(this.shape, next) | 3n | this.tableAttributes);
      }
      table = next;
    }
  }

  /** Maps one page (level 3) or block. */
  map(input: bigint, output: bigint, level: number, attributes: bigint): void {
    this.write(
      this.entry(input, level),
      addressField(this.shape, output) | (level === 3 ? 3n : 1n) | attributes,
    );
  }

  write(at: bigint, descriptor: bigint): void {
    this.memory.write64(this.#place(at), descriptor, !this.shape.bigEndian);
  }

  read(at: bigint): bigint {
    return this.memory.read64(this.#place(at), !this.shape.bigEndian);
  }
}
