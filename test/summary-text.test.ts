import { describe, expect, test } from "vitest";
import { summarizeTrace } from "../cli/summarize-trace.ts";
import { openTrace } from "../parsers/trace/source.ts";
import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { ReplayFilter } from "../pipeline/filter/replay-filter.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { cli, FIXTURE } from "./support/cli.ts";

async function summarized(path: string, words?: FilterWords): Promise<string> {
  const filter = words === undefined ? null : new ReplayFilter(words);
  const { text } = await summarizeTrace(
    path,
    await openTrace(path),
    { ...DEFAULT_OPTIONS, filter },
    words,
    () => {},
  );
  return text;
}

describe("the summary of a replay", () => {
  const SAMPLE = "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz";

  test("has the worst first, with the line and the commands that show it", async () => {
    const text = await summarized(SAMPLE);
    expect(text.split("\n\n").map((section) => section.split("\n")[0])).toEqual([
      `${SAMPLE}: 1365 lines`,
      "Verdicts",
      "Answers that memory does not give, the worst first",
      "Findings, the worst first",
      "Faults by device, PASID and cause",
      "Requests by device and PASID",
    ]);
    expect(text).toContain(
      "  766 requests of 6 devices behind dmar0 (intel)\n  451 translated, 315 faulted\n",
    );
    expect(text).toMatch(/Verdicts\n {2}mismatch +5 {2}as no.*\n {2}stale +21 .*\n {2}match +740 /);
    expect(text).toContain(
      `  mismatch (code): 4 requests of 0000:00:06.0\n    line 877: write of 4 bytes at 0x1dd3904ec4c0\n` +
        `    memory gives 0x72 SFS.3; observed {"result":"fault","code":"0x85"}\n    pasid-replay walk ${SAMPLE} --line 877\n`,
    );
    expect(text).toMatch(
      /error late-invalidation: 18, the first of 0000:00:04\.0\n {4}line 468: x86-64 .*…\n/,
    );
    expect(text).toMatch(
      / {4}123 {2}0000:00:08\.0 +– {2}SFS\.4 \(0x73\) +PGD_FETCH, stage 1, level 4 +451\n/,
    );
    expect(text).toMatch(/ {2}0000:00:06\.0 +– +131 +82 +49 +10 +2\.7 KiB\n/);
  });

  test("goes on with the filters that it was made with", async () => {
    const text = await summarized(SAMPLE, { dev: "*:08.0", line: "-500", rule: "*" });
    expect(text).toContain("no request was replayed");
    expect(text).toContain(
      `${SAMPLE} --dev '*:08.0' --line -500 --only findings --rule pointer-outside-memory\n`,
    );
    const faults = await summarized(SAMPLE, { dev: "*:08.0", line: "-500" });
    expect(faults).toContain(`${SAMPLE} --line -500 --dev 0000:00:08.0 --pasid none --code 0x73\n`);
    expect(faults).toMatch(/Left out\n {2}by the filter: \d+ requests\n$/);
  });

  test("of a kernel log leads to explain", async () => {
    const log = "samples/logs/linux-6.12-smmuv3.log.gz";
    expect(await summarized(log)).toMatch(
      new RegExp(
        `info logged-fault: 2, the first of sid:0x28\n.*\n.*--rule logged-fault\n +pasid-replay explain ${log}\n`,
      ),
    );
  });

  test("on the command line: text alone, and the exit status of the requests that are asked for", async () => {
    const ran = await cli([FIXTURE, "--summary", "--line", "10-11", "--fail-on", "fault"]);
    expect(ran).toMatchObject({ status: 0, stderr: "" });
    expect(ran.stdout).toMatch(/^.*vtd-bound\.ndjson: 16 lines\n {2}2 requests of 1 device/);
    const wrong = await cli([FIXTURE, "--summary", "--only", "faults", "--addr", "x"]);
    expect(wrong.stderr).toContain("--summary: expected it without --only");
  });
});
