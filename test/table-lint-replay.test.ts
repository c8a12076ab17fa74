import { describe, expect, test } from "vitest";
import { TABLE_RULES } from "../walkers/tables/table-rules.ts";
import { CD0, S2, STAGE1, STAGE2 } from "./support/table-cases/smmuv3.ts";
import { FIRST, SECOND } from "./support/table-cases/vtd.ts";
import { findingsOf, mem } from "./support/table-lint.ts";

const PRELUDE = [
  { type: "ram", addr: "0x0", size: "0x10000" },
  { type: "iommu", id: "dmar0", model: "intel", props: { output_bits: 48 } },
  mem(0x1000n, 0x2001n),
  mem(0x2000n, ...FIRST, 0n, 0n, 0n, 0n, 0n),
  {
    type: "bind",
    dev: "00:03.0",
    iommu: "dmar0",
    config: { version: 1, model: "intel", base_ptr: "0x1000", pasid_bits: 8 },
  },
];
const DMA = { type: "dma", dev: "00:03.0", pasid: 0, addr: "0x0" };
const first = PRELUDE.length + 1;
const tableFindings = async (...records: object[]) =>
  (await findingsOf([...PRELUDE, ...records]))
    .filter((f) => f.rule in TABLE_RULES)
    .map((f) => [f.line, f.rule, f.field ?? f.bits]);

describe("changed-while-valid", () => {
  const other = [0x49n, 2n, 0x4000n, 0n, 0n, 0n, 0n, 0n];

  test("two units of 16 bytes of a valid entry change at once", async () => {
    expect(await tableFindings(DMA, mem(0x2000n, ...other), DMA)).toEqual([
      [first + 1, "changed-while-valid", "255:128,127:0"],
    ]);
  });

  test("or one after the other, without a use in between", async () => {
    expect(await tableFindings(DMA, mem(0x2008n, 2n), mem(0x2010n, 0x4000n), DMA)).toEqual([
      [first + 2, "changed-while-valid", "255:128,127:0"],
    ]);
  });

  test("but not where it was made invalid first", async () => {
    const dropped = { type: "inv", cache: "pasid", granularity: "global" };
    expect(await tableFindings(DMA, mem(0x2000n, 0x48n), dropped, mem(0x2000n, ...other), DMA)).toEqual([]);
    // The IOMMU may have read one half before and the other one after.
    expect(await tableFindings(DMA, mem(0x2000n, 0x48n), mem(0x2000n, ...other), DMA)).toEqual([
      [first + 2, "changed-while-valid", "255:128,127:0"],
    ]);
  });

  test("nor where one unit changes, nor where it was not valid, nor where nothing changes", async () => {
    expect(await tableFindings(DMA, mem(0x2000n, 0x49n, 2n), DMA)).toEqual([]);
    expect(await tableFindings(DMA, mem(0x2040n, ...other), DMA)).toEqual([]);
    expect(await tableFindings(DMA, mem(0x2000n, ...FIRST, 0n, 0n, 0n, 0n, 0n), DMA)).toEqual([]);
  });

  test("SMMUv3: words that the entry as it was does not use may change first", async () => {
    const prelude = [
      { type: "ram", addr: "0x0", size: "0x40000" },
      {
        type: "iommu",
        id: "smmu0",
        model: "arm-smmuv3",
        regs: { strtab_base: "0x8000", strtab_base_cfg: "0x3" },
      },
      // Stage 1 of stream 3.
      mem(0x80c0n, 0x10000n | STAGE1, 0n, 0n, 0n),
      mem(0x10000n, CD0, 0x20000n),
    ];
    const dma = { type: "dma", dev: "sid:3", addr: "0x0" };
    const found = async (...records: object[]) =>
      (await findingsOf([...prelude, dma, ...records, dma]))
        .filter((f) => f.rule in TABLE_RULES)
        .map((f) => f.rule);
    const sync = { type: "cmd", iommu: "smmu0", data: ["0x46", "0x0"] };
    const invalidate = { type: "cmd", iommu: "smmu0", data: ["0x300000003", "0x1"] };
    // To stage 2: its words first, then the one that says so.
    expect(await found(mem(0x80d0n, S2, 0x20000n), invalidate, sync, mem(0x80c0n, STAGE2))).toEqual([]);
    expect(await found(mem(0x80c0n, STAGE2, 0x10n), sync)).toEqual(
      expect.arrayContaining(["changed-while-valid"]),
    );
  });
});

describe("when entries are judged", () => {
  const bad = [0x149n, 1n, 0n, 0n, 0n, 0n, 0n, 0n];

  test("an entry that is written in pieces is judged once, as it is in the end", async () => {
    const pieces = [0x49n, 1n, 0x3000n].map((word, i) => mem(0x2080n + 8n * BigInt(i), word));
    // A PASID entry with P and a type, but no table yet: 0 is in RAM; DID 1 with PASID 2 is its own.
    expect(await tableFindings(DMA, mem(0x2080n, 0x141n), ...pieces, DMA)).toEqual([
      [first + 4, "valid-before-complete", "255:128,127:0"],
    ]);
    expect(await tableFindings(DMA, ...pieces, mem(0x2080n, 0x141n), mem(0x2088n, 1n), DMA)).toEqual([
      [first + 5, "illegal-encoding", "PGTT"],
      [first + 4, "valid-before-complete", "255:128,127:0"],
    ]);
  });

  test("at the next request, command or invalidation, which is when an IOMMU may see it", async () => {
    for (const use of [DMA, { type: "inv", iommu: "dmar0", cache: "pasid", granularity: "global" }])
      expect(await tableFindings(DMA, mem(0x2080n, ...bad), use, mem(0x2080n, 0n), DMA)).toEqual([
        [first + 1, "illegal-encoding", "PGTT"],
      ]);
  });

  test("a bound table when it is first used, at the line that wrote it; at the end of the trace, too", async () => {
    const broken = [...PRELUDE.slice(0, 3), mem(0x2000n, ...bad), PRELUDE[4]!];
    for (const records of [[...broken, DMA], broken])
      expect((await findingsOf(records)).filter((f) => f.rule in TABLE_RULES)).toMatchObject([
        { line: 4, rule: "illegal-encoding", severity: "error", iommu: "dmar0", dev: "00:03.0", pasid: 0 },
      ]);
  });

  test("the same mistake once, another value again", async () => {
    expect(
      await tableFindings(
        DMA,
        mem(0x2080n, ...bad),
        DMA,
        mem(0x2080n, ...bad),
        DMA,
        mem(0x2080n, 0x189n | 0x40n),
        DMA,
      ),
    ).toEqual([[first + 1, "illegal-encoding", "PGTT"], expect.anything()]);
  });

  test("a table that nothing leads to any more is no table", async () => {
    const unlinked = await tableFindings(DMA, mem(0x1000n, 0n), DMA, mem(0x2000n, ...bad), DMA);
    expect(unlinked).toEqual([]);
    const inOneGo = await tableFindings(DMA, mem(0x2000n, ...bad), mem(0x1000n, 0n), DMA);
    expect(inOneGo).toEqual([]);
    const unbound = await tableFindings(DMA, { type: "unbind", dev: "00:03.0" }, mem(0x2000n, ...bad), {
      type: "inv",
      cache: "all",
      granularity: "global",
    });
    expect(unbound).toEqual([]);
  });

  test("a table that a directory entry comes to lead to, at the line that wrote it", async () => {
    expect(await tableFindings(DMA, mem(0x5000n, ...bad), DMA, mem(0x1008n, 0x5001n), DMA)).toEqual([
      [first + 1, "illegal-encoding", "PGTT"],
    ]);
  });

  test("a tag is free again when the entry that had it is gone", async () => {
    const taken = [0x3000n | SECOND, 5n, 0n, 0n, 0n, 0n, 0n, 0n];
    const same = [0x4000n | SECOND, 5n, 0n, 0n, 0n, 0n, 0n, 0n];
    expect(await tableFindings(mem(0x2040n, ...taken), DMA, mem(0x2080n, ...same), DMA)).toEqual([
      [first + 2, "tag-reused", "DID"],
    ]);
    expect(
      await tableFindings(mem(0x2040n, ...taken), DMA, mem(0x2040n, 0n), mem(0x2080n, ...same), DMA),
    ).toEqual([]);
  });

  test("registers that change make tables what they were not", async () => {
    const found = await tableFindings(
      mem(0x2010n, 0x3004n),
      DMA,
      { type: "iommu", id: "dmar0", model: "intel", props: { fs5lp: false } },
      DMA,
    );
    expect(found).toEqual([[first + 2, "unsupported-encoding", "FSPM"]]);
  });
});
