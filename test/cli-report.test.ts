import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { cli, FIXTURE } from "./support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), "pasid-replay-cli-report-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SAMPLE = "samples/intel/linux-vtd-legacy-q7-k6.1-strict.ndjson";

describe("report", () => {
  it("writes a page that says how it was made, and leaves nothing else", async () => {
    const out = join(folder, "a b.html");
    const ran = await cli([
      "report",
      SAMPLE,
      "-o",
      out,
      "--iotlb",
      "16x4,64x4",
      "--dev",
      "00:03.0",
      "--line",
      "1-104",
    ]);
    expect(ran).toMatchObject({ status: 0, stdout: "", stderr: "" });
    const page = readFileSync(out, "utf8");
    expect(page).toMatch(/^<!doctype html>/);
    expect(page).toContain(
      `pasid-replay report ${SAMPLE} -o &#39;${out}&#39; --iotlb 16x4,64x4 --dev 00:03.0 --line 1-104\n`,
    );
    expect(page).toMatch(/SHA-256 <code>[0-9a-f]{64}<\/code>/);
    expect(page).toContain("Narrowed by --dev 00:03.0 --line 1-104: 652 requests left out.");
    expect(page).toContain("Simulated IOTLBs");
    expect(readdirSync(folder)).toEqual(["a b.html"]);
  });

  it("writes Markdown for a name of that kind, reads standard input, and tells what could not be used", async () => {
    const input = `${readFileSync(FIXTURE, "utf8")}{"type":"dma"}\n`;
    const ran = await cli(["report", "-", "--format", "md"], { input, env: { FORCE_COLOR: "1" } });
    expect(ran).toMatchObject({
      status: 2,
      stderr: "pasid-replay: 1 record could not be used: the report may be incomplete\n",
    });
    expect(ran.stdout).toMatch(/^# standard input\n\n- 1 record could not be used: what/);
    expect(ran.stdout).toContain("pasid-replay report - --format md");
    expect(ran.stdout).toContain("=> fault SFS.2 (0x71)");
    expect(ran.stdout).not.toMatch(/\\u001b|\p{Cc}(?<!\n)/u);
  });

  it("says what is wrong with the command line, and writes nothing", async () => {
    const trace = join(folder, "t.ndjson");
    writeFileSync(trace, readFileSync(FIXTURE));
    const same = await cli(["report", trace, "-o", trace]);
    expect(same.status).toBe(2);
    expect(same.stderr).toContain("--output: expected another file than the trace");
    const none = await cli(["report", join(folder, "missing.ndjson"), "-o", join(folder, "x.html")]);
    expect(none.status).toBe(2);
    expect(readdirSync(folder)).not.toContain("x.html");
  });
});
