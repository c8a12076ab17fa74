import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { newByteMask } from "../parsers/memory/byte-mask.ts";
import { EVERYTHING, NOTHING, PART, RangeSet } from "../parsers/memory/range-set.ts";

const FRAMES = 40;
/** The tests' addresses are bytes below this; a unit is small enough to cross frames and to fall inside one. */
const BYTES = FRAMES * 4096;

function add(set: RangeSet, from: number, to: number): boolean {
  return set.add(Math.floor(from / 4096), from % 4096, Math.floor(to / 4096), to % 4096);
}

describe("a set of ranges", () => {
  test("holds exactly the bytes that were added, however many ranges there are and in whatever order", () => {
    const at = fc.nat(BYTES / 16 - 1).map((n) => n * 16);
    // Small ones most of all: they stay apart, and fill several blocks.
    const size = fc.oneof(
      { weight: 60, arbitrary: fc.constant(16) },
      { weight: 4, arbitrary: fc.constant(48) },
      { weight: 1, arbitrary: fc.nat(9000) },
    );
    const range = fc.tuple(at, size);
    fc.assert(
      fc.property(fc.array(range, { minLength: 0, maxLength: 2000, size: "max" }), (ranges) => {
        const set = new RangeSet();
        const bytes = new Uint8Array(BYTES + 9000);
        for (const [start, size] of ranges) {
          const fresh = bytes.subarray(start, start + size).includes(0);
          expect(add(set, start, start + size)).toBe(fresh && size > 0);
          bytes.fill(1, start, start + size);
        }
        for (let frame = 0; frame < FRAMES; frame++) {
          const expected = bytes.subarray(frame * 4096, frame * 4096 + 4096);
          const count = expected.reduce((sum, byte) => sum + byte, 0);
          const mask = newByteMask();
          expect(set.markBytes(frame, mask)).toBe(count);
          expect(expected.every((byte, i) => ((mask[i >> 5]! >>> (i & 31)) & 1) === byte)).toBe(true);
          expect(set.coverage(frame)).toBe(count === 0 ? NOTHING : count === 4096 ? EVERYTHING : PART);
        }
      }),
      { numRuns: 12 },
    );
  });

  test("one range over thousands replaces them all", () => {
    const set = new RangeSet();
    const holes = 5000;
    for (let i = 0; i < holes; i++) add(set, i * 8192, i * 8192 + 4096);
    expect(add(set, 0, (holes - 1) * 8192)).toBe(true);
    expect(add(set, 4096, (holes - 1) * 8192 + 4096)).toBe(false);
    for (const frame of [0, 1, 2 * holes - 2]) expect(set.coverage(frame)).toBe(EVERYTHING);
    expect(set.coverage(2 * holes - 1)).toBe(NOTHING);
  });

  test("an addition moves few of the ranges, however many there are and in whatever order", () => {
    const set = new RangeSet();
    const ranges = 1 << 16;
    let moved = 0;
    const { splice } = Array.prototype;
    vi.spyOn(Array.prototype, "splice").mockImplementation(function (this: unknown[], ...args) {
      moved += this.length - args[0];
      return Reflect.apply(splice, this, args);
    });
    // An odd factor visits every place once.
    for (let i = 0; i < ranges; i++) {
      const place = (i * 7919) % ranges;
      set.add(place * 2, 0, place * 2 + 1, 0);
    }
    vi.restoreAllMocks();
    // Four columns of a block.
    expect(moved / ranges).toBeLessThan(4 * 256);
    expect(set.coverage(0)).toBe(EVERYTHING);
    expect(set.coverage(1)).toBe(NOTHING);
    expect(set.coverage(ranges * 2 - 2)).toBe(EVERYTHING);
  });
});
