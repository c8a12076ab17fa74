/** What software mapped is remembered within bounds, however often one address is mapped over another. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { historyText } from "../pipeline/mappings/history-text.ts";
import { IntervalTree } from "../pipeline/mappings/interval-tree.ts";
import { MappingHistory } from "../pipeline/mappings/mapping-history.ts";

const at = (line: number) => ({ line, seconds: undefined });
const refused = (addr: bigint) => ({ dev: "00:03.0", addr, span: 1n, access: "w" as const });

it("a part of very many mappings of one address is undone: all of it is, of the latest the rest stands on", () => {
  const history = new MappingHistory();
  for (let i = 0; i < 200; i++)
    history.map({ dev: "00:03.0", addr: BigInt(i) << 12n, size: 1n << 40n }, at(i));
  history.unmap({ dev: "00:03.0", addr: 1n << 30n, size: 1n << 30n }, at(1000));
  expect(history.of(refused(1n << 30n), at(1001)).cause).toBe("use-after-unmap");
  expect(history.of(refused(1n << 35n), at(1001))).toMatchObject({
    cause: "mapped",
    mapping: { made: at(199) },
  });
});

it("of more mappings than there is memory for the oldest go, and a fault that nothing tells of says so", () => {
  const history = new MappingHistory(0);
  const buffer = (i: number) => ({ dev: "00:03.0", addr: BigInt(i) << 40n, size: 1n << 39n });
  for (let i = 0; i < 3000; i++) history.map(buffer(i), at(i));
  const { forgotten } = history;
  expect(forgotten).toBeGreaterThan(1000);
  expect(history.of(refused(2999n << 40n), at(3001)).cause).toBe("mapped");
  const request = refused(1n << 40n);
  const found = history.of(request, at(3001));
  expect(found).toMatchObject({ cause: "never-mapped", forgotten });
  expect(historyText(found, request, at(3001))).toContain(`${forgotten} mappings are forgotten`);
});

it("of very many mappings of one address the latest are looked at, and it is said that there are more", () => {
  const history = new MappingHistory();
  const map = (i: number, access: "r" | "w") =>
    history.map({ dev: "00:03.0", addr: BigInt(i) << 12n, size: 1n << 40n, access }, at(i));
  map(0, "w");
  for (let i = 1; i < 40; i++) map(i, "r");
  expect(history.of(refused(1n << 30n), at(100))).toMatchObject({
    cause: "mapped",
    mapping: { made: at(0) },
  });
  for (let i = 40; i < 100; i++) map(i, "r");
  const request = refused(1n << 30n);
  const found = history.of(request, at(100));
  expect(found).toMatchObject({ cause: "wrong-direction", mapping: { made: at(99) }, crowded: true });
  expect(historyText(found, request, at(100))).toContain("more mappings of this address stand");
});

describe("ranges in a tree", () => {
  const range = fc.record({ first: fc.nat(60), length: fc.nat(30) });

  it("are found as in a list", () => {
    fc.assert(
      fc.property(
        fc.array(range, { maxLength: 60 }),
        range,
        fc.integer({ min: 1, max: 8 }),
        (ranges, asked, most) => {
          const tree = new IntervalTree<number>();
          ranges.forEach(({ first, length }, i) => {
            tree.insert(first, first + length, i + 1, i);
          });
          // Every third goes again.
          ranges.forEach(({ first }, i) => {
            if (i % 3 === 0) tree.remove(first, i + 1);
          });
          const { first, length } = asked;
          const touching = ranges.flatMap((one, i) =>
            i % 3 !== 0 && one.first <= first + length && one.first + one.length >= first ? [i] : [],
          );
          expect(tree.touching(first, first + length).sort((a, b) => a - b)).toEqual(touching);
          expect(tree.latest(first, first + length, most)).toEqual(touching.reverse().slice(0, most));
          expect(tree.isEmpty).toBe(ranges.length <= 1);
        },
      ),
    );
  });

  it("are found in order of coming, whether they are nested or stand in a row", () => {
    for (const size of [1, 2 ** 20]) {
      const tree = new IntervalTree<number>();
      for (let i = 0; i < 20_000; i++) tree.insert(i, i + size, i + 1, i);
      expect(tree.latest(500, 500, 3)).toEqual(size === 1 ? [500, 499] : [500, 499, 498]);
    }
  });
});
