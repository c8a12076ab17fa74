import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { importText } from "../cli/render/import.ts";
import { ROOT } from "./support/cli.ts";
import { importLog, replayed } from "./support/logs.ts";

const FOLDER = join(ROOT, "samples/logs");
const LOG = /\.log\.gz$|\.bin$/;
const HEADER = '{"type":"header","format":"pasid-trace","version":1}';

const logs = readdirSync(FOLDER)
  .filter((name) => LOG.test(name))
  .sort();

function read(name: string): Buffer {
  const bytes = readFileSync(join(FOLDER, name));
  return name.endsWith(".gz") ? gunzipSync(bytes) : bytes;
}

/** Each log has the trace that it becomes beside it, and what is said of its lines. */
describe.each(logs)("samples/logs/%s", (name) => {
  const base = join(FOLDER, name.replace(LOG, ""));
  const bytes = read(name);

  test("becomes the trace that stands beside it", async () => {
    const { texts, report } = importLog(bytes);
    await expect(`${[HEADER, ...texts].join("\n")}\n`).toMatchFileSnapshot(`${base}.trace.jsonl`);
    await expect(importText(Object.assign(report, { broken: [] }))).toMatchFileSnapshot(`${base}.report.txt`);
  });

  test("becomes the same whatever the pieces that it is read in", () => {
    const whole = importLog(bytes, {}, bytes.length);
    for (const step of [1, 7, 1021]) {
      const pieces = importLog(bytes, {}, step);
      expect(pieces.texts).toEqual(whole.texts);
      expect(pieces.lines).toEqual(whole.lines);
    }
  });

  test("is replayed as that trace is, by its own lines", async () => {
    const { texts, lines } = importLog(bytes);
    // biome-ignore lint/suspicious/noExplicitAny: records of all types
    const place = (record: any) => ({ ...record, line: lines[record.line - 1] });
    const ofTrace = (await replayed(texts.join("\n"))).filter(({ type }) => type === "outcome").map(place);
    const ofLog = (await replayed(bytes)).filter(({ type }) => type === "outcome");
    expect(ofLog.map(({ changed_line, ...rest }) => rest)).toEqual(
      ofTrace.map(({ changed_line, ...rest }) => rest),
    );
    expect(ofLog.every(({ verdict }) => verdict === "match")).toBe(true);
  });
});
