import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Question } from "../cli/inspect-questions.ts";
import { inspectTablesOfFile } from "../cli/inspect-tables.ts";
import type { Output } from "../cli/output.ts";
import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { RecordFilter } from "../pipeline/filter/record-filter.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { temporaryFolder } from "./support/cli.ts";

const folder = temporaryFolder();
const LIMITS = {
  snapshotCacheBytes: 1 << 24,
  memoryLimit: 1 << 28,
  maxLineBytes: 1 << 24,
  allowPaths: [],
  baseFolder: undefined,
};

async function answers(path: string, question: Question, filter?: FilterWords, json = true) {
  let text = "";
  const write = async (data: Uint8Array | string) => {
    text += Buffer.from(data as Uint8Array).toString();
  };
  await inspectTablesOfFile(
    path,
    { maps: false, faulty: false, walks: 1e6, filter: filter && new RecordFilter(filter) },
    json,
    { write } as unknown as Output,
    LIMITS,
    question,
  );
  return text;
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into records of all types
async function asked(path: string, question: Question, filter?: FilterWords): Promise<any[]> {
  const text = await answers(path, question, filter);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type !== "iommu" && type !== "device");
}

/**
 * 00:03.0 and 00:04.0 share domain 9; 00:05.0 has tables of its own, in which a page of theirs is mapped twice, and one
 * beside it; 00:06.0 passes through.
 */
function machine(): string {
  const s = new Scenario("intel", { rtaddr: 0x10_0000n, ecap: 0xf00f5an });
  const common = new Radix(s, VTD_SECOND).map(0x1000_0000n, 0x8000_0000n).map(0x1000_1000n, 0x8000_1000n);
  const own = new Radix(s, VTD_SECOND)
    .map(0x2000_0000n, 0x8000_0000n)
    .map(0x3000_0000n, 0x8000_0000n)
    .map(0x2000_5000n, 0x9000_0000n);
  s.put(0x10_0000n, 0x10_1001n);
  for (const slot of [0x180n, 0x200n]) s.put(0x10_1000n + slot, common.root | 1n, (9n << 8n) | 2n);
  s.put(0x10_1280n, own.root | 1n, (10n << 8n) | 2n);
  s.put(0x10_1300n, 9n, (11n << 8n) | 2n);
  const path = join(folder, "machine.ndjson");
  writeFileSync(path, `${s.lines.join("\n")}\n`);
  return path;
}

describe("questions about tables", () => {
  const path = machine();

  test("who maps a frame: every device, cut to what is asked; who passes through; and what is a table", async () => {
    const found = await asked(path, { about: "pa", first: 0x8000_0fffn, last: 0x8000_1000n });
    const maps = found.filter(({ type }) => type === "map");
    expect(maps.map(({ dev, iova, pa, size }) => [dev, iova, pa, size])).toEqual([
      ["00:03.0", "0x10000000", "0x80000000", 8192],
      ["00:04.0", "0x10000000", "0x80000000", 8192],
      ["00:05.0", "0x20000000", "0x80000000", 4096],
      ["00:05.0", "0x30000000", "0x80000000", 4096],
    ]);
    expect(found.at(-1)).toEqual({
      type: "lookup",
      pa: "0x80000000",
      size: 8192,
      mappings: 4,
      devices: 3,
      writers: 3,
      passthrough: 1,
      complete: true,
    });
    const [one] = await asked(path, { about: "pa", first: 0x8000_1000n, last: 0x8000_1000n });
    expect(one).toMatchObject({ type: "map", iova: "0x10001000", pa: "0x80001000", size: 4096 });
    const tables = await asked(path, { about: "pa", first: 0x10_1000n, last: 0x10_1000n });
    expect(tables[0]).toMatchObject({ type: "note", note: "table", entry_addr: "0x101000" });
    expect(tables[0].message).toBe("holds VT-d context entry");
    expect(tables.at(-1)).toMatchObject({ mappings: 0, devices: 0, writers: 0 });
  });

  test("what an input address leads to, or what is beside it", async () => {
    const covers = (address: bigint, filter?: FilterWords) =>
      asked(path, { about: "covers", address }, filter);
    const [three, four, five] = await covers(0x1000_1234n);
    expect(three).toMatchObject({ dev: "00:03.0", mapped: true, pa: "0x80001234" });
    expect(three.range).toEqual({
      iova: "0x10000000",
      pa: "0x80000000",
      size: 8192,
      perm: "rw-",
      page: 4096,
    });
    expect(four).toMatchObject({ dev: "00:04.0", mapped: true });
    expect(five).toEqual({
      type: "covers",
      iommu: "unit",
      dev: "00:05.0",
      addr: "0x10001234",
      mapped: false,
      after: { iova: "0x20000000", pa: "0x80000000", size: 4096, perm: "rw-", page: 4096 },
    });
    const [between, ...others] = await covers(0x2000_5000n - 1n, { dev: "*:0?.5,*:05.?" });
    expect(others).toEqual([]);
    expect([between.before.iova, between.after.iova]).toEqual(["0x20000000", "0x20005000"]);
  });

  test("who shares a domain", async () => {
    const domains = await asked(path, { about: "domains" });
    expect(
      domains.map(({ domain, users, bytes, devices }) => [domain, users.length, devices, bytes]),
    ).toEqual([
      [9, 2, 2, 8192],
      [10, 1, 1, 12288],
      [11, 1, 1, 0],
    ]);
  });

  test("what memory several reach: by the same tables, by others, and twice", async () => {
    const [domain, shared, ...others] = await asked(path, { about: "shared" });
    expect(domain).toMatchObject({ type: "domain", domain: 9, devices: 2, writable: 8192 });
    expect(shared).toEqual({
      type: "shared",
      pa: "0x80000000",
      size: 4096,
      mappings: [
        { iommu: "unit", dev: "00:03.0", iova: "0x10000000", perm: "rw-" },
        { iommu: "unit", dev: "00:05.0", iova: "0x20000000", perm: "rw-" },
        { iommu: "unit", dev: "00:05.0", iova: "0x30000000", perm: "rw-" },
      ],
      count: 3,
      devices: 3,
      aliased: true,
      writers: 3,
    });
    expect(others).toEqual([]);
  });

  test("as text", async () => {
    const text = (question: Question) => answers(path, question, undefined, false);
    expect(await text({ about: "shared" })).toBe(
      [
        "domain 9, second stage of unit: 8 KiB mapped, 8 KiB writable by 2 devices",
        "  stage 2: vtd-ss, 4 levels, root at 0x1000000",
        "  00:03.0, 00:04.0",
        "0x80000000-0x80000fff  4 KiB  3 ranges of 3 devices, several of one address space, writable by 3 devices",
        "  rw-  0x10000000  00:03.0, without PASID",
        "  rw-  0x20000000  00:05.0, without PASID",
        "  rw-  0x30000000  00:05.0, without PASID",
        "",
      ].join("\n"),
    );
    const nobody = await text({ about: "pa", first: 0xa000_0000n, last: 0xa000_0fffn });
    expect(nobody).toContain("0xa0000000-0xa0000fff: nobody maps it; 1 device that pass through");
  });

  test("ranges of a recording are where they are said to be", async () => {
    // Every range of the tables that Linux wrote leads back to itself.
    const sample = "samples/intel/linux-vtd-legacy-q7-k6.1-strict.ndjson";
    const all = (await asked(sample, { about: "pa", first: 0n, last: 0xffff_ffffn })).filter(
      ({ type }) => type === "map",
    );
    expect(all.length).toBeGreaterThan(10);
    for (const { dev, iova, pa } of all.slice(0, 3)) {
      const [found] = await asked(sample, { about: "covers", address: BigInt(iova) }, { dev });
      expect(found).toMatchObject({ dev, mapped: true, pa });
    }
  });
});
