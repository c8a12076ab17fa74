import { formatBytes, formatCount } from "../size.ts";

/**
 * The line that `--timing` writes to standard error about one trace.
 * @param batched requests that were answered many at once; -1: this platform, or this input, has none
 */
export function timingLine(
  trace: string,
  requests: number,
  lines: number,
  bytes: number,
  milliseconds: number,
  batched: number,
): string {
  const seconds = Math.max(milliseconds, 0.001) / 1000;
  const peak = process.resourceUsage().maxRSS * 1024;
  return (
    `pasid-replay: ${trace}: ${requests} requests, ${lines} lines, ${formatBytes(bytes)} in ${seconds.toFixed(3)} s: ` +
    `${formatCount(requests / seconds)} requests/s, ${formatCount(lines / seconds)} lines/s, ` +
    `${formatBytes(bytes / seconds)}/s; peak memory ${formatBytes(peak)}; ` +
    `${batched < 0 ? "every request by itself" : `${batched} requests in batches`}\n`
  );
}
