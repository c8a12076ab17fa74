import { dirname } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { TraceSource } from "../parsers/trace/reader.ts";
import { openTrace } from "../parsers/trace/source.ts";
import { replay } from "../pipeline/library/replay-stream.ts";
import type { OutputRecord } from "../pipeline/output/records.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { replayRecords } from "../pipeline/replay/run.ts";
import { outputSchema } from "../pipeline/schemas/output-schema.ts";
import { type OverviewRecord, overviewRecord } from "../pipeline/summary/overview.ts";
import { SummarySink } from "../pipeline/summary/summary-sink.ts";
import { cli, records } from "./support/cli.ts";

const SAMPLE = "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz";
const OTHER = "samples/bind/entry-update.ndjson";
const validate = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false }).compile(
  outputSchema(),
);

async function overviewOf(path: string): Promise<OverviewRecord> {
  const sink = new SummarySink();
  const options = { ...DEFAULT_OPTIONS, directory: dirname(path) };
  await replayRecords(new TraceSource(await openTrace(path)), sink, options, () => {});
  return overviewRecord(sink, path);
}

const sum = (all: readonly { readonly count: number }[]) => all.reduce((n, { count }) => n + count, 0);

describe("a summary for machines", () => {
  it.each([SAMPLE, OTHER])("of %s says what the records say", async (path) => {
    const all: OutputRecord[] = [];
    for await (const record of replay(path)) all.push(record);
    const outcomes = all.filter((record) => record.type === "outcome");
    const findings = all.filter((record) => record.type === "finding");
    const summary = all.find((record) => record.type === "summary")!;
    const overview = await overviewOf(path);
    expect(validate(overview), JSON.stringify(validate.errors)).toBe(true);

    const { type: _, errors, verdicts, lines } = summary;
    expect(overview).toMatchObject({ trace: path, errors, verdicts, lines, requests: outcomes.length });
    for (const result of ["ok", "msi"] as const)
      expect(overview[result]).toBe(outcomes.filter((o) => o.result === result).length);
    const faults = outcomes.filter(({ result }) => result === "fault");
    expect(overview.faults).toBe(faults.length);
    expect(overview.unjudged).toBe(outcomes.filter(({ verdict }) => verdict === undefined).length);
    expect(overview.devices).toBe(new Set(outcomes.map(({ dev }) => dev)).size);

    expect(sum(overview.fault_kinds)).toBe(faults.length);
    for (const kind of overview.fault_kinds) {
      const own = faults.filter((o) =>
        (["dev", "pasid", "code", "name", "reason", "stage", "level"] as const).every(
          (key) => o[key] === kind[key],
        ),
      );
      expect([kind.count, kind.first_line, kind.last_line]).toEqual([
        own.length,
        own[0]?.line,
        own.at(-1)?.line,
      ]);
    }
    for (const { rule, count, first } of overview.findings) {
      const own = findings.filter((finding) => finding.rule === rule);
      expect([count, first]).toEqual([own.length, own[0]]);
    }
    expect(sum(overview.findings)).toBe(findings.length);
    for (const { verdict, diff, count, first } of overview.answers) {
      const own = outcomes.filter((o) => o.verdict === verdict && o.diff === diff);
      expect([count, first]).toEqual([own.length, own[0]]);
    }
    for (const { dev, pasid, requests, ok } of overview.spaces) {
      const own = outcomes.filter((o) => o.dev === dev && o.pasid === pasid);
      expect([requests, ok]).toEqual([own.length, own.filter(({ result }) => result === "ok").length]);
    }
  });

  it("is one record of each trace, whatever the number of threads, and their total", async () => {
    const ran = await cli([SAMPLE, OTHER, "--summary", "--json", "--jobs", "2"]);
    const [first, second, total] = records(ran.stdout);
    expect([first, second]).toEqual([await overviewOf(SAMPLE), await overviewOf(OTHER)]);
    expect(total).toMatchObject({ type: "total", traces: 2, lines: first.lines + second.lines });
    const alone = await cli([OTHER, "--json"]);
    expect(alone.status).toBe(2);
    expect(alone.stderr).toContain("--json: expected it with --summary, found it alone");
  });

  it("of a comparison has the kinds of difference", async () => {
    const ran = await cli([
      "diff",
      "samples/intel/intel-7.2-ss-s1.ndjson.gz",
      "samples/intel/intel-11.1-ss-s1.ndjson.gz",
      "--summary",
      "--json",
    ]);
    expect(ran.status).toBe(1);
    const [summary, ...others] = records(ran.stdout);
    expect(others).toEqual([]);
    expect(validate(summary), JSON.stringify(validate.errors)).toBe(true);
    expect(sum(summary.kinds)).toBe(summary.differences);
    for (const { class: kind, change, count, first } of summary.kinds) {
      expect(first.class).toBe(kind);
      if (change !== undefined) expect(count).toBeLessThanOrEqual(summary.by_code[change]);
    }
    expect(summary.kinds[0].first).toMatchObject(summary.first);
  });
});
