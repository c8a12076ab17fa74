import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TagSet } from "../pipeline/caches/held/tag-sets.ts";
import { IotlbSimulation, problemOf } from "../pipeline/caches/iotlb-simulation.ts";
import { setRange } from "../walkers/commands/address-range.ts";
import { Invalidation, IOTLB, SECOND_STAGE } from "../walkers/invalidation.ts";
import { type Format, Radix, Scenario } from "./support/cache-scenario.ts";

const SECOND_ONLY = 2;
const tagSet = (id: number, domain = id) =>
  new TagSet(id, { domain, space: -1, stages: SECOND_ONLY, regime: 0, withoutTopByte: false }, -1);

/** Looks up 4 KiB pages by their number, and returns the hits and misses. */
function run(entries: number, ways: number, pages: Iterable<number>) {
  const iotlb = new IotlbSimulation({ entries, ways });
  const set = tagSet(1);
  for (const page of pages) access(iotlb, set, page, 12);
  const { hits, misses } = iotlb.result();
  return [hits, misses];
}

function access(iotlb: IotlbSimulation, set: TagSet, page: number, shift: number): void {
  const address = BigInt(page) << 12n;
  iotlb.access(set, Number(address >> 32n) | 0, Number(BigInt.asIntN(32, address)), {
    pageShift: shift,
    firstShift: 0,
    ipaFrame: -1,
  });
}

function* repeated(pages: readonly number[], times: number): Generator<number> {
  for (let i = 0; i < times; i++) yield* pages;
}
const upTo = (count: number, step = 1) => Array.from({ length: count }, (_, i) => i * step);

describe("access patterns whose hits are known", () => {
  it.each([
    ["a loop that fits misses once a page", 64, 64, repeated(upTo(64), 10), [576, 64]],
    [
      "one page more than fits defeats what replaces the least recently used",
      64,
      64,
      repeated(upTo(65), 10),
      [0, 650],
    ],
    ["a loop that fits four ways in 16 sets", 64, 4, repeated(upTo(64), 10), [576, 64]],
    ["pages that share a set do not fit, however much is free", 64, 4, repeated(upTo(5, 16), 10), [0, 50]],
    ["as many as a set has ways do", 64, 4, repeated(upTo(4, 16), 10), [36, 4]],
    ["two that share the one entry of a set evict each other", 8, 1, repeated([0, 8], 10), [0, 20]],
    ["two that do not, do not", 8, 1, repeated([0, 9], 10), [18, 2]],
    // 1 2 1 3 1 4 …: the page used in between stays in two entries.
    ["a page in constant use is never the one replaced", 2, 2, upTo(20).flatMap((i) => [100, i]), [19, 21]],
  ])("%s", (_name, entries, ways, pages, expected) => {
    expect(run(entries, ways, pages)).toEqual(expected);
  });

  it("one entry maps a large page, and none of another size or tag", () => {
    const iotlb = new IotlbSimulation({ entries: 16, ways: 16 });
    const [one, other] = [tagSet(1), tagSet(2)];
    for (let page = 512; page < 1024; page++) access(iotlb, one, page, 21);
    expect(iotlb.result()).toMatchObject({ hits: 511, misses: 1 });
    access(iotlb, one, 600, 12);
    access(iotlb, other, 600, 21);
    expect(iotlb.result()).toMatchObject({ hits: 511, misses: 3, rate: 0.994163 });
  });

  it("what covers nothing is free, and what was cleared is missed again", () => {
    const iotlb = new IotlbSimulation({ entries: 4, ways: 2 });
    expect(iotlb.result()).toEqual({ entries: 4, ways: 2, hits: 0, misses: 0, rate: 0 });
    access(iotlb, tagSet(1), 7, 12);
    iotlb.clear();
    access(iotlb, tagSet(1), 7, 12);
    expect(iotlb.result()).toMatchObject({ hits: 0, misses: 2 });
  });
});

/** The same with lists: a set is its entries, the one used last in the end. */
class NaiveIotlb {
  readonly sets: { tag: number; first: bigint; bytes: bigint }[][];
  readonly ways: number;
  hits = 0;
  misses = 0;

  constructor(entries: number, ways: number) {
    this.ways = ways;
    this.sets = upTo(entries / ways).map(() => []);
  }

  access(tag: number, page: number, shift: number): void {
    const bytes = 1n << BigInt(shift);
    const number = (BigInt(page) << 12n) / bytes;
    const set = this.sets[Number(number % BigInt(this.sets.length))]!;
    const at = set.findIndex((e) => e.tag === tag && e.bytes === bytes && e.first === number * bytes);
    if (at >= 0) this.hits++;
    else this.misses++;
    set.push(at >= 0 ? set.splice(at, 1)[0]! : { tag, first: number * bytes, bytes });
    if (set.length > this.ways) set.shift();
  }

  invalidate(domain: number, page: number, count: number): void {
    const first = BigInt(page) << 12n;
    const end = first + (BigInt(count) << 12n);
    for (const [i, set] of this.sets.entries())
      this.sets[i] = set.filter((e) => e.tag !== domain || e.first >= end || e.first + e.bytes <= first);
  }
}

describe("beside a naive model", () => {
  const shift = fc.constantFrom(12, 12, 12, 16, 21);
  const page = fc.oneof(fc.nat(40), fc.nat(3000), fc.constantFrom(2 ** 36 - 1, 2 ** 51));
  const step = fc.oneof(
    { weight: 9, arbitrary: fc.record({ tag: fc.integer({ min: 1, max: 3 }), page, shift }) },
    {
      weight: 1,
      arbitrary: fc.record({
        domain: fc.integer({ min: 1, max: 3 }),
        page: fc.nat(3000),
        count: fc.constantFrom(1, 2, 16, 600),
      }),
    },
  );

  it("it has the same hits, with invalidations by page in between", () => {
    fc.assert(
      fc.property(
        fc.constantFrom([1, 1], [8, 1], [8, 2], [12, 3], [16, 16], [64, 4]),
        fc.array(step, { maxLength: 400 }),
        ([entries, ways], steps) => {
          const iotlb = new IotlbSimulation({ entries: entries!, ways: ways! });
          const naive = new NaiveIotlb(entries!, ways!);
          const sets = [1, 2, 3].map((id) => tagSet(id));
          for (const s of steps) {
            if ("tag" in s) {
              access(iotlb, sets[s.tag - 1]!, s.page, s.shift);
              naive.access(s.tag, s.page, s.shift);
            } else {
              const inv = new Invalidation();
              inv.reset(IOTLB);
              inv.stage = SECOND_STAGE;
              inv.onDomain(s.domain);
              setRange(inv, s.page, s.count);
              iotlb.invalidate(inv);
              naive.invalidate(s.domain, s.page, s.count);
            }
          }
          const { hits, misses } = iotlb.result();
          expect({ hits, misses }).toEqual({ hits: naive.hits, misses: naive.misses });
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("in a replay", () => {
  const SECOND: Format = {
    levels: 4,
    bits: 9,
    pageBits: 12,
    table: (next) => next | 3n,
    leaf: (pa, level) => pa | 3n | (level > 1 ? 0x80n : 0n),
  };

  it("counts pages of requests, and drops what an invalidation covers", async () => {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, SECOND);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
    const pages = [0n, 1n, 2n].map((n) => 0x1000_0000n + n * 0x1000n);
    for (const page of pages) table.map(page, 0x8000_0000n + page);
    const ask = () => {
      for (const addr of pages) s.dma({ dev: "00:03.0", addr });
    };
    ask();
    ask();
    // One that faults is no look-up.
    s.dma({ dev: "00:03.0", addr: 0x2000_0000n });
    s.cmd(0x9_0032n, pages[1]!).cmd(0x25n, 0n);
    ask();
    const run = await s.run({
      iotlb: [
        { entries: 4, ways: 4 },
        { entries: 2, ways: 2 },
      ],
    });
    expect(run.of("stats")[0]!.iotlb).toEqual([
      { entries: 4, ways: 4, hits: 5, misses: 4, rate: 0.555556 },
      { entries: 2, ways: 2, hits: 0, misses: 9, rate: 0 },
    ]);
  });
});

describe("a geometry", () => {
  it.each([
    [{ entries: 0, ways: 1 }, "expected 1 to 1048576 entries, found 0"],
    [{ entries: 2 ** 20 + 1, ways: 1 }, "expected 1 to 1048576 entries, found 1048577"],
    [{ entries: 1.5, ways: 1 }, "expected 1 to 1048576 entries, found 1.5"],
    [{ entries: 64, ways: 5 }, "expected ways that divide 64 entries, found 5"],
    [{ entries: 96, ways: 4 }, "expected a power of two of sets, found 96 / 4"],
    [{ entries: 96, ways: 3 }, undefined],
  ])("%o", (geometry, problem) => {
    expect(problemOf(geometry)).toBe(problem);
    if (problem !== undefined) expect(() => new IotlbSimulation(geometry)).toThrow(problem);
  });
});
