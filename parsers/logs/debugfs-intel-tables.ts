import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  RootEntry,
  ScalableContextEntry,
} from "../../walkers/vtd/structures.ts";
import { hex } from "../../walkers/word64.ts";
import type { IntelDebugfsLine } from "./debugfs-intel.ts";
import type { TableBuilder } from "./table-builder.ts";
import { UPPER_HALF } from "./vtd-dump.ts";
import { directoryBytes } from "./vtd-dump-tables.ts";

const FRAME = 0xf_ffff_ffff_f000n;
const PRESENT = 1n;
/** VT-d 5.10, 9.5 and 9.6: a PASID's low six bits index its table, those above the directory. */
const TABLE_BITS = 6;
/** The first column of a page-table row is level 5. */
const TOP_LEVEL = 5;
const LEVEL_BITS = 9n;
const LEVEL_MASK = 0x1ffn;
const ASSUMED = '["data"]';

/**
 * Writes the tables that debugfs shows into a trace's memory. It shows all entries that are present, so what it
 * does not show is zero. PASID tables stand at free addresses: no file gives theirs.
 */
export class IntelTables {
  readonly #tables: TableBuilder;
  #root: bigint | null = null;
  #page: bigint | null = null;
  /** Placed PASID tables, by the address of the directory entry that leads there. */
  readonly #pasidTables = new Map<bigint, bigint>();

  constructor(tables: TableBuilder) {
    this.#tables = tables;
  }

  /** Whether a root table is among what was shown. */
  get known(): boolean {
    return this.#root !== null;
  }

  /** The root table of the unit whose devices come next. */
  root(addr: bigint): void {
    this.#root = addr & FRAME;
    this.#tables.table(this.#root);
  }

  device(row: Extract<IntelDebugfsLine, { kind: "device-entries" }>): void {
    const { device, root, context, pasid, pasidEntry } = row;
    if (this.#root === null) return;
    const devfn = device.requester & 0xff;
    const scalable = pasid !== undefined;
    this.#put(this.#root, device.requester >> 8, RootEntry.bytes, root);
    const contexts = (scalable && devfn >= UPPER_HALF ? root[1] : root[0]) & FRAME;
    for (const half of root) if ((half & PRESENT) !== 0n) this.#tables.table(half & FRAME);
    if (scalable) this.#put(contexts, devfn & (UPPER_HALF - 1), ScalableContextEntry.bytes, context);
    else this.#put(contexts, devfn, ContextEntry.bytes, context);
    if (scalable && (context[0] & PRESENT) !== 0n) this.#pasid(context[0], pasid, pasidEntry);
  }

  #pasid(contextLow: bigint, pasid: number, words: readonly bigint[]): void {
    const directory = contextLow & FRAME;
    this.#tables.table(directory, directoryBytes(contextLow));
    const at = directory + BigInt((pasid >> TABLE_BITS) * PasidDirectoryEntry.bytes);
    let table = this.#pasidTables.get(at);
    if (table === undefined) {
      table = this.#tables.place();
      this.#pasidTables.set(at, table);
    }
    this.#tables.word(hex(at), hex(table | PRESENT), ASSUMED);
    this.#put(table, pasid & (2 ** TABLE_BITS - 1), PasidEntry.bytes, words);
  }

  /** Entry `index` of a table: what is not shown of it is zero. */
  #put(table: bigint, index: number, bytes: number, words: readonly bigint[]): void {
    for (let i = 0; i * 8 < bytes; i++) {
      const at = hex(table + BigInt(index * bytes + i * 8));
      const word = words[i];
      if (word !== undefined) this.#tables.word(at, hex(word));
      else if (this.#tables.known(at) === undefined) this.#tables.word(at, "0x0", ASSUMED);
    }
  }

  /** The page table whose rows come next. */
  pageTable(root: bigint): void {
    this.#page = root & FRAME;
    this.#tables.table(this.#page);
  }

  /**
   * The entries on the way to one leaf.
   * @param frame of the input address
   * @param entries from level 5 down; those above the top level are 0
   */
  row(frame: bigint, entries: readonly bigint[]): boolean {
    if (this.#page === null) return false;
    let table = this.#page;
    const top = entries.findIndex((entry) => entry !== 0n);
    for (let i = top < 0 ? entries.length : top; i < entries.length && table !== 0n; i++) {
      const level = BigInt(TOP_LEVEL - i);
      const index = (frame >> (LEVEL_BITS * (level - 1n))) & LEVEL_MASK;
      this.#tables.word(hex(table + 8n * index), hex(entries[i]!));
      table = entries[i]! & FRAME;
      if (i < entries.length - 1) this.#tables.table(table);
    }
    return true;
  }
}
