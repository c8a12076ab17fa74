import { expect, it } from "vitest";
import { FaultCache } from "../walkers/fault-cache.ts";
import { TABLE_MODELS } from "../walkers/models.ts";
import { FAULT, WalkResult } from "../walkers/result.ts";
import { TranslationCache } from "../walkers/translation-cache.ts";

/** A result that is OK, with values at the ends of what its fields can be. */
function result(n: number): WalkResult {
  const r = new WalkResult();
  r.model = TABLE_MODELS[n % TABLE_MODELS.length]!;
  r.reads = 1 + n;
  r.frame = 2 ** 52 - 1 - n;
  r.pageShift = n % 2 === 0 ? 12 : 48;
  r.firstShift = n % 3 === 0 ? 39 : 0;
  r.perm = n % 8;
  r.domain = n % 5 === 0 ? -1 : 0xffff;
  r.asid = n % 7 === 0 ? -1 : n;
  r.passthrough = n % 2 === 1;
  r.global = n % 4 === 1;
  r.ipaFrame = n % 3 === 0 ? 2 ** 44 + n : -1;
  return r;
}

it("a cached translation is what was kept, or is not found", () => {
  const cache = new TranslationCache();
  const pages = 50_000;
  for (let n = 0; n < pages; n++) cache.keep(1 + (n % 24), n >> 4, (n << 12) | (n % 8), result(n));
  let found = 0;
  for (let n = 0; n < pages; n++) {
    if (!cache.find(1 + (n % 24), n >> 4, (n << 12) | (n % 8))) continue;
    found++;
    if (n % 97 === 0) expect(cache.result).toEqual(result(n));
  }
  expect(found).toBeGreaterThan(pages * 0.6);
  expect(cache.find(25, 0, 0)).toBe(false);
  cache.clear();
  expect(cache.find(1, 0, 0)).toBe(false);
});

it("what was noted of a translation stays with it, and with it alone", () => {
  const cache = new TranslationCache();
  cache.keep(1, 0, 0x1001, result(1));
  cache.note = 11;
  cache.keep(1, 0, 0x2001, result(2));
  expect(cache.note).toBe(0);
  cache.note = 22;
  expect(cache.find(1, 0, 0x1001)).toBe(true);
  expect(cache.note).toBe(11);
  cache.note = 33;
  // Taken anew: nothing is noted of this result.
  cache.keep(1, 0, 0x1001, result(3));
  expect(cache.note).toBe(0);
  expect(cache.find(1, 0, 0x2001)).toBe(true);
  expect(cache.note).toBe(22);
});

it("two pages of one set stay, a third takes the older one's place", () => {
  const cache = new TranslationCache();
  const wanted: number[] = [];
  // Pages by set, found by trying: after a third page of a set the first one is gone.
  for (let n = 0; n < 1 << 18; n++) {
    cache.keep(1, 0, n << 12, result(n % 64));
    if (n < 1 << 10) wanted.push(n);
  }
  const left = wanted.filter((n) => cache.find(1, 0, n << 12)).length;
  expect(left).toBeLessThan(wanted.length / 4);
});

it("a fault is kept where every address of its page shares it and its entry was read", () => {
  const cache = new FaultCache();
  const fault = new WalkResult();
  fault.status = FAULT;
  fault.stage = 2;
  fault.entryHi = -1;
  cache.keep(3, -1, 0x5001, fault);
  expect(cache.find(3, -1, 0x5001)).toEqual(fault);
  expect(cache.find(3, -1, 0x5002)).toBeNull();
  expect(cache.find(4, -1, 0x5001)).toBeNull();
  const hole = new WalkResult();
  hole.status = FAULT;
  hole.hole = true;
  cache.keep(3, 0, 0x6001, hole);
  expect(cache.find(3, 0, 0x6001)).toBeNull();
  const elsewhere = new WalkResult();
  elsewhere.status = FAULT;
  elsewhere.at(0, 0x7123);
  cache.keep(3, 0, 0x7001, elsewhere);
  expect(cache.find(3, 0, 0x7001)).toBeNull();
  cache.clear();
  expect(cache.find(3, -1, 0x5001)).toBeNull();
});
