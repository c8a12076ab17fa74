import type { ByteSource } from "../parsers/trace/byte-source.ts";
import { onInterrupt } from "./signals.ts";
import { formatBytes, formatCount } from "./size.ts";

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

/** A progress bar on standard error; lines without a bar where it is not a terminal. */
export async function showProgress(source: ByteSource): Promise<Progress> {
  const { default: cliProgress } = await import("cli-progress");
  const started = performance.now();
  const size = source.size;
  const name = source.path === "-" ? "standard input" : source.path;
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format:
      size === undefined
        ? "{name}  {read}  {requests} requests  {rate} requests/s"
        : "{name}  {bar}  {percentage}%  {read} of {size}  {rate} requests/s  {eta_formatted} left",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
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
