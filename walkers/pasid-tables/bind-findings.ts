import type { Rule } from "../tables/rule.ts";

/** What is wrong with a binding. */
export interface BindFinding {
  readonly rule: Rule;
  readonly message: string;
  /** The PASID whose entry shows it. */
  readonly pasid?: number;
}

/** Collects the findings of one binding. */
export class BindFindings {
  readonly list: BindFinding[] = [];

  add(rule: Rule, message: string, pasid?: number): void {
    this.list.push({ rule, message, ...(pasid === undefined ? {} : { pasid }) });
  }
}

/** "1 bit", "20 bits". */
export function bitCount(count: number): string {
  return `${count} bit${count === 1 ? "" : "s"}`;
}

/** "64 bytes", "4 KiB". */
export function sizeText(bytes: number): string {
  if (bytes % 2 ** 20 === 0) return `${bytes / 2 ** 20} MiB`;
  return bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} bytes`;
}
