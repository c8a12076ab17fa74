import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cli, FIXTURE, ROOT, records } from "./support/cli.ts";

const RELATIVE = "test/fixtures/vtd-bound.ndjson";
const golden = (name: string) => join(ROOT, "test/fixtures", name);
const SAMPLES = [
  ["samples/intel/linux-vtd-legacy-q7-k6.1-strict.ndjson", "inspect-vtd-legacy.txt"],
  ["samples/amd/linux-amd-q11-k6.12-strict.ndjson", "inspect-amd.txt"],
  ["samples/arm/linux-smmu.ndjson", "inspect-smmu.txt"],
  ["samples/riscv/linux-riscv-paging.ndjson", "inspect-riscv.txt"],
] as const;

describe.concurrent("inspect", () => {
  // Snapshots of concurrent tests need the expect of their own test.
  test.for(SAMPLES)("tables that Linux wrote: %s", async ([trace, name], { expect }) => {
    const ran = await cli(["inspect", trace]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    await expect(ran.stdout).toMatchFileSnapshot(golden(name));
  });

  test("text and NDJSON of ranges, notes and PASIDs", async ({ expect }) => {
    const text = await cli(["inspect", RELATIVE, "--maps", "--faulty", "--at", "15"]);
    await expect(text.stdout).toMatchFileSnapshot(golden("inspect-maps.txt"));
    const json = await cli(["inspect", RELATIVE, "--maps", "--faulty", "--at", "15", "--json"]);
    await expect(json.stdout).toMatchFileSnapshot(golden("inspect-maps.ndjson"));
  });

  test.each(SAMPLES)("what the recorded IOMMU translated is in the ranges: %s", async (trace) => {
    const mapped = records((await cli(["inspect", trace, "--maps", "--json"])).stdout);
    const ranges = new Map<string, { iova: bigint; pa: bigint; end: bigint; page: bigint }[]>();
    for (const { type, dev, iova, pa, size, page } of mapped)
      if (type === "map")
        ranges.set(dev, [
          ...(ranges.get(dev) ?? []),
          { iova: BigInt(iova), pa: BigInt(pa), end: BigInt(iova) + BigInt(size), page: BigInt(page) },
        ]);
    const lines = records(readFileSync(join(ROOT, trace), "utf8"));
    let checked = 0;
    for (const { type, dev, addr, observed } of lines.slice(
      lines.findLastIndex((r) => r.type === "snapshot"),
    )) {
      if (type !== "dma" || observed?.result !== "ok" || !ranges.has(dev)) continue;
      const at = BigInt(addr);
      const range = ranges.get(dev)!.find((r) => r.iova <= at && at < r.end);
      expect(range, `${dev} ${addr}`).toBeDefined();
      // Addresses that AMD's emulator logs are those of the page.
      const exact = range!.pa + (at - range!.iova);
      const observedPa = BigInt(observed.pa);
      if (observedPa !== exact) expect(observedPa, addr).toBe(exact - (exact % range!.page));
      checked++;
    }
    expect(checked).toBeGreaterThan(3);
  });

  test("one device and PASID; the state of any line; the exit status", async () => {
    const spaces = async (...more: string[]) => {
      const ran = await cli(["inspect", FIXTURE, "--json", ...more]);
      expect(ran.status).toBe(0);
      return records(ran.stdout)
        .filter((r) => r.type === "pasid")
        .map((r) => [r.pasid ?? "none", r.ranges, r.translation]);
    };
    expect(await spaces()).toEqual([
      ["none", 0, "blocked"],
      [5, 2, "stage1"],
    ]);
    expect(await spaces("--pasid", "5", "--dev", "00:03.0", "--at", "15")).toEqual([[5, 3, "stage1"]]);
    expect(await spaces("--pasid", "none")).toEqual([["none", 0, "blocked"]]);
    expect(await spaces("--at", "8")).toEqual([]);
    expect(await spaces("--dev", "devid:0x18")).toHaveLength(2);
    const missing = await cli(["inspect", FIXTURE, "--pasid", "6", "--json"]);
    expect(records(missing.stdout)[2]).toMatchObject({ note: "faulty", pasid: 6, reason: "PASID_INVALID" });
    const broken = await cli(["inspect", "-"], { input: '{"type":"reg","iommu":"x"}\n' });
    expect(broken.status).toBe(2);
    expect(broken.stderr).toContain("line 1: ");
  });

  test("says what is wrong with the command line", async () => {
    const complaint = async (...args: string[]) => {
      const ran = await cli(["inspect", FIXTURE, ...args]);
      expect(ran).toMatchObject({ status: 2, stdout: "" });
      return ran.stderr;
    };
    expect(await complaint("--limit", "5")).toContain("--limit: expected with --maps or --faulty");
    expect(await complaint("--maps", "--limit", "0")).toContain("--limit: expected an integer of at least 1");
    expect(await complaint("--pasid", "1048576")).toContain("at most 1048575");
    expect(await complaint("--iommu", "x")).toContain('expected an IOMMU of the trace (none), found "x"');
    expect(await complaint("--dev", "eth0")).toContain('expected a device such as "00:03.0"');
    expect(await complaint("--dev", "sid:70000")).toContain(
      "expected a device id of 16 bits behind intel, found 70000",
    );
    expect(await complaint("-o", FIXTURE)).toContain("--output: expected another file than the trace");
    expect(await complaint("--maps", "--from", "0x10000000000000000")).toContain("--from: expected a 64-bit");
  });

  test("stops at a limit of walks, with a note", async () => {
    const few = await cli(["inspect", SAMPLES[0][0], "--max-walks", "1000", "--json"]);
    const found = records(few.stdout);
    expect(found.filter((r) => r.note === "effort")).toHaveLength(1);
    expect(found.at(-1)).toMatchObject({ type: "inspect-summary", walks: 1000, complete: false });
  });
});
