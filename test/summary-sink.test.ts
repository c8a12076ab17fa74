import { dirname } from "node:path";
import { describe, expect, it } from "vitest";
import { TraceSource } from "../parsers/trace/reader.ts";
import { bytesSource, openTrace } from "../parsers/trace/source.ts";
import { replay } from "../pipeline/library/replay-stream.ts";
import type { OutcomeRecord, OutputRecord } from "../pipeline/output/records.ts";
import { DEFAULT_OPTIONS } from "../pipeline/replay/options.ts";
import { replayRecords } from "../pipeline/replay/run.ts";
import { AddressDigest } from "../pipeline/summary/address-digest.ts";
import { FindingGroups } from "../pipeline/summary/finding-groups.ts";
import { SummarySink } from "../pipeline/summary/summary-sink.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";

const SAMPLES = [
  "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz",
  "samples/arm/arm-11.1-nested-4k-inval-1.ndjson.gz",
];

async function summed(path: string): Promise<SummarySink> {
  const sink = new SummarySink();
  const source = new TraceSource(await openTrace(path));
  await replayRecords(source, sink, { ...DEFAULT_OPTIONS, directory: dirname(path) }, () => {});
  return sink;
}

function countBy<T>(items: readonly T[], key: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[key(item)] = (counts[key(item)] ?? 0) + 1;
  return counts;
}

const spaceOf = (o: OutcomeRecord) => `${o.iommu} ${o.dev} ${o.pasid ?? -1}`;
const faultOf = (o: OutcomeRecord) =>
  `${spaceOf(o)} ${o.name} ${o.reason} ${o.stage ?? 0} ${o.level ?? "none"} ${o.verdict}`;

describe("a summary", () => {
  it.each(SAMPLES)("of %s counts what the records say", async (path) => {
    const records: OutputRecord[] = [];
    for await (const record of replay(path)) records.push(record);
    const outcomes = records.filter((record) => record.type === "outcome");
    const faults = outcomes.filter(({ result }) => result === "fault");
    const sink = await summed(path);

    const spaces = sink.spaces.all.map((s) => [`${s.iommu} ${s.device} ${s.pasid}`, s] as const);
    const numbers = Object.fromEntries(spaces.map(([name, s]) => [name, s.requests]));
    expect(numbers).toEqual(countBy(outcomes, spaceOf));
    expect(spaces.length).toBeGreaterThan(1);
    for (const [name, space] of spaces) {
      const own = outcomes.filter((o) => spaceOf(o) === name);
      expect([space.ok, space.faults, space.msi]).toEqual(
        ["ok", "fault", "msi"].map((result) => own.filter((o) => o.result === result).length),
      );
      expect([space.firstLine, space.lastLine]).toEqual([own[0]!.line, own.at(-1)!.line]);
      expect(space.bytes).toBe(own.reduce((sum, { len }) => sum + len, 0));
      expect(Object.fromEntries(space.verdicts)).toEqual(countBy(own, (o) => `${o.verdict}`));
    }

    const distinct: Record<string, number> = {};
    for (const { first, verdicts } of sink.faults.all)
      for (const [verdict, count] of verdicts) distinct[faultOf({ ...first, verdict })] = count;
    expect(distinct).toEqual(countBy(faults, faultOf));
    expect(sink.faults.all.length).toBeGreaterThan(2);

    const findings = records.filter((record) => record.type === "finding");
    const groups = sink.findings.worstFirst();
    expect(Object.fromEntries(groups.map(({ rule, count }) => [rule, count]))).toEqual(
      countBy(findings, ({ rule }) => rule),
    );
    for (const { rule, examples } of groups)
      expect(examples).toEqual(findings.filter((finding) => finding.rule === rule).slice(0, 10));
    expect(sink.summary).toEqual(records.at(-1));
    expect(sink.stats).toEqual(records.filter((record) => record.type === "stats"));
  });

  it("counts a verdict that is decided later as what it is", async () => {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, VTD_SECOND).map(0x1000_0000n, 0x8000_0000n);
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 1n, (9n << 8n) | 2n);
    const ask = (pa: string) =>
      s.add({ type: "dma", dev: "00:03.0", addr: "0x10000000", observed: { result: "ok", pa } });
    ask("0x80000000");
    table.map(0x1000_0000n, 0x9000_0000n);
    s.add({ type: "cmd", iommu: "unit", data: ["0x12", "0x0"] });
    ask("0x80000000");
    s.add({ type: "cmd", iommu: "unit", data: ["0x25", "0x0"] });
    ask("0x90000000");
    const bytes = Buffer.from(`${s.lines.join("\n")}\n`);
    const sink = new SummarySink();
    await replayRecords(new TraceSource(bytesSource(bytes)), sink, DEFAULT_OPTIONS, () => {});
    expect(Object.fromEntries(sink.spaces.all[0]!.verdicts)).toEqual({ match: 2, stale: 1 });
  });
});

describe("a digest of addresses", () => {
  it("counts pages, and larger blocks where there are too many", () => {
    const digest = new AddressDigest(4);
    for (const page of [3, 1, 3, 2]) digest.add(0, page * 4096 + 8);
    expect(digest.blocks()).toEqual([
      { frame: 1, frames: 1, count: 1 },
      { frame: 2, frames: 1, count: 1 },
      { frame: 3, frames: 1, count: 2 },
    ]);
    digest.add(0, 0x8000);
    digest.add(-1, -1);
    expect(digest.shift).toBe(13);
    expect(digest.blocks()).toEqual([
      { frame: 0, frames: 2, count: 1 },
      { frame: 2, frames: 2, count: 3 },
      { frame: 8, frames: 2, count: 1 },
      { frame: 2 ** 52 - 2, frames: 2, count: 1 },
    ]);
  });
});

describe("groups of findings", () => {
  it("keep the first of each rule, and put the worst first", () => {
    const groups = new FindingGroups(1);
    const add = (rule: string, severity: "error" | "warning", line: number, latent?: true) =>
      groups.add({ type: "finding", line, severity, rule, message: "", ...(latent && { latent }) });
    add("seldom", "warning", 1);
    add("often", "warning", 2);
    expect(add("often", "warning", 3)).toBe(false);
    expect(add("hidden", "error", 4, true)).toBe(true);
    add("plain", "error", 5);
    expect(groups.worstFirst().map(({ rule, count, examples }) => [rule, count, examples[0]?.line])).toEqual([
      ["plain", 1, 5],
      ["hidden", 1, 4],
      ["often", 2, 2],
      ["seldom", 1, 1],
    ]);
  });
});
