import type { Layout } from "../../walkers/layout.ts";
import type { LogOutput } from "./format.ts";
import { littleEndian, memText, recordText } from "./record-text.ts";

/** Entries whose last value is remembered; past that they are forgotten and written again, which changes nothing. */
const MAX_ENTRIES = 1 << 18;
/** Where tables are placed whose address no log gives: high in the address space, where machines have no memory. */
const PLACED_BASE = 0xf_0000_0000_00n;
const PAGE = 4096;
/** Tables that are remembered: one that is forgotten is declared again. */
const MAX_TABLES = 1 << 16;

/** Writes table entries into a trace's memory as a log shows them, each value once. */
export class TableBuilder {
  readonly #output: LogOutput;
  /** The last value of each entry, both as hex digits. */
  readonly #entries = new Map<string, string>();
  /** Sizes of the tables that were declared, by address. */
  readonly #tables = new Map<bigint, number>();
  #nextFree: bigint;

  /** The log shows what was read, not what was written. */
  #asRead = false;

  /** @param base first address for tables whose address is not known */
  constructor(output: LogOutput, base = PLACED_BASE) {
    this.#output = output;
    this.#nextFree = base;
  }

  /** Of a log that shows what was read, not what was written. */
  ofReads(): this {
    this.#asRead = true;
    return this;
  }

  /**
   * A 64-bit entry that the log shows.
   * @param addr 0x and hex digits
   * @param value hex digits, with or without 0x
   * @param assumed JSON of what the log does not say
   */
  word(addr: string, value: string, assumed = ""): void {
    if (this.#complete || this.#entries.get(addr) === value) return;
    this.#remember(addr, value);
    this.#output.record("mem", memText(addr, littleEndian(value), assumed, this.#asRead));
  }

  /** An entry of a structure, as its bytes. */
  bytes(addr: string, bytes: Uint8Array, assumed = ""): void {
    const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
    if (this.#complete || this.#entries.get(addr) === data) return;
    this.#remember(addr, data);
    this.#output.record("mem", memText(addr, data, assumed, this.#asRead));
  }

  /**
   * An entry built from fields: what is not given is as it is in memory that was given beside the log, or else zero, and
   * that is an assumption.
   */
  entry<F extends string>(
    layout: Layout<F>,
    addr: string,
    fields: Partial<Record<F, number | bigint>>,
  ): void {
    const known = this.#knownBytes(addr, layout.bytes);
    if (known === null) {
      this.bytes(addr, layout.build(fields), '["data"]');
      return;
    }
    const before = Buffer.from(known);
    layout.encode(fields, new DataView(known.buffer), 0);
    if (!before.equals(known)) this.bytes(addr, known, '["data"]');
  }

  /** A copy of what given memory holds; null where it is not known. */
  #knownBytes(addr: string, bytes: number): Uint8Array<ArrayBuffer> | null {
    const { known } = this.#output;
    const at = BigInt(addr);
    if (known?.hasNow !== true || !known.now.fetch(Number(at >> 12n), Number(at & 0xfffn), bytes))
      return null;
    const { view } = known.now;
    return new Uint8Array(
      view.buffer,
      view.byteOffset + known.now.at,
      bytes,
    ).slice() as Uint8Array<ArrayBuffer>;
  }

  /**
   * An address for a table of `bytes` whose own no log gives, aligned to its size (a power of two, 4 KiB or more). All of
   * it is zero.
   */
  place(bytes = PAGE): bigint {
    const size = BigInt(bytes);
    const address = (this.#nextFree + size - 1n) & ~(size - 1n);
    this.#nextFree = address + size;
    this.table(address, bytes, true);
    return address;
  }

  /** The word that was written last to this address, undefined where none is known. @param addr 0x and hex digits */
  known(addr: string): bigint | undefined {
    const value = this.#entries.get(addr);
    return value === undefined ? undefined : BigInt(value.startsWith("0x") ? value : `0x${value}`);
  }

  /** A table is here: what no log shows of it is taken for zero. */
  table(address: bigint, bytes = PAGE, placed = false): void {
    if (this.#complete || this.#tables.get(address) === bytes) return;
    if (this.#tables.size >= MAX_TABLES) this.#tables.clear();
    this.#tables.set(address, bytes);
    const assumed = placed ? ["addr", "size"] : ["size"];
    this.#output.record(
      "ram",
      recordText("ram", { addr: hexOfBig(address), size: `0x${bytes.toString(16)}`, assumed }),
    );
  }

  /** The log has every store: what else it shows is there already. */
  get #complete(): boolean {
    return this.#output.known?.complete === true;
  }

  /** Forgets what it has written: memory may have changed since. */
  forget(): void {
    this.#entries.clear();
    this.#tables.clear();
  }

  #remember(addr: string, value: string): void {
    if (this.#entries.size >= MAX_ENTRIES) this.#entries.clear();
    this.#entries.set(addr, value);
  }
}

export function hexOfBig(value: bigint): string {
  return `0x${value.toString(16)}`;
}
