import fc from "fast-check";
import { expect, test } from "vitest";
import type { CachedTranslation } from "../pipeline/caches/held/cached-translation.ts";
import { SupersededPages } from "../pipeline/caches/held/superseded-pages.ts";

/** As many versions are kept of a page. */
const VERSIONS = 16;

const steps = fc.array(
  fc.record({
    what: fc.constantFrom("add", "add", "add", "add", "drop", "fill", "forget"),
    page: fc.integer({ min: 0, max: 11 }),
    invalidated: fc.boolean(),
    back: fc.integer({ min: 0, max: 40 }),
  }),
  { maxLength: 400 },
);

test("what is kept of pages is what lists of it would be", () => {
  fc.assert(
    fc.property(steps, (list) => {
      const pages = new SupersededPages();
      const model = new Map<number, CachedTranslation[]>();
      let epoch = 0;
      list.forEach(({ what, page, invalidated, back }, i) => {
        const time = i + 1;
        const key = page * 2 ** 40 + 1;
        const old = model.get(key) ?? [];
        if (what === "add") {
          pages.add(key, { context: i, time, invalidated }, epoch);
          const all = [...old, { context: i, time, invalidated }];
          const gone = Math.max(
            all.findIndex((one) => one.invalidated || one.time <= epoch),
            0,
          );
          model.set(key, all.length > VERSIONS ? all.toSpliced(gone, 1) : all);
        } else if (what === "drop") {
          if (back < 3) epoch = Math.max(epoch, time - 100);
          const lost = pages.invalidate(key, epoch, (filled) => filled <= time - back);
          const covered = (one: CachedTranslation) =>
            !one.invalidated && one.time > epoch && one.time <= time - back;
          expect(lost).toBe(old.filter(covered).length);
          if (old.length > 0)
            model.set(
              key,
              old.map((one) => (covered(one) ? { ...one, invalidated: true } : one)),
            );
        } else if (what === "fill") {
          const one = old.find((known) => !known.invalidated);
          if (one === undefined) return;
          pages.fill(key, one, time);
          model.set(
            key,
            old.map((known) => (known === one ? { ...known, time } : known)),
          );
        } else if (model.size > 0) {
          const [first] = model.keys();
          model.delete(first!);
          pages.forgetOldest(epoch);
        }
      });
      expect(pages.size).toBe(model.size);
      for (const [key, versions] of model) expect(pages.of(key)).toEqual(versions);
      expect(pages.of(99)).toEqual([]);
    }),
    { numRuns: 200 },
  );
});
