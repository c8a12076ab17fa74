import type { Feed } from "../../parsers/trace/line-feed.ts";

/** Gives bytes to a feed as it has room for them, to their end. */
export function fed(feed: Feed, bytes: Uint8Array): void {
  for (let from = 0; from < bytes.length && !feed.done; ) {
    const at = feed.reserve();
    const n = Math.min(feed.room, bytes.length - from);
    feed.buffer.set(bytes.subarray(from, from + n), at);
    feed.added(n);
    while (feed.busy) feed.work();
    from += n;
  }
  if (!feed.done) feed.finish();
}
