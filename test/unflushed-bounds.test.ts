import { expect, test } from "vitest";
import { lineAt, UnflushedWrites } from "../pipeline/caches/history/unflushed-writes.ts";

const NOWHERE = { peek: () => false, view: new DataView(new ArrayBuffer(0)), at: 0 };

test("lines that nothing flushes are bounded: the latest are kept, and all of them can be flushed", () => {
  const writes = new UnflushedWrites(NOWHERE);
  const COUNT = 200_000;
  for (let frame = 0; frame < COUNT; frame++) writes.writing(frame >>> 20, frame << 12, 8, frame + 1);
  const kept = (frame: number) => writes.of(lineAt(frame, 0)).map(({ line }) => line);
  const known = Array.from({ length: COUNT }, (_, frame) => kept(frame).length).reduce((a, b) => a + b);
  expect(known).toBeGreaterThanOrEqual(1 << 15);
  expect(known).toBeLessThanOrEqual(1 << 16);
  expect([kept(COUNT - 1), kept(COUNT - 32_768), kept(0)]).toEqual([[COUNT], [COUNT - 32_767], []]);

  writes.flush(0, (COUNT - 2) << 12, 0, 0x1000);
  expect([kept(COUNT - 1), kept(COUNT - 2)]).toEqual([[COUNT], []]);
  // Among those written lately, and those before them.
  writes.flush(0, (COUNT - 32_768) << 12, 0, 32_767 * 4096);
  expect([kept(COUNT - 1), kept(COUNT - 32_768), kept(COUNT - 3)]).toEqual([[COUNT], [], []]);
  writes.flush(0, 0, 0xffff, 0);
  expect(writes.any).toBe(false);
});

test("a write and a flush at the end of the address space come to an end", () => {
  const writes = new UnflushedWrites(NOWHERE);
  writes.writing(-1, -1, 8, 1);
  expect(writes.any).toBe(true);
  writes.flush(-1, -1, 0, 8);
  expect(writes.any).toBe(false);
});
