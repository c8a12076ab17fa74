import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { HostIommu } from "../parsers/caps/host.ts";
import { openCapabilities } from "../parsers/caps/open-caps.ts";
import { KnownMemory } from "../parsers/logs/known-memory.ts";
import type { MemoryImage } from "../parsers/memory/memory-image.ts";
import { openSnapshot } from "../parsers/memory/open-snapshot.ts";
import { ROOT } from "./support/cli.ts";
import { type Imported, importLog } from "./support/logs.ts";

function image(path: string): MemoryImage {
  const opened = openSnapshot(path, dirname(path));
  if (!opened.ok) throw new Error(opened.error);
  return opened.image;
}

async function hostsOf(path: string): Promise<readonly HostIommu[]> {
  const capabilities = await openCapabilities(path);
  if (typeof capabilities === "string") throw new Error(capabilities);
  return capabilities.hosts;
}

/** Imports a log at whose beginning memory was taken; `next` was taken after it. */
function withMemory(
  log: string,
  hosts: readonly HostIommu[],
  path: string | null,
  next: string | null,
): Imported {
  const memory = new KnownMemory();
  if (path !== null) memory.replace(image(path), null);
  if (next !== null) memory.expect(image(next));
  const imported = importLog(log, { memory, hosts });
  memory.close();
  return imported;
}

// biome-ignore lint/suspicious/noExplicitAny: records of all types
const parsed = ({ texts }: Imported): any[] => texts.map((text) => JSON.parse(text));

describe("VT-d: leaf entries of the log in tables of a memory file", async () => {
  const trace = join(ROOT, "samples/intel/linux-vtd-legacy-q7-k6.1-strict");
  const memory = `${trace}-mem0.elf`;
  const hosts = await hostsOf(`${trace}.ndjson`);
  // The README shows this walk: the leaf at 0x6677fc0 is 0x662f003.
  const hit = "vtd_iotlb_page_hit IOTLB page hit sid 0x10 iova 0xffff8000 slpte 0x662f003 domain 0x3";
  const update =
    "vtd_iotlb_page_update IOTLB page update sid 0x10 iova 0xffff8010 slpte 0x7777003 domain 0x3";
  const answer = (gpa: string) => `vtd_dmar_translate dev 00:02.00 iova 0xffff8000 -> gpa ${gpa} mask 0xfff`;

  test("a hit on what memory holds writes nothing", () => {
    const records = parsed(withMemory([hit, answer("0x662f000")].join("\n"), hosts, memory, null));
    expect(records.map(({ type }) => type)).toEqual(["iommu", "dma"]);
    expect(records[1]).toMatchObject({ dev: "00:02.0", addr: "0xffff8000", observed: { pa: "0x662f000" } });
  });

  test("what is read afresh is written where the tables lead to", () => {
    const log = [update, answer("0x7777000"), hit.replace("0x662f003", "0x7777003"), answer("0x7777000")];
    const records = parsed(withMemory(log.join("\n"), hosts, memory, null));
    expect(records.filter(({ type }) => type === "mem")).toEqual([
      { type: "mem", addr: "0x6677fc0", data: "0370770700000000", assumed: ["addr"] },
    ]);
    expect(records.filter(({ type }) => type === "dma").map(({ observed }) => observed.pa)).toEqual([
      "0x7777010",
      "0x7777000",
    ]);
  });

  test("a fault of an address that was mapped: the entry is gone", () => {
    const log = "vtd_dmar_fault sid 0x10 fault 6 addr 0xffff8004 write 0";
    const records = parsed(withMemory(log, hosts, memory, null));
    expect(records).toMatchObject([
      { type: "mem", addr: "0x6677fc0", data: "0000000000000000", assumed: ["addr", "data"] },
      { type: "iommu" },
      { type: "dma", addr: "0xffff8004", access: "r", observed: { result: "fault", code: "0x6" } },
    ]);
  });

  test("a hit on another entry than memory's is left out, and counted", () => {
    const log = [hit.replace("0x662f003", "0x1234003"), answer("0x1234000")].join("\n");
    const { texts, report } = withMemory(log, hosts, memory, null);
    expect(texts.some((text) => text.includes('"dma"'))).toBe(false);
    expect(report.lost.get("tables-changed")!.count).toBe(1);
  });

  test("tables that only the next file has are there already, where the log uses them", () => {
    const records = parsed(withMemory([update, answer("0x7777000")].join("\n"), hosts, null, memory));
    const written = records.filter(({ type }) => type === "mem");
    // Three levels, as the README shows them: two entries that lead there as the file has them, and the log's leaf.
    expect(written.length).toBe(3);
    expect(written.slice(0, 2).every(({ assumed }) => assumed[0] === "data")).toBe(true);
    expect(written[2]).toMatchObject({ addr: "0x6677fc0", data: "0370770700000000" });
    expect(records.at(-1)).toMatchObject({ type: "dma", observed: { pa: "0x7777010" } });
  });

  test("where stores are recorded, nothing is derived", () => {
    const log = ["iotab_store 0x6677fc0 8 0x7777003", update, answer("0x8888000")].join("\n");
    const records = parsed(withMemory(log, hosts, memory, null));
    expect(records.map(({ type }) => type)).toEqual(["mem", "iommu", "dma"]);
  });
});

describe("AMD-Vi: which requests' tables are known between two memory files", async () => {
  const trace = join(ROOT, "samples/amd/linux-amd-q11-k6.12-strict");
  const memory = `${trace}-mem0.elf`;
  const hosts = await hostsOf(`${trace}.ndjson`);
  const dma = readFileSync(`${trace}.ndjson`, "utf8")
    .split("\n")
    .filter((line) => line.includes('"type":"dma"'))
    .map((line) => JSON.parse(line))
    .find(({ observed }) => observed.result === "ok");
  const dev = dma.dev.replace(/^0000:/, "");
  const result = (gpa: string, hpa: string) => `amdvi_translation_result devid: ${dev} gpa ${gpa} hpa ${hpa}`;
  const other = result(dma.addr, "0x1234000");
  const inval = (domain: number) =>
    `amdvi_pages_inval AMD-Vi pages for domain 0x${domain.toString(16)} invalidated`;
  const answers = (log: string[], next: string | null = null) => {
    const imported = withMemory(log.join("\n"), hosts, memory, next);
    const made = parsed(imported).filter(({ type }) => type === "dma");
    return {
      made: made.map(({ observed }) => observed),
      lost: imported.report.lost.get("tables-changed")?.count,
    };
  };

  test("nothing has invalidated a translation: another answer is a finding", () => {
    const { made, lost } = answers([other]);
    expect(made).toMatchObject([{ result: "ok" }]);
    expect(lost).toBeUndefined();
  });

  test("an answer is the base of a large page: the offset in it is that of the request", () => {
    const base = result("0xfffff123", "0x52ca000");
    expect(answers([base]).made).toEqual([{ result: "ok", pa: "0x52cb123" }]);
  });

  test("its domain was invalidated: another answer may be that of other tables", () => {
    const all = Array.from({ length: 16 }, (_, domain) => inval(domain));
    expect(answers([...all, other])).toEqual({ made: [], lost: 1 });
    expect(answers([...all, result(dma.addr, dma.observed.pa)]).made.length).toBe(1);
    expect(answers(["amdvi_all_inval Invalidation of all AMD-Vi cache requested", other]).lost).toBe(1);
  });

  test("what was not mapped may have been mapped since", () => {
    expect(answers([result("0x123456789000", "0x5000000")])).toEqual({ made: [], lost: 1 });
    const page = "amdvi_page_fault error: page fault accessing guest physical address 0x123456789000";
    expect(answers([page, result("0x123456789000", "0x0")]).made).toEqual([{ result: "fault", code: "0x2" }]);
  });
});
