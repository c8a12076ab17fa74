import { describe, expect, test } from "vitest";
import { replayed } from "./support/logs.ts";

/** A VT-d in legacy mode whose device 02:00.0 has an empty page table. */
const TABLES = [
  { type: "iommu", id: "dmar0", model: "intel", regs: { rtaddr: "0x1000", gsts: "0xc0000000" } },
  { type: "ram", addr: "0x0", size: "0x100000" },
  { type: "mem", addr: "0x1020", data: "0120000000000000" },
  { type: "mem", addr: "0x2000", data: "01300000000000000201000000000000" },
];
const BUFFER = { dev: "0000:02:00.0", addr: "0xfff01000", size: "0x800" };
const map = (ts: number, access = "w") => ({ type: "map", ...BUFFER, access, ts });
const unmap = (ts: number) => ({ type: "unmap", ...BUFFER, ts });
const dma = (fields: object = {}) => ({
  type: "dma",
  dev: "02:00.0",
  addr: "0xfff01040",
  len: 64,
  access: "w",
  ts: 10.0031,
  ...fields,
});

async function histories(...records: object[]): Promise<string[]> {
  const out = await replayed([...TABLES, ...records].map((record) => JSON.stringify(record)).join("\n"));
  expect(out.filter(({ type }) => type === "error")).toEqual([]);
  return out.filter(({ rule }) => rule === "fault-history").map(({ message }) => message);
}

describe("the history of a fault", () => {
  test("is told of a request that faults", async () => {
    expect(await histories(map(9), unmap(10), dma())).toEqual([
      "use after unmap: 0xfff01000-0xfff017ff was mapped DMA_FROM_DEVICE for 0000:02:00.0 until 3.1 ms before the fault, then unmapped",
    ]);
    expect(await histories(map(9, "r"), dma())).toEqual([expect.stringMatching(/^wrong direction/)]);
    expect(await histories(map(9), dma({ addr: "0xfff01800" }))).toEqual([
      expect.stringMatching(/^beyond the buffer: 0 bytes/),
    ]);
    expect(await histories(map(9), dma({ addr: "0x1000" }))).toEqual([
      expect.stringMatching(/^never mapped/),
    ]);
  });

  test("and of one that was logged, of which only the page is known", async () => {
    const fault = {
      type: "fault",
      iommu: "dmar0",
      dev: "02:00.0",
      addr: "0xfff01000",
      access: "w",
      code: "0x5",
      ts: 10.0031,
    };
    expect(await histories(map(9), unmap(10), fault)).toEqual([expect.stringMatching(/^use after unmap/)]);
  });

  test("once for a mapping and page; nothing without mappings, and nothing for a stream", async () => {
    expect((await histories(map(9), unmap(10), dma(), dma({ ts: 11 }))).length).toBe(1);
    expect(await histories(dma())).toEqual([]);
  });

  test("a request that is granted has none", async () => {
    // A 512 GiB page of everything: level 4 has no large pages, so a table of 1 GiB ones.
    const mapped = [
      { type: "mem", addr: "0x3000", data: "0340000000000000" },
      { type: "mem", addr: "0x4018", data: "83000000c0000000" },
    ];
    expect(await histories(...mapped, map(9), unmap(10), dma())).toEqual([]);
  });
});
