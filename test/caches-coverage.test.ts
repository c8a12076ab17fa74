import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TagSet } from "../pipeline/caches/held/tag-sets.ts";
import { coversPage } from "../pipeline/caches/invalidations/coverage.ts";
import { NO_TAG, SECOND } from "../walkers/caching.ts";
import { Invalidation } from "../walkers/invalidation.ts";
import { MAX64, word } from "./support/command-words.ts";

const set = new TagSet(
  1,
  { domain: 1, space: NO_TAG, stages: SECOND, regime: 0, withoutTopByte: false },
  NO_TAG,
);

describe("coversPage", () => {
  it("is true where page and range overlap", () => {
    const near = (base: bigint) =>
      fc.oneof(
        fc.bigInt(0n, MAX64),
        fc.bigInt(-2n, 2n).map((off) => {
          const at = base + off;
          return BigInt.asUintN(64, at);
        }),
      );
    const cases = fc.bigInt(0n, MAX64).chain((one) =>
      near(one).chain((other) => {
        const [first, last] = one <= other ? [one, other] : [other, one];
        return fc.tuple(
          fc.constant(first),
          fc.constant(last),
          fc.oneof(near(first), near(last)),
          fc.integer({ min: 12, max: 63 }),
        );
      }),
    );
    fc.assert(
      fc.property(cases, ([first, last, at, shift]) => {
        const inv = new Invalidation();
        const f = word(first);
        const l = word(last);
        Object.assign(inv, { hasAddress: true, addrHi: f.hi, addrLo: f.lo, lastHi: l.hi, lastLo: l.lo });
        const base = (at >> BigInt(shift)) << BigInt(shift);
        const end = base + (1n << BigInt(shift)) - 1n;
        const a = word(at);
        expect(coversPage(inv, set, a.hi, a.lo, shift, 0, -1)).toBe(base <= last && end >= first);
      }),
      { numRuns: 2000 },
    );
  });
});
