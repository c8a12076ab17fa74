import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, test } from "vitest";
import { cli, ROOT, records } from "./support/cli.ts";

const sample = (name: string) => join(ROOT, "samples/logs", `${name}.log.gz`);
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "explain-logs-"));
});
function written(name: string, ...lines: string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** From a public report: what was missing was a cache flush. */
const STALE_DIRECTORY = [
  "[    0.555386] DMAR: DRHD: handling fault status reg 3",
  "[    0.555805] DMAR: [DMA Read NO_PASID] Request device [00:0d.2] fault addr 0x1026a4000 [fault reason 0x51] SM: Present bit in Directory Entry is clear",
  "[    0.556348] DMAR: Dump dmar1 table entries for IOVA 0x1026a4000",
  "[    0.556348] DMAR: scalable mode root entry: hi 0x0000000102448001, low 0x0000000101b3e001",
  "[    0.556348] DMAR: context entry: hi 0x0000000000000000, low 0x0000000101b4d401",
  "[    0.556348] DMAR: pasid dir entry: 0x0000000101b4e001",
  ...["109", "1", "0", "0", "0", "0", "0", "0"].map(
    (word, i) => `[    0.556348] DMAR: pasid table entry[${i}]: 0x${word.padStart(16, "0")}`,
  ),
  "[    0.556348] DMAR: PTE not present at level 4",
];

describe.concurrent("explain of a log", () => {
  test("faults by device and cause, with the tables bit by bit, and what to collect", async ({ expect }) => {
    const { status, stdout } = await cli(["explain", sample("linux-7.2-vtd-tables")]);
    expect(status).toBe(0);
    const text = stdout.replaceAll(ROOT, "");
    await expect(text).toMatchFileSnapshot(join(ROOT, "test/fixtures/explain-log-vtd.txt"));
  });

  test("tables that contradict the fault: said plainly, and the flush is the first cause", async ({
    expect,
  }) => {
    const path = written(
      "stale.txt",
      "[    0.016000] DMAR: dmar1: reg_base_addr fed90000 ver 1:0 cap 81d2008c222f0606 ecap 880000f00f4a",
      ...STALE_DIRECTORY,
    );
    const { stdout } = await cli(["explain", path]);
    expect(stdout).toContain("The tables as dumped allow this access: the IOMMU saw an older entry");
    expect(stdout).toContain("PGTT  8:6      4 (pass-through)");
    expect(stdout).toMatch(/Likely causes:\n {4}- this unit does not snoop .*ECAP\.C=0.* cache flush/);
    expect(stdout).toContain("1 x fault-register-overflow");
    const [group] = records((await cli(["explain", path, "--json"])).stdout);
    expect(group).toMatchObject({
      type: "fault-group",
      dev: "00:0d.2",
      code: "0x51",
      names: ["SPD.2"],
      tables: "allow this access",
      first_line: 3,
      first_ts: 0.555805,
      pasids: [null],
    });
  });

  test("AMD: flags decide among the causes, types of invalid requests have their own", async ({ expect }) => {
    const groups = records((await cli(["explain", sample("linux-amd-events"), "--json"])).stdout);
    const of = (dev: string, flags: string) =>
      groups.find((group) => group.dev === dev && group.flags === flags);
    expect(of("05:00.0", "0x70").causes.join()).toMatch(/^PE=1: [^:]*$/);
    expect(of("0000:01:00.0", "0x0").causes.join()).not.toMatch(/PE=1|RZ=1/);
    expect(of("00:00.1", "0xa00").causes).toEqual([expect.stringContaining("IntCtl=0")]);
    expect(groups.at(-1).losses).toContainEqual({
      what: "suppressed-messages",
      severity: "warning",
      count: 96,
    });
    const { stdout } = await cli(["explain", sample("linux-amd-illegal-dte")]);
    expect(stdout).toContain("PPR or GPRP is set in this entry");
    expect(stdout).toMatch(/Mode is 0 \(pass-through\), which an IOMMU with SNP enabled refuses/);
  });

  test("SMMUv3: the raw event's fields; a storm of 0x07 is no short stream table", async ({ expect }) => {
    const word = (value: string) =>
      `[    5.000000] arm-smmu-v3 arm-smmu-v3.0.auto: \t0x${value.padStart(16, "0")}`;
    const event = [
      "[    5.000000] arm-smmu-v3 arm-smmu-v3.0.auto: event 0x07 received:",
      word("10000000007"),
      word("0"),
      word("0"),
      word("0"),
    ];
    const { stdout } = await cli(["explain", written("storm.txt", ...event, ...event, ...event)]);
    expect(stdout).toContain("1. sid:0x100 (Arm SMMUv3, arm-smmu-v3.0.auto): 3 faults");
    expect(stdout).toContain("F_TRANSL_FORBIDDEN (0x7)");
    expect(stdout).toMatch(/STREAMID +63:32 +0x100/);
    expect(stdout).toContain("that is C_BAD_STREAMID (0x2)");
  });

  test("reserved memory and the integrated graphics", async ({ expect }) => {
    const fault = (dev: string, addr: string) =>
      `[    1.000000] DMAR: [DMA Read NO_PASID] Request device [${dev}] fault addr ${addr} [fault reason 0x06] PTE Read access is not set`;
    const rmrr = "[    0.100000] DMAR: RMRR base: 0x0000007cd80000 end: 0x0000007f7fffff";
    const inside = (await cli(["explain", written("rmrr.txt", rmrr, fault("00:14.0", "0x7cd87000"))])).stdout;
    expect(inside).toContain("memory that the firmware reserved for a device (RMRR 0x7cd80000-0x7f7fffff)");
    const graphics = (await cli(["explain", written("igfx.txt", fault("00:02.0", "0x9c000000"))])).stdout;
    expect(graphics).toContain("intel_iommu=igfx_off");
  });

  const PAGE_FAULT =
    "[   10.003100] DMAR: [DMA Write NO_PASID] Request device [02:00.0] fault addr 0xfff01000 [fault reason 0x05] PTE Write access is not set";
  const event = (time: string, text: string) => `   dd-411   [000] d..1.    ${time}: ${text}`;
  const MAP = event(
    "9.000000",
    "dma_map_page: 0000:02:00.0 dir=FROM_DEVICE dma_addr=fff01000 size=2048 phys_addr=602c000 attrs=",
  );
  const UNMAP = event(
    "10.000000",
    "dma_unmap_page: 0000:02:00.0 dir=FROM_DEVICE dma_addr=fff01000 size=2048 attrs=",
  );

  test("with a trace beside it, a fault has a history, by time and not by the order of the files", async ({
    expect,
  }) => {
    const dmesg = written(
      "history-dmesg.txt",
      PAGE_FAULT,
      "[   11.000000] DMAR: DRHD: handling fault status reg 2",
    );
    const later = event(
      "10.500000",
      "dma_map_page: 0000:02:00.0 dir=FROM_DEVICE dma_addr=fff01000 size=2048 phys_addr=602c000 attrs=",
    );
    const trace = written("history-trace.txt", "# tracer: nop", MAP, UNMAP, later);
    for (const paths of [
      [dmesg, trace],
      [trace, dmesg],
    ]) {
      const { stdout } = await cli(["explain", ...paths]);
      expect(stdout).toContain(
        "History: use after unmap: 0xfff01000-0xfff017ff was mapped DMA_FROM_DEVICE for 0000:02:00.0 until 3.1 ms before the fault, then unmapped",
      );
      // What is there already is not asked for.
      expect(stdout).not.toContain("what the driver had mapped");
    }
  });

  test("a queue error alone, and nothing about IOMMUs", async ({ expect }) => {
    const { stdout } = await cli(["explain", sample("linux-vtd-queue-errors")]);
    expect(stdout).toContain("8 lines, 0 faults");
    expect(stdout).toContain("Queues:\n  - a device did not answer a device-TLB invalidation in time");
    const nothing = await cli(["explain", written("usb.txt", "[    1.000000] usb 1-1: new device")]);
    expect(nothing).toMatchObject({ status: 2 });
    expect(nothing.stdout).toContain("1 line, nothing about an IOMMU");
  });

  test("a name that is neither a vendor nor a file is taken for a vendor", async ({ expect }) => {
    const ran = await cli(["explain", "dmseg.txt"]);
    expect(ran).toMatchObject({ status: 2, stdout: "" });
    expect(ran.stderr).toContain("expected a vendor");
  });
});
