/** Of many invalidations it is found out without a look at each whether one covers an entry. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MemoryBudget } from "../pipeline/caches/held/memory-budget.ts";
import { Translations } from "../pipeline/caches/held/translations.ts";
import {
  coversContext,
  coversPage,
  coversPasidEntry,
  coversTags,
} from "../pipeline/caches/invalidations/coverage.ts";
import { IssuedRanges } from "../pipeline/caches/invalidations/issued-ranges.ts";
import { PendingInvalidations } from "../pipeline/caches/invalidations/pending.ts";
import { FIRST, GLOBAL_SPACE, NO_TAG, type TranslationTag } from "../walkers/caching.ts";
import {
  ANY,
  CONTEXT_CACHE,
  coversDevice,
  Invalidation,
  IOTLB,
  NONE,
  PASID_CACHE,
  REGIME_EL1,
} from "../walkers/invalidation.ts";

describe("ranges with ticks", () => {
  const range = fc.record({ first: fc.nat(200), length: fc.nat(20), back: fc.nat(3) });

  test("are found as in a list, whether their ticks rise or only mostly do", () => {
    const asked = fc.record({
      first: fc.nat(220),
      length: fc.nat(10),
      since: fc.nat(300),
      until: fc.nat(300),
    });
    fc.assert(
      fc.property(
        fc.array(range, { minLength: 60, maxLength: 300 }),
        fc.array(asked, { minLength: 20 }),
        (all, questions) => {
          const ranges = new IssuedRanges();
          const list = all.map(({ first, length, back }, i) => ({
            first,
            last: first + length,
            tick: Math.max(i - 40 * (back & 1), 0),
          }));
          for (const { first, last, tick } of list) ranges.add(first, last, tick);
          for (const { first, length, since, until } of questions) {
            const last = first + length;
            const found = list.some(
              (one) => one.tick >= since && one.tick <= until && one.first <= last && one.last >= first,
            );
            if (ranges.some(first, last, since, until) !== found)
              expect({ first, last, since, until, found }).toBeNull();
          }
        },
      ),
    );
  });

  test("of a hundred thousand, a few are looked at", () => {
    const ranges = new IssuedRanges();
    for (let i = 0; i < 100_000; i++) ranges.add((i * 7919) % 100_000, (i * 7919) % 100_000, i);
    // No page is looked for twice within the time; what would take 10^10 steps one by one ends at once.
    let found = 0;
    for (let i = 0; i < 100_000; i++) {
      const page = (i * 7919) % 100_000;
      if (
        ranges.some(page, page, i, i) &&
        !ranges.some(page, page, i + 1, 1e6) &&
        !ranges.some(page, page, 0, i - 1)
      )
        found++;
    }
    expect(found).toBe(100_000);
  });
});

describe("invalidations that are pending", () => {
  const which = (values: readonly number[]) => fc.constantFrom(...values);
  const invalidation = fc
    .record({
      domain: which([ANY, NONE, 1, 2]),
      domainMask: which([0, 0, 1]),
      asid: which([ANY, ANY, 5, 6]),
      pasid: which([ANY, ANY, NONE, 5]),
      global: fc.boolean(),
      anyDevice: fc.boolean(),
      device: fc.nat(3),
      deviceMask: which([0, 0, 1]),
      hasAddress: fc.boolean(),
      page: fc.nat(40),
      pages: fc.integer({ min: 1, max: 20 }),
      granule: which([0, 0, 12]),
      inPieces: fc.boolean(),
      caches: which([IOTLB, CONTEXT_CACHE | PASID_CACHE, PASID_CACHE, IOTLB | CONTEXT_CACHE]),
    })
    .map(({ page, pages, ...rest }) => {
      const inv = Object.assign(new Invalidation(), rest);
      if (!inv.hasAddress) return inv;
      inv.addrHi = 0;
      inv.addrLo = page * 4096;
      inv.lastHi = 0;
      inv.lastLo = (page + pages) * 4096 - 1;
      return inv;
    });
  const budget = { pages: new MemoryBudget(2 ** 20), tags: new MemoryBudget(2 ** 20) };
  const tag = fc.record({
    domain: which([NO_TAG, 1, 2, 3]),
    space: which([NO_TAG, GLOBAL_SPACE, 5, 6, 7]),
    page: fc.nat(60),
    shift: which([12, 15]),
    device: fc.nat(3),
    since: fc.nat(100),
    until: fc.nat(120),
  });

  test("are as if each were asked", () => {
    fc.assert(
      fc.property(
        fc.array(invalidation, { minLength: 1, maxLength: 100 }),
        fc.array(tag, { minLength: 10 }),
        (all, questions) => {
          const pending = new PendingInvalidations();
          all.forEach((inv, line) => {
            pending.list.push({ inv, issued: line, line });
          });
          for (const { domain, space, page, shift, device, since, until } of questions) {
            const of: TranslationTag = {
              domain,
              space,
              stages: FIRST,
              regime: REGIME_EL1,
              withoutTopByte: false,
              leafShift: 0,
            };
            const translations = new Translations(budget);
            const set = translations.tagSet(of);
            const extent = { pageShift: shift, firstShift: 0, ipaFrame: -1 };
            const place = (inv: Invalidation) =>
              translations.ranges.place(inv, set, 0, page * 4096, extent, device);
            const within = (line: number) => line >= since && line <= until;
            const some = (covers: (inv: Invalidation) => boolean) =>
              all.some((inv, line) => within(line) && covers(inv));
            expect(pending.coverTranslation(set, device, since, place, until)).toBe(
              some((inv) => {
                // Of a larger page, only the frame that is named is sure to go.
                const size = inv.inPieces ? 12 : shift;
                return (
                  coversTags(inv, set) &&
                  coversDevice(inv, device) &&
                  coversPage(inv, set, 0, page * 4096, size, 0, -1)
                );
              }),
            );
            const context = { device, domain, pasid: space, asid: NO_TAG };
            expect(pending.coverContext(context, false, since, until)).toBe(
              some((inv) => coversContext(inv, context)),
            );
            expect(pending.coverContext(context, true, since, until)).toBe(
              some((inv) => coversPasidEntry(inv, context)),
            );
          }
        },
      ),
    );
  });
});
