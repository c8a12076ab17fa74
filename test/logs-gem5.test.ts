import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { ROOT } from "./support/cli.ts";
import { importLog, replayed } from "./support/logs.ts";

/** StreamID 5, SubstreamID 3, ASID 7, one page of 4 KiB. */
const LOG = gunzipSync(readFileSync(join(ROOT, "samples/logs/gem5-smmuv3.log.gz"))).toString("latin1");

test("gem5's log rebuilds tables, and has requests of a SubstreamID", async () => {
  const { texts, report } = importLog(LOG);
  const records = texts.map((text) => JSON.parse(text));
  expect(records.find(({ type }) => type === "iommu").regs).toEqual({
    strtab_base: "0x80000",
    strtab_base_cfg: "0x4",
    cr0: "0xd",
  });
  expect(records.filter(({ type }) => type === "cmd").map(({ data }) => data)).toEqual([
    ["0x4", "0x1f"],
    ["0x7000000000012", "0x1000"],
  ]);
  expect([...report.ignored.counts.keys()].every((kind) => !kind.startsWith("unknown"))).toBe(true);
  const outcomes = (await replayed(LOG)).filter(({ type }) => type === "outcome");
  expect(outcomes).toMatchObject([
    {
      line: 33,
      ts: 1014,
      dev: "sid:0x5",
      pasid: 3,
      addr: "0x1234",
      pa: "0x55234",
      asid: 7,
      verdict: "match",
    },
    { line: 34, ts: 1020, pasid: 3, addr: "0x1ff8", pa: "0x55ff8", verdict: "match" },
    { line: 36, ts: 1022, pasid: 3, addr: "0x1100", pa: "0x55100", verdict: "match" },
  ]);
});

test("of a SubstreamID 0 it is assumed that there was none", () => {
  const line = "1: system.smmu: micro TLB hit vaddr=0x8 amask=0xfffffffffffff000 sid=0x5 ssid=0 paddr=0x7000";
  const dma = JSON.parse(importLog(line).texts.at(-1)!);
  expect(dma).toMatchObject({ type: "dma", addr: "0x8", observed: { pa: "0x7008" } });
  expect(dma.pasid).toBeUndefined();
  expect(dma.assumed).toEqual(["access", "len", "pasid"]);
});
