import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { isTraceError, overview, report } from "../pipeline/library/index.ts";
import { cli, ROOT } from "./support/cli.ts";

const INTEL = "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz";
const ARM = "samples/arm/arm-11.1-nested-4k-inval-1.ndjson.gz";

describe("report", () => {
  test("is the page that the command writes, with the command that writes it", async () => {
    const made = await report(INTEL, {
      iotlb: [{ entries: 16, ways: 4 }],
      compare: "code",
      codeAliases: new Map([[0x85, new Set([5])]]),
      filter: { dev: "*:04.*" },
    });
    const words = "--iotlb 16x4 --compare code --code-alias 0x85=0x5 --dev".split(" ");
    const ran = await cli(["report", INTEL, ...words, "*:04.*"]);
    expect(made.text).toBe(ran.stdout);
    expect(made.text.startsWith("<!doctype html>")).toBe(true);
    expect(made.text).toContain("--code-alias 0x85=0x5 --dev &#39;*:04.*&#39;");
    expect(made.errors).toBe(0);
  });

  test("is the Markdown that the command writes, of several traces", async () => {
    const made = await report([ARM, INTEL], { format: "md", allowPaths: ["samples"] });
    const ran = await cli(["report", ARM, INTEL, "--format", "md", "--allow-path", "samples"]);
    expect(made.text).toBe(ran.stdout);
  });

  test("takes bytes, counts records that could not be used, and lets the command be named", async () => {
    const bytes = gunzipSync(readFileSync(join(ROOT, INTEL)));
    const broken = Buffer.concat([bytes, Buffer.from('{"type":"dma"}\n')]);
    const made = await report(broken, { format: "md", command: "make report" });
    expect(made.errors).toBe(1);
    expect(made.text).toContain("1 record could not be used");
    expect(made.text).toContain("\nmake report\n");
    expect(made.text).toContain("pasid-replay walk memory --line ");
  });

  test("refuses what makes no sense", async () => {
    for (const options of [{ format: "pdf" }, { iotlb: [{}] }, { filter: { addr: "?" } }, { colour: true }])
      await expect(report(INTEL, options as never)).rejects.toMatchObject({ code: "argument" });
    await expect(report([])).rejects.toMatchObject({ code: "argument" });
    await expect(report("none")).rejects.toSatisfy(isTraceError);
  });
});

describe("overview", () => {
  test.each([
    [{}, []],
    [{ filter: { dev: "*:04.*" } }, ["--dev", "*:04.*"]],
  ])("is the record that the command writes, given %j", async (options, words) => {
    const made = await overview(INTEL, options);
    const ran = await cli(["replay", INTEL, "--summary", "--json", ...words]);
    expect(`${JSON.stringify(made)}\n`).toBe(ran.stdout);
    expect(made.requests).toBeGreaterThan(0);
  });

  test("refuses what makes no sense", async () => {
    await expect(overview(INTEL, { compare: "x" } as never)).rejects.toMatchObject({ code: "argument" });
    await expect(overview("none")).rejects.toSatisfy(isTraceError);
  });
});
