import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { amdDebugfsLine } from "../parsers/logs/debugfs-amd.ts";
import { intelDebugfsLine } from "../parsers/logs/debugfs-intel.ts";
import { dmaApiMapping } from "../parsers/logs/dma-api-dump.ts";
import { ROOT } from "./support/cli.ts";
import { importLog, replayed } from "./support/logs.ts";

const sample = (name: string) =>
  gunzipSync(readFileSync(join(ROOT, `samples/logs/${name}.log.gz`))).toString();
// biome-ignore lint/suspicious/noExplicitAny: records of all types
const records = (log: string): any[] => importLog(log).texts.map((text) => JSON.parse(text));

describe("lines of debugfs", () => {
  test("a register, a device's entries, a leaf and the entries above it, a queued descriptor", () => {
    expect(intelDebugfsLine("RTADDR          \t0x20\t\t0x0000000000fb2400")).toEqual({
      kind: "register",
      name: "RTADDR",
      offset: 0x20,
      value: 0xfb2400n,
    });
    expect(
      intelDebugfsLine(
        "00:0a.0\t0x0000000000000000:0x000000044dd3f001\t0x0000000000100000:0x0000000435460e1d\t1    \t0x0000000003c0e001:0x0000000000000001:0x0000000000000049",
      ),
    ).toMatchObject({
      device: { name: "00:0a.0" },
      root: [0x44dd3f001n, 0n],
      context: [0x435460e1dn, 0x100000n],
      pasid: 1,
      // High first in the file.
      pasidEntry: [0x49n, 1n, 0x3c0e001n],
    });
    expect(intelDebugfsLine("Device 0000:00:02.0 with pasid a @0xfc6000")).toMatchObject({
      pasid: 10,
      root: 0xfc6000n,
    });
    expect(
      intelDebugfsLine("0x00000000fffe0 |\t0x0000000000000000\t0x0000000002338403\t0x00000000023394a3"),
    ).toEqual({ kind: "page-table-row", frame: 0xfffe0n, entries: [0n, 0x2338403n, 0x23394a3n] });
    expect(intelDebugfsLine("   12\t00000000000400f2\t00000000fffec040\t0000000000000000")).toEqual({
      kind: "queue-row",
      index: 12,
      words: [0x400f2n, 0xfffec040n],
    });
  });

  test("AMD's: the highest word of an entry first; a register's width tells mmio from capability", () => {
    expect(
      amdDebugfsLine(
        "0000:00:02.0 0000000000000000 2000000002132013 0000000000000003 6000000000dba603 iommu0",
      ),
    ).toMatchObject({ words: [0x6000000000dba603n, 3n, 0x2000000002132013n, 0n], iommu: "iommu0" });
    expect(amdDebugfsLine("Offset:0x18 Value:0x000000000003148f")).toMatchObject({ capability: false });
    expect(amdDebugfsLine("Offset:0x0 Value:0x1f03000f")).toMatchObject({ capability: true });
  });

  test("a mapping, as kernels of different times print it", () => {
    const common = {
      driver: "nvme",
      device: "0000:00:02.0",
      pa: 0x2f61840n,
      addr: 0xffefd840n,
      size: 0x5f2n,
    };
    const now =
      "nvme 0000:00:02.0 phy idx 16254 P=0x0000000002f61840 D=ffefd840 L=5f2 cln=0x00000000000bd861 DMA_FROM_DEVICE dma map error checked attrs=0x0";
    expect(dmaApiMapping(now)).toEqual({ ...common, type: "phy", access: "w" });
    const before =
      "nvme 0000:00:02.0 single idx 1 P=2f61840 N=2f61 D=ffefd840 L=5f2 DMA_TO_DEVICE dma map error check not applicable";
    expect(dmaApiMapping(before)).toEqual({ ...common, type: "single", access: "r" });
  });
});

describe.each(["linux-7.2-debugfs-vtd", "linux-7.2-debugfs-vtd-legacy"])("%s", (name) => {
  test("is a whole trace: each mapping comes to where the DMA API put it", async () => {
    const outcomes = (await replayed(sample(name))).filter(({ type }) => type === "outcome");
    expect(outcomes.length).toBe(7);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ result: "ok", verdict: "match" });
  });

  test("whatever the order of the files", async () => {
    // The mappings first, then the tables they need.
    const lines = sample(name).trimEnd().split("\n");
    const mappings = lines.filter((line) => dmaApiMapping(line) !== undefined);
    const others = lines.filter((line) => !mappings.includes(line));
    const outcomes = (await replayed([...mappings, ...others, ""].join("\n"))).filter(
      ({ type }) => type === "outcome",
    );
    expect(outcomes.map(({ verdict }) => verdict)).toEqual(new Array(7).fill("match"));
  });

  test("a leaf that leads elsewhere is a mismatch", async () => {
    const wrong = sample(name).replace(/^(0x00000000ffffe \|.*)22([cd])[0-9a-f]{4}$/m, "$12299067");
    expect(wrong).not.toBe(sample(name));
    const outcomes = (await replayed(wrong)).filter(({ type }) => type === "outcome");
    expect(outcomes.some(({ verdict, diff }) => verdict === "mismatch" && diff === "pa")).toBe(true);
  });
});

describe("what files do not say", () => {
  test("a large page ends its row early", () => {
    const made = records(
      "Device 0000:00:02.0 @0xfbd000\nIOVA_PFN         \tPML5E             \tPML4E\n0x0000000040200 |\t0x0000000000000000\t0x0000000002338003\t0x0000000002339003\t0x0000000080000083\n",
    );
    // IOVA 0x40200000: entries 0, 1 and 1.
    expect(made.filter(({ type }) => type === "mem").map(({ addr, data }) => [addr, data])).toEqual([
      ["0xfbd000", "0380330200000000"],
      ["0x2338008", "0390330200000000"],
      ["0x2339008", "8300008000000000"],
    ]);
  });

  test("PASID tables stand at free addresses, and are assumed", () => {
    const made = records(sample("linux-7.2-debugfs-vtd"));
    const assumed = made.filter(({ type, assumed }) => type === "mem" && assumed !== undefined);
    expect(assumed.length).toBeGreaterThan(0);
    expect(made.find(({ type }) => type === "iommu").assumed).toBeUndefined();
  });

  test("mappings without tables are what software meant", () => {
    const made = records(
      "e1000e 0000:00:04.0 phy idx 1 P=0x0000000002f61840 D=ffefd840 L=5f2 cln=0x1 DMA_FROM_DEVICE dma map error checked attrs=0x0\n",
    );
    expect(made).toEqual([
      { type: "map", dev: "0000:00:04.0", addr: "0xffefd840", pa: "0x2f61840", access: "w", size: "0x5f2" },
    ]);
  });

  test("debugfs gives the root table that a kernel log lacks", async () => {
    const debugfs = sample("linux-7.2-debugfs-vtd");
    const dmesg = sample("linux-7.2-vtd-tables");
    const made = records(debugfs + dmesg);
    const roots = made.filter(({ type, regs }) => type === "iommu" && regs?.rtaddr !== undefined);
    expect(new Set(roots.map(({ regs }) => regs.rtaddr)).size).toBe(1);
    expect(made.some(({ type, name }) => type === "reg" && name === "rtaddr")).toBe(false);
    const verdicts = (await replayed(debugfs + dmesg)).filter(({ type }) => type === "outcome");
    expect(verdicts.map(({ verdict }) => verdict)).toEqual(new Array(10).fill("match"));
  });
});
