/** What software mapped is remembered within bounds, however often one address is mapped over another. */
import { expect, it } from "vitest";
import { MappingHistory } from "../pipeline/mappings/mapping-history.ts";
import { MappingIndex, type SoftwareMapping } from "../pipeline/mappings/mapping-index.ts";

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

it("of mappings that are looked at every time, the oldest go", () => {
  const index = new MappingIndex();
  const mapping = (i: number): SoftwareMapping => ({
    dev: "",
    addr: BigInt(i) << 40n,
    size: 1n << 39n,
    pa: undefined,
    access: undefined,
    made: at(i),
    ended: null,
  });
  for (let i = 0; i < 3000; i++) index.add(mapping(i));
  const near = [...index.near(0n, 4096n)];
  expect(near.length).toBeLessThanOrEqual(1024);
  expect(index.forgotten).toBe(3000 - near.length);
  expect(near.at(-1)!.made.line).toBe(2999);
});
