import type { Summary } from "../../pipeline/output/statistics.ts";
import { formatBytes, formatCount } from "../../pipeline/words/sizes.ts";

/**
 * The line that `--timing` writes to standard error about one trace.
 */
export function timingLine(
  trace: string,
  requests: number,
  bytes: number,
  milliseconds: number,
  { lines, batched, threads, missed }: Summary,
): string {
  const seconds = Math.max(milliseconds, 0.001) / 1000;
  const peak = process.resourceUsage().maxRSS * 1024;
  return (
    `pasid-replay: ${trace}: ${requests} requests, ${lines} lines, ${formatBytes(bytes)} in ${seconds.toFixed(3)} s: ` +
    `${formatCount(requests / seconds)} requests/s, ${formatCount(lines / seconds)} lines/s, ` +
    `${formatBytes(bytes / seconds)}/s; peak memory ${formatBytes(peak)}; ` +
    `${batched < 0 ? "every request by itself" : `${batched} requests in batches`}` +
    `${threads > 1 ? `; ${threads} threads` : ""}${missed.map((what) => `; without ${what}`).join("")}\n`
  );
}
