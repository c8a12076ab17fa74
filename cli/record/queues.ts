import type { QueuePlace } from "../../parsers/logs/qemu-iommus.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";

/** The frames that a queue of commands lies in; none where there is no queue, or its place is not known. */
export function queueFrames(queue: QueuePlace, registers: ReadonlyMap<string, bigint>): number[] {
  const value = registers.get(queue.register) ?? 0n;
  const base = value & queue.mask;
  if (base === 0n) return [];
  const { shift, bits, unit } = queue.size;
  const log2 = Number((value >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n));
  const bytes = BigInt(unit) << BigInt(Math.min(log2, MAX_LOG2));
  const first = Number(base / BigInt(FRAME_BYTES));
  const last = Number((base + bytes - 1n) / BigInt(FRAME_BYTES));
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

/** The largest queues have 2^20 entries. */
const MAX_LOG2 = 20;
