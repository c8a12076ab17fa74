import type { MemoryRange } from "../../walkers/fuzz/world.ts";
import type { Qtest } from "./qtest.ts";

const PAGE_SHIFT = 12n;
const PAGE = 1n << PAGE_SHIFT;
const OFFSET = PAGE - 1n;
/** What is written to memory by a device: no table is made of it. */
export const DEVICE_BYTE = 0xa5;

/** The memory of a world as processors have written it, whatever devices write over it. */
export class WorldMemory {
  readonly #machine: Qtest;
  readonly #range: MemoryRange;
  readonly #ram: readonly MemoryRange[];
  /** Bytes by page; others are zero. */
  readonly #pages = new Map<bigint, Uint8Array>();

  /**
   * @param range memory whose bytes are put back when devices have written there
   * @param ram all that reads as memory: zeros elsewhere, but for little that nobody writes marks to
   */
  constructor(machine: Qtest, range: MemoryRange, ram: readonly MemoryRange[]) {
    this.#machine = machine;
    this.#range = range;
    this.#ram = ram;
  }

  has(address: bigint): boolean {
    return isIn(this.#range, address, 1);
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

  /** Puts back what was there before devices wrote. */
  async restore(address: bigint, bytes: number): Promise<void> {
    if (isIn(this.#range, address, bytes)) this.#rewrite(address, bytes);
    else if (this.#ram.some((range) => isIn(range, address, bytes))) await this.#unmark(address, bytes);
  }

  #rewrite(address: bigint, bytes: number): void {
    const was = Array.from({ length: bytes }, (_, i) => {
      const at = address + BigInt(i);
      return this.#pages.get(at >> PAGE_SHIFT)?.[Number(at & OFFSET)] ?? 0;
    });
    this.#machine.write(address, Buffer.from(was).toString("hex"));
  }

  /** What is no world's may be the driver's own: marks alone are no part of that. */
  async #unmark(address: bigint, bytes: number): Promise<void> {
    const found = await this.#machine.readBytes(address, bytes);
    if (!found.includes(DEVICE_BYTE)) return;
    const was = found.map((byte) => (byte === DEVICE_BYTE ? 0 : byte));
    this.#machine.write(address, Buffer.from(was).toString("hex"));
  }
}

function isIn({ base, bytes: size }: MemoryRange, address: bigint, bytes: number): boolean {
  return address >= base && address + BigInt(bytes) <= base + size;
}
