import { describe, expect, test } from "vitest";
import type { Depth } from "../pipeline/diff/answer.ts";
import { compare } from "./support/diff-streams.ts";

const REQUEST = '"seq":1,"dev":"00:03.0","addr":"0x1000","len":8,"access":"w"';
const trace = (observed: object) => `{"type":"dma",${REQUEST},"observed":${JSON.stringify(observed)}}\n`;
const outcome = (answer: object) =>
  `{"type":"outcome","line":9,${REQUEST},"model":"intel",${JSON.stringify(answer).slice(1, -1)},"reads":4}\n`;

async function classOf(a: string, b: string, depth: Depth = "record"): Promise<string | undefined> {
  const { records, result } = await compare(a, b, { depth });
  expect(result.counts.compared).toBe(1);
  expect(records.length).toBeLessThan(2);
  return records[0]?.class;
}

const OK = { result: "ok", pa: "0x5000" };
const FAULT = { result: "fault", code: "0x71" };

describe("two observed answers", () => {
  test.each([
    [OK, OK, undefined],
    [OK, { result: "ok", pa: "0x0005000" }, undefined],
    [OK, { result: "ok", pa: "0x6000" }, "address"],
    [OK, { result: "ok" }, undefined],
    [OK, FAULT, "result"],
    [OK, { result: "msi" }, "result"],
    [FAULT, { result: "fault", code: "0x72" }, "code"],
    [FAULT, { result: "fault", code: "0x0071" }, undefined],
    [{ result: "fault", code: "0xAB" }, { result: "fault", code: "0xab" }, undefined],
    [{ result: "fault", reason: "PTE_FETCH" }, { result: "fault", reason: "PERMISSION" }, "code"],
    [{ ...FAULT, reason: "PTE_FETCH" }, { ...FAULT, reason: "PERMISSION" }, undefined],
    // One of them wrote no fault record.
    [FAULT, { result: "fault" }, "record"],
    [FAULT, { ...FAULT, recorded: false }, "record"],
    [FAULT, { ...FAULT, recorded: true }, undefined],
    [{ ...FAULT, stage: 1 }, { ...FAULT, stage: 2 }, "record"],
    [{ ...FAULT, class: "TT" }, { ...FAULT, class: "IN" }, "record"],
    [{ ...FAULT, flags: "0x10" }, { ...FAULT, flags: "0x30" }, "record"],
    // What only one recorder notes says nothing.
    [{ ...FAULT, stage: 1 }, FAULT, undefined],
    [{ ...FAULT, event: "00ff" }, { ...FAULT, event: "01ff" }, undefined],
  ])("%j and %j: %s", async (a, b, expected) => {
    expect(await classOf(trace(a), trace(b))).toBe(expected);
    expect(await classOf(trace(b), trace(a))).toBe(expected);
  });
});

describe("two outcomes", () => {
  const fault = { ...FAULT, reason: "PTE_FETCH", name: "SFS.1", stage: 1, level: 2, entry: "0x0" };
  test.each([
    [fault, fault, undefined],
    [{ ...OK, page: 4096, perm: "rw-" }, { ...OK, page: 4096, perm: "r--" }, "record"],
    [{ ...OK, domain: 5 }, { ...OK, domain: 6 }, "record"],
    [OK, { ...OK, passthrough: true }, "record"],
    [
      OK,
      {
        ...OK,
        sg: [
          ["0x5000", 4],
          ["0x9000", 4],
        ],
      },
      "address",
    ],
    [
      {
        ...OK,
        sg: [
          ["0x5000", 4],
          ["0x9000", 4],
        ],
      },
      {
        ...OK,
        sg: [
          ["0x5000", 4],
          ["0xa000", 4],
        ],
      },
      "address",
    ],
    [fault, { ...fault, level: 3 }, "record"],
    [fault, { ...fault, recorded: false }, "record"],
    [fault, { ...fault, fault_addr: "0x2000" }, "record"],
    [{ ...fault, verdict: "match" }, { ...fault, verdict: "mismatch", diff: "code" }, "verdict"],
    [fault, { ...fault, verdict: "match" }, "verdict"],
    // How the specification calls it is a remark.
    [fault, { ...fault, name: "SFS.9" }, undefined],
  ])("%j and %j: %s", async (a, b, expected) => {
    expect(await classOf(outcome(a), outcome(b))).toBe(expected);
    expect(await classOf(outcome(b), outcome(a))).toBe(expected);
  });

  test("whose members come in another order", async () => {
    const line = `{"result":"ok","addr":"0x1000","pa":"0x5000","dev":"00:03.0","reads":4,"type":"outcome","seq":1,"access":"w","len":8,"line":12,"model":"intel"}\n`;
    expect(await classOf(outcome(OK), line)).toBeUndefined();
    expect(await classOf(outcome({ ...OK, pa: "0x6000" }), line)).toBe("address");
  });
});

describe("observed and outcome compare as the trace contract says", () => {
  test.each([
    [OK, { ...OK, page: 4096, perm: "rw-", verdict: "match" }, undefined],
    [{ result: "ok" }, OK, undefined],
    [OK, { ...OK, pa: "0x6000" }, "address"],
    [FAULT, { ...FAULT, reason: "PTE_FETCH", stage: 1, level: 1 }, undefined],
    [{ result: "fault" }, { ...FAULT, reason: "PTE_FETCH" }, undefined],
    [{ result: "fault", reason: "PERMISSION" }, { ...FAULT, reason: "PTE_FETCH" }, "code"],
    [{ ...FAULT, stage: 2 }, { ...FAULT, stage: 1 }, "record"],
    [{ ...FAULT, recorded: false }, FAULT, "record"],
    [FAULT, { ...FAULT, recorded: false }, undefined],
  ])("%j and %j: %s", async (observed, answer, expected) => {
    expect(await classOf(trace(observed), outcome(answer))).toBe(expected);
    expect(await classOf(outcome(answer), trace(observed))).toBe(expected);
  });
});

test("--compare says how deep", async () => {
  const depths = ["result", "pa", "code", "record", "all"] as const;
  const first = async (a: object, b: object) => {
    const found = [];
    for (const depth of depths)
      if ((await classOf(outcome(a), outcome(b), depth)) !== undefined) found.push(depth);
    return found[0];
  };
  expect(await first(OK, FAULT)).toBe("result");
  expect(await first(OK, { ...OK, pa: "0x1" })).toBe("pa");
  expect(await first(FAULT, { ...FAULT, code: "0x1" })).toBe("code");
  expect(await first(FAULT, { ...FAULT, stage: 1 })).toBe("record");
  expect(await first(FAULT, { ...FAULT, verdict: "match" })).toBe("record");
  expect(await first(FAULT, { ...FAULT, name: "X" })).toBe("all");
  expect(await first(FAULT, FAULT)).toBeUndefined();
});

describe("requests are the same", () => {
  const line = (request: string) => `{"type":"dma",${request},"observed":{"result":"ok","pa":"0x1"}}\n`;
  const same = async (a: string, b: string) => (await compare(line(a), line(b))).result.counts.same === 1;

  test("whatever their spelling", async () => {
    expect(await same('"dev":"00:03.0","addr":"0x1000"', '"dev":"0000:00:03.0","addr":"0x001000"')).toBe(
      true,
    );
    expect(await same('"dev":"devid:24","addr":"0xAB"', '"dev":"00:03.0","addr":"0xab"')).toBe(true);
    expect(
      await same('"dev":"00:03.0","addr":"0x1"', '"dev":"00:03.0","addr":"0x1","len":1,"access":"r"'),
    ).toBe(true);
    expect(await same('"dev":"00:03.0","addr":"0x1"', '"dev":"00:03.0","addr":"0x1","priv":false')).toBe(
      true,
    );
    expect(await same('"dev":"00:03.0","addr":"0x1","iommu":"x"', '"dev":"00:03.0","addr":"0x1"')).toBe(true);
  });

  test.each([
    '"dev":"00:04.0","addr":"0x1"',
    '"dev":"0001:00:03.0","addr":"0x1"',
    '"dev":"00:03.0","addr":"0x2"',
    '"dev":"00:03.0","addr":"0x100000001"',
    '"dev":"00:03.0","addr":"0x1","pasid":0',
    '"dev":"00:03.0","addr":"0x1","len":2',
    '"dev":"00:03.0","addr":"0x1","access":"w"',
    '"dev":"00:03.0","addr":"0x1","access":"x"',
    '"dev":"00:03.0","addr":"0x1","priv":true',
    '"dev":"00:03.0","addr":"0x1","at":"translated"',
  ])("not so %s", async (other) => {
    expect(await same('"dev":"00:03.0","addr":"0x1"', other)).toBe(false);
  });
});

describe("set-up of the two traces", () => {
  const mem = (addr: string, data: string, by = "") =>
    `{"type":"mem","addr":"${addr}","data":"${data}"${by}}\n`;
  const setups = async (a: string, b: string) =>
    (await compare(a + trace(OK), b + trace(OK))).result.setup.map(({ setup, lineA, lineB }) => [
      setup,
      lineA,
      lineB,
    ]);

  test("is the same, or first differs at some record", async () => {
    const first = mem("0x1000", "00ff");
    expect(await setups(first, mem("0x1000", "00FF"))).toEqual([]);
    expect(await setups(first + mem("0x2000", "01"), first + mem("0x2000", "02"))).toEqual([
      ["memory", 2, 2],
    ]);
    expect(await setups(first, first + mem("0x2000", "02"))).toEqual([["memory", null, 2]]);
    // What the recorded IOMMU wrote is no set-up.
    expect(await setups(first, mem("0x1000", "20", ',"by":"iommu"') + first)).toEqual([]);
  });

  test("has registers and invalidations", async () => {
    const iommu = (cap: string) => `{"type":"iommu","id":"i","model":"intel","regs":{"cap":"${cap}"}}\n`;
    const cmd = (word: string) => `{"type":"cmd","iommu":"i","data":["${word}","0x0"]}\n`;
    expect(await setups(iommu("0x1") + cmd("0x2"), iommu("0x1") + cmd("0x2"))).toEqual([]);
    expect(await setups(iommu("0x1") + cmd("0x2"), iommu("0x3") + cmd("0x4"))).toEqual([
      ["registers", 1, 1],
      ["invalidations", 2, 2],
    ]);
  });
});

test("answers may be nested as deep as they like; what is deep is compared as text", async () => {
  const dma = (observed: string) => `{"type":"dma","dev":"00:03.0","addr":"0x0","observed":${observed}}\n`;
  const deep = (inner: string, levels = 20_000) =>
    dma(`{"result":"ok","pa":"0x1","z":${"[".repeat(levels)}${inner}${"]".repeat(levels)}}`);
  const differ = async (a: string, b: string) =>
    (await compare(a, b, { depth: "all" })).records.map((record) => record.class);
  expect(await differ(deep('"a]"'), deep('"a]"'))).toEqual([]);
  expect(await differ(deep('"a"'), deep('"b"'))).toEqual(["record"]);
  expect(await differ(deep("0", 3), deep("1", 3))).toEqual(["record"]);
});

test("the answers that wait for each other are bounded by the memory limit", async () => {
  const text = "x".repeat(8192);
  const stream = (from: number) =>
    Array.from(
      { length: 1500 },
      (_, i) =>
        `{"type":"dma","dev":"00:03.0","addr":"0x${((from + i) * 4096).toString(16)}","observed":{"result":"ok","pa":"0x1","z":"${text}"}}\n`,
    ).join("");
  const replayA = { memoryLimit: 16 * 2 ** 20 };
  const { result } = await compare(stream(0), stream(1e6), {
    replayA,
    replayB: replayA,
    alignment: "content",
  });
  expect(result.counts.classCounts()).toMatchObject({ "only-in-a": 1500, "only-in-b": 1500 });
  // Of 2 MiB of text no more than 256 requests and what came with them can have waited.
  expect(result.unaligned.stretches).toBeGreaterThan(2);
});
