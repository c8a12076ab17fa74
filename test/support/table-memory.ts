import { FRAME_BYTES, FRAME_MASK, type GuestMemory } from "../../walkers/memory.ts";

/**
 * Guest memory for tests that build tables by hand: byte addresses as bigint, written word by word. A frame
 * exists from the first write into it (or `ram`), all of it; everything else is a hole.
 */
export class TableMemory implements GuestMemory {
  view: DataView = new DataView(new ArrayBuffer(0));
  at = 0;
  generation = 0;
  /** Every fetch, for tests of how much a walk reads. */
  fetches = 0;
  readonly frames = new Map<number, DataView>();

  fetch(frame: number, offset: number, bytes: number): boolean {
    this.fetches++;
    if (offset + bytes > FRAME_BYTES)
      throw new Error(`fetch of ${bytes} bytes at offset ${offset} crosses a frame`);
    const view = this.frames.get(frame);
    if (view === undefined) return false;
    this.view = view;
    this.at = offset;
    return true;
  }

  /** Makes frames exist, zeroed, without writing to them. */
  ram(address: bigint, size: bigint): void {
    for (let a = address; a < address + size; a += BigInt(FRAME_BYTES)) this.#page(a);
  }

  write64(address: bigint, value: bigint, littleEndian = true): void {
    this.#page(address).setBigUint64(
      Number(address & BigInt(FRAME_MASK)),
      BigInt.asUintN(64, value),
      littleEndian,
    );
    this.generation++;
  }

  read64(address: bigint, littleEndian = true): bigint {
    return this.#page(address).getBigUint64(Number(address & BigInt(FRAME_MASK)), littleEndian);
  }

  /** Writes bytes, which may cross frames. */
  write(address: bigint, data: Uint8Array): void {
    for (let from = 0; from < data.length; ) {
      const a = address + BigInt(from);
      const view = this.#page(a);
      const at = Number(a & BigInt(FRAME_MASK));
      const part = data.subarray(from, from + FRAME_BYTES - at);
      new Uint8Array(view.buffer).set(part, at);
      from += part.length;
    }
    this.generation++;
  }

  #page(address: bigint): DataView {
    const frame = Number(address >> 12n);
    let view = this.frames.get(frame);
    if (view === undefined) {
      view = new DataView(new ArrayBuffer(FRAME_BYTES));
      this.frames.set(frame, view);
    }
    return view;
  }
}
