import type { MemoryRange } from "../../walkers/fuzz/world.ts";
import type { Qtest } from "./qtest.ts";

const PAGE_SHIFT = 12n;
const PAGE = 1n << PAGE_SHIFT;
const OFFSET = PAGE - 1n;

/** The memory of a world as processors have written it, whatever devices write over it. */
export class WorldMemory {
  readonly #machine: Qtest;
  readonly #range: MemoryRange;
  /** Bytes by page; others are zero. */
  readonly #pages = new Map<bigint, Uint8Array>();

  /** @param range memory whose bytes are put back when devices have written there */
  constructor(machine: Qtest, range: MemoryRange) {
    this.#machine = machine;
    this.#range = range;
  }

  has(address: bigint): boolean {
    const { base, bytes } = this.#range;
    return address >= base && address < base + bytes;
  }

  /** All zeros again. */
  clear(): void {
    for (const page of this.#pages.keys()) this.#machine.clear(page << PAGE_SHIFT, PAGE);
    this.#pages.clear();
  }

  /** What a processor writes. */
  write(address: bigint, data: string): void {
    this.#machine.write(address, data);
    Buffer.from(data, "hex").forEach((byte, i) => {
      const at = address + BigInt(i);
      const page = this.#pages.get(at >> PAGE_SHIFT) ?? new Uint8Array(Number(PAGE));
      this.#pages.set(at >> PAGE_SHIFT, page);
      page[Number(at & OFFSET)] = byte;
    });
  }

  /** Puts back what a processor has written. */
  restore(address: bigint, bytes: number): void {
    if (!this.has(address) || !this.has(address + BigInt(bytes - 1))) return;
    const was = Array.from({ length: bytes }, (_, i) => {
      const at = address + BigInt(i);
      return this.#pages.get(at >> PAGE_SHIFT)?.[Number(at & OFFSET)] ?? 0;
    });
    this.#machine.write(address, Buffer.from(was).toString("hex"));
  }
}
