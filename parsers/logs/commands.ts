import { encodeCommand } from "../../walkers/commands/command.ts";
import type { LogOutput } from "./format.ts";
import type { LogIommu } from "./log-iommu.ts";
import { cmdText } from "./record-text.ts";

/** A native command as a record. @param assumed fields that the log does not say, and that are not zero for a reason */
export function emitCommand(
  output: LogOutput,
  iommu: LogIommu,
  name: string,
  fields: Readonly<Record<string, number | bigint>>,
  assumed: readonly string[] = [],
  wordCount?: number,
): void {
  iommu.declare();
  const words = encodeCommand(iommu.model, name, fields, wordCount).map(
    ({ hi, lo }) => `0x${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`,
  );
  output.record("cmd", cmdText(iommu.id, words, assumed.length > 0 ? JSON.stringify(assumed) : ""));
}

/** The largest multiplier of a range (IHI 0070, 4.4.1.1: NUM has five bits). */
const MAX_NUM = 31;

/** NUM and SCALE of a range of pages; null where there is no such range. */
export function rangeOf(pages: number): { NUM: number; SCALE: number } | null {
  let scale = 0;
  let left = pages;
  while (left > MAX_NUM + 1 && left % 2 === 0) {
    left /= 2;
    scale++;
  }
  return left >= 1 && left <= MAX_NUM + 1 ? { NUM: left - 1, SCALE: scale } : null;
}
