import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { formatBytes, formatCount } from "../pipeline/words/sizes.ts";
import { onInterrupt } from "./signals.ts";

/** Shows how far a replay has come. */
export interface Progress {
  update(bytesRead: number, requests: number): void;
  /** Ends the display and gives the terminal back; may be called again. */
  stop(): void;
}

export const NO_PROGRESS: Progress = { update() {}, stop() {} };

/** How often the display changes, at a terminal and elsewhere, in milliseconds. */
const TERMINAL_INTERVAL = 100;
const LOG_INTERVAL = 2000;

/** Columns of a terminal that does not say how many it has. */
const TERMINAL_COLUMNS = 80;
/** From so many columns on there is room for the sizes. */
const WIDE = 110;
const NARROW_BAR = 16;
const WIDE_BAR = 24;
/** What stands beside the name and the bar, at its longest. */
const NARROW_REST = "    100%  999.9 k requests/s  59:59 min left".length;
const WIDE_REST = "    100%  1023.9 MiB of 1023.9 MiB  999.9 k requests/s  59:59 min left".length;

/** How a line of progress is laid out, so that it fits. */
function layoutOf(columns: number, sized: boolean): { format: string; bar: number; name: number } {
  const wide = columns >= WIDE;
  if (!sized)
    return { format: "{name}  {read}  {requests} requests  {rate} requests/s", bar: 0, name: columns - 50 };
  const sizes = wide ? "  {read} of {size}" : "";
  const bar = wide ? WIDE_BAR : NARROW_BAR;
  return {
    format: `{name}  {bar}  {percentage}%${sizes}  {rate} requests/s  {left} left`,
    bar,
    name: columns - 1 - bar - (wide ? WIDE_REST : NARROW_REST),
  };
}

/** Time that the rest takes, at the speed so far: "42 s", "3:07 min"; the display's own is none when all has been read. */
function timeLeft(done: number, size: number, milliseconds: number): string {
  const seconds = done === 0 ? 0 : Math.round((milliseconds * Math.max(0, size - done)) / done / 1000);
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, "0")} min`;
}

/** The end of a path, which tells most. */
function shortened(path: string, columns: number): string {
  return path.length <= columns ? path : `…${path.slice(path.length - Math.max(columns, 8) + 1)}`;
}

/** A progress bar on standard error; lines without a bar where it is not a terminal. */
export async function showProgress(source: ByteSource): Promise<Progress> {
  const { default: cliProgress } = await import("cli-progress");
  const started = performance.now();
  const size = source.size;
  const layout = layoutOf(process.stderr.columns ?? TERMINAL_COLUMNS, size !== undefined);
  const name = shortened(source.path === "-" ? "standard input" : source.path, layout.name);
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: layout.format,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: layout.bar,
    fps: 1000 / TERMINAL_INTERVAL,
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    noTTYOutput: true,
    notTTYSchedule: LOG_INTERVAL,
    emptyOnZero: true,
  });
  const fields = (bytesRead: number, requests: number) => ({
    name,
    read: formatBytes(bytesRead),
    size: formatBytes(size ?? 0),
    requests: formatCount(requests),
    left: timeLeft(bytesRead, size ?? 0, performance.now() - started),
    rate: formatCount((requests * 1000) / Math.max(1, performance.now() - started)),
  });
  bar.start(Math.max(size ?? 0, 1), 0, fields(0, 0));
  let running = true;
  const stop = () => {
    cancel();
    if (!running) return;
    running = false;
    bar.stop();
  };
  const cancel = onInterrupt(stop);
  return {
    update: (bytesRead, requests) => bar.update(bytesRead, fields(bytesRead, requests)),
    stop,
  };
}
