import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ROOT } from "./support/cli.ts";
import { answeredByMemory, owed, withoutAnswers, withoutInvalidations } from "./support/stripped.ts";

const SAMPLES = [
  "intel/intel-11.1-fs-inval-s1.ndjson.gz",
  "arm/arm-11.1-nested-4k-inval-1.ndjson.gz",
  "amd/amd-11.1-inval-s1.ndjson.gz",
  "riscv/riscv-ref-inval-s1.ndjson.gz",
];

function load(path: string): Record<string, unknown>[] {
  const text = gunzipSync(readFileSync(join(ROOT, "samples", path))).toString();
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe.each(SAMPLES)("%s", (path) => {
  const trace = load(path);

  it("misses the same invalidations with its answers and without", async () => {
    const kept = await owed(trace);
    const stripped = await owed(withoutAnswers(trace));
    expect(kept.changes.filter((change) => !kept.byOtherReading.includes(change))).toEqual(stripped.changes);
    expect(stripped.byOtherReading).toEqual([]);
    expect(stripped.latent).toBe(0);
  });

  it("without any invalidation, on an IOMMU that caches nothing: all is right, and all are found", async () => {
    const none = withoutInvalidations(trace);
    const kept = await owed(await answeredByMemory(none));
    const stripped = await owed(withoutAnswers(none));
    expect(kept.verdicts).toEqual({ match: trace.filter((r) => r.type === "dma").length });
    expect(kept.changes).toEqual(stripped.changes);
    expect(kept.changes.length).toBeGreaterThan(10);
    expect(kept.latent).toBe(kept.changes.length);
  });
});
