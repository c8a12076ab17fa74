import { constants } from "node:os";

/** Puts something in order before the process leaves: ends a write, removes a partial file, restores the terminal. */
type CleanUp = () => void | Promise<void>;

const cleanUps = new Set<CleanUp>();

/** What waits for this goes no further: the process is being left. */
export const NEVER = new Promise<never>(() => {});

/**
 * Has something done when a signal ends the process.
 * @returns a function that cancels it
 */
export function onInterrupt(cleanUp: CleanUp): () => void {
  cleanUps.add(cleanUp);
  return () => cleanUps.delete(cleanUp);
}

/** Who takes the next signal, instead of the process ending. */
let taker: (() => void) | null = null;

/**
 * Has the first signal end something that runs until somebody ends it; the next one ends the process.
 * @returns a function that cancels it
 */
export function takeInterrupt(take: () => void): () => void {
  taker = take;
  return () => {
    taker = null;
  };
}

/** Does all of it; also what is asked for meanwhile, as by the write of an output that began after the signal. */
async function putInOrder(): Promise<void> {
  while (cleanUps.size > 0) {
    const due = [...cleanUps];
    cleanUps.clear();
    await Promise.allSettled(due.map(async (cleanUp) => cleanUp()));
  }
}

/**
 * On SIGINT, SIGTERM and SIGHUP: puts everything in order and exits with 128 + the signal's number, as shells
 * report it. A second signal does not wait: it has its default action, which no write or open that hangs can hold up,
 * as they do an orderly exit.
 */
export function handleSignals(): void {
  let leaving = false;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const status = 128 + constants.signals[signal];
    process.on(signal, () => {
      const take = taker;
      taker = null;
      if (take !== null && !leaving) {
        take();
        return;
      }
      if (leaving) {
        process.removeAllListeners(signal);
        process.kill(process.pid, signal);
        return;
      }
      leaving = true;
      const exit = () => process.exit(status);
      putInOrder().then(exit, exit);
    });
  }
}
