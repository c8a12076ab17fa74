import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CachedPages, SLOT_BYTES } from "../pipeline/caches/held/cached-pages.ts";
import { MemoryBudget } from "../pipeline/caches/held/memory-budget.ts";

const PLENTY = 2 ** 30;
/** What each table may have whatever the others have; an empty one takes nothing. */
const SMALLEST = 1024 * SLOT_BYTES;

/** The page of a number; few enough differ to meet again. */
const key = (n: number) => [1 + (n % 3), n >> 20, (n << 12) | 12] as const;

describe("with room for all", () => {
  it("it is a map", () => {
    const step = fc.record({
      what: fc.constantFrom("set", "set", "set", "remove", "find"),
      page: fc.oneof(fc.nat(200), fc.nat(2 ** 30)),
      value: fc.nat(2 ** 30),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 3000, size: "max" }), (steps) => {
        const pages = new CachedPages(new MemoryBudget(PLENTY));
        const map = new Map<number, number>();
        for (const { what, page, value } of steps) {
          if (what === "set") {
            pages.set(...key(page), value, -value);
            map.set(page, value);
          } else if (what === "remove") {
            pages.remove(...key(page));
            map.delete(page);
          }
          const found = pages.find(...key(page));
          expect(found ? [pages.context, pages.time] : []).toEqual(
            map.has(page) ? [map.get(page), -map.get(page)!] : [],
          );
        }
        expect(pages.size).toBe(map.size);
        const all: number[] = [];
        pages.forEach((_tag, _hi, _lo, context) => {
          all.push(context);
        });
        expect(all.sort()).toEqual([...map.values()].sort());
        expect(pages.evicted).toBe(0);
      }),
      { numRuns: 30 },
    );
  });

  it("pages that come and go leave no room behind", () => {
    const pages = new CachedPages(new MemoryBudget(PLENTY));
    for (let n = 0; n < 200_000; n++) {
      pages.set(...key(n), n, n);
      if (n >= 100) pages.remove(...key(n - 100));
    }
    expect(pages.size).toBe(100);
    expect(pages.bytes).toBeLessThanOrEqual(SMALLEST);
  });
});

describe("with room for some", () => {
  const LIMIT = 64 * SMALLEST;

  it("what has not been used for longest goes, and every loss is counted", () => {
    const budget = new MemoryBudget(LIMIT);
    const pages = new CachedPages(budget);
    const COUNT = 500_000;
    for (let n = 0; n < COUNT; n++) {
      pages.set(...key(n), n, n + 1);
      // Page 0 is in use all the time.
      pages.set(...key(0), 0, n + 1);
    }
    expect(pages.bytes).toBeLessThanOrEqual(LIMIT);
    expect(budget.free).toBe(LIMIT - pages.bytes);
    expect(pages.size + pages.evicted).toBe(COUNT);
    // At least a third of the room holds the latest, with nothing missing among them.
    const latest = Math.floor(LIMIT / SLOT_BYTES / 3);
    expect(pages.size).toBeGreaterThanOrEqual(latest);
    for (let n = COUNT - latest; n < COUNT; n++) expect(pages.find(...key(n))).toBe(true);
    expect(pages.find(...key(1))).toBe(false);
    expect(pages.find(...key(0))).toBe(true);
    expect(pages.time).toBe(COUNT);
    pages.clear();
    expect(budget.free).toBe(LIMIT);
  });

  it("a table may become small, but not tiny, where others have taken everything", () => {
    const budget = new MemoryBudget(0);
    const tables = Array.from({ length: 100 }, () => new CachedPages(budget));
    expect(budget.free).toBe(0);
    for (let n = 0; n < 768; n++) tables[0]!.set(...key(n), n, n);
    expect([tables[0]!.size, tables[0]!.evicted, tables[0]!.rotations]).toEqual([768, 0, 0]);
    for (let n = 768; n < 5000; n++) tables[0]!.set(...key(n), n, n);
    expect(tables[0]!.bytes).toBeLessThanOrEqual(2 * SMALLEST);
    expect(tables[0]!.size + tables[0]!.evicted).toBe(5000);
    expect(tables[0]!.size).toBeGreaterThan(700);
  });

  it("several tables share what there is", () => {
    const budget = new MemoryBudget(LIMIT);
    const tables = [0, 1, 2].map(() => new CachedPages(budget));
    for (let n = 0; n < 300_000; n++) tables[n % 3]!.set(...key(n), n, n);
    const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
    expect(bytes).toBeLessThanOrEqual(LIMIT + 3 * SMALLEST);
    expect(budget.free).toBe(LIMIT - bytes);
    for (const table of tables) expect(table.size).toBeGreaterThan(0);
  });
});
