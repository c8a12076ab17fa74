import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { TABLE_RULES } from "../walkers/tables/table-rules.ts";

type Output = Record<string, unknown> & { readonly type: string };

function trace(name: string): string {
  const bytes = readFileSync(join("samples", name));
  return (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString();
}

async function replay(name: string, more: readonly object[] = []): Promise<Output[]> {
  const chunks: Buffer[] = [];
  const text = trace(name) + more.map((record) => `${JSON.stringify(record)}\n`).join("");
  await replayTrace(
    bytesSource(Buffer.from(text)),
    { write: (bytes) => void chunks.push(Buffer.from(bytes)) },
    { directory: join("samples", dirname(name)), stats: false, caches: false },
  );
  const lines = Buffer.concat(chunks).toString().trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

const ofTables = (output: readonly Output[]) =>
  output.filter((record) => record.type === "finding" && (record.rule as string) in TABLE_RULES);

describe("tables as kernels wrote them", () => {
  // Nothing is wrong with them; under an IOMMU that lacks what they use, much is: so they are looked at.
  test.each([
    ["amd/linux-amd-q11-k6.12-strict.ndjson", "amd", { hats: 3 }, "MODE"],
    ["arm/linux-smmu.ndjson", "arm-smmuv3", { gran4k: 0, gran16k: 0 }, "TG0"],
    ["intel/linux-vtd-legacy-q7-k6.1-strict.ndjson", "intel", { sagaw: 4 }, "AW"],
    ["riscv/linux-riscv-paging.ndjson", "riscv", { sv57: 0, sv57x4: 0 }, "fsc_MODE"],
  ])("%s", async (name, model, props, field) => {
    const dma = trace(name)
      .split("\n")
      .filter((line) => line.includes('"type":"dma"'))
      .at(-1)!;
    const after = [{ type: "iommu", id: "iommu0", model, props }, JSON.parse(dma)];
    const lines = trace(name).trimEnd().split("\n").length;
    const found = ofTables(await replay(name, after));
    expect(found.filter((f) => (f.line as number) <= lines)).toEqual([]);
    expect(found.length).toBeGreaterThan(0);
    for (const finding of found)
      expect(finding).toMatchObject({
        line: lines + 1,
        severity: "error",
        rule: "unsupported-encoding",
        field,
      });
  });
});

describe("random tables with deliberate mistakes", () => {
  const REFUSED = ["BAD_DEVICE_CONTEXT", "BAD_PASID_ENTRY"];
  /** Faults that a correct entry brings about: it is not valid, or says that requests are to be aborted. */
  const LAWFUL =
    /not valid|not present|^[LS]RT\.2$|^[LS]CT\.2$|^STE\.Config$|^C_BAD_STREAMID$|^IO_PAGE_FAULT$/;

  test.each([
    ["amd/amd-11.1-v1-s1.ndjson.gz", { "illegal-encoding": 2 }],
    ["amd/amd-gcr3-l2-s1.ndjson.gz", { "illegal-encoding": 1 }],
    ["arm/arm-10.0-s1-16k-1.ndjson.gz", { "address-too-wide": 1 }],
    ["arm/arm-11.1-nested-4k-1.ndjson.gz", { "illegal-encoding": 1 }],
    ["arm/arm-11.1-s2-64k-1.ndjson.gz", {}],
    ["intel/intel-10.0-ss-s1.ndjson.gz", { "illegal-encoding": 1 }],
    ["intel/intel-11.1-fs-s1.ndjson.gz", {}],
    [
      "riscv/riscv-ref-pd20-s1.ndjson.gz",
      { "conflicting-fields": 1, "illegal-encoding": 5, "reserved-entry-bits": 7, "unsupported-encoding": 1 },
    ],
  ])("%s: errors are what was misprogrammed, and explain every refusal", async (name, expected) => {
    const output = await replay(name);
    const errors = ofTables(output).filter((f) => f.severity === "error");
    const counts: Record<string, number> = {};
    for (const { rule } of errors) counts[rule as string] = (counts[rule as string] ?? 0) + 1;
    expect(counts).toEqual(expected);
    const wrong = new Set(errors.map((f) => f.entry_addr));
    const refused = output.filter(
      (o) =>
        o.type === "outcome" &&
        REFUSED.includes(o.reason as string) &&
        !LAWFUL.test(o.name as string) &&
        (BigInt((o.entry as string | undefined) ?? "0x0") & 1n) === 1n,
    );
    for (const outcome of refused) expect(wrong).toContain(outcome.entry_addr);
  });
});
