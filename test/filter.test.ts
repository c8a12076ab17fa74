import { describe, expect, test } from "vitest";
import type { FilterWords } from "../pipeline/filter/filter-words.ts";
import { deviceMatcher, PatternError, pasidRange } from "../pipeline/filter/patterns.ts";
import { RecordFilter } from "../pipeline/filter/record-filter.ts";
import { RecordPicker } from "../pipeline/filter/record-picker.ts";
import { TimeRanges } from "../pipeline/filter/time-ranges.ts";
import { type OutputRecord, replay } from "../pipeline/library/index.ts";
import { Radix, Scenario, VTD_SECOND } from "./support/cache-scenario.ts";
import { compare } from "./support/diff-streams.ts";

const SAMPLE = "samples/intel/intel-11.1-fs-inval-s1.ndjson.gz";

async function replayed(input: string | Uint8Array, filter?: FilterWords): Promise<OutputRecord[]> {
  const records: OutputRecord[] = [];
  for await (const record of replay(input, filter === undefined ? {} : { filter })) records.push(record);
  return records;
}

type Of<T> = Extract<OutputRecord, { type: T }>;
function of<T extends OutputRecord["type"]>(records: readonly OutputRecord[], type: T): Of<T>[] {
  return records.filter((record): record is Of<T> => record.type === type);
}

describe("what a filter leaves of a recording", () => {
  const whole = replayed(SAMPLE);

  /** Filters, and what they mean, said in another way. */
  const CASES: [FilterWords, (o: Of<"outcome">) => boolean][] = [
    [{ dev: "00:04.0" }, (o) => o.dev === "0000:00:04.0"],
    [{ dev: "*:0?.0,00:05.0", line: "700-800" }, (o) => o.line >= 700 && o.line <= 800],
    [
      { dev: ["00:04.0", "00:05.0"], line: ["1-500", "1000-"] },
      ({ dev, line }) => {
        return /0[45]\.0$/.test(dev) && (line <= 500 || line >= 1000);
      },
    ],
    [{ addr: "0x6aa7c314b000+0x1000" }, (o) => BigInt(o.addr) >> 12n === 0x6aa7c314bn],
    [{ code: "73h" }, (o) => o.code === "0x73"],
    [
      { code: "SGN.*", reason: "oor_address" },
      (o) => o.reason === "OOR_ADDRESS" && o.name!.startsWith("SGN."),
    ],
    [{ pasid: "none", iommu: "dmar*" }, () => true],
    [{ pasid: "0-99" }, () => false],
    [{ iommu: "dmar1" }, () => false],
  ];

  test.each(CASES)("%o", async (filter, wanted) => {
    const all = of(await whole, "outcome");
    const records = await replayed(SAMPLE, filter);
    const left = of(records, "outcome");
    expect(left).toEqual(all.filter(wanted));
    const [summary] = of(records, "summary");
    expect(summary!.filtered).toBe(all.length - left.length);
    expect(Object.values(summary!.verdicts).reduce((sum, n) => sum + n, 0)).toBe(left.length);
    const stats = of(records, "stats");
    expect(stats.reduce((sum, { requests }) => sum + requests, 0)).toBe(left.length);
    expect(stats.reduce((sum, { faults }) => sum + faults, 0)).toBe(
      left.filter(({ result }) => result === "fault").length,
    );
    expect(summary!.records).toEqual(of(await whole, "summary")[0]!.records);
  });

  test("findings are those of the requests, and of the rule, that are asked for", async () => {
    const all = of(await whole, "finding");
    expect(new Set(all.map(({ rule }) => rule)).size).toBeGreaterThan(1);
    const late = all.filter(({ dev, rule }) => dev === "0000:00:04.0" && rule === "late-invalidation");
    expect(late.length).toBeGreaterThan(2);
    const records = await replayed(SAMPLE, { dev: "00:04.0", rule: "late-*" });
    expect(of(records, "finding")).toEqual(late);
    expect(of(records, "outcome")).toEqual([]);
    const [summary] = of(records, "summary");
    expect(summary!.findings).toEqual({ "late-invalidation": late.length });
    const [{ first_line: line } = { first_line: 0 }] = late;
    const addr = of(await whole, "outcome").find((o) => o.line === line)!.addr;
    const [one, ...others] = of(await replayed(SAMPLE, { addr, rule: "*" }), "finding");
    expect(one).toEqual(late[0]);
    expect(others.every(({ dev }) => dev === "0000:00:04.0")).toBe(true);
    expect(of(await replayed(SAMPLE, { code: "0x73" }), "finding")).toEqual([]);
    expect(of(await replayed(SAMPLE, { line: `${line}` }), "finding")).toEqual([late[0]]);
  });
});

describe("what is outside of a filter", () => {
  /** Two devices of one domain use a page; the entry is changed, and its invalidation comes late. */
  function trace(): Scenario {
    const s = new Scenario("intel", { rtaddr: 0x10_0000n });
    const table = new Radix(s, VTD_SECOND).map(0x1000_0000n, 0x8000_0000n);
    s.put(0x10_0000n, 0x10_1001n);
    for (const slot of [0x180n, 0x200n]) s.put(0x10_1000n + slot, table.root | 1n, (9n << 8n) | 2n);
    const ask = (dev: string, pa: string, ts: number) =>
      s.add({ type: "dma", dev, addr: "0x10000000", ts, observed: { result: "ok", pa } });
    ask("00:03.0", "0x80000000", 1.5);
    table.map(0x1000_0000n, 0x9000_0000n);
    ask("00:03.0", "0x80000000", 2.5);
    ask("00:04.0", "0x80000000", 3.5);
    s.add({ type: "cmd", iommu: "unit", data: ["0x12", "0x0"] });
    s.add({ type: "cmd", iommu: "unit", data: ["0x25", "0x0"] });
    ask("00:04.0", "0x90000000", 4.5);
    return s;
  }
  const lines = (s: Scenario) => Buffer.from(`${s.lines.join("\n")}\n`);

  test("counts all the same: what it cached, what it wrote, what it invalidated", async () => {
    const records = await replayed(lines(trace()), { dev: "00:04.0" });
    // Only the other device has brought the old translation into the IOTLB.
    expect(of(records, "outcome").map(({ verdict }) => verdict)).toEqual(["stale", "match"]);
    const [finding, ...others] = of(records, "finding");
    expect(others).toEqual([]);
    expect(finding).toMatchObject({ dev: "00:04.0", requests: 1, rule: "late-invalidation" });
    const [all] = of(await replayed(lines(trace())), "finding");
    expect(all).toMatchObject({ dev: "00:03.0", requests: 2 });
  });

  test("time is that of the last time stamp, also for findings of earlier lines", async () => {
    const at = async (time: string) => {
      const records = await replayed(lines(trace()), { time });
      return [of(records, "outcome").length, of(records, "finding").length];
    };
    expect(await at("2-4")).toEqual([2, 1]);
    expect(await at("3.5")).toEqual([1, 1]);
    expect(await at("4..")).toEqual([1, 0]);
    expect(await at("0+1")).toEqual([0, 0]);
  });

  test("a verdict that is decided later is counted once it is wanted", async () => {
    const s = trace();
    // Behind the invalidation, before it is complete.
    const wait = s.lines.findLastIndex((line) => line.includes('"0x25"'));
    const old = JSON.parse(s.lines.findLast((line) => line.includes('"00:03.0"'))!);
    s.lines.splice(wait, 0, JSON.stringify(old), JSON.stringify({ ...old, dev: "00:04.0" }));
    const [whole] = of(await replayed(lines(s)), "summary");
    expect(whole!.verdicts).toEqual({ match: 2, stale: 4 });
    const [some] = of(await replayed(lines(s), { dev: "00:03.0" }), "summary");
    expect(some!.verdicts).toEqual({ match: 1, stale: 2 });
    expect(some!.filtered).toBe(3);
  });
});

describe("a comparison of two streams", () => {
  const request = (fields: object, code: string) =>
    JSON.stringify({ type: "dma", access: "r", len: 8, ...fields, observed: { result: "fault", code } });
  const stream = (codes: readonly string[]) =>
    [
      '{"type":"iommu","id":"dmar0","model":"intel"}',
      request({ dev: "00:03.0", addr: "0x1000", ts: 1 }, codes[0]!),
      request({ dev: "00:03.0", pasid: 5, addr: "0x2000", ts: 2 }, codes[1]!),
      request({ dev: "00:04.0", addr: "0x1ffc", ts: 3 }, codes[2]!),
      "",
    ].join("\n");
  const a = stream(["0x71", "0x0071", "0x71"]);
  const b = stream(["0x72", "0x73", "0x71"]);
  const filtered = async (filter: FilterWords, other = b) => {
    const filters = [new RecordFilter(filter), new RecordFilter(filter)] as const;
    const { records, result } = await compare(a, other, { filters });
    return [records.map(({ line_a, line_b }) => line_a ?? line_b), result.counts.compared, result.filtered];
  };

  test("is of the pairs that either side's words are about", async () => {
    expect(await filtered({ dev: "00:03.0" })).toEqual([[2, 3], 2, 1]);
    expect(await filtered({ pasid: "none" })).toEqual([[2], 2, 1]);
    expect(await filtered({ addr: "0x2000+4" })).toEqual([[3], 2, 1]);
    expect(await filtered({ code: "73h" })).toEqual([[3], 1, 2]);
    expect(await filtered({ code: "0x71", line: "2-3" })).toEqual([[2, 3], 2, 1]);
    expect(await filtered({ time: "2.5.." })).toEqual([[], 1, 2]);
    expect(await filtered({ iommu: "dmar0", time: "-1" })).toEqual([[2], 1, 2]);
    expect(await filtered({ iommu: "dmar1" })).toEqual([[], 0, 3]);
  });

  test("leaves requests of one side out as well", async () => {
    const longer = `${b}${request({ dev: "00:05.0", addr: "0x9000", ts: 9 }, "0x71")}\n`;
    expect(await filtered({ dev: "00:05.0" }, longer)).toEqual([[5], 0, 3]);
    expect(await filtered({ dev: "00:04.0" }, longer)).toEqual([[], 1, 3]);
  });

  test("cannot be by what the output of a replay is not read for", async () => {
    const outcomes = '{"type":"outcome","line":1,"dev":"00:03.0","addr":"0x1000","result":"ok"}\n';
    await expect(filtered({ time: "1-2" }, outcomes)).rejects.toThrow(
      /^--time: expected two traces, found the output of a replay in /,
    );
  });
});

test("records of a log are picked: requests and faults, by their times too; the rest stays", () => {
  const picker = new RecordPicker(new RecordFilter({ dev: "sid:7", addr: "0x1000+0x1000", time: "2-3" }));
  const dma = (dev: string, addr: string, ts: number) =>
    JSON.stringify({ type: "dma", dev, addr, len: 8, ts });
  const wants = (line: number, text: string) => picker.wants(line, JSON.parse(text).type, text);
  expect(wants(1, '{"type":"iommu","id":"a","model":"arm-smmuv3"}')).toBe(true);
  expect(wants(2, dma("sid:7", "0x1000", 1.9))).toBe(false);
  expect(wants(3, dma("sid:7", "0xff9", 2))).toBe(true);
  expect(wants(4, dma("sid:8", "0x1000", 2))).toBe(false);
  expect(wants(5, '{"type":"fault","dev":"sid:7","addr":"0x1800"}')).toBe(true);
  expect(wants(6, '{"type":"cmd","iommu":"a","ts":3.5,"data":["0x0"]}')).toBe(true);
  expect(wants(7, '{"type":"fault","dev":"sid:7","addr":"0x1800"}')).toBe(false);
  expect(picker.leftOut).toBe(3);
});

describe("patterns", () => {
  test("of devices: any spelling, or a pattern of the short or the whole name", () => {
    const device = { text: "00:03.0", segment: 0, id: 0x18 };
    for (const text of ["00:03.0", "0000:00:03.0", "devid:0x18", "00:*", "0000:00:0?.0"])
      expect(deviceMatcher("--dev", text)(device), text).toBe(true);
    for (const text of ["00:04.0", "0001:00:03.0", "01:*"])
      expect(deviceMatcher("--dev", text)(device), text).toBe(false);
    expect(() => deviceMatcher("--dev", "03")).toThrow(
      new PatternError('--dev: expected a device, or a pattern with "*", found "03"'),
    );
  });

  test("of PASIDs", () => {
    expect(pasidRange("--pasid", "none")).toEqual([-1, -1]);
    expect(pasidRange("--pasid", "0x10-0x1f")).toEqual([16, 31]);
    for (const text of ["5-4", "x", "-", "1+0", "1-2-3"])
      expect(() => pasidRange("--pasid", text), text).toThrow(PatternError);
  });

  test("of addresses, to the last byte of the address space", () => {
    const wants = (addr: string, hi: number, lo: number, len: number) =>
      new RecordFilter({ addr }).address(hi, lo, len);
    expect(wants("0x1000-0x1fff", 0, 0xfff, 1)).toBe(false);
    expect(wants("0x1000-0x1fff", 0, 0xfff, 2)).toBe(true);
    expect(wants("0x1000-0x1fff", 0, 0x2000, 8)).toBe(false);
    expect(wants("0xfffffffffffff000-", -1, -1, 1)).toBe(true);
    expect(wants("-0x7fffffffffffffff", 0x8000_0000 | 0, 0, 8)).toBe(false);
    expect(wants("0x100000000+1", 0, 0xffff_ffff | 0, 0xffff_ffff)).toBe(true);
  });

  test("of times: dates compare with dates, and what was within is remembered", () => {
    const times = new TimeRanges("--time", ["2026-11-30T02:38:00Z..2026-11-30T02:39:00.5Z"]);
    const stamps = ["02:37:59.9", "02:38:00.000001", "02:39:00.4", "02:39:00.6", "02:38:30"];
    stamps.forEach((time, i) => {
      times.at(10 * i + 10, JSON.stringify(`2026-11-30T${time}Z`));
    });
    const within = [5, 10, 19, 20, 39, 40, 49, 50, 99].map((line) => times.has(line));
    expect(within).toEqual([false, false, false, true, true, false, false, true, true]);
    for (const text of ["", "..", "9-8", "a-b", "+5", "2026-13-40.."])
      expect(() => new TimeRanges("--time", [text]), text).toThrow(PatternError);
  });
});
