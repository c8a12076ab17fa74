/** What QMP's `query-memory-devices` answers (QEMU's qapi/machine.json, MemoryDeviceInfo). */
import type { MemoryRegion } from "./monitor-text.ts";

/** Where memory devices have their memory: DIMMs say it as `addr`, the others as `memaddr`. Those that have none are left out. */
export function memoryDevices(answer: unknown): MemoryRegion[] {
  if (!Array.isArray(answer)) return [];
  return answer.flatMap((device: { type?: unknown; data?: Readonly<Record<string, unknown>> }) => {
    const data = device?.data ?? {};
    const first = data.addr ?? data.memaddr;
    const { size } = data;
    if (!Number.isSafeInteger(first) || !Number.isSafeInteger(size) || size === 0) return [];
    const at = BigInt(first as number);
    return [{ name: String(data.id ?? device.type), first: at, last: at + BigInt(size as number) - 1n }];
  });
}
