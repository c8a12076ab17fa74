import fc from "fast-check";
import { expect, it } from "vitest";
import { TagSet } from "../pipeline/caches/held/tag-sets.ts";

it("page sizes are gone through from the smallest to the largest", () => {
  const tag = { domain: 1, space: -1, stages: 2, regime: 0, withoutTopByte: false };
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 63 })), (shifts) => {
      const set = new TagSet(1, tag, -1);
      for (const shift of shifts) set.saw(shift);
      const seen: number[] = [];
      for (let shift = set.nextShift(0); shift !== 0; shift = set.nextShift(shift)) seen.push(shift);
      expect(seen).toEqual([...shifts].sort((a, b) => a - b));
    }),
  );
});
