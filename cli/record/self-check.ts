import type { GuestMemory } from "../../walkers/memory.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";

/** What memory was at the end: the pages of tables and queues. */
export interface EndMemory {
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

/** Whether what was recorded is all that happened: memory at the start and the stores since, against memory at the end. */
export interface SelfCheck {
  /** Pages of tables and queues at the end. */
  readonly pages: number;
  /** Bytes that differ, and the frames that they are in. */
  readonly bytes: number;
  readonly frames: readonly number[];
}

/** @param recorded memory as the trace has it at its end */
export function selfCheck(recorded: GuestMemory, { pages }: EndMemory): SelfCheck {
  const frames: number[] = [];
  let bytes = 0;
  for (const [frame, page] of pages) {
    const known = recorded.fetch(frame, 0, FRAME_BYTES);
    let differing = 0;
    for (let i = 0; i < FRAME_BYTES; i++)
      if (!known || recorded.view.getUint8(recorded.at + i) !== page[i]) differing++;
    if (differing > 0) frames.push(frame);
    bytes += differing;
  }
  return { pages: pages.size, bytes, frames };
}

/** The check in a sentence. */
export function selfCheckText({ pages, bytes, frames }: SelfCheck): string {
  const what = "memory at the start and the recorded stores";
  if (bytes === 0)
    return `${what} give all ${pages} pages of tables and queues as they are at the end, byte for byte`;
  const where = frames.slice(0, 3).map((frame) => `0x${frame.toString(16)}000`);
  return `not exact: ${what} differ from memory at the end in ${bytes} bytes of ${frames.length} of ${pages} pages (${where.join(", ")}${frames.length > 3 ? ", …" : ""})`;
}
