/**
 * What the reading of traces knows of logs: to tell one from a trace, and what reads it. It stands outside of both rooms,
 * because a reader of logs makes records of traces, and a log is read wherever a trace is.
 */
export { sniffLog } from "./logs/sniff-log.ts";

/** What reads logs, loaded where there is one. */
export async function loadLogFeed() {
  const { logFeed } = await import("./logs/log-feed.ts");
  return logFeed;
}
