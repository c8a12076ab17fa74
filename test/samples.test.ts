import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { bytesSource, openTrace } from "../parsers/trace/source.ts";
import { replayTrace } from "../pipeline/replay/run.ts";
import { ROOT } from "./support/cli.ts";

const SAMPLES = join(ROOT, "samples");
const TRACE = /\.ndjson(\.gz)?$/;
/** Linux on QEMU's amd-iommu: what was observed is the base of the page. */
const BY_PAGE = /linux-amd/;

const traces = readdirSync(SAMPLES, { recursive: true, encoding: "utf8" })
  .filter((path) => TRACE.test(path))
  .sort();

async function replay(path: string, step?: number): Promise<string> {
  const chunks: Buffer[] = [];
  const bytes = readFileSync(path);
  const source =
    step === undefined
      ? await openTrace(path)
      : bytesSource(path.endsWith(".gz") ? gunzipSync(bytes) : bytes, step);
  await replayTrace(
    source,
    { write: (chunk) => void chunks.push(Buffer.from(chunk)) },
    { directory: dirname(path), paGranularity: BY_PAGE.test(path) ? "page" : "exact" },
  );
  return Buffer.concat(chunks).toString("utf8");
}

/** Every sample has its statistics and summary beside it: a change of any count is a change of behaviour. */
describe.each(traces)("samples/%s", (name) => {
  const path = join(SAMPLES, name);

  test("gives the statistics that stand beside it", async () => {
    const lines = (await replay(path)).split("\n").filter((line) => /^\{"type":"(stats|summary)"/.test(line));
    expect(lines.length).toBeGreaterThan(1);
    const golden = join(SAMPLES, dirname(name), `${basename(name).replace(TRACE, "")}.stats.jsonl`);
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(golden);
  });

  test("gives the same bytes whatever the chunks that it is read in", async () => {
    const whole = await replay(path);
    expect(await replay(path, 4093)).toBe(whole);
    expect(await replay(path)).toBe(whole);
  });
});
