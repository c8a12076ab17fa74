import { describe, expect, test } from "vitest";
import { WrittenLines } from "../pipeline/findings/tables/written-lines.ts";
import { findingsOf, mem } from "./support/table-lint.ts";

const CAPABILITIES = { cap: "0x1d2008c22260206", ecap: "0xfdf" };
const IOMMU = {
  type: "iommu",
  id: "dmar0",
  model: "intel",
  regs: { ...CAPABILITIES, rtaddr: "0x1000", gsts: "0xc0000000" },
};
const RAM = { type: "ram", addr: "0x0", size: "0x100000" };
const ROOT = mem(0x1000n, 0x2001n, 0n);
/** AW says 4 levels, and CAP.SAGAW has 3 alone. */
const WRONG = [0x3001n, 0x502n];
const RIGHT = [0x3001n, 0x501n];
const TABLE = mem(0x3000n, 0x4003n);
const DMA = { type: "dma", dev: "00:02.0", addr: "0x0" };
const RESTRICTED = "unsupported-encoding";

/** Lines of the findings on AW, and devices. */
async function lines(...records: object[]): Promise<unknown[]> {
  const found = await findingsOf(records);
  return found.filter((f) => f.rule === RESTRICTED).map((f) => [f.line, f.dev]);
}

describe("a finding on a table that was written before anything used it has the line that wrote the entry", () => {
  test("after the iommu record, or before it", async () => {
    expect(await lines(IOMMU, RAM, ROOT, mem(0x2100n, ...WRONG), TABLE, DMA)).toEqual([[4, "00:02.0"]]);
    expect(await lines(RAM, ROOT, mem(0x2100n, ...WRONG), TABLE, IOMMU, DMA)).toEqual([[3, "00:02.0"]]);
  });

  test("where registers say where tables are after requests have come", async () => {
    const { regs: _, ...bare } = IOMMU;
    const early = { ...bare, regs: { ...CAPABILITIES, gsts: "0x0" } };
    const registers = [
      { type: "reg", iommu: "dmar0", name: "rtaddr", value: "0x1000" },
      { type: "reg", iommu: "dmar0", name: "gsts", value: "0xc0000000" },
    ];
    expect(await lines(RAM, early, DMA, ROOT, mem(0x2100n, ...WRONG), ...registers, DMA)).toEqual([
      [5, "00:02.0"],
    ]);
  });

  test("neighbours of one frame each have their own", async () => {
    const entries = [mem(0x2100n, ...WRONG), mem(0x2180n, ...WRONG), mem(0x2110n, ...RIGHT)];
    expect(await lines(RAM, ROOT, ...entries, mem(0x2ff0n, 0n), IOMMU, DMA)).toEqual([
      [3, "00:02.0"],
      [4, "00:03.0"],
    ]);
  });

  test("the last of those that wrote to the entry, also in part, or as a part of more", async () => {
    const halves = [mem(0x2108n, WRONG[1]!), mem(0x2100n, WRONG[0]!)];
    expect(await lines(RAM, ROOT, ...halves, TABLE, IOMMU, DMA)).toEqual([[4, "00:02.0"]]);
    const page = Array.from({ length: 1024 }, (_, i) => (i >= 512 && i < 544 ? 0n : WRONG[i % 2]!));
    const both = mem(0x1000n, 0x2001n, ...page.slice(1, 512).fill(0n), ...page.slice(512, 544), ...WRONG);
    expect(await lines(RAM, mem(0x2100n, ...RIGHT), both, TABLE, IOMMU, DMA)).toEqual([[3, "00:02.0"]]);
  });

  test("but that of the registers where they make wrong what was right", async () => {
    const wide = { ...IOMMU, regs: { ...IOMMU.regs, cap: "0x1d2008c22260606" } };
    const narrow = { type: "reg", iommu: "dmar0", name: "cap", value: CAPABILITIES.cap };
    expect(await lines(RAM, ROOT, mem(0x2100n, ...WRONG), TABLE, wide, DMA, narrow, DMA)).toEqual([
      [7, "00:02.0"],
    ]);
  });
});

describe("the lines that are remembered", () => {
  test("of a write across frames, byte by byte", () => {
    const written = new WrittenLines();
    written.written(0x12, 0x3000_0ff8, 16, 7);
    const frame = 0x12 * 2 ** 20 + 0x30000;
    expect(written.of(frame, 0xff7, 0xff8)).toBe(0);
    expect(written.of(frame, 0xfff, 0x1000)).toBe(7);
    expect(written.of(frame + 1, 0, 8)).toBe(7);
    expect(written.of(frame + 1, 8, 16)).toBe(0);
    written.clear();
    expect(written.of(frame, 0xfff, 0x1000)).toBe(0);
  });

  test("are the latest", () => {
    const written = new WrittenLines();
    for (let line = 1; line <= 70_000; line++) written.written(0, line * 4096, 16, line);
    expect(written.of(70_000, 0, 16)).toBe(70_000);
    expect(written.of(10_000, 8, 24)).toBe(10_000);
    expect(written.of(10_000, 16, 24)).toBe(0);
    expect(written.of(1, 0, 16)).toBe(0);
    written.written(0, 0x1000, 8, 70_001);
    expect(written.of(1, 0, 16)).toBe(70_001);
  });
});
